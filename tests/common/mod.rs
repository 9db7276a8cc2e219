//! A small run in a temporary folder, started and resumed as processes, and how runs are compared: byte for byte.
//!
//! Its modules are what more than one chapter of tests shares; a chapter has all of it with one line in its `main.rs`.
//! `hostile` and `huge` stand here too, and are taken by path: by the fuzz targets and a bench, which need nothing
//! else.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub mod data;
pub mod forge;
#[cfg(feature = "parquet")]
pub mod parquet_files;
pub mod place;
pub mod programs;
pub mod signals;
pub mod training;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use place::Place;
use rekindle::train::{Control, Sink, StepRecord};
use serde_json::Value;
use training::Training;

/// Sixty rows of three numbers and one of three classes: `data.csv` of every [`Lab`].
pub fn table() -> String {
    let row = |i: u32| {
        let (a, b, c) = (f64::from(i * 37 % 61) / 7.0, f64::from(i * i % 53) / 5.0, f64::from(i * 11 % 17) - 8.0);
        format!("{a},{b},{c},{}\n", (i * 7 + i * i) % 3)
    };
    "a,b,c,label\n".to_owned() + &(0..60).map(row).collect::<String>()
}

/// Four updates an epoch, the last with a smaller batch: 48 rows are trained on and 12 validated on.
pub const MODEL: &str = r#"
    seed = 3
    [data]
    path = "data.csv"
    validation = 0.2
    batch_size = 13
    [model]
    kind = "mlp"
    hidden = [8, 5]
    dropout = 0.3
"#;

/// Twelve updates with dropout, clipping and validation; `more` adds settings or arguments.
pub fn small(optimizer: &str, schedule: &str, more: &str) -> String {
    let lengths = "train = { epochs = 3, clip_norm = 1.0 }\nvalidation = { every = \"2 steps\" }";
    format!("optimizer = {optimizer}\nschedule = \"{schedule}\"\n{lengths}\n{more}\n{MODEL}")
}

pub const ADAMW: &str = "{ kind = 'adamw', lr = 0.05 }";
pub const ADAMW_IN_TWO_GROUPS: &str =
    "{ kind = 'adamw', lr = 0.05, groups = [{ parameters = ['2.*'], lr = 0.01, weight_decay = 0.2, momentum = 0.8 }] }";
pub const ADAMW_AND_SGD: &str = "{ kind = 'adamw', lr = 0.05, groups = [\
     { parameters = ['2.*'], kind = 'sgd', lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.01 }] }";
pub const EVERY_STEP: &str = "checkpoint = { every = '1 step' }";
pub const EVERY_EPOCH: &str = "checkpoint = { every = '1 epoch' }";

/// A temporary folder with `config.toml` and `data.csv` in it, in which processes work.
pub struct Lab {
    folder: tempfile::TempDir,
    place: Place,
}

/// Exit status and output of a process.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Lab {
    pub fn new(config: &str) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), config)
    }

    /// In memory if the system has a folder for that: thousands of small saves would mostly wait for a disk.
    pub fn in_memory(config: &str) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_folder(folder.unwrap(), config)
    }

    /// In memory, with runs that compute in `place`.
    pub fn at(place: Place, config: &str) -> Self {
        Self { place, ..Self::in_memory(&format!("{}{config}", place.lines())) }
    }

    fn in_folder(folder: tempfile::TempDir, config: &str) -> Self {
        fs::write(folder.path().join("data.csv"), table()).unwrap();
        fs::write(folder.path().join("config.toml"), config).unwrap();
        Self { folder, place: Place::default() }
    }

    /// The same folder, with runs that compute in `place` from now on.
    pub fn move_to(&mut self, place: Place) {
        self.place = place;
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns `train` with `arguments`, to be run in the folder, with one thread, because more do not help so small a
    /// model.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("RUST_LOG")
            .env("RAYON_NUM_THREADS", "1")
            .stdin(Stdio::null());
        self.place.prepare(&mut command);
        signals::by_default(&mut command);
        command
    }

    pub fn train(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }

    /// Trains beside the test.
    pub fn spawn(&self, arguments: &[&str]) -> Training {
        Training::spawn(&mut self.command(arguments), self.folder.path())
    }

    /// Starts the run of `config.toml` in the directory `out`, and waits for its end.
    pub fn start(&self, out: &str) -> Ended {
        self.train(&["config.toml", "--out", out]).well()
    }

    /// The run of `config.toml` makes `total` updates, saves each, and validates after every second. Each can be the
    /// last before a resume in a new process, which has the same bits and prints the rest of the lines.
    #[track_caller]
    pub fn assert_any_step_can_be_the_last(&self, total: u64) {
        self.assert_each_can_be_the_last(total, 0..total);
    }

    /// The same for some of the steps.
    #[track_caller]
    pub fn assert_each_can_be_the_last(&self, total: u64, cuts: impl IntoIterator<Item = u64>) {
        let whole = self.start("whole");
        assert_eq!(steps(&self.path("whole")), (0..=total).collect::<Vec<_>>());
        for step in cuts {
            let name = format!("interrupted-{step}");
            let copy = self.interrupted_copy("whole", &name, step);
            let resumed = self.train(&["--resume", &name]).well();
            assert_same_bits(&self.path("whole"), &copy);
            let (all, rest) = (&whole.stdout, &resumed.stdout);
            let validations = |lines: &str| lines.matches(" val_loss=").count();
            let is_rest = all.ends_with(rest) && validations(rest) + step as usize / 2 == validations(all);
            assert!(is_rest, "resumed at step {step} it prints\n{rest}\nof\n{all}");
        }
    }

    /// Copies a run as it was left when its process was killed after the checkpoint at `step`: the log is longer, and
    /// its last line is torn.
    pub fn interrupted_copy(&self, run: &str, copy: &str, step: u64) -> PathBuf {
        let copy = self.path(copy);
        copy_tree(&self.path(run), &copy);
        for later in steps(&copy).into_iter().filter(|&saved| saved > step) {
            fs::remove_dir_all(checkpoint(&copy, later)).unwrap();
        }
        let mut log = fs::read(copy.join("log.jsonl")).unwrap();
        log.truncate(log.len() - 7);
        fs::write(copy.join("log.jsonl"), log).unwrap();
        copy
    }
}

