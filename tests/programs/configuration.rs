//! The reference has every key and is correct; the configuration that a run writes is complete; and `train check`
//! trains nothing.
//!
//! `REKINDLE_DRAW=1 cargo test --test programs configuration` rewrites the reference; without it an outdated page is a
//! failure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::programs::Workplace;
use rekindle::data::DataConfig;
use rekindle::model::{ConvBlock, ConvNetConfig, MlpConfig, ModelConfig};
use rekindle::optim::AdamW;
use rekindle::reference::{Key, Table, page, schema, tables};
use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::train::{Config, TrainConfig, from_file};
use serde_json::{Value, json};

#[test]
fn the_committed_reference_is_what_would_be_written() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for (name, text) in [("configuration.md", page()), ("config.schema.json", format!("{:#}\n", schema()))] {
        let path = docs.join(name);
        if std::env::var_os("REKINDLE_DRAW").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "docs/{name} is out of date: rewrite it with REKINDLE_DRAW=1");
    }
}

/// Checks `value` against `schema`, as far as the configuration's schema uses JSON schema, and returns the faults.
fn faults(schema: &Value, root: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fault = |what: &str| found.push(format!("{place}: {what}"));
    if let Some(reference) = schema["$ref"].as_str() {
        let target = &root["$defs"][reference.strip_prefix("#/$defs/").unwrap()];
        assert!(target.is_object(), "{reference}");
        return faults(target, root, value, place);
    }
    let is_of = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        other => panic!("type {other}"),
    };
    match &schema["type"] {
        Value::String(name) if !is_of(name) => fault("another type"),
        Value::Array(names) if !names.iter().any(|name| is_of(name.as_str().unwrap())) => fault("another type"),
        _ => {}
    }
    if schema.get("const").is_some_and(|constant| constant != value) {
        fault("another constant");
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        fault("another word");
    }
    let limit = |key: &str| schema[key].as_f64().zip(value.as_f64());
    if limit("minimum").is_some_and(|(limit, value)| value < limit)
        || limit("exclusiveMinimum").is_some_and(|(limit, value)| value <= limit)
        || limit("maximum").is_some_and(|(limit, value)| value > limit)
        || limit("exclusiveMaximum").is_some_and(|(limit, value)| value >= limit)
    {
        fault("out of range");
    }
    for (key, is_right) in
        [("oneOf", (|matching| matching == 1) as fn(usize) -> bool), ("anyOf", |matching| matching > 0)]
    {
        if let Some(choices) = schema[key].as_array() {
            let matching = choices.iter().filter(|choice| faults(choice, root, value, place).is_empty()).count();
            if !is_right(matching) {
                fault(&format!("fits {matching} of {key}"));
            }
        }
    }
    if let Some(items) = value.as_array() {
        if schema["minItems"].as_u64().is_some_and(|least| (items.len() as u64) < least) {
            fault("too few");
        }
        if schema["items"].is_object() {
            let inner = |(i, item)| faults(&schema["items"], root, item, &format!("{place}[{i}]"));
            found.extend(items.iter().enumerate().flat_map(inner));
        }
    }
    if let Some(entries) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !entries.contains_key(name.as_str().unwrap()) {
                found.push(format!("{place}: lacks {name}"));
            }
        }
        for (name, value) in entries {
            match schema["properties"].get(name) {
                Some(inner) => found.extend(faults(inner, root, value, &format!("{place}.{name}"))),
                None if schema["additionalProperties"] == false => found.push(format!("{place}: unknown {name}")),
                None => {}
            }
        }
    }
    found
}

fn examples() -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let read = files.map(|path| (path.clone(), toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()));
    // A sweep is not a configuration of a run.
    read.filter(|(_, config): &(_, Value)| config.get("search").is_none()).collect()
}

