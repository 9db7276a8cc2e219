//! A tensor of another trainer's file: a view of stored bytes, which are mapped and copied only when they are asked for.

use std::borrow::Cow;
use std::fmt;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;
pub use safetensors::Dtype;

/// Stored bytes that tensors are views of, in little-endian order.
pub struct Storage(Bytes);

enum Bytes {
    Mapped { map: Arc<Mmap>, range: Range<usize> },
    Owned(Vec<u8>),
}

impl Storage {
    /// Returns the storage of `range` in a mapped file; `None` where the file ends before.
    pub fn mapped(map: Arc<Mmap>, range: Range<usize>) -> Option<Arc<Self>> {
        map.get(range.clone())?;
        Some(Arc::new(Self(Bytes::Mapped { map, range })))
    }

    /// Returns the storage of bytes that were computed, such as those of a compressed array.
    pub fn owned(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self(Bytes::Owned(bytes)))
    }

    /// Returns the storage of a part; `None` where it ends before. Bytes that are not mapped are copied.
    pub fn part(&self, part: Range<usize>) -> Option<Arc<Self>> {
        match &self.0 {
            Bytes::Owned(bytes) => Some(Self::owned(bytes.get(part)?.to_vec())),
            Bytes::Mapped { map, range } => {
                self.bytes().get(part.clone())?;
                Self::mapped(Arc::clone(map), range.start + part.start..range.start + part.end)
            }
        }
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            // The range was checked when the storage was made.
            Bytes::Mapped { map, range } => map.get(range.clone()).unwrap_or_default(),
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Storage({} bytes)", self.bytes().len())
    }
}

/// A tensor: dtype, shape, and its place in a storage.
#[derive(Clone, Debug)]
pub struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Distance in elements between neighbours, for each dimension.
    strides: Vec<usize>,
    /// Place of the first element, in elements.
    offset: usize,
    storage: Arc<Storage>,
    /// A view with the opposite sign of what is stored.
    negated: bool,
}

/// Number of elements that a view may have beyond those stored: expanded tensors repeat theirs.
const REPEATED: usize = 1 << 24;

impl Tensor {
    /// Creates a view of `storage`.
    ///
    /// # Errors
    /// The dtype has no whole bytes, numbers of strides and dimensions differ, or the view leaves the storage.
    pub fn new(
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: Arc<Storage>,
    ) -> Result<Self, String> {
        let size = element_bytes(dtype)?;
        if strides.len() != shape.len() {
            return Err(format!("a tensor of {} dimensions has {} strides", shape.len(), strides.len()));
        }
        let elements = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
        let elements = elements.ok_or_else(|| format!("the shape {shape:?} has more elements than can be counted"))?;
        let stored = storage.bytes().len() / size;
        if elements > 0 {
            let reach = shape.iter().zip(&strides).try_fold(offset, |last, (length, stride)| {
                (length - 1).checked_mul(*stride).and_then(|distance| last.checked_add(distance))
            });
            if reach.is_none_or(|last| last >= stored) {
                return Err(format!(
                    "a tensor of shape {shape:?} with strides {strides:?} from element {offset} leaves its storage of {stored} elements"
                ));
            }
            if elements > stored.saturating_add(REPEATED) {
                return Err(format!("the shape {shape:?} repeats a storage of {stored} elements too often"));
            }
        }
        Ok(Self { dtype, shape, strides, offset, storage, negated: false })
    }

