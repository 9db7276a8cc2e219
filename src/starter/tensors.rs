//! Configurations for safetensors files: which tensors are the inputs and the targets.

use std::path::Path;

use super::lines::{Length, Lines, quoted};
use super::{StarterError, nothing};
use crate::data::TensorSurvey as Tensor;
use crate::figures::counted;

/// Writes `[data]` and `[model]`.
pub(super) fn describe(
    lines: &mut Lines,
    tensors: &[Tensor],
    path: &Path,
    written: &Path,
) -> Result<Length, StarterError> {
    let (inputs, targets) = pair(tensors).ok_or_else(|| {
        let reason = "no two tensors have the same number of rows, one F32 of two or more dimensions for inputs, and \
                      another for targets";
        nothing(path, reason)
    })?;
    if targets.is_constant {
        let reason = format!("tensor `{}`, the targets, has one value in every row", targets.name);
        return Err(nothing(path, reason + ", so there is nothing to learn"));
    }
    let rows = inputs.shape.first().copied().unwrap_or(0);
    lines.decide(format!("format: safetensors, by the name of the file; {}", counted(rows, "row")));
    let task =
        if targets.dtype == "F32" { "values, because they are F32" } else { "classes, because they are whole numbers" };
    lines.decide(format!("inputs: tensor `{}`, {} {:?}", inputs.name, inputs.dtype, inputs.shape));
    lines.decide(format!("targets: tensor `{}`, {} {:?}: {task}", targets.name, targets.dtype, targets.shape));
    lines.table("data", "The training data.");
    lines.path("path", written, "The file of tensors, relative to this one.");
    lines.value("inputs", &quoted(&inputs.name), "The name of the inputs, F32 [rows, …].");
    let meaning = "The name of the targets: F32 are values; I64, U32 or U8 of one number a row are classes.";
    lines.value("targets", &quoted(&targets.name), meaning);
    lines.value("standardize", "false", "Whether every feature gets mean 0 and deviation 1.");
    let length = Length::of_rows(lines.validation(rows), 32);
    lines.batch_size(&length);
    match inputs.shape[..] {
        [_, _, height, width] => lines.convnet([height, width]),
        _ => lines.mlp(),
    }
    Ok(length)
}

/// Returns the tensors with the usual names, otherwise the first two that fit together.
fn pair(tensors: &[Tensor]) -> Option<(&Tensor, &Tensor)> {
    const INPUTS: [&str; 5] = ["x", "inputs", "input", "features", "images"];
    const TARGETS: [&str; 6] = ["y", "targets", "target", "labels", "label", "classes"];
    let is_input = |Tensor { dtype, shape, .. }: &&Tensor| dtype == "F32" && shape.len() >= 2 && !shape.contains(&0);
    let is_target = |tensor: &&Tensor| match tensor.dtype.as_str() {
        "F32" => matches!(tensor.shape[..], [_] | [_, _]),
        "I64" | "U32" | "U8" => matches!(tensor.shape[..], [_] | [_, 1]),
        _ => false,
    };
    let rank = |names: &[&str], name: &str| names.iter().position(|known| *known == name).unwrap_or(names.len());
    let pairs = tensors.iter().filter(is_input).flat_map(|inputs| {
        let fits =
            move |targets: &&Tensor| targets.name != inputs.name && targets.shape.first() == inputs.shape.first();
        tensors.iter().filter(is_target).filter(fits).map(move |targets| (inputs, targets))
    });
    pairs.min_by_key(|(inputs, targets)| rank(&INPUTS, &inputs.name) + rank(&TARGETS, &targets.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_and_targets_are_found_by_name_and_by_rows() {
        let tensor = |name: &str, dtype: &str, shape: &[usize]| Tensor {
            name: name.to_owned(),
            dtype: dtype.to_owned(),
            shape: shape.to_vec(),
            is_constant: false,
        };
        let names = |tensors: &[Tensor]| pair(tensors).map(|(x, y)| (x.name.clone(), y.name.clone()));
        let both = [tensor("0.weight", "F32", &[8, 3]), tensor("x", "F32", &[9, 3]), tensor("y", "F32", &[9, 1])];
        assert_eq!(names(&both), Some(("x".to_owned(), "y".to_owned())));
        let other = [tensor("a", "F32", &[9, 3, 8, 8]), tensor("b", "I64", &[9])];
        assert_eq!(names(&other), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(names(&[tensor("a", "F32", &[9, 3]), tensor("b", "I64", &[8])]), None);
    }
}
