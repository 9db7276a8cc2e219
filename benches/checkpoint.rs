//! Cost of saving. `cargo bench --bench checkpoint`; with `-- 100` for a state of 100 MB instead of 1 GB.
//!
//! Each result is printed beside its reference, measured in turns in the same run: a plain copy of the state, a bare
//! write and flush of the same bytes, a bare read of them. Then the examples, with a save every 50 steps and without.

#[expect(dead_code, reason = "this bench frees little before it begins")]
#[path = "../src/bin/train/memory.rs"]
mod memory;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use rekindle::checkpoint::{Checkpoint, Folder, Saver, WrittenBy};
use rekindle::optim::{AdamW, Gradients, Optimizer};
use rekindle::parameters::Parameters;
use rekindle::state::State;
use rekindle::train::{Control, Run, Setting, from_file};

/// Turns of each measurement; the result is the median.
const TURNS: usize = 5;

/// Elements of each tensor: 16 MB.
const ELEMENTS: usize = 4 << 20;

fn main() {
    memory::keep_freed();
    let megabytes = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1000);
    conditions();
    let place = tempfile::tempdir_in("target").expect("a folder in target");
    state_of(megabytes, place.path());
    throughput("digits", &[], place.path());
    // The largest state of all examples.
    throughput("fashion", &["train.epochs=", "train.steps=250"], place.path());
}

fn conditions() {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("processor{}, {cores} cores", model.trim_start());
    println!("load before: {}", read("/proc/loadavg").trim());
}

/// Weights and the two moments of AdamW, `megabytes` in all.
struct Trained {
    parameters: Parameters,
    optimizer: Optimizer,
}

impl Trained {
    fn new(megabytes: usize) -> Self {
        let count = (megabytes * 1_000_000 / 3 / 4).div_ceil(ELEMENTS);
        let values = Tensor::arange(0_u32, ELEMENTS as u32, &Device::Cpu).and_then(|t| t.to_dtype(DType::F32));
        let values = values.and_then(|values| values / ELEMENTS as f64).expect("a tensor");
        let var = |i: usize| (format!("layer.{i:02}"), Var::from_tensor(&(&values + i as f64).unwrap()).unwrap());
        let parameters: Parameters = (0..count).map(var).collect();
        let mut optimizer = Optimizer::new(&parameters, AdamW { lr: 1e-3, ..AdamW::default() }).expect("an optimizer");
        let squares =
            parameters.iter().map(|(_, var)| var.sqr().unwrap().sum_all().unwrap()).reduce(|a, b| (a + b).unwrap());
        let gradients = Gradients::from_loss(&squares.expect("a parameter"), &parameters)
            .expect("gradients")
            .measure()
            .expect("a norm");
        optimizer.update(&gradients, &[1e-3]).expect("an update");
        Self { parameters, optimizer }
    }

    /// Saves all of it, and returns the time of the copy.
    fn save(&self, saver: &mut Saver, step: u64) -> f64 {
        let began = Instant::now();
        let snapshot = saver.snapshot_at(step).part("model", &self.parameters).expect("the weights");
        let snapshot = snapshot.part("optimizer", &self.optimizer).expect("the moments");
        let copied = began.elapsed().as_secs_f64();
        saver.begin(snapshot, |_| Ok(()));
        saver.wait().expect("a save was begun").expect("it is saved");
        copied
    }

    fn save_into(&self, states: &mut [State; 2]) {
        use rekindle::state::Stateful;
        self.parameters.save_into(&mut states[0]).expect("the weights");
        self.optimizer.save_into(&mut states[1]).expect("the moments");
    }
}

/// Times of two things in turns, in seconds.
fn in_turns(mut first: impl FnMut(usize) -> f64, mut second: impl FnMut(usize) -> f64) -> (f64, f64) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        a.push(first(turn));
        b.push(second(turn));
    }
    (median(a), median(b))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn timed(what: impl FnOnce()) -> f64 {
    let began = Instant::now();
    what();
    began.elapsed().as_secs_f64()
}

