//! A data set in shards in a bucket: a run on it is killed and resumed with the same bits, whatever happens to the bucket.
#![cfg(all(feature = "object-store", unix))]

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rekindle::data::{Data, DataConfig};
use rekindle::store::{self, Memory, Store};

use crate::bucket::Bucket;
use crate::common::data::bits;
use crate::common::training::Training;
use crate::common::{ADAMW, EVERY_STEP, Ended, Lab, assert_same_bits, checkpoint, log, steps};

/// A shard of these rows, each with three numbers and one of three classes.
fn shard(rows: std::ops::Range<u32>) -> Vec<u8> {
    let (count, device) = (rows.len(), Device::Cpu);
    let row = |i: u32| [(i * 37 % 61) as f32 / 7.0, (i * i % 53) as f32 / 5.0, (i * 11 % 17) as f32 - 8.0];
    let x: Vec<f32> = rows.clone().flat_map(row).collect();
    let y: Vec<i64> = rows.map(|i| i64::from((i * 7 + i * i) % 3)).collect();
    let tensors = HashMap::from([
        ("x", Tensor::from_vec(x, (count, 3), &device).unwrap()),
        ("y", Tensor::from_vec(y, count, &device).unwrap()),
    ]);
    let file = tempfile::NamedTempFile::new().unwrap();
    candle_core::safetensors::save(&tensors, file.path()).unwrap();
    fs::read(file.path()).unwrap()
}

/// A run of twelve updates, three epochs, on 48 rows in four shards, and 12 for validation in another.
struct Scene {
    lab: Lab,
    bucket: Bucket,
}

impl Scene {
    fn new() -> Self {
        Self::edited("", "")
    }

    /// With another text in its configuration.
    fn edited(old: &str, new: &str) -> Self {
        let lengths = "train = { steps = 12, clip_norm = 1.0 }\nvalidation = { every = \"2 steps\" }";
        let data = "path = \"s3://bucket/rows/shard-*.safetensors\"\nclasses = 3\nbatch_size = 13\nshuffle_window = 20\n\
                    validation_path = \"s3://bucket/rows/validation.safetensors\"";
        let model = "kind = \"mlp\"\nhidden = [8]\ndropout = 0.3";
        let head = format!("seed = 3\noptimizer = {ADAMW}\nschedule = \"cosine(12)\"\n{lengths}\n{EVERY_STEP}");
        let config = format!("{head}\n[data]\n{data}\n[model]\n{model}\n");
        let lab = Lab::in_memory(&config.replacen(old, new, 1));
        let bucket = Bucket::new();
        for (number, rows) in [0..10, 10..31, 31..32, 32..48].into_iter().enumerate() {
            bucket.put(&format!("rows/shard-{number}.safetensors"), shard(rows));
        }
        bucket.put("rows/validation.safetensors", shard(48..60));
        Self { lab, bucket }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(arguments);
        self.bucket.lend(&mut command);
        command
    }

    fn train(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }
}

#[test]
fn a_run_on_shards_has_the_same_bits_after_any_interruption() {
    let scene = Scene::new();
    let whole = scene.train(&["config.toml", "--out", "whole"]).well();
    assert_eq!(steps(&scene.lab.path("whole")), (0..=12).collect::<Vec<_>>());
    for step in [0, 1, 4, 7, 11] {
        let name = format!("interrupted-{step}");
        let copy = scene.lab.interrupted_copy("whole", &name, step);
        let resumed = scene.train(&["--resume", &name]).well();
        assert_same_bits(&scene.lab.path("whole"), &copy);
        assert!(whole.stdout.ends_with(&resumed.stdout), "{}", resumed.stdout);
    }
    // An evaluation reads the shards again.
    let told = scene.train(&["eval", "whole", "--json"]).well().stdout;
    let found: serde_json::Value = serde_json::from_str(&told).unwrap();
    let last = log(&scene.lab.path("whole")).pop().unwrap();
    assert_eq!(found["loss"], last["val_loss"], "{told} {last}");
}

#[test]
fn a_run_on_shards_that_is_killed_again_and_again_has_the_same_bits() {
    let scene = Scene::new();
    let longer = ["--set", "train.steps=150"];
    scene.train(&[&["config.toml", "--out", "whole"], &longer[..]].concat()).well();
    let begin = |arguments: &[&str]| Training::spawn(&mut scene.command(arguments), &scene.lab.path(""));
    let mut training = begin(&[&["config.toml", "--out", "killed"], &longer[..]].concat());
    let mut kills = 0;
    for after in [3, 40, 90] {
        training.wait_until(|| checkpoint(&scene.lab.path("killed"), after).exists());
        kills += u32::from(training.kill());
        training = begin(&["--resume", "killed"]);
    }
    training.ended().well();
    assert!(kills > 0, "the run was too quick to be killed");
    assert_same_bits(&scene.lab.path("whole"), &scene.lab.path("killed"));
}

