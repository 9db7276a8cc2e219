//! PyTorch's schedulers (torch 2.15, `torch/optim/lr_scheduler.py` and `swa_utils.py`), told by the keys of their states.
//!
//! Most of them multiply the last rate. Their closed forms are ours, and a file's rates follow them to rounding, unless
//! somebody changed a rate in between; that is compared with the file afterwards.

use serde_json::json;

use super::settings::Settings;
use super::{Shape, Source, for_groups};
use crate::peers::peer::{Group, Setting};
use crate::peers::translate::Refusal;
use crate::schedule::kinds::{After, Anneal, CycleMode};
use crate::schedule::{ForGroups, Mode, Schedule, ThresholdMode};

/// Translates the scheduler `torch.NAME`.
pub(super) fn shape(name: &str, source: &Source<'_>) -> Result<Shape, Refusal> {
    let settings = source.settings();
    match name {
        "OneCycleLR" => one_cycle(source, settings),
        "ReduceLROnPlateau" => plateau(source, settings),
        "SWALR" => averaging(source, settings),
        "CosineAnnealingWarmRestarts" => {
            let shape = Shape::new(warm_restarts(settings)?, source.base_lrs()?);
            Ok(Shape { at: Some(place_in_restarts(settings)?), ..shape })
        }
        _ => Ok(Shape::new(plain(name, settings, source)?, source.base_lrs()?)),
    }
}

/// Translates a scheduler whose rate is a function of its counter and the base rate, alone or as a member of another.
pub(super) fn plain(name: &str, settings: Settings<'_>, source: &Source<'_>) -> Result<Schedule, Refusal> {
    Ok(match name {
        "StepLR" => step(settings.length("step_size")?, settings.number("gamma")?),
        "MultiStepLR" => {
            let (milestones, gamma) = (settings.lengths("milestones")?, settings.number("gamma")?);
            Schedule::multi_step(milestones).gamma(gamma).into()
        }
        "ExponentialLR" => exponential(settings.number("gamma")?),
        "CosineAnnealingLR" => {
            let (t_max, eta_min) = (settings.length("T_max")?, settings.number_or("eta_min", 0.0)?);
            Schedule::cosine(t_max).eta_min(eta_min).after(After::Cycle).into()
        }
        "CosineAnnealingWarmRestarts" => warm_restarts(settings)?,
        "PolynomialLR" => {
            let total = settings.length("total_iters")?;
            Schedule::polynomial(total).power(settings.number_or("power", 1.0)?).into()
        }
        "LinearLR" => {
            let (start, end) = (settings.number("start_factor")?, settings.number("end_factor")?);
            let total = settings.length("total_iters")?;
            Schedule::linear().start_factor(start).end_factor(end).total(total).into()
        }
        "ConstantLR" => {
            let (factor, total) = (settings.number("factor")?, settings.length("total_iters")?);
            Schedule::constant().factor(factor).total(total).into()
        }
        "CyclicLR" => cyclic(settings, source)?,
        "LambdaLR" | "MultiplicativeLR" => return Err(unknown_function(name)),
        "OneCycleLR" | "ReduceLROnPlateau" | "SWALR" | "SequentialLR" | "ChainedScheduler" => {
            let reason =
                "as a member of another scheduler it has no closed form; write `schedule` in the configuration";
            return Err(Refusal::cannot(format!("torch.{name}"), reason));
        }
        _ => return Err(super::asked::unknown(settings.form, source)),
    })
}

fn unknown_function(name: &str) -> Refusal {
    let reason = "its function is not in the file; write `schedule` in the configuration, for example schedule = \"expr('base * 0.95^t')\"";
    Refusal::ask(format!("torch.{name}"), reason.replace('\'', "\\\""))
}

/// The most by which a rising factor multiplies; a run has ended long before.
const HIGHEST: f64 = 1e30;

/// A factor above 1, as of a search for a rate, is a formula of ours; our decays only fall.
pub(super) fn step(step_size: u64, gamma: f64) -> Schedule {
    if gamma > 1.0 {
        return Schedule::expr(format!("base * min({HIGHEST:e}, {gamma}^floor(t / {step_size}))")).into();
    }
    Schedule::step(step_size).gamma(gamma).into()
}

