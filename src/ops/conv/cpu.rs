//! Forward and backward passes of a convolution on the CPU, image by image.

use std::mem::MaybeUninit;
use std::ops::Range;

use num_traits::Zero;

use super::direct;
use super::geometry::Geometry;
use crate::cpu::{self, filled, total, vectorized};
use crate::ops::bf16::Stored;
use crate::ops::gemm::Matrix;

impl Geometry {
    pub fn convolve<T: Stored>(&self, x: &[T], weight: &[T], bias: Option<&[T::Sum]>) -> Vec<T> {
        match self.is_direct(T::DTYPE) {
            true => direct::convolve(self, x, weight, bias),
            false => self.convolve_unrolled(x, weight, bias),
        }
    }

    pub fn convolve_unrolled<T: Stored>(&self, x: &[T], weight: &[T], bias: Option<&[T::Sum]>) -> Vec<T> {
        let mut y = vec![T::zero(); self.batch * self.output_len()];
        let part = self.part();
        cpu::for_chunks(&mut y, part * self.output_len(), usize::MAX, |number, y| {
            let x = &x[number * part * self.input_len()..];
            let images = y.chunks_exact_mut(self.output_len()).zip(x.chunks_exact(self.input_len()));
            cpu::with_scratch(self.unrolled_len(), |unrolled| {
                images.for_each(|(y, x)| self.convolve_image(x, weight, bias, y, unrolled));
            });
        });
        y
    }

    fn convolve_image<T: Stored>(
        &self,
        x: &[T],
        weight: &[T],
        bias: Option<&[T::Sum]>,
        y: &mut [T],
        unrolled: &mut [T],
    ) {
        let (positions, weights) = (self.positions(), self.weights());
        self.blocks(|channels, rows, start, tile| {
            let columns = tile.len() * self.output[2];
            let unrolled = &mut unrolled[..weights * columns];
            self.im2col(&x[channels], &tile, unrolled);
            let kernels = Matrix::new(&weight[rows.start * weights..], rows.len(), weights, weights);
            let (unrolled, bias) = (Matrix::new(unrolled, weights, columns, columns), bias.map(|bias| &bias[rows]));
            T::product_finished(kernels, unrolled, &mut y[start..], positions, bias, self.options.relu);
        });
    }

    /// Computes the gradients of input, weight and bias; empty if not needed.
    pub fn gradients<T: Stored>(&self, operands: Operands<'_, T>, needed: Needed) -> Gradients<T> {
        let (x, weight, ..) = operands;
        let direct = self.is_direct(T::DTYPE).then(|| direct::Gradients::new(self, x, weight, needed)).flatten();
        self.gradients_by(direct.as_ref(), operands, needed)
    }

    /// [`Geometry::gradients`] by `direct`, or with unrolled images.
    pub fn gradients_by<T: Stored>(
        &self,
        direct: Option<&direct::Gradients>,
        operands: Operands<'_, T>,
        needed: Needed,
    ) -> Gradients<T> {
        let (x, weight, ..) = operands;
        let part = self.part();
        let mut sums = Vec::new();
        let fill = |dx: &mut [MaybeUninit<T>]| {
            let mut parts: Vec<(&mut [MaybeUninit<T>], _)> =
                dx.chunks_mut(part * self.input_len()).map(|dx| (dx, None)).collect();
            parts.resize_with(self.batch.div_ceil(part), Default::default);
            cpu::for_chunks(&mut parts, 1, usize::MAX, |index, parts| {
                let images = index * part..((index + 1) * part).min(self.batch);
                for (dx, sums) in parts {
                    *sums = Some(self.gradients_of_part(images.clone(), operands, dx, needed, direct));
                }
            });
            sums.extend(parts.into_iter().filter_map(|(_, sums)| sums));
        };
        // SAFETY: the parts are those of all images, and all of each is written.
        let dx = unsafe { filled(if needed.x { x.len() } else { 0 }, fill) };
        let (dweight, dbias) = sums.into_iter().unzip();
        let weights = direct.map_or(weight.len(), direct::Gradients::sums);
        let mut dweight = total(dweight, if needed.weight { weights } else { 0 });
        if let Some(direct) = direct {
            dweight = direct.weights::<T>(&dweight);
        }
        (dx, dweight, total(dbias, if needed.bias { self.output[0] } else { 0 }))
    }

