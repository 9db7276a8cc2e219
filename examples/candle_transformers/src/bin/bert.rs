//! A new head on a BERT of `candle-transformers`, trained by a `Trainer`.
//!
//! The layer norms of Candle have no backward pass where they are fused, as in BERT, so nothing before the last of them
//! can be trained: the encoder stays as it is, and the head learns to classify its outputs. Run it, kill it, run it again:
//! `cargo run --release --bin bert runs/bert`.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module, VarBuilder, VarMap};
use candle_transformers::models::bert::{BertModel, Config};
use rekindle::model::linear_default;
use rekindle::optim::AdamW;
use rekindle::schedule::Schedule;
use rekindle::trainer::Fallible;
use rekindle::{Trainer, ops::loss, parameters::Parameters, rng::Stream};

const STEPS: u64 = 120;
const SEED: u64 = 3;
const BATCH: usize = 16;
/// Tokens of a row.
const LENGTH: usize = 6;
const VOCABULARY: usize = 16;
const WIDTH: usize = 32;

/// The content of a `config.json`.
fn config() -> Fallible<Config> {
    Ok(serde_json::from_value(serde_json::json!({
        "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "max_position_embeddings": LENGTH,
        "type_vocab_size": 1, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0
    }))?)
}

/// Rows of tokens, as a function of the step, and whether the first of each is in the upper half of the vocabulary.
fn batch(step: u64) -> Fallible<(Tensor, Tensor)> {
    let draws = Stream::new(SEED, "tokens").uniform(step, BATCH * LENGTH);
    let tokens: Vec<u32> = draws.iter().map(|draw| (draw * VOCABULARY as f32) as u32).collect();
    let classes: Vec<u32> = tokens.chunks(LENGTH).map(|row| u32::from(row[0] >= VOCABULARY as u32 / 2)).collect();
    Ok((Tensor::from_vec(tokens, (BATCH, LENGTH), &Device::Cpu)?, Tensor::from_vec(classes, BATCH, &Device::Cpu)?))
}

fn main() -> Fallible<()> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/bert".into());
    let varmap = VarMap::new();
    let encoder = BertModel::load(VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu), &config()?)?;
    fine_tuning::begin(&varmap, SEED)?;
    let weight = linear_default("head.weight", (2, WIDTH), WIDTH, SEED, &Device::Cpu)?;
    let bias = linear_default("head.bias", 2, WIDTH, SEED, &Device::Cpu)?;
    let head = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
    let parameters: Parameters =
        [("head.weight".to_owned(), weight), ("head.bias".to_owned(), bias)].into_iter().collect();

    // The head sees the output at the first token.
    let logits = |tokens: &Tensor| -> Fallible<Tensor> {
        let outputs = encoder.forward(tokens, &tokens.zeros_like()?, None)?;
        Ok(head.forward(&outputs.narrow(1, 0, 1)?.squeeze(1)?.detach())?)
    };
    let (tokens, classes) = batch(u64::MAX)?;
    let accuracy = || -> Fallible<f64> {
        let right = logits(&tokens)?.argmax(1)?.eq(&classes)?.to_dtype(DType::F32)?.mean_all()?;
        Ok(f64::from(right.to_scalar::<f32>()?))
    };
    let end = Trainer::new(&parameters, batch, |(tokens, classes): &(Tensor, Tensor)| {
        Ok(loss::cross_entropy(&logits(tokens)?, classes, 0.0)?)
    })
    .optimizer(AdamW { lr: 0.05, ..AdamW::default() })
    .schedule(Schedule::warmup(10, Schedule::cosine(STEPS - 10)))
    .steps(STEPS)
    .validate_every(20, || Ok([("val_accuracy", accuracy()?)]))
    .save_every(10)
    .on_validation(|end| println!("step {} | val_accuracy={}", end.done(), end.metrics["val_accuracy"]))
    .train_in(out)?;
    println!("{} steps, accuracy {}", end.step, accuracy()?);
    Ok(())
}
