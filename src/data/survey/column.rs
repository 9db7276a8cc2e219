//! A column of a table, as far as it was looked at.

use std::collections::BTreeMap;

use super::super::looks::look;

/// A column of a table, as far as it was looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnSurvey {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Whether an earlier column has the same name.
    pub is_double: bool,
    /// How many values are missing.
    pub missing: usize,
    /// The first row without a value, from 0.
    pub first_missing: Option<usize>,
    /// How many values there are.
    pub present: usize,
    /// How many different values there are.
    pub distinct: usize,
    /// How many values are finite numbers.
    pub numbers: usize,
    /// The different values that are no numbers, each with its first row, in the order of the rows.
    pub words: Vec<(String, usize)>,
    /// The first value.
    pub example: Option<String>,
    /// The first value that looks like something else than a name, and its look, where nearly all words look so.
    pub look: Option<(String, &'static str)>,
    /// A number that is written with zeros in front, as codes are.
    pub padded: Option<String>,
    /// Whether all values are whole numbers from 0 up.
    pub is_counting: bool,
    /// The smallest number.
    pub smallest: f64,
    /// The largest number.
    pub largest: f64,
}

impl ColumnSurvey {
    /// The column of these values, in which nothing is missing.
    pub(super) fn of<'a>(
        name: Option<String>,
        is_double: bool,
        values: impl Iterator<Item = Option<&'a str>> + Clone,
    ) -> Self {
        let mut firsts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut numbers = Vec::new();
        let (mut missing, mut present) = (0, 0);
        for (row, value) in values.clone().enumerate() {
            let Some(value) = value else {
                missing += 1;
                continue;
            };
            present += 1;
            firsts.entry(value).or_insert(row);
            numbers.extend(number(value));
        }
        let mut words: Vec<(String, usize)> =
            firsts.iter().filter(|(word, _)| !is_number(word)).map(|(word, row)| ((*word).to_owned(), *row)).collect();
        words.sort_by_key(|(_, row)| *row);
        let is_padded =
            |word: &&&str| word.len() > 1 && word.starts_with('0') && word.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            name,
            is_double,
            missing,
            first_missing: values.clone().position(|value| value.is_none()),
            present,
            distinct: firsts.len(),
            numbers: numbers.len(),
            look: common_look(&words),
            words,
            example: values.clone().flatten().next().map(str::to_owned),
            padded: firsts.keys().find(is_padded).map(|word| (**word).to_owned()),
            is_counting: numbers.len() == present && numbers.iter().all(|x| *x >= 0.0 && x.fract() == 0.0),
            smallest: numbers.iter().copied().fold(f64::INFINITY, f64::min),
            largest: numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// Whether there are values, and all are numbers.
    pub fn is_numeric(&self) -> bool {
        self.present > 0 && self.numbers == self.present
    }
}

/// The number that a table would read, where it is one.
fn number(value: &str) -> Option<f64> {
    value.parse::<f32>().ok().filter(|number| number.is_finite())?;
    value.parse().ok()
}

/// Whether a table reads the value as a number.
pub(super) fn is_number(value: &str) -> bool {
    number(value).is_some()
}

/// The first word with the look that nearly all `words` have.
fn common_look(words: &[(String, usize)]) -> Option<(String, &'static str)> {
    let looks: Vec<(String, &'static str)> =
        words.iter().filter_map(|(word, _)| Some((word.clone(), look(word)?.what))).collect();
    (!looks.is_empty() && looks.len() * 10 >= words.len() * 9).then(|| looks[0].clone())
}
