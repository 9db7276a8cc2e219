//! The optimizer itself: parameters in groups, their moments, and the update.

#[cfg(test)]
mod tests;

use candle_core::backprop::GradStore;
use candle_core::{DType, Var};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::OptimizerConfig;
use super::groups::{self, Group};
use super::{Gradients, OptimError, adam, in_place, sgd};
use crate::parameters::{Parameters, from_host, host_dtype, save_tensors};
use crate::state::{HostTensor, Part, State, StateError};

/// What an update uses in one parameter group. A plain number is a learning rate with the group's own other settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate.
    pub lr: f64,
    /// Momentum, for Adam kinds the first beta, in `[0, 1)`; the group's own where it is `None`.
    pub momentum: Option<f64>,
    /// Weight decay; the group's own where it is `None`.
    pub weight_decay: Option<f64>,
}

impl Rates {
    fn validate(&self, group: usize) -> Result<(), OptimError> {
        let weight_decay = self.weight_decay.unwrap_or_default();
        let at_least_zero = [("rate", self.lr), ("weight decay", weight_decay)];
        if let Some((what, value)) = at_least_zero.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0))
        {
            return Err(OptimError::Rate { what, value, group, rule: "negative or not finite" });
        }
        match self.momentum {
            Some(value) if !(0.0..1.0).contains(&value) => {
                Err(OptimError::Rate { what: "momentum", value, group, rule: "not at least 0 and below 1" })
            }
            _ => Ok(()),
        }
    }
}

impl From<f64> for Rates {
    fn from(lr: f64) -> Self {
        Self { lr, momentum: None, weight_decay: None }
    }
}

/// An optimizer over named parameters.
///
/// Its state is saved and restored by parameter name, so it does not matter in which order a program makes its
/// parameters. Hyperparameters are those the program asked for: loading a state never replaces them.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    groups: Vec<Group>,
    /// In name order, as gradients come.
    slots: Vec<Slot>,
    updates: u64,
    /// Built through Candle's trait, which gives variables no names: such a state cannot be saved.
    unnamed: bool,
}

/// A parameter and what the optimizer remembers of it.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Var,
    group: usize,
    decays: bool,
    moments: Vec<Var>,
}

/// What a saved state says besides its tensors.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    kind: String,
    updates: u64,
    groups: Vec<Group>,
}

/// The dtype of a parameter's moments: its own, but f32 for half precision.
pub(super) fn moment_dtype(parameter: &Var) -> DType {
    if parameter.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}

impl Optimizer {
    /// An optimizer of `parameters` as `config` says, its moments at zero.
    ///
    /// # Errors
    /// When a hyperparameter is out of range, or a group or one of its patterns matches no parameter.
    pub fn new(parameters: &Parameters, config: impl Into<OptimizerConfig>) -> Result<Self, OptimError> {
        let optimizer = Self::of_begun_run(parameters, config.into())?;
        optimizer.refuse_unmatched(parameters)?;
        Ok(optimizer)
    }

    /// The same for a run that has begun with patterns that match no parameter, as was allowed once.
    pub(crate) fn of_begun_run(parameters: &Parameters, config: OptimizerConfig) -> Result<Self, OptimError> {
        config.validate()?;
        let groups = groups::assign(&config, parameters)?;
        refuse_tied(parameters)?;
        let moments = moment_names(&config);
        let slot = |(name, parameter): (&str, &Var)| {
            let group = groups.iter().position(|group| group.parameters.iter().any(|p| p == name)).unwrap_or_default();
            let zeros = || Var::zeros(parameter.shape(), moment_dtype(parameter), parameter.device());
            Ok(Slot {
                name: name.to_owned(),
                parameter: parameter.clone(),
                group,
                decays: groups[group].decay.includes(parameter.rank()),
                moments: moments.iter().map(|_| zeros()).collect::<Result<_, _>>()?,
            })
        };
        let slots = parameters.iter().map(slot).collect::<Result<_, OptimError>>()?;
        Ok(Self { config, groups, slots, updates: 0, unnamed: false })
    }

    /// Refuses patterns of its configuration that match none of the `parameters`.
    pub(crate) fn refuse_unmatched(&self, parameters: &Parameters) -> Result<(), OptimError> {
        groups::refuse_unmatched(&self.config, parameters)
    }

    /// The parameter groups, in the order of the rates that [`Optimizer::update`] takes.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The base learning rate of each group: what a scheduler starts from.
    pub fn base_lrs(&self) -> Vec<f64> {
        self.groups.iter().map(|group| group.lr).collect()
    }

