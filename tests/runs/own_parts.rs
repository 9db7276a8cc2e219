//! A user-defined model, data set, loss and metric in the loop of `train`: `examples/own_model.rs` and
//! `examples/own_loss.rs`, killed and run again, produce the same bits; kinds that are not registered are refused by
//! name.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Ended, steps};
use crate::examples::assert_kills_change_nothing_in;
use candle_core::{Device, Tensor};
use rekindle::checkpoint::Checkpoint;
use rekindle::data::{self, Batch, DataError, Dataset, DatasetSpec, Fingerprint, Input, Source, Stateless, TargetKind};
use rekindle::metric::{self, Mean, Metric, Tally};
use rekindle::model::{self, Mode, Model, ModelError, ModelSpec, linear_default};
use rekindle::parameters::Parameters;
use rekindle::state::{State, StateError, Stateful};
use rekindle::train::{Config, Control, Run, Session, from_file, resume};
use rekindle::trained::{EvaluationRows, Trained};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

#[test]
fn a_user_defined_model_and_data_set_are_resumed_to_the_bit() {
    let folder = assert_kills_change_nothing_in("own_model");
    let run = folder.path().join("whole");
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 400);
    let last: Value = serde_json::from_str(log.lines().rfind(|line| line.contains("val_accuracy")).unwrap()).unwrap();
    assert!(last["val_accuracy"].as_f64().unwrap() > 0.9, "{last}");

    // A program that passes such a model again can use the trained weights.
    let checkpoint = Checkpoint::read(&run.join("checkpoints/step-0000000400")).unwrap();
    let trained = Trained::with_model(&checkpoint, sine(), &[]).unwrap();
    let points = Tensor::new(&[[0.5_f32, 0.5], [0.02, 0.97]], &Device::Cpu).unwrap();
    let classes = trained.outputs(&points).unwrap().argmax(1).unwrap().to_vec1::<u32>().unwrap();
    assert_eq!(classes, [1, 0], "in the middle of the disk, and in a corner");
    let other = Trained::with_model(&checkpoint, ScaledModel::zeros(), &[]).err().unwrap().to_string();
    assert!(other.contains("the part `model` does not fit the checkpoint"), "{other}");
    let without = Trained::from_checkpoint(&checkpoint, &[]).err().unwrap().to_string();
    assert!(without.contains("model.kind = custom"), "{without}");

    // The configuration names what it does not contain, and `train --resume` says which program has it.
    let config: Value = toml::from_str(&fs::read_to_string(run.join("config.toml")).unwrap()).unwrap();
    assert_eq!((&config["model"]["kind"], &config["data"]["format"]), (&json!("custom"), &json!("custom")));
    assert!(config["data"].get("path").is_none(), "{config}");
    let message = resume::resume(&run, resume::ResumeOptions::default(), Control::new()).err().unwrap().to_string();
    assert!(message.contains("data.format = custom") && message.contains("Session::builder"), "{message}");
}

#[test]
fn a_user_defined_loss_and_metric_are_resumed_to_the_bit_and_followed() {
    let folder = assert_kills_change_nothing_in("own_loss");
    let run = folder.path().join("whole");
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let validated: Vec<&Value> = lines.iter().filter(|line| line.get("val_loss").is_some()).collect();
    assert_eq!(validated.len(), 20);
    let confidence = |line: &Value| line["validation_confidence"].as_f64().unwrap();
    assert!(confidence(validated[19]) > confidence(validated[0]) && confidence(validated[19]) > 0.7);
    // The plateau uses it: it hardly grows by a tenth in two epochs at the end.
    assert!(lines.last().unwrap()["lr"][0].as_f64().unwrap() < 3e-3);
    let checkpoint = Checkpoint::read(&run.join("checkpoints/step-0000000300")).unwrap();
    assert_eq!(checkpoint.field("metrics").unwrap()["validation_confidence"], validated[19]["validation_confidence"]);

    let message = resume::resume(&run, resume::ResumeOptions::default(), Control::new()).err().unwrap().to_string();
    for part in ["checkpoint.keep.metric: `validation_confidence` is unknown", "rekindle::metric::register"] {
        assert!(message.contains(part), "{message}");
    }
    assert_shown_by_a_program_that_does_not_know_the_metric(&folder, validated[19]);
}

