//! Named tensors as a safetensors file, written without a copy and read in one pass.
//!
//! The file is the one that `safetensors` itself would write, without metadata: the header is padded to eight bytes,
//! the largest dtypes come first so that every tensor is aligned, and tensors of one dtype are in name order.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};

use super::error::{CheckpointError, During};
use crate::state::{Dtype, HostTensor};
use crate::tensor_header::{self, REMARKS, Remarks};

/// A tensor without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorOutline {
    /// The part that it belongs to.
    pub part: String,
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The size of its elements in bytes.
    pub bytes: u64,
}

/// Encodes `tensors` as a file, in pieces to be written one after the other.
pub(super) fn encode<'a>(
    part: &str,
    tensors: &'a BTreeMap<String, HostTensor>,
) -> Result<Vec<Cow<'a, [u8]>>, CheckpointError> {
    for (name, tensor) in tensors {
        check(name, tensor).map_err(|reason| CheckpointError::Tensor {
            part: part.to_owned(),
            tensor: name.clone(),
            reason,
        })?;
    }
    let mut ordered: Vec<_> = tensors.iter().collect();
    ordered.sort_by_key(|(_, tensor)| Reverse(tensor.dtype));
    let mut pieces = vec![Cow::Owned(
        header(&ordered)
            .map_err(|reason| CheckpointError::Unreadable { file: super::name::tensor_file(part), reason })?,
    )];
    pieces.extend(ordered.iter().map(|(_, tensor)| Cow::Borrowed(tensor.bytes.as_slice())));
    Ok(pieces)
}

/// A tensor that may be elsewhere.
pub(super) struct Form {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

/// Returns the beginning of a file of tensors in the order of [`encode`], and the place of each in the file.
pub(super) fn header_of(part: &str, tensors: Vec<Form>) -> Result<(Vec<u8>, Vec<Range<u64>>), CheckpointError> {
    let refused = |tensor: String, reason: &str| CheckpointError::Tensor {
        part: part.to_owned(),
        tensor,
        reason: reason.to_owned(),
    };
    let (mut end, mut infos) = (0usize, Vec::with_capacity(tensors.len()));
    for Form { name, dtype, shape } in tensors {
        let elements = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        let bits = elements.and_then(|elements| elements.checked_mul(dtype.bitsize()));
        let Some(bits) = bits.filter(|bits| bits.is_multiple_of(8)) else {
            return Err(refused(name, "it does not fill whole bytes"));
        };
        if name == REMARKS {
            return Err(refused(name, "the safetensors format reserves that name"));
        }
        infos.push((name, TensorInfo { dtype, shape, data_offsets: (end, end + bits / 8) }));
        end += bits / 8;
    }
    let places: Vec<(usize, usize)> = infos.iter().map(|(_, info)| info.data_offsets).collect();
    let unreadable = |reason| CheckpointError::Unreadable { file: super::name::tensor_file(part), reason };
    let header = beginning(infos).map_err(unreadable)?;
    let data = header.len();
    Ok((header, places.into_iter().map(|(start, end)| (data + start) as u64..(data + end) as u64).collect()))
}

fn check(name: &str, tensor: &HostTensor) -> Result<(), String> {
    if name == REMARKS {
        return Err("the safetensors format reserves that name".to_owned());
    }
    let elements = tensor.shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
    let bits = elements.and_then(|elements| elements.checked_mul(tensor.dtype.bitsize()));
    if bits == tensor.bytes.len().checked_mul(8) {
        Ok(())
    } else {
        Err(format!("{} does not fill {} whole bytes", tensor.kind(), tensor.bytes.len()))
    }
}

fn header(ordered: &[(&String, &HostTensor)]) -> Result<Vec<u8>, String> {
    let mut end = 0;
    let infos = ordered.iter().map(|&(name, tensor)| {
        let start = end;
        end += tensor.bytes.len();
        (name.clone(), TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (start, end) })
    });
    beginning(infos.collect())
}

fn beginning(infos: Vec<(String, TensorInfo)>) -> Result<Vec<u8>, String> {
    let metadata = Metadata::new(None, infos).map_err(|error| error.to_string())?;
    let mut json = serde_json::to_vec(&metadata).map_err(|error| error.to_string())?;
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() as u64 > tensor_header::LIMIT {
        return Err(format!("its header has {} bytes, and {} are the most", json.len(), tensor_header::LIMIT));
    }
    Ok([&(json.len() as u64).to_le_bytes(), json.as_slice()].concat())
}

/// Reads the tensors of the file at `path`, of `bytes` bytes from `reader`; with `keep` false it only checks the
/// header. Memory is limited by the file's size.
pub(super) fn read(
    reader: &mut impl Read,
    path: &Path,
    bytes: u64,
    keep: bool,
) -> Result<BTreeMap<String, HostTensor>, CheckpointError> {
    let metadata = read_header(reader, path, bytes)?;
    let mut tensors = BTreeMap::new();
    if !keep {
        return Ok(tensors);
    }
    for name in metadata.offset_keys() {
        let Some(TensorInfo { dtype, shape, data_offsets: (start, end) }) = metadata.info(&name) else { continue };
        let mut bytes = vec![0; end - start];
        reader.read_exact(&mut bytes).during("read", path)?;
        tensors.insert(name, HostTensor { dtype: *dtype, shape: shape.clone(), bytes });
    }
    Ok(tensors)
}

