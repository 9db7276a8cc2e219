//! Pickles of protocol 2, as `torch.save` writes them: <https://docs.python.org/3/library/pickletools.html>.
//!
//! Python's pickler gives everything a number in a memo, and this one nothing: a reader need not care, because no value
//! here stands at two places.

use super::item::{Item, Stored};
use crate::peers::tensor::row_major;

/// A pickle, and the tensors whose numbers belong into storages `0`, `1`, … beside it.
#[derive(Debug)]
pub struct Pickled<'a> {
    /// The pickle.
    pub bytes: Vec<u8>,
    /// The tensors, in the order of their storages.
    pub storages: Vec<&'a Stored<'a>>,
}

/// Pickles a value.
///
/// # Errors
/// A tensor is of a dtype that PyTorch does not store, or its shape and bytes do not agree.
pub fn pickle<'a>(item: &'a Item<'a>) -> Result<Pickled<'a>, String> {
    let mut pickler = Pickled { bytes: vec![opcode::PROTO, 2], storages: Vec::new() };
    pickler.item(item)?;
    pickler.bytes.push(opcode::STOP);
    Ok(pickler)
}

mod opcode {
    pub const PROTO: u8 = 0x80;
    pub const STOP: u8 = b'.';
    pub const NONE: u8 = b'N';
    pub const NEWTRUE: u8 = 0x88;
    pub const NEWFALSE: u8 = 0x89;
    pub const BININT: u8 = b'J';
    pub const BININT1: u8 = b'K';
    pub const BININT2: u8 = b'M';
    pub const LONG1: u8 = 0x8a;
    pub const BINFLOAT: u8 = b'G';
    pub const BINUNICODE: u8 = b'X';
    pub const EMPTY_LIST: u8 = b']';
    pub const EMPTY_DICT: u8 = b'}';
    pub const EMPTY_TUPLE: u8 = b')';
    pub const MARK: u8 = b'(';
    pub const APPENDS: u8 = b'e';
    pub const SETITEMS: u8 = b'u';
    pub const TUPLE: u8 = b't';
    pub const GLOBAL: u8 = b'c';
    pub const REDUCE: u8 = b'R';
    pub const BINPERSID: u8 = b'Q';
}

impl<'a> Pickled<'a> {
    fn item(&mut self, item: &'a Item<'a>) -> Result<(), String> {
        match item {
            Item::None => self.bytes.push(opcode::NONE),
            Item::Bool(value) => self.bytes.push(if *value { opcode::NEWTRUE } else { opcode::NEWFALSE }),
            Item::Int(value) => self.int(*value),
            Item::Float(value) => {
                self.bytes.push(opcode::BINFLOAT);
                self.bytes.extend_from_slice(&value.to_be_bytes());
            }
            Item::Text(text) => self.text(text)?,
            Item::List(items) => {
                self.bytes.push(opcode::EMPTY_LIST);
                self.marked(items, opcode::APPENDS)?;
            }
            Item::Tuple(items) if items.is_empty() => self.bytes.push(opcode::EMPTY_TUPLE),
            Item::Tuple(items) => self.marked(items, opcode::TUPLE)?,
            Item::Dict(entries) => {
                self.bytes.push(opcode::EMPTY_DICT);
                self.entries(entries)?;
            }
            Item::OrderedDict(entries) => {
                self.call("collections", "OrderedDict", |call| {
                    call.bytes.push(opcode::EMPTY_TUPLE);
                    Ok(())
                })?;
                self.entries(entries)?;
            }
            Item::Counter(counts) => self.counter(counts)?,
            Item::Tensor(tensor) => self.tensor(tensor)?,
        }
        Ok(())
    }

    fn int(&mut self, value: i64) {
        if let Ok(small) = u8::try_from(value) {
            self.bytes.extend_from_slice(&[opcode::BININT1, small]);
        } else if let Ok(short) = u16::try_from(value) {
            self.bytes.push(opcode::BININT2);
            self.bytes.extend_from_slice(&short.to_le_bytes());
        } else if let Ok(int) = i32::try_from(value) {
            self.bytes.push(opcode::BININT);
            self.bytes.extend_from_slice(&int.to_le_bytes());
        } else {
            self.bytes.extend_from_slice(&[opcode::LONG1, 8]);
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        let length = u32::try_from(text.len()).map_err(|_| "a text is longer than 4 GB".to_owned())?;
        self.bytes.push(opcode::BINUNICODE);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) {
        self.bytes.push(opcode::GLOBAL);
        self.bytes.extend_from_slice(format!("{module}\n{name}\n").as_bytes());
    }

    /// Writes the call of a function with the tuple that `arguments` writes.
    fn call(
        &mut self,
        module: &str,
        name: &str,
        arguments: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.global(module, name);
        arguments(self)?;
        self.bytes.push(opcode::REDUCE);
        Ok(())
    }

    /// Writes items after a mark, and then what is done with all of them.
    fn marked(&mut self, items: &'a [Item<'a>], end: u8) -> Result<(), String> {
        if items.is_empty() {
            return Ok(());
        }
        self.bytes.push(opcode::MARK);
        items.iter().try_for_each(|item| self.item(item))?;
        self.bytes.push(end);
        Ok(())
    }

