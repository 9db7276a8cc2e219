//! Training on a data set of 20 GB in the memory of a small one.
#![cfg(target_os = "linux")]

#[path = "common/huge.rs"]
mod huge;

use std::fs;

use huge::{Huge, ROWS, WIDTH, train};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Memory that the process may use in addition to the files: a fortieth of the data.
const LIMIT: u64 = 512 << 20;

/// Peak memory of the process, including file pages, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Both in one test, because the limit and the peak are those of the whole process.
#[test]
fn twenty_gigabytes_are_trained_on_in_half_a_gigabyte() {
    assert!((ROWS * WIDTH) as u64 >= 20_000_000_000);
    let old = getrlimit(Resource::Data);
    setrlimit(Resource::Data, Rlimit { current: Some(LIMIT), maximum: old.maximum }).unwrap();
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for huge in [Huge::computed(ROWS), Huge::mapped(ROWS, file.path())] {
        let data = huge.data();
        // The rows of an epoch come from all over the data.
        let last_rows = data.train_rows().len() - 1;
        assert_eq!(data.train_rows().at(last_rows), Some(ROWS - 1001));
        let loss = train(&data, 40);
        assert!(loss < 0.3, "loss {loss}");
        assert_eq!(data.validation_batches().map(|batch| batch.unwrap().rows()).sum::<usize>(), 1000);
        // Far into the run, as after a resume: no earlier rows are read.
        assert_eq!(data.batch(1_000_000_007).unwrap().rows(), 64);
        assert!(peak() < LIMIT, "{} MB", peak() >> 20);
    }
}
