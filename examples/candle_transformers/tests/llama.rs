//! A model of text that `inspect export` has written, in the Llama of `candle-transformers`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};

const CONFIG: &str = "seed = 1\ntrain = { steps = 30 }\noptimizer = { kind = 'adamw', lr = 1e-2 }\n\
                      data = { path = 'a.txt', format = 'text', tokens = 'bytes', context = 8, batch_size = 4, cache = 'cache' }\n\
                      model = { kind = 'gpt', layers = 2, heads = 4, kv_heads = 2, width = 16, positions = 'rotary', \
                      activation = 'swiglu', norm = 'rms', bias = false, tied = false }\n";

const TEXT: &str = "In the beginning was the word, and the word was with the reader.\n";

/// Runs one of the programs in `folder`, and returns its output.
fn told(program: PathBuf, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_llama_has_the_loss_of_the_run_that_it_was_exported_from() {
    const TEST: &str = "a_llama_has_the_loss_of_the_run_that_it_was_exported_from";
    let Some(programs) = std::env::var_os("REKINDLE_PROGRAMS").map(PathBuf::from) else {
        return eprintln!("SKIPPED {TEST}: set REKINDLE_PROGRAMS to the folder of the programs `train` and `inspect`");
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [train, inspect] = ["train", "inspect"].map(|name| programs.join(name));
    fs::write(folder.join("config.toml"), CONFIG).unwrap();
    fs::write(folder.join("a.txt"), TEXT.repeat(8)).unwrap();
    told(train.clone(), folder, &["config.toml", "--out", "run"]);
    told(inspect, folder, &["export", "run", "--to", "hugging-face", "-o", "model"]);

    // A row of eight tokens, each with the next one as its target.
    let text = "the word ";
    fs::write(folder.join("b.txt"), text).unwrap();
    let found = told(train, folder, &["eval", "run", "--data", "b.txt", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();

    let config = fs::read(folder.join("model/config.json")).unwrap();
    let config = serde_json::from_slice::<LlamaConfig>(&config).unwrap().into_config(false);
    let tensors = candle_core::safetensors::load(folder.join("model/model.safetensors"), &Device::Cpu).unwrap();
    let llama = Llama::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), &config).unwrap();
    let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu).unwrap();
    let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
    let mut loss = 0.0;
    for (place, next) in tokens.iter().enumerate().skip(1) {
        // It returns the logits after the last token.
        let inputs = Tensor::new(&tokens[..place], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let logits = llama.forward(&inputs, 0, &mut cache).unwrap();
        let logits: Vec<f32> = logits.squeeze(0).unwrap().to_vec1().unwrap();
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        loss += (sum.ln() - f64::from(logits[*next as usize])) / (tokens.len() - 1) as f64;
    }
    let expected = found["loss"].as_f64().unwrap();
    assert!((loss - expected).abs() < 1e-5, "{loss} and {expected}");
}
