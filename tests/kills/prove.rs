//! `train prove` shows that a run survives kills, and detects one that does not.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::place::Place;
use crate::common::programs::{TRAIN, Told, Workplace};
use crate::common::training::wait_until;
use crate::common::{assert_same_bits, example, steps};

/// Hundreds of updates, a validation every tenth and a save every twentieth, so that all kinds of kills hit.
fn place() -> Workplace {
    let place = Workplace::new();
    let config = fs::read_to_string(place.path("config.toml")).unwrap();
    let config = config.replace("epochs = 4", "steps = 600").replace("1 epoch", "20 steps");
    fs::write(place.path("config.toml"), config + "\n[validation]\nevery = \"10 steps\"\n").unwrap();
    place
}

/// The column of the table of kills that begins where its header does.
fn kills(out: &str) -> Vec<Vec<String>> {
    let rows = out.lines().skip(1).take_while(|line| !line.contains(" kills made with seed "));
    let cells =
        |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
    rows.map(cells).collect()
}

/// A program to be tested: `name` with the text of a shell script.
fn script(place: &Workplace, name: &str, text: &str) -> String {
    let path = place.path(name);
    fs::write(&path, format!("#!/bin/sh\nset -e\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{} {{out}}", path.display())
}

#[test]
fn a_run_has_the_same_bits_with_kills_and_any_number_of_threads() {
    let place = place();
    let told = place.train(&["prove", "config.toml", "--kills", "10", "--threads", "1,2", "--set", "seed=5"]);
    told.says(0, &["the uninterrupted run took 600 steps"]);
    let made = kills(&told.out);
    assert!(told.out.contains("10 of 10 kills made with seed 0") && made.len() == 10, "{}", told.out);
    for kill in &made {
        let step: u64 = kill[2].parse().unwrap();
        let from: u64 = kill[1].strip_prefix("step ").map_or(0, |step| step.parse().unwrap());
        assert!(step <= 600 && from <= step && from < 600 && from.is_multiple_of(20), "{kill:?}");
        assert!(["starting", "training", "validating", "saving"].contains(&kill[3].as_str()), "{kill:?}");
        assert!(kill[3] != "starting" || step == from, "it has made no update: {kill:?}");
    }
    for threads in ["1", "2"] {
        assert!(made.iter().any(|kill| kill[5] == threads), "threads do not take turns: {}", told.out);
    }
    let steps_reached: Vec<u64> = made.iter().map(|kill| kill[2].parse().unwrap()).collect();
    assert!(steps_reached.iter().any(|&step| step > 200), "the kills are not spread over the run: {}", told.out);
    let seen = "\n10 kills, 600 steps, 1, 2 threads in turn: every bit identical, in ";
    assert!(told.out.contains(seen), "{}", told.out);
    let proof = place.path("runs/config-proof");
    assert_same_bits(&proof.join("whole"), &proof.join("killed"));
    let digest = blake3::hash(&fs::read(proof.join("killed/log.jsonl")).unwrap());
    assert!(told.out.contains(&format!("{digest}  log.jsonl\n")), "{}", told.out);
    let mut left: Vec<_> = fs::read_dir(&proof).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["killed", "killed.txt", "whole", "whole.txt"]);
    // A second test leaves the results of the first unchanged.
    place.train(&["prove", "config.toml", "--kills", "1", "--set", "train.steps=40"]).says(0, &[]);
    assert_eq!(steps(&place.path("runs/config-proof-2/killed")), [0, 20, 40]);
}

#[test]
fn a_run_has_the_same_bits_with_kills_on_other_kernels_and_devices() {
    for other in Place::others("kills at random moments") {
        let place = place();
        let device = if other == Place::Cuda { "device=cuda" } else { "device=cpu" };
        let arguments = ["prove", "config.toml", "--kills", "6", "--threads", "1,2", "--set", device];
        let mut command = place.command(TRAIN, &arguments);
        other.prepare(&mut command);
        let told: Told = command.output().unwrap().into();
        told.says(0, &["the uninterrupted run took 600 steps"]);
        assert!(told.out.contains("6 of 6 kills made") && told.out.contains("every bit identical"), "{}", told.out);
        let file = place.path("runs/config-proof/killed.txt");
        let told = fs::read_to_string(file).unwrap();
        assert_eq!(told.contains("REKINDLE_REFERENCE is set"), other == Place::Reference, "{told}");
    }
}

