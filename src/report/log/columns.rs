//! The columns of a log as a table. Those of validations are only in some of its lines, so the log is read once for the
//! columns, and once more for the rows.

use super::line::Field;

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
            _ if value.contains(['.', 'e', 'E']) => Self::Float,
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
            let place = self.place(place, name).unwrap_or_else(|| {
                self.fields.push(Named { name: (*name).to_owned(), elements: 0, kind: Kind::Empty });
                self.fields.len() - 1
            });
            let field = &mut self.fields[place];
            match list(value) {
                Some(items) => {
                    let (mut count, mut kind) = (0, field.kind);
                    for item in items {
                        (count, kind) = (count + 1, kind.and(Kind::of(item)));
                    }
                    (field.elements, field.kind) = (field.elements.max(count), kind);
                }
                None => field.kind = field.kind.and(Kind::of(value)),
            }
        }
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

    /// Returns the value of each column in a line: JSON, and empty if there is none.
    pub fn row<'a>(&self, fields: &[Field<'a>]) -> Vec<&'a str> {
        let starts: Vec<usize> =
            self.fields.iter().scan(0, |at, field| Some(std::mem::replace(at, *at + field.elements.max(1)))).collect();
        let width = self.fields.iter().map(|field| field.elements.max(1)).sum();
        let mut row = vec![""; width];
        for (place, (name, value)) in fields.iter().enumerate() {
            let Some(start) = self.place(place, name).and_then(|place| starts.get(place)) else { continue };
            match list(value) {
                Some(items) => row.iter_mut().skip(*start).zip(items).for_each(|(cell, item)| *cell = item),
                None => row[*start] = value,
            }
        }
        row.iter_mut().filter(|cell| **cell == "null").for_each(|cell| *cell = "");
        row
    }
}

/// Returns the elements of a list.
fn list(value: &str) -> Option<impl Iterator<Item = &str>> {
    let items = value.strip_prefix('[')?.strip_suffix(']')?;
    Some(items.split(',').filter(|item| !item.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(columns.row(&lines[0]), ["0", "0.1", "1", "0.5", "", ""]);
        assert_eq!(columns.row(&lines[1]), ["1", "0.1", "2", "", "1e-3", "true"]);
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