    /// Writes the input gradient of some images, and returns their contributions to the gradients of weight and bias.
    fn gradients_of_part<T: Stored>(
        &self,
        images: Range<usize>,
        (x, weight, y, dy): Operands<'_, T>,
        dx: &mut [MaybeUninit<T>],
        needed: Needed,
        direct: Option<&direct::Gradients>,
    ) -> (Vec<T::Sum>, Vec<T::Sum>) {
        let sums = |needed: bool, len: usize| vec![T::Sum::zero(); if needed { len } else { 0 }];
        let mut dweight = sums(needed.weight, direct.map_or(weight.len(), direct::Gradients::sums));
        let mut dbias = sums(needed.bias, self.output[0]);
        let mut through = vec![T::zero(); if self.options.relu { self.output_len() } else { 0 }];
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
                    for (bias, g) in dbias.iter_mut().zip(dy.chunks_exact(self.positions())) {
                        *bias += cpu::sum(g, T::load);
                    }
                },
            );
            let x = &x[image * self.input_len()..][..self.input_len()];
            let dimage = dimages.next().unwrap_or_default();
            match direct {
                Some(direct) => direct.of_image(x, dy, &mut dweight, dimage),
                None => self.unrolled_gradients(x, weight, dy, needed.weight.then_some(&mut dweight[..]), dimage),
            }
        }
        (dweight, dbias)
    }

    /// Adds an image's contribution to the gradient of the weight, and writes its own.
    fn unrolled_gradients<T: Stored>(
        &self,
        x: &[T],
        weight: &[T],
        dy: &[T],
        dweight: Option<&mut [T::Sum]>,
        dimage: &mut [MaybeUninit<T>],
    ) {
        cpu::with_scratch(self.unrolled_len(), |unrolled| {
            cpu::with_scratch(self.unrolled_len(), |dunrolled| {
                let unrolled = (unrolled, dunrolled);
                if dimage.is_empty() {
                    return self.gradients_of_image(x, weight, dy, dweight, None, unrolled);
                }
                dimage.fill(MaybeUninit::new(T::zero()));
                // SAFETY: its elements have just been written.
                let dimage = unsafe { std::slice::from_raw_parts_mut(dimage.as_mut_ptr().cast::<T>(), dimage.len()) };
                T::fill_with_sums(dimage, |dimage| {
                    self.gradients_of_image(x, weight, dy, dweight, Some(dimage), unrolled);
                });
            });
        });
    }

    fn gradients_of_image<T: Stored>(
        &self,
        x: &[T],
        weight: &[T],
        dy: &[T],
        mut dweight: Option<&mut [T::Sum]>,
        mut dimage: Option<&mut [T::Sum]>,
        (unrolled, dunrolled): (&mut [T], &mut [T::Sum]),
    ) {
        let (positions, weights) = (self.positions(), self.weights());
        self.blocks(|channels, rows, start, tile| {
            let columns = tile.len() * self.output[2];
            let dy = Matrix::new(&dy[start..], rows.len(), columns, positions);
            let kernels = rows.start * weights..rows.end * weights;
            if let Some(dweight) = &mut dweight {
                let unrolled = &mut unrolled[..weights * columns];
                self.im2col(&x[channels.clone()], &tile, unrolled);
                let unrolled = Matrix::new(unrolled, weights, columns, columns).transposed();
                T::product(dy, unrolled, &mut dweight[kernels.clone()], weights, true);
            }
            if let Some(dimage) = &mut dimage {
                let kernels = Matrix::new(&weight[kernels], rows.len(), weights, weights);
                let dunrolled = &mut dunrolled[..weights * columns];
                T::product(kernels.transposed(), dy, dunrolled, columns, false);
                self.col2im(dunrolled, &tile, &mut dimage[channels]);
            }
        });
    }
}

/// Computes the gradient through a ReLU with results `y`.
fn through_relu<T: Stored>(dy: &[T], y: &[T], result: &mut [T]) {
    vectorized(
        #[inline(always)]
        || {
            for (result, (&g, &y)) in result.iter_mut().zip(dy.iter().zip(y)) {
                *result = if y.load() <= T::Sum::zero() { T::zero() } else { g };
            }
        },
    );
}

/// Input, weight, result and the result's gradient.
pub(super) type Operands<'a, T> = (&'a [T], &'a [T], &'a [T], &'a [T]);

/// The gradients of input, weight and bias.
type Gradients<T> = (Vec<T>, Vec<<T as Stored>::Sum>, Vec<<T as Stored>::Sum>);

/// The gradients that are needed.
#[derive(Clone, Copy)]
pub(super) struct Needed {
    pub x: bool,
    pub weight: bool,
    pub bias: bool,
}
