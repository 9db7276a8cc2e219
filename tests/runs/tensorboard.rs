//! Event files of TensorBoard: each step is there once, whatever happened to the run, and the run has the same bits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::tensorboard_images;
use crate::common::{ADAMW, Lab, log, small, state, steps, tree};

/// A configuration of 12 updates with event files; `more` adds lines to its table.
pub(super) fn config(checkpoint: &str, more: &str) -> String {
    let config = small(ADAMW, "cosine(12)", &format!("checkpoint = {{ every = '{checkpoint}' }}"));
    format!("{config}\n[log]\ntensorboard = true\n{more}\n")
}

/// A field of a message: its number, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field {
    Integer(u64),
    Double(f64),
    Float(f32),
    Bytes(Vec<u8>),
}

/// The fields of a message, in their order.
pub(super) type Message = Vec<(u64, Field)>;

impl Field {
    pub(super) fn message(&self) -> Message {
        let Self::Bytes(bytes) = self else { panic!("{self:?} is no message") };
        fields(bytes)
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Message {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let (value, rest) = match key & 7 {
            0 => (Field::Integer(varint(&mut bytes)), bytes),
            1 => (Field::Double(f64::from_le_bytes(bytes[..8].try_into().unwrap())), &bytes[8..]),
            5 => (Field::Float(f32::from_le_bytes(bytes[..4].try_into().unwrap())), &bytes[4..]),
            2 => {
                let length = varint(&mut bytes) as usize;
                (Field::Bytes(bytes[..length].to_vec()), &bytes[length..])
            }
            kind => panic!("a field of type {kind}"),
        };
        found.push((key >> 3, value));
        bytes = rest;
    }
    found
}

pub(super) fn field(message: &[(u64, Field)], number: u64) -> Option<&Field> {
    message.iter().find(|(field, _)| *field == number).map(|(_, value)| value)
}

/// CRC-32C bit by bit, masked.
fn checksum(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    (!sum).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The events of a file, all of them whole and with the right checksums.
fn events(file: &Path) -> Vec<Message> {
    let content = fs::read(file).unwrap();
    let (mut rest, mut found) = (&content[..], Vec::new());
    let sum = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(sum(&rest[8..12]), checksum(&rest[..8]));
        let data = &rest[12..12 + length];
        assert_eq!(sum(&rest[12 + length..16 + length]), checksum(data));
        found.push(fields(data));
        rest = &rest[16 + length..];
    }
    found
}

/// The event files of a run, in the order in which they are read.
fn event_files(run: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = names.filter(|path| path.to_str().unwrap().contains("tfevents")).collect();
    files.sort();
    files
}

/// Each tag's values with their steps, as a reader has them that reads all files in order and knows no START.
pub(super) fn values(run: &Path) -> BTreeMap<String, Vec<(u64, Message)>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for event in event_files(run).iter().flat_map(|file| events(file)) {
        let Some(&Field::Integer(step)) = field(&event, 2) else { panic!("an event without a step") };
        for (_, value) in field(&event, 5).iter().flat_map(|summary| summary.message()) {
            let value = value.message();
            let Some(Field::Bytes(tag)) = field(&value, 1) else { panic!("a value without a tag") };
            found.entry(String::from_utf8(tag.clone()).unwrap()).or_default().push((step, value));
        }
    }
    found
}

fn scalars(run: &Path, tag: &str) -> Vec<(u64, f32)> {
    let of = |(step, value): &(u64, Vec<_>)| match field(value, 2) {
        Some(Field::Float(number)) => (*step, *number),
        other => panic!("{tag} is {other:?}"),
    };
    values(run).get(tag).map(|values| values.iter().map(of).collect()).unwrap_or_default()
}

/// The numbers in the log of a run under this name, as scalars.
fn logged(run: &Path, name: &str) -> Vec<(u64, f32)> {
    let number = |line: Value| {
        let value = line[name].get(0).unwrap_or(&line[name]);
        Some((line["step"].as_u64().unwrap(), value.as_f64()? as f32))
    };
    log(run).into_iter().filter_map(number).collect()
}

/// Each number of the log is there once, in order.
#[track_caller]
fn assert_is_the_log(run: &Path) {
    for tag in ["loss", "lr", "grad_norm", "val_loss", "val_accuracy"] {
        assert_eq!(scalars(run, tag), logged(run, tag), "{tag}");
    }
    assert!(!logged(run, "val_loss").is_empty());
    // Each file says at which step it begins.
    let starts = event_files(run).into_iter().filter_map(|file| {
        let events = events(&file);
        // Nothing is left of a file that was lost.
        assert_eq!(field(events.first()?, 3), Some(&Field::Bytes(b"brain.Event:2".to_vec())));
        let start = events.get(1)?;
        assert_eq!(field(start, 7).unwrap().message(), [(1, Field::Integer(1))]);
        field(start, 2).cloned()
    });
    let starts: Vec<Field> = starts.collect();
    assert_eq!(starts[0], Field::Integer(0));
    let ended = values(run)["_hparams_/session_end_info"].iter().map(|(step, _)| *step).collect::<Vec<_>>();
    assert_eq!(ended.iter().max(), Some(&(log(run).len() as u64)));
    assert!(ended.is_sorted_by(|a, b| a < b), "{ended:?}");
}

