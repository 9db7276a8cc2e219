//! Times of a session's validations and saves, and checks that needed metrics are known in time.

use std::time::Duration;

use super::Session;
use crate::Notice;
use crate::figures::counted;
use crate::train::TrainError;
use crate::train::agenda::Agenda;
use crate::train::config::figure::Metric;
use crate::train::config::word;
use crate::train::intervals::{Lengths, Saves, describe, validation_cost};
use crate::train::schedulers::Schedulers;

impl Session {
    pub(super) fn lengths(&self) -> Lengths {
        Lengths { total: self.total_steps(), epoch: self.steps_per_epoch() }
    }

    /// Returns the metric of the rule for the best checkpoints, if there is one.
    fn best_by(&self) -> Option<Metric> {
        let keep = &self.config.checkpoint.keep;
        keep.best.map(|_| keep.metric(self.validations.is_some()))
    }

    /// Returns the times of saves.
    pub(in crate::train) fn saves(&self) -> Saves {
        Saves::new(&self.config.checkpoint, self.best_by(), self.keep.every, &self.data.epochs())
    }

    /// Returns the validations and saves of the run. Training waited `save_wait` for the last save, which took `save_time`.
    pub(crate) fn agenda(&self, save_wait: Duration, save_time: Duration) -> Agenda {
        let mut saves = self.saves();
        saves.cost = save_time;
        Agenda {
            lengths: self.lengths(),
            validations: self.validations,
            validation_cost: validation_cost(&self.data),
            saves,
            save_wait,
        }
    }

    /// Returns the number of updates after which a metric is first known, in a run of this length.
    fn first_known(&self, metric: Metric) -> Option<u64> {
        let Lengths { total, epoch } = self.lengths();
        match metric {
            Metric::TrainingLoss => Some(epoch).filter(|&epoch| epoch <= total),
            _ => self.validations?.next(0, total),
        }
    }

    /// Refuses a run in which a schedule, or the retention of checkpoints, uses a metric that is never known in time.
    pub(crate) fn require_figures(&self) -> Result<(), TrainError> {
        let Lengths { total, epoch } = self.lengths();
        let refuse = |field: &str, value: String, metric: Metric, from: Option<u64>| {
            let known = match (from, metric) {
                (Some(_), _) => format!("which is known only after step {total}, the last one"),
                (None, Metric::TrainingLoss) => {
                    format!(
                        "which is known at the end of an epoch, after {}, and the run has {total}",
                        counted(epoch, "step")
                    )
                }
                (None, _) => format!("and the run of {} ends before its first validation", counted(total, "step")),
            };
            let remedy = match metric {
                Metric::TrainingLoss => "train for longer, or set `data.validation` to a share of the rows",
                _ => "validate more often (`validation.every`)",
            };
            let rule = format!("needs the {}, {known}; {remedy}", word(&metric).replace('_', " "));
            Err(TrainError::Field { field: field.to_owned(), value, rule })
        };
        if let Some((part, scheduler)) = self.schedulers.all().find(|(_, scheduler)| scheduler.wants_metric()) {
            let first = self.first_known(self.metric);
            if first.is_none_or(|first| first >= total) {
                let setting = Schedulers::setting(part);
                return refuse(setting, scheduler.schedule().to_string(), self.metric, first);
            }
        }
        match (self.best_by(), self.config.checkpoint.keep.best) {
            (Some(metric), Some(best)) if self.first_known(metric).is_none() => {
                refuse("checkpoint.keep.best", best.to_string(), metric, None)
            }
            _ => Ok(()),
        }
    }

    /// When this run validates and saves, and a warning where a figure that is needed is never known.
    pub(super) fn interval_notices(&self) -> Vec<Notice> {
        let lengths = self.lengths();
        if self.step >= lengths.total {
            return Vec::new();
        }
        let config = (&self.config.validation, &self.config.checkpoint);
        let said = describe(config, self.validations.as_ref(), &self.saves(), self.step, lengths);
        let mut notices = vec![Notice::Note(said)];
        if let Err(error) = self.require_figures() {
            notices.push(Notice::Warning(error.to_string()));
        } else if self.validations.is_some() && self.first_known(Metric::ValidationLoss).is_none() {
            let (every, total) = (self.config.validation.every, lengths.total);
            let steps = counted(total, "step");
            let text = format!("validation.every = {every}: the run of {steps} ends before its first validation");
            notices.push(Notice::Warning(text));
        }
        if let Some(metric) = self.config.train.metric.filter(|_| !self.schedulers.wants_metric()) {
            let text = format!("train.metric = {}: no schedule follows a metric, so it has no effect", word(&metric));
            notices.push(Notice::Warning(text));
        }
        notices
    }
}
