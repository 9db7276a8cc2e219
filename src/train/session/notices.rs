//! The notices of a run before its first step.

use std::ops::Range;

use super::Session;
use crate::notice::Notice;
use crate::train::checks::{idle, kernels, outlook, unusual};

impl Session {
    /// Returns notices for the user before the run begins.
    pub fn notices(&self) -> Vec<Notice> {
        let mut notices = self.data.notices();
        notices.extend(kernels::notice());
        notices.extend(self.resumed.clone());
        notices.extend(idle::notices(&self.config, self.total_steps(), &self.data.epochs()));
        notices.extend(self.untrained());
        // The rate of a rule that trains nothing is 0 on purpose.
        if self.optimizer.trains() {
            notices.extend(outlook::standstill(self.schedulers.lr(), self.length(), self.step));
        }
        notices.extend(unusual::notices(&self.config, self.schedulers.lr(), self.length(), self.step));
        notices.extend(self.interval_notices());
        notices
    }

    /// Returns a warning about the steps from the next one on in which no parameter is trained.
    fn untrained(&self) -> Option<Notice> {
        let (total, steps) = (self.total_steps(), self.step..self.total_steps());
        if steps.is_empty() {
            return None;
        }
        if !self.optimizer.trains() {
            let told = "nothing is trained: the kind of every parameter is `frozen`; give `optimizer`, or one of \
                        `optimizer.groups`, another `kind`";
            return Some(Notice::Warning(told.to_owned()));
        }
        let Range { start, end } = self.freezing.rest(steps, self.optimizer.trained())?;
        let share = 100.0 * (end - start) as f64 / total as f64;
        Some(Notice::Warning(format!(
            "nothing is trained in steps {start} to {}, {share:.0}% of the run's {total}: `train.freeze` freezes every \
             parameter in them; leave some out of its patterns, or change its times",
            end - 1
        )))
    }
}
