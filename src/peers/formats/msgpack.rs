//! MessagePack, with the extension types by which flax stores arrays (`flax.serialization.to_bytes`).
//!
//! The format: <https://github.com/msgpack/msgpack/blob/master/spec.md>. The extensions, from flax' `serialization.py`: 1, an
//! array as a list of shape, dtype and bytes; 2, a complex number; 3, a NumPy scalar, stored as an array is. An array beyond
//! 1 GiB is a map of its shape and flat pieces.

use std::sync::Arc;

use super::super::tensor::{Storage, Tensor, dtype_of_numpy};
use super::super::tree::{Place, Tree, Value};

/// Depth of values in each other, beyond any real file.
const DEEPEST: usize = 200;

/// Key of an array in pieces.
const IN_PIECES: &str = "__msgpack_chunked_array__";

/// Reads a file that consists of one value.
///
/// # Errors
/// It is cut off, has more than one value, or something that is not read.
pub fn read(file: &Arc<Storage>) -> Result<Tree, String> {
    let mut reader = Reader { file, bytes: file.bytes(), start: 0, at: 0, tree: Tree::default() };
    let root = reader.value(0)?;
    if reader.at != reader.bytes.len() {
        return Err(format!("{} bytes follow the value that should be the only one", reader.bytes.len() - reader.at));
    }
    reader.tree.set_root(root);
    Ok(reader.tree)
}

