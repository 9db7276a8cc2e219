//! Reports of a run while it trains, for whoever watches it.

use super::metrics::Evaluation;
use crate::optim::StepHyperparams;

/// How a run ended, other than by an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All updates are made.
    Finished,
    /// It was asked to stop by this signal; the state is saved.
    Stopped {
        /// The number of the signal.
        signal: usize,
    },
}

/// The result of an update.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// How many updates are made.
    pub done: u64,
    /// The rates that it used in each group.
    pub rates: &'a [StepHyperparams],
    /// The loss of its batch.
    pub loss: f64,
}

/// The result of an epoch.
#[derive(Clone, Debug)]
pub struct EpochReport {
    /// Its number, from 1.
    pub epoch: u64,
    /// The rates of the next update in each group.
    pub rates: Vec<StepHyperparams>,
    /// The mean loss over its updates.
    pub loss: f64,
    /// The validation at its end, where there is one.
    pub validation: Option<Evaluation>,
}

/// A validation that was not at the end of an epoch.
#[derive(Clone, Debug)]
pub struct ValidationReport {
    /// How many updates are made.
    pub done: u64,
    /// The rates of the next update in each group.
    pub rates: Vec<StepHyperparams>,
    /// The loss of the last batch.
    pub loss: f64,
    /// Its figures.
    pub validation: Evaluation,
}

/// Somebody who watches a run.
pub trait Observer {
    /// The loop begins.
    fn begin(&mut self, _done: u64, _total: u64) {}
    /// An update was made.
    fn step(&mut self, _report: &StepReport<'_>) {}
    /// A validation begins, after `done` updates.
    fn validating(&mut self, _done: u64) {}
    /// A save begins, after `done` updates; it continues beside those that follow.
    fn saving(&mut self, _done: u64) {}
    /// A validation has ended, and not the epoch with it.
    fn validation(&mut self, _report: &ValidationReport) {}
    /// An epoch has ended.
    fn epoch(&mut self, _report: &EpochReport) {}
    /// Something a person should know.
    fn message(&mut self, _text: &str) {}
    /// The loop has ended.
    fn end(&mut self) {}
}

impl Observer for () {}
