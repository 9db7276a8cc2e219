//! `docs/coming-from.md` is correct: its commands run one after the other, and the keys on it exist.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::cases;
use crate::common::programs::Workplace;

const PAGE: &str = include_str!("../../docs/coming-from.md");

#[test]
fn the_commands_of_the_page_run_one_after_the_other() {
    let place = Workplace::new();
    let peer = cases::checkpoint("transformers/adamw_linear_warmup");
    fs::create_dir(place.path("checkpoint-500")).unwrap();
    for entry in fs::read_dir(peer).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.path("checkpoint-500").join(entry.file_name())).unwrap();
    }
    let block = PAGE.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let mut seen = 0;
    for line in block.lines() {
        let command = line.strip_prefix("$ ").unwrap().split(" #").next().unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        let told = if words[0] == "train" { place.train(&words[1..]) } else { place.inspect(&words[1..]) };
        assert_eq!(told.code, Some(0), "{command}: {}", told.err);
        if told.out.contains("\nproposed ") {
            let (file, data) = (place.path("runs/continued.toml"), cases::folder().join("data.safetensors"));
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replace("path = \"data\"", &format!("path = {data:?}"))).unwrap();
        }
        seen += 1;
    }
    assert!(seen >= 5 && place.path("back.pt").is_file(), "{block}");
}

#[test]
fn every_key_on_the_page_is_one_of_the_configuration() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/config.schema.json")).unwrap();
    let mut names = BTreeSet::new();
    collect(&schema, &mut names);
    let tables = ["checkpoint", "data", "loss", "model", "optimizer", "train", "validation"];
    let keys = PAGE.split('`').skip(1).step_by(2).filter_map(|code| {
        let (table, key) = code.split_once('.')?;
        let key: String = key.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_' || *c == '.').collect();
        (tables.contains(&table) && key != "state_dict").then_some(key)
    });
    let keys: Vec<String> = keys.collect();
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        let last = key.rsplit('.').next().unwrap();
        assert!(names.contains(last), "`{key}` is no key");
    }
}

fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        names.extend(properties.keys().cloned());
    }
    let inner = schema.as_object().into_iter().flat_map(|map| map.values());
    inner.chain(schema.as_array().into_iter().flatten()).for_each(|schema| collect(schema, names));
}