    /// Creates a tensor in row-major order from the start of `storage`.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn contiguous(dtype: Dtype, shape: Vec<usize>, storage: Arc<Storage>) -> Result<Self, String> {
        let strides = row_major(&shape);
        Self::new(dtype, shape, strides, 0, storage)
    }

    /// Creates a tensor of f32 numbers.
    pub fn from_f32(shape: &[usize], numbers: &[f32]) -> Result<Self, String> {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        Self::contiguous(Dtype::F32, shape.to_vec(), Storage::owned(bytes))
    }

    /// Returns the same view with the opposite sign.
    #[must_use]
    pub fn negated(mut self) -> Self {
        self.negated = !self.negated;
        self
    }

    /// Returns the element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Returns the lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns whether both are views of one storage that begin at the same element with the same shape and strides.
    pub fn is_same_view(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.storage, &other.storage)
            && (self.dtype, self.offset, &self.shape, &self.strides, self.negated)
                == (other.dtype, other.offset, &other.shape, &other.strides, other.negated)
    }

    /// Returns a key that is equal for two tensors exactly where [`Tensor::is_same_view`] holds, to find them among many.
    pub fn view(&self) -> impl Eq + Hash + use<> {
        let storage = Arc::as_ptr(&self.storage) as usize;
        (storage, self.dtype.to_string(), self.offset, self.shape.clone(), self.strides.clone(), self.negated)
    }

    /// Returns the view with its dimensions in the order of `axes`.
    ///
    /// # Errors
    /// `axes` is no order of the dimensions.
    pub fn permuted(&self, axes: &[usize]) -> Result<Self, String> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted.iter().copied().ne(0..self.shape.len()) {
            return Err(format!("{axes:?} is no order of {} dimensions", self.shape.len()));
        }
        let mut view = self.clone();
        view.shape = axes.iter().map(|axis| self.shape[*axis]).collect();
        view.strides = axes.iter().map(|axis| self.strides[*axis]).collect();
        Ok(view)
    }

    /// Returns `length` numbers from element `start` of a tensor in row-major order, as a tensor of `shape`.
    ///
    /// # Errors
    /// The tensor is not in row-major order, or has fewer elements.
    pub fn cut(&self, start: usize, shape: &[usize]) -> Result<Self, String> {
        let length = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
        let end = length.and_then(|length| start.checked_add(length));
        if end.is_none_or(|end| end > self.elements()) {
            return Err(format!("{shape:?} from element {start} on is beyond the {} elements", self.elements()));
        }
        if !self.is_row_major() {
            return Err("a tensor that is not in row-major order cannot be cut".to_owned());
        }
        let mut view =
            Self::new(self.dtype, shape.to_vec(), row_major(shape), self.offset + start, Arc::clone(&self.storage))?;
        view.negated = self.negated;
        Ok(view)
    }

    fn is_row_major(&self) -> bool {
        // The stride of a dimension of one element is of no account.
        self.elements() == 0
            || (self.shape.iter().zip(&self.strides).zip(row_major(&self.shape)))
                .all(|((length, stride), expected)| *length == 1 || *stride == expected)
    }

    /// Returns the elements as little-endian bytes in row-major order; they are borrowed where they are stored so.
    ///
    /// # Errors
    /// The sign of a dtype without one is to be turned.
    pub fn to_bytes(&self) -> Result<Cow<'_, [u8]>, String> {
        let size = element_bytes(self.dtype)?;
        let bytes = self.storage.bytes();
        if self.elements() == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        let mut copy = if self.is_row_major() {
            let stored = bytes[self.offset * size..][..self.elements() * size].as_ref();
            if !self.negated {
                return Ok(Cow::Borrowed(stored));
            }
            stored.to_vec()
        } else {
            let mut copy = Vec::with_capacity(self.elements() * size);
            self.visit(|place| copy.extend_from_slice(&bytes[place * size..][..size]));
            copy
        };
        if self.negated {
            turn_signs(self.dtype, &mut copy)?;
        }
        Ok(Cow::Owned(copy))
    }

    /// Calls `each` with the place of every element in the storage, in row-major order.
    fn visit(&self, mut each: impl FnMut(usize)) {
        let mut index = vec![0; self.shape.len()];
        let mut place = self.offset;
        for _ in 0..self.elements() {
            each(place);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                place += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                place -= index[axis] * self.strides[axis];
                index[axis] = 0;
            }
        }
    }

    /// Returns the elements as f64; integers beyond 2^53 are rounded.
    ///
    /// # Errors
    /// The dtype has no such numbers, which is then named.
    pub fn to_f64(&self) -> Result<Vec<f64>, String> {
        let bytes = self.to_bytes()?;
        let of = |size: usize, read: &dyn Fn(&[u8]) -> f64| bytes.chunks_exact(size).map(read).collect();
        fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
            let mut array = [0; N];
            array.copy_from_slice(bytes);
            array
        }
        Ok(match self.dtype {
            Dtype::F64 => of(8, &|bytes| f64::from_le_bytes(array(bytes))),
            Dtype::F32 => of(4, &|bytes| f32::from_le_bytes(array(bytes)).into()),
            Dtype::F16 => of(2, &|bytes| f16::from_le_bytes(array(bytes)).into()),
            Dtype::BF16 => of(2, &|bytes| bf16::from_le_bytes(array(bytes)).into()),
            Dtype::I64 => of(8, &|bytes| i64::from_le_bytes(array(bytes)) as f64),
            Dtype::U64 => of(8, &|bytes| u64::from_le_bytes(array(bytes)) as f64),
            Dtype::I32 => of(4, &|bytes| i32::from_le_bytes(array(bytes)).into()),
            Dtype::U32 => of(4, &|bytes| u32::from_le_bytes(array(bytes)).into()),
            Dtype::I16 => of(2, &|bytes| i16::from_le_bytes(array(bytes)).into()),
            Dtype::U16 => of(2, &|bytes| u16::from_le_bytes(array(bytes)).into()),
            Dtype::I8 => of(1, &|bytes| i8::from_le_bytes(array(bytes)).into()),
            Dtype::U8 => of(1, &|bytes| bytes[0].into()),
            Dtype::BOOL => of(1, &|bytes| f64::from(bytes[0] != 0)),
            other => return Err(format!("numbers of dtype {other:?} are not read")),
        })
    }

    /// Returns the elements as f32, rounded where the dtype is wider.
    ///
    /// # Errors
    /// As [`Tensor::to_f64`].
    pub fn to_f32(&self) -> Result<Vec<f32>, String> {
        if self.dtype == Dtype::F32 {
            let bytes = self.to_bytes()?;
            let (numbers, _) = bytes.as_chunks::<4>();
            return Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect());
        }
        Ok(self.to_f64()?.into_iter().map(|number| number as f32).collect())
    }

    /// Returns the number of a tensor of one element.
    pub fn scalar(&self) -> Option<f64> {
        if self.elements() != 1 { None } else { self.to_f64().ok()?.first().copied() }
    }
}

