//! A peer's optimizers: groups, the parameters in them and their states.

use super::setting::Setting;
use crate::peers::tensor::Tensor;

/// An optimizer with its groups.
#[derive(Clone, Debug)]
pub struct Optimizer {
    /// The class, such as `AdamW`; told by the file or by the keys of its groups and states. `Adam or AdamW` where they
    /// are the same for both, and `unknown` where no known class has such keys.
    pub class: String,
    /// Whether the file names the class. A file of PyTorch does not: SGD and Adam are told apart by their states.
    pub named: bool,
    /// The library whose arithmetic it is.
    pub dialect: Dialect,
    /// The groups, in the order of the file.
    pub groups: Vec<Group>,
    /// Updates of this optimizer, where it counts them.
    pub updates: Option<u64>,
}

/// The library whose arithmetic an optimizer follows, where libraries differ under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PyTorch's, and whoever uses its classes.
    Torch,
    /// Composer's decoupled rules: decay is multiplied by `lr / initial_lr`.
    Composer,
    /// fastai's: decoupled decay; `sqr_mom`, and no bias of the first update.
    Fastai,
    /// Keras': epsilon beside the unscaled root, and the rate inside the velocity of SGD.
    Keras,
    /// optax': a chain of transformations.
    Optax,
}

/// A group of parameters that share settings.
#[derive(Clone, Debug)]
pub struct Group {
    /// The rate in the file; `None` where it has none, as Keras and optax under a schedule.
    pub lr: Option<f64>,
    /// Which update that rate belongs to.
    pub rate_of: RateOf,
    /// The base rate (`initial_lr`), where the file has it.
    pub initial_lr: Option<f64>,
    /// Further settings under the peer's names: `betas`, `weight_decay`, `momentum`…
    pub settings: Vec<(String, Setting)>,
    /// The parameters, in the order of their ids.
    pub parameters: Vec<Parameter>,
}

impl Group {
    /// Returns a setting by its name in the file.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Returns a setting that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.setting(name)?.number()
    }

    /// Returns whether a setting is there and true.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.setting(name), Some(Setting::Bool(true)))
    }
}

/// The update that a rate in a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateOf {
    /// The next update, for whoever steps a scheduler before saving.
    Next,
    /// The last update that was made.
    Last,
    /// The rate is the same for every update.
    Constant,
    /// That cannot be told.
    Unknown,
}

/// A parameter as an optimizer knows it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its id in the file: a number, an address, or a name.
    pub id: String,
    /// Its name in [`Peer::model`](super::Peer::model), only where the file itself tells it; the import finds the others by rule.
    pub name: Option<String>,
    /// Updates that it had, where the file has them.
    pub updates: Option<u64>,
    /// State tensors by the peer's names: `exp_avg`, `momentum_buffer`, `mu`… Frozen parameters have none.
    pub states: Vec<(String, Tensor)>,
    /// State numbers by the peer's names, such as `mu_product`.
    pub numbers: Vec<(String, f64)>,
}