/// The model of `examples/own_model.rs`, with other weights.
struct Sine([Tensor; 2], Parameters);

impl Model for Sine {
    fn forward(&self, inputs: &Tensor, _: Mode<'_>) -> candle_core::Result<Tensor> {
        let hidden = (inputs * 8.0)?.matmul(&self.0[0].t()?)?.sin()?;
        hidden.matmul(&self.0[1].t()?)
    }

    fn parameters(&self) -> &Parameters {
        &self.1
    }
}

fn sine() -> Sine {
    let mut parameters = Parameters::new();
    let weights = [("in", (32, 2)), ("out", (2, 32))].map(|(name, shape)| {
        let weight = linear_default(name, shape, shape.1, 99, &Device::Cpu).unwrap();
        parameters.insert(name, weight.clone());
        weight.as_tensor().clone()
    });
    Sine(weights, parameters)
}

/// `inspect` shows the run, names the metric, and judges nothing by it.
#[track_caller]
fn assert_shown_by_a_program_that_does_not_know_the_metric(folder: &TempDir, last: &Value) {
    let inspect = |arguments: &[&str]| -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inspect"));
        command.args(arguments).current_dir(folder.path()).output().unwrap().into()
    };
    let shown: Value = serde_json::from_str(&inspect(&["whole", "--json"]).well().stdout).unwrap();
    assert_eq!(shown["measured"]["validation"]["metrics"]["validation_confidence"], last["validation_confidence"]);
    assert_eq!(shown["kept"]["rules"], json!({"last": 40, "best": 3, "metric": "validation_confidence"}));
    assert_eq!(
        (&shown["kept"]["unknown_metric"], &shown["kept"]["best"]),
        (&json!("validation_confidence"), &json!(null))
    );
    let text = inspect(&["whole"]).well().stdout;
    let value = format!("validation_confidence {:.4}", last["validation_confidence"].as_f64().unwrap());
    assert!(text.contains(&value), "{value}: {text}");
    for part in ["best        unknown here: validation_confidence is registered by", "best=3 last=40 metric="] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(inspect(&["."]).well().stdout.contains("300 of 300"));
    inspect(&["verify", "whole"]).well();
    // Without its rules nothing is deleted, and with others all is as ever.
    let refusal = inspect(&["prune", "whole"]).refusal();
    assert!(refusal.contains("checkpoint.keep.metric = validation_confidence: is registered by"), "{refusal}");
    assert_eq!(steps(&folder.path().join("whole")).len(), 40);
    assert!(inspect(&["prune", "whole", "--last", "3", "--dry-run"]).well().stdout.contains("would be deleted"));
    let message = rekindle::train::best_at(&folder.path().join("whole")).err().unwrap().to_string();
    assert!(message.contains("has its best checkpoint by `validation_confidence`"), "{message}");
}

/// A linear model whose outputs are scaled.
#[derive(Debug, Serialize, Deserialize)]
struct Scaled {
    scale: f64,
    #[serde(default)]
    inner: usize,
}

struct ScaledModel(f64, Tensor, Parameters);

impl ScaledModel {
    fn zeros() -> Self {
        let mut parameters = Parameters::new();
        let weight = linear_default("weight", (2, 2), 2, 0, &Device::Cpu).unwrap();
        parameters.insert("weight", weight.clone());
        Self(0.0, weight.as_tensor().clone(), parameters)
    }
}

impl ModelSpec for Scaled {
    fn validate(&self) -> Result<(), ModelError> {
        if self.scale > 0.0 { Ok(()) } else { Err(ModelError::field("scale", self.scale, "must be above 0")) }
    }

