//! The data and the initial weights of all contestants, as burn's tensors.

use burn::module::Param;
use burn::nn::{Linear, conv::Conv2d};
use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

/// A safetensors file in memory, and the device for what is in it.
pub struct Start {
    bytes: Vec<u8>,
    pub device: Device,
}

impl Start {
    pub fn read(path: &str, device: Device) -> Self {
        Self { bytes: std::fs::read(path).expect("the start is there"), device }
    }

    /// The tensor of that name.
    fn data(&self, name: &str) -> TensorData {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let tensor = tensors.tensor(name).unwrap_or_else(|_| panic!("the start has no `{name}`"));
        let words = tensor.data().chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]);
        match tensor.dtype() {
            Dtype::F32 => TensorData::new(words.map(f32::from_le_bytes).collect::<Vec<_>>(), tensor.shape().to_vec()),
            _ => {
                let classes: Vec<i64> = words.map(|word| u32::from_le_bytes(word).into()).collect();
                TensorData::new(classes, tensor.shape().to_vec())
            }
        }
    }

    /// All batches of inputs or targets that are numbers.
    pub fn floats<const ALL: usize, const BATCH: usize>(&self, name: &str) -> Vec<Tensor<BATCH>> {
        let all = Tensor::<ALL>::from_data(self.data(name), &self.device);
        let count = all.dims()[0];
        (0..count).map(|i| all.clone().narrow(0, i, 1).squeeze_dim::<BATCH>(0)).collect()
    }

    /// All batches of tokens, `[rows, context]`.
    pub fn tokens(&self, name: &str) -> Vec<Tensor<2, Int>> {
        let all = Tensor::<3, Int>::from_data(self.data(name), &self.device);
        let count = all.dims()[0];
        (0..count).map(|i| all.clone().narrow(0, i, 1).squeeze_dim::<2>(0)).collect()
    }

    /// All batches of classes, one after the other in each.
    pub fn classes(&self, name: &str) -> Vec<Tensor<1, Int>> {
        let data = self.data(name);
        let count = data.shape()[0];
        let classes = data.try_into_vec::<i64>().expect("classes are whole numbers");
        let each = classes.len() / count;
        let all = Tensor::<1, Int>::from_data(classes.as_slice(), &self.device);
        (0..count).map(|i| all.clone().narrow(0, i * each, each)).collect()
    }

    /// A weight.
    pub fn weight<const D: usize>(&self, name: &str) -> Param<Tensor<D>> {
        Param::from_data(self.data(name), &self.device)
    }

    /// Sets a layer's weights; burn keeps them `[inputs, outputs]`.
    pub fn fill_linear(&self, mut layer: Linear, name: &str) -> Linear {
        let weight = Tensor::<2>::from_data(self.data(&format!("{name}.weight")), &self.device.clone().inner());
        let transposed = weight.transpose().into_data();
        layer.weight = Param::from_data(transposed, &self.device);
        layer.bias = Some(self.weight(&format!("{name}.bias")));
        layer
    }

    /// Sets a layer's weights.
    pub fn fill_convolution(&self, mut layer: Conv2d, name: &str) -> Conv2d {
        layer.weight = self.weight(&format!("{name}.weight"));
        layer.bias = Some(self.weight(&format!("{name}.bias")));
        layer
    }
}
