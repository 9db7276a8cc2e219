//! Arrays and numbers of NumPy in pickles.

use super::super::super::tensor::{Dtype, Storage, Tensor, element_bytes, row_major};
use super::super::super::tree::{Object, Place, Ref, Value};
use super::machine::Machine;
use super::{Refusal, tensors};

/// The class under which an array waits for its numbers, which BUILD brings.
const ARRAY: &str = "numpy.ndarray";

impl Machine<'_> {
    /// Returns the array or number that a call of NumPy makes, or `None` where the function is another.
    pub(super) fn array_of(&mut self, name: &str, arguments: &[Place]) -> Result<Option<Place>, Refusal> {
        // NumPy 2 renamed `numpy.core`.
        let Some(name) = name.strip_prefix("numpy._core.").or_else(|| name.strip_prefix("numpy.core.")) else {
            // A dtype is a name with settings, which stays an object.
            return match name {
                "numpy.dtype" => {
                    self.spend(size_of::<Object>())?;
                    let arguments = arguments.to_vec();
                    Ok(Some(self.add(Object { class: name.to_owned(), arguments, ..Object::default() })?))
                }
                _ => Ok(None),
            };
        };
        match (name, arguments) {
            ("multiarray._reconstruct", _) => {
                self.spend(size_of::<Object>())?;
                Ok(Some(self.add(Object { class: ARRAY.to_owned(), ..Object::default() })?))
            }
            ("multiarray.scalar", [dtype, bytes]) => self.scalar(*dtype, *bytes),
            ("numeric._frombuffer", [bytes, dtype, shape, order]) => {
                let fortran = self.at(*order).text() == Some("F");
                self.array(*dtype, *shape, *bytes, fortran)
                    .map(|array| array.map(|array| self.add(array)).transpose())?
            }
            _ => Ok(None),
        }
    }

    /// Gives an array its numbers, where `target` waits for them: version, shape, dtype, whether it is column by
    /// column, and bytes. Arrays of Python's objects have a list in place of bytes, and stay objects.
    pub(super) fn fill_array(&mut self, target: Place, state: Place) -> Result<bool, Refusal> {
        let waits = self.at(target).object().is_some_and(|object| object.class == ARRAY);
        let Some(&[_, shape, dtype, fortran, bytes]) = self.at(state).value().tuple().filter(|_| waits) else {
            return Ok(false);
        };
        let fortran = self.at(fortran).bool() == Some(true);
        let Some(array) = self.array(dtype, shape, bytes, fortran)? else { return Ok(false) };
        *self.tree.at_mut(target) = array.into();
        Ok(true)
    }

    fn array(&mut self, dtype: Place, shape: Place, bytes: Place, fortran: bool) -> Result<Option<Tensor>, Refusal> {
        let (Some((dtype, swapped)), Value::Bytes(bytes)) = (dtype_of(self.at(dtype)), self.at(bytes).value()) else {
            return Ok(None);
        };
        let shape = tensors::lengths(self.at(shape));
        let shape = shape.ok_or_else(|| Refusal::Damaged("an array whose shape is no list of lengths".to_owned()))?;
        let bytes = if swapped { turned(bytes, dtype)? } else { bytes.clone() };
        self.spend(bytes.len() + size_of::<Tensor>() + 16 * shape.len())?;
        let storage = Storage::owned(bytes);
        if !fortran {
            return Ok(Some(Tensor::contiguous(dtype, shape, storage)?));
        }
        let backwards: Vec<usize> = shape.iter().rev().copied().collect();
        let axes: Vec<usize> = (0..shape.len()).rev().collect();
        let array = Tensor::new(dtype, backwards.clone(), row_major(&backwards), 0, storage)?;
        Ok(Some(array.permuted(&axes)?))
    }

    /// A single number, which is a plain one then.
    fn scalar(&mut self, dtype: Place, bytes: Place) -> Result<Option<Place>, Refusal> {
        let shape = self.add(Value::Tuple(Vec::new()))?;
        let Some(array) = self.array(dtype, shape, bytes, false)? else { return Ok(None) };
        let value = match array.dtype() {
            Dtype::BOOL => array.scalar().map(|value| Value::Bool(value != 0.0)),
            Dtype::I64 | Dtype::U64 => Some(whole_number(&array)?),
            Dtype::I32 | Dtype::U32 | Dtype::I16 | Dtype::U16 | Dtype::I8 | Dtype::U8 => {
                array.scalar().map(|value| Value::Int(value as i64))
            }
            _ => array.scalar().map(Value::Float),
        };
        Ok(Some(self.add(value.unwrap_or_else(|| array.into()))?))
    }
}

/// Returns an integer of 64 bits, of which f64 would lose digits.
fn whole_number(array: &Tensor) -> Result<Value, Refusal> {
    let bytes = array.to_bytes()?;
    let bytes: [u8; 8] = bytes[..].try_into().map_err(|_| Refusal::Damaged("a number of another size".to_owned()))?;
    if array.dtype() == Dtype::I64 {
        return Ok(Value::Int(i64::from_le_bytes(bytes)));
    }
    let number = u64::from_le_bytes(bytes);
    Ok(i64::try_from(number).map_or_else(|_| Value::BigInt(number.to_string()), Value::Int))
}

/// Returns a dtype of NumPy, and whether its bytes are in big-endian order; `None` for those that are no numbers.
fn dtype_of(dtype: Ref<'_>) -> Option<(Dtype, bool)> {
    let object = dtype.object().filter(|object| object.class == "numpy.dtype")?;
    let name = dtype.other(*object.arguments.first()?).text()?;
    let dtype_ = match name {
        "f8" => Dtype::F64,
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u8" => Dtype::U64,
        "u4" => Dtype::U32,
        "u2" => Dtype::U16,
        "u1" => Dtype::U8,
        "b1" => Dtype::BOOL,
        "c8" => Dtype::C64,
        _ => return None,
    };
    // The state that BUILD brought: version, order of bytes, …
    let order = object.state.and_then(|state| dtype.other(state).items()).and_then(|mut parts| parts.nth(1));
    Some((dtype_, order.and_then(Ref::text) == Some(">")))
}

/// Returns bytes in the opposite order, number by number.
fn turned(bytes: &[u8], dtype: Dtype) -> Result<Vec<u8>, Refusal> {
    // Both parts of a complex number by themselves.
    let size = if dtype == Dtype::C64 { 4 } else { element_bytes(dtype)? };
    let mut bytes = bytes.to_vec();
    bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    Ok(bytes)
}
