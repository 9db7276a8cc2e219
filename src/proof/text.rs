//! Text form of a kill test's result.

use std::collections::BTreeMap;
use std::fmt;

use super::{FileDigests, Kill, OtherCheckpoint, Proof};
use crate::aligned::aligned;
use crate::figures::counted;
use crate::memory::grouped;
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
        self.others.iter().try_for_each(|other| write_other(f, other))?;
        writeln!(f, "\n{}", self.verdict())
    }
}

impl Proof {
    /// Returns the number of kills, and the phases that they hit.
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

    /// Whether a file is listed: the files of the last checkpoint, those outside checkpoints, and those that differ.
    fn is_shown(&self, file: &FileDigests) -> bool {
        file.step().is_none_or(|step| step == self.steps) || !file.are_same()
    }

    /// Says what was seen: the kills, the steps, and the first difference if there is one.
    fn verdict(&self) -> String {
        let (whole, killed) = (self.whole.display(), self.killed.display());
        let seen = format!("{}, {} steps{}", self.made(), grouped(self.steps), self.thread_counts());
        if self.is_identical() {
            let files = counted(self.files.len(), "file");
            return format!("{seen}: every bit identical, in {files}\nthe runs are in {whole} and {killed}");
        }
        let found = match (&self.broken, self.first_difference()) {
            (Some(broken), _) => format!("FAILED: {broken}"),
            (None, Some(difference)) => format!("NOT IDENTICAL: {difference}"),
            (None, None) => "NO RESULT: no kill hit a running process".to_owned(),
        };
        let kept = format!("{seen}: {found}\nthe runs are kept in {whole} and {killed}");
        if let Some(other) = self.others.first() {
            return format!("{kept}; inspect diff {whole}/{name} {killed}/{name}", name = other.name);
        }
        if self.difference.is_identical() {
            return kept;
        }
        let (a, b) = (self.difference.a.display(), self.difference.b.display());
        format!("{kept}; inspect diff {a} {b}")
    }

    /// Returns how the second run was made.
    fn made(&self) -> String {
        match self.kills.len() {
            0 if self.asked == 0 => "a second run".to_owned(),
            1 => "1 kill".to_owned(),
            kills => format!("{kills} kills"),
        }
    }

    fn thread_counts(&self) -> String {
        let counts: Vec<String> = self.threads.iter().map(ToString::to_string).collect();
        let threads = match counts.is_empty() {
            true => String::new(),
            false => format!(", {} threads in turn", counts.join(", ")),
        };
        let launchers = self.launchers.iter().map(|launcher| match launcher.trim() {
            "" => "one process".to_owned(),
            launcher => format!("`{launcher}`"),
        });
        let launchers: Vec<String> = launchers.collect();
        if launchers.is_empty() { threads } else { format!("{threads}, started by {} in turn", launchers.join(", ")) }
    }

    /// Returns the first tensor that differs, its element and the step; if no tensor differs, another difference.
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
        let log = || difference.log.as_ref().map(|log| format!("log.jsonl differs from line {}", log.line));
        let state = || {
            let found = difference.checkpoints.iter().find(|checkpoint| !checkpoint.is_identical())?;
            let mut fields = found.state.iter().chain(&found.schedule).chain(&found.config);
            let field = fields.next().map(|field| format!(", {} in state.json", field.field)).unwrap_or_default();
            Some(format!("step {}{field}", found.step))
        };
        let lone = || {
            let lone = difference.only_in_a.first().map(|name| (name, "uninterrupted run"));
            let lone = lone.or_else(|| difference.only_in_b.first().map(|name| (name, "run with kills")));
            lone.map(|(name, run)| format!("{name} is only in the {run}"))
        };
        let other = || {
            let other = self.others.first()?;
            let unlike = other.unlike.first()?;
            Some(format!("{}, {}: {} | {}", other.name, unlike.thing, unlike.a, unlike.b))
        };
        let line = || {
            let first = self.lines.first()?;
            let side = |line: &Option<String>| line.clone().unwrap_or_else(|| "the end".to_owned());
            Some(format!("{} line {}: {} | {}", first.name, first.line, side(&first.whole), side(&first.killed)))
        };
        let file = || self.files.iter().find(|file| !file.are_same()).map(|file| format!("the file {}", file.name));
        tensor
            .or_else(state)
            .or_else(log)
            .or_else(other)
            .or_else(lone)
            .or_else(line)
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

/// Writes the differences of another trainer's checkpoint: counters and rates come first.
fn write_other(f: &mut fmt::Formatter<'_>, other: &OtherCheckpoint) -> fmt::Result {
    const SHOWN: usize = 16;
    let after = other.after.map(|after| format!(" (after {})", grouped(after))).unwrap_or_default();
    writeln!(f, "\n{}{after}, uninterrupted | with kills:", other.name)?;
    let rows = other.unlike.iter().take(SHOWN);
    let rows: Vec<[String; 2]> =
        rows.map(|unlike| [format!("  {}", unlike.thing), format!("{} | {}", unlike.a, unlike.b)]).collect();
    aligned(&rows, |_| false).iter().try_for_each(|line| writeln!(f, "{line}"))?;
    match other.unlike.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

/// Writes a file in the format of `b3sum`; twice if the two runs differ.
fn write_file(f: &mut fmt::Formatter<'_>, file: &FileDigests) -> fmt::Result {
    let digest = |digest: &Option<String>| digest.clone().unwrap_or_else(|| format!("{:<64}", "not there"));
    if file.are_same() {
        return writeln!(f, "{}  {}", digest(&file.whole), file.name);
    }
    writeln!(f, "{}  whole/{}", digest(&file.whole), file.name)?;
    writeln!(f, "{}  killed/{}", digest(&file.killed), file.name)
}
