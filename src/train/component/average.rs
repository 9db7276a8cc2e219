//! An average of weights beside the trained ones, moved in place: one pass over each tensor, on all threads, without
//! temporary tensors.

use candle_core::{DType, Result, Tensor, Var, WithDType};

use crate::cpu::{self, Element};
use crate::parameters::Parameters;

/// Returns copies of `weights`; those in half precision are widened to f32, in which an average can move by less than
/// half of the last digit.
pub(super) fn begun(weights: &Parameters) -> Result<Parameters> {
    let copy = |(name, weight): (&str, &Var)| {
        let dtype = if weight.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let copy = if weight.dtype() == dtype { weight.as_tensor().copy()? } else { weight.to_dtype(dtype)? };
        Ok((name.to_owned(), Var::from_tensor(&copy.detach())?))
    };
    weights.iter().map(copy).collect()
}

/// Sets an average to the weights of these names in `sources`.
pub(super) fn set(average: &Parameters, sources: &[&Parameters]) -> Result<()> {
    pairs(average, sources).try_for_each(|(average, weight)| average.set(&weight.to_dtype(average.dtype())?))
}

/// Moves an average by the `share` of its distance to the weights of these names in `sources`, as `torch.lerp` does.
pub(super) fn move_towards(average: &Parameters, sources: &[&Parameters], share: f64) -> Result<()> {
    for (average, weight) in pairs(average, sources) {
        let is_sliceable = cpu::is_sliceable(average) && cpu::is_sliceable(weight);
        match (average.dtype(), weight.dtype()) {
            (DType::F32, DType::F32) if is_sliceable => in_place::<f32>(average, weight, share)?,
            (DType::F64, DType::F64) if is_sliceable => in_place::<f64>(average, weight, share)?,
            _ => by_tensor(average, weight, share)?,
        }
    }
    Ok(())
}

fn pairs<'a>(average: &'a Parameters, sources: &'a [&Parameters]) -> impl Iterator<Item = (&'a Var, &'a Tensor)> {
    let find = |name: &str| sources.iter().find_map(|source| source.get(name));
    average.iter().filter_map(move |(name, average)| Some((average, find(name)?.as_tensor())))
}

fn in_place<T: Element>(average: &Var, weight: &Tensor, share: f64) -> Result<()> {
    let of = <T as WithDType>::from_f64;
    let (is_near, share, rest) = (share < 0.5, of(share), of(1.0 - share));
    cpu::update_in_place([average.as_tensor()], weight, |[average]: [&mut [T]; 1], weight| {
        let elements = average.iter_mut().zip(weight);
        if is_near {
            elements.for_each(|(average, &weight)| *average = *average + share * (weight - *average));
        } else {
            // From the other end, so that a share of 1 gives the weight itself.
            elements.for_each(|(average, &weight)| *average = weight - (weight - *average) * rest);
        }
    })
}

/// Makes the same move with tensor operations, for other types and devices.
fn by_tensor(average: &Var, weight: &Tensor, share: f64) -> Result<()> {
    let (own, weight) = (average.as_detached_tensor(), weight.detach().to_dtype(average.dtype())?);
    let distance = (&weight - &own)?;
    let moved = if share < 0.5 { own + (distance * share)? } else { weight - (distance * (1.0 - share))? };
    average.set(&moved?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn one(values: &[f32], dtype: DType) -> Parameters {
        let tensor = Tensor::new(values, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        [("a".to_owned(), Var::from_tensor(&tensor).unwrap())].into_iter().collect()
    }

    fn values(parameters: &Parameters) -> Vec<f32> {
        parameters.get("a").unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
    }

    /// The numbers are those of `torch.lerp` in f32.
    #[test]
    fn an_average_moves_as_torch_lerp_does_in_each_form() {
        for (share, expected) in [(0.1_f64, [1.1_f32, -1.0, 0.3]), (0.75, [1.75, 5.5, 2.25]), (1.0, [2.0, 8.0, 3.0])] {
            let (average, weights) = (one(&[1.0, -2.0, 0.0], DType::F32), one(&[2.0, 8.0, 3.0], DType::F32));
            move_towards(&average, &[&weights], share).unwrap();
            assert_eq!(values(&average), expected, "share {share}");
            let by_operations = one(&[1.0, -2.0, 0.0], DType::F32);
            by_tensor(by_operations.get("a").unwrap(), weights.get("a").unwrap(), share).unwrap();
            assert_eq!(values(&by_operations), expected, "share {share}");
        }
    }

    #[test]
    fn an_average_of_half_precision_is_kept_in_f32() {
        let weights = one(&[1.0, 2.0], DType::BF16);
        let average = begun(&weights).unwrap();
        assert_eq!(average.get("a").unwrap().dtype(), DType::F32);
        weights.get("a").unwrap().set(one(&[2.0, 4.0], DType::BF16).get("a").unwrap()).unwrap();
        move_towards(&average, &[&weights], 0.001).unwrap();
        // Next to 1, bf16 has no number closer than 1.0078.
        assert_eq!(values(&average), [1.001, 2.002]);
        set(&average, &[&weights]).unwrap();
        assert_eq!(values(&average), [2.0, 4.0]);
    }
}
