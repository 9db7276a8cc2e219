//! The build and machine that wrote a checkpoint: whether another process can continue it with the same bits.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::cpu;

/// The build and the machine that wrote a checkpoint. It names no host, user or path.
///
/// Bits are promised for the same build on the same kind of processor. Elsewhere a run continues within rounding,
/// and [`WrittenBy::differences`] lists the reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenBy {
    /// Version of Rekindle.
    pub rekindle: String,
    /// Version of Candle.
    pub candle: String,
    /// The names of all that selects other kernels: Cargo features of Rekindle, such as `mkl`, and `reference` where
    /// the kernels of the CPU are turned off; in alphabetical order.
    pub features: Vec<String>,
    /// Target triple of the build.
    pub target: String,
    /// Instruction sets of the processor with separate kernels, in alphabetical order.
    pub cpu_features: Vec<String>,
    /// The training device, as the program names it: `cpu`, `cuda`.
    pub device: String,
    /// Number of compute threads.
    pub threads: usize,
    /// Time of writing, in seconds since 1970-01-01 00:00 UTC.
    pub created: u64,
}

impl WrittenBy {
    /// Returns this build, on this machine, at this moment, training on `device`.
    pub fn this_build(device: &str) -> Self {
        Self {
            rekindle: env!("CARGO_PKG_VERSION").to_owned(),
            candle: env!("REKINDLE_CANDLE").to_owned(),
            features: owned(&kernels()),
            target: env!("REKINDLE_TARGET").to_owned(),
            cpu_features: owned(&cpu_features()),
            device: device.to_owned(),
            threads: rayon::current_num_threads(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }

    /// Returns the differences between the writer of a checkpoint and `here`, one per line; empty if the same bits are
    /// promised. The time of writing and the number of threads do not count: bits do not depend on them.
    pub fn differences(&self, here: &Self) -> Vec<String> {
        let lines = [
            ("Rekindle", self.rekindle.clone(), here.rekindle.clone()),
            ("Candle", self.candle.clone(), here.candle.clone()),
            ("kernels", listed(&self.features), listed(&here.features)),
            ("target", self.target.clone(), here.target.clone()),
            ("processor", listed(&self.cpu_features), listed(&here.cpu_features)),
            ("device", self.device.clone(), here.device.clone()),
        ];
        let differ = lines.into_iter().filter(|(_, there, here)| there != here);
        differ.map(|(what, there, here)| format!("{what}: written with {there}, now {here}")).collect()
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

fn kernels() -> Vec<&'static str> {
    let all = [
        ("accelerate", cfg!(feature = "accelerate")),
        ("cuda", cfg!(feature = "cuda")),
        ("cudnn", cfg!(feature = "cudnn")),
        ("metal", cfg!(feature = "metal")),
        ("mkl", cfg!(feature = "mkl")),
        ("reference", !cpu::has_kernels()),
    ];
    all.into_iter().filter_map(|(name, on)| on.then_some(name)).collect()
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let all = [
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("fma", is_x86_feature_detected!("fma")),
    ];
    all.into_iter().filter_map(|(name, present)| present.then_some(name)).collect()
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<&'static str> {
    let all = [
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
    ];
    all.into_iter().filter_map(|(name, present)| present.then_some(name)).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_elsewhere_says_what_differs() {
        let here = WrittenBy::this_build("cpu");
        let later = WrittenBy { created: here.created + 5, ..here.clone() };
        assert_eq!(later.differences(&here), Vec::<String>::new());
        let there = WrittenBy { threads: here.threads + 1, candle: "0.11.0-old".into(), ..later };
        let expected = format!("Candle: written with 0.11.0-old, now {}", here.candle);
        assert_eq!(there.differences(&here), [expected]);
    }

    #[test]
    fn the_build_knows_its_target_and_the_exact_version_of_candle() {
        let here = WrittenBy::this_build("cpu");
        assert!(here.target.starts_with(std::env::consts::ARCH), "{}", here.target);
        assert!(here.candle.starts_with("0.11."), "{}", here.candle);
    }
}
