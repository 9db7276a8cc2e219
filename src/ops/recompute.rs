//! Activation checkpointing: a segment of a model whose intermediate results are not stored but computed again in the
//! backward pass. Chen et al., "Training deep nets with sublinear memory cost", 2016.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, Var};

use super::graph::{Differentiable, attach, copy, in_graph};
use super::tape::{Tape, unrecorded};

/// Returns `segment(x)` and keeps only `x` and the result. The backward pass runs `segment` again, and so holds the
/// intermediate results of one segment at a time.
///
/// `segment` must be a pure function of `x` and `parameters`, which lists all trained variables that it uses. Dropout
/// in it comes from counters, so it is the same the second time. Result and gradients have the same bits as without
/// recomputation.
///
/// # Errors
/// Errors of `segment`, here and in the backward pass.
pub fn recompute<F>(x: &Tensor, parameters: Vec<Var>, segment: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
{
    // Neither the tape nor Candle's graph may hold the intermediate results.
    let result = unrecorded(|| segment(&x.detach()))?.detach();
    let inputs = std::iter::once(x).chain(parameters.iter().map(Var::as_tensor)).cloned().collect();
    attach(Arc::new(Segment { segment, parameters }), inputs, copy(&result)?, result.shape().clone())
}

/// Inputs: `x` and the parameters.
struct Segment<F> {
    segment: F,
    parameters: Vec<Var>,
}

impl<F: Fn(&Tensor) -> Result<Tensor> + Send + Sync> Differentiable for Segment<F> {
    fn name(&self) -> &'static str {
        "recompute"
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let start = Var::from_tensor(&inputs[0].detach())?;
        let (result, tape) = Tape::record(|| (self.segment)(start.as_tensor()));
        let result = result?;
        let wanted = std::iter::once(&start).chain(&self.parameters);
        if tape.covers(&result) {
            let mut gradients = tape.walk(result, dy.clone())?;
            return Ok(wanted.map(|var| gradients.remove(&var.id())).collect());
        }
        drop(tape);
        let mut store = ending(&result, dy)?.backward()?;
        Ok(wanted.map(|var| store.remove(var)).collect())
    }
}

/// Makes a zero from `result`; Candle's backward pass starts from it with the gradient `dy` of `result`.
fn ending(result: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let zero = copy(&Tensor::zeros((), result.dtype(), result.device())?)?;
    in_graph(Arc::new(Ending(dy.clone())), std::slice::from_ref(result), zero, Shape::from(()))
}

struct Ending(Tensor);

