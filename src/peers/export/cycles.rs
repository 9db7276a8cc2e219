//! The schedulers of PyTorch that keep more than a counter: `OneCycleLR`, `CyclicLR`, `CosineAnnealingWarmRestarts` and
//! `ReduceLROnPlateau`.

use super::error::ExportError;
use super::python::{Form, number};
use super::schedule::{Placing, TorchSchedule};
use crate::peers::write::Item;

type Entries = Vec<(&'static str, Item<'static>)>;

/// Returns the scheduler, if the schedule is of one of these kinds.
pub(super) fn schedule(placing: &Placing<'_>) -> Result<Option<TorchSchedule>, ExportError> {
    let form = placing.form;
    Ok(match form.kind() {
        "one_cycle" => Some(one_cycle(placing, form)?),
        "cyclic" => Some(cyclic(placing, form)?),
        "cosine_restarts" if form.number("cycle_decay") == 1.0 && form.table["cycle_limit"].is_null() => {
            Some(restarts(placing, form)?)
        }
        "plateau" => Some(plateau(placing, form)?),
        _ => None,
    })
}

fn list(numbers: &[f64]) -> String {
    format!("[{}]", numbers.iter().copied().map(number).collect::<Vec<_>>().join(", "))
}

fn int(value: u64) -> Item<'static> {
    Item::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Returns `[low, high]` of a momentum that the schedule moves.
fn momentum(form: Form<'_>) -> Option<[f64; 2]> {
    let ends = form.table["momentum"].as_array()?;
    Some([ends.first()?.as_f64()?, ends.get(1)?.as_f64()?])
}

/// Returns the code for a momentum that is moved, or not.
fn momentum_code(form: Form<'_>) -> String {
    match momentum(form) {
        Some([low, high]) => format!(", base_momentum={}, max_momentum={}", number(low), number(high)),
        None => ", cycle_momentum=False".to_owned(),
    }
}

/// Returns the entries of a group whose momentum is moved.
fn momentum_entries(form: Form<'_>) -> Vec<(String, Item<'static>)> {
    let entries = momentum(form).map(|[low, high]| {
        [("max_momentum".to_owned(), Item::Float(high)), ("base_momentum".to_owned(), Item::Float(low))]
    });
    entries.into_iter().flatten().collect()
}

fn one_cycle(placing: &Placing<'_>, form: Form<'_>) -> Result<TorchSchedule, ExportError> {
    let (total, pct_start) = (form.length("total")?, form.number("pct_start"));
    let (div, last) = (form.number("div_factor"), form.number("final_div_factor"));
    if placing.t > total {
        let reason = format!("the run has made {} updates, and PyTorch's OneCycleLR none after its end", placing.t);
        return Err(ExportError::refused(format!("a `one_cycle` of {total}"), reason));
    }
    let three_phase = form.table["three_phase"] == true;
    let anneal = form.table["anneal"].as_str().unwrap_or("cos").to_owned();
    let phase = |end: Item<'static>, [lr, to_lr]: [&str; 2], [momentum, to_momentum]: [&str; 2]| {
        Item::dict([
            ("end_step", end),
            ("start_lr", Item::text(lr)),
            ("end_lr", Item::text(to_lr)),
            ("start_momentum", Item::text(momentum)),
            ("end_momentum", Item::text(to_momentum)),
        ])
    };
    let (high, low) = ("max_momentum", "base_momentum");
    let peak = Item::Float(pct_start * total as f64 - 1.0);
    let end = Item::Int(i64::try_from(total).unwrap_or(i64::MAX) - 1);
    let rise = phase(peak, ["initial_lr", "max_lr"], [high, low]);
    let phases = if three_phase {
        let back = Item::Float(2.0 * pct_start * total as f64 - 2.0);
        let fall = phase(back, ["max_lr", "initial_lr"], [low, high]);
        vec![rise, fall, phase(end, ["initial_lr", "min_lr"], [high, high])]
    } else {
        vec![rise, phase(end, ["max_lr", "min_lr"], [low, high])]
    };
    // PyTorch's base rate is the first of the cycle, and ours the highest.
    let firsts: Vec<f64> = placing.bases.iter().map(|base| base / div).collect();
    let mut rates = placing.group_rates(Some(&firsts));
    for ((rates, base), first) in rates.iter_mut().zip(&placing.bases).zip(&firsts) {
        rates.entries =
            vec![("max_lr".to_owned(), Item::Float(*base)), ("min_lr".to_owned(), Item::Float(first / last))];
        rates.entries.extend(momentum_entries(form));
    }
    let mut state: Entries = vec![
        ("total_steps", int(total)),
        ("_schedule_phases", Item::List(phases)),
        ("_anneal_func_type", Item::text(anneal.clone())),
        ("cycle_momentum", Item::Bool(momentum(form).is_some())),
    ];
    if momentum(form).is_some() {
        state.push(("use_beta1", Item::Bool(placing.has_betas)));
    }
    let common = placing.common(Some(placing.t), &placing.rates).into_iter();
    state
        .extend(common.map(|(key, value)| if key == "base_lrs" { (key, Item::floats(&firsts)) } else { (key, value) }));
    let code = format!(
        "torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr={}, total_steps={total}, pct_start={}, \
         anneal_strategy={anneal:?}, div_factor={}, final_div_factor={}, three_phase={}{})",
        list(&placing.bases),
        number(pct_start),
        number(div),
        number(last),
        if three_phase { "True" } else { "False" },
        momentum_code(form),
    );
    Ok(TorchSchedule { state: Some(Item::dict(state)), code, rates, ..TorchSchedule::default() })
}

