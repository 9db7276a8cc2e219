//! The steps of a model as nodes of ONNX.

use std::collections::BTreeMap;
use std::f32::consts::SQRT_2;

use super::network::{Attribute, Network};
use crate::model::{Activation, Graph, Operation, Value};
use crate::ops::Pool2d;
use crate::peers::export::ExportError;
use crate::state::HostTensor;

/// The parameters and buffers of a model.
type Weights = BTreeMap<String, HostTensor>;

/// Adds the steps of `graph` to `network`, and returns the name of their result. Weights move from `weights` into the
/// network.
pub(super) fn write(
    network: &mut Network,
    graph: &Graph,
    input: String,
    weights: &mut Weights,
) -> Result<String, ExportError> {
    let mut layers = Layers { network, weights };
    let mut values = vec![input];
    for step in graph.steps() {
        let value = |value: &Value| values.get(value.step().map_or(0, |step| step + 1)).cloned().unwrap_or_default();
        let inputs: Vec<String> = step.inputs.iter().map(value).collect();
        let x = inputs.first().map_or("", String::as_str);
        let result = match &step.operation {
            Operation::Flatten => layers.network.node("Flatten", &[x], &[Attribute::Int("axis", 1)]),
            Operation::Linear { weight, bias } => layers.linear(x, weight, bias)?,
            Operation::Convolution { weight, bias, stride, padding } => {
                layers.convolution(x, weight, bias.as_deref(), *stride, *padding)?
            }
            Operation::BatchNorm { name } => layers.batch_norm(x, name)?,
            Operation::Activation(activation) => layers.activation(x, *activation),
            Operation::MaxPool(pool) => layers.pool("MaxPool", x, *pool),
            Operation::AveragePool(pool) => layers.pool("AveragePool", x, *pool),
            Operation::AdaptiveAveragePool { from, to } => layers.adaptive(x, *from, *to),
            Operation::Add => {
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                layers.network.node("Add", &inputs, &[])
            }
        };
        values.push(result);
    }
    Ok(values.pop().unwrap_or_default())
}

struct Layers<'a> {
    network: &'a mut Network,
    weights: &'a mut Weights,
}

