//! The operations of one forward pass in order; gradients are propagated through them in reverse.
//!
//! Candle's `backward` allocates zeros and adds for every edge of its graph. If a loss depends on its parameters only
//! through operations of this crate, the tape gives the same gradients at a lower cost: the first gradient of a tensor
//! is moved there, and only further ones are added. The operations are also in Candle's graph, so `Tensor::backward`
//! still works.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::sync::{Arc, Once};

use candle_core::{Result, Tensor};

use super::by_tensor::{TensorMap, TensorSet};
use super::graph::Differentiable;

thread_local! {
    /// The operations recorded on this thread, while a tape is recording.
    static RECORDING: RefCell<Option<Vec<Node>>> = const { RefCell::new(None) };
}

/// The recorded operations of a forward pass.
///
/// ```
/// # use candle_core::{DType, Device, Tensor, Var};
/// # use rekindle::{ops::{self, Tape, loss}, optim::Gradients, parameters::Parameters};
/// # let weight = Var::ones((1, 3), DType::F32, &Device::Cpu)?;
/// # let parameters: Parameters = [("weight".to_owned(), weight.clone())].into_iter().collect();
/// # let (x, y) = (Tensor::ones((5, 3), DType::F32, &Device::Cpu)?, Tensor::zeros((5, 1), DType::F32, &Device::Cpu)?);
/// let (loss, tape) = Tape::record(|| loss::mean_squared_error(&ops::linear(&x, &weight, None)?, &y));
/// let gradients = Gradients::from_tape(tape, &loss?, 1.0, &parameters)?.measure()?;
/// # assert_eq!(gradients.norm(), 108f64.sqrt());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Tape(Vec<Node>);

/// An applied operation, with its inputs and its result.
struct Node {
    operation: Arc<dyn Differentiable>,
    inputs: Vec<Tensor>,
    output: Tensor,
}

/// The place where a path from a parameter to a result leaves the tape.
#[derive(Debug, PartialEq, Eq)]
enum Gap {
    /// Before an input of this operation.
    Before(&'static str),
    /// Before the result itself.
    AtTheEnd,
}

impl Tape {
    /// Calls `forward`, and returns its result and the operations of this crate that it applied on this thread.
    pub fn record<R>(forward: impl FnOnce() -> R) -> (R, Self) {
        let outer = Restore(RECORDING.replace(Some(Vec::new())));
        let result = forward();
        let nodes = RECORDING.take().unwrap_or_default();
        drop(outer);
        (result, Self(nodes))
    }

    /// Returns the gradients of the tensors that `output` was computed from, given the `gradient` of `output`; `None`
    /// if it depends on one of them through an operation that is not on the tape.
    ///
    /// # Errors
    /// The device fails.
    #[cfg(test)]
    pub(crate) fn gradients(self, output: &Tensor, gradient: Tensor) -> Result<Option<TensorMap<Tensor>>> {
        if self.covers(output) { self.walk(output, gradient).map(Some) } else { Ok(None) }
    }

    /// Whether every path from a variable to `output` is on the tape. The first time one is not, this is logged.
    pub(crate) fn covers(&self, output: &Tensor) -> bool {
        static LOGGED: Once = Once::new();
        let gap = self.gap_before(output);
        if let Some(gap) = &gap {
            gap.log_once(&LOGGED);
        }
        gap.is_none()
    }

    /// Returns the gradients of an `output` that the tape [covers](Tape::covers). If `output` is passed by value, each
    /// tensor is dropped as soon as it is no longer needed.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn walk(mut self, output: impl Borrow<Tensor>, gradient: Tensor) -> Result<TensorMap<Tensor>> {
        let mut gradients = TensorMap::from_iter([(output.borrow().id(), gradient)]);
        // Its graph holds all tensors.
        drop(output);
        // In reverse. Each node is dropped with its tensors as soon as it is processed.
        while let Some(Node { operation, inputs, output }) = self.0.pop() {
            let Some(dy) = gradients.remove(&output.id()) else { continue };
            let found = operation.backward(&inputs, &output, &dy)?;
            for (input, gradient) in inputs.iter().zip(found) {
                if let Some(gradient) = gradient {
                    add(&mut gradients, input, gradient.detach())?;
                }
            }
        }
        Ok(gradients)
    }

    /// Returns the number of operations.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the first place where a path from a variable to `output` leaves the tape.
    fn gap_before(&self, output: &Tensor) -> Option<Gap> {
        let mut known = TensorSet::with_capacity_and_hasher(self.0.len(), Default::default());
        for node in &self.0 {
            if !node.inputs.iter().all(|x| !x.track_op() || x.is_variable() || known.contains(&x.id())) {
                return Some(Gap::Before(node.operation.name()));
            }
            known.insert(node.output.id());
        }
        (!known.contains(&output.id())).then_some(Gap::AtTheEnd)
    }
}

impl Gap {
    fn log_once(&self, logged: &Once) {
        let place = match self {
            Self::Before(operation) => format!("an input of `{operation}`"),
            Self::AtTheEnd => "the loss".to_owned(),
        };
        logged.call_once(|| {
            tracing::debug!(
                "gradients follow Candle's graph, which takes longer: {place} is the result of an operation that \
                 `rekindle::ops` does not have, or has no kernel for on this device"
            );
        });
    }
}

fn add(gradients: &mut TensorMap<Tensor>, to: &Tensor, gradient: Tensor) -> Result<()> {
    if to.track_op() {
        let sum = match gradients.remove(&to.id()) {
            Some(earlier) => super::add(&earlier, &gradient)?,
            None => gradient,
        };
        gradients.insert(to.id(), sum);
    }
    Ok(())
}

