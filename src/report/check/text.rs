//! Text form of a check.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{Check, ClassCheck, DataCheck, LengthCheck, ModelCheck, OptimizerCheck, ScheduleCheck};
use crate::aligned::aligned;
use crate::data::TargetKind;
use crate::figures::{self, counted};
use crate::memory::grouped;
use crate::model::LayerFlops;

/// Longer lists are shortened to their beginning and their length.
const SHOWN: usize = 20;

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, model, optimizer, length, schedule, .. } = self;
        write!(f, "{data}{model}{optimizer}{length}{schedule}")?;
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
        let test = if self.test_rows > 0 { format!(", {} to test on", self.test_rows) } else { String::new() };
        writeln!(f, "rows        {} to train on, {} to validate on{test}", self.train_rows, self.validation_rows)?;
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
            (Some(label), TargetKind::Values { width: 1 }) => writeln!(f, "target      `{label}`, a value")?,
            (Some(labels), TargetKind::Values { width }) => {
                writeln!(f, "targets     `{labels}`, {}", counted(width, "value"))?;
            }
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
        write!(f, "model       {}, {}", self.kind, counted(self.parameters, "parameter"))?;
        if self.flops_per_step > 0 {
            write!(f, ", {} a step", figures::flops(self.flops_per_step))?;
        }
        writeln!(f)?;
        let layers = self.layers();
        let head = ["layer", "shapes", "parameters", "forward, a row"].map(str::to_owned);
        let rows = layers.iter().take(SHOWN).map(|(name, layer)| {
            let shapes = if layer.shapes.len() <= 2 {
                layer.shapes.join(" ")
            } else {
                format!("{} tensors", layer.shapes.len())
            };
            let flops = if layer.flops > 0 { figures::flops(layer.flops) } else { String::new() };
            [name.clone(), shapes, grouped(layer.parameters), flops]
        });
        let rows: Vec<[String; 4]> = [head].into_iter().chain(rows).collect();
        for line in aligned(&rows, |column| column > 1) {
            writeln!(f, "            {line}")?;
        }
        let more = layers.len().saturating_sub(SHOWN);
        if more > 0 { writeln!(f, "            and {more} more") } else { Ok(()) }
    }
}

impl fmt::Display for OptimizerCheck {
    /// Says it where updates take more than the model.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.exceeds_the_model {
            return Ok(());
        }
        let flops = figures::flops(self.flops_per_update);
        writeln!(f, "optimizer   about {flops} an update, more than a step of the model takes")
    }
}

/// The tensors of a layer together.
#[derive(Default)]
struct Layer {
    parameters: u64,
    shapes: Vec<String>,
    flops: u64,
}

impl ModelCheck {
    /// Returns the layers by name, in order. The layer of a tensor is its name up to the last dot; if there are too many
    /// layers, fewer parts of the names are used.
    fn layers(&self) -> Vec<(String, Layer)> {
        let fits = |depth: &usize| self.layers_by(*depth).len() <= SHOWN;
        let layers = self.layers_by((1..8).rev().find(fits).unwrap_or(1));
        layers.into_iter().map(|((_, name), layer)| (name, layer)).collect()
    }

    /// Returns the layers by the first `depth` parts of their names, with names that are numbers in their order.
    fn layers_by(&self, depth: usize) -> BTreeMap<(usize, String), Layer> {
        let mut layers: BTreeMap<(usize, String), Layer> = BTreeMap::new();
        let key = |parts: &[&str]| {
            let layer = parts[..depth.min(parts.len())].join(".");
            (layer.parse().unwrap_or(usize::MAX), layer)
        };
        for (name, shape) in &self.tensors {
            let parts: Vec<&str> = name.split('.').collect();
            let layer = layers.entry(key(&parts[..(parts.len() - 1).clamp(1, parts.len())])).or_default();
            layer.parameters += shape.iter().product::<usize>() as u64;
            layer.shapes.push(format!("{shape:?}"));
        }
        for LayerFlops { layer, forward } in &self.flops {
            let parts: Vec<&str> = layer.split('.').collect();
            let layer = layers.entry(key(&parts)).or_default();
            layer.flops = layer.flops.saturating_add(*forward);
        }
        layers
    }
}

impl fmt::Display for LengthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, steps_per_epoch, epochs } = self;
        let unit = if *epochs == 1.0 { "epoch" } else { "epochs" };
        let (steps, epochs) = (counted(*steps, "step"), digits(*epochs));
        writeln!(f, "length      {steps}, {steps_per_epoch} an epoch, {epochs} {unit}")
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
