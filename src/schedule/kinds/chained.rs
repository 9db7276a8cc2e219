use super::*;

kind! {
    /// `base` times the factor `rate / base` of each schedule: all of them are in force at once.
    ///
    /// If `base` is 0 there are no factors, and the rate is 0. Momentum is that of the first schedule that drives it.
    ///
    /// Source: PyTorch's `ChainedScheduler`; the same result for schedules that multiply.
    chained => Chained {
        /// The schedules.
        schedules: List<Schedule>,
    }
}

impl Kind for Chained {
    fn plan(&self, context: &Context) -> Planned {
        if self.schedules.is_empty() {
            return Err(context.refuse("schedules", "an empty list", "there must be at least one schedule"));
        }
        let child = |(index, schedule)| context.child(&format!("schedules[{index}]"), schedule);
        Ok(Box::new(Product(self.schedules.iter().enumerate().map(child).collect::<Result<_, _>>()?)))
    }
}

struct Product(Vec<Box<dyn Curve>>);

impl Curve for Product {
    fn rate(&self, at: At<'_>) -> f64 {
        if at.base == 0.0 {
            return 0.0;
        }
        at.base * self.0.iter().map(|curve| curve.rate(at) / at.base).product::<f64>()
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.0.iter().find_map(|curve| curve.momentum(t, group))
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        for curve in &self.0 {
            curve.report(t, metric, memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn factors_multiply() {
        let schedules: [Schedule; 2] = [Schedule::constant().factor(0.5).total(2).into(), Schedule::exponential(0.5).into()];
        assert_eq!(rates(Schedule::chained(schedules), [0, 1, 2, 3]), [0.5, 0.25, 0.25, 0.125]);
    }

    #[test]
    fn a_base_rate_of_zero_stays_zero() {
        let plan = plan(Schedule::chained([Schedule::cosine(10).eta_min(0.1)])).unwrap();
        assert_eq!(plan.rate(3, 0.0, 0), 0.0);
    }

    #[test]
    fn nothing_chained_is_refused() {
        let message = refusal(Schedule::chained(Vec::<Schedule>::new()));
        assert_eq!(message, "`chained`: schedules is an empty list; there must be at least one schedule");
    }
}
