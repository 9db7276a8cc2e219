//! Messages of the programs are readable and helpful: numbers have enough digits, commands can be copied, advice works,
//! and likely mistakes are reported before the first step.

use std::fs;

use crate::common::programs::{CONFIG, INSPECT, TRAIN, Told, Workplace};

/// The run of `config.toml` with settings, in `out`.
fn run(place: &Workplace, out: &str, settings: &[&str]) -> Told {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    place.train(&["config.toml", "--out", out].into_iter().chain(settings).collect::<Vec<_>>())
}

#[test]
fn a_small_rate_and_a_large_loss_are_shown_with_their_digits() {
    let place = Workplace::new();
    let told = run(&place, "run", &["optimizer.lr=2e-7", "schedule=constant"]);
    assert!(told.out.starts_with("epoch 01 | lr=2.000e-7,2.000e-7 | loss=0."), "{}", told.out);
    fs::write(place.path("rows.csv"), "a,b,y\n1,2,1e6\n3,1,-2e6\n2,2,3e6\n5,4,1e6\n").unwrap();
    let told = run(&place, "large", &["data.task=regression", "optimizer.lr=1e-9"]);
    let loss = told.out.split("loss=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(loss.len() == 8 && loss.contains("e1"), "{}", told.out);
    let inspected = place.inspect(&["large"]).out;
    assert!(inspected.contains("base_lr=1e-9"), "{inspected}");
    let evaluated = place.train(&["eval", "large"]).out;
    assert!(evaluated.contains("loss="), "{evaluated}");
}

#[test]
fn a_command_to_copy_is_quoted_for_the_shell() {
    let place = Workplace::new();
    run(&place, "a b", &[]).says(0, &["to train longer: train --resume 'a b' --set train.epochs=…"]);
    run(&place, "a b", &[]).says(2, &["a b already holds a run: continue it with `train --resume 'a b'`"]);
    place.train(&["a b"]).says(2, &["`train --resume 'a b'`"]);
    let told = run(&place, "it's", &["optimizer.lr=1e30", "optimizer.momentum=0", "schedule=constant"]);
    told.says(1, &[r"`train --resume 'it'\''s/checkpoints/step-0000000000' --set optimizer.lr=…`"]);
    fs::rename(place.path("config.toml"), place.path("my config.toml")).unwrap();
    let told = place.train(&["find-lr", "my config.toml", "--steps", "30"]);
    assert!(told.out.contains("train 'my config.toml' --set optimizer.lr="), "{}", told.out);
}

#[test]
fn a_rate_of_zero_is_named_before_the_first_step_with_what_was_meant() {
    let place = Workplace::new();
    let told = run(&place, "run", &["schedule=cosine(4)"]);
    told.says(0, &["warning: the learning rate is 0 in steps 4 to 19, 80% of the run's 20", "schedule = cosine(4)"]);
    told.says(0, &["write `cosine(4, unit=\"epoch\")`", "write `cosine(\"100%\")`"]);
    for schedule in ["cosine(4, unit=\"epoch\")", "cosine(\"100%\")", "warmup(\"10%\") -> cosine(\"90%\")"] {
        let told = run(&place, schedule.split('(').next_back().unwrap(), &[&format!("schedule={schedule}")]);
        assert!(told.code == Some(0) && !told.err.contains("warning"), "{}", told.err);
    }
    // On a resume the remaining steps are examined.
    let resumed = place.train(&["--resume", "run", "--set", "train.epochs=6"]);
    resumed.says(0, &["warning: the learning rate is 0 in steps 20 to 29"]);
}

#[test]
fn a_longer_run_whose_rate_jumps_says_from_what_to_what() {
    let place = Workplace::new();
    run(&place, "run", &["schedule=cosine(\"100%\")", "optimizer.groups="]).says(0, &["done"]);
    let resumed = place.train(&["--resume", "run", "--set", "train.epochs=8"]);
    resumed.says(0, &["warning: the learning rate jumps from 0 to 0.050000 at step 20", "40 steps and was 20"]);
    let shorter = place.train(&["--resume", "run/checkpoints/step-0000000005", "--set", "train.epochs=2"]);
    shorter.says(0, &["warning: the learning rate jumps from 0.085355 to 0.050000 at step 5"]);
    // Lengths in steps do not change.
    run(&place, "steps", &["schedule=polynomial(60)"]).says(0, &["done"]);
    let resumed = place.train(&["--resume", "steps", "--set", "train.epochs=8"]);
    assert!(resumed.code == Some(0) && !resumed.err.contains("jumps"), "{}", resumed.err);
}

/// Its name, time and level would not help a user.
#[test]
fn a_warning_of_the_library_looks_like_every_other_line() {
    let place = Workplace::with_run();
    let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    let gap = log.lines().enumerate().filter(|(step, _)| *step != 3).map(|(_, line)| format!("{line}\n"));
    fs::write(place.path("run/log.jsonl"), gap.collect::<String>()).unwrap();
    let told = place.train(&["--resume", "run"]);
    told.says(0, &["warning: run/log.jsonl has no lines of steps 3 to 3\n"]);
    assert!(!told.err.contains("WARN") && !told.err.contains("rekindle::"), "{}", told.err);
}

#[test]
fn a_lowest_validation_loss_without_a_checkpoint_is_said_at_the_end() {
    let place = Workplace::new();
    let settings = ["checkpoint.every=15 steps", "validation.every=2 steps"];
    let told = run(&place, "run", &settings);
    let line = told.err.lines().find(|line| line.starts_with("lowest validation loss: ")).unwrap();
    assert!(line.contains("which has no checkpoint; `checkpoint.keep.best` keeps the best"), "{line}");
    // The advice helps.
    let told = run(&place, "kept", &[&settings[..], &["checkpoint.keep.best=1"]].concat());
    let (loss, best) =
        (line.split(' ').nth(3).unwrap(), told.err.lines().find(|line| line.starts_with("best checkpoint")));
    assert!(best.unwrap().contains(loss) && !told.err.contains("lowest validation"), "{}", told.err);
}

/// With ever fewer files that a process may open, it fails earlier and earlier.
#[test]
fn too_few_files_that_may_be_open_are_reported_with_how_to_allow_more() {
    let place = Workplace::with_run();
    let commands = [
        format!("{TRAIN} config.toml --out new"),
        format!("{TRAIN} predict run --data rows.csv"),
        format!("{INSPECT} run"),
        format!("{INSPECT} prune run --last 1 --dry-run"),
    ];
    for command in commands {
        let mut refused = 0;
        for limit in 4..9 {
            let _ = fs::remove_dir_all(place.path("new"));
            let script = format!("ulimit -n {limit}; exec {command}");
            let told: Told = place.command("sh", &["-c", &script]).output().unwrap().into();
            if told.code == Some(0) {
                break;
            }
            refused += 1;
            assert!(
                told.err.contains("too many files are open; raise the limit"),
                "{limit} files, {command}: {told:?}"
            );
        }
        assert!(refused > 0, "{command}");
    }
}

#[test]
fn all_missing_fields_are_named_at_once() {
    let place = Workplace::new();
    fs::write(place.path("empty.toml"), "").unwrap();
    let all = ["empty.toml: these are missing: `data.path`", "`model.kind`", "`optimizer.kind`", "`train.steps`"];
    place.train_refuses(&["empty.toml"], &all);
    let less = CONFIG
        .replace("path = \"rows.csv\"\n", "")
        .replace("lr = 0.1\n", "")
        .replace("parameters = [\"*.bias\"]\n", "");
    fs::write(place.path("less.toml"), less).unwrap();
    place.train_refuses(
        &["less.toml"],
        &["these are missing: `data.path`", "`optimizer.lr`", "`optimizer.groups[0].parameters`"],
    );
    // A single one has its line.
    fs::write(place.path("one.toml"), CONFIG.replace("lr = 0.1\n", "")).unwrap();
    place.train_refuses(&["one.toml"], &["one.toml, line 13: optimizer: `lr` is missing"]);
}

#[test]
fn what_is_not_set_is_not_called_null() {
    let place = Workplace::with_run();
    let told = place.train(&["--resume", "run", "--set", "train.clip_norm=3", "--set", "train.epochs=5"]);
    told.says(0, &["train.clip_norm was not set and is 3.0 from step 20 on"]);
    let inspected = place.inspect(&["run"]).out;
    assert!(inspected.contains("train.clip_norm: not set -> 3.0"), "{inspected}");
    place.train(&["--resume", "run", "--set", "data.drop_last=true"]).says(2, &["it is false in the checkpoint"]);
    place
        .train(&["--resume", "run", "--set", "data.classes=5"])
        .says(2, &["it is not set in the checkpoint and 5 now"]);
}

#[test]
fn a_whole_number_that_is_too_large_is_reported_the_limit() {
    let place = Workplace::new();
    let limit = "9223372036854775807";
    place.train_refuses(&["config.toml", "--set", "seed=18446744073709551615"], &["--set seed=1844", limit]);
    fs::write(place.path("big.toml"), CONFIG.replace("seed = 7", "seed = 18446744073709551615")).unwrap();
    place.train_refuses(&["big.toml"], &["big.toml, line 1: not TOML", limit]);
    run(&place, "run", &[&format!("seed={limit}")]).says(0, &["done"]);
    place.train(&["--resume", "run", "--set", "train.epochs=5"]).says(0, &["done"]);
}

#[test]
fn a_class_too_many_is_called_by_its_name() {
    let place = Workplace::new();
    fs::write(place.path("rows.csv"), "a,b,size\n1,2,low\n2,1,high\n3,2,mid\n4,2,low\n").unwrap();
    let told = run(&place, "run", &["data.classes=2"]);
    told.says(2, &["line 4, column `size`: label \"mid\" is one name more than the 2 classes of `data.classes`"]);
}

#[test]
fn a_proof_that_fails_says_nothing_of_what_it_removed() {
    let place = Workplace::new();
    let settings = ["optimizer.lr=1e30", "optimizer.momentum=0", "schedule=constant"].into_iter();
    let arguments = ["prove", "config.toml", "--kills", "1", "--out", "proof"];
    let arguments: Vec<&str> = arguments.into_iter().chain(settings.flat_map(|setting| ["--set", setting])).collect();
    let told = place.train(&arguments);
    told.says(2, &["the program fails without being killed", "is not finite at step"]);
    assert!(!told.err.contains("proof/") && !place.path("proof").exists(), "{}", told.err);
}

#[test]
fn what_never_acts_in_a_run_is_named_before_its_first_step() {
    let place = Workplace::new();
    let late = ["ema.start=\"5 epochs\"", "train.freeze=[{parameters=[\"0.*\"], from=\"20 steps\"}]"];
    let ema =
        "warning: ema.start = \"5 epochs\" is after the last of the run's 20 steps, so there will be no average; give";
    let freeze =
        "warning: train.freeze[0].from = \"20 steps\" is after the last of the run's 20 steps, so nothing will be";
    run(&place, "late", &late).says(0, &[ema, freeze]);
    let frozen = run(&place, "frozen", &["optimizer={kind=\"frozen\"}"]);
    frozen.says(
        0,
        &["warning: nothing is trained: the kind of every parameter is `frozen`; give `optimizer`, or one of"],
    );
    assert!(!frozen.err.contains("learning rate"), "{}", frozen.err);
    let half = run(&place, "half", &["train.freeze=[{parameters=[\"*\"], until=\"2 epochs\"}]"]);
    half.says(0, &["warning: nothing is trained in steps 0 to 9, 50% of the run's 20: `train.freeze` freezes every"]);
    let some = run(&place, "some", &["train.freeze=[{parameters=[\"0.*\"]}]", "swa.start=\"100%\""]);
    assert!(some.code == Some(0) && !some.err.contains("warning"), "{}", some.err);
}

#[test]
fn a_limit_that_is_nothing_in_f32_is_refused() {
    let place = Workplace::new();
    for key in ["train.clip_norm", "train.clip_value", "optimizer.groups[0].clip_norm"] {
        let setting = key.replace("[0]", ".0");
        let rule = format!("{key} = 1e-300: must be positive, and at least 1.2e-38");
        place.train_refuses(&["config.toml", "--set", &format!("{setting}=1e-300")], &[&rule]);
        run(&place, key, &[&format!("{setting}=1e-6")]).says(0, &["done"]);
    }
}

#[test]
fn a_group_without_parameters_says_which_group_has_them() {
    let place = Workplace::new();
    let groups = "optimizer.groups=[{parameters=[\"*.bias\"], lr=0.2}, {parameters=[\"0.bias\"], lr=0.3}]";
    let told =
        "optimizer.groups[1].parameters: all that `0.bias` matches is in earlier groups; remove this group, or put";
    place.train_refuses(&["config.toml", "--set", groups], &[told]);
}

#[test]
fn a_checkpoint_is_averaged_once() {
    let place = Workplace::with_run();
    let newest = "run/checkpoints/step-0000000020";
    let twice = ["average", newest, "run/../run/checkpoints/step-0000000020", "-o", "mean"];
    place.inspect_refuses(2, &twice, &["is given twice, and would count twice in the mean; name it once"]);
}
