use super::*;

kind! {
    /// A separate schedule for each parameter group, in the order of the groups.
    ///
    /// Each schedule sees its group as the only one, so a list inside it with one number per group has one element.
    ///
    /// Source: PyTorch's `LambdaLR` with a list of functions, for any schedule.
    per_group => PerGroup {
        /// The schedules, one for each group.
        schedules: List<Schedule>,
    }
}

impl Kind for PerGroup {
    fn plan(&self, context: &Context) -> Planned {
        if self.schedules.len() != context.groups() {
            let value = format!("a list of {}", self.schedules.len());
            let rule = format!("there must be one for each parameter group, that is {}", context.groups());
            return Err(context.refuse("schedules", value, &rule));
        }
        let child = |(group, schedule)| context.child_of_group(group, &format!("schedules[{group}]"), schedule);
        Ok(Box::new(OfGroups(self.schedules.iter().enumerate().map(child).collect::<Result<_, _>>()?)))
    }
}

/// One curve per group, each of which sees its group as number 0.
struct OfGroups(Vec<Box<dyn Curve>>);

impl Curve for OfGroups {
    fn rate(&self, at: At<'_>) -> f64 {
        self.0.get(at.group).map_or(at.base, |curve| curve.rate(At { group: 0, ..at }))
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.0.get(group)?.momentum(t, 0)
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        for curve in &self.0 {
            curve.report(t, metric, memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Scheduler;
    use super::super::testing::*;
    use super::*;

    #[test]
    fn each_group_follows_its_own() {
        let schedules: [Schedule; 2] = [Schedule::exponential(0.5).into(), Schedule::constant().into()];
        let plan = Schedule::from(Schedule::per_group(schedules)).plan(&RUN, 2).unwrap();
        assert_eq!([plan.rate(2, 1.0, 0), plan.rate(2, 1.0, 1)], [0.25, 1.0]);
    }

    #[test]
    fn a_metric_driven_one_touches_its_own_group_alone() {
        let schedules: [Schedule; 2] =
            [Schedule::constant().into(), Schedule::plateau().factor(0.5).patience(0u64).min_lr([0.5]).into()];
        let mut scheduler = Scheduler::new(Schedule::per_group(schedules), vec![1.0, 2.0], RUN).unwrap();
        for _ in 0..2 {
            scheduler.advance();
            scheduler.report(1.0);
        }
        assert_eq!(scheduler.rates(), [1.0, 1.0]);
    }

    #[test]
    fn schedules_that_do_not_match_the_groups_are_refused() {
        let message = refusal(Schedule::per_group([Schedule::constant(), Schedule::constant()]));
        assert_eq!(
            message,
            "`per_group`: schedules is a list of 2; there must be one for each parameter group, that is 1"
        );
    }
}
