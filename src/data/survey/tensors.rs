//! Survey of tensors: those of a file from its header, and whether all elements of one are equal.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::data::file::{self, DataFile};
use crate::data::tensors::arrays::{self, Described};
use crate::data::{DataConfig, DataError, Format};

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

/// Returns the arrays of the `.npz` archive at `path`.
pub(super) fn arrays(path: &Path) -> Result<Vec<TensorSurvey>, DataError> {
    let listed = arrays::listed(&DataFile::read_archive(path)?)?;
    Ok(listed.into_iter().map(|(name, array)| of_array(name, array)).collect())
}

/// Returns the array in the `.npy` file at `path`, and those of the other such files in its folder, as far as they can be
/// read.
pub(super) fn files(path: &Path) -> Result<Vec<TensorSurvey>, DataError> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = vec![of_array(name(path), arrays::described(&DataFile::read(path)?)?)];
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let beside = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_other = |other: &Path| {
        let is_array = matches!(Format::of(&DataConfig::new(other)), Ok(Format::Npy));
        is_array && other.file_name() != path.file_name() && file::require_file(other).is_ok()
    };
    let mut others: Vec<_> = beside.filter(|other| is_other(other)).collect();
    others.sort();
    for other in others {
        let described = DataFile::read(&other).and_then(|file| arrays::described(&file));
        found.extend(described.map(|array| of_array(name(&other), array)));
    }
    Ok(found)
}

fn of_array(name: String, Described { dtype, shape, is_constant }: Described) -> TensorSurvey {
    TensorSurvey { name, dtype, shape, is_constant }
}
