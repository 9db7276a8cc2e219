//! Text form of a comparison.

use crate::aligned::aligned;
use std::fmt;

use serde_json::Value;

use super::{CheckpointDifference, Difference, ElementDifference, FieldDifference, LogDifference};
use super::{TensorChange, TensorDifference};

/// Longer values are cut to this number of characters.
const LONGEST_VALUE: usize = 80;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A  {}", self.a.display())?;
        writeln!(f, "B  {}", self.b.display())?;
        for (side, names) in [("A", &self.only_in_a), ("B", &self.only_in_b)] {
            if !names.is_empty() {
                writeln!(f, "only in {side}: {}", names.join(" "))?;
            }
        }
        if self.of_runs {
            write_fields(f, "config.toml", &self.config)?;
            match &self.log {
                Some(log) => write_log(f, log)?,
                None => writeln!(f, "log.jsonl: same")?,
            }
        }
        let differing = || self.checkpoints.iter().filter(|checkpoint| !checkpoint.is_identical());
        writeln!(f, "checkpoints: {} compared, {} differ", self.checkpoints.len(), differing().count())?;
        for (number, checkpoint) in differing().enumerate() {
            if number == 0 { checkpoint.fmt(f)? } else { write_shortly(f, checkpoint)? }
        }
        write_uncounted(f, self)?;
        writeln!(f, "{}", if self.is_identical() { "identical" } else { "different" })
    }
}

impl fmt::Display for CheckpointDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {}:", self.step)?;
        self.damage.iter().try_for_each(|damage| writeln!(f, "  BAD: {damage}"))?;
        for (what, fields) in [("config", &self.config), ("schedule", &self.schedule), ("state", &self.state)] {
            if !fields.is_empty() {
                write_fields(f, &format!("  {what}"), fields)?;
            }
        }
        self.rewritten.iter().try_for_each(|file| writeln!(f, "  {file}: different bytes with the same meaning"))?;
        write_tensors(f, &self.tensors)
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, what: &str, fields: &[FieldDifference]) -> fmt::Result {
    if fields.is_empty() {
        return writeln!(f, "{what}: same");
    }
    writeln!(f, "{what}:")?;
    let indent = " ".repeat(what.len() - what.trim_start().len() + 2);
    let width = fields.iter().map(|difference| difference.field.chars().count()).max().unwrap_or(0);
    fields.iter().try_for_each(|FieldDifference { field, a, b }| {
        writeln!(f, "{indent}{field:<width$}  {} | {}", shown(a.as_ref()), shown(b.as_ref()))
    })
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| cut(&value.to_string()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn write_log(f: &mut fmt::Formatter<'_>, log: &LogDifference) -> fmt::Result {
    let step = log.step.map(|step| format!(", step {step}")).unwrap_or_default();
    let parting =
        format!("log.jsonl: differs from line {}{step}; A has {} lines, B {}", log.line, log.lines_a, log.lines_b);
    if !log.fields.is_empty() {
        return write_fields(f, &parting, &log.fields);
    }
    writeln!(f, "{parting}:")?;
    let shown = |line: &Option<String>| line.as_deref().map_or_else(|| "has ended".to_owned(), cut);
    writeln!(f, "  A  {}\n  B  {}", shown(&log.a), shown(&log.b))
}

fn write_tensors(f: &mut fmt::Formatter<'_>, tensors: &[TensorDifference]) -> fmt::Result {
    if tensors.is_empty() {
        return Ok(());
    }
    writeln!(f, "  tensors:")?;
    let header = ["tensor", "kind", "differing", "max abs", "max rel", "max ulps", "first", "A | B", "ulps"];
    let mut rows = vec![header.map(str::to_owned)];
    let name = |tensor: &TensorDifference| format!("{} {}", tensor.part, tensor.name);
    for tensor in tensors {
        match &tensor.change {
            TensorChange::Elements(elements) => rows.push(row(name(tensor), elements)),
            TensorChange::OnlyInA(kind) => writeln!(f, "    {}: only in A, {kind}", name(tensor))?,
            TensorChange::OnlyInB(kind) => writeln!(f, "    {}: only in B, {kind}", name(tensor))?,
            TensorChange::Kind { a, b } => writeln!(f, "    {}: {a} | {b}", name(tensor))?,
        }
    }
    if rows.len() == 1 {
        return Ok(());
    }
    let lines = aligned(&rows, |column| [3, 4, 5, 8].contains(&column));
    lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
}

fn row(name: String, elements: &ElementDifference) -> [String; 9] {
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3e}"));
    let count = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let non_finite = match elements.non_finite {
        0 => String::new(),
        count => format!(", {count} not finite"),
    };
    [
        name,
        elements.kind.clone(),
        format!("{} of {}{non_finite}", elements.differing, elements.elements),
        figure(elements.max_abs),
        figure(elements.max_rel),
        count(elements.max_ulps),
        format!("{:?}", elements.first.index),
        format!("{} | {}", elements.first.a, elements.first.b),
        count(elements.first.ulps),
    ]
}

/// Writes a checkpoint after the first that differs: its differences usually follow from the first.
fn write_shortly(f: &mut fmt::Formatter<'_>, checkpoint: &CheckpointDifference) -> fmt::Result {
    let fields = checkpoint.config.len() + checkpoint.schedule.len() + checkpoint.state.len();
    let counts = [
        (checkpoint.damage.len(), "damaged"),
        (fields, "fields"),
        (checkpoint.tensors.len(), "tensors"),
        (checkpoint.rewritten.len(), "rewritten files"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    writeln!(f, "step {}: {}", checkpoint.step, counts.collect::<Vec<_>>().join(", "))
}

/// Writes differences that do not count, by name, with the values of the first checkpoint that has them.
fn write_uncounted(f: &mut fmt::Formatter<'_>, difference: &Difference) -> fmt::Result {
    let mut seen: Vec<FieldDifference> = Vec::new();
    let prefixed = |prefix: &str, fields: &[FieldDifference]| {
        let prefix = prefix.to_owned();
        let named = fields
            .iter()
            .cloned()
            .map(move |field| FieldDifference { field: format!("{prefix}{}", field.field), ..field });
        named.collect::<Vec<_>>()
    };
    let of_checkpoints = difference
        .checkpoints
        .iter()
        .flat_map(|checkpoint| [checkpoint.places.clone(), prefixed("written_by.", &checkpoint.written_by)].concat());
    for field in prefixed("config.", &difference.places).into_iter().chain(of_checkpoints) {
        if seen.iter().all(|known| known.field != field.field) {
            seen.push(field);
        }
    }
    if seen.is_empty() { Ok(()) } else { write_fields(f, "not counted", &seen) }
}
