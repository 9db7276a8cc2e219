//! A multilayer perceptron: linear layers with activations and dropout between them.

mod tied;

use candle_core::{Device, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::check_dropout;
use super::layers::{Builder, Linear};
use super::lora::LoraConfig;
use super::outline::product;
use super::{
    Activation, Activations, Graph, LayerFlops, Mode, Model, ModelError, ModelSpec, Operation, Outline, Policy,
};
use crate::model::Input;
use crate::ops;
use crate::parameters::Parameters;

/// The settings of an [`Mlp`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MlpConfig {
    /// Width of each hidden layer; an empty list makes the model linear.
    #[serde(default)]
    #[schemars(inner(range(min = 1)))]
    pub hidden: Vec<usize>,
    /// Nonlinearity after each hidden layer.
    #[serde(default)]
    pub activation: Activation,
    /// Probability in `[0, 1)` of dropping a hidden unit in training.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Pairs of parameters that are one tensor: the first, such as `"4.weight"`, is an earlier parameter of its shape,
    /// such as `"2.weight"`. Only the earlier one is a parameter of the model then. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tied: Vec<[String; 2]>,
    /// Adapters of low rank, which are trained in place of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

impl MlpConfig {
    /// Creates hidden layers of these widths, with defaults for everything else.
    pub fn new(hidden: impl Into<Vec<usize>>) -> Self {
        Self { hidden: hidden.into(), ..Self::default() }
    }
}

impl ModelSpec for MlpConfig {
    fn validate(&self) -> std::result::Result<(), ModelError> {
        if self.hidden.contains(&0) {
            return Err(ModelError::field("hidden", format!("{:?}", self.hidden), "a layer needs at least one unit"));
        }
        check_dropout(self.dropout)?;
        self.lora.iter().try_for_each(LoraConfig::validate)?;
        if let (Some(_), [[name, _], ..]) = (&self.lora, &self.tied[..]) {
            let rule = "a tensor of two layers cannot have an adapter in each; remove it, or `[model.lora]`";
            return Err(ModelError::field("tied", format!("{name:?}"), rule));
        }
        tied::check(&self.tied, self.hidden.len() + 1)
    }

    fn build(
        &self,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
    ) -> std::result::Result<Box<dyn Model>, ModelError> {
        self.build_with_policy(input, outputs, seed, device, Policy::default())
    }

    fn build_with_policy(
        &self,
        input: &Input,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> std::result::Result<Box<dyn Model>, ModelError> {
        match input {
            Input::Numbers(shape) => {
                let inputs = shape.iter().product();
                tied::check_shapes(&self.tied, &self.widths(inputs, outputs))?;
                Ok(Box::new(Mlp::made(self.clone(), inputs, outputs, seed, device, policy)?))
            }
            Input::Tokens { .. } => {
                Err(ModelError::OtherData { model: "an mlp", takes: "rows of numbers".to_owned(), data: input.clone() })
            }
        }
    }

    fn outline(&self, input: &Input, outputs: usize) -> std::result::Result<Option<Outline>, ModelError> {
        let activations = self.activations(product(input.shape()), outputs);
        Outline::counted(self, activations, input, outputs).map(Some)
    }

    fn flops(&self, input: &Input, outputs: usize) -> std::result::Result<Vec<LayerFlops>, ModelError> {
        let widths = self.widths(input.numbers(), outputs);
        let layer = |(index, pair): (usize, &[usize])| {
            LayerFlops::new((2 * index).to_string(), &[pair[0] as u64, pair[1] as u64])
        };
        Ok(widths.windows(2).enumerate().map(layer).collect())
    }

    fn graph(&self, input: &Input) -> std::result::Result<Option<Graph>, ModelError> {
        let (mut graph, mut x) = (Graph::new(), Graph::INPUT);
        if input.shape().len() > 1 {
            x = graph.then(x, Operation::Flatten);
        }
        let earlier = |name: String| {
            self.tied.iter().find(|[later, _]| *later == name).map_or(name, |[_, earlier]| earlier.clone())
        };
        for layer in 0..=self.hidden.len() {
            let [weight, bias] = ["weight", "bias"].map(|part| earlier(format!("{}.{part}", 2 * layer)));
            x = graph.then(x, Operation::Linear { weight, bias });
            if layer < self.hidden.len() {
                x = graph.then(x, Operation::Activation(self.activation));
            }
        }
        Ok(Some(graph))
    }

    fn resumable(&self) -> &'static [&'static str] {
        &["dropout", "lora.dropout", "activation"]
    }
}

impl MlpConfig {
    /// Returns the numbers of units: of the input, of each hidden layer, and of the output.
    fn widths(&self, inputs: usize, outputs: usize) -> Vec<usize> {
        [inputs].into_iter().chain(self.hidden.iter().copied()).chain([outputs]).collect()
    }

    /// Estimates the memory of activations for a row of `inputs` numbers and `outputs` numbers. ReLU is part of its
    /// layer.
    fn activations(&self, inputs: u64, outputs: usize) -> Activations {
        let results = if self.activation == Activation::Relu { 1 } else { 2 };
        let hidden = self.hidden.iter().flat_map(|&width| std::iter::repeat_n(width as u64, results));
        Activations::of_steps(inputs, hidden.chain([outputs as u64]))
            .with_dropout(self.dropout > 0.0)
            .with_dropout(LoraConfig::drops(self.lora.as_ref()))
    }
}

/// A multilayer perceptron. Its weights are named like those of a `torch.nn.Sequential` that alternates linear layers
/// and activations: `0.weight` `[out, in]`, `0.bias` `[out]`, `2.weight`, and so on. Tied weights have the name of the
/// earlier one.
#[derive(Debug)]
pub struct Mlp {
    config: MlpConfig,
    layers: Vec<Linear>,
    policy: Policy,
    parameters: Parameters,
    frozen: Parameters,
}

impl Mlp {
    /// Creates a model from `inputs` numbers to `outputs` numbers, with PyTorch's initial weights drawn from `seed`.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(config: MlpConfig, inputs: usize, outputs: usize, seed: u64, device: &Device) -> Result<Self> {
        Self::with_policy(config, inputs, outputs, seed, device, Policy::default())
    }

    /// [`Mlp::new`] with other types of numbers than f32.
    ///
    /// # Errors
    /// When the device fails, or has no such type.
    pub fn with_policy(
        config: MlpConfig,
        inputs: usize,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> Result<Self> {
        Self::made(config, inputs, outputs, seed, device, policy).map_err(|error| match error {
            ModelError::Device(error) => error,
            error => candle_core::Error::Msg(error.to_string()),
        })
    }

    fn made(
        config: MlpConfig,
        inputs: usize,
        outputs: usize,
        seed: u64,
        device: &Device,
        policy: Policy,
    ) -> std::result::Result<Self, ModelError> {
        let mut layers = Vec::new();
        let mut builder = Builder::new(seed, device, policy).adapting(config.lora.as_ref())?;
        builder.tied = config.tied.iter().cloned().map(|[name, earlier]| (name, earlier)).collect();
        for (index, pair) in config.widths(inputs, outputs).windows(2).enumerate() {
            layers.push(builder.linear(&(2 * index).to_string(), pair[0], pair[1])?);
        }
        builder.check()?;
        let Builder { parameters, frozen, .. } = builder;
        Ok(Self { layers, policy, parameters, frozen, config })
    }
}

impl Model for Mlp {
    /// `inputs` is `[rows, …]`, flattened to `[rows, inputs]`; the result is `[rows, outputs]`.
    fn forward(&self, inputs: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let mut x = ops::cast(&inputs.flatten_from(1)?, self.policy.compute)?;
        for (index, layer) in self.layers.iter().enumerate() {
            if index + 1 == self.layers.len() {
                return Ok(mode.detach_in_eval(ops::cast(&layer.forward(&x, mode.draws())?, self.policy.output)?));
            }
            x = mode.detach_in_eval(layer.activated(&x, self.config.activation, mode.draws())?);
            if let Mode::Train(draws) = mode {
                x = ops::dropout::dropout(&x, self.config.dropout, draws, &format!("dropout/{index}"))?;
            }
        }
        Ok(x)
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn frozen(&self) -> Parameters {
        self.frozen.clone()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::rng::StepRng;
    use crate::state::Stateful;

    fn mlp(activation: Activation, dropout: f64) -> Mlp {
        let config = MlpConfig { hidden: vec![8, 6], activation, dropout, ..MlpConfig::default() };
        Mlp::new(config, 4, 3, 1, &Device::Cpu).unwrap()
    }

    #[test]
    fn weights_are_named_and_sized_as_in_pytorch() {
        let model = mlp(Activation::Relu, 0.5);
        let shapes: Vec<_> = model.parameters().iter().map(|(name, var)| (name, var.dims().to_vec())).collect();
        let expected = [
            ("0.bias", vec![8]),
            ("0.weight", vec![8, 4]),
            ("2.bias", vec![6]),
            ("2.weight", vec![6, 8]),
            ("4.bias", vec![3]),
            ("4.weight", vec![3, 6]),
        ];
        assert_eq!(shapes, expected);
        let largest = model.parameters().get("0.weight").unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!((0.4..=0.5).contains(&largest.to_scalar::<f32>().unwrap()));
    }

    #[test]
    fn initial_weights_are_a_function_of_the_seed() {
        let weights = |seed| {
            let config = MlpConfig { hidden: vec![8], ..MlpConfig::default() };
            Mlp::new(config, 4, 3, seed, &Device::Cpu).unwrap().parameters().save().unwrap()
        };
        assert_eq!(weights(1), weights(1));
        assert_ne!(weights(1), weights(2));
    }

    #[test]
    fn every_activation_trains_every_parameter_and_evaluation_has_no_dropout() {
        let x = Tensor::ones((5, 4), DType::F32, &Device::Cpu).unwrap();
        for activation in [Activation::Relu, Activation::Gelu, Activation::Tanh] {
            let model = mlp(activation, 0.5);
            let loss = model.forward(&x, Mode::Train(&StepRng::at(0, 0))).unwrap().sqr().unwrap().mean_all().unwrap();
            crate::optim::Gradients::from_loss(&loss, model.parameters())
                .unwrap()
                .measure()
                .unwrap()
                .check_finite()
                .unwrap();
            let evaluated = || model.forward(&x, Mode::Evaluate).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(evaluated(), evaluated());
        }
    }
}
