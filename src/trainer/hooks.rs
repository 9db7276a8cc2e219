//! Functions of the program that a [`Trainer`](super::Trainer) calls, and the events that it tells them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::checkpoint::CheckpointError;

/// All results of a step. Its serialized form is a line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StepEnd {
    /// Number of the update, from 0.
    pub step: u64,
    /// Number of its epoch, from 1.
    pub epoch: u64,
    /// The rate of each group.
    pub lr: Vec<f64>,
    /// The momentum of each group, if the schedule drives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<Vec<f64>>,
    /// The loss of its batch, computed before the update.
    pub loss: f64,
    /// The norm of its gradients before clipping.
    pub grad_norm: f64,
    /// The results of the validation after it; empty if there was none.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, f64>,
}

impl StepEnd {
    /// The names that a line of the log has already.
    pub(super) const NAMES: [&'static str; 6] = ["step", "epoch", "lr", "momentum", "loss", "grad_norm"];

    /// Returns the number of updates made, including this one.
    pub fn done(&self) -> u64 {
        self.step + 1
    }
}

/// The end of a save.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SaveEnd<'a> {
    /// Number of updates in the saved state.
    pub step: u64,
    /// The directory of the checkpoint, or why there is none. Training continues after a failed save, except after the
    /// last one.
    pub result: Result<&'a Path, &'a CheckpointError>,
}

/// The end of a run, or of its part in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunEnd {
    /// Number of updates made, all of which are saved.
    pub step: u64,
    /// Whether they are all updates of the run. Otherwise the program asked it to stop.
    pub is_finished: bool,
    /// The step of the checkpoint from which this process continued; `None` if it began the run.
    pub resumed_from: Option<u64>,
}

/// The functions for all events, which are called in the order in which they were added.
#[derive(Default)]
pub(super) struct Hooks<'a> {
    pub step: Vec<OnStep<'a>>,
    pub validation: Vec<OnStep<'a>>,
    pub save: Vec<OnSave<'a>>,
    pub end: Vec<OnEnd<'a>>,
}

/// Called after a step.
type OnStep<'a> = Box<dyn FnMut(&StepEnd) + 'a>;

/// Called after a save.
type OnSave<'a> = Box<dyn FnMut(&SaveEnd<'_>) + 'a>;

/// Called at the end.
type OnEnd<'a> = Box<dyn FnMut(&RunEnd) + 'a>;
