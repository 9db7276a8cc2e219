//! `inspect export --to hugging-face`: transformers loads the directory, and computes our tokens and logits.

use std::fs;
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use rekindle::trained::Trained;
use serde_json::{Value, json};

use crate::common::programs::Workplace;
use crate::onnx::python;

const TEXT: &str = "In the beginning was the wörd,\nand the word was with the reader.  \u{201c}So it is.\u{201d}\n";

/// A tokenizer of a few words, with a token at the end of a text.
const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [{"id": 0, "content": "<|endoftext|>", "special": true,
    "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
    "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel",
    "unk_token": "?", "vocab": {"<|endoftext|>": 0, "?": 1, "the": 2, "word": 3, "was": 4, "in": 5, ",": 6, ".": 7,
    "and": 8, "with": 9, "reader": 10, "it": 11, "is": 12, "so": 13, "beginning": 14}}}"#;

/// Runs by name: the options of their text, and the settings of their model.
const RUNS: &[(&str, &str, &str)] = &[
    ("characters", "", "dropout = 0.1"),
    ("adapted", "", "lora = { rank = 2 }"),
    ("bytes", "tokens = \"bytes\"", "bias = false\nactivation = \"gelu_tanh\"\ntied = false\nhidden = 24"),
    (
        "llama",
        "",
        "positions = \"rotary\"\nnorm = \"rms\"\nactivation = \"swiglu\"\nkv_heads = 1\nbias = false\ntied = false",
    ),
    (
        "biased",
        "tokenizer = \"tokenizer.json\"",
        "positions = \"rotary\"\nrotary_base = 500.0\nnorm = \"rms\"\nactivation = \"swiglu\"",
    ),
];

fn place() -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("text.txt"), TEXT.repeat(6)).unwrap();
    fs::write(place.path("tokenizer.json"), TOKENIZER).unwrap();
    place
}

/// A run of a small GPT, exported to `NAME.hf`; the result of the export.
fn exported(place: &Workplace, name: &str, data: &str, model: &str) -> Value {
    let config = format!(
        "seed = 2\n[data]\npath = \"text.txt\"\nformat = \"text\"\ncontext = 12\nbatch_size = 4\n{data}\n[model]\nkind = \
         \"gpt\"\nlayers = 2\nheads = 2\nwidth = 16\n{model}\n[optimizer]\nkind = \"adamw\"\nlr = 0.02\n[train]\nsteps = 8\n"
    );
    fs::write(place.path(&format!("{name}.toml")), config).unwrap();
    place.train(&[&format!("{name}.toml"), "--out", name]).says(0, &[]);
    let told = place.inspect(&["export", name, "--to", "hugging-face", "-o", &format!("{name}.hf"), "--json"]);
    told.says(0, &[]);
    serde_json::from_str(&told.out).unwrap()
}

fn file(place: &Workplace, path: &str) -> Value {
    serde_json::from_slice(&fs::read(place.path(path)).unwrap()).unwrap()
}

#[test]
fn a_directory_of_gpt_2_has_its_files_and_zeros_for_absent_biases() {
    let place = place();
    let (name, data, model) = RUNS[2];
    let told = exported(&place, name, data, model);
    assert!(told["notes"].to_string().contains("written as zeros"), "{told}");
    let config = file(&place, "bytes.hf/config.json");
    let expected = json!({"model_type": "gpt2", "activation_function": "gelu_new", "n_inner": 24, "n_positions": 12,
        "vocab_size": 256, "tie_word_embeddings": false, "eos_token_id": null, "bos_token_id": null});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&config[key], value, "{key}");
    }
    let written = candle_core::safetensors::load(place.path("bytes.hf/model.safetensors"), &Device::Cpu).unwrap();
    let bias = &written["transformer.h.1.attn.c_attn.bias"];
    assert_eq!((bias.dims(), bias.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()), (&[48][..], 0.0));
    assert_eq!(written.len(), 3 + 2 + 2 * 12);
    assert_eq!(file(&place, "bytes.hf/tokenizer_config.json")["model_max_length"], 12);
}

#[test]
fn a_directory_of_llama_has_the_names_of_its_layout_and_the_tokenizer_of_the_run() {
    let place = place();
    let (name, data, model) = RUNS[4];
    let told = exported(&place, name, data, model);
    assert!(told["notes"].to_string().contains("the Llama of candle-transformers has none"), "{told}");
    let config = file(&place, "biased.hf/config.json");
    let expected = json!({"architectures": ["LlamaForCausalLM"], "rope_theta": 500.0, "attention_bias": true,
        "num_key_value_heads": 2, "intermediate_size": 64, "eos_token_id": 0});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&config[key], value, "{key}");
    }
    assert_eq!(config["rope_parameters"]["rope_theta"], 500.0);
    assert_eq!(file(&place, "biased.hf/tokenizer.json"), serde_json::from_str::<Value>(TOKENIZER).unwrap());
    assert_eq!(file(&place, "biased.hf/generation_config.json")["eos_token_id"], 0);
    let written = candle_core::safetensors::load(place.path("biased.hf/model.safetensors"), &Device::Cpu).unwrap();
    assert!(written.contains_key("model.layers.1.mlp.gate_proj.bias") && !written.contains_key("lm_head.weight"));
}