impl Differentiable for Ending {
    fn name(&self) -> &'static str {
        "end of a segment"
    }

    fn backward(&self, _: &[Tensor], _: &Tensor, _: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.0.clone())])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, bail};

    use super::*;
    use crate::ops::testing::{numbers, to_vec};
    use crate::ops::{dropout::dropout, gelu, linear};
    use crate::rng::StepRng;

    fn var(shape: &[usize], seed: u64) -> Var {
        Var::from_tensor(&numbers(shape, seed).to_dtype(DType::F32).unwrap()).unwrap()
    }

    fn segment(x: &Tensor, weight: &Var) -> Result<Tensor> {
        dropout(&gelu(&linear(x, weight, None)?)?, 0.4, &StepRng::at(1, 2), "segment")
    }

    #[test]
    fn segments_computed_again_give_the_same_bits() {
        let (x, weights) = (var(&[6, 4], 1), [var(&[4, 4], 2), var(&[4, 4], 3)]);
        let results = [false, true].map(|again| {
            let mut y = x.as_tensor().clone();
            for weight in weights.clone() {
                y = match again {
                    true => recompute(&y, vec![weight.clone()], move |x| segment(x, &weight)).unwrap(),
                    false => segment(&y, &weight).unwrap(),
                };
            }
            let store = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let gradients = [&x, &weights[0], &weights[1]].map(|var| to_vec(store.get(var).unwrap()));
            (to_vec(&y), gradients)
        });
        assert_eq!(results[0], results[1]);
    }

    #[test]
    fn a_parameter_that_the_segment_does_not_use_gets_no_gradient() {
        let (x, used, unused) = (var(&[2, 4], 1), var(&[4, 4], 2), var(&[3], 3));
        let weight = used.clone();
        let y = recompute(&x, vec![used.clone(), unused.clone()], move |x| linear(x, &weight, None)).unwrap();
        let store = y.sum_all().unwrap().backward().unwrap();
        assert!(store.get(&used).is_some() && store.get(&unused).is_none());
    }

    #[test]
    fn parameters_may_be_of_several_types_or_none() {
        let (x, single, double) = (var(&[2, 4], 1), var(&[4, 4], 2), Var::from_tensor(&numbers(&[4], 3)).unwrap());
        let (weight, shift) = (single.clone(), double.clone());
        let segment = move |x: &Tensor| linear(x, &weight, None)?.broadcast_add(&shift.to_dtype(DType::F32)?);
        let plain = segment(&x).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let y = recompute(&x, vec![single.clone(), double.clone()], segment).unwrap();
        let again = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for var in [&x, &single, &double] {
            assert_eq!(to_vec(again.get(var).unwrap()), to_vec(plain.get(var).unwrap()));
        }
        let y = recompute(&x, vec![], |x| x.sqr()).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(to_vec(y.get(&x).unwrap()), to_vec(&(x.as_tensor() * 2.0).unwrap()));
    }

    #[test]
    fn inputs_of_any_number_have_their_gradients_along_the_tape_and_in_candles_graph() {
        let x = var(&[2, 4], 1);
        for count in 0..5u64 {
            let weights: Vec<Var> = (0..count).map(|seed| var(&[4, 4], seed + 2)).collect();
            let inner = weights.clone();
            let segment =
                move |x: &Tensor| inner.iter().try_fold(x.clone(), |x, weight| gelu(&linear(&x, weight, None)?));
            let (y, tape) = Tape::record(|| recompute(&x, weights.clone(), segment.clone()).unwrap());
            let on_tape = tape.gradients(&y, y.ones_like().unwrap()).unwrap().expect("nothing but operations of ours");
            let in_graph = y.sum_all().unwrap().backward().unwrap();
            let plain = segment(&x).unwrap().sum_all().unwrap().backward().unwrap();
            for var in weights.iter().chain([&x]) {
                let expected = to_vec(plain.get(var).unwrap());
                assert_eq!(to_vec(&on_tape[&var.id()]), expected);
                assert_eq!(to_vec(in_graph.get(var).unwrap()), expected);
            }
        }
    }

    #[test]
    fn a_result_may_be_part_of_another_tensor_or_transposed() {
        let x = var(&[4, 6], 1);
        for part in [|x: &Tensor| x.narrow(0, 1, 2), |x: &Tensor| x.narrow(0, 0, 2), |x: &Tensor| x.t()] {
            let y = recompute(&x, vec![], part).unwrap();
            assert_eq!(y.dims(), part(&x).unwrap().dims());
            assert_eq!(to_vec(&y), to_vec(&part(&x).unwrap()));
            let gradients = y.sum_all().unwrap().backward().unwrap();
            let expected = part(&x).unwrap().sum_all().unwrap().backward().unwrap();
            assert_eq!(to_vec(gradients.get(&x).unwrap()), to_vec(expected.get(&x).unwrap()));
        }
    }

    #[test]
    fn inner_results_are_not_on_the_tape() {
        let (x, weight) = (var(&[2, 4], 1), var(&[4, 4], 2));
        let (parameters, inner) = (vec![weight.clone()], weight.clone());
        let (_, tape) = Tape::record(|| recompute(&x, parameters, move |x| segment(x, &inner)).unwrap());
        assert_eq!(tape.len(), 1);
        let (_, tape) = Tape::record(|| segment(&x, &weight).unwrap());
        assert_eq!(tape.len(), 3);
    }

    #[test]
    fn an_error_in_the_second_run_is_that_of_the_backward_pass() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let failing = move |x: &Tensor| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Ok(x.clone()),
            _ => bail!("no memory left"),
        };
        let x = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
        let y = recompute(&x, vec![var(&[1], 1)], failing).unwrap();
        assert!(y.sum_all().unwrap().backward().unwrap_err().to_string().contains("no memory left"));
    }
}
