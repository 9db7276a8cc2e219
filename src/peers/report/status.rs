//! Status of another trainer's run, under the names that the status of our own has.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::labels::{self, Labels};
use super::rates::{Rates, steps_per_epoch};
use super::{details, tensors};
use crate::peers::peer::{Group, Optimizer, Setting};
use crate::peers::{Peer, PeerError};
use crate::report::{Course, GroupStatus, Measured, RunStatus, TensorSummary, layers};
use crate::shell;

/// The part of a file that is read for a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All but the numbers of tensors.
    Headers,
    /// Everything, for statistics of the tensors.
    Everything,
}

/// Status of another trainer's run. Its JSON has every key of [`RunStatus`], and `peer`.
#[derive(Debug, Serialize)]
pub struct PeerStatus {
    /// The things that a run here has too. The file may not tell how many updates were made; groups, schedule and
    /// settings are those of the first optimizer.
    #[serde(flatten)]
    pub run: RunStatus<Option<u64>, PeerFile, Writer>,
    /// All that only a peer has.
    #[serde(rename = "peer")]
    pub details: Value,
    /// The run that it is the status of.
    #[serde(skip)]
    pub(super) peer: Peer,
    /// The rates of each optimizer.
    #[serde(skip)]
    pub(super) rates: Vec<Rates>,
    /// The names of the parameters.
    #[serde(skip)]
    pub(super) labels: Labels,
}

/// A file of a peer's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerFile {
    /// Its name in the folder, or of the file itself.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The program that wrote a peer's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Writer {
    /// The trainer.
    pub trainer: String,
    /// Its version, where the file tells.
    pub version: Option<String>,
}

impl PeerStatus {
    /// Describes a run.
    ///
    /// # Errors
    /// The numbers of a tensor cannot be read.
    pub fn new(peer: Peer, reading: Reading) -> Result<Self, PeerError> {
        let labels = labels::all(&peer);
        let unreadable = |what| PeerError::unsupported(&peer.path, what);
        let tensors = tensors::summaries(&peer, &labels, reading == Reading::Everything).map_err(unreadable)?;
        let rates: Vec<Rates> = (0..peer.optimizers.len()).map(|index| Rates::of(&peer, index)).collect();
        let details = details::details(&peer, &labels, &next_command(&peer));
        let run = run(&peer, groups(&peer, &labels, 0, rates.first()), rates.first(), tensors);
        Ok(Self { run, details, rates, labels, peer })
    }

    /// Returns the command that continues the run here.
    pub fn next_command(&self) -> String {
        next_command(&self.peer)
    }

