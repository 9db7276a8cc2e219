//! A column under construction.

use super::Rules;
use crate::data::Problem;
use crate::data::block::{Expected, Filled, NumberRule};
use crate::data::error::quoted;
use crate::data::frame::{FrameOptions, Role};
use crate::data::labels::Labels;
use crate::data::lists::Lists;
use crate::data::looks::is_missing_elsewhere;
use crate::data::value::{Value, number};
use crate::data::words::Words;

/// The values of a column so far.
pub(super) enum ColumnBuilder {
    Target {
        labels: Labels,
        place: usize,
    },
    Ignored,
    /// A number of rows, all missing; the first present value determines the kind of the column.
    Unknown(usize),
    Numbers(Vec<f64>),
    Categories {
        words: Words,
        named: bool,
    },
    Lists(Lists),
}

impl ColumnBuilder {
    pub fn new(role: Role, options: &FrameOptions) -> Self {
        match role {
            Role::Target(place) => Self::Target { labels: Labels::Unknown(options.labels), place },
            Role::Ignored => Self::Ignored,
            Role::Feature => Self::Unknown(0),
            Role::Number => Self::Numbers(Vec::new()),
            Role::Category => Self::Categories { words: Words::default(), named: true },
            Role::List(width) => Lists::new(width, 0).map_or(Self::Unknown(0), Self::Lists),
        }
    }

    pub fn is_ignored(&self) -> bool {
        matches!(self, Self::Ignored)
    }

    /// Adds the next value.
    pub fn take(&mut self, value: Value, rules: &Rules) -> Result<(), Problem> {
        let options = &rules.options;
        if let Self::Target { labels, .. } = self {
            let is_missing = |text: &str| match labels.are_words() {
                true => options.missing_labels.contain_word(text),
                false => options.missing_labels.contain(text),
            };
            match value {
                Value::Text("") => return Err(Problem::NoLabel),
                Value::Text(text) if is_missing(text) => return Err(Problem::LabelForMissing(quoted(text))),
                value if rules.classes_are_known => labels.require_known(value, options.classes)?,
                _ => {}
            }
            labels.push(value, options.classes)?;
            return labels.last_value().map_or(Ok(()), |value| options.check_target(value));
        }
        let known = options.missing_values.as_ref();
        let are_words = matches!(self, Self::Categories { named: true, .. });
        let is_missing = |text: &str| match known {
            Some(known) if are_words => known.contain_word(text),
            Some(known) => known.contain(text),
            None => false,
        };
        let value = match value {
            Value::Text(text) if is_missing(text) => Value::Missing,
            Value::Text("") if known.is_some() => return Err(Problem::EmptyUnlisted),
            Value::Text("") => return Err(Problem::Empty),
            value => value,
        };
        match self {
            Self::Ignored => Ok(()),
            _ if known.is_none() && value.is_missing() => Err(Problem::Empty),
            feature => feature.push(value),
        }
    }

    /// Adds a value of a feature.
    fn push(&mut self, value: Value) -> Result<(), Problem> {
        if let Self::Unknown(missing) = *self {
            match value {
                Value::Missing => {
                    *self = Self::Unknown(missing + 1);
                    return Ok(());
                }
                Value::Text(text) if text.parse::<f64>().is_ok() => *self = Self::Numbers(vec![f64::NAN; missing]),
                Value::Number(_) => *self = Self::Numbers(vec![f64::NAN; missing]),
                Value::List(list) => *self = Self::Lists(Lists::new(list.len(), missing)?),
                Value::Text(_) | Value::Word(_) => {
                    let mut words = Words::default();
                    for _ in 0..missing {
                        words.push("");
                    }
                    *self = Self::Categories { words, named: false };
                }
            }
        }
        match self {
            Self::Numbers(numbers) => numbers.push(match value {
                Value::Missing => f64::NAN,
                Value::Number(number) => number.value()?,
                Value::Text(text) | Value::Word(text) => number(text)?,
                Value::List(_) => return Err(Problem::ListAsOne),
            }),
            Self::Categories { words, named } => {
                match value {
                    Value::Missing => words.push(""),
                    Value::Text(text) if !*named && text.parse::<f64>().is_ok() => {
                        let first = words.distinct().iter().find(|word| !word.is_empty());
                        return Err(
                            match first.filter(|_| words.distinct().iter().all(|word| is_missing_elsewhere(word))) {
                                Some(word) => Problem::BeganWithMissing(quoted(word)),
                                None => Problem::NumberAmongWords(quoted(text)),
                            },
                        );
                    }
                    Value::Text(text) | Value::Word(text) => words.push(text),
                    Value::Number(number) => words.push(&number.to_string()),
                    Value::List(_) => return Err(Problem::ListAsOne),
                };
            }
            Self::Lists(lists) => match value {
                Value::Missing => lists.push_missing(),
                Value::List(list) => lists.push(list)?,
                Value::Number(_) | Value::Word(_) | Value::Text(_) => return Err(Problem::NotAList),
            },
            Self::Target { .. } | Self::Ignored | Self::Unknown(_) => {}
        }
        Ok(())
    }

