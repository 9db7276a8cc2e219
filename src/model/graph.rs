//! The computation of a model in evaluation, step by step, so that it can be written for other programs.
//!
//! A graph names the weights that it uses; it has no numbers. `src/peers/export/onnx/` writes one as ONNX.

use super::Activation;
use crate::ops::Pool2d;

/// A value of a [`Graph`]: its input, or the result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

impl Value {
    /// Returns the number of the step whose result it is; `None` for the input.
    pub fn step(self) -> Option<usize> {
        self.0.checked_sub(1)
    }
}

/// The computation of a step. Images are `[rows, channels, height, width]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Each row as one list of numbers, `[rows, numbers]`.
    Flatten,
    /// `x Wᵀ + b`.
    Linear {
        /// The name of the weight `[out, in]`.
        weight: String,
        /// The name of the bias `[out]`.
        bias: String,
    },
    /// A convolution with square kernels.
    Convolution {
        /// The name of the weight `[out, in, kernel, kernel]`.
        weight: String,
        /// The name of the bias `[out]`, if there is one.
        bias: Option<String>,
        /// Step of the kernel, in pixels.
        stride: usize,
        /// Number of zeros at each edge.
        padding: usize,
    },
    /// A batch norm by its running statistics; `eps` is 1e-5.
    BatchNorm {
        /// The layer's name, in front of `.weight`, `.bias`, `.running_mean` and `.running_var`.
        name: String,
    },
    /// A nonlinearity of each element.
    Activation(Activation),
    /// The maximum of each window.
    MaxPool(Pool2d),
    /// The mean of each window.
    AveragePool(Pool2d),
    /// The means of windows that cover the image, as [`adaptive_avg_pool2d`](crate::ops::adaptive_avg_pool2d).
    AdaptiveAveragePool {
        /// Height and width of the image.
        from: [usize; 2],
        /// Height and width of the result.
        to: [usize; 2],
    },
    /// The sum of two values of one shape.
    Add,
}

/// A step: an operation and the values that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The operation.
    pub operation: Operation,
    /// Its inputs, in order: two for [`Operation::Add`], otherwise one.
    pub inputs: Vec<Value>,
}

/// The steps of a model in evaluation, in order. The result of the last one is the model's output; without steps it is
/// the input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    steps: Vec<Step>,
}

impl Graph {
    /// The input: a batch of rows, as the model takes them.
    pub const INPUT: Value = Value(0);

    /// Creates a graph without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step, and returns its result.
    pub fn push(&mut self, operation: Operation, inputs: &[Value]) -> Value {
        self.steps.push(Step { operation, inputs: inputs.to_vec() });
        Value(self.steps.len())
    }

    /// Adds a step of one input.
    pub fn then(&mut self, x: Value, operation: Operation) -> Value {
        self.push(operation, &[x])
    }

    /// Adds a linear layer with the parameters `name.weight` and `name.bias`.
    pub fn linear(&mut self, x: Value, name: &str) -> Value {
        self.then(x, Operation::Linear { weight: format!("{name}.weight"), bias: format!("{name}.bias") })
    }

    /// Adds a batch norm.
    pub fn batch_norm(&mut self, x: Value, name: &str) -> Value {
        self.then(x, Operation::BatchNorm { name: name.to_owned() })
    }

    /// Returns the steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor};

    use super::*;
    use crate::model::{Input, Mode, Model, ModelConfig};
    use crate::ops::{self, BatchNorm, Conv2d};
    use crate::rng::{StepRng, Stream};

