//! The hyperparameters of one group, under our names.

use serde_json::{Map, Value as Json, json};

use crate::peers::peer::{Group, Setting};
use crate::peers::translate::Refusal;

/// Hyperparameters that are being put together.
pub(super) struct Hyperparameters<'a> {
    class: &'a str,
    index: usize,
    /// The peer's group.
    pub group: &'a Group,
    /// Ours so far.
    pub values: Map<String, Json>,
    /// Keys that the configuration has to set.
    pub asked: Vec<Refusal>,
    /// Remarks.
    pub notes: Vec<String>,
}

impl<'a> Hyperparameters<'a> {
    /// Begins with the base rate.
    pub fn new(class: &'a str, index: usize, group: &'a Group, base_lr: Option<f64>) -> Self {
        let mut new = Self { class, index, group, values: Map::new(), asked: Vec::new(), notes: Vec::new() };
        match base_lr {
            Some(base) => new.put("lr", json!(base)),
            None => new.ask("lr", "the base rate is not in the file"),
        }
        new
    }

    /// Sets one of ours.
    pub fn put(&mut self, ours: &str, value: Json) {
        self.values.insert(ours.to_owned(), value);
    }

    /// Has the configuration set one of ours.
    pub fn ask(&mut self, ours: &str, why: &str) {
        self.asked.push(Refusal::ask(format!("optimizer.{ours}"), format!("{why}; set it in the configuration")));
    }

    /// Returns the refusal of a setting of this group.
    pub fn refuse(&self, key: &str, reason: impl std::fmt::Display) -> Refusal {
        Refusal::cannot(format!("{} {key}", self.class), format!("group {} has it, and {reason}", self.index))
    }

    fn given(&self, key: &str) -> Option<&'a Setting> {
        self.group.setting(key).filter(|setting| **setting != Setting::Null)
    }

    /// Returns a finite number of the group, where there is one.
    pub fn number(&self, key: &str) -> Result<Option<f64>, Refusal> {
        match self.given(key) {
            None => Ok(None),
            Some(Setting::Number(number)) if number.is_finite() => Ok(Some(*number)),
            Some(other) => Err(self.refuse(key, format!("{other:?} is not a finite number"))),
        }
    }

    /// Returns a truth value of the group; false where it has none.
    pub fn flag(&self, key: &str) -> Result<bool, Refusal> {
        match self.given(key) {
            None => Ok(false),
            Some(Setting::Bool(flag)) => Ok(*flag),
            Some(Setting::Number(number)) if *number == 0.0 || *number == 1.0 => Ok(*number == 1.0),
            Some(other) => Err(self.refuse(key, format!("{other:?} is neither true nor false"))),
        }
    }

    /// Takes a number over under our name; where the group has none, the peer's default, or a question.
    pub fn take(&mut self, theirs: &str, ours: &str, default: Option<f64>) -> Result<(), Refusal> {
        match self.number(theirs)?.or(default) {
            Some(number) => self.put(ours, json!(number)),
            None => self.ask(ours, &format!("`{theirs}` is not in the file")),
        }
        Ok(())
    }

    /// Takes a truth value over under our name.
    pub fn take_flag(&mut self, theirs: &str, ours: &str) -> Result<(), Refusal> {
        let flag = self.flag(theirs)?;
        self.put(ours, json!(flag));
        Ok(())
    }

    /// Takes a pair of betas over: one setting with two numbers.
    pub fn take_betas(&mut self, theirs: &str) -> Result<(), Refusal> {
        self.take_pair(theirs, "betas")
    }

    /// Takes a setting with two numbers over.
    pub fn take_pair(&mut self, theirs: &str, ours: &str) -> Result<(), Refusal> {
        match self.given(theirs).map(|setting| (setting, setting.numbers())) {
            Some((_, Some(pair))) if pair.len() == 2 && pair.iter().all(|number| number.is_finite()) => {
                self.put(ours, json!(pair));
                Ok(())
            }
            Some((other, _)) => Err(self.refuse(theirs, format!("{other:?} is not a pair of numbers"))),
            None => {
                self.ask(ours, &format!("`{theirs}` is not in the file"));
                Ok(())
            }
        }
    }

    /// Refuses a flag that is set.
    pub fn refuse_flag(&self, key: &str, reason: &str) -> Result<(), Refusal> {
        if self.flag(key)? { Err(self.refuse(key, reason)) } else { Ok(()) }
    }
}
