//! `[log]`: what a run writes for other programs, beside `log.jsonl`. It changes no bit of the run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::every::{self, Interval};
use crate::train::TrainError;

/// Files for other programs, beside `log.jsonl`. They change no bit of the run, and can be turned on and off on a
/// resume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LogConfig {
    /// Whether to write event files of TensorBoard into the run directory: losses, rates, gradient norm, metrics of
    /// validations, speed, the configuration and hyperparameters. A resume that turns it on adds the steps before it
    /// from `log.jsonl`. A run in an object store has none.
    #[serde(default)]
    pub tensorboard: bool,
    /// The interval of histograms of weights and gradients in these files: `"500 steps"` or `"1 epoch"`. There are none
    /// by default: the step of a histogram takes longer, by a few passes over the weights.
    #[serde(default, deserialize_with = "every::of_kept", skip_serializing_if = "Option::is_none")]
    pub histograms: Option<Interval>,
    /// The number of validation images in these files, each with its class and the predicted one, at every validation: 8
    /// by default, and 0 for none. They are the same ones each time, evenly spread over the validation rows. Only rows
    /// that are images with a class each have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
}

/// Images of a validation, if the configuration does not tell.
const IMAGES: usize = 8;

/// The most images of a validation: they are in one picture.
const MOST_IMAGES: usize = 64;

impl LogConfig {
    /// Returns the number of images at each validation.
    pub(in crate::train) fn images(&self) -> usize {
        self.images.unwrap_or(IMAGES)
    }

    /// Refuses an interval that is not a number of steps or epochs, and more images than can be looked at.
    pub(super) fn validate(&self) -> Result<(), TrainError> {
        if let Some(images) = self.images.filter(|images| *images > MOST_IMAGES) {
            return Err(TrainError::Field {
                field: "log.images".to_owned(),
                value: images.to_string(),
                rule: format!("must be at most {MOST_IMAGES}, which are drawn in one picture"),
            });
        }
        match self.histograms.filter(|every| every.in_steps(1).is_none()) {
            Some(every) => Err(TrainError::Field {
                field: "log.histograms".to_owned(),
                value: every.to_string(),
                rule: "must be a number of steps or epochs, so that a resumed run has histograms of the same steps"
                    .to_owned(),
            }),
            None => Ok(()),
        }
    }
}