/// Reads the tensors in the header of the file at `path`, in their order; the part is left empty.
pub(super) fn outline(reader: &mut impl Read, path: &Path, bytes: u64) -> Result<Vec<TensorOutline>, CheckpointError> {
    let metadata = read_header(reader, path, bytes)?;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let outline = |(name, info): (String, &TensorInfo)| {
        let (start, end) = info.data_offsets;
        let (dtype, shape) = (info.dtype, info.shape.clone());
        TensorOutline { part: String::new(), name, dtype, shape, bytes: (end - start) as u64 }
    };
    Ok(tensors.into_iter().map(outline).collect())
}

/// The tensors that the header describes.
fn read_header(reader: &mut impl Read, path: &Path, bytes: u64) -> Result<Metadata, CheckpointError> {
    let bad = |reason: String| CheckpointError::Header { path: path.to_owned(), reason };
    let read = tensor_header::read(reader, bytes, Remarks::Refused).during("read", path)?;
    read.map(|(_, metadata)| metadata).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dtype: Dtype, bytes: &[u8]) -> HostTensor {
        HostTensor { dtype, shape: vec![bytes.len() * 8 / dtype.bitsize()], bytes: bytes.to_vec() }
    }

    fn file(tensors: &BTreeMap<String, HostTensor>) -> Vec<u8> {
        encode("model", tensors).unwrap().concat()
    }

    fn bad_header(json: &str, data: usize) -> String {
        let file = [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &vec![0; data]].concat();
        match read(&mut file.as_slice(), Path::new("x"), file.len() as u64, true) {
            Err(CheckpointError::Header { reason, .. }) => reason,
            other => panic!("{json} gave {other:?}"),
        }
    }

    #[test]
    fn the_file_is_the_one_that_safetensors_writes() {
        let tensors = BTreeMap::from([
            ("a".to_owned(), tensor(Dtype::U8, &[1, 2, 3])),
            ("b".to_owned(), tensor(Dtype::F64, &[0; 16])),
            ("c".to_owned(), tensor(Dtype::U8, &[4])),
            ("d".to_owned(), tensor(Dtype::F32, &[5; 8])),
        ]);
        let view =
            |t: &'static HostTensor| safetensors::tensor::TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap();
        let leaked: &'static BTreeMap<String, HostTensor> = Box::leak(Box::new(tensors.clone()));
        let theirs = safetensors::serialize(leaked.iter().map(|(name, t)| (name, view(t))), None).unwrap();
        assert_eq!(file(&tensors), theirs);
    }

    #[test]
    fn tensors_that_do_not_fill_their_bytes_are_not_written() {
        for (name, tensor) in [
            ("x", HostTensor { dtype: Dtype::F32, shape: vec![2], bytes: vec![0; 7] }),
            ("x", HostTensor { dtype: Dtype::F4, shape: vec![3], bytes: vec![0; 2] }),
            ("x", HostTensor { dtype: Dtype::F32, shape: vec![usize::MAX, 2], bytes: vec![] }),
            (REMARKS, tensor(Dtype::F32, &[0; 4])),
        ] {
            let tensors = BTreeMap::from([(name.to_owned(), tensor)]);
            assert!(matches!(encode("model", &tensors), Err(CheckpointError::Tensor { .. })), "{tensors:?}");
        }
    }

    #[test]
    fn headers_that_do_not_describe_the_file_are_refused() {
        let one = |dtype: &str, shape: &str, start: usize, end: usize| {
            format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}}}"#)
        };
        assert!(bad_header(&one("F32", "[2]", 0, 8), 4).contains("fill 8 of the 4 bytes"));
        assert!(bad_header(&one("F32", "[2]", 0, 8), 12).contains("fill 8 of the 12 bytes"));
        assert!(bad_header(&one("F32", "[3]", 0, 8), 8).contains("invalid shape"));
        assert!(bad_header(&one("F32", "[2]", 4, 12), 12).contains("invalid offset"));
        assert!(bad_header(&one("F32", "[2]", 8, 0), 8).contains("invalid offset"));
        assert!(bad_header(&one("F32", "[18446744073709551615,18446744073709551615]", 0, 8), 8).contains("overflow"));
        assert!(bad_header(&one("F31", "[2]", 0, 8), 8).contains("F31"));
        assert!(bad_header("{", 0).contains("EOF"));
        let overlap = r#"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"y":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#;
        assert!(bad_header(overlap, 6).contains("invalid offset"));
    }

    #[test]
    fn a_header_that_claims_more_than_the_file_is_refused_before_anything_is_allocated() {
        let file = [&(1_u64 << 60).to_le_bytes()[..], b"{}"].concat();
        let error = read(&mut file.as_slice(), Path::new("x"), file.len() as u64, true).unwrap_err();
        assert!(error.to_string().contains("claims 1152921504606846976 bytes, and there is room for 2"), "{error}");
        let error = read(&mut [0; 7].as_slice(), Path::new("x"), 7, true).unwrap_err();
        assert!(error.to_string().contains("7 bytes are too few"), "{error}");
    }
}
