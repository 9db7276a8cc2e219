//! Saved state: the one trait behind every checkpoint.
//!
//! Optimizers, schedulers, averages, user-defined parts: each implements [`Stateful`], which saves its memory as a
//! [`State`] and loads it. Nothing here depends on files, devices or Candle, so a schedule can have memory without a
//! tensor library.

mod shared;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

pub use safetensors::Dtype;
use serde_json::Value;
use thiserror::Error;

/// A part of a run with memory that a checkpoint saves and restores.
///
/// The contract is exactness: after `b.load(&a.save()?)`, `b` behaves bit for bit as `a` would have.
pub trait Stateful {
    /// Returns the state needed to continue bit for bit.
    ///
    /// # Errors
    /// The memory cannot be read, from a device for example, or cannot be named.
    fn save(&self) -> Result<State, StateError>;

    /// Like [`Stateful::save`], but replaces `state`, which is an earlier state of this part or empty.
    ///
    /// A part with large tensors reuses the memory of the earlier ones: copying into existing memory takes a fraction
    /// of the time, and training waits for it.
    ///
    /// # Errors
    /// As [`Stateful::save`]; `state` is then undefined.
    fn save_into(&self, state: &mut State) -> Result<(), StateError> {
        *state = self.save()?;
        Ok(())
    }

    /// Like [`Stateful::save_into`], but may leave tensors out of `state` that are on a device other than the CPU, and
    /// add their copies to `begun`: training then need not wait until they are in host memory.
    ///
    /// The default waits. A part that keeps its tensors in [`Parameters`](crate::parameters::Parameters) passes the call
    /// on to them.
    ///
    /// # Errors
    /// As [`Stateful::save_into`].
    fn begin_save(&self, state: &mut State, _begun: &mut BegunCopies) -> Result<(), StateError> {
        self.save_into(state)
    }

    /// Checks whether `state` fits this part, without changing anything. A checkpoint is applied only after every part
    /// has accepted its share, so a refusal leaves all of them unchanged.
    ///
    /// # Errors
    /// The mismatch, with both values.
    fn check(&self, state: &State) -> Result<(), StateError>;

    /// Restores `state`. Called after [`Stateful::check`] has accepted the same state.
    ///
    /// # Errors
    /// As [`Stateful::check`], or the device fails.
    fn load(&mut self, state: &State) -> Result<(), StateError>;
}

/// The memory of one [`Stateful`]: a JSON value for small data, named tensors for large data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Counters and settings; `Null` if there are none.
    pub json: Value,
    /// Tensors by name, in name order.
    pub tensors: BTreeMap<String, HostTensor>,
}

impl State {
    /// Creates a state that is only JSON.
    pub fn from_json(json: Value) -> Self {
        Self { json, tensors: BTreeMap::new() }
    }

    /// Checks that this is the state of a part without memory.
    ///
    /// # Errors
    /// There are settings or tensors.
    pub fn expect_nothing(&self) -> Result<(), StateError> {
        if !self.json.is_null() {
            return Err(StateError::Malformed("this part has no settings, and the checkpoint has some".to_owned()));
        }
        self.expect_tensors([])
    }

    /// Checks that `tensors` holds exactly the tensors of `expected`, with their dtypes and shapes.
    ///
    /// # Errors
    /// The first tensor that is missing, unexpected, or of another dtype or shape.
    pub fn expect_tensors<'a>(
        &self,
        expected: impl IntoIterator<Item = (&'a str, Dtype, &'a [usize])>,
    ) -> Result<(), StateError> {
        let mut unseen: std::collections::BTreeSet<&str> = self.tensors.keys().map(String::as_str).collect();
        for (name, dtype, shape) in expected {
            let tensor = self.tensors.get(name).ok_or_else(|| StateError::MissingTensor(name.to_owned()))?;
            if tensor.dtype != dtype || tensor.shape != shape {
                return Err(StateError::TensorMismatch {
                    name: name.to_owned(),
                    saved: tensor.kind(),
                    expected: kind(dtype, shape),
                });
            }
            unseen.remove(name);
        }
        match unseen.first() {
            Some(name) => Err(StateError::UnexpectedTensor((*name).to_owned())),
            None => Ok(()),
        }
    }
}

/// A tensor in host memory: its dtype, its shape, and its elements as little-endian bytes in row-major order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTensor {
    /// Element type.
    pub dtype: Dtype,
    /// Length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// `shape.product() * size_of(dtype)` bytes.
    pub bytes: Vec<u8>,
}

