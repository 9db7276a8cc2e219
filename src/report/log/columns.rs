//! The columns of a log as a table. Those of validations are only in some of its lines, so the log is read once for the
//! columns, and once more for the rows.

use super::line::Field;
use super::row::without_null;

/// The type of a column's values: the narrowest that takes all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Only empty values.
    Empty,
    /// `true` or `false`.
    Boolean,
    /// 64-bit integers with a sign.
    Integer,
    /// 64-bit floats.
    Float,
    /// Anything.
    Text,
}

impl Kind {
    fn of(value: &str) -> Self {
        match value {
            "null" => Self::Empty,
            "true" | "false" => Self::Boolean,
            _ if value.starts_with('"') => Self::Text,
            _ if value.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => Self::Float,
            _ if value.len() < 18 || value.parse::<i64>().is_ok() => Self::Integer,
            _ => Self::Float,
        }
    }

    /// Returns the type of a column with values of both types.
    fn and(self, other: Self) -> Self {
        match self.min(other) {
            low if low == self.max(other) || low == Self::Empty || low == Self::Integer => self.max(other),
            _ => Self::Text,
        }
    }

    /// Returns the type of a column of this one with one more value. Every number is a float.
    fn with(self, value: &str) -> Self {
        match self {
            Self::Float if value.starts_with(|first: char| first.is_ascii_digit() || first == '-') => self,
            _ => self.and(Self::of(value)),
        }
    }
}

/// A field of the log: a column, or one for each element of its lists.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    /// Length of the longest list; 0 if its values are no lists.
    elements: usize,
    kind: Kind,
}

/// The columns, in the order in which the log first has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    fields: Vec<Named>,
}

