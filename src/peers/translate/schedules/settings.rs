//! Settings of a form, read with errors that name the class and the setting.

use crate::peers::peer::{Form, Setting};
use crate::peers::translate::Refusal;

/// The settings of one form.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a> {
    /// The form that has them.
    pub form: &'a Form,
}

impl<'a> Settings<'a> {
    /// Returns those of `form`.
    pub fn of(form: &'a Form) -> Self {
        Self { form }
    }

    /// Returns the refusal of a setting, with the reason.
    pub fn refuse(&self, key: &str, reason: impl Into<String>) -> Refusal {
        Refusal::cannot(format!("{} {key}", self.form.class), reason)
    }

    fn missing(&self, key: &str) -> Refusal {
        let reason = "it is not in the file, so the schedule cannot be known; write `schedule` in the configuration";
        Refusal::ask(format!("{} {key}", self.form.class), reason)
    }

    /// Settings that transformers keeps in a table inside are found as well.
    fn given(&self, key: &str) -> Option<&'a Setting> {
        let inner = || self.form.setting(&format!("lr_scheduler_kwargs.{key}"));
        self.form.setting(key).or_else(inner).filter(|setting| **setting != Setting::Null)
    }

    /// Returns whether a setting is there and not null.
    pub fn has(&self, key: &str) -> bool {
        self.given(key).is_some()
    }

    /// Returns a finite number that has to be there.
    pub fn number(&self, key: &str) -> Result<f64, Refusal> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key))
    }

    /// Returns a finite number, or the peer's default.
    pub fn number_or(&self, key: &str, default: f64) -> Result<f64, Refusal> {
        Ok(self.optional_number(key)?.unwrap_or(default))
    }

    /// Returns a finite number where there is one.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>, Refusal> {
        let Some(setting) = self.given(key) else { return Ok(None) };
        match setting.number() {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(self.refuse(key, format!("{setting:?} is not a finite number"))),
        }
    }

    /// Returns a whole number that has to be there.
    pub fn length(&self, key: &str) -> Result<u64, Refusal> {
        self.whole(key, self.number(key)?)
    }

    /// Returns a whole number, or the peer's default.
    pub fn length_or(&self, key: &str, default: u64) -> Result<u64, Refusal> {
        self.optional_number(key)?.map_or(Ok(default), |number| self.whole(key, number))
    }

    /// Returns `number` as a whole one.
    pub fn whole(&self, key: &str, number: f64) -> Result<u64, Refusal> {
        whole(number).ok_or_else(|| {
            self.refuse(key, format!("{number} is not a whole number, and Rekindle's lengths are whole"))
        })
    }

    /// Returns numbers that have to be there; a single one is a list of one.
    pub fn numbers(&self, key: &str) -> Result<Vec<f64>, Refusal> {
        let setting = self.given(key).ok_or_else(|| self.missing(key))?;
        match setting.numbers() {
            Some(numbers) if numbers.iter().all(|number| number.is_finite()) => Ok(numbers),
            _ => Err(self.refuse(key, format!("{setting:?} is not a list of finite numbers"))),
        }
    }

    /// Returns whole numbers, in order.
    pub fn lengths(&self, key: &str) -> Result<Vec<u64>, Refusal> {
        let mut lengths =
            self.numbers(key)?.into_iter().map(|number| self.whole(key, number)).collect::<Result<Vec<u64>, _>>()?;
        lengths.sort_unstable();
        Ok(lengths)
    }

    /// Returns a truth value, or the peer's default.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool, Refusal> {
        match self.given(key) {
            None => Ok(default),
            Some(Setting::Bool(flag)) => Ok(*flag),
            Some(Setting::Number(number)) if *number == 0.0 || *number == 1.0 => Ok(*number == 1.0),
            Some(other) => Err(self.refuse(key, format!("{other:?} is neither true nor false"))),
        }
    }

    /// Returns a word, or the peer's default.
    pub fn word_or(&self, key: &str, default: &'a str) -> Result<&'a str, Refusal> {
        match self.given(key) {
            None => Ok(default),
            Some(Setting::Text(word)) => Ok(word),
            Some(other) => Err(self.refuse(key, format!("{other:?} is not a word"))),
        }
    }
}

/// Returns a number that is whole and not negative.
pub(super) fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
}