struct Reader<'a> {
    file: &'a Arc<Storage>,
    /// The bytes up to the end of the file or of the extension that is read.
    bytes: &'a [u8],
    /// Beginning of the value that is read.
    start: usize,
    at: usize,
    tree: Tree,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Place, String> {
        if depth > DEEPEST {
            return Err(format!("values are more than {DEEPEST} deep in each other at byte {}", self.at));
        }
        self.start = self.at;
        let kind = self.array::<1>()?[0];
        let value = match kind {
            0x00..=0x7f => Value::Int(kind.into()),
            0xe0..=0xff => Value::Int((kind as i8).into()),
            0x80..=0x8f => return self.map(usize::from(kind & 0x0f), depth),
            0x90..=0x9f => self.list(usize::from(kind & 0x0f), depth)?,
            0xa0..=0xbf => self.text(usize::from(kind & 0x1f))?,
            0xc0 => Value::Null,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(kind - 0xc4)?;
                Value::Bytes(self.take(length)?.to_vec())
            }
            0xc7..=0xc9 => {
                let length = self.length(kind - 0xc7)?;
                return self.extension(length, depth);
            }
            0xd4..=0xd8 => return self.extension(1 << (kind - 0xd4), depth),
            0xca => Value::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Value::Int(u8::from_be_bytes(self.array()?).into()),
            0xcd => Value::Int(u16::from_be_bytes(self.array()?).into()),
            0xce => Value::Int(u32::from_be_bytes(self.array()?).into()),
            0xcf => {
                let number = u64::from_be_bytes(self.array()?);
                i64::try_from(number).map_or_else(|_| Value::BigInt(number.to_string()), Value::Int)
            }
            0xd0 => Value::Int(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Value::Int(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Value::Int(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Value::Int(i64::from_be_bytes(self.array()?)),
            0xd9..=0xdb => {
                let length = self.length(kind - 0xd9)?;
                self.text(length)?
            }
            0xdc | 0xdd => {
                let length = self.length(kind - 0xdc + 1)?;
                self.list(length, depth)?
            }
            0xde | 0xdf => {
                let length = self.length(kind - 0xde + 1)?;
                return self.map(length, depth);
            }
            0xc1 => return Err(self.refused("a byte that no value begins with (0xc1)")),
        };
        self.tree.add(value)
    }

    fn refused(&self, what: &str) -> String {
        format!("at byte {} stands {what}", self.start)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| format!("the file ends within the value at byte {}", self.start))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Reads a length of 1, 2 or 4 bytes.
    fn length(&mut self, power: u8) -> Result<usize, String> {
        Ok(match power {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?) as usize,
        })
    }

    fn text(&mut self, length: usize) -> Result<Value, String> {
        let bytes = self.take(length)?.to_vec();
        Ok(String::from_utf8(bytes).map_or_else(|error| Value::Bytes(error.into_bytes()), Value::Text))
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<Value, String> {
        // No length is believed: a file cannot ask for more memory than it has bytes.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Place, String> {
        let mut entries = Vec::new();
        for _ in 0..length {
            entries.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        let place = self.tree.add(Value::Dict(entries))?;
        if self.tree.at(place).get(IN_PIECES).is_some() {
            let whole = joined(&self.tree, place)?;
            *self.tree.at_mut(place) = whole.into();
        }
        Ok(place)
    }

    fn extension(&mut self, length: usize, depth: usize) -> Result<Place, String> {
        let kind = self.array::<1>()?[0] as i8;
        let (start, whole) = (self.start, self.bytes);
        let end = self.at.checked_add(length).filter(|end| *end <= whole.len());
        let end = end.ok_or_else(|| format!("the file ends within the value at byte {start}"))?;
        self.bytes = &whole[..end];
        let place = match kind {
            1 | 3 => {
                let tensor = self.tensor()?;
                self.tree.add(tensor.into())?
            }
            2 => self.value(depth + 1)?,
            kind => return Err(self.refused(&format!("an extension of the type {kind}; flax' types 1 to 3 are read"))),
        };
        if self.at != end {
            return Err(format!("the extension at byte {start} has {} bytes too many", end - self.at));
        }
        self.bytes = whole;
        Ok(place)
    }

    /// Reads the list of shape, dtype and bytes that an array consists of.
    fn tensor(&mut self) -> Result<Tensor, String> {
        let start = self.start;
        let other = || format!("the array at byte {start} is no list of shape, dtype and bytes");
        let mut parts = Tree::default();
        std::mem::swap(&mut parts, &mut self.tree);
        let header = self.array_header();
        std::mem::swap(&mut parts, &mut self.tree);
        let (shape, dtype, length) = header?.ok_or_else(other)?;
        let range = self.at..self.at + self.take(length)?.len();
        let dtype = dtype_of_numpy(&dtype)
            .ok_or_else(|| format!("the array at byte {start} has the dtype {dtype}, which is not read"))?;
        let storage = self.file.part(range).ok_or_else(other)?;
        let tensor = Tensor::contiguous(dtype, shape, storage);
        tensor.map_err(|error| format!("the array at byte {start}: {error}"))
    }

    /// Reads an array up to its bytes: shape, dtype and the number of bytes.
    fn array_header(&mut self) -> Result<Option<(Vec<usize>, String, usize)>, String> {
        if !matches!(self.array::<1>()?, [0x93]) {
            return Ok(None);
        }
        let shape = self.value(1)?;
        let shape =
            self.tree.at(shape).items().map(|items| items.map(|item| usize::try_from(item.int()?).ok()).collect());
        let dtype = self.value(1)?;
        let dtype = self.tree.at(dtype).text().map(str::to_owned);
        let length = match self.array::<1>()?[0] {
            kind @ 0xc4..=0xc6 => self.length(kind - 0xc4)?,
            _ => return Ok(None),
        };
        Ok(shape.flatten().zip(dtype).map(|(shape, dtype)| (shape, dtype, length)))
    }
}

/// Joins an array that is stored in pieces.
fn joined(tree: &Tree, place: Place) -> Result<Tensor, String> {
    let parts = |key: &str| {
        let parts = tree.at(place).get(key).and_then(|parts| parts.entries())?;
        Some(parts.map(|(_, value)| value).collect::<Vec<_>>())
    };
    let shape: Option<Vec<usize>> =
        parts("shape").and_then(|shape| shape.into_iter().map(|length| usize::try_from(length.int()?).ok()).collect());
    let pieces: Option<Vec<_>> =
        parts("chunks").and_then(|pieces| pieces.into_iter().map(|piece| piece.tensor()).collect());
    let (Some(shape), Some(pieces)) = (shape, pieces) else {
        return Err("an array in pieces has no shape or no pieces".to_owned());
    };
    let dtype = pieces.first().ok_or("an array in pieces has no piece")?.dtype();
    let mut bytes = Vec::new();
    for piece in pieces {
        if piece.dtype() != dtype {
            return Err("the pieces of an array have several dtypes".to_owned());
        }
        bytes.extend_from_slice(&piece.to_bytes()?);
    }
    Tensor::contiguous(dtype, shape, Storage::owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::super::tensor::Dtype;
    use super::*;

    fn tree(bytes: &[u8]) -> Result<Tree, String> {
        read(&Storage::owned(bytes.to_vec()))
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let integers = [
            (&b"\x07"[..], 7),
            (b"\xff", -1),
            (b"\xcc\xff", 255),
            (b"\xcd\x01\x00", 256),
            (b"\xce\x80\0\0\0", 1 << 31),
            (b"\xd0\x80", -128),
            (b"\xd1\xff\0", -256),
            (b"\xd2\x80\0\0\0", -(1 << 31)),
            (b"\xd3\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
        ];
        integers.into_iter().for_each(|(bytes, value)| assert_eq!(tree(bytes).unwrap().root().int(), Some(value)));
        assert!(matches!(tree(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff").unwrap().root().value(),
            Value::BigInt(text) if text == "18446744073709551615"));
        assert_eq!(tree(b"\xca\x3f\x80\0\0").unwrap().root().number(), Some(1.0));
        assert_eq!(tree(b"\xdc\0\x02\xc3\xc0").unwrap().root().items().unwrap().count(), 2);
        assert_eq!(tree(b"\xde\0\x01\xa1k\xd9\x02ab").unwrap().root().get("k").unwrap().text(), Some("ab"));
        // A NumPy scalar: f32 2.0 of no dimension.
        let scalar = tree(b"\xc7\x10\x03\x93\x90\xa7float32\xc4\x04\0\0\0\x40").unwrap();
        assert_eq!(scalar.root().number(), Some(2.0));
        assert_eq!(
            tree(b"\xd7\x02\x92\x01\x02\xc0\xc0\xc0\xc0\xc0").unwrap_err(),
            "the extension at byte 0 has 5 bytes too many"
        );
    }

    #[test]
    fn an_array_in_pieces_is_joined() {
        let piece = |number: u8| [&b"\xc7\x10\x01\x93\x91\x01\xa5uint8\xc4\x01"[..], &[number]].concat();
        let piece = |number| {
            let mut piece = piece(number);
            piece[1] = piece.len() as u8 - 3;
            piece
        };
        let bytes = [
            &b"\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x82\xa10\x02\xa11\x01\xa6chunks\x82\xa10"[..],
            &piece(8),
            b"\xa11",
            &piece(9),
        ]
        .concat();
        let tree = tree(&bytes).unwrap();
        let tensor = tree.root().tensor().unwrap();
        assert_eq!((tensor.shape(), tensor.to_f64().unwrap()), (&[2, 1][..], vec![8.0, 9.0]));
    }

    #[test]
    fn bad_files_are_refused_by_the_place() {
        assert!(tree(b"").unwrap_err().contains("ends within the value at byte 0"));
        assert!(tree(b"\x91").unwrap_err().contains("ends within the value at byte 1"));
        assert!(tree(b"\xdd\xff\xff\xff\xff\xc0").unwrap_err().contains("at byte 6"));
        assert!(tree(b"\x01\x02").unwrap_err().contains("1 bytes follow"));
        assert!(tree(b"\xc1").unwrap_err().contains("0xc1"));
        assert!(tree(&vec![0x91; 1000]).unwrap_err().contains("deep in each other"));
        assert!(tree(b"\xd4\x09\0").unwrap_err().contains("extension of the type 9"));
        assert!(tree(b"\xc7\x0d\x01\x93\x91\x09\xa6object\xc4\x01\0").unwrap_err().contains("the dtype object"));
        assert!(tree(b"\xc7\x0c\x01\x93\x91\x09\xa5uint8\xc4\x01\0").unwrap_err().contains("leaves its storage"));
    }

    #[test]
    fn a_real_file_is_read_in_its_order() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cases/flax/sgd_cosine/state.msgpack");
        let map = super::super::map(path.as_ref()).unwrap();
        let length = map.len();
        let tree = read(&Storage::mapped(map, 0..length).unwrap()).unwrap();
        let keys: Vec<_> = tree.root().entries().unwrap().map(|(key, _)| key.text().unwrap()).collect();
        assert_eq!(keys, ["step", "params", "opt_state"]);
        let kernel = tree.root().at(&["params", "Dense_0", "kernel"]).unwrap().tensor().unwrap();
        assert_eq!((kernel.shape(), kernel.dtype()), (&[10, 32][..], Dtype::F32));
    }
}
