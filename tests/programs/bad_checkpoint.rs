//! A checkpoint that is damaged, or does not fit the run, is refused by `train --resume` and `inspect` with the reason,
//! and is not changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::forge::{forge, forge_entry, forge_file, manifest};
use crate::common::programs::{INSPECT, TRAIN, Told, Workplace};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// The newest checkpoint is bad: `verify` says so, a resume of it alone is refused, and nothing is changed.
#[track_caller]
fn assert_bad(place: &Workplace, parts: &[&str]) {
    assert_refused(place, 1, "BAD", parts);
}

/// The newest checkpoint is refused by itself, and `verify` ends with `code` and calls it `word`.
#[track_caller]
fn assert_refused(place: &Workplace, code: i32, word: &str, parts: &[&str]) {
    let newest = place.newest();
    let newest = newest.to_str().unwrap();
    place.train_refuses(&["--resume", newest, "--out", "other"], parts);
    place.inspect_refuses(code, &[newest], parts);
    let verified = place.inspect(&["verify", "run"]);
    assert_eq!(verified.code, Some(code), "{verified:?}");
    let lines: Vec<&str> = verified.out.lines().collect();
    let (sum, lines) = lines.split_last().unwrap();
    assert!(sum.starts_with(&format!("5 checkpoints, 1 {word}, ")), "{sum}");
    let (last, others) = lines.split_last().unwrap();
    let is_named = last.contains(&format!("step-0000000020: {word}: "));
    assert!(is_named && parts.iter().all(|part| last.contains(part)), "{last}");
    assert!(others.len() == 4 && others.iter().all(|line| line.contains(": ok, ")), "{others:?}");
}

/// A resume of the run skips the newest checkpoint with a message, and repeats its steps.
#[track_caller]
fn assert_skipped(place: &Workplace, parts: &[&str]) {
    let told = place.train(&["--resume", "run"]);
    told.says(0, &["skipped a damaged checkpoint: run/checkpoints/step-0000000020", "done: 5 steps"]);
    told.says(0, parts);
    place.inspect(&["verify", "run"]).says(0, &[]);
}

fn change(checkpoint: &Path, name: &str, change: impl Fn(&mut Vec<u8>)) {
    let mut content = fs::read(checkpoint.join(name)).unwrap();
    change(&mut content);
    fs::write(checkpoint.join(name), content).unwrap();
}

/// Harms a checkpoint.
type Harm = fn(&Path);

/// One of each kind; `tests/checkpoints/damage.rs` has all of them, and what the library says.
const HARMS: [(Harm, &[&str]); 7] = [
    (
        |newest| change(newest, "optimizer.safetensors", |content| content[100] ^= 1),
        &["step-0000000020/optimizer.safetensors"],
    ),
    (
        |newest| change(newest, "model.safetensors", |content| content.truncate(90)),
        &["model.safetensors has ", "the manifest says", "it was truncated or changed"],
    ),
    (
        |newest| fs::remove_file(newest.join("model.safetensors")).unwrap(),
        &["model.safetensors is missing, though the manifest lists it"],
    ),
    (
        |newest| fs::remove_file(newest.join("manifest.json")).unwrap(),
        &["manifest.json is missing, so the checkpoint was never finished or not copied completely"],
    ),
    (
        |newest| {
            change(newest, "model.safetensors", |content| content[..8].copy_from_slice(&(1_u64 << 60).to_le_bytes()));
            forge_file(newest, "model.safetensors", &fs::read(newest.join("model.safetensors")).unwrap());
        },
        &["model.safetensors has a bad safetensors header", "1152921504606846976"],
    ),
    (|newest| forge_entry(newest, "../../etc/passwd"), &["manifest.json lists `../../etc/passwd`", "no other path"]),
    (
        |newest| {
            fs::rename(newest.join("state.json"), newest.join("../../state.json")).unwrap();
            symlink("../../state.json", newest.join("state.json")).unwrap();
        },
        &["state.json is not a regular file", "links inside a checkpoint are not followed"],
    ),
];

#[test]
fn a_bad_checkpoint_is_refused_by_every_command_and_passed_over_by_a_resume_of_its_run() {
    for (harm, parts) in HARMS {
        let place = Workplace::with_run();
        harm(&place.newest());
        assert_bad(&place, parts);
        assert_skipped(&place, parts);
    }
}

