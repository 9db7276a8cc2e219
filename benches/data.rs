//! Cost of feeding a run. `cargo bench --bench data`.
//!
//! First, training on data of 20 GB compared with the same training on data of 20 MB, in turns, for computed rows and
//! for rows of a mapped file: the ratio of their speeds should be near 1. Then the examples whose batches cost next to
//! nothing, in updates per second: there prefetching must have no visible cost.

#[path = "../tests/common/huge.rs"]
mod huge;

use std::path::Path;
use std::time::Instant;

use huge::{Huge, ROWS, train};
use rekindle::train::{Control, Run, Setting, from_file};

const TURNS: usize = 5;
const STEPS: u64 = 200;
const SMALL: usize = 5_000;

fn median(mut speeds: Vec<f64>) -> f64 {
    speeds.sort_by(f64::total_cmp);
    speeds[speeds.len() / 2]
}

fn speed(huge: Huge) -> f64 {
    let data = huge.data();
    let began = Instant::now();
    train(&data, STEPS);
    STEPS as f64 / began.elapsed().as_secs_f64()
}

fn compare(name: &str, of: impl Fn(usize) -> Huge) {
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        small.push(speed(of(SMALL)));
        large.push(speed(of(ROWS)));
    }
    let (small, large) = (median(small), median(large));
    println!("{name}: {small:.0} steps/s on 20 MB, {large:.0} on 20 GB, ratio {:.3}", large / small);
}

fn example(name: &str, settings: &[&str]) {
    let settings: Vec<Setting> = settings.iter().map(|text| Setting::parse(text).expect("a setting")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let speeds = (0..TURNS).map(|_| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = from_file(&path, &settings).expect("an example");
        let mut run = Run::start(config, &folder.path().join("run"), Control::new()).expect("a run");
        let (began, steps) = (Instant::now(), run.session().total_steps());
        run.train(&mut ()).expect("training");
        steps as f64 / began.elapsed().as_secs_f64()
    });
    println!("examples/{name}: {:.0} steps/s", median(speeds.collect()));
}

fn main() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{cores} cores, load before: {}", load.trim());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    compare("computed rows", Huge::computed);
    compare("rows of a mapped file", |rows| Huge::mapped(rows, &folder.path().join("rows")));
    example("digits.toml", &["train.epochs=10", "checkpoint.every=1000 epochs"]);
    example("notebook.toml", &["train.steps=2000", "checkpoint.every=100000 steps", "schedule="]);
}
