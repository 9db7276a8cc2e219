use super::floor::Floor;
use super::*;

kind! {
    /// `base * gamma^(t / period)`.
    ///
    /// The rate at `t = 0` is `base`. It falls forever, or to the floor; below the range of f64 it is 0.
    ///
    /// Source: PyTorch's `ExponentialLR`; with a `period`, optax's and Keras' `exponential_decay`.
    exponential => Exponential {
        /// The factor per update.
        gamma: f64 where DECAY,
        /// The updates in which the rate falls by `gamma`; 1 by default.
        period: Length where AT_LEAST_ONE = Length::Steps(1),
        /// The rate at which it stops to fall; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The same as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for Exponential {
    fn plan(&self, context: &Context) -> Planned {
        let gamma = self.gamma;
        let period = context.period("period", self.period)? as f64;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        curve(move |t, base| floor.hold(base * gamma.powf(t as f64 / period), base))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_decays_at_each_step() {
        let powers = [1.0, 0.9, 0.9 * 0.9, 0.0];
        assert_close(rates(Schedule::exponential(0.9), [0, 1, 2, u64::MAX]), powers);
    }

    /// (1 - 1e-13)^(10^13) is 1/e up to 1e-13 / 2 and the rounding of 1 - 1e-13, which the power multiplies.
    #[test]
    fn a_trillion_steps_are_exact_too() {
        let gamma: f64 = 1.0 - 1e-13;
        let expected = (1e13 * (gamma - 1.0).ln_1p()).exp();
        let [rate] = rates(Schedule::exponential(gamma), [10_000_000_000_000]);
        assert!((rate / expected - 1.0).abs() < 1e-12, "{rate} is not {expected}");
    }

    #[test]
    fn growth_is_refused() {
        let message = refusal(Schedule::exponential(1.01));
        assert_eq!(message, "`exponential`: gamma is 1.01; a decay must be above 0 and at most 1");
    }
}
