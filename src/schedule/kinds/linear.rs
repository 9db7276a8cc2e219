use super::*;

kind! {
    /// `base * (start_factor + (end_factor - start_factor) * min(t, total) / total)`.
    ///
    /// The first rate is `base * start_factor`; `base * end_factor` is reached at `t == total` and held.
    ///
    /// Source: PyTorch's `LinearLR` (`total_iters`).
    linear => Linear {
        /// The factor at `t = 0`; 1/3 by default.
        start_factor: f64 where NOT_NEGATIVE = 1.0 / 3.0,
        /// The factor at `total` and after; 1 by default.
        end_factor: f64 where NOT_NEGATIVE = 1.0,
        /// The duration; 5 by default.
        total: Length where AT_LEAST_ONE = Length::Steps(5),
    }
}

impl Kind for Linear {
    fn plan(&self, context: &Context) -> Planned {
        let start = self.start_factor;
        let end = self.end_factor;
        let total = context.period("total", self.total)?;
        curve(move |t, base| base * (start + (end - start) * progress(t, total)))
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
    fn it_starts_at_the_first_factor_and_holds_the_last() {
        let schedule = Schedule::linear().start_factor(0.5).total(4);
        assert_close(rates(schedule, [0, 1, 4, 5, u64::MAX]), [0.5, 0.625, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_period_of_zero_is_refused() {
        assert_eq!(refusal(Schedule::linear().total(0)), "`linear`: total is 0; it must be at least 1");
    }

    #[test]
    fn a_factor_that_is_not_a_number_is_refused() {
        let message = refusal(Schedule::linear().end_factor(f64::NAN));
        assert_eq!(message, "`linear`: end_factor is nan; it must be a finite number");
    }
}
