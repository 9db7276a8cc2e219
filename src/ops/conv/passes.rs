//! The forward and the backward pass of a convolution, image by image.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::ops::cpu::{self, total, vectorized};
use crate::ops::gemm::{Matrix, product};
use crate::ops::math::Real;
use crate::ops::pointwise::{relu_grad, relu_value};

impl Geometry {
    pub fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let mut y = vec![T::zero(); self.batch * self.output_len()];
        let part = self.part();
        let parts = y.par_chunks_mut(part * self.output_len()).zip(x.par_chunks(part * self.input_len()));
        parts.for_each(|(y, x)| {
            let mut unrolled = vec![T::zero(); self.unrolled_len()];
            let images = y.chunks_exact_mut(self.output_len()).zip(x.chunks_exact(self.input_len()));
            images.for_each(|(y, x)| self.forward_image(x, weight, bias, y, &mut unrolled));
        });
        y
    }

    fn forward_image<T: Real>(&self, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T], unrolled: &mut [T]) {
        let (positions, weights) = (self.positions(), self.weights());
        self.blocks(|channels, rows, start, tile| {
            let columns = tile.len() * self.output[2];
            let unrolled = &mut unrolled[..weights * columns];
            self.unroll(&x[channels], &tile, unrolled);
            let kernels = Matrix::new(&weight[rows.start * weights..], rows.len(), weights, weights);
            let y = &mut y[start..];
            product(kernels, Matrix::new(unrolled, weights, columns, columns), y, positions, false);
            for (row, y) in rows.zip(y.chunks_mut(positions)) {
                self.finish(&mut y[..columns], bias.map(|bias| bias[row]));
            }
        });
    }

    /// What follows the products.
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

    /// The gradients of input, weight and bias where they are `wanted`.
    pub fn backward<T: Real>(&self, operands: Operands<'_, T>, wanted: Wanted) -> Gradients<T> {
        let (x, weight, ..) = operands;
        let part = self.part();
        let mut of_input = vec![T::zero(); if wanted.input { x.len() } else { 0 }];
        let mut parts: Vec<&mut [T]> = of_input.chunks_mut(part * self.input_len()).collect();
        parts.resize_with(self.batch.div_ceil(part), Default::default);
        let partial_sums = parts.into_par_iter().enumerate().map(|(index, of_input)| {
            let images = index * part..((index + 1) * part).min(self.batch);
            self.backward_part(images, operands, of_input, wanted)
        });
        let (of_weight, of_bias) = partial_sums.collect();
        let lengths = [(wanted.weight, weight.len()), (wanted.bias, self.output[0])];
        let [weights, biases] = lengths.map(|(wanted, len)| if wanted { len } else { 0 });
        Gradients { input: of_input, weight: total(of_weight, weights), bias: total(of_bias, biases) }
    }

    /// Writes the gradient of some images; what they add to those of weight and bias is the result.
    fn backward_part<T: Real>(
        &self,
        images: Range<usize>,
        (x, weight, y, gradient): Operands<'_, T>,
        of_input: &mut [T],
        wanted: Wanted,
    ) -> (Vec<T>, Vec<T>) {
        let zeros = |wanted: bool, len: usize| vec![T::zero(); if wanted { len } else { 0 }];
        let mut of_weight = zeros(wanted.weight, weight.len());
        let mut of_bias = zeros(wanted.bias, self.output[0]);
        let mut rectified = zeros(self.options.relu, self.output_len());
        let mut unrolled = zeros(true, self.unrolled_len());
        let mut of_images = of_input.chunks_exact_mut(self.input_len());
        for image in images {
            let outputs = image * self.output_len()..(image + 1) * self.output_len();
            let mut gradient = &gradient[outputs.clone()];
            if self.options.relu {
                pass(gradient, &y[outputs], &mut rectified);
                gradient = &rectified;
            }
            vectorized(
                #[inline(always)]
                || {
                    let channels = of_bias.iter_mut().zip(gradient.chunks_exact(self.positions()));
                    channels.for_each(|(bias, g)| *bias += cpu::sum(g, |g| g));
                },
            );
            let of_weight = wanted.weight.then_some(&mut of_weight[..]);
            let x = &x[image * self.input_len()..][..self.input_len()];
            self.backward_image(x, weight, gradient, of_weight, of_images.next(), &mut unrolled);
        }
        (of_weight, of_bias)
    }

    fn backward_image<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        gradient: &[T],
        mut of_weight: Option<&mut [T]>,
        mut of_image: Option<&mut [T]>,
        unrolled: &mut [T],
    ) {
        let (positions, weights) = (self.positions(), self.weights());
        self.blocks(|channels, rows, start, tile| {
            let columns = tile.len() * self.output[2];
            let unrolled = &mut unrolled[..weights * columns];
            let gradient = Matrix::new(&gradient[start..], rows.len(), columns, positions);
            let kernels = rows.start * weights..rows.end * weights;
            if let Some(of_weight) = &mut of_weight {
                self.unroll(&x[channels.clone()], &tile, unrolled);
                let unrolled = Matrix::new(unrolled, weights, columns, columns).transposed();
                product(gradient, unrolled, &mut of_weight[kernels.clone()], weights, true);
            }
            if let Some(of_image) = &mut of_image {
                let kernels = Matrix::new(&weight[kernels], rows.len(), weights, weights);
                product(kernels.transposed(), gradient, unrolled, columns, false);
                self.roll_up(unrolled, &tile, &mut of_image[channels]);
            }
        });
    }
}

/// The gradient that passes through a rectifier whose results are `y`.
fn pass<T: Real>(gradient: &[T], y: &[T], result: &mut [T]) {
    vectorized(
        #[inline(always)]
        || {
            for (result, (&g, &y)) in result.iter_mut().zip(gradient.iter().zip(y)) {
                *result = relu_grad(y, g);
            }
        },
    );
}

/// Input, weight, result and the result's gradient.
pub(super) type Operands<'a, T> = (&'a [T], &'a [T], &'a [T], &'a [T]);

/// Which gradients somebody needs.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub input: bool,
    pub weight: bool,
    pub bias: bool,
}

pub(super) struct Gradients<T> {
    pub input: Vec<T>,
    pub weight: Vec<T>,
    pub bias: Vec<T>,
}
