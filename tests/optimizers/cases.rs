//! The cases of `tests/data/optimizers/cases.json`, and those of any file of its form, or of the full form of which it is
//! a part: each is met, and a run resumed after update 20 has equal bits. `REKINDLE_OPTIMIZER_CASES` names such a file;
//! `start.safetensors` and `gradients.safetensors` are beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rekindle::optim::OptimizerConfig;
use rekindle::state::Stateful;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::translate::{Lacking, Translated, translate};
use crate::{NAMES, Problem, TOLERANCE, UPDATES, laid_out, numbers};

/// After this update a run is saved and resumed.
const CUT: usize = 20;

/// A case, in the short form or the full one.
#[derive(Deserialize)]
pub struct Case {
    pub id: String,
    /// With its version.
    pub library: String,
    pub class: String,
    pub arguments: Map<String, Value>,
    /// The rate of each update; `None` if the library's class computes it.
    #[serde(default)]
    pub lrs: Option<Vec<f64>>,
    /// The differences in each group.
    #[serde(default)]
    pub groups_given: Vec<Map<String, Value>>,
    #[serde(default)]
    pub lrs_of_groups: Vec<Vec<f64>>,
    /// By update, then by parameter; of averaged weights first by `y`, those of the training, and `x`, the averages.
    parameters: BTreeMap<usize, Map<String, Value>>,
    /// After the last update: in the short form by `<parameter>.<name>`, in the full one by parameter, then by name.
    #[serde(default)]
    state: Map<String, Value>,
}

/// The folder of the cases that belong to this crate.
pub fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/optimizers")
}

/// Returns the cases of a file, and what is wrong with others.
fn read(file: &Path) -> (Vec<Case>, Vec<String>) {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let whole: Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let all = whole.get("cases").unwrap_or(&whole).as_array().cloned();
    let all = all.unwrap_or_else(|| panic!("{}: there is no list of cases", file.display()));
    let (mut cases, mut unread) = (Vec::new(), Vec::new());
    for case in all {
        let id = case["id"].as_str().unwrap_or("a case without a name").to_owned();
        match serde_json::from_value(case) {
            Ok(case) => cases.push(case),
            Err(error) => unread.push(format!("{id}: {error}")),
        }
    }
    (cases, unread)
}

/// Returns the numbers of a list, in which infinities and NaN are words.
fn list(value: &Value) -> Option<Vec<f64>> {
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    value.as_array()?.iter().map(number).collect()
}

impl Case {
    /// Returns the names of its parameters, in the order of an optimizer.
    pub fn names(&self) -> Vec<&'static str> {
        let first = self.parameters.values().next();
        let of_training = |all: &Map<String, Value>| all.get("y").and_then(Value::as_object).unwrap_or(all).clone();
        let given = first.map(of_training).unwrap_or_default();
        NAMES.into_iter().filter(|name| given.contains_key(*name)).collect()
    }

    /// Returns the rates of update `number`, counted from 1, of `groups` groups.
    fn rates(&self, number: usize, groups: usize) -> Vec<f64> {
        let at = |lrs: &Vec<f64>| lrs.get(number - 1).copied().unwrap_or(f64::NAN);
        match (&self.lrs, self.lrs_of_groups.is_empty()) {
            (Some(lrs), _) => vec![at(lrs); groups],
            (None, false) => self.lrs_of_groups.iter().map(at).collect(),
            (None, true) => vec![1.0; groups],
        }
    }

    /// Returns the numbers of state that it has under the names of ours.
    fn state(&self, name: &str) -> Option<Vec<f64>> {
        let in_full = || {
            let (parameter, state) = name.split_once('.')?;
            list(self.state.get(parameter)?.get(state)?.get("values")?)
        };
        self.state.get(name).and_then(list).or_else(in_full)
    }
}

/// How far numbers are from those of a library, as a share of its largest, over all checks.
#[derive(Default)]
struct Distance {
    weights: f64,
    state: f64,
    checks: usize,
}

fn apart(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |largest: f64, x| largest.max(x.abs()));
    // Not a number is as far as can be.
    let difference = |(a, b): (&f64, &f64)| if (a - b).is_nan() { f64::INFINITY } else { (a - b).abs() };
    found.iter().zip(expected).map(difference).fold(0.0, f64::max) / largest
}

impl Distance {
    fn measure(&mut self, problem: &Problem, expected: &Map<String, Value>) {
        let averaged = problem.optimizer.evaluation_weights().unwrap();
        for (place, parameters) in [("y", Some(&problem.parameters)), ("x", averaged.as_ref())] {
            let all = expected.get(place).and_then(Value::as_object);
            let Some(all) = all.or(Some(expected).filter(|all| place == "y" && !all.contains_key("y"))) else {
                continue;
            };
            for (name, expected) in all.iter().filter_map(|(name, value)| Some((name, list(value)?))) {
                let found = parameters.and_then(|all| all.get(name)).unwrap().as_tensor();
                let found = numbers(&laid_out(found, problem.transposes));
                self.weights = self.weights.max(apart(&found, &expected));
                self.checks += 1;
            }
        }
    }

