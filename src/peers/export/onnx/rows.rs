//! The input of a network: the numbers of a row, and the nodes that prepare them as the run did.

use serde_json::{Value, json};

use super::network::{Attribute, Element, Network};
use crate::data::{DataConfig, Format, Normalize, Preparation, Statistics};

/// The name of the input.
pub(super) const INPUT: &str = "input";

/// Adds the input of rows of this shape and the nodes of their preparation, and returns the name of the result.
pub(super) fn write(network: &mut Network, preparation: &Preparation, row: &[usize]) -> String {
    let element = element(preparation);
    let mut x = network.input(INPUT, element, row);
    if let Some(statistics) = &preparation.statistics {
        x = standardized(network, statistics, &x, element, row);
    }
    if let Some(normalize) = &preparation.normalize {
        x = normalized(network, normalize, &x);
    }
    x
}

/// Returns the type of the input: that of the numbers that the run standardized.
pub(super) fn element(preparation: &Preparation) -> Element {
    let are_double = preparation.columns.as_ref().is_some_and(|columns| columns.are_double);
    if are_double && preparation.statistics.is_some() { Element::F64 } else { Element::F32 }
}

/// `(x - mean) / std` in 64 bits, rounded once, as the run computes it.
fn standardized(network: &mut Network, statistics: &Statistics, x: &str, element: Element, row: &[usize]) -> String {
    let cast =
        |network: &mut Network, x: &str, to: Element| network.node("Cast", &[x], &[Attribute::Int("to", to as i64)]);
    let x = if element == Element::F64 { x.to_owned() } else { cast(network, x, Element::F64) };
    let mean = network.f64s("mean", row, statistics.mean());
    let std = network.f64s("std", row, statistics.std());
    let x = network.node("Sub", &[&x, &mean], &[]);
    let x = network.node("Div", &[&x, &std], &[]);
    cast(network, &x, Element::F32)
}

/// The same of each channel of an image, in 32 bits.
fn normalized(network: &mut Network, normalize: &Normalize, x: &str) -> String {
    let shape = [normalize.mean.len(), 1, 1];
    let mean = network.f32s("channel_mean", &shape, normalize.mean.iter().copied());
    let std = network.f32s("channel_std", &shape, normalize.std.iter().copied());
    let x = network.node("Sub", &[x, &mean], &[]);
    network.node("Div", &[&x, &std], &[])
}

/// Adds to the file what the input is.
pub(super) fn describe(network: &mut Network, preparation: &Preparation, data: &DataConfig) {
    network.metadata("input", description(data));
    let Some(columns) = &preparation.columns else { return };
    network.metadata("features", &json!(columns.names).to_string());
    if let Some(encodings) = &columns.encodings {
        network.metadata("columns", &encodings.to_string());
    }
}

/// Returns what the numbers of a row are.
pub(super) fn description(data: &DataConfig) -> &'static str {
    match data.format {
        Some(Format::Images | Format::Idx) => {
            "pixels from 0 to 1, bytes divided by 255, of an image in the size of the network"
        }
        Some(Format::Csv | Format::Parquet) => "the numbers of the features, before standardization",
        _ => "the numbers of a row, before standardization",
    }
}

/// Returns the remark on columns that are not simply numbers, if there are any.
pub(super) fn remark(preparation: &Preparation) -> Option<String> {
    let columns = preparation.columns.as_ref()?;
    let encodings = columns.encodings.as_ref().and_then(Value::as_array)?;
    let is_other =
        |encoding: &Value| encoding["encoding"]["kind"] != "number" || !encoding["encoding"]["fill"].is_null();
    encodings.iter().any(is_other).then(|| {
        "the input has numbers only: a category is 0 and 1 for each of its words, or its place, and a missing number is \
         replaced, as `columns` in the metadata says; `features` names each number"
            .to_owned()
    })
}
