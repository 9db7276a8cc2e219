//! Fine-tuning: a run that begins with other weights says what became of each tensor, and adapters of low rank are
//! trained, saved and resumed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use crate::common::{ADAMW, EVERY_STEP, Lab, checkpoint, log, small};
use crate::matrix::{lab, models};

/// A run of two steps of the small GPT-2 in `tests/data`, with `more` in its model.
fn gpt2(more: &str) -> Lab {
    let lab = Lab::new(&format!(
        "train = {{ steps = 2 }}\noptimizer = {ADAMW}\n[data]\npath = \"a.txt\"\nformat = \"text\"\ncontext = 7\n\
         batch_size = 2\ncache = \"cache\"\n[model]\nkind = \"gpt\"\nlayers = 2\nheads = 3\nwidth = 12\ncontext = 8\n\
         activation = \"gelu_tanh\"\n{more}\n"
    ));
    fs::write(lab.path("a.txt"), "abcdefghijkabacabadacab").unwrap();
    lab
}

/// The weights of Hugging Face's GPT-2, without what the file has beside them.
fn theirs() -> BTreeMap<String, Tensor> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2.safetensors");
    let tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    tensors.into_iter().filter(|(name, _)| !["logits", "tokens"].contains(&name.as_str())).collect()
}

fn save<'a>(tensors: impl IntoIterator<Item = (&'a String, &'a Tensor)>, path: PathBuf) {
    let tensors: HashMap<&String, Tensor> = tensors.into_iter().map(|(name, x)| (name, x.clone())).collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The tensors of a checkpoint of a run.
fn weights(lab: &Lab, run: &str, step: u64) -> BTreeMap<String, Tensor> {
    let file = checkpoint(&lab.path(run), step).join("model.safetensors");
    candle_core::safetensors::load(file, &Device::Cpu).unwrap().into_iter().collect()
}

