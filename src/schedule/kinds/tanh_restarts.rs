use super::cycles::{Decays, cycles};
use super::*;

kind! {
    /// `floor + (top - floor) / 2 * (1 - tanh(lb * (1 - x) + ub * x))`, where `x` is the share of a cycle that has passed.
    ///
    /// The next cycle begins where one ends: the rate at `t == t_0` is the top again, and the floor is never quite
    /// reached in between. After `cycle_limit` cycles the rate stays at the floor. With a `warmup`, cycle `i` is
    /// `warmup + (t_0 - warmup) * t_mult^i` long: its first updates rise from the floor to the top. With a whole
    /// `t_mult` the cycle is computed with integers, so restarts are exact at any `t`.
    ///
    /// Source: timm's `TanhLRScheduler` with cycles; its first update uses `base` itself.
    tanh_restarts => TanhRestarts {
        /// The length of the first cycle.
        t_0: Length where AT_LEAST_ONE,
        /// The ratio of each cycle's length to the one before, at least 1; 1 by default.
        t_mult: f64 where AT_LEAST_ONE = 1.0,
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The multiplier from cycle to cycle, of what `decays` names; 1 by default.
        cycle_decay: f64 where DECAY = 1.0,
        /// The number of cycles; unlimited by default.
        cycle_limit?: u64 where AT_LEAST_ONE,
        /// The floor as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
        /// The updates at the start of each cycle, a part of it, in which the rate rises from the floor; 0 by default.
        warmup: Length = Length::Steps(0),
        /// The part that `cycle_decay` makes smaller; the top by default.
        decays: Decays = Decays::Top,
        /// The start on the hyperbolic tangent, below `ub`; -7 by default.
        lb: f64 = -7.0,
        /// The end on it, above `lb`; 3 by default.
        ub: f64 = 3.0,
    }
}

impl Kind for TanhRestarts {
    fn plan(&self, context: &Context) -> Planned {
        let cycles = cycles!(self, context)?;
        let (lb, ub) = (self.lb, self.ub);
        if lb >= ub {
            return Err(context.refuse("lb", lb, &format!("it must be below ub, which is {ub}")));
        }
        curve(move |t, base| {
            let fall =
                |top: f64, floor: f64, x: f64| floor + (top - floor) / 2.0 * (1.0 - (lb * (1.0 - x) + ub * x).tanh());
            cycles.rate(t, base, fall)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn each_cycle_follows_the_hyperbolic_tangent() {
        let schedule = Schedule::tanh_restarts(10).lb(-1.0).ub(1.0).cycle_limit(2u64).eta_min(0.5);
        let start = 0.5 + 0.25 * (1.0 + 1.0f64.tanh());
        assert_close(rates(schedule, [0, 5, 10, 15, 20]), [start, 0.75, start, 0.75, 0.5]);
    }

    #[test]
    fn a_range_in_the_wrong_order_is_refused() {
        let message = refusal(Schedule::tanh_restarts(10).lb(3.0));
        assert_eq!(message, "`tanh_restarts`: lb is 3; it must be below ub, which is 3");
    }
}
