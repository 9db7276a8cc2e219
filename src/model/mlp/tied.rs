//! Parameters of a perceptron that are one tensor: which pairs can be.

use crate::model::ModelError;

/// A parameter of a perceptron: of which layer, and which of its two.
#[derive(Clone, Copy, PartialEq)]
struct Parameter<'a> {
    layer: usize,
    kind: &'a str,
}

impl<'a> Parameter<'a> {
    /// Reads a name such as `2.weight`: layers have even numbers, with the activations between them.
    fn read(name: &'a str, layers: usize) -> Option<Self> {
        let (number, kind) = name.split_once('.')?;
        let layer = (0..layers).find(|layer| (2 * layer).to_string() == number)?;
        ["weight", "bias"].contains(&kind).then_some(Self { layer, kind })
    }

    /// Returns its shape, given the units of the input and of each layer.
    fn shape(self, widths: &[usize]) -> Option<Vec<usize>> {
        let (inputs, outputs) = (*widths.get(self.layer)?, *widths.get(self.layer + 1)?);
        Some(if self.kind == "weight" { vec![outputs, inputs] } else { vec![outputs] })
    }
}

fn wrong(pair: &[String; 2], rule: impl Into<String>) -> Result<(), ModelError> {
    Err(ModelError::field("tied", format!("{pair:?}"), rule))
}

/// Checks the names of the pairs in a perceptron with this number of linear layers.
pub(super) fn check(tied: &[[String; 2]], layers: usize) -> Result<(), ModelError> {
    for (index, pair) in tied.iter().enumerate() {
        let [name, earlier] = pair.each_ref().map(|name| Parameter::read(name, layers));
        let (Some(name), Some(earlier)) = (name, earlier) else {
            let last = 2 * (layers - 1);
            return wrong(pair, format!("each must be a parameter, from `0.weight` and `0.bias` to `{last}.bias`"));
        };
        if name.kind != earlier.kind || earlier.layer >= name.layer {
            return wrong(pair, "the second must be the same parameter of an earlier layer");
        }
        if tied.iter().any(|[other, _]| *other == pair[1]) {
            return wrong(pair, "the second is tied itself; name the parameter that it is tied to");
        }
        if tied[..index].iter().any(|[other, _]| *other == pair[0]) {
            return wrong(pair, "the first is tied twice; list it once");
        }
    }
    Ok(())
}

/// Checks that tied parameters have one shape, given the units of the input and of each layer.
pub(super) fn check_shapes(tied: &[[String; 2]], widths: &[usize]) -> Result<(), ModelError> {
    let shape = |name: &String| Parameter::read(name, widths.len().saturating_sub(1))?.shape(widths);
    for pair in tied {
        let [one, other] = pair.each_ref().map(shape);
        if let (Some(one), Some(other)) = (one, other)
            && one != other
        {
            return wrong(pair, format!("their shapes are {one:?} and {other:?}, and must be equal"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::super::MlpConfig;
    use crate::model::{Input, Mode, Model, ModelSpec};
    use crate::optim::Gradients;

    fn config(tied: &[[&str; 2]]) -> MlpConfig {
        let tied = tied.iter().map(|pair| pair.map(str::to_owned)).collect();
        MlpConfig { tied, ..MlpConfig::new([4, 4, 4]) }
    }

    fn build(config: &MlpConfig) -> Result<Box<dyn Model>, crate::model::ModelError> {
        config.validate()?;
        config.build(&Input::Numbers(vec![3]), 1, 1, &Device::Cpu)
    }

    fn refusal(tied: &[[&str; 2]]) -> String {
        build(&config(tied)).err().unwrap().to_string()
    }

    #[test]
    fn tied_layers_have_one_weight_and_one_gradient_the_sum_of_both() {
        let x = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
        let (tied, apart) = (build(&config(&[["4.weight", "2.weight"]])).unwrap(), build(&config(&[])).unwrap());
        let names: Vec<_> = tied.parameters().iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["0.bias", "0.weight", "2.bias", "2.weight", "4.bias", "6.bias", "6.weight"]);
        let earlier = tied.parameters().get("2.weight").unwrap().as_detached_tensor();
        apart.parameters().get("4.weight").unwrap().set(&earlier).unwrap();
        let gradients = |model: &dyn Model| {
            let loss = model.forward(&x, Mode::Evaluate).unwrap().to_vec2::<f32>().unwrap();
            let draws = crate::rng::StepRng::at(0, 0);
            let sum = model.forward(&x, Mode::Train(&draws)).unwrap().sum_all().unwrap();
            let found = Gradients::from_loss(&sum, model.parameters()).unwrap();
            let of = |wanted: &str| {
                let index = found.names().position(|name| name == wanted)?;
                found.tensors()[index].flatten_all().unwrap().to_vec1::<f32>().ok()
            };
            (loss, of("2.weight"), of("4.weight"))
        };
        let (outputs, both, none) = gradients(tied.as_ref());
        let (expected, first, second) = gradients(apart.as_ref());
        assert_eq!((outputs, none), (expected, None));
        let sums: Vec<f32> = first.unwrap().iter().zip(second.unwrap()).map(|(a, b)| a + b).collect();
        assert!(both.unwrap().iter().zip(sums).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn pairs_that_cannot_be_one_tensor_are_refused() {
        let names = "model.tied = [\"4.weight\", \"1.weight\"]: each must be a parameter, from `0.weight` and `0.bias` to \
                     `6.bias`";
        assert_eq!(refusal(&[["4.weight", "1.weight"]]), names);
        for pair in [["2.weight", "4.weight"], ["4.weight", "4.weight"], ["4.weight", "2.bias"]] {
            assert!(refusal(&[pair]).ends_with("the second must be the same parameter of an earlier layer"));
        }
        assert!(refusal(&[["2.bias", "0.bias"], ["4.bias", "2.bias"]]).contains("the second is tied itself"));
        assert!(refusal(&[["4.bias", "0.bias"], ["4.bias", "2.bias"]]).contains("the first is tied twice"));
        let shapes = refusal(&[["2.weight", "0.weight"]]);
        assert!(shapes.ends_with("their shapes are [4, 4] and [4, 3], and must be equal"), "{shapes}");
    }
}
