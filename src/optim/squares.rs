//! The sum of squares of each gradient.

use candle_core::{DType, Result, Tensor, WithDType};

use super::numbers::Numbers;
use crate::cpu;
use crate::cuda::{Group, Launch, Place, Tables};

/// Adds the sum of squares of each gradient to `numbers`, in order.
pub(super) fn add_squares(numbers: &mut Numbers, gradients: &[Tensor]) -> Result<()> {
    let mut launches = Vec::new();
    for gradient in gradients {
        let Some(place) = Place::of(gradient.device(), gradient.dtype()) else {
            add_one(numbers, gradient)?;
            continue;
        };
        Group::add(&mut launches, place, gradient, (numbers.reserve(), gradient));
    }
    launches.into_iter().try_for_each(|group| launch(group, numbers))
}

/// Where there is no slice to visit, the sum is left on the device until it is read.
fn add_one(numbers: &mut Numbers, gradient: &Tensor) -> Result<()> {
    match gradient.dtype() {
        DType::F32 if cpu::is_sliceable(gradient) => numbers.push(cpu::read::<f32, _>(gradient, sum)?),
        DType::F64 if cpu::is_sliceable(gradient) => numbers.push(cpu::read::<f64, _>(gradient, sum)?),
        DType::F64 => numbers.push_later(gradient.sqr()?.sum_all()?)?,
        _ => numbers.push_later(gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?)?,
    }
    Ok(())
}

fn sum<T: WithDType>(elements: &[T]) -> Result<f64> {
    Ok(cpu::sum_of_squares(elements))
}

/// Computes the sums of gradients of one type, for their positions among the numbers, by two launches.
fn launch(group: Group<(usize, &Tensor)>, numbers: &mut Numbers) -> Result<()> {
    let Group { place, dtype, device, members } = group;
    let (positions, gradients): (Vec<usize>, Vec<&Tensor>) = members.into_iter().unzip();
    let (count, lengths) = (gradients.len(), gradients.iter().map(|gradient| gradient.elem_count()).collect());
    let tables = Tables::of_lengths(lengths).addresses(&place, gradients.into_iter())?.upload(&device)?;
    let (parts, squares) = (place.output(DType::F64, tables.chunks)?, place.output(DType::F64, count)?);
    let launch = tables.add_all(Launch::new(&place, "squares_of_chunks", dtype))?.output(&parts)?;
    launch.rows(tables.chunks)?;
    let launch = tables.add_lengths(Launch::untyped(&place, "squares_of_tensors").output(&parts)?)?;
    launch.output(&squares)?.rows(count)?;
    numbers.fill_later(positions, squares.into_tensor());
    Ok(())
}