/// See [`step`].
pub(super) fn exponential(gamma: f64) -> Schedule {
    if gamma > 1.0 {
        Schedule::expr(format!("base * min({HIGHEST:e}, {gamma}^t)")).into()
    } else {
        Schedule::exponential(gamma).into()
    }
}

fn warm_restarts(settings: Settings<'_>) -> Result<Schedule, Refusal> {
    let (t_0, t_mult) = (settings.length("T_0")?, settings.length_or("T_mult", 1)?);
    let eta_min = settings.number_or("eta_min", 0.0)?;
    Ok(Schedule::cosine_restarts(t_0).t_mult(t_mult as f64).eta_min(eta_min).into())
}

/// Returns the time at which warm restarts stand: the ends of the cycles before, and `T_cur` of the present one.
fn place_in_restarts(settings: Settings<'_>) -> Result<f64, Refusal> {
    let passed = settings.number("T_cur")?;
    if passed.fract() != 0.0 {
        let reason = format!(
            "it is {passed}: the scheduler was stepped by fractions of an epoch, which Rekindle's schedules are not. Write `schedule` in the configuration, counted in updates"
        );
        return Err(settings.refuse("T_cur", reason));
    }
    let (t_0, t_mult) = (settings.length("T_0")?, settings.length_or("T_mult", 1)?);
    let cycle = settings.length_or("T_i", t_0)?;
    if t_mult <= 1 {
        // All cycles are alike, so the scheduler's counter is right where it is at the same place of one.
        let counted = settings.form.number("last_epoch");
        let counted = counted.filter(|at| t_0 > 0 && at.rem_euclid(t_0 as f64) == passed);
        return Ok(counted.unwrap_or(passed));
    }
    let (mut start, mut length) = (0u64, t_0);
    while length < cycle && length > 0 {
        start = start.saturating_add(length);
        length = length.saturating_mul(t_mult);
    }
    if length != cycle {
        return Err(settings.refuse("T_i", format!("{cycle} is not {t_0} times a power of {t_mult}")));
    }
    Ok(start as f64 + passed)
}

fn cyclic(settings: Settings<'_>, source: &Source<'_>) -> Result<Schedule, Refusal> {
    if settings.has("_scale_fn_custom") {
        return Err(Refusal::ask(
            "torch.CyclicLR scale_fn",
            "its own function of height is not in the file; write `schedule` in the configuration",
        ));
    }
    let (total, ratio) = (settings.number("total_size")?, settings.number("step_ratio")?);
    let up = settings.whole("step_size_up", (total * ratio).round_if_near())?;
    let down = settings.whole("step_size_down", (total - total * ratio).round_if_near())?;
    let mode = match settings.word_or("mode", "triangular")? {
        "triangular" => CycleMode::Triangular,
        "triangular2" => CycleMode::Triangular2,
        "exp_range" => CycleMode::ExpRange,
        other => return Err(settings.refuse("mode", format!("`{other}` is not a mode of PyTorch's"))),
    };
    let tops = settings.numbers("max_lrs")?;
    let gamma = settings.number_or("gamma", 1.0)?;
    let base =
        Schedule::cyclic(ForGroups::Each(tops.clone())).step_size_up(up).step_size_down(down).mode(mode).gamma(gamma);
    if !settings.flag_or("cycle_momentum", false)? {
        let all = tops.first().copied().filter(|first| tops.iter().all(|top| top == first));
        return Ok(
            all.map_or(base.clone().into(), |all| crate::schedule::kinds::Cyclic { max_lr: all.into(), ..base }.into())
        );
    }
    let lows = of_groups(settings, "base_momentums", "base_momentum", source)?;
    let highs = of_groups(settings, "max_momentums", "max_momentum", source)?;
    let each = tops.iter().zip(lows.into_iter().zip(highs)).map(|(top, (low, high))| {
        crate::schedule::kinds::Cyclic { max_lr: (*top).into(), ..base.clone() }.momentum([low, high]).into()
    });
    Ok(for_groups(each.collect()))
}

