//! One array in a `.npy` file of NumPy: versions 1 to 3, both orders of elements and of bytes.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. The header is a Python dictionary
//! of which only literals are read, so no code is run; arrays of objects, which are pickled, are refused. Elements become
//! row-major and little-endian.

use super::element::Element;

const MAGIC: &[u8] = b"\x93NUMPY";

/// A header is a few dozen bytes; one that claims more than this is damaged.
const LONGEST_HEADER: usize = 1 << 20;

/// An array, described by its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::data) struct Array {
    pub element: Element,
    pub shape: Vec<usize>,
    is_big_endian: bool,
    is_column_major: bool,
    /// Where its elements begin.
    start: usize,
}

/// Where the elements of an array are in its file, row after row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) struct Place {
    pub start: u64,
    pub is_big_endian: bool,
}

impl Array {
    /// Reads the header of an array from its first bytes.
    ///
    /// # Errors
    /// In words: it is damaged, or has elements that are not read.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        let cut = || "its header is cut off".to_owned();
        let rest = bytes.strip_prefix(MAGIC).ok_or("it does not begin as an array of NumPy")?;
        let [major, _, rest @ ..] = rest else { return Err(cut()) };
        let (length, rest) = match major {
            1 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_le_bytes(*length)), rest)),
            2 | 3 => rest.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest)),
            _ => return Err(format!("its version is {major}, and 1 to 3 are read")),
        }
        .ok_or_else(cut)?;
        if length > LONGEST_HEADER {
            return Err(format!("its header claims {length} bytes"));
        }
        let header = rest.get(..length).ok_or_else(cut)?;
        let start = bytes.len() - rest.len() + length;
        let header = std::str::from_utf8(header).map_err(|_| "its header is no text".to_owned())?;
        let Header { descr, is_column_major, shape } = Literals(header).header()?;
        let (element, is_big_endian) = element(&descr)?;
        Ok(Self { element, shape, is_big_endian, is_column_major, start })
    }

    /// Returns the number of bytes that its elements take; `None` if no memory has as many.
    pub fn size(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.element.size(), |size, &length| size.checked_mul(length))
    }

    /// Returns where the elements are in a file of this number of bytes, for reading row by row.
    ///
    /// # Errors
    /// In words: the file has more or fewer elements than the header says, or rows are not consecutive in it.
    pub fn place(&self, bytes: u64) -> Result<Place, String> {
        self.require_size(usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(self.start))?;
        if self.is_column_major && self.shape.iter().filter(|&&length| length > 1).count() > 1 {
            return Err("its elements are in the order of columns, so that a row is not in one place; save it with \
                        `numpy.ascontiguousarray`"
                .to_owned());
        }
        Ok(Place { start: self.start as u64, is_big_endian: self.is_big_endian })
    }

    /// Refuses another number of bytes after the header than the header says.
    fn require_size(&self, stored: usize) -> Result<(), String> {
        if self.size() == Some(stored) {
            return Ok(());
        }
        let size =
            self.size().map_or_else(|| "more bytes than any memory has".to_owned(), |size| format!("{size} bytes"));
        Err(format!("its {}{:?} is {size}, and {stored} follow the header", self.element, self.shape))
    }

    /// Returns the elements in `bytes`, the whole file: row-major and little-endian.
    ///
    /// # Errors
    /// In words: the file has more or fewer elements than the header says.
    pub fn elements(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let stored = bytes.get(self.start..).unwrap_or_default();
        self.require_size(stored.len())?;
        let width = self.element.size();
        let mut elements = if self.is_column_major { row_major(stored, &self.shape, width) } else { stored.to_vec() };
        if self.is_big_endian {
            elements.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        Ok(elements)
    }
}

