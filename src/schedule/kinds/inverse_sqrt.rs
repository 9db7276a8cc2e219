use super::floor::Floor;
use super::*;

kind! {
    /// `base * sqrt(timescale / (t + timescale))`.
    ///
    /// The rate at `t = 0` is `base`; at `t == 3 * timescale` it is half of that. It falls forever, or to the
    /// floor.
    ///
    /// Source: transformers' `get_inverse_sqrt_schedule`, after its warm-up.
    inverse_sqrt => InverseSqrt {
        /// The time scale: a larger value falls more slowly.
        timescale: Length where AT_LEAST_ONE,
        /// The rate at which it stops to fall; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The same as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for InverseSqrt {
    fn plan(&self, context: &Context) -> Planned {
        let timescale = context.period("timescale", self.timescale)? as f64;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        curve(move |t, base| floor.hold(base * (timescale / (t as f64 + timescale)).sqrt(), base))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_halves_in_three_timescales() {
        assert_close(rates(Schedule::inverse_sqrt(20), [0, 60, 300]), [1.0, 0.5, 0.25]);
    }

    #[test]
    fn it_falls_forever() {
        let [rate] = rates(Schedule::inverse_sqrt(1), [u64::MAX]);
        assert_close([rate], [2f64.powi(-32)]);
    }

    #[test]
    fn a_timescale_of_zero_is_refused() {
        assert_eq!(refusal(Schedule::inverse_sqrt(0)), "`inverse_sqrt`: timescale is 0; it must be at least 1");
    }
}
