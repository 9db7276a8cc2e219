//! A shard in safetensors, of which the header is read first.

use std::io::{Cursor, Read};
use std::sync::Arc;

use super::numbers::{Column, Pair};
use super::shard::{Shard, unreadable};
use crate::data::files::Part;
use crate::data::tensors::Stored;
use crate::data::{DataConfig, DataError, TensorError};
use crate::store::Object;
use crate::tensor_header::{self, Remarks};

/// Finds the tensors of inputs and targets.
pub(super) fn open(part: Part, object: Object, config: &DataConfig) -> Result<Pair, DataError> {
    let (shard, beginning) = Shard::open(part, object)?;
    let path = shard.path.as_path();
    let failed = |source| unreadable(path, source);
    let rest = shard.after(&beginning).map_err(failed)?;
    let (start, metadata) = tensor_header::read(&mut Cursor::new(beginning).chain(rest), shard.bytes, Remarks::Ignored)
        .map_err(failed)?
        .map_err(|reason| TensorError::BadTensors { path: path.to_owned(), reason })?;
    let (inputs, targets) = config.tensor_names();
    let inputs = Stored::find(path, &metadata, start, "inputs", inputs)?;
    let targets = Stored::find(path, &metadata, start, "targets", targets)?;
    let shard = Arc::new(shard);
    let column = |stored| Column { shard: Arc::clone(&shard), stored, is_big_endian: false };
    Ok(Pair { inputs: column(inputs), targets: column(targets) })
}
