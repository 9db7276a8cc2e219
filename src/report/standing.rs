//! Where a run stands, read from one of its checkpoints.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::statistics::{TensorSummary, summarize};
use crate::checkpoint::{Checkpoint, FileEntry, WrittenBy};
use crate::schedule::{RunLength, Schedule, Scheduler};
use crate::state::Part;

/// How many of the coming rates are shown.
const RATES_SHOWN: u64 = 5;

/// Where a run stands.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// The checkpoint's directory.
    pub path: PathBuf,
    /// Updates made; the number of the next.
    pub step: u64,
    /// Updates of the whole run, where the checkpoint knows it.
    pub total_steps: Option<u64>,
    /// Updates of one epoch, where the checkpoint knows it.
    pub steps_per_epoch: Option<u64>,
    /// Epochs completed.
    pub epoch: Option<u64>,
    /// Updates made in the epoch that is under way: where in the data the next update reads.
    pub step_in_epoch: Option<u64>,
    /// Samples seen.
    pub samples: Option<u64>,
    /// The seed of the run.
    pub seed: Option<u64>,
    /// The schedule of the learning rate as one line of text.
    pub schedule: Option<String>,
    /// What the schedule remembers of metrics.
    pub memory: Value,
    /// Kind of the optimizer.
    pub optimizer: Option<String>,
    /// Its hyperparameters.
    pub hyperparameters: Value,
    /// Its parameter groups.
    pub groups: Vec<GroupStanding>,
    /// What the data is known by.
    pub data: Value,
    /// The configuration.
    pub config: Value,
    /// What was changed on which resume.
    pub history: Vec<Value>,
    /// Every tensor in figures.
    pub tensors: Vec<TensorSummary>,
    /// The files, each of which was read and agrees with its digest.
    pub files: Vec<FileEntry>,
    /// The build and the machine that wrote it.
    pub written_by: WrittenBy,
}

/// Where a parameter group stands.
#[derive(Debug, Serialize)]
pub struct GroupStanding {
    /// Its parameters.
    pub parameters: Vec<String>,
    /// Base learning rate.
    pub base_lr: Option<f64>,
    /// Rate of the next update.
    pub lr: Option<f64>,
    /// Rates of the updates from the next on, as far as no metric moves them.
    pub next_lrs: Vec<f64>,
    /// Weight decay.
    pub weight_decay: Option<f64>,
    /// Momentum, or the first beta.
    pub momentum: Option<f64>,
}

impl Standing {
    /// Reads the standing from a checkpoint, whoever wrote it: what it does not hold is left out.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let number = |name| checkpoint.field(name).and_then(Value::as_u64);
        let field = |name| checkpoint.field(name).cloned().unwrap_or_default();
        let (step, steps_per_epoch) = (checkpoint.step(), number("steps_per_epoch"));
        let optimizer = checkpoint.state("optimizer").map(|state| &state.json);
        let scheduler = scheduler(checkpoint);
        let tensors = checkpoint.parts().flat_map(|part| {
            let tensors = checkpoint.state(part).map(|state| &state.tensors);
            tensors.into_iter().flatten().map(move |(name, tensor)| summarize(part, name, tensor))
        });
        Self {
            path: checkpoint.path().to_owned(),
            step,
            total_steps: number("total_steps"),
            steps_per_epoch,
            epoch: number("epoch"),
            step_in_epoch: steps_per_epoch.and_then(|steps| step.checked_rem(steps)),
            samples: number("samples"),
            seed: number("seed"),
            schedule: schedule(checkpoint).map(|schedule| schedule.to_string()),
            memory: checkpoint.state("schedulers.lr").map(|state| state.json["memory"].clone()).unwrap_or_default(),
            optimizer: optimizer.and_then(|json| json["kind"].as_str()).map(str::to_owned),
            hyperparameters: optimizer.map(|json| json["hyperparameters"].clone()).unwrap_or_default(),
            groups: groups(optimizer, scheduler.as_ref()),
            data: field("data"),
            config: field("config"),
            history: field("history").as_array().cloned().unwrap_or_default(),
            tensors: tensors.collect(),
            files: checkpoint.manifest().files.clone(),
            written_by: checkpoint.manifest().written_by.clone(),
        }
    }
}

/// The schedule as the checkpoint has it.
fn schedule(checkpoint: &Checkpoint) -> Option<Schedule> {
    serde_json::from_value(checkpoint.state("schedulers.lr")?.json["spec"].clone()).ok()
}

/// The scheduler as the checkpoint has it; none where its rates depend on lengths that only the program knows which
/// saved it.
fn scheduler(checkpoint: &Checkpoint) -> Option<Scheduler> {
    let (state, schedule) = (checkpoint.state("schedulers.lr")?, schedule(checkpoint)?);
    let depends_on_the_run = schedule.to_string().contains(['%', '"']);
    if depends_on_the_run && checkpoint.field("steps_per_epoch").is_none() {
        return None;
    }
    let base_lrs: Vec<f64> = serde_json::from_value(state.json["base_lrs"].clone()).ok()?;
    let steps_per_epoch = checkpoint.field("steps_per_epoch").and_then(Value::as_u64).unwrap_or(1);
    let run = RunLength { total_steps: checkpoint.field("total_steps").and_then(Value::as_u64), steps_per_epoch };
    let mut scheduler = Scheduler::new(schedule, base_lrs, run).ok()?;
    scheduler.load(state).ok()?;
    Some(scheduler)
}