    /// Computes the steps with our operations.
    fn computed(graph: &Graph, model: &dyn Model, input: &Tensor) -> Result<Tensor> {
        let all = model.parameters().and(&model.buffers());
        let var = |name: &str| all.get(name).unwrap_or_else(|| panic!("no `{name}`"));
        let mut values = vec![input.clone()];
        for Step { operation, inputs } in graph.steps() {
            let x = &values[inputs[0].0];
            values.push(match operation {
                Operation::Flatten => ops::flatten(x)?,
                Operation::Linear { weight, bias } => ops::linear(x, var(weight), Some(var(bias)))?,
                Operation::Convolution { weight, bias, stride, padding } => {
                    let options = Conv2d { stride: *stride, padding: *padding, ..Conv2d::default() };
                    ops::conv2d(x, var(weight), bias.as_ref().map(|bias| var(bias).as_tensor()), options)?
                }
                Operation::BatchNorm { name } => {
                    let part = |part: &str| var(&format!("{name}.{part}"));
                    let norm = BatchNorm::new(part("running_mean").clone(), part("running_var").clone());
                    norm.evaluate(x, part("weight"), part("bias"))?
                }
                Operation::Activation(activation) => activation.apply(x)?,
                Operation::MaxPool(pool) => ops::max_pool2d(x, *pool)?,
                Operation::AveragePool(pool) => ops::avg_pool2d(x, *pool)?,
                Operation::AdaptiveAveragePool { from, to } => {
                    assert_eq!(x.dims()[2..], *from);
                    ops::adaptive_avg_pool2d(x, to[0], to[1])?
                }
                Operation::Add => ops::add(x, &values[inputs[1].0])?,
            });
        }
        Ok(values.pop().unwrap_or_else(|| input.clone()))
    }

    /// The graph of a configuration computes the bits that the model does, also after the running statistics of batch
    /// norms have moved.
    #[track_caller]
    fn assert_same_bits(text: &str, shape: &[usize]) {
        let config: ModelConfig = toml::from_str(text).unwrap();
        let input = Input::Numbers(shape.to_vec());
        let model = config.build(&input, 3, 1, &Device::Cpu).unwrap();
        let rows: Vec<usize> = [4].iter().chain(shape).copied().collect();
        let numbers = Stream::new(1, "test").normal(0, rows.iter().product());
        let rows = Tensor::from_vec(numbers, rows, &Device::Cpu).unwrap();
        model.forward(&rows, Mode::Train(&StepRng::at(1, 2))).unwrap();
        let expected = model.forward(&rows, Mode::Evaluate).unwrap().to_vec2::<f32>().unwrap();
        let graph = config.spec().graph(&input).unwrap().unwrap();
        assert_eq!(computed(&graph, model.as_ref(), &rows).unwrap().to_vec2::<f32>().unwrap(), expected, "{text}");
    }

    #[test]
    fn the_graph_of_a_perceptron_is_its_computation() {
        for activation in ["relu", "gelu", "tanh"] {
            assert_same_bits(&format!("kind = 'mlp'\nhidden = [5, 4]\nactivation = '{activation}'"), &[2, 3]);
        }
        assert_same_bits("kind = 'mlp'", &[6]);
        assert_same_bits("kind = 'mlp'\nhidden = [4, 4]\ntied = [['2.weight', '0.weight']]\ndropout = 0.5", &[4]);
    }

    #[test]
    fn the_graph_of_a_convnet_is_its_computation() {
        let blocks = "blocks = [{ channels = 4, padding = 1, batch_norm = true, pool = 'max', dropout = 0.5 }, \
                      { channels = 5, kernel = 2, stride = 2, pool = 'average', pool_stride = 1 }]";
        for more in ["hidden = [6]", "average_to = 1", "average_to = 2\nactivation = 'gelu'"] {
            assert_same_bits(&format!("kind = 'convnet'\n{blocks}\n{more}"), &[2, 13, 14]);
        }
    }

    #[test]
    fn the_graph_of_a_resnet_is_its_computation() {
        assert_same_bits("kind = 'resnet'\nwidths = [4, 6]\ndepths = [1, 2]", &[2, 7, 9]);
        assert_same_bits("kind = 'resnet'\nwidths = [3]\ndepths = [2]\nstochastic_depth = 0.5", &[1, 4, 4]);
    }
}
