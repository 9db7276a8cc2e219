use super::*;

kind! {
    /// One schedule after the other: schedule `i` is in force from `milestones[i - 1]` and sees `t - milestones[i -
    /// 1]`.
    ///
    /// The switch is at `t == milestone`. Each schedule starts from the base rate, not from where the one before ended.
    /// If two milestones are equal, the schedule between them is skipped. A metric-driven schedule receives only the
    /// metrics of its own updates.
    ///
    /// Source: PyTorch's `SequentialLR` in closed form; optax's `join_schedules`.
    sequential => Sequential {
        /// The times at which the next schedule takes over, in order: one fewer than the schedules.
        milestones: List<Length>,
        /// The schedules.
        schedules: List<Schedule>,
    }
}

impl Kind for Sequential {
    fn plan(&self, context: &Context) -> Planned {
        let milestones = context.in_order("milestones", &self.milestones)?;
        if milestones.len() + 1 != self.schedules.len() {
            let value = format!("a list of {}", milestones.len());
            let rule = format!("{} schedules need one milestone between each two", self.schedules.len());
            return Err(context.refuse("milestones", value, &rule));
        }
        let child = |(index, schedule)| context.child(&format!("schedules[{index}]"), schedule);
        let curves = self.schedules.iter().enumerate().map(child).collect::<Result<Vec<_>, _>>()?;
        let starts = std::iter::once(0).chain(milestones);
        let stages = starts.zip(curves).map(|(start, curve)| Stage { start, curve }).collect();
        Ok(Box::new(Stages(stages)))
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        let (last, others) = self.schedules.split_last()?;
        let last = last.lasting_inside(length.minus(*self.milestones.last()?)?)?;
        let schedules: Vec<Schedule> = others.iter().cloned().chain([last]).collect();
        Some(Self { schedules: schedules.into(), ..self.clone() }.into())
    }

    fn phases(&self, phases: &mut Phases<'_>) {
        let ends = self.milestones.iter().copied().map(Some).chain([None]);
        phases.stages(self.schedules.iter().zip(ends));
    }
}

struct Stage {
    start: u64,
    curve: Box<dyn Curve>,
}

/// At least one stage; the first starts at 0.
struct Stages(Vec<Stage>);

impl Stages {
    /// Returns the stage in force for update `t`. The first starts at 0, so there is always one.
    fn in_force(&self, t: u64) -> Option<&Stage> {
        let started = self.0.partition_point(|stage| stage.start <= t);
        self.0.get(started.saturating_sub(1))
    }
}

impl Curve for Stages {
    fn rate(&self, at: At<'_>) -> f64 {
        self.in_force(at.t).map_or(at.base, |stage| stage.curve.rate(At { t: at.t - stage.start, ..at }))
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        let stage = self.in_force(t)?;
        stage.curve.momentum(t - stage.start, group)
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        if let Some(stage) = self.in_force(t.saturating_sub(1)) {
            stage.curve.report(t - stage.start, metric, memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn each_counts_from_its_own_start_and_takes_over_at_the_milestone() {
        let schedules: [Schedule; 2] = [Schedule::constant().factor(0.5).into(), Schedule::step(2).gamma(0.5).into()];
        let schedule = Schedule::sequential([4], schedules);
        assert_eq!(rates(schedule, [0, 3, 4, 5, 6]), [0.5, 0.5, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn a_schedule_between_equal_milestones_is_skipped() {
        let factors = [0.5, 0.25, 0.125].map(|factor| Schedule::constant().factor(factor));
        assert_eq!(rates(Schedule::sequential([4, 4], factors), [3, 4]), [0.5, 0.125]);
    }

    #[test]
    fn milestones_that_do_not_match_the_schedules_are_refused() {
        let message = refusal(Schedule::sequential([4, 8], [Schedule::constant(), Schedule::constant()]));
        assert_eq!(
            message,
            "`sequential`: milestones is a list of 2; 2 schedules need one milestone between each two"
        );
        assert!(plan(Schedule::sequential(Vec::<u64>::new(), Vec::<Schedule>::new())).is_err());
    }

    #[test]
    fn a_mistake_inside_is_named_with_its_place() {
        let inner = Schedule::warmup(4, Schedule::exponential(2.0));
        let message = refusal(Schedule::sequential([4], [Schedule::constant().into(), Schedule::from(inner)]));
        assert!(message.starts_with("`exponential` at schedules[1].schedule: gamma is 2;"), "{message}");
    }
}
