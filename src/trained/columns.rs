//! The columns of a table of predictions, and its rows: classes and their probabilities, or values.

use super::{Predicted, PredictedRows, Trained, TrainedError};
use crate::data::{Format, TargetKind};

/// The columns of predictions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// Whether each row is named by a file.
    pub has_names: bool,
    /// The class columns: one, several for the most probable classes, or none for values.
    pub classes: Vec<String>,
    /// Whether the names of the classes are words, not just numbers.
    pub are_words: bool,
    /// The number columns: probabilities or values.
    pub numbers: Vec<String>,
    /// The number of most probable classes that a row has, if not all.
    pub top_k: Option<usize>,
    /// The names of all classes, in the order of their numbers; empty for values.
    names: Vec<String>,
}

/// A row of a table.
pub(super) struct Row<'a> {
    /// The file that it is.
    pub file: Option<&'a str>,
    /// A class for each class column.
    pub classes: Vec<u32>,
    /// A number for each number column.
    pub numbers: Vec<f32>,
}

impl Columns {
    /// Returns the columns of a model's predictions, with all classes or the `top_k` most probable ones.
    ///
    /// # Errors
    /// The model has no classes to choose from, or none would be chosen.
    pub fn of(trained: &Trained, top_k: Option<usize>) -> Result<Self, TrainedError> {
        let wrong = |rule| {
            let value = top_k.unwrap_or_default().to_string();
            Err(TrainedError::Option { option: "top-k", value, rule })
        };
        if top_k == Some(0) {
            return wrong("must be at least 1");
        }
        let common = Self {
            has_names: trained.config.data.format == Some(Format::Images),
            are_words: trained.schema.names.classes.is_some(),
            ..Self::default()
        };
        let Some(names) = trained.class_names() else {
            let labels = trained.label_names().unwrap_or_default();
            let numbers = match trained.schema.targets {
                TargetKind::Values { width } if labels.len() == width => {
                    let prefix = if trained.loss.takes_labels() { "p" } else { "value" };
                    labels.iter().map(|label| format!("{prefix}_{label}")).collect()
                }
                TargetKind::Values { width: 1 } => vec!["value".to_owned()],
                TargetKind::Values { width } | TargetKind::Classes { count: width } => {
                    (0..width).map(|place| format!("value_{place}")).collect()
                }
            };
            return if top_k.is_some() {
                wrong("the model predicts values, and has no classes to choose from")
            } else {
                Ok(Self { numbers, ..common })
            };
        };
        Ok(common.of_classes(names, top_k))
    }

    fn of_classes(self, names: Vec<String>, top_k: Option<usize>) -> Self {
        let top_k = top_k.map(|top_k| top_k.min(names.len()));
        let [classes, numbers] = match top_k {
            Some(top_k) => ["class", "p"].map(|word| (1..=top_k).map(|rank| format!("{word}_{rank}")).collect()),
            None => [vec!["class".to_owned()], names.iter().map(|name| format!("p_{name}")).collect()],
        };
        Self { classes, numbers, names, top_k, ..self }
    }

    /// Returns the name of a class.
    pub fn name_of(&self, class: u32) -> &str {
        self.names.get(class as usize).map_or("", String::as_str)
    }

    /// Returns the rows of predictions.
    pub fn rows<'a>(&'a self, rows: &'a PredictedRows) -> impl Iterator<Item = Row<'a>> {
        (0..rows.predicted.len()).map(|row| {
            let file = rows.names.as_ref().and_then(|names| names.get(row)).map(String::as_str);
            let (classes, numbers) = match &rows.predicted {
                Predicted::Values(values) => (Vec::new(), values.get(row).cloned().unwrap_or_default()),
                Predicted::Classes { classes, probabilities } => {
                    let class = classes.get(row).copied().unwrap_or_default();
                    let all = probabilities.get(row).map(Vec::as_slice).unwrap_or_default();
                    self.chosen(class, all)
                }
            };
            Row { file, classes, numbers }
        })
    }

    /// The class and all probabilities, or the most probable classes and theirs.
    fn chosen(&self, class: u32, probabilities: &[f32]) -> (Vec<u32>, Vec<f32>) {
        let Some(top_k) = self.top_k else { return (vec![class], probabilities.to_vec()) };
        let mut order: Vec<(u32, f32)> = (0..).zip(probabilities.iter().copied()).collect();
        // The predicted class is first also where rounding makes another one as probable.
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then((a.0 != class).cmp(&(b.0 != class))).then(a.0.cmp(&b.0)));
        order.into_iter().take(top_k).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_classes_come_in_their_order_and_the_predicted_one_is_first() {
        let names = || ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let top = |top_k, class, probabilities: &[f32]| {
            Columns::default().of_classes(names(), Some(top_k)).chosen(class, probabilities)
        };
        assert_eq!(top(2, 2, &[0.1, 0.2, 0.5, 0.2]), (vec![2, 1], vec![0.5, 0.2]));
        assert_eq!(top(3, 1, &[0.3, 0.3, 0.3, 0.1]), (vec![1, 0, 2], vec![0.3; 3]));
        assert_eq!(top(9, 0, &[0.7, 0.1, 0.1, 0.1]).0, [0, 1, 2, 3]);
        let columns = Columns::default().of_classes(names(), Some(2));
        assert_eq!(
            (columns.classes, columns.numbers),
            (vec!["class_1".into(), "class_2".into()], vec!["p_1".into(), "p_2".into()])
        );
    }
}
