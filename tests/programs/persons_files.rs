//! A user's files are not overwritten, and changes in a run directory are noticed: its configuration, the output
//! folder, its lock and its log.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, ChildStdout, Stdio};

use crate::common::forge::forge_file;
use crate::common::programs::{CONFIG, TRAIN, Told, Workplace};
use serde_json::{Value, json};

fn read(place: &Workplace, name: &str) -> String {
    fs::read_to_string(place.path(name)).unwrap()
}

/// Changes the configuration of the run as an editor would.
fn edit(place: &Workplace, changes: &[(&str, &str)]) -> String {
    let mut text = read(place, "run/config.toml");
    for (from, to) in changes {
        assert!(text.contains(from), "`{from}` is not in: {text}");
        text = text.replace(from, to);
    }
    fs::write(place.path("run/config.toml"), &text).unwrap();
    text
}

#[test]
fn edited_values_of_a_run_are_named_with_the_settings_that_take_them() {
    let place = Workplace::with_run();
    let edited = edit(&place, &[("epochs = 4", "epochs = 6"), ("\nlr = 0.1", "\nlr = 0.5")]);
    let parts = [
        "run/config.toml was edited",
        "optimizer.lr is 0.5 in the file and 0.1 in the run",
        "train.epochs is 6 in the file and 4 in the run",
        "train --resume run --set optimizer.lr=0.5 --set train.epochs=6\n",
        "delete run/config.toml",
    ];
    place.train_refuses(&["--resume", "run"], &parts);
    place.train_refuses(&["--resume", "run", "--out", "other"], &parts);
    // One of the two is not enough, and the user wants both.
    place.train_refuses(&["--resume", "run", "--set", "train.epochs=6"], &["--resume run --set optimizer.lr=0.5\n"]);
    let both = ["--resume", "run", "--set", "optimizer.lr=0.5", "--set", "train.epochs=6"];
    place.train(&both).says(0, &["done: 10 steps"]);
    assert_eq!(read(&place, "run/config.toml"), edited, "what a person wrote was written over");
    place.train(&["--resume", "run"]).says(0, &["nothing left to do"]);
}

#[test]
fn edits_can_be_discarded_by_deleting_the_file() {
    let place = Workplace::with_run();
    let before = read(&place, "run/config.toml");
    edit(&place, &[("epochs = 4", "epochs = 6")]);
    place.train_refuses(&["--resume", "run"], &["delete run/config.toml"]);
    fs::remove_file(place.path("run/config.toml")).unwrap();
    place.train(&["--resume", "run"]).says(0, &["nothing left to do"]);
    assert_eq!(read(&place, "run/config.toml"), before);
}

#[test]
fn values_that_cannot_change_within_a_run_and_words_for_the_shell_are_said_as_such() {
    let place = Workplace::with_run();
    edit(&place, &[("seed = 7", "seed = 8"), ("t_max = 20", "t_max = 30")]);
    let parts = [
        "seed is 8 in the file and 7 in the run, and cannot change within a run",
        "--resume run --set 'schedule=cosine(30, eta_min=1e-3)'",
    ];
    place.train_refuses(&["--resume", "run"], &parts);
    edit(&place, &[("seed = 8", "seed = eight")]);
    place.train_refuses(&["--resume", "run"], &["run/config.toml, line ", "correct the file, or delete it"]);
}

#[test]
fn where_the_data_lives_now_is_taken_from_an_edit_by_its_setting() {
    let place = Workplace::with_run();
    fs::create_dir(place.path("my data")).unwrap();
    fs::rename(place.path("rows.csv"), place.path("my data/rows.csv")).unwrap();
    edit(&place, &[("../rows.csv", "../my data/rows.csv")]);
    place.train_refuses(&["--resume", "run"], &["train --resume run --set 'data.path=my data/rows.csv'"]);
    let settings = ["--resume", "run", "--set", "data.path=my data/rows.csv", "--set", "train.epochs=5"];
    place.train(&settings).says(0, &["done: 5 steps"]);
}

