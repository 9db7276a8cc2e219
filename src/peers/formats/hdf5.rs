//! HDF5, as Keras writes it through h5py: groups of arrays, with attributes that are text.
//!
//! The structure is read by the crate `hdf5-reader`, which is written in Rust, builds without a C library, is maintained,
//! and checks what it reads: every changed form of real files that was tried gave an error or an array, within bounds. An
//! array is a view of the mapped file, so that only those of its numbers are read that are asked for. Keras writes its
//! arrays whole; arrays in compressed chunks are refused by name.

use std::collections::HashSet;
use std::sync::Arc;

use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{ByteOrder, Dataset, Datatype, Hdf5File, OpenOptions};

use super::super::tensor::{Dtype, Storage, Tensor, element_bytes};

/// First bytes of a file.
pub const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Depth of groups in each other, beyond any real model.
const DEEPEST: usize = 64;

/// A group of arrays and further groups.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Its name in the group above.
    pub name: String,
    /// Attributes that are text.
    pub attributes: Vec<(String, String)>,
    /// The groups in it, sorted by name.
    pub groups: Vec<Group>,
    /// The arrays in it, sorted by name.
    pub arrays: Vec<(String, Tensor)>,
}

impl Group {
    /// Returns a group in it.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// Returns the group at a path of names.
    pub fn at(&self, path: &[&str]) -> Option<&Group> {
        path.iter().try_fold(self, |group, name| group.group(name))
    }

    /// Returns an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
    }

    /// Returns arrays named 0, 1, … in that order.
    ///
    /// # Errors
    /// One of them is missing, or has another name.
    pub fn numbered(&self) -> Result<Vec<&Tensor>, String> {
        let mut numbered = vec![None; self.arrays.len()];
        for (name, array) in &self.arrays {
            let place = name.parse::<usize>().ok().and_then(|index| numbered.get_mut(index));
            *place.ok_or_else(|| format!("the array {name} is not numbered from 0 to {}", self.arrays.len() - 1))? =
                Some(array);
        }
        numbered.into_iter().collect::<Option<_>>().ok_or_else(|| "an array stands twice under its number".to_owned())
    }
}

/// Reads the groups of a file.
///
/// # Errors
/// It is damaged, or has an array that is not read.
pub fn read(file: &Arc<Storage>) -> Result<Group, String> {
    struct Bytes(Arc<Storage>);
    impl AsRef<[u8]> for Bytes {
        fn as_ref(&self) -> &[u8] {
            self.0.bytes()
        }
    }
    // No number is read by the crate, so that its limits are only for what should not happen.
    let size = file.bytes().len();
    let options = OpenOptions::default()
        .with_chunk_cache_bytes(0)
        .with_max_chunk_bytes(size)
        .with_max_read_bytes(size)
        .with_max_object_header_bytes(size);
    let damaged = |error: hdf5_reader::error::Error| format!("the HDF5 file is damaged or of an unknown kind: {error}");
    let hdf5 = Hdf5File::from_owner(Bytes(Arc::clone(file)), options).map_err(damaged)?;
    let superblock = hdf5.superblock();
    if superblock.base_address == 0 && superblock.eof_address > size as u64 {
        return Err(format!(
            "the HDF5 file has {size} bytes, but should have {}: it was cut off",
            superblock.eof_address
        ));
    }
    let root = hdf5.root_group().map_err(damaged)?;
    let mut walk = Walk { file, hdf5: &hdf5, seen: HashSet::new() };
    walk.group(&root, "", 0)
}

struct Walk<'a> {
    file: &'a Arc<Storage>,
    hdf5: &'a Hdf5File,
    seen: HashSet<u64>,
}

