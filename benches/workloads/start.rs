//! Start of every contestant: data and initial weights of each workload, a function of one seed.
//!
//! Weights have the shapes of PyTorch's layers and its initial distribution; those of a GPT, GPT-2's; those of a
//! residual network, torchvision's.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use rekindle::rng::Stream;

use crate::workload::{GptSize, Model, Workload};

/// The inputs (`x`) and targets (`y`) of all batches, and the weights by name.
pub struct Start {
    pub x: Tensor,
    pub y: Tensor,
    pub weights: BTreeMap<String, Tensor>,
}

impl Start {
    /// Draws the start of a workload; its type of numbers does not change it.
    pub fn of(workload: &Workload) -> Result<Self> {
        let mut draw = Draw { stream: Stream::new(1, &workload.base), drawn: 0 };
        let rows = [workload.batches, workload.rows];
        let shape = [&rows[..], &workload.model.input()].concat();
        let (x, y) = match &workload.model {
            Model::Gpt(size) => {
                let mut tokens = || draw.below(size.vocabulary as u32, &shape);
                (tokens()?, tokens()?)
            }
            _ if workload.has_classes() => (draw.normal(&shape, 1.0)?, draw.below(10, &rows)?),
            _ => {
                let x = draw.normal(&shape, 1.0)?;
                let y = (x.mean_keepdim(2)? + draw.normal(&[workload.batches, workload.rows, 1], 0.3)?)?;
                (x, y)
            }
        };
        let mut weights = Weights { draw, drawn: BTreeMap::new() };
        match &workload.model {
            Model::Mlp(widths) => {
                let mut layers = widths.windows(2).enumerate();
                layers.try_for_each(|(i, pair)| weights.layer(&format!("{}", 2 * i), &[pair[1], pair[0]]))?;
            }
            Model::ConvNet => {
                weights.layer("features.0", &[32, 1, 3, 3])?;
                weights.layer("features.2", &[64, 32, 3, 3])?;
                weights.layer("classifier.0", &[128, 9216])?;
                weights.layer("classifier.3", &[10, 128])?;
            }
            Model::ResNet { widths, depths } => weights.residual(widths, depths)?,
            Model::Gpt(size) => weights.gpt(size)?,
        }
        Ok(Self { x, y, weights: weights.drawn })
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
        let tensors = HashMap::from([("x", self.x.get(0)?), ("y", self.y.get(0)?)]);
        candle_core::safetensors::save(&tensors, path)
    }
}

/// Weights that are drawn one after the other.
struct Weights {
    draw: Draw,
    drawn: BTreeMap<String, Tensor>,
}

impl Weights {
    /// A linear layer or a convolution with bias.
    fn layer(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let fan_in = shape[1..].iter().product::<usize>();
        let bound = 1.0 / (fan_in as f64).sqrt();
        self.drawn.insert(format!("{name}.weight"), self.draw.uniform(shape, bound)?);
        self.drawn.insert(format!("{name}.bias"), self.draw.uniform(&shape[..1], bound)?);
        Ok(())
    }

    /// A convolution without bias, and the norm after it.
    fn normed(&mut self, convolution: &str, norm: &str, [outputs, inputs, kernel]: [usize; 3]) -> Result<()> {
        let fan_out = outputs * kernel * kernel;
        let weight = self.draw.normal(&[outputs, inputs, kernel, kernel], (2.0 / fan_out as f64).sqrt())?;
        self.drawn.insert(format!("{convolution}.weight"), weight);
        self.drawn.insert(format!("{norm}.weight"), Tensor::ones(outputs, DType::F32, &Device::Cpu)?);
        self.drawn.insert(format!("{norm}.bias"), Tensor::zeros(outputs, DType::F32, &Device::Cpu)?);
        Ok(())
    }

    /// A residual network for grey images, with ten classes.
    fn residual(&mut self, widths: &[usize], depths: &[usize]) -> Result<()> {
        let mut inputs = widths[0];
        self.normed("conv1", "bn1", [inputs, 1, 3])?;
        for (stage, (&width, &depth)) in widths.iter().zip(depths).enumerate() {
            for block in 0..depth {
                let name = format!("layer{}.{block}", stage + 1);
                let part = |part: &str| format!("{name}.{part}");
                self.normed(&part("conv1"), &part("bn1"), [width, inputs, 3])?;
                self.normed(&part("conv2"), &part("bn2"), [width, width, 3])?;
                if stage > 0 && block == 0 {
                    self.normed(&part("downsample.0"), &part("downsample.1"), [width, inputs, 1])?;
                }
                inputs = width;
            }
        }
        self.layer("fc", &[10, inputs])
    }

    /// The weights of a GPT: matrices are drawn, scales are 1 and biases 0.
    fn gpt(&mut self, size: &GptSize) -> Result<()> {
        for (name, shape) in size.weights() {
            let weight = match name.as_str() {
                _ if shape.len() == 2 => self.draw.normal(&shape, 0.02)?,
                name if name.ends_with(".weight") => Tensor::ones(shape, DType::F32, &Device::Cpu)?,
                _ => Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
            };
            self.drawn.insert(name, weight);
        }
        Ok(())
    }
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
        let mut values = stream.normal(number, shape.iter().product());
        // In place, because a second tensor of all batches would be the peak of the memory.
        values.iter_mut().for_each(|value| *value *= deviation as f32);
        Tensor::from_vec(values, shape, &Device::Cpu)
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