    /// Returns the peer.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

/// Returns the things that a run here has too.
fn run(
    peer: &Peer,
    groups: Vec<GroupStatus>,
    rates: Option<&Rates>,
    tensors: Vec<TensorSummary>,
) -> RunStatus<Option<u64>, PeerFile, Writer> {
    let (first, steps_per_epoch) = (peer.optimizers.first(), steps_per_epoch(peer));
    let (step, total_steps) = (peer.updates, total_steps(peer));
    RunStatus {
        path: peer.path.clone(),
        step,
        total_steps,
        steps_per_epoch,
        epoch: peer.epochs.filter(|epochs| *epochs >= 0.0).map(|epochs| epochs.floor() as u64),
        step_in_epoch: step.zip(steps_per_epoch).and_then(|(step, steps)| step.checked_rem(steps)),
        steps_in_epoch: steps_per_epoch,
        samples: counter(peer, |name, counts| name.ends_with("samples") || counts.contains("samples")),
        seed: setting(peer, &["seed"]),
        schedule: rates.and_then(|rates| rates.schedule.clone()),
        memory: rates.map(|rates| rates.memory.clone()).unwrap_or_default(),
        momentum_schedule: rates.and_then(|rates| rates.momentum_schedule.clone()),
        momentum_memory: Value::Null,
        weight_decay_schedule: None,
        weight_decay_memory: Value::Null,
        beta2_schedule: None,
        ema_decay_schedule: None,
        averages: BTreeMap::new(),
        early_stopping: Value::Null,
        optimizer: first.map(|optimizer| optimizer.class.clone()),
        hyperparameters: first.map(|first| details::settings(&shared(first)).into()).unwrap_or_default(),
        groups,
        loss_scale: peer.loss_scale.as_ref().map(details::loss_scale).unwrap_or_default(),
        skipped: None,
        // No peer's file identifies its data.
        data: Value::Null,
        config: settings_of_the_run(peer),
        history: Vec::new(),
        kept: None,
        measured: Measured::default(),
        course: Course {
            is_finished: step.zip(total_steps).is_some_and(|(step, total)| step >= total),
            epoch: step.zip(steps_per_epoch).and_then(|(step, steps)| Some(step.checked_div(steps)? + 1)),
            next_save: None,
            next_validation: None,
        },
        layers: layers(&tensors),
        tensors,
        files: files(&peer.path),
        // `inspect verify` compares sums.
        is_verified: false,
        written_by: Writer { trainer: peer.trainer.name().to_owned(), version: peer.version.clone() },
    }
}

fn next_command(peer: &Peer) -> String {
    format!("inspect import {} -o RUN", shell::path(&peer.path))
}

/// Returns the updates of the whole run, where a counter or a setting is named so.
pub(super) fn total_steps(peer: &Peer) -> Option<u64> {
    let names = ["max_steps", "max_iters", "total_steps", "total_iters"];
    counter(peer, |name, _| names.contains(&name)).or_else(|| setting(peer, &names)).filter(|steps| *steps > 0)
}

fn counter(peer: &Peer, is_meant: impl Fn(&str, &str) -> bool) -> Option<u64> {
    let found = peer
        .counters
        .iter()
        .find(|counter| is_meant(counter.name.rsplit(['.', ' ']).next().unwrap_or_default(), &counter.counts))?;
    (found.value >= 0.0 && found.value.fract() == 0.0).then_some(found.value as u64)
}

fn setting(peer: &Peer, names: &[&str]) -> Option<u64> {
    let found = peer.settings.iter().find(|(name, _)| names.contains(&name.rsplit('.').next().unwrap_or_default()))?;
    found.1.trim_matches('"').parse().ok()
}

fn settings_of_the_run(peer: &Peer) -> Value {
    Value::Object(peer.settings.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
}

/// Returns the settings that have one value in all groups.
pub(super) fn shared(optimizer: &Optimizer) -> Vec<(String, Setting)> {
    let Some((first, others)) = optimizer.groups.split_first() else { return Vec::new() };
    let is_shared = |(name, value): &&(String, Setting)| others.iter().all(|group| group.setting(name) == Some(value));
    first.settings.iter().filter(is_shared).cloned().collect()
}

/// Returns the status of each group of an optimizer.
pub(super) fn groups(peer: &Peer, labels: &Labels, optimizer: usize, rates: Option<&Rates>) -> Vec<GroupStatus> {
    let Some(found) = peer.optimizers.get(optimizer) else { return Vec::new() };
    let status = |(index, (group, parameters)): (usize, (&Group, &Vec<String>))| {
        let of_group = |lists: &[Vec<f64>]| lists.get(index).cloned().unwrap_or_default();
        let next_lrs = rates.map(|rates| of_group(&rates.next)).unwrap_or_default();
        let next_momenta = rates.map(|rates| of_group(&rates.next_momenta)).unwrap_or_default();
        let base = rates.and_then(|rates| rates.base_lrs.get(index).copied());
        let weight_decay = ["weight_decay", "wd"].iter().find_map(|name| group.number(name));
        let momentum = momentum(group);
        GroupStatus {
            kind: None,
            parameters: parameters.clone(),
            base_lr: group.initial_lr.or(base).or(group.lr),
            lr: next_lrs.first().copied(),
            next_lrs,
            base_weight_decay: weight_decay,
            weight_decay,
            next_weight_decays: Vec::new(),
            base_momentum: momentum,
            momentum: next_momenta.first().copied().or(momentum),
            next_momenta,
        }
    };
    found.groups.iter().zip(labels.get(optimizer).into_iter().flatten()).enumerate().map(status).collect()
}

/// Returns the momentum or first beta of a group, under any of the names that trainers have for it.
pub(super) fn momentum(group: &Group) -> Option<f64> {
    let alone = ["momentum", "mom", "beta_1", "b1"].iter().find_map(|name| group.number(name));
    let first = || group.setting("betas")?.numbers()?.first().copied();
    alone.or_else(first)
}

/// Returns the files of a checkpoint with their sizes, those in folders within it too. What cannot be listed is left
/// out: the reader has already said what it needs.
fn files(path: &Path) -> Vec<PeerFile> {
    const MOST: usize = 100_000;
    let name = |file: &Path| match file.strip_prefix(path) {
        Ok(inner) if !inner.as_os_str().is_empty() => inner.display().to_string(),
        _ => file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let (mut found, mut waiting) = (Vec::new(), vec![path.to_owned()]);
    while let Some(next) = waiting.pop() {
        // Links are followed only at the path itself, so that none leads in a circle.
        let metadata = if next == path { fs::metadata(&next) } else { fs::symlink_metadata(&next) };
        match metadata {
            Ok(metadata) if metadata.is_dir() && found.len() < MOST => {
                waiting.extend(fs::read_dir(&next).into_iter().flatten().flatten().map(|entry| entry.path()));
            }
            Ok(metadata) if metadata.is_file() => found.push(PeerFile { name: name(&next), bytes: metadata.len() }),
            _ => {}
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
