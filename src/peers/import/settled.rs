//! The configuration of an imported run: what a person wrote, completed from the checkpoint and compared with it.

use serde_json::{Map, Value, json};

use super::Import;
use super::account::Account;
use super::agreement;
use super::error::{ImportError, Refusal};
use super::found::Found;
use super::written;
use crate::parameters::Parameters;
use crate::peers::Peer;
use crate::peers::peer::Clipping;
use crate::schedule::Schedule;
use crate::train::{Config, Setting, TrainError, from_file_filled};

/// Tables of a configuration that a checkpoint can say.
const SAID_BY_PEERS: [&str; 4] = ["optimizer", "schedule", "momentum_schedule", "weight_decay_schedule"];

/// PyTorch's number beside the norm in clipping, which is also the default here.
pub(super) const CLIP_EPS: f64 = 1e-6;

/// Reads the configuration without what the checkpoint says, to learn the names of the model's parameters.
pub(super) fn draft(import: &Import<'_>) -> Result<Config, TrainError> {
    from_file_filled(&import.config, &others(import.settings), |config| {
        if let Value::Object(config) = config {
            SAID_BY_PEERS.iter().for_each(|key| drop(config.remove(*key)));
            config.insert("optimizer".to_owned(), json!({"kind": "sgd", "lr": 0.0}));
        }
    })
}

/// Returns the settings of what no checkpoint says.
fn others(settings: &[Setting]) -> Vec<Setting> {
    let is_said = |setting: &&Setting| SAID_BY_PEERS.iter().any(|key| is_inside(setting.key(), key));
    settings.iter().filter(|setting| !is_said(setting)).cloned().collect()
}

/// Whether a dotted key is `table` or inside it.
pub(super) fn is_inside(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Everything that decides about the configuration.
pub(super) struct Asked<'a> {
    pub import: &'a Import<'a>,
    pub peer: &'a Peer,
    pub found: &'a Found,
    pub parameters: &'a Parameters,
}