#[test]
fn after_kills_and_resumes_each_step_is_there_once() {
    let lab = Lab::in_memory(&config("30 steps", ""));
    let run = lab.path("run");
    let length = ["--set", "train.epochs=500", "--set", "schedule=cosine(2000)"];
    let lines = || fs::read_to_string(run.join("log.jsonl")).unwrap_or_default().lines().count();
    let mut training = lab.spawn(&[&["config.toml", "--out", "run"], &length[..]].concat());
    for seen in [100, 400, 900] {
        training.wait_until(|| lines() > seen);
        assert!(training.kill(), "the run has ended too soon");
        training = lab.spawn(&["--resume", "run"]);
    }
    training.ended().well();
    assert_eq!(lines(), 2000);
    assert_is_the_log(&run);
    assert_eq!(event_files(&run).len(), 4);
}

/// The whole run with its event files as a kill, a full disk, a crash of the system or a person may leave them.
#[test]
fn whatever_is_left_of_the_event_files_a_resume_makes_them_whole() {
    let lab = Lab::in_memory(&config("1 step", ""));
    lab.start("whole");
    assert_is_the_log(&lab.path("whole"));
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("ahead", |_| {}),
        ("torn", |file| file.truncate(file.len() - 7)),
        ("short", |file| file.truncate(file.len() / 2)),
        ("empty", Vec::clear),
        ("zeros", |file| {
            let from = file.len() / 2;
            file[from..].fill(0);
        }),
    ];
    for (name, damage) in damages {
        for step in [0, 5, 11] {
            let run = lab.interrupted_copy("whole", &format!("{name}-{step}"), step);
            let file = event_files(&run).remove(0);
            let mut content = fs::read(&file).unwrap();
            damage(&mut content);
            fs::write(&file, content).unwrap();
            lab.train(&["--resume", run.to_str().unwrap()]).well();
            assert_is_the_log(&run);
        }
    }
    let run = lab.interrupted_copy("whole", "none", 5);
    fs::remove_file(event_files(&run).remove(0)).unwrap();
    lab.train(&["--resume", "none"]).well();
    assert_is_the_log(&run);
}

#[test]
fn a_resume_that_turns_it_on_adds_the_steps_before_it_and_one_that_turns_it_off_writes_nothing() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", "checkpoint = { every = '1 step' }"));
    lab.start("without");
    assert_eq!(event_files(&lab.path("without")), Vec::<PathBuf>::new());
    let run = lab.interrupted_copy("without", "with", 7);
    lab.train(&["--resume", "with", "--set", "log.tensorboard=true"]).well();
    assert_is_the_log(&run);
    let files = tree(&run).into_iter().filter(|(path, _)| path.to_str().unwrap().contains("tfevents"));
    let files: Vec<_> = files.collect();
    lab.train(&["--resume", "with", "--set", "log.tensorboard=false", "--set", "train.epochs=4"]).well();
    assert_eq!(event_files(&run).len(), 1);
    assert_eq!(fs::read(event_files(&run).remove(0)).unwrap(), files[0].1);
    lab.train(&["--resume", "with", "--set", "log.tensorboard=true", "--set", "train.epochs=5"]).well();
    assert_is_the_log(&run);
    // From an older checkpoint a run branches off, with the steps before it.
    let older = run.join("checkpoints/step-0000000007");
    lab.train(&["--resume", older.to_str().unwrap(), "--out", "branch", "--set", "log.tensorboard=true"]).well();
    assert_is_the_log(&lab.path("branch"));
}

#[test]
fn the_run_has_the_same_bits_with_and_without_it() {
    let lab = Lab::in_memory(&config("1 step", "histograms = '2 steps'"));
    lab.start("with");
    lab.train(&["config.toml", "--out", "without", "--set", "log={}"]).well();
    let [with, without] = ["with", "without"].map(|run| lab.path(run));
    assert_eq!(fs::read(with.join("log.jsonl")).unwrap(), fs::read(without.join("log.jsonl")).unwrap());
    assert_eq!(steps(&with), steps(&without));
    for step in steps(&with) {
        let checkpoints = [&with, &without].map(|run| crate::common::checkpoint(run, step));
        for part in ["model.safetensors", "optimizer.safetensors"] {
            let [a, b] = checkpoints.each_ref().map(|checkpoint| fs::read(checkpoint.join(part)).unwrap());
            assert_eq!(a, b, "{part} at step {step}");
        }
        let [a, b] = checkpoints.map(|checkpoint| {
            let mut state = state(&checkpoint);
            state["config"]["log"] = Value::Null;
            state
        });
        assert_eq!(a, b, "state at step {step}");
    }
}

