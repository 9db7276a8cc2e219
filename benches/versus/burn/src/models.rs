//! The models of the workloads, of burn's layers.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Embedding, EmbeddingConfig, Gelu, LayerNorm, LayerNormConfig};
use burn::nn::{Linear, LinearConfig, Relu};
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Int, Tensor};

use crate::start::Start;

/// Linear layers with ReLU between them.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    pub fn new(widths: &[usize], start: &Start) -> Self {
        let layer = |(i, pair): (usize, &[usize])| linear(start, pair[0], pair[1], &format!("{}", 2 * i));
        Self { layers: widths.windows(2).enumerate().map(layer).collect() }
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mut x = self.layers[0].forward(x);
        for layer in &self.layers[1..] {
            x = layer.forward(Relu::new().forward(x));
        }
        x
    }
}

fn linear(start: &Start, inputs: usize, outputs: usize, name: &str) -> Linear {
    start.fill_linear(LinearConfig::new(inputs, outputs).init(&start.device), name)
}

/// Two convolutions and two linear layers.
#[derive(Module, Debug)]
pub struct ConvNet {
    first: Conv2d,
    second: Conv2d,
    pool: MaxPool2d,
    dropout: [Dropout; 2],
    hidden: Linear,
    out: Linear,
}

impl ConvNet {
    pub fn new(start: &Start) -> Self {
        let convolution =
            |channels, name| start.fill_convolution(Conv2dConfig::new(channels, [3, 3]).init(&start.device), name);
        Self {
            first: convolution([1, 32], "features.0"),
            second: convolution([32, 64], "features.2"),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            dropout: [DropoutConfig::new(0.25).init(), DropoutConfig::new(0.5).init()],
            hidden: linear(start, 9216, 128, "classifier.0"),
            out: linear(start, 128, 10, "classifier.3"),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = Relu::new().forward(self.first.forward(x));
        let x = self.pool.forward(Relu::new().forward(self.second.forward(x)));
        let x = self.dropout[0].forward(x).flatten(1, 3);
        let x = Relu::new().forward(self.hidden.forward(x));
        self.out.forward(self.dropout[1].forward(x))
    }
}

const WIDTH: usize = 128;
const HEADS: usize = 4;
const LAYERS: usize = 4;
const CONTEXT: usize = 64;
const VOCABULARY: usize = 65;

/// GPT-2, small: learned positions, pre-norm, and an output layer that is the embedding.
#[derive(Module, Debug)]
pub struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

#[derive(Module, Debug)]
struct Block {
    norms: [LayerNorm; 2],
    attention: Linear,
    attention_out: Linear,
    up: Linear,
    down: Linear,
}

fn layer_norm(start: &Start, name: &str) -> LayerNorm {
    let mut norm = LayerNormConfig::new(WIDTH).init(&start.device);
    norm.gamma = start.weight(&format!("{name}.weight"));
    norm.beta = Some(start.weight(&format!("{name}.bias")));
    norm
}

fn embedding(start: &Start, count: usize, name: &str) -> Embedding {
    let mut embedding = EmbeddingConfig::new(count, WIDTH).init(&start.device);
    embedding.weight = start.weight(&format!("{name}.weight"));
    embedding
}

impl Gpt {
    pub fn new(start: &Start) -> Self {
        Self {
            tokens: embedding(start, VOCABULARY, "wte"),
            positions: embedding(start, CONTEXT, "wpe"),
            blocks: (0..LAYERS).map(|layer| Block::new(start, &format!("h.{layer}"))).collect(),
            norm: layer_norm(start, "ln_f"),
        }
    }

    /// Logits `[rows * context, vocabulary]`.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [rows, context] = tokens.dims();
        // The positions are all rows of their embedding, in order.
        let mut x = self.tokens.forward(tokens) + self.positions.weight.val().unsqueeze::<3>();
        for block in &self.blocks {
            x = block.forward(x);
        }
        let x = self.norm.forward(x).reshape([rows * context, WIDTH]);
        x.matmul(self.tokens.weight.val().transpose())
    }
}

impl Block {
    fn new(start: &Start, name: &str) -> Self {
        Self {
            norms: [layer_norm(start, &format!("{name}.ln_1")), layer_norm(start, &format!("{name}.ln_2"))],
            attention: linear(start, WIDTH, 3 * WIDTH, &format!("{name}.attn.c_attn")),
            attention_out: linear(start, WIDTH, WIDTH, &format!("{name}.attn.c_proj")),
            up: linear(start, WIDTH, 4 * WIDTH, &format!("{name}.mlp.c_fc")),
            down: linear(start, 4 * WIDTH, WIDTH, &format!("{name}.mlp.c_proj")),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.attend(self.norms[0].forward(x));
        let hidden = Gelu::new().forward(self.up.forward(self.norms[1].forward(x.clone())));
        x + self.down.forward(hidden)
    }

    fn attend(&self, x: Tensor<3>) -> Tensor<3> {
        let [rows, context, width] = x.dims();
        let parts = self.attention.forward(x).chunk(3, 2);
        let heads = |part: &Tensor<3>| part.clone().reshape([rows, context, HEADS, width / HEADS]).swap_dims(1, 2);
        let [q, k, v] = [heads(&parts[0]), heads(&parts[1]), heads(&parts[2])];
        let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
        let y = attention(q, k, v, None, None, options).swap_dims(1, 2).reshape([rows, context, width]);
        self.attention_out.forward(y)
    }
}