    fn build(&self, input: &Input, outputs: usize, seed: u64, device: &Device) -> Result<Box<dyn Model>, ModelError> {
        let (inputs, mut parameters) = (input.numbers(), Parameters::new());
        let weight = linear_default("weight", (inputs, outputs), inputs, seed, device)?;
        parameters.insert("weight", weight.clone());
        Ok(Box::new(ScaledModel(self.scale, weight.as_tensor().clone(), parameters)))
    }

    fn resumable(&self) -> &'static [&'static str] {
        &["scale"]
    }
}

impl Model for ScaledModel {
    fn forward(&self, inputs: &Tensor, _: Mode<'_>) -> candle_core::Result<Tensor> {
        inputs.matmul(&self.1)? * self.0
    }

    fn parameters(&self) -> &Parameters {
        &self.2
    }
}

/// Numbers and whether they are odd; their count is saved.
#[derive(Debug, Serialize, Deserialize)]
struct Parity {
    rows: usize,
}

#[derive(Debug)]
struct Numbers(usize, Fingerprint);

impl DatasetSpec for Parity {
    fn validate(&self) -> Result<(), DataError> {
        if self.rows > 0 { Ok(()) } else { Err(DataError::setting("rows", 0, "must be at least 1")) }
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Source>, DataError> {
        assert!(path.as_os_str().is_empty());
        Ok(Box::new(Numbers(self.rows, Fingerprint::of(b"parity"))))
    }
}

impl Dataset for Numbers {
    fn len(&self) -> usize {
        self.0
    }

    fn input(&self) -> Input {
        Input::Numbers(vec![2])
    }

    fn targets(&self) -> TargetKind {
        TargetKind::Classes { count: 2 }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.1
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let numbers: Vec<f32> = rows.iter().flat_map(|&row| [(row % 2) as f32, row as f32 / 100.0]).collect();
        let odd: Vec<u32> = rows.iter().map(|&row| (row % 2) as u32).collect();
        let inputs = Tensor::from_vec(numbers, (rows.len(), 2), &Device::Cpu)?;
        Ok(Batch { inputs, targets: Tensor::from_vec(odd, rows.len(), &Device::Cpu)? })
    }
}

impl Stateful for Numbers {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(json!({"rows": self.0})))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        match state.json["rows"] == json!(self.0) {
            true => Ok(()),
            false => Err(StateError::Malformed("other rows".to_owned())),
        }
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)
    }
}

const OWN: &str = "[data]\nformat = 'parity'\nrows = 60\nvalidation = 0.25\n[model]\nkind = 'scaled'\nscale = 0.5\n\
                   [optimizer]\nkind = 'sgd'\nlr = 0.1\n[train]\nepochs = 3\n";

/// The mean of the squared outputs.
#[derive(Debug, Serialize, Deserialize)]
struct Spread {}

impl Metric for Spread {
    fn more_is_better() -> bool {
        true
    }

    fn tally(&self) -> Box<dyn Tally> {
        Box::new(Mean::of(|outputs: &Tensor, _: &Tensor| outputs.sqr()))
    }
}

