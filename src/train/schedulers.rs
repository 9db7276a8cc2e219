//! The schedules of a run: of the learning rate, and optionally of momentum and weight decay.

use super::TrainError;
use super::config::figure::Metric;
use super::config::{Config, NO_ACCURACY, word};
use crate::data::Data;
use crate::loss::Loss;
use crate::optim::{Group, Optimizer, StepHyperparams};
use crate::schedule::{Mode, RunLength, Schedule, Scheduler, Taken};

/// One scheduler per driven scalar. All of them are at the same step.
#[derive(Debug)]
pub(super) struct Schedulers {
    lr: Scheduler,
    momentum: Option<Scheduler>,
    beta2: Option<Scheduler>,
    weight_decay: Option<Scheduler>,
    /// It has one value, not one for each group.
    ema_decay: Option<Scheduler>,
}

impl Schedulers {
    /// The optional parts.
    pub const OPTIONAL: [&'static str; 4] =
        ["schedulers.momentum", "schedulers.beta2", "schedulers.weight_decay", "schedulers.ema_decay"];

    /// Returns the configuration setting of a part.
    pub fn setting(part: &str) -> &'static str {
        match part {
            "schedulers.momentum" => "momentum_schedule",
            "schedulers.beta2" => "beta2_schedule",
            "schedulers.weight_decay" => "weight_decay_schedule",
            "schedulers.ema_decay" => "ema_decay_schedule",
            _ => "schedule",
        }
    }

