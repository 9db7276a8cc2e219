//! Each thing that an import refuses, with what its message says, and what decides it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cases::{self, checkpoint};
use rekindle::peers::import::{Import, Imported};
use rekindle::train::Setting;
use tempfile::TempDir;

/// An import in a new folder.
struct Lab {
    folder: TempDir,
    peer: PathBuf,
    hidden: usize,
    steps: u64,
    lines: String,
    train: String,
    settings: Vec<Setting>,
    names: Option<String>,
    updates: Option<u64>,
}

impl Lab {
    fn of(case: &str) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            peer: checkpoint(case),
            hidden: 32,
            steps: 20,
            lines: String::new(),
            train: String::new(),
            settings: Vec::new(),
            names: None,
            updates: None,
        }
    }

    /// Adds lines at the start of the configuration.
    fn says(mut self, lines: &str) -> Self {
        self.lines += lines;
        self.lines += "\n";
        self
    }

    fn set(mut self, setting: &str) -> Self {
        self.settings.push(Setting::parse(setting).unwrap());
        self
    }

    fn run(&self) -> Result<Imported, String> {
        let (config, names) = (self.folder.path().join("config.toml"), self.folder.path().join("names.txt"));
        let (data, hidden, steps) = (cases::folder().join("data.safetensors"), self.hidden, self.steps);
        let (lines, train) = (&self.lines, &self.train);
        let text = format!(
            "{lines}\n[data]\npath = {data:?}\nbatch_size = \"all\"\n[model]\nkind = \"mlp\"\nhidden = [{hidden}]\n\
             [train]\nsteps = {steps}\n{train}\n"
        );
        fs::write(&config, text).unwrap();
        let param_names = self.names.as_ref().map(|text| {
            fs::write(&names, text).unwrap();
            names
        });
        let (peer, settings, updates) = (self.peer.clone(), &self.settings[..], self.updates);
        Import { peer, config, settings, param_names, updates }.run().map_err(|error| error.to_string())
    }

    #[track_caller]
    fn is_refused(&self, parts: &[&str]) {
        let message = self.run().err().expect("the import succeeds");
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }

    #[track_caller]
    fn is_imported(&self) -> Imported {
        self.run().unwrap_or_else(|message| panic!("{message}"))
    }
}

const SGD: &str = "torch/sgd_nesterov_cosine";

#[test]
fn a_setting_that_differs_is_refused_with_both_values_until_set_decides() {
    let other = || Lab::of(SGD).says("optimizer = { kind = \"sgd\", lr = 0.1 }");
    other().is_refused(&["optimizer.lr is 0.05", "and 0.1 in the configuration", "--set optimizer.lr=…"]);
    let session = other().set("optimizer.lr=0.1").is_imported();
    assert_eq!(session.session().base_lrs(), [0.1]);
    let kind = Lab::of(SGD).says("optimizer = { kind = \"adamw\", lr = 0.05 }");
    kind.is_refused(&["optimizer.kind is \"sgd\" for `0.bias`", "\"adamw\" in the configuration"]);
}

#[test]
fn what_the_configuration_leaves_out_is_the_checkpoints() {
    let agrees = Lab::of(SGD).says("optimizer = { kind = \"sgd\", lr = 0.05 }").is_imported();
    let table = serde_json::to_value(&agrees.session().config().optimizer).unwrap();
    assert_eq!((&table["momentum"], &table["nesterov"]), (&0.9.into(), &true.into()));
    assert_eq!(agrees.session().step(), 10);
}

#[test]
fn another_schedule_is_refused_with_both_and_the_same_in_other_words_is_not() {
    let cosine = |t_max: u64| Lab::of(SGD).says(&format!("schedule = \"cosine({t_max}, eta_min=1e-4)\""));
    cosine(40).is_refused(&["schedule is cosine(30", "cosine(40", "of update"]);
    cosine(30).is_imported();
    cosine(40).set("schedule=cosine(40)").is_imported();
}

#[test]
fn a_schedule_that_no_file_holds_is_asked_for() {
    Lab::of("torch/adamw_foreach_lambda").is_refused(&["schedule", "give `schedule` in the configuration"]);
    Lab::of("torch/adamw_foreach_lambda").says("schedule = \"exponential(0.95)\"").is_imported();
    let other = Lab::of("torch/adamw_foreach_lambda").says("schedule = \"exponential(0.9)\"");
    other.is_refused(&["a rate of 0.00598", "for update 10", "exponential(0.9)"]);
}

#[test]
fn clipping_that_differs_is_refused_with_both_values_until_set_decides() {
    let case = || Lab { train: "clip_norm = 0.5".to_owned(), ..Lab::of("transformers/sgd_cosine") };
    case().is_refused(&["train.clip_norm is 1", "and 0.5 in the configuration"]);
    let imported = case().set("train.clip_norm=0.5").is_imported();
    assert_eq!(imported.session().config().train.clip_norm, Some(0.5));
    let taken = Lab::of("transformers/sgd_cosine").is_imported();
    assert_eq!(taken.session().config().train.clip_norm, Some(1.0));
}