impl Walk<'_> {
    fn group(&mut self, group: &hdf5_reader::group::Group, path: &str, depth: usize) -> Result<Group, String> {
        let damaged = |error: hdf5_reader::error::Error| format!("the group {path}/ is damaged: {error}");
        if depth > DEEPEST {
            return Err(format!("groups are more than {DEEPEST} deep in each other at {path}"));
        }
        self.once(group.address(), path)?;
        let (groups, datasets) = group.members().map_err(damaged)?;
        let mut read = Group { name: group.name().to_owned(), ..Group::default() };
        for attribute in group.attributes().map_err(damaged)? {
            if let Ok(text) = attribute.read_string() {
                read.attributes.push((attribute.name, text));
            }
        }
        for below in groups {
            let path = format!("{path}/{}", below.name());
            read.groups.push(self.group(&below, &path, depth + 1)?);
        }
        for dataset in datasets {
            let path = format!("{path}/{}", dataset.name());
            self.once(dataset.address(), &path)?;
            let array = self.array(&dataset).map_err(|what| format!("the array {path}: {what}"))?;
            read.arrays.push((dataset.name().to_owned(), array));
        }
        read.groups.sort_by(|one, other| one.name.cmp(&other.name));
        read.arrays.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(read)
    }

    /// Sees to it that a file is a tree: through links it could be without end.
    fn once(&mut self, address: u64, path: &str) -> Result<(), String> {
        match self.seen.insert(address) {
            true => Ok(()),
            false => Err(format!("{path} is linked to a group or array that stands elsewhere too, which is not read")),
        }
    }

    fn array(&self, dataset: &Dataset) -> Result<Tensor, String> {
        let bfloat16 =
            dataset.attribute("dtype").and_then(|name| name.read_string()).is_ok_and(|name| name == "bfloat16");
        let (dtype, big) = dtype(dataset.dtype(), bfloat16)?;
        let shape: Vec<usize> = dataset.shape().iter().map(|length| *length as usize).collect();
        let elements = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
        let bytes = elements.zip(element_bytes(dtype).ok()).and_then(|(elements, size)| elements.checked_mul(size));
        let bytes = bytes.ok_or_else(|| format!("the shape {shape:?} has more elements than can be counted"))?;
        let storage = self.stored(dataset, bytes)?;
        if !big {
            return Tensor::contiguous(dtype, shape, storage);
        }
        let mut turned = storage.bytes().to_vec();
        turned.chunks_exact_mut(element_bytes(dtype)?).for_each(<[u8]>::reverse);
        Tensor::contiguous(dtype, shape, Storage::owned(turned))
    }

    /// Returns the bytes of an array, which must be stored whole.
    fn stored(&self, dataset: &Dataset, due: usize) -> Result<Arc<Storage>, String> {
        let header = self.hdf5.get_or_parse_header(dataset.address()).map_err(|error| error.to_string())?;
        if header.messages.iter().any(|message| matches!(message, HdfMessage::ExternalFiles(_))) {
            return Err("its numbers are in another file, which is not read".to_owned());
        }
        let layout = header.messages.iter().find_map(|message| match message {
            HdfMessage::DataLayout(layout) => Some(&layout.layout),
            _ => None,
        });
        let part = match layout {
            Some(DataLayout::Compact { data }) => data.get(..due).map(|data| Storage::owned(data.to_vec())),
            Some(DataLayout::Contiguous { address, .. }) if *address == u64::MAX && due > 0 => {
                return Err("it was made, but never written".to_owned());
            }
            Some(DataLayout::Contiguous { .. }) if due == 0 => Some(Storage::owned(Vec::new())),
            Some(DataLayout::Contiguous { address, .. }) => {
                let start = self.hdf5.superblock().base_address.checked_add(*address);
                let start = start.and_then(|start| usize::try_from(start).ok());
                let end = start.and_then(|start| start.checked_add(due));
                start.zip(end).and_then(|(start, end)| self.file.part(start..end))
            }
            Some(DataLayout::Chunked { .. }) => {
                return Err("it is stored in chunks, which Keras does not write; store it whole with \
                            `h5repack -l CONTI -f NONE`"
                    .to_owned());
            }
            _ => return Err("its place in the file is of an unknown kind".to_owned()),
        };
        part.ok_or_else(|| format!("its {due} bytes reach beyond the file: it was cut off"))
    }
}

/// Returns the dtype, and whether its elements are in big-endian order.
fn dtype(datatype: &Datatype, bfloat16: bool) -> Result<(Dtype, bool), String> {
    // HDF5 has no bfloat16: Keras marks such arrays, whose elements it knows as two bytes.
    if bfloat16 && matches!(datatype, Datatype::Opaque { size: 2, .. }) {
        return Ok((Dtype::BF16, false));
    }
    let (dtype, order) = match datatype {
        Datatype::FixedPoint { size: 2, byte_order, .. } | Datatype::FloatingPoint { size: 2, byte_order }
            if bfloat16 =>
        {
            (Dtype::BF16, byte_order)
        }
        Datatype::FloatingPoint { size: 2, byte_order } => (Dtype::F16, byte_order),
        Datatype::FloatingPoint { size: 4, byte_order } => (Dtype::F32, byte_order),
        Datatype::FloatingPoint { size: 8, byte_order } => (Dtype::F64, byte_order),
        Datatype::FixedPoint { size: 1, signed: true, byte_order } => (Dtype::I8, byte_order),
        Datatype::FixedPoint { size: 2, signed: true, byte_order } => (Dtype::I16, byte_order),
        Datatype::FixedPoint { size: 4, signed: true, byte_order } => (Dtype::I32, byte_order),
        Datatype::FixedPoint { size: 8, signed: true, byte_order } => (Dtype::I64, byte_order),
        Datatype::FixedPoint { size: 1, byte_order, .. } => (Dtype::U8, byte_order),
        Datatype::FixedPoint { size: 2, byte_order, .. } => (Dtype::U16, byte_order),
        Datatype::FixedPoint { size: 4, byte_order, .. } => (Dtype::U32, byte_order),
        Datatype::FixedPoint { size: 8, byte_order, .. } => (Dtype::U64, byte_order),
        // h5py stores truth values as an enumeration of FALSE and TRUE.
        Datatype::Enum { base, members }
            if members.len() == 2 && matches!(**base, Datatype::FixedPoint { size: 1, .. }) =>
        {
            return Ok((Dtype::BOOL, false));
        }
        other => return Err(format!("its elements are of the type {other:?}, which is not read")),
    };
    Ok((dtype, *order == ByteOrder::BigEndian))
}

#[cfg(test)]
mod tests;
