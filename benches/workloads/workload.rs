//! The workloads: sizes of models and batches by name, without their data. `benches/versus` reads this file too.
//!
//! `W2-bf16` is W2 whose products are in bf16. `MLP-1024x128` and `GPT-384x256x8` are points of the table of sizes: an
//! MLP 784-1024-1024-10 with 128 rows, and two blocks of width 384 on 8 rows of 256 tokens.
#![allow(dead_code, reason = "each program uses a part of it")]

/// The workloads of f32, in order.
pub const NAMES: [&str; 8] = ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "GPT-124M"];

/// The end of a name whose workload computes in bf16.
pub const BF16: &str = "-bf16";

/// A model in training.
pub struct Workload {
    /// Its name without the type of numbers; data and weights are drawn by it.
    pub base: String,
    pub model: Model,
    /// Rows of a batch.
    pub rows: usize,
    /// Batches in turn.
    pub batches: usize,
    /// The largest norm of the gradients: larger ones are scaled to it.
    pub clip_norm: Option<f64>,
    /// Whether products are computed in bf16, with weights in f32.
    pub in_bf16: bool,
}

/// The sizes of a model.
pub enum Model {
    /// Linear layers with ReLU between them, from the first width to the last.
    Mlp(Vec<usize>),
    /// Two convolutions and two linear layers.
    ConvNet,
    /// Stages of this many channels and blocks.
    ResNet { widths: Vec<usize>, depths: Vec<usize> },
    /// Pre-norm, tied embeddings, GELU, no dropout.
    Gpt(GptSize),
}

/// The sizes of a GPT.
pub struct GptSize {
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    /// Tokens of a row.
    pub context: usize,
    pub vocabulary: usize,
}

impl Workload {
    /// Returns the workload of this name, or why there is none.
    pub fn named(name: &str) -> Result<Self, String> {
        let (base, in_bf16) = name.strip_suffix(BF16).map_or((name, false), |base| (base, true));
        let gpt = |layers, heads, width, context, vocabulary| {
            Model::Gpt(GptSize { layers, heads, width, context, vocabulary })
        };
        let mlp = |widths: &[usize]| Model::Mlp(widths.to_vec());
        let (model, rows, clip_norm) = match base {
            "W1" => (mlp(&[10, 32, 1]), 512, None),
            "W2" => (mlp(&[784, 1024, 1024, 10]), 512, None),
            "W3" => (Model::ConvNet, 64, None),
            "W4" => (gpt(4, 4, 128, 64, 65), 12, None),
            "W5" => (gpt(6, 6, 384, 256, 65), 8, Some(1.0)),
            "W6" => (Model::ResNet { widths: vec![16, 32, 64], depths: vec![3, 3, 3] }, 64, None),
            "W7" => (mlp(&[784, 4096, 4096, 10]), 256, Some(1.0)),
            "GPT-124M" => (gpt(12, 12, 768, 1024, 50_304), 8, None),
            size => match sizes(size).as_deref() {
                Some(&[width, rows]) if size.starts_with("MLP-") => (mlp(&[784, width, width, 10]), rows, None),
                Some(&[width, context, rows]) if size.starts_with("GPT-") && width.is_multiple_of(64) => {
                    (gpt(2, width / 64, width, context, 65), rows, None)
                }
                _ => return Err(format!("there is no workload `{name}`; there are {}", NAMES.join(", "))),
            },
        };
        let batches = if base == "W1" { 1 } else { 8 };
        Ok(Self { base: base.to_owned(), model, rows, batches, clip_norm, in_bf16 })
    }

    /// Returns the workload with one batch, and so small that its instructions can be counted: an emulated processor
    /// takes a minute for a product of 512 rows.
    pub fn counted(mut self) -> Self {
        self.batches = 1;
        match &mut self.model {
            Model::Gpt(size) => {
                (size.layers, size.heads, size.width, size.context) = (2, 2, 128, 64);
                self.rows = 2;
            }
            _ if self.base != "W1" => self.rows = 32,
            _ => {}
        }
        self
    }

