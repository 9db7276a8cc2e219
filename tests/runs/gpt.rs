//! A GPT in a run: weights written by Hugging Face's programs, and unsuitable data.

use std::fs;

use crate::common::{Lab, checkpoint};

/// Eleven characters, as many as the small GPT-2 in `tests/data` has tokens.
const TEXT: &str = "abcdefghijk abacabadacab";

fn lab(model: &str) -> Lab {
    let data = "path = \"a.txt\"\nformat = \"text\"\ncontext = 7\nbatch_size = 2\ncache = \"cache\"";
    let optimizer = "kind = \"adamw\"\nlr = 1e-3";
    let lab =
        Lab::new(&format!("train = {{ steps = 2 }}\n[data]\n{data}\n[model]\n{model}\n[optimizer]\n{optimizer}\n"));
    fs::write(lab.path("a.txt"), TEXT.replace(' ', "")).unwrap();
    lab
}

const GPT2: &str = "kind = \"gpt\"\nlayers = 2\nheads = 3\nwidth = 12\ncontext = 8\nactivation = \"gelu_tanh\"";

fn tensors(path: &std::path::Path) -> std::collections::HashMap<String, Vec<f32>> {
    let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
    let values = |tensor: candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let floats = tensors.into_iter().filter(|(_, tensor)| tensor.dtype() == candle_core::DType::F32);
    floats.map(|(name, tensor)| (name, values(tensor))).collect()
}

#[test]
fn a_run_begins_with_the_weights_that_hugging_face_saved_and_saves_them_by_the_same_names() {
    let lab = lab(GPT2);
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2.safetensors");
    let weights = format!("train.initial_weights={file:?}");
    let refusal = lab.train(&["config.toml", "--out", "run", "--set", &weights]).refusal();
    let expected = "has 2 tensors that the model has no place for: `logits`, `tokens`; change `model` to theirs, or set \
                    `train.unused_weights = \"ignore\"` to drop them";
    assert!(refusal.contains(expected), "{refusal}");
    let ignored = "train.unused_weights=ignore";
    let run = lab.train(&["config.toml", "--out", "run", "--set", &weights, "--set", ignored]).well();
    let shown = format!("{}{}", run.stdout, run.stderr);
    assert!(shown.contains("the model has no place for 2 of its tensors, dropped: `logits`, `tokens`"), "{shown}");
    let (mut theirs, ours) = (tensors(&file), tensors(&checkpoint(&lab.path("run"), 0).join("model.safetensors")));
    theirs.remove("logits");
    assert!(ours == theirs, "the first checkpoint is not what the run began with");
}

#[test]
fn weights_of_another_shape_are_refused_with_both() {
    let lab = lab(&GPT2.replace("width = 12", "width = 24"));
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2.safetensors");
    let refusal = lab.train(&["config.toml", "--set", &format!("train.initial_weights={file:?}")]).refusal();
    assert!(refusal.contains("F32[36]") && refusal.contains("F32[72]"), "{refusal}");
    assert!(refusal.contains("; give weights of this model, or change `model` to theirs"), "{refusal}");
}

#[test]
fn a_model_and_data_that_do_not_fit_are_refused_before_the_first_step_with_both_sides() {
    let lab = lab(GPT2);
    let refusal = |settings: &[&str]| {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = ["config.toml", "--out", "run"].into_iter().chain(settings).collect();
        let refusal = lab.train(&arguments).refusal();
        assert!(!lab.path("run").exists(), "{refusal}");
        refusal
    };
    let long = refusal(&["data.context=9"]);
    assert!(long.contains("model.context = 8: is less than the 9 tokens of a row of the data"), "{long}");
    let heads = refusal(&["model.heads=5"]);
    assert!(heads.contains("model.heads = 5: must divide the width, 12"), "{heads}");
    let odd = refusal(&["model.heads=4", "model.positions=rotary"]);
    assert!(odd.contains("model.heads = 4: rotary positions turn pairs of numbers, and a head has 3"), "{odd}");
    let table = refusal(&["data={path='data.csv'}"]);
    assert!(table.contains("a gpt takes rows of tokens, and a row of the data is numbers of shape [3]"), "{table}");
}

/// Changes on a resume: the way activations are kept changes no bit, also where parts of a block are dropped.
#[test]
fn whether_activations_are_kept_can_change_on_a_resume() {
    let weights = |lab: &Lab, run| fs::read(checkpoint(&lab.path(run), 3).join("model.safetensors")).unwrap();
    let last = ["", "\ndropout = 0.1\nstochastic_depth = 0.6"].map(|dropping| {
        let lab = lab(&format!("{GPT2}{dropping}"));
        lab.train(&["config.toml", "--out", "run", "--set", "train.steps=1"]).well();
        let more = ["--resume", "run", "--set", "train.steps=3", "--set", "model.checkpoint_activations=true"];
        lab.train(&more).well();
        lab.train(&["config.toml", "--out", "whole", "--set", "train.steps=3"]).well();
        assert!(weights(&lab, "run") == weights(&lab, "whole"), "{dropping}");
        weights(&lab, "run")
    });
    assert!(last[0] != last[1]);
}
