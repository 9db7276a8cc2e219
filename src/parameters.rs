//! Trainable tensors by name, in name order.
//!
//! Candle's `VarMap` is a hash map, so the order of its variables differs in every process. All code here that visits
//! parameters (norms, updates, checkpoints) visits a [`Parameters`], in the order of names.

#[cfg(test)]
pub(crate) mod slow_device;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, Storage, Tensor, Var};
use candle_nn::VarMap;

use crate::backtrace::without_backtrace;
use crate::cuda;
use crate::state::{BegunCopies, BegunCopy, Dtype, HostTensor, State, StateError, Stateful};

/// Trainable tensors by name. Cloning shares the variables.
#[derive(Clone, Debug, Default)]
pub struct Parameters(BTreeMap<String, Var>);

impl Parameters {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the variables of a Candle `VarMap`, shared with it.
    pub fn from_varmap(map: &VarMap) -> Self {
        let vars = map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self(vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect())
    }

    /// Adds a variable under `name`; replaces an existing one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, var: Var) {
        self.0.insert(name.into(), var);
    }

    /// Returns the variable of that name.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.0.get(name)
    }

    /// Returns names and variables, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.0.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Joins these and `others`, which replace variables of the same names.
    pub fn and(&self, others: &Self) -> Self {
        Self(self.0.iter().chain(&others.0).map(|(name, var)| (name.clone(), var.clone())).collect())
    }

    /// Copies the variables, with the same names and values.
    ///
    /// # Errors
    /// A device has no memory for them.
    pub fn copied(&self) -> candle_core::Result<Self> {
        let copy = |(name, var): (&String, &Var)| Ok((name.clone(), Var::from_tensor(&var.as_tensor().copy()?)?));
        self.0.iter().map(copy).collect()
    }

    /// Returns the number of tensors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of elements in all tensors together.
    pub fn element_count(&self) -> usize {
        self.0.values().map(|var| var.elem_count()).sum()
    }
}

impl FromIterator<(String, Var)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, Var)>>(vars: I) -> Self {
        Self(vars.into_iter().collect())
    }
}

impl Stateful for Parameters {
    fn save(&self) -> Result<State, StateError> {
        let mut state = State::default();
        self.save_into(&mut state)?;
        Ok(state)
    }

    fn save_into(&self, state: &mut State) -> Result<(), StateError> {
        state.json = serde_json::Value::Null;
        save_tensors(&mut state.tensors, self.iter().map(|(name, var)| (name.to_owned(), var)))
    }

    fn begin_save(&self, state: &mut State, begun: &mut BegunCopies) -> Result<(), StateError> {
        state.json = serde_json::Value::Null;
        begin_save_of_tensors(&mut state.tensors, begun, self.iter().map(|(name, var)| (name.to_owned(), var)))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        state.expect_tensors(self.iter().map(|(name, var)| (name, host_dtype(var.dtype()), var.dims())))
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)?;
        for (name, var) in self.iter() {
            if let Some(saved) = state.tensors.get(name) {
                var.set(&from_host(saved, var.device())?)?;
            }
        }
        Ok(())
    }
}

impl From<candle_core::Error> for StateError {
    fn from(error: candle_core::Error) -> Self {
        Self::Unable(without_backtrace(error).to_string())
    }
}

/// Copies a tensor from its device to host memory.
///
/// # Errors
/// The device fails, or safetensors files do not support the dtype.
pub fn to_host(tensor: &Tensor) -> Result<HostTensor, StateError> {
    let mut host = HostTensor { dtype: host_dtype(tensor.dtype()), shape: Vec::new(), bytes: Vec::new() };
    copy_to_host(tensor, &mut host)?;
    Ok(host)
}

/// Fills `saved` with the named `tensors`, and reuses the memory of saved tensors with the same names.
pub(crate) fn save_tensors<'a>(
    saved: &mut BTreeMap<String, HostTensor>,
    tensors: impl Iterator<Item = (String, &'a Var)>,
) -> Result<(), StateError> {
    let mut earlier = std::mem::take(saved);
    for (name, var) in tensors {
        let host = match earlier.remove(&name) {
            Some(mut host) => copy_to_host(var, &mut host).map(|()| host)?,
            None => to_host(var)?,
        };
        saved.insert(name, host);
    }
    Ok(())
}

/// Like [`save_tensors`], but only begins to copy tensors that are on a device which copies beside training.
pub(crate) fn begin_save_of_tensors<'a>(
    saved: &mut BTreeMap<String, HostTensor>,
    begun: &mut BegunCopies,
    tensors: impl Iterator<Item = (String, &'a Var)>,
) -> Result<(), StateError> {
    let mut earlier = std::mem::take(saved);
    let mut here = Vec::new();
    for (name, var) in tensors {
        match begin_copy(var) {
            Some(copy) => begun.add(name.clone(), earlier.remove(&name), copy),
            None => here.push((name, var)),
        }
    }
    *saved = earlier;
    save_tensors(saved, here.into_iter())
}

