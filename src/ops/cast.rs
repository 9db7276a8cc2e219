//! The same numbers in another type.

use std::sync::Arc;

use candle_core::{DType, Result, Storage, Tensor};

use super::graph::{Differentiable, attach};
use super::tape::record;
use super::widened::{convert, converts, tensor};
use crate::cpu;

/// `x` in the type `dtype`; `x` itself where it has that type. The gradient comes back in the type of `x`.
///
/// # Errors
/// When the device fails, or has no such type.
pub(crate) fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    if has_kernel(x, dtype) {
        let x = x.contiguous()?;
        let (y, shape) = (convert(&x, dtype)?, x.shape().clone());
        return attach(Arc::new(Cast), vec![x], Storage::Cpu(y), shape);
    }
    let y = x.to_dtype(dtype)?;
    record(Arc::new(Cast), vec![x.clone()], &y);
    Ok(y)
}

/// Whether our conversion is used in place of Candle's, which runs on one thread. The bits are the same.
fn has_kernel(x: &Tensor, dtype: DType) -> bool {
    x.device().is_cpu() && converts(x.dtype(), dtype) && cpu::has_kernels()
}

/// The change of type.
struct Cast;

/// `x` in another type, without a gradient.
fn converted(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if has_kernel(x, dtype) { tensor(convert(&x.contiguous()?, dtype)?, x.shape()) } else { x.to_dtype(dtype) }
}

impl Differentiable for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        inputs.iter().map(|x| converted(dy, x.dtype()).map(Some)).collect()
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
    fn a_cast_to_half_precision_has_candles_bits_and_its_gradient_comes_back() {
        // Enough for several tasks.
        let x = Var::from_tensor(&numbers(&[300, 200], 1).to_dtype(DType::F32).unwrap()).unwrap();
        for half in [DType::BF16, DType::F16] {
            for x in [x.as_tensor().clone(), x.t().unwrap()] {
                let y = cast(&x, half).unwrap();
                assert_eq!(to_vec(&y), to_vec(&x.to_dtype(half).unwrap()));
                let back = cast(&y, DType::F32).unwrap();
                assert_eq!((back.dtype(), to_vec(&back)), (DType::F32, to_vec(&y)));
            }
            let (y, tape) = Tape::record(|| cast(&cast(&x, half).unwrap(), DType::F32).unwrap());
            let gradient = numbers(&[300, 200], 2).to_dtype(DType::F32).unwrap();
            let on_tape = tape.gradients(&y, gradient.clone()).unwrap().expect("casts are on the tape");
            let expected = to_vec(&gradient.to_dtype(half).unwrap());
            assert_eq!(to_vec(&on_tape[&x.id()]), expected);
            let in_graph = (y * gradient).unwrap().sum_all().unwrap().backward().unwrap();
            assert_eq!(to_vec(in_graph.get(&x).unwrap()), expected);
        }
    }

    #[test]
    fn nothing_happens_to_a_tensor_of_the_type() {
        let x = numbers(&[2], 1);
        assert_eq!(cast(&x, DType::F64).unwrap().id(), x.id());
    }
}
