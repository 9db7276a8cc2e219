//! Activation checkpointing: a stretch of a model whose inner results are not kept, but computed again for its
//! gradients. Chen et al., "Training deep nets with sublinear memory cost", 2016.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, Layout, MetalStorage, Result, Shape, Storage, Tensor, Var, bail,
};

use super::tape::{Tape, apply2};

/// `segment(x)`, of which only `x` and the result are kept. The backward pass runs `segment` again, and so holds the
/// inner results of one segment at a time.
///
/// `segment` is a pure function of `x` and of `parameters`, which are all that it uses of what is trained; dropout in
/// it comes from counters, and so is the same the second time. Result and gradients are the bits of `segment` itself.
///
/// # Errors
/// Those of `segment`, here and in the backward pass.
pub fn checkpoint<F>(x: &Tensor, parameters: Vec<Var>, segment: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
{
    // A tape would keep the inner results that are to be let go here.
    let result = Tape::pause(|| segment(&x.detach()))?.detach().contiguous()?;
    // The graph has no place for many inputs. They become a chain of zeros, each of which passes a gradient on.
    let slots: Vec<Slot> = parameters.iter().map(|_| Slot::default()).collect();
    let mut chain = Tensor::zeros((), x.dtype(), x.device())?;
    for (parameter, slot) in parameters.iter().zip(&slots) {
        chain = apply2(&chain, parameter, Arrival(slot.clone()))?;
    }
    apply2(x, &chain, Segment { segment, parameters, slots, result: Mutex::new(Some(result)) })
}

/// The gradient of a parameter on its way from a segment's backward pass to the parameter's own place in the graph.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Tensor>>>);

impl Slot {
    fn put(&self, gradient: Option<Tensor>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gradient;
    }

    fn take(&self) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A zero in place of the chain so far and of a parameter, whose gradient waits in the slot.
struct Arrival(Slot);

impl CustomOp2 for Arrival {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn cpu_fwd(&self, chain: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        zero(chain)
    }

    fn cuda_fwd(&self, chain: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        zero(chain)
    }

    fn metal_fwd(
        &self,
        chain: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        zero(chain)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, zero: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(zero.clone()), self.0.take()))
    }
}

/// A zero on the device of `like`.
fn zero<S: BackendStorage>(like: &S) -> Result<(S, Shape)>
where
    S::Device: BackendDevice<Storage = S>,
{
    let shape = Shape::from(());
    Ok((like.device().zeros_impl(&shape, like.dtype())?, shape))
}

struct Segment<F> {
    segment: F,
    parameters: Vec<Var>,
    slots: Vec<Slot>,
    /// The result, from its computation to the forward pass of this operation.
    result: Mutex<Option<Tensor>>,
}

impl<F> Segment<F> {
    fn take_result<S>(&self, copy: impl FnOnce(&Storage, &Layout) -> Result<S>) -> Result<(S, Shape)> {
        let Some(result) = self.result.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("a segment runs forward once");
        };
        let (storage, layout) = result.storage_and_layout();
        if layout.start_offset() != 0 {
            bail!("the result of a segment is part of another tensor");
        }
        Ok((copy(&storage, layout)?, layout.shape().clone()))
    }
}

impl<F: Fn(&Tensor) -> Result<Tensor>> CustomOp2 for Segment<F> {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.take_result(|storage, layout| match storage {
            Storage::Cpu(storage) => storage.try_clone(layout),
            _ => bail!("a segment stays on its device"),
        })
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.take_result(|storage, layout| match storage {
            Storage::Cuda(storage) => storage.try_clone(layout),
            _ => bail!("a segment stays on its device"),
        })
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.take_result(|storage, layout| match storage {
            Storage::Metal(storage) => storage.try_clone(layout),
            _ => bail!("a segment stays on its device"),
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        chain: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let start = Var::from_tensor(&x.detach())?;
        let (result, tape) = Tape::record(|| (self.segment)(start.as_tensor()));
        let result = result?;
        let wanted = self.parameters.iter().chain([&start]);
        let mut found: Vec<Option<Tensor>> = if tape.leads_to(&result) {
            let mut gradients = tape.gradients(result, gradient.clone())?;
            wanted.map(|var| gradients.remove(&var.id())).collect()
        } else {
            let mut store = result.apply_op1(Departure(gradient.clone()))?.backward()?;
            wanted.map(|var| store.remove(var)).collect()
        };
        let of_start = found.pop().flatten();
        self.slots.iter().zip(found).for_each(|(slot, gradient)| slot.put(gradient));
        Ok((of_start, Some(chain.zeros_like()?)))
    }
}

/// A zero whose backward pass begins with a gradient that is known.
struct Departure(Tensor);

impl CustomOp1 for Departure {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn cpu_fwd(&self, x: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        zero(x)
    }

