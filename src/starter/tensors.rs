//! Configurations for tensors: which are the inputs and the targets.

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
    let kind = Kind::of(path);
    let (inputs, targets) = pair(tensors, kind.inputs(path).as_deref()).ok_or_else(|| {
        let reason = match kind {
            Kind::Npy => "no other `.npy` file in its folder has as many rows and could be its targets",
            Kind::Safetensors | Kind::Npz => {
                "no two tensors have the same number of rows, one of two or more dimensions for inputs, and another for \
                 targets"
            }
        };
        nothing(path, reason)
    })?;
    if targets.is_constant {
        let reason = format!("tensor `{}`, the targets, has one value in every row", targets.name);
        return Err(nothing(path, reason + ", so there is nothing to learn"));
    }
    let rows = inputs.shape.first().copied().unwrap_or(0);
    lines.decide(format!("format: {}, by the name of the file; {}", kind.word(), counted(rows, "row")));
    let task = match targets.dtype.as_str() {
        float if FLOATS.contains(&float) => "values, because they are floats",
        _ if targets.shape.get(1).is_some_and(|&width| width > 1) => "labels, each yes or no",
        _ => "classes, because they are whole numbers",
    };
    lines.decide(format!("inputs: tensor `{}`, {} {:?}", inputs.name, inputs.dtype, inputs.shape));
    lines.decide(format!("targets: tensor `{}`, {} {:?}: {task}", targets.name, targets.dtype, targets.shape));
    lines.table("data", "The training data.");
    if kind == Kind::Npy {
        lines.path("path", written, "The file of inputs, relative to this one.");
    } else {
        lines.path("path", written, "The file of tensors, relative to this one.");
        lines.value("inputs", &quoted(&inputs.name), "The name of the inputs, numbers of shape [rows, …].");
    }
    let meaning = match kind {
        Kind::Npy => "The file of targets in the same folder: floats are values, one whole number a row is a class.",
        Kind::Safetensors | Kind::Npz => {
            "The name of the targets: floats are values, one whole number a row is a class."
        }
    };
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

/// The kind of file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Safetensors,
    Npz,
    /// An array; its targets are in another file.
    Npy,
}

impl Kind {
    fn of(path: &Path) -> Self {
        let is = |ending: &str| {
            let bare =
                path.extension().filter(|packed| ["gz", "zst"].iter().any(|one| packed.eq_ignore_ascii_case(one)));
            let bare = bare.map_or_else(|| path.to_owned(), |_| path.with_extension(""));
            bare.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
        };
        match () {
            () if is("npy") => Self::Npy,
            () if is("npz") => Self::Npz,
            () => Self::Safetensors,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Npz => "npz",
            Self::Npy => "npy",
        }
    }

    /// Returns the name of the inputs, if they are this file.
    fn inputs(self, path: &Path) -> Option<String> {
        (self == Self::Npy).then(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }
}

const FLOATS: [&str; 4] = ["F64", "F32", "F16", "BF16"];
const WHOLE: [&str; 9] = ["I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"];

/// Returns the tensors with the usual names, otherwise the first two that fit together. The inputs may be given.
fn pair<'a>(tensors: &'a [Tensor], given: Option<&str>) -> Option<(&'a Tensor, &'a Tensor)> {
    const INPUTS: [&str; 5] = ["x", "inputs", "input", "features", "images"];
    const TARGETS: [&str; 6] = ["y", "targets", "target", "labels", "label", "classes"];
    let is_input = |Tensor { name, dtype, shape, .. }: &&Tensor| {
        let are_numbers = FLOATS.contains(&dtype.as_str()) || WHOLE.contains(&dtype.as_str());
        given.is_none_or(|given| given == name) && are_numbers && shape.len() >= 2 && !shape.contains(&0)
    };
    let is_target = |tensor: &&Tensor| match tensor.dtype.as_str() {
        float if FLOATS.contains(&float) => matches!(tensor.shape[..], [_] | [_, _]),
        "BOOL" => matches!(tensor.shape[..], [_] | [_, _]),
        whole if WHOLE.contains(&whole) => matches!(tensor.shape[..], [_] | [_, 1]),
        _ => false,
    };
    let rank = |names: &[&str], name: &str| {
        let bare = name.split_once(".npy").map_or(name, |(bare, _)| bare);
        names.iter().position(|known| *known == bare).unwrap_or(names.len())
    };
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
        let names = |tensors: &[Tensor]| pair(tensors, None).map(|(x, y)| (x.name.clone(), y.name.clone()));
        let both = [tensor("0.weight", "F32", &[8, 3]), tensor("x", "F32", &[9, 3]), tensor("y", "F32", &[9, 1])];
        assert_eq!(names(&both), Some(("x".to_owned(), "y".to_owned())));
        let other = [tensor("a", "F32", &[9, 3, 8, 8]), tensor("b", "I64", &[9])];
        assert_eq!(names(&other), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(names(&[tensor("a", "F32", &[9, 3]), tensor("b", "I64", &[8])]), None);
    }
}