/// Returns elements of `width` bytes in the order in which the last index changes fastest, from the other one.
fn row_major(stored: &[u8], shape: &[usize], width: usize) -> Vec<u8> {
    let mut strides = vec![width; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let (mut elements, mut index, mut place) = (Vec::with_capacity(stored.len()), vec![0; shape.len()], 0);
    while elements.len() < stored.len() {
        elements.extend_from_slice(&stored[place..place + width]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    elements
}

/// Returns the type of elements, and whether they are big-endian, by NumPy's name of the type, such as `<f4`.
fn element(descr: &str) -> Result<(Element, bool), String> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or_default();
    let element = match kind {
        "b1" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => {
            return Err(format!(
                "its elements are {}; save numbers, for example with `.astype(\"float32\")`",
                name(descr)
            ));
        }
    };
    match order {
        "<" | "|" => Ok((element, false)),
        ">" => Ok((element, true)),
        "=" => Ok((element, cfg!(target_endian = "big"))),
        _ => Err(format!("its type {descr:?} is not one of NumPy")),
    }
}

/// Describes elements that are not read.
fn name(descr: &str) -> String {
    let kind = match descr.trim_start_matches(['<', '>', '|', '=']).chars().next() {
        Some('O') => "objects of Python, which only running code could read",
        Some('U' | 'S' | 'a') => "text",
        Some('c') => "complex numbers",
        Some('M' | 'm') => "dates or times",
        Some('f') => "numbers of another size",
        Some('V') => "bytes without a type, as those of bfloat16 are saved",
        _ => "of an unknown type",
    };
    format!("{kind} ({descr:?})")
}

/// The content of a header.
struct Header {
    descr: String,
    is_column_major: bool,
    shape: Vec<usize>,
}

/// Literals of Python, read from the front.
struct Literals<'a>(&'a str);

impl<'a> Literals<'a> {
    /// Reads the dictionary of a header.
    fn header(mut self) -> Result<Header, String> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.skip('}') {
            let key = self.text()?;
            self.expect(':')?;
            match key {
                "descr" if self.next() == Some('[') => {
                    return Err("it is a structured array with named fields; save each field as an array".to_owned());
                }
                "descr" => descr = Some(self.text()?.to_owned()),
                "fortran_order" => order = Some(self.truth()?),
                "shape" => shape = Some(self.shape()?),
                other => return Err(format!("its header has an unknown key {other:?}")),
            }
            if !self.skip(',') && self.next() != Some('}') {
                return Err(bad());
            }
        }
        let missing = |key: &str| format!("its header has no {key:?}");
        Ok(Header {
            descr: descr.ok_or_else(|| missing("descr"))?,
            is_column_major: order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }

    fn next(&mut self) -> Option<char> {
        self.0 = self.0.trim_start();
        self.0.chars().next()
    }

    fn skip(&mut self, mark: char) -> bool {
        self.next();
        self.0.strip_prefix(mark).map(|rest| self.0 = rest).is_some()
    }

    fn expect(&mut self, mark: char) -> Result<(), String> {
        if self.skip(mark) { Ok(()) } else { Err(bad()) }
    }

    /// Reads text in quotes.
    fn text(&mut self) -> Result<&'a str, String> {
        let quote = self.next().filter(|quote| matches!(quote, '\'' | '"')).ok_or_else(bad)?;
        let (text, rest) = self.0[1..].split_once(quote).ok_or_else(bad)?;
        self.0 = rest;
        Ok(text)
    }

    fn truth(&mut self) -> Result<bool, String> {
        self.next();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest;
                return Ok(value);
            }
        }
        Err(bad())
    }

    /// Reads a tuple of whole numbers. Python 2 wrote an `L` after large ones.
    fn shape(&mut self) -> Result<Vec<usize>, String> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.skip(')') {
            self.next();
            let end = self.0.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            shape.push(self.0[..end].parse().map_err(|_| bad())?);
            self.0 = &self.0[end..];
            self.skip('L');
            if !self.skip(',') && self.next() != Some(')') {
                return Err(bad());
            }
        }
        Ok(shape)
    }
}

