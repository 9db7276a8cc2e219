//! Parts of tensors: where they are, and how they are put together.

use std::collections::HashMap;

use super::super::super::tensor::{Storage, Tensor, element_bytes, row_major};
use super::super::super::tree::Ref;
use super::super::pickle::Refusal;

/// Most parts of one tensor: one for each process of a large run.
const MOST_PARTS: usize = 4096;

/// Most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 64;

/// A stored part: its file, and its bytes there.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Where it begins in its tensor; `None` for a value that is no tensor.
    pub(super) at: Option<Vec<usize>>,
    pub(super) file: String,
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// A piece of a tensor: where it begins, and its shape.
pub(super) struct Chunk {
    pub(super) offsets: Vec<usize>,
    pub(super) sizes: Vec<usize>,
}

/// A tensor with all its parts.
pub(super) struct Wanted {
    shape: Vec<usize>,
    pub(super) chunks: Vec<(Chunk, Part)>,
}

/// Returns all stored parts by name.
pub(super) fn stored(metadata: Ref<'_>) -> Result<HashMap<&str, Vec<Part>>, Refusal> {
    let damaged = |what: &str| Refusal::Damaged(what.to_owned());
    let entries = metadata.get("storage_data").and_then(Ref::entries);
    let entries = entries.ok_or_else(|| damaged("it has no `storage_data`"))?;
    let mut stored: HashMap<&str, Vec<Part>> = HashMap::new();
    for (index, place) in entries {
        let name = index.get("fqn").and_then(Ref::text);
        let name = name.ok_or_else(|| damaged("an entry of `storage_data` has no name"))?;
        let at = index.get("offset").filter(|offset| !offset.is_null()).and_then(lengths);
        let file = place.get("relative_path").and_then(Ref::text);
        let length = |key: &str| place.get(key).and_then(Ref::int).and_then(|length| usize::try_from(length).ok());
        let (Some(file), Some(offset), Some(length)) = (file, length("offset"), length("length")) else {
            return Err(Refusal::Damaged(format!("`{name}` has no file, offset and length")));
        };
        if file.contains(['/', '\\']) || file.is_empty() || file == ".." {
            return Err(Refusal::Damaged(format!("`{name}` is in {file:?}, which is no file of this folder")));
        }
        if let Some(packed) = place.get("transform_descriptors").filter(|packed| !packed.is_null())
            && packed.items().is_none_or(|mut all| all.next().is_some())
        {
            return Err(Refusal::Unsupported(format!("`{name}` is compressed; save without extensions of the writer")));
        }
        stored.entry(name).or_default().push(Part { at, file: file.to_owned(), offset, length });
    }
    no_overlap(&stored)?;
    Ok(stored)
}

/// Checks that no bytes of a file belong to two parts, so that reading all of them takes no more than the files do.
fn no_overlap(stored: &HashMap<&str, Vec<Part>>) -> Result<(), Refusal> {
    let mut in_order: Vec<(&str, usize, usize, &str)> = (stored.iter())
        .flat_map(|(name, parts)| parts.iter().map(|part| (part.file.as_str(), part.offset, part.length, *name)))
        .collect();
    in_order.sort_unstable();
    for [(file, offset, length, name), (next_file, next, _, other)] in in_order.array_windows() {
        if file == next_file && offset.checked_add(*length).is_none_or(|end| end > *next) {
            return Err(Refusal::Damaged(format!("parts of `{name}` and `{other}` overlap in {file:?}")));
        }
    }
    Ok(())
}

