//! The reference has every key, and says nothing that is not so; the configuration that a run writes down is complete;
//! `train init` writes one that trains, and `train check` trains nothing.
//!
//! `REKINDLE_DRAW=1 cargo test --test configuration` rewrites the reference; without it a page that is no longer
//! what would be written is a failure.

mod common_data;
#[cfg(feature = "parquet")]
mod common_parquet;
mod common_programs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common_programs::Workplace;
use rekindle::reference::{Key, Table, page, schema, tables};
use rekindle::train::{Config, from_file};
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

/// As far as a configuration's schema goes: whether `value` is what `schema` asks for, and where it is not.
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
    files.map(|path| (path.clone(), toml::from_str(&fs::read_to_string(path).unwrap()).unwrap())).collect()
}

/// A configuration with every key of every table in it, one for each kind.
fn whole() -> Vec<Value> {
    let base = json!({
        "seed": 1, "device": "cpu",
        "data": {"path": "a.csv"},
        "model": {"kind": "mlp", "hidden": [3], "activation": "tanh", "dropout": 0.1},
        "loss": {"kind": "cross_entropy", "label_smoothing": 0.1},
        "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.0, "nesterov": true,
            "weight_decay": 0.1, "decay": "all",
            "groups": [
                {"parameters": ["*"], "lr": 0.1, "weight_decay": 0.1, "momentum": 0.5, "decay": "matrices"},
                {"parameters": ["*"], "decay": "matrices", "kind": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.0,
                    "nesterov": true, "weight_decay": 0.1},
                {"parameters": ["*"], "decay": "all", "kind": "adam", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8,
                    "weight_decay": 0.1},
                {"parameters": ["*"], "decay": "all", "kind": "adamw", "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8,
                    "weight_decay": 0.1}]},
        "schedule": "warmup(5) -> cosine(10)",
        "momentum_schedule": {"kind": "constant"},
        "weight_decay_schedule": {"kind": "linear", "total": 10},
        "train": {"epochs": 3, "accumulate": 2, "clip_norm": 1.0, "initial_weights": "w", "metric": "training_loss"},
        "validation": {"every": "2 steps", "at_end": true},
        "checkpoint": {"every": "10 minutes",
            "keep": {"last": 1, "best": 2, "metric": "validation_loss", "every": "3 epochs"}},
    });
    let with = |key: &str, table: Value| {
        let mut config = base.clone();
        config[key] = table;
        config
    };
    let adam = |kind: &str| {
        json!({"kind": kind, "lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1, "decay": "all",
            "groups": [{"parameters": ["*"], "beta1": 0.5}]})
    };
    vec![
        base.clone(),
        with("optimizer", adam("adam")),
        with("optimizer", adam("adamw")),
        with("model", json!({"kind": "resnet", "widths": [4, 8], "depths": [1, 2]})),
        with(
            "model",
            json!({"kind": "convnet", "average_to": 1, "hidden": [4], "activation": "gelu", "dropout": 0.5,
            "blocks": [{"channels": 4, "kernel": 3, "stride": 1, "padding": 1, "batch_norm": true, "pool": "average",
                "pool_kernel": 2, "pool_stride": 2, "dropout": 0.1}]}),
        ),
        with(
            "model",
            json!({"kind": "gpt", "layers": 1, "heads": 2, "kv_heads": 1, "width": 8, "hidden": 16,
            "context": 8, "positions": "rotary", "rotary_base": 1e4, "activation": "swiglu", "norm": "rms",
            "bias": false, "tied": false, "dropout": 0.1, "checkpoint_activations": true}),
        ),
        with(
            "data",
            json!({"path": "a", "format": "csv", "header": true, "skip_lines": 1, "label": "y",
            "task": "classification", "ignore": [0], "categories": ["c"], "encoding": "ordinal", "missing": "mean",
            "missing_values": ["-"], "missing_indicator": true, "classes": 3, "standardize": false, "validation": 0.1,
            "batch_size": "all", "shuffle": true, "drop_last": true}),
        ),
        with("data", json!({"path": "a", "format": "safetensors", "inputs": "x", "targets": "y", "batch_size": 3})),
        with(
            "data",
            json!({"path": "a", "format": "idx", "images": "i", "labels": "l", "validation_images": "i",
            "validation_labels": "l",
            "augment": {"flip": true, "shift": 1, "normalize": {"mean": [0.5], "std": [0.5]}}}),
        ),
        with(
            "data",
            json!({"path": "a", "format": "text", "tokens": "bytes", "tokenizer": "t", "context": 8,
            "cache": "c"}),
        ),
        with(
            "data",
            json!({"path": "a", "format": "images", "validation_path": "v", "channels": 3, "skip_bad": true,
            "check_images": false}),
        ),
    ]
}