fn bad() -> String {
    "its header is not a dictionary of NumPy".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, elements: &[u8]) -> Vec<u8> {
        let length = (header.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        [MAGIC, &[version, 0], length, header.as_bytes(), elements].concat()
    }

    fn read(header: &str, elements: &[u8]) -> Result<(Element, Vec<usize>, Vec<u8>), String> {
        let bytes = file(1, header, elements);
        let array = Array::of(&bytes)?;
        let elements = array.elements(&bytes)?;
        Ok((array.element, array.shape, elements))
    }

    #[test]
    fn every_version_and_both_orders_are_read() {
        for version in [1, 2, 3] {
            let bytes = file(version, "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }   \n", &[1, 0, 2, 0]);
            let array = Array::of(&bytes).unwrap();
            assert_eq!((array.element, &array.shape[..]), (Element::I16, &[2][..]));
            assert_eq!(array.elements(&bytes).unwrap(), [1, 0, 2, 0]);
        }
        let big = read("{'shape': (2,), 'fortran_order': False, 'descr': '>i2'}", &[0, 1, 0, 2]).unwrap();
        assert_eq!(big.2, [1, 0, 2, 0]);
        // The columns of [[1, 2, 3], [4, 5, 6]], one after the other.
        let columns = read("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}", &[1, 4, 2, 5, 3, 6]).unwrap();
        assert_eq!(columns.2, [1, 2, 3, 4, 5, 6]);
        let scalar = read("{'descr': '<f4', 'fortran_order': True, 'shape': ()}", &1f32.to_le_bytes()).unwrap();
        assert_eq!(scalar.1, [0; 0]);
        let long = read("{'descr': '|b1', 'fortran_order': False, 'shape': (2L, 1L)}", &[0, 1]).unwrap();
        assert_eq!((long.0, long.1), (Element::Bool, vec![2, 1]));
    }

    #[test]
    fn an_order_of_three_axes_is_that_of_numpy() {
        let shape = [2, 3, 4];
        let at = |i: usize, j: usize, k: usize| (i + 2 * (j + 3 * k)) as u8;
        let stored: Vec<u8> = (0..24).collect();
        let rows = row_major(&stored, &shape, 1);
        let expected: Vec<u8> =
            (0..2).flat_map(|i| (0..3).flat_map(move |j| (0..4).map(move |k| at(i, j, k)))).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn what_is_not_read_is_named() {
        let with = |descr: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,)}}");
        for (header, message) in [
            (with("'|O'"), "objects of Python"),
            (with("'<U3'"), "text"),
            (with("'<c8'"), "complex"),
            (with("'<M8[ns]'"), "dates or times"),
            (with("'<f16'"), "of another size"),
            (with("'<V2'"), "bfloat16"),
            (with("[('a', '<f4')]"), "structured array"),
            (with("'<f4', 'more': 1"), "unknown key \"more\""),
            ("{'descr': '<f4'}".to_owned(), "no \"fortran_order\""),
            ("import os".to_owned(), "not a dictionary"),
            (String::new(), "not a dictionary"),
        ] {
            let refusal = read(&header, &[0; 4]).unwrap_err();
            assert!(refusal.contains(message), "{header}: {refusal}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_file() {
        let with = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}}}");
        let refusal = read(&with("(3,)"), &[0; 8]).unwrap_err();
        assert_eq!(refusal, "its F32[3] is 12 bytes, and 8 follow the header");
        assert!(read(&with("(4611686018427387904, 4)"), &[0; 8]).unwrap_err().contains("more bytes than any memory"));
        assert!(read(&with("(99999999999999999999, 4)"), &[0; 8]).unwrap_err().contains("not a dictionary"));
        assert!(Array::of(b"\x93NUMPY\x02\0\xff\xff\xff\xff{").unwrap_err().contains("claims 4294967295 bytes"));
        assert!(Array::of(b"\x93NUMPY\x01\0\xff\xff{").unwrap_err().contains("cut off"));
        assert!(Array::of(b"\x93NUMPY\x04\0").unwrap_err().contains("version is 4"));
        assert!(Array::of(b"").is_err() && Array::of(MAGIC).is_err());
    }
}
