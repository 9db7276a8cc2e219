use super::*;

kind! {
    /// `eta_min + (base - eta_min) * (1 - min(t, total) / total)^power`.
    ///
    /// The rate at `t = 0` is `base`; `eta_min` is reached at `t == total` and held.
    ///
    /// Source: PyTorch's `PolynomialLR`; timm's `PolyLRScheduler`, without restarts; with power 1 the decay of
    /// transformers' `get_linear_schedule_with_warmup`.
    polynomial => Polynomial {
        /// The time at which the floor is reached.
        total: Length where AT_LEAST_ONE,
        /// The exponent: 1, the default, is a straight line; above 1 the rate falls early, below 1 late.
        power: f64 where POSITIVE = 1.0,
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
    }
}

impl Kind for Polynomial {
    fn plan(&self, context: &Context) -> Planned {
        let total = context.period("total", self.total)?;
        let power = self.power;
        let eta_min = self.eta_min;
        curve(move |t, base| eta_min + (base - eta_min) * (1.0 - progress(t, total)).powf(power))
    }

    fn length(&self) -> Option<Length> {
        Some(self.total)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        Some(Self { total: length, ..self.clone() }.into())
    }
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
    fn a_power_of_zero_is_refused() {
        assert_eq!(refusal(Schedule::polynomial(4).power(0.0)), "`polynomial`: power is 0; it must be above 0");
    }

    #[test]
    fn a_period_of_zero_is_refused() {
        assert_eq!(refusal(Schedule::polynomial(0)), "`polynomial`: total is 0; it must be at least 1");
    }
}