/// Returns a tensor's shape, and its pieces with their stored parts.
pub(super) fn wanted(kind: Ref<'_>, stored: &[Part]) -> Result<Wanted, Refusal> {
    let damaged = |what: String| Refusal::Damaged(what);
    let shape = kind.get("size").and_then(lengths).ok_or_else(|| damaged("it has no shape".to_owned()))?;
    let listed = kind.get("chunks").and_then(Ref::items);
    let listed = listed.ok_or_else(|| damaged("it has no list of its parts".to_owned()))?;
    if listed.len() > MOST_PARTS {
        return Err(Refusal::Unsupported(format!("it is in {} parts; up to {MOST_PARTS} are read", listed.len())));
    }
    let by_place: HashMap<&[usize], &Part> =
        stored.iter().filter_map(|part| Some((part.at.as_deref()?, part))).collect();
    let mut chunks = Vec::with_capacity(listed.len());
    for chunk in listed {
        let (offsets, sizes) = (chunk.get("offsets").and_then(lengths), chunk.get("sizes").and_then(lengths));
        let (Some(offsets), Some(sizes)) = (offsets, sizes) else {
            return Err(damaged("a part has no offsets and sizes".to_owned()));
        };
        // A piece without elements, of a process that got nothing, is not stored by every version.
        if sizes.contains(&0) && !shape.contains(&0) {
            continue;
        }
        let part = by_place.get(&offsets[..]).copied().or(match stored {
            [only] if only.at.is_none() => Some(only),
            _ => None,
        });
        let part = part.ok_or_else(|| damaged(format!("`.metadata` does not say where its part at {offsets:?} is")))?;
        chunks.push((Chunk { offsets, sizes }, part.clone()));
    }
    let wanted = Wanted { shape, chunks };
    wanted.check()?;
    Ok(wanted)
}

fn lengths(value: Ref<'_>) -> Option<Vec<usize>> {
    let length = |item: Ref<'_>| item.int().and_then(|length| usize::try_from(length).ok());
    value.items().filter(|items| items.len() <= MOST_DIMENSIONS)?.map(length).collect()
}

impl Wanted {
    /// Checks that the pieces fill the tensor and do not overlap.
    fn check(&self) -> Result<(), Refusal> {
        let volume = |sizes: &[usize]| sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        let mut filled = Some(0usize);
        for (chunk, _) in &self.chunks {
            let fits = chunk.offsets.len() == self.shape.len()
                && chunk.sizes.len() == self.shape.len()
                && (chunk.offsets.iter().zip(&chunk.sizes).zip(&self.shape))
                    .all(|((offset, size), length)| offset.checked_add(*size).is_some_and(|end| end <= *length));
            if !fits {
                return Err(Refusal::Damaged(format!("its part at {:?} is outside of it", chunk.offsets)));
            }
            filled = filled.and_then(|filled| filled.checked_add(volume(&chunk.sizes)?));
        }
        if filled.is_none() || filled != volume(&self.shape) {
            return Err(Refusal::Damaged(format!(
                "its parts have {filled:?} of the elements of shape {:?}",
                self.shape
            )));
        }
        match self.overlapping() {
            Some(at) => Err(Refusal::Damaged(format!("its part at {at:?} overlaps another"))),
            None => Ok(()),
        }
    }

    /// Returns a piece that overlaps another: of those in the order of the first dimension, only neighbours can.
    fn overlapping(&self) -> Option<&[usize]> {
        let mut in_order: Vec<&Chunk> = self.chunks.iter().map(|(chunk, _)| chunk).collect();
        in_order.sort_unstable_by(|one, other| one.offsets.cmp(&other.offsets));
        let end = |chunk: &Chunk, axis: usize| chunk.offsets[axis] + chunk.sizes[axis];
        for (index, one) in in_order.iter().enumerate() {
            for other in in_order[index + 1..].iter() {
                if self.shape.is_empty() || end(one, 0) <= other.offsets[0] {
                    break;
                }
                if (0..self.shape.len())
                    .all(|axis| end(one, axis) > other.offsets[axis] && end(other, axis) > one.offsets[axis])
                {
                    return Some(&other.offsets);
                }
            }
        }
        None
    }

    /// Puts the pieces together; one that is the whole stays a view of the file.
    pub(super) fn together(self, mut tensors: Vec<Tensor>) -> Result<Tensor, Refusal> {
        if tensors.len() == 1
            && let Some(whole) = tensors.pop()
        {
            return Ok(whole);
        }
        let Some(dtype) = tensors.first().map(Tensor::dtype) else {
            let dtype = super::super::super::tensor::Dtype::F32;
            return Ok(Tensor::contiguous(dtype, self.shape, Storage::owned(Vec::new()))?);
        };
        if tensors.iter().any(|tensor| tensor.dtype() != dtype) {
            return Err(Refusal::Damaged("its parts have different dtypes".to_owned()));
        }
        let size = element_bytes(dtype)?;
        let elements: usize = self.shape.iter().product();
        let mut bytes = vec![0; elements * size];
        let strides = row_major(&self.shape);
        for ((chunk, _), tensor) in self.chunks.iter().zip(&tensors) {
            copy(&mut bytes, &tensor.to_bytes()?, chunk, &strides, size);
        }
        Ok(Tensor::contiguous(dtype, self.shape, Storage::owned(bytes))?)
    }
}