impl Asked<'_> {
    /// Whether a `--set` decides about this key, or about something inside or around it.
    pub fn is_decided(&self, key: &str) -> bool {
        self.import.decides(key)
    }

    /// Returns the configuration of the run.
    ///
    /// # Errors
    /// It cannot be read, says something else than the checkpoint, or lacks what the checkpoint lacks too.
    pub fn config(&self, account: &mut Account) -> Result<Config, ImportError> {
        let refused = |refusal| ImportError::refused(&self.import.peer, refusal);
        let clipping = self.clipping().map_err(refused)?;
        let found = self.found.schedule();
        let schedule = found.as_ref().ok().and_then(Option::as_ref);
        let momentum = schedule.and_then(|_| self.found.momentum());
        let (mut own, mut said) = (Vec::new(), Value::Null);
        let ours = from_file_filled(&self.import.config, self.import.settings, |config| {
            own = SAID_BY_PEERS.iter().filter(|key| config.get(**key).is_some()).collect();
            said = config["optimizer"].clone();
            self.fill(config, schedule, momentum.as_ref(), clipping, None);
        });
        // First what is asked for: without it the configuration may not even be read.
        if let Err(refusal) = &found {
            self.require_own_schedule(refusal, own.contains(&&"schedule")).map_err(refused)?;
        }
        self.require_asked(&said).map_err(refused)?;
        let blamed = |error| self.blamed(error, &own, &said);
        let ours = ours.map_err(blamed)?;
        let others = others(self.import.settings);
        let answers = self.answers(&ours);
        let theirs = from_file_filled(&self.import.config, &others, |config| {
            self.fill(config, schedule, momentum.as_ref(), clipping, Some(&answers));
        })
        .map_err(blamed)?;
        agreement::of_optimizers(self, &ours, &theirs)?;
        agreement::of_clipping(self, &ours, &theirs)?;
        for key in SAID_BY_PEERS.iter().filter(|key| !own.contains(key)) {
            match self.is_decided(key) {
                true => account.translated.extend(taken(key, &ours).map(|said| format!("{said}, as --set decides"))),
                false => account.taken.extend(taken(key, &theirs)),
            }
        }
        self.tell_clipping(&ours, account);
        Ok(ours)
    }

    /// Returns the error of a configuration that was completed: of the checkpoint where the bad value is from there;
    /// `own` are the tables that a person wrote, and `said` is their optimizer.
    fn blamed(&self, error: TrainError, own: &[&&str], said: &Value) -> ImportError {
        let TrainError::Config { field, reason, .. } = &error else { return error.into() };
        let key = field.split(" = ").next().unwrap_or_default();
        let Some(table) = SAID_BY_PEERS.iter().find(|table| is_inside(key, table)) else { return error.into() };
        let setting = key.strip_prefix("optimizer.").and_then(|rest| rest.split(['.', '[']).next());
        let is_own = match setting {
            Some(setting) => said.get(setting).is_some(),
            None => own.contains(&table),
        };
        if is_own || self.is_decided(key) {
            return error.into();
        }
        let reason = format!("{reason}; the checkpoint has it so. If it is not damaged, decide with `--set {key}=…`");
        ImportError::refused(&self.import.peer, Refusal::cannot(field.clone(), reason))
    }

    /// Adds what the checkpoint says to a configuration: where it says nothing, or, with the `answers` to what the
    /// checkpoint lacks, in place of what it says.
    fn fill(
        &self,
        config: &mut Value,
        schedule: Option<&Schedule>,
        momentum: Option<&Schedule>,
        clipping: Option<(f64, f64)>,
        answers: Option<&Map<String, Value>>,
    ) {
        let Value::Object(config) = config else { return };
        let replaces = answers.is_some();
        let own = config.get("optimizer").cloned().unwrap_or(Value::Null);
        let table = answers.map_or_else(|| self.optimizer(own), |answers| self.answered(answers));
        config.insert("optimizer".to_owned(), table);
        let mut put = |key: &str, value: Option<Value>| match value {
            Some(value) if replaces || !config.contains_key(key) => drop(config.insert(key.to_owned(), value)),
            _ => {}
        };
        put("schedule", schedule.map(|schedule| schedule.to_string().into()));
        put("momentum_schedule", momentum.map(|schedule| schedule.to_string().into()));
        let Some((most, eps)) = clipping else { return };
        if let Value::Object(train) = config.entry("train").or_insert_with(|| json!({})) {
            if replaces || !train.contains_key("clip_norm") {
                train.insert("clip_norm".to_owned(), most.into());
            }
            if eps != CLIP_EPS && (replaces || !train.contains_key("clip_eps")) {
                train.insert("clip_eps".to_owned(), eps.into());
            }
        }
    }

    /// Completes the optimizer of a configuration: what it does not say is as in the checkpoint, if it is of that kind.
    fn optimizer(&self, own: Value) -> Value {
        let mut table = self.found.planned.table.clone();
        let set = self.import.settings.iter().find(|setting| setting.key() == "optimizer.kind");
        if let Some(kind) = set.filter(|_| self.is_asked("optimizer.kind")) {
            // Given now: a kind that is changed by a setting would lose the rest of its table.
            table["kind"] = kind.value().clone();
        }
        let Value::Object(said) = own else { return table };
        let is_other = said.get("kind").is_some_and(|kind| *kind != table["kind"]);
        if is_other && !self.is_asked("optimizer.kind") {
            return Value::Object(said);
        }
        if let Value::Object(table) = &mut table {
            table.extend(said);
        }
        table
    }

    /// Returns the settings of the optimizer that the checkpoint lacks or a person decided, as they are in the configuration.
    fn answers(&self, ours: &Config) -> Map<String, Value> {
        let Ok(Value::Object(mut table)) = serde_json::to_value(&ours.optimizer) else { return Map::new() };
        if self.is_other_rule(&table) {
            // A rule that a person decided shares no setting with that of the checkpoint.
            drop(table.remove("groups"));
            return table;
        }
        // A value that a person decided replaces one of the checkpoint that no optimizer may accept.
        let is_decided = |key: &str| self.import.settings.iter().any(|setting| setting.key() == key);
        let is_ours = |key: &str| key != "optimizer.groups" && (self.is_asked(key) || is_decided(key));
        table.into_iter().filter(|(key, _)| is_ours(&format!("optimizer.{key}"))).collect()
    }

    /// Whether this table has another rule than the checkpoint, which does not lack its own.
    fn is_other_rule(&self, table: &Map<String, Value>) -> bool {
        let decided = self.is_decided("optimizer.kind") && !self.is_asked("optimizer.kind");
        decided && table.get("kind").is_some_and(|kind| *kind != self.found.planned.table["kind"])
    }

    fn answered(&self, answers: &Map<String, Value>) -> Value {
        if self.is_other_rule(answers) {
            return Value::Object(answers.clone());
        }
        let mut table = self.found.planned.table.clone();
        if let Value::Object(table) = &mut table {
            table.extend(answers.clone());
        }
        table
    }

    /// Whether the checkpoint lacks a setting of its optimizer.
    pub fn is_asked(&self, key: &str) -> bool {
        self.found.rules.iter().flat_map(|rule| &rule.asked).any(|asked| asked.thing == key)
    }

    /// Refuses a configuration that lacks a setting which the checkpoint lacks too; `said` is its optimizer.
    fn require_asked(&self, said: &Value) -> Result<(), Refusal> {
        if said.as_object().is_some_and(|said| self.is_other_rule(said)) {
            return Ok(());
        }
        let is_said = |asked: &Refusal| {
            let key = asked.thing.strip_prefix("optimizer.").unwrap_or(&asked.thing);
            said.get(key).is_some() || self.is_decided(&asked.thing)
        };
        let all = self.found.rules.iter().flat_map(|rule| &rule.asked);
        let mut open: Vec<&Refusal> = all.filter(|asked| !is_said(asked)).collect();
        open.dedup_by_key(|asked| &asked.thing);
        let Some(first) = open.first() else { return Ok(()) };
        let reasons: Vec<String> = open.iter().map(|asked| format!("`{}`: {}", asked.thing, asked.reason)).collect();
        let reason = format!("{}; or with `--set {}=…`", reasons.join("; "), first.thing);
        Err(Refusal::ask("optimizer", reason))
    }

    /// Refuses a checkpoint without a schedule that can be told, unless a person says it. What the file lacks may be said
    /// by the configuration; what it has and cannot be said here, only on purpose.
    fn require_own_schedule(&self, refusal: &Refusal, is_own: bool) -> Result<(), Refusal> {
        if (is_own && refusal.asked) || self.is_decided("schedule") {
            return Ok(());
        }
        let remedy = if refusal.asked {
            "in the configuration, or with `--set schedule=…`"
        } else {
            "with `--set schedule=…`"
        };
        Err(Refusal { reason: format!("{}; give `schedule` {remedy}", refusal.reason), ..refusal.clone() })
    }

    /// Returns the largest norm that the checkpoint says, and the number added to norms.
    fn clipping(&self) -> Result<Option<(f64, f64)>, Refusal> {
        let other = |kind: &str, most: f64| {
            if self.is_decided("train.clip_norm") {
                return Ok(None);
            }
            Err(Refusal::cannot(
                "clipping",
                format!(
                    "{kind} {most}, and here only the norm of all gradients together is clipped; decide with `--set \
                     train.clip_norm=…`"
                ),
            ))
        };
        match self.peer.clipping {
            Clipping::Norm { most, eps } => Ok(Some((most, eps))),
            Clipping::NormOfEach { most } => other("the norm of each gradient is clipped to", most),
            Clipping::Value { most } => other("each number of a gradient is clipped to", most),
            Clipping::Off | Clipping::Unknown => Ok(None),
        }
    }

    fn tell_clipping(&self, config: &Config, account: &mut Account) {
        match (self.peer.clipping, config.train.clip_norm) {
            (Clipping::Norm { most, .. }, _) => account.taken.push(format!("gradients are clipped to the norm {most}")),
            (Clipping::Unknown, Some(most)) => {
                account.missing.push(format!("clipping: as the configuration says, to the norm {most}"));
            }
            (Clipping::Unknown, None) => account.missing.push(
                "clipping: neither the file nor the configuration says any, so gradients are not clipped; if they were, \
                 set `train.clip_norm`"
                    .to_owned(),
            ),
            _ => {}
        }
    }
}

/// Returns the sentence about a table that comes from the checkpoint.
fn taken(key: &str, config: &Config) -> Option<String> {
    Some(match key {
        "optimizer" => {
            format!("optimizer: {}", written::in_line(&serde_json::to_value(&config.optimizer).unwrap_or_default()))
        }
        "schedule" => format!("schedule: {}", config.schedule),
        "momentum_schedule" => format!("momentum_schedule: {}", config.momentum_schedule.as_ref()?),
        _ => return None,
    })
}
