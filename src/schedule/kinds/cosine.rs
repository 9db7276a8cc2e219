use super::floor::Floor;
use super::*;

words! {
    /// Behavior of a cosine after its end.
    After {
        /// It stays at the floor, as in Megatron, Keras, optax and timm.
        Hold = "hold",
        /// It rises and falls again with period `2 * t_max`, as in PyTorch and transformers.
        Cycle = "cycle",
    }
}

kind! {
    /// `eta_min + (base - eta_min) / 2 * (1 + cos(pi * u^k / t_max^k))`, with `u = min(t, t_max)` and `k = k_decay`.
    ///
    /// The rate at `t = 0` is `base`; `eta_min` is reached at `t == t_max` and held. With `after = "cycle"`, `u = t`.
    /// `eta_min` is a rate, `min_ratio` a share of `base`. With `exponent` p, half of `1 + cos(…)` is raised to p.
    ///
    /// Source: Loshchilov and Hutter, "SGDR" (2017), eq. 5, without restarts; PyTorch's `CosineAnnealingLR` in closed
    /// form; `k_decay` as in timm's `CosineLRScheduler`, after Zhang and Li, "k-decay" (2020); `exponent` as in optax's
    /// `cosine_decay_schedule`.
    cosine => Cosine {
        /// The time at which the floor is reached.
        t_max: Length where AT_LEAST_ONE,
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// Behavior after `t_max`; it holds by default.
        after: After = After::Hold,
        /// Exponent of time: above 1 the rate falls later and faster; 1 by default.
        k_decay: f64 where POSITIVE = 1.0,
        /// The floor as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
        /// Exponent of the half cosine: above 1 the rate falls earlier; 1 by default.
        exponent: f64 where POSITIVE = 1.0,
    }
}

impl Kind for Cosine {
    fn plan(&self, context: &Context) -> Planned {
        let t_max = context.period("t_max", self.t_max)?;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        let (k, exponent) = (self.k_decay, self.exponent);
        let holds = self.after == After::Hold;
        curve(move |t, base| {
            let x = match holds {
                true if k == 1.0 => progress(t, t_max),
                true => progress(t, t_max).powf(k),
                false => phase(t, t_max, k),
            };
            let floor = floor.rate(base);
            if exponent == 1.0 {
                half_cosine(base, floor, x)
            } else {
                floor + (base - floor) * half_cosine(1.0, 0.0, x).powf(exponent)
            }
        })
    }

    fn length(&self) -> Option<Length> {
        (self.after == After::Hold).then_some(self.t_max)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        (self.after == After::Hold).then(|| Self { t_max: length, ..self.clone() }.into())
    }
}

/// Returns `(t / t_max)^k` up to whole waves, which are 2 long. Whole waves are removed before rounding; if `k` makes
/// the power larger than f64 can resolve, the wave is restarted.
fn phase(t: u64, t_max: u64, k: f64) -> f64 {
    if k == 1.0 {
        let wave = t_max.checked_mul(2).map_or(t, |period| t % period);
        return wave as f64 / t_max as f64;
    }
    let phase = (t as f64 / t_max as f64).powf(k);
    if phase.is_finite() { phase % 2.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_starts_at_the_base_rate_and_holds_the_floor() {
        let schedule = Schedule::cosine(20).eta_min(0.5);
        assert_eq!(rates(schedule, [0, 20, 21, 40, u64::MAX]), [1.0, 0.5, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn half_way_it_is_half_way() {
        assert_close(rates(Schedule::cosine(20), [10]), [0.5]);
        assert_close(rates(Schedule::cosine(20).k_decay(2.0), [10]), [0.5 + 0.5f64.sqrt() / 2.0]);
    }

    #[test]
    fn a_floor_may_be_a_share_of_each_base_rate() {
        let plan = plan(Schedule::cosine(20).min_ratio(0.5)).unwrap();
        assert_close([0.1, 10.0].map(|base| plan.rate(10, base, 0)), [0.075, 7.5]);
        assert_close([0.1, 10.0].map(|base| plan.rate(20, base, 0)), [0.05, 5.0]);
    }

    #[test]
    fn an_exponent_makes_it_fall_earlier() {
        assert_close(rates(Schedule::cosine(20).exponent(2.0).eta_min(0.2), [0, 10, 20]), [1.0, 0.4, 0.2]);
    }

    #[test]
    fn asked_to_cycle_it_rises_again() {
        let schedule = Schedule::cosine(20).after(After::Cycle);
        assert_close(rates(schedule, [20, 30, 40, 60, 40_000_000_000_000_000]), [0.0, 0.5, 1.0, 0.0, 1.0]);
    }

    /// The largest u64 is 15 modulo 40, so the wave is at 15 / 20.
    #[test]
    fn cycling_is_exact_at_the_end_of_time() {
        assert_eq!(u64::MAX % 40, 15);
        let schedule = Schedule::cosine(20).after(After::Cycle);
        assert_eq!(rates(schedule.clone(), [u64::MAX]), rates(schedule, [15]));
    }

    #[test]
    fn a_period_of_zero_is_refused() {
        assert_eq!(refusal(Schedule::cosine(0)), "`cosine`: t_max is 0; it must be at least 1");
        let message = refusal(Schedule::cosine(Length::Percent(0.1)));
        assert_eq!(message, "`cosine`: t_max is \"0.1%\"; that is 0 of this run, and it must be at least 1");
    }
}
