//! optax 0.2.8, Keras 3.15, and flax' and MLX's schedules, whose rates are in f32.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{piecewise, ratio, sequential, share, unless, warmup};

const IN_F32: &str = "its rates are in f32: in_f32(…) around the schedule rounds to them";

pub(super) const CLASSES: &[Class] = &[
    Class { signature: "optax.constant_schedule(value)", say: |given| Said::of(given.number("value")?, "constant") },
    Class {
        signature: "optax.linear_schedule(init_value, end_value, transition_steps, transition_begin=0)",
        say: |given| ramp(given, 1.0),
    },
    Class {
        signature: "optax.polynomial_schedule(init_value, end_value, power, transition_steps, transition_begin=0)",
        say: |given| ramp(given, given.number("power")?),
    },
    Class {
        signature: "optax.exponential_decay(init_value, transition_steps, decay_rate, transition_begin=0, staircase=False, end_value=None)",
        say: |given| {
            let decay = exponential(given)?;
            let begin = given.count("transition_begin")?;
            Said::of(given.number("init_value")?, begun(begin, &decay))
        },
    },
    Class {
        signature: "optax.cosine_decay_schedule(init_value, decay_steps, alpha=0.0, exponent=1.0)",
        say: |given| {
            let (floor, exponent) = (ratio(given.number("alpha")?), exponent(given)?);
            Said::of(given.number("init_value")?, format!("cosine({}{floor}{exponent})", given.count("decay_steps")?))
        },
    },
    Class {
        signature: "optax.piecewise_constant_schedule(init_value, boundaries_and_scales=None)",
        say: |given| pieces(given, "step"),
    },
    Class {
        signature: "optax.piecewise_interpolate_schedule(interpolate_type, init_value, boundaries_and_scales=None)",
        say: |given| pieces(given, given.word("interpolate_type", &["linear", "cosine"])?),
    },
    Class {
        signature: "optax.cosine_onecycle_schedule(transition_steps, peak_value, pct_start=0.3, div_factor=25, final_div_factor=1e4)",
        say: |given| {
            let (total, first, last) = one_cycle(given)?;
            let top = (given.number("pct_start")? * total as f64) as u64;
            Said::of(given.number("peak_value")?, piecewise(&[(0, first), (top, 1.0), (total, last)], "cosine"))
        },
    },
    Class {
        signature: "optax.linear_onecycle_schedule(transition_steps, peak_value, pct_start=0.3, pct_final=0.85, div_factor=25, final_div_factor=1e4)",
        say: |given| {
            let (total, first, last) = one_cycle(given)?;
            let at = |name: &str| Ok::<_, LikeError>((given.number(name)? * total as f64) as u64);
            let points = [(0, first), (at("pct_start")?, 1.0), (at("pct_final")?, first), (total, last)];
            Said::of(given.number("peak_value")?, piecewise(&points, "linear"))
        },
    },
    Class {
        signature: "optax.warmup_constant_schedule(init_value, peak_value, warmup_steps)",
        say: |given| {
            let text = warmup(given.count("warmup_steps")?, given.number("init_value")?, "constant");
            Said::of(given.number("peak_value")?, text)
        },
    },
    Class {
        signature: "optax.warmup_cosine_decay_schedule(init_value, peak_value, warmup_steps, decay_steps, end_value=0.0, exponent=1.0)",
        say: |given| {
            let (steps, peak) = (given.count("warmup_steps")?, given.number("peak_value")?);
            let floor = super::pieces::floor(given.number("end_value")?);
            let decay = format!("cosine({}{floor}{})", given.rest("decay_steps", steps)?, exponent(given)?);
            Said::of(peak, warmup(steps, given.number("init_value")?, &decay))
        },
    },
    Class {
        signature: "optax.warmup_exponential_decay_schedule(init_value, peak_value, warmup_steps, transition_steps, decay_rate, transition_begin=0, staircase=False, end_value=None)",
        say: |given| {
            let decay = begun(given.count("transition_begin")?, &exponential(given)?);
            let text = warmup(given.count("warmup_steps")?, given.number("init_value")?, &decay);
            Said::of(given.number("peak_value")?, text)
        },
    },
    Class { signature: "optax.join_schedules(schedules, boundaries)", say: joined },
    Class { signature: "optax.sgdr_schedule(cosine_kwargs)", say: sgdr },
    Class {
        signature: "optax.contrib.reduce_on_plateau(factor=0.1, patience=10, rtol=1e-4, atol=0.0, cooldown=0, accumulation_size=1, min_scale=0.0)",
        say: |given| {
            if given.number("atol")? != 0.0
                || given.count("accumulation_size")? != 1
                || given.number("min_scale")? != 0.0
            {
                return Err(given.wrong("`atol`, `accumulation_size` and `min_scale` are not read; write plateau(…)"));
            }
            let text = format!(
                "plateau(factor={}, patience={}, threshold={}, cooldown={})",
                n(given.number("factor")?),
                given.count("patience")?.saturating_sub(1),
                n(given.number("rtol")?),
                given.count("cooldown")?
            );
            Ok(Said::text(text)?.note("optax fires with bad report number `patience`, ours after it: one less here"))
        },
    },
    Class {
        signature: "keras.optimizers.schedules.ExponentialDecay(initial_learning_rate, decay_steps, decay_rate, staircase=False, name=None)",
        say: |given| {
            let (steps, rate) = (given.count("decay_steps")?, n(given.number("decay_rate")?));
            let text = match given.flag("staircase")? {
                true => format!("step({steps}, gamma={rate})"),
                false => format!("exponential({rate}, period={steps})"),
            };
            keras(given, text)
        },
    },
    Class {
        signature: "keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values, name=None)",
        say: |given| {
            let (boundaries, values) = (given.counts("boundaries")?, given.numbers("values")?);
            let base = values.first().copied().unwrap_or(0.0);
            if values.len() != boundaries.len() + 1 {
                return Err(given.wrong("there must be one more of `values` than of `boundaries`"));
            }
            share(given, "a value", 1.0, base)?;
            let starts = std::iter::once(0).chain(boundaries.iter().map(|boundary| boundary + 1));
            let points: Vec<(u64, f64)> = starts.zip(values.iter().map(|value| value / base)).collect();
            let said = Said::of(base, piecewise(&points, "step"))?;
            Ok(said.note("Keras switches one step after a boundary, and so does this").note(IN_F32))
        },
    },
    Class {
        signature: "keras.optimizers.schedules.PolynomialDecay(initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False, name=None)",
        say: |given| {
            let (power, end) = (unless("power", given.number("power")?, 1.0), n(given.number("end_learning_rate")?));
            let cycle = if given.flag("cycle")? { ", after=\"cycle\"" } else { "" };
            keras(given, format!("polynomial({}{power}, eta_min={end}{cycle})", given.count("decay_steps")?))
        },
    },
    Class {
        signature: "keras.optimizers.schedules.InverseTimeDecay(initial_learning_rate, decay_steps, decay_rate, staircase=False, name=None)",
        say: |given| {
            let staircase = if given.flag("staircase")? { ", staircase=true" } else { "" };
            let (steps, rate) = (given.count("decay_steps")?, n(given.number("decay_rate")?));
            keras(given, format!("inverse_time({steps}, {rate}{staircase})"))
        },
    },
    Class {
        signature: "keras.optimizers.schedules.CosineDecay(initial_learning_rate, decay_steps, alpha=0.0, name=None, warmup_target=None, warmup_steps=0)",
        say: |given| {
            let decay = format!("cosine({}{})", given.count("decay_steps")?, ratio(given.number("alpha")?));
            if given.is_none("warmup_target") || given.count("warmup_steps")? == 0 {
                return keras(given, decay);
            }
            let text = warmup(given.count("warmup_steps")?, given.number("initial_learning_rate")?, &decay);
            Ok(Said::of(given.number("warmup_target")?, text)?.note(IN_F32))
        },
    },
    Class {
        signature: "keras.optimizers.schedules.CosineDecayRestarts(initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name=None)",
        say: |given| {
            let (first, growth, decay) =
                (given.count("first_decay_steps")?, given.number("t_mul")?, given.number("m_mul")?);
            let decays =
                if decay == 1.0 { String::new() } else { format!(", cycle_decay={}, decays=\"height\"", n(decay)) };
            let floor = ratio(given.number("alpha")?);
            keras(given, format!("cosine_restarts({first}, t_mult={}{decays}{floor})", n(growth)))
        },
    },
    Class {
        signature: "keras.callbacks.ReduceLROnPlateau(monitor='val_loss', factor=0.1, patience=10, verbose=0, mode='auto', min_delta=0.0001, cooldown=0, min_lr=0.0)",
        say: |given| {
            let mode = given.word("mode", &["auto", "min", "max"])?;
            let is_accuracy = mode == "auto" && given.text("monitor")?.contains("acc");
            let mode = if mode == "max" || is_accuracy { "max" } else { "min" };
            let text = format!(
                "plateau(mode=\"{mode}\", factor={}, patience={}, threshold={}, threshold_mode=\"abs\", cooldown={}, \
                 min_lr={})",
                n(given.number("factor")?),
                given.count("patience")?.saturating_sub(1),
                n(given.number("min_delta")?),
                given.count("cooldown")?.saturating_sub(1),
                n(given.number("min_lr")?)
            );
            Ok(Said::text(text)?
                .note("Keras fires with bad report number `patience`, ours after it: one less here, of a cooldown too"))
        },
    },
    Class {
        signature: "flax.training.lr_schedule.create_cosine_learning_rate_schedule(base_learning_rate, steps_per_epoch, halfcos_epochs, warmup_length=0.0)",
        say: |given| {
            let epoch = given.count("steps_per_epoch")?;
            let warm = (given.number("warmup_length")? * epoch as f64).round() as u64;
            let decay = format!("cosine({})", given.count("halfcos_epochs")?.saturating_mul(epoch));
            let text = if warm == 0 { decay } else { format!("chained([warmup({warm}) -> constant, {decay}])") };
            Ok(Said::of(given.number("base_learning_rate")?, text)?.note(IN_F32))
        },
    },
    Class {
        signature: "mlx.optimizers.step_decay(init, decay_rate, step_size)",
        say: |given| {
            let text = format!("step({}, gamma={})", given.count("step_size")?, n(given.number("decay_rate")?));
            Said::of(given.number("init")?, text)
        },
    },
    Class {
        signature: "mlx.optimizers.exponential_decay(init, decay_rate)",
        say: |given| Said::of(given.number("init")?, format!("exponential({})", n(given.number("decay_rate")?))),
    },
    Class {
        signature: "mlx.optimizers.cosine_decay(init, decay_steps, end=0.0)",
        say: |given| {
            let floor = super::pieces::floor(given.number("end")?);
            Said::of(given.number("init")?, format!("cosine({}{floor})", given.count("decay_steps")?))
        },
    },
    Class {
        signature: "mlx.optimizers.linear_schedule(init, end, steps)",
        say: |given| between(given.number("init")?, given.number("end")?, given.count("steps")?),
    },
    Class { signature: "mlx.optimizers.join_schedules(schedules, boundaries)", say: joined },
];

