//! The steps of a residual network in evaluation.

use super::ResNetConfig;
use crate::model::images::image;
use crate::model::{Activation, Graph, Input, ModelError, Operation, Value};

const RELU: Operation = Operation::Activation(Activation::Relu);

/// Returns the steps, with the names of the weights as [`ResNet`](super::ResNet) gives them.
pub(super) fn graph(config: &ResNetConfig, input: &Input) -> Result<Graph, ModelError> {
    let [_, mut height, mut width] = image("a resnet", input)?;
    let mut graph = Graph::new();
    let x = convolved(&mut graph, Graph::INPUT, ["conv1", "bn1"], 1, 1);
    let mut x = graph.then(x, RELU);
    let mut channels = config.widths.first().copied().unwrap_or(1);
    for (stage, (&outputs, &depth)) in config.widths.iter().zip(&config.depths).enumerate() {
        for block in 0..depth {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let changes = stride != 1 || channels != outputs;
            x = residual(&mut graph, x, &format!("layer{}.{block}", stage + 1), stride, changes);
            (channels, height, width) = (outputs, height.div_ceil(stride), width.div_ceil(stride));
        }
    }
    x = graph.then(x, Operation::AdaptiveAveragePool { from: [height, width], to: [1, 1] });
    x = graph.then(x, Operation::Flatten);
    graph.linear(x, "fc");
    Ok(graph)
}

/// A block: two convolutions, and the shortcut around them, which is a convolution where the shape changes.
fn residual(graph: &mut Graph, x: Value, name: &str, stride: usize, changes: bool) -> Value {
    let layer = |part: &str| format!("{name}.{part}");
    let inner = convolved(graph, x, [&layer("conv1"), &layer("bn1")], stride, 1);
    let inner = graph.then(inner, RELU);
    let inner = convolved(graph, inner, [&layer("conv2"), &layer("bn2")], 1, 1);
    let around = match changes {
        true => convolved(graph, x, [&layer("downsample.0"), &layer("downsample.1")], stride, 0),
        false => x,
    };
    let sum = graph.push(Operation::Add, &[inner, around]);
    graph.then(sum, RELU)
}

/// A convolution without bias, and its batch norm.
fn convolved(graph: &mut Graph, x: Value, [conv, norm]: [&str; 2], stride: usize, padding: usize) -> Value {
    let weight = format!("{conv}.weight");
    let x = graph.then(x, Operation::Convolution { weight, bias: None, stride, padding });
    graph.batch_norm(x, norm)
}
