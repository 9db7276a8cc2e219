use super::*;

words! {
    /// Change of the height of the triangles.
    CycleMode {
        /// Constant height.
        Triangular = "triangular",
        /// The height halves from cycle to cycle.
        Triangular2 = "triangular2",
        /// The height is multiplied by `gamma` at each step.
        ExpRange = "exp_range",
    }
}

kind! {
    /// Up from `base` to `max_lr` in `step_size_up` steps and down again in `step_size_down`, over and over.
    ///
    /// The rate at `t = 0` is `base`. The height over `base` is multiplied by 1 ("triangular"), by `2^-cycle`
    /// ("triangular2") or by `gamma^t` ("exp_range"). Momentum falls from `high` as the rate rises, its depth scaled
    /// in the same way.
    ///
    /// Source: Smith, "Cyclical learning rates" (2017); PyTorch's `CyclicLR`.
    cyclic => Cyclic {
        /// The top: one for all groups, or one for each.
        max_lr: ForGroups,
        /// The length of the rise; 2000 by default.
        step_size_up: Length where AT_LEAST_ONE = Length::Steps(2000),
        /// The length of the fall; the same as the rise by default.
        step_size_down?: Length where AT_LEAST_ONE,
        /// How the height changes; constant by default.
        mode: CycleMode = CycleMode::Triangular,
        /// The factor per step of "exp_range"; 1 by default.
        gamma: f64 where DECAY = 1.0,
        /// `[low, high]`: momentum cycles too, against the rate; unchanged by default.
        momentum?: Momentum,
    }
}

impl Kind for Cyclic {
    fn plan(&self, context: &Context) -> Planned {
        let up = context.period("step_size_up", self.step_size_up)?;
        let down = context.period("step_size_down", self.step_size_down.unwrap_or(self.step_size_up))?;
        let Some(period) = up.checked_add(down) else {
            return Err(context.refuse("step_size_down", down, "up and down together are longer than time"));
        };
        Ok(Box::new(Triangles {
            max_lrs: context.for_groups("max_lr", &self.max_lr)?,
            up,
            down,
            period,
            mode: self.mode,
            gamma: self.gamma,
            momentum: context.momentum(self.momentum)?,
        }))
    }
}

struct Triangles {
    max_lrs: Vec<f64>,
    up: u64,
    down: u64,
    period: u64,
    mode: CycleMode,
    gamma: f64,
    momentum: Option<Momentum>,
}

impl Triangles {
    /// Returns the height at `t`, from 0 (bottom) to 1 (top).
    fn height(&self, t: u64) -> f64 {
        let passed = t % self.period;
        let height = if passed <= self.up {
            passed as f64 / self.up as f64
        } else {
            (self.period - passed) as f64 / self.down as f64
        };
        height
            * match self.mode {
                CycleMode::Triangular => 1.0,
                CycleMode::Triangular2 => power(0.5, t / self.period),
                CycleMode::ExpRange => power(self.gamma, t),
            }
    }
}

impl Curve for Triangles {
    fn rate(&self, at: At<'_>) -> f64 {
        let top = self.max_lrs.get(at.group).copied().unwrap_or(at.base);
        at.base + (top - at.base) * self.height(at.t)
    }

    fn momentum(&self, t: u64, _group: usize) -> Option<f64> {
        self.momentum.map(|Momentum { low, high }| high - (high - low) * self.height(t))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_goes_up_and_down() {
        let schedule = Schedule::cyclic(3.0).step_size_up(2).step_size_down(4);
        assert_close(rates(schedule, [0, 1, 2, 3, 4, 6, 8]), [1.0, 2.0, 3.0, 2.5, 2.0, 1.0, 3.0]);
    }

    #[test]
    fn the_height_halves_or_decays() {
        let halved = Schedule::cyclic(3.0).step_size_up(2).mode(CycleMode::Triangular2);
        assert_close(rates(halved, [2, 6, 10, u64::MAX]), [3.0, 2.0, 1.5, 1.0]);
        let decayed = Schedule::cyclic(3.0).step_size_up(2).mode(CycleMode::ExpRange).gamma(0.5);
        assert_close(rates(decayed, [2, 6]), [1.5, 1.0 + 2.0 / 64.0]);
    }

    #[test]
    fn momentum_goes_against_the_rate() {
        let plan = plan(Schedule::cyclic(3.0).step_size_up(2).momentum([0.75, 1.0])).unwrap_err();
        assert!(plan.to_string().contains("momentum is [0.75, 1]; it must be below 1"), "{plan}");
        let schedule = Schedule::cyclic(3.0).step_size_up(2).momentum([0.5, 0.75]);
        let plan = super::super::testing::plan(schedule).unwrap();
        assert_eq!([0, 1, 2].map(|t| plan.momentum(t, 0)), [Some(0.75), Some(0.625), Some(0.5)]);
    }

    #[test]
    fn tops_that_do_not_match_the_groups_are_refused() {
        let message = refusal(Schedule::cyclic([1.0, 2.0]));
        assert_eq!(
            message,
            "`cyclic`: max_lr is a list of 2; there must be one for each parameter group, that is 1"
        );
    }
}