fn state_of(megabytes: usize, place: &Path) {
    let trained = Trained::new(megabytes);
    let mut saver = Saver::new(Folder::new(place.join("checkpoints")), WrittenBy::this_build("cpu"));
    // Freed memory is returned, because otherwise the copy would be made in it.
    // SAFETY: it has no conditions.
    unsafe { libmimalloc_sys::mi_collect(true) };
    let before = resident();
    let first = trained.save(&mut saver, 0);
    let extra = peak().saturating_sub(before) as f64;

    let mut states = [State::default(), State::default()];
    trained.save_into(&mut states);
    let sources: Vec<Vec<u8>> =
        states.iter().flat_map(|state| state.tensors.values().map(|tensor| tensor.bytes.clone())).collect();
    let bytes: usize = sources.iter().map(Vec::len).sum();
    let gigabytes = bytes as f64 / 1e9;
    println!("\nstate of {gigabytes:.2} GB in {} tensors", sources.len());
    println!("  memory while saving: {:.2} of the state more than before", extra / bytes as f64);

    let mut copies = sources.clone();
    let (plain, stall) = in_turns(
        |_| timed(|| copies.iter_mut().zip(&sources).for_each(|(copy, source)| copy.copy_from_slice(source))),
        |_| timed(|| trained.save_into(&mut states)),
    );
    drop((copies, states));
    println!("  plain copy {plain:.3} s; copy of the state for a save {stall:.3} s: {:.2} times", stall / plain);
    println!("  the copy for the first save, into new memory: {first:.3} s");

    let rate = |seconds: f64| gigabytes / seconds;
    let (bare, saved) = in_turns(
        |turn| timed(|| bare_write(&sources, &place.join(format!("bare-{turn}")))),
        |turn| {
            let mut copied = 0.0;
            timed(|| copied = trained.save(&mut saver, turn as u64 + 1)) - copied
        },
    );
    println!("  bare write and flush {:.2} GB/s; save {:.2} GB/s: {:.2} of it", rate(bare), rate(saved), bare / saved);
    drop((sources, trained, saver));

    let (read, load) = in_turns(
        |turn| {
            let files = files(&place.join(format!("bare-{turn}")));
            cold(&files, |files| files.iter().for_each(|file| drop(fs::read(file))))
        },
        |turn| {
            let checkpoint = place.join(format!("checkpoints/step-{:010}", turn + 1));
            cold(&files(&checkpoint), |_| drop(Checkpoint::read(&checkpoint).expect("it is whole")))
        },
    );
    println!(
        "  bare read {:.2} GB/s; load with verification {:.2} GB/s: {:.2} of it",
        rate(read),
        rate(load),
        read / load
    );
}

fn bare_write(sources: &[Vec<u8>], path: &Path) {
    let mut file = File::create(path).expect("a file");
    sources.iter().for_each(|source| file.write_all(source).expect("it is written"));
    file.sync_all().expect("it is flushed");
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// Returns the time of `read` without the files in the system's cache, if the system allows dropping them.
fn cold(files: &[PathBuf], read: impl FnOnce(&[PathBuf])) -> f64 {
    #[cfg(target_os = "linux")]
    for file in files {
        let file = File::open(file).expect("a file");
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    timed(|| read(files))
}

/// Returns the memory of this process in bytes, now and its peak since the last call; 0 if the system does not report
/// it.
fn resident() -> usize {
    let _ = fs::write("/proc/self/clear_refs", "5");
    status("VmRSS:")
}

fn peak() -> usize {
    status("VmHWM:")
}

fn status(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<usize>().ok()).unwrap_or_default() * 1024
}

/// Steps a second of an example with and without saves, in turns.
fn throughput(example: &str, settings: &[&str], place: &Path) {
    let steps_per_second = |every: &str, out: PathBuf| {
        let every = format!("checkpoint.every={every}");
        let settings = settings.iter().copied().chain([&*every, "validation.every=1000000 epochs"]);
        let settings: Vec<Setting> = settings.map(|text| Setting::parse(text).expect("a setting")).collect();
        let config =
            from_file(&Path::new("examples").join(example).with_extension("toml"), &settings).expect("it is there");
        let mut run = Run::start(config, &out, Control::new()).expect("it starts");
        let seconds = timed(|| {
            run.train(&mut ()).expect("it trains");
        });
        run.session().total_steps() as f64 / seconds
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for turn in 0..2 * TURNS {
        without.push(steps_per_second("1000000 steps", place.join(format!("{example}-without-{turn}"))));
        with.push(steps_per_second("50 steps", place.join(format!("{example}-with-{turn}"))));
    }
    let (without, with) = (median(without), median(with));
    let share = 100.0 * (1.0 - with / without);
    println!("\n{example}: {without:.1} steps/s without saves, {with:.1} with one every 50 steps: {share:.1} % less");
}