    /// Creates the schedules of `config` for the groups of `optimizer`, whose values are their bases.
    pub fn new(config: &Config, optimizer: &Optimizer, length: RunLength, taken: Taken) -> Result<Self, TrainError> {
        let groups = optimizer.groups();
        let momenta = groups.iter().map(Group::base_momentum).collect();
        let betas = groups.iter().map(|group| group.beta2.unwrap_or_default()).collect();
        let ema_decays = config.ema.iter().map(|ema| ema.decay).collect();
        let decays = groups.iter().map(|group| group.weight_decay).collect();
        let lr = Scheduler::new(config.schedule.in_updates(taken)?, optimizer.base_lrs(), length)?;
        let of = |field: &'static str, schedule: &Option<Schedule>, bases: Vec<f64>| {
            let scheduler = |schedule: &Schedule| Scheduler::new(schedule.in_updates(taken)?, bases, length);
            schedule
                .as_ref()
                .map(scheduler)
                .transpose()
                .map_err(|source| TrainError::OtherSchedule { field, source: Box::new(source) })
        };
        let momentum = of("momentum_schedule", &config.momentum_schedule, momenta)?;
        let weight_decay = of("weight_decay_schedule", &config.weight_decay_schedule, decays)?;
        let beta2 = of("beta2_schedule", &config.beta2_schedule, betas)?;
        let ema_decay = of("ema_decay_schedule", &config.ema_decay_schedule, ema_decays)?;
        let schedulers = Self { lr, momentum, beta2, weight_decay, ema_decay };
        schedulers.check_momentum(config, groups)?;
        schedulers.check_beta2(config, groups)?;
        schedulers.check_values(config, length)?;
        Ok(schedulers)
    }

    fn check_momentum(&self, config: &Config, groups: &[Group]) -> Result<(), TrainError> {
        let wrong = |field: &str, value: String, rule: &str| {
            Err(TrainError::Field { field: field.to_owned(), value, rule: rule.to_owned() })
        };
        let by_rate = (0..groups.len()).any(|group| self.lr.momentum_at(0, group).is_some());
        if by_rate && let Some(schedule) = &config.momentum_schedule {
            let rule = "`schedule` already drives the momentum; remove one of the two";
            return wrong("momentum_schedule", schedule.to_string(), rule);
        }
        if !by_rate && self.momentum.is_none() {
            return Ok(());
        }
        if let Some(field) = groups.iter().find_map(Group::lacks_momentum) {
            return wrong(&field, "0".to_owned(), "must be above 0, because a schedule drives it");
        }
        if groups.iter().all(|group| group.momentum.is_none()) {
            let kinds = format!("\"{}\"", config.optimizer.kind());
            return wrong("optimizer.kind", kinds, "has no momentum, but a schedule drives it; remove that schedule");
        }
        Ok(())
    }

    /// Refuses a schedule of a second beta that no rule has.
    fn check_beta2(&self, config: &Config, groups: &[Group]) -> Result<(), TrainError> {
        let Some(schedule) =
            config.beta2_schedule.as_ref().filter(|_| groups.iter().all(|group| group.beta2.is_none()))
        else {
            return Ok(());
        };
        let rule = format!("`{}` has no second beta that a schedule can drive; remove it", config.optimizer.kind());
        Err(TrainError::Field { field: "beta2_schedule".to_owned(), value: schedule.to_string(), rule })
    }

    /// Refuses schedules with values that cannot be, where that is known before: of the momentum, of the second beta, and
    /// of the decay of an average.
    fn check_values(&self, config: &Config, length: RunLength) -> Result<(), TrainError> {
        let below_1 = |x: &f64| (0.0..1.0).contains(x);
        let share = |x: &f64| (0.0..=1.0).contains(x);
        let momentum = ("momentum_schedule", &self.momentum, &config.momentum_schedule);
        let beta2 = ("beta2_schedule", &self.beta2, &config.beta2_schedule);
        let ema_decay = ("ema_decay_schedule", &self.ema_decay, &config.ema_decay_schedule);
        refuse_values(momentum, length, below_1, "the momentum", "below 1")?;
        refuse_values(beta2, length, below_1, "the second beta", "below 1")?;
        refuse_values(ema_decay, length, share, "the decay", "at most 1")
    }

    /// Returns the metric for the schedules: as configured, otherwise the validation loss if there is one.
    pub fn metric(&self, config: &Config, data: &Data, loss: &dyn Loss) -> Result<Metric, TrainError> {
        let validates = !data.validation_rows().is_empty();
        let usual = if validates { Metric::ValidationLoss } else { Metric::TrainingLoss };
        let metric = config.train.metric.unwrap_or(usual);
        if !self.wants_metric() {
            return Ok(metric);
        }
        let wrong = |rule: &str| {
            let (field, value) = ("train.metric".to_owned(), word(&metric));
            Err(TrainError::Field { field, value, rule: rule.to_owned() })
        };
        match metric {
            metric if metric.is_of_validation() && !validates => {
                wrong("there are no validation rows; set `data.validation` to a share of the rows")
            }
            Metric::ValidationAccuracy if !loss.has_accuracy() => wrong(NO_ACCURACY),
            _ => Ok(metric),
        }
    }

    /// Refuses a schedule with the wrong direction for `metric`: it would cut the rate at each improvement.
    pub fn refuse_opposite(&self, metric: Metric, has_accuracy: bool) -> Result<(), TrainError> {
        let (better, opposite) = if metric.more_is_better() { ("grows", Mode::Min) } else { ("falls", Mode::Max) };
        let mut directions = self.all().flat_map(|(part, scheduler)| {
            scheduler.directions().map(move |(kind, mode)| (part, scheduler.schedule(), kind, mode))
        });
        let Some((part, schedule, kind, _)) = directions.find(|(.., mode)| *mode == opposite) else { return Ok(()) };
        let remedy = match opposite {
            Mode::Min => "give it mode=\"max\"",
            Mode::Max if has_accuracy => {
                "set `train.metric = \"validation_accuracy\"`, or remove mode=\"max\" to follow the loss"
            }
            Mode::Max => "remove mode=\"max\" to follow the loss",
        };
        let (metric, takes) = (word(&metric), if opposite == Mode::Min { "less" } else { "more" });
        Err(TrainError::Field {
            field: Self::setting(part).to_owned(),
            value: schedule.to_string(),
            rule: format!(
                "`{kind}` follows {metric}, which {better} as the model gets better, but treats {takes} of it as \
                 better; {remedy}"
            ),
        })
    }

    /// Returns the hyperparameters of the next update in each group.
    pub fn rates(&self) -> Vec<StepHyperparams> {
        let t = self.lr.t();
        let momentum = self.momentum.as_ref().map(Scheduler::rates);
        let beta2 = self.beta2.as_ref().map(Scheduler::rates);
        let weight_decay = self.weight_decay.as_ref().map(Scheduler::rates);
        let at =
            |values: &Option<Vec<f64>>, group: usize| values.as_ref().and_then(|values| values.get(group).copied());
        let group = |(group, lr)| StepHyperparams {
            lr,
            momentum: self.lr.momentum_at(t, group).or(at(&momentum, group)),
            beta2: at(&beta2, group),
            weight_decay: at(&weight_decay, group),
        };
        self.lr.rates().into_iter().enumerate().map(group).collect()
    }

    /// Returns the decay of the average of the weights after the next update, if a schedule drives it.
    pub fn ema_decay(&self) -> Option<f64> {
        // Plain arithmetic may leave the range by the last digit.
        Some(self.ema_decay.as_ref()?.rates().first()?.clamp(0.0, 1.0))
    }

    /// Returns the scheduler of the learning rate.
    pub fn lr(&self) -> &Scheduler {
        &self.lr
    }

    /// Advances to the next update.
    pub fn advance(&mut self) {
        self.all_mut().for_each(|(_, scheduler)| scheduler.advance());
    }

    /// Whether any of them follows a metric.
    pub fn wants_metric(&self) -> bool {
        self.all().any(|(_, scheduler)| scheduler.wants_metric())
    }

    /// Reports a metric of the last update.
    pub fn report(&mut self, metric: f64) {
        self.all_mut().for_each(|(_, scheduler)| scheduler.report(metric));
    }

    /// Returns the parts of a checkpoint, by name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Scheduler)> {
        let others = Self::OPTIONAL.into_iter().zip([&self.momentum, &self.beta2, &self.weight_decay, &self.ema_decay]);
        let others = others.filter_map(|(name, scheduler)| Some((name, scheduler.as_ref()?)));
        std::iter::once(("schedulers.lr", &self.lr)).chain(others)
    }

    /// Like [`Schedulers::all`], for restoring.
    pub fn all_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Scheduler)> {
        let all = [&mut self.momentum, &mut self.beta2, &mut self.weight_decay, &mut self.ema_decay];
        let others = Self::OPTIONAL.into_iter().zip(all);
        let others = others.filter_map(|(name, scheduler)| Some((name, scheduler.as_mut()?)));
        std::iter::once(("schedulers.lr", &mut self.lr)).chain(others)
    }
}

