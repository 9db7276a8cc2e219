//! An imported run continues as its own trainer continued it: rates, losses and weights of ten updates.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cases::{self, Case, numbers, tensors};
use candle_core::{Device, Tensor};
use rekindle::checkpoint::Checkpoint;
use rekindle::data::{Batch, DataError, Dataset, DatasetSpec, Fingerprint, Input, Source, Stateless, TargetKind};
use rekindle::peers::import::{Import, Imported};
use rekindle::state::HostTensor;
use rekindle::train::{Control, Setting, resume};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

/// The least that a configuration says. The optimizer, the schedule and the clipping come from the checkpoint.
const CONFIG: &str = r#"
[data]
path = "DATA"
batch_size = "all"

[model]
kind = "mlp"
hidden = [32]

[train]
steps = 20
"#;

/// Answers that some checkpoints do not hold: lines of the configuration, and values of `--set` where it decides.
const SAID: &[(&str, &str, &[&str])] = &[
    // A lambda is no part of PyTorch's file: `0.95 ** step`.
    ("torch/adamw_foreach_lambda", "schedule = 'exponential(0.95)'", &[]),
    // Four layers, of which two share a weight.
    ("torch/tied", "", &["model.hidden=[32, 32, 32]", "model.tied=[['4.weight', '2.weight']]"]),
    // Before 1.12, Adam and AdamW wrote the same file.
    ("torch-1.4/adamw_cosine", "optimizer = { kind = 'adamw' }", &[]),
    ("torch/bf16_adamw", "precision = 'bf16'", &[]),
    // Composer's schedule is a function: a warm-up of 4, then a cosine to a tenth at 30, one batch late.
    ("composer/decoupled_adamw_cosine", "schedule = 'late(1, warmup(4) -> cosine(26, eta_min=1e-3))'", &[]),
    // fastai's schedule is in no file: one cycle of 20 updates, with a momentum from 0.95 to 0.85 and back. Its file has
    // the last rate and the last momentum.
    (
        "fastai/adam_one_cycle",
        "",
        &[
            "optimizer.lr=0.01",
            "optimizer.betas=[0.85, 0.99]",
            "schedule=warmup(5) -> cosine(15, eta_min=1e-7)",
            "momentum_schedule=warmup(5) -> cosine(15, eta_min=0.95)",
        ],
    ),
    // This file's arguments lack `sched`.
    ("timm/adamw_cosine_warmup", "schedule = 'warmup(4, start_lr=1e-3) -> cosine(30, eta_min=1e-4)'", &[]),
    // The schedules and numbers of optax are functions, and so is the mask that leaves biases without decay.
    (
        "flax/sgd_cosine",
        "schedule = 'cosine(30, eta_min=5e-4)'\noptimizer = { lr = 0.05, momentum = 0.9, nesterov = false }",
        &[],
    ),
    (
        "flax/adam",
        "schedule = 'constant'\noptimizer = { lr = 0.01, betas = [0.9, 0.999], eps = 1e-8, weight_decay = 0.0 }",
        &[],
    ),
    (
        "flax/adam_clipped",
        "schedule = 'constant'\noptimizer = { lr = 0.01, betas = [0.9, 0.999], eps = 1e-8, weight_decay = 0.0 }",
        &["train.clip_norm=1.0", "train.clip_eps=0.0"],
    ),
    ("flax/amsgrad", "schedule = 'constant'\noptimizer = { lr = 0.01, betas = [0.9, 0.9], eps = 1e-8 }", &[]),
    (
        "flax/adamw_warmup_cosine",
        "schedule = 'warmup(4, start_lr=1e-3) -> cosine(26, eta_min=1e-4)'\noptimizer = { lr = 0.01, betas = [0.9, 0.999], eps = 1e-8, weight_decay = 0.1 }",
        &[],
    ),
    (
        "orbax/sgd_momentum_zarr",
        "schedule = 'step(5, gamma=0.5)'\noptimizer = { lr = 0.05, momentum = 0.9, nesterov = false }",
        &[],
    ),
    (
        "orbax/adamw_warmup_cosine",
        "schedule = 'warmup(4, start_lr=1e-3) -> cosine(26, eta_min=1e-4)'\noptimizer = { lr = 0.01, betas = [0.9, 0.999], eps = 1e-8, weight_decay = 0.1, decay = 'matrices' }",
        &[],
    ),
];

