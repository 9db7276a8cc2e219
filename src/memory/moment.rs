//! The operation that a thread computes, and the weights of the run: for the message of a process whose memory is used up,
//! which is written without any more memory.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::sync::Mutex;

use candle_core::{Tensor, TensorId};

#[cfg(feature = "trainer")]
use crate::parameters::Parameters;

/// The most inputs of an operation that are looked at, and the most sizes of the first.
const INPUTS: usize = 4;
const SIZES: usize = 5;

thread_local!(static MOMENT: Cell<Option<Moment>> = const { Cell::new(None) });

/// The weights of the run that began last, and what would make it smaller.
static RUN: Mutex<Run> = Mutex::new(Run { weights: Vec::new(), remedies: String::new() });

struct Run {
    weights: Vec<(TensorId, String)>,
    remedies: String,
}

/// An operation.
#[derive(Clone, Copy)]
struct Moment {
    operation: &'static str,
    is_backward: bool,
    inputs: [Option<TensorId>; INPUTS],
    sizes: [usize; SIZES],
    rank: usize,
}

/// The time in which a thread computes an operation. Operations may be inside of others.
pub(crate) struct Computing(Option<Moment>);

impl Computing {
    /// Begins to compute a pass of an operation.
    pub fn of(operation: &'static str, is_backward: bool, inputs: &[impl AsRef<Tensor>]) -> Self {
        let (mut ids, mut sizes) = ([None; INPUTS], [0; SIZES]);
        for (place, input) in ids.iter_mut().zip(inputs) {
            *place = Some(input.as_ref().id());
        }
        let dims = inputs.first().map(|x| x.as_ref().dims()).unwrap_or_default();
        for (place, size) in sizes.iter_mut().zip(dims) {
            *place = *size;
        }
        let rank = dims.len().min(SIZES);
        Self(MOMENT.replace(Some(Moment { operation, is_backward, inputs: ids, sizes, rank })))
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        MOMENT.set(self.0);
    }
}

/// Notes the weights of a run, and what would make it smaller.
#[cfg(feature = "trainer")]
pub(crate) fn begin_run(weights: &Parameters, remedies: &[String]) {
    let weights = weights.iter().map(|(name, var)| (var.id(), name.to_owned())).collect();
    if let Ok(mut run) = RUN.lock() {
        *run = Run { weights, remedies: remedies.join("; ") };
    }
}

/// Writes which operation this thread computes, after "memory was requested": ` by the backward pass of …`; nothing if
/// there is none. Allocates no memory.
///
/// # Errors
/// Those of `out`.
pub fn write_moment(out: &mut impl Write) -> fmt::Result {
    let Some(moment) = MOMENT.try_with(Cell::get).ok().flatten() else { return Ok(()) };
    let pass = if moment.is_backward { "backward" } else { "forward" };
    write!(out, " by the {pass} pass of `{}`", moment.operation)?;
    if let Some(sizes) = moment.sizes.get(..moment.rank) {
        write!(out, " of {sizes:?}")?;
    }
    // Another thread may just write it.
    let Ok(run) = RUN.try_lock() else { return Ok(()) };
    let weights = || run.weights.iter().filter(|(id, _)| moment.inputs.contains(&Some(*id)));
    for (number, (_, name)) in weights().enumerate() {
        write!(out, "{} `{name}`", if number == 0 { " with the weights" } else { "," })?;
    }
    Ok(())
}

/// Writes what would make the run smaller, after a complete sentence: `. To need less: …`; nothing if it is not known.
/// Allocates no memory.
///
/// # Errors
/// Those of `out`.
pub fn write_remedies(out: &mut impl Write) -> fmt::Result {
    match RUN.try_lock() {
        Ok(run) if !run.remedies.is_empty() => write!(out, ". To need less: {}", run.remedies),
        _ => Ok(()),
    }
}

#[cfg(all(test, feature = "trainer"))]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    fn told() -> String {
        let mut text = String::new();
        write_moment(&mut text).unwrap();
        text
    }

    #[test]
    fn an_operation_is_told_with_its_sizes_and_weights_while_it_is_computed() {
        let weight = Var::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
        begin_run(&Parameters::from_iter([("fc.weight".to_owned(), weight.clone())]), &["a smaller model".to_owned()]);
        let x = Tensor::zeros((5, 2), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(told(), "");
        {
            let _outer = Computing::of("linear", true, &[x.clone(), weight.as_tensor().clone()]);
            assert_eq!(told(), " by the backward pass of `linear` of [5, 2] with the weights `fc.weight`");
            {
                let _inner = Computing::of("relu", false, &[&x]);
                assert_eq!(told(), " by the forward pass of `relu` of [5, 2]");
            }
            assert!(told().contains("linear"));
        }
        assert_eq!(told(), "");
        let mut remedies = String::new();
        write_remedies(&mut remedies).unwrap();
        assert_eq!(remedies, ". To need less: a smaller model");
    }
}
