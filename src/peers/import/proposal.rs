//! A configuration proposed for a checkpoint, with a question mark at what it does not say.

use std::fmt::Write as _;
use std::path::Path;

use candle_core::Device;
use serde_json::json;

use super::error::{ImportError, Refusal};
use super::found::{Found, ours};
use super::param_names::ParamNames;
use super::sizes::{self, Sizes};
use super::written::{quoted, table};
use super::{param_names, weights};
use crate::model::{Input, ModelConfig};
use crate::peers::peer::Clipping;
use crate::peers::{self, Peer};
use crate::wrapped::wrapped;

/// Returns the text of a configuration for the checkpoint at `path`, to be completed by a person.
///
/// # Errors
/// The checkpoint cannot be read, its model cannot be told, or something in it has no equal here.
pub fn propose(path: &Path, names: Option<&Path>) -> Result<String, ImportError> {
    let peer = peers::open(path)?;
    let given = names.map(param_names::read).transpose()?.unwrap_or_default();
    written(&peer, &given).map_err(|refusal| ImportError::refused(path, refusal))
}

fn written(peer: &Peer, given: &ParamNames) -> Result<String, Refusal> {
    let sizes = sizes::of(peer)?;
    let found = found(peer, given, &sizes)?;
    let mut text = format!(
        "# Proposed for {}, which {} wrote.\n# A question mark is at what it does not say: check those lines.\n\n",
        peer.path.display(),
        peer.trainer.name()
    );
    schedules(&mut text, &found);
    seed(&mut text, peer);
    data(&mut text, peer, &sizes);
    let remarks: Vec<String> = sizes.remarks.iter().map(|remark| format!("# ? {remark}")).collect();
    text += &table("model", &sizes.model, &remarks);
    let loss = if matches!(sizes.input, Input::Tokens { .. }) { "cross_entropy" } else { "mse" };
    let _ = write!(text, "\n# ? loss: the usual one for the targets of the data\n# [loss]\n# kind = \"{loss}\"\n\n");
    let asked: Vec<String> = found.rules.iter().flat_map(|rule| &rule.asked).map(asked).collect();
    text += &table("optimizer", &found.planned.table, &asked);
    train(&mut text, peer);
    Ok(text)
}

/// Names what is in the checkpoint as a model of these sizes does.
fn found(peer: &Peer, given: &ParamNames, sizes: &Sizes) -> Result<Found, Refusal> {
    let wrong = |reason: String| Refusal::cannot("model", format!("{reason}; write a configuration by hand"));
    let config: ModelConfig = serde_json::from_value(sizes.model.clone()).map_err(|error| wrong(error.to_string()))?;
    let built = config.build(&sizes.input, sizes.outputs, 0, &Device::Cpu).map_err(|error| wrong(error.to_string()))?;
    let matched = weights::find(&ours(built.parameters(), &built.buffers()), &peer.model, given)?;
    Found::of(peer, matched, given, built.parameters())
}

fn line(text: &mut String, line: &str) {
    let is_comment = line.starts_with('#');
    text.push_str(&if is_comment { wrapped(line, "#     ") } else { line.to_owned() });
    text.push('\n');
}

/// Returns the line for a setting of the optimizer that a person has to add.
fn asked(asked: &Refusal) -> String {
    let key = asked.thing.strip_prefix("optimizer.").unwrap_or(&asked.thing);
    let reason = asked.reason.strip_suffix("; set it in the configuration").unwrap_or(&asked.reason);
    format!("# {key} = … # ? {reason}")
}

fn schedules(text: &mut String, found: &Found) {
    match found.schedule() {
        Ok(Some(schedule)) => line(text, &format!("schedule = {}", quoted(&schedule.to_string()))),
        Ok(None) => {}
        Err(refusal) => line(text, &format!("# ? schedule = \"…\": {}", refusal.reason.replace('\n', " "))),
    }
    if let Some(momentum) = found.momentum() {
        line(text, &format!("momentum_schedule = {}", quoted(&momentum.to_string())));
    }
}

/// Returns a number among the run's settings, by the last word of its name.
fn setting(peer: &Peer, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| {
        let found = peer.settings.iter().find(|(key, _)| key.rsplit('.').next() == Some(*name));
        found?
            .1
            .parse::<f64>()
            .ok()
            .filter(|number| *number >= 1.0 && number.fract() == 0.0)
            .map(|number| number as u64)
    })
}

fn seed(text: &mut String, peer: &Peer) {
    if let Some(seed) = setting(peer, &["seed"]) {
        line(text, &format!("seed = {seed} # the peer's; its orders and random numbers are others"));
    }
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
}

fn data(text: &mut String, peer: &Peer, sizes: &Sizes) {
    line(text, "[data]");
    line(text, &format!("path = \"data\" # ? {}", sizes.data));
    let batch = setting(peer, &["per_device_train_batch_size", "train_batch_size", "batch_size"]);
    match batch {
        Some(rows) => line(text, &format!("batch_size = {rows} # the peer's, for one micro-batch of one device")),
        None => line(text, "# batch_size = 32 # ? rows of an update"),
    }
    text.push('\n');
}

fn train(text: &mut String, peer: &Peer) {
    line(text, "\n[train]");
    match setting(peer, &["max_steps", "max_iters", "num_training_steps"]) {
        Some(steps) => line(text, &format!("steps = {steps}")),
        None => line(text, "# steps = 1000 # ? updates of the whole run, with those that are made"),
    }
    match peer.clipping {
        Clipping::Norm { most, eps } => {
            line(text, &format!("clip_norm = {}", json!(most)));
            if eps != super::settled::CLIP_EPS {
                line(text, &format!("clip_eps = {}", json!(eps)));
            }
        }
        Clipping::Off => {}
        _ => line(text, "# clip_norm = 1.0 # ? whether gradients were clipped"),
    }
    if let Some(count) = peer.accumulation.filter(|count| *count > 1) {
        let _ = writeln!(text, "# ? an update there is of {count} micro-batches: a batch here is all of them");
    }
}
