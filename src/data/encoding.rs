//! Conversion of columns to numbers, and its state computed from the training rows: the replacements of missing values,
//! and the categories.

mod encoder;
mod kind;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{EncodingError, MOST_CATEGORIES};
use super::frame::{Frame, Role};
use super::options::{CategoryEncoding, Missing};
use super::{DataError, RowSet, remarks};
use crate::state::StateError;
use kind::Kind;

pub(in crate::data) use encoder::Unseen;

/// The conversion of every column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encoding {
    /// In a checkpoint, empty if all columns are numbers without missing values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<ColumnEncoding>,
    /// The names of the classes, if they have names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<String>>,
    /// Precision of numbers before standardization.
    #[serde(default, skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
    /// Whether texts of missing values that are numbers were compared as numbers, and some were; in runs of earlier versions
    /// they were compared as words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing_by_number: bool,
}

/// Whether the saved state of an encoding says that texts of missing values were compared as numbers.
pub(super) fn missing_by_number(saved: &Value) -> bool {
    saved["missing_by_number"] == Value::Bool(true)
}

/// Precision of a row's numbers before they are standardized and rounded to 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Precision {
    /// They are rounded twice, as in runs of earlier versions, whose checkpoints lack this entry and which continue in
    /// this way. Without standardization it is equivalent to the other.
    #[default]
    #[serde(rename = "f32")]
    Single,
    #[serde(rename = "f64")]
    Double,
}

impl Precision {
    fn is_single(&self) -> bool {
        *self == Self::Single
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnEncoding {
    name: String,
    encoding: Kind,
}

/// Options of an encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncodingOptions {
    pub missing: Missing,
    pub indicator: bool,
    pub encoding: CategoryEncoding,
    /// As in the encoding.
    pub missing_by_number: bool,
}

impl Encoding {
    /// Computes the encoding from the rows `train` of `frame`.
    pub fn learn(frame: &Frame, train: &RowSet, options: EncodingOptions) -> Result<Self, DataError> {
        if frame.columns.is_empty() {
            return Err(EncodingError::NoColumns.into());
        }
        let columns = frame.columns.iter().map(|column| {
            let no_value = || EncodingError::NoValue { column: column.name.clone() };
            let kind = Kind::learned(&column.cells, train, options).ok_or_else(no_value)?;
            if let Kind::OneHot { categories } = &kind
                && categories.len() > MOST_CATEGORIES
            {
                let (column, categories) = (column.name.clone(), categories.len());
                return Err(EncodingError::TooManyCategories { column, categories });
            }
            Ok(ColumnEncoding { name: column.name.clone(), encoding: kind })
        });
        let (columns, classes) = (columns.collect::<Result<_, _>>()?, frame.classes.clone());
        let missing_by_number = options.missing_by_number;
        Ok(Self { columns, classes, precision: Precision::Single, missing_by_number })
    }

    /// Returns the names of the classes, if they have names.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// Returns the categories of the column at `place`, if it has categories.
    pub fn categories(&self, place: usize) -> Option<&[String]> {
        self.columns.get(place).and_then(|column| column.encoding.categories())
    }

    /// Returns the remark about `unseen` categories of the column at `place`, in `rows` rows.
    pub fn remark(&self, place: usize, unseen: &Unseen, rows: usize) -> Option<String> {
        let ColumnEncoding { name, encoding } = self.columns.get(place)?;
        let known = encoding.categories().unwrap_or_default();
        Some(remarks::of_unseen(name, &unseen.example, unseen.rows, rows, known))
    }

    /// Returns the number of numbers per row.
    pub fn width(&self) -> usize {
        self.columns.iter().map(|column| column.encoding.width()).sum()
    }

    /// Returns the name of each number of a row: that of its column, with the category of a one-hot number, or the place
    /// in a list.
    #[cfg(feature = "peers")]
    pub fn number_names(&self) -> Vec<String> {
        self.columns.iter().flat_map(|column| column.encoding.number_names(&column.name)).collect()
    }

    /// Returns which numbers of a row are continuous; the others are yes or no, and keep their 0 and 1.
    pub fn measures(&self) -> Vec<bool> {
        self.columns.iter().flat_map(|column| column.encoding.measures()).collect()
    }

