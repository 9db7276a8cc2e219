//! Text form of the status of another trainer's run.

use std::fmt;

use super::details::unit;
use super::rates::Rates;
use super::status::{PeerStatus, groups, shared};
use crate::figures::{counted, exact};
use crate::peers::Peer;
use crate::peers::peer::{Clipping, Form, Group, Optimizer, RateOf, Setting};
use crate::report::run_status_text::{course, some_of, write_tensors};
use crate::report::{GroupStatus, layers_text};
use crate::wrapped::wrapped;

impl fmt::Display for PeerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "checkpoint  {}", self.run.path.display())?;
        let standing = if f.alternate() { format!("{:#}", Standing(self)) } else { Standing(self).to_string() };
        standing.lines().try_for_each(|line| writeln!(f, "{}", wrapped(line, "            ")))?;
        writeln!(f, "next        {}", self.next_command())?;
        writeln!(f, "            (it proposes a configuration; --config FILE imports with one)\n")?;
        // `{:#}` includes statistics of every tensor.
        if f.alternate() { write_tensors(f, &self.run.tensors) } else { f.write_str(&layers_text(&self.run.tensors)) }
    }
}

/// The lines about the run.
struct Standing<'a>(&'a PeerStatus);

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0;
        let peer = &status.peer;
        let version = peer.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        writeln!(f, "trainer     {}{version}{}", peer.trainer.name(), format_of(peer))?;
        write_progress(f, status)?;
        for (index, optimizer) in peer.optimizers.iter().enumerate() {
            let number = if peer.optimizers.len() == 1 { String::new() } else { format!(" {index}") };
            write_schedules(f, peer, index, status.rates.get(index))?;
            write_optimizer(f, optimizer, &number)?;
            for (place, rates) in groups(peer, &status.labels, index, status.rates.get(index)).iter().enumerate() {
                if let Some(group) = optimizer.groups.get(place) {
                    write_group(f, place, (optimizer, group), rates)?;
                }
            }
        }
        write_training(f, peer)?;
        if let Some(seed) = status.run.seed {
            writeln!(f, "seed        {seed}")?;
        }
        for (word, lines) in [("missing", &peer.missing), ("left", &peer.left), ("note", &peer.remarks)] {
            lines.iter().try_for_each(|line| writeln!(f, "{word:<11} {line}"))?;
        }
        let bytes: u64 = status.run.files.iter().map(|file| file.bytes).sum();
        let was_read = if status.run.tensors.iter().any(|tensor| tensor.non_finite.is_some()) {
            "all numbers were read"
        } else {
            "only headers were read"
        };
        let file = counted(status.run.files.len(), "file");
        writeln!(f, "integrity   {was_read}, no sums compared: {file}, {bytes} bytes")
    }
}

/// Returns the format with a comma before it, without the trainer's name again; nothing if it is that name.
fn format_of(peer: &Peer) -> String {
    let name = peer.trainer.name();
    let format = peer.format.strip_suffix(name).map_or(peer.format, |rest| rest.strip_suffix(" of ").unwrap_or(rest));
    if format.is_empty() { String::new() } else { format!(", {format}") }
}

fn write_progress(f: &mut fmt::Formatter<'_>, status: &PeerStatus) -> fmt::Result {
    let of = |total: Option<u64>| total.map(|total| format!(" of {total}")).unwrap_or_default();
    match status.run.step {
        Some(step) => writeln!(f, "step        {step}{}", of(status.run.total_steps))?,
        None => writeln!(f, "step        unknown: the file does not tell the number of updates")?,
    }
    if let Some(epochs) = status.peer.epochs {
        let steps = status.run.steps_per_epoch.map(|steps| format!(", of {} each", counted(steps, "update")));
        writeln!(f, "epoch       {}{}", exact(epochs), steps.unwrap_or_default())?;
    }
    status.peer.counters.iter().try_for_each(|counter| {
        writeln!(f, "counter     {} = {}: {}", counter.name, exact(counter.value), counter.counts)
    })
}

/// Writes the schedules of one optimizer: in our terms where that can be said, and as the file has them.
fn write_schedules(f: &mut fmt::Formatter<'_>, peer: &Peer, index: usize, rates: Option<&Rates>) -> fmt::Result {
    let mut word = "schedule";
    if let Some(schedule) = rates.and_then(|rates| rates.schedule.as_ref()) {
        writeln!(f, "{word:<11} {schedule}")?;
        word = "  from";
    }
    for found in peer.schedules.iter().filter(|schedule| schedule.optimizer == index) {
        let at = found.at.map(|at| format!(", at {} {}", exact(at), unit(found.unit))).unwrap_or_default();
        let late = if found.late > 0 { format!(", {} late", counted(found.late, "update")) } else { String::new() };
        let in_f32 = if found.in_f32 { ", in f32" } else { "" };
        writeln!(f, "{word:<11} {}{at}{late}{in_f32}", form(&found.form))?;
        word = "  and";
    }
    let Some(rates) = rates else { return Ok(()) };
    if let Some(momentum) = &rates.momentum_schedule {
        writeln!(f, "momentum    {momentum}")?;
    }
    if let Some(memory) = rates.memory.as_object() {
        let words: Vec<String> = memory.iter().map(|(name, value)| format!("{name}={value}")).collect();
        writeln!(f, "  memory    {}", words.join(" "))?;
    }
    if let Some(refusal) = &rates.refusal {
        writeln!(f, "  not here  {refusal}")?;
    }
    rates.notes.iter().try_for_each(|note| writeln!(f, "  note      {note}"))
}