#[test]
fn a_comment_is_no_difference_and_stays() {
    let place = Workplace::with_run();
    let commented = format!("# 0.1 was best on the 3rd of May\n{}", read(&place, "run/config.toml"));
    fs::write(place.path("run/config.toml"), &commented).unwrap();
    place.train(&["--resume", "run"]).says(0, &["nothing left to do"]);
    assert_eq!(read(&place, "run/config.toml"), commented);
    // A setting creates a new file; the user's is kept.
    let kept = "run/config.toml was edited, and is kept as run/config.toml.kept";
    place.train(&["--resume", "run", "--set", "train.epochs=5"]).says(0, &[kept, "done: 5 steps"]);
    assert_eq!(read(&place, "run/config.toml.kept"), commented);
    assert!(read(&place, "run/config.toml").contains("epochs = 5"));
    place.train(&["--resume", "run", "--set", "train.epochs=6"]).says(0, &["done: 5 steps"]);
    assert!(!place.path("run/config.toml.kept-2").exists(), "what the run wrote itself is no person's");
}

/// Runs of earlier versions did not write a digest.
#[test]
fn a_run_whose_configuration_has_no_digest_continues() {
    let place = Workplace::with_run();
    let text = read(&place, "run/config.toml");
    let bare: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    fs::write(place.path("run/config.toml"), &bare).unwrap();
    place.train(&["--resume", "run"]).says(0, &["nothing left to do"]);
    place.train(&["--resume", "run", "--set", "train.epochs=5"]).says(0, &["done: 5 steps"]);
    assert!(read(&place, "run/config.toml").contains("epochs = 5"));
    edit(&place, &[("epochs = 5", "epochs = 7")]);
    place.train_refuses(&["--resume", "run"], &["train.epochs is 7 in the file and 5 in the run"]);
}

#[test]
fn a_lost_configuration_comes_back_from_the_newest_checkpoint() {
    for path in ["run", "run/checkpoints", "run/checkpoints/step-0000000020"] {
        let place = Workplace::with_run();
        let before = read(&place, "run/config.toml");
        fs::remove_file(place.path("run/config.toml")).unwrap();
        place.inspect(&[path]).says(0, &[]);
        let told = place.train(&["--resume", path]);
        told.says(0, &["run/config.toml was missing, and is written again from run/checkpoints/step-0000000020"]);
        assert_eq!(read(&place, "run/config.toml"), before);
    }
    // Also if only the checkpoints are left.
    let place = Workplace::with_run();
    fs::rename(place.path("run/checkpoints"), place.path("checkpoints")).unwrap();
    fs::remove_dir_all(place.path("run")).unwrap();
    fs::create_dir(place.path("run")).unwrap();
    fs::rename(place.path("checkpoints"), place.path("run/checkpoints")).unwrap();
    place.train(&["--resume", "run", "--set", "train.epochs=5"]).says(0, &["was missing", "done: 5 steps"]);
}

#[test]
fn a_run_is_not_made_in_a_checkpoint_among_checkpoints_or_at_the_root() {
    let place = Workplace::with_run();
    let among = "is a run's folder of checkpoints, or inside one";
    let cases = [
        ("/", "is the root of the file system"),
        ("run/checkpoints/step-0000000020", "is a checkpoint, or inside one"),
        ("run/checkpoints/step-0000000020/new", "is a checkpoint, or inside one"),
        ("run/checkpoints", among),
        ("run/checkpoints/new/one", among),
        ("shortcut/new", among),
    ];
    symlink("run/checkpoints", place.path("shortcut")).unwrap();
    for (out, reason) in cases {
        place.train_refuses(&["config.toml", "--out", out], &[out, reason, "choose another folder with --out"]);
        let older = "run/checkpoints/step-0000000005";
        place.train_refuses(&["--resume", older, "--out", out], &[reason, "choose another folder with --out"]);
    }
    fs::rename(place.path("run/checkpoints"), place.path("kept")).unwrap();
    place.train_refuses(&["config.toml", "--out", "kept"], &["kept is a folder of checkpoints"]);
}

