//! Processing of untrusted bytes, shared by the fuzz targets and the smoke test: each function takes a file like a user
//! would, and panics if a promise is broken.
//!
//! The promises: no input makes the library panic, read or write outside the checkpoint, or allocate excessively for
//! its size; and accepted input is written back so that it is read as the same.
#![allow(dead_code, reason = "each fuzz target uses its own part of this")]

#[path = "../forge.rs"]
mod forge;
mod jax;
mod memory;
mod peers;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};

use forge::{forge, forge_file};
pub use jax::{peer_hdf5, peer_msgpack, peer_ocdbt, peer_zarr};
use memory::bounded;
pub use peers::{peer_json, peer_pickle, peer_torch};
use rekindle::checkpoint::{Checkpoint, Folder, Snapshot, WrittenBy};
use rekindle::report::{LrPlan, RunStatus};
use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::train::resume::{self, ResumeOptions};
use rekindle::train::{Config, Control, Setting, from_file, fuzzing};
use serde_json::Value;
use tempfile::TempDir;
use watch::Watch;

/// A function for hostile bytes, with the name of its fuzz target and corpus folder.
pub type Target = fn(&Arena, &[u8]);

/// All of them.
pub const TARGETS: [(&str, Target); 16] = [
    ("config", config),
    ("formula", formula),
    ("log", log),
    ("manifest", manifest),
    ("peer_hdf5", peer_hdf5),
    ("peer_json", peer_json),
    ("peer_msgpack", peer_msgpack),
    ("peer_ocdbt", peer_ocdbt),
    ("peer_pickle", peer_pickle),
    ("peer_torch", peer_torch),
    ("peer_zarr", peer_zarr),
    ("resume", resume),
    ("safetensors", safetensors),
    ("schedule_json", schedule_json),
    ("schedule_text", schedule_text),
    ("state", state),
];

const MANIFEST: &[u8] = include_bytes!("../../../checkpoints/notebook/step-0000000010/manifest.json");
const STATE: &[u8] = include_bytes!("../../../checkpoints/notebook/step-0000000010/state.json");
const MODEL: &[u8] = include_bytes!("../../../checkpoints/notebook/step-0000000010/model.safetensors");

const DATA: &[u8] = include_bytes!("../../../examples/data/experiment.safetensors");

/// A checkpoint to be changed, beside a file that must not be touched.
pub struct Arena {
    folder: TempDir,
    watch: Watch,
}

impl Arena {
    pub fn new() -> Self {
        let prefixed = || tempfile::Builder::new().prefix("rekindle-hostile-").clone();
        let folder = prefixed().tempdir_in("/dev/shm").or_else(|_| prefixed().tempdir()).unwrap();
        let (checkpoint, outside) = (folder.path().join("step-0000000010"), folder.path().join("outside"));
        fs::create_dir(&checkpoint).unwrap();
        fs::create_dir(&outside).unwrap();
        for name in ["model.safetensors", "x.safetensors", "state.json"] {
            fs::write(outside.join(name), MODEL).unwrap();
        }
        fs::write(folder.path().join("data.safetensors"), DATA).unwrap();
        let watch = Watch::new(&outside, &[folder.path(), &checkpoint]);
        let arena = Self { folder, watch };
        arena.reset();
        arena
    }

    fn checkpoint(&self) -> PathBuf {
        self.folder.path().join("step-0000000010")
    }

    /// A file that does not belong to a checkpoint.
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Restores the checkpoint.
    fn reset(&self) {
        let files = [("manifest.json", MANIFEST), ("state.json", STATE), ("model.safetensors", MODEL)];
        files.into_iter().for_each(|(name, content)| fs::write(self.checkpoint().join(name), content).unwrap());
    }

    /// Reads the checkpoint in every way, with memory limited to `times` the `size` of its hostile part. The ways must
    /// agree, and touch nothing.
    fn read(&self, size: usize, times: usize) -> Option<Checkpoint> {
        let path = self.checkpoint();
        self.watch.forget();
        let read = bounded(size, times, || Checkpoint::read(&path));
        let verified = bounded(size, times, || Checkpoint::verify(&path));
        let newest = Folder::new(self.folder.path()).newest();
        self.watch.assert_untouched();
        assert_eq!(read.is_ok(), verified.is_ok());
        assert_eq!(read.is_ok(), newest.is_ok_and(|newest| newest.is_some()));
        read.ok()
    }
}

