//! Survey of a safetensors file: its tensors from the header, and whether all elements of one are equal.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSurvey {
    /// Its name.
    pub name: String,
    /// Its element type as the file names it, such as `F32`.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether all its elements are the same.
    pub is_constant: bool,
}

/// Returns the tensors of the file at `path`; `None` if its header is invalid.
pub(super) fn tensors(path: &Path) -> io::Result<Option<Vec<TensorSurvey>>> {
    const LONGEST: u64 = 100 << 20;
    let (mut file, mut length) = (BufReader::new(File::open(path)?), [0; 8]);
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST {
        return Ok(None);
    }
    let mut header = Vec::new();
    file.by_ref().take(length).read_to_end(&mut header)?;
    let Ok(serde_json::Value::Object(header)) = serde_json::from_slice(&header) else { return Ok(None) };
    let mut found = Vec::new();
    for (name, tensor) in &header {
        let (Some(shape), Some(dtype)) = (tensor["shape"].as_array(), tensor["dtype"].as_str()) else { continue };
        let shape: Vec<usize> = shape.iter().filter_map(|side| Some(side.as_u64()? as usize)).collect();
        let offset = |at: usize| tensor["data_offsets"][at].as_u64().unwrap_or_default();
        let bytes = offset(1).saturating_sub(offset(0));
        file.seek(SeekFrom::Start((8 + length).saturating_add(offset(0))))?;
        // A truncated file is refused when it is read.
        let is_constant = is_constant(file.by_ref().take(bytes), shape.iter().product()).unwrap_or(false);
        found.push(TensorSurvey { name: name.clone(), dtype: dtype.to_owned(), shape, is_constant });
    }
    Ok(Some(found))
}

/// Whether all `count` elements of a tensor have the same bits. Reading stops at the first different one.
fn is_constant(mut content: io::Take<&mut BufReader<File>>, count: usize) -> io::Result<bool> {
    let width = (content.limit() as usize).checked_div(count).unwrap_or(0);
    if !(1..=16).contains(&width) {
        return Ok(false);
    }
    let mut first = vec![0; width];
    content.read_exact(&mut first)?;
    let mut next = vec![0; width];
    for _ in 1..count {
        content.read_exact(&mut next)?;
        if next != first {
            return Ok(false);
        }
    }
    Ok(true)
}
