//! Text form of a run's status.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::course::Due;
use super::layers;
use super::measured::{Measured, Validation};
use super::run_status::{GroupStatus, RunStatus};
use super::statistics::TensorSummary;
use crate::aligned::aligned;
use crate::figures;
use crate::figures::counted;
use crate::train::config::changes::written;

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |total: Option<u64>| total.map(|total| format!(" of {total}")).unwrap_or_default();
        writeln!(f, "checkpoint  {}", self.path.display())?;
        writeln!(f, "step        {}{}", self.step, of(self.total_steps))?;
        if let (Some(epoch), Some(step)) = (self.epoch, self.step_in_epoch) {
            let samples = self.samples.map(|samples| format!("; {samples} samples seen")).unwrap_or_default();
            let within = of(self.steps_in_epoch);
            writeln!(f, "epoch       {epoch} completed, {step}{within} updates into the next{samples}")?;
        }
        write_measured(f, &self.measured)?;
        write_course(f, self)?;
        write_schedule(f, "schedule", self.schedule.as_ref(), &self.memory)?;
        write_schedule(f, "momentum", self.momentum_schedule.as_ref(), &self.momentum_memory)?;
        write_schedule(f, "beta2", self.beta2_schedule.as_ref(), &Value::Null)?;
        write_schedule(f, "weight_decay", self.weight_decay_schedule.as_ref(), &self.weight_decay_memory)?;
        write_schedule(f, "ema_decay", self.ema_decay_schedule.as_ref(), &Value::Null)?;
        write_averages(f, &self.averages)?;
        write_early_stopping(f, &self.early_stopping)?;
        if let Some(optimizer) = &self.optimizer {
            writeln!(f, "optimizer   {optimizer}{}", hyperparameters(&self.hyperparameters))?;
        }
        write_precision(f, self)?;
        for (index, group) in self.groups.iter().enumerate() {
            write_group(f, index, group, f.alternate())?;
        }
        if let Some(data) = self.config["data"]["path"].as_str() {
            writeln!(f, "data        {data}, blake3 {}", self.data["blake3"].as_str().unwrap_or("unknown"))?;
        }
        if let Some(seed) = self.seed {
            writeln!(f, "seed        {seed}")?;
        }
        for entry in &self.history {
            if let Some(origin) = entry["imported"]["from"].as_str() {
                writeln!(f, "imported    {origin}, at step {}", entry["step"])?;
            }
            if let Some(averaged) = entry["averaged"].as_array() {
                writeln!(f, "averaged    of {}, up to step {}", counted(averaged.len(), "checkpoint"), entry["step"])?;
            }
            for change in entry["changes"].as_array().into_iter().flatten() {
                let key = change["key"].as_str().unwrap_or_default();
                let (from, to) = (written(&change["from"]), written(&change["to"]));
                writeln!(f, "changed     {key}: {from} -> {to} at step {}", entry["step"])?;
            }
        }
        if let Some(kept) = &self.kept {
            write!(f, "{kept}")?;
        }
        let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
        let integrity = if self.is_verified { "verified" } else { "only headers were read" };
        writeln!(f, "integrity   {integrity}: {}, {bytes} bytes", counted(self.files.len(), "file"))?;
        let by = &self.written_by;
        let (crates, target) = (format!("rekindle {}, candle {}", by.rekindle, by.candle), &by.target);
        writeln!(f, "written by  {crates}, {target}, {}, {}", by.device, counted(by.threads, "thread"))?;
        if let Some(gpu) = &by.gpu {
            writeln!(f, "gpu         {gpu}")?;
        }
        writeln!(f)?;
        // `{:#}` includes statistics of every tensor.
        if f.alternate() { write_tensors(f, &self.tensors) } else { f.write_str(&layers::text(&self.tensors)) }
    }
}

/// Writes the precision unless it is f32, with the loss scale of f16.
fn write_precision(f: &mut fmt::Formatter<'_>, status: &RunStatus) -> fmt::Result {
    let precision = status.config["precision"].as_str().filter(|precision| *precision != "f32");
    if precision.is_none() && status.skipped.is_none() {
        return Ok(());
    }
    write!(f, "precision   {}", precision.unwrap_or("f32"))?;
    if let Some(scale) = status.loss_scale["scale"].as_f64() {
        write!(f, ", loss scale {scale}")?;
    }
    if let Some(skipped) = status.skipped {
        write!(f, ", {} skipped", counted(skipped, "update"))?;
    }
    writeln!(f)
}

fn write_measured(f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
    if let Some(value) = measured.loss {
        writeln!(f, "loss        {} in update {}", figures::loss(value), measured.steps.saturating_sub(1))?;
    }
    let show = |validation: &Validation| {
        let accuracy = validation.accuracy.map(|accuracy| format!(", accuracy {}", figures::loss(accuracy)));
        let metrics = validation.metrics.iter().map(|(name, value)| format!(", {name} {}", figures::loss(*value)));
        let more = accuracy.into_iter().chain(metrics).collect::<String>();
        format!("loss {}{more} at step {}", figures::loss(validation.loss), validation.step)
    };
    if let (Some(last), Some(lowest)) = (&measured.validation, &measured.best_validation) {
        writeln!(f, "validation  last {}; lowest {}", show(last), show(lowest))?;
    }
    Ok(())
}

