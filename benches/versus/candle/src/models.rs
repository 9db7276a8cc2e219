//! The models of the workloads, of Candle's layers.

use candle_core::{D, Device, Module, Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Dropout, Embedding, LayerNorm, Linear, VarBuilder, conv2d, linear, ops};

/// Maps a batch to logits, or to values.
pub trait Model {
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
}

/// Linear layers with ReLU between them.
pub struct Mlp(Vec<Linear>);

impl Mlp {
    pub fn new(widths: &[usize], vb: VarBuilder<'_>) -> Result<Self> {
        let layer = |(i, pair): (usize, &[usize])| linear(pair[0], pair[1], vb.pp(2 * i));
        widths.windows(2).enumerate().map(layer).collect::<Result<_>>().map(Self)
    }
}

impl Model for Mlp {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.0[0].forward(x)?;
        for layer in &self.0[1..] {
            x = layer.forward(&x.relu()?)?;
        }
        Ok(x)
    }
}

/// Two convolutions and two linear layers.
pub struct ConvNet {
    convolutions: [Conv2d; 2],
    linears: [Linear; 2],
    dropouts: [Dropout; 2],
}

impl ConvNet {
    pub fn new(vb: VarBuilder<'_>) -> Result<Self> {
        let config = Conv2dConfig::default();
        Ok(Self {
            convolutions: [
                conv2d(1, 32, 3, config, vb.pp("features.0"))?,
                conv2d(32, 64, 3, config, vb.pp("features.2"))?,
            ],
            linears: [linear(9216, 128, vb.pp("classifier.0"))?, linear(128, 10, vb.pp("classifier.3"))?],
            dropouts: [Dropout::new(0.25), Dropout::new(0.5)],
        })
    }
}

impl Model for ConvNet {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.convolutions[0].forward(x)?.relu()?;
        let x = self.convolutions[1].forward(&x)?.relu()?.max_pool2d(2)?;
        let x = self.dropouts[0].forward(&x, true)?.flatten_from(1)?;
        let x = self.linears[0].forward(&x)?.relu()?;
        self.linears[1].forward(&self.dropouts[1].forward(&x, true)?)
    }
}

const VOCABULARY: usize = 65;

/// The sizes of a GPT.
#[derive(Clone, Copy)]
pub struct Size {
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    pub context: usize,
}

/// GPT-2, small: learned positions, pre-norm, and an output layer that is the embedding.
pub struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    position_ids: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

struct Block {
    heads: usize,
    norms: [LayerNorm; 2],
    attention: Linear,
    attention_out: Linear,
    up: Linear,
    down: Linear,
    mask: Tensor,
}

fn layer_norm(width: usize, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    Ok(LayerNorm::new(vb.get(width, "weight")?, vb.get(width, "bias")?, 1e-5))
}

/// The layer norm that has a backward pass.
fn normalize(norm: &LayerNorm, x: &Tensor) -> Result<Tensor> {
    ops::layer_norm_slow(x, norm.weight(), norm.bias().expect("it has one"), 1e-5)
}

impl Gpt {
    pub fn new(size: Size, vb: VarBuilder<'_>) -> Result<Self> {
        let Size { layers, width, context, .. } = size;
        let mask: Vec<f32> =
            (0..context * context).map(|i| if i % context > i / context { f32::NEG_INFINITY } else { 0.0 }).collect();
        let mask = Tensor::from_vec(mask, (context, context), &Device::Cpu)?;
        let blocks = (0..layers).map(|layer| Block::new(size, vb.pp(format!("h.{layer}")), mask.clone()));
        Ok(Self {
            tokens: candle_nn::embedding(VOCABULARY, width, vb.pp("wte"))?,
            positions: candle_nn::embedding(context, width, vb.pp("wpe"))?,
            position_ids: Tensor::arange(0, context as u32, &Device::Cpu)?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: layer_norm(width, vb.pp("ln_f"))?,
        })
    }
}

impl Model for Gpt {
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let positions = self.positions.forward(&self.position_ids)?;
        let mut x = self.tokens.forward(tokens)?.broadcast_add(&positions)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = normalize(&self.norm, &x)?.flatten(0, 1)?;
        x.matmul(&self.tokens.embeddings().t()?)
    }
}

impl Block {
    fn new(Size { heads, width, .. }: Size, vb: VarBuilder<'_>, mask: Tensor) -> Result<Self> {
        Ok(Self {
            heads,
            norms: [layer_norm(width, vb.pp("ln_1"))?, layer_norm(width, vb.pp("ln_2"))?],
            attention: linear(width, 3 * width, vb.pp("attn.c_attn"))?,
            attention_out: linear(width, width, vb.pp("attn.c_proj"))?,
            up: linear(width, 4 * width, vb.pp("mlp.c_fc"))?,
            down: linear(4 * width, width, vb.pp("mlp.c_proj"))?,
            mask,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.attend(&normalize(&self.norms[0], x)?)?)?;
        let hidden = self.up.forward(&normalize(&self.norms[1], &x)?)?.gelu_erf()?;
        &x + self.down.forward(&hidden)?
    }

    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, context, width) = x.dims3()?;
        let qkv = self.attention.forward(x)?.reshape((rows, context, 3, self.heads, width / self.heads))?;
        let part = |i| qkv.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (q, k, v): (Tensor, Tensor, Tensor) = (part(0)?, part(1)?, part(2)?);
        let scale = 1.0 / ((width / self.heads) as f64).sqrt();
        let scores = (q.matmul(&k.t()?)? * scale)?.broadcast_add(&self.mask)?;
        let y = ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
        self.attention_out.forward(&y.transpose(1, 2)?.reshape((rows, context, width))?)
    }
}
