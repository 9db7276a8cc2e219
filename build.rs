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
    #[cfg(feature = "cuda")]
    kernels::compile();
}

/// The kernels for NVIDIA GPUs.
#[cfg(feature = "cuda")]
mod kernels {
    use std::fmt::Write;
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    const SOURCES: &str = "src/cuda/kernels";

    /// Compiles each file of kernels to PTX, and writes `kernels.rs`: a function from the name of a kernel to the file
    /// that has it.
    pub fn compile() {
        println!("cargo::rerun-if-changed={SOURCES}");
        match cudaforge::detect_compute_cap() {
            Ok(capability) => println!("cargo::rustc-env=REKINDLE_COMPUTE_CAP={capability}"),
            Err(error) => fail(&format!("it is not known for which GPU to build: {error}")),
        }
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
        // Without contraction a product and a sum would round as on the processor, at half the speed.
        let builder = cudaforge::KernelBuilder::new().source_dir(SOURCES).watch([SOURCES]);
        let built = builder.arg("-std=c++17").arg("-O3").out_dir(&out).build_ptx();
        if let Err(error) = built {
            fail(&format!("the kernels in {SOURCES} cannot be compiled: {error}"));
        }
        let arms: String = files_of_kernels().iter().map(|stem| arm(&out, stem)).collect();
        let signature = "pub fn of(kernel: &str) -> Option<(&'static str, &'static str)>";
        let code = format!("{signature} {{\n    Some(match kernel {{\n{arms}        _ => return None,\n    }})\n}}\n");
        fs::write(out.join("kernels.rs"), code).expect("OUT_DIR can be written to");
    }

    fn fail(reason: &str) -> ! {
        eprintln!("{reason}; docs/cuda.md says what a build needs");
        std::process::exit(1);
    }

    fn files_of_kernels() -> Vec<String> {
        let entries = fs::read_dir(SOURCES).expect("the sources are part of the package");
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let sources = paths.filter(|path| path.extension().is_some_and(|end| end == "cu"));
        let mut stems: Vec<String> = sources.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
        stems.sort();
        stems
    }

    /// `"a" | "b" => (stem, PTX),` for the kernels in a file.
    fn arm(out: &Path, stem: &str) -> String {
        let path = out.join(stem).with_extension("ptx");
        let ptx = fs::read_to_string(&path).expect("nvcc has written it");
        let entries = ptx.lines().filter_map(|line| line.strip_prefix(".visible .entry "));
        let names: Vec<String> = entries.map(|name| format!("{:?}", name.trim_end_matches('('))).collect();
        let mut arm = String::new();
        if !names.is_empty() {
            let _ = writeln!(arm, "        {} => ({stem:?}, include_str!({path:?})),", names.join(" | "));
        }
        arm
    }
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
