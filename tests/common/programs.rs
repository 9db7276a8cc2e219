//! The two programs as a user runs them, in a folder with a small data set and a configuration.
#![allow(dead_code, reason = "every test file uses another part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub const TRAIN: &str = env!("CARGO_BIN_EXE_train");
pub const INSPECT: &str = env!("CARGO_BIN_EXE_inspect");

/// The configuration that all tests start from. Tests refer to its line numbers, so it must not change.
pub const CONFIG: &str = r#"seed = 7

[data]
path = "rows.csv"
validation = 0.25
batch_size = 4

[model]
kind = "mlp"
hidden = [8]
activation = "relu"

[optimizer]
kind = "sgd"
lr = 0.1
momentum = 0.9

[[optimizer.groups]]
parameters = ["*.bias"]
weight_decay = 0.0

[schedule]
kind = "cosine"
t_max = 20
eta_min = 1e-3

[train]
epochs = 4

[checkpoint]
every = "1 epoch"
"#;

/// Output of a program.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a program printed something else than text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Told {
    /// Asserts the exit `code`, and that all of `parts` are on stderr, in plain words.
    #[track_caller]
    pub fn says(&self, code: i32, parts: &[&str]) {
        let Self { err, out, .. } = self;
        assert_eq!(self.code, Some(code), "stderr: {err}\nstdout: {out}");
        for part in parts {
            assert!(err.contains(part), "`{part}` is not in: {err}");
        }
        for internal in ["panicked", "RUST_BACKTRACE", "Some(", "None", " { ", "f64", "usize", "u64", "struct", "serde"]
        {
            assert!(!err.contains(internal), "`{internal}` is in: {err}");
        }
        let doubled = |message: &str| err.matches(message).count() > 1;
        assert!(!["(os error", "error:", "did you mean"].into_iter().any(doubled), "said twice: {err}");
    }
}

/// A folder with `rows.csv` and `config.toml` in it, where programs are run.
pub struct Workplace {
    folder: TempDir,
}

impl Workplace {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let row = |i: u32| format!("{},{},{}\n", i * 7 % 10, i * 3 % 8, u32::from(i * 7 % 10 > i * 3 % 8));
        let rows: String = (0..24).map(row).collect();
        fs::write(folder.path().join("rows.csv"), format!("width,height,label\n{rows}")).unwrap();
        fs::write(folder.path().join("config.toml"), CONFIG).unwrap();
        Self { folder }
    }

    /// With a finished run of four epochs, of five updates each, in `run`.
    pub fn with_run() -> Self {
        let place = Self::new();
        place.train(&["config.toml", "--out", "run"]).says(0, &["done: 20 steps"]);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn newest(&self) -> PathBuf {
        self.path("run/checkpoints/step-0000000020")
    }

    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).env_remove("RUST_LOG");
        crate::common::signals::by_default(&mut command);
        command
    }

    pub fn train(&self, arguments: &[&str]) -> Told {
        self.command(TRAIN, arguments).output().unwrap().into()
    }

    pub fn inspect(&self, arguments: &[&str]) -> Told {
        self.command(INSPECT, arguments).output().unwrap().into()
    }

    /// Asserts that `train` refuses the request with all of `parts`, and leaves every file unchanged.
    #[track_caller]
    pub fn train_refuses(&self, arguments: &[&str], parts: &[&str]) {
        let before = self.files();
        self.train(arguments).says(2, parts);
        assert!(self.files() == before, "{arguments:?} changed files");
    }

    /// The same for `inspect`, which exits with `code`.
    #[track_caller]
    pub fn inspect_refuses(&self, code: i32, arguments: &[&str], parts: &[&str]) {
        let before = self.files();
        self.inspect(arguments).says(code, parts);
        assert!(self.files() == before, "{arguments:?} changed files");
    }

    /// Returns every file with its content, and every folder, except lock files, which name the last process.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(self.folder.path(), &mut found);
        found
    }

    /// The names of the checkpoints in `run`, all of which must be valid.
    #[track_caller]
    pub fn valid_checkpoints(&self, run: &str) -> Vec<String> {
        self.inspect(&["verify", run]).says(0, &[]);
        let entries = fs::read_dir(self.path(run).join("checkpoints")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            collect(&path, found);
            found.insert(path, b"folder".to_vec());
        } else if kind.is_symlink() {
            found.insert(path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else if path.file_name().is_none_or(|name| name != "lock") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}
