//! A short version of the fuzz targets: every file of their corpora, unchanged and in thousands of changed forms, the
//! same ones in each run. `fuzz/README.md` describes the real fuzzers.
#![cfg(target_os = "linux")]

#[path = "common/hostile/mod.rs"]
mod hostile;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hostile::{Arena, TARGETS, Target};

/// Changed forms of the corpus of one target.
const CHANGES: u64 = 4000;

/// Memory is counted for the whole process, so only one target runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

/// The names in a folder, without their endings.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_target_has_its_fuzzer_and_its_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}

/// Runs the corpus of a target and changed forms of it.
#[track_caller]
fn smoke(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let mut files: Vec<PathBuf> =
        fs::read_dir(fuzz("corpus").join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(corpus.len() >= 10, "the corpus of {name} has only {} files", corpus.len());
    let arena = Arena::new();
    for (path, content) in files.iter().zip(&corpus) {
        attempt(target, &arena, content, &path.display().to_string());
    }
    let mut random = Random(1);
    for number in 0..CHANGES {
        let changed = change(&corpus, &mut random);
        attempt(target, &arena, &changed, &format!("changed form {number} of the corpus of {name}"));
    }
}

/// Prints the input that broke a promise.
fn attempt(target: Target, arena: &Arena, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(arena, input))) {
        eprintln!("{what}:\n{}", String::from_utf8_lossy(input));
        resume_unwind(panic);
    }
}

/// A file of the corpus with a few changes: bits, pieces cut out, repeated or taken from another file, numbers.
fn change(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const WORDS: [&str; 8] =
        ["18446744073709551615", "-1", "1e308", "nan", "null", "[[", "\"", "../outside/x.safetensors"];
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let start = random.below(bytes.len() + 1);
        let end = (start + random.below(20)).min(bytes.len());
        match random.below(5) {
            0 if start < bytes.len() => bytes[start] ^= 1 << random.below(8),
            1 => drop(bytes.drain(start..end)),
            2 => {
                let piece = bytes[start..end].to_vec();
                bytes.splice(start..start, piece);
            }
            3 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(60)).min(other.len());
                bytes.splice(start..end, other[from..to].iter().copied());
            }
            _ => drop(bytes.splice(start..end, WORDS[random.below(WORDS.len())].bytes())),
        }
    }
    bytes
}

/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

#[test]
fn no_configuration_breaks_a_promise() {
    smoke("config");
}

#[test]
fn no_formula_breaks_a_promise() {
    smoke("formula");
}

#[test]
fn no_hdf5_file_breaks_a_promise() {
    smoke("peer_hdf5");
}

#[test]
fn no_log_breaks_a_promise() {
    smoke("log");
}

#[test]
fn no_manifest_breaks_a_promise() {
    smoke("manifest");
}

#[test]
fn no_json_of_another_trainer_breaks_a_promise() {
    smoke("peer_json");
}

#[test]
fn no_pickle_breaks_a_promise() {
    smoke("peer_pickle");
}

#[test]
fn no_file_of_pytorch_breaks_a_promise() {
    smoke("peer_torch");
}

#[test]
fn no_messagepack_breaks_a_promise() {
    smoke("peer_msgpack");
}

#[test]
fn no_database_of_arrays_breaks_a_promise() {
    smoke("peer_ocdbt");
}

#[test]
fn no_state_to_go_on_from_breaks_a_promise() {
    smoke("resume");
}

#[test]
fn no_tensor_file_breaks_a_promise() {
    smoke("safetensors");
}

#[test]
fn no_schedule_as_data_breaks_a_promise() {
    smoke("schedule_json");
}

#[test]
fn no_schedule_as_text_breaks_a_promise() {
    smoke("schedule_text");
}

#[test]
fn no_state_breaks_a_promise() {
    smoke("state");
}

#[test]
fn no_array_of_zarr_breaks_a_promise() {
    smoke("peer_zarr");
}
