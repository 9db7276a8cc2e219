//! Every schedule gives the rates of the libraries that have it, computed with their own code, through our library and
//! through `inspect lr`: `tests/data/schedules.json` of PyTorch, transformers, timm and optax, and
//! `tests/data/schedules_more.json` of these and 35 other packages.

use std::path::PathBuf;
use std::process::Command;

use rekindle::schedule::{RunLength, Schedule, Trajectory};
use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    spec: Schedule,
    base_lrs: Vec<f64>,
    lrs: Vec<Vec<f64>>,
    momentum: Option<Vec<Vec<f64>>>,
    #[serde(default)]
    metrics: Vec<f64>,
    /// Relative to the rate or the base rate, whichever is larger. If the framework computes in f64 it is 1e-12, a few
    /// thousand roundings; a case computed in f32 states its own.
    #[serde(default = "in_f64")]
    rel_tol: f64,
}

fn in_f64() -> f64 {
    1e-12
}

/// Returns the output of `inspect lr --format json`.
#[derive(Deserialize)]
struct Printed {
    lrs: Vec<Vec<f64>>,
    momentum: Option<Vec<Vec<Option<f64>>>>,
}

fn cases() -> Vec<Case> {
    let table: Table = serde_json::from_str(include_str!("../data/schedules.json")).unwrap();
    assert_eq!(table.cases.len(), 55);
    table.cases
}

/// The cases of 39 packages.
fn more_cases() -> Vec<Case> {
    let table: Table = serde_json::from_str(include_str!("../data/schedules_more.json")).unwrap();
    assert_eq!(table.cases.len(), 122);
    table.cases
}

#[test]
fn at_most_a_tenth_of_the_cases_of_39_packages_needs_a_formula() {
    let cases = more_cases();
    let formulas = cases.iter().filter(|case| case.spec.to_string().contains("expr(")).count();
    assert!(formulas * 10 <= cases.len(), "{formulas} of {}", cases.len());
}

#[test]
fn the_library_agrees_with_the_frameworks() {
    for case in cases().into_iter().chain(more_cases()) {
        let steps = case.lrs.len() as u64;
        let run = RunLength { total_steps: Some(steps), steps_per_epoch: 1 };
        let trajectory = Trajectory::new(&case.spec, &case.base_lrs, run, steps, &case.metrics).unwrap();
        compare(&case, &trajectory.lrs, trajectory.momentum.as_deref());
    }
}

#[test]
fn inspect_lr_agrees_with_the_frameworks() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        let metrics = folder.path().join("metrics.json");
        std::fs::write(&metrics, serde_json::to_string(&case.metrics).unwrap()).unwrap();
        let toml = folder.path().join("schedule.toml");
        std::fs::write(&toml, toml::to_string(&case.spec).unwrap()).unwrap();
        let forms = [case.spec.to_string(), serde_json::to_string(&case.spec).unwrap(), toml.display().to_string()];
        for form in forms {
            let printed = inspect(&case, &form, &metrics);
            compare(&case, &printed.lrs, printed.momentum.as_deref());
        }
    }
}

#[test]
fn inspect_lr_agrees_with_39_packages() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("metrics.json");
    for case in more_cases() {
        std::fs::write(&metrics, serde_json::to_string(&case.metrics).unwrap()).unwrap();
        let printed = inspect(&case, &case.spec.to_string(), &metrics);
        compare(&case, &printed.lrs, printed.momentum.as_deref());
    }
}

fn inspect(case: &Case, spec: &str, metrics: &PathBuf) -> Printed {
    let base_lrs: Vec<String> = case.base_lrs.iter().map(f64::to_string).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_inspect"))
        .args(["lr", spec, "--base-lr", &base_lrs.join(","), "--steps", &case.lrs.len().to_string()])
        .args(["--format", "json", "--metrics"])
        .arg(metrics)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", case.id, String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn compare(case: &Case, lrs: &[Vec<f64>], momentum: Option<&[Vec<Option<f64>>]>) {
    assert_eq!(lrs.len(), case.lrs.len(), "{}", case.id);
    for (t, (ours, theirs)) in lrs.iter().zip(&case.lrs).enumerate() {
        assert_eq!(ours.len(), theirs.len(), "{} at {t}", case.id);
        for ((ours, theirs), base) in ours.iter().zip(theirs).zip(&case.base_lrs) {
            let tolerance = case.rel_tol * theirs.abs().max(*base);
            assert!((ours - theirs).abs() <= tolerance, "{} at {t}: {ours} is not {theirs}", case.id);
        }
    }
    assert_eq!(momentum.is_some(), case.momentum.is_some(), "{}", case.id);
    for (t, (ours, theirs)) in momentum.into_iter().flatten().zip(case.momentum.iter().flatten()).enumerate() {
        for (ours, theirs) in ours.iter().zip(theirs) {
            let near = ours.is_some_and(|ours| (ours - theirs).abs() <= case.rel_tol);
            assert!(near, "{} at {t}: momentum {ours:?} is not {theirs}", case.id);
        }
    }
}