fn write_course(f: &mut fmt::Formatter<'_>, standing: &RunStatus) -> fmt::Result {
    let course = &standing.course;
    if course.is_finished {
        return writeln!(f, "continues   nowhere: all its updates are made");
    }
    let epoch = course.epoch.map(|epoch| format!(", in epoch {epoch}")).unwrap_or_default();
    write!(f, "continues   with update {}{epoch}", standing.step)?;
    for (what, due) in [("save", &course.next_save), ("validation", &course.next_validation)] {
        match due {
            Some(Due::Step(step)) => write!(f, "; next {what} at step {step}")?,
            Some(Due::Minutes(minutes)) => write!(f, "; next {what} within {minutes} min")?,
            None => {}
        }
    }
    writeln!(f)
}

fn hyperparameters(values: &Value) -> String {
    let shown =
        values.as_object().into_iter().flatten().filter(|(name, _)| !["kind", "groups"].contains(&name.as_str()));
    shown.map(|(name, value)| format!(" {name}={value}")).collect()
}

fn write_schedule(f: &mut fmt::Formatter<'_>, what: &str, schedule: Option<&String>, memory: &Value) -> fmt::Result {
    let Some(schedule) = schedule else { return Ok(()) };
    writeln!(f, "{what:<11} {schedule}")?;
    if memory.is_null() { Ok(()) } else { writeln!(f, "  memory    {memory}") }
}

fn write_averages(f: &mut fmt::Formatter<'_>, averages: &BTreeMap<String, Value>) -> fmt::Result {
    for (name, saved) in averages {
        let (begun, updates) = (saved["begun"] == Value::Bool(true), saved["updates"].as_u64().unwrap_or_default());
        match (begun, name.as_str()) {
            (false, _) => writeln!(f, "{name:<11} has not begun")?,
            (true, "swa") => writeln!(f, "{name:<11} the mean of {} of weights", counted(updates, "set"))?,
            (true, _) => writeln!(f, "{name:<11} an average, moved {}", counted(updates, "time"))?,
        }
    }
    Ok(())
}

fn write_early_stopping(f: &mut fmt::Formatter<'_>, memory: &Value) -> fmt::Result {
    let Some(metric) = memory["metric"].as_str() else { return Ok(()) };
    let best = memory["best"][0].as_f64().map_or("not measured".to_owned(), |best| {
        format!("best {} at step {}", figures::loss(best), memory["best"][1])
    });
    let waited = memory["waited"].as_u64().unwrap_or_default();
    writeln!(f, "stops by    {metric}: {best}, {} since without an improvement", counted(waited, "measurement"))
}

fn write_group(f: &mut fmt::Formatter<'_>, index: usize, group: &GroupStatus, all: bool) -> fmt::Result {
    let show = |value: Option<f64>| value.map_or("?".to_owned(), figures::exact);
    writeln!(f, "group {index:<5} {}", course("lr", &group.next_lrs))?;
    let mut settings: Vec<String> = group.kind.iter().map(|kind| format!("kind={kind}")).collect();
    settings.push(format!("base_lr={}", show(group.base_lr)));
    let driven = [
        ("weight_decay", &group.next_weight_decays, group.base_weight_decay),
        ("momentum", &group.next_momenta, group.base_momentum),
    ];
    for (name, next, base) in driven {
        if next.is_empty() {
            settings.push(format!("{name}={}", show(base)));
        } else {
            writeln!(f, "            {}", course(name, next))?;
            settings.push(format!("base_{name}={}", show(base)));
        }
    }
    let parameters = if all { group.parameters.join(" ") } else { some_of(&group.parameters) };
    writeln!(f, "            {} | {parameters}", settings.join(" "))
}

/// Returns the value of the next update, and of those after it.
pub(crate) fn course(name: &str, next: &[f64]) -> String {
    let next: Vec<String> = next.iter().map(|value| format!("{value:.6e}")).collect();
    let (now, then) = next.split_first().map_or(("?", &[][..]), |(now, then)| (now, then));
    let then = if then.is_empty() { String::new() } else { format!(", then {}", then.join(" ")) };
    format!("{name}={now} now{then}")
}

/// Returns the first few names, and how many more there are.
pub(crate) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names.len().checked_sub(SHOWN) {
        None | Some(0 | 1) => names.join(" "),
        Some(more) => format!("{} … and {more} more", names[..SHOWN].join(" ")),
    }
}

/// Writes a table of every tensor with its statistics.
pub(crate) fn write_tensors(f: &mut fmt::Formatter<'_>, tensors: &[TensorSummary]) -> fmt::Result {
    let header = ["part", "tensor", "shape", "dtype", "bytes", "mean", "std", "min", "max", "non-finite"];
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4e}"));
    let row = |t: &TensorSummary| {
        [
            t.part.clone(),
            t.name.clone(),
            format!("{:?}", t.shape),
            t.dtype.clone(),
            t.bytes.to_string(),
            figure(t.mean),
            figure(t.std),
            figure(t.min),
            figure(t.max),
            t.non_finite.map_or("-".to_owned(), |count| count.to_string()),
        ]
    };
    let rows: Vec<[String; 10]> = std::iter::once(header.map(str::to_owned)).chain(tensors.iter().map(row)).collect();
    aligned(&rows, |column| column >= 4).iter().try_for_each(|line| writeln!(f, "{line}"))
}