#[test]
fn without_kills_two_uninterrupted_runs_are_compared() {
    let place = place();
    let told = place.train(&["prove", "config.toml", "--kills", "0", "--out", "here"]);
    told.says(0, &[]);
    assert!(told.out.starts_with("0 of 0 kills made with seed 0\n"), "{}", told.out);
    assert!(told.out.contains("\na second run, 600 steps: every bit identical, in "), "{}", told.out);
    assert_same_bits(&place.path("here/whole"), &place.path("here/killed"));
}

#[test]
fn a_user_program_can_be_tested_too() {
    let place = Workplace::new();
    let command = format!("{} {{out}}", example("custom_loop").get_program().display());
    let told = place.train(&["prove", "--command", &command, "--kills", "6", "--out", "it's here"]);
    told.says(0, &["took 400 steps"]);
    assert!(told.out.contains("\n6 kills, 400 steps: every bit identical, in "), "{}", told.out);
    assert!(told.out.contains("  step-0000000400/model.safetensors\n"), "{}", told.out);
    let entries = fs::read_dir(place.path("it's here/killed")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(entries.filter(|name| name.to_string_lossy().starts_with("step-")).count(), 20);
}

/// A program whose initial weights depend on the clock, and which is otherwise exact.
fn clockwork(place: &Workplace) -> String {
    let text = format!(
        "if [ -e \"$1/config.toml\" ]; then exec '{TRAIN}' --resume \"$1\"; fi\n\
         exec '{TRAIN}' config.toml --out \"$1\" --set \"seed=$(date +%N | sed 's/^0*//')\""
    );
    script(place, "clockwork", &text)
}

#[test]
fn a_run_that_depends_on_the_clock_is_detected_and_both_are_kept() {
    let place = place();
    let told = place.train(&["prove", "--command", &clockwork(&place), "--kills", "3", "--out", "proof"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.out.contains(": NOT IDENTICAL: the first difference is at step 0, tensor model 0.bias, element [0]: ")
    );
    assert!(told.out.contains(" ULPs apart\nthe runs are kept in proof/whole and proof/killed; inspect diff "));
    assert!(place.path("proof/whole/log.jsonl").exists() && place.path("proof/killed/log.jsonl").exists());
    assert!(told.out.contains("  whole/log.jsonl\n") && told.out.contains("  killed/log.jsonl\n"), "{}", told.out);
    place.inspect(&["diff", "proof/whole", "proof/killed"]).says(1, &[]);
}

/// It starts well, but cannot resume after a kill.
#[test]
fn a_program_that_fails_only_when_it_was_killed_is_detected() {
    let place = place();
    let text = format!(
        "if [ -e \"$1/config.toml\" ]; then echo 'no idea how to go on'; exit 7; fi\n\
         '{TRAIN}' config.toml --out \"$1\""
    );
    let told =
        place.train(&["prove", "--command", &script(&place, "hopeless", &text), "--kills", "3", "--out", "proof"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains("the program failed with exit code 7; it printed\n"), "{}", told.out);
    assert!(told.out.contains("\n  no idea how to go on\nthe runs are kept in proof/whole and"), "{}", told.out);
    assert!(place.path("proof/killed").exists());
}

#[test]
fn what_cannot_be_proved_is_refused_and_nothing_is_left() {
    let place = place();
    fs::create_dir(place.path("taken")).unwrap();
    fs::write(place.path("taken/thesis.txt"), "years of work").unwrap();
    let cases: [(&[&str], &[&str]); 14] = [
        (&["config.toml", "--set", "optimizer.lrr=1"], &["optimizer.lrr: `lrr` is unknown; did you mean `lr`?"]),
        (
            &["config.toml", "--set", "data.path=nowhere.csv"],
            &["fails without being killed: exit code 2", "nowhere.csv"],
        ),
        (&["nowhere.toml"], &["cannot read the configuration nowhere.toml"]),
        (&["config.toml", "--out", "taken"], &["taken is not empty; choose another directory with --out"]),
        (&["config.toml", "--out", "rows.csv"], &["cannot make rows.csv: File exists"]),
        (&["config.toml", "--out", "rows.csv/x"], &["cannot make rows.csv/x: Not a directory"]),
        (&["--command", "false {out}"], &["the program fails without being killed: exit code 1; it printed nothing"]),
        (&["--command", "echo Sorry. >&2; kill -9 $$ # {out}"], &["killed: signal 9; it printed\n  Sorry.\n"]),
        (&["--command", "true {out}"], &["left no checkpoint in ", "runs/command-proof/whole or its folder"]),
        (&["--command", "./train"], &["the command `./train` has no place", "write {out} there"]),
        (&["config.toml", "--ignore", "a[", "--kills", "1"], &["--ignore a["]),
        (&["config.toml", "--threads", "2,0"], &["--threads", "0"]),
        (&["config.toml", "--kills", "-1"], &["--kills"]),
        (&["config.toml", "--command", "x {out}"], &["cannot be used with"]),
    ];
    for (arguments, parts) in cases {
        place.train_refuses(&[&["prove"], arguments].concat(), parts);
    }
    place.train_refuses(&["prove"], &["required"]);
}

/// Whether a process works in the folder at `path`, according to its command line.
fn works_in(path: &Path) -> bool {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
    let name = path.to_string_lossy().into_owned();
    entries.map(line).any(|line| String::from_utf8_lossy(&line).contains(&name))
}

#[test]
fn a_signal_stops_the_children_and_leaves_nothing_of_the_proof() {
    let place = place();
    let before = place.files();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let text = format!("'{TRAIN}' config.toml --out \"$1\" --set train.steps=4000000; echo done");
        let endless = script(&place, "endless", &text);
        let mut command = place.command(TRAIN, &["prove", "--command", &endless, "--out", "some/proof"]);
        let prove = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until(|| steps(&place.path("some/proof/whole")).len() >= 3, "the run does not begin");
        assert!(Command::new("kill").args(["-s", signal, &prove.id().to_string()]).status().unwrap().success());
        let told: Told = prove.wait_with_output().unwrap().into();
        told.says(code, &["stopped by signal ", "there is no result, and the test's files are removed"]);
        assert_eq!(told.out, "");
        #[cfg(target_os = "linux")]
        assert!(!works_in(&place.path("some/proof")), "a child goes on");
        fs::remove_file(place.path("endless")).unwrap();
        assert!(place.files() == before, "something is left");
    }
}

/// Nothing would stop it then, and it would train for ever.
#[cfg(target_os = "linux")]
#[test]
fn a_proof_that_is_killed_takes_its_child_along() {
    let place = place();
    let endless = ["prove", "config.toml", "--out", "proof", "--set", "train.steps=4000000"];
    let mut prove = place.command(TRAIN, &endless).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let whole = place.path("proof/whole");
    wait_until(|| steps(&whole).len() > 1, "the run does not begin");
    prove.kill().unwrap();
    prove.wait().unwrap();
    wait_until(|| !works_in(Path::new("proof/whole")), "the child goes on");
}

/// A run that saves by the clock has other checkpoints each time. Those that both runs have are still compared.
#[test]
fn a_run_that_saves_by_the_clock_is_compared_at_common_checkpoints() {
    let place = place();
    let told = place.train(&["prove", "config.toml", "--kills", "4", "--set", "checkpoint.every=0.0001 minutes"]);
    told.says(0, &[]);
    assert!(told.out.contains("\n4 kills, 600 steps: every bit identical, in "), "{}", told.out);
}
