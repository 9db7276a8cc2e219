use super::floor::Floor;
use super::*;

kind! {
    /// `eta_min + (base - eta_min) * (1 - x) / (1 - x / 2)` with `x = min(t, total) / total`.
    ///
    /// It stays above a straight line and falls fastest at the end. The rate at `t = 0` is `base`; the floor is reached
    /// at `t == total` and held.
    ///
    /// Source: Chen, Wolfe and Kyrillidis, "REX: Revisiting budgeted training with an improved schedule" (2021), eq. 1;
    /// the `RexScheduler` of pytorch-scheduler.
    rex => Rex {
        /// The time at which the floor is reached.
        total: Length where AT_LEAST_ONE,
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The floor as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for Rex {
    fn plan(&self, context: &Context) -> Planned {
        let total = context.period("total", self.total)?;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        curve(move |t, base| {
            let (x, floor) = (progress(t, total), floor.rate(base));
            floor + (base - floor) * (1.0 - x) / (1.0 - x / 2.0)
        })
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
    fn half_way_it_has_two_thirds_left() {
        assert_close(rates(Schedule::rex(10), [0, 5, 10, 11]), [1.0, 2.0 / 3.0, 0.0, 0.0]);
        assert_close(rates(Schedule::rex(10).min_ratio(0.25), [5, 10, u64::MAX]), [0.75, 0.25, 0.25]);
    }

    #[test]
    fn a_period_of_zero_is_refused() {
        assert_eq!(refusal(Schedule::rex(0)), "`rex`: total is 0; it must be at least 1");
    }
}
