//! The same numbers in another type.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::graph::Differentiable;
use super::tape::record;

/// `x` in the type `dtype`; `x` itself where it has that type. The gradient comes back in the type of `x`.
///
/// # Errors
/// When the device fails, or has no such type.
pub(crate) fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    let y = x.to_dtype(dtype)?;
    record(Arc::new(Cast), vec![x.clone()], &y);
    Ok(y)
}

/// The change of type. Candle's graph has it by itself.
struct Cast;

impl Differentiable for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        inputs.iter().map(|x| dy.to_dtype(x.dtype()).map(Some)).collect()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::super::testing::{gradients, numbers, to_vec};
    use super::super::{Tape, linear};
    use super::*;

    #[test]
    fn the_gradient_of_a_cast_is_in_the_type_of_its_input_along_the_tape_and_in_candles_graph() {
        let weight = numbers(&[2, 3], 1).to_dtype(DType::F32).unwrap();
        let weight = Var::from_tensor(&weight).unwrap();
        let x = numbers(&[4, 3], 2);
        let (y, tape) = Tape::record(|| linear(&x, &cast(&weight, DType::F64).unwrap(), None).unwrap());
        assert_eq!(y.dtype(), DType::F64);
        let on_tape = tape.gradients(&y, y.ones_like().unwrap()).unwrap().expect("a cast is on the tape");
        let gradient = &on_tape[&weight.id()];
        assert_eq!(gradient.dtype(), DType::F32);
        let store = y.backward().unwrap();
        assert_eq!(to_vec(gradient), to_vec(store.get(&weight).unwrap()));
        let in_f64 = gradients(&[&x, &weight.to_dtype(DType::F64).unwrap()], |x| linear(&x[0], &x[1], None));
        assert_eq!(in_f64[1].dims(), gradient.dims());
    }

    #[test]
    fn nothing_happens_to_a_tensor_of_the_type() {
        let x = numbers(&[2], 1);
        assert_eq!(cast(&x, DType::F64).unwrap().id(), x.id());
    }
}