fn keras(given: &Given, text: String) -> Result<Said, LikeError> {
    Ok(Said::of(given.number("initial_learning_rate")?, text)?.note(IN_F32))
}

/// A straight line between two rates, of which one may be 0.
fn between(start: f64, end: f64, steps: u64) -> Result<Said, LikeError> {
    if start < end {
        return Said::of(end, warmup(steps, start, "constant"));
    }
    Said::of(start, format!("polynomial({steps}{})", super::pieces::floor(end)))
}

fn ramp(given: &Given, power: f64) -> Result<Said, LikeError> {
    let (start, end) = (given.number("init_value")?, given.number("end_value")?);
    let (steps, begin) = (given.count("transition_steps")?, given.count("transition_begin")?);
    if start < end && power == 1.0 && begin == 0 {
        return between(start, end, steps);
    }
    let decay = format!("polynomial({steps}{}, eta_min={})", unless("power", power, 1.0), n(end));
    Said::of(start, begun(begin, &decay))
}

/// A decay that begins after some updates at its first rate.
fn begun(begin: u64, decay: &str) -> String {
    if begin == 0 { decay.to_owned() } else { format!("constant(total={begin}) -> {decay}") }
}

fn exponential(given: &Given) -> Result<String, LikeError> {
    let (steps, rate) = (given.count("transition_steps")?, n(given.number("decay_rate")?));
    let floor = super::pieces::floor(given.number_or("end_value", 0.0)?);
    Ok(match given.flag("staircase")? {
        true => format!("step({steps}, gamma={rate}{floor})"),
        false => format!("exponential({rate}, period={steps}{floor})"),
    })
}