/// Returns a setting of each group that is in the scheduler's state, or in the groups.
fn of_groups(settings: Settings<'_>, list: &str, key: &str, source: &Source<'_>) -> Result<Vec<f64>, Refusal> {
    if settings.has(list) {
        return settings.numbers(list);
    }
    source.groups.iter().enumerate().map(|(index, group)| number_of(group, index, key)).collect()
}

fn number_of(group: &Group, index: usize, key: &str) -> Result<f64, Refusal> {
    group.number(key).ok_or_else(|| {
        Refusal::ask("schedule", format!("group {index} has no `{key}`; write `schedule` in the configuration"))
    })
}

fn one_cycle(source: &Source<'_>, settings: Settings<'_>) -> Result<Shape, Refusal> {
    let total = settings.length("total_steps")?;
    let ends = phase_ends(settings)?;
    let anneal = if is_linear(settings, "_anneal_func_type")? { Anneal::Linear } else { Anneal::Cos };
    let three_phase = match ends.len() {
        2 => false,
        3 => true,
        other => return Err(settings.refuse("_schedule_phases", format!("there are {other}, and PyTorch has 2 or 3"))),
    };
    let peak = ends.first().copied().unwrap_or_default();
    let pct_start = (peak + 1.0) / total.max(1) as f64;
    let moves_momentum = settings.flag_or("cycle_momentum", false)?;
    let mut tops = Vec::new();
    let mut each: Vec<Schedule> = Vec::new();
    for (index, group) in source.groups.iter().enumerate() {
        let first = group.initial_lr.map_or_else(|| number_of(group, index, "initial_lr"), Ok)?;
        let (top, last) = (number_of(group, index, "max_lr")?, number_of(group, index, "min_lr")?);
        tops.push(top);
        let mut cycle = Schedule::one_cycle(total)
            .pct_start(pct_start)
            .anneal(anneal)
            .div_factor(top / first)
            .final_div_factor(first / last)
            .three_phase(three_phase);
        if moves_momentum {
            let (low, high) = (number_of(group, index, "base_momentum")?, number_of(group, index, "max_momentum")?);
            cycle = cycle.momentum([low, high]);
        }
        each.push(cycle.into());
    }
    let mut shape = Shape::new(for_groups(each), tops);
    shape
        .notes
        .push("the base rate is `max_lr`, the peak of the cycle; PyTorch's `initial_lr` is the first rate".to_owned());
    Ok(shape)
}

/// Returns the times at which the phases end; PyTorch before 1.10 had the lengths of two.
fn phase_ends(settings: Settings<'_>) -> Result<Vec<f64>, Refusal> {
    match settings.optional_number("step_size_up") {
        Ok(Some(up)) if !settings.has("_schedule_phases") => Ok(vec![up, up + settings.number("step_size_down")?]),
        _ => settings.numbers("_schedule_phases"),
    }
}

/// Returns whether rates go along a straight line instead of a cosine, by a word, or in older files by the function.
fn is_linear(settings: Settings<'_>, key: &str) -> Result<bool, Refusal> {
    let function = match settings.form.setting("anneal_func") {
        Some(Setting::Text(name) | Setting::Other(name)) if !settings.has(key) => Some(name.as_str()),
        _ => None,
    };
    match function.map_or_else(|| settings.word_or(key, "cos"), Ok)? {
        "linear" => Ok(true),
        "cos" => Ok(false),
        name if name.contains("linear") => Ok(true),
        name if name.contains("cos") => Ok(false),
        other => Err(settings.refuse(key, format!("`{other}` is neither cos nor linear"))),
    }
}

