//! The arguments of a constructor, sorted by the signature of its class.

use super::call::{self, Call, Value};
use super::class::{Class, Said};
use super::error::LikeError;
use crate::nearest::nearest;

/// Arguments by name; those that are not given have the default of the signature.
pub(super) struct Given {
    class: &'static Class,
    values: Vec<(String, Option<Value>)>,
}

impl Given {
    /// Sorts the arguments. A first argument called `optimizer` may be left out.
    pub fn new(class: &'static Class, call: &Call) -> Result<Self, LikeError> {
        let wrong = |message: String| LikeError::argument(class.name(), message);
        let signature = call::parse(class.signature)?;
        let required = signature.positional.into_iter().filter_map(|value| match value {
            Value::Name(name) => Some((name, None)),
            _ => None,
        });
        let with_default = signature.named.into_iter().map(|(name, value)| (name, Some(value)));
        let mut values: Vec<(String, Option<Value>)> = required.chain(with_default).collect();
        let is_left_out = |first: &Value| !matches!(first, Value::Name(_) | Value::Call(_) | Value::None);
        let skipped = usize::from(
            values.first().is_some_and(|(name, _)| name == "optimizer")
                && call.positional.first().is_some_and(is_left_out),
        );
        if call.positional.len() + skipped > values.len() {
            return Err(wrong(format!("it takes {} arguments, and there are {}", values.len(), call.positional.len())));
        }
        let mut written: Vec<&str> = Vec::new();
        for ((_, value), given) in values.iter_mut().skip(skipped).zip(&call.positional) {
            *value = Some(given.clone());
        }
        let by_position: Vec<String> =
            values.iter().skip(skipped).take(call.positional.len()).map(|(name, _)| name.clone()).collect();
        for (name, given) in &call.named {
            if by_position.contains(name) || written.contains(&name.as_str()) {
                return Err(wrong(format!("`{name}` is given twice")));
            }
            let names: Vec<String> = values.iter().map(|(name, _)| name.clone()).collect();
            let Some((_, value)) = values.iter_mut().find(|(known, _)| known == name) else {
                let known = names.iter().map(String::as_str);
                let remedy = match nearest(name, known.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        format!("there is {}", known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
                    }
                };
                return Err(wrong(format!("there is no argument `{name}`; {remedy}")));
            };
            *value = Some(given.clone());
            written.push(name);
        }
        Ok(Self { class, values })
    }

    /// Builds an error of this constructor.
    pub fn wrong(&self, message: impl Into<String>) -> LikeError {
        LikeError::argument(self.class.name(), message)
    }

