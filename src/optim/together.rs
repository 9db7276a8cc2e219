//! Parameters of a group that one launch on a GPU updates together.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::{Step, Update};
use crate::cuda::{Group, Launch, Place, Tables};

/// Parameters of one group and one type in one place.
pub(super) struct Together<'a>(Group<&'a (Update<'a>, Step)>);

/// Updates parameters that have kernels by `launch`, those of a type together, and others by `update`.
pub(super) fn update_together<'a>(
    group: &'a [(Update<'a>, Step)],
    launch: impl Fn(&Together<'_>) -> Result<()>,
    update: impl Fn(&Update<'_>, &Step) -> Result<()>,
) -> Result<()> {
    // Parameters that were frozen for a while have had fewer updates, and have other numbers.
    let mut launches = BTreeMap::<u64, Vec<_>>::new();
    for member in group {
        let (tensors, step) = member;
        match tensors.place() {
            Some(place) => {
                let alike = launches.entry(step.updates_before).or_default();
                Group::add(alike, place, tensors.parameter, member);
            }
            None => update(tensors, step)?,
        }
    }
    launches.into_values().flatten().try_for_each(|group| launch(&Together(group)))
}

impl Update<'_> {
    /// Where there is a kernel for this parameter.
    fn place(&self) -> Option<Place> {
        let place = Place::of(self.parameter.device(), self.parameter.dtype())?;
        let has_kernel = self.parameter.is_contiguous() && self.gradient.dtype() == self.parameter.dtype();
        has_kernel.then_some(place)
    }
}

impl<'a> Together<'a> {
    fn first(&self) -> &'a Update<'a> {
        &self.0.members[0].0
    }

    /// Returns the number of state tensors of each parameter.
    pub fn states(&self) -> usize {
        self.first().states.len()
    }

    /// Returns the hyperparameters of those that decay, if one does. Those of the others differ in this alone.
    pub fn step(&self) -> &Step {
        let decaying = self.0.members.iter().find(|(_, step)| step.weight_decay != 0.0);
        &decaying.unwrap_or(&self.0.members[0]).1
    }

    /// Launches `kernel` with the tables of weights, of `states` state tensors, of gradients, and of whether the
    /// weights decay; the lengths; the factor of clipping; and what `numbers` adds.
    pub fn launch(
        &self,
        kernel: &str,
        states: usize,
        numbers: impl for<'b> Fn(Launch<'b>) -> Launch<'b>,
    ) -> Result<()> {
        let updates = || self.0.members.iter().map(|(update, _)| update);
        let lengths = updates().map(|update| update.parameter.elem_count()).collect();
        let weights = updates().map(|update| update.parameter.as_tensor());
        let mut tables = Tables::of_lengths(lengths).addresses(&self.0.place, weights)?;
        for index in 0..states {
            let states: Vec<&Tensor> =
                updates().map(|update| Ok(update.state_var(index)?.as_tensor())).collect::<Result<_>>()?;
            tables = tables.addresses(&self.0.place, states.into_iter())?;
        }
        let tables = tables.addresses(&self.0.place, updates().map(|update| update.gradient))?;
        let decays = self.0.members.iter().map(|(_, step)| step.weight_decay != 0.0);
        let tables = tables.flags(decays).upload(&self.0.device)?;
        let launch = tables.add_all(Launch::new(&self.0.place, kernel, self.0.dtype))?;
        numbers(launch.double(self.first().gradient_scale)).rows(tables.chunks)
    }
}
