//! Arrays of NumPy as a run's inputs and targets: members of an `.npz` archive, or two `.npy` files in one folder.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::element::Element;
use super::npy::Array;
use crate::data::error::hint;
use crate::data::file::{self, DataFile};
use crate::data::{DataError, Fingerprint, TensorError};
use crate::memory::{self, Need};
use crate::zip::{self, Listed, Members};

/// The ending of the names of members, which `numpy.savez` adds.
const ENDING: &str = ".npy";

/// An array in memory.
pub(in crate::data) struct Loaded {
    pub name: String,
    pub element: Element,
    pub shape: Vec<usize>,
    /// Its elements, row-major and little-endian.
    pub bytes: Vec<u8>,
}

/// Reads the file of inputs at `path`, and that of its `targets`.
pub(in crate::data) fn of_two_files(path: &Path, targets: &Path) -> Result<(Loaded, Loaded, Fingerprint), DataError> {
    let inputs = DataFile::read(path)?;
    let targets = DataFile::read(targets).map_err(of_targets)?;
    let fingerprint = identity(&inputs.fingerprint, &targets.fingerprint);
    Ok((of_file(inputs)?, of_file(targets)?, fingerprint))
}

/// Returns the identity of the file of inputs at `path` with that of its `targets`.
pub(in crate::data) fn fingerprint(path: &Path, targets: &Path) -> Result<Fingerprint, DataError> {
    let inputs = DataFile::fingerprint(path)?;
    Ok(identity(&inputs, &DataFile::fingerprint(targets).map_err(of_targets)?))
}

fn identity(inputs: &Fingerprint, targets: &Fingerprint) -> Fingerprint {
    Fingerprint::of_files([("inputs".to_owned(), inputs), ("targets".to_owned(), targets)])
}

/// Names the option of the targets if their file is missing.
fn of_targets(error: DataError) -> DataError {
    match error {
        DataError::Read { path, source } => TensorError::NoTargets { path, source }.into(),
        error => error,
    }
}

/// Returns the array of an `.npy` file.
pub(in crate::data) fn of_file(file: DataFile<'_>) -> Result<Loaded, DataError> {
    let DataFile { path, content, .. } = file;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    loaded(path, name, &content, "")
}

/// Returns the arrays of an `.npz` file with these names, each named by an option.
pub(in crate::data) fn of_archive<const N: usize>(
    file: &DataFile<'_>,
    names: [(&'static str, &str); N],
) -> Result<[Loaded; N], DataError> {
    let members = members(file.path, &file.content)?;
    let mut arrays = Vec::with_capacity(N);
    for (option, name) in names {
        let member = members.iter().find(|member| array_name(member) == Some(name)).ok_or_else(|| {
            let names: Vec<&str> = members.iter().filter_map(array_name).collect();
            let (path, hint) = (file.path.into(), hint(name, &names));
            TensorError::NoSuchTensor { path, option, name: name.into(), hint }
        })?;
        let bytes = unpacked(file.path, &file.content, member)?;
        arrays.push(loaded(file.path, name.to_owned(), &bytes, &format!("array `{name}`: "))?);
    }
    arrays.try_into().map_err(|_| DataError::NoRows { path: file.path.into() })
}

/// An array, for a survey.
pub(in crate::data) struct Described {
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Whether all its elements are the same.
    pub is_constant: bool,
}

impl Described {
    fn of(array: Loaded) -> Self {
        let width = array.element.size();
        let first = array.bytes.get(..width).unwrap_or_default();
        let is_constant = array.bytes.chunks_exact(width).all(|element| element == first);
        Self { dtype: array.element.to_string(), shape: array.shape, is_constant }
    }
}

/// Describes the array of an `.npy` file.
pub(in crate::data) fn described(file: &DataFile<'_>) -> Result<Described, DataError> {
    loaded(file.path, String::new(), &file.content, "").map(Described::of)
}

/// Returns the names of all arrays of an archive with their descriptions; arrays that are not read are left out.
pub(in crate::data) fn listed(file: &DataFile<'_>) -> Result<Vec<(String, Described)>, DataError> {
    let mut arrays = Vec::new();
    for member in &members(file.path, &file.content)? {
        let Some(name) = array_name(member) else { continue };
        let bytes = unpacked(file.path, &file.content, member)?;
        let array = loaded(file.path, String::new(), &bytes, "");
        arrays.extend(array.map(|array| (name.to_owned(), Described::of(array))));
    }
    Ok(arrays)
}

fn members(path: &Path, content: &[u8]) -> Result<Vec<Listed>, DataError> {
    zip::directory(content, Members::Deflated).map_err(|error| unreadable(path, &error.to_string()))
}

fn array_name(member: &Listed) -> Option<&str> {
    member.name.strip_suffix(ENDING)
}

fn unreadable(path: &Path, reason: &str) -> DataError {
    TensorError::BadArray { path: path.into(), reason: reason.to_owned() }.into()
}

fn loaded(path: &Path, name: String, bytes: &[u8], place: &str) -> Result<Loaded, DataError> {
    let wrong = |reason: String| unreadable(path, &format!("{place}{reason}"));
    let array = Array::of(bytes).map_err(wrong)?;
    let elements = array.elements(bytes).map_err(wrong)?;
    Ok(Loaded { name, element: array.element, shape: array.shape, bytes: elements })
}

/// Returns the unpacked content of a member, if it has the size and the sum that the directory says.
fn unpacked<'a>(path: &Path, content: &'a [u8], member: &Listed) -> Result<Cow<'a, [u8]>, DataError> {
    let damaged = |what: &str| unreadable(path, &format!("array `{}`: {what}; fetch or write it again", member.name));
    let stored = content.get(member.range.clone()).unwrap_or_default();
    let bytes = if member.is_deflated {
        let needs = vec![Need::new(format!("array `{}`", member.name), member.size, "unpacked")];
        memory::require(&path.display().to_string(), needs, 0, file::remedies())?;
        let mut bytes = Vec::new();
        // One byte more than expected shows that there are too many.
        let mut packed = DeflateDecoder::new(stored).take(member.size.saturating_add(1));
        memory::expect_failure(|| packed.read_to_end(&mut bytes)).map_err(|error| damaged(&error.to_string()))?;
        Cow::Owned(bytes)
    } else {
        Cow::Borrowed(stored)
    };
    if bytes.len() as u64 != member.size {
        return Err(damaged("it has another size than the directory of the archive says"));
    }
    let mut crc = Crc::new();
    crc.update(&bytes);
    if crc.sum() == member.crc { Ok(bytes) } else { Err(damaged("its sum is another than the directory says")) }
}
