//! What the results of a processor are called: its model, its widest instruction set and its number of cores.

use crate::results::Results;

/// The instruction sets that matter for products of matrices, as Linux and the readers call them, widest first.
const INSTRUCTIONS: [(&str, &str); 6] = [
    ("amx_bf16", "AMX"),
    ("avx512_bf16", "AVX512-BF16"),
    ("avx512f", "AVX-512"),
    ("avx2", "AVX2"),
    ("sve", "SVE"),
    ("asimd", "NEON"),
];

/// Words in a processor's model that do not tell it from another.
const EMPTY: [&str; 3] = ["Processor", "CPU", "@"];

/// The instruction sets of `INSTRUCTIONS` among the flags in `/proc/cpuinfo`.
pub fn instructions(cpuinfo: &str) -> Vec<String> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    let flags: Vec<&str> = flags.unwrap_or_default().split_whitespace().collect();
    INSTRUCTIONS.iter().map(|(flag, _)| *flag).filter(|flag| flags.contains(flag)).map(str::to_owned).collect()
}

/// What trained: `Intel Xeon, AMX, 2 cores`, or the name of the GPU.
pub fn title(results: &Results) -> String {
    let told = &results.conditions;
    if results.device != "cpu" {
        return told.gpu.split([',', '\n']).next().unwrap_or_default().trim().to_owned();
    }
    let model = told.processor.replace("(R)", " ").replace("(TM)", " ");
    let words = model.split_whitespace().filter(|word| !EMPTY.contains(word) && !word.ends_with("GHz"));
    let has = |flag: &str| told.instructions.iter().any(|own| own == flag);
    let widest = INSTRUCTIONS.iter().find(|(flag, _)| has(flag)).map(|(_, name)| (*name).to_owned());
    let plural = if told.cores == 1 { "" } else { "s" };
    let model = words.collect::<Vec<_>>().join(" ");
    [Some(model), widest, Some(format!("{} core{plural}", told.cores))]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// The title as the name of a file.
pub fn file_name(results: &Results) -> String {
    let title = title(results).to_lowercase();
    let words = title.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Told;

    fn on(processor: &str, cpuinfo: &str, cores: usize) -> Results {
        let (processor, instructions) = (processor.to_owned(), instructions(cpuinfo));
        let conditions = Told { processor, instructions, cores, ..Told::default() };
        Results { conditions, device: "cpu".to_owned(), ..Results::default() }
    }

    #[test]
    fn a_processor_is_called_by_its_model_its_widest_instructions_and_its_cores() {
        let results = on("Intel(R) Xeon(R) Processor", "flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16", 2);
        assert_eq!(title(&results), "Intel Xeon, AMX, 2 cores");
        assert_eq!(file_name(&results), "intel-xeon-amx-2-cores");
        let results = on("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", "flags : avx avx2", 1);
        assert_eq!(file_name(&results), "intel-core-i7-8550u-avx2-1-core");
        assert_eq!(file_name(&on("Neoverse-N1", "Features : fp asimd", 4)), "neoverse-n1-neon-4-cores");
    }

    #[test]
    fn a_gpu_is_called_by_its_name() {
        let mut results = on("AMD EPYC", "", 4);
        results.device = "cuda".to_owned();
        results.conditions.gpu = "NVIDIA H200, 580.1, 143771 MiB".to_owned();
        assert_eq!((title(&results), file_name(&results)), ("NVIDIA H200".to_owned(), "nvidia-h200".to_owned()));
    }
}