#[test]
fn a_model_that_transformers_has_not_is_refused_by_its_settings() {
    let place = place();
    let config = "[data]\npath = \"text.txt\"\nformat = \"text\"\ncontext = 8\nbatch_size = 4\n[model]\nkind = \"gpt\"\n\
                  layers = 1\nheads = 1\nwidth = 4\nnorm = \"rms\"\n[optimizer]\nkind = \"sgd\"\nlr = 0.1\n[train]\nsteps = 1\n";
    fs::write(place.path("mixed.toml"), config).unwrap();
    place.train(&["mixed.toml", "--out", "mixed"]).says(0, &[]);
    let told = place.inspect(&["export", "mixed", "--to", "hugging-face", "-o", "mixed.hf"]);
    told.says(2, &["positions = \"learned\", norm = \"rms\"", "GPT-2", "Llama", "--to safetensors"]);
    place.train(&["config.toml", "--out", "run"]).says(0, &[]);
    let told = place.inspect(&["export", "run", "--to", "hugging-face", "-o", "mixed.hf"]);
    told.says(2, &["a model of the kind `mlp`", "--to onnx"]);
    assert!(!place.path("mixed.hf").exists());
}

const SCRIPT: &str = r#"
import json, sys, torch, transformers
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
for name in json.load(open("names.json")):
    folder = name + ".hf"
    text = open("text.txt", newline="").read()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    model.eval()
    tokens = tokenizer(text[:500], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([tokens[:12]])).logits[0]
    short = tokenizer(text[:5], return_tensors="pt", add_special_tokens=False)
    made = model.generate(**short, max_new_tokens=4, do_sample=False)
    print("LINE " + json.dumps({
        "name": name, "tokens": tokens, "logits": logits.tolist(), "text": tokenizer.decode(tokens),
        "class": type(model).__name__, "made": made.shape[1] - short["input_ids"].shape[1],
        "wrong": {key: sorted(map(str, value)) for key, value in info.items() if value}}))
"#;

/// Every weight is there and none is left over; tokens are equal, and logits within 1e-4.
#[test]
fn transformers_computes_our_tokens_and_logits() {
    let Some(python) = python("transformers_computes_our_tokens_and_logits", "torch, transformers") else { return };
    let place = place();
    for (name, data, model) in RUNS {
        exported(&place, name, data, model);
    }
    let names: Vec<&str> = RUNS.iter().map(|(name, _, _)| *name).collect();
    fs::write(place.path("names.json"), json!(names).to_string()).unwrap();
    fs::write(place.path("script.py"), SCRIPT).unwrap();
    let output = Command::new(python).arg("script.py").current_dir(place.path("")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}\n{out}");
    let lines: Vec<Value> =
        out.lines().filter_map(|line| Some(serde_json::from_str(line.split_once("LINE ")?.1).unwrap())).collect();
    assert_eq!(lines.len(), RUNS.len(), "{err}");
    let beginning: String = TEXT.repeat(6).chars().take(500).collect();
    for line in &lines {
        let name = line["name"].as_str().unwrap();
        assert_eq!(line["wrong"], json!({}), "{name}");
        assert_eq!(line["made"], 4, "{name}");
        let (trained, _) = Trained::open(&place.path(name), &[]).unwrap();
        let tokens = trained.vocabulary().unwrap().encode(&beginning).unwrap();
        assert_eq!(line["tokens"], json!(tokens), "{name}");
        if name != "biased" {
            assert_eq!(line["text"], json!(beginning), "{name}");
        }
        let inputs = Tensor::from_slice(&tokens[..12], (1, 12), &Device::Cpu).unwrap();
        let ours = trained.outputs(&inputs).unwrap().get(0).unwrap().to_dtype(DType::F64).unwrap().to_vec2().unwrap();
        let theirs: Vec<Vec<f64>> = serde_json::from_value(line["logits"].clone()).unwrap();
        let pairs = theirs.iter().flatten().zip(ours.iter().flatten());
        let most = pairs.map(|(a, b): (&f64, &f64)| (a - b).abs()).fold(0.0, f64::max);
        assert!(most <= 1e-4 && theirs.len() == 12, "{name}: {most}");
    }
}
