//! The number types of a model: of its weights, its computation and its outputs.

use candle_core::DType;

/// The number types of a model, by default f32.
///
/// Gradients have the type of the parameters: weights in f32 with which layers compute in bf16 are updated in f32.
///
/// The kernels of [`ops`](crate::ops) compute in f32, f64, bf16 and f16. On the CPU the numbers of the last two are
/// widened to f32 within an operation, and its results are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The type in which weights are kept, saved and updated. Normalizations compute in it too.
    pub parameters: DType,
    /// The type in which layers compute: inputs and weights are cast to it.
    pub compute: DType,
    /// The type of the model's outputs, in which a loss computes.
    pub output: DType,
}

impl Policy {
    /// One type for everything.
    pub const fn of(dtype: DType) -> Self {
        Self { parameters: dtype, compute: dtype, output: dtype }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::of(DType::F32)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::model::Input;
    use crate::model::{ConvNet, Gpt, Mlp, Mode, Model, ResNet};
    use crate::ops::{Tape, loss};
    use crate::optim::Gradients;
    use crate::rng::{StepRng, Stream};

    const F64_INSIDE: Policy = Policy { parameters: DType::F32, compute: DType::F64, output: DType::F32 };
    pub const F16_INSIDE: Policy = Policy { parameters: DType::F32, compute: DType::F16, output: DType::F32 };

    /// Models of each kind with this policy, and inputs for each.
    pub fn models(policy: Policy) -> Vec<(&'static str, Box<dyn Model>, Tensor)> {
        let config = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        let device = &Device::Cpu;
        let mlp = |text| Mlp::with_policy(config(text).try_into().unwrap(), 6, 3, 1, device, policy).unwrap();
        let image = Input::Numbers(vec![2, 6, 6]);
        let convnet = "blocks = [{ channels = 4, padding = 1, batch_norm = true, pool = 'max' }, { channels = 5 }]";
        let convnet = config(convnet).try_into().unwrap();
        let resnet = config("widths = [4, 6]\ndepths = [1, 1]").try_into().unwrap();
        let gpt = |more: &str| {
            let config = config(&format!("layers = 2\nheads = 2\nwidth = 8\n{more}")).try_into().unwrap();
            Gpt::with_policy(config, 5, 3, 3, 1, device, policy).unwrap()
        };
        let llama =
            "positions = 'rotary'\nactivation = 'swiglu'\nnorm = 'rms'\nkv_heads = 1\nbias = false\ntied = false";
        let numbers = |shape: &[usize]| {
            let normal = Stream::new(1, "test").normal(0, shape.iter().product());
            Tensor::from_vec(normal, shape, device).unwrap()
        };
        let tokens = Tensor::from_iter((0..20u32).map(|i| i * i % 3), device).unwrap().reshape((4, 5)).unwrap();
        let (rows, images) = (numbers(&[4, 6]), numbers(&[4, 2, 6, 6]));
        vec![
            ("mlp", Box::new(mlp("hidden = [5]")), rows.clone()),
            ("mlp with gelu", Box::new(mlp("hidden = [5]\nactivation = 'gelu'")), rows),
            ("convnet", Box::new(ConvNet::with_policy(convnet, &image, 3, 1, device, policy).unwrap()), images.clone()),
            ("resnet", Box::new(ResNet::with_policy(&resnet, &image, 3, 1, device, policy).unwrap()), images),
            ("gpt", Box::new(gpt("dropout = 0.1")), tokens.clone()),
            ("llama", Box::new(gpt(llama)), tokens.clone()),
            ("gpt that recomputes", Box::new(gpt("checkpoint_activations = true")), tokens),
        ]
    }

    /// Loss and gradients of a model, and whether they stay on the tape.
    pub fn gradients(model: &dyn Model, inputs: &Tensor) -> (Tensor, Gradients, bool) {
        let draws = StepRng::at(1, 2);
        let (loss, tape) = Tape::record(|| {
            let outputs = model.forward(inputs, Mode::Train(&draws)).unwrap();
            let rows = outputs.elem_count() as u32 / 3;
            let classes = Tensor::from_iter((0..rows).map(|i| i % 3), &Device::Cpu).unwrap();
            loss::cross_entropy(&outputs, &classes.reshape(&outputs.dims()[..outputs.rank() - 1]).unwrap(), 0.0)
                .unwrap()
        });
        let is_covered = tape.covers(&loss);
        (loss.clone(), Gradients::from_tape(tape, &loss, 1.0, model.parameters()).unwrap(), is_covered)
    }

    /// How far two gradients are apart, as a share of the length of the second.
    fn distance(found: &Gradients, expected: &Gradients) -> f64 {
        let squares = |x: Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let (mut apart, mut length) = (0.0, 0.0);
        for (found, expected) in found.tensors().iter().zip(expected.tensors()) {
            let [found, expected] = [found, expected].map(|x| x.to_dtype(DType::F64).unwrap());
            apart += squares((found - &expected).unwrap());
            length += squares(expected);
        }
        (apart / length).sqrt()
    }

    /// Gradients of the same model by two policies are this close to each other.
    #[track_caller]
    fn assert_close_to_f32(policy: Policy, tolerance: f64, on_tape: bool) {
        for ((name, plain, inputs), (_, model, _)) in models(Policy::default()).iter().zip(models(policy)) {
            let (_, expected, _) = gradients(plain.as_ref(), inputs);
            let (loss, found, is_covered) = gradients(model.as_ref(), inputs);
            assert_eq!(loss.dtype(), policy.output, "{name}");
            assert!(found.names().eq(expected.names()), "{name}");
            for (parameter, gradient) in model.parameters().iter().map(|(_, var)| var).zip(found.tensors()) {
                assert_eq!((parameter.dtype(), gradient.dtype()), (policy.parameters, policy.parameters), "{name}");
            }
            assert!(model.buffers().iter().all(|(_, var)| var.dtype() == policy.parameters), "{name}");
            assert_eq!(is_covered, on_tape, "{name}");
            let apart = distance(&found, &expected);
            assert!(apart < tolerance, "{name}: {apart}");
        }
    }

    /// f32 has 24 bits, and sums of a few hundred numbers lose a few of them.
    #[test]
    fn layers_that_compute_in_f64_have_the_gradients_of_f32_and_stay_on_the_tape() {
        assert_close_to_f32(F64_INSIDE, 1e-5, true);
        assert_close_to_f32(Policy::of(DType::F64), 1e-5, true);
    }

    /// f16 has 11 bits, bf16 has 8, and rounding carries some numbers across the edge of a ReLU.
    #[test]
    fn layers_that_compute_in_half_precision_have_gradients_in_f32_close_to_those_of_f32() {
        assert_close_to_f32(F16_INSIDE, 0.05, true);
        assert_close_to_f32(Policy { compute: DType::BF16, ..F16_INSIDE }, 0.2, true);
    }
}
