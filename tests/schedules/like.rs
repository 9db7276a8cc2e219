//! Constructors of other libraries, as people have them in their code, give the rates of these libraries:
//! `tests/data/like.json` has one for each case of the tables that a single constructor makes.

use std::collections::BTreeMap;
use std::process::Command;

use proptest::prelude::*;
use rekindle::schedule::{RunLength, Trajectory, known_classes, like};
use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    base_lrs: Vec<f64>,
    lrs: Vec<Vec<f64>>,
    #[serde(default)]
    metrics: Vec<f64>,
    rel_tol: Option<f64>,
}

fn constructors() -> BTreeMap<String, String> {
    serde_json::from_str(include_str!("../data/like.json")).unwrap()
}

fn cases() -> impl Iterator<Item = Case> {
    let tables = [include_str!("../data/schedules.json"), include_str!("../data/schedules_more.json")];
    tables.into_iter().flat_map(|table| serde_json::from_str::<Table>(table).unwrap().cases)
}

/// Its table has the curve at update 0, where timm leaves the base rate, a millionth above it.
const FROM_1: &str = "given-045";

/// PyTorch's rate rises again after its end where ours holds, so these are compared up to it.
const HOLDS: &[(&str, usize)] = &[("given-014", 21), ("given-015", 51), ("given-016", 21)];

#[test]
fn a_constructor_gives_the_rates_of_its_library() {
    let constructors = constructors();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in cases() {
        let Some(constructor) = constructors.get(&case.id) else { continue };
        let found = match like(constructor) {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("{}: {error}", case.id));
                continue;
            }
        };
        // A constructor with one rate may serve several groups.
        let own = found.base_lrs.filter(|base_lrs| base_lrs.len() == case.base_lrs.len());
        let base_lrs = own.unwrap_or(case.base_lrs.clone());
        let steps = case.lrs.len() as u64;
        let run = RunLength { total_steps: Some(steps), steps_per_epoch: 1 };
        let ours = Trajectory::new(&found.schedule, &base_lrs, run, steps, &case.metrics).unwrap().lrs;
        let until = HOLDS.iter().find(|(id, _)| case.id.starts_with(id)).map_or(usize::MAX, |(_, until)| *until);
        let tolerance = case.rel_tol.unwrap_or(1e-12);
        let from = usize::from(case.id.starts_with(FROM_1));
        for (t, (ours, theirs)) in ours.iter().zip(&case.lrs).enumerate().take(until).skip(from) {
            let near = ours
                .iter()
                .zip(theirs)
                .zip(&case.base_lrs)
                .all(|((ours, theirs), base)| (ours - theirs).abs() <= tolerance * theirs.abs().max(*base));
            if !near {
                wrong.push(format!("{} at {t}: {} gives {ours:?}, not {theirs:?}", case.id, found.schedule));
                break;
            }
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(compared, constructors.len());
}