    /// Whether the targets are classes; those of the first workload are numbers.
    pub fn has_classes(&self) -> bool {
        self.base != "W1"
    }

    /// Floating-point operations of the matrix products in a step, two for each multiplication with addition: forward,
    /// and backward without the gradient of the data.
    pub fn operations(&self) -> f64 {
        2.0 * self.rows as f64 * self.model.multiplications()
    }
}

/// The numbers of `MLP-1024x128`.
fn sizes(name: &str) -> Option<Vec<usize>> {
    let (_, sizes) = name.split_once('-')?;
    sizes.split('x').map(|size| size.parse().ok().filter(|size| *size > 0)).collect()
}

impl Model {
    /// The shape of a row of its inputs.
    pub fn input(&self) -> Vec<usize> {
        match self {
            Self::Mlp(widths) => vec![widths[0]],
            Self::ConvNet | Self::ResNet { .. } => vec![1, 28, 28],
            Self::Gpt(size) => vec![size.context],
        }
    }

    /// Multiplications of a row in a step, as [`Workload::operations`] counts them.
    fn multiplications(&self) -> f64 {
        // The first layer of a model has no gradient of its inputs.
        let with_passes = |products: Vec<usize>| {
            let passes = |i| if i == 0 { 2.0 } else { 3.0 };
            products.iter().enumerate().map(|(i, product)| passes(i) * *product as f64).sum()
        };
        match self {
            Self::Mlp(widths) => with_passes(widths.windows(2).map(|pair| pair[0] * pair[1]).collect()),
            Self::ConvNet => with_passes(vec![676 * 9 * 32, 576 * 288 * 64, 9216 * 128, 1280]),
            Self::ResNet { widths, depths } => {
                let mut side = 28;
                let mut products = vec![side * side * 9 * widths[0]];
                let mut inputs = widths[0];
                for (stage, (&width, &depth)) in widths.iter().zip(depths).enumerate() {
                    if stage > 0 {
                        side = usize::div_ceil(side, 2);
                        products.push(side * side * inputs * width);
                    }
                    for _ in 0..depth {
                        products.extend([side * side * 9 * inputs * width, side * side * 9 * width * width]);
                        inputs = width;
                    }
                }
                products.push(inputs * 10);
                with_passes(products)
            }
            Self::Gpt(size) => {
                let GptSize { layers, width, context, vocabulary, .. } = *size;
                let weights = context * 3 * (layers * 12 * width * width + width * vocabulary);
                // Scores and values, each twice in the backward pass; the heads share the width.
                (weights + layers * 6 * context * context * width) as f64
            }
        }
    }
}

impl GptSize {
    /// The GPT of a workload, if it trains one.
    pub fn of(workload: &str) -> Option<Self> {
        match Workload::named(workload).ok()?.model {
            Model::Gpt(size) => Some(size),
            _ => None,
        }
    }

    /// Name and shape of each weight, in the order in which they are drawn. The output layer shares the embedding's.
    pub fn weights(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.width;
        let mut weights = Vec::new();
        let mut add = |name: String, shape: &[usize]| weights.push((name, shape.to_vec()));
        add("wte.weight".to_owned(), &[self.vocabulary, width]);
        add("wpe.weight".to_owned(), &[self.context, width]);
        let norms = (0..self.layers).map(|layer| [format!("h.{layer}.ln_1"), format!("h.{layer}.ln_2")]);
        for (layer, norms) in norms.enumerate() {
            for name in norms {
                add(format!("{name}.weight"), &[width]);
                add(format!("{name}.bias"), &[width]);
            }
            let linear = [("attn.c_attn", 3, 1), ("attn.c_proj", 1, 1), ("mlp.c_fc", 4, 1), ("mlp.c_proj", 1, 4)];
            for (name, outputs, inputs) in linear {
                add(format!("h.{layer}.{name}.weight"), &[outputs * width, inputs * width]);
                add(format!("h.{layer}.{name}.bias"), &[outputs * width]);
            }
        }
        add("ln_f.weight".to_owned(), &[width]);
        add("ln_f.bias".to_owned(), &[width]);
        weights
    }
}
