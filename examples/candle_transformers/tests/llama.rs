//! A model of text that `inspect export` has written, in the Llama of `candle-transformers`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use rekindle::model::{GptConfig, Input, Mode, ModelSpec};

/// Tokens of a row.
const CONTEXT: usize = 8;

const CONFIG: &str = "seed = 1\ntrain = { steps = 30 }\noptimizer = { kind = 'adamw', lr = 1e-2 }\n\
                      data = { path = 'a.txt', format = 'text', tokens = 'bytes', context = 8, batch_size = 4, cache = 'cache' }\n\
                      model = { kind = 'gpt', layers = 2, heads = 4, kv_heads = 2, width = 16, positions = 'rotary', \
                      activation = 'swiglu', norm = 'rms', bias = false, tied = false }\n";

const TEXT: &str = "In the beginning was the word, and the word was with the reader.\n";

/// Runs one of the programs in `folder`.
fn finish(program: PathBuf, folder: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The logits of the run's own model, at each place.
fn own_logits(run: &Path, tokens: &[u32]) -> Vec<Vec<f32>> {
    let config: GptConfig = serde_json::from_value(serde_json::json!({
        "layers": 2, "heads": 4, "kv_heads": 2, "width": 16, "positions": "rotary", "activation": "swiglu", "norm": "rms",
        "bias": false, "tied": false
    }))
    .unwrap();
    let input = Input::Tokens { context: CONTEXT, vocabulary: 256 };
    let model = config.build(&input, 256, 1, &Device::Cpu).unwrap();
    let checkpoints = fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    let newest = checkpoints.max().unwrap().join("model.safetensors");
    let weights = candle_core::safetensors::load(newest, &Device::Cpu).unwrap();
    for (name, var) in model.parameters().iter() {
        var.set(&weights[name]).unwrap();
    }
    let inputs = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    model.forward(&inputs, Mode::Evaluate).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
}

/// The logits of the exported directory in candle-transformers, which returns those after the last token.
fn logits_of_candle(model: &Path, tokens: &[u32]) -> Vec<Vec<f32>> {
    let config = fs::read(model.join("config.json")).unwrap();
    let config = serde_json::from_slice::<LlamaConfig>(&config).unwrap().into_config(false);
    let tensors = candle_core::safetensors::load(model.join("model.safetensors"), &Device::Cpu).unwrap();
    let llama = Llama::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), &config).unwrap();
    let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu).unwrap();
    let mut at = |length: usize| -> Vec<f32> {
        let inputs = Tensor::new(&tokens[..length], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        llama.forward(&inputs, 0, &mut cache).unwrap().squeeze(0).unwrap().to_vec1().unwrap()
    };
    (1..=tokens.len()).map(&mut at).collect()
}

#[test]
fn the_llama_of_candle_transformers_has_the_logits_of_the_run_that_was_exported() {
    const TEST: &str = "the_llama_of_candle_transformers_has_the_logits_of_the_run_that_was_exported";
    let Some(programs) = std::env::var_os("REKINDLE_PROGRAMS").map(PathBuf::from) else {
        return eprintln!("SKIPPED {TEST}: set REKINDLE_PROGRAMS to the folder of the programs `train` and `inspect`");
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [train, inspect] = ["train", "inspect"].map(|name| programs.join(name));
    fs::write(folder.join("config.toml"), CONFIG).unwrap();
    fs::write(folder.join("a.txt"), TEXT.repeat(8)).unwrap();
    finish(train, folder, &["config.toml", "--out", "run"]);
    finish(inspect, folder, &["export", "run", "--to", "hugging-face", "-o", "model"]);

    let tokens: Vec<u32> = "the word".bytes().map(u32::from).collect();
    let own = own_logits(&folder.join("run"), &tokens).concat();
    let found = logits_of_candle(&folder.join("model"), &tokens).concat();
    assert_eq!(found.len(), CONTEXT * 256);
    assert_eq!(own.len(), found.len());
    let apart = own.iter().zip(&found).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    // They are trained: logits of one size would be near whatever the weights are.
    let largest = own.iter().fold(0f32, |most, x| most.max(x.abs()));
    assert!(apart < 1e-4 && largest > 1.0, "{apart} apart, of {largest}");
}