    fn value(&self, name: &str) -> Result<&Value, LikeError> {
        let found = self.values.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_ref());
        match found {
            Some(Value::Name(variable)) => {
                Err(self.wrong(format!("`{name}` is the variable `{variable}`; write its value")))
            }
            Some(value) => Ok(value),
            None => Err(self.wrong(format!("it needs `{name}`"))),
        }
    }

    fn typed<T>(&self, name: &str, wanted: &str, read: impl Fn(&Value) -> Option<T>) -> Result<T, LikeError> {
        let value = self.value(name)?;
        read(value).ok_or_else(|| match value {
            Value::None => self.wrong(format!("it needs `{name}`, {wanted}")),
            _ => self.wrong(format!("`{name}` takes {wanted}")),
        })
    }

    /// Whether the argument has no value.
    pub fn is_none(&self, name: &str) -> bool {
        let found = self.values.iter().find(|(known, _)| known == name);
        matches!(found, None | Some((_, None | Some(Value::None))))
    }

    /// Returns a number.
    pub fn number(&self, name: &str) -> Result<f64, LikeError> {
        self.typed(name, "a number", |value| match value {
            Value::Number(x) => Some(*x),
            _ => None,
        })
    }

    /// Returns a number, or `otherwise` for `None`.
    pub fn number_or(&self, name: &str, otherwise: f64) -> Result<f64, LikeError> {
        if self.is_none(name) { Ok(otherwise) } else { self.number(name) }
    }

    /// Returns a whole number that is not negative.
    pub fn count(&self, name: &str) -> Result<u64, LikeError> {
        self.typed(name, "a whole number that is not negative", whole)
    }

    /// Returns a whole number, or `otherwise` for `None`.
    pub fn count_or(&self, name: &str, otherwise: u64) -> Result<u64, LikeError> {
        if self.is_none(name) { Ok(otherwise) } else { self.count(name) }
    }

    /// Returns the part of `name` that is left after `part`, which is a length within it.
    pub fn rest(&self, name: &str, part: u64) -> Result<u64, LikeError> {
        let total = self.count(name)?;
        let rest = total.checked_sub(part).filter(|rest| *rest > 0);
        rest.ok_or_else(|| {
            self.wrong(format!("`{name}` is {total}, and {part} of it are the warm-up; nothing is left"))
        })
    }

    /// Returns whether a flag is set.
    pub fn flag(&self, name: &str) -> Result<bool, LikeError> {
        self.typed(name, "True or False", |value| match value {
            Value::Bool(yes) => Some(*yes),
            Value::Number(x) => Some(*x != 0.0),
            _ => None,
        })
    }

    /// Returns text.
    pub fn text(&self, name: &str) -> Result<String, LikeError> {
        self.typed(name, "text in quotes", |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Returns one of some words.
    pub fn word(&self, name: &str, words: &[&'static str]) -> Result<&'static str, LikeError> {
        let text = self.text(name)?;
        let found = words.iter().find(|word| **word == text);
        found.copied().ok_or_else(|| self.wrong(format!("`{name}` is \"{text}\"; it can be {}", words.join(", "))))
    }

    /// Returns a list of numbers; a single number is a list of one.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, LikeError> {
        self.typed(name, "a list of numbers", |value| match value {
            Value::Number(x) => Some(vec![*x]),
            Value::List(items) => {
                items.iter().map(|item| if let Value::Number(x) = item { Some(*x) } else { None }).collect()
            }
            _ => None,
        })
    }

    /// Returns a list of whole numbers.
    pub fn counts(&self, name: &str) -> Result<Vec<u64>, LikeError> {
        self.typed(name, "a list of whole numbers", |value| match value {
            Value::List(items) => items.iter().map(whole).collect(),
            one => whole(one).map(|one| vec![one]),
        })
    }

    /// Returns a table from times to numbers.
    pub fn table(&self, name: &str) -> Result<Vec<(u64, f64)>, LikeError> {
        let entry = |(at, value): &(Value, Value)| match value {
            Value::Number(x) => Some((whole(at)?, *x)),
            _ => None,
        };
        self.typed(name, "a table such as {10: 0.5}", |value| match value {
            Value::Table(entries) => entries.iter().map(entry).collect(),
            Value::None => Some(Vec::new()),
            _ => None,
        })
    }

    /// Returns the schedulers in a list, said in our terms.
    pub fn inner_list(&self, name: &str) -> Result<Vec<Said>, LikeError> {
        let calls: Vec<Call> = self.typed(name, "a list of schedulers", |value| match value {
            Value::List(items) => {
                items.iter().map(|item| if let Value::Call(call) = item { Some(call.clone()) } else { None }).collect()
            }
            _ => None,
        })?;
        calls.iter().map(|call| super::read(call).map(|(_, said)| said)).collect()
    }

    /// Returns the scheduler that is an argument, said in our terms.
    pub fn inner(&self, name: &str) -> Result<Said, LikeError> {
        let call = self.typed(name, "a scheduler", |value| match value {
            Value::Call(call) => Some(call.clone()),
            _ => None,
        })?;
        super::read(&call).map(|(_, said)| said)
    }

    /// Returns tables from names to values.
    pub fn tables(&self, name: &str) -> Result<Vec<Vec<(String, f64)>>, LikeError> {
        let entry = |(key, value): &(Value, Value)| match (key, value) {
            (Value::Text(key), Value::Number(x)) => Some((key.clone(), *x)),
            _ => None,
        };
        self.typed(name, "a list of tables such as {\"peak_value\": 0.1}", |value| match value {
            Value::List(tables) => {
                let entries = tables.iter().map(|table| match table {
                    Value::Table(entries) => entries.iter().map(entry).collect(),
                    _ => None,
                });
                entries.collect()
            }
            _ => None,
        })
    }

    /// Returns a list of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, LikeError> {
        self.typed(name, "a list of texts in quotes", |value| match value {
            Value::List(items) => {
                items.iter().map(|item| if let Value::Text(text) = item { Some(text.clone()) } else { None }).collect()
            }
            _ => None,
        })
    }

    /// Reads another class with those of these arguments that have a value, and with those in a table.
    pub fn hand_on(&self, path: &str, names: &[&str], table: &str) -> Result<Said, LikeError> {
        let value =
            |name: &str| self.values.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
        let is_given = |value: &Value| *value != Value::None;
        let own = names.iter().filter_map(|name| Some(((*name).to_owned(), value(name).filter(is_given)?)));
        let mut named: Vec<(String, Value)> = own.collect();
        for (key, value) in match value(table).filter(is_given) {
            None => Vec::new(),
            Some(Value::Table(entries)) => entries,
            Some(_) => return Err(self.wrong(format!("`{table}` takes a table such as {{\"num_cycles\": 2}}"))),
        } {
            let Value::Text(key) = key else { return Err(self.wrong(format!("a key of `{table}` is not text"))) };
            named.push((key, value));
        }
        super::read(&Call { path: path.to_owned(), positional: Vec::new(), named }).map(|(_, said)| said)
    }
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(x) if x.fract() == 0.0 && (0.0..9e15).contains(x) => Some(*x as u64),
        _ => None,
    }
}
