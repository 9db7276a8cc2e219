//! A column with a list of numbers in each row, such as an embedding: all lists have one length, and each place in them
//! is a feature.

use super::Problem;
use super::value::Number;

/// Maximal number of places. More in each row is an image or a sound, and not a column of a table.
pub(super) const LONGEST: usize = 1 << 20;

/// The lists of a column, row after row.
#[derive(Debug)]
pub(super) struct Lists {
    width: usize,
    /// List after list; NaN for missing numbers.
    numbers: Vec<f64>,
}

impl Lists {
    /// Creates it for lists of `width` numbers, after some rows without a list.
    pub fn new(width: usize, missing: usize) -> Result<Self, Problem> {
        match width {
            0 => Err(Problem::EmptyList),
            1..=LONGEST => Ok(Self { width, numbers: vec![f64::NAN; width * missing] }),
            _ => Err(Problem::ListTooLong { found: width }),
        }
    }

    /// Adds the list of the next row.
    pub fn push(&mut self, list: &[Option<Number>]) -> Result<(), Problem> {
        if list.len() != self.width {
            return Err(Problem::OtherLength { found: list.len(), expected: self.width });
        }
        for number in list {
            self.numbers.push(number.map_or(Ok(f64::NAN), Number::value)?);
        }
        Ok(())
    }

    /// Adds a row without a list.
    pub fn push_missing(&mut self) {
        self.numbers.resize(self.numbers.len() + self.width, f64::NAN);
    }

    /// Returns the number of places.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the lower bound of the bytes of the lists.
    pub fn bytes(&self) -> usize {
        self.numbers.len() * 8
    }

    /// Returns the list of each row.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.numbers.chunks_exact(self.width)
    }

    /// Returns the number at one place of each list.
    pub fn at(&self, place: usize) -> Vec<f64> {
        self.numbers.iter().skip(place).step_by(self.width).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(numbers: &[f64]) -> Vec<Option<Number>> {
        numbers.iter().map(|&number| Some(Number::Double(number)).filter(|_| !number.is_nan())).collect()
    }

    #[test]
    fn each_place_of_the_lists_is_a_feature() {
        let mut lists = Lists::new(2, 1).unwrap();
        lists.push(&list(&[1.0, 2.0])).unwrap();
        lists.push_missing();
        lists.push(&list(&[f64::NAN, 4.0])).unwrap();
        let at = lists.at(1);
        assert!(at[0].is_nan() && at[2].is_nan());
        assert_eq!((at[1], at[3]), (2.0, 4.0));
        assert_eq!(lists.rows().map(|row| row.iter().filter(|x| x.is_nan()).count()).collect::<Vec<_>>(), [2, 0, 2, 1]);
    }

    #[test]
    fn lists_of_other_lengths_are_refused() {
        let mut lists = Lists::new(2, 0).unwrap();
        let problem = lists.push(&list(&[1.0, 2.0, 3.0])).unwrap_err();
        assert!(problem.to_string().starts_with("a list of 3 numbers, where 2 are expected"), "{problem}");
        assert!(Lists::new(0, 3).is_err() && Lists::new(LONGEST + 1, 0).is_err());
    }
}
