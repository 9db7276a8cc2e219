//! Text form of a check.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{Check, ClassCheck, DataCheck, LengthCheck, ModelCheck, ScheduleCheck};
use crate::data::TargetKind;
use crate::figures::counted;

/// Longer lists are shortened to their beginning and their length.
const SHOWN: usize = 20;

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, model, length, schedule, .. } = self;
        write!(f, "{data}{model}{length}{schedule}")?;
        let every = |every: &Option<Value>| {
            let every = every.as_ref().and_then(Value::as_str)?;
            Some(if every == "auto" { "as often as it fits the run".to_owned() } else { format!("every {every}") })
        };
        match every(&self.validation_every) {
            Some(every) => writeln!(f, "validation  {every}")?,
            None if data.validation_rows == 0 => {
                writeln!(f, "validation  never: there are no validation rows (`data.validation`)")?;
            }
            None => {}
        }
        if let Some(every) = every(&self.checkpoint_every) {
            writeln!(f, "saves       {every}, and at the end")?;
        }
        for notice in &self.notices {
            writeln!(f, "{}: {}", notice.kind, notice.text)?;
        }
        Ok(())
    }
}

impl fmt::Display for DataCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data        {}", self.path)?;
        writeln!(f, "rows        {} to train on, {} to validate on", self.train_rows, self.validation_rows)?;
        writeln!(f, "inputs      {}", self.input)?;
        if let Some(features) = &self.features {
            writeln!(f, "columns     {}", list(features))?;
        }
        if let Some(ignored) = self.ignored.as_ref().filter(|ignored| !ignored.is_empty()) {
            writeln!(f, "ignored     {}", list(ignored))?;
        }
        match (&self.label, self.targets) {
            (Some(label), TargetKind::Classes { count }) => {
                writeln!(f, "target      `{label}`, one of {}", counted(count, "class"))?
            }
            (Some(label), TargetKind::Values { .. }) => writeln!(f, "target      `{label}`, a value")?,
            (None, TargetKind::Classes { count }) => writeln!(f, "target      one of {}", counted(count, "class"))?,
            (None, TargetKind::Values { width }) => writeln!(f, "target      {}", counted(width, "value"))?,
        }
        for ClassCheck { name, train, validation } in self.classes.iter().flatten().take(SHOWN) {
            writeln!(f, "            {name}: {train} to train on, {validation} to validate on")?;
        }
        let more = self.classes.as_ref().map_or(0, Vec::len).saturating_sub(SHOWN);
        if more > 0 {
            writeln!(f, "            and {more} more classes")?;
        }
        for (column, count) in &self.missing {
            writeln!(f, "missing     `{column}` in {}", counted(*count, "row"))?;
        }
        Ok(())
    }
}

fn list(names: &[String]) -> String {
    format!("{}: {}", names.len(), self::names(names))
}

/// Lists names, only some if there are many.
pub(super) fn names(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

impl fmt::Display for ModelCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model       {}, {}", self.kind, counted(self.parameters, "parameter"))?;
        // The layer of a tensor is its name up to the last dot; if there are too many layers, fewer parts of the name
        // are used.
        let layers = |depth: usize| {
            let mut layers: BTreeMap<(usize, String), (usize, Vec<String>)> = BTreeMap::new();
            for (name, shape) in &self.tensors {
                let parts: Vec<&str> = name.split('.').collect();
                let layer = parts[..depth.clamp(1, parts.len().max(2) - 1)].join(".");
                let number = layer.parse().unwrap_or(usize::MAX);
                let entry = layers.entry((number, layer)).or_default();
                entry.0 += shape.iter().product::<usize>();
                entry.1.push(format!("{shape:?}"));
            }
            layers
        };
        let fits = |depth: &usize| layers(*depth).len() <= SHOWN;
        let layers = layers((1..8).rev().find(fits).unwrap_or(1));
        for ((_, layer), (count, shapes)) in layers.iter().take(SHOWN) {
            let shapes = if shapes.len() <= 2 { shapes.join(" ") } else { format!("{} tensors", shapes.len()) };
            writeln!(f, "            {layer}: {count} ({shapes})")?;
        }
        Ok(())
    }
}

impl fmt::Display for LengthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, steps_per_epoch, epochs } = self;
        writeln!(f, "length      {}, {steps_per_epoch} an epoch, {} epochs", counted(*steps, "step"), digits(*epochs))
    }
}

impl fmt::Display for ScheduleCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, start, peak, peak_step, end, follows_a_metric } = self;
        writeln!(f, "schedule    {text}")?;
        let (start, peak, end) = (digits(*start), digits(*peak), digits(*end));
        let unless = if *follows_a_metric { ", unless a metric changes it" } else { "" };
        writeln!(f, "rate        {start} at first, {peak} at most (step {peak_step}), {end} at last{unless}")
    }
}

/// Formats a number with at most four significant digits.
fn digits(number: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or(number);
    let (plain, scientific) = (format!("{rounded}"), format!("{rounded:e}"));
    if plain.len() <= scientific.len() + 2 { plain } else { scientific }
}
