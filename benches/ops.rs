//! Cost of the operations on images, compared with Candle's. `cargo bench --bench ops`, with `RAYON_NUM_THREADS` for
//! another number of threads.
//!
//! The shapes are those of a small ConvNet on 64 images of 28 by 28. Each figure is the median of the time of one call,
//! in milliseconds; the two sides take turns. The last line is a whole training step of that network.

use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var};
use rekindle::data::Input;
use rekindle::model::{Mode, ModelConfig};
use rekindle::ops::{self, BatchNorm, Conv2d, Pool2d};
use rekindle::optim::{AdamW, Gradients, Optimizer};
use rekindle::rng::{StepRng, Stream};

const TURNS: usize = 31;

fn main() -> Result<()> {
    println!("{} threads, milliseconds", rayon::current_num_threads());
    convolutions()?;
    others()?;
    step()
}

fn normal(name: &str, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(Stream::new(0, name).normal(0, shape.iter().product()), shape, &Device::Cpu)
}

/// The median time of a call of each, in turns.
fn medians<const N: usize>(mut calls: [&mut dyn FnMut() -> Result<()>; N]) -> Result<[f64; N]> {
    let mut times = [const { Vec::new() }; N];
    for turn in 0..=TURNS {
        for (call, times) in calls.iter_mut().zip(&mut times) {
            let began = Instant::now();
            call()?;
            // The first turn warms up.
            if turn > 0 {
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[TURNS / 2]
    }))
}

fn backward(y: Tensor) -> Result<()> {
    y.sum_all()?.backward().map(drop)
}

fn convolutions() -> Result<()> {
    for (name, x_shape, weight_shape) in
        [("1 -> 32, 28x28", [64, 1, 28, 28], [32, 1, 3, 3]), ("32 -> 64, 26x26", [64, 32, 26, 26], [64, 32, 3, 3])]
    {
        let (x, weight) = (normal("x", &x_shape)?, Var::from_tensor(&normal("weight", &weight_shape)?)?);
        let bias = Var::from_tensor(&normal("bias", &weight_shape[..1])?)?;
        // The image needs no gradient, but the output of an earlier layer does.
        let x = if x_shape[1] == 1 { x } else { Var::from_tensor(&x)?.as_tensor().clone() };
        let options = Conv2d { relu: true, ..Conv2d::default() };
        let ours = || ops::conv2d(&x, &weight, Some(&bias), options);
        let candle = || x.conv2d(&weight, 0, 1, 1, 1)?.broadcast_add(&bias.reshape((1, (), 1, 1))?)?.relu();
        let [forward, theirs] = medians([&mut || ours().map(drop), &mut || candle().map(drop)])?;
        println!("conv2d {name}, forward:               {forward:8.2}   Candle {theirs:8.2}");
        let [both, theirs] = medians([&mut || backward(ours()?), &mut || backward(candle()?)])?;
        println!("conv2d {name}, forward and backward:  {both:8.2}   Candle {theirs:8.2}");
    }
    Ok(())
}

fn others() -> Result<()> {
    let x = Var::from_tensor(&normal("x", &[64, 64, 24, 24])?)?;
    let pool = || ops::max_pool2d(&x, Pool2d::new(2));
    let [both, theirs] = medians([&mut || backward(pool()?), &mut || backward(x.max_pool2d(2)?)])?;
    println!("max_pool2d, forward and backward:     {both:8.2}   Candle {theirs:8.2}");
    let pool = || ops::avg_pool2d(&x, Pool2d::new(2));
    let [both, theirs] = medians([&mut || backward(pool()?), &mut || backward(x.avg_pool2d(2)?)])?;
    println!("avg_pool2d, forward and backward:     {both:8.2}   Candle {theirs:8.2}");
    let constant = |value: f32| Var::from_tensor(&Tensor::full(value, 64, &Device::Cpu)?);
    let (weight, bias) = (constant(1.0)?, constant(0.0)?);
    let norm = BatchNorm::new(constant(0.0)?, constant(1.0)?);
    let theirs = candle_nn::BatchNorm::new(
        64,
        constant(0.0)?.as_tensor().clone(),
        constant(1.0)?.as_tensor().clone(),
        weight.as_tensor().clone(),
        bias.as_tensor().clone(),
        1e-5,
    )?;
    let [both, theirs] =
        medians([&mut || backward(norm.train(&x, &weight, &bias)?), &mut || backward(theirs.forward_train(&x)?)])?;
    println!("batch norm, forward and backward:     {both:8.2}   Candle {theirs:8.2}");
    Ok(())
}

fn step() -> Result<()> {
    let config: ModelConfig = serde_json::from_value(serde_json::json!({
        "kind": "convnet", "hidden": [128], "dropout": 0.5,
        "blocks": [{ "channels": 32 }, { "channels": 64, "pool": "max", "dropout": 0.25 }],
    }))
    .map_err(candle_core::Error::wrap)?;
    let model =
        config.build(&Input::Numbers(vec![1, 28, 28]), 10, 0, &Device::Cpu).map_err(candle_core::Error::wrap)?;
    let mut optimizer = Optimizer::new(model.parameters(), AdamW::default()).map_err(candle_core::Error::wrap)?;
    let rates = optimizer.base_lrs();
    let x = normal("images", &[64, 1, 28, 28])?;
    let y = Tensor::from_vec((0..64).map(|i| i % 10).collect::<Vec<u32>>(), 64, &Device::Cpu)?;
    let mut step = 0;
    let mut train = || {
        let outputs = model.forward(&x, Mode::Train(&StepRng::at(0, step)))?;
        let loss = ops::loss::cross_entropy(&outputs, &y, 0.0)?;
        let gradients = Gradients::from_loss(&loss, model.parameters())
            .and_then(Gradients::measure)
            .map_err(candle_core::Error::wrap)?;
        optimizer.update(&gradients, &rates).map_err(candle_core::Error::wrap)?;
        step += 1;
        loss.to_scalar::<f32>().map(drop)
    };
    let [whole] = medians([&mut train])?;
    println!("a step of the whole network:          {whole:8.2}");
    Ok(())
}
