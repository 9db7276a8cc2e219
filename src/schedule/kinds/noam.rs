use super::*;

kind! {
    /// `base * model_dim^-0.5 * min(s^-0.5, s * warmup^-1.5)`, with `s = max(t, 1)`.
    ///
    /// It rises in a straight line, peaks at `t == warmup` with `base / sqrt(model_dim * warmup)`, and falls forever.
    /// The paper counts from 1; `t = 0` uses the rate of 1. The paper's rate has `base = 1`.
    ///
    /// Source: Vaswani and others, "Attention is all you need" (2017), eq. 3.
    noam => Noam {
        /// Width of the model.
        model_dim: u64 where AT_LEAST_ONE,
        /// The length of the rise.
        warmup: Length where AT_LEAST_ONE,
    }
}

impl Kind for Noam {
    fn plan(&self, context: &Context) -> Planned {
        let model_dim = self.model_dim as f64;
        let slope = (context.period("warmup", self.warmup)? as f64).powf(-1.5);
        curve(move |t, base| {
            let s = t.max(1) as f64;
            base / model_dim.sqrt() * (1.0 / s.sqrt()).min(s * slope)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_peaks_at_the_end_of_the_warm_up() {
        let schedule = Schedule::noam(4u64, 16);
        assert_close(rates(schedule, [0, 1, 8, 16, 64]), [1.0 / 128.0, 1.0 / 128.0, 0.0625, 0.125, 0.0625]);
    }

    #[test]
    fn a_model_without_width_is_refused() {
        assert_eq!(refusal(Schedule::noam(0u64, 16)), "`noam`: model_dim is 0; it must be at least 1");
        assert_eq!(refusal(Schedule::noam(4u64, 0)), "`noam`: warmup is 0; it must be at least 1");
    }
}