/// Cases that are refused, with what the message names.
const REFUSED: &[(&str, &str)] = &[("torch/whole_objects", "whole object")];

#[test]
fn every_peer_continues_as_its_own_trainer_did() {
    let mut faults = Vec::new();
    for case in cases::all().iter().filter(|case| case.name != "transformers/gpt2_tied") {
        let outcome = match REFUSED.iter().find(|(name, _)| *name == case.name) {
            Some((_, named)) => refused(case, named),
            None => continued(case),
        };
        if let Err(fault) = outcome {
            faults.push(format!("{}: {fault}", case.name));
        }
    }
    assert!(faults.is_empty(), "{} cases:\n{}", faults.len(), faults.join("\n"));
}

/// Two runs of the notebook, on its data: one update in each epoch. Their file has the rate after each epoch's step of
/// the scheduler, which is that of the next update.
#[test]
fn the_two_runs_of_the_notebook_continue_as_there() {
    let folder = cases::folder().join("torch_run");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/experiment.safetensors");
    let expected: Value = serde_json::from_str(&fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap();
    for run in expected["runs"].as_array().unwrap() {
        let path = folder.join(run["file"].as_str().unwrap());
        let (name, after) = (run["file"].to_string(), PathBuf::new());
        let case = Case { name, path, after, expected: run.clone() };
        let place = TempDir::new().unwrap();
        let imported = import_with(&case, place.path(), &data).unwrap_or_else(|message| panic!("{message}"));
        assert_eq!(imported.session().step(), run["saved_after_epoch"].as_u64().unwrap());
        let lines = log_of(&imported, &place.path().join("run")).unwrap();
        let epochs = run["continues"].as_array().unwrap();
        assert_eq!(lines.len(), epochs.len());
        for (line, epoch) in lines.iter().zip(epochs) {
            let number = epoch["epoch"].as_u64().unwrap();
            assert_eq!(line["step"], number - 1);
            close(&format!("loss of epoch {number} of {}", case.name), &line["loss"], &epoch["loss"], 1e-5).unwrap();
            let next = imported.session().scheduler().rates_at(number);
            close("rate", &next[0].into(), &epoch["lr"][0], 1e-12).unwrap();
            if let Some(following) = lines.iter().find(|line| line["step"] == number) {
                close("rate in the log", &following["lr"][0], &epoch["lr"][0], 1e-12).unwrap();
            }
        }
    }
}

/// A GPT-2 whose optimizer has ids in the order of registration, while its weights are sorted by name.
#[test]
fn a_gpt2_of_transformers_continues_as_there() {
    rekindle::data::register::<Tokens>("peer_tokens").unwrap();
    let case = cases::all().into_iter().find(|case| case.name == "transformers/gpt2_tied").unwrap();
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config.toml");
    let tokens = case.path.join("tokens.safetensors");
    fs::write(&config, GPT2.replace("DATA", tokens.to_str().unwrap())).unwrap();
    let import = Import { peer: case.path.clone(), config, ..Import::default() };
    let imported = import.run().unwrap_or_else(|error| panic!("{error}"));
    continue_and_compare(&case, &imported, folder.path()).unwrap();
}

const GPT2: &str = r#"
[data]
format = "peer_tokens"
path = "DATA"
batch_size = "all"

[model]
kind = "gpt"
layers = 2
heads = 2
width = 16
context = 16
activation = "gelu_tanh"

[train]
steps = 20
"#;

/// Rows of 16 tokens of 32, each to be told from those before it.
#[derive(Debug, Serialize, Deserialize)]
struct Tokens {}

struct Rows(Vec<Vec<u32>>, Fingerprint);

impl DatasetSpec for Tokens {
    fn open(&self, path: &Path) -> Result<Box<dyn Source>, DataError> {
        let file = tensors(path);
        let numbers: Vec<u32> = file["tokens"].bytes.chunks_exact(8).map(|bytes| u32::from(bytes[0])).collect();
        let print = Fingerprint::of(&file["tokens"].bytes);
        Ok(Box::new(Stateless(Rows(numbers.chunks_exact(16).map(<[u32]>::to_vec).collect(), print))))
    }
}

impl Dataset for Rows {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn input(&self) -> Input {
        Input::Tokens { context: 15, vocabulary: 32 }
    }
    fn targets(&self) -> TargetKind {
        TargetKind::Classes { count: 32 }
    }
    fn fingerprint(&self) -> &Fingerprint {
        &self.1
    }
    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let part = |from: usize| {
            let tokens: Vec<u32> = rows.iter().flat_map(|row| self.0[*row][from..from + 15].to_vec()).collect();
            Tensor::from_vec(tokens, (rows.len(), 15), &Device::Cpu)
        };
        Ok(Batch { inputs: part(0)?, targets: part(1)? })
    }
}

