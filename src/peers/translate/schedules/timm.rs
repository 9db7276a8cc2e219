//! timm's schedulers (timm 1.0, `scheduler/`), with the arguments of its `train.py`.

use super::settings::Settings;
use super::{Shape, Source, for_groups};
use crate::peers::translate::Refusal;
use crate::schedule::Schedule;

/// Translates the scheduler of `--sched NAME`.
pub(super) fn shape(name: &str, source: &Source<'_>) -> Result<Shape, Refusal> {
    let settings = source.settings();
    if settings.has("lr_noise") {
        return Err(
            settings.refuse("lr_noise", "Rekindle's rates have no noise; write `schedule` in the configuration")
        );
    }
    let times = Times::of(settings)?;
    let schedule = match name {
        "cosine" => cosine(settings, &times)?,
        "tanh" => tanh(settings, &times)?,
        "poly" => polynomial(settings, &times)?,
        "step" => step(settings, &times)?,
        "multistep" => multi_step(settings, &times)?,
        _ => return Err(super::asked::unknown(settings.form, source)),
    };
    let schedule = warmed(settings, &times, schedule)?;
    Ok(Shape::new(scaled(schedule, source), source.base_lrs()?))
}

/// The lengths, in epochs, or in updates with `--sched-on-updates`.
struct Times {
    total: u64,
    warmup: u64,
    /// The place of the schedule at the end of the warm-up: 0 with `warmup_prefix`, otherwise it has run beside it.
    shift: u64,
    /// Updates in the unit of the arguments.
    unit: u64,
}

impl Times {
    fn of(settings: Settings<'_>) -> Result<Self, Refusal> {
        let unit =
            if settings.flag_or("sched_on_updates", false)? { settings.length("updates_per_epoch")? } else { 1 };
        let warmup = settings.length("warmup_epochs")?.saturating_mul(unit);
        let shift = if settings.flag_or("warmup_prefix", false)? { 0 } else { warmup };
        Ok(Self { total: settings.length("epochs")?.saturating_mul(unit), warmup, shift, unit })
    }
}

/// Rates of a group with an `lr_scale` are that share of the others'.
fn scaled(schedule: Schedule, source: &Source<'_>) -> Schedule {
    let each = source.groups.iter().map(|group| match group.number("lr_scale") {
        None | Some(1.0) => schedule.clone(),
        Some(scale) => {
            let factors: Vec<Schedule> = vec![schedule.clone(), Schedule::constant().factor(scale).into()];
            Schedule::chained(factors).into()
        }
    });
    for_groups(each.collect())
}

fn warmed(settings: Settings<'_>, times: &Times, then: Schedule) -> Result<Schedule, Refusal> {
    if times.warmup == 0 {
        return Ok(then);
    }
    Ok(Schedule::warmup(times.warmup, then).start_lr(settings.number("warmup_lr")?).into())
}

/// Cycles: how often and how the curve begins again. `None` where there is one.
fn cycles(settings: Settings<'_>, times: &Times) -> Result<Option<(u64, f64, u64)>, Refusal> {
    let limit = settings.length_or("lr_cycle_limit", 1)?;
    if limit == 1 {
        return Ok(None);
    }
    if times.shift > 0 {
        let reason = "restarts that run beside a warm-up (without `warmup_prefix`) are not translated; write `schedule` in the configuration";
        return Err(settings.refuse("lr_cycle_limit", reason));
    }
    let growth = settings.length_or("lr_cycle_mul", 1)?;
    Ok(Some((growth, settings.number_or("lr_cycle_decay", 0.5)?, limit)))
}

/// Refuses cycles for a curve that has none here.
fn once(settings: Settings<'_>, times: &Times) -> Result<(), Refusal> {
    match cycles(settings, times)? {
        None => Ok(()),
        Some(_) => Err(settings.refuse(
            "lr_cycle_limit",
            "restarts of this curve are not translated; write `schedule` in the configuration",
        )),
    }
}

fn cosine(settings: Settings<'_>, times: &Times) -> Result<Schedule, Refusal> {
    let (floor, k) = (settings.number_or("min_lr", 0.0)?, settings.number_or("lr_k_decay", 1.0)?);
    let Times { total, shift, .. } = *times;
    match cycles(settings, times)? {
        Some(_) if k != 1.0 => {
            Err(settings.refuse("lr_k_decay", "Rekindle's restarts have no k; write `schedule` in the configuration"))
        }
        Some((growth, decay, limit)) => {
            let restarts = Schedule::cosine_restarts(total).t_mult(growth as f64).cycle_decay(decay).eta_min(floor);
            Ok(restarts.cycle_limit(limit).into())
        }
        None if shift == 0 => Ok(Schedule::cosine(total).eta_min(floor).k_decay(k).into()),
        None => {
            let wave = format!("cos(pi * min(1, (t + {shift}) / {total})^{k})");
            Ok(Schedule::expr(format!("{floor} + (base - {floor}) / 2 * (1 + {wave})")).into())
        }
    }
}

fn tanh(settings: Settings<'_>, times: &Times) -> Result<Schedule, Refusal> {
    once(settings, times)?;
    if times.shift > 0 {
        let reason = "a `tanh` that runs beside a warm-up (without `warmup_prefix`) is not translated; write `schedule` in the configuration";
        return Err(settings.refuse("warmup_prefix", reason));
    }
    Ok(Schedule::tanh(times.total).eta_min(settings.number_or("min_lr", 0.0)?).into())
}

/// Its power is `decay_rate`.
fn polynomial(settings: Settings<'_>, times: &Times) -> Result<Schedule, Refusal> {
    once(settings, times)?;
    let (floor, power) = (settings.number_or("min_lr", 0.0)?, settings.number("decay_rate")?);
    let k = settings.number_or("lr_k_decay", 1.0)?;
    let Times { total, shift, .. } = *times;
    if shift == 0 && k == 1.0 {
        return Ok(Schedule::polynomial(total).power(power).eta_min(floor).into());
    }
    let passed = format!("min(1, (t + {shift}) / {total})^{k}");
    Ok(Schedule::expr(format!("{floor} + (base - {floor}) * (1 - {passed})^{power}")).into())
}

fn step(settings: Settings<'_>, times: &Times) -> Result<Schedule, Refusal> {
    let rate = settings.number("decay_rate")?;
    let every = settings.number("decay_epochs")? * times.unit as f64;
    let Times { shift, .. } = *times;
    match super::settings::whole(every) {
        Some(every) if shift == 0 => Ok(super::torch::step(every, rate)),
        _ => Ok(Schedule::expr(format!("base * {rate}^floor((t + {shift}) / {every})")).into()),
    }
}

/// timm drops the rate one before each milestone.
fn multi_step(settings: Settings<'_>, times: &Times) -> Result<Schedule, Refusal> {
    let milestones = settings
        .lengths("decay_milestones")?
        .into_iter()
        .map(|milestone| milestone.saturating_mul(times.unit).saturating_sub(1).saturating_sub(times.shift));
    let milestones: Vec<u64> = milestones.collect();
    Ok(Schedule::multi_step(milestones).gamma(settings.number("decay_rate")?).into())
}