/// `manifest.json`: as it is, and with the seal that it should have.
pub fn manifest(arena: &Arena, bytes: &[u8]) {
    let file = arena.checkpoint().join("manifest.json");
    fs::write(&file, bytes).unwrap();
    arena.read(bytes.len(), 32);
    if let Ok(manifest @ Value::Object(_)) = serde_json::from_slice(bytes) {
        forge(&arena.checkpoint(), manifest);
        let size = fs::metadata(&file).unwrap().len() as usize;
        if let Some(checkpoint) = arena.read(size, 32) {
            assert_eq!(checkpoint.step(), 10);
            drop(checkpoint.manifest().written_by.differences(&WrittenBy::this_build("cpu")));
        }
    }
    arena.reset();
}

/// `state.json`, in a checkpoint whose digests all match; then its display.
///
/// An object of one entry takes a hundred bytes of memory for each of its seven in the file, which gives the limit.
pub fn state(arena: &Arena, bytes: &[u8]) {
    forge_file(&arena.checkpoint(), "state.json", bytes);
    if let Some(checkpoint) = arena.read(bytes.len(), 128) {
        assert_eq!(saved_again(&checkpoint), shares(&checkpoint));
        arena.watch.forget();
        bounded(bytes.len(), 1024, || {
            let standing = RunStatus::of(&checkpoint);
            drop(standing.to_string());
            serde_json::to_string(&standing).unwrap();
            drop(LrPlan::read(&arena.checkpoint().to_string_lossy()));
        });
        arena.watch.assert_untouched();
    }
    arena.reset();
}

/// `state.json` again, for a resumed run, with its data in `data.safetensors` beside it: if everything fits, an update
/// is made. Its configuration may ask for a model of any size.
pub fn resume(arena: &Arena, bytes: &[u8]) {
    const MODEL_AND_DATA: usize = 1 << 20;
    forge_file(&arena.checkpoint(), "state.json", bytes);
    let (checkpoint, out, control) = (arena.checkpoint(), arena.file("branch"), Control::new());
    control.stop(2);
    bounded(bytes.len() + MODEL_AND_DATA, 128, || {
        let choices = ResumeOptions { out: Some(&out), ..ResumeOptions::default() };
        if let Ok(mut resumed) = resume::resume(&checkpoint, choices, control) {
            drop(resumed.run.train(&mut ()));
        }
    });
    drop(fs::remove_dir_all(out));
    assert!(fs::read(checkpoint.join("state.json")).unwrap() == bytes);
    assert_eq!(names(arena.folder.path()), ["data.safetensors", "outside", "step-0000000010"]);
    assert_eq!(names(&checkpoint), ["manifest.json", "model.safetensors", "state.json"]);
    arena.reset();
}

/// The content of a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `model.safetensors`, in a checkpoint whose digests all match.
pub fn safetensors(arena: &Arena, bytes: &[u8]) {
    forge_file(&arena.checkpoint(), "model.safetensors", bytes);
    if let Some(checkpoint) = arena.read(bytes.len(), 32) {
        assert_eq!(saved_again(&checkpoint), shares(&checkpoint));
        drop(RunStatus::of(&checkpoint).to_string());
    }
    arena.reset();
}

type Shares = Vec<(String, rekindle::state::State)>;

/// The saved state of the parts of a checkpoint.
fn shares(checkpoint: &Checkpoint) -> Shares {
    checkpoint.parts().map(|part| (part.to_owned(), checkpoint.state(part).unwrap().clone())).collect()
}

/// The same after saving and reading it again. A state with two values in one place cannot be saved.
fn saved_again(checkpoint: &Checkpoint) -> Shares {
    let snapshot = shares(checkpoint)
        .into_iter()
        .try_fold(Snapshot::at(checkpoint.step()), |snapshot, (part, state)| snapshot.state(&part, state));
    let Ok(snapshot) = snapshot else { return shares(checkpoint) };
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    match Folder::new(folder.path()).save(&snapshot, &WrittenBy::this_build("cpu")) {
        Ok(saved) => shares(&Checkpoint::read(&saved.path).unwrap()),
        Err(_) => shares(checkpoint),
    }
}

/// The text form of a schedule.
pub fn schedule_text(_: &Arena, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(schedule) = bounded(text.len(), 512, || text.parse::<Schedule>()) {
        check_schedule(&schedule);
    }
}

/// A schedule as data.
pub fn schedule_json(_: &Arena, bytes: &[u8]) {
    if let Ok(schedule) = bounded(bytes.len(), 512, || serde_json::from_slice::<Schedule>(bytes)) {
        check_schedule(&schedule);
    }
}

/// A formula of `t` and `base`.
pub fn formula(_: &Arena, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_schedule(&Schedule::expr(text).into());
    }
}

const RUN: RunLength = RunLength { total_steps: Some(1000), steps_per_epoch: 10 };

