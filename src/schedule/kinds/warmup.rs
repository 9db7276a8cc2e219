use super::*;

kind! {
    /// `start_lr + (base - start_lr) * t / steps` while `t < steps`, then `schedule`, which counts from its own 0.
    ///
    /// With the default `start_lr` the rate at `t = 0` is 0, as in transformers, optax, Keras, Megatron and timm. At
    /// `t == steps` it is the first rate of `schedule`. Zero steps mean no warm-up. `start_lr` is a rate, the same for
    /// all groups. A metric-driven `schedule` receives only the metrics of its own updates.
    ///
    /// Source: transformers' `get_*_schedule_with_warmup`; timm's `warmup_t` with `warmup_prefix`.
    warmup => Warmup {
        /// The length of the warm-up.
        steps: Length,
        /// The rate at `t = 0`; 0 by default.
        start_lr: f64 where NOT_NEGATIVE = 0.0,
        /// The schedule after the warm-up.
        schedule: Schedule,
    }
}

impl Kind for Warmup {
    fn plan(&self, context: &Context) -> Planned {
        let steps = context.length("steps", self.steps)?;
        let start_lr = self.start_lr;
        let then = context.child("schedule", &self.schedule)?;
        Ok(Box::new(WarmupCurve { steps, start_lr, then }))
    }

    fn length(&self) -> Option<Length> {
        self.schedule.length()?.plus(self.steps)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        let rest = length.minus(self.steps)?;
        Some(Self { schedule: self.schedule.lasting_inside(rest)?, ..self.clone() }.into())
    }

    fn phases(&self, phases: &mut Phases<'_>) {
        phases.next("warmup", self.steps);
        phases.of(&self.schedule);
    }
}

struct WarmupCurve {
    steps: u64,
    start_lr: f64,
    then: Box<dyn Curve>,
}

impl Curve for WarmupCurve {
    fn rate(&self, at: At<'_>) -> f64 {
        match at.t.checked_sub(self.steps) {
            Some(t) => self.then.rate(At { t, ..at }),
            None => self.start_lr + (at.base - self.start_lr) * progress(at.t, self.steps),
        }
    }

    /// During the warm-up, momentum is the initial momentum of the schedule.
    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.then.momentum(t.saturating_sub(self.steps), group)
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        if t > self.steps {
            self.then.report(t - self.steps, metric, memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_rises_from_zero_and_hands_over_at_its_end() {
        let schedule = Schedule::warmup(4, Schedule::step(2).gamma(0.5));
        assert_eq!(rates(schedule, [0, 1, 3, 4, 5, 6]), [0.0, 0.25, 0.75, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn it_rises_from_the_rate_it_is_given() {
        assert_eq!(rates(Schedule::warmup(4, Schedule::constant()).start_lr(0.5), [0, 2, 4]), [0.5, 0.75, 1.0]);
    }

    #[test]
    fn zero_steps_are_no_warm_up() {
        assert_eq!(rates(Schedule::warmup(0, Schedule::constant()), [0, 1]), [1.0, 1.0]);
    }

    #[test]
    fn a_mistake_inside_is_named_with_its_place() {
        let message = refusal(Schedule::warmup(4, Schedule::cosine(0)));
        assert_eq!(message, "`cosine` at schedule: t_max is 0; it must be at least 1");
    }
}