fn plateau(source: &Source<'_>, settings: Settings<'_>) -> Result<Shape, Refusal> {
    let groups = source.groups.iter().map(|group| group.lr).collect::<Option<Vec<f64>>>();
    let rates = groups.unwrap_or_else(|| source.schedule.last_lrs.clone());
    if rates.is_empty() {
        return Err(Refusal::ask("lr", "the present rate is not in the file; write it in the configuration"));
    }
    let (mode, worst) = match settings.word_or("mode", "min")? {
        "min" => (Mode::Min, "inf"),
        "max" => (Mode::Max, "-inf"),
        other => return Err(settings.refuse("mode", format!("`{other}` is neither min nor max"))),
    };
    let threshold_mode = match settings.word_or("threshold_mode", "rel")? {
        "rel" => ThresholdMode::Rel,
        "abs" => ThresholdMode::Abs,
        other => return Err(settings.refuse("threshold_mode", format!("`{other}` is neither rel nor abs"))),
    };
    let mut floors = if settings.has("min_lrs") { settings.numbers("min_lrs")? } else { vec![0.0] };
    if floors.len() == 1 {
        floors.resize(rates.len(), floors.first().copied().unwrap_or_default());
    }
    let alike = floors.first().copied().filter(|first| floors.iter().all(|floor| floor == first));
    let min_lr = alike.map_or(ForGroups::Each(floors), ForGroups::All);
    let schedule = Schedule::plateau()
        .mode(mode)
        .factor(settings.number("factor")?)
        .patience(settings.length("patience")?)
        .threshold(settings.number_or("threshold", 1e-4)?)
        .threshold_mode(threshold_mode)
        .cooldown(settings.length_or("cooldown", 0)?)
        .min_lr(min_lr)
        .eps(settings.number_or("eps", 1e-8)?);
    // Before the first report the best is an infinity, which JSON has no number for.
    let best = match settings.form.number("best") {
        Some(best) if best.is_finite() => json!(best),
        Some(best) if best.is_nan() => return Err(settings.refuse("best", "it is not a number")),
        _ => json!(worst),
    };
    let memory = json!({
        "kind": "plateau",
        "best": best,
        "num_bad": settings.length_or("num_bad_epochs", 0)?,
        "cooldown_counter": settings.length_or("cooldown_counter", 0)?,
        "lrs": rates,
    });
    let mut shape = Shape::new(schedule, rates);
    shape.memory = Some(memory);
    shape.at = source.updates.map(|updates| updates as f64);
    shape.notes.push("the base rate is the present one: the file does not have the first".to_owned());
    let reports = settings.form.number("last_epoch").map(|count| format!(", of which there were {count}"));
    shape.notes.push(format!(
        "the rate moves with each report of the metric{}; here one comes after each validation, or without validations \
         after each epoch: it should be as often as there",
        reports.unwrap_or_default()
    ));
    Ok(shape)
}

/// `SWALR` goes from the rate at its start to `swa_lr` in `anneal_epochs`, then holds.
fn averaging(source: &Source<'_>, settings: Settings<'_>) -> Result<Shape, Refusal> {
    let length = settings.length("anneal_epochs")?.max(1);
    let at = source.schedule.at.or_else(|| settings.form.number("last_epoch")).unwrap_or_default();
    let passed = (at / length as f64).clamp(0.0, 1.0);
    let linear = is_linear(settings, "_anneal_strategy")?;
    let share = if linear { passed } else { (1.0 - (std::f64::consts::PI * passed).cos()) / 2.0 };
    let (mut starts, mut each) = (Vec::new(), Vec::<Schedule>::new());
    for (index, group) in source.groups.iter().enumerate() {
        let target = number_of(group, index, "swa_lr")?;
        let present = group.lr.map_or_else(|| number_of(group, index, "lr"), Ok)?;
        // The rate at the start is not in the file; it follows from the present one, and no longer matters at the end.
        starts.push(if passed < 1.0 { (present - share * target) / (1.0 - share) } else { target });
        each.push(if linear {
            Schedule::polynomial(length).eta_min(target).into()
        } else {
            Schedule::cosine(length).eta_min(target).into()
        });
    }
    let mut shape = Shape::new(for_groups(each), starts);
    shape.notes.push("the base rate is the one at which SWALR began".to_owned());
    Ok(shape)
}

/// Rounding of a product that stands for a whole number.
trait RoundIfNear {
    /// Returns the nearest whole number where the difference is that of rounding.
    fn round_if_near(self) -> Self;
}

impl RoundIfNear for f64 {
    fn round_if_near(self) -> Self {
        let nearest = self.round();
        if (self - nearest).abs() <= 1e-9 * nearest.abs().max(1.0) { nearest } else { self }
    }
}
