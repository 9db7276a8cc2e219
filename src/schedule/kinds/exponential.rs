use super::*;

kind! {
    /// `base * gamma^t`.
    ///
    /// The rate at `t = 0` is `base`. It falls forever; below the range of f64 it is 0.
    ///
    /// Source: PyTorch's `ExponentialLR`.
    exponential => Exponential {
        /// The factor per update.
        gamma: f64 where DECAY,
    }
}

impl Kind for Exponential {
    fn plan(&self, _context: &Context) -> Planned {
        let gamma = self.gamma;
        curve(move |t, base| base * power(gamma, t))
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
