//! A wrong command line gets a suggestion.

use std::fs;

use crate::common::programs::Workplace;

#[test]
fn an_unknown_command_is_answered_with_the_one_that_was_meant() {
    let place = Workplace::with_run();
    place.inspect_refuses(2, &["lr-x", "run"], &["there is no command `lr-x`", "did you mean `inspect lr run`?"]);
    place.inspect_refuses(2, &["verifi", "run"], &["did you mean `inspect verify run`?", "verify, diff, lr"]);
    place.train_refuses(&["evl", "run"], &["there is no command `evl`", "did you mean `train eval run`?"]);
    place.train_refuses(&["resume", "run"], &["`train --resume run`"]);
    place.train_refuses(&["check-it", "x y"], &["did you mean `train check 'x y'`?"]);
    // Also alone, and before an option that the command has.
    place.train_refuses(&["swep"], &["there is no command `swep`", "did you mean `train sweep`?"]);
    place.train_refuses(&["swep", "sweep.toml", "--jobs", "2"], &["did you mean `train sweep sweep.toml`?"]);
    place.inspect_refuses(2, &["verfy"], &["there is no command `verfy`", "did you mean `inspect verify`?"]);
    place.train_refuses(&["config"], &["cannot read the configuration config"]);
}

#[test]
fn a_second_place_is_answered_with_how_two_are_looked_at() {
    let place = Workplace::with_run();
    let both = ["`inspect run`, then `inspect config.toml`", "`inspect diff run config.toml`"];
    place.inspect_refuses(2, &["run", "config.toml"], &both);
    place.inspect_refuses(2, &[], &["`inspect RUN`", "`inspect --help`"]);
}

#[test]
fn a_setting_that_is_typed_as_an_option_is_answered_with_its_key() {
    let place = Workplace::with_run();
    let cases: [(&[&str], &str); 9] = [
        (&["config.toml", "--epochs", "5"], "write `--set train.epochs=5`"),
        (&["config.toml", "--lr=0.1"], "write `--set optimizer.lr=0.1`"),
        (&["config.toml", "--batch-size", "8"], "write `--set data.batch_size=8`"),
        (&["config.toml", "--seed"], "write `--set seed=…`"),
        (&["check", "config.toml", "--epochs", "5"], "write `--set train.epochs=5`"),
        (&["--resume", "run", "--epochs", "5"], "write `--set train.epochs=5`"),
        (&["config.toml", "--set", "train.epochs", "5"], "write `--set train.epochs=5`"),
        (&["config.toml", "optimizer.lr=1"], "`train config.toml --set optimizer.lr=1`"),
        (&["config.toml", "--nonsense", "5"], "`train reference` lists the keys"),
    ];
    for (arguments, answer) in cases {
        place.train_refuses(arguments, &[answer]);
    }
    // An option of nearly that name is one already.
    place.train_refuses(&["config.toml", "--outt", "x"], &["'--out'"]);
    place.train_refuses(&["eval", "run", "--rwos", "all"], &["'--rows'"]);
}

#[test]
fn data_in_the_place_of_a_configuration_is_answered_with_how_to_make_one() {
    let place = Workplace::new();
    fs::write(place.path("packed rows.csv.gz"), [0x1f, 0x8b, 0xff, 0xfe]).unwrap();
    place.train_refuses(
        &["rows.csv"],
        &["rows.csv, line 1: not TOML", "; this is data by its name; `train init rows.csv` writes"],
    );
    place.train_refuses(
        &["packed rows.csv.gz"],
        &["cannot read the configuration", "`train init 'packed rows.csv.gz'` writes"],
    );
    place.train_refuses(&["check", "rows.csv"], &["`train init rows.csv` writes a configuration for it"]);
}

#[test]
fn a_request_that_is_half_is_answered_with_the_whole() {
    let place = Workplace::with_run();
    place.train_refuses(&[], &["`train CONFIG.toml`", "`train init DATA`", "`train --resume RUN`"]);
    place.train_refuses(&["--resume", "run", "config.toml"], &["remove config.toml", "`--set KEY=VALUE`"]);
    place.train_refuses(&["config.toml", "more"], &["`more` is one word too many", "`--out`", "`--set`"]);
}

#[test]
fn a_folder_of_runs_is_answered_with_the_runs_in_it() {
    let place = Workplace::new();
    for run in ["b c", "a"] {
        place.train(&["config.toml", "--out", &format!("runs/{run}")]).says(0, &["done"]);
    }
    fs::create_dir(place.path("runs/notes")).unwrap();
    // There is no command for it, and no run of that name.
    place.inspect_refuses(
        2,
        &["list", "runs"],
        &["there is no command `list`; to list the runs in a folder", "`inspect runs`"],
    );
    fs::rename(place.path("runs"), place.path("all of them")).unwrap();
    place.inspect_refuses(2, &["runs", "all of them"], &["to list the runs in a folder", "`inspect 'all of them'`\n"]);
    fs::rename(place.path("all of them"), place.path("runs")).unwrap();
    place.inspect_refuses(2, &["runs", "a"], &["`inspect runs` shows all that is in it; for one: `inspect runs/a`"]);
    let answer = "runs: is a folder of runs; choose one of them: runs/a, 'runs/b c'\n";
    place.train_refuses(&["--resume", "runs"], &[answer]);
    place.train_refuses(&["eval", "runs"], &[answer]);
    place.inspect_refuses(2, &["verify", "runs"], &[answer]);
    place.train_refuses(&["--resume", "runs/notes"], &["holds no run and no checkpoint"]);
}

#[test]
fn a_url_with_one_slash_is_answered_with_the_url_and_no_folder_is_made() {
    let place = Workplace::new();
    let answer =
        "s3:/bucket/run is a folder called `s3:`; an object store is s3://bucket/run, and the folder is ./s3:/";
    place.train_refuses(&["config.toml", "--out", "s3:/bucket/run"], &[answer]);
    place.train_refuses(&["--resume", "s3:/bucket/run"], &[answer]);
    assert!(!place.path("s3:").exists());
    place.train(&["config.toml", "--out", "./s3:/run"]).says(0, &["done"]);
}

#[test]
fn a_number_that_is_none_is_answered_without_words_of_the_language() {
    let place = Workplace::with_run();
    place
        .train_refuses(&["find-lr", "config.toml", "--steps", "x"], &["--steps x: must be a whole number, at least 0"]);
    place.train_refuses(&["find-lr", "config.toml", "--start", "x"], &["--start x: must be a number"]);
    place.inspect_refuses(2, &["lr", "constant", "--base-lr", "x"], &["--base-lr x: must be a number"]);
}
