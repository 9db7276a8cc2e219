//! A shard of two `.npy` files, one with inputs and one with targets, of which the headers are read first.

use std::io::ErrorKind;
use std::sync::Arc;

use super::listing;
use super::numbers::{Column, Pair};
use super::shard::Shard;
use crate::data::error::StreamError;
use crate::data::files::Part;
use crate::data::tensors::Stored;
use crate::data::tensors::npy::Array;
use crate::data::{DataConfig, DataError, TensorError};
use crate::store::Object;

/// Finds the elements in a file of inputs and in that of its targets.
pub(super) fn open(part: Part, object: Object, config: &DataConfig) -> Result<Pair, DataError> {
    let targets = config.targets_beside(part, &object.path)?;
    let bytes = listing::size(&targets).map_err(|error| match error {
        DataError::Stream(StreamError::Missing { path }) => {
            TensorError::NoTargets { path, source: ErrorKind::NotFound.into() }.into()
        }
        error => error,
    })?;
    let inputs = column(part, object, "path")?;
    Ok(Pair { inputs, targets: column(part, Object { path: targets, bytes }, "targets")? })
}

fn column(part: Part, object: Object, option: &'static str) -> Result<Column, DataError> {
    let (shard, beginning) = Shard::open(part, object)?;
    let path = shard.path.as_path();
    let wrong = |reason: String| TensorError::BadArray { path: path.to_owned(), reason };
    let array = Array::of(&beginning).map_err(wrong)?;
    let place = array.place(shard.bytes).map_err(wrong)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stored = Stored::new(path, option, name, array.element, &array.shape, place.start)?;
    Ok(Column { shard: Arc::new(shard), stored, is_big_endian: place.is_big_endian })
}