    fn cuda_fwd(&self, x: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        zero(x)
    }

    fn metal_fwd(&self, x: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        zero(x)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::testing::{numbers, to_vec};
    use crate::ops::{dropout::dropout, gelu, linear};
    use crate::rng::Draws;

    fn var(shape: &[usize], seed: u64) -> Var {
        Var::from_tensor(&numbers(shape, seed).to_dtype(DType::F32).unwrap()).unwrap()
    }

    fn segment(x: &Tensor, weight: &Var) -> Result<Tensor> {
        dropout(&gelu(&linear(x, weight, None)?)?, 0.4, &Draws::at(1, 2), "segment")
    }

    #[test]
    fn segments_computed_again_give_the_same_bits() {
        let (x, weights) = (var(&[6, 4], 1), [var(&[4, 4], 2), var(&[4, 4], 3)]);
        let results = [false, true].map(|again| {
            let mut y = x.as_tensor().clone();
            for weight in weights.clone() {
                y = match again {
                    true => checkpoint(&y, vec![weight.clone()], move |x| segment(x, &weight)).unwrap(),
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
    fn a_tape_holds_a_segment_and_nothing_of_its_inside() {
        let (x, weight) = (var(&[6, 4], 1), var(&[4, 4], 2));
        let (parameter, start) = (weight.clone(), x.as_tensor().clone());
        let inside = Tape::record(|| segment(&start, &weight).unwrap()).1;
        let again = move |x: &Tensor| segment(x, &weight);
        let (y, tape) = Tape::record(|| checkpoint(&start, vec![parameter.clone()], again).unwrap());
        // The segment, and the arrival of its parameter.
        assert_eq!((inside.len(), tape.len()), (3, 2));
        assert!(tape.leads_to(&y));
        let gradients = tape.gradients(y.clone(), y.ones_like().unwrap()).unwrap();
        let store = y.backward().unwrap();
        for var in [&x, &parameter] {
            assert_eq!(to_vec(&gradients[&var.id()]), to_vec(store.get(var).unwrap()));
        }
    }

    #[test]
    fn a_parameter_that_the_segment_does_not_use_gets_no_gradient() {
        let (x, used, unused) = (var(&[2, 4], 1), var(&[4, 4], 2), var(&[3], 3));
        let weight = used.clone();
        let y = checkpoint(&x, vec![used.clone(), unused.clone()], move |x| linear(x, &weight, None)).unwrap();
        let store = y.sum_all().unwrap().backward().unwrap();
        assert!(store.get(&used).is_some() && store.get(&unused).is_none());
    }

    #[test]
    fn parameters_may_be_of_several_types_or_none() {
        let (x, single, double) = (var(&[2, 4], 1), var(&[4, 4], 2), Var::from_tensor(&numbers(&[4], 3)).unwrap());
        let (weight, shift) = (single.clone(), double.clone());
        let segment = move |x: &Tensor| linear(x, &weight, None)?.broadcast_add(&shift.to_dtype(DType::F32)?);
        let plain = segment(&x).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let y = checkpoint(&x, vec![single.clone(), double.clone()], segment).unwrap();
        let again = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for var in [&x, &single, &double] {
            assert_eq!(to_vec(again.get(var).unwrap()), to_vec(plain.get(var).unwrap()));
        }
        let y = checkpoint(&x, vec![], |x| x.sqr()).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(to_vec(y.get(&x).unwrap()), to_vec(&(x.as_tensor() * 2.0).unwrap()));
    }

    #[test]
    fn an_error_in_the_second_run_is_that_of_the_backward_pass() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let failing = move |x: &Tensor| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Ok(x.clone()),
            _ => bail!("no memory left"),
        };
        let x = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
        let y = checkpoint(&x, vec![var(&[1], 1)], failing).unwrap();
        assert!(y.sum_all().unwrap().backward().unwrap_err().to_string().contains("no memory left"));
    }
}