/// Any schedule that a run accepts is the same in all of its forms, and gives usable rates.
fn check_schedule(schedule: &Schedule) {
    let text = schedule.to_string();
    let Ok(plan) = schedule.plan(&RUN, 2) else { return };
    assert_eq!(&text.parse::<Schedule>().expect(&text), schedule, "{text}");
    let data = serde_json::to_string(schedule).unwrap();
    assert_eq!(&serde_json::from_str::<Schedule>(&data).expect(&data), schedule, "{data}");
    for t in [0, 1, 9, 10, 500, 999, 1000, u64::MAX] {
        for (group, base) in [(0, 0.1), (1, f64::MAX)] {
            let rate = plan.rate(t, base, group);
            assert!(rate >= 0.0 && rate.is_finite(), "{text} gives {rate} at {t} from {base}");
            let momentum = plan.momentum(t, group).unwrap_or_default();
            assert!((0.0..1.0).contains(&momentum), "{text} gives a momentum of {momentum} at {t}");
        }
    }
    if let Ok(mut scheduler) = Scheduler::new(schedule.clone(), vec![0.1, 1.0], RUN) {
        for metric in [1.0, 0.5, f64::INFINITY, f64::NAN, 0.5, -1.0] {
            scheduler.advance();
            scheduler.report(metric);
        }
        let rates = scheduler.rates();
        assert!(rates.iter().all(|rate| *rate >= 0.0 && rate.is_finite()), "{text} gives {rates:?}");
    }
}

/// Characters of a configuration that would take as much memory as the tables of all keys, which a message about a wrong
/// setting looks through.
const KEYS: usize = 8192;

/// A configuration file. Lines that begin with `--set ` are settings of the command line.
pub fn config(arena: &Arena, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (settings, file): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("--set "));
    let settings: Vec<Setting> = settings.iter().filter_map(|line| Setting::parse(&line[6..]).ok()).collect();
    let path = arena.file("config.toml");
    fs::write(&path, file.join("\n")).unwrap();
    let folder = arena.folder.path().canonicalize().unwrap();
    if let Ok(config) = bounded(text.len() + KEYS, 512, || from_file(&path, &settings)) {
        let others = [
            &config.momentum_schedule,
            &config.beta2_schedule,
            &config.weight_decay_schedule,
            &config.ema_decay_schedule,
        ];
        let mut schedules = others.into_iter().flatten().chain([&config.schedule]);
        // One that no run can follow need not be read back: it may hold NaN or infinity.
        if schedules.all(|schedule| schedule.plan(&RUN, 1).is_ok()) {
            check_config(&config, &folder);
        }
    }
}

/// A configuration is unchanged after writing it into a run directory and into a checkpoint.
fn check_config(config: &Config, folder: &Path) {
    let relative = config.relative_to(folder);
    let (text, path) = (toml::to_string(&relative).unwrap(), folder.join("written.toml"));
    fs::write(&path, &text).unwrap();
    // A path means the same file in any form.
    assert_eq!(from_file(&path, &[]).expect(&text).relative_to(folder), relative, "{text}");
    let json = serde_json::to_string(&relative).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&json).expect(&json), relative, "{json}");
}

/// `log.jsonl`, truncated like on a resume. The first byte gives the step.
pub fn log(arena: &Arena, bytes: &[u8]) {
    let Some((&steps, content)) = bytes.split_first() else { return };
    let (file, copy, kept) = (arena.file("log.jsonl"), arena.file("copy.jsonl"), arena.file("log.jsonl.damaged"));
    fs::write(&file, content).unwrap();
    bounded(content.len(), 8, || fuzzing::copy_log(file.parent().unwrap(), &copy, steps.into())).unwrap();
    bounded(content.len(), 8, || fuzzing::cut_log(&file, steps.into())).unwrap();
    let cut = fs::read(&file).unwrap();
    assert!(cut.is_empty() || cut.ends_with(b"\n"));
    // Duplicate or swapped lines are sorted, and the old log is kept.
    if !content.starts_with(&cut) {
        assert_eq!(fs::read(&kept).unwrap(), content);
    }
    assert_eq!(fs::read(&copy).unwrap(), cut);
    #[derive(serde::Deserialize)]
    struct Step {
        step: u64,
    }
    let step = |line| serde_json::from_slice::<Step>(line).unwrap().step;
    let all: Vec<u64> = cut.split_inclusive(|&b| b == b'\n').map(step).collect();
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    let last = cut.split_inclusive(|&b| b == b'\n').next_back();
    let next = last.map_or(0, |line| serde_json::from_slice::<Step>(line).unwrap().step + 1);
    // If lines before the checkpoint are missing, the removed part may be the only copy of them.
    if next < steps.into() && cut.len() < content.len() {
        assert_eq!(fs::read(&kept).unwrap(), content);
    }
    fuzzing::cut_log(&file, steps.into()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), cut);
    drop(fs::remove_file(kept));
}
