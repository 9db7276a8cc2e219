//! Hooks: the first process starts them, and each once, however many processes there are.

use std::fs;

use serde_json::Value;

use crate::common::Lab;
use crate::{SHARED, train};

/// A hook that adds its input to a file, and the number of the process that started it.
const HOOK: &str = r#"["sh", "-c", "cat >>events; echo $PPID >>starters"]"#;

#[test]
fn of_several_processes_the_first_starts_each_hook_once() {
    let keys = ["on_start", "on_checkpoint", "on_validation", "on_end", "on_failure"];
    let hooks: String = keys.iter().map(|key| format!("{key} = {HOOK}\n")).collect();
    let lab = Lab::in_memory(&format!("{SHARED}\n[hooks]\n{hooks}"));
    let without = train(&lab, 3, &["config.toml", "--out", "without"]).well();
    assert_eq!(without.stderr.matches("are not started without --hooks").count(), 1, "{}", without.stderr);
    assert!(!lab.path("events").exists());
    train(&lab, 3, &["config.toml", "--out", "run", "--hooks"]).well();
    let text = fs::read_to_string(lab.path("events")).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps = |name: &str| {
        let named = events.iter().filter(|event| event["event"] == name);
        named.map(|event| event["step"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!([steps("start"), steps("end"), steps("failure")], [vec![0], vec![60], vec![]], "{text}");
    assert_eq!(steps("checkpoint"), [20, 40, 60], "{text}");
    let validations = steps("validation");
    assert!(!validations.is_empty() && validations.is_sorted_by(|a, b| a < b), "{text}");
    let starters = fs::read_to_string(lab.path("starters")).unwrap();
    let first = events[0]["process"].to_string();
    assert!(starters.lines().all(|starter| starter == first), "{first}: {starters}");
}
