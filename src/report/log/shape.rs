//! The shape of a line: all of it but its numbers. The lines of a log are alike, so most of them are read by comparing
//! them with the line before, which takes a fraction of the time of finding their fields.

use super::json::length_of_number;
use super::line::{Field, is_step};

/// All of a line but its numbers.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    numbers: Vec<Number>,
    /// The text after the last number, with the line break.
    end: Text,
}

/// The place of a number.
#[derive(Clone, Debug)]
struct Number {
    /// The text between it and the number before.
    before: Text,
    /// The field that it is in.
    field: usize,
    /// Whether that is a list, and whether it is the first number in it.
    is_in_list: bool,
    is_first: bool,
    /// Whether it is the number of the step, which has to be a whole one.
    is_step: bool,
}

/// A text to compare with, and its beginning as a number.
#[derive(Clone, Debug)]
struct Text {
    text: Vec<u8>,
    beginning: u128,
    mask: u128,
}

impl Text {
    fn of(text: &[u8]) -> Self {
        let (mut beginning, mut mask) = ([0; 16], [0; 16]);
        for ((place, masked), byte) in beginning.iter_mut().zip(&mut mask).zip(text) {
            (*place, *masked) = (*byte, u8::MAX);
        }
        Self { text: text.to_vec(), beginning: u128::from_le_bytes(beginning), mask: u128::from_le_bytes(mask) }
    }

    /// Returns its length if `bytes` begin with it.
    fn length_in(&self, bytes: &[u8]) -> Option<usize> {
        let is_there = match bytes.first_chunk::<16>() {
            Some(first) if (u128::from_le_bytes(*first) ^ self.beginning) & self.mask != 0 => false,
            Some(_) if self.text.len() <= 16 => true,
            _ => bytes.starts_with(&self.text),
        };
        is_there.then_some(self.text.len())
    }
}

impl Number {
    /// Returns the length of the number at the beginning of `bytes`, if it may be here.
    fn length_in(&self, bytes: &[u8]) -> Option<usize> {
        let length = length_of_number(bytes)?;
        let may_be_here = !self.is_step || bytes.get(..length).is_some_and(is_step);
        may_be_here.then_some(length)
    }
}

impl Shape {
    /// Returns the shape of a line without spaces that consists of these fields; `None` if it has a list with words.
    pub fn of(line: &str, fields: &[Field<'_>]) -> Option<Self> {
        let (mut numbers, mut place, mut text) = (Vec::new(), 0, Vec::new());
        let mut add = |text: &mut Vec<u8>, field, is_in_list, is_first, is_step| {
            numbers.push(Number { before: Text::of(text), field, is_in_list, is_first, is_step });
            text.clear();
        };
        for (field, (name, value)) in fields.iter().enumerate() {
            // A brace or a comma before the name, its quotes and a colon.
            let begin = place + name.len() + 4;
            text.extend_from_slice(line.as_bytes().get(place..begin)?);
            place = begin + value.len();
            match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) if !list.is_empty() => {
                    text.push(b'[');
                    for (element, item) in list.split(',').enumerate() {
                        if element > 0 {
                            text.push(b',');
                        }
                        length_of_number(item.as_bytes())?;
                        add(&mut text, field, true, element == 0, false);
                    }
                    text.push(b']');
                }
                None if length_of_number(value.as_bytes()).is_some() => {
                    add(&mut text, field, false, true, *name == "step")
                }
                _ => text.extend_from_slice(value.as_bytes()),
            }
        }
        text.extend_from_slice(b"}\n");
        Some(Self { numbers, end: Text::of(&text) })
    }

    /// Returns the length of the line at the beginning of `bytes`, with its line break, if it has this shape.
    pub fn length_in(&self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        for number in &self.numbers {
            at += number.before.length_in(bytes.get(at..)?)?;
            at += number.length_in(bytes.get(at..)?)?;
        }
        Some(at + self.end.length_in(bytes.get(at..)?)?)
    }

    /// Returns the length of the line at the beginning of `text`, with its line break, if it has this shape; its values
    /// are then in `fields`, which were those of the line before. Otherwise some of the values there are wrong.
    pub fn read<'a>(&self, text: &'a str, fields: &mut [Field<'a>]) -> Option<usize> {
        let bytes = text.as_bytes();
        let (mut at, mut begin) = (0, 0);
        for number in &self.numbers {
            let start = at + number.before.length_in(bytes.get(at..)?)?;
            at = start + number.length_in(bytes.get(start..)?)?;
            let bracket = usize::from(number.is_in_list);
            if number.is_first {
                begin = start - bracket;
            }
            fields.get_mut(number.field)?.1 = text.get(begin..at + bracket)?;
        }
        Some(at + self.end.length_in(bytes.get(at..)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::fields;
    use super::*;

    fn shape(line: &str) -> (Option<Shape>, Vec<Field<'_>>) {
        let mut found = Vec::new();
        fields(line, &mut found).unwrap();
        (Shape::of(line, &found), found)
    }

    #[test]
    fn a_line_with_other_numbers_has_the_same_shape() {
        let line =
            "{\"step\":3,\"lr\":[0.1,-2e-7],\"note\":\"a,1]\",\"loss\":null,\"none\":[],\"a_rather_long_name\":0.5}";
        let (shape, mut found) = shape(line);
        let other = line.replace(":3", ":12345678").replace("-2e-7", "3").replace("0.5", "0.123456789012345678");
        let expected = ["12345678", "[0.1,3]", "\"a,1]\"", "null", "[]", "0.123456789012345678"];
        let both = format!("{other}\n{line}\n");
        let shape = shape.unwrap();
        assert_eq!(shape.length_in(both.as_bytes()), Some(other.len() + 1));
        assert_eq!(shape.read(&both, &mut found), Some(other.len() + 1));
        assert_eq!(found.iter().map(|(_, value)| *value).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_line_of_any_other_shape_is_not_read() {
        let line = "{\"step\":3,\"lr\":[0.1,2],\"loss\":0.5}";
        let (shape, found) = shape(line);
        let shape = shape.unwrap();
        let others = [
            "{\"step\":3,\"lr\":[0.1],\"loss\":0.5}\n",
            "{\"step\":3,\"lr\":[0.1,2,3],\"loss\":0.5}\n",
            "{\"step\":3,\"lr\":[0.1,null],\"loss\":0.5}\n",
            "{\"step\":3,\"lr\":[0.1,2],\"lost\":0.5}\n",
            "{\"step\":3,\"lr\":[0.1,2],\"loss\":.5}\n",
            "{\"step\":3.5,\"lr\":[0.1,2],\"loss\":0.5}\n",
            "{\"step\":-3,\"lr\":[0.1,2],\"loss\":0.5}\n",
            "{\"step\":3,\"lr\":[0.1,2],\"loss\":-}\n",
            "{\"step\":3,\"lr\":[0.1,2],\"loss\":\u{e9}}\n",
            "{\"step\":3,\"lr\":[0.1,2],\"loss\":0.5,\"more\":1}\n",
            "{\"step\":3,\"lr\":[0.1,2],\"loss\":0.5} \n",
            "{\"step\":3,\"lr\":[0.1,2],\"loss\":0.5}",
            "{\"step\":3,\"lr\":[0.1,2",
            "",
        ];
        for other in others {
            assert_eq!(shape.length_in(other.as_bytes()), None, "{other}");
            assert_eq!(shape.read(other, &mut found.clone()), None, "{other}");
        }
        assert!(super::tests::shape("{\"step\":3,\"lr\":[0.1,null]}").0.is_none());
    }
}
