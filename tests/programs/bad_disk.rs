//! Unwritable directories, full disks, simultaneous processes, closed readers, and diverging runs: no saved data is
//! lost.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::common::programs::{INSPECT, TRAIN, Told, Workplace};

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let place = Workplace::new();
    for out in ["rows.csv", "rows.csv/run", "/proc/run"] {
        let parts = [&format!("{out}: cannot make the run directory")[..], "choose another place with --out"];
        place.train_refuses(&["config.toml", "--out", out], &parts);
    }
}

#[test]
fn a_directory_that_holds_a_run_is_left_as_it_is() {
    let place = Workplace::with_run();
    let parts = ["run already holds a run", "`train --resume run`", "another folder with --out"];
    place.train_refuses(&["config.toml", "--out", "run"], &parts);
    let older = place.path("run/checkpoints/step-0000000005");
    let other = Workplace::with_run();
    let parts = ["run already holds a run", "another folder with --out"];
    other.train_refuses(&["--resume", older.to_str().unwrap(), "--out", "run"], &parts);
    for trace in ["log.jsonl", "checkpoints", "config.toml", "outcome.json"] {
        let folder = place.path(&format!("only-{trace}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(trace), "somebody's").unwrap();
        let out = folder.to_str().unwrap();
        place.train_refuses(&["config.toml", "--out", out], &[trace, "exists and does not belong to a run", "--out"]);
    }
}

#[test]
fn a_second_process_on_a_run_is_refused_with_the_name_of_the_first() {
    let place = Workplace::new();
    let endless = ["config.toml", "--out", "run", "--set", "train.epochs=1000000000"];
    let endless = place.command(TRAIN, &[&endless[..], &["--set", "checkpoint.every=1000000 epochs"]].concat());
    let mut first = { endless }.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // With its first line there are the directory, the first checkpoint and an update.
    let mut lines = BufReader::new(first.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    let resumed = place.train(&["--resume", "run"]);
    let started = place.train(&["config.toml", "--out", "run"]);
    let inspected = place.inspect(&["run"]);
    first.kill().unwrap();
    first.wait().unwrap();
    let message = format!("run is in use by process {}; wait for it to end, or stop it", first.id());
    resumed.says(2, &[&message]);
    started.says(2, &[&message]);
    inspected.says(0, &[]);
    assert_eq!(place.valid_checkpoints("run"), ["step-0000000000"]);
    place.train(&["--resume", "run", "--set", "train.epochs=1"]).says(0, &["done: 5 steps"]);
}

/// The operating system does not let a file grow beyond 8 blocks, so the log is the first file that does not fit, long
/// before the run ends. This works without privileges, unlike a full disk.
#[test]
fn a_write_that_fails_in_the_middle_costs_no_step_and_no_checkpoint() {
    let place = Workplace::new();
    let settings = "--set train.epochs=40 --set checkpoint.every='5 epochs'";
    place.train(&["config.toml", "--out", "whole", "--set", "train.epochs=40"]).says(0, &["done"]);
    let script = format!("ulimit -f 16; exec {TRAIN} config.toml --out run {settings}");
    let told: Told = place.command("sh", &["-c", &script]).output().unwrap().into();
    assert!(told.err.contains("is not saved: "), "{}", told.err);
    assert!(told.err.contains("training continues"), "{}", told.err);
    // All epochs are trained in memory, even if the disk fails.
    assert!(told.out.contains("epoch 40"), "{}", told.out);
    assert_eq!(told.code, Some(1), "{}", told.err);
    let end = told.err.split("error: ").nth(1).unwrap();
    assert!(end.contains("log.jsonl: cannot write the log: File too large"), "{end}");
    assert!(
        end.contains("the last checkpoint is run/checkpoints/step-") && end.contains("train --resume run"),
        "{end}"
    );
    let saved = place.valid_checkpoints("run");
    assert!(saved.len() > 1 && saved.len() < 9, "{saved:?}");
    place.train(&["--resume", "run"]).says(0, &["done"]);
    assert!(fs::read(place.path("run/log.jsonl")).unwrap() == fs::read(place.path("whole/log.jsonl")).unwrap());
}

#[test]
fn a_limit_on_the_size_of_files_is_said_with_its_remedy() {
    let place = Workplace::new();
    let script = format!("ulimit -f 1; exec {TRAIN} config.toml --out run --set 'model.hidden=[512]'");
    let told: Told = place.command("sh", &["-c", &script]).output().unwrap().into();
    told.says(2, &["File too large", "raise the limit on the size of files (`ulimit -f`)"]);
}

/// A result that cannot be written is an error.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let place = Workplace::with_run();
    let results: [(&str, &[&str], i32); 11] = [
        (TRAIN, &["eval", "run"], 1),
        (TRAIN, &["eval", "run", "--json"], 1),
        (TRAIN, &["predict", "run", "--data", "rows.csv"], 1),
        (TRAIN, &["find-lr", "config.toml", "--steps", "5"], 1),
        (TRAIN, &["prove", "config.toml", "--kills", "0", "--set", "train.epochs=1"], 1),
        (INSPECT, &["run"], 2),
        (INSPECT, &["run", "--json"], 2),
        (INSPECT, &["verify", "run"], 2),
        (INSPECT, &["diff", "run", "run"], 2),
        (INSPECT, &["lr", "cosine(9)"], 2),
        (INSPECT, &["lr", "cosine(9)", "--format", "png"], 2),
    ];
    for (program, arguments, code) in results {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let told: Told = place.command(program, arguments).stdout(full).output().unwrap().into();
        told.says(code, &["error: the result cannot be written to stdout: No space left on device"]);
        // A closed reader is not an error.
        let (reader, pipe) = std::io::pipe().unwrap();
        drop(reader);
        let told: Told =
            place.command(program, &[arguments, &more_room(arguments)].concat()).stdout(pipe).output().unwrap().into();
        told.says(0, &[]);
    }
}

/// A directory for files that must not exist yet.
fn more_room(arguments: &[&str]) -> Vec<&'static str> {
    if arguments[0] == "prove" { vec!["--out", "another"] } else { vec![] }
}

/// Runs a shell script that may mount file systems; `None`, with a message, if this machine does not allow it.
fn where_mounts_are_possible(place: &Workplace, script: &str) -> Option<Told> {
    let try_it = "mkdir -p mounted && mount -t tmpfs -o size=64k tmpfs mounted";
    let possible = place.command("unshare", &["-rm", "sh", "-c", try_it]).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this machine lets nobody mount a file system, so no full or read-only disk is tried");
        return None;
    }
    Some(place.command("unshare", &["-rm", "sh", "-c", script]).output().unwrap().into())
}

