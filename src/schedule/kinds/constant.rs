use super::*;

kind! {
    /// `base * factor` while `t < total`, then `base`.
    ///
    /// Without `total` it never ends. At `t == total` the rate is already `base`.
    ///
    /// Source: PyTorch's `ConstantLR` (`total_iters`); transformers' `get_constant_schedule` with the defaults.
    constant => Constant {
        /// The multiplier of the base rate; 1 by default.
        factor: f64 where NOT_NEGATIVE = 1.0,
        /// When the factor ends; never by default.
        total?: Length,
    }
}

impl Kind for Constant {
    fn plan(&self, context: &Context) -> Planned {
        let factor = self.factor;
        let total = self.total.map(|total| context.length("total", total)).transpose()?;
        curve(move |t, base| if total.is_none_or(|total| t < total) { base * factor } else { base })
    }

    fn length(&self) -> Option<Length> {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn the_factor_ends_at_total() {
        assert_eq!(rates(Schedule::constant().factor(0.25).total(5), [0, 4, 5, 6]), [0.25, 0.25, 1.0, 1.0]);
    }

    #[test]
    fn without_total_the_factor_never_ends() {
        assert_eq!(rates(Schedule::constant().factor(0.25), [0, u64::MAX]), [0.25, 0.25]);
    }

    #[test]
    fn a_negative_factor_is_refused() {
        let message = refusal(Schedule::constant().factor(-1.0));
        assert_eq!(message, "`constant`: factor is -1; it must not be negative");
    }
}