#[test]
fn a_version_from_the_future_says_what_to_update_and_no_older_checkpoint_is_taken() {
    let place = Workplace::with_run();
    let mut changed = manifest(&place.newest());
    changed["version"] = json!(2);
    forge(&place.newest(), changed);
    let parts = ["has format version 2", "up to version 1", "update Rekindle"];
    assert_refused(&place, 2, "NOT READ", &parts);
    place.train_refuses(&["--resume", "run"], &parts);
    place.train_refuses(&["--resume", "run"], &["resume it by its path, such as run/checkpoints/step-0000000015"]);
    place.train_refuses(&["eval", "run"], &parts);
    place.inspect_refuses(2, &["diff", "run", place.newest().to_str().unwrap()], &parts);
}

#[test]
fn a_version_from_the_future_may_be_the_best_and_is_not_passed_over() {
    let place = Workplace::with_run();
    let older = place.path("run/checkpoints/step-0000000010");
    let mut changed = manifest(&older);
    changed["version"] = json!(2);
    forge(&older, changed);
    place.train(&["eval", "run"]).says(0, &[]);
    let parts = ["its best checkpoint is unknown", "step-0000000010", "update Rekindle", "leave `--best` out"];
    place.train_refuses(&["eval", "run", "--best"], &parts);
}

#[test]
fn a_file_that_a_file_manager_left_is_a_warning() {
    let place = Workplace::with_run();
    for step in [0, 5, 10, 15, 20] {
        fs::write(place.path(&format!("run/checkpoints/step-{step:010}/.DS_Store")), "").unwrap();
    }
    let warning = "step-0000000020/.DS_Store does not belong to the checkpoint, and is ignored";
    let verified = place.inspect(&["verify", "run"]);
    verified.says(0, &[]);
    assert!(verified.out.contains(warning) && verified.out.matches(": ok, ").count() == 5, "{verified:?}");
    place.inspect(&["run"]).says(0, &[warning]);
    place.train(&["eval", "run"]).says(0, &[warning]);
    let resumed = place.train(&["--resume", "run", "--set", "train.epochs=5"]);
    resumed.says(0, &["warning: run/checkpoints/", warning, "done: 5 steps"]);
    assert!(!resumed.err.contains("damaged"), "{}", resumed.err);
    place
        .train(&["--resume", "run/checkpoints/step-0000000005"])
        .says(0, &["step-0000000005/.DS_Store does not belong"]);
}

/// With ever fewer files that a process may open, a resume fails earlier and earlier. It never treats a file that it
/// could not open as damaged.
#[test]
fn too_few_files_that_may_be_open_are_said_and_are_no_damage() {
    let place = Workplace::with_run();
    let files = || {
        let mut files = place.files();
        let of_processes = ["timing.jsonl", "outcome.json"];
        files.retain(|path, _| of_processes.iter().all(|name| !path.ends_with(name)));
        files
    };
    let before = files();
    let mut named = 0;
    for limit in 4..12 {
        for command in [format!("{TRAIN} --resume run"), format!("{TRAIN} eval run"), format!("{INSPECT} verify run")] {
            let script = format!("ulimit -n {limit}; exec {command}");
            let told: Told = place.command("sh", &["-c", &script]).output().unwrap().into();
            for wrong in ["damaged", "skipped", "start a new run", "begins at its first step", "BAD", "panicked"] {
                assert!(!(told.err.contains(wrong) || told.out.contains(wrong)), "{limit} files, {command}: {told:?}");
            }
            let said = told.err + &told.out;
            let names_it = said.contains("checkpoints/step-0000000020") && said.contains("Too many open files");
            named += usize::from(names_it && said.contains("ulimit -n") && told.code == Some(2));
        }
    }
    assert!(named > 0, "no limit was just too small for the checkpoint");
    assert!(files() == before, "something was changed");
    place.train(&["--resume", "run"]).says(0, &["nothing left to do"]);
}

