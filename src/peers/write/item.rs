//! Values that are to be pickled: the ones that checkpoints of PyTorch consist of.

use std::borrow::Cow;

use crate::peers::tensor::{Dtype, element_bytes};

/// A value to pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Item<'a>>),
    /// A tuple.
    Tuple(Vec<Item<'a>>),
    /// A dict, in this order.
    Dict(Vec<(Item<'a>, Item<'a>)>),
    /// A `collections.OrderedDict`, as a `state_dict` of a module is.
    OrderedDict(Vec<(Item<'a>, Item<'a>)>),
    /// A `collections.Counter` of integers.
    Counter(Vec<(i64, i64)>),
    /// A tensor.
    Tensor(Stored<'a>),
}

impl Item<'_> {
    /// Returns text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns numbers as a list.
    pub fn floats(numbers: &[f64]) -> Self {
        Self::List(numbers.iter().copied().map(Self::Float).collect())
    }

    /// Returns the 0-d tensor of f32 that PyTorch counts updates in. It is exact up to 2^24 of them, as there.
    pub fn step(updates: u64) -> Self {
        let bytes = (updates as f32).to_le_bytes().to_vec();
        Self::Tensor(Stored { dtype: Dtype::F32, shape: Vec::new(), bytes: Cow::Owned(bytes) })
    }
}

impl<'a> Item<'a> {
    /// Returns a dict with text as keys.
    pub fn dict(entries: impl IntoIterator<Item = (impl Into<String>, Item<'a>)>) -> Self {
        Self::Dict(entries.into_iter().map(|(key, value)| (Item::text(key), value)).collect())
    }
}

/// A tensor to store: its elements as little-endian bytes in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Cow<'a, [u8]>,
}

impl Stored<'_> {
    /// Returns the class of its storage.
    ///
    /// # Errors
    /// PyTorch has no storage class for the dtype, which is then named.
    pub fn storage_class(&self) -> Result<&'static str, String> {
        Ok(match self.dtype {
            Dtype::F64 => "DoubleStorage",
            Dtype::F32 => "FloatStorage",
            Dtype::F16 => "HalfStorage",
            Dtype::BF16 => "BFloat16Storage",
            Dtype::I64 => "LongStorage",
            Dtype::I32 => "IntStorage",
            Dtype::I16 => "ShortStorage",
            Dtype::I8 => "CharStorage",
            Dtype::U8 => "ByteStorage",
            Dtype::BOOL => "BoolStorage",
            other => return Err(format!("PyTorch has no storage class for dtype {other:?}")),
        })
    }

    /// Returns its number of elements.
    ///
    /// # Errors
    /// Its shape and its bytes do not agree.
    pub fn elements(&self) -> Result<usize, String> {
        let size = element_bytes(self.dtype)?;
        let elements = self.shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
        elements
            .filter(|elements| elements.checked_mul(size) == Some(self.bytes.len()))
            .ok_or_else(|| format!("a tensor of shape {:?} does not have {} bytes", self.shape, self.bytes.len()))
    }
}