#[test]
fn a_folder_with_a_configuration_of_a_user_is_no_run() {
    let place = Workplace::new();
    let occupied = ["config.toml exists and does not belong to a run", "choose another folder with --out"];
    for _ in 0..2 {
        place.train_refuses(&["config.toml", "--out", "."], &occupied);
        place.train_refuses(&["--resume", "."], &["has a `config.toml`, but no run", "--out DIR"]);
    }
    assert!(!place.path("lock").exists(), "a refused run left its lock");
    assert_eq!(read(&place, "config.toml"), CONFIG);
    // A user's file called `lock` is not overwritten either.
    fs::create_dir(place.path("door")).unwrap();
    fs::write(place.path("door/lock"), "the code is 1234\n").unwrap();
    place.train_refuses(&["config.toml", "--out", "door"], &["door/lock exists"]);
    assert_eq!(read(&place, "door/lock"), "the code is 1234\n");
}

/// A run that trains as long as the test needs, and has begun. It blocks on unread output.
struct Living {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Living {
    fn in_place(place: &Workplace) -> Self {
        let long =
            ["config.toml", "--out", "run", "--set", "train.epochs=4000", "--set", "checkpoint.every=3000 epochs"];
        let mut child = place.command(TRAIN, &long).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        Self { child, out }
    }

