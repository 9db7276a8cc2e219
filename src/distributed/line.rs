//! Tensors as one line of numbers: the numbers of one after those of the other.

use std::ops::Range;
use std::slice::Iter;

use candle_core::{Device, Storage, Tensor};

use crate::cpu::Real;

/// The numbers of some tensors, one after the other.
pub(super) struct Line<'a, T: Real> {
    tensors: Vec<(usize, Numbers<'a, T>)>,
}

/// The numbers of a tensor, in its memory or copied from its device.
enum Numbers<'a, T> {
    Here(&'a Tensor, Range<usize>),
    Copied(Vec<T>),
}

impl<'a, T: Real> Line<'a, T> {
    pub fn of(tensors: &'a [Tensor]) -> candle_core::Result<Self> {
        let mut start = 0;
        let line = tensors.iter().map(|tensor| {
            let numbers = match tensor.layout().contiguous_offsets() {
                Some((start, end)) if tensor.device().is_cpu() => Numbers::Here(tensor, start..end),
                _ => Numbers::Copied(tensor.flatten_all()?.to_vec1::<T>()?),
            };
            start += tensor.elem_count();
            Ok((start - tensor.elem_count(), numbers))
        });
        Ok(Self { tensors: line.collect::<candle_core::Result<_>>()? })
    }

    /// Copies the numbers at these places of the line.
    pub fn copy(&self, places: Range<usize>, to: &mut [T]) -> candle_core::Result<()> {
        let first = self.tensors.partition_point(|(start, _)| *start <= places.start).saturating_sub(1);
        for (start, numbers) in self.tensors[first..].iter().take_while(|(start, _)| *start < places.end) {
            let mut copy = |numbers: &[T]| {
                let (from, until) = (places.start.max(*start), places.end.min(start + numbers.len()));
                if from < until {
                    let to = &mut to[from - places.start..until - places.start];
                    to.copy_from_slice(&numbers[from - start..until - start]);
                }
            };
            match numbers {
                Numbers::Copied(numbers) => copy(numbers),
                Numbers::Here(tensor, place) => {
                    if let Storage::Cpu(storage) = &*tensor.storage_and_layout().0 {
                        copy(&T::cpu_storage_as_slice(storage)?[place.clone()]);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Tensors that are made of the numbers of a line, as these come.
pub(super) struct Made<'a, T> {
    /// The tensors that are not begun, whose shapes and devices the new ones get.
    rest: Iter<'a, &'a Tensor>,
    /// The tensor that is begun, with the numbers that have come.
    begun: Option<(&'a Tensor, Vec<T>)>,
    tensors: Vec<Tensor>,
}

impl<'a, T: Real> Made<'a, T> {
    pub fn new(like: &'a [&'a Tensor]) -> Self {
        Self { rest: like.iter(), begun: None, tensors: Vec::with_capacity(like.len()) }
    }

    /// Takes the next numbers of the line.
    pub fn take(&mut self, mut numbers: &[T]) -> candle_core::Result<()> {
        while !numbers.is_empty()
            && let Some((like, mut begun)) = self.begun.take().or_else(|| self.begin())
        {
            let missing = like.elem_count() - begun.len();
            let (of_tensor, after) = numbers.split_at(missing.min(numbers.len()));
            begun.extend_from_slice(of_tensor);
            numbers = after;
            if begun.len() < like.elem_count() {
                self.begun = Some((like, begun));
            } else {
                self.tensors.push(Tensor::from_vec(begun, like.shape(), &Device::Cpu)?.to_device(like.device())?);
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Option<(&'a Tensor, Vec<T>)> {
        self.rest.next().map(|like| (*like, Vec::with_capacity(like.elem_count())))
    }

    /// Returns the tensors; those that are not begun have no numbers.
    pub fn finish(mut self) -> candle_core::Result<Vec<Tensor>> {
        for empty in self.rest {
            self.tensors.push(empty.zeros_like()?);
        }
        Ok(self.tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tensor may come in several pieces, and a piece may have several tensors, some of them empty.
    #[test]
    fn tensors_are_made_of_pieces_of_any_length() {
        let of = |from: f32, shape: &[usize]| {
            let len: usize = shape.iter().product();
            Tensor::from_vec((0..len).map(|at| from + at as f32).collect(), shape, &Device::Cpu).unwrap()
        };
        let tensors = [of(0.0, &[2, 3]), of(6.0, &[0]), of(6.0, &[1]), of(7.0, &[4]), of(0.0, &[2, 0])];
        let line = Line::<f32>::of(&tensors).unwrap();
        for width in 1..12 {
            let like: Vec<&Tensor> = tensors.iter().collect();
            let mut made = Made::new(&like);
            for start in (0..11).step_by(width) {
                let mut piece = vec![f32::NAN; width.min(11 - start)];
                line.copy(start..start + piece.len(), &mut piece).unwrap();
                made.take(&piece).unwrap();
            }
            let made = made.finish().unwrap();
            assert_eq!(made.len(), tensors.len());
            for (made, tensor) in made.iter().zip(&tensors) {
                assert_eq!(made.shape(), tensor.shape());
                let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(numbers(made), numbers(tensor), "pieces of {width}");
            }
        }
    }
}
