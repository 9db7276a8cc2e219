//! Minimal configurations. [`Config::complete`] adds the defaults to them.

use serde_json::{Value, json};

use crate::train::config::Config;

/// A configuration as written, and with every default filled in.
pub(super) struct Sample {
    /// The format of its data, as named on the page.
    pub format: &'static str,
    pub typed: Value,
    pub complete: Value,
}

/// Every optimizer that trains.
const OPTIMIZERS: [&str; 33] = [
    "sgd",
    "adam",
    "adamw",
    "nadam",
    "radam",
    "adamax",
    "rmsprop",
    "adagrad",
    "lion",
    "adafactor",
    "muon",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "lamb",
    "adadelta",
    "rprop",
    "asgd",
    "adopt",
    "ademamix",
    "adan",
    "prodigy",
    "mars",
    "stable_adamw",
    "soap",
    "lars",
    "novograd",
    "adabelief",
    "yogi",
    "laprop",
    "came",
    "shampoo",
    "grokfast_adamw",
    "ftrl",
];

/// Returns a sample for every format, and for every kind of model and optimizer. Where a default depends on another
/// key, two samples have different defaults.
pub(super) fn samples() -> Vec<Sample> {
    let base = |format, data: Value| {
        (
            format,
            json!({
                "data": data,
                "model": {"kind": "mlp"},
                "optimizer": {"kind": "sgd", "lr": 0.1},
                "train": {"epochs": 1},
            }),
        )
    };
    let with = |key: &str, value: Value| {
        let (format, mut config) = base("CSV", json!({"path": "data.csv"}));
        config[key] = value;
        (format, config)
    };
    let group = json!([{"parameters": ["*"]}]);
    let group_of = |kind: &str| json!([{"parameters": ["*"], "kind": kind, "lr": 0.1}]);
    let all = [
        base("CSV", json!({"path": "data.csv"})),
        base("Parquet", json!({"path": "data.parquet"})),
        base("safetensors", json!({"path": "data.safetensors"})),
        base("npy", json!({"path": "data.npy"})),
        base("npz", json!({"path": "data.npz"})),
        base("IDX", json!({"path": "data", "format": "idx"})),
        base("images", json!({"path": "data", "format": "images"})),
        base("text", json!({"path": "data.txt", "context": 64})),
        base("jsonl", json!({"path": "data.jsonl", "context": 64})),
        base("jsonl", json!({"path": "data.jsonl", "context": 64, "prompt": "prompt"})),
        base("CSV", json!({"path": "data.csv", "task": "regression"})),
        base("CSV", json!({"path": "data.csv", "missing": "mean"})),
        base("Parquet", json!({"path": "data.parquet", "missing": "mean"})),
        base("IDX", json!({"path": "data", "format": "idx", "augment": {}})),
        base("IDX", json!({"path": "data", "format": "idx", "augment": {"normalize": {"mean": [0.5], "std": [0.5]}}})),
        with("model", json!({"kind": "convnet", "blocks": [{"channels": 8}]})),
        with("model", json!({"kind": "convnet", "blocks": [{"channels": 8, "pool": "max"}]})),
        with("model", json!({"kind": "convnet", "blocks": [{"channels": 8, "pool": "max", "pool_kernel": 3}]})),
        with("model", json!({"kind": "resnet"})),
        with("model", json!({"kind": "gpt", "layers": 1, "heads": 1, "width": 8})),
        with("model", json!({"kind": "gpt", "layers": 1, "heads": 2, "width": 16})),
        with("optimizer", json!({"kind": "frozen"})),
        with("checkpoint", json!({"keep": {"last": 1}})),
        with("hooks", json!({"on_end": ["true"]})),
        with("ema", json!({})),
        with("swa", json!({})),
        with("early_stopping", json!({"patience": 1})),
        with("train", json!({"epochs": 1, "gradient_noise": {"eta": 0.1}})),
        with("validation", json!({"metrics": [{"kind": "top_k_accuracy"}]})),
        with("validation", json!({"metrics": [{"kind": "calibration_error"}]})),
        with("validation", json!({"metrics": [{"kind": "quantile_loss"}]})),
        with("loss", json!({"kind": "focal"})),
        with("loss", json!({"kind": "huber"})),
        base("IDX", json!({"path": "data", "format": "idx", "augment": {"crop": {}, "rotate": {"degrees": 9}}})),
        base("IDX", json!({"path": "data", "format": "idx", "augment": {"colour": {}, "erase": {}}})),
        base(
            "IDX",
            json!({"path": "data", "format": "idx", "augment": {"mixup": {"alpha": 1}, "cutmix": {"alpha": 1}}}),
        ),
    ];
    let optimizers = OPTIMIZERS.map(|kind| with("optimizer", json!({"kind": kind, "lr": 0.1, "groups": group})));
    let in_groups =
        OPTIMIZERS.map(|kind| with("optimizer", json!({"kind": "sgd", "lr": 0.1, "groups": group_of(kind)})));
    let all = all.into_iter().chain(optimizers).chain(in_groups);
    all.filter_map(|(format, typed)| Sample::new(format, typed)).collect()
}

impl Sample {
    /// Returns `None` if `typed` is not a configuration, which a test excludes.
    fn new(format: &'static str, typed: Value) -> Option<Self> {
        let config: Config = serde_json::from_value(typed.clone()).ok()?;
        let complete = serde_json::to_value(config.complete()).ok()?;
        Some(Self { format, typed, complete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_is_a_configuration() {
        assert_eq!(samples().len(), 36 + 2 * OPTIMIZERS.len());
        for sample in samples() {
            let config: Config = serde_json::from_value(sample.complete.clone()).unwrap();
            assert_eq!(serde_json::to_value(config.complete()).unwrap(), sample.complete);
        }
    }
}