/// Each is read, and complete ones are what a run writes down.
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

/// Every key of `value`, which stands at `path`, is in the reference; those that are seen are added to `seen`.
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
    // And `whole` leaves none out, so that the next one is missed here.
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

/// The defaults that the schema takes from the attributes of serde are those that a configuration gets when it is read.
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
                // Which files are there decides.
                continue;
            }
            let (value, _) = defaults.first().unwrap_or_else(|| panic!("{}.{name}: no default", table.path));
            // A key such as "all" has more to it than the first word says.
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
                    let Some(limit) = key.schema[limit].as_f64() else { continue };
                    let outside = limit + beyond;
                    let is_whole = found[&key.name].is_u64();
                    let mut config = config.clone();
                    config.pointer_mut(&pointer).unwrap()[&key.name] =
                        if is_whole { json!(outside as i64) } else { json!(outside) };
                    // Steps and epochs are never together.
                    fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
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

/// Saying what holds anyway changes nothing, and is no change in the history; what a run can't change is refused as
/// ever.
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
    let never = ["check", "config.toml", "--set", "train.epochs=0", "--set", "checkpoint.keep.best=2"];
    place.train_refuses(&never, &["checkpoint.keep.best = 2", "ends before its first validation"]);
}

/// Writes a configuration for `data`, has it checked, and trains a few steps of it.
#[track_caller]
fn assert_it_trains(place: &Workplace, data: &str, expected: &[(&str, Value)]) {
    place.train(&["init", data, "-o", "made.toml"]).says(0, &["wrote made.toml"]);
    let text = fs::read_to_string(place.path("made.toml")).unwrap();
    let config: Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    for (key, value) in expected {
        assert_eq!(config.pointer(key), Some(value), "{key} in {text}");
    }
    let uncommented =
        |pair: &[&str]| pair[1].contains(" = ") && !pair[0].starts_with('#') && !pair[1].starts_with([' ', '#']);
    let lines: Vec<&str> = text.lines().collect();
    assert!(!lines.windows(2).any(uncommented), "{text}");
    let cache = place.path("cache").display().to_string();
    let told =
        place.command(env!("CARGO_BIN_EXE_train"), &["check", "made.toml"]).env("XDG_CACHE_HOME", &cache).output();
    assert!(told.as_ref().unwrap().status.success(), "{told:?} for {text}");
    let arguments = ["made.toml", "--out", "made", "--set", "train.steps=3"];
    let told = place.command(env!("CARGO_BIN_EXE_train"), &arguments).env("XDG_CACHE_HOME", &cache).output();
    assert!(told.as_ref().unwrap().status.success(), "{told:?} for {text}");
    fs::remove_dir_all(place.path("made")).unwrap();
    fs::remove_file(place.path("made.toml")).unwrap();
}

fn write(place: &Workplace, files: &[(&str, Vec<u8>)]) {
    common_data::write(&place.path(""), files);
}

#[test]
fn a_first_configuration_trains_as_it_is_for_tables() {
    let place = Workplace::new();
    assert_it_trains(&place, "rows.csv", &[("/data/label", json!("label")), ("/data/task", json!("classification"))]);
    let row = |i: u32| {
        format!("{i},{:.2},{},{}\n", f64::from(i) * 0.37, ["red", "blue"][i as usize % 2], f64::from(i * i) + 0.5)
    };
    let rows: String = (0..40).map(row).collect();
    write(&place, &[("values.csv", format!("id,size,colour,price\n{rows}").into_bytes())]);
    let expected = [
        ("/data/label", json!("price")),
        ("/data/task", json!("regression")),
        ("/data/ignore", json!(["id"])),
        ("/data/categories", json!(["colour"])),
    ];
    assert_it_trains(&place, "values.csv", &expected);
    let row = |i: u32| format!("{},{}.5,{}\n", ["a", "b", "c"][i as usize % 3], i, i * 7 % 31);
    write(&place, &[("first.csv.gz", common_data::gzip((0..40).map(row).collect::<String>().as_bytes()))]);
    assert_it_trains(&place, "first.csv.gz", &[("/data/label", json!(0)), ("/data/header", json!(false))]);
    let row =
        |i: u32| format!("{},{},{}\n", if i.is_multiple_of(5) { String::new() } else { i.to_string() }, i % 7, i % 2);
    write(&place, &[("gaps.csv", format!("a,b,c\n{}", (0..40).map(row).collect::<String>()).into_bytes())]);
    assert_it_trains(&place, "gaps.csv", &[("/data/label", json!("c")), ("/data/missing", json!("median"))]);
}

