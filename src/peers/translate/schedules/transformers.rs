//! transformers' schedules (transformers 5, `optimization.py`): functions that are not in `scheduler.pt`, but named in the
//! training arguments, whose keys these settings have.

use super::settings::Settings;
use super::{Shape, Source, for_groups, torch};
use crate::peers::translate::Refusal;
use crate::schedule::Schedule;
use crate::schedule::kinds::{After, Shape as Curve};

/// Translates the schedule `transformers.NAME`.
pub(super) fn shape(name: &str, source: &Source<'_>) -> Result<Shape, Refusal> {
    if name == "reduce_lr_on_plateau" {
        return torch::shape("ReduceLROnPlateau", source);
    }
    let settings = source.settings();
    let bases = source.base_lrs()?;
    let schedule = match name {
        "constant" => Schedule::constant().into(),
        "constant_with_warmup" => warmed(settings, Schedule::constant())?,
        "inverse_sqrt" => inverse_sqrt(settings)?,
        "linear" => warmed(settings, Schedule::polynomial(after_warmup(settings)?))?,
        "cosine" => warmed(settings, cosine(settings, "0")?)?,
        "cosine_with_restarts" => warmed(settings, restarts(settings)?)?,
        "polynomial" => polynomial(settings, &bases)?,
        "cosine_with_min_lr" => cosine_with_floor(settings, &bases)?,
        "cosine_warmup_with_min_lr" => cosine_warmup_with_floor(settings, &bases)?,
        "warmup_stable_decay" => stable_decay(settings)?,
        _ => return Err(super::asked::unknown(settings.form, source)),
    };
    Ok(Shape::new(schedule, bases))
}

/// The updates of the whole run.
fn total(settings: Settings<'_>) -> Result<u64, Refusal> {
    let key = if settings.has("num_training_steps") { "num_training_steps" } else { "max_steps" };
    settings.length(key)
}

/// The updates of the warm-up: a number of steps, or below 1 a share of the run; in releases before 5 that share is
/// `warmup_ratio`, where `warmup_steps` is 0.
fn warmup(settings: Settings<'_>) -> Result<u64, Refusal> {
    if settings.has("num_warmup_steps") {
        return settings.length("num_warmup_steps");
    }
    let steps = settings.number_or("warmup_steps", 0.0)?;
    let share = if steps > 0.0 { steps } else { settings.number_or("warmup_ratio", 0.0)? };
    if steps >= 1.0 {
        // transformers cuts the fraction off.
        return settings.whole("warmup_steps", steps.trunc());
    }
    if share == 0.0 {
        return Ok(0);
    }
    settings.whole("warmup_steps", (total(settings)? as f64 * share).ceil())
}

/// The updates after the warm-up, at least one.
fn after_warmup(settings: Settings<'_>) -> Result<u64, Refusal> {
    Ok(total(settings)?.saturating_sub(warmup(settings)?).max(1))
}

fn warmed(settings: Settings<'_>, then: impl Into<Schedule>) -> Result<Schedule, Refusal> {
    Ok(match warmup(settings)? {
        0 => then.into(),
        steps => Schedule::warmup(steps, then).into(),
    })
}

/// Half a wave is a cosine; other numbers of waves are a formula. `floor` is a share of the base rate.
fn cosine(settings: Settings<'_>, floor: &str) -> Result<Schedule, Refusal> {
    let (length, waves) = (after_warmup(settings)?, settings.number_or("num_cycles", 0.5)?);
    if waves == 0.5 && floor == "0" {
        return Ok(Schedule::cosine(length).after(After::Cycle).into());
    }
    let wave = format!("0.5 * (1 + cos(pi * {waves} * 2 * t / {length}))");
    Ok(Schedule::expr(format!("base * max(0, ({wave}) * (1 - {floor}) + {floor})")).into())
}

/// The rate is 0 from the end of the run on.
fn restarts(settings: Settings<'_>) -> Result<Schedule, Refusal> {
    let (length, cycles) = (after_warmup(settings)?, settings.number_or("num_cycles", 1.0)?);
    let whole = cycles as u64;
    if cycles.fract() == 0.0 && whole > 0 && length.is_multiple_of(whole) {
        return Ok(Schedule::cosine_restarts(length / whole).cycle_limit(whole).into());
    }
    let formula = format!("base * max(0, 0.5 * (1 + cos(pi * (({cycles} * t / {length}) % 1))))");
    let stages: Vec<Schedule> = vec![Schedule::expr(formula).into(), Schedule::constant().factor(0.0).into()];
    Ok(Schedule::sequential(vec![length], stages).into())
}

fn inverse_sqrt(settings: Settings<'_>) -> Result<Schedule, Refusal> {
    let default = match warmup(settings)? {
        0 => 10_000,
        steps => steps,
    };
    warmed(settings, Schedule::inverse_sqrt(settings.length_or("timescale", default)?))
}