/// The most steps of a run whose values are looked at before it begins.
const LOOKED_AT: u64 = 1000;

/// Refuses a schedule that has other values than `fit`, in any of the steps that are looked at.
fn refuse_values(
    (field, scheduler, schedule): (&str, &Option<Scheduler>, &Option<Schedule>),
    length: RunLength,
    fit: impl Fn(&f64) -> bool,
    name: &str,
    limit: &str,
) -> Result<(), TrainError> {
    let (Some(scheduler), Some(schedule)) = (scheduler, schedule) else { return Ok(()) };
    let last = length.total_steps.unwrap_or(1).max(1) - 1;
    let parts = last.clamp(1, LOOKED_AT);
    // In 128 bits, because the product may be larger than a number of steps.
    let steps = (0..=parts).map(|part| (u128::from(last) * u128::from(part) / u128::from(parts)) as u64);
    let found = steps.flat_map(|step| scheduler.rates_at(step).into_iter().map(move |value| (step, value)));
    let Some((step, value)) = found.into_iter().find(|(_, value)| !fit(value)) else { return Ok(()) };
    let rule = format!("{name} at step {step} is {value:?}; it must be at least 0 and {limit}");
    Err(TrainError::Field { field: field.to_owned(), value: schedule.to_string(), rule })
}
