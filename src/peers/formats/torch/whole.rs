//! Models and optimizers that were saved as whole objects, with `torch.save(model)`: they are code and data in one, whose
//! numbers only the class itself can tell, so they are refused by name.
//!
//! Only the file's root and its entries are looked at. A model among the settings of a run, as Lightning's
//! `hyper_parameters` may have, does no harm beside a proper `state_dict`.

use super::super::super::tree::Ref;
use super::super::pickle::Refusal;

/// Returns the class of a value that is a model, an optimizer or a scheduler saved as a whole object.
pub fn pickled_object(value: Ref<'_>) -> Option<&str> {
    let object = value.object().filter(|object| object.state.is_some())?;
    let has = |names: &[&str]| names.iter().all(|name| value.get(name).is_some());
    let model = has(&["_parameters", "_buffers", "_modules"]);
    let optimizer = has(&["state", "param_groups", "defaults"]);
    let scheduler = object.class.starts_with("torch.optim.");
    (model || optimizer || scheduler).then_some(object.class.as_str())
}

/// Refuses a file whose root, or an entry of it, is such an object.
pub(super) fn refuse(root: Ref<'_>) -> Result<(), Refusal> {
    let entries = root.entries().into_iter().flatten();
    let places = entries.map(|(key, value)| (key.text().map(|key| format!("`{key}` is")), value));
    for (place, value) in std::iter::once((None, root)).chain(places) {
        if let Some(class) = pickled_object(value) {
            let place = place.unwrap_or_else(|| "the file is".to_owned());
            return Err(Refusal::Unsupported(format!(
                "{place} a whole object of the class {class}, which only its code could read; save its `state_dict()`"
            )));
        }
    }
    Ok(())
}
