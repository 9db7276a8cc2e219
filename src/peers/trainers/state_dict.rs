//! A `state_dict` of a module: tensors by name, in the order in which they were registered.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::peers::error::PeerError;
use crate::peers::peer::{Model, Named};
use crate::peers::tensor::{Dtype, Tensor};
use crate::peers::tree::{Object, Ref};

/// Most tensors of a model.
const MOST_TENSORS: usize = 1_000_000;

/// Returns the tensors of a `state_dict` that stands at `place` in the file; entries that are no tensors are named in
/// `left`.
///
/// # Errors
/// A weight is of a class that is not read, such as a sharded tensor, a name stands twice, or there are too many.
pub(super) fn read(path: &Path, place: &str, dict: Ref<'_>, left: &mut Vec<String>) -> Result<Model, PeerError> {
    let mut model = Model { in_order: true, ..Model::default() };
    let mut seen = HashMap::new();
    let mut names = HashSet::new();
    if dict.entries().is_some_and(|entries| entries.len() > MOST_TENSORS) {
        return Err(PeerError::unsupported(path, format!("{place} has more than {MOST_TENSORS} entries")));
    }
    for (key, value) in dict.entries().into_iter().flatten() {
        let Some(name) = key.text() else {
            left.push(format!("an entry of {place} without a name"));
            continue;
        };
        if !names.insert(name) {
            return Err(PeerError::damaged(path, format!("`{name}` stands twice in {place}")));
        }
        match tensor(value) {
            Some(tensor) => {
                let index = model.tensors.len();
                // An empty tensor shares nothing, whatever storage it names.
                let first = if tensor.elements() == 0 { index } else { *seen.entry(tensor.view()).or_insert(index) };
                if let Some(first) = model.tensors.get(first) {
                    model.tied.push((name.to_owned(), first.name.clone()));
                } else {
                    model.tensors.push(named(name, tensor.clone()));
                }
            }
            None => match value.object() {
                Some(object) if is_tensor_like(object) => {
                    return Err(PeerError::unsupported(path, refusal(&format!("`{name}` in {place}"), value)));
                }
                _ => left.push(format!("`{name}` in {place}, which is no tensor")),
            },
        }
    }
    Ok(model)
}

/// Returns a tensor with its name, marked where it is known to be a buffer.
pub(super) fn named(name: &str, tensor: Tensor) -> Named {
    let buffer = is_buffer(name, &tensor);
    Named { buffer, ..Named::new(name, tensor) }
}

/// Returns a tensor, also one that is a parameter.
pub(super) fn tensor(value: Ref<'_>) -> Option<&Tensor> {
    if let Some(tensor) = value.tensor() {
        return Some(tensor);
    }
    let object = value.object().filter(|object| object.class.starts_with("torch._utils._rebuild_parameter"))?;
    value.other(*object.arguments.first()?).tensor()
}

/// Returns whether an object stands where a tensor is meant: a kind of tensor that is not read.
pub(super) fn is_tensor_like(object: &Object) -> bool {
    object.class.contains("_rebuild_") || object.class.ends_with("Tensor") || object.class.ends_with("Parameter")
}

/// Returns the sentence that refuses the tensor of another kind that `thing` is.
pub(super) fn refusal(thing: &str, value: Ref<'_>) -> String {
    let class = value.object().map_or("", |object| object.class.as_str());
    // The function that makes a subclass has it among its arguments.
    let arguments = value.object().map(|object| object.arguments.as_slice()).unwrap_or_default();
    let subclass = arguments.iter().filter_map(|place| value.other(*place).object());
    let subclass = subclass.map(|object| object.class.as_str()).find(|class| class.ends_with("Tensor"));
    let class = subclass.unwrap_or(class);
    format!(
        "{thing} is made by {class}, which is not read: gather the whole tensors first (with \
         torch.distributed.checkpoint.state_dict and full_state_dict=True, or tensor.full_tensor()), and save those"
    )
}

/// Returns whether `value` is a `state_dict`: its entries are tensors by name, and one of them is a weight.
///
/// Scripts put single tensors, such as a loss, beside the states, so a dict with another inside it is none, and names
/// without a dot only make one where all entries are tensors.
pub(super) fn is_model(value: Ref<'_>) -> bool {
    let Some(entries) = value.entries() else { return false };
    let (mut tensors, mut others, mut has_weight, mut has_path) = (0, 0, false, false);
    for (key, value) in entries {
        let Some(name) = key.text() else { return false };
        if name.ends_with("_extra_state") {
            continue;
        }
        match (tensor(value), value.object().is_some_and(is_tensor_like)) {
            (None, false) if value.entries().is_some() || value.items().is_some() => return false,
            (None, false) => others += 1,
            (found, _) => {
                tensors += 1;
                has_path |= name.contains('.') || ["weight", "bias"].contains(&name);
                has_weight |= found.is_none_or(|tensor| is_float(tensor) && !tensor.shape().is_empty());
            }
        }
    }
    has_weight && (others == 0 || has_path && tensors > others)
}

fn is_float(tensor: &Tensor) -> bool {
    matches!(tensor.dtype(), Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F8_E4M3 | Dtype::F8_E5M2)
}

/// Returns whether a tensor is known to be a buffer: by a name that PyTorch's own layers use, or since no gradient has its
/// dtype.
fn is_buffer(name: &str, tensor: &Tensor) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let known = ["running_mean", "running_var", "num_batches_tracked", "inv_freq", "masked_bias", "position_ids"];
    let is_mask = name.ends_with("attn.bias") && tensor.shape().len() == 4;
    known.contains(&last) || is_mask || !is_float(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::testing::Maker;
    use crate::peers::tree::Value;

    #[test]
    fn order_ties_and_buffers_are_told() {
        let mut maker = Maker::default();
        let (weight, mean, number) = (maker.tensor(&[2, 2]), maker.tensor(&[2]), maker.int(1));
        let other = maker.tensor(&[2, 2]);
        let names = [("z.weight", weight), ("n.running_mean", mean), ("a.weight", other), ("head.weight", weight)];
        let extra = [("_extra", number)];
        let dict = maker.dict(&[names.as_slice(), &extra].concat());
        let mut left = Vec::new();
        let model = read(Path::new("x.pt"), "model", maker.tree.at(dict), &mut left).unwrap();
        let order: Vec<_> = model.tensors.iter().map(|named| (named.name.as_str(), named.buffer)).collect();
        assert_eq!(order, [("z.weight", false), ("n.running_mean", true), ("a.weight", false)]);
        assert_eq!(model.tied, [("head.weight".to_owned(), "z.weight".to_owned())]);
        assert_eq!(left, ["`_extra` in model, which is no tensor"]);
        assert!(model.in_order && is_model(maker.tree.at(dict)));
    }

    #[test]
    fn a_sharded_tensor_is_refused_by_its_class() {
        let mut maker = Maker::default();
        let class = |class: &str| Object { class: class.to_owned(), ..Object::default() };
        let inner = maker.add(Value::from(class("torch.distributed.tensor.DTensor")));
        let outer = Object { arguments: vec![inner], ..class("torch._tensor._rebuild_from_type_v2") };
        let outer = maker.add(Value::from(outer));
        let dict = maker.dict(&[("0.weight", outer)]);
        let error = read(Path::new("x.pt"), "model", maker.tree.at(dict), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("`0.weight`") && error.contains("DTensor") && error.contains("gather"), "{error}");
    }
}