fn cyclic(placing: &Placing<'_>, form: Form<'_>) -> Result<TorchSchedule, ExportError> {
    let up = form.length("step_size_up")?;
    let down = if form.table["step_size_down"].is_null() { up } else { form.length("step_size_down")? };
    let highest = placing.for_groups("max_lr");
    let mode = form.table["mode"].as_str().unwrap_or("triangular").to_owned();
    let gamma = form.number("gamma");
    let size = (up + down) as f64;
    let mut state: Entries = vec![
        ("max_lrs", Item::floats(&highest)),
        ("total_size", Item::Float(size)),
        ("step_ratio", Item::Float(up as f64 / size)),
        ("mode", Item::text(mode.clone())),
        ("gamma", Item::Float(gamma)),
        ("_scale_fn_custom", Item::None),
        ("scale_mode", Item::text(if mode == "exp_range" { "iterations" } else { "cycle" })),
        ("cycle_momentum", Item::Bool(momentum(form).is_some())),
    ];
    if let Some([low, high]) = momentum(form) {
        state.push(("use_beta1", Item::Bool(placing.has_betas)));
        state.push(("base_momentums", Item::floats(&vec![low; placing.bases.len()])));
        state.push(("max_momentums", Item::floats(&vec![high; placing.bases.len()])));
    }
    state.extend(placing.common(Some(placing.t), &placing.rates));
    let mut rates = placing.group_rates(Some(&placing.bases));
    rates.iter_mut().for_each(|rates| rates.entries = momentum_entries(form));
    let code = format!(
        "torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr={}, max_lr={}, step_size_up={up}, step_size_down={down}, \
         mode={mode:?}, gamma={}{})",
        list(&placing.bases),
        list(&highest),
        number(gamma),
        momentum_code(form),
    );
    Ok(TorchSchedule { state: Some(Item::dict(state)), code, rates, ..TorchSchedule::default() })
}

fn restarts(placing: &Placing<'_>, form: Form<'_>) -> Result<TorchSchedule, ExportError> {
    let (t_0, floor) = (form.length("t_0")?.max(1), form.number("eta_min"));
    let t_mult = form.whole("t_mult").unwrap_or(1).max(1);
    let (mut passed, mut length) = (placing.t, t_0);
    if t_mult == 1 {
        passed %= t_0;
    } else {
        // Each cycle is at least twice as long as the one before, so there are at most 64.
        while passed >= length {
            passed -= length;
            length = length.saturating_mul(t_mult);
        }
    }
    let mut state: Entries = vec![
        ("T_0", int(t_0)),
        ("T_i", int(length)),
        ("T_mult", int(t_mult)),
        ("eta_min", Item::Float(floor)),
        ("T_cur", int(passed)),
    ];
    // This class steps in its own way, without counting its steps.
    let common = placing.common(Some(placing.t), &placing.rates).into_iter();
    state.extend(common.map(|(key, value)| if key == "_step_count" { (key, Item::Int(0)) } else { (key, value) }));
    let code = format!(
        "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0={t_0}, T_mult={t_mult}, eta_min={})",
        number(floor)
    );
    let rates = placing.group_rates(Some(&placing.bases));
    Ok(TorchSchedule { state: Some(Item::dict(state)), code, rates, ..TorchSchedule::default() })
}

fn plateau(placing: &Placing<'_>, form: Form<'_>) -> Result<TorchSchedule, ExportError> {
    let mode = form.table["mode"].as_str().unwrap_or("min").to_owned();
    let threshold_mode = form.table["threshold_mode"].as_str().unwrap_or("rel").to_owned();
    let worst = if mode == "min" { f64::INFINITY } else { f64::NEG_INFINITY };
    let lowest = placing.for_groups("min_lr");
    let memory = |name: &str| placing.memory[name].as_u64().unwrap_or_default();
    let (patience, cooldown) = (form.whole("patience").unwrap_or(10), form.whole("cooldown").unwrap_or(0));
    let best = placing.memory["best"].as_f64().unwrap_or(worst);
    let state: Entries = vec![
        ("factor", Item::Float(form.number("factor"))),
        ("default_min_lr", Item::Float(0.0)),
        ("min_lrs", Item::floats(&lowest)),
        ("patience", int(patience)),
        ("cooldown", int(cooldown)),
        ("eps", Item::Float(form.number("eps"))),
        ("last_epoch", int(placing.t)),
        ("_last_lr", Item::floats(&placing.rates)),
        ("mode", Item::text(mode.clone())),
        ("threshold", Item::Float(form.number("threshold"))),
        ("threshold_mode", Item::text(threshold_mode.clone())),
        ("mode_worse", Item::Float(worst)),
        ("best", Item::Float(best)),
        ("cooldown_counter", int(memory("cooldown_counter"))),
        ("num_bad_epochs", int(memory("num_bad"))),
    ];
    let code = format!(
        "torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode={mode:?}, factor={}, patience={patience}, \
         threshold={}, threshold_mode={threshold_mode:?}, cooldown={cooldown}, min_lr={}, eps={})",
        number(form.number("factor")),
        number(form.number("threshold")),
        list(&lowest),
        number(form.number("eps")),
    );
    let notes = vec!["ReduceLROnPlateau: call scheduler.step(metric) after each validation, as here".to_owned()];
    let rates = placing.group_rates(None);
    Ok(TorchSchedule { state: Some(Item::dict(state)), code, rates, notes, ..TorchSchedule::default() })
}
