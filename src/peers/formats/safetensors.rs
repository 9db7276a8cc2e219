//! Files of safetensors: tensors by name, as views of the mapped file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ::safetensors::SafeTensors;

use super::super::error::PeerError;
use super::super::tensor::{Storage, Tensor, element_bytes, row_major};

/// The content of a file.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Tensors with their names, in the order of their numbers in the file.
    pub tensors: Vec<(String, Tensor)>,
    /// Texts beside them, such as `format`.
    pub metadata: BTreeMap<String, String>,
}

/// Bytes of the length in front of the header.
const LENGTH_BYTES: usize = 8;

/// Opens a file. All tensors are views of one storage, so that two names of one place are known.
///
/// # Errors
/// It is not there, or it is damaged.
pub fn read(path: &Path) -> Result<Content, PeerError> {
    let map = super::map(path)?;
    let damaged = |what: String| PeerError::damaged(path, what);
    let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|error| damaged(error.to_string()))?;
    let numbers = LENGTH_BYTES + header..map.len();
    let storage = Storage::mapped(Arc::clone(&map), numbers).ok_or_else(|| damaged("it is cut off".to_owned()))?;
    let mut listed: Vec<_> = metadata.tensors().into_iter().collect();
    // A tensor without elements begins where another does.
    listed.sort_unstable_by(|(name, info), (other_name, other)| {
        info.data_offsets.cmp(&other.data_offsets).then_with(|| name.cmp(other_name))
    });
    let mut tensors = Vec::with_capacity(listed.len());
    for (name, info) in listed {
        let of = |what: String| damaged(format!("tensor {name:?}: {what}"));
        let size = element_bytes(info.dtype)
            .map_err(|what| PeerError::unsupported(path, format!("tensor {name:?}: {what}")))?;
        let tensor = if info.data_offsets.0.is_multiple_of(size) {
            let offset = info.data_offsets.0 / size;
            Tensor::new(info.dtype, info.shape.clone(), row_major(&info.shape), offset, Arc::clone(&storage))
        } else {
            // After a tensor of smaller elements the place is no multiple of these, so it gets a storage by itself.
            let start = LENGTH_BYTES + header;
            Storage::mapped(Arc::clone(&map), start + info.data_offsets.0..start + info.data_offsets.1)
                .ok_or_else(|| "it is cut off".to_owned())
                .and_then(|storage| Tensor::contiguous(info.dtype, info.shape.clone(), storage))
        };
        tensors.push((name.clone(), tensor.map_err(of)?));
    }
    let metadata = metadata.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Content { tensors, metadata })
}