/// The hub's own GPT-2 has no `transformer.` in front of its names, masks beside its weights, and other models have
/// shards of half precision.
#[test]
fn a_folder_of_hugging_face_is_a_beginning_with_shards_half_precision_and_other_prefixes() {
    let lab = gpt2("");
    fs::create_dir(lab.path("hub")).unwrap();
    let mask = Tensor::zeros((1, 1, 8, 8), DType::U8, &Device::Cpu).unwrap();
    let (mut first, mut second) = (BTreeMap::new(), BTreeMap::new());
    for (at, (name, tensor)) in theirs().into_iter().enumerate() {
        let inner = name.strip_prefix("transformer.").unwrap().to_owned();
        let half = if at % 2 == 0 { DType::F16 } else { DType::BF16 };
        let shard = if at % 3 == 0 { &mut first } else { &mut second };
        shard.insert(inner, tensor.to_dtype(half).unwrap());
    }
    second.insert("h.0.attn.bias".to_owned(), mask);
    let place = |file: &str, shard: &BTreeMap<String, Tensor>| {
        save(shard, lab.path("hub").join(file));
        shard.keys().map(|name| (name.clone(), file.to_owned())).collect::<Vec<_>>()
    };
    let map: BTreeMap<String, String> =
        [place("model-00001-of-00002.safetensors", &first), place("model-00002-of-00002.safetensors", &second)]
            .concat()
            .into_iter()
            .collect();
    fs::write(lab.path("hub/model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
    let told = lab.train(&["config.toml", "--out", "run", "--init-from", "hub", "--strict"]).well().stderr;
    let count = theirs().len();
    let taken = format!("hub: {count} of the model's {count} tensors are taken from it, with `transformer.` in front");
    assert!(told.contains(&taken), "{told}");
    assert!(told.contains("not read: `transformer.h.0.attn.bias`"), "{told}");
    first.extend(second);
    for (name, found) in weights(&lab, "run", 0) {
        assert_eq!(found.dtype(), DType::F32);
        assert_eq!(values(&found), values(&first[name.strip_prefix("transformer.").unwrap()]), "{name}");
    }
}

#[test]
fn what_is_missing_and_left_over_is_listed_and_with_strict_refused() {
    let lab = gpt2("");
    let mut tensors = theirs();
    tensors.retain(|name, _| !name.contains(".h.1."));
    tensors.insert("score.weight".to_owned(), tensors["transformer.wpe.weight"].clone());
    save(&tensors, lab.path("w.safetensors"));
    let from = ["config.toml", "--out", "run", "--init-from", "w.safetensors"];
    let refusal = lab.train(&[&from[..], &["--strict"]].concat()).refusal();
    let lacks = "w.safetensors: has no tensors for 12 parameters: `transformer.h.1.attn.c_attn.bias`";
    assert!(refusal.contains(lacks) && refusal.contains("`train.missing_weights = \"new\"`"), "{refusal}");
    assert!(!lab.path("run").exists());
    let told = lab.train(&from).well().stderr;
    for part in [
        "w.safetensors: 16 of the model's 28 tensors are taken from it: `transformer.h.0.attn.c_attn.bias`",
        "it lacks 12 of the model's tensors, which begin new: `transformer.h.1.attn.c_attn.bias`",
        "the model has no place for 1 of its tensors, dropped: `score.weight`",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    // Nothing at all in common is never what was meant.
    save([(&"score.weight".to_owned(), &tensors["score.weight"])], lab.path("other.safetensors"));
    let refusal = lab.train(&["config.toml", "--out", "other", "--init-from", "other.safetensors"]).refusal();
    assert!(refusal.contains("no tensor in it is one of the model's: it has `score.weight`"), "{refusal}");
}

#[test]
fn tensors_are_renamed_by_the_prefixes_that_are_given() {
    let lab = gpt2("");
    let renamed: BTreeMap<String, Tensor> =
        theirs().into_iter().map(|(name, x)| (name.replace("transformer.", "net.gpt."), x)).collect();
    save(&renamed, lab.path("w.safetensors"));
    let from = ["config.toml", "--init-from", "w.safetensors", "--strict"];
    let rule = |rule: &str| format!("train.rename_weights={rule}");
    let refusal = lab.train(&[&from[..], &["--set", &rule("[['model.', '']]")]].concat()).refusal();
    assert!(refusal.contains("no tensor in it begins with `model.`"), "{refusal}");
    let right = rule("[['net.gpt.', 'transformer.']]");
    let told = lab.train(&[&from[..], &["--out", "run", "--set", &right]].concat()).well().stderr;
    assert!(told.contains("28 of the model's 28 tensors are taken from it, renamed by"), "{told}");
    let alone = lab.train(&["config.toml", "--set", &right]).refusal();
    assert!(alone.contains("acts on initial weights only; set `train.initial_weights` too"), "{alone}");
}

/// Another number of classes has another head; the rest is that of the first run.
#[test]
fn a_new_head_begins_new_and_the_rest_is_taken() {
    let lab = Lab::in_memory(&small(ADAMW, "constant", EVERY_STEP));
    lab.start("first");
    let rows: String =
        (0..60u32).map(|i| format!("{}.5,{}.5,{}.5,{}\n", i * 37 % 61, i * i % 53, i % 7, i % 5)).collect();
    fs::write(lab.path("five.csv"), format!("a,b,c,label\n{rows}")).unwrap();
    let from = ["config.toml", "--out", "tuned", "--init-from", "first", "--set", "data.path=five.csv"];
    let refusal = lab.train(&from).refusal();
    let both = "has `4.bias` as F32[2], and the model as F32[5]";
    assert!(refusal.contains(both) && refusal.contains("`train.new_weights = [\"4.*\"]`"), "{refusal}");
    let wrong = lab.train(&[&from[..], &["--set", "train.new_weights=['head.*']"]].concat()).refusal();
    assert!(wrong.contains("train.new_weights = \"head.*\": matches no parameter; there are `0.bias`"), "{wrong}");
    let told = lab.train(&[&from[..], &["--strict", "--set", "train.new_weights=['4.*']"]].concat()).well().stderr;
    assert!(told.contains("2 tensors begin new, by `train.new_weights`: `4.bias`, `4.weight`"), "{told}");
    let (first, tuned) = (weights(&lab, "first", 12), weights(&lab, "tuned", 0));
    for name in ["0.weight", "0.bias", "2.weight", "2.bias"] {
        assert_eq!(values(&first[name]), values(&tuned[name]), "{name}");
    }
    assert_eq!(tuned["4.weight"].dims(), [5, 5]);
    // Settings of the beginning no longer matter, and cannot change.
    let change = lab.train(&["--resume", "tuned", "--set", "train.new_weights=[]"]).refusal();
    assert!(change.contains("train.new_weights cannot change within a run"), "{change}");
}

#[test]
fn runs_with_adapters_are_resumed_to_the_bit() {
    let cases: Vec<_> = models().into_iter().filter(|case| case.name.contains("adapters")).collect();
    assert_eq!(cases.len(), 2);
    for case in cases {
        lab(&case, crate::common::place::Place::Cpu).assert_each_can_be_the_last(12, [0, 3, 8]);
    }
}

/// The base is in each checkpoint, and the same bytes in all of them; the files that the run began with are not needed.
#[test]
fn a_run_with_adapters_begins_as_its_base_trains_them_alone_and_needs_no_other_file() {
    let lab = gpt2("");
    save(&theirs(), lab.path("w.safetensors"));
    let lora = ["--set", "model.lora={rank=2, alpha=4, patterns=['*.c_attn', '*.mlp.*']}"];
    let from = ["config.toml", "--init-from", "w.safetensors", "--strict"];
    lab.train(&[&from[..], &["--out", "base"]].concat()).well();
    let told = lab.train(&[&from[..], &lora, &["--out", "tuned"]].concat()).well().stderr;
    assert!(told.contains("28 of the model's 40 tensors are taken from it"), "{told}");
    assert_eq!(log(&lab.path("base"))[0]["loss"], log(&lab.path("tuned"))[0]["loss"]);
    fs::remove_file(lab.path("w.safetensors")).unwrap();
    for (name, tensor) in weights(&lab, "tuned", 2) {
        match theirs().get(&name) {
            Some(base) => assert_eq!(values(&tensor), values(base), "{name} has changed"),
            None => assert!(name.contains(".lora_") && values(&tensor).iter().any(|x| *x != 0.0), "{name}"),
        }
    }
    lab.train(&["--resume", "tuned", "--set", "train.steps=4"]).well();
    lab.train(&["sample", "tuned", "--prompt", "ab", "--tokens", "3"]).well();
    let plain = lab.train(&["config.toml", "--init-from", "tuned", "--out", "plain"]).refusal();
    assert!(plain.contains("has an adapter `transformer.h.0.attn.c_attn.lora_A.weight`"), "{plain}");
    let change = lab.train(&["--resume", "tuned", "--set", "model.lora.rank=3"]).refusal();
    assert!(change.contains("model.lora.rank cannot change within a run"), "{change}");
}

#[test]
fn a_head_that_begins_new_is_not_frozen_beside_adapters() {
    let lab = Lab::in_memory(&small(ADAMW, "constant", EVERY_STEP));
    lab.start("first");
    let from = ["config.toml", "--init-from", "first", "--set", "train.new_weights=['4.*']"];
    let frozen = lab.train(&[&from[..], &["--set", "model.lora={rank=2}"]].concat()).refusal();
    let remedy = "train it as a whole with `model.lora.trained = [\"4.*\"]`";
    assert!(frozen.contains("`4.bias` begins new, and `model.lora` would freeze it") && frozen.contains(remedy));
    let whole = ["--set", "model.lora={rank=2, trained=['4.*']}", "--out", "tuned"];
    lab.train(&[&from[..], &whole].concat()).well();
    let (before, after) = (weights(&lab, "tuned", 0), weights(&lab, "tuned", 12));
    assert_ne!(values(&before["4.weight"]), values(&after["4.weight"]));
    assert_eq!(values(&before["0.weight"]), values(&after["0.weight"]));
    let untrained = lab.train(&["config.toml", "--set", "model.lora={rank=2}", "--out", "none"]).well().stderr;
    assert!(untrained.contains("`model.lora` adapts weights that nobody has trained"), "{untrained}");
}

/// The page is correct: its configuration trains, and its commands run one after the other.
#[test]
fn the_commands_of_the_page_run_one_after_the_other() {
    let page = include_str!("../../docs/fine-tuning.md");
    let blocks = |start: &str| -> Vec<&str> {
        page.split(start).skip(1).map(|block| block.split("```").next().unwrap()).collect()
    };
    let lab = gpt2("");
    fs::create_dir(lab.path("gpt2")).unwrap();
    save(&theirs(), lab.path("gpt2/model.safetensors"));
    fs::write(lab.path("notes.txt"), "abcdefghijkabacabadacab".repeat(10)).unwrap();
    let tables = blocks("```toml\n");
    // The same configuration for the small GPT-2, whose tokens are characters.
    let mut tune = tables[0].replace("tokenizer = \"gpt2/tokenizer.json\"\n", "");
    for (size, small) in [("layers = 12", "layers = 2"), ("heads = 12", "heads = 3"), ("width = 768", "width = 12")] {
        tune = tune.replace(size, small);
    }
    let tune =
        tune.replacen("context = 1024", "context = 7\ncache = \"cache\"", 1).replace("context = 1024", "context = 8");
    fs::write(lab.path("tune.toml"), &tune).unwrap();
    fs::write(lab.path("lora.toml"), format!("{tune}{}", tables[1])).unwrap();
    let commands = blocks("```console\n").concat();
    for line in commands.lines() {
        let words: Vec<&str> = line.strip_prefix("$ ").unwrap().split_whitespace().collect();
        let program = if words[0] == "train" { env!("CARGO_BIN_EXE_train") } else { env!("CARGO_BIN_EXE_inspect") };
        let mut command = Command::new(program);
        let output = command.args(&words[1..]).current_dir(lab.path("")).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(lab.path("merged.safetensors").is_file() && lab.path("adapter/adapter_config.json").is_file());
}