    /// Returns its exit status.
    fn ended(self) -> Told {
        drop(self.out);
        self.child.wait_with_output().unwrap().into()
    }
}

#[test]
fn a_log_and_a_lock_that_are_removed_from_a_living_run_are_made_again() {
    let place = Workplace::new();
    let living = Living::in_place(&place);
    fs::remove_file(place.path("run/log.jsonl")).unwrap();
    fs::remove_file(place.path("run/lock")).unwrap();
    let told = living.ended();
    told.says(0, &["run/lock was removed", "run/log.jsonl was removed during the run, and is written again"]);
    assert_eq!(read(&place, "run/log.jsonl").lines().count(), 20_000);
    place.inspect(&["verify", "run"]).says(0, &[]);
}

#[test]
fn a_run_whose_lock_another_process_has_by_now_saves_nothing_more() {
    let place = Workplace::new();
    let living = Living::in_place(&place);
    fs::remove_file(place.path("run/lock")).unwrap();
    place.train(&["--resume", "run", "--set", "train.epochs=1"]).says(0, &["done: 5 steps"]);
    let told = living.ended();
    told.says(1, &["error: the file `lock` of run was removed", "has trained there since; nothing more is saved"]);
    place.inspect(&["run/checkpoints/step-0000000005"]).says(0, &[]);
    let names = fs::read_dir(place.path("run/checkpoints")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.map(|name| name.into_string().unwrap()).max().unwrap(), "step-0000000005");
    // Both have written to the log.
    place.train(&["--resume", "run"]).says(0, &["nothing left to do"]);
    assert_eq!(read(&place, "run/log.jsonl").lines().count(), 5);
}

#[test]
fn doubled_and_swapped_lines_of_a_log_are_found_by_verify_and_by_a_resume() {
    let place = Workplace::with_run();
    let whole = read(&place, "run/log.jsonl");
    let lines: Vec<&str> = whole.lines().collect();
    let mut doubled = lines.clone();
    doubled.insert(7, lines[6]);
    let mut swapped = lines;
    swapped.swap(4, 5);
    for (lines, fault) in [(doubled, "line 8 has step 6, like the one before"), (swapped, "line 6 has step 4, and")] {
        let text = lines.join("\n") + "\n";
        fs::write(place.path("run/log.jsonl"), &text).unwrap();
        let verified = place.inspect(&["verify", "run"]);
        assert_eq!(verified.code, Some(1), "{verified:?}");
        assert!(verified.out.contains(&format!("run/log.jsonl: BAD: {fault}")), "{}", verified.out);
        place.train(&["--resume", "run"]).says(0, &["run/log.jsonl had duplicate or swapped lines", "kept in run/log"]);
        assert_eq!(read(&place, "run/log.jsonl"), whole);
        place.inspect(&["verify", "run"]).says(0, &[]);
    }
}

#[test]
fn lines_that_are_missing_from_a_log_are_reported_by_verify_and_by_a_resume() {
    let place = Workplace::with_run();
    let whole = read(&place, "run/log.jsonl");
    let without = |from: usize, to: usize| {
        let lines = whole.lines().enumerate().filter(|(step, _)| !(from..=to).contains(step));
        lines.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    for (from, to) in [(5, 8), (12, 18), (0, 18)] {
        fs::write(place.path("run/log.jsonl"), without(from, to)).unwrap();
        let verified = place.inspect(&["verify", "run"]);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        let gap = format!("run/log.jsonl has no lines of steps {from} to {to}");
        assert!(verified.out.contains(&gap), "{gap}: {}", verified.out);
    }
    fs::write(place.path("run/log.jsonl"), without(5, 8)).unwrap();
    place.train(&["--resume", "run"]).says(0, &["run/log.jsonl has no lines of steps 5 to 8"]);
    fs::remove_file(place.path("run/log.jsonl")).unwrap();
    let verified = place.inspect(&["verify", "run"]);
    assert!(verified.out.contains("run/log.jsonl has no lines of steps 0 to 18"), "{}", verified.out);
}

#[test]
fn a_run_that_begins_with_a_checkpoint_alone_says_once_where_its_log_begins() {
    let place = Workplace::with_run();
    fs::rename(place.path("run/checkpoints"), place.path("alone")).unwrap();
    let told = place.train(&["--resume", "alone/step-0000000010", "--out", "on"]);
    told.says(0, &["warning: on/log.jsonl begins with step 10: the lines of earlier steps are missing"]);
    assert_eq!(told.err.matches("log.jsonl").count(), 1, "{}", told.err);
    // Nothing is missing that was there before.
    let again = place.train(&["--resume", "on", "--set", "train.epochs=5"]);
    assert!(again.code == Some(0) && !again.err.contains("log.jsonl"), "{}", again.err);
}

/// Opening the pipe would block for ever.
#[test]
fn a_pipe_in_the_place_of_the_log_is_to_be_moved_away() {
    let place = Workplace::with_run();
    fs::remove_file(place.path("run/log.jsonl")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(place.path("run/log.jsonl")).status().unwrap().success());
    let said = ["run/log.jsonl", "is a pipe (FIFO)", "; move it away, and try again"];
    place.train(&["--resume", "run", "--set", "train.epochs=6"]).says(2, &said);
    fs::remove_file(place.path("run/log.jsonl")).unwrap();
    place.train(&["--resume", "run", "--set", "train.epochs=6"]).says(0, &["done: 10 steps"]);
}

const TEXT: &str = r#"
[data]
path = "tale.txt"
context = 8
validation = 0.2
tokenizer = "t.json"
cache = "tokens"
[model]
kind = "gpt"
layers = 1
heads = 1
width = 8
[optimizer]
kind = "adamw"
lr = 0.01
[train]
steps = 4
"#;

const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"[unk]": 0, "to": 1, "be": 2, "or": 3, "not": 4}, "unk_token": "[unk]"}}"#;

/// A run on a text with a tokenizer, and a separate cache folder.
fn text_run() -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("text.toml"), TEXT).unwrap();
    fs::write(place.path("tale.txt"), "to be or not to be\n".repeat(40)).unwrap();
    fs::write(place.path("t.json"), TOKENIZER).unwrap();
    with_home(&place, &["text.toml", "--out", "run"]).says(0, &["done: 4 steps"]);
    place
}

fn with_home(place: &Workplace, arguments: &[&str]) -> Told {
    place.command(TRAIN, arguments).env("XDG_CACHE_HOME", place.path("home")).output().unwrap().into()
}

