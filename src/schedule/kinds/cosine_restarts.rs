use super::cycles::{Decays, cycles};
use super::*;

kind! {
    /// Half a cosine from `base * cycle_decay^i` down to `eta_min` in cycle `i`, which is `t_0 * t_mult^i` long.
    ///
    /// The next cycle begins where one ends: the rate at `t == t_0` is the top again, and the floor is never quite
    /// reached in between. After `cycle_limit` cycles the rate stays at the floor. With a `warmup`, cycle `i` is
    /// `warmup + (t_0 - warmup) * t_mult^i` long: its first updates rise from the floor to the top. With a whole
    /// `t_mult` the cycle is computed with integers, so restarts are exact at any `t`.
    ///
    /// Source: Loshchilov and Hutter, "SGDR" (2017), eq. 5; PyTorch's `CosineAnnealingWarmRestarts`; cycle decay and
    /// limit as in timm's `CosineLRScheduler`; with both the default and `t_mult` 1, transformers'
    /// `get_cosine_with_hard_restarts_schedule_with_warmup`; `warmup` as in the package cosine-annealing-warmup;
    /// `decays` as in fairseq's `CosineLRSchedule` ("both") and Keras' `CosineDecayRestarts` ("height").
    cosine_restarts => CosineRestarts {
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
    }
}

impl Kind for CosineRestarts {
    fn plan(&self, context: &Context) -> Planned {
        let cycles = cycles!(self, context)?;
        curve(move |t, base| cycles.rate(t, base, half_cosine))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn each_cycle_starts_at_the_top() {
        let schedule = Schedule::cosine_restarts(10).t_mult(2.0);
        assert_close(rates(schedule, [0, 5, 10, 20, 30, 50]), [1.0, 0.5, 1.0, 0.5, 1.0, 0.5]);
    }

    /// Cycles of lengths 3^i start at (3^n - 1) / 2, where a floating-point logarithm is inexact.
    #[test]
    fn restarts_are_exact_at_any_t() {
        let plan = plan(Schedule::cosine_restarts(1).t_mult(3.0)).unwrap();
        for n in 1..40 {
            let start = (3u64.pow(n) - 1) / 2;
            assert_eq!(plan.rate(start, 1.0, 0), 1.0, "cycle {n}");
            assert!(plan.rate(start - 1, 1.0, 0) < 1.0 || n == 1, "before cycle {n}");
        }
    }

    #[test]
    fn tops_decay_and_cycles_end() {
        let schedule = Schedule::cosine_restarts(10).cycle_decay(0.5).cycle_limit(2u64).eta_min(0.25);
        assert_close(rates(schedule, [0, 10, 19, 20, u64::MAX]), [1.0, 0.5, half_cosine(0.5, 0.25, 0.9), 0.25, 0.25]);
    }

    #[test]
    fn cycles_that_shrink_to_nothing_are_refused() {
        assert_eq!(refusal(Schedule::cosine_restarts(0)), "`cosine_restarts`: t_0 is 0; it must be at least 1");
        let message = refusal(Schedule::cosine_restarts(5).t_mult(0.0));
        assert_eq!(message, "`cosine_restarts`: t_mult is 0; it must be at least 1");
    }

    /// Cycles of 10, 15 and 22.5 updates.
    #[test]
    fn a_cycle_may_grow_by_a_factor_that_is_not_whole() {
        let schedule = Schedule::cosine_restarts(10).t_mult(1.5);
        assert_close(rates(schedule.clone(), [0, 5, 10, 25]), [1.0, 0.5, 1.0, 1.0]);
        assert_close(rates(schedule, [47, 48]), [half_cosine(1.0, 0.0, 22.0 / 22.5), half_cosine(1.0, 0.0, 0.5 / 33.75)]);
    }

    /// The warm-up of two updates keeps its length; the decays are 8 and 16 long.
    #[test]
    fn each_cycle_may_warm_up_from_the_floor() {
        let schedule = Schedule::cosine_restarts(10).t_mult(2.0).warmup(2).min_ratio(0.5);
        assert_close(rates(schedule, [0, 1, 2, 6, 10, 11, 12, 20]), [0.5, 0.75, 1.0, 0.75, 0.5, 0.75, 1.0, 0.75]);
        let message = refusal(Schedule::cosine_restarts(5).warmup(5));
        assert_eq!(message, "`cosine_restarts`: warmup is 5; it must be shorter than the cycle, which is 5");
    }

    #[test]
    fn the_decay_from_cycle_to_cycle_is_of_the_top_of_both_ends_or_of_the_height() {
        let schedule = Schedule::cosine_restarts(10).cycle_decay(0.5).eta_min(0.25).cycle_limit(2u64);
        let of = |decays| rates(schedule.clone().decays(decays), [10, 20]);
        assert_close(of(Decays::Top), [0.5, 0.25]);
        assert_close(of(Decays::Both), [0.5, 0.125]);
        assert_close(of(Decays::Height), [0.625, 0.25]);
    }

    #[test]
    fn any_time_is_in_a_cycle_of_any_growth() {
        for t_mult in [1.000_000_1, 1.5, 2.0, 1e300] {
            let [rate] = rates(Schedule::cosine_restarts(3).t_mult(t_mult).warmup(1), [u64::MAX]);
            assert!((0.0..=1.0).contains(&rate), "{t_mult}: {rate}");
        }
    }
}
