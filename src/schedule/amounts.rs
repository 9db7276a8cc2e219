//! Lengths in samples or tokens, as updates of a run whose batches are known.

use super::definition::words;
use super::length::Length;
use super::value::{Data, Value};
use super::{Schedule, ScheduleError, Unit};

/// The amount of data that one update of a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Rows in the batch of an update, at least 1.
    pub samples: u64,
    /// Tokens in it, if the data is text.
    pub tokens: Option<u64>,
}

words! {
    /// Amounts of data in which a length can be given.
    Amount {
        /// Rows of the training data.
        Samples = "samples",
        /// Tokens of a text.
        Tokens = "tokens",
    }
}

impl Schedule {
    /// Returns the same schedule with its lengths in samples and tokens as numbers of updates, to the nearest one. The
    /// smaller last batch of an epoch counts as a whole one.
    ///
    /// # Errors
    /// A length in tokens is given, but the data has no tokens; or one of both is in a schedule that counts epochs.
    pub fn in_updates(&self, taken: Taken) -> Result<Self, ScheduleError> {
        let mut found = false;
        let table = Resolving { taken, found: &mut found }.table(self, self.unit)?;
        if !found {
            return Ok(self.clone());
        }
        Self::from_table(&table).map_err(|problem| problem.of(self.kind()).in_data())
    }
}

struct Resolving<'a> {
    taken: Taken,
    found: &'a mut bool,
}

impl Resolving<'_> {
    /// Returns the data form of `schedule`; `unit` is epochs if it, or a schedule around it, counts them.
    fn table(&mut self, schedule: &Schedule, unit: Unit) -> Result<Vec<(String, Value)>, ScheduleError> {
        let resolve = |(name, value): (String, Value)| {
            let value = self.value(value, unit, schedule.kind(), &name)?;
            Ok((name, value))
        };
        schedule.to_table().into_iter().map(resolve).collect()
    }

    fn value(&mut self, value: Value, unit: Unit, kind: &'static str, field: &str) -> Result<Value, ScheduleError> {
        Ok(match value.data {
            Data::Schedule(inner) => {
                let unit = if unit == Unit::Epoch { unit } else { inner.unit };
                Data::Table(self.table(&inner, unit)?).into()
            }
            Data::List(items) => {
                let items = items.into_iter().map(|item| self.value(item, unit, kind, field));
                Data::List(items.collect::<Result<_, _>>()?).into()
            }
            Data::Text(text) => match Length::of_data(&text) {
                Some((count, amount)) => Data::Integer(self.updates(count, amount, unit, kind, field)?).into(),
                None => Data::Text(text).into(),
            },
            data => data.into(),
        })
    }

    fn updates(
        &mut self,
        count: u64,
        amount: Amount,
        unit: Unit,
        kind: &'static str,
        field: &str,
    ) -> Result<u64, ScheduleError> {
        let refuse = |rule: &str| {
            Err(ScheduleError::Refused {
                kind,
                place: String::new(),
                field: field.to_owned(),
                value: Length::Data(count, amount).to_string(),
                rule: rule.to_owned(),
            })
        };
        if unit == Unit::Epoch {
            return refuse("its schedule counts epochs; give a number of epochs, or remove unit=\"epoch\"");
        }
        let each = match (amount, self.taken.tokens) {
            (Amount::Samples, _) => self.taken.samples,
            (Amount::Tokens, Some(tokens)) => tokens,
            (Amount::Tokens, None) => return refuse("the data has no tokens; give a number of samples or updates"),
        };
        *self.found = true;
        let each = each.max(1);
        Ok(count / each + u64::from(count % each >= each.div_ceil(2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Taken = Taken { samples: 32, tokens: Some(32 * 128) };

    fn told(text: &str, taken: Taken) -> String {
        let schedule: Schedule = text.parse().unwrap();
        schedule.in_updates(taken).map_or_else(|error| error.to_string(), |schedule| schedule.to_string())
    }

    #[test]
    fn samples_and_tokens_become_the_nearest_number_of_updates_at_any_depth() {
        let text =
            r#"warmup("3200 samples") -> sequential(["1e6 tokens"], [step("47 samples"), cosine("48 samples")])"#;
        assert_eq!(told(text, TAKEN), "warmup(100) -> sequential([244], [step(1), cosine(2)])");
        assert_eq!(told("warmup(10) -> cosine(\"90%\")", TAKEN), "warmup(10) -> cosine(\"90%\")");
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let images = Taken { tokens: None, ..TAKEN };
        let message = "`cosine`: t_max is \"9 tokens\"; the data has no tokens; give a number of samples or updates";
        assert_eq!(told("cosine(\"9 tokens\")", images), message);
        assert!(told("chained([cosine(\"9 samples\")], unit=\"epoch\")", TAKEN).contains("counts epochs"));
        let unresolved: Schedule = "cosine(\"9 samples\")".parse().unwrap();
        let run = crate::schedule::RunLength { total_steps: Some(9), steps_per_epoch: 1 };
        let message = unresolved.plan(&run, 1).unwrap_err().to_string();
        assert!(message.contains("the batches of a run"), "{message}");
    }

    #[test]
    fn such_a_length_is_written_as_it_is_read() {
        for text in ["cosine(\"9 samples\")", "warmup(\"2000000000 tokens\") -> constant()"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        assert!("cosine(\"9 sampels\")".parse::<Schedule>().unwrap_err().to_string().contains("9 sampels"));
    }
}