    fn entries(&mut self, entries: &'a [(Item<'a>, Item<'a>)]) -> Result<(), String> {
        if entries.is_empty() {
            return Ok(());
        }
        self.bytes.push(opcode::MARK);
        for (key, value) in entries {
            self.item(key)?;
            self.item(value)?;
        }
        self.bytes.push(opcode::SETITEMS);
        Ok(())
    }

    fn counter(&mut self, counts: &[(i64, i64)]) -> Result<(), String> {
        self.call("collections", "Counter", |call| {
            call.bytes.extend_from_slice(&[opcode::MARK, opcode::EMPTY_DICT]);
            if !counts.is_empty() {
                call.bytes.push(opcode::MARK);
                for (key, count) in counts {
                    call.int(*key);
                    call.int(*count);
                }
                call.bytes.push(opcode::SETITEMS);
            }
            call.bytes.push(opcode::TUPLE);
            Ok(())
        })
    }

    /// Writes a tensor as the call that makes it of its storage, which is a persistent id.
    fn tensor(&mut self, tensor: &'a Stored<'a>) -> Result<(), String> {
        let (class, elements) = (tensor.storage_class()?, tensor.elements()?);
        let place = self.storages.len();
        self.storages.push(tensor);
        let sizes = |lengths: &[usize]| -> Result<Vec<i64>, String> {
            lengths.iter().map(|length| i64::try_from(*length).map_err(|error| error.to_string())).collect()
        };
        let (shape, strides) = (sizes(&tensor.shape)?, sizes(&row_major(&tensor.shape))?);
        let elements = i64::try_from(elements).map_err(|error| error.to_string())?;
        self.call("torch._utils", "_rebuild_tensor_v2", |call| {
            call.bytes.extend_from_slice(&[opcode::MARK, opcode::MARK]);
            call.text("storage")?;
            call.global("torch", class);
            call.text(&place.to_string())?;
            call.text("cpu")?;
            call.int(elements);
            call.bytes.extend_from_slice(&[opcode::TUPLE, opcode::BINPERSID]);
            call.int(0);
            call.ints(&shape);
            call.ints(&strides);
            call.bytes.push(opcode::NEWFALSE);
            // The backward hooks of a tensor, of which a checkpoint has none.
            call.call("collections", "OrderedDict", |hooks| {
                hooks.bytes.push(opcode::EMPTY_TUPLE);
                Ok(())
            })?;
            call.bytes.push(opcode::TUPLE);
            Ok(())
        })
    }

    /// Writes a tuple of integers.
    fn ints(&mut self, values: &[i64]) {
        if values.is_empty() {
            self.bytes.push(opcode::EMPTY_TUPLE);
            return;
        }
        self.bytes.push(opcode::MARK);
        values.iter().for_each(|value| self.int(*value));
        self.bytes.push(opcode::TUPLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_shortest_form_that_holds_them() {
        let of = |value| pickle(&Item::Int(value)).map(|pickled| pickled.bytes).unwrap();
        assert_eq!(of(7), b"\x80\x02K\x07.");
        assert_eq!(of(300), b"\x80\x02M\x2c\x01.");
        assert_eq!(of(-1), b"\x80\x02J\xff\xff\xff\xff.");
        assert_eq!(of(1 << 40), b"\x80\x02\x8a\x08\0\0\0\0\0\x01\0\0.");
        assert_eq!(pickle(&Item::Float(0.5)).unwrap().bytes, b"\x80\x02G\x3f\xe0\0\0\0\0\0\0.");
    }

    #[test]
    fn a_tensor_whose_bytes_and_shape_disagree_is_refused() {
        let bytes = vec![0; 8].into();
        let item = Item::Tensor(Stored { dtype: crate::peers::tensor::Dtype::F32, shape: vec![3], bytes });
        assert!(pickle(&item).unwrap_err().contains("does not have 8 bytes"));
    }
}