/// Restores the recording of an outer call, even if a forward pass panics.
struct Restore(Option<Vec<Node>>);

impl Drop for Restore {
    fn drop(&mut self) {
        RECORDING.set(self.0.take());
    }
}

/// Calls `forward` without recording its operations.
pub(super) fn unrecorded<R>(forward: impl FnOnce() -> R) -> R {
    let _outer = Restore(RECORDING.replace(None));
    forward()
}

/// Puts an operation on the tape if one is recording and the result depends on a variable.
pub(super) fn record(operation: Arc<dyn Differentiable>, inputs: Vec<Tensor>, output: &Tensor) {
    if output.track_op() {
        RECORDING.with_borrow_mut(|nodes| {
            if let Some(nodes) = nodes {
                nodes.push(Node { operation, inputs, output: output.clone() });
            }
        });
    }
}

/// Reshapes `x` `[rows, …]` to `[rows, width]`.
pub(crate) fn flatten(x: &Tensor) -> Result<Tensor> {
    let y = x.flatten_from(1)?;
    record(Arc::new(Reshape), vec![x.clone()], &y);
    Ok(y)
}

/// The same elements in another shape. Candle's graph already has its own node for it.
struct Reshape;

impl Differentiable for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn backward(&self, inputs: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
        inputs.iter().map(|x| dy.reshape(x.shape()).map(Some)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::sync::atomic::{AtomicBool, Ordering};

    use candle_core::{Device, Var};

    use super::super::graph::{attach, copy};
    use super::super::{linear, relu};
    use super::*;

    fn variable(shape: &[usize], start: f64) -> Var {
        let count = shape.iter().product::<usize>() as u32;
        let values: Vec<f64> = (0..count).map(|i| start + f64::from(i * 7 % 5) / 3.0 - 0.6).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// A loss that uses a weight and a hidden layer twice.
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
        let gradients = tape.gradients(&loss, loss.ones_like().unwrap()).unwrap().unwrap();
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
        assert_eq!(tape.gap_before(&loss), Some(Gap::AtTheEnd));
        assert!(tape.gradients(&loss, loss.ones_like().unwrap()).unwrap().is_none());
        let on_the_way = || relu(&linear(&x, &weight, Some(&bias))?.exp()?);
        let (output, tape) = Tape::record(|| on_the_way().unwrap());
        assert_eq!(tape.gap_before(&output), Some(Gap::Before("relu")));
        assert!(tape.gradients(&output, output.ones_like().unwrap()).unwrap().is_none());
    }

    /// Twice its input. The backward pass of the first instance reports whether `later` still exists.
    struct Twice {
        later: Weak<()>,
        _here: Arc<()>,
        is_later_gone: Arc<AtomicBool>,
    }

    impl Differentiable for Twice {
        fn name(&self) -> &'static str {
            "twice"
        }

        fn backward(&self, _: &[Tensor], _: &Tensor, dy: &Tensor) -> Result<Vec<Option<Tensor>>> {
            self.is_later_gone.store(self.later.upgrade().is_none(), Ordering::Relaxed);
            Ok(vec![Some((dy * 2.0)?)])
        }
    }

    #[test]
    fn a_tensor_is_dropped_once_it_is_done_if_the_output_is_given_away() {
        let x = variable(&[2], 0.5);
        let apply = |x: &Tensor, operation: Twice| {
            let y = (x.detach() * 2.0).unwrap();
            attach(Arc::new(operation), vec![x.clone()], copy(&y).unwrap(), y.shape().clone()).unwrap()
        };
        for is_given in [true, false] {
            let (first, last, is_later_gone) = (Arc::new(()), Arc::new(()), Arc::new(AtomicBool::new(false)));
            let later = Arc::downgrade(&last);
            let twice = |here, later| Twice { later, _here: here, is_later_gone: Arc::clone(&is_later_gone) };
            let first = twice(first, later);
            let last = Twice { is_later_gone: Arc::default(), ..twice(last, Weak::new()) };
            let (output, tape) = Tape::record(|| apply(&apply(&x, first), last));
            let start = output.ones_like().unwrap();
            let gradients = match is_given {
                true => tape.walk(output, start).unwrap(),
                false => tape.walk(&output, start).unwrap(),
            };
            assert_eq!(gradients[&x.id()].to_vec1::<f64>().unwrap(), [4.0, 4.0]);
            assert_eq!(is_later_gone.load(Ordering::Relaxed), is_given);
        }
    }

    /// The logged lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_gap_is_logged_for_those_who_look() {
        let (lines, logged) = (Lines::default(), Once::new());
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).without_time();
        let subscriber = subscriber.with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            Gap::Before("relu").log_once(&logged);
            Gap::AtTheEnd.log_once(&logged);
        });
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(lines.contains("DEBUG") && lines.contains("an input of `relu` is the result of"), "{lines}");
        assert_eq!(lines.lines().count(), 1, "{lines}");
    }

    #[test]
    fn nothing_is_recorded_outside() {
        let (weight, x) = (variable(&[3, 3], 0.1), variable(&[4, 3], 0.2));
        let ((), outer) = Tape::record(|| {
            let ((), inner) = Tape::record(|| drop(linear(&x, &weight, None).unwrap()));
            assert_eq!(inner.len(), 1);
        });
        assert!(outer.0.is_empty());
        drop(linear(&x, &weight, None).unwrap());
        assert!(RECORDING.with_borrow(Option::is_none));
    }
}
