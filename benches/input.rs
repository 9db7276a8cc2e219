//! Cost of reading data, beside what a Python program would use: `REKINDLE_PYTHON=… cargo bench --bench input --features
//! parquet`. That Python needs torchvision, polars and tokenizers; it makes the data, and the two take turns.
//!
//! An epoch of JPEG images, resized, cropped and augmented: torchvision's `ImageFolder` with a `DataLoader` of two workers.
//! A table as CSV and as Parquet: polars, up to a matrix of f32. A text by a tokenizer: the batch mode of `tokenizers`.
//! `TURNS` is the number of turns, of which the median counts. Names of ways, such as `parquet`, measure only these.
//!
//! The allocator is that of `train`. Both processes keep the memory of a turn for the next one.

#[expect(dead_code, reason = "memory is kept from turn to turn")]
#[path = "../src/bin/train/memory.rs"]
mod memory;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use candle_core::Device;
use rekindle::data::{Data, DataConfig};

/// Each way of reading, with the configuration of its data.
const WAYS: [(&str, &str); 4] = [
    (
        "images",
        "path = 'images'\nformat = 'images'\nresize = 144\ncrop = 128\nbatch_size = 64\nshuffle = true\n[augment]\ncrop = { area = [0.3, 1.0] }\nflip = true",
    ),
    ("csv", "path = 'table.csv'\nlabel = 'y'\ntask = 'regression'\nstandardize = false\nbatch_size = 1024"),
    ("parquet", "path = 'table.parquet'\nlabel = 'y'\ntask = 'regression'\nstandardize = false\nbatch_size = 1024"),
    (
        "text",
        "path = 'text.txt'\nformat = 'text'\ntokenizer = 'tokenizer.json'\ncache = 'tokens'\ncontext = 64\nbatch_size = 8",
    ),
];

fn main() {
    memory::keep_freed();
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let turns = std::env::var("TURNS").ok().and_then(|value| value.parse().ok()).unwrap_or(7);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{cores} cores, load before: {}", load.trim());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let Some(mut python) = Python::start(folder.path()) else {
        return println!("REKINDLE_PYTHON names no Python that makes the data and is compared");
    };
    for (way, config) in WAYS {
        let is_asked = named.is_empty() || named.iter().any(|name| name == way);
        if !is_asked || way == "parquet" && !cfg!(feature = "parquet") {
            continue;
        }
        let config = config.replace("path = '", &format!("path = '{}/", folder.path().display()));
        let config = config.replace("tokenizer = '", &format!("tokenizer = '{}/", folder.path().display()));
        let tokens = folder.path().join("tokens");
        let config = config.replace("cache = 'tokens'", &format!("cache = '{}'", tokens.display()));
        let config: DataConfig = toml::from_str(&config).expect("a configuration");
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            // Tokens that were kept would not be computed again.
            let _ = std::fs::remove_dir_all(&tokens);
            own.push(read(&config));
            theirs.push(python.read(way));
        }
        let (own, theirs) = (median(own), median(theirs));
        println!("{way:<8} {own:>7.3} s, in Python {theirs:>7.3} s: {:.2} of its speed", theirs / own);
    }
}

/// Opens the data, or makes the batches of an epoch of images, which are read then. Returns the seconds.
fn read(config: &DataConfig) -> f64 {
    let mut began = Instant::now();
    let data = Data::open(config, 1, &Device::Cpu).expect("the data");
    if config.augment.is_some() {
        began = Instant::now();
        (0..data.steps_per_epoch()).for_each(|step| drop(data.batch(step).expect("a batch")));
    }
    began.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A process that makes the data, reads what it is told, and says how many seconds it took.
struct Python {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Python {
    fn start(folder: &Path) -> Option<Self> {
        let python = std::env::var("REKINDLE_PYTHON").ok()?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/input.py");
        let mut command = Command::new(python);
        command.arg(script).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python begins");
        let said = BufReader::new(child.stdout.take().expect("its output"));
        let mut python = Self { child, said };
        (python.line().as_deref() == Some("ready")).then_some(python)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.said.read_line(&mut line).expect("a line");
        (read > 0).then(|| line.trim().to_owned())
    }

    fn read(&mut self, way: &str) -> f64 {
        let stdin = self.child.stdin.as_mut().expect("its input");
        writeln!(stdin, "{way}").and_then(|()| stdin.flush()).expect("it listens");
        self.line().and_then(|seconds| seconds.parse().ok()).expect("a number of seconds")
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