#[test]
fn histograms_of_weights_and_gradients_come_at_their_interval() {
    let lab = Lab::in_memory(&config("1 step", "histograms = '4 steps'"));
    lab.start("run");
    let run = lab.interrupted_copy("run", "resumed", 6);
    lab.train(&["--resume", "resumed"]).well();
    for run in [lab.path("run"), run] {
        let values = values(&run);
        let tags: Vec<&String> = values.keys().filter(|tag| tag.contains("s/0.")).collect();
        assert_eq!(tags, ["gradients/0.bias", "gradients/0.weight", "weights/0.bias", "weights/0.weight"]);
        for (tag, elements) in [("weights/0.weight", 24.0), ("gradients/0.bias", 8.0)] {
            assert_eq!(values[tag].iter().map(|(step, _)| *step).collect::<Vec<_>>(), [3, 7, 11]);
            for (_, value) in &values[tag] {
                let histogram = field(value, 5).unwrap().message();
                assert_eq!(field(&histogram, 3), Some(&Field::Double(elements)));
            }
        }
    }
    for every in ["3 minutes", "auto"] {
        let set = format!("log.histograms={every}");
        let refused = lab.train(&["config.toml", "--out", "refused", "--set", &set]).refusal();
        assert!(refused.contains("log.histograms") && refused.contains("steps or epochs"), "{refused}");
    }
}

#[test]
fn event_files_that_cannot_be_written_are_left_out_with_one_message() {
    let lab = Lab::in_memory(&config("1 step", ""));
    lab.start("whole");
    let run = lab.interrupted_copy("whole", "run", 3);
    fs::create_dir(run.join("events.out.tfevents.9000000000.rekindle")).unwrap();
    let ended = lab.train(&["--resume", "run"]).well();
    assert_eq!(ended.stderr.matches("TensorBoard gets no more of this run").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("events.out.tfevents.9000000000.rekindle"), "{}", ended.stderr);
    assert_eq!(log(&run).len(), 12);
}

/// A Python with TensorBoard: the one in `REKINDLE_PYTHON`, or the usual one.
fn python() -> Result<String, String> {
    let named = std::env::var("REKINDLE_PYTHON");
    let python = named.unwrap_or_else(|_| "python3".to_owned());
    let imported = Command::new(&python).args(["-c", "import tensorboard_data_server, tensorboard.main"]).output();
    match imported {
        Ok(output) if output.status.success() => Ok(python),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn tensorboards_own_readers_agree_on_each_step() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return eprintln!("SKIPPED: no Python with TensorBoard; set REKINDLE_PYTHON: {why}"),
    };
    let lab = tensorboard_images::lab(&config("1 step", "histograms = '4 steps'"));
    lab.start("whole");
    lab.interrupted_copy("whole", "first", 4);
    lab.train(&["--resume", "first"]).well();
    // Killed once more, at a later step, with more in its second file than its checkpoint knows.
    let run = lab.interrupted_copy("first", "run", 9);
    lab.train(&["--resume", "run"]).well();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tensorboard/readers.py");
    let output = Command::new(python).arg(script).arg(lab.path("")).args(["run", "12"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    for reader in ["library", "python", "rust"] {
        let found = &found[reader];
        for tag in ["loss", "lr", "grad_norm", "val_loss", "val_accuracy"] {
            let points: Vec<(u64, f64)> = serde_json::from_value(found["scalars"][tag].clone()).unwrap();
            let points: Vec<(u64, f32)> = points.into_iter().map(|(step, number)| (step, number as f32)).collect();
            assert_eq!(points, logged(&run, tag), "{tag} for {reader}");
        }
        assert_eq!(found["histograms"]["weights/0.weight"], serde_json::json!([3, 7, 11]), "{reader}");
        assert_eq!(found["histograms"]["gradients/0.weight"], serde_json::json!([3, 7, 11]), "{reader}");
        // The step, and the first bytes of the picture.
        let pictures = [1, 3, 5, 7, 9, 11].map(|step| serde_json::json!([step, "89504e470d0a1a0a"]));
        assert_eq!(found["images"]["predictions"], serde_json::json!(pictures), "{reader}");
    }
    for server in ["python", "rust"] {
        let found = &found[server];
        let text = found["texts"]["config"].to_string();
        assert!(text.contains("kind = &quot;adamw&quot;") || text.contains("adamw"), "{text}");
        let told = found["hyperparameters"].to_string();
        for part in ["optimizer.lr", "STATUS_SUCCESS", "val_loss"] {
            assert!(told.contains(part), "{part} for {server}: {told}");
        }
    }
}