/// Optimizers with every key, beside those in [`whole`].
fn optimizers() -> [Value; 25] {
    [
        json!({"kind": "lion", "lr": 0.1, "betas": [0.9, 0.99], "weight_decay": 0.1, "decoupled": "composer",
            "cautious": "timm"}),
        json!({"kind": "adafactor", "lr": 0.1, "beta2_decay": -0.5, "eps": [1e-30, 1e-3], "clip_threshold": 2.0,
            "beta1": 0.9, "weight_decay": 0.1, "scale_parameter": false, "relative_step": true, "warmup_init": true,
            "min_dim_size_to_factor": 128, "momentum_dtype": "bf16", "variant": "transformers"}),
        json!({"kind": "muon", "lr": 0.1, "momentum": 0.9, "nesterov": false, "weight_decay": 0.1,
            "adjust_lr": "match_rms_adamw", "ns_steps": 4, "ns_coefficients": [3.0, -4.0, 2.0], "eps": 1e-7,
            "adamw_lr_ratio": 0.5, "adamw_betas": [0.9, 0.99], "adamw_eps": 1e-8, "variant": "keller_jordan"}),
        json!({"kind": "schedule_free_adamw", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1,
            "warmup_steps": 3, "r": 1.0, "weight_lr_power": 1.0, "rectify": "sgd", "variant": "optax"}),
        json!({"kind": "schedule_free_sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "warmup_steps": 3,
            "r": 1.0, "weight_lr_power": 1.0, "variant": "optax"}),
        json!({"kind": "lamb", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1,
            "decoupled_weight_decay": true, "grad_averaging": false, "always_adapt": true, "trust_clip": true,
            "variant": "pytorch_optimizer"}),
        json!({"kind": "adadelta", "lr": 0.1, "rho": 0.9, "eps": 1e-8, "weight_decay": 0.1, "variant": "keras"}),
        json!({"kind": "rprop", "lr": 0.1, "etas": [0.5, 1.2], "step_sizes": [1e-6, 50.0], "weight_decay": 0.1, "variant": "optax"}),
        json!({"kind": "asgd", "lr": 0.1, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.1}),
        json!({"kind": "adopt", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1,
            "decoupled_weight_decay": true, "variant": "pytorch_optimizer"}),
        json!({"kind": "ademamix", "lr": 0.1, "betas": [0.9, 0.99, 0.999], "alpha": 4.0, "t_alpha_beta3": 100,
            "eps": 1e-8, "weight_decay": 0.1}),
        json!({"kind": "adan", "lr": 0.1, "betas": [0.9, 0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1,
            "no_prox": true, "caution": true}),
        json!({"kind": "prodigy", "lr": 1.0, "betas": [0.9, 0.99], "beta3": 0.99, "eps": 1e-8, "weight_decay": 0.1,
            "d0": 1e-5, "d_coef": 0.5, "growth_rate": 1.1, "use_bias_correction": true, "safeguard_warmup": true, "slice_p": 2}),
        json!({"kind": "mars", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1, "gamma": 0.1}),
        json!({"kind": "stable_adamw", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1}),
        json!({"kind": "soap", "lr": 0.1, "betas": [0.9, 0.99], "shampoo_beta": 0.9, "eps": 1e-8, "weight_decay": 0.1,
            "precondition_frequency": 2, "max_precondition_dim": 100, "precondition_1d": true, "correct_bias": false}),
        json!({"kind": "lars", "lr": 0.1, "momentum": 0.9, "nesterov": true, "weight_decay": 0.1,
            "trust_coefficient": 0.02, "eps": 1e-8, "always_adapt": true, "variant": "optax"}),
        json!({"kind": "novograd", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1,
            "grad_averaging": true}),
        json!({"kind": "adabelief", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1,
            "decoupled_weight_decay": false}),
        json!({"kind": "yogi", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1,
            "initial_accumulator_value": 1e-5}),
        json!({"kind": "laprop", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1}),
        json!({"kind": "came", "lr": 0.1, "betas": [0.9, 0.99, 0.999], "eps": [1e-30, 1e-16], "clip_threshold": 2.0,
            "weight_decay": 0.1}),
        json!({"kind": "shampoo", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "matrix_eps": 1e-5,
            "precondition_frequency": 2, "max_precondition_dim": 100}),
        json!({"kind": "grokfast_adamw", "lr": 0.1, "betas": [0.9, 0.99], "grokfast_alpha": 0.9, "grokfast_lamb": 1.0,
            "eps": 1e-8, "weight_decay": 0.1}),
        json!({"kind": "ftrl", "lr": 0.1, "l1": 0.1, "l2": 0.1, "beta": 1.0, "initial_accumulator_value": 0.2,
            "weight_decay": 0.1}),
    ]
}

/// The metrics without settings.
const METRICS: [&str; 23] = [
    "accuracy",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "bits_per_byte",
    "brier_score",
    "confusion_matrix",
    "f1",
    "f1_macro",
    "f1_micro",
    "f1_per_class",
    "mean_absolute_error",
    "perplexity",
    "precision",
    "precision_macro",
    "precision_micro",
    "precision_per_class",
    "r2",
    "recall",
    "recall_macro",
    "recall_micro",
    "recall_per_class",
    "root_mean_squared_error",
];

/// A configuration with every key of every table in it, one for each kind.
fn whole() -> Vec<Value> {
    let mut all = of_every_kind();
    for optimizer in all.iter_mut().filter_map(|config| config["optimizer"].as_object_mut()) {
        optimizer.insert("layer_decay".to_owned(), json!({"factor": 0.5, "layers": ["*"]}));
        for group in optimizer.get_mut("groups").and_then(Value::as_array_mut).into_iter().flatten() {
            group["clip_norm"] = json!(1.0);
        }
    }
    all
}

/// The same without the keys that every kind of optimizer has.
fn of_every_kind() -> Vec<Value> {
    let mut base = json!({
        "seed": 1, "device": "cpu", "precision": "bf16",
        "data": {"path": "a.csv"},
        "model": {"kind": "mlp", "hidden": [3, 3], "activation": "tanh", "dropout": 0.1, "tied": [["2.bias", "0.bias"]],
            "lora": {"rank": 2, "alpha": 4.0, "patterns": ["0"], "trained": ["*.bias"]}},
        "loss": {"kind": "cross_entropy", "label_smoothing": 0.1},
        "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.0, "nesterov": true,
            "weight_decay": 0.1, "decoupled": "composer", "variant": "keras", "decay": "all",
            "groups": [
                {"parameters": ["*"], "lr": 0.1, "weight_decay": 0.1, "momentum": 0.5, "decay": "matrices"},
                {"parameters": ["*"], "decay": "matrices", "kind": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.0,
                    "nesterov": true, "weight_decay": 0.1, "decoupled": "rate", "variant": "keras"},
                {"parameters": ["*"], "decay": "all", "kind": "adam", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8,
                    "weight_decay": 0.1, "amsgrad": true, "variant": "keras", "mu_dtype": "bf16"},
                {"parameters": ["*"], "decay": "all", "kind": "adamw", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8,
                    "weight_decay": 0.1, "decoupled": "composer", "amsgrad": true, "variant": "keras", "caution": true, "mu_dtype": "bf16"},
                {"parameters": ["*"], "decay": "all", "kind": "nadam", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8,
                    "weight_decay": 0.1, "momentum_decay": 0.004, "decoupled_weight_decay": true},
                {"parameters": ["*"], "decay": "all", "kind": "radam", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8,
                    "weight_decay": 0.1, "decoupled_weight_decay": true, "variant": "pytorch_optimizer"},
                {"parameters": ["*"], "decay": "all", "kind": "adamax", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8,
                    "weight_decay": 0.1, "variant": "keras"},
                {"parameters": ["*"], "decay": "all", "kind": "rmsprop", "lr": 0.1, "alpha": 0.9, "eps": 1e-8,
                    "weight_decay": 0.1, "momentum": 0.9, "centered": true, "variant": "keras"},
                {"parameters": ["*"], "decay": "all", "kind": "adagrad", "lr": 0.1, "lr_decay": 0.1,
                    "weight_decay": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-10,
                    "variant": "keras"},
                {"parameters": ["*"], "decay": "all", "kind": "frozen"}]},
        "schedule": "warmup(5) -> cosine(10)",
        "momentum_schedule": {"kind": "constant"},
        "beta2_schedule": {"kind": "constant"},
        "weight_decay_schedule": {"kind": "linear", "total": 10},
        "ema_decay_schedule": {"kind": "constant"},
        "ema": {"decay": 0.9, "warmup": true, "start": "2 epochs", "every": "2 steps", "batch_norm": "trained",
            "evaluate": false},
        "swa": {"start": "75%", "every": "1 epoch", "batch_norm": "recompute", "evaluate": true},
        "early_stopping": {"metric": "validation_loss", "patience": 3, "min_delta": 0.1, "target": 0.5},
        "train": {"epochs": 3, "accumulate": 2, "sync_batch_norm": true, "clip_norm": 1.0, "clip_eps": 0.0,
            "initial_weights": "w", "initial_adapter": "w",
            "unused_weights": "ignore", "missing_weights": "new", "new_weights": ["*"],
            "rename_weights": [["a", "b"]], "metric": "training_loss", "max_time": "2h", "clip_value": 1.0,
            "gradient_noise": {"eta": 0.1, "gamma": 0.55},
            "freeze": [{"parameters": ["*"], "from": "1 epoch", "until": "50%"}]},
        "validation": {"every": "2 steps", "at_end": true,
            "metrics": ["mean_absolute_error", {"kind": "top_k_accuracy", "k": 3}]},
        "checkpoint": {"every": "10 minutes",
            "keep": {"last": 1, "best": 2, "metric": "validation_loss", "every": "3 epochs"}},
        "log": {"tensorboard": true, "histograms": "500 steps", "images": 4},
        "hooks": {"on_start": ["a"], "on_checkpoint": ["a"], "on_validation": ["a", "b"], "on_end": ["a"],
            "on_failure": ["a"], "timeout": "5 min"},
        "distributed": {"exchange": "host", "shard_optimizer": true, "share_saves": true},
        // Only user programs have components.
        "components": {},
    });
    let keyed = |mut optimizer: Value, keys: Value| {
        optimizer.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        optimizer
    };
    let in_groups = optimizers().map(|optimizer| keyed(optimizer, json!({"parameters": ["*"], "decay": "all"})));
    base["optimizer"]["groups"].as_array_mut().unwrap().extend(in_groups);
    let base = base;
    let with = |key: &str, table: Value| {
        let mut config = base.clone();
        config[key] = table;
        config
    };
    let adam = |kind: &str| {
        json!({"kind": kind, "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1, "decay": "all",
            "groups": [{"parameters": ["*"], "beta1": 0.5}]})
    };
    let also = |optimizer: Value, keys: Value| with("optimizer", keyed(optimizer, keys));
    let of_rule = |rule: Value| also(rule, json!({"decay": "all", "groups": [{"parameters": ["*"]}]}));
    let more = optimizers().map(of_rule);
    let lora = json!({"rank": 2, "alpha": 4.0, "dropout": 0.1, "patterns": ["0"], "trained": ["*.bias"]});
    let all = vec![
        base.clone(),
        with("model", json!({"kind": "custom"})),
        with("loss", json!({"kind": "custom"})),
        with("loss", json!({"kind": "cross_entropy", "class_weights": [1.0, 2.0], "ignore_index": 9})),
        with("loss", json!({"kind": "focal", "gamma": 1.5, "class_weights": "balanced"})),
        with("loss", json!({"kind": "binary_cross_entropy", "positive_weights": [1.0], "label_smoothing": 0.1})),
        with("loss", json!({"kind": "huber", "delta": 0.5})),
        with("data", json!({"path": "a", "format": "custom", "batch_size": 3})),
        with("validation", json!({"metrics": METRICS.map(|kind| json!({"kind": kind}))})),
        with(
            "validation",
            json!({"metrics": [{"kind": "calibration_error", "bins": 10, "norm": "max"},
                {"kind": "quantile_loss", "quantile": 0.9}]}),
        ),
        also(adam("adam"), json!({"amsgrad": true, "variant": "keras", "mu_dtype": "bf16"})),
        also(
            adam("adamw"),
            json!({"decoupled": "composer", "amsgrad": true, "variant": "keras", "caution": true, "mu_dtype": "bf16"}),
        ),
        also(adam("nadam"), json!({"momentum_decay": 0.004, "decoupled_weight_decay": true})),
        also(adam("radam"), json!({"decoupled_weight_decay": true, "variant": "pytorch_optimizer"})),
        also(adam("adamax"), json!({"variant": "keras"})),
        with(
            "optimizer",
            json!({"kind": "rmsprop", "lr": 0.1, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.1, "momentum": 0.9,
            "centered": true, "variant": "keras", "decay": "all", "groups": [{"parameters": ["*"]}]}),
        ),
        with(
            "optimizer",
            json!({"kind": "adagrad", "lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1,
            "initial_accumulator_value": 0.1, "eps": 1e-10, "variant": "keras", "decay": "all",
            "groups": [{"parameters": ["*"]}]}),
        ),
        with("optimizer", json!({"kind": "frozen", "decay": "all", "groups": [{"parameters": ["*"]}]})),
        with("model", json!({"kind": "resnet", "widths": [4, 8], "depths": [1, 2], "lora": lora})),
        with(
            "model",
            json!({"kind": "convnet", "average_to": 1, "hidden": [4], "activation": "gelu", "dropout": 0.5,
            "blocks": [{"channels": 4, "kernel": 3, "stride": 1, "padding": 1, "batch_norm": true, "pool": "average",
                "pool_kernel": 2, "pool_stride": 2, "dropout": 0.1}], "lora": lora}),
        ),
        with(
            "model",
            json!({"kind": "gpt", "layers": 1, "heads": 2, "kv_heads": 1, "width": 8, "hidden": 16,
            "context": 8, "positions": "rotary", "rotary_base": 1e4, "activation": "swiglu", "norm": "rms",
            "bias": false, "tied": false, "document_start": 0, "dropout": 0.1, "checkpoint_activations": true,
            "lora": lora}),
        ),
        with(
            "data",
            json!({"path": "a", "format": "csv", "header": true, "skip_lines": 1, "delimiter": ";", "decimal": ",",
            "comment": "#", "label": "y", "task": "classification", "ignore": [0], "categories": ["c"],
            "encoding": "ordinal", "missing": "mean", "missing_values": ["-"], "missing_indicator": true, "classes": 3,
            "standardize": false, "target_transform": "log", "validation": 0.1, "fold": "2/5", "validation_path": ["v", "w-*"],
            "test_path": "t", "validation_targets": "v", "test_targets": "t", "stratify": true, "batch_size": "all",
            "shuffle": true, "shuffle_window": 9, "drop_last": true,
            "sampling": [1.0, 2.0]}),
        ),
        with("data", json!({"path": "a", "format": "safetensors", "inputs": "x", "targets": "y", "batch_size": 3})),
        with(
            "data",
            json!({"path": "a", "format": "idx", "images": "i", "labels": "l", "validation_images": "i",
            "validation_labels": "l", "test_images": "i", "test_labels": "l",
            "augment": {"flip": true, "shift": 1, "normalize": {"mean": [0.5], "std": [0.5]},
                "crop": {"area": [0.5, 1.0], "ratio": [1.0, 1.0], "probability": 0.5},
                "rotate": {"degrees": 9.0, "probability": [0.0, 0.5]},
                "colour": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1, "probability": 0.5},
                "erase": {"area": [0.1, 0.2], "ratio": [1.0, 1.0], "probability": 0.5},
                "mixup": {"alpha": 0.2, "probability": 0.5}, "cutmix": {"alpha": 1.0, "probability": 0.5}}}),
        ),
        with(
            "data",
            json!({"path": "a", "format": "text", "tokens": "bytes", "tokenizer": "t", "context": 8,
            "cache": "c"}),
        ),
        with(
            "data",
            json!({"path": "a", "format": "jsonl", "text": "t", "prompt": "p", "answer": "a", "messages": "m",
            "template": "{a}", "separator": "s", "packing": "none", "context": 8}),
        ),
        with(
            "data",
            json!({"path": "a", "format": "images", "validation_path": "v", "channels": 3, "resize": [8, 8],
            "crop": 4, "skip_bad": true, "check_images": false}),
        ),
    ];
    all.into_iter().chain(more).collect()
}

