use super::floor::Floor;
use super::*;

kind! {
    /// `base * gamma^floor(t / step_size)`.
    ///
    /// The first drop is at `t == step_size`. The rate never falls below the floor.
    ///
    /// Source: PyTorch's `StepLR`; optax's `exponential_decay` with `staircase`; the floor as fairseq's `StepLRSchedule`.
    step => Step {
        /// The duration of each rate.
        step_size: Length where AT_LEAST_ONE,
        /// The factor per drop; 0.1 by default.
        gamma: f64 where DECAY = 0.1,
        /// The rate at which it stops to fall; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The same as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for Step {
    fn plan(&self, context: &Context) -> Planned {
        let step_size = context.period("step_size", self.step_size)?;
        let gamma = self.gamma;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        curve(move |t, base| floor.hold(base * power(gamma, t / step_size), base))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::super::Unit;
    use super::*;

    #[test]
    fn it_drops_every_step_size() {
        let schedule = Schedule::step(5).gamma(0.5);
        assert_eq!(rates(schedule, [0, 4, 5, 10, u64::MAX]), [1.0, 1.0, 0.5, 0.25, 0.0]);
    }

    /// Ten steps are one epoch here.
    #[test]
    fn in_epochs_it_drops_every_few_epochs() {
        let schedule = Schedule::step(2).gamma(0.5).unit(Unit::Epoch);
        assert_eq!(rates(schedule, [0, 19, 20, 39, 40]), [1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn a_share_is_a_share_of_the_run() {
        let schedule = Schedule::step(Length::Percent(25.0)).gamma(0.5);
        assert_eq!(rates(schedule.clone(), [24, 25]), [1.0, 0.5]);
        assert_eq!(rates(schedule.unit(Unit::Epoch), [29, 30]), [1.0, 0.5], "2.5 epochs are rounded to 3");
    }

    #[test]
    fn a_gamma_that_does_not_decay_is_refused() {
        for gamma in [0.0, -0.5, 1.5] {
            let message = refusal(Schedule::step(5).gamma(gamma));
            assert_eq!(message, format!("`step`: gamma is {gamma}; a decay must be above 0 and at most 1"));
        }
    }
}
