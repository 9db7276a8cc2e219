//! Whether the rows of a data set are images.

use super::ModelError;
use crate::model::Input;

/// Returns channels, height and width of an image; an error for `model` if the data is not images.
pub(super) fn image(model: &'static str, input: &Input) -> Result<[usize; 3], ModelError> {
    match input {
        Input::Numbers(shape) => match shape[..] {
            [channels, height, width] if ![channels, height, width].contains(&0) => Ok([channels, height, width]),
            _ => Err(other_data(model, "images, numbers of shape [channels, height, width]", input)),
        },
        Input::Tokens { .. } => Err(other_data(model, "images, numbers of shape [channels, height, width]", input)),
    }
}

pub(super) fn other_data(model: &'static str, takes: impl Into<String>, data: &Input) -> ModelError {
    ModelError::OtherData { model, takes: takes.into(), data: data.clone() }
}
