use super::floor::Floor;
use super::*;

kind! {
    /// `base * (timescale / (t + timescale))^exponent`.
    ///
    /// It needs no length of the run, so a run can be made longer without a change of its rates so far. The rate at
    /// `t = 0` is `base`; it falls forever, or to the floor. With the default exponent it is `inverse_sqrt`.
    ///
    /// Source: Shen and others, "Power scheduler" (2024), eq. 4; OLMo-core's `PowerLR`, whose `timescale` is the length
    /// of the warm-up and whose exponent is 0.51.
    power => Power {
        /// The time scale: a larger value falls more slowly.
        timescale: Length where AT_LEAST_ONE,
        /// The exponent: a larger one falls faster; 0.5 by default.
        exponent: f64 where POSITIVE = 0.5,
        /// The rate at which it stops to fall; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The same as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for Power {
    fn plan(&self, context: &Context) -> Planned {
        let timescale = context.period("timescale", self.timescale)? as f64;
        let exponent = self.exponent;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        curve(move |t, base| floor.hold(base * (timescale / (t as f64 + timescale)).powf(exponent), base))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_falls_with_the_power_of_time() {
        assert_close(rates(Schedule::power(10).exponent(2.0), [0, 10, 30]), [1.0, 0.25, 0.0625]);
    }

    #[test]
    fn by_default_it_is_the_inverse_square_root() {
        assert_close(rates(Schedule::power(10), [7, 70]), rates(Schedule::inverse_sqrt(10), [7, 70]));
    }

    #[test]
    fn it_stops_at_the_floor() {
        assert_close(rates(Schedule::power(10).min_ratio(0.25), [1000, u64::MAX]), [0.25, 0.25]);
    }
}