/// Returns the size of an element in bytes.
///
/// # Errors
/// Elements of the dtype are smaller than a byte.
pub fn element_bytes(dtype: Dtype) -> Result<usize, String> {
    match dtype.bitsize() {
        bits if bits % 8 == 0 && bits > 0 => Ok(bits / 8),
        _ => Err(format!("tensors of dtype {dtype:?} are not read")),
    }
}

/// Returns the dtype that NumPy and JAX call so.
pub fn dtype_of_numpy(name: &str) -> Option<Dtype> {
    Some(match name {
        "bool" => Dtype::BOOL,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "int16" => Dtype::I16,
        "uint16" => Dtype::U16,
        "int32" => Dtype::I32,
        "uint32" => Dtype::U32,
        "int64" => Dtype::I64,
        "uint64" => Dtype::U64,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        "complex64" => Dtype::C64,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        _ => return None,
    })
}

/// Returns the strides of a tensor in row-major order.
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

fn turn_signs(dtype: Dtype, bytes: &mut [u8]) -> Result<(), String> {
    // In little-endian order the sign is the highest bit of the last byte.
    let size = match dtype {
        Dtype::F64 => 8,
        Dtype::F32 => 4,
        Dtype::F16 | Dtype::BF16 => 2,
        // Both parts of a complex number.
        Dtype::C64 => 4,
        other => return Err(format!("a negated view of dtype {other:?} is not read")),
    };
    bytes.chunks_exact_mut(size).for_each(|number| number[size - 1] ^= 0x80);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn six() -> Arc<Storage> {
        Storage::owned((0..6).flat_map(|number| (number as f32).to_le_bytes()).collect())
    }

    #[test]
    fn views_are_read_in_row_major_order() {
        let columns = Tensor::new(Dtype::F32, vec![2, 3], vec![1, 2], 0, six()).unwrap();
        assert_eq!(columns.to_f32().unwrap(), [0., 2., 4., 1., 3., 5.]);
        let expanded = Tensor::new(Dtype::F32, vec![2, 2], vec![0, 1], 4, six()).unwrap();
        assert_eq!(expanded.to_f32().unwrap(), [4., 5., 4., 5.]);
        let transposed = columns.permuted(&[1, 0]).unwrap();
        assert_eq!((transposed.shape(), transposed.to_f32().unwrap()), (&[3, 2][..], vec![0., 1., 2., 3., 4., 5.]));
        assert_eq!(transposed.negated().to_f64().unwrap()[5], -5.0);
    }

    #[test]
    fn a_view_beyond_its_storage_is_refused() {
        assert!(Tensor::new(Dtype::F32, vec![2, 3], vec![3, 1], 1, six()).unwrap_err().contains("leaves its storage"));
        assert!(Tensor::new(Dtype::F32, vec![usize::MAX, 2], vec![0, 0], 0, six()).is_err());
        assert!(Tensor::new(Dtype::F32, vec![1 << 40], vec![0], 0, six()).unwrap_err().contains("too often"));
        assert!(Tensor::new(Dtype::F32, vec![0, usize::MAX], vec![0, 0], 99, six()).is_ok());
        assert!(Tensor::contiguous(Dtype::F32, vec![2, 3], six()).unwrap().cut(3, &[2, 2]).is_err());
    }
}
