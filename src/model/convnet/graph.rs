//! The steps of a convolutional network in evaluation.

use super::config::{ConvNetConfig, PoolKind};
use crate::model::images::image;
use crate::model::{Graph, Input, ModelError, Operation};

/// Returns the steps, with the names of the weights as [`ConvNet`](super::ConvNet) gives them.
pub(super) fn graph(config: &ConvNetConfig, input: &Input) -> Result<Graph, ModelError> {
    let [_, height, width] = image("a convnet", input)?;
    let (mut graph, mut x, mut sides, mut index) = (Graph::new(), Graph::INPUT, [height, width], 0);
    for block in &config.blocks {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("features.{index}.{part}"));
        let (stride, padding) = (block.stride, block.padding);
        x = graph.then(x, Operation::Convolution { weight, bias: Some(bias), stride, padding });
        index += 1;
        if block.batch_norm {
            x = graph.batch_norm(x, &format!("features.{index}"));
            index += 1;
        }
        x = graph.then(x, Operation::Activation(config.activation));
        x = match block.pool {
            Some(PoolKind::Max) => graph.then(x, Operation::MaxPool(block.pool())),
            Some(PoolKind::Average) => graph.then(x, Operation::AveragePool(block.pool())),
            None => x,
        };
        index += 1 + usize::from(block.pool.is_some()) + usize::from(block.dropout > 0.0);
        // Images that are too small were refused when the model was built.
        sides = block.sides(sides).map_or(sides, |[_, pooled]| pooled);
    }
    if let Some(side) = config.average_to {
        x = graph.then(x, Operation::AdaptiveAveragePool { from: sides, to: [side, side] });
    }
    x = graph.then(x, Operation::Flatten);
    for layer in 0..=config.hidden.len() {
        x = graph.linear(x, &format!("classifier.{}", 3 * layer));
        if layer < config.hidden.len() {
            x = graph.then(x, Operation::Activation(config.activation));
        }
    }
    Ok(graph)
}