fn exponent(given: &Given) -> Result<String, LikeError> {
    Ok(unless("exponent", given.number("exponent")?, 1.0))
}

fn pieces(given: &Given, interpolate: &str) -> Result<Said, LikeError> {
    let mut scales = given.table("boundaries_and_scales")?;
    scales.sort_by_key(|(at, _)| *at);
    let mut points = vec![(0, 1.0)];
    let mut factor = 1.0;
    for (at, scale) in scales {
        factor *= scale;
        points.push((at, factor));
    }
    Said::of(given.number("init_value")?, piecewise(&points, interpolate))
}

/// Cosines with warm-ups, each with its own peak: a part of the highest one, which scales its other rates as well.
fn sgdr(given: &Given) -> Result<Said, LikeError> {
    let cycles = given.tables("cosine_kwargs")?;
    let of = |cycle: &[(String, f64)], name: &str, default: Option<f64>| {
        let found = cycle.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        found.or(default).ok_or_else(|| given.wrong(format!("a cycle needs `{name}`")))
    };
    let mut peaks = Vec::new();
    for cycle in &cycles {
        peaks.push(of(cycle, "peak_value", None)?);
    }
    let base = peaks.iter().copied().fold(0.0, f64::max);
    let (mut start, mut boundaries, mut texts) = (0, Vec::new(), Vec::new());
    for (cycle, peak) in cycles.iter().zip(&peaks) {
        let scale = share(given, "a rate", base, *peak)?;
        let (steps, length) = (of(cycle, "warmup_steps", None)? as u64, of(cycle, "decay_steps", None)? as u64);
        let rest = length.checked_sub(steps).filter(|rest| *rest > 0);
        let rest = rest.ok_or_else(|| given.wrong("`decay_steps` includes the warm-up, and must be longer"))?;
        let floor = super::pieces::floor(of(cycle, "end_value", Some(0.0))? * scale);
        let exponent = unless("exponent", of(cycle, "exponent", Some(1.0))?, 1.0);
        let text = warmup(steps, of(cycle, "init_value", None)? * scale, &format!("cosine({rest}{floor}{exponent})"));
        let part = n(peak / base);
        texts.push(if *peak == base { text } else { format!("chained([constant({part}), {text}])") });
        start += length;
        boundaries.push(start);
    }
    boundaries.pop();
    Said::of(base, sequential(&boundaries, &texts))
}

fn one_cycle(given: &Given) -> Result<(u64, f64, f64), LikeError> {
    let (div, last) = (given.number("div_factor")?, given.number("final_div_factor")?);
    Ok((given.count("transition_steps")?, 1.0 / div, 1.0 / (div * last)))
}

fn joined(given: &Given) -> Result<Said, LikeError> {
    let inner = given.inner_list("schedules")?;
    let base = inner.iter().flat_map(|said| said.base_lrs.iter().copied()).fold(0.0, f64::max);
    let mut texts = Vec::new();
    for said in &inner {
        let own = said.base_lrs.first().copied().unwrap_or(base);
        let has_rates = ["eta_min=", "start_lr="].iter().any(|rate| said.text.contains(rate));
        match own == base {
            true => texts.push(said.text.clone()),
            false if has_rates => {
                return Err(given.wrong(
                    "its schedules have several base rates, and one has a rate as its end; write sequential(…)",
                ));
            }
            false => texts.push(format!("chained([constant({}), {}])", n(own / base), said.text)),
        }
    }
    let notes = inner.into_iter().flat_map(|said| said.notes).collect();
    Ok(Said { text: sequential(&given.counts("boundaries")?, &texts), base_lrs: vec![base], notes })
}
