use super::cycles::{Decays, cycles};
use super::*;

kind! {
    /// `floor + (top - floor) * (1 - x^k_decay)^power` in each cycle, where `x` is the share of it that has passed.
    ///
    /// The next cycle begins where one ends: the rate at `t == t_0` is the top again, and the floor is never quite
    /// reached in between. After `cycle_limit` cycles the rate stays at the floor. With a `warmup`, cycle `i` is
    /// `warmup + (t_0 - warmup) * t_mult^i` long: its first updates rise from the floor to the top. With a whole
    /// `t_mult` the cycle is computed with integers, so restarts are exact at any `t`.
    ///
    /// Source: timm's `PolyLRScheduler` with cycles; its power is 0.5 by default.
    polynomial_restarts => PolynomialRestarts {
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
        /// The exponent: 1, the default, is a straight line.
        power: f64 where POSITIVE = 1.0,
        /// Exponent of time: above 1 the rate falls later and faster; 1 by default.
        k_decay: f64 where POSITIVE = 1.0,
    }
}

impl Kind for PolynomialRestarts {
    fn plan(&self, context: &Context) -> Planned {
        let cycles = cycles!(self, context)?;
        let (power, k) = (self.power, self.k_decay);
        curve(move |t, base| {
            cycles.rate(t, base, |top, floor, x| floor + (top - floor) * (1.0 - x.powf(k)).powf(power))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn each_cycle_falls_from_its_top_to_the_floor() {
        let schedule = Schedule::polynomial_restarts(4).power(2.0).eta_min(0.25).cycle_decay(0.5).cycle_limit(2u64);
        assert_close(rates(schedule, [0, 2, 4, 6, 8, 100]), [1.0, 0.4375, 0.5, 0.3125, 0.25, 0.25]);
    }

    #[test]
    fn with_k_decay_it_falls_later() {
        assert_close(rates(Schedule::polynomial_restarts(4).k_decay(2.0), [2, 6]), [0.75, 0.75]);
    }
}
