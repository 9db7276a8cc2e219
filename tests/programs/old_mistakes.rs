//! Mistakes that earlier versions accepted are refused in a new run, but only a warning on a resume.

use std::fs;

use crate::common::forge::forge_file;
use crate::common::programs::{CONFIG, Told, Workplace};
use serde_json::{Value, json};

/// Changes the configuration in the run's newest checkpoint, and resumes it.
fn resumed(place: &Workplace, change: impl Fn(&mut Value), settings: &[&str]) -> Told {
    let mut state: Value = serde_json::from_slice(&fs::read(place.newest().join("state.json")).unwrap()).unwrap();
    change(&mut state);
    forge_file(&place.newest(), "state.json", state.to_string().as_bytes());
    // The run uses its checkpoint; its own file would differ.
    let _ = fs::remove_file(place.path("run/config.toml"));
    place.train(&[&["--resume", "run", "--set", "train.epochs=5"][..], settings].concat())
}

fn started(settings: &[&str]) -> Workplace {
    let place = Workplace::new();
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    place
        .train(&["config.toml", "--out", "run"].into_iter().chain(settings).collect::<Vec<_>>())
        .says(0, &["done: 20"]);
    place
}

#[test]
fn a_pattern_that_matches_nothing() {
    let place = started(&[]);
    let patterns = json!(["*.bias", "head.*"]);
    let change = |state: &mut Value| state["config"]["optimizer"]["groups"][0]["parameters"] = patterns.clone();
    let said = "optimizer.groups[0].parameters: `head.*` matches no parameter";
    // A change made now is refused.
    let now = ["--set", r#"optimizer.groups.0.parameters=["*.bias", "tail.*"]"#];
    resumed(&place, change, &now).says(2, &["error: optimizer.groups[0].parameters: `tail.*` matches no parameter"]);
    resumed(&place, change, &[]).says(0, &[&format!("warning: {said}"), "done: 5 steps"]);
    fs::write(place.path("new.toml"), CONFIG.replace("\"*.bias\"", "\"*.bias\", \"head.*\"")).unwrap();
    place.train(&["new.toml"]).says(2, &[&format!("error: {said}")]);
}

#[test]
fn a_schedule_of_the_wrong_direction() {
    let place = started(&["schedule=plateau(mode=\"max\")", "train.metric=validation_accuracy"]);
    let change = |state: &mut Value| drop(state["config"]["train"].as_object_mut().unwrap().remove("metric"));
    let said = ["warning: schedule = plateau(", "follows validation_loss", "done: 5 steps"];
    let now = ["--set", "schedule=plateau(mode=\"max\", patience=3)"];
    resumed(&place, change, &now).says(2, &["error: schedule = plateau("]);
    resumed(&place, change, &[]).says(0, &said);
}

#[test]
fn two_columns_of_one_name() {
    let place = started(&[]);
    let rows = fs::read_to_string(place.path("rows.csv")).unwrap().replace("width,height", "width,width");
    fs::write(place.path("rows.csv"), &rows).unwrap();
    let change = |state: &mut Value| {
        *state = serde_json::from_str(&state.to_string().replace("\"height\"", "\"width\"")).unwrap();
        state["data"] = json!({"blake3": blake3::hash(rows.as_bytes()).to_hex().to_string(), "bytes": rows.len()});
    };
    let said = "rows.csv has two columns named `width`, columns 0 and 1 (counted from 0)";
    resumed(&place, change, &[]).says(0, &["warning: ", &format!("{said}: the name means the first"), "done: 5 steps"]);
    place.train(&["config.toml", "--out", "new"]).says(2, &["error: ", said]);
}

#[test]
fn labels_of_one_class() {
    let place = Workplace::new();
    let rows: String = (0..24).map(|row| format!("{},{},1\n", row % 7, row % 5)).collect();
    fs::write(place.path("rows.csv"), format!("width,height,label\n{rows}")).unwrap();
    place.train(&["config.toml", "--out", "run", "--set", "data.classes=2"]).says(0, &["done: 20 steps"]);
    let change = |state: &mut Value| drop(state["config"]["data"].as_object_mut().unwrap().remove("classes"));
    let said = "column `label`: every row has the label 1, so nothing can be learned";
    resumed(&place, change, &[]).says(0, &["warning: ", said, "done: 5 steps"]);
    let said = "column `label`: every row has the label \"1\", so nothing can be learned";
    place.train(&["config.toml", "--out", "new"]).says(2, &["error: ", said]);
}