impl Layers<'_> {
    /// Adds a weight, unless an earlier layer has it too.
    fn weight(&mut self, name: &str) -> Result<String, ExportError> {
        if self.network.has(name) {
            return Ok(name.to_owned());
        }
        let tensor = self.weights.remove(name);
        let tensor = tensor.ok_or_else(|| {
            ExportError::refused(format!("the layer of `{name}`"), "the checkpoint's model has no such weight")
        })?;
        let kind = tensor.kind();
        self.network.weight(name, tensor).ok_or_else(|| {
            ExportError::refused(format!("the weight `{name}`, {kind}"), "ONNX is written for weights of 32 bits")
        })
    }

    fn linear(&mut self, x: &str, weight: &str, bias: &str) -> Result<String, ExportError> {
        let [weight, bias] = [self.weight(weight)?, self.weight(bias)?];
        Ok(self.network.node("Gemm", &[x, &weight, &bias], &[Attribute::Int("transB", 1)]))
    }

    fn convolution(
        &mut self,
        x: &str,
        weight: &str,
        bias: Option<&str>,
        stride: usize,
        padding: usize,
    ) -> Result<String, ExportError> {
        let weight = self.weight(weight)?;
        let bias = bias.map(|bias| self.weight(bias)).transpose()?;
        let inputs: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
        let (strides, pads) = ([stride; 2], [padding; 4]);
        let attributes = [Attribute::Ints("strides", &strides), Attribute::Ints("pads", &pads)];
        Ok(self.network.node("Conv", &inputs, &attributes))
    }

    fn batch_norm(&mut self, x: &str, name: &str) -> Result<String, ExportError> {
        let mut part = |part: &str| self.weight(&format!("{name}.{part}"));
        let [scale, bias] = [part("weight")?, part("bias")?];
        let [mean, variance] = [part("running_mean")?, part("running_var")?];
        let inputs = [x, &scale, &bias, &mean, &variance];
        Ok(self.network.node("BatchNormalization", &inputs, &[Attribute::Float("epsilon", 1e-5)]))
    }

    fn activation(&mut self, x: &str, activation: Activation) -> String {
        match activation {
            Activation::Relu => self.network.node("Relu", &[x], &[]),
            Activation::Tanh => self.network.node("Tanh", &[x], &[]),
            Activation::Gelu => self.gelu(x),
        }
    }

    /// `x (1 + erf(x / sqrt(2))) / 2`. A node for it is there from opset 20 on only, and runtimes recognize this form.
    fn gelu(&mut self, x: &str) -> String {
        let root = self.network.f32s("sqrt_2", &[], [SQRT_2]);
        let one = self.network.f32s("one", &[], [1.0]);
        let half = self.network.f32s("half", &[], [0.5]);
        let scaled = self.network.node("Div", &[x, &root], &[]);
        let erf = self.network.node("Erf", &[&scaled], &[]);
        let above = self.network.node("Add", &[&erf, &one], &[]);
        let product = self.network.node("Mul", &[x, &above], &[]);
        self.network.node("Mul", &[&product, &half], &[])
    }

    fn pool(&mut self, kind: &str, x: &str, pool: Pool2d) -> String {
        let (kernel, strides, pads) = ([pool.kernel; 2], [pool.stride; 2], [pool.padding; 4]);
        let attributes = [
            Attribute::Ints("kernel_shape", &kernel),
            Attribute::Ints("strides", &strides),
            Attribute::Ints("pads", &pads),
        ];
        // The mean of a window counts the zeros beyond the edges, as ours does.
        let counting = (kind == "AveragePool" && pool.padding > 0).then_some(Attribute::Int("count_include_pad", 1));
        let attributes: Vec<Attribute<'_>> = attributes.into_iter().chain(counting).collect();
        self.network.node(kind, &[x], &attributes)
    }

    /// Means of windows that cover the image. Windows of one size are a pooling; others are the product with a matrix
    /// along each side, which every runtime has.
    fn adaptive(&mut self, x: &str, from: [usize; 2], to: [usize; 2]) -> String {
        if to == [1, 1] {
            return self.network.node("GlobalAveragePool", &[x], &[]);
        }
        if from.iter().zip(to).all(|(from, to)| from.is_multiple_of(to)) {
            let windows = [from[0] / to[0], from[1] / to[1]];
            let attributes = [Attribute::Ints("kernel_shape", &windows), Attribute::Ints("strides", &windows)];
            return self.network.node("AveragePool", &[x], &attributes);
        }
        let of_rows = means(from[0], to[0]);
        // Transposed: the columns are on the right side of the product.
        let (wide, columns) = (means(from[1], to[1]), from[1]);
        let of_columns = (0..columns).flat_map(|column| wide.iter().skip(column).step_by(columns).copied());
        let names = ["row", "column"].map(|side| format!("{side}_means_{from:?}_{to:?}"));
        let rows = self.network.f32s(&names[0], &[to[0], from[0]], of_rows);
        let columns = self.network.f32s(&names[1], &[from[1], to[1]], of_columns);
        let x = self.network.node("MatMul", &[&rows, x], &[]);
        self.network.node("MatMul", &[&x, &columns], &[])
    }
}

/// Returns the matrix `[to, from]` whose product is the mean of each of `to` windows that cover `from` numbers.
fn means(from: usize, to: usize) -> Vec<f32> {
    let window = |row: usize| row * from / to..((row + 1) * from).div_ceil(to);
    let number = |row: usize, column: usize| {
        let window = window(row);
        if window.contains(&column) { 1.0 / window.len() as f32 } else { 0.0 }
    };
    (0..to).flat_map(|row| (0..from).map(move |column| number(row, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_of_a_mean_are_those_of_the_adaptive_pooling() {
        assert_eq!(means(5, 2), [[1.0 / 3.0; 3].as_slice(), &[0.0; 4], &[1.0 / 3.0; 3]].concat());
        assert_eq!(means(2, 3), [1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
    }
}
