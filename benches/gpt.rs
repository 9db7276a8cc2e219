//! Cost of the operations of a language model, compared with Candle's, and of a whole training step:
//! `CANDLE_NUM_THREADS=1 cargo bench --bench gpt`, as `train` sets it, with `RAYON_NUM_THREADS` for another number of
//! threads.
//!
//! The shapes are those of a GPT of 4 layers, 4 heads, width 128, context 64 and 65 tokens, on 12 rows. Each figure is
//! the median of the time of one call, in microseconds, forward and backward; the two sides take turns.

use std::time::Instant;

use candle_core::{D, Device, Result, Tensor, Var};
use rekindle::model::{Gpt, GptConfig, Mode, Model};
use rekindle::ops::{self, Heads, loss::cross_entropy};
use rekindle::optim::{AdamW, Gradients, Optimizer};
use rekindle::rng::{StepRng, Stream};

#[expect(dead_code, reason = "this bench frees little before it begins")]
#[path = "../src/bin/train/memory.rs"]
mod memory;

const TURNS: usize = 41;
const ROWS: usize = 12;
const CONTEXT: usize = 64;
const WIDTH: usize = 128;
const VOCABULARY: usize = 65;

fn main() -> Result<()> {
    memory::keep_freed();
    println!("{} threads, microseconds", rayon::current_num_threads());
    let x = normal("x", &[ROWS, CONTEXT, WIDTH])?;
    let (weight, bias) = (normal("weight", &[4 * WIDTH, WIDTH])?, normal("bias", &[4 * WIDTH])?);
    let flat = |x: &Tensor| x.reshape((ROWS * CONTEXT, WIDTH));
    compare(
        "linear 128 -> 512",
        || backward(ops::linear(&x, &weight, Some(&bias))?),
        || backward(flat(&x)?.matmul(&weight.t()?)?.broadcast_add(&bias)?),
    )?;
    let hidden = normal("hidden", &[ROWS, CONTEXT, 4 * WIDTH])?;
    compare("gelu of 512", || backward(ops::gelu(&hidden)?), || backward(hidden.gelu_erf()?))?;
    let (scale, shift) = (normal("scale", &[WIDTH])?, normal("shift", &[WIDTH])?);
    compare(
        "layer norm of 128",
        || backward(ops::layer_norm(&x, &scale, Some(&shift), 1e-5)?),
        || backward(plain_layer_norm(&x, &scale, &shift)?),
    )?;
    let qkv = normal("qkv", &[ROWS, CONTEXT, 3 * WIDTH])?;
    compare(
        "attention, 4 heads",
        || backward(ops::attention_packed(&qkv, Heads { queries: 4, keys: 4 }, None)?),
        || backward(plain_attention(&qkv)?),
    )?;
    let logits = normal("logits", &[ROWS * CONTEXT, VOCABULARY])?;
    let targets = tokens()?.flatten_all()?;
    compare(
        "cross-entropy of 65",
        || cross_entropy(&logits, &targets, 0.0)?.backward().map(drop),
        || candle_nn::loss::cross_entropy(&logits, &targets)?.backward().map(drop),
    )?;
    step(false)?;
    step(true)
}

fn normal(name: &str, shape: &[usize]) -> Result<Var> {
    let numbers = Stream::new(0, name).normal(0, shape.iter().product());
    Var::from_tensor(&Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

fn tokens() -> Result<Tensor> {
    let stream = Stream::new(0, "tokens");
    let words = stream.words(0, ROWS * CONTEXT).map(|word| word % VOCABULARY as u32);
    Tensor::from_iter(words, &Device::Cpu)?.reshape((ROWS, CONTEXT))
}

fn backward(y: Tensor) -> Result<()> {
    y.sum_all()?.backward().map(drop)
}

fn compare(name: &str, mut ours: impl FnMut() -> Result<()>, mut candle: impl FnMut() -> Result<()>) -> Result<()> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..=TURNS {
        times[0].push(timed(&mut ours)?);
        times[1].push(timed(&mut candle)?);
    }
    let [ours, candle] = times.map(median);
    println!("{name:20} {ours:9.0}   Candle {candle:9.0}");
    Ok(())
}

fn timed(call: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    call()?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

/// The first of the times is a warm-up, and does not count.
fn median(mut times: Vec<f64>) -> f64 {
    times.remove(0);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn plain_layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let deviation = (x.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
    x.broadcast_div(&deviation)?.broadcast_mul(scale)?.broadcast_add(shift)
}

fn plain_attention(qkv: &Tensor) -> Result<Tensor> {
    let part = |first: usize| {
        let part = qkv.narrow(2, first * WIDTH, WIDTH)?.reshape((ROWS, CONTEXT, 4, WIDTH / 4))?;
        part.transpose(1, 2)?.contiguous()
    };
    let scores = (part(0)?.matmul(&part(1)?.t()?.contiguous()?)? / (WIDTH as f64 / 4.0).sqrt())?;
    let hidden = (0..CONTEXT * CONTEXT).map(|i| if i % CONTEXT > i / CONTEXT { f32::NEG_INFINITY } else { 0.0 });
    let hidden = Tensor::from_iter(hidden, &Device::Cpu)?.reshape((CONTEXT, CONTEXT))?;
    let weights = candle_nn::ops::softmax(&scores.broadcast_add(&hidden)?, D::Minus1)?;
    weights.matmul(&part(2)?)?.transpose(1, 2)?.contiguous()
}

/// A complete step, and where its time goes.
fn step(checkpoint_activations: bool) -> Result<()> {
    let mut config = GptConfig::new(4, 4, WIDTH);
    config.checkpoint_activations = checkpoint_activations;
    let model = Gpt::new(config, CONTEXT, VOCABULARY, VOCABULARY, 0, &Device::Cpu).map_err(candle_core::Error::wrap)?;
    let mut optimizer = Optimizer::new(model.parameters(), AdamW::default()).map_err(candle_core::Error::wrap)?;
    let (inputs, targets) = (tokens()?, tokens()?);
    let mut times = [const { Vec::new() }; 4];
    for number in 0..=TURNS as u64 {
        let began = Instant::now();
        let draws = StepRng::at(0, number);
        let loss = cross_entropy(&model.forward(&inputs, Mode::Train(&draws))?, &targets, 0.0)?;
        loss.to_scalar::<f32>()?;
        let forward = began.elapsed();
        let gradients = Gradients::from_loss(&loss, model.parameters())
            .and_then(Gradients::measure)
            .map_err(candle_core::Error::wrap)?;
        let backward = began.elapsed();
        optimizer.update(&gradients, &[1e-3]).map_err(candle_core::Error::wrap)?;
        let whole = began.elapsed();
        for (times, time) in times.iter_mut().zip([forward, backward - forward, whole - backward, whole]) {
            times.push(time.as_secs_f64() * 1e6);
        }
    }
    let [forward, backward, update, whole] = times.map(median);
    let which = if checkpoint_activations { ", blocks computed again" } else { "" };
    println!("step{which}: {whole:.0} (forward {forward:.0}, backward {backward:.0}, update {update:.0})");
    Ok(())
}