fn groups(optimizer: Option<&Value>, scheduler: Option<&Scheduler>) -> Vec<GroupStanding> {
    let saved = optimizer.and_then(|json| json["groups"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let coming: Vec<Vec<f64>> = scheduler.map_or_else(Vec::new, |scheduler| {
        (scheduler.t()..scheduler.t().saturating_add(RATES_SHOWN)).map(|t| scheduler.rates_at(t)).collect()
    });
    let count = saved.len().max(scheduler.map_or(0, |scheduler| scheduler.base_lrs().len()));
    let group = |index: usize| {
        let saved = saved.get(index).unwrap_or(&Value::Null);
        let next_lrs: Vec<f64> = coming.iter().filter_map(|rates| rates.get(index).copied()).collect();
        let names = saved["parameters"].as_array().into_iter().flatten();
        GroupStanding {
            parameters: names.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
            base_lr: scheduler.and_then(|s| s.base_lrs().get(index).copied()).or(saved["lr"].as_f64()),
            lr: next_lrs.first().copied(),
            next_lrs,
            weight_decay: saved["weight_decay"].as_f64(),
            momentum: scheduler.and_then(|s| s.momentum_at(s.t(), index)).or(saved["momentum"].as_f64()),
        }
    };
    (0..count).map(group).collect()
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |total: Option<u64>| total.map(|total| format!(" of {total}")).unwrap_or_default();
        writeln!(f, "checkpoint  {}", self.path.display())?;
        writeln!(f, "step        {}{}", self.step, of(self.total_steps))?;
        if let (Some(epoch), Some(step)) = (self.epoch, self.step_in_epoch) {
            let samples = self.samples.map(|samples| format!("; {samples} samples seen")).unwrap_or_default();
            let within = of(self.steps_per_epoch);
            writeln!(f, "epoch       {epoch} completed, {step}{within} updates into the next{samples}")?;
        }
        if let Some(schedule) = &self.schedule {
            writeln!(f, "schedule    {schedule}")?;
            if !self.memory.is_null() {
                writeln!(f, "  memory    {}", self.memory)?;
            }
        }
        if let Some(optimizer) = &self.optimizer {
            writeln!(f, "optimizer   {optimizer}{}", hyperparameters(&self.hyperparameters))?;
        }
        for (index, group) in self.groups.iter().enumerate() {
            write_group(f, index, group)?;
        }
        if let Some(data) = self.config["data"]["path"].as_str() {
            writeln!(f, "data        {data}, blake3 {}", self.data["blake3"].as_str().unwrap_or("unknown"))?;
        }
        if let Some(seed) = self.seed {
            writeln!(f, "seed        {seed}")?;
        }
        for entry in &self.history {
            for change in entry["changes"].as_array().into_iter().flatten() {
                let key = change["key"].as_str().unwrap_or_default();
                writeln!(f, "changed     {key}: {} -> {} at step {}", change["from"], change["to"], entry["step"])?;
            }
        }
        let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
        writeln!(f, "integrity   verified: {} files, {bytes} bytes", self.files.len())?;
        let by = &self.written_by;
        let (crates, target) = (format!("rekindle {}, candle {}", by.rekindle, by.candle), &by.target);
        writeln!(f, "written by  {crates}, {target}, {}, {} threads", by.device, by.threads)?;
        writeln!(f)?;
        write_tensors(f, &self.tensors)
    }
}

fn hyperparameters(values: &Value) -> String {
    let shown =
        values.as_object().into_iter().flatten().filter(|(name, _)| !["kind", "groups"].contains(&name.as_str()));
    shown.map(|(name, value)| format!(" {name}={value}")).collect()
}

fn write_group(f: &mut fmt::Formatter<'_>, index: usize, group: &GroupStanding) -> fmt::Result {
    let rates: Vec<String> = group.next_lrs.iter().skip(1).map(|rate| format!("{rate:.6e}")).collect();
    let show = |value: Option<f64>| value.map_or("?".to_owned(), |value| value.to_string());
    let now = group.lr.map_or("?".to_owned(), |rate| format!("{rate:.6e}"));
    writeln!(f, "group {index:<5} lr={now} now, then {}", rates.join(" "))?;
    let settings = [("base_lr", group.base_lr), ("weight_decay", group.weight_decay), ("momentum", group.momentum)];
    let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={}", show(*value))).collect();
    writeln!(f, "            {} | {}", settings.join(" "), group.parameters.join(" "))
}

fn write_tensors(f: &mut fmt::Formatter<'_>, tensors: &[TensorSummary]) -> fmt::Result {
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
            t.non_finite.to_string(),
        ]
    };
    let rows: Vec<[String; 10]> = std::iter::once(header.map(str::to_owned)).chain(tensors.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            // Words stand on the left, numbers on the right.
            if column < 4 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