/// Shares of a rate are taken of the optimizer's first rate, so groups with other rates have other floors.
fn polynomial(settings: Settings<'_>, bases: &[f64]) -> Result<Schedule, Refusal> {
    let (end, power) = (settings.number_or("lr_end", 1e-7)?, settings.number_or("power", 1.0)?);
    let length = after_warmup(settings)?;
    let floor = |eta_min| warmed(settings, Schedule::polynomial(length).power(power).eta_min(eta_min));
    Ok(for_groups(floors(settings, end, bases)?.into_iter().map(floor).collect::<Result<_, _>>()?))
}

/// Returns the floor of each group for a floor that was given for the optimizer's rate.
fn floors(settings: Settings<'_>, floor: f64, bases: &[f64]) -> Result<Vec<f64>, Refusal> {
    if bases.iter().all(|base| Some(base) == bases.first()) {
        return Ok(vec![floor; bases.len()]);
    }
    let of = settings.number("learning_rate")?;
    Ok(bases.iter().map(|base| floor / of * base).collect())
}

/// Returns the floor of each group from `min_lr`, a rate, or `min_lr_rate`, a share.
fn given_floors(settings: Settings<'_>, bases: &[f64]) -> Result<Vec<f64>, Refusal> {
    match (settings.optional_number("min_lr")?, settings.optional_number("min_lr_rate")?) {
        (Some(floor), _) => floors(settings, floor, bases),
        (None, Some(share)) => Ok(bases.iter().map(|base| share * base).collect()),
        (None, None) => settings.number("min_lr").map(|floor| vec![floor; bases.len()]),
    }
}

fn cosine_with_floor(settings: Settings<'_>, bases: &[f64]) -> Result<Schedule, Refusal> {
    let (length, waves) = (after_warmup(settings)?, settings.number_or("num_cycles", 0.5)?);
    let each = given_floors(settings, bases)?.into_iter().zip(bases).map(|(floor, base)| {
        if waves == 0.5 {
            return warmed(settings, Schedule::cosine(length).eta_min(floor).after(After::Cycle));
        }
        warmed(settings, cosine(settings, &share(floor, *base))?)
    });
    Ok(for_groups(each.collect::<Result<_, _>>()?))
}

fn share(floor: f64, base: f64) -> String {
    if base == 0.0 { "0".to_owned() } else { (floor / base).to_string() }
}

/// Its warm-up counts from 1, or begins at `warmup_lr_rate`, and its cosine is one update ahead.
fn cosine_warmup_with_floor(settings: Settings<'_>, bases: &[f64]) -> Result<Schedule, Refusal> {
    let (steps, length) = (warmup(settings)?, after_warmup(settings)?);
    let waves = settings.number_or("num_cycles", 0.5)?;
    let rise = match settings.optional_number("warmup_lr_rate")? {
        None => format!("base * (t + 1) / {}", steps.max(1)),
        Some(start) => format!("base * ({start} + (1 - {start}) * t / {})", steps.saturating_sub(1).max(1)),
    };
    let each = given_floors(settings, bases)?.into_iter().zip(bases).map(|(floor, base)| {
        let floor = share(floor, *base);
        let wave = format!("0.5 * (1 + cos(pi * {waves} * 2 * (t + 1) / {length}))");
        let fall = Schedule::expr(format!("base * max(0, {wave} * (1 - {floor}) + {floor})"));
        let stages: Vec<Schedule> = vec![Schedule::expr(rise.clone()).into(), fall.into()];
        Schedule::sequential(vec![steps], stages).into()
    });
    Ok(for_groups(each.collect()))
}

fn stable_decay(settings: Settings<'_>) -> Result<Schedule, Refusal> {
    let (up, down) = (warmup(settings)?, settings.length("num_decay_steps")?);
    let stable = match settings.optional_number("num_stable_steps")? {
        Some(steps) => settings.whole("num_stable_steps", steps)?,
        None => total(settings)?.saturating_sub(up).saturating_sub(down),
    };
    if settings.number_or("num_cycles", 0.5)? != 0.5 {
        return Err(
            settings.refuse("num_cycles", "Rekindle's decay is half a wave; write `schedule` in the configuration")
        );
    }
    let schedule = Schedule::wsd(stable, down)
        .warmup(up)
        .warmup_shape(curve(settings, "warmup_type", "linear")?)
        .decay_shape(curve(settings, "decay_type", "cosine")?)
        .min_ratio(settings.number_or("min_lr_ratio", 0.0)?);
    Ok(schedule.into())
}

fn curve(settings: Settings<'_>, key: &str, default: &'static str) -> Result<Curve, Refusal> {
    match settings.word_or(key, default)? {
        "linear" => Ok(Curve::Linear),
        "cosine" => Ok(Curve::Cosine),
        "1-sqrt" => Ok(Curve::OneMinusSqrt),
        other => Err(settings.refuse(key, format!("`{other}` is not one of linear, cosine, 1-sqrt"))),
    }
}