impl Ended {
    /// The same, if it ended well.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Returns the message of a refused request.
    #[track_caller]
    pub fn refusal(self) -> String {
        assert_eq!(self.code, Some(2), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        self.stderr
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// An example as a program, to be run in the repository. `cargo test` builds examples beside the tests' own folder.
pub fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.is_file(), "{} is missing; build it with `cargo build --release --examples`", path.display());
    let mut command = Command::new(path);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
    signals::by_default(&mut command);
    command
}

pub fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join(format!("checkpoints/step-{step:010}"))
}

/// Returns the steps of the checkpoints of a run, in order; empty if there is no run yet.
pub fn steps(run: &Path) -> Vec<u64> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut steps: Vec<u64> = names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
    steps.sort_unstable();
    steps
}

pub fn state(checkpoint: &Path) -> Value {
    serde_json::from_slice(&fs::read(checkpoint.join("state.json")).unwrap()).unwrap()
}

/// The lines of a run's log.
pub fn log(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("log.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rate of the first group in each line of a run's log.
pub fn rates(run: &Path) -> Vec<f64> {
    log(run).iter().map(|line| line["lr"][0].as_f64().unwrap()).collect()
}

/// Asks a run to stop after its next update, and everything due after it.
pub struct StopAfterOne(pub Control);

impl Sink for StopAfterOne {
    fn record(&mut self, _: &StepRecord) {
        self.0.stop(15);
    }
}

/// Every file under `folder` with its bytes.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(folder, Path::new(""), &mut files);
    files
}

fn collect(folder: &Path, name: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = name.join(entry.file_name());
        if entry.path().is_dir() {
            collect(&entry.path(), &name, files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

pub fn copy_tree(from: &Path, to: &Path) {
    for (name, bytes) in tree(from) {
        fs::create_dir_all(to.join(&name).parent().unwrap()).unwrap();
        fs::write(to.join(name), bytes).unwrap();
    }
}

/// Returns the files of a run that must have the same bits. Others contain the time and process; hidden remains of
/// killed saves are never read.
fn bits(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(run);
    files.retain(|path, _| {
        let about_processes = ["manifest.json", "timing.jsonl", "lock", "outcome.json", "restarts.jsonl"];
        let of_its_process = about_processes.iter().any(|name| path.ends_with(name));
        let hidden = path.iter().any(|name| name.to_string_lossy().starts_with('.'));
        let is_event_file = path.to_string_lossy().starts_with("events.out.tfevents.");
        !of_its_process && !hidden && !is_event_file
    });
    files
}

/// Asserts that two runs have the same files with the same bytes: configuration, log, and all checkpoints.
#[track_caller]
pub fn assert_same_bits(whole: &Path, other: &Path) {
    let (expected, found) = (bits(whole), bits(other));
    let differs = |path: &&PathBuf| expected.get(*path) != found.get(*path);
    if let Some(path) = expected.keys().chain(found.keys()).filter(differs).min() {
        let describe = |files: &BTreeMap<PathBuf, Vec<u8>>| match files.get(path) {
            Some(bytes) if path.extension().is_some_and(|ending| ending == "safetensors") => {
                format!("{} bytes with hash {}", bytes.len(), blake3::hash(bytes))
            }
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => "not there".to_owned(),
        };
        let (path, other) = (path.display(), other.display());
        panic!("{path} of {other} differs: it should be\n{}\nand is\n{}", describe(&expected), describe(&found));
    }
    assert!(expected.keys().any(|path| path.ends_with("model.safetensors")), "{} is no run", whole.display());
}
