//! The optimizer: parameters in groups, their state tensors, and the update.

mod changed_form;
mod saved;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use candle_core::Var;
use candle_core::backprop::GradStore;

use super::config::OptimizerConfig;
use super::groups::{self, Group};
use super::rule::{Beta2, Momentum, StateForm, Step, Update};
use super::{CLIP_EPS, Gradients, MeasuredGradients, OptimError};
use crate::parameters::Parameters;

/// Hyperparameters of an update for one parameter group. A plain number is a learning rate with the group's other
/// values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepHyperparams {
    /// Learning rate.
    pub lr: f64,
    /// Momentum of SGD or beta1 of Adam, in `[0, 1)`; `None` for the group's value. A rule that has neither ignores it.
    pub momentum: Option<f64>,
    /// The second beta, in `[0, 1)`; `None` for the group's value. A rule that has none ignores it.
    pub beta2: Option<f64>,
    /// Weight decay; `None` for the group's value.
    pub weight_decay: Option<f64>,
}

impl StepHyperparams {
    fn validate(&self, group: usize, momentum: Option<Momentum>) -> Result<(), OptimError> {
        let weight_decay = self.weight_decay.unwrap_or_default();
        let at_least_zero = [("rate", self.lr), ("weight decay", weight_decay)];
        if let Some((what, value)) = at_least_zero.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0))
        {
            return Err(OptimError::Rate { what, value, group, rule: "negative or not finite" });
        }
        let shares = [(momentum.map_or("momentum", Momentum::name), self.momentum), ("beta2", self.beta2)];
        let wrong = |(_, value): &(&str, Option<f64>)| value.is_some_and(|value| !(0.0..1.0).contains(&value));
        match shares.into_iter().find(wrong) {
            Some((what, Some(value))) => {
                Err(OptimError::Rate { what, value, group, rule: "not at least 0 and below 1" })
            }
            _ => Ok(()),
        }
    }
}

impl From<f64> for StepHyperparams {
    fn from(lr: f64) -> Self {
        Self { lr, momentum: None, beta2: None, weight_decay: None }
    }
}

/// An optimizer over named parameters.
///
/// Its state is saved and restored by parameter name, so the order in which a program creates its parameters does not
/// matter. The hyperparameters are always those the program set: loading a state never replaces them.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    groups: Vec<Group>,
    /// For each group, the product of all its second betas so far, if a schedule drives them.
    beta2_products: Vec<Option<f64>>,
    /// In name order, like gradients.
    slots: Vec<Slot>,
    updates: u64,
    /// Number of updates in whose place nothing was done.
    skipped: u64,
    /// Built through Candle's trait, which gives variables no names: its state cannot be saved.
    unnamed: bool,
    /// Whether the next save may leave out the states of other processes.
    leaves_out: bool,
}

/// A parameter and its state tensors.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Var,
    group: usize,
    decays: bool,
    /// Their names, shapes and types.
    forms: Vec<StateForm>,
    /// The share of the group's rate, by its layer.
    rate: f64,
    /// Whether it is not updated for now.
    is_frozen: bool,
    /// The updates that it has missed, because it was frozen.
    missed: u64,
    states: Vec<Var>,
    /// Whether another process updates it, and has its states.
    is_left: bool,
}

impl Optimizer {
    /// Creates an optimizer of `parameters` from `config`, with its state at zero.
    ///
    /// # Errors
    /// A hyperparameter is out of range, or a group or one of its patterns matches no parameter.
    pub fn new(parameters: &Parameters, config: impl Into<OptimizerConfig>) -> Result<Self, OptimError> {
        let optimizer = Self::of_begun_run(parameters, config.into())?;
        optimizer.refuse_unmatched(parameters)?;
        Ok(optimizer)
    }

    /// The same for the resume of a run whose patterns may match no parameter, which earlier versions allowed.
    pub(crate) fn of_begun_run(parameters: &Parameters, config: OptimizerConfig) -> Result<Self, OptimError> {
        config.validate()?;
        let groups = groups::assign(&config, parameters)?;
        refuse_tied(parameters)?;
        let rates =
            config.layer_decay.as_ref().map(|layers| layers.factors(parameters)).transpose()?.unwrap_or_default();
        let slot = |(name, parameter): (&str, &Var)| {
            let group = groups.iter().position(|group| group.parameters.iter().any(|p| p == name)).unwrap_or_default();
            let forms = groups[group].state_forms(parameter.shape());
            let zeros = |form: &StateForm| Var::zeros(&form.shape, form.dtype(parameter), parameter.device());
            Ok(Slot {
                name: name.to_owned(),
                parameter: parameter.clone(),
                group,
                decays: groups[group].decay.includes(parameter.rank()),
                states: forms.iter().map(zeros).collect::<Result<_, _>>()?,
                forms,
                rate: rates.get(name).copied().unwrap_or(1.0),
                is_frozen: false,
                missed: 0,
                is_left: false,
            })
        };
        let slots = parameters.iter().map(slot).collect::<Result<_, OptimError>>()?;
        let beta2_products = vec![None; groups.len()];
        let optimizer =
            Self { config, groups, beta2_products, slots, updates: 0, skipped: 0, unnamed: false, leaves_out: false };
        optimizer.refuse_equal_names()?;
        Ok(optimizer)
    }

