//! `inspect lr` as a program: its formats, its errors, its manners.

use std::process::{Command, Output, Stdio};

fn inspect(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inspect")).arg("lr").args(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = inspect(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn stderr_of_a_failure(arguments: &[&str]) -> String {
    let output = inspect(arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_table_is_aligned_at_the_right() {
    let table = "t        lr.0          lr.1\n\
                 0           0             0\n\
                 1  0.50000000  0.0050000000\n\
                 2   1.0000000   0.010000000\n";
    assert_eq!(stdout(&["warmup(2) -> constant", "--base-lr", "1,0.01", "--steps", "3"]), table);
}

#[test]
fn csv_has_every_digit_and_the_momentum_where_it_is_driven() {
    let csv = "t,lr,momentum\n0,0.1,0.9\n1,0.55,0.8500000000000001\n2,1,0.8\n";
    let spec = "cyclic(1, step_size_up=2, momentum=[0.8, 0.9])";
    assert_eq!(stdout(&[spec, "--base-lr", "0.1", "--steps", "3", "--format", "csv"]), csv);
}

#[test]
fn json_is_rates_by_step_and_group() {
    let json = "{\"lrs\":[[1.0,2.0],[0.5,1.0]]}\n";
    assert_eq!(stdout(&["exponential(0.5)", "--base-lr", "1,2", "--steps", "2", "--format", "json"]), json);
}

#[test]
fn a_toml_file_may_be_the_schedule_or_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        "kind = 'exponential'\ngamma = 0.5",
        "schedule = 'exponential(0.5)'",
        "[schedule]\nkind = 'exponential'\ngamma = 0.5",
    ];
    for text in files {
        let path = folder.path().join("schedule.toml");
        std::fs::write(&path, text).unwrap();
        assert_eq!(stdout(&[path.to_str().unwrap(), "--steps", "2", "--format", "csv"]), "t,lr\n0,1\n1,0.5\n");
    }
}

#[test]
fn shares_are_shares_of_the_steps_and_epochs_have_their_length() {
    let drops = stdout(&["step(50%, gamma=0.5)", "--steps", "4", "--format", "csv"]);
    assert_eq!(drops, "t,lr\n0,1\n1,1\n2,0.5\n3,0.5\n");
    let arguments = ["step(1, gamma=0.5, unit=\"epoch\")", "--steps", "4", "--steps-per-epoch", "2", "--format", "csv"];
    assert_eq!(stdout(&arguments), drops);
}

#[test]
fn mistakes_go_to_stderr_with_exit_code_2() {
    let mistakes: [(&[&str], &str); 6] = [
        (&["cosine(0)"], "error: `cosine`: t_max is 0; it must be at least 1\n"),
        (&["cosine(20"], "error: expected `,` or `)`, found the end\n  cosine(20\n           ^\n"),
        (
            &["constant", "--base-lr", "-1"],
            "error: the base rate of group 0 is -1; it must be a finite number and not negative\n",
        ),
        (&["{\"kind\": \"step\"}"], "error: the JSON table is no schedule: `step` needs `step_size`\n"),
        (&["none.toml"], "error: none.toml cannot be read: No such file or directory (os error 2)\n"),
        (&["constant", "--steps-per-epoch", "0"], "error: steps_per_epoch is 0; an epoch has at least one step\n"),
    ];
    for (arguments, message) in mistakes {
        assert_eq!(stderr_of_a_failure(arguments), message);
    }
    assert!(stderr_of_a_failure(&["constant", "--format", "pdf"]).contains("pdf"));
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_inspect"))
        .args(["lr", "constant", "--steps", "200000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