#[cfg(feature = "parquet")]
#[test]
fn a_first_configuration_trains_as_it_is_for_parquet() {
    use common_parquet::{Cells, write_parquet};
    let place = Workplace::new();
    let columns = [
        ("size", Cells::Doubles((0..40).map(|i| Some(f64::from(i) * 0.3)).collect())),
        ("kind", Cells::Words((0..40).map(|i| Some(["a", "b"][i % 2].to_owned())).collect())),
        ("label", Cells::Integers((0..40).map(|i| Some(i % 3)).collect())),
    ];
    write_parquet(&place.path("rows.parquet"), &columns);
    let expected = [("/data/label", json!("label")), ("/data/categories", json!(["kind"]))];
    assert_it_trains(&place, "rows.parquet", &expected);
}

#[test]
fn a_first_configuration_trains_as_it_is_for_tensors_and_text() {
    use candle_core::{Device, Tensor, safetensors};
    let place = Workplace::new();
    let x = Tensor::rand(0f32, 1.0, (40, 5), &Device::Cpu).unwrap();
    let y = Tensor::rand(0f32, 1.0, (40, 2), &Device::Cpu).unwrap();
    safetensors::save(&[("features", x), ("y", y)].into_iter().collect(), place.path("a.safetensors")).unwrap();
    assert_it_trains(&place, "a.safetensors", &[("/data/inputs", json!("features"))]);
    let text: String = (0..400).map(|i: u32| format!("{} and {}; ", i, i * i)).collect();
    write(&place, &[("a.txt", text.into_bytes()), ("b.txt", (0..3000u32).map(|i| (i * i) as u8).collect())]);
    assert_it_trains(&place, "a.txt", &[("/data/tokens", json!("characters")), ("/model/kind", json!("gpt"))]);
    assert_it_trains(&place, "b.txt", &[("/data/tokens", json!("bytes"))]);
}

#[test]
fn a_first_configuration_trains_as_it_is_for_images() {
    let place = Workplace::new();
    let labels = common_data::idx(&[12], &[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
    let images = common_data::idx(&[12, 12, 10], &(0..12 * 120).map(|i: u32| (i * 31) as u8).collect::<Vec<u8>>());
    write(&place, &[("idx/train-images-idx3-ubyte", images), ("idx/train-labels-idx1-ubyte", labels)]);
    assert_it_trains(&place, "idx", &[("/data/format", json!("idx")), ("/model/kind", json!("convnet"))]);
    for class in ["cat", "dog"] {
        for number in 0..6u8 {
            for folder in ["train", "val"] {
                let path = place.path(&format!("pets/{folder}/{class}/{number}.png"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 9, 8);
                encoder.set_color(png::ColorType::Grayscale);
                encoder.set_depth(png::BitDepth::Eight);
                let pixels: Vec<u8> = (0..72u8).map(|i| i.wrapping_mul(number)).collect();
                encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
            }
        }
    }
    assert_it_trains(&place, "pets", &[("/data/validation_path", json!("pets/val"))]);
    assert_it_trains(&place, "pets/train", &[("/data/path", json!("pets/train"))]);
}

#[test]
fn a_first_configuration_overwrites_nothing_and_needs_data() {
    let place = Workplace::new();
    place.train_refuses(&["init", "rows.csv", "-o", "config.toml"], &["config.toml is there already", "-o"]);
    place.train_refuses(&["init", "nowhere.csv"], &["nowhere.csv"]);
    place.train_refuses(
        &["init", "config.toml", "-o", "new.toml"],
        &["config.toml is nothing that can be learned from"],
    );
    place.train(&["init", "rows.csv"]).says(0, &["wrote rows.toml", "train check rows.toml"]);
    place.train_refuses(&["init", "rows.csv"], &["rows.toml is there already"]);
}

#[test]
fn the_reference_is_printed() {
    let place = Workplace::new();
    let told = place.train(&["reference"]);
    assert!(told.out == page());
    assert!(serde_json::from_str::<Value>(&place.train(&["reference", "--schema"]).out).unwrap() == schema());
}