/// The newest checkpoint's configuration of the data as a stranger would write it.
fn forge_data(place: &Workplace, change: impl Fn(&mut Value)) {
    let checkpoint = place.path("run/checkpoints/step-0000000004");
    let mut state: Value = serde_json::from_slice(&fs::read(checkpoint.join("state.json")).unwrap()).unwrap();
    change(&mut state);
    forge_file(&checkpoint, "state.json", state.to_string().as_bytes());
    // The run uses its checkpoint; its own file would differ.
    fs::remove_file(place.path("run/config.toml")).unwrap();
}

#[test]
fn a_checkpoint_opens_the_data_and_no_tokenizer_and_makes_no_folder_for_tokens() {
    let place = text_run();
    assert!(place.path("tokens").is_dir() && !place.path("home").exists());
    // Opening the pipe would block for ever.
    assert!(std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    forge_data(&place, |state| {
        state["config"]["data"]["tokenizer"] = json!("../pipe");
        state["config"]["data"]["cache"] = json!("../evil/deep");
    });
    for arguments in
        [&["eval", "run"][..], &["sample", "run", "--prompt", "to be", "--tokens", "3"], &["--resume", "run"]]
    {
        with_home(&place, arguments).says(0, &[]);
        assert!(!place.path("evil").exists(), "{arguments:?} made a folder that a checkpoint names");
    }
    assert!(place.path("home/rekindle").is_dir(), "the tokens are kept in the user's own folder");
    // A path on the command line is the user's choice.
    let named = ["--resume", "run", "--set", "data.cache=mine", "--set", "data.tokenizer=t.json"];
    with_home(&place, &named).says(0, &["nothing left to do"]);
    assert!(place.path("mine").is_dir());
}

#[test]
fn a_folder_for_tokens_that_a_run_has_made_is_used_again() {
    let place = text_run();
    fs::remove_file(place.path("t.json")).unwrap();
    with_home(&place, &["--resume", "run", "--set", "train.steps=6"]).says(0, &["done: 2 steps"]);
    assert!(!place.path("home").exists(), "the tokens were made again elsewhere");
}

#[test]
fn another_text_than_the_checkpoint_knows_is_refused_before_anything_is_made_of_it() {
    let place = text_run();
    fs::remove_dir_all(place.path("tokens")).unwrap();
    fs::write(place.path("tale.txt"), "not to be or to be\n".repeat(40)).unwrap();
    for arguments in [&["--resume", "run"][..], &["eval", "run"]] {
        with_home(&place, arguments).says(2, &["the content of ", "tale.txt cannot change within a run"]);
        assert!(!place.path("tokens").exists() && !place.path("home").exists(), "{arguments:?}");
    }
}

/// Then the data is needed; if it is missing, the message asks for its path.
#[test]
fn a_checkpoint_that_does_not_say_what_its_model_takes_asks_the_data_of_its_run() {
    let place = text_run();
    forge_data(&place, |state| drop(state.as_object_mut().unwrap().remove("schema")));
    let sample = ["sample", "run", "--prompt", "to be", "--tokens", "3"];
    for arguments in [&["eval", "run"][..], &sample] {
        with_home(&place, arguments).says(0, &[]);
    }
    // A file in its place that is not regular is not opened: opening a pipe would block for ever.
    assert!(std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    fs::rename(place.path("tale.txt"), place.path("moved.txt")).unwrap();
    fs::rename(place.path("pipe"), place.path("tale.txt")).unwrap();
    for arguments in [&["eval", "run"][..], &sample] {
        with_home(&place, arguments).says(2, &["tale.txt", "not a regular file", "--set data.path=…"]);
    }
    let named = [&sample[..], &["--set", "data.path=moved.txt"]].concat();
    with_home(&place, &named).says(0, &[]);
    // Other data does not describe this model.
    fs::remove_file(place.path("tale.txt")).unwrap();
    fs::write(place.path("tale.txt"), "not to be or to be\n".repeat(40)).unwrap();
    with_home(&place, &sample).says(2, &["the content of ", "tale.txt cannot change within a run"]);
}
