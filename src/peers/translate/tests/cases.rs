//! Real checkpoints: the rates that their trainers used next.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::peers;
use crate::peers::translate::testing::RUN;
use crate::peers::translate::{optimizer, schedule};
use crate::schedule::Scheduler;
use crate::state::{State, Stateful};

/// Cases whose files do not hold the form of their schedule, so that it is asked for; each with the reason.
const ASKED: &[(&str, &str)] = &[
    ("torch/adamw_foreach_lambda", "a function"),
    ("timm/adamw_cosine_warmup", "arguments that are in another file"),
    ("composer/decoupled_adamw_cosine", "a function"),
    ("fastai/adam_one_cycle", "never in its files"),
    ("orbax/adamw_warmup_cosine", "never in optax' state"),
    ("orbax/sgd_momentum_zarr", "never in optax' state"),
    ("flax/adam", "neither a rate nor a schedule"),
    ("flax/adam_clipped", "neither a rate nor a schedule"),
    ("flax/amsgrad", "neither a rate nor a schedule"),
    ("flax/adamw_warmup_cosine", "never in optax' state"),
    ("flax/sgd_cosine", "never in optax' state"),
];

/// Cases that are refused as a whole when they are read.
const UNREAD: &[&str] = &["torch/whole_objects"];

fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cases")).to_owned()
}

/// Returns every case with its file or folder.
fn cases() -> Vec<(String, PathBuf, Json)> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let trainer = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(trainer.join("expected.json")) else { continue };
        let expected: Json = serde_json::from_str(&text).unwrap();
        for case in expected["cases"].as_array().into_iter().flatten() {
            let name = case["case"].as_str().unwrap();
            let file = case["file"].as_str().map(|file| trainer.join(file));
            let path = file.unwrap_or_else(|| checkpoint(&trainer.join(name)));
            let name = format!("{}/{name}", trainer.file_name().unwrap().to_string_lossy());
            cases.push((name, path, case.clone()));
        }
    }
    assert!(cases.len() > 40, "there are {} cases", cases.len());
    cases
}

/// Returns the file in a case's folder that is the checkpoint, or the folder itself.
fn checkpoint(folder: &Path) -> PathBuf {
    if folder.join("optimizer.pt").exists() {
        return folder.to_owned();
    }
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let endings = [".pt", ".ckpt", ".pth", ".pth.tar", ".keras", ".msgpack"];
    let mut found: Vec<PathBuf> =
        names.filter(|path| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending))).collect();
    found.sort();
    found.into_iter().next().unwrap_or_else(|| folder.to_owned())
}

#[test]
fn the_next_ten_rates_of_every_case_are_those_of_its_trainer() {
    let mut faults = Vec::new();
    for (name, path, case) in cases() {
        if UNREAD.contains(&name.as_str()) {
            continue;
        }
        let peer = match peers::open(&path) {
            Ok(peer) => peer,
            Err(error) => {
                faults.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut group = 0;
        for index in 0..peer.optimizers.len() {
            if let Err(fault) = compare(&name, &peer, index, &mut group, &case) {
                faults.push(format!("{name}: {fault}"));
            }
        }
        if group == 0 {
            faults.push(format!("{name}: it has no optimizer"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Compares the rates of one optimizer; `group` counts the groups of all of them, as the case does.
fn compare(name: &str, peer: &peers::Peer, index: usize, group: &mut usize, case: &Json) -> Result<(), String> {
    let groups = peer.optimizers[index].groups.len();
    let first = *group;
    *group += groups;
    optimizer(peer, index).map_err(|refusal| refusal.to_string())?;
    let translated = match schedule(peer, index) {
        Err(refusal) if refusal.asked && ASKED.iter().any(|(case, _)| *case == name) => return Ok(()),
        other => other.map_err(|refusal| refusal.to_string())?,
    };
    if ASKED.iter().any(|(case, _)| *case == name) {
        return Err("its schedule is not in the file, but was translated".to_owned());
    }
    let f32_rates = peer.schedules.iter().any(|schedule| schedule.in_f32) || name.starts_with("keras");
    let tolerance = if f32_rates { 2e-6 } else { 1e-12 };
    let losses = case["continues"].as_array().ok_or("no continues")?;
    let mut scheduler = translated.map(|translated| {
        let (spec, bases) = (translated.schedule, translated.base_lrs);
        let mut scheduler = Scheduler::new(spec.clone(), bases.clone(), RUN).unwrap();
        let memory = translated.memory;
        let state = serde_json::json!({"t": 10, "base_lrs": bases, "spec": spec, "memory": memory});
        scheduler.load(&State::from_json(state)).unwrap();
        scheduler
    });
    for line in losses {
        let expected = line["lr"].as_array().ok_or("no lr")?;
        for at in 0..groups {
            let wanted = expected[first + at].as_f64().ok_or("a rate is no number")?;
            let found = match &scheduler {
                Some(scheduler) => scheduler.rates()[at],
                None => peer.optimizers[index].groups[at].lr.ok_or("no rate")?,
            };
            if (found - wanted).abs() > tolerance * wanted.abs() {
                return Err(format!("update {} has {wanted}, ours is {found}", line["update"]));
            }
        }
        if let Some(scheduler) = &mut scheduler {
            scheduler.advance();
            scheduler.report(line["loss"].as_f64().unwrap_or(f64::NAN));
        }
    }
    Ok(())
}
