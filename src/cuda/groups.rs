//! Tensors that one launch takes together.

use candle_core::{DType, Device, Tensor};

use super::place::Place;

/// Members whose tensors are of one type in one place.
pub(crate) struct Group<M> {
    pub place: Place,
    pub dtype: DType,
    pub device: Device,
    /// Never empty.
    pub members: Vec<M>,
}

impl<M> Group<M> {
    /// Adds a member with a tensor that has kernels in `place` to its group, which is a new one if there is none.
    pub fn add(groups: &mut Vec<Self>, place: Place, tensor: &Tensor, member: M) {
        let same = |group: &&mut Self| group.dtype == tensor.dtype() && group.device.same_device(tensor.device());
        match groups.iter_mut().find(same) {
            Some(group) => group.members.push(member),
            None => {
                let (dtype, device) = (tensor.dtype(), tensor.device().clone());
                groups.push(Self { place, dtype, device, members: vec![member] });
            }
        }
    }
}