#[test]
fn a_model_of_another_size_is_refused_with_both_shapes() {
    Lab { hidden: 16, ..Lab::of(SGD) }.is_refused(&["tensor `0.", "is [32", "is [16", "`model`"]);
}

#[test]
fn names_by_hand_decide_and_must_fit() {
    let with = |lines: &str| Lab { names: Some(lines.to_owned()), ..Lab::of("torch/own_order") };
    let lines = "hidden.weight = 0.weight\nhidden.bias = 0.bias\nout.weight = 2.weight\nout.bias = 2.bias\n";
    with(lines).is_imported();
    let crossed = "hidden.weight = 2.weight\nout.weight = 0.weight\nhidden.bias = 0.bias\nout.bias = 2.bias";
    with(crossed).is_refused(&["tensor `", "[32, 10]", "of the model here is", "[1, 32]"]);
    with("hidden.weight = 9.weight").is_refused(&["the model has no `9.weight`", "0.bias, 0.weight, 2.bias, 2.weight"]);
    with("hidden.weight").is_refused(&["names.txt, line 1", "`peer name = our name`"]);
}

#[test]
fn a_run_that_is_shorter_than_its_part_is_refused() {
    Lab { steps: 5, ..Lab::of(SGD) }.is_refused(&["5 steps", "has 10 already"]);
}

#[test]
fn weights_alone_and_nothing_are_refused() {
    let weights = Lab { peer: cases::folder().join("start.safetensors"), ..Lab::of(SGD) };
    weights.is_refused(&["start.safetensors", "weights alone", "train.initial_weights"]);
    Lab { peer: Path::new("nowhere.pt").to_owned(), ..Lab::of(SGD) }.is_refused(&["nowhere.pt", "No such file"]);
}

#[test]
fn content_that_was_changed_is_told_by_its_sum() {
    let mut lab = Lab::of("torch/nadam");
    let mut bytes = fs::read(&lab.peer).unwrap();
    let name = bytes.windows(6).position(|window| window == b"data/0").unwrap();
    // The content begins at the next multiple of 64.
    bytes[(name + 6).next_multiple_of(64) + 100] ^= 1;
    lab.peer = lab.folder.path().join("changed.pt");
    fs::write(&lab.peer, bytes).unwrap();
    lab.is_refused(&["changed.pt", "data/0 was changed", "its sum is another"]);
}

#[test]
fn weights_of_a_run_that_diverged_are_refused() {
    let mut lab = Lab::of("transformers/sgd_cosine");
    let copy = lab.folder.path().join("checkpoint-10");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&lab.peer).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let weights = copy.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, bytes).unwrap();
    lab.peer = copy;
    lab.is_refused(&["is NaN", "diverged", "take an earlier checkpoint"]);
}

#[test]
fn a_setting_that_no_optimizer_can_have_is_blamed_on_the_checkpoint() {
    // This format has no sums.
    let mut lab = Lab::of("torch-1.4/adamw_cosine").says("optimizer = { kind = \"adamw\" }");
    let mut bytes = fs::read(&lab.peer).unwrap();
    let (eps, wrong) = (1e-8_f64.to_be_bytes(), (-1e-8_f64).to_be_bytes());
    let place = bytes.windows(8).position(|window| window == eps).unwrap();
    bytes[place..place + 8].copy_from_slice(&wrong);
    lab.peer = lab.folder.path().join("wrong.pt");
    fs::write(&lab.peer, bytes).unwrap();
    lab.is_refused(&["wrong.pt: optimizer.eps", "the checkpoint has it so", "--set optimizer.eps=…"]);
    lab.set("optimizer.eps=1e-8").is_imported();
}

#[test]
fn a_number_of_updates_that_no_counter_agrees_with_is_refused() {
    Lab { updates: Some(7), ..Lab::of("torch/named_parameters") }.is_refused(&[
        "updates",
        "has made 10",
        "--updates N",
    ]);
}

#[test]
fn a_folder_with_a_run_is_not_written_to() {
    let lab = Lab::of(SGD);
    let (imported, out) = (lab.is_imported(), lab.folder.path().join("out"));
    imported.save(&out).unwrap();
    let message = imported.save(&out).unwrap_err().to_string();
    assert!(message.contains("already holds a run: continue it with `train --resume "), "{message}");
}

/// NAdam of optax has the states of its Adam, so that a person says it, with settings that Adam has not.
#[test]
fn a_rule_that_set_decides_has_its_own_settings_and_must_have_the_states() {
    let rate = "schedule = 'constant'";
    let nadam = "optimizer = { kind = 'nadam', lr = 0.01, momentum_decay = 1e6 }";
    Lab::of("flax/adam").says(rate).says(nadam).set("optimizer.kind=nadam").is_imported();
    let sgd = Lab::of("flax/adam").says(rate).says("optimizer = { kind = 'sgd', lr = 0.01 }");
    sgd.set("optimizer.kind=sgd").is_refused(&["exp_avg"]);
}