    /// Refuses patterns of its configuration that match no parameter.
    pub(crate) fn refuse_unmatched(&self, parameters: &Parameters) -> Result<(), OptimError> {
        groups::refuse_unmatched(&self.config, parameters)
    }

    /// Returns the parameter groups, in the order of the rates that [`Optimizer::update`] takes.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Whether its rules train any parameter at all.
    pub(crate) fn trains(&self) -> bool {
        self.trained().next().is_some()
    }

    /// Returns the names of the parameters that its rules train, by groups.
    pub(crate) fn trained(&self) -> impl Iterator<Item = &str> + Clone {
        let groups = self.groups.iter().filter(|group| group.rule.trains());
        groups.flat_map(|group| group.parameters.iter().map(String::as_str))
    }

    /// Returns the base learning rate of each group, the input of a scheduler.
    pub fn base_lrs(&self) -> Vec<f64> {
        self.groups.iter().map(|group| group.lr).collect()
    }

    /// Returns the number of updates made.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Counts an update that is not made, because its gradients overflowed: see [`LossScale`](super::LossScale).
    /// Nothing else changes.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }

    /// Returns the number of updates that were skipped.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns about how many floating-point operations the products of matrices take in an update of all parameters, as
    /// the mean over many updates: 0 with rules that have no such products.
    pub fn operations(&self) -> u64 {
        let of = |slot: &Slot| self.groups[slot.group].rule.operations(slot.parameter.shape());
        self.slots.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Returns the configuration.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Returns `gradients` with zeros in place of those of parameters that no rule trains, so that these count neither
    /// for the norm nor for clipping. Call it before [`Gradients::measure`] if a group is [`Frozen`](super::Frozen).
    ///
    /// # Errors
    /// The device fails.
    pub fn without_frozen(&self, gradients: Gradients) -> Result<Gradients, OptimError> {
        if self.groups.iter().all(|group| group.rule.trains()) && self.slots.iter().all(|slot| !slot.is_frozen) {
            return Ok(gradients);
        }
        let trains = |name: &str| {
            let slot = self.slots.iter().find(|slot| slot.name == name);
            slot.is_none_or(|slot| self.groups[slot.group].rule.trains() && !slot.is_frozen)
        };
        gradients.zeroed_unless(trains)
    }

    /// Updates all parameters in name order; `hyperparams` has the learning rate of each group, as a number or as
    /// [`StepHyperparams`].
    ///
    /// # Errors
    /// The number of `hyperparams` is not the number of groups, or one is outside its range (nothing is changed then),
    /// or the device fails.
    pub fn update<H: Copy + Into<StepHyperparams>>(
        &mut self,
        gradients: &MeasuredGradients,
        hyperparams: &[H],
    ) -> Result<(), OptimError> {
        if hyperparams.len() != self.groups.len() {
            return Err(OptimError::RateCount { rates: hyperparams.len(), groups: self.groups.len() });
        }
        if !self.slots.iter().map(|slot| slot.name.as_str()).eq(gradients.names()) {
            let own: Vec<String> = self.slots.iter().map(|slot| slot.name.clone()).collect();
            let given: Vec<String> = gradients.names().map(str::to_owned).collect();
            return Err(OptimError::OtherParameters { own, given });
        }
        let hyperparams: Vec<StepHyperparams> = hyperparams.iter().map(|&hyperparams| hyperparams.into()).collect();
        for (index, (hyperparams, group)) in hyperparams.iter().zip(&self.groups).enumerate() {
            hyperparams.validate(index, group.momentum)?;
        }
        self.multiply_betas(&hyperparams);
        for (index, group) in self.groups.iter().enumerate() {
            let gradient_scale = gradients.scale() * self.clipping_of(index, gradients);
            let own = self.slots.iter().zip(gradients.tensors()).filter(|(slot, _)| !slot.is_left && !slot.is_frozen);
            let of_group = own.filter(|(slot, _)| slot.group == index);
            let with_step = of_group.map(|(slot, gradient)| {
                let Slot { parameter, states, .. } = slot;
                let tensors = Update { parameter, states, gradient, gradient_scale };
                (tensors, self.step_of(slot, hyperparams[index]))
            });
            group.rule.update_group(&with_step.collect::<Vec<_>>())?;
        }
        self.updates += 1;
        self.slots.iter_mut().filter(|slot| slot.is_frozen).for_each(|slot| slot.missed += 1);
        Ok(())
    }

    /// Returns the weights that an evaluation uses in place of the trained ones, by name; `None` if no rule has such.
    ///
    /// # Errors
    /// The device fails.
    pub fn evaluation_weights(&self) -> Result<Option<Parameters>, OptimError> {
        let mut found = Vec::new();
        for slot in &self.slots {
            let rule = &self.groups[slot.group].rule;
            if !rule.has_evaluation_weights() {
                continue;
            }
            let weights = slot.parameter.as_detached_tensor();
            if let Some(weights) = rule.evaluation_weights(&weights, &slot.states)? {
                found.push((slot.name.clone(), Var::from_tensor(&weights)?));
            }
        }
        Ok((!found.is_empty()).then(|| found.into_iter().collect()))
    }

    /// Freezes parameters from now on: they and their states are left as they are, and count for no norm. Those that are
    /// not frozen any more continue, as if the updates between had not been.
    pub fn freeze(&mut self, is_frozen: impl Fn(&str) -> bool) {
        self.slots.iter_mut().for_each(|slot| slot.is_frozen = is_frozen(&slot.name));
    }

    /// Returns the factor that limits the norm of a group's gradients, after the clipping of all.
    fn clipping_of(&self, group: usize, gradients: &MeasuredGradients) -> f64 {
        let Some(max_norm) = self.groups[group].clip_norm else { return 1.0 };
        let own = self.slots.iter().zip(gradients.squares()).filter(|(slot, _)| slot.group == group);
        let norm = own.fold(0.0, |sum, (_, square)| sum + square).sqrt() * gradients.clipping();
        (max_norm / (norm + CLIP_EPS)).min(1.0)
    }

    /// Returns the hyperparameters of a parameter in the next update.
    fn step_of(&self, slot: &Slot, hyperparams: StepHyperparams) -> Step {
        let group = &self.groups[slot.group];
        let weight_decay = if slot.decays { hyperparams.weight_decay.unwrap_or(group.weight_decay) } else { 0.0 };
        let momentum = group.momentum.map_or(0.0, |own| hyperparams.momentum.unwrap_or(own.value()));
        let (lr, base_lr) = (hyperparams.lr * slot.rate, group.lr * slot.rate);
        let product = self.beta2_products.get(slot.group).copied().flatten();
        let beta2 = hyperparams.beta2.zip(product).map(|(value, product)| Beta2 { value, product });
        Step { lr, base_lr, momentum, beta2, weight_decay, updates_before: self.updates - slot.missed }
    }

    /// Takes the second betas of the next update into the products of those that a schedule drives. Before it did, the
    /// group's own value was used.
    fn multiply_betas(&mut self, hyperparams: &[StepHyperparams]) {
        let groups = self.groups.iter().zip(hyperparams);
        for (product, (group, hyperparams)) in self.beta2_products.iter_mut().zip(groups) {
            let before = |own: f64| product.unwrap_or_else(|| own.powf(self.updates as f64));
            *product = group.beta2.zip(hyperparams.beta2).map(|(own, beta2)| before(own) * beta2);
        }
    }

    /// Refuses two state tensors of the same name, which would be saved as one.
    fn refuse_equal_names(&self) -> Result<(), OptimError> {
        let mut seen = BTreeSet::new();
        let twice = self.states().map(|(name, _)| name).find(|name| !seen.insert(name.clone()));
        twice.map_or(Ok(()), |name| Err(OptimError::SameName(name)))
    }

    /// Returns every state tensor, with its name in a checkpoint.
    fn states(&self) -> impl Iterator<Item = (String, &Var)> {
        self.slots.iter().flat_map(|slot| {
            slot.forms.iter().zip(&slot.states).map(|(form, var)| (format!("{}.{}", slot.name, form.name), var))
        })
    }
}

/// Refuses a variable under two names, which would be updated twice in each step.
fn refuse_tied(parameters: &Parameters) -> Result<(), OptimError> {
    let mut seen = std::collections::HashMap::new();
    for (name, var) in parameters.iter() {
        if let Some(first) = seen.insert(var.id(), name) {
            return Err(OptimError::Tied { first: first.to_owned(), second: name.to_owned() });
        }
    }
    Ok(())
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
        let gradients = Gradients::collect(|parameter| grads.get(parameter), parameters).and_then(Gradients::measure);
        let lrs = self.base_lrs();
        self.update(&gradients.map_err(candle_core::Error::wrap)?, &lrs).map_err(candle_core::Error::wrap)
    }

    /// Returns the rate of the first group.
    fn learning_rate(&self) -> f64 {
        self.groups.first().map_or(0.0, |group| group.lr)
    }

    /// Sets the rate of every group.
    fn set_learning_rate(&mut self, lr: f64) {
        self.groups.iter_mut().for_each(|group| group.lr = lr);
    }
}
