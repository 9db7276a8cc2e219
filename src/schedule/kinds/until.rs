use super::*;

kind! {
    /// The rate of `schedule` at `min(t, end)`: from `end` on it holds the rate that it has there.
    ///
    /// It gives an end to a schedule without one. A metric-driven `schedule` receives every metric.
    ///
    /// Source: mmengine's schedulers, which stop one update before their `end`: `until(end - 1, …)`.
    until => Until {
        /// The time from which the rate is held.
        end: Length,
        /// The schedule that is followed.
        schedule: Schedule,
    }
}

impl Kind for Until {
    fn plan(&self, context: &Context) -> Planned {
        let end = context.length("end", self.end)?;
        let curve = context.child("schedule", &self.schedule)?;
        Ok(Box::new(UntilCurve { end, curve }))
    }

    fn length(&self) -> Option<Length> {
        Some(self.end)
    }
}

struct UntilCurve {
    end: u64,
    curve: Box<dyn Curve>,
}

impl Curve for UntilCurve {
    fn rate(&self, at: At<'_>) -> f64 {
        self.curve.rate(At { t: at.t.min(self.end), ..at })
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.curve.momentum(t.min(self.end), group)
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        self.curve.report(t.min(self.end), metric, memory);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn the_rate_is_held_from_the_end_on() {
        let schedule = Schedule::until(2, Schedule::exponential(0.5));
        assert_close(rates(schedule, [0, 1, 2, 3, u64::MAX]), [1.0, 0.5, 0.25, 0.25, 0.25]);
    }

    #[test]
    fn it_ends_where_an_arrow_follows() {
        let schedule: Schedule = "until(2, exponential(0.5)) -> constant".parse().unwrap();
        assert_close(rates(schedule, [1, 2]), [0.5, 1.0]);
    }
}
