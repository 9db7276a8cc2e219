//! A proof, as a person reads it.

use std::collections::BTreeMap;
use std::fmt;

use super::{FileDigests, Kill, Proof};
use crate::aligned::aligned;
use crate::report::diff::TensorChange;
use crate::train::Phase;

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_kills(f, &self.kills)?;
        writeln!(f, "{}", self.count())?;
        if !self.files.is_empty() {
            writeln!(f)?;
            self.files.iter().filter(|file| self.is_shown(file)).try_for_each(|file| write_file(f, file))?;
        }
        writeln!(f, "\n{}", self.verdict())
    }
}

impl Proof {
    /// How many kills there were, and in what.
    fn count(&self) -> String {
        let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
        for kill in &self.kills {
            *phases.entry(word(kill.phase)).or_default() += 1;
        }
        let phases = phases.iter().map(|(phase, count)| format!(", {count} {phase}")).collect::<String>();
        let missed = match self.asked as usize - self.kills.len() {
            0 => String::new(),
            missed if self.broken.is_some() => format!("; {missed} more were asked for"),
            missed => format!("; {missed} more were asked for and found the run at its end"),
        };
        format!("{} of {} kills made with seed {}{phases}{missed}", self.kills.len(), self.asked, self.seed)
    }

    /// The files of the last checkpoint, those in no checkpoint, and those that differ.
    fn is_shown(&self, file: &FileDigests) -> bool {
        file.step().is_none_or(|step| step == self.steps) || !file.are_same()
    }

    fn verdict(&self) -> String {
        let (whole, killed) = (self.whole.display(), self.killed.display());
        if self.is_proved() {
            let count = self.files.len();
            let (kills, threads) = (self.kills.len(), self.thread_counts());
            let made = match kills {
                0 => "a second run".to_owned(),
                1 => "the run under 1 kill".to_owned(),
                _ => format!("the run under {kills} kills"),
            };
            return format!(
                "PROVED: {made}{threads} has in all of its {count} files the bits of the uninterrupted one\n\
                 the runs are in {whole} and {killed}"
            );
        }
        let found = match &self.broken {
            Some(broken) => broken.clone(),
            None => self.first_difference().unwrap_or_else(|| "not one kill found the run at work".to_owned()),
        };
        let kept = format!("NOT PROVED: {found}\nthe runs are kept in {whole} and {killed}");
        if self.difference.is_identical() {
            return kept;
        }
        let (a, b) = (self.difference.a.display(), self.difference.b.display());
        format!("{kept}; inspect diff {a} {b}")
    }

    fn thread_counts(&self) -> String {
        let counts: Vec<String> = self.threads.iter().map(ToString::to_string).collect();
        if counts.is_empty() { String::new() } else { format!(", with {} threads in turn,", counts.join(", ")) }
    }

    /// The first tensor that differs, its element and the step; where no tensor does, what else.
    fn first_difference(&self) -> Option<String> {
        let difference = &self.difference;
        let tensor = difference.checkpoints.iter().find_map(|checkpoint| {
            let tensor = checkpoint.tensors.first()?;
            let (step, name) = (checkpoint.step, format!("tensor {} {}", tensor.part, tensor.name));
            Some(match &tensor.change {
                TensorChange::Elements(elements) => {
                    let first = &elements.first;
                    let ulps = first.ulps.map(|ulps| format!(", {ulps} ULPs apart")).unwrap_or_default();
                    format!("step {step}, {name}, element {:?}: {} | {}{ulps}", first.index, first.a, first.b)
                }
                TensorChange::OnlyInA(kind) => format!("step {step}, {name}: {kind} | nothing"),
                TensorChange::OnlyInB(kind) => format!("step {step}, {name}: nothing | {kind}"),
                TensorChange::Kind { a, b } => format!("step {step}, {name}: {a} | {b}"),
            })
        });
        let log = || difference.log.as_ref().map(|log| format!("log.jsonl parts at line {}", log.line));
        let state = || {
            let found = difference.checkpoints.iter().find(|checkpoint| !checkpoint.is_identical())?;
            let mut fields = found.state.iter().chain(&found.schedule).chain(&found.config);
            let field = fields.next().map(|field| format!(", {} in state.json", field.field)).unwrap_or_default();
            Some(format!("step {}{field}", found.step))
        };
        let lone = || {
            let lone = difference.only_in_a.first().map(|name| (name, "uninterrupted run"));
            let lone = lone.or_else(|| difference.only_in_b.first().map(|name| (name, "run under kills")));
            lone.map(|(name, run)| format!("{name} is in the {run} alone"))
        };
        let file = || self.files.iter().find(|file| !file.are_same()).map(|file| format!("the file {}", file.name));
        tensor
            .or_else(state)
            .or_else(log)
            .or_else(lone)
            .or_else(file)
            .map(|found| format!("the first difference is at {found}"))
    }
}

fn word(phase: Option<Phase>) -> &'static str {
    phase.map_or("running", Phase::word)
}

fn write_kills(f: &mut fmt::Formatter<'_>, kills: &[Kill]) -> fmt::Result {
    if kills.is_empty() {
        return Ok(());
    }
    let header = ["kill", "resumed from", "step", "phase", "after", "threads"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(kills.iter().enumerate().map(|(index, kill)| {
        [
            (index + 1).to_string(),
            kill.from.map_or("the start".to_owned(), |step| format!("step {step}")),
            kill.step.to_string(),
            word(kill.phase).to_owned(),
            format!("{:.3} s", kill.after.as_secs_f64()),
            kill.threads.map(|threads| threads.to_string()).unwrap_or_default(),
        ]
    }));
    if kills.iter().all(|kill| kill.threads.is_none()) {
        rows.iter_mut().for_each(|row| row[5].clear());
    }
    aligned(&rows, |column| ![1, 3].contains(&column)).iter().try_for_each(|line| writeln!(f, "{line}"))
}

/// As `b3sum` prints it; where the two runs differ, once for each.
fn write_file(f: &mut fmt::Formatter<'_>, file: &FileDigests) -> fmt::Result {
    let digest = |digest: &Option<String>| digest.clone().unwrap_or_else(|| format!("{:<64}", "not there"));
    if file.are_same() {
        return writeln!(f, "{}  {}", digest(&file.whole), file.name);
    }
    writeln!(f, "{}  whole/{}", digest(&file.whole), file.name)?;
    writeln!(f, "{}  killed/{}", digest(&file.killed), file.name)
}