/// Returns a form as a line: its class, its settings, and its members in brackets.
fn form(found: &Form) -> String {
    let settings = words(found.settings.iter().filter(|(name, _)| !name.starts_with('_')));
    let members: Vec<String> = found.members.iter().map(form).collect();
    let members = if members.is_empty() { String::new() } else { format!(" [{}]", members.join("; ")) };
    format!("{}{settings}{members}", found.class)
}

/// Returns settings as ` name=value name=value`. Those that are unset or switched off are left out.
fn words<'a>(settings: impl Iterator<Item = &'a (String, Setting)>) -> String {
    settings.filter_map(|(name, value)| Some(format!(" {name}={}", word(value)?))).collect()
}

fn word(value: &Setting) -> Option<String> {
    const MOST_NUMBERS: usize = 8;
    match value {
        Setting::Null | Setting::Bool(false) => None,
        Setting::Bool(true) => Some("true".to_owned()),
        Setting::Number(number) => Some(exact(*number)),
        Setting::Numbers(numbers) => {
            let shown: Vec<String> = numbers.iter().take(MOST_NUMBERS).map(|number| exact(*number)).collect();
            let more = if numbers.len() > MOST_NUMBERS { ", …" } else { "" };
            Some(format!("[{}{more}]", shown.join(", ")))
        }
        Setting::Partly(numbers) => {
            let number = |number: &Option<f64>| number.map_or_else(|| "none".to_owned(), exact);
            Some(format!("[{}]", numbers.iter().take(MOST_NUMBERS).map(number).collect::<Vec<_>>().join(", ")))
        }
        Setting::Text(text) | Setting::Other(text) => Some(format!("{text:?}")),
    }
}

fn write_optimizer(f: &mut fmt::Formatter<'_>, found: &Optimizer, number: &str) -> fmt::Result {
    let told = if found.named { "" } else { " (told by its states)" };
    let updates = found.updates.map(|updates| format!(", {}", counted(updates, "update"))).unwrap_or_default();
    let word = format!("optimizer{number}");
    writeln!(f, "{word:<11} {}{told}{updates}{}", found.class, words(shared(found).iter()))
}

/// Writes the rates of a group, and the settings in which it differs from the others.
fn write_group(
    f: &mut fmt::Formatter<'_>,
    place: usize,
    (optimizer, group): (&Optimizer, &Group),
    status: &GroupStatus,
) -> fmt::Result {
    match (status.next_lrs.is_empty(), group.lr, group.rate_of) {
        (false, ..) => writeln!(f, "group {place:<5} {}", course("lr", &status.next_lrs))?,
        (true, Some(lr), RateOf::Last) => {
            writeln!(f, "group {place:<5} lr={} in the last update; the next rate is not in the file", exact(lr))?;
        }
        (true, Some(lr), _) => writeln!(f, "group {place:<5} lr={} in the file, of an unknown update", exact(lr))?,
        (true, None, _) => writeln!(f, "group {place:<5} the file has no rate")?,
    }
    if !status.next_momenta.is_empty() {
        writeln!(f, "            {}", course("momentum", &status.next_momenta))?;
    }
    let shared = shared(optimizer);
    let own = group.settings.iter().filter(|(name, _)| shared.iter().all(|(other, _)| other != name));
    let base = status.base_lr.map(|base| format!("base_lr={}", exact(base))).unwrap_or_default();
    let parameters = if f.alternate() { status.parameters.join(" ") } else { some_of(&status.parameters) };
    let settings = format!("{base}{}", words(own));
    let bar = if settings.is_empty() { "" } else { " | " };
    writeln!(f, "            {}{bar}{parameters}", settings.trim_start())
}

/// Writes what else moves the weights: clipping, accumulation, the loss scale, averages.
fn write_training(f: &mut fmt::Formatter<'_>, peer: &Peer) -> fmt::Result {
    match peer.clipping {
        Clipping::Off => writeln!(f, "clipping    off")?,
        Clipping::Norm { most, eps } => {
            writeln!(f, "clipping    norm of all gradients at most {}, eps {}", exact(most), exact(eps))?;
        }
        Clipping::NormOfEach { most } => {
            writeln!(f, "clipping    norm of each tensor's gradient at most {}", exact(most))?;
        }
        Clipping::Value { most } => writeln!(f, "clipping    each number of a gradient at most {}", exact(most))?,
        Clipping::Unknown => writeln!(f, "clipping    unknown: the file does not tell")?,
    }
    if let Some(batches) = peer.accumulation.filter(|batches| *batches > 1) {
        writeln!(f, "accumulates {} for an update", counted(batches, "micro-batch"))?;
    }
    if let Some(scale) = &peer.loss_scale {
        writeln!(
            f,
            "loss scale  {}, growing by {} after {} updates without an overflow, of which {} are made; else times {}",
            exact(scale.scale),
            exact(scale.growth_factor),
            scale.growth_interval,
            scale.since,
            exact(scale.backoff_factor),
        )?;
    }
    if let Some(averages) = &peer.averages {
        let count = averages.count.map(|count| format!(", of {}", counted(count, "state"))).unwrap_or_default();
        let decay = averages.decay.map(|decay| format!(", decay {}", exact(decay))).unwrap_or_default();
        let tensors = counted(averages.tensors.len(), "tensor");
        writeln!(f, "averages    {tensors} at {}{count}{decay}", averages.place)?;
    }
    let tied = peer.model.tied.iter();
    tied.clone().try_for_each(|(further, name)| writeln!(f, "tied        {further} = {name}"))
}
