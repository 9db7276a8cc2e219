use super::floor::Floor;
use super::*;

kind! {
    /// `eta_min + (base - eta_min) * (1 - min(t, total) / total)^power`.
    ///
    /// The rate at `t = 0` is `base`; `eta_min` is reached at `t == total` and held. With `k_decay` the share of `total`
    /// that has passed is raised to it. With `after = "cycle"`, `total` grows to the next multiple of itself that is
    /// not before `t`.
    ///
    /// Source: PyTorch's `PolynomialLR`; timm's `PolyLRScheduler`, without restarts; with power 1 the decay of
    /// transformers' `get_linear_schedule_with_warmup`; `after` as `cycle` in Keras' `PolynomialDecay`.
    polynomial => Polynomial {
        /// The time at which the floor is reached.
        total: Length where AT_LEAST_ONE,
        /// The exponent: 1, the default, is a straight line; above 1 the rate falls early, below 1 late.
        power: f64 where POSITIVE = 1.0,
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The floor as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
        /// Behavior after `total`: it holds by default; with "cycle" the decay is stretched to the next multiple.
        after: After = After::Hold,
        /// Exponent of time: above 1 the rate falls later and faster; 1 by default.
        k_decay: f64 where POSITIVE = 1.0,
    }
}

impl Kind for Polynomial {
    fn plan(&self, context: &Context) -> Planned {
        let total = context.period("total", self.total)?;
        let (power, k) = (self.power, self.k_decay);
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        let cycles = self.after == After::Cycle;
        curve(move |t, base| {
            let eta_min = floor.rate(base);
            let x = progress(t, if cycles { stretched(t, total) } else { total });
            let x = if k == 1.0 { x } else { x.powf(k) };
            eta_min + (base - eta_min) * (1.0 - x).powf(power)
        })
    }

    fn length(&self) -> Option<Length> {
        (self.after == After::Hold).then_some(self.total)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        (self.after == After::Hold).then(|| Self { total: length, ..self.clone() }.into())
    }
}

/// Returns the smallest multiple of `total`, at least one, that is not before `t`.
fn stretched(t: u64, total: u64) -> u64 {
    t.div_ceil(total).max(1).saturating_mul(total)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_falls_to_the_floor_and_holds_it() {
        let schedule = Schedule::polynomial(4).power(2.0).eta_min(0.5);
        assert_close(rates(schedule, [0, 1, 2, 4, 5, u64::MAX]), [1.0, 0.78125, 0.625, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn a_floor_may_be_a_share_of_each_base_rate() {
        let plan = plan(Schedule::polynomial(4).min_ratio(0.5)).unwrap();
        assert_close([0.1, 10.0].map(|base| plan.rate(2, base, 0)), [0.075, 7.5]);
        let message = refusal(Schedule::polynomial(4).eta_min(0.1).min_ratio(0.5));
        assert_eq!(message, "`polynomial`: min_ratio is 0.5; there is an eta_min already; give one of the two");
    }

    /// At update 5 the decay is 8 long, from 9 on 12.
    #[test]
    fn asked_to_cycle_it_is_stretched() {
        let schedule = Schedule::polynomial(4).after(After::Cycle);
        assert_close(rates(schedule, [4, 5, 8, 9]), [0.0, 0.375, 0.0, 0.25]);
        assert_close(rates(Schedule::polynomial(4).after(After::Cycle), [u64::MAX]), [0.0]);
    }

    #[test]
    fn a_power_of_zero_is_refused() {
        assert_eq!(refusal(Schedule::polynomial(4).power(0.0)), "`polynomial`: power is 0; it must be above 0");
    }

    #[test]
    fn a_period_of_zero_is_refused() {
        assert_eq!(refusal(Schedule::polynomial(0)), "`polynomial`: total is 0; it must be at least 1");
    }
}
