//! The build and machine that wrote a checkpoint: whether another process can continue it with the same bits.

use std::time::{SystemTime, UNIX_EPOCH};

use candle_core::DType;
use serde::{Deserialize, Serialize};

use crate::cpu::product::{Instructions, instructions};
use crate::{cpu, device};

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
    /// The model of the GPU and the versions of its software, if it is an NVIDIA GPU: with others, the bits may differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// The instructions that multiplied bf16, if the run computes in it on the CPU: `amx_bf16`, `avx512_bf16` or `avx512_f32`, whose
    /// bits differ, or `f32` on a processor without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16_products: Option<String>,
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
            features: owned(&selected_kernels()),
            target: env!("REKINDLE_TARGET").to_owned(),
            cpu_features: owned(&cpu_features()),
            device: device.to_owned(),
            gpu: None,
            bf16_products: None,
            threads: rayon::current_num_threads(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }

    /// Returns the same on this GPU, as [`device::gpu`] describes it.
    #[must_use]
    pub fn on_gpu(self, gpu: Option<String>) -> Self {
        Self { gpu, ..self }
    }

    /// Returns the same for a run that computes in `dtype`.
    #[must_use]
    pub fn computing_in(self, dtype: DType) -> Self {
        let is_multiplied_here = dtype == DType::BF16 && self.device == "cpu";
        let instructions = match instructions() {
            Some(Instructions::Amx) => "amx_bf16",
            Some(Instructions::Dots) => "avx512_bf16",
            Some(Instructions::Fma) => "avx512_f32",
            None => "f32",
        };
        Self { bf16_products: is_multiplied_here.then(|| instructions.to_owned()), ..self }
    }

    /// Returns the differences between the writer of a checkpoint and `here`, one per line; empty if the same bits are
    /// promised. The time of writing and the number of threads do not count: bits do not depend on them.
    pub fn differences(&self, here: &Self) -> Vec<String> {
        let lines = [
            ("Rekindle", self.rekindle.clone(), here.rekindle.clone()),
            ("Candle", self.candle.clone(), here.candle.clone()),
            ("kernels", listed(&self.kernels()), listed(&here.kernels())),
            ("target", self.target.clone(), here.target.clone()),
            ("processor", listed(&self.cpu_features), listed(&here.cpu_features)),
            ("device", self.device_beside(here), here.device_beside(self)),
        ];
        let products = match (&self.bf16_products, &here.bf16_products) {
            (Some(there), Some(here)) => [there.clone(), here.clone()],
            // The precision itself differs where these do.
            _ => Default::default(),
        };
        let lines = lines.into_iter().chain([products].map(|[there, here]| ("products of bf16", there, here)));
        let differ = lines.filter(|(_, there, here)| there != here);
        differ.map(|(what, there, here)| format!("{what}: written with {there}, now {here}")).collect()
    }
}

impl WrittenBy {
    /// Returns the features whose kernels computed: those for GPUs only on one.
    fn kernels(&self) -> Vec<String> {
        let is_used = |feature: &String| match feature.as_str() {
            // The device itself differs where these do.
            "cuda" | "metal" => false,
            "cudnn" => device::kind(&self.device) == "cuda",
            _ => true,
        };
        self.features.iter().filter(|feature| is_used(feature)).cloned().collect()
    }

    /// Returns the device as far as it must be that of `other`, for the same bits: which of several equal GPUs it is
    /// does not matter.
    fn device_beside(&self, other: &Self) -> String {
        let is_of_one_kind = device::kind(&self.device) == device::kind(&other.device);
        match &self.gpu {
            Some(gpu) if is_of_one_kind && other.gpu.is_some() => gpu.clone(),
            _ if device::is_same(&self.device, &other.device) => device::kind(&self.device).to_owned(),
            _ => self.device.clone(),
        }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

fn selected_kernels() -> Vec<&'static str> {
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
    fn instructions_for_bf16_differ_only_where_it_is_computed_with() {
        let of = |dtype| WrittenBy::this_build("cpu").computing_in(dtype);
        assert_eq!(of(DType::F32).bf16_products, None);
        assert_eq!(WrittenBy::this_build("cuda").computing_in(DType::BF16).bf16_products, None);
        let here = of(DType::BF16);
        let there = WrittenBy { bf16_products: Some("another".to_owned()), ..here.clone() };
        let now = here.bf16_products.clone().unwrap();
        assert_eq!(there.differences(&here), [format!("products of bf16: written with another, now {now}")]);
        assert_eq!(there.differences(&of(DType::F32)), Vec::<String>::new());
        let kept: WrittenBy = serde_json::from_str(&serde_json::to_string(&there).unwrap()).unwrap();
        assert_eq!(kept, there);
    }

    #[test]
    fn a_device_differs_by_its_kind_or_its_model_and_not_by_its_number() {
        let of = |device: &str, gpu: Option<&str>| WrittenBy::this_build(device).on_gpu(gpu.map(str::to_owned));
        let told = |there: &WrittenBy, here: &WrittenBy| there.differences(here).concat();
        let (h100, a100) = (Some("H100, cuBLAS 130002"), Some("A100, cuBLAS 130002"));
        assert_eq!(told(&of("cuda:0", h100), &of("cuda", h100)), "");
        assert_eq!(told(&of("cuda:0", h100), &of("cuda:1", h100)), "");
        assert_eq!(told(&of("cuda", h100), &of("cpu", None)), "device: written with cuda, now cpu");
        let expected = "device: written with H100, cuBLAS 130002, now A100, cuBLAS 130002";
        assert_eq!(told(&of("cuda", h100), &of("cuda", a100)), expected);
        // A build for GPUs computes on the CPU as every other one.
        let with = |device: &str, features: &[&str]| WrittenBy { features: owned(features), ..of(device, None) };
        assert_eq!(told(&with("cpu", &["cuda", "cudnn"]), &with("cpu", &[])), "");
        let expected = "kernels: written with cudnn, now none";
        assert_eq!(told(&with("cuda", &["cuda", "cudnn"]), &with("cuda", &["cuda"])), expected);
        // Of some devices the model is not known.
        assert_eq!(told(&of("metal", None), &of("metal:0", None)), "");
        assert_eq!(told(&of("metal", None), &of("metal:1", None)), "device: written with metal, now metal:1");
    }

    #[test]
    fn the_build_knows_its_target_and_the_exact_version_of_candle() {
        let here = WrittenBy::this_build("cpu");
        assert!(here.target.starts_with(std::env::consts::ARCH), "{}", here.target);
        assert!(here.candle.starts_with("0.11."), "{}", here.candle);
    }
}
