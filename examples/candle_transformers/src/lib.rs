//! The beginning of a run with a model of `candle-transformers`: its weights as parameters of Rekindle.

use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use rekindle::model::normal;
use rekindle::parameters::Parameters;
use rekindle::trainer::Fallible;

/// Gives the weights of a model numbers from a seed, because those of a `VarMap` are others in each process: scales of
/// norms are 1, biases 0, and other weights normal numbers. A model that is to be tuned takes those of a file in their
/// place: `varmap.load("model.safetensors")`.
pub fn begin(varmap: &VarMap, seed: u64) -> Fallible<Parameters> {
    let parameters = Parameters::from_varmap(varmap);
    for (name, var) in parameters.iter() {
        let is_scale = name.contains("norm") || name.contains("Norm");
        let value = match (is_scale, name.ends_with("bias")) {
            (_, true) => Tensor::zeros(var.shape(), var.dtype(), &Device::Cpu)?,
            (true, false) => Tensor::ones(var.shape(), var.dtype(), &Device::Cpu)?,
            (false, false) => normal(name, var.shape(), 0.2, seed, &Device::Cpu)?.as_detached_tensor(),
        };
        var.set(&value)?;
    }
    Ok(parameters)
}