impl Columns {
    /// Adds the fields of a line.
    pub fn see(&mut self, fields: &[Field<'_>]) {
        for (place, (name, value)) in fields.iter().enumerate() {
            let field = self.field(place, name);
            match list(value) {
                Some(items) => {
                    let (mut count, mut kind) = (0, field.kind);
                    for item in items {
                        (count, kind) = (count + 1, kind.with(item));
                    }
                    (field.elements, field.kind) = (field.elements.max(count), kind);
                }
                None => field.kind = field.kind.with(value),
            }
        }
    }

    /// Adds the columns of a later part of the log.
    pub fn merge(&mut self, later: &Self) {
        for (place, new) in later.fields.iter().enumerate() {
            let field = self.field(place, &new.name);
            (field.elements, field.kind) = (field.elements.max(new.elements), field.kind.and(new.kind));
        }
    }

    /// Returns the field of this name, which is added if it is new.
    fn field(&mut self, expected: usize, name: &str) -> &mut Named {
        let place = self.place(expected, name).unwrap_or_else(|| {
            self.fields.push(Named { name: name.to_owned(), elements: 0, kind: Kind::Empty });
            self.fields.len() - 1
        });
        &mut self.fields[place]
    }

    /// Returns the place of a field, which is usually the one that it has in its line.
    fn place(&self, expected: usize, name: &str) -> Option<usize> {
        let is_there = self.fields.get(expected).is_some_and(|field| field.name == name);
        if is_there { Some(expected) } else { self.fields.iter().position(|field| field.name == name) }
    }

    /// Returns the name and the type of each column.
    pub fn all(&self) -> Vec<(String, Kind)> {
        let columns = self.fields.iter().flat_map(|field| {
            let name = |element: usize| match field.elements {
                0 | 1 => field.name.clone(),
                _ => format!("{}.{element}", field.name),
            };
            (0..field.elements.max(1)).map(move |element| (name(element), field.kind))
        });
        columns.collect()
    }

    /// Returns, for each field of the columns, its number in a line, and the number of its columns.
    pub fn places(&self, fields: &[Field<'_>]) -> impl Iterator<Item = (Option<usize>, usize)> {
        let mut next = 0;
        self.fields.iter().map(move |field| {
            // Lines have their fields in the order of the columns, unless another program has written them.
            let place = match fields.get(next) {
                Some((name, _)) if *name == field.name => {
                    next += 1;
                    Some(next - 1)
                }
                _ if next == fields.len() => None,
                _ => fields.iter().position(|(name, _)| *name == field.name),
            };
            (place, field.elements.max(1))
        })
    }

    /// Gives each column of a line to `cell`, in order: its number, and its value as JSON, which is empty if the line has
    /// none. Returns whether each value of the line has a column; others are left out.
    pub fn cells(&self, fields: &[Field<'_>], mut cell: impl FnMut(usize, &str)) -> bool {
        let (mut number, mut found, mut is_whole) = (0, 0, true);
        for (place, cells) in self.places(fields) {
            let value = place.and_then(|place| fields.get(place)).map(|(_, value)| *value);
            found += usize::from(value.is_some());
            let end = number + cells;
            match value.map(|value| (value, list(value))) {
                Some((_, Some(mut items))) => {
                    for item in items.by_ref().take(end - number) {
                        cell(number, without_null(item));
                        number += 1;
                    }
                    is_whole &= items.next().is_none();
                }
                Some((value, None)) => {
                    cell(number, without_null(value));
                    number += 1;
                }
                None => {}
            }
            while number < end {
                cell(number, "");
                number += 1;
            }
        }
        is_whole && found == fields.len()
    }
}

/// Returns the elements of a list.
pub(super) fn list(value: &str) -> Option<impl Iterator<Item = &str>> {
    let items = value.strip_prefix('[')?.strip_suffix(']')?;
    Some(items.split(',').filter(|item| !item.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &Columns, fields: &[Field<'_>]) -> Vec<String> {
        let mut row = Vec::new();
        columns.cells(fields, |number, cell| {
            assert_eq!(number, row.len());
            row.push(cell.to_owned());
        });
        row
    }

    #[test]
    fn columns_of_parts_are_those_of_the_whole() {
        let lines = [
            vec![("step", "0"), ("lr", "[0.1,1]"), ("loss", "null")],
            vec![("step", "1"), ("lr", "[0.1]"), ("loss", "1"), ("skipped", "true")],
            vec![("step", "2"), ("lr", "[0.1,2,3]"), ("loss", "1.5"), ("val_loss", "1")],
            vec![("val_loss", "\"none\""), ("step", "3")],
        ];
        for split in 0..=lines.len() {
            let (mut whole, mut first, mut later) = (Columns::default(), Columns::default(), Columns::default());
            lines.iter().for_each(|line| whole.see(line));
            lines.iter().take(split).for_each(|line| first.see(line));
            lines.iter().skip(split).for_each(|line| later.see(line));
            first.merge(&later);
            assert_eq!(first.all(), whole.all());
        }
    }

    #[test]
    fn a_list_has_a_column_for_each_element_and_what_a_line_lacks_is_empty() {
        let mut columns = Columns::default();
        let lines = [
            vec![("step", "0"), ("lr", "[0.1,1]"), ("loss", "0.5")],
            vec![("step", "1"), ("lr", "[0.1,2]"), ("val_loss", "1e-3"), ("loss", "null"), ("skipped", "true")],
        ];
        lines.iter().for_each(|line| columns.see(line));
        let expected = [
            ("step", Kind::Integer),
            ("lr.0", Kind::Float),
            ("lr.1", Kind::Float),
            ("loss", Kind::Float),
            ("val_loss", Kind::Float),
            ("skipped", Kind::Boolean),
        ];
        assert_eq!(columns.all(), expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert_eq!(row(&columns, &lines[0]), ["0", "0.1", "1", "0.5", "", ""]);
        assert_eq!(row(&columns, &lines[1]), ["1", "0.1", "2", "", "1e-3", "true"]);
        // As other programs write them: another order, a field that no line had, a longer list.
        let other = [("loss", "0.5"), ("more", "1"), ("lr", "[1,2,3]"), ("step", "2")];
        assert_eq!(row(&columns, &other), ["2", "1", "2", "0.5", "", ""]);
    }

    #[test]
    fn a_list_of_one_has_the_name_of_its_field() {
        let mut columns = Columns::default();
        columns.see(&[("step", "9223372036854775808"), ("lr", "[0.1]"), ("more", "true")]);
        columns.see(&[("step", "1"), ("more", "1"), ("name", "\"a\"")]);
        let expected = [("step", Kind::Float), ("lr", Kind::Float), ("more", Kind::Text), ("name", Kind::Text)];
        assert_eq!(columns.all(), expected.map(|(name, kind)| (name.to_owned(), kind)));
    }
}
