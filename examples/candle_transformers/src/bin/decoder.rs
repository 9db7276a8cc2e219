//! The decoder of Stable Diffusion's autoencoder in `candle-transformers`, all of it fine-tuned by a `Trainer`.
//!
//! Its norms are by groups, which Candle computes with operations that have a backward pass; so are those of its attention.
//! The weights of the encoder stay as they are. Run it, kill it, run it again:
//! `cargo run --release --bin decoder runs/decoder`.

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::stable_diffusion::vae::{AutoEncoderKL, AutoEncoderKLConfig};
use rekindle::optim::AdamW;
use rekindle::schedule::Schedule;
use rekindle::trainer::Fallible;
use rekindle::{Trainer, parameters::Parameters, rng::Stream};

const STEPS: u64 = 60;
const SEED: u64 = 4;
const BATCH: usize = 4;
const LATENTS: usize = 2;
const SIDE: usize = 6;

/// Latents as a function of the step, and images to decode them to: the product of their channels.
fn batch(step: u64) -> Fallible<(Tensor, Tensor)> {
    let shape = (BATCH, LATENTS, SIDE, SIDE);
    let draws = Stream::new(SEED, "latents").normal(step, BATCH * LATENTS * SIDE * SIDE);
    let latents = Tensor::from_vec(draws, shape, &Device::Cpu)?;
    let images = (latents.narrow(1, 0, 1)? * latents.narrow(1, 1, 1)?)?;
    Ok((latents, images))
}

fn main() -> Fallible<()> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/decoder".into());
    let config = AutoEncoderKLConfig {
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        latent_channels: LATENTS,
        norm_num_groups: 4,
        use_quant_conv: true,
        use_post_quant_conv: true,
    };
    let varmap = VarMap::new();
    let model = AutoEncoderKL::new(VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu), 1, 1, config)?;
    let all = fine_tuning::begin(&varmap, SEED)?;
    let is_of_decoder = |name: &str| name.starts_with("decoder.") || name.starts_with("post_quant_conv.");
    let tuned = all.iter().filter(|(name, _)| is_of_decoder(name)).map(|(name, var)| (name.to_owned(), var.clone()));
    let parameters: Parameters = tuned.collect();

    let error = |(latents, images): &(Tensor, Tensor)| -> Fallible<Tensor> {
        // An image has twice the side of its latents.
        let decoded = model.decode(latents)?.avg_pool2d(2)?;
        Ok((decoded - images)?.sqr()?.mean_all()?)
    };
    let held_out = batch(u64::MAX)?;
    let end = Trainer::new(&parameters, batch, error)
        .optimizer(AdamW { lr: 0.01, weight_decay: 0.0, ..AdamW::default() })
        .schedule(Schedule::warmup(5, Schedule::cosine(STEPS - 5)))
        .steps(STEPS)
        .clip_norm(1.0)
        .validate_every(10, || Ok([("val_error", f64::from(error(&held_out)?.to_scalar::<f32>()?))]))
        .save_every(10)
        .on_validation(|end| println!("step {} | val_error={}", end.done(), end.metrics["val_error"]))
        .train_in(out)?;
    println!("{} steps", end.step);
    Ok(())
}