    /// Returns the saved state; empty if every column is numbers without missing values, and classes have no names.
    pub fn save(&self) -> Result<Value, StateError> {
        let plain = |column: &ColumnEncoding| column.encoding == Kind::PLAIN;
        let is_plain = self.columns.iter().all(plain);
        if is_plain && self.classes.is_none() && self.precision == Precision::Single && !self.missing_by_number {
            return Ok(Value::Null);
        }
        let columns = if is_plain { Vec::new() } else { self.columns.clone() };
        Ok(serde_json::to_value(Self { columns, classes: self.classes.clone(), ..*self })?)
    }

    /// Reads the encoding in a checkpoint; `names` are used if all columns are numbers.
    fn read<'a>(json: &Value, names: impl Iterator<Item = &'a str>) -> Result<Self, StateError> {
        let mut saved = if json.is_null() { Self::default() } else { Self::deserialize(json)? };
        if saved.columns.is_empty() {
            let plain = |name: &str| ColumnEncoding { name: name.to_owned(), encoding: Kind::PLAIN };
            saved.columns = names.map(plain).collect();
        }
        match saved.columns.iter().find(|column| !column.encoding.is_valid()) {
            Some(column) => {
                Err(StateError::Malformed(format!("the encoding of column `{}` is not valid", column.name)))
            }
            None => Ok(saved),
        }
    }

    /// Restores the encoding of the columns of these names from a checkpoint, if there is no other one yet.
    pub fn restore(json: &Value, names: &[&str]) -> Result<Self, StateError> {
        let saved = Self::read(json, names.iter().copied())?;
        let own: Vec<&str> = saved.columns.iter().map(|column| column.name.as_str()).collect();
        if own != names {
            let (what, saved, expected) = ("the list of columns".to_owned(), own.join(", "), names.join(", "));
            return Err(StateError::Mismatch { what, saved, expected });
        }
        Ok(saved)
    }

    /// Returns the names of the columns with their kinds.
    pub fn roles(&self) -> impl Iterator<Item = (String, Role)> {
        self.columns.iter().map(|column| {
            let role = match column.encoding {
                Kind::Number { .. } => Role::Number,
                Kind::OneHot { .. } | Kind::Ordinal { .. } => Role::Category,
                Kind::List { width, .. } => Role::List(width),
            };
            (column.name.clone(), role)
        })
    }

