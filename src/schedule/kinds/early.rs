use super::*;

kind! {
    /// The rate of `schedule` at `t + by`: it is followed `by` updates early, without its first ones.
    ///
    /// A metric-driven `schedule` receives every metric, with the time at which it is followed.
    ///
    /// Source: schedulers that count from 1, such as NeMo's after their warm-up: `early(1, …)`; timm's without
    /// `warmup_prefix`, which count from the start of the run: `early(warmup_t, …)`.
    early => Early {
        /// The number of updates by which the schedule is early.
        by: Length,
        /// The schedule that is followed.
        schedule: Schedule,
    }
}

impl Kind for Early {
    fn plan(&self, context: &Context) -> Planned {
        let by = context.length("by", self.by)?;
        let curve = context.child("schedule", &self.schedule)?;
        Ok(Box::new(EarlyCurve { by, curve }))
    }

    fn length(&self) -> Option<Length> {
        self.schedule.length()?.minus(self.by)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        let schedule = self.schedule.lasting_inside(length.plus(self.by)?)?;
        Some(Self { schedule, ..self.clone() }.into())
    }
}

struct EarlyCurve {
    by: u64,
    curve: Box<dyn Curve>,
}

impl Curve for EarlyCurve {
    fn rate(&self, at: At<'_>) -> f64 {
        self.curve.rate(At { t: at.t.saturating_add(self.by), ..at })
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.curve.momentum(t.saturating_add(self.by), group)
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        self.curve.report(t.saturating_add(self.by), metric, memory);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn the_first_updates_are_left_out() {
        let schedule = Schedule::early(2, Schedule::polynomial(4));
        assert_close(rates(schedule, [0, 1, 2, u64::MAX]), [0.5, 0.25, 0.0, 0.0]);
    }

    #[test]
    fn it_is_as_much_shorter_as_it_is_early() {
        let schedule: Schedule = "early(2, polynomial(4)) -> constant(0.5)".parse().unwrap();
        assert_close(rates(schedule, [0, 1, 2]), [0.5, 0.25, 0.5]);
    }
}
