use super::*;

kind! {
    /// Half a cosine from `base * cycle_decay^i` down to `eta_min` in cycle `i`, which is `t_0 * t_mult^i` long.
    ///
    /// The next cycle begins where one ends: the rate at `t == t_0` is the top again, and `eta_min` is never quite
    /// reached in between. After `cycle_limit` cycles the rate stays at `eta_min`. The cycle is computed with integers,
    /// so restarts are exact at any `t`.
    ///
    /// Source: Loshchilov and Hutter, "SGDR" (2017), eq. 5; PyTorch's `CosineAnnealingWarmRestarts`; cycle decay and
    /// limit as in timm's `CosineLRScheduler`; with both the default and `t_mult` 1, transformers'
    /// `get_cosine_with_hard_restarts_schedule_with_warmup`.
    cosine_restarts => CosineRestarts {
        /// The length of the first cycle.
        t_0: Length where AT_LEAST_ONE,
        /// The ratio of each cycle's length to the one before; 1 by default.
        t_mult: u64 where AT_LEAST_ONE = 1,
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The multiplier of the top from cycle to cycle; 1 by default.
        cycle_decay: f64 where DECAY = 1.0,
        /// The number of cycles; unlimited by default.
        cycle_limit?: u64 where AT_LEAST_ONE,
    }
}

impl Kind for CosineRestarts {
    fn plan(&self, context: &Context) -> Planned {
        let t_0 = context.period("t_0", self.t_0)?;
        let eta_min = self.eta_min;
        let cycle_decay = self.cycle_decay;
        let (t_mult, cycle_limit) = (self.t_mult, self.cycle_limit);
        curve(move |t, base| {
            let cycle = Cycle::at(t, t_0, t_mult);
            if cycle_limit.is_some_and(|limit| cycle.index >= limit) {
                return eta_min;
            }
            half_cosine(base * power(cycle_decay, cycle.index), eta_min, cycle.passed as f64 / cycle.length as f64)
        })
    }
}

struct Cycle {
    index: u64,
    passed: u64,
    length: u64,
}

impl Cycle {
    /// Returns the cycle that contains `t`. A growing cycle exceeds u64 after at most 64 rounds.
    fn at(t: u64, t_0: u64, t_mult: u64) -> Self {
        if t_mult == 1 {
            return Self { index: t / t_0, passed: t % t_0, length: t_0 };
        }
        let mut cycle = Self { index: 0, passed: t, length: t_0 };
        while cycle.passed >= cycle.length {
            cycle.passed -= cycle.length;
            cycle.length = cycle.length.saturating_mul(t_mult);
            cycle.index += 1;
        }
        cycle
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn each_cycle_starts_at_the_top() {
        let schedule = Schedule::cosine_restarts(10).t_mult(2u64);
        assert_close(rates(schedule, [0, 5, 10, 20, 30, 50]), [1.0, 0.5, 1.0, 0.5, 1.0, 0.5]);
    }

    /// Cycles of lengths 3^i start at (3^n - 1) / 2, where a floating-point logarithm is inexact.
    #[test]
    fn restarts_are_exact_at_any_t() {
        let plan = plan(Schedule::cosine_restarts(1).t_mult(3u64)).unwrap();
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
        let message = refusal(Schedule::cosine_restarts(5).t_mult(0u64));
        assert_eq!(message, "`cosine_restarts`: t_mult is 0; it must be at least 1");
    }
}