impl HostTensor {
    /// Creates a one-dimensional tensor of `f64`.
    pub fn from_f64s(values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: Dtype::F64, shape: vec![values.len()], bytes }
    }

    /// Returns the elements, if the tensor is one-dimensional and of dtype `F64`.
    pub fn to_f64s(&self) -> Option<Vec<f64>> {
        let is_vector = self.dtype == Dtype::F64 && self.shape.len() == 1;
        is_vector.then(|| {
            let (chunks, _) = self.bytes.as_chunks::<8>();
            chunks.iter().map(|c| f64::from_le_bytes(*c)).collect()
        })
    }

    /// Whether no element is a NaN or an infinity.
    pub fn is_finite(&self) -> bool {
        // Numbers with all exponent bits set are the ones that are not finite.
        let none16 = |exponent: u16| {
            let (elements, _) = self.bytes.as_chunks::<2>();
            elements.iter().all(|element| u16::from_le_bytes(*element) & exponent != exponent)
        };
        match self.dtype {
            Dtype::F16 => none16(0x7c00),
            Dtype::BF16 => none16(0x7f80),
            Dtype::F32 => self.bytes.as_chunks::<4>().0.iter().all(|element| f32::from_le_bytes(*element).is_finite()),
            Dtype::F64 => self.bytes.as_chunks::<8>().0.iter().all(|element| f64::from_le_bytes(*element).is_finite()),
            _ => true,
        }
    }

    /// Returns dtype and shape as printed in messages: `F32[64, 128]`.
    pub fn kind(&self) -> String {
        kind(self.dtype, &self.shape)
    }
}

fn kind(dtype: Dtype, shape: &[usize]) -> String {
    format!("{dtype:?}{shape:?}")
}

/// A tensor whose values were copied on its device, where nothing changes the copy, and are not yet in host memory.
pub trait BegunCopy: Debug + Send + Sync {
    /// Fills `host` with the values at the time of the copy, in the memory that it has. Waits for the device; any
    /// thread may call it.
    ///
    /// # Errors
    /// The device fails.
    fn finish(&self, host: &mut HostTensor) -> Result<(), StateError>;
}

/// The tensors of one part that are on the way to host memory, by name.
#[derive(Clone, Debug, Default)]
pub struct BegunCopies(Vec<(String, HostTensor, Arc<dyn BegunCopy>)>);

impl BegunCopies {
    /// Adds the copy of a tensor; `memory` is an earlier copy of it in host memory, whose memory is used again.
    pub fn add(&mut self, tensor: String, memory: Option<HostTensor>, copy: Arc<dyn BegunCopy>) {
        let empty = || HostTensor { dtype: Dtype::U8, shape: Vec::new(), bytes: Vec::new() };
        self.0.push((tensor, memory.unwrap_or_else(empty), copy));
    }

    /// Whether no tensor is on the way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until the tensors are in host memory, and adds them to `state`.
    ///
    /// # Errors
    /// A device fails.
    pub fn finish(self, state: &mut State) -> Result<(), StateError> {
        for (tensor, mut host, copy) in self.0 {
            copy.finish(&mut host)?;
            state.tensors.insert(tensor, host);
        }
        Ok(())
    }
}

/// Errors of saving or loading a state.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The checkpoint lacks a tensor that the part needs.
    #[error("tensor `{0}` is missing from the checkpoint")]
    MissingTensor(String),
    /// The checkpoint holds a tensor that the part does not have.
    #[error("the checkpoint holds a tensor `{0}` that this program does not expect")]
    UnexpectedTensor(String),
    /// A tensor has another dtype or shape than in the part.
    #[error("tensor `{name}` is {saved} in the checkpoint and {expected} here")]
    TensorMismatch {
        /// The tensor.
        name: String,
        /// Dtype and shape in the checkpoint.
        saved: String,
        /// Dtype and shape in the part.
        expected: String,
    },
    /// A setting that cannot change between a save and a resume has changed.
    #[error("{what} is {saved} in the checkpoint and {expected} here")]
    Mismatch {
        /// The name of the setting.
        what: String,
        /// The value in the checkpoint.
        saved: String,
        /// The value in the part.
        expected: String,
    },
    /// The JSON of the state does not have the form that the part writes.
    #[error("the saved state is invalid: {0}")]
    Malformed(String),
    /// The part cannot be saved or loaded.
    #[error("{0}")]
    Unable(String),
}

impl From<serde_json::Error> for StateError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}