    /// Returns what the next values must be for a block; `None` if they must be read one by one.
    pub fn expected<'a>(&self, rules: &'a Rules) -> Option<Expected<'a>> {
        let options = &rules.options;
        let missing = options.missing_values.as_ref();
        match self {
            Self::Ignored => Some(Expected::Ignored),
            Self::Unknown(_) => Some(Expected::Unknown(missing)),
            Self::Numbers(_) => Some(Expected::Numbers(NumberRule::of_feature(missing))),
            Self::Categories { .. } => Some(Expected::Words(missing.is_some())),
            Self::Lists(_) => None,
            Self::Target { labels, .. } if labels.are_values() => {
                Some(Expected::Numbers(NumberRule::of_target(options)))
            }
            Self::Target { labels, .. } => labels.are_texts().then_some(Expected::Words(false)),
        }
    }

    /// Returns its numbers, if it has any, and no room for the `next` ones. The first ones of all are taken as they come.
    pub fn without_room(&mut self, next: usize) -> Option<&mut Vec<f64>> {
        match self {
            Self::Numbers(numbers) | Self::Target { labels: Labels::Values(numbers), .. } => {
                let is_short = !numbers.is_empty() && numbers.capacity() - numbers.len() < next;
                is_short.then_some(numbers)
            }
            _ => None,
        }
    }

    /// Adds the values of blocks, and returns how many blocks were added: those up to the first one with a value that needs
    /// a closer look.
    pub fn append(&mut self, blocks: Vec<Filled>, rules: &Rules) -> usize {
        let count = blocks.len();
        blocks.into_iter().position(|block| self.append_one(block, rules).is_none()).unwrap_or(count)
    }

    fn append_one(&mut self, block: Filled, rules: &Rules) -> Option<()> {
        match (block, self) {
            (Filled::Missing(rows), Self::Unknown(before)) => *before += rows,
            (Filled::Missing(rows), Self::Numbers(numbers)) => numbers.resize(numbers.len() + rows, f64::NAN),
            (Filled::Numbers(more), column @ Self::Unknown(_)) => {
                let Self::Unknown(before) = *column else { return None };
                let mut numbers = vec![f64::NAN; before];
                join(&mut numbers, more);
                *column = Self::Numbers(numbers);
            }
            (Filled::Numbers(more), Self::Numbers(numbers)) => join(numbers, more),
            (Filled::Numbers(more), Self::Target { labels, .. }) => join(labels.values()?, more),
            (Filled::Texts(words), column) => column.append_words(&words, |text| Value::Text(text), rules)?,
            (Filled::Words(words), column) => column.append_words(&words, |word| Value::Word(word), rules)?,
            (Filled::Missing(_) | Filled::Numbers(_), _) => return None,
        }
        Some(())
    }

    /// Adds words. A word that was accepted is accepted in every later row, so that each is examined once.
    fn append_words(&mut self, more: &Words, as_value: fn(&str) -> Value<'_>, rules: &Rules) -> Option<()> {
        let mut numbers = Vec::with_capacity(more.distinct().len());
        for word in more.distinct() {
            self.take(as_value(word), rules).ok()?;
            numbers.push(self.words()?.pop()?);
        }
        if !numbers.is_empty() {
            self.words()?.extend(more.rows().iter().filter_map(|&word| numbers.get(word as usize)).copied());
        }
        Some(())
    }

    fn words(&mut self) -> Option<&mut Words> {
        match self {
            Self::Categories { words, .. } => Some(words),
            Self::Target { labels, .. } => labels.texts(),
            Self::Ignored | Self::Unknown(_) | Self::Numbers(_) | Self::Lists(_) => None,
        }
    }

    /// Takes back all values after the first `rows`, which were added in blocks.
    pub fn truncate(&mut self, rows: usize, rules: &Rules) {
        match self {
            Self::Unknown(missing) => *missing = rows.min(*missing),
            Self::Numbers(numbers) => numbers.truncate(rows),
            Self::Categories { words, .. } => words.truncate(rows),
            Self::Target { labels, .. } => labels.truncate(rows, rules.options.classes),
            Self::Ignored | Self::Lists(_) => {}
        }
    }

    /// Returns a lower bound of the bytes of the values so far.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Ignored | Self::Unknown(_) => 0,
            Self::Numbers(numbers) => numbers.len() * 8,
            Self::Target { labels, .. } => labels.bytes(),
            Self::Categories { words, .. } => words.rows().len() * 4,
            Self::Lists(lists) => lists.bytes(),
        }
    }
}

/// Adds numbers to others, without a copy if these are the first.
fn join(numbers: &mut Vec<f64>, more: Vec<f64>) {
    if numbers.is_empty() {
        *numbers = more;
    } else {
        numbers.extend_from_slice(&more);
    }
}
