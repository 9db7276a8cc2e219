use super::floor::Floor;
use super::*;

kind! {
    /// `base + (base - eta_min) * (h(min(t, total)) - h(0))` with `h(n) = sqrt((total - n)/u * (2 - (total + n)/u))`.
    ///
    /// `u` is `upper_bound`. The rate at `t = 0` is `base` and falls along a hyperbola; runs of different `total` and
    /// the same `upper_bound` begin alike. Its end, held from `t == total`, is above `eta_min` unless the upper bound is
    /// `total`.
    ///
    /// Source: Kim, "HyperbolicLR: Epoch insensitive learning rate scheduler" (2024); the `HyperbolicLRScheduler` of
    /// pytorch-scheduler.
    hyperbolic => Hyperbolic {
        /// The time from which the rate is held.
        total: Length where AT_LEAST_ONE,
        /// The longest run that is considered, at least `total`; `total` by default.
        upper_bound?: Length where AT_LEAST_ONE,
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The floor as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for Hyperbolic {
    fn plan(&self, context: &Context) -> Planned {
        let total = context.period("total", self.total)?;
        let upper = context.period("upper_bound", self.upper_bound.unwrap_or(self.total))?;
        if upper < total {
            return Err(context.refuse("upper_bound", upper, &format!("it must be at least total, which is {total}")));
        }
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        let (length, upper) = (total as f64, upper as f64);
        let height = move |n: f64| ((length - n) / upper * (2.0 - (length + n) / upper)).sqrt();
        curve(move |t, base| base + (base - floor.rate(base)) * (height(t.min(total) as f64) - height(0.0)))
    }

    fn length(&self) -> Option<Length> {
        Some(self.total)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        self.upper_bound.is_none().then(|| Self { total: length, ..self.clone() }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn with_its_own_length_as_bound_it_is_a_quarter_of_a_circle() {
        let height = (0.5f64 * 0.5).sqrt();
        assert_close(rates(Schedule::hyperbolic(10), [0, 10, 11]), [1.0, 0.0, 0.0]);
        assert_close(rates(Schedule::hyperbolic(10), [5]), [height]);
    }

    #[test]
    fn a_larger_bound_ends_above_the_floor() {
        let end = 1.0 - (0.5f64 * 1.5).sqrt();
        assert_close(rates(Schedule::hyperbolic(10).upper_bound(20), [10, 50]), [end, end]);
    }

    #[test]
    fn a_bound_below_the_length_is_refused() {
        let message = refusal(Schedule::hyperbolic(10).upper_bound(9));
        assert_eq!(message, "`hyperbolic`: upper_bound is 9; it must be at least total, which is 10");
    }
}