/// Copies a piece to its place, row by row of its last dimension.
fn copy(into: &mut [u8], piece: &[u8], chunk: &Chunk, strides: &[usize], size: usize) {
    let row = chunk.sizes.last().copied().unwrap_or(1) * size;
    let outer = chunk.sizes.len().saturating_sub(1);
    let mut index = vec![0; outer];
    for row_bytes in piece.chunks_exact(row.max(1)) {
        let start: usize = (chunk.offsets.iter().zip(strides).enumerate())
            .map(|(axis, (offset, stride))| (offset + index.get(axis).copied().unwrap_or(0)) * stride)
            .sum();
        if let Some(place) = into.get_mut(start * size..start * size + row) {
            place.copy_from_slice(row_bytes);
        }
        for axis in (0..outer).rev() {
            index[axis] += 1;
            if index[axis] < chunk.sizes[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(shape: &[usize], pieces: &[(&[usize], &[usize])]) -> Wanted {
        let part = Part { at: None, file: String::new(), offset: 0, length: 0 };
        let chunk =
            |(offsets, sizes): &(&[usize], &[usize])| Chunk { offsets: offsets.to_vec(), sizes: sizes.to_vec() };
        Wanted { shape: shape.to_vec(), chunks: pieces.iter().map(|piece| (chunk(piece), part.clone())).collect() }
    }

    fn numbers(shape: &[usize], numbers: &[f32]) -> Tensor {
        Tensor::from_f32(shape, numbers).unwrap()
    }

    #[test]
    fn pieces_of_rows_and_columns_are_put_together() {
        let grid = wanted(&[3, 3], &[(&[2, 0], &[1, 3]), (&[0, 0], &[2, 1]), (&[0, 1], &[2, 2])]);
        grid.check().unwrap();
        let pieces =
            [numbers(&[1, 3], &[7., 8., 9.]), numbers(&[2, 1], &[1., 4.]), numbers(&[2, 2], &[2., 3., 5., 6.])];
        let whole = grid.together(pieces.to_vec()).unwrap();
        assert_eq!((whole.shape(), whole.to_f32().unwrap()), (&[3, 3][..], vec![1., 2., 3., 4., 5., 6., 7., 8., 9.]));
        let cube = wanted(&[2, 1, 2], &[(&[1, 0, 0], &[1, 1, 2]), (&[0, 0, 0], &[1, 1, 2])]);
        let pieces = vec![numbers(&[1, 1, 2], &[3., 4.]), numbers(&[1, 1, 2], &[1., 2.])];
        assert_eq!(cube.together(pieces).unwrap().to_f32().unwrap(), [1., 2., 3., 4.]);
    }

    #[test]
    fn parts_that_share_bytes_are_refused() {
        let part = |offset| Part { at: None, file: "__0_0.distcp".to_owned(), offset, length: 10 };
        assert!(no_overlap(&HashMap::from([("a", vec![part(0)]), ("b", vec![part(10), part(20)])])).is_ok());
        let shared = no_overlap(&HashMap::from([("a", vec![part(0)]), ("b", vec![part(9)])]));
        assert!(matches!(shared, Err(Refusal::Damaged(what)) if what.contains("`a` and `b` overlap")));
    }

    #[test]
    fn pieces_that_overlap_leave_a_gap_or_lie_outside_are_refused() {
        let refusal = |shape: &[usize], pieces: &[(&[usize], &[usize])]| match wanted(shape, pieces).check() {
            Err(Refusal::Damaged(what)) => what,
            other => panic!("{other:?}"),
        };
        assert!(refusal(&[4], &[(&[0], &[2])]).contains("of the elements"));
        assert!(refusal(&[4], &[(&[0], &[2]), (&[1], &[2])]).contains("overlaps"));
        assert!(refusal(&[2, 2], &[(&[0, 0], &[1, 2]), (&[0, 0], &[2, 1])]).contains("overlaps"));
        assert!(refusal(&[4], &[(&[3], &[2]), (&[0], &[2])]).contains("outside"));
        assert!(refusal(&[4], &[(&[0, 0], &[4, 1])]).contains("outside"));
        assert!(refusal(&[usize::MAX, 9], &[(&[0, 0], &[1, 1])]).contains("of the elements"));
    }
}