    /// How many updates were made.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Updates all parameters in name order; `rates` has the learning rate of each group, as a number or with more in
    /// [`Rates`].
    ///
    /// # Errors
    /// When the number of rates is not that of the groups, or one is outside its range (nothing is changed then), or
    /// when the device fails.
    pub fn update<R: Copy + Into<Rates>>(&mut self, gradients: &Gradients, rates: &[R]) -> Result<(), OptimError> {
        if rates.len() != self.groups.len() {
            return Err(OptimError::RateCount { rates: rates.len(), groups: self.groups.len() });
        }
        if !self.slots.iter().map(|slot| slot.name.as_str()).eq(gradients.names()) {
            let own: Vec<String> = self.slots.iter().map(|slot| slot.name.clone()).collect();
            let given: Vec<String> = gradients.names().map(str::to_owned).collect();
            return Err(OptimError::OtherParameters { own, given });
        }
        let rates: Vec<Rates> = rates.iter().map(|&rates| rates.into()).collect();
        for (group, rates) in rates.iter().enumerate() {
            rates.validate(group)?;
        }
        for (slot, gradient) in self.slots.iter().zip(gradients.tensors()) {
            let sliceable = in_place::is_sliceable(&slot.parameter) && in_place::is_sliceable(gradient);
            match self.coefficients(slot, rates[slot.group], gradients.scale()) {
                Coefficients::Sgd(c) => {
                    let (p, m) = (&slot.parameter, slot.moments.first());
                    match p.dtype() {
                        DType::F32 if sliceable => sgd::update::<f32>(p, m, gradient, c)?,
                        DType::F64 if sliceable => sgd::update::<f64>(p, m, gradient, c)?,
                        _ => sgd::update_composed(p, m, gradient, c)?,
                    }
                }
                Coefficients::Adam(c) => {
                    let (p, m) = (&slot.parameter, [&slot.moments[0], &slot.moments[1]]);
                    match p.dtype() {
                        DType::F32 if sliceable => adam::update::<f32>(p, m, gradient, c)?,
                        DType::F64 if sliceable => adam::update::<f64>(p, m, gradient, c)?,
                        _ => adam::update_composed(p, m, gradient, c)?,
                    }
                }
            }
        }
        self.updates += 1;
        Ok(())
    }

    fn coefficients(&self, slot: &Slot, rates: Rates, gradient_scale: f64) -> Coefficients {
        let (group, lr) = (&self.groups[slot.group], rates.lr);
        let momentum = rates.momentum.unwrap_or(group.momentum);
        let weight_decay = if slot.decays { rates.weight_decay.unwrap_or(group.weight_decay) } else { 0.0 };
        let updates_before = self.updates;
        let adam = |betas: [f64; 2], eps, decoupled| {
            let betas = [momentum, betas[1]];
            Coefficients::Adam(adam::Coefficients {
                lr,
                betas,
                eps,
                weight_decay,
                decoupled,
                gradient_scale,
                updates_before,
            })
        };
        match &self.config {
            OptimizerConfig::Sgd(c) => {
                let (dampening, nesterov) = (c.dampening, c.nesterov);
                let c = sgd::Coefficients { lr, momentum, dampening, nesterov, weight_decay, gradient_scale };
                Coefficients::Sgd(c.for_update(updates_before))
            }
            OptimizerConfig::Adam(c) => adam(c.betas, c.eps, false),
            OptimizerConfig::AdamW(c) => adam(c.betas, c.eps, true),
        }
    }

    /// Every moment: its name in a checkpoint and the tensor.
    fn moments(&self) -> impl Iterator<Item = (String, &Var)> {
        let names = moment_names(&self.config);
        self.slots.iter().flat_map(move |slot| {
            names.iter().zip(&slot.moments).map(move |(moment, var)| (format!("{}.{moment}", slot.name), var))
        })
    }
}

/// A variable under two names would be updated twice in each step.
fn refuse_tied(parameters: &Parameters) -> Result<(), OptimError> {
    let mut seen = std::collections::HashMap::new();
    for (name, var) in parameters.iter() {
        if let Some(first) = seen.insert(var.id(), name) {
            return Err(OptimError::Tied { first: first.to_owned(), second: name.to_owned() });
        }
    }
    Ok(())
}

enum Coefficients {
    Sgd(sgd::Coefficients),
    Adam(adam::Coefficients),
}

/// What an optimizer of this kind remembers of each parameter, by PyTorch's names.
fn moment_names(config: &OptimizerConfig) -> &'static [&'static str] {
    match config {
        OptimizerConfig::Sgd(c) => {
            let momentum = c.momentum > 0.0 || c.groups.iter().any(|group| group.momentum > Some(0.0));
            if momentum { &["momentum_buffer"] } else { &[] }
        }
        OptimizerConfig::Adam(_) | OptimizerConfig::AdamW(_) => &["exp_avg", "exp_avg_sq"],
    }
}

