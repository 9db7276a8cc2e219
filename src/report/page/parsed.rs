//! The numbers of a part of a log, parsed by one of several threads and thinned by another.

use super::curves::{Curves, OTHERS};
use crate::report::log::LogError;
use crate::report::log::line::{self, Field};

/// The numbers of lines after each other that have the same names.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    names: Vec<(String, Option<usize>)>,
    /// The step and the epoch of each line.
    steps: Vec<(u64, Option<u64>)>,
    /// The value for each name, line after line; `None` for one that is no number.
    values: Vec<Option<f64>>,
}

impl Parsed {
    /// Parses a block of whole lines.
    pub fn all_in(block: &[u8]) -> Result<Vec<Self>, LogError> {
        let mut all: Vec<Self> = Vec::new();
        line::each_in(block, |line| {
            match all.last_mut() {
                Some(last) if line.is_like_before => last.add(line.fields),
                _ => {
                    let mut next = Self { names: names(line.fields), ..Self::default() };
                    next.add(line.fields);
                    all.push(next);
                }
            }
            Ok::<_, LogError>(())
        })?;
        Ok(all)
    }

    fn add(&mut self, fields: &[Field<'_>]) {
        let number = |name: &str| fields.iter().find(|(field, _)| *field == name)?.1.parse().ok();
        let Some(step) = number("step") else { return };
        self.steps.push((step, number("epoch")));
        self.values.extend(
            numbers(fields).map(|(_, _, text)| if text == "null" { Some(f64::NAN) } else { text.parse().ok() }),
        );
    }

    /// Adds these lines to curves.
    pub fn take_into(&self, curves: &mut Curves) {
        let mut places = vec![None; self.names.len()];
        let lines = self.values.chunks(self.names.len().max(1)).map(Some).chain(std::iter::repeat(None));
        for ((step, epoch), values) in self.steps.iter().zip(lines) {
            curves.take_step(*step, *epoch);
            let values = values.unwrap_or_default().iter().zip(&self.names).zip(&mut places);
            for ((value, (name, element)), place) in values {
                let Some(value) = value else { continue };
                let place = *place.get_or_insert_with(|| curves.place_of(0, name, *element));
                curves.push_at(place, *step, *value);
            }
        }
    }
}

fn names(fields: &[Field<'_>]) -> Vec<(String, Option<usize>)> {
    numbers(fields).map(|(name, element, _)| (name.to_owned(), element)).collect()
}

/// The values of a line that may be numbers: the name, the place in a list, and the text of each.
fn numbers<'a>(fields: &'a [Field<'a>]) -> impl Iterator<Item = (&'a str, Option<usize>, &'a str)> {
    fields.iter().filter(|(name, _)| !OTHERS.contains(name)).flat_map(|(name, value)| {
        let list = value.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        let elements = list.into_iter().flat_map(|list| list.split(',').enumerate());
        let elements = elements.map(|(element, text)| (*name, Some(element), text));
        elements.chain(list.is_none().then_some((*name, None, *value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as training writes them, and others.
    fn log() -> String {
        let line = |step: u64| match step % 97 {
            3 => format!("{{\"step\":{step},\"epoch\":1,\"lr\":[0.1,{step}],\"loss\":null,\"skipped\":true}}\n"),
            4 => "garbage\n".to_owned(),
            5 => format!("{{ \"step\": {step}, \"loss\": 0.5 }}\n"),
            6 => format!("{{\"step\":{step},\"epoch\":1,\"lr\":[0.1,null,3],\"loss\":1-2,\"note\":\"5\"}}\n"),
            7 => format!("{{\"step\":{step}.5,\"epoch\":1,\"lr\":[],\"loss\":7}}\n"),
            _ => format!("{{\"step\":{step},\"epoch\":{},\"lr\":[0.1,0.2],\"loss\":{step}.25}}\n", step / 45 + 1),
        };
        (0..1000).map(line).collect()
    }

    #[test]
    fn parts_of_a_log_give_the_curves_of_its_lines() {
        let log = log();
        let mut expected = Curves::new(300);
        line::each_in(log.as_bytes(), |line| {
            expected.take(line.fields);
            Ok::<_, LogError>(())
        })
        .unwrap();
        for lines in [1, 7, 333, 1000] {
            let mut curves = Curves::new(300);
            let all: Vec<&str> = log.split_inclusive('\n').collect();
            for part in all.chunks(lines) {
                Parsed::all_in(part.concat().as_bytes())
                    .unwrap()
                    .iter()
                    .for_each(|parsed| parsed.take_into(&mut curves));
            }
            // As text, in which a value that is not a number equals itself.
            assert_eq!(format!("{curves:?}"), format!("{expected:?}"), "parts of {lines} lines");
        }
    }
}
