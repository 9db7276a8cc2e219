use super::floor::Floor;
use super::*;

kind! {
    /// `base / (1 + rate * t / decay)`; with `staircase`, `t / decay` is rounded down.
    ///
    /// The rate at `t = 0` is `base`. It falls forever, or to the floor. With `power`, the divisor is raised to it.
    ///
    /// Source: Keras' `InverseTimeDecay` (`decay_steps`, `decay_rate`); `power` as scikit-learn's "invscaling".
    inverse_time => InverseTime {
        /// The unit of time.
        decay: Length where AT_LEAST_ONE,
        /// The increase of the divisor per unit of time.
        rate: f64 where NOT_NEGATIVE,
        /// Whether the rate changes only after whole units of time; not by default.
        staircase: bool = false,
        /// The exponent of the divisor; 1 by default.
        power: f64 where POSITIVE = 1.0,
        /// The rate at which it stops to fall; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The same as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for InverseTime {
    fn plan(&self, context: &Context) -> Planned {
        let decay = context.period("decay", self.decay)?;
        let rate = self.rate;
        let staircase = self.staircase;
        let power = self.power;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        curve(move |t, base| {
            let units = if staircase { (t / decay) as f64 } else { t as f64 / decay as f64 };
            let divisor = 1.0 + rate * units;
            floor.hold(base / if power == 1.0 { divisor } else { divisor.powf(power) }, base)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_falls_as_one_over_time() {
        assert_close(rates(Schedule::inverse_time(10, 0.5), [0, 10, 20, 60]), [1.0, 1.0 / 1.5, 0.5, 0.25]);
    }

    #[test]
    fn as_a_staircase_it_waits_for_whole_units() {
        let schedule = Schedule::inverse_time(10, 1.0).staircase(true);
        assert_close(rates(schedule, [0, 9, 10, 19, 20]), [1.0, 1.0, 0.5, 0.5, 1.0 / 3.0]);
    }

    #[test]
    fn a_rate_below_zero_is_refused() {
        assert_eq!(refusal(Schedule::inverse_time(10, -1.0)), "`inverse_time`: rate is -1; it must not be negative");
        assert_eq!(refusal(Schedule::inverse_time(0, 1.0)), "`inverse_time`: decay is 0; it must be at least 1");
    }
}
