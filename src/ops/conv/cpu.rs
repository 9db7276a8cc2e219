//! Forward and backward passes of a convolution on the CPU, image by image.

use std::ops::Range;

use super::geometry::Geometry;
use crate::cpu::{self, Real, total, vectorized};
use crate::ops::gemm::{Matrix, product};
use crate::ops::operand::Operand;
use crate::ops::pointwise::{relu_grad, relu_value};

impl Geometry {
    pub fn convolve<T: Real>(&self, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let mut y = vec![T::zero(); self.batch * self.output_len()];
        let part = self.part();
        cpu::for_chunks(&mut y, part * self.output_len(), usize::MAX, |number, y| {
            let mut unrolled = vec![T::zero(); self.unrolled_len()];
            let x = &x[number * part * self.input_len()..];
            let images = y.chunks_exact_mut(self.output_len()).zip(x.chunks_exact(self.input_len()));
            images.for_each(|(y, x)| self.convolve_image(x, weight, bias, y, &mut unrolled));
        });
        y
    }

    fn convolve_image<T: Real>(&self, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T], unrolled: &mut [T]) {
        let (positions, weights) = (self.positions(), self.weights());
        self.blocks(|channels, rows, start, tile| {
            let columns = tile.len() * self.output[2];
            let unrolled = &mut unrolled[..weights * columns];
            self.im2col(&x[channels], &tile, unrolled);
            let kernels = Matrix::new(&weight[rows.start * weights..], rows.len(), weights, weights);
            let y = &mut y[start..];
            product(kernels, Matrix::new(unrolled, weights, columns, columns), y, positions, false);
            for (row, y) in rows.zip(y.chunks_mut(positions)) {
                self.finish(&mut y[..columns], bias.map(|bias| bias[row]));
            }
        });
    }

    /// Adds the bias and applies ReLU after the products.
    fn finish<T: Real>(&self, y: &mut [T], bias: Option<T>) {
        if bias.is_none() && !self.options.relu {
            return;
        }
        let (bias, relu) = (bias.unwrap_or_else(T::zero), self.options.relu);
        vectorized(
            #[inline(always)]
            || {
                for y in y {
                    *y = if relu { relu_value(*y + bias) } else { *y + bias };
                }
            },
        );
    }

    /// Computes the gradients of input, weight and bias; empty if not needed.
    pub fn gradients<T: Real>(&self, inputs: &[Operand<'_, T>], y: &[T], dy: &[T]) -> [Vec<T>; 3] {
        let (x, weight) = (inputs[0], inputs[1]);
        let needed = Needed { weight: weight.tracked, bias: inputs.get(2).is_some_and(|bias| bias.tracked) };
        let operands = (x.elements, weight.elements, y, dy);
        let part = self.part();
        let mut dx = vec![T::zero(); if x.tracked { x.elements.len() } else { 0 }];
        let mut parts: Vec<(&mut [T], _)> = dx.chunks_mut(part * self.input_len()).map(|dx| (dx, None)).collect();
        parts.resize_with(self.batch.div_ceil(part), Default::default);
        cpu::for_chunks(&mut parts, 1, usize::MAX, |index, parts| {
            let images = index * part..((index + 1) * part).min(self.batch);
            for (dx, sums) in parts {
                *sums = Some(self.gradients_of_part(images.clone(), operands, dx, needed));
            }
        });
        let (dweight, dbias) = parts.into_iter().filter_map(|(_, sums)| sums).unzip();
        let lengths = [(needed.weight, weight.elements.len()), (needed.bias, self.output[0])];
        let [weights, biases] = lengths.map(|(needed, len)| if needed { len } else { 0 });
        [dx, total(dweight, weights), total(dbias, biases)]
    }

    /// Writes the input gradient of some images, and returns their contributions to the gradients of weight and bias.
    fn gradients_of_part<T: Real>(
        &self,
        images: Range<usize>,
        (x, weight, y, dy): Operands<'_, T>,
        dx: &mut [T],
        needed: Needed,
    ) -> (Vec<T>, Vec<T>) {
        let zeros = |needed: bool, len: usize| vec![T::zero(); if needed { len } else { 0 }];
        let mut dweight = zeros(needed.weight, weight.len());
        let mut dbias = zeros(needed.bias, self.output[0]);
        let mut through = zeros(self.options.relu, self.output_len());
        let mut unrolled = zeros(true, self.unrolled_len());
        let mut dimages = dx.chunks_exact_mut(self.input_len());
        for image in images {
            let outputs = image * self.output_len()..(image + 1) * self.output_len();
            let mut dy = &dy[outputs.clone()];
            if self.options.relu {
                through_relu(dy, &y[outputs], &mut through);
                dy = &through;
            }
            vectorized(
                #[inline(always)]
                || {
                    let channels = dbias.iter_mut().zip(dy.chunks_exact(self.positions()));
                    channels.for_each(|(bias, g)| *bias += cpu::sum(g, |g| g));
                },
            );
            let dweight = needed.weight.then_some(&mut dweight[..]);
            let x = &x[image * self.input_len()..][..self.input_len()];
            self.gradients_of_image(x, weight, dy, dweight, dimages.next(), &mut unrolled);
        }
        (dweight, dbias)
    }

    fn gradients_of_image<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        dy: &[T],
        mut dweight: Option<&mut [T]>,
        mut dimage: Option<&mut [T]>,
        unrolled: &mut [T],
    ) {
        let (positions, weights) = (self.positions(), self.weights());
        self.blocks(|channels, rows, start, tile| {
            let columns = tile.len() * self.output[2];
            let unrolled = &mut unrolled[..weights * columns];
            let dy = Matrix::new(&dy[start..], rows.len(), columns, positions);
            let kernels = rows.start * weights..rows.end * weights;
            if let Some(dweight) = &mut dweight {
                self.im2col(&x[channels.clone()], &tile, unrolled);
                let unrolled = Matrix::new(unrolled, weights, columns, columns).transposed();
                product(dy, unrolled, &mut dweight[kernels.clone()], weights, true);
            }
            if let Some(dimage) = &mut dimage {
                let kernels = Matrix::new(&weight[kernels], rows.len(), weights, weights);
                product(kernels.transposed(), dy, unrolled, columns, false);
                self.col2im(unrolled, &tile, &mut dimage[channels]);
            }
        });
    }
}

/// Computes the gradient through a ReLU with results `y`.
fn through_relu<T: Real>(dy: &[T], y: &[T], result: &mut [T]) {
    vectorized(
        #[inline(always)]
        || {
            for (result, (&g, &y)) in result.iter_mut().zip(dy.iter().zip(y)) {
                *result = relu_grad(y, g);
            }
        },
    );
}

/// Input, weight, result and the result's gradient.
type Operands<'a, T> = (&'a [T], &'a [T], &'a [T], &'a [T]);

/// The gradients needed among those that are sums over the batch.
#[derive(Clone, Copy)]
struct Needed {
    weight: bool,
    bias: bool,
}