#[test]
fn a_full_disk_is_said_and_what_was_saved_stays() {
    let place = Workplace::new();
    let script = format!(
        "mount -t tmpfs -o size=96k tmpfs mounted && {TRAIN} config.toml --out mounted/run --set train.epochs=30
        echo code $?; mkdir kept; cp -r mounted/run kept; umount mounted"
    );
    let Some(told) = where_mounts_are_possible(&place, &script) else { return };
    assert!(told.out.contains("epoch 30") && told.out.contains("code 1"), "{told:?}");
    assert!(told.err.contains("is not saved: ") && told.err.contains("No space left on device"), "{}", told.err);
    assert!(told.err.contains("the last checkpoint is mounted/run/checkpoints/step-"), "{}", told.err);
    let saved = place.valid_checkpoints("kept/run");
    assert!(saved.len() > 1 && saved.iter().all(|name| name.starts_with("step-")), "{saved:?}");
    place.train(&["--resume", "kept/run"]).says(0, &["done"]);
}

#[test]
fn a_disk_that_is_full_or_read_only_from_the_start_is_refused() {
    let place = Workplace::with_run();
    let full = format!(
        "mount -t tmpfs -o size=16k tmpfs mounted; head -c 16k /dev/zero > mounted/filler
        {TRAIN} config.toml --out mounted/run; echo code $?"
    );
    let Some(told) = where_mounts_are_possible(&place, &full) else { return };
    assert!(told.out.contains("code 2"), "{told:?}");
    assert!(told.err.contains("mounted/run") && told.err.contains("No space left on device"), "{}", told.err);
    assert!(told.err.contains("choose another place with --out, or make room there"), "{}", told.err);
    let read_only = format!(
        "mount --bind run run && mount -o remount,bind,ro run
        {TRAIN} config.toml --out run/new; echo new $?; {TRAIN} --resume run; echo resumed $?; {INSPECT} run; echo seen $?"
    );
    let Some(told) = where_mounts_are_possible(&place, &read_only) else { return };
    assert!(told.out.contains("new 2") && told.out.contains("resumed 2") && told.out.contains("seen 0"), "{told:?}");
    assert_eq!(told.err.matches("Read-only file system").count(), 2, "{}", told.err);
    assert_eq!(told.err.matches("choose another place with --out").count(), 2, "{}", told.err);
}

