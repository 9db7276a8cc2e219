//! Predictions for a few validation rows, for somebody who looks at a run.

use candle_core::{DType, Device};

use super::Session;
use crate::data::{Input, TargetKind};
use crate::loss::Predicted;
use crate::model::Mode;
use crate::train::TrainError;
use crate::train::examples::{Example, Image};

impl Session {
    /// Whether the validation rows are images with a class each.
    pub(in crate::train) fn validates_on_images(&self) -> bool {
        let is_image = matches!(self.data.input(), Input::Numbers(shape) if Image::is_shape(&shape));
        let has_class = matches!(self.data.targets(), TargetKind::Classes { .. });
        is_image && has_class && !self.data.validation_rows().is_empty()
    }

    /// Predicts the classes of `count` validation rows, evenly spread over all of them, with the weights of a validation.
    /// Their images have at most `side` pixels on a side. It is empty if the rows do not have a class each. Nothing of
    /// the run changes.
    pub(in crate::train) fn examples(&self, count: usize, side: usize) -> Result<Vec<Example>, TrainError> {
        let all = self.data.validation_rows();
        let places: Vec<usize> = spread(count, all.len()).collect();
        let rows: Vec<usize> = places.iter().filter_map(|place| all.at(*place)).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.data.evaluation_rows(&rows)?;
        let outputs = self.with_evaluation_weights(|| Ok(self.model.forward(&batch.inputs, Mode::Evaluate)?))?;
        let outputs = outputs.flatten_from(1)?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        let Predicted::Classes { classes, probabilities } = self.loss.interpret_for(self.data.targets(), outputs)
        else {
            return Ok(Vec::new());
        };
        let targets = batch.targets.flatten_all()?.to_device(&Device::Cpu)?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        if [targets.len(), classes.len()] != [rows.len(); 2] {
            return Ok(Vec::new());
        }
        let mut examples = Vec::with_capacity(rows.len());
        for (number, row) in places.into_iter().enumerate() {
            let predicted = classes[number];
            let probability = probabilities.get(number).and_then(|row| row.get(predicted as usize)).copied();
            let image = Image::of_input(&batch.inputs.get(number)?.to_device(&Device::Cpu)?, side)?;
            let probability = probability.unwrap_or(f32::NAN);
            examples.push(Example { row, target: targets[number], predicted, probability, image });
        }
        Ok(examples)
    }

    /// Returns the name of each class; its number for one without a name.
    pub(in crate::train) fn class_names(&self) -> Vec<String> {
        let TargetKind::Classes { count } = self.data.targets() else { return Vec::new() };
        let known = self.data.schema().names.classes.unwrap_or_default();
        (0..count).map(|class| known.get(class).cloned().unwrap_or_else(|| class.to_string())).collect()
    }
}

/// Returns `count` places among `all`, or all of them if there are fewer.
fn spread(count: usize, all: usize) -> impl Iterator<Item = usize> {
    let count = count.min(all);
    (0..count).map(move |number| number * all / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_to_look_at_are_spread_evenly_and_different() {
        assert_eq!(spread(4, 100).collect::<Vec<_>>(), [0, 25, 50, 75]);
        assert_eq!(spread(3, 5).collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(spread(8, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(8, 0).count() + spread(0, 8).count(), 0);
    }
}