    /// Loads the encoding in a checkpoint, for the same columns as this one.
    pub fn load(&self, json: &Value) -> Result<Self, StateError> {
        let saved = Self::read(json, self.columns.iter().map(|column| column.name.as_str()))?;
        let columns = |encoding: &Self| -> Vec<String> {
            encoding.columns.iter().map(|column| format!("{} {}", column.encoding.words(), column.name)).collect()
        };
        if columns(&saved) != columns(self) {
            let (saved, expected) = (columns(&saved).join(", "), columns(self).join(", "));
            return Err(StateError::Mismatch { what: "the list of columns".to_owned(), saved, expected });
        }
        if saved.classes.is_some() != self.classes.is_some() {
            let names = |encoding: &Self| encoding.classes.as_ref().map_or("none".to_owned(), |names| names.join(", "));
            let (saved, expected) = (names(&saved), names(self));
            return Err(StateError::Mismatch { what: "the list of names of classes".to_owned(), saved, expected });
        }
        if saved.width() == 0 {
            return Err(StateError::Malformed("no column has a category".to_owned()));
        }
        Ok(saved)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Split;
    use super::super::builder::Builder;
    use super::super::frame::{FrameOptions, Role};
    use super::super::labels::LabelKind;
    use super::super::missing::MissingTexts;
    use super::super::options::Decimal;
    use super::super::value::{Number, Value};
    use super::*;

    /// Encodes a table of one feature, whose last row is not a training row.
    fn learned(cells: &[&str], options: EncodingOptions) -> Result<(Encoding, Vec<f64>), DataError> {
        let empty = || MissingTexts::new(&[String::new()], Decimal::Point);
        let frame_options = FrameOptions {
            labels: LabelKind::Values,
            missing_labels: MissingTexts::default(),
            classes: None,
            transform: None,
            missing_values: (options.missing != Missing::Error).then(empty),
            decimal: Decimal::Point,
            has_begun: false,
        };
        let columns = [("x".to_owned(), Role::Feature), ("y".to_owned(), Role::Target(0))];
        let mut builder = Builder::new(columns, frame_options);
        for cell in cells {
            builder.push(0, Value::Text(cell)).unwrap();
            builder.push(1, Value::Number(Number::Single(0.0))).unwrap();
        }
        let frame = builder.finish(std::path::Path::new("a"), vec!["column `y`".to_owned()]).unwrap();
        let split = Split::last(cells.len(), 1).unwrap();
        let encoding = Encoding::learn(&frame, split.train(), options)?;
        let values = encoding.encoder(&frame.columns).encode(0..cells.len());
        Ok((encoding, values))
    }

    const PLAIN: EncodingOptions = EncodingOptions {
        missing: Missing::Error,
        indicator: false,
        encoding: CategoryEncoding::OneHot,
        missing_by_number: false,
    };

    #[test]
    fn a_missing_number_is_replaced_by_what_the_training_rows_say() {
        let cells = ["1", "", "2", "9", "1e9"];
        for (missing, fill) in [(Missing::Mean, 4.0), (Missing::Median, 2.0), (Missing::Zero, 0.0)] {
            let (encoding, values) = learned(&cells, EncodingOptions { missing, ..PLAIN }).unwrap();
            assert_eq!(values, [1.0, fill, 2.0, 9.0, 1e9]);
            assert_eq!(encoding.load(&encoding.save().unwrap()).unwrap(), encoding);
        }
        let (_, even) =
            learned(&["1", "", "2", "9", "4", "0"], EncodingOptions { missing: Missing::Median, ..PLAIN }).unwrap();
        assert_eq!(even[1], 3.0);
    }

    #[test]
    fn an_indicator_says_what_was_missing() {
        let options = EncodingOptions { missing: Missing::Zero, indicator: true, ..PLAIN };
        let (encoding, values) = learned(&["1", "", "5"], options).unwrap();
        assert_eq!((values, encoding.measures()), (vec![1.0, 0.0, 0.0, 1.0, 5.0, 0.0], vec![true, false]));
        assert_eq!(learned(&["1", "2", ""], options).unwrap().1, [1.0, 2.0, 0.0]);
    }

    #[test]
    fn categories_are_those_of_the_training_rows_in_their_order() {
        let cells = ["red", "blue", "red", "green"];
        let (encoding, values) = learned(&cells, PLAIN).unwrap();
        assert_eq!(values, [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(encoding.measures(), [false, false]);
        let (_, values) = learned(&cells, EncodingOptions { encoding: CategoryEncoding::Ordinal, ..PLAIN }).unwrap();
        assert_eq!(values, [1.0, 0.0, 1.0, -1.0]);
        let (_, values) = learned(&["red", "", "red"], EncodingOptions { missing: Missing::Zero, ..PLAIN }).unwrap();
        assert_eq!(values, [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_was_learned_replaces_what_would_be() {
        let (saved, _) = learned(&["a", "b", "c"], PLAIN).unwrap();
        let (own, _) = learned(&["c", "a", "c"], PLAIN).unwrap();
        assert_ne!(saved, own);
        assert_eq!(own.load(&saved.save().unwrap()).unwrap(), saved);
        let (number, _) = learned(&["1", "2"], PLAIN).unwrap();
        assert_eq!(number.save().unwrap(), serde_json::Value::Null);
        let message = number.load(&saved.save().unwrap()).unwrap_err().to_string();
        assert_eq!(message, "the list of columns is one-hot x in the checkpoint and number x here");
    }

    #[test]
    fn what_cannot_be_encoded_is_named_by_its_column() {
        let message =
            learned(&["", "", "1"], EncodingOptions { missing: Missing::Mean, ..PLAIN }).unwrap_err().to_string();
        assert!(message.starts_with("column `x` has no value in any training row"), "{message}");
        let names: Vec<String> = (0..1002).map(|i| format!("n{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let message = learned(&names, PLAIN).unwrap_err().to_string();
        assert!(message.starts_with("column `x` has 1001 categories, and at most 1000"), "{message}");
    }
}
