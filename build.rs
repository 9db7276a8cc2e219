//! Records the target triple, and the exact version of Candle in the lock file of this build, so that a checkpoint can
//! name the build that wrote it.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The required version of Candle, if the exact version cannot be determined.
const CANDLE_SERIES: &str = "0.11";

fn main() {
    let candle = lock_file().and_then(|path| candle_version(&path)).unwrap_or_else(|| CANDLE_SERIES.to_owned());
    println!("cargo::rustc-env=REKINDLE_CANDLE={candle}");
    println!("cargo::rustc-env=REKINDLE_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
}

/// Returns the lock file of the workspace that is being built: the one next to its target directory, which may differ
/// from ours when Rekindle is a dependency.
fn lock_file() -> Option<PathBuf> {
    let start = [env::var_os("OUT_DIR"), env::var_os("CARGO_MANIFEST_DIR")];
    let path = start
        .iter()
        .flatten()
        .flat_map(|folder| Path::new(folder).ancestors())
        .map(|folder| folder.join("Cargo.lock"))
        .find(|path| path.is_file())?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(path)
}

/// Returns the version of `candle-core` in our series in `lock`, if there is exactly one.
fn candle_version(lock: &Path) -> Option<String> {
    let text = fs::read_to_string(lock).ok()?;
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line != "name = \"candle-core\"" {
            continue;
        }
        let version = lines.peek().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        found.extend(version.filter(|version| version.starts_with(CANDLE_SERIES)).map(str::to_owned));
    }
    if found.len() == 1 { found.pop() } else { None }
}
