//! An optimizer whose state tensors are shared among processes: each has those of the parameters that it owns, and
//! updates only these (ZeRO, stage 1: Rajbhandari et al., SC 2020).

use std::ops::Range;

use candle_core::{DType, Device, Shape, Tensor, Var};

use super::{Optimizer, Slot};
use crate::optim::StateForm;

impl Optimizer {
    /// Returns the parameters, in name order.
    pub(crate) fn parameters(&self) -> Vec<Var> {
        self.slots.iter().map(|slot| slot.parameter.clone()).collect()
    }

    /// Leaves the other parameters and their states to other processes; `owns` is in name order.
    pub(crate) fn keep(&mut self, owns: &[bool]) {
        for (slot, &owns) in self.slots.iter_mut().zip(owns) {
            slot.is_left = !owns;
        }
        self.release();
    }

    /// Returns the states that this process has.
    pub(crate) fn own_states(&self) -> Vec<Var> {
        self.slots.iter().filter(|slot| !slot.is_left).flat_map(|slot| slot.states.clone()).collect()
    }

    /// Returns shape, type and device of each state of all parameters, and the number of the parameter.
    pub(crate) fn forms(&self) -> Vec<(Shape, DType, Device, usize)> {
        let of_slot = |(number, slot): (usize, &Slot)| {
            let Slot { parameter, forms, .. } = slot;
            let form =
                |form: &StateForm| (form.shape.clone(), form.dtype(parameter), parameter.device().clone(), number);
            forms.iter().map(form).collect::<Vec<_>>()
        };
        self.slots.iter().enumerate().flat_map(of_slot).collect()
    }

    /// Takes in the states of all parameters, in the order of [`Optimizer::forms`], for a save.
    pub(crate) fn take_in(&mut self, states: Vec<Tensor>) -> candle_core::Result<()> {
        let mut states = states.into_iter();
        for slot in &mut self.slots {
            let count = slot.forms.len();
            let of_slot: Vec<Tensor> = states.by_ref().take(count).collect();
            if slot.is_left {
                slot.states = of_slot.iter().map(Var::from_tensor).collect::<candle_core::Result<_>>()?;
            }
        }
        Ok(())
    }

    /// Frees the states of parameters that are left to others.
    pub(crate) fn release(&mut self) {
        self.slots.iter_mut().filter(|slot| slot.is_left).for_each(|slot| slot.states.clear());
    }

    /// Says whether the next save may leave out the states of other processes, which these save.
    pub(crate) fn leave_out(&mut self, leaves_out: bool) {
        self.leaves_out = leaves_out;
    }

    /// Returns the name under which each state is saved, in the order of [`Optimizer::forms`].
    pub(crate) fn state_names(&self) -> Vec<String> {
        let of_slot =
            |slot: &Slot| slot.forms.iter().map(|form| format!("{}.{}", slot.name, form.name)).collect::<Vec<_>>();
        self.slots.iter().flat_map(of_slot).collect()
    }

    /// Returns numbers of a state that this process has, as a vector; `bytes` are their places in the saved state.
    pub(crate) fn numbers(&self, state: &str, bytes: Range<u64>) -> candle_core::Result<Tensor> {
        let Some((_, var)) = self.states().find(|(name, _)| name == state) else {
            candle_core::bail!("the state `{state}` is in another process");
        };
        let size = var.dtype().size_in_bytes();
        let (start, end) = (bytes.start as usize / size, bytes.end as usize / size);
        var.as_detached_tensor().flatten_all()?.narrow(0, start, end - start)
    }

    /// Whether it has the states of all parameters.
    pub(super) fn is_whole(&self) -> bool {
        self.slots.iter().all(|slot| slot.states.len() == slot.forms.len())
    }
}