    fn measure_state(&mut self, problem: &Problem, case: &Case) {
        for (name, tensor) in &problem.optimizer.save().unwrap().tensors {
            let Some(expected) = case.state(name) else { continue };
            let numbers = tensor.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            let found: Vec<f64> = numbers.map(f64::from).collect();
            // Numbers in f64, such as a rate, have other bytes.
            if found.len() == expected.len() {
                self.state = self.state.max(apart(&found, &expected));
            }
        }
    }
}

/// The bits of weights and state.
fn bits(problem: &Problem) -> BTreeMap<String, Vec<u8>> {
    let weights = problem.parameters.save().unwrap().tensors;
    let all = weights.into_iter().chain(problem.optimizer.save().unwrap().tensors);
    all.map(|(name, tensor)| (name, tensor.bytes.to_vec())).collect()
}

/// Runs a case, whole and resumed.
fn run(folder: &Path, case: &Case, translated: &Translated, config: &OptimizerConfig) -> Result<Distance, String> {
    let names = case.names();
    let begin = || {
        let problem = Problem::with(folder, &names, config.clone(), translated.transposes);
        Problem { climbs: translated.climbs, ..problem }
    };
    let (mut whole, mut resumed) = (begin(), begin());
    let mut distance = Distance::default();
    for number in 1..=UPDATES {
        let rates = case.rates(number, whole.optimizer.groups().len());
        whole.update_clipped(number, &rates, translated.max_norm);
        if let Some(expected) = case.parameters.get(&number) {
            distance.measure(&whole, expected);
        }
        if number > CUT {
            resumed.update_clipped(number, &rates, translated.max_norm);
        }
        if number == CUT {
            let (weights, state) = (whole.parameters.save().unwrap(), whole.optimizer.save().unwrap());
            resumed.parameters.load(&weights).map_err(|error| error.to_string())?;
            resumed.optimizer.load(&state).map_err(|error| error.to_string())?;
        }
    }
    distance.measure_state(&whole, case);
    if bits(&whole) != bits(&resumed) {
        return Err("the resumed run has other bits".to_owned());
    }
    if distance.checks == 0 {
        return Err("there is nothing to compare it with".to_owned());
    }
    Ok(distance)
}

/// Meets all cases of a file; returns how many there are.
#[track_caller]
fn meet(file: &Path) -> usize {
    let folder = file.parent().unwrap();
    let (cases, unread) = read(file);
    let mut faults = Vec::new();
    let mut met = 0;
    for case in &cases {
        let (translated, config) = match translate(case) {
            Ok(translated) => translated,
            Err(Lacking(what)) => {
                eprintln!("{} is left out: {what}", case.id);
                continue;
            }
        };
        match run(folder, case, &translated, &config) {
            Ok(Distance { weights, .. }) if weights > translated.tolerance => {
                faults.push(format!("{}: the weights are {weights:.1e} apart", case.id));
            }
            Ok(Distance { state, .. }) if state > translated.state_tolerance => {
                faults.push(format!("{}: the state is {state:.1e} apart", case.id));
            }
            Ok(_) => met += 1,
            Err(fault) => faults.push(format!("{}: {fault}", case.id)),
        }
    }
    unread.iter().for_each(|fault| eprintln!("cannot be read: {fault}"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    met
}

#[test]
fn every_rule_has_the_numbers_of_the_library_that_it_is_named_after_and_is_resumed_with_equal_bits() {
    let own = own_folder().join("cases.json");
    let all = read(&own).0.len();
    // Each of these can be met, so none is left out.
    assert_eq!(meet(&own), all);
    assert!(all >= 19);
    match std::env::var_os("REKINDLE_OPTIMIZER_CASES") {
        Some(file) => eprintln!("{} cases of {} are met", meet(Path::new(&file)), Path::new(&file).display()),
        None => eprintln!("REKINDLE_OPTIMIZER_CASES names no further file of cases"),
    }
}

/// A list of tolerances must not become the way to pass.
#[test]
fn the_tolerance_is_that_of_a_few_roundings() {
    for case in read(&own_folder().join("cases.json")).0 {
        let Ok((translated, _)) = translate(&case) else { panic!("{} has no rule", case.id) };
        assert!(translated.tolerance <= TOLERANCE, "{}", case.id);
    }
}

#[test]
fn a_class_that_is_unknown_is_told_and_does_not_fail() {
    let text = r#"{"format": "optimizers 1", "cases": [
        {"id": "a", "library": "torch 9.9", "class": "Sgd9", "arguments": {}, "parameters": {}},
        {"id": "b", "library": "other 1.0", "class": "Adam", "arguments": {"lr": 0.1}, "parameters": {}},
        {"id": "c", "library": "torch 9.9", "class": "Adam", "arguments": {"lr": 0.1, "turbo": 9}, "parameters": {}},
        {"id": "d", "library": 5}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    std::fs::write(&file, text).unwrap();
    assert_eq!(meet(&file), 0);
    let (cases, unread) = read(&file);
    assert_eq!(unread.len(), 1);
    let told: Vec<String> = cases.iter().map(|case| translate(case).unwrap_err().0).collect();
    assert_eq!(told[0], "there is no rule for `Sgd9` of torch");
    assert_eq!(told[1], "there is no rule for `Adam` of other");
    assert!(told[2].contains("turbo"), "{}", told[2]);
}