/// Another run may use the old name: nothing of the old run may mix with the checkpoints of the new one.
#[test]
fn a_run_whose_directory_was_replaced_saves_nothing_there_and_says_so() {
    let place = Workplace::new();
    let long = ["config.toml", "--out", "run", "--set", "train.epochs=4000", "--set", "checkpoint.every=500 epochs"];
    let mut first = place.command(TRAIN, &long);
    let mut first = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    fs::rename(place.path("run"), place.path("moved")).unwrap();
    place.train(&["config.toml", "--out", "run"]).says(0, &["done"]);
    let before = place.files();
    drop(lines);
    let told: Told = first.wait_with_output().unwrap().into();
    let reason = "run was moved, removed or replaced during the run";
    told.says(1, &["is not saved: ", reason, "training continues"]);
    assert!(told.err.split("error: ").nth(1).is_some_and(|end| end.starts_with(reason)), "{}", told.err);
    let in_run = |files: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        files.clone().into_iter().filter(|(path, _)| path.starts_with(place.path("run"))).collect::<Vec<_>>()
    };
    assert!(in_run(&place.files()) == in_run(&before), "the old run wrote into the new one");
    place.train(&["--resume", "moved", "--set", "train.epochs=40"]).says(0, &["done"]);
}

#[test]
fn a_system_without_threads_to_give_is_said_to_be_one() {
    let place = Workplace::with_run();
    for (program, arguments) in [(TRAIN, &["--resume", "run"][..]), (INSPECT, &["verify", "run"])] {
        // Such a large stack fits in no thread.
        let mut command = place.command(program, arguments);
        let told: Told = command.env("RUST_MIN_STACK", (1_u64 << 60).to_string()).output().unwrap().into();
        told.says(2, &["error: cannot start threads to compute on: ", "RAYON_NUM_THREADS"]);
    }
}

#[test]
fn a_reader_that_leaves_does_not_stop_training() {
    let place = Workplace::new();
    let mut train = place.command(TRAIN, &["config.toml", "--out", "run", "--set", "train.epochs=200"]);
    let mut train = train.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(train.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    drop(lines);
    let told: Told = train.wait_with_output().unwrap().into();
    told.says(0, &["done: 1000 steps"]);
    assert_eq!(place.valid_checkpoints("run").len(), 201);
    for arguments in [&["lr", "cosine(9)", "--steps", "100000"], &["run"][..], &["verify", "run"]] {
        let mut inspect = place.command(INSPECT, arguments);
        let mut inspect = inspect.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        inspect.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
        let told: Told = inspect.wait_with_output().unwrap().into();
        assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn both_streams_closed_do_not_stop_training() {
    let place = Workplace::new();
    let mut train = place.command(TRAIN, &["config.toml", "--out", "run"]);
    let mut train = train.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((train.stdout.take(), train.stderr.take()));
    assert!(train.wait().unwrap().success());
    assert_eq!(place.valid_checkpoints("run").len(), 5);
}

const NOTEBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/notebook.toml");

#[test]
fn a_loss_that_is_not_finite_ends_the_run_before_it_is_saved() {
    let place = Workplace::new();
    let diverge = ["--set", "optimizer.lr=1e30", "--set", "checkpoint.every=1 step"];
    let told = place.train(&[&[NOTEBOOK, "--out", "run"][..], &diverge].concat());
    // The checkpoint of step 1 is complete, but its weights already led to the bad loss.
    let good = "run/checkpoints/step-0000000000";
    told.says(1, &["the loss is not finite at step 1, where the rate is [9.9", "the last good checkpoint is ", good]);
    assert_eq!(place.valid_checkpoints("run"), ["step-0000000000", "step-0000000001"]);
    let advice = ["--resume", good, "--set", "optimizer.lr=0.1", "--set", "train.epochs=2", "--out", "again"];
    assert!(told.err.contains(&format!("`train --resume {good} --set optimizer.lr=…`")), "{}", told.err);
    place.train(&advice).says(0, &["done: 2 steps"]);
}

#[test]
fn weights_that_are_not_finite_are_not_saved() {
    let place = Workplace::new();
    let diverge = ["--set", "optimizer.lr=1e300", "--set", "train.epochs=1", "--set", "checkpoint.every=1 step"];
    let told = place.train(&[&[NOTEBOOK, "--out", "run"][..], &diverge].concat());
    let good = "the last good checkpoint is run/checkpoints/step-0000000000";
    told.says(1, &["the parameter `0.bias` is not finite at step 1, where the rate is [", good]);
    assert_eq!(place.valid_checkpoints("run"), ["step-0000000000"]);
}

/// Without an earlier save, the message says that the start was bad.
#[test]
fn a_loss_that_is_not_finite_at_once_points_to_data_and_weights() {
    let place = Workplace::new();
    fs::write(place.path("rows.csv"), "a,b\n1e38,1e38\n-1e38,-1e38\n").unwrap();
    let told = place.train(&[
        "config.toml",
        "--set",
        "data.task=regression",
        "--set",
        "data.standardize=false",
        "--set",
        "data.validation=0",
        "--out",
        "run",
    ]);
    told.says(1, &["the loss is not finite at step 0", "check the data and the initial weights"]);
    assert_eq!(place.valid_checkpoints("run"), ["step-0000000000"]);
}
