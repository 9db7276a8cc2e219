use super::*;

kind! {
    /// The rate of `schedule` at `max(t - by, 0)`: it is followed `by` updates late.
    ///
    /// Until `t == by` the rate is the first one of `schedule`. A metric-driven `schedule` receives every metric, with
    /// the time at which it is followed.
    ///
    /// Source: Composer's `Trainer`, which steps its schedulers one batch late: `late(1, …)`.
    late => Late {
        /// The number of updates by which the schedule is late.
        by: Length,
        /// The schedule that is followed.
        schedule: Schedule,
    }
}

impl Kind for Late {
    fn plan(&self, context: &Context) -> Planned {
        let by = context.length("by", self.by)?;
        let curve = context.child("schedule", &self.schedule)?;
        Ok(Box::new(LateCurve { by, curve }))
    }

    fn length(&self) -> Option<Length> {
        self.schedule.length()?.plus(self.by)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        let schedule = self.schedule.lasting_inside(length.minus(self.by)?)?;
        Some(Self { schedule, ..self.clone() }.into())
    }

    fn phases(&self, phases: &mut Phases<'_>) {
        phases.next("late", self.by);
        phases.of(&self.schedule);
    }
}

struct LateCurve {
    by: u64,
    curve: Box<dyn Curve>,
}

impl Curve for LateCurve {
    fn rate(&self, at: At<'_>) -> f64 {
        self.curve.rate(At { t: at.t.saturating_sub(self.by), ..at })
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.curve.momentum(t.saturating_sub(self.by), group)
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        self.curve.report(t.saturating_sub(self.by), metric, memory);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn every_rate_comes_later_and_the_first_one_stays_until_then() {
        let schedule = || Schedule::exponential(0.5);
        assert_eq!(rates(Schedule::late(1u64, schedule()), [0, 1, 2, 3]), [1.0, 1.0, 0.5, 0.25]);
        assert_eq!(rates(Schedule::late(0u64, schedule()), [0, 1, 2]), [1.0, 0.5, 0.25]);
    }

    /// Composer 0.32.1: a warm-up of 4, a cosine over the rest to a tenth of the rate at 30, from a rate of 0.01.
    #[test]
    fn the_rates_are_those_of_composer() {
        let schedule: Schedule = "late(1, warmup(4) -> cosine(26, eta_min=1e-3))".parse().unwrap();
        let plan = plan(schedule).unwrap();
        let found = [10, 14, 18, 19].map(|t| plan.rate(t, 0.01, 0));
        assert_close(found, [0.009203427396521453, 0.007591254274196958, 0.0055, 0.004957584938851047]);
        assert_eq!([0, 1].map(|t| plan.rate(t, 0.01, 0)), [0.0, 0.0]);
    }

    #[test]
    fn it_lasts_as_long_as_its_schedule_and_its_delay() {
        assert_eq!(Schedule::from(Schedule::late(3u64, Schedule::cosine(10))).length(), Some(Length::Steps(13)));
    }
}
