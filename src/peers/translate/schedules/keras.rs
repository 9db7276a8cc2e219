//! Keras' schedules (`keras/src/optimizers/schedules/learning_rate_schedule.py`), with the keys of their `get_config()`.
//! optax' schedules are never in a file.

use super::settings::Settings;
use super::{Shape, Source, torch};
use crate::peers::translate::Refusal;
use crate::schedule::{Point, Schedule};

/// Translates the schedule `keras.NAME`.
pub(super) fn shape(name: &str, source: &Source<'_>) -> Result<Shape, Refusal> {
    let settings = source.settings();
    let (schedule, base) = match name {
        "CosineDecay" => cosine(settings)?,
        "CosineDecayRestarts" => restarts(settings)?,
        "ExponentialDecay" => exponential(settings)?,
        "PiecewiseConstantDecay" => piecewise(settings)?,
        "PolynomialDecay" => polynomial(settings)?,
        "InverseTimeDecay" => inverse_time(settings)?,
        _ => return Err(super::asked::unknown(settings.form, source)),
    };
    Ok(Shape::new(schedule, vec![base; source.groups.len()]))
}

/// With `warmup_target` the rate rises from the initial one to it, and it is the top of the cosine; without it
/// `warmup_steps` is not used.
fn cosine(settings: Settings<'_>) -> Result<(Schedule, f64), Refusal> {
    let initial = settings.number("initial_learning_rate")?;
    let steps = settings.length("decay_steps")?;
    let alpha = settings.number_or("alpha", 0.0)?;
    let top = settings.optional_number("warmup_target")?;
    let base = top.unwrap_or(initial);
    let decay = Schedule::cosine(steps).eta_min(alpha * base);
    Ok(match (top, settings.length_or("warmup_steps", 0)?) {
        (None, _) | (Some(_), 0) => (decay.into(), base),
        (Some(_), warmup) => (Schedule::warmup(warmup, decay).start_lr(initial).into(), base),
    })
}

fn restarts(settings: Settings<'_>) -> Result<(Schedule, f64), Refusal> {
    let initial = settings.number("initial_learning_rate")?;
    let first = settings.length("first_decay_steps")?;
    let growth = settings.length_or("t_mul", 2)?;
    let (decay, alpha) = (settings.number_or("m_mul", 1.0)?, settings.number_or("alpha", 0.0)?);
    if alpha != 0.0 && decay != 1.0 {
        let reason = "with an `m_mul` as well, the top of a cycle depends on the floor, which is not translated; write `schedule` in the configuration";
        return Err(settings.refuse("alpha", reason));
    }
    let schedule = Schedule::cosine_restarts(first).t_mult(growth as f64).cycle_decay(decay).eta_min(alpha * initial);
    Ok((schedule.into(), initial))
}

fn exponential(settings: Settings<'_>) -> Result<(Schedule, f64), Refusal> {
    let initial = settings.number("initial_learning_rate")?;
    let (steps, rate) = (settings.number("decay_steps")?, settings.number("decay_rate")?);
    if settings.flag_or("staircase", false)? {
        return Ok((torch::step(settings.length("decay_steps")?, rate), initial));
    }
    Ok((torch::exponential(rate.powf(1.0 / steps)), initial))
}

/// The value changes after its boundary: at `step == boundary` it is still the one before.
fn piecewise(settings: Settings<'_>) -> Result<(Schedule, f64), Refusal> {
    let (boundaries, values) = (settings.lengths("boundaries")?, settings.numbers("values")?);
    if values.len() != boundaries.len() + 1 {
        let reason = format!("there are {} for {} boundaries", values.len(), boundaries.len());
        return Err(settings.refuse("values", reason));
    }
    let base = values.iter().copied().find(|value| *value > 0.0).unwrap_or(1.0);
    let starts = std::iter::once(0).chain(boundaries.iter().map(|boundary| boundary + 1));
    let mut points: Vec<(u64, f64)> = Vec::new();
    for (start, value) in starts.zip(&values) {
        // Of two equal boundaries the value between is never used.
        points.retain(|(other, _)| *other != start);
        points.push((start, value / base));
    }
    Ok((Schedule::piecewise(points.into_iter().map(Point::from).collect::<Vec<_>>()).into(), base))
}

fn polynomial(settings: Settings<'_>) -> Result<(Schedule, f64), Refusal> {
    let initial = settings.number("initial_learning_rate")?;
    let steps = settings.length("decay_steps")?;
    let (end, power) = (settings.number_or("end_learning_rate", 1e-4)?, settings.number_or("power", 1.0)?);
    if settings.flag_or("cycle", false)? {
        let formula = format!("{end} + (base - {end}) * (1 - t / ({steps} * max(1, ceil(t / {steps}))))^{power}");
        return Ok((Schedule::expr(formula).into(), initial));
    }
    Ok((Schedule::polynomial(steps).power(power).eta_min(end).into(), initial))
}

fn inverse_time(settings: Settings<'_>) -> Result<(Schedule, f64), Refusal> {
    let initial = settings.number("initial_learning_rate")?;
    let (steps, rate) = (settings.length("decay_steps")?, settings.number("decay_rate")?);
    let staircase = settings.flag_or("staircase", false)?;
    Ok((Schedule::inverse_time(steps, rate).staircase(staircase).into(), initial))
}
