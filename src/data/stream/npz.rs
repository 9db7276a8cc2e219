//! A shard in `.npz`, the archive of `numpy.savez`: arrays that are stored as they are, each behind a header.
//!
//! The headers are read one after the other, up to those of the two arrays that are needed. Rows are read in parts, so that
//! the sums of whole members are not compared.

use std::sync::Arc;

use super::numbers::{Column, Pair};
use super::shard::Shard;
use crate::data::error::hint;
use crate::data::files::Part;
use crate::data::tensors::Stored;
use crate::data::tensors::npy::Array;
use crate::data::{DataConfig, DataError, TensorError};
use crate::store::Object;
use crate::zip::{self, Header};

/// Bytes that are read of a member at first: its header, and that of its array.
const BEGINNING: u64 = 16 << 10;

/// Finds the arrays of inputs and targets.
pub(super) fn open(part: Part, object: Object, config: &DataConfig) -> Result<Pair, DataError> {
    let (shard, beginning) = Shard::open(part, object)?;
    let (shard, (inputs, targets)) = (Arc::new(shard), config.tensor_names());
    let (mut found_inputs, mut found_targets, mut known) = (None, None, Vec::new());
    let mut member = Member { shard: &shard, at: 0, bytes: beginning };
    while let Some(header) = member.header()? {
        let name = header.name.strip_suffix(".npy").unwrap_or(&header.name).to_owned();
        if name == inputs {
            found_inputs = Some(member.column(&header, "inputs", &name)?);
        }
        if name == targets {
            found_targets = Some(member.column(&header, "targets", &name)?);
        }
        if found_inputs.is_some() && found_targets.is_some() {
            break;
        }
        known.push(name);
        member = member.after(&header)?;
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let missing = |option, name: &str| {
        let (path, hint) = (shard.path.clone(), hint(name, &known));
        TensorError::NoSuchTensor { path, option, name: name.to_owned(), hint }
    };
    let inputs = found_inputs.ok_or_else(|| missing("inputs", inputs))?;
    Ok(Pair { inputs, targets: found_targets.ok_or_else(|| missing("targets", targets))? })
}

/// A member of an archive, or what follows the last one.
struct Member<'a> {
    shard: &'a Arc<Shard>,
    /// Where its header begins.
    at: u64,
    /// The first bytes from there.
    bytes: Vec<u8>,
}

impl<'a> Member<'a> {
    fn wrong(&self, reason: impl ToString) -> DataError {
        TensorError::BadArray { path: self.shard.path.clone(), reason: reason.to_string() }.into()
    }

    /// Returns its header; `None` after the last member.
    fn header(&self) -> Result<Option<Header>, DataError> {
        let header = zip::header(&self.bytes).map_err(|error| self.wrong(error))?;
        if header.is_none() && self.at == 0 {
            return Err(self.wrong("it does not begin as an archive"));
        }
        if header.as_ref().is_some_and(|header| self.end(header).is_none_or(|end| end > self.shard.bytes)) {
            return Err(self.wrong("it is cut off"));
        }
        Ok(header)
    }

    /// Returns where the member ends.
    fn end(&self, header: &Header) -> Option<u64> {
        self.at.checked_add(header.length as u64)?.checked_add(header.size)
    }

    /// Returns the array that it is.
    fn column(&self, header: &Header, option: &'static str, name: &str) -> Result<Column, DataError> {
        let wrong = |reason: String| self.wrong(format!("array `{name}`: {reason}"));
        let array = Array::of(self.bytes.get(header.length..).unwrap_or_default()).map_err(wrong)?;
        let place = array.place(header.size).map_err(wrong)?;
        let start = self.at + header.length as u64 + place.start;
        let stored = Stored::new(&self.shard.path, option, name.to_owned(), array.element, &array.shape, start)?;
        Ok(Column { shard: Arc::clone(self.shard), stored, is_big_endian: place.is_big_endian })
    }

    /// Reads the beginning of the member after it.
    fn after(self, header: &Header) -> Result<Self, DataError> {
        let at = self.end(header).ok_or_else(|| self.wrong("it is cut off"))?;
        let bytes = self.shard.read(at..(at + BEGINNING).min(self.shard.bytes))?;
        Ok(Self { at, bytes, ..self })
    }
}
