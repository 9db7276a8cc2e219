//! Start of every contestant: data and initial weights of each workload, a function of one seed.
//!
//! Weights have the shapes of PyTorch's layers and its initial distribution; those of a GPT, GPT-2's.
#![allow(dead_code, reason = "a test of the sizes uses them alone")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Result, Tensor};
use rekindle::rng::Stream;

/// The workloads, in order.
pub const NAMES: [&str; 5] = ["W1", "W2", "W3", "W4", "GPT-124M"];

/// The workloads that a CPU trains in a reasonable time.
pub const SMALL: &[&str] = NAMES.split_at(4).0;

/// The sizes of a GPT and of its batches.
pub struct GptSize {
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    /// Tokens of a row.
    pub context: usize,
    pub vocabulary: usize,
    /// Rows of a batch.
    pub rows: usize,
}

impl GptSize {
    /// The GPT of a workload, if it trains one.
    pub fn of(workload: &str) -> Option<Self> {
        match workload {
            "W4" => Some(Self { layers: 4, heads: 4, width: 128, context: 64, vocabulary: 65, rows: 12 }),
            "GPT-124M" => Some(Self { layers: 12, heads: 12, width: 768, context: 1024, vocabulary: 50_304, rows: 8 }),
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

    fn tokens(&self, draw: &mut Draw, batches: usize) -> Result<Tensor> {
        draw.below(self.vocabulary as u32, &[batches, self.rows, self.context])
    }
}

/// The inputs (`x`) and targets (`y`) of all batches, and the weights by name.
pub struct Start {
    pub x: Tensor,
    pub y: Tensor,
    pub weights: BTreeMap<String, Tensor>,
}

impl Start {
    /// Creates the start of a workload, with eight batches in turn; the first workload has only one batch.
    pub fn of(workload: &str) -> Result<Self> {
        Self::of_size(workload, 8, if workload == "W3" { 64 } else { 512 })
    }

    /// Creates the start of a workload, with this number of batches and rows where they can be chosen.
    pub fn of_size(workload: &str, batches: usize, rows: usize) -> Result<Self> {
        let mut draw = Draw { stream: Stream::new(1, workload), drawn: 0 };
        let (x, y) = match workload {
            "W1" => {
                let x = draw.normal(&[1, 512, 10], 1.0)?;
                let y = (x.mean_keepdim(2)? + draw.normal(&[1, 512, 1], 0.3)?)?;
                (x, y)
            }
            "W2" => (draw.normal(&[batches, rows, 784], 1.0)?, draw.below(10, &[batches, rows])?),
            "W3" => (draw.normal(&[batches, rows, 1, 28, 28], 1.0)?, draw.below(10, &[batches, rows])?),
            other => match GptSize::of(other) {
                Some(size) => (size.tokens(&mut draw, batches)?, size.tokens(&mut draw, batches)?),
                None => candle_core::bail!("there is no workload `{other}`; there are {NAMES:?}"),
            },
        };
        let mut weights = BTreeMap::new();
        let mut layer = |name: &str, shape: &[usize]| {
            let fan_in = shape[1..].iter().product::<usize>();
            let bound = 1.0 / (fan_in as f64).sqrt();
            weights.insert(format!("{name}.weight"), draw.uniform(shape, bound)?);
            weights.insert(format!("{name}.bias"), draw.uniform(&shape[..1], bound)?);
            Result::Ok(())
        };
        match workload {
            "W1" => {
                layer("0", &[32, 10])?;
                layer("2", &[1, 32])?;
            }
            "W2" => {
                layer("0", &[1024, 784])?;
                layer("2", &[1024, 1024])?;
                layer("4", &[10, 1024])?;
            }
            "W3" => {
                layer("features.0", &[32, 1, 3, 3])?;
                layer("features.2", &[64, 32, 3, 3])?;
                layer("classifier.0", &[128, 9216])?;
                layer("classifier.3", &[10, 128])?;
            }
            other => weights = gpt(&GptSize::of(other).expect("the others are GPTs"), &mut draw)?,
        }
        Ok(Self { x, y, weights })
    }

    /// Writes all of it to a safetensors file, the weights by their names.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut tensors: HashMap<String, Tensor> =
            self.weights.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        tensors.insert("x".to_owned(), self.x.clone());
        tensors.insert("y".to_owned(), self.y.clone());
        candle_core::safetensors::save(&tensors, path)
    }

    /// Writes the first batch, as data that `train` can read.
    pub fn write_one_batch(&self, path: &Path) -> Result<()> {
        let tensors = HashMap::from([("x", self.x.get(0)?.copy()?), ("y", self.y.get(0)?.copy()?)]);
        candle_core::safetensors::save(&tensors, path)
    }
}

/// The weights of a GPT: matrices are drawn, scales are 1 and biases 0.
fn gpt(size: &GptSize, draw: &mut Draw) -> Result<BTreeMap<String, Tensor>> {
    let initial = |(name, shape): (String, Vec<usize>)| {
        let weight = match name.as_str() {
            _ if shape.len() == 2 => draw.normal(&shape, 0.02)?,
            name if name.ends_with(".weight") => Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu)?,
            _ => Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)?,
        };
        Ok((name, weight))
    };
    size.weights().into_iter().map(initial).collect()
}

/// Tensors drawn one after the other.
struct Draw {
    stream: Stream,
    drawn: u64,
}

impl Draw {
    fn next(&mut self) -> (Stream, u64) {
        self.drawn += 1;
        (self.stream, self.drawn)
    }

    fn normal(&mut self, shape: &[usize], deviation: f64) -> Result<Tensor> {
        let (stream, number) = self.next();
        let values = stream.normal(number, shape.iter().product());
        Tensor::from_vec(values, shape, &Device::Cpu)? * deviation
    }

    fn uniform(&mut self, shape: &[usize], bound: f64) -> Result<Tensor> {
        let (stream, number) = self.next();
        let values = stream.uniform(number, shape.iter().product());
        Tensor::from_vec(values, shape, &Device::Cpu)?.affine(2.0 * bound, -bound)
    }

    fn below(&mut self, count: u32, shape: &[usize]) -> Result<Tensor> {
        let (stream, number) = self.next();
        let values: Vec<u32> = stream.words(number, shape.iter().product()).map(|word| word % count).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)
    }
}
