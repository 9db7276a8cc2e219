//! Size of a model, computed from its configuration before memory is allocated.

/// Size of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outline {
    /// Name and shape of every tensor: parameters and buffers.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// Number of trainable numbers, saturated at the largest `u64`.
    pub parameters: u64,
    /// Number of numbers in buffers.
    pub buffers: u64,
    /// Number of numbers in weights that are never trained.
    pub frozen: u64,
    /// Memory of the activations of a row.
    pub activations: Activations,
}

/// Memory of the activations of a row, in numbers. All but the last are lower bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activations {
    /// Numbers kept in training until the gradients are computed.
    pub kept: u64,
    /// Numbers that an evaluation needs at one time: the input and the output of the widest step.
    pub widest: u64,
    /// Numbers that a backward pass needs temporarily in addition to the kept ones; an upper bound.
    pub passing: u64,
}

impl Activations {
    /// Estimates a model of steps with these output sizes, where each step takes the result of the one before, the
    /// first `input`.
    pub(super) fn of_steps(input: u64, steps: impl IntoIterator<Item = u64>) -> Self {
        let (mut all, mut last) = (Self::default(), input);
        for output in steps {
            all.kept = all.kept.saturating_add(output);
            all.widest = all.widest.max(last.saturating_add(output));
            last = output;
        }
        // A step's result, the gradients of the result and the input, and a transposed matrix.
        all.passing = all.widest.saturating_mul(4);
        all
    }

    /// Adds dropout: its results are kept in addition to its inputs.
    pub(super) fn with_dropout(self, is_used: bool) -> Self {
        let dropped = if is_used { self.kept } else { 0 };
        Self { passing: self.passing.saturating_add(dropped), ..self }
    }
}

/// Returns the product of sizes, saturated at the largest number.
pub(super) fn product(sizes: &[usize]) -> u64 {
    sizes.iter().fold(1, |product, &size| product.saturating_mul(size as u64))
}

impl Outline {
    /// Returns every tensor with its number of elements.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.shapes().map(|(name, shape)| (name, product(shape)))
    }

    /// Returns every tensor with its shape.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// Returns the tensor with the most elements, and their number.
    pub fn largest(&self) -> Option<(&str, &[usize], u64)> {
        let sized = self.tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice(), product(shape)));
        sized.max_by_key(|(_, _, numbers)| *numbers)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::model::Input;
    use crate::model::ModelConfig;

    fn config(toml: &str) -> ModelConfig {
        toml::from_str(toml).unwrap()
    }

    const TOKENS: Input = Input::Tokens { context: 8, vocabulary: 50 };

    fn image() -> Input {
        Input::Numbers(vec![3, 16, 16])
    }

    /// Every kind, with its options switched on.
    fn models() -> Vec<(ModelConfig, Input, usize)> {
        let convnet = "kind = 'convnet'\nhidden = [20]\n[[blocks]]\nchannels = 4\nbatch_norm = true\npool = 'max'\n\
                       [[blocks]]\nchannels = 6\nstride = 2";
        let llama = "kind = 'gpt'\nlayers = 2\nheads = 4\nkv_heads = 2\nwidth = 16\npositions = 'rotary'\n\
                     activation = 'swiglu'\nnorm = 'rms'\nbias = false\ntied = false";
        vec![
            (config("kind = 'mlp'\nhidden = [30, 20]"), Input::Numbers(vec![7]), 3),
            (config(convnet), image(), 10),
            (config("kind = 'resnet'"), image(), 10),
            (config("kind = 'gpt'\nlayers = 2\nheads = 2\nwidth = 16"), TOKENS, 50),
            (config(llama), TOKENS, 50),
        ]
    }

    #[test]
    fn an_outline_has_the_names_and_shapes_of_the_model_that_is_built() {
        for (config, input, outputs) in models() {
            let outline = config.outline(&input, outputs).unwrap().unwrap();
            let model = config.build(&input, outputs, 1, &Device::Cpu).unwrap();
            let sizes = (model.parameters().element_count() as u64, model.buffers().element_count() as u64);
            assert_eq!((outline.parameters, outline.buffers), sizes, "{config:?}");
            let all = model.parameters().and(&model.buffers());
            let mut built: Vec<_> = all.iter().map(|(name, var)| (name.to_owned(), var.dims().to_vec())).collect();
            let mut counted = outline.tensors.clone();
            built.sort();
            counted.sort();
            assert_eq!(counted, built, "{config:?}");
        }
    }

    #[test]
    fn counting_takes_no_memory_for_weights_and_ends() {
        let huge = config("kind = 'mlp'\nhidden = [4000000000, 4000000000]");
        let outline = huge.outline(&Input::Numbers(vec![2]), 1).unwrap().unwrap();
        let expected = 4_000_000_000 * 4_000_000_000 + 4_000_000_000 * 5 + 1;
        assert_eq!((outline.parameters, outline.activations.kept), (expected, 8_000_000_001));
        assert_eq!(outline.largest().unwrap().0, "2.weight");
        let endless = config("kind = 'gpt'\nlayers = 4000000000\nheads = 1\nwidth = 1");
        let message = endless.outline(&TOKENS, 50).unwrap_err().to_string();
        assert!(message.contains("fewer layers"), "{message}");
        // Afterwards weights are created again.
        let small = config("kind = 'mlp'").build(&Input::Numbers(vec![2]), 1, 1, &Device::Cpu).unwrap();
        assert_eq!(small.parameters().element_count(), 3);
    }

    #[test]
    fn activations_are_the_results_of_the_steps() {
        let kept = models().into_iter().map(|(config, input, outputs)| {
            let Activations { kept, widest, .. } = config.outline(&input, outputs).unwrap().unwrap().activations;
            (kept, widest)
        });
        // The convnet: 14 x 14 x 4 twice, 7 x 7 x 4, 3 x 3 x 6 and two linear layers. The resnet: steps of 16 x
        // 16 x 16, 8 x 8 x 32 and 4 x 4 x 64.
        let resnet = (2 + 3 * 4) * 4096 + (6 + 2 * 4) * 2048 + (6 + 2 * 4) * 1024 + 64 + 10;
        // A GPT-2 and a Llama of width 16, for each of 8 tokens.
        let gpt2 = 8 * (16 + 2 * (7 * 16 + 3 * 16 + 2 * 64) + 16 + 2 * 50);
        let llama = 8 * (16 + 2 * (7 * 16 + (16 + 2 * 8) + (16 + 8) + 3 * 64) + 16 + 2 * 50);
        let convnet = 2 * 784 + 196 + 54 + 20 + 10;
        let expected = [(53, 50), (convnet, 2 * 784), (resnet, 2 * 4096), (gpt2, 8 * 128), (llama, 8 * 128)];
        assert_eq!(kept.collect::<Vec<_>>(), expected);
    }
}