#[test]
fn a_registered_metric_decides_which_checkpoints_stay() {
    let name = metric::register::<Spread>("loss").unwrap_err().to_string();
    assert_eq!(name, "there is a figure called `loss` already; take another name");
    metric::register::<Spread>("spread").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, run) = (folder.path().join("a.toml"), folder.path().join("run"));
    let text = "data = { path = 'rows.csv', validation = 0.25 }\nmodel = { kind = 'mlp' }\ntrain = { epochs = 6 }\n\
                optimizer = { kind = 'sgd', lr = 0.1 }\n[validation]\nevery = '1 epoch'\nmetrics = ['spread']\n\
                [checkpoint]\nkeep = { last = 1, best = 1, metric = 'validation_spread' }\n";
    let rows: String = (0..40).map(|row| format!("{},{},{}\n", row, row * row % 7, row % 2)).collect();
    fs::write(folder.path().join("rows.csv"), format!("a,b,label\n{rows}")).unwrap();
    fs::write(&file, text.replace("metrics = ['spread']", "")).unwrap();
    let message = from_file(&file, &[]).unwrap_err().to_string();
    assert!(
        message.contains("checkpoint.keep.metric = validation_spread: is not computed; add \"spread\""),
        "{message}"
    );
    fs::write(&file, text).unwrap();
    Run::start(from_file(&file, &[]).unwrap(), &run, Control::new()).unwrap().train(&mut ()).unwrap();
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let spreads = lines.filter_map(|line| Some((line["step"].as_u64()? + 1, line["validation_spread"].as_f64()?)));
    let mut spreads: Vec<(u64, f64)> = spreads.collect();
    assert_eq!(spreads.len(), 6);
    spreads.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (best, _) = rekindle::train::best_at(&run).unwrap();
    assert_eq!(best.step(), spreads[0].0);
    let kept = fs::read_dir(run.join("checkpoints")).unwrap().count();
    assert_eq!(kept, if best.step() == 6 { 1 } else { 2 });
}