fn import(case: &Case, folder: &Path) -> Result<Imported, String> {
    import_with(case, folder, &cases::folder().join("data.safetensors"))
}

fn import_with(case: &Case, folder: &Path, data: &Path) -> Result<Imported, String> {
    let config = folder.join("config.toml");
    let said = SAID.iter().find(|(name, ..)| *name == case.name);
    let (lines, settings) = said.map_or(("", &[][..]), |(_, lines, settings)| (lines, settings));
    fs::write(&config, lines.to_owned() + &CONFIG.replace("DATA", data.to_str().unwrap())).unwrap();
    let settings: Vec<Setting> = settings.iter().map(|said| Setting::parse(said).unwrap()).collect();
    let import = Import { peer: case.path.clone(), config, settings: &settings, ..Import::default() };
    import.run().map_err(|error| error.to_string())
}

fn refused(case: &Case, named: &str) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    match import(case, folder.path()) {
        Ok(_) => Err("was imported".to_owned()),
        Err(message) if message.contains(named) => Ok(()),
        Err(message) => Err(format!("does not name {named}: {message}")),
    }
}

/// Imports, trains ten more updates as `train --resume` does, and compares.
fn continued(case: &Case) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let imported = import(case, folder.path())?;
    continue_and_compare(case, &imported, folder.path())
}

fn continue_and_compare(case: &Case, imported: &Imported, folder: &Path) -> Result<(), String> {
    let run = folder.join("run");
    let lines = log_of(imported, &run)?;
    compare_lines(case, &lines)?;
    let last = Checkpoint::read(&run.join("checkpoints/step-0000000020")).map_err(|error| error.to_string())?;
    compare_weights(case, &last.state("model").unwrap().tensors)
}

