//! Finds the states in a file of any layout: scripts nest them as they like, and call them whatever they like.

use std::collections::HashSet;

use super::{loss_scale, settings, state_dict, torch_optimizer, torch_schedule};
use crate::peers::peer::Counter;
use crate::peers::tree::{Place, Ref, Value};

/// States with their places in the file, such as `state.model`.
#[derive(Default)]
pub(super) struct Survey<'a> {
    pub(super) models: Vec<(String, Ref<'a>)>,
    /// Models that count how often they were averaged.
    pub(super) averaged: Vec<(String, Ref<'a>)>,
    pub(super) optimizers: Vec<(String, Ref<'a>)>,
    pub(super) schedulers: Vec<(String, Ref<'a>)>,
    pub(super) scalers: Vec<(String, Ref<'a>)>,
    pub(super) counters: Vec<Counter>,
    pub(super) settings: Vec<(String, String)>,
    /// Things of no known kind, with their place.
    pub(super) left: Vec<String>,
    /// Objects that are saved whole, which would need the code of their class: place and class.
    pub(super) whole: Vec<(String, &'a str)>,
    seen: HashSet<Place>,
}

/// Levels below the root that are searched.
const MOST_LEVELS: usize = 8;
/// Settings and things left that are kept.
const MOST_LINES: usize = 2000;

/// Names of counters of epochs, and the thing they count.
const EPOCHS: &[(&str, &str)] = &[
    ("epoch", "epochs as the script counts them: those done, or the last one's number"),
    ("current_epoch", "epochs as the script counts them: those done, or the last one's number"),
    ("cur_epoch", "epochs as the script counts them: those done, or the last one's number"),
    ("epoch_num", "epochs as the script counts them: those done, or the last one's number"),
    ("epochs_done", "epochs done"),
    ("epochs_run", "epochs done"),
    ("completed_epochs", "epochs done"),
    ("start_epoch", "the epoch that a resumed run begins with"),
];

/// Names of counters of steps, the surest first. Plurals, such as `steps`, are mostly the length of a run.
const STEPS: &[&str] = &[
    "global_step",
    "global_steps",
    "num_updates",
    "optimizer_step",
    "update",
    "step",
    "current_step",
    "cur_step",
    "train_step",
    "iteration",
    "iter_num",
    "iter",
    "global_iter",
    "cur_iter",
    "n_iter",
    "it",
];

/// Places whose numbers are settings of a run, not counters of it.
const SETTINGS: &[&str] = &[
    "args",
    "arguments",
    "cfg",
    "conf",
    "config",
    "hparams",
    "hyper_parameters",
    "hyperparameters",
    "options",
    "params",
    "settings",
];

/// States of one kind that are read of a file.
const MOST_STATES: usize = 64;

/// Words for a counter of steps.
pub(super) const STEPS_COUNTED: &str = "steps as the script counts them: updates, or micro-batches";

/// Returns whether a counter counts steps, and how sure its name is: the less the surer.
pub(super) fn step_rank(counter: &Counter) -> Option<usize> {
    STEPS.iter().position(|name| *name == last_name(&counter.name))
}

/// Returns whether a counter counts epochs.
pub(super) fn is_epoch(counter: &Counter) -> bool {
    EPOCHS.iter().any(|(name, _)| *name == last_name(&counter.name))
}

fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

impl<'a> Survey<'a> {
    /// Searches a file from its root, but for the keys of the root in `but`, which the caller reads.
    pub(super) fn of(root: Ref<'a>, but: &[&str]) -> Self {
        let mut survey = Self::default();
        if but.is_empty() {
            survey.visit("", root, 0);
            return survey;
        }
        for (key, value) in root.entries().into_iter().flatten() {
            if key.text().is_none_or(|key| !but.contains(&key)) {
                survey.visit(&settings::text(key), value, 1);
            }
        }
        survey
    }

    fn visit(&mut self, path: &str, value: Ref<'a>, level: usize) {
        let is_holder = matches!(value.value(), Value::Dict(_) | Value::Object(_) | Value::List(_) | Value::Tuple(_));
        if !is_holder {
            return self.leaf(path, value);
        }
        // A value that stands at two places is read at the first.
        if !self.seen.insert(value.place()) {
            return;
        }
        if let Some(object) = value.object().filter(|object| is_whole(value, &object.class)) {
            self.whole.push((path.to_owned(), &object.class));
        } else if let Some(states) = self.kind(value) {
            // More than a run has are not looked into.
            if states.len() < MOST_STATES {
                states.push((path.to_owned(), value));
            } else {
                self.leave(path, value);
            }
        } else if level < MOST_LEVELS {
            self.enter(path, value, level);
        } else {
            self.leave(path, value);
        }
    }

    /// Returns the list of states that a value belongs to.
    fn kind(&mut self, value: Ref<'a>) -> Option<&mut Vec<(String, Ref<'a>)>> {
        if torch_optimizer::is_optimizer(value) {
            return Some(&mut self.optimizers);
        }
        if torch_schedule::is_scheduler(value) {
            return Some(&mut self.schedulers);
        }
        if loss_scale::is_scaler(value) {
            return Some(&mut self.scalers);
        }
        let averaged = value.get("n_averaged").is_some();
        state_dict::is_model(value).then_some(if averaged { &mut self.averaged } else { &mut self.models })
    }

    fn enter(&mut self, path: &str, value: Ref<'a>, level: usize) {
        let is_plain = |value: Ref<'_>| !matches!(value.value(), Value::Dict(_) | Value::Object(_));
        if let (Value::List(items) | Value::Tuple(items), Some(mut all)) = (value.value(), value.items()) {
            // Lists of numbers are histories or random states.
            if all.all(is_plain) {
                return self.leave(path, value);
            }
            for (index, item) in items.iter().enumerate() {
                self.visit(&format!("{path}[{index}]"), value.other(*item), level + 1);
            }
            return;
        }
        match value.attributes() {
            Some(entries) => {
                for (key, item) in entries {
                    let name = settings::text(key);
                    let inner = if path.is_empty() { name } else { format!("{path}.{name}") };
                    self.visit(&inner, item, level + 1);
                }
            }
            None => self.leave(path, value),
        }
    }

    fn leaf(&mut self, path: &str, value: Ref<'a>) {
        let name = last_name(path);
        let is_setting = path.split('.').any(|part| SETTINGS.contains(&part)) || self.counters.len() >= MOST_LINES;
        if let Some(number) = value.number().filter(|_| !is_setting) {
            let epochs = EPOCHS.iter().find(|(known, _)| *known == name).map(|(_, counts)| *counts);
            let counts = epochs.or_else(|| STEPS.contains(&name).then_some(STEPS_COUNTED));
            if let Some(counts) = counts.filter(|_| number >= 0.0) {
                let counts = counts.to_owned();
                self.counters.push(Counter { name: path.to_owned(), value: number, counts });
                return;
            }
        }
        if value.is_null() || self.settings.len() >= MOST_LINES {
            return;
        }
        match value.value() {
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::BigInt(_) => {
                self.settings.push((path.to_owned(), settings::text(value)));
            }
            Value::Tensor(tensor) if tensor.scalar().is_some() => {
                self.settings.push((path.to_owned(), settings::text(value)));
            }
            _ => self.leave(path, value),
        }
    }

    fn leave(&mut self, path: &str, value: Ref<'a>) {
        let is_empty =
            value.entries().is_some_and(|all| all.len() == 0) || value.items().is_some_and(|all| all.len() == 0);
        if !is_empty && self.left.len() < MOST_LINES {
            let place = if path.is_empty() { "the file" } else { path };
            self.left.push(format!("{place}: {}", describe(value)));
        }
    }
}

/// Returns the kind of a value in a few words.
pub(super) fn describe(value: Ref<'_>) -> String {
    match value.value() {
        Value::List(items) | Value::Tuple(items) => format!("{} values", items.len()),
        Value::Set(items) => format!("a set of {} values", items.len()),
        Value::Dict(entries) => format!("a dict of {} entries", entries.len()),
        Value::Tensor(tensor) => format!("a tensor {} {:?}", tensor.dtype(), tensor.shape()),
        Value::Object(object) => object.class.chars().take(100).collect(),
        _ => settings::text(value),
    }
}

/// Returns whether an object of this class is a model, an optimizer or a scheduler that was saved whole.
fn is_whole(object: Ref<'_>, class: &str) -> bool {
    let modules = ["torch.nn.modules.", "torch.nn.parallel.", "torch.optim.", "torch.fx.", "torch._dynamo."];
    let is_module = || object.get("_parameters").is_some() && object.get("_modules").is_some();
    modules.iter().any(|module| class.starts_with(module)) || is_module()
}