/// `like_more.json` was written by packages that evaluated these very constructors. PyTorch's recursions drift from the
/// closed forms by some last bits.
#[test]
fn constructors_in_other_forms_and_with_edge_values_give_the_rates_of_their_packages() {
    #[derive(Deserialize)]
    struct Evaluated {
        constructor: String,
        base_lrs: Vec<f64>,
        lrs: Vec<Vec<f64>>,
        #[serde(default)]
        metrics: Vec<f64>,
    }
    let packages: BTreeMap<String, Vec<Evaluated>> =
        serde_json::from_str(include_str!("../data/like_more.json")).unwrap();
    let mut wrong = Vec::new();
    let cases = packages.iter().flat_map(|(package, cases)| cases.iter().map(move |case| (package, case)));
    for (package, case) in cases {
        // Several packages have a class of one name.
        let is_full = case.constructor.split('(').next().is_some_and(|path| path.contains('.'));
        let text = if is_full { case.constructor.clone() } else { format!("{package}.{}", case.constructor) };
        let found = match like(&text) {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("{}: {error}", case.constructor));
                continue;
            }
        };
        let base_lrs = found.base_lrs.filter(|own| own.len() == case.base_lrs.len());
        let base_lrs = base_lrs.unwrap_or_else(|| case.base_lrs.clone());
        let steps = case.lrs.len() as u64;
        let run = RunLength { total_steps: Some(steps), steps_per_epoch: 1 };
        let ours = Trajectory::new(&found.schedule, &base_lrs, run, steps, &case.metrics).unwrap().lrs;
        let near = |(ours, theirs): (&f64, &f64)| (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1e-3);
        let far = ours.iter().zip(&case.lrs).position(|(ours, theirs)| !ours.iter().zip(theirs).all(near));
        if let Some(t) = far {
            let (ours, theirs) = (&ours[t], &case.lrs[t]);
            wrong.push(format!("{} at {t}: {} gives {ours:?}, not {theirs:?}", case.constructor, found.schedule));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Cases that no single constructor makes, or whose class goes wrong inside another one.
const WITHOUT: &[&str] = &[
    "given-054", // a paper
    "003-",      // a chain in which one scheduler overwrites the other
    "029-",      // ignite's wrapper, in which PyTorch's recursions go wrong
    "031-",
    "043-", // two schedulers together
    "045-",
    "047-", // a factory method
    "063-", // a floor that is a share of a rate that the constructor does not have
    "087-", // the state of an optimizer
    "157-", // a factor on another scheduler
    "179-", // a list of stages
    "207-", // a rate below its floor
];

#[test]
fn every_other_case_of_the_tables_has_its_constructor() {
    let constructors = constructors();
    let without: Vec<String> = cases().map(|case| case.id).filter(|id| !constructors.contains_key(id)).collect();
    assert_eq!(without.len(), WITHOUT.len(), "{without:?}");
    assert!(without.iter().all(|id| WITHOUT.iter().any(|known| id.starts_with(known))), "{without:?}");
}

/// The page says of each that it is read, so a signature that cannot be read would be a false promise.
#[test]
fn every_known_class_can_be_asked_for() {
    let classes = known_classes();
    assert!(classes.len() > 120, "{}", classes.len());
    for class in classes {
        let asked = like(&format!("{class}(no_such_argument=1)")).unwrap_err().to_string();
        assert!(asked.contains("there is no argument `no_such_argument`"), "{class}: {asked}");
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_remedy() {
    let told = |text: &str| like(text).unwrap_err().to_string();
    assert_eq!(told("StepLR(optimizer)"), "`StepLR`: it needs `step_size`");
    assert_eq!(told("StepLR(optimizer, step=3)"), "`StepLR`: there is no argument `step`; did you mean `step_size`?");
    assert_eq!(told("StepLR(optimizer, STEP)"), "`StepLR`: `step_size` is the variable `STEP`; write its value");
    assert_eq!(told("StepLR(optimizer, 3, step_size=3)"), "`StepLR`: `step_size` is given twice");
    assert_eq!(told("StepLR(optimizer, 2.5)"), "`StepLR`: `step_size` takes a whole number that is not negative");
    assert!(told("OneCycleLR(max_lr=0.1)").contains("it needs `total_steps`"));
    assert!(told("StepRL(optimizer, 3)").contains("did you mean `torch.optim.lr_scheduler.StepLR`"));
    assert!(told("optax.StepLR(3)").contains("there is `torch.optim.lr_scheduler.StepLR`"));
    assert!(told("Qwertyuiop(3)").contains("torch, transformers, timm"));
    assert!(told("get_linear_schedule_with_warmup(opt, 10, 5)").contains("nothing is left"));
}

#[test]
fn a_name_without_its_package_is_that_of_pytorch_and_the_others_are_told() {
    let found = like("scheduler = StepLR(optimizer, step_size=30)").unwrap();
    assert_eq!(found.schedule, "step(30)".parse().unwrap());
    assert_eq!(found.class, "torch.optim.lr_scheduler.StepLR");
    assert!(found.notes.iter().any(|note| note.contains("mmengine.optim.scheduler.StepLR")), "{:?}", found.notes);
    let found = like("learn.fit_one_cycle(5, 1e-3, wd=0.1)").unwrap();
    assert_eq!((found.class.as_str(), found.base_lrs), ("fastai.fit_one_cycle", Some(vec![1e-3])));
    assert_eq!(like("lrs.StepLR(optimizer, 30)").unwrap().class, "torch.optim.lr_scheduler.StepLR");
    let found = like("from_mmengine = mmengine.optim.StepLR(optimizer, 30)").unwrap();
    assert_eq!(found.class, "mmengine.optim.scheduler.StepLR");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"[A-Za-z(){}\[\],='" 0-9.*/+é-]{0,60}"#) {
        let _ = like(&text);
        let _ = like(&format!("StepLR({text})"));
    }

    /// One character is lost, or becomes a digit: lengths of 0, large numbers, and lists that do not fit.
    #[test]
    fn a_changed_constructor_is_read_or_refused(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), digit in 0u8..11) {
        let constructors: Vec<String> = constructors().into_values().collect();
        let mut text: Vec<char> = which.get(&constructors).chars().collect();
        let at = at.index(text.len());
        match digit {
            10 => {
                text.remove(at);
            }
            digit => text[at] = char::from(b'0' + digit),
        }
        if let Ok(found) = like(&text.into_iter().collect::<String>()) {
            let run = RunLength { total_steps: Some(100), steps_per_epoch: 10 };
            let _ = found.schedule.plan(&run, found.base_lrs.map_or(1, |base_lrs| base_lrs.len().max(1)));
        }
    }
}

fn inspect(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_inspect")).arg("lr").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn inspect_lr_prints_our_schedule_and_where_it_differs_or_its_rates() {
    let constructor = "torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=100)";
    let (fine, out, _) = inspect(&["--like", constructor]);
    assert!(fine);
    let mut lines = out.lines();
    let schedule = lines.next().unwrap();
    assert_eq!(schedule, "one_cycle(100, momentum=[0.85, 0.95])");
    assert_eq!(lines.next(), Some("base rate 0.1"));
    assert!(lines.next().unwrap().starts_with("note: here it holds its last rate"));
    let (fine, csv, notes) = inspect(&["--like", constructor, "--steps", "100", "--format", "csv"]);
    assert!(fine && notes.starts_with("note: "));
    assert_eq!(csv, inspect(&[schedule, "--base-lr", "0.1", "--steps", "100", "--format", "csv"]).1);
    let (fine, out, fault) = inspect(&["--like", "StepRL(3)"]);
    assert!(!fine && out.is_empty() && fault.contains("did you mean"), "{fault}");
}
