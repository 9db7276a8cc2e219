//! The operations of one forward pass in their order, along which gradients travel back.
//!
//! Candle's `backward` makes zeros and an addition for every edge of its graph. Where a loss depends on its parameters
//! through operations of this crate alone, following this list instead gives the same gradients for less: the first one
//! that reaches a tensor is moved there, and only a second one is added. Operations are applied with [`apply1`],
//! [`apply2`] and [`apply3`], which tell Candle's graph as well, so a loop that calls `backward` itself loses nothing.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use candle_core::{CustomOp1, CustomOp2, CustomOp3, Result, Tensor, TensorId};

thread_local! {
    /// What is recorded on this thread, where anything is.
    static RECORDING: RefCell<Option<Vec<Node>>> = const { RefCell::new(None) };
}

/// The operations of a forward pass.
///
/// ```
/// # use candle_core::{DType, Device, Tensor, Var};
/// # use rekindle::{ops::{self, Tape, loss}, optim::Gradients, parameters::Parameters};
/// # let weight = Var::ones((1, 3), DType::F32, &Device::Cpu)?;
/// # let parameters: Parameters = [("weight".to_owned(), weight.clone())].into_iter().collect();
/// # let (x, y) = (Tensor::ones((5, 3), DType::F32, &Device::Cpu)?, Tensor::zeros((5, 1), DType::F32, &Device::Cpu)?);
/// let (loss, tape) = Tape::record(|| loss::mean_squared_error(&ops::linear(&x, &weight, None)?, &y));
/// let gradients = Gradients::along(tape, &loss?, 1.0, &parameters)?;
/// # assert_eq!(gradients.norm(), 108f64.sqrt());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Tape(Vec<Node>);

/// An operation that was applied, and its result.
struct Node {
    operation: Operation,
    output: Tensor,
}

enum Operation {
    Reshape(Tensor),
    One(Arc<Box<dyn CustomOp1 + Send + Sync>>, Tensor),
    Two(Arc<Box<dyn CustomOp2 + Send + Sync>>, [Tensor; 2]),
    Three(Arc<Box<dyn CustomOp3 + Send + Sync>>, [Tensor; 3]),
}

impl Tape {
    /// Calls `forward`, and gives its result with the operations of this crate that it has applied on this thread.
    pub fn record<R>(forward: impl FnOnce() -> R) -> (R, Self) {
        // Restored even when `forward` panics, so that no later pass is recorded behind this one.
        let outer = Restore(RECORDING.replace(Some(Vec::new())));
        let result = forward();
        let nodes = RECORDING.take().unwrap_or_default();
        drop(outer);
        (result, Self(nodes))
    }

    /// Calls `forward`, whose operations are left out of the tape of this thread.
    pub(crate) fn pause<R>(forward: impl FnOnce() -> R) -> R {
        let _outer = Restore(RECORDING.replace(None));
        forward()
    }

    /// The gradients that `gradient` of `output` gives the tensors that `output` was made from, all of them on the
    /// tape ([`Tape::leads_to`]). An `output` that is given away, and not lent, lets each tensor go once it is done.
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn gradients(
        mut self,
        output: impl Borrow<Tensor>,
        gradient: Tensor,
    ) -> Result<HashMap<TensorId, Tensor>> {
        let mut gradients = HashMap::from([(output.borrow().id(), gradient)]);
        // Candle's graph behind it has all tensors.
        drop(output);
        // Last first, and each is let go with its tensors as soon as it is done.
        while let Some(Node { operation, output }) = self.0.pop() {
            let Some(gradient) = gradients.remove(&output.id()) else { continue };
            for (input, gradient) in operation.backward(&output, &gradient)? {
                add(&mut gradients, &input, gradient.detach())?;
            }
        }
        Ok(gradients)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every path to `output` is on the tape from the variable where it begins.
    pub(crate) fn leads_to(&self, output: &Tensor) -> bool {
        let mut known = HashSet::with_capacity(self.0.len());
        let inputs_are_known = self.0.iter().all(|node| {
            let inputs = node.operation.inputs();
            let all = inputs.iter().all(|x| !x.track_op() || x.is_variable() || known.contains(&x.id()));
            known.insert(node.output.id());
            all
        });
        inputs_are_known && known.contains(&output.id())
    }
}

fn add(gradients: &mut HashMap<TensorId, Tensor>, to: &Tensor, gradient: Tensor) -> Result<()> {
    if to.track_op() {
        let sum = match gradients.remove(&to.id()) {
            Some(earlier) => super::pointwise::sum(&earlier, &gradient)?,
            None => gradient,
        };
        gradients.insert(to.id(), sum);
    }
    Ok(())
}

/// Puts back what was recorded outside.
struct Restore(Option<Vec<Node>>);

impl Drop for Restore {
    fn drop(&mut self) {
        RECORDING.set(self.0.take());
    }
}

impl Operation {
    fn inputs(&self) -> &[Tensor] {
        match self {
            Self::Reshape(x) | Self::One(_, x) => std::slice::from_ref(x),
            Self::Two(_, inputs) => inputs,
            Self::Three(_, inputs) => inputs,
        }
    }

