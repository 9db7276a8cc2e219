use super::*;

kind! {
    /// The rate of `schedule` at `t % period`: it starts again after each `period`.
    ///
    /// A metric-driven `schedule` receives every metric, and keeps its memory.
    ///
    /// Source: ignite's `LinearCyclicalScheduler` and `CosineAnnealingScheduler`, whose cycles are all alike.
    repeat => Repeat {
        /// The duration of a cycle.
        period: Length where AT_LEAST_ONE,
        /// The schedule of each cycle.
        schedule: Schedule,
    }
}

impl Kind for Repeat {
    fn plan(&self, context: &Context) -> Planned {
        let period = context.period("period", self.period)?;
        let curve = context.child("schedule", &self.schedule)?;
        Ok(Box::new(RepeatCurve { period, curve }))
    }
}

struct RepeatCurve {
    period: u64,
    curve: Box<dyn Curve>,
}

impl Curve for RepeatCurve {
    fn rate(&self, at: At<'_>) -> f64 {
        self.curve.rate(At { t: at.t % self.period, ..at })
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.curve.momentum(t % self.period, group)
    }

    /// The metric after the last update of a cycle belongs to that cycle.
    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        let within = t.checked_sub(1).map_or(0, |last| last % self.period + 1);
        self.curve.report(within, metric, memory);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn each_cycle_is_like_the_first() {
        let schedule = Schedule::repeat(4, Schedule::polynomial(4));
        assert_close(rates(schedule, [0, 2, 4, 6, 8]), [1.0, 0.5, 1.0, 0.5, 1.0]);
    }

    #[test]
    fn a_period_of_zero_is_refused() {
        let message = refusal(Schedule::repeat(0, Schedule::constant()));
        assert_eq!(message, "`repeat`: period is 0; it must be at least 1");
    }
}