/// Names are global in a program, so one test has all that use them.
#[test]
fn registered_kinds_are_read_checked_saved_and_brought_back_like_those_of_the_catalogue() {
    model::register::<Scaled>("scaled").unwrap();
    data::register::<Parity>("parity").unwrap();
    let taken = model::register::<Scaled>("mlp").unwrap_err().to_string();
    assert_eq!(taken, "there is a model called `mlp` already; take another name");
    assert!(model::register::<Scaled>("other").unwrap_err().to_string().contains("registered already, as `scaled`"));
    assert!(data::register::<Parity>("csv").unwrap_err().to_string().contains("a format called `csv`"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let read = |text: &str| {
        fs::write(&file, text).unwrap();
        from_file(&file, &[])
    };
    let refused = |from: &str, to: &str| read(&OWN.replace(from, to)).unwrap_err().to_string();
    let faults = [
        ("scale = 0.5", "scael = 0.5", "line 7: model.scael: `scael` is unknown; did you mean `scale`?"),
        ("scale = 0.5", "scale = 'x'", "line 7: model.scale: must be a number, not \"x\""),
        ("scale = 0.5", "scale = 0.0", "line 7: model.scale = 0: must be above 0"),
        ("scale = 0.5\n", "", "model: `scale` is missing"),
        ("'scaled'", "'scald'", "line 6: model.kind: `scald` is unknown; did you mean `scaled`?"),
        ("rows = 60", "row = 60", "data.row: `row` is unknown; did you mean `rows`?"),
        ("rows = 60", "rows = 0", "data.rows = 0: must be at least 1"),
        ("'parity'", "'pairty'", "line 2: data.format: `pairty` is unknown"),
    ];
    for (from, to, message) in faults {
        let told = refused(from, to);
        assert!(told.contains(message), "{told}");
    }

    let run = folder.path().join("run");
    let config = read(OWN).unwrap();
    let mut resumed = Session::builder(config.clone()).run_in(&run, Control::new()).unwrap();
    resumed.run.train(&mut ()).unwrap();
    drop(resumed);
    let path = run.join("checkpoints/step-0000000006");
    let checkpoint = Checkpoint::read(&path).unwrap();
    assert_eq!(checkpoint.field("config").unwrap()["model"], json!({"kind": "scaled", "scale": 0.5, "inner": 0}));
    assert_eq!(checkpoint.field("config").unwrap()["data"]["rows"], 60);
    assert_eq!(checkpoint.state("dataset").unwrap().json, json!({"rows": 60}));

    // Only the settings that the model declares can change.
    let set = |setting: &str| {
        let settings = [rekindle::train::Setting::parse(setting).unwrap()];
        let choices = resume::ResumeOptions { settings: &settings, ..resume::ResumeOptions::default() };
        resume::resume(&run, choices, Control::new())
    };
    assert!(set("model.inner=3").err().unwrap().to_string().contains("model.inner cannot change within a run"));
    assert!(set("data.rows=50").err().unwrap().to_string().contains("data.rows cannot change within a run"));
    let changed = set("model.scale=0.25").unwrap();
    assert!(changed.messages.iter().any(|message| message.contains("model.scale was 0.5 and is 0.25")));
    drop(changed);

    let trained = Trained::from_checkpoint(&checkpoint, &[]).unwrap();
    let found = trained.evaluate(EvaluationRows::Validation).unwrap();
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!((found.rows, json!(found.loss)), (15, last["val_loss"].clone()));
    // The model does not say that it can compute in other types.
    let half = Session::new(read(&format!("precision = 'bf16'\n{OWN}")).unwrap()).err().unwrap().to_string();
    assert!(half.contains("precision = bf16: this model computes in f32 only"), "{half}");
    let other = folder.path().join("rows.csv");
    fs::write(&other, "1,2\n").unwrap();
    let message = trained.predict(&other).err().unwrap().to_string();
    assert!(message.contains("`parity`"), "{message}");
}

#[test]
fn a_configuration_of_handed_over_parts_needs_them_on_a_resume_too() {
    let config: Config = toml::from_str(
        "data = { format = 'custom', batch_size = 10 }\nmodel = { kind = 'mlp' }\ntrain = { steps = 4 }\n\
         optimizer = { kind = 'sgd', lr = 0.1 }",
    )
    .unwrap();
    let refused = Session::new(config.clone()).err().unwrap().to_string();
    assert!(refused.contains("data.format = custom"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let numbers = |name: &[u8]| Stateless(Numbers(60, Fingerprint::of(name)));
    let begin = |name: &[u8]| Session::builder(config.clone()).source(numbers(name));
    let mut resumed = begin(b"one").run_in(&folder.path().join("run"), Control::new()).unwrap();
    resumed.run.train(&mut ()).unwrap();
    let checkpoint = Checkpoint::read(resumed.run.last_checkpoint().unwrap()).unwrap();
    assert_eq!(begin(b"one").resume(&checkpoint).unwrap().step(), 4);
    let other = begin(b"two").resume(&checkpoint).err().unwrap().to_string();
    assert!(other.contains("the content of the data cannot change within a run"), "{other}");
}

/// They are written to the configuration of the run, and the program starts again with its own.
#[test]
fn a_program_started_again_may_leave_out_what_is_found_in_its_data() {
    let rows: String = (0..40).map(|i| format!("{},5;{};{}\n", i % 7, i % 3, i % 2)).collect();
    let pairs: String =
        (0..40).map(|i| format!("{{\"prompt\": \"{i} and {i}\", \"answer\": \"is {}\"}}\n", 2 * i)).collect();
    let gpt = "'gpt', layers = 1, heads = 1, width = 4";
    let cases = [
        ("rows.csv", &rows, "header = false", "'mlp', hidden = [4]"),
        ("pairs.jsonl", &pairs, "context = 32, tokens = 'bytes'", gpt),
        ("packed.jsonl", &pairs, "context = 64, tokens = 'bytes', packing = 'documents'", gpt),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, content, options, model) in cases {
        let (path, run) = (folder.path().join(name), folder.path().join(format!("{name}-run")));
        fs::write(&path, content).unwrap();
        let begin = || {
            let config: Config = toml::from_str(&format!(
                "data = {{ path = '{}', batch_size = 8, {options} }}\nmodel = {{ kind = {model} }}\n\
                 train = {{ steps = 4 }}\noptimizer = {{ kind = 'sgd', lr = 0.1 }}",
                path.display()
            ))
            .unwrap();
            Session::builder(config).run_in(&run, Control::new()).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        begin().run.train(&mut ()).unwrap();
        drop(begin());
    }
}