/// Begins to copy a tensor to host memory. `None` where it is there already, or its device has no memory for a copy:
/// then it is copied at once.
fn begin_copy(tensor: &Tensor) -> Option<Arc<dyn BegunCopy>> {
    #[cfg(test)]
    if let Some(copy) = slow_device::begin(tensor) {
        return Some(copy);
    }
    cuda::transfer::begin(tensor)
}

fn copy_to_host(tensor: &Tensor, host: &mut HostTensor) -> Result<(), StateError> {
    // Neither call copies a tensor that is contiguous and on the CPU, as parameters and moments are.
    let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        return Err(StateError::Unable("a tensor cannot be copied to host memory".to_owned()));
    };
    let size = tensor.dtype().size_in_bytes();
    host.dtype = host_dtype(tensor.dtype());
    host.shape = tensor.dims().to_vec();
    host.bytes.clear();
    host.bytes.extend_from_slice(&bytes_of(storage)?[start * size..end * size]);
    Ok(())
}

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian, and tensors are copied as they lie in memory");

/// Returns the elements of a storage as they are in memory.
pub(crate) fn bytes_of(storage: &CpuStorage) -> Result<&[u8], StateError> {
    Ok(match storage {
        CpuStorage::U8(elements) => elements,
        CpuStorage::U32(elements) => bytemuck::cast_slice(elements),
        CpuStorage::I16(elements) => bytemuck::cast_slice(elements),
        CpuStorage::I32(elements) => bytemuck::cast_slice(elements),
        CpuStorage::I64(elements) => bytemuck::cast_slice(elements),
        CpuStorage::F32(elements) => bytemuck::cast_slice(elements),
        CpuStorage::F64(elements) => bytemuck::cast_slice(elements),
        CpuStorage::F16(elements) => bytemuck::cast_slice(elements),
        CpuStorage::BF16(elements) => bytemuck::cast_slice(elements),
        other => return Err(StateError::Unable(format!("tensors of dtype {:?} cannot be saved", other.dtype()))),
    })
}

/// Copies a tensor from host memory to `device`.
///
/// # Errors
/// Candle has no such dtype, the bytes do not fill the shape, or the device fails.
pub fn from_host(tensor: &HostTensor, device: &Device) -> Result<Tensor, StateError> {
    let dtype = DType::try_from(tensor.dtype)?;
    let expected = tensor.shape.iter().try_fold(dtype.size_in_bytes(), |bytes, dim| bytes.checked_mul(*dim));
    if expected != Some(tensor.bytes.len()) {
        return Err(StateError::Malformed(format!("{} bytes cannot be {}", tensor.bytes.len(), tensor.kind())));
    }
    Ok(Tensor::from_raw_buffer(&tensor.bytes, dtype, &tensor.shape, device)?)
}

/// Returns the safetensors dtype of a Candle dtype.
pub fn host_dtype(dtype: DType) -> Dtype {
    dtype.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_parameters() -> Parameters {
        let weight = Var::from_vec(vec![1f32, -0.0, f32::MIN_POSITIVE, 4.0], (2, 2), &Device::Cpu).unwrap();
        let scale = Var::from_vec(vec![0.1f64], (), &Device::Cpu).unwrap();
        [("weight".to_owned(), weight), ("scale".to_owned(), scale)].into_iter().collect()
    }

    #[test]
    fn parameters_come_in_name_order() {
        let parameters = two_parameters();
        assert_eq!(parameters.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["scale", "weight"]);
        assert_eq!(parameters.element_count(), 5);
    }

    #[test]
    fn saving_and_loading_is_the_identity() {
        let saved = two_parameters().save().unwrap();
        let mut other = two_parameters();
        other.get("weight").unwrap().set(&Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap()).unwrap();
        other.load(&saved).unwrap();
        assert_eq!(other.save().unwrap(), saved);
    }

    #[test]
    fn a_missing_an_extra_and_a_reshaped_tensor_are_refused_by_name() {
        let parameters = two_parameters();
        let refusal = |change: &dyn Fn(&mut State)| {
            let mut state = parameters.save().unwrap();
            change(&mut state);
            parameters.check(&state).unwrap_err().to_string()
        };
        let missing = refusal(&|state| drop(state.tensors.remove("scale")));
        assert_eq!(missing, "tensor `scale` is missing from the checkpoint");
        let extra = refusal(&|state| drop(state.tensors.insert("ghost".into(), HostTensor::from_f64s(&[1.0]))));
        assert_eq!(extra, "the checkpoint holds a tensor `ghost` that this program does not expect");
        let reshaped = refusal(&|state| state.tensors.get_mut("weight").unwrap().shape = vec![4]);
        assert_eq!(reshaped, "tensor `weight` is F32[4] in the checkpoint and F32[2, 2] here");
    }
}
