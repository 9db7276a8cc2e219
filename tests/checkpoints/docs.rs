//! The page on checkpoints: its Python code reads one, its configuration is valid, and its links exist.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use rekindle::checkpoint::{Checkpoint, Folder};
use rekindle::train::{CheckpointConfig, Interval, KeepConfig, ValidationConfig};

const PAGE: &str = include_str!("../../docs/checkpoints.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The only block of a language on the page.
#[track_caller]
fn block(language: &str) -> &'static str {
    let mut blocks = PAGE.split("```").filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    let block = blocks.next().unwrap();
    assert_eq!(blocks.next(), None, "the page has two blocks of {language}");
    block
}

/// A Python with `safetensors` and NumPy: the one in `REKINDLE_PYTHON`, or the usual one.
fn python() -> Result<String, String> {
    let named = std::env::var("REKINDLE_PYTHON");
    let python = named.clone().unwrap_or_else(|_| "python3".to_owned());
    let imported = Command::new(&python).args(["-c", "import safetensors.numpy"]).output();
    let why = match imported {
        Ok(output) if output.status.success() => return Ok(python),
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(named.is_err(), "REKINDLE_PYTHON is {python}: {why}");
    Err(why)
}

/// The expected output of the code for a checkpoint of f32 weights.
fn expected(checkpoint: &Checkpoint) -> String {
    let part = |name| &checkpoint.state(name).unwrap().json;
    let rate = part("schedulers.lr")["base_lrs"][0].as_f64().unwrap();
    let mut text =
        format!("step {} optimizer {} rate {rate}\n", checkpoint.step(), part("optimizer")["kind"].as_str().unwrap());
    for (name, weight) in &checkpoint.state("model").unwrap().tensors {
        let first = f32::from_le_bytes(weight.bytes[..4].try_into().unwrap());
        writeln!(text, "{name} {:?} float32 {first:?}", weight.shape).unwrap();
    }
    text
}

#[test]
fn the_snippet_of_python_reads_a_checkpoint() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return eprintln!("SKIPPED: no Python with safetensors and NumPy; set REKINDLE_PYTHON: {why}"),
    };
    for sample in ["checkpoints/version-1", "checkpoints/notebook"] {
        let folder = root().join(sample);
        let output = Command::new(&python).args(["-c", block("python")]).arg(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let checkpoint = Folder::new(&folder).require_newest().unwrap().checkpoint;
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected(&checkpoint));
    }
}

#[test]
fn the_rules_on_the_page_are_rules() {
    let blocks = PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let tables: Vec<toml::Table> = blocks.map(|block| block.parse().unwrap()).collect();
    let [intervals, table] = &tables[..] else { panic!("{} blocks", tables.len()) };
    let validation: ValidationConfig = intervals["validation"].clone().try_into().unwrap();
    let checkpoint: CheckpointConfig = intervals["checkpoint"].clone().try_into().unwrap();
    assert!(validation.at_end.is_some() && checkpoint.every != Interval::Auto);
    let keep: KeepConfig = table["checkpoint"]["keep"].clone().try_into().unwrap();
    assert!(!keep.is_empty());
    // There is no further output.
    assert!(keep.last.is_some() && keep.best.is_some() && keep.metric.is_some() && keep.every.is_some());
}

#[test]
fn what_the_page_points_to_is_there() {
    let links = PAGE.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let file = |link: &'static str| link.split('#').next().unwrap();
    let links = links.map(file).filter(|file| !file.is_empty()).map(|file| root().join("docs").join(file));
    let named = PAGE
        .split('`')
        .filter(|code| code.contains('/') && [".rs", ".jsonl", ".toml"].iter().any(|end| code.ends_with(end)));
    let named = named.filter(|code| !code.contains([' ', '\n'])).map(|code| root().join(code));
    let all: Vec<_> = links.chain(named).collect();
    assert!(all.len() >= 8, "{all:?}");
    for path in all {
        assert!(path.exists(), "{} is not there", path.display());
    }
}
