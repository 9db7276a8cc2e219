//! `inspect diff` finds every different bit of two runs or checkpoints, with its place, and changes nothing.

use std::fs;
use std::path::Path;

use crate::common::forge::{forge, forge_file, manifest};
use crate::common::programs::{INSPECT, Told, Workplace};
use serde_json::{Value, json};

/// The folder with the run `run` and, of the same configuration changed by `settings`, `other`.
fn with_two_runs(settings: &[&str]) -> Workplace {
    let place = Workplace::with_run();
    place.train(&[&["config.toml", "--out", "other"], settings].concat()).says(0, &[]);
    place
}

/// Asserts that `inspect diff` exits with `code`, prints all of `parts` on stdout and nothing on stderr, and changes no
/// file.
#[track_caller]
fn assert_told(place: &Workplace, code: i32, arguments: &[&str], parts: &[&str]) -> String {
    let before = place.files();
    let Told { code: found, out, err } = place.inspect(&[&["diff"], arguments].concat());
    assert_eq!((found, err.as_str()), (Some(code), ""), "{out}");
    for part in parts {
        assert!(out.contains(part), "`{part}` is not in:\n{out}");
    }
    assert!(place.files() == before, "{arguments:?} changed files");
    out
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// The checkpoint at `path`, its `model.safetensors` changed by `change`, which is given the bytes of the elements.
fn change_model(path: &Path, change: impl FnOnce(&mut [u8])) {
    let mut content = fs::read(path.join("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
    change(&mut content[header..]);
    forge_file(path, "model.safetensors", &content);
    // The manifest keeps the order of its files.
    let mut changed = manifest(path);
    changed["files"].as_array_mut().unwrap().sort_by_key(|file| file["name"].as_str().unwrap().to_owned());
    forge(path, changed);
}

#[test]
fn two_runs_of_one_configuration_are_identical_though_written_at_other_times() {
    let place = with_two_runs(&[]);
    let mut changed = manifest(&place.path("other/checkpoints/step-0000000010"));
    changed["written_by"]["threads"] = json!(77);
    forge(&place.path("other/checkpoints/step-0000000010"), changed);
    let told =
        ["A  run\nB  other\nconfig.toml: same\nlog.jsonl: same\ncheckpoints: 5 compared, 0 differ\n", "\nidentical\n"];
    let out = assert_told(&place, 0, &["run", "other"], &told);
    assert!(out.contains("not counted:\n") && out.contains("written_by.threads  ") && out.contains(" | 77\n"), "{out}");
    assert_told(&place, 0, &["run/checkpoints", "other/"], &told[1..]);
    assert_told(&place, 0, &["run", "run"], &told[1..]);
    let newest = "checkpoints/step-0000000020";
    assert_told(&place, 0, &[&format!("run/{newest}"), &format!("other/{newest}")], &["1 compared, 0 differ"]);
}

#[test]
fn another_rate_shows_in_configuration_schedule_log_and_state() {
    let place = with_two_runs(&["--set", "optimizer.lr=0.05"]);
    let told = [
        "config.toml:\n  optimizer.lr  0.1 | 0.05\n",
        "log.jsonl: differs from line 1, step 0; A has 20 lines, B 20:\n  lr[0]  0.1 | 0.05\n  lr[1]  0.1 | 0.05\n",
        "checkpoints: 5 compared, 5 differ\nstep 0:\n  config:\n    optimizer.lr  0.1 | 0.05\n  schedule:\n",
        "    schedulers.lr.base_lrs[0]  0.1 | 0.05\n",
        "\nstep 5: ",
        " fields, 8 tensors\n",
        "\ndifferent\n",
    ];
    let out = assert_told(&place, 1, &["run", "other"], &told);
    assert!(!out.contains("model 0.weight"), "the initial weights are the same:\n{out}");
}

#[test]
fn another_schedule_is_reported_as_a_line_of_text() {
    let place = with_two_runs(&["--set", "schedule=step(5, gamma=0.5)"]);
    let told =
        ["    config.schedule     \"cosine(20, eta_min=1e-3)\" | \"step(5, gamma=0.5)\"\n", "schedulers.lr.spec"];
    assert_told(&place, 1, &["run", "other"], &told);
}

#[test]
fn one_flipped_bit_is_found_with_its_index_and_its_distance() {
    let place = Workplace::with_run();
    copy(&place.path("run"), &place.path("other"));
    let newest = "checkpoints/step-0000000020";
    // Tensors are in name order: 0.bias has 8 elements, followed by 0.weight, of 8 by 2.
    change_model(&place.path("other").join(newest), |elements| elements[(8 + 5) * 4] ^= 1);
    let told = ["1 differ\nstep 20:\n  tensors:\n", "model 0.weight  F32[8, 2]  1 of 16 ", "         1  [2, 1]  "];
    let out = assert_told(&place, 1, &["run", "other"], &told);
    assert!(!out.contains("model 0.bias") && !out.contains("optimizer"), "{out}");
    assert_told(&place, 1, &[&format!("run/{newest}"), &format!("other/{newest}")], &told[1..]);
    assert_told(&place, 1, &[&format!("run/{newest}"), "other"], &told[1..]);

    let told = assert_told(&place, 1, &["run", "other", "--json"], &[]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let tensor = &told["checkpoints"][4]["tensors"][0];
    assert_eq!((&told["identical"], &tensor["name"]), (&json!(false), &json!("0.weight")));
    let elements = &tensor["change"]["elements"];
    assert_eq!((&elements["differing"], &elements["max_ulps"]), (&json!(1), &json!(1)));
    assert_eq!((&elements["first"]["index"], &elements["first"]["ulps"]), (&json!([2, 1]), &json!(1)));
    let weight = |side: &str| elements["first"][side].as_str().unwrap().parse::<f32>().unwrap().to_bits();
    assert_eq!(weight("a") ^ 1, weight("b"));
}

#[test]
fn what_is_on_one_side_alone_is_a_difference() {
    let place = with_two_runs(&["--set", "train.epochs=2", "--set", "schedule.t_max=20"]);
    let told = [
        "only in A: step-0000000015 step-0000000020\n",
        "log.jsonl: differs from line 11, step 10; A has 20 lines, B 10:\n  A  {\"step\":10,",
        "\n  B  has ended\n",
    ];
    assert_told(&place, 1, &["run", "other"], &told);
    assert_told(&place, 1, &["other", "run"], &["only in B: step-0000000015 step-0000000020\n", "  A  has ended\n"]);
    fs::remove_file(place.path("run/log.jsonl")).unwrap();
    assert_told(&place, 1, &["run", "other"], &["only in B: log.jsonl\n"]);
}

/// Two checkpoints of a run at different steps can be compared.
#[test]
fn checkpoints_of_two_steps_are_compared_with_each_other() {
    let place = Workplace::with_run();
    let [one, two] = [5, 10].map(|step| format!("run/checkpoints/step-{step:010}"));
    let told =
        ["    step                         5 | 10\n", "schedulers.lr.t  5 | 10\n", "model 0.bias", "optimizer 0.bias"];
    assert_told(&place, 1, &[&one, &two], &told);
}

#[test]
fn a_run_elsewhere_with_the_same_data_is_identical() {
    let place = Workplace::new();
    for out in ["run", "deep/er/run"] {
        place.train(&["config.toml", "--out", out]).says(0, &[]);
    }
    let told = ["not counted:\n", "config.data.path", "\"../rows.csv\" | \"../../../rows.csv\"\n", "\nidentical\n"];
    assert_told(&place, 0, &["run", "deep/er/run"], &told);
}

#[test]
fn a_damaged_checkpoint_differs_and_the_others_are_still_compared() {
    let place = with_two_runs(&[]);
    let file = place.path("other/checkpoints/step-0000000010/model.safetensors");
    let content = fs::read(&file).unwrap();
    fs::write(&file, &content[1..]).unwrap();
    let told = ["5 compared, 1 differ\nstep 10:\n  BAD: other/checkpoints/step-0000000010/model.safetensors has "];
    assert_told(&place, 1, &["run", "other"], &told);
}

/// Equal in every value, but not the file that a save of that state would have written.
#[test]
fn a_file_that_says_the_same_in_other_bytes_differs() {
    let place = Workplace::with_run();
    copy(&place.path("run"), &place.path("other"));
    let newest = place.path("other/checkpoints/step-0000000020");
    let content = fs::read_to_string(newest.join("state.json")).unwrap();
    forge_file(&newest, "state.json", format!("{content} ").as_bytes());
    assert_told(&place, 1, &["run", "other"], &["step 20:\n  state.json: different bytes with the same meaning\n"]);
}

#[test]
fn what_cannot_be_compared_is_a_clear_error() {
    let place = Workplace::with_run();
    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir_all(place.path("other/step-0000000007")).unwrap();
    let cases: [(&[&str], &[&str]); 6] = [
        (&["run", "nowhere"], &["cannot read nowhere: No such file"]),
        (&["config.toml", "run"], &["config.toml: is a file; give a run directory"]),
        (&["run", "empty"], &["empty: holds no run and no checkpoint"]),
        (&["other/step-0000000007", "run"], &["run holds no checkpoint of step 7 to compare with", "compare the runs"]),
        (&["run", "other/step-0000000007"], &["run holds no checkpoint of step 7 to compare with"]),
        (&["run"], &["required", "<B>"]),
    ];
    for (arguments, parts) in cases {
        place.inspect_refuses(2, &[&["diff"], arguments].concat(), parts);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = with_two_runs(&["--set", "optimizer.lr=0.05"]);
    let mut child = place.command(INSPECT, &["diff", "run", "other"]);
    let mut child = child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended: Told = child.wait_with_output().unwrap().into();
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
}