/// Changes the tensors of the newest checkpoint's model, with a matching manifest.
fn forge_model(checkpoint: &Path, change: impl FnOnce(&mut Vec<(String, TensorView<'_>)>)) {
    let content = fs::read(checkpoint.join("model.safetensors")).unwrap();
    let mut tensors = SafeTensors::deserialize(&content).unwrap().tensors();
    change(&mut tensors);
    forge_file(checkpoint, "model.safetensors", &safetensors::serialize(tensors, None).unwrap());
}

/// Tensors of another model's valid checkpoint are not damaged, but still refused.
#[track_caller]
fn assert_does_not_fit(place: &Workplace, parts: &[&str]) {
    let newest = place.newest();
    place.train_refuses(&["--resume", newest.to_str().unwrap(), "--out", "other"], parts);
    place.train_refuses(&["--resume", "run"], parts);
    place.train_refuses(&["--resume", "run"], &["the part `model` does not fit the checkpoint", "step-0000000020"]);
}

#[test]
fn a_tensor_of_another_shape_or_dtype_is_refused_with_both() {
    static ZEROS: [u8; 64] = [0; 64];
    for (dtype, shape, kind) in [(Dtype::F32, vec![2, 8], "F32[2, 8]"), (Dtype::F16, vec![8, 2], "F16[8, 2]")] {
        let place = Workplace::with_run();
        let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let view = TensorView::new(dtype, shape, &ZEROS[..length]).unwrap();
        forge_model(&place.newest(), |tensors| {
            tensors.retain(|(name, _)| name != "0.weight");
            tensors.push(("0.weight".to_owned(), view));
        });
        assert_does_not_fit(&place, &[&format!("tensor `0.weight` is {kind} in the checkpoint and F32[8, 2] here")]);
    }
}

#[test]
fn a_missing_or_an_extra_tensor_is_refused_by_name() {
    let place = Workplace::with_run();
    forge_model(&place.newest(), |tensors| tensors.retain(|(name, _)| name != "2.bias"));
    assert_does_not_fit(&place, &["tensor `2.bias` is missing from the checkpoint"]);
    let place = Workplace::with_run();
    forge_model(&place.newest(), |tensors| {
        let extra = tensors[0].1.clone();
        tensors.push(("9.bias".to_owned(), extra));
    });
    assert_does_not_fit(&place, &["the checkpoint holds a tensor `9.bias` that this program does not expect"]);
}

/// A state of the right form with invalid content must not be accepted either.
#[test]
fn a_state_that_is_no_run_is_refused() {
    let place = Workplace::with_run();
    let state: Value = serde_json::from_slice(&fs::read(place.newest().join("state.json")).unwrap()).unwrap();
    let refuses = |state: &Value, parts: &[&str]| {
        forge_file(&place.newest(), "state.json", state.to_string().as_bytes());
        place.train_refuses(&["--resume", "run"], parts);
    };
    let mut changed = state.clone();
    changed.as_object_mut().unwrap().remove("config");
    refuses(&changed, &["step-0000000020", "holds no configuration", "another program"]);
    let mut changed = state.clone();
    changed["config"]["optimizer"]["lrr"] = json!(1);
    refuses(&changed, &["the checkpoint's configuration: optimizer.lrr: `lrr` is unknown"]);
    let mut changed = state;
    changed["data"]["blake3"] = json!("00");
    refuses(&changed, &["the content of ", "rows.csv cannot change within a run", "--set data.path=…"]);
}

/// The fuzz target `resume` found a count that overflowed with the next update.
#[test]
fn a_mean_over_more_updates_than_the_epoch_has_had_is_refused() {
    let place = Workplace::with_run();
    let mut state: Value = serde_json::from_slice(&fs::read(place.newest().join("state.json")).unwrap()).unwrap();
    for updates in [1, u64::MAX] {
        state["epoch_mean"]["updates"] = json!(updates);
        forge_file(&place.newest(), "state.json", state.to_string().as_bytes());
        place.train_refuses(&["--resume", "run"], &["part `epoch_mean` is at step", "mixed two states"]);
    }
}

#[test]
fn only_damaged_checkpoints_are_all_named() {
    let place = Workplace::with_run();
    let checkpoints: Vec<_> = fs::read_dir(place.path("run/checkpoints")).unwrap().map(|e| e.unwrap().path()).collect();
    for checkpoint in &checkpoints {
        fs::remove_file(checkpoint.join("state.json")).unwrap();
    }
    let names = [0, 5, 10, 15, 20].map(|step| format!("run/checkpoints/step-{step:010}/state.json is missing"));
    let mut parts: Vec<&str> = names.iter().map(String::as_str).collect();
    parts.extend(["every checkpoint in run/checkpoints is damaged", "start a new run"]);
    place.train_refuses(&["--resume", "run"], &parts);
    place.train_refuses(&["--resume", "run/checkpoints"], &parts);
    place.inspect_refuses(1, &["run"], &parts);
    let verified = place.inspect(&["verify", "run"]);
    assert_eq!((verified.code, verified.out.matches(": BAD: ").count()), (Some(1), 5), "{verified:?}");
}

#[test]
fn a_path_with_nothing_to_resume_says_what_to_give() {
    let place = Workplace::with_run();
    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir_all(place.path("bare/checkpoints")).unwrap();
    fs::write(place.path("bare/config.toml"), "").unwrap();
    fs::write(place.path("bare/log.jsonl"), "{}\n").unwrap();
    let cases: [(&str, &[&str]); 6] = [
        ("nowhere", &["cannot read nowhere: No such file", "give a run directory"]),
        ("config.toml", &["config.toml: is a file; give a run directory, a folder of checkpoints, or"]),
        ("config.toml/x", &["config.toml/x", "Not a directory"]),
        ("/dev/null", &["/dev/null: is a file"]),
        ("empty", &["empty: holds no run and no checkpoint", "neither a `config.toml` nor a `step-…` directory"]),
        ("bare", &["bare/checkpoints holds no checkpoints: nothing there is named like `step-0000000100`"]),
    ];
    for (path, parts) in cases {
        place.train_refuses(&["--resume", path], parts);
        place.train_refuses(&["eval", path], parts);
        place.train_refuses(&["sample", path], parts);
        place.train_refuses(&["predict", path, "--data", "rows.csv"], parts);
        place.inspect_refuses(2, &[path], parts);
        place.inspect_refuses(2, &[path, "--json"], parts);
        place.inspect_refuses(2, &["verify", path], parts);
    }
    place.train_refuses(&["--resume", ""], &["--resume", "--help"]);
    place.train_refuses(&["--resume", "run", "config.toml"], &["remove config.toml", "--set KEY=VALUE"]);
    place.inspect_refuses(2, &[], &["give what to look at", "inspect --help"]);
    place.inspect_refuses(2, &["verify"], &["required", "<PATH>"]);
    place.train_refuses(&["eval"], &["required", "<RUN>"]);
    place.train_refuses(&["predict", "run"], &["required", "--data <PATH>"]);
}

#[test]
fn what_cannot_change_within_a_run_is_refused_with_both_values() {
    let place = Workplace::with_run();
    let cases = [
        (
            "optimizer.kind=adam",
            "optimizer.kind cannot change within a run: it is \"sgd\" in the checkpoint and \"adam\"",
        ),
        ("seed=8", "seed cannot change within a run: it is 7 in the checkpoint and 8 now; start a new run"),
        ("model.hidden=[9]", "model.hidden cannot change within a run: it is [8] in the checkpoint and [9] now"),
        ("data.shuffle=false", "data.shuffle cannot change within a run: it is "),
        (
            "data.drop_last=true",
            "data.drop_last cannot change within a run: it is false in the checkpoint and true now",
        ),
        ("model.hidden=[8, 6]", "model.hidden cannot change within a run: it is [8] in the checkpoint and [8,6] now"),
        ("data.validation=0.5", "data.validation cannot change within a run: it is 0.25 in the checkpoint and 0.5 now"),
        (
            "optimizer.momentum=0",
            "is 0.9 in the checkpoint and 0 here: a run has buffers for it from its first step on",
        ),
        (
            "optimizer.groups=[{parameters=['*.bias'], kind='adam', lr=0.1}]",
            "optimizer.groups[0].kind cannot change within a run: it is \"sgd\" in the checkpoint and \"adam\" now",
        ),
        (
            "optimizer.groups.0.kind=adam",
            "optimizer.groups[0].kind cannot change within a run: it is \"sgd\" in the checkpoint and \"adam\" now",
        ),
        ("optimizer.groups=[]", "the division into parameter groups is "),
        ("optimizer.lr=nan", "--set optimizer.lr=nan: must be a finite number"),
        ("optimizer.lrr=1", "--set: optimizer.lrr: `lrr` is unknown; did you mean `lr`?"),
    ];
    for (setting, message) in cases {
        place.train_refuses(&["--resume", "run", "--set", setting], &[message]);
    }
}

#[test]
fn a_strict_resume_refuses_instead_of_falling_back() {
    let place = Workplace::with_run();
    let file = place.newest().join("model.safetensors");
    let content = fs::read(&file).unwrap();
    fs::write(&file, &content[1..]).unwrap();
    let parts = ["step-0000000020/model.safetensors"];
    place.train_refuses(&["--resume", "run", "--strict"], &parts);
    let remedy = "without `--strict` the newest valid one is used, run/checkpoints/step-0000000015";
    place.train_refuses(&["--resume", "run", "--strict"], &[remedy]);
    place.train_refuses(&["--resume", "run", "--strict", "--out", "other"], &parts);
    place.train_refuses(&["config.toml", "--strict", "--out", "other"], &["--strict is of `--resume RUN` or of"]);
    fs::write(&file, content).unwrap();
    place.train(&["--resume", "run", "--strict"]).says(0, &["nothing left to do"]);
}
