//! Tensors of a model by layer: one line per layer instead of one per tensor.

use serde::Serialize;

use super::statistics::TensorSummary;
use crate::aligned::aligned;
use crate::memory::{Size, grouped};

/// Tensors whose names differ only after the last dot, or the last slash as Keras has them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The common part of their names.
    pub name: String,
    /// The rest of each name, and its shape.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// Number of elements in all of them.
    pub numbers: u64,
    /// Number of NaN and infinite elements; `None` if they were not read.
    pub non_finite: Option<usize>,
}

/// Returns the layers of a model, whose tensors are in the part `model`, sorted by name, with numbers in numeric order.
pub fn layers(tensors: &[TensorSummary]) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for tensor in tensors.iter().filter(|tensor| tensor.part == "model") {
        let (name, rest) = tensor.name.rsplit_once(['.', '/']).unwrap_or(("", &tensor.name));
        let numbers = tensor.shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64));
        let entry = (rest.to_owned(), tensor.shape.clone());
        match layers.iter_mut().find(|layer| layer.name == name) {
            Some(layer) => {
                layer.tensors.push(entry);
                layer.numbers = layer.numbers.saturating_add(numbers);
                layer.non_finite = layer.non_finite.zip(tensor.non_finite).map(|(one, other)| one + other);
            }
            None => {
                let (name, tensors) = (name.to_owned(), vec![entry]);
                layers.push(Layer { name, tensors, numbers, non_finite: tensor.non_finite });
            }
        }
    }
    layers.sort_by(|a, b| key(&a.name).cmp(&key(&b.name)));
    layers
}

/// Splits a name for sorting, with numbers as numbers: `h.2` comes before `h.10`.
fn key(name: &str) -> Vec<(u64, &str)> {
    name.split(['.', '/']).map(|piece| piece.parse().map_or((u64::MAX, piece), |number| (number, ""))).collect()
}

/// Formats one line per layer, and one for the tensors of the other parts.
pub(crate) fn text(tensors: &[TensorSummary]) -> String {
    let layers = layers(tensors);
    let rows: Vec<[String; 3]> = layers.iter().map(row).collect();
    let mut lines = aligned(&rows, |column| column == 2);
    for (line, layer) in lines.iter_mut().zip(&layers) {
        let bad = layer.non_finite.filter(|count| *count > 0);
        *line += &bad.map(|count| format!("  {count} NaN or infinite")).unwrap_or_default();
    }
    let all = layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.numbers));
    if !layers.is_empty() {
        let plural = if layers.len() == 1 { "" } else { "s" };
        lines.push(format!("model: {} numbers in {} layer{plural}", grouped(all), layers.len()));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in tensors.iter().map(|tensor| tensor.part.as_str()).filter(|part| *part != "model") {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    for part in parts {
        let of_part = || tensors.iter().filter(|tensor| tensor.part == part);
        let (count, bytes) = (of_part().count(), of_part().map(|tensor| tensor.bytes as u64).sum());
        let bad: usize = of_part().filter_map(|tensor| tensor.non_finite).sum();
        let bad = if bad > 0 { format!(", {bad} NaN or infinite") } else { String::new() };
        lines.push(format!("{part}: {count} tensor{}, {}{bad}", if count == 1 { "" } else { "s" }, Size(bytes)));
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn row(layer: &Layer) -> [String; 3] {
    let shapes = layer.tensors.iter().map(|(name, shape)| format!("{name} {shape:?}"));
    let name = if layer.name.is_empty() { "(no layer)" } else { &layer.name };
    [name.to_owned(), shapes.collect::<Vec<_>>().join(" "), grouped(layer.numbers)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(part: &str, name: &str, shape: &[usize], non_finite: Option<usize>) -> TensorSummary {
        TensorSummary {
            part: part.to_owned(),
            name: name.to_owned(),
            shape: shape.to_vec(),
            dtype: "F32".to_owned(),
            bytes: 4 * shape.iter().product::<usize>(),
            mean: None,
            std: None,
            min: None,
            max: None,
            non_finite,
        }
    }

    #[test]
    fn a_layer_is_a_line_and_other_parts_are_one_each() {
        let tensors = [
            tensor("model", "h.10.bias", &[5], Some(0)),
            tensor("model", "h.10.weight", &[5, 300], Some(2)),
            tensor("model", "h.2.weight", &[3, 2], Some(0)),
            tensor("model", "scale", &[], None),
            tensor("optimizer", "h.2.weight.exp_avg", &[3, 2], Some(0)),
            tensor("optimizer", "h.2.weight.exp_avg_sq", &[3, 2], Some(1)),
        ];
        let expected = "\
(no layer)  scale []                      1
h.2         weight [3, 2]                 6
h.10        bias [5] weight [5, 300]  1,505  2 NaN or infinite
model: 1,512 numbers in 3 layers
optimizer: 2 tensors, 48 B, 1 NaN or infinite
";
        assert_eq!(text(&tensors), expected);
        assert_eq!(text(&[]), "");
    }
}