#[test]
fn a_shard_that_is_missing_new_or_changed_is_named_and_the_run_can_be_resumed() {
    let scene = Scene::new();
    scene.train(&["config.toml", "--out", "whole"]).well();
    let copy = scene.lab.interrupted_copy("whole", "copy", 5);
    let refused = || scene.train(&["--resume", "copy"]).refusal();
    let name = "rows/shard-1.safetensors";
    let kept = scene.bucket.remove(name);
    let message = refused();
    let said = "the shard shard-1.safetensors that the run began with is not among those of s3://bucket/rows/shard-*";
    assert!(message.contains(said), "{message}");
    scene.bucket.put(name, shard(11..32));
    let message = refused();
    let said = "shard-1.safetensors has changed since the run began: it was ";
    assert!(message.contains(said) && message.contains("ETag"), "{message}");
    scene.bucket.put(name, kept);
    scene.bucket.put("rows/shard-9.safetensors", shard(0..3));
    let message = refused();
    assert!(message.contains("shard-9.safetensors is not among the shards that the run began with"), "{message}");
    scene.bucket.remove("rows/shard-9.safetensors");
    scene.train(&["--resume", "copy"]).well();
    assert_same_bits(&scene.lab.path("whole"), &copy);
}

/// The bucket is away before all rows were read: the end is soon, clear, and not the end of the work.
#[test]
fn a_bucket_that_stays_away_fails_the_run_and_a_resume_continues() {
    let scene = Scene::new();
    scene.train(&["config.toml", "--out", "whole"]).well();
    // The listing, a size and five headers come first, and two requests for the rows of each shard.
    scene.bucket.be_away_after(11);
    let before = scene.bucket.requests();
    let ended = scene.train(&["config.toml", "--out", "away"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot read s3://bucket/rows/"), "{}", ended.stderr);
    assert!(scene.bucket.requests() > before + 11 + 3, "nothing was asked for again");
    scene.bucket.be_away_after(u64::MAX);
    scene.train(&["--resume", "away"]).well();
    assert_same_bits(&scene.lab.path("whole"), &scene.lab.path("away"));
}

#[test]
fn data_that_cannot_be_read_shard_by_shard_is_refused() {
    let validation = "validation_path = \"s3://bucket/rows/validation.safetensors\"";
    for (old, new, said) in [
        (validation, "validation = 0.2", "`data.validation` needs all rows before a run begins"),
        (validation, "fold = \"1/4\"", "`data.fold` needs all rows before a run begins"),
        (validation, "standardize = true", "`data.standardize` needs all rows"),
        (validation, "validation_path = \"a.safetensors\"", "a.safetensors is on the local disk, and other rows"),
        (validation, "test_path = \"s3://bucket/no-*.x\"", "`data.test_path`: no file is named s3://bucket/no-*.x"),
        (validation, "test_path = \"s3://bucket/no.x\"", "s3://bucket/no.x is missing"),
        (validation, "inputs = \"z\"", "has no tensor `z`"),
        ("classes = 3\n", "", "`data.classes` is missing"),
        ("classes = 3", "classes = 2", "label 2 is not below the number of classes"),
        (
            "shard-*.safetensors\"\nclasses = 3\nbatch_size = 13\nshuffle_window = 20",
            "shard-*.csv\"",
            "are read in such shards, and CSV is not",
        ),
        ("s3://bucket/rows/shard-*.safetensors", "s3://bucket/rows/[.safetensors", "is not a pattern"),
    ] {
        let scene = Scene::edited(old, new);
        let ended = scene.train(&["config.toml", "--out", "run"]);
        assert!(ended.code != Some(0) && ended.stderr.contains(said), "{new}: {}", ended.stderr);
    }
    let scene = Scene::new();
    scene.bucket.put("rows/shard-2.safetensors", b"nothing of the kind".to_vec());
    let refusal = scene.train(&["config.toml", "--out", "run"]).refusal();
    assert!(refusal.contains("shard-2.safetensors is not a valid safetensors file"), "{refusal}");
}

/// The batches of a data set are a function of the seed, the epoch and the step, whatever was read before.
#[test]
fn a_batch_is_the_same_after_any_others_and_an_epoch_has_each_row_once() {
    let memory = Memory::new();
    for (number, rows) in [0..10, 10..31, 31..32, 32..48].into_iter().enumerate() {
        let content = shard(rows);
        let path = format!("mem://streamed/shard-{number}.safetensors");
        memory.upload(path.as_ref(), &mut &content[..], content.len() as u64).unwrap();
    }
    store::register("mem://streamed", Arc::new(memory));
    for window in [1, 7, 20, 500] {
        let config = format!(
            "path = \"mem://streamed/shard-?.safetensors\"\nclasses = 3\nbatch_size = 5\nshuffle_window = {window}"
        );
        let config: DataConfig = toml::from_str(&config).unwrap();
        let open = |seed| Data::open(&config, seed, &Device::Cpu).unwrap();
        let bits = |data: &Data, step| bits(&data.batch(step).unwrap().inputs);
        let (whole, mut orders) = (open(1), Vec::new());
        for epoch in 0..3 {
            let rows: Vec<Vec<u32>> = (0..10).map(|step| bits(&whole, 10 * epoch + step)).collect();
            let mut rows: Vec<[u32; 3]> = rows.concat().as_chunks::<3>().0.to_vec();
            orders.push(rows.clone());
            rows.sort_unstable();
            rows.dedup();
            assert_eq!(rows.len(), 48);
        }
        assert!(orders[0] != orders[1] && orders[1] != orders[2], "{window}");
        for step in [29, 3, 17, 0] {
            assert_eq!(bits(&open(1), step), bits(&whole, step), "{window}");
        }
        assert_ne!(bits(&open(2), 0), bits(&whole, 0));
    }
}
