//! Summary of a table's column, from the rows examined.

use std::collections::BTreeMap;

use super::super::looks::look;
use super::super::options::Decimal;

/// Summary of a table's column, from the rows examined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnSurvey {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether an earlier column has the same name.
    pub is_double: bool,
    /// Number of missing values.
    pub missing: usize,
    /// The first row without a value, from 0.
    pub first_missing: Option<usize>,
    /// Number of present values.
    pub present: usize,
    /// Number of distinct values.
    pub distinct: usize,
    /// Number of values that are finite numbers.
    pub numbers: usize,
    /// The distinct values that are not numbers, each with its first row, in the order of the rows.
    pub words: Vec<(String, usize)>,
    /// The first value.
    pub example: Option<String>,
    /// The first value in a special notation, and its description, if nearly all words have that notation.
    pub look: Option<(String, &'static str)>,
    /// A number with leading zeros, as in codes.
    pub padded: Option<String>,
    /// Whether all values are integers of at least 0.
    pub is_counting: bool,
    /// The smallest number.
    pub smallest: f64,
    /// The largest number.
    pub largest: f64,
}

impl ColumnSurvey {
    /// Creates the summary of these values in a file with this decimal mark.
    pub(super) fn of<'a>(
        name: Option<String>,
        is_double: bool,
        values: impl Iterator<Item = Option<&'a str>> + Clone,
        decimal: Decimal,
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
            look: common_look(&words, decimal),
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

/// Returns the number that a table would read, if it is one.
fn number(value: &str) -> Option<f64> {
    value.parse::<f32>().ok().filter(|number| number.is_finite())?;
    value.parse().ok()
}

/// Whether a table reads the value as a number.
pub(super) fn is_number(value: &str) -> bool {
    number(value).is_some()
}

/// Returns the first word in the notation that nearly all `words` have.
fn common_look(words: &[(String, usize)], decimal: Decimal) -> Option<(String, &'static str)> {
    let looks: Vec<(String, &'static str)> =
        words.iter().filter_map(|(word, _)| Some((word.clone(), look(word, decimal)?.what))).collect();
    (!looks.is_empty() && looks.len() * 10 >= words.len() * 9).then(|| looks[0].clone())
}