/// Each is read, and complete ones equal the configuration that a run writes.
fn configurations() -> Vec<Value> {
    let given = examples().into_iter().map(|(_, config)| config).chain(whole());
    let complete = |config: Value| {
        let read: Config = serde_json::from_value(config.clone()).unwrap_or_else(|error| panic!("{config}: {error}"));
        let complete = read.complete().to_complete_toml().unwrap();
        [config, toml::from_str(&complete).unwrap()]
    };
    given.flat_map(complete).collect()
}

fn find<'a>(tables: &'a [Table], path: &str, kind: &Value) -> &'a Table {
    let found = || tables.iter().filter(|table| table.path == path);
    let of_kind = found().find(|table| table.kind.as_deref() == kind.as_str());
    of_kind.or_else(|| found().find(|table| table.kind.is_none())).unwrap_or_else(|| panic!("no table {path} {kind}"))
}

/// Every key of `value`, which is at `path`, is in the reference; the keys are added to `seen`.
fn describe(tables: &[Table], path: &str, value: &Value, seen: &mut BTreeSet<String>) {
    let table = find(tables, path, &value["kind"]);
    for (name, value) in value.as_object().unwrap() {
        let key = table.keys.iter().find(|key| key.name == *name);
        let key = key.unwrap_or_else(|| panic!("{path}.{name} is not in the reference"));
        assert!(!key.meaning.is_empty() || name == "kind", "{path}.{name} has no meaning");
        seen.insert(format!("{path} {:?} {name}", table.kind));
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Object(_) if key.kind == "schedule" || path == "schedule" => {
                describe(tables, "schedule", value, seen);
            }
            Value::Object(table) if table.is_empty() => {}
            Value::Object(_) => describe(tables, &inner, value, seen),
            Value::Array(items) => {
                for item in items.iter().filter(|item| item.is_object()) {
                    let inner = if path == "schedule" { path.to_owned() } else { format!("{inner}[]") };
                    describe(tables, &inner, item, seen);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_key_that_a_configuration_has_is_in_the_reference() {
    let (tables, mut seen) = (tables(), BTreeSet::new());
    configurations().iter().for_each(|config| describe(&tables, "", config, &mut seen));
    // `whole` contains every key, so that a new one is noticed here.
    for table in tables.iter().filter(|table| table.path != "schedule") {
        for Key { name, .. } in table.keys.iter().filter(|key| !["steps"].contains(&key.name.as_str())) {
            let key = format!("{} {:?} {name}", table.path, table.kind);
            assert!(seen.contains(&key), "{key} is in the reference, and in no configuration of this test");
        }
    }
}

#[test]
fn the_schema_accepts_what_is_read_and_rejects_a_misspelt_key() {
    let schema = schema();
    for config in configurations() {
        let found = faults(&schema, &schema, &config, "");
        assert!(found.is_empty(), "{found:?} in {config}");
    }
    let misspelt = |path: &[&str]| {
        let mut config = whole().swap_remove(0);
        let (last, parents) = path.split_last().unwrap();
        parents.iter().fold(&mut config, |table, name| &mut table[*name])[*last] = json!(1);
        !faults(&schema, &schema, &config, "").is_empty()
    };
    for path in [
        &["sed"][..],
        &["data", "batchsize"],
        &["model", "hiden"],
        &["optimizer", "lrr"],
        &["checkpoint", "keep", "lst"],
        &["momentum_schedule", "etamin"],
        &["train", "epoch"],
    ] {
        assert!(misspelt(path), "{path:?} is accepted");
    }
    for (path, value) in [("/optimizer/lr", json!(-1)), ("/data/path", json!(3)), ("/model/kind", json!("rnn"))] {
        let mut config = whole().swap_remove(0);
        *config.pointer_mut(path).unwrap() = value;
        assert!(!faults(&schema, &schema, &config, "").is_empty(), "{path} is accepted");
    }
}

/// The defaults in the schema, from serde's attributes, are those of a configuration that is read.
#[test]
fn every_default_that_is_stated_is_the_one_that_holds() {
    let mut compared = 0;
    for table in tables().iter().filter(|table| table.path != "schedule") {
        for Key { name, schema, defaults, meaning, .. } in &table.keys {
            if let Some(default) = schema.get("default").filter(|default| !default.is_array()) {
                let [(value, _)] = &defaults[..] else { panic!("{}.{name}: {defaults:?}", table.path) };
                assert_eq!(value, default, "{}.{name}", table.path);
                compared += 1;
            }
            let Some((_, stated)) = meaning.split_once("Default ") else { continue };
            let stated = stated.split([',', '.', ';']).next().unwrap();
            let stated = stated.split_once(" for ").map_or(stated, |(stated, _)| stated);
            let Ok(stated) = serde_json::from_str::<Value>(stated) else { continue };
            if ["images", "labels"].contains(&name.as_str()) {
                // The default depends on the existing files.
                continue;
            }
            let (value, _) = defaults.first().unwrap_or_else(|| panic!("{}.{name}: no default", table.path));
            // A key such as "all" has more forms than its first word.
            assert!(value == &stated || value.as_f64() == stated.as_f64(), "{}.{name}: {stated}", table.path);
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared}");
    let schedule = rekindle::schedule::kinds::NAMES.len();
    assert_eq!(tables().iter().filter(|table| table.path == "schedule").count(), schedule);
}

/// A value just outside of each range is refused.
#[test]
fn every_range_that_is_stated_is_kept() {
    let mut tried = 0;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    for config in whole() {
        for table in tables().iter().filter(|table| !table.path.contains("[]") && table.path != "schedule") {
            let pointer: String =
                table.path.split('.').filter(|name| !name.is_empty()).map(|n| format!("/{n}")).collect();
            let Some(found) = config.pointer(&pointer) else { continue };
            if table.kind.as_deref() != found["kind"].as_str() && table.kind.is_some() {
                continue;
            }
            for key in table.keys.iter().filter(|key| found.get(&key.name).is_some_and(Value::is_number)) {
                let limits =
                    [("minimum", -1.0), ("exclusiveMinimum", 0.0), ("maximum", 1.0), ("exclusiveMaximum", 0.0)];
                for (limit, beyond) in limits {
                    let whole = key.schema[limit].as_number().and_then(serde_json::Number::as_i128);
                    let Some(limit) = key.schema[limit].as_f64() else { continue };
                    let outside = match whole.filter(|_| found[&key.name].is_u64()) {
                        Some(whole) => (whole + beyond as i128).to_string(),
                        None => format!("{:?}", limit + beyond),
                    };
                    // A whole number may be beyond those of TOML.
                    let mut config = config.clone();
                    config.pointer_mut(&pointer).unwrap()[&key.name] = json!(424_242);
                    let text = toml::to_string(&config).unwrap().replace("424242", &outside);
                    fs::write(&file, text).unwrap();
                    let refused = from_file(&file, &[]);
                    // A share of rows and the count of checkpoints are checked where the data is known.
                    let later = ["data", "checkpoint.keep"].contains(&table.path.as_str());
                    assert!(refused.is_err() || later, "{}.{} = {outside} is accepted", table.path, key.name);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 40, "{tried}");
    let seed = tables()[0].keys.iter().find(|key| key.name == "seed").unwrap().range.clone();
    assert_eq!(seed, format!("≥ 0, ≤ {}", i64::MAX));
}

/// The required parameters of a schedule.
fn needed(kind: &str, name: &str) -> Value {
    match (kind, name) {
        ("sequential", "schedules") => json!(["constant", "constant"]),
        (_, "schedules") => json!(["constant"]),
        (_, "schedule") => json!("constant"),
        (_, "formula") => json!("base"),
        (_, "points") => json!([[0, 1.0]]),
        (_, "milestones" | "periods") => json!([5]),
        (_, "gamma" | "rate" | "max_lr") => json!(0.5),
        _ => json!(5),
    }
}

/// Returns the limits of the numbers in a value of `schema`, each with a number beyond it and one within it, in the
/// form of such a value.
fn limits(schema: &Value) -> Vec<(Value, Value)> {
    let mut found = Vec::new();
    let step = if schema["type"] == "integer" { 1.0 } else { 1e-3 };
    for (limit, beyond, within) in [
        ("minimum", -step, 0.0),
        ("exclusiveMinimum", 0.0, step),
        ("maximum", step, 0.0),
        ("exclusiveMaximum", 0.0, -step),
    ] {
        found.extend(schema[limit].as_f64().map(|limit| (json!(limit + beyond), json!(limit + within))));
    }
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    found.extend(choices.flat_map(limits));
    let count = schema["minItems"].as_u64().unwrap_or(1) as usize;
    let list = |value: &Value| json!(vec![value; count]);
    found.extend(limits_of(&schema["items"]).iter().map(|(beyond, within)| (list(beyond), list(within))));
    if let Some([first, second]) = schema["prefixItems"].as_array().map(Vec::as_slice) {
        found.extend(limits(first).into_iter().map(|(beyond, within)| (json!([beyond, 1.0]), json!([within, 1.0]))));
        found.extend(limits(second).into_iter().map(|(beyond, within)| (json!([0, beyond]), json!([0, within]))));
    }
    found
}

fn limits_of(items: &Value) -> Vec<(Value, Value)> {
    if items.is_object() { limits(items) } else { Vec::new() }
}

/// A value beyond each range of a schedule's parameter is refused, and one within it is accepted. Every number has a
/// range, except those limited by another parameter.
#[test]
fn every_range_of_a_schedule_that_is_stated_is_kept() {
    let run = RunLength { total_steps: Some(100), steps_per_epoch: 10 };
    let is_taken = |config: &Value| {
        let schedule: Result<Schedule, _> = serde_json::from_value(config.clone());
        schedule.is_ok_and(|schedule| Scheduler::new(schedule, vec![1.0], run).is_ok())
    };
    let mut tried = 0;
    for table in tables().iter().filter(|table| table.path == "schedule") {
        let kind = table.kind.as_deref().unwrap();
        let mut config = json!({"kind": kind});
        for key in table.keys.iter().filter(|key| key.needed && key.name != "kind") {
            config[&key.name] = needed(kind, &key.name);
        }
        assert!(is_taken(&config), "{config}");
        for key in &table.keys {
            let found = limits(&key.schema);
            let is_number = key.kind.starts_with("number") || key.kind.starts_with("whole number");
            assert!(
                !is_number || !key.range.is_empty() || kind.starts_with("tanh"),
                "{kind}: {} has no range",
                key.name
            );
            for (beyond, within) in found {
                let with = |value: &Value| {
                    let mut config = config.clone();
                    config[&key.name] = value.clone();
                    config
                };
                assert!(!is_taken(&with(&beyond)), "{kind}: {} = {beyond} is taken", key.name);
                // The highest rate must not be below the lowest one, nor a length below its parts.
                let bound_by_another = [("greedy", "max_lr"), ("hyperbolic", "upper_bound"), ("wsds", "periods")];
                let is_free = !bound_by_another.contains(&(kind, key.name.as_str()));
                assert!(is_taken(&with(&within)) || !is_free, "{kind}: {} = {within} is refused", key.name);
                tried += 1;
            }
        }
    }
    assert!(tried > 70, "{tried}");
}

#[test]
fn the_written_configuration_has_every_default_and_reads_the_same() {
    let place = Workplace::new();
    fs::write(
        place.path("short.toml"),
        "data = { path = 'rows.csv' }\nmodel = { kind = 'mlp' }\noptimizer = { kind = 'sgd', lr = 0.1 }\n\
         schedule = 'cosine(10)'\ntrain = { steps = 10 }\ncheckpoint = { every = '5 steps' }\n",
    )
    .unwrap();
    place.train(&["short.toml", "--out", "first"]).says(0, &["done: 10 steps"]);
    let written = fs::read_to_string(place.path("first/config.toml")).unwrap();
    let config: Value = toml::from_str(&written).unwrap();
    let expected = [
        ("/data/format", json!("csv")),
        ("/data/header", json!(true)),
        ("/data/label", json!(-1)),
        ("/data/standardize", json!(true)),
        ("/data/shuffle", json!(true)),
        ("/data/batch_size", json!(32)),
        ("/data/drop_last", json!(false)),
        ("/loss/kind", json!("cross_entropy")),
        ("/train/accumulate", json!(1)),
        ("/schedule/eta_min", json!(0.0)),
        ("/optimizer/momentum", json!(0.0)),
    ];
    for (key, value) in expected {
        assert_eq!(config.pointer(key), Some(&value), "{key} in {written}");
    }
    assert!(config.pointer("/train/clip_norm").is_none() && config.pointer("/checkpoint/keep").is_none());

    // A run of it is the same run, and writes the same file.
    place.train(&["first/config.toml", "--out", "second"]).says(0, &["done: 10 steps"]);
    let of = |run: &str, name: &str| fs::read(place.path(&format!("{run}/{name}"))).unwrap();
    assert!(of("first", "log.jsonl") == of("second", "log.jsonl"));
    assert!(of("first", "config.toml") == of("second", "config.toml"));
    let weights = "checkpoints/step-0000000010/model.safetensors";
    assert!(of("first", weights) == of("second", weights));
}

/// Setting a value that already holds changes nothing, and is not in the history; fixed settings are still refused.
#[test]
fn a_configuration_made_in_rust_has_the_defaults_of_one_in_toml() {
    let read = |text: &str| toml::from_str::<Config>(&format!("{text}\ndata = {{ path = 'a.csv' }}")).unwrap();
    let made = |model: ModelConfig| {
        let mut length = TrainConfig::default();
        length.epochs = Some(3);
        Config::new(DataConfig::new("a.csv"), model, AdamW::default().into(), length)
    };
    let toml = "optimizer = { kind = 'adamw', lr = 1e-3 }\ntrain = { epochs = 3 }\nmodel";
    let mlp = ModelConfig::of(&MlpConfig::new([64])).unwrap();
    assert_eq!(made(mlp), read(&format!("{toml} = {{ kind = 'mlp', hidden = [64] }}")));
    let convnet = ModelConfig::of(&ConvNetConfig::new([ConvBlock::new(4)])).unwrap();
    assert_eq!(made(convnet), read(&format!("{toml} = {{ kind = 'convnet', blocks = [{{ channels = 4 }}] }}")));
}

#[test]
fn a_default_that_is_written_out_is_no_change_on_a_resume() {
    let place = Workplace::with_run();
    let told = place.train(&["--resume", "run", "--set", "data.shuffle=true", "--set", "train.accumulate=1"]);
    told.says(0, &["nothing left to do"]);
    assert!(!told.err.contains(" was "), "{}", told.err);
    place.train_refuses(&["--resume", "run", "--set", "data.shuffle=false"], &["data.shuffle", "start a new run"]);
}

fn check(place: &Workplace, config: &str) -> Value {
    let before = place.files();
    let told = place.train(&["check", config, "--json"]);
    told.says(0, &[]);
    assert!(place.files() == before, "train check {config} changed files");
    let text = place.train(&["check", config]);
    text.says(0, &[]);
    assert!(text.out.contains("rows ") && text.out.contains("schedule "), "{}", text.out);
    serde_json::from_str(&told.out).unwrap()
}

#[test]
fn a_check_says_what_was_understood_and_changes_nothing() {
    let place = Workplace::new();
    let found = check(&place, "config.toml");
    assert_eq!(found["data"]["label"], "label");
    assert_eq!(found["data"]["features"], json!(["width", "height"]));
    let classes = found["data"]["classes"].as_array().unwrap();
    let count = |class: &Value| class["train"].as_u64().unwrap() + class["validation"].as_u64().unwrap();
    assert_eq!(classes.iter().map(count).sum::<u64>(), 24);
    assert_eq!(found["length"]["steps"], 20);
    let rate = |name: &str| found["schedule"][name].as_f64().unwrap();
    assert!(rate("peak") >= rate("start") && rate("peak") >= rate("end"));
    let tensors = found["model"]["tensors"].as_array().unwrap();
    let numbers = |tensor: &Value| tensor[1].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product::<u64>();
    assert_eq!(tensors.iter().map(numbers).sum::<u64>(), found["model"]["parameters"].as_u64().unwrap());
}

#[test]
fn a_check_refuses_what_a_run_would_refuse() {
    let place = Workplace::new();
    place.train_refuses(&["check", "config.toml", "--set", "data.path=nowhere.csv"], &["nowhere.csv"]);
    place.train_refuses(&["check", "config.toml", "--set", "optimizer.lr=-1"], &["optimizer.lr = -1"]);
    place.train_refuses(&["check", "nowhere.toml"], &["nowhere.toml"]);
    // Only in a run of this length.
    let never = ["check", "config.toml", "--set", "validation.every=9 epochs", "--set", "checkpoint.keep.best=2"];
    place.train_refuses(&never, &["checkpoint.keep.best = 2", "ends before its first validation"]);
}

/// A key that exists elsewhere is reported with its place, on the command line and in a file.
#[test]
fn a_key_in_the_wrong_place_is_reported_with_its_table() {
    let place = Workplace::new();
    for (setting, meant) in [
        ("lr=0.1", "did you mean `optimizer.lr`?"),
        ("epochs=5", "did you mean `train.epochs`?"),
        ("epocs=5", "did you mean `train.epochs`?"),
        ("learning_rate=0.1", "did you mean `optimizer.lr`?"),
        ("train.batch_size=4", "did you mean `data.batch_size`?"),
        ("optim.lr=0.1", "did you mean `optimizer`?"),
        ("validation=0.2", "did you mean `data.validation`?"),
        ("optimizer.lrr=0.1", "did you mean `lr`?"),
        ("sed=1", "did you mean `seed`?"),
    ] {
        place.train_refuses(&["check", "config.toml", "--set", setting], &["--set", meant]);
    }
    let text = fs::read_to_string(place.path("config.toml")).unwrap();
    fs::write(place.path("misplaced.toml"), format!("lr = 0.1\n{text}")).unwrap();
    let meant = ["misplaced.toml, line 1: lr: `lr` is unknown; did you mean `optimizer.lr`?"];
    place.train_refuses(&["check", "misplaced.toml"], &meant);
}

/// The warnings of a check of `rows` with settings.
fn warnings(place: &Workplace, rows: &str, settings: &[&str]) -> String {
    fs::write(place.path("rows.csv"), rows).unwrap();
    let mut arguments = vec!["check", "config.toml", "--set", "data.validation=0"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    let told = place.train(&arguments);
    told.says(0, &[]);
    told.out.lines().filter(|line| line.starts_with("warning: ")).map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn a_check_warns_of_what_is_allowed_and_hardly_meant() {
    let place = Workplace::new();
    let rows = |label: &dyn Fn(u32) -> String| {
        let row = |i: u32| format!("{i},{},{}\n", i * 7 % 11, label(i));
        format!("width,height,label\n{}", (0..24).map(row).collect::<String>())
    };
    let plain = rows(&|i| (i % 2).to_string());
    assert_eq!(warnings(&place, &plain, &["schedule=cosine(\"100%\")"]), "");
    let told = warnings(&place, &plain, &["optimizer.lr=1e30"]);
    assert!(
        told.contains("1.000e30 at most") && told.contains("far outside the usual range of sgd, 1e-4 to 1"),
        "{told}"
    );
    for (kind, lr, range) in [
        ("lars", "30", ""),
        ("lars", "1e4", "lars, 0.1 to 30"),
        ("ftrl", "1.5", ""),
        ("ftrl", "1e4", "ftrl, 1e-3 to 1"),
    ] {
        let optimizer = format!("optimizer={{ kind = '{kind}', lr = {lr} }}");
        let told = warnings(&place, &plain, &[&optimizer]);
        assert_eq!(told.contains("far outside the usual range of"), !range.is_empty(), "{told}");
        assert!(told.contains(range), "{told}");
    }
    let group =
        "optimizer={ kind = 'adamw', lr = 0.01, groups = [{ parameters = ['*.bias'], kind = 'lars', lr = 20.0 }] }";
    assert_eq!(warnings(&place, &plain, &[group]), "");
    let lars = ["check", "config.toml", "--set", "optimizer={ kind = 'lars', lr = 1.0 }"];
    let told = place.train(&lars).out;
    assert!(told.contains("note: `optimizer`: `lars` fits steps") && told.contains("always_adapt = true"), "{told}");
    let told = warnings(&place, &plain, &["schedule=warmup(2) -> cosine(\"150%\")"]);
    assert!(told.contains("schedule.schedule.t_max is \"150%\", longer than the whole run"), "{told}");
    let constant: String = plain.lines().map(|line| format!("{line},3\n")).collect::<String>();
    let constant = constant.replacen("label,3", "label,same", 1);
    let told = warnings(&place, &constant, &["data.label=label"]);
    assert!(told.contains("1 column has the same value in every row") && told.contains("`same`"), "{told}");
    let told = warnings(&place, &rows(&|i| ["yes", "Yes", "no"][i as usize % 3].to_owned()), &[]);
    assert!(told.contains("the classes \"Yes\" and \"yes\" differ only in case or blanks"), "{told}");
    let told = warnings(&place, &rows(&|i| format!("n{i}")), &[]);
    assert!(told.contains("24 different labels in 24 rows"), "{told}");
    let told = warnings(&place, &rows(&|i| (100 + i).to_string()), &["data.task=regression"]);
    assert!(told.contains("consecutive whole numbers, each once"), "{told}");
}

#[test]
fn the_reference_is_printed() {
    let place = Workplace::new();
    let told = place.train(&["reference"]);
    assert!(told.out == page());
    assert!(serde_json::from_str::<Value>(&place.train(&["reference", "--schema"]).out).unwrap() == schema());
}
