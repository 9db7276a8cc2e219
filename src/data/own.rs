//! User-defined data sets: passed as values, or registered by name as a format.

use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dataset::{Source, delegate};
use super::format_kind::{COMMON, Format};
use super::{Batch, DataError, Dataset, Fingerprint, Input, Names, Shards, TargetKind, TargetScale};
use crate::registry::{Kind, Named, Registry};
use crate::state::{State, StateError, Stateful};
use crate::{KindError, Notice};

/// A user-defined format of data. Its fields are settings of the `[data]` table, in addition to those of all data:
/// `path`, which is optional, `validation`, `batch_size`, `shuffle`, `drop_last` and `augment`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use rekindle::data::{Batch, DataConfig, DataError, Dataset, DatasetSpec, Fingerprint, Input, Source, Stateless};
/// use rekindle::data::{TargetKind, register};
/// use serde::{Deserialize, Serialize};
///
/// /// Whole numbers, and whether they are odd.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Parity {
///     rows: usize,
/// }
///
/// struct Numbers(usize, Fingerprint);
///
/// impl DatasetSpec for Parity {
///     fn open(&self, _path: &std::path::Path) -> Result<Box<dyn Source>, DataError> {
///         Ok(Box::new(Stateless(Numbers(self.rows, Fingerprint::of(&self.rows.to_le_bytes())))))
///     }
/// }
///
/// impl Dataset for Numbers {
///     fn len(&self) -> usize {
///         self.0
///     }
///     fn input(&self) -> Input {
///         Input::Numbers(vec![1])
///     }
///     fn targets(&self) -> TargetKind {
///         TargetKind::Classes { count: 2 }
///     }
///     fn fingerprint(&self) -> &Fingerprint {
///         &self.1
///     }
///     fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
///         let numbers: Vec<f32> = rows.iter().map(|&row| row as f32).collect();
///         let odd: Vec<u32> = rows.iter().map(|&row| (row % 2) as u32).collect();
///         Ok(Batch {
///             inputs: Tensor::from_vec(numbers, (rows.len(), 1), &Device::Cpu)?,
///             targets: Tensor::from_vec(odd, rows.len(), &Device::Cpu)?,
///         })
///     }
/// }
///
/// register::<Parity>("parity")?;
/// let config: DataConfig = toml::from_str("format = 'parity'\nrows = 100\nbatch_size = 10")?;
/// assert_eq!(toml::to_string(&config)?.lines().last(), Some("rows = 100"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait DatasetSpec: Debug + Send + Sync + 'static {
    /// Checks the settings before any data is read.
    ///
    /// # Errors
    /// The setting and its value: [`DataError::setting`].
    fn validate(&self) -> Result<(), DataError> {
        Ok(())
    }

    /// Opens the data; `path` is `data.path`: absolute, or empty if it is not given. The validation rows are chosen as
    /// for other data.
    ///
    /// # Errors
    /// The data cannot be read.
    fn open(&self, path: &Path) -> Result<Box<dyn Source>, DataError>;
}

static REGISTRY: LazyLock<Registry<dyn DatasetSpec>> = LazyLock::new(|| Registry::new("format", "data", Vec::new()));

impl Named for dyn DatasetSpec {
    fn registry() -> &'static Registry<Self> {
        &REGISTRY
    }
}

/// Registers data of type `T` as `name`, for the lifetime of the program: `data.format` in a configuration. A program
/// that resumes such a run must register it before it reads the configuration or the checkpoint.
///
/// # Errors
/// The name is invalid or taken, the type already has a name, or it is not a struct with named fields that are free.
pub fn register<T: DatasetSpec + Serialize + DeserializeOwned>(name: &'static str) -> Result<(), KindError> {
    if Format::BUILT_IN.iter().any(|format| format.word() == name) {
        return Err(KindError::Taken { what: "format", name });
    }
    let kind = Kind::<dyn DatasetSpec>::own::<T>(name, &COMMON, |spec| Arc::new(spec))?;
    REGISTRY.register(kind)
}

/// A data set without state.
pub struct Stateless<D>(pub D);

impl<D> Debug for Stateless<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<D>())
    }
}

impl<D: Dataset> Dataset for Stateless<D> {
    delegate!(self => self.0);

    fn shared(&mut self, ranks: usize) {
        self.0.shared(ranks);
    }
}

impl<D: Dataset> Stateful for Stateless<D> {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::default())
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        state.expect_nothing()
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)
    }
}
