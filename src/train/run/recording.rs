//! The record of a step, as it goes to the log and to all sinks.

use super::Run;
use crate::optim::MeasuredGradients;
use crate::train::record::StepRecord;
use crate::train::sink::{Sink, StepTensors, Validated};

impl Run {
    /// Writes the record of a step, if this process keeps the run.
    pub(super) fn record(&mut self, record: &StepRecord, gradients: Option<&MeasuredGradients>, sink: &mut dyn Sink) {
        let Some(keeper) = &mut self.keeper else { return };
        keeper.log.record(record);
        keeper.record_pace(record.done());
        sink.record(record);
        if sink.wants_tensors(record) {
            sink.tensors(&StepTensors { record, weights: self.session.parameters(), gradients });
        }
        if record.validation.is_some() {
            sink.validated(&Validated { record, session: &self.session });
        }
    }
}