    /// Each input with its gradient, where it has one.
    fn backward(self, output: &Tensor, gradient: &Tensor) -> Result<impl Iterator<Item = (Tensor, Tensor)>> {
        let pairs = match self {
            Self::Reshape(x) => {
                let of_x = gradient.reshape(x.shape())?;
                [Some((x, Some(of_x))), None, None]
            }
            Self::One(operation, x) => {
                let of_x = operation.bwd(&x, output, gradient)?;
                [Some((x, of_x)), None, None]
            }
            Self::Two(operation, [x, y]) => {
                let (of_x, of_y) = operation.bwd(&x, &y, output, gradient)?;
                [Some((x, of_x)), Some((y, of_y)), None]
            }
            Self::Three(operation, [x, y, z]) => {
                let (of_x, of_y, of_z) = operation.bwd(&x, &y, &z, output, gradient)?;
                [Some((x, of_x)), Some((y, of_y)), Some((z, of_z))]
            }
        };
        Ok(pairs.into_iter().flatten().filter_map(|(input, gradient)| Some((input, gradient?))))
    }
}

/// Puts an operation on the tape where there is one and its result depends on a variable.
fn note(output: Tensor, operation: impl FnOnce() -> Operation) -> Tensor {
    if output.track_op() {
        RECORDING.with_borrow_mut(|nodes| {
            if let Some(nodes) = nodes {
                nodes.push(Node { operation: operation(), output: output.clone() });
            }
        });
    }
    output
}

/// `x` `[rows, …]` as `[rows, width]`.
pub(crate) fn flatten(x: &Tensor) -> Result<Tensor> {
    Ok(note(x.flatten_from(1)?, || Operation::Reshape(x.clone())))
}

/// Applies an operation of one tensor.
pub(crate) fn apply1(x: &Tensor, operation: impl CustomOp1 + Send + Sync + 'static) -> Result<Tensor> {
    let operation: Arc<Box<dyn CustomOp1 + Send + Sync>> = Arc::new(Box::new(operation));
    Ok(note(x.apply_op1_arc(Arc::clone(&operation))?, || Operation::One(operation, x.clone())))
}

/// Applies an operation of two tensors.
pub(crate) fn apply2(x: &Tensor, y: &Tensor, operation: impl CustomOp2 + Send + Sync + 'static) -> Result<Tensor> {
    let operation: Arc<Box<dyn CustomOp2 + Send + Sync>> = Arc::new(Box::new(operation));
    let output = x.apply_op2_arc(y, Arc::clone(&operation))?;
    Ok(note(output, || Operation::Two(operation, [x.clone(), y.clone()])))
}

/// Applies an operation of three tensors.
pub(crate) fn apply3(
    x: &Tensor,
    y: &Tensor,
    z: &Tensor,
    operation: impl CustomOp3 + Send + Sync + 'static,
) -> Result<Tensor> {
    let operation: Arc<Box<dyn CustomOp3 + Send + Sync>> = Arc::new(Box::new(operation));
    let output = x.apply_op3_arc(y, z, Arc::clone(&operation))?;
    Ok(note(output, || Operation::Three(operation, [x.clone(), y.clone(), z.clone()])))
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::sync::atomic::{AtomicBool, Ordering};

    use candle_core::backend::BackendStorage;
    use candle_core::{CpuStorage, Device, Layout, Shape, Var};

    use super::super::{linear, relu};
    use super::*;

    fn variable(shape: &[usize], start: f64) -> Var {
        let count = shape.iter().product::<usize>() as u32;
        let values: Vec<f64> = (0..count).map(|i| start + f64::from(i * 7 % 5) / 3.0 - 0.6).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// A loss that uses a weight twice and a hidden layer twice.
    fn loss(x: &Tensor, weight: &Var, bias: &Var) -> Result<Tensor> {
        let hidden = relu(&linear(x, weight, Some(bias))?)?;
        let again = linear(&flatten(&hidden)?, weight, Some(bias))?;
        super::super::loss::mean_squared_error(&again, &hidden)
    }

    #[test]
    fn gradients_are_those_of_candles_graph() {
        let (weight, bias) = (variable(&[3, 3], 0.1), variable(&[3], 0.3));
        let x = variable(&[4, 3], 0.2).as_detached_tensor();
        let (loss, tape) = Tape::record(|| loss(&x, &weight, &bias).unwrap());
        assert!(tape.leads_to(&loss));
        let gradients = tape.gradients(&loss, loss.ones_like().unwrap()).unwrap();
        let graph = loss.backward().unwrap();
        for variable in [&weight, &bias] {
            let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let (ours, candles) = (values(&gradients[&variable.id()]), values(graph.get(variable).unwrap()));
            // The order in which gradients are added may differ.
            assert!(ours.iter().zip(&candles).all(|(a, b)| (a - b).abs() < 1e-14), "{ours:?} {candles:?}");
            assert!(ours.iter().any(|gradient| *gradient != 0.0));
        }
        assert!(!gradients.contains_key(&x.id()));
    }

    #[test]
    fn a_foreign_operation_on_the_way_is_noticed() {
        let (weight, bias) = (variable(&[3, 3], 0.1), variable(&[3], 0.3));
        let x = variable(&[4, 3], 0.2).as_detached_tensor();
        let foreign = || loss(&x, &weight, &bias)?.sqr();
        let (loss, tape) = Tape::record(|| foreign().unwrap());
        assert!(!tape.leads_to(&loss));
        let on_the_way = || relu(&linear(&x, &weight, Some(&bias))?.exp()?);
        let (output, tape) = Tape::record(|| on_the_way().unwrap());
        assert!(!tape.leads_to(&output));
    }

    /// Twice its input. The backward pass of the first says whether `later` is still there.
    struct Twice {
        later: Weak<()>,
        _here: Arc<()>,
        is_later_gone: Arc<AtomicBool>,
    }

    impl CustomOp1 for Twice {
        fn name(&self) -> &'static str {
            "twice"
        }

        fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
            Ok((x.affine(layout, 2.0, 0.0)?, layout.shape().clone()))
        }

        fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
            self.is_later_gone.store(self.later.upgrade().is_none(), Ordering::Relaxed);
            Ok(Some((gradient * 2.0)?))
        }
    }

    #[test]
    fn a_tensor_is_let_go_once_it_is_done_where_the_output_is_given_away() {
        let x = variable(&[2], 0.5);
        for is_given in [true, false] {
            let (first, last, is_later_gone) = (Arc::new(()), Arc::new(()), Arc::new(AtomicBool::new(false)));
            let later = Arc::downgrade(&last);
            let twice = |here, later| Twice { later, _here: here, is_later_gone: Arc::clone(&is_later_gone) };
            let first = twice(first, later);
            let last = Twice { is_later_gone: Arc::default(), ..twice(last, Weak::new()) };
            let (output, tape) = Tape::record(|| apply1(&apply1(&x, first).unwrap(), last).unwrap());
            let start = output.ones_like().unwrap();
            let gradients = match is_given {
                true => tape.gradients(output, start).unwrap(),
                false => tape.gradients(&output, start).unwrap(),
            };
            assert_eq!(gradients[&x.id()].to_vec1::<f64>().unwrap(), [4.0, 4.0]);
            assert_eq!(is_later_gone.load(Ordering::Relaxed), is_given);
        }
    }

    #[test]
    fn a_pause_leaves_no_operation_on_the_tape() {
        let (weight, x) = (variable(&[3, 3], 0.1), variable(&[4, 3], 0.2));
        let ((), tape) = Tape::record(|| {
            drop(Tape::pause(|| linear(&x, &weight, None).unwrap()));
            drop(linear(&x, &weight, None).unwrap());
        });
        assert_eq!(tape.0.len(), 1);
    }

    #[test]
    fn nothing_is_recorded_outside() {
        let (weight, x) = (variable(&[3, 3], 0.1), variable(&[4, 3], 0.2));
        let ((), outer) = Tape::record(|| {
            let ((), inner) = Tape::record(|| drop(linear(&x, &weight, None).unwrap()));
            assert_eq!(inner.0.len(), 1);
        });
        assert!(outer.0.is_empty());
        drop(linear(&x, &weight, None).unwrap());
        assert!(RECORDING.with_borrow(Option::is_none));
    }
}