impl OptimizerConfig {
    /// How many numbers such an optimizer remembers of each number of a parameter.
    pub(crate) fn moments(&self) -> usize {
        moment_names(self).len()
    }
}

impl Part for Optimizer {
    fn save(&self) -> Result<State, StateError> {
        let mut state = State::default();
        self.save_into(&mut state)?;
        Ok(state)
    }

    fn save_into(&self, state: &mut State) -> Result<(), StateError> {
        if self.unnamed {
            return Err(StateError::Unable(
                "an optimizer made from a list of variables has no names to save its state under; \
                 make it with `Optimizer::new(&Parameters::from_varmap(&varmap), …)`"
                    .to_owned(),
            ));
        }
        state.json =
            json!(Saved { kind: self.config.kind().to_owned(), updates: self.updates, groups: self.groups.clone() });
        state.json["hyperparameters"] = serde_json::to_value(&self.config)?;
        save_tensors(&mut state.tensors, self.moments())
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        let saved: Saved = Saved::deserialize(&state.json)?;
        let mismatch = |what: &str, saved: String, expected: String| StateError::Mismatch {
            what: what.to_owned(),
            saved,
            expected,
        };
        if saved.kind != self.config.kind() {
            let (saved, own) = (format!("`{}`", saved.kind), format!("`{}`", self.config.kind()));
            return Err(mismatch("the optimizer's kind", saved, own));
        }
        // Momentum that was or is nowhere has no buffers, so it can neither begin nor end within a run.
        let largest = |groups: &[Group]| groups.iter().map(|group| group.momentum).fold(0.0, f64::max);
        let (before, now) = (largest(&saved.groups), largest(&self.groups));
        if (before > 0.0) != (now > 0.0) && matches!(self.config, OptimizerConfig::Sgd(_)) {
            return Err(mismatch("the optimizer's momentum", before.to_string(), now.to_string()));
        }
        let names =
            |groups: &[Group]| groups.iter().map(|group| super::list(&group.parameters)).collect::<Vec<_>>().join("; ");
        let same_groups = saved.groups.iter().map(|g| &g.parameters).eq(self.groups.iter().map(|g| &g.parameters));
        if !same_groups {
            return Err(mismatch("the division into parameter groups", names(&saved.groups), names(&self.groups)));
        }
        let moments: Vec<_> = self.moments().collect();
        state.expect_tensors(moments.iter().map(|(name, var)| (name.as_str(), host_dtype(var.dtype()), var.dims())))
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)?;
        let find = |name: &str| -> Result<&HostTensor, StateError> {
            state.tensors.get(name).ok_or_else(|| StateError::MissingTensor(name.to_owned()))
        };
        for (name, var) in self.moments() {
            var.set(&from_host(find(&name)?, var.device())?)?;
        }
        self.updates = Saved::deserialize(&state.json)?.updates;
        Ok(())
    }
}

/// For loops written against Candle's trait. The trait gives variables no names, so groups cannot be chosen and the
/// state cannot be saved; [`Optimizer::new`] can do both.
impl candle_nn::Optimizer for Optimizer {
    type Config = OptimizerConfig;

    fn new(vars: Vec<Var>, config: OptimizerConfig) -> candle_core::Result<Self> {
        let floats = vars.into_iter().filter(|var| var.dtype().is_float()).enumerate();
        let parameters = floats.map(|(index, var)| (format!("{index:06}"), var)).collect();
        let optimizer = Self::new(&parameters, config).map_err(candle_core::Error::wrap)?;
        Ok(Self { unnamed: true, ..optimizer })
    }

    fn step(&mut self, grads: &GradStore) -> candle_core::Result<()> {
        let parameters = self.slots.iter().map(|slot| (slot.name.as_str(), slot.parameter.as_tensor()));
        let gradients =
            Gradients::collect(|parameter| grads.get(parameter), parameters).map_err(candle_core::Error::wrap)?;
        let lrs = self.base_lrs();
        self.update(&gradients, &lrs).map_err(candle_core::Error::wrap)
    }

    /// The rate of the first group.
    fn learning_rate(&self) -> f64 {
        self.groups.first().map_or(0.0, |group| group.lr)
    }

    /// Sets the rate of every group.
    fn set_learning_rate(&mut self, lr: f64) {
        self.groups.iter_mut().for_each(|group| group.lr = lr);
    }
}