/// Trains an imported run to its end in its directory, and returns its log.
fn log_of(imported: &Imported, run: &Path) -> Result<Vec<Value>, String> {
    imported.save(run).map_err(|error| error.to_string())?;
    let resumed = resume::resume(run, resume::ResumeOptions::default(), Control::new());
    resumed
        .map_err(|error| format!("resume: {error}"))?
        .run
        .train(&mut ())
        .map_err(|error| format!("train: {error}"))?;
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    Ok(log.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn compare_lines(case: &Case, lines: &[Value]) -> Result<(), String> {
    let expected = case.expected["continues"].as_array().unwrap();
    if lines.len() != expected.len() {
        return Err(format!("{} updates in place of {}", lines.len(), expected.len()));
    }
    // fastai computes the place in a cycle in f32.
    let in_f32 =
        ["keras/", "orbax/", "flax/", "fastai/", "torch/tensor_lr"].iter().any(|start| case.name.starts_with(start));
    let of_rates = if in_f32 { 1e-6 } else { 1e-12 };
    let of_losses = match case.name.as_str() {
        "torch/bf16_adamw" => 0.05,
        // Their corrections are computed in f32, which alone is worth 1e-5 after ten updates.
        name if name.starts_with("flax/a") || name.starts_with("orbax/a") => 2e-6,
        _ => 1e-5,
    };
    for (line, expected) in lines.iter().zip(expected) {
        let update = &expected["update"];
        if line["step"] != *update {
            return Err(format!("update {} in place of {update}", line["step"]));
        }
        for (group, rate) in expected["lr"].as_array().unwrap().iter().enumerate() {
            close(&format!("rate of group {group} in update {update}"), &line["lr"][group], rate, of_rates)?;
        }
        close(&format!("loss of update {update}"), &line["loss"], &expected["loss"], of_losses)?;
    }
    Ok(())
}

fn close(what: &str, ours: &Value, theirs: &Value, tolerance: f64) -> Result<(), String> {
    let (ours, theirs) = (ours.as_f64().unwrap_or(f64::NAN), theirs.as_f64().unwrap());
    let is_close = (ours - theirs).abs() <= tolerance * theirs.abs();
    if is_close { Ok(()) } else { Err(format!("{what} is {ours} in place of {theirs}")) }
}

/// Compares weights, each within 1e-4 of the largest of its tensor.
fn compare_weights(case: &Case, ours: &BTreeMap<String, HostTensor>) -> Result<(), String> {
    let theirs = tensors(&case.after);
    let tolerance = if case.name == "torch/bf16_adamw" { 0.05 } else { 1e-4 };
    for (name, own) in ours {
        let expected = theirs_of(name, own, &theirs).ok_or_else(|| format!("no weights after for `{name}`"))?;
        let largest = expected.iter().fold(1e-3, |largest: f64, number| largest.max(number.abs()));
        // A bias of the keys moves no attention weight, so its gradient is rounding alone, which Adam makes large.
        let length = expected.len();
        let keys = if name.ends_with("attn.c_attn.bias") { length / 3..2 * length / 3 } else { 0..0 };
        let own = numbers(own);
        let off = own.iter().zip(&expected).map(|(a, b)| (a - b).abs()).enumerate();
        let off = off.filter(|(place, _)| !keys.contains(place)).map(|(_, off)| off).fold(0.0, f64::max);
        if off > tolerance * largest {
            return Err(format!("`{name}` is off by {off} after ten updates, where the largest number is {largest}"));
        }
    }
    Ok(())
}

/// Returns the peer's tensor: of that name, behind a prefix, or the only one of its shape, turned if need be.
fn theirs_of(name: &str, own: &HostTensor, theirs: &BTreeMap<String, HostTensor>) -> Option<Vec<f64>> {
    let named = theirs.iter().find(|(other, _)| *other == name || other.ends_with(&format!(".{name}")));
    let turned: Vec<usize> = own.shape.iter().rev().copied().collect();
    let found = named.map(|(_, tensor)| tensor).filter(|tensor| tensor.shape == own.shape);
    let of_shape = |shape: &[usize]| theirs.values().find(|tensor| tensor.shape == shape);
    if let Some(found) = found.or_else(|| of_shape(&own.shape)) {
        return Some(numbers(found));
    }
    let found = numbers(of_shape(&turned)?);
    let [rows, columns] = own.shape[..] else { return None };
    Some((0..rows * columns).map(|place| found[place % columns * rows + place / columns]).collect())
}

/// Averages of the weights in the file continue in `[ema]`, if the run has one; otherwise they are left.
#[test]
fn averages_in_the_file_continue_in_the_average_of_the_run() {
    let case = cases::all().into_iter().find(|case| case.name == "torch/averaged").unwrap();
    let imported = |more: &str| {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("config.toml");
        let data = cases::folder().join("data.safetensors");
        fs::write(&config, CONFIG.replace("DATA", data.to_str().unwrap()) + more).unwrap();
        let imported = Import { peer: case.path.clone(), config, ..Import::default() }.run().unwrap();
        let checkpoint = Checkpoint::read(&imported.save(&folder.path().join("run")).unwrap()).unwrap();
        (imported.account().clone(), checkpoint)
    };
    let (account, checkpoint) = imported("\n[ema]\ndecay = 0.9\n");
    assert!(account.taken.iter().any(|line| line == "4 averages of weights, as those of `[ema]`"), "{account:?}");
    assert!(account.left.iter().all(|line| !line.contains("averages")), "{account:?}");
    let (model, average) = (checkpoint.state("model").unwrap(), checkpoint.state("components.ema").unwrap());
    assert_eq!(average.json, serde_json::json!({"begun": true, "updates": checkpoint.step()}));
    assert!(model.tensors.keys().eq(average.tensors.keys()));
    assert!(model.tensors.iter().all(|(name, weight)| average.tensors[name].bytes != weight.bytes));
    let (account, checkpoint) = imported("");
    assert!(account.left.iter().any(|line| line.contains("4 averages of weights at")), "{account:?}");
    assert!(checkpoint.state("components.ema").is_none());
}
