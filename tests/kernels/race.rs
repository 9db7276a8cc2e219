//! ThreadSanitizer watches the kernels, and finds a wait that is missing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::emulator::{LIBRARIES, compile};
use super::library::{SOURCES, compiler};

/// All types take the same path through the same source, so two are enough.
const SANITIZE: &[&str] = &["-fsanitize=thread", "-g1", "-DFOR_TYPES(DEFINE)=DEFINE(f32, float) DEFINE(f64, double)"];
/// The exit code that ThreadSanitizer is told to end a process with that had a race.
const RACE: i32 = 66;

/// The run-time library of the compiler's ThreadSanitizer, which must be loaded before any other; none where the
/// compiler has none.
fn sanitizer() -> Option<PathBuf> {
    let output = Command::new(compiler()).arg("-print-file-name=libtsan.so").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // A compiler that does not find the file answers with its name alone.
    let found = path.is_absolute() && path.exists();
    if !found {
        eprintln!("SKIPPED: {:?} has no ThreadSanitizer (libtsan), so no race was looked for", compiler());
    }
    found.then_some(path)
}

/// Runs the tests of this program that have `filter` in their name, with the kernels in `sources`, watched.
fn watched(sanitizer: &Path, sources: &Path, filter: &str) -> Output {
    let libraries = env::join_paths(compile(sources, SANITIZE)).unwrap();
    Command::new(env::current_exe().unwrap())
        .args([filter, "--skip", "race::", "--skip", "conversions::", "--test-threads=1"])
        .env(LIBRARIES, libraries)
        .env("LD_PRELOAD", sanitizer)
        // How Rust's own threads wait for each other cannot be seen, so what they do to memory is not looked at.
        .env("TSAN_OPTIONS", format!("halt_on_error=1 ignore_noninstrumented_modules=1 exitcode={RACE}"))
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat()
}

#[test]
fn no_kernel_has_a_race() {
    let Some(sanitizer) = sanitizer() else { return };
    let output = watched(&sanitizer, Path::new(SOURCES), "");
    assert!(output.status.success(), "{}", text(&output));
}

/// A copy of the sources in which one line with a wait is taken out.
#[test]
fn a_wait_that_is_missing_is_found() {
    let Some(sanitizer) = sanitizer() else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in ["common.h", "host.h", "host_threads.h", "softmax.h", "softmax.cu"] {
        let text = fs::read_to_string(Path::new(SOURCES).join(name)).unwrap();
        let text = if name == "common.h" { text.replacen("    __syncthreads();\n", "", 1) } else { text };
        fs::write(folder.path().join(name), text).unwrap();
    }
    let output = watched(&sanitizer, folder.path(), "softmax::softmax_is");
    assert_eq!(output.status.code(), Some(RACE), "{}", text(&output));
    let report = text(&output);
    assert!(report.contains("ThreadSanitizer: data race") && report.contains("block_fold"), "{report}");
}
