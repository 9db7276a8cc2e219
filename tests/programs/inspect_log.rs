//! `inspect log` and `inspect plot` as programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use resvg::usvg::roxmltree::Document;

const LOG: &str = "\
    {\"step\":0,\"epoch\":1,\"lr\":[0.1,2e-7],\"loss\":0.30000000000000004,\"grad_norm\":1.5}\n\
    {\"step\":1,\"epoch\":1,\"lr\":[0.1,2e-7],\"loss\":0.25,\"loss_scale\":1024.0,\"skipped\":true}\n\
    {\"step\":2,\"epoch\":2,\"lr\":[0.05,1e-7],\"loss\":0.125,\"grad_norm\":0.5,\"val_loss\":0.75}\n";

const CSV: &str = "\
    step,epoch,lr.0,lr.1,loss,grad_norm,loss_scale,skipped,val_loss\n\
    0,1,0.1,2e-7,0.30000000000000004,1.5,,,\n\
    1,1,0.1,2e-7,0.25,,1024.0,true,\n\
    2,2,0.05,1e-7,0.125,0.5,,,0.75\n";

fn inspect(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inspect")).args(arguments).output().unwrap()
}

/// A run with this log, in a temporary folder.
fn run(log: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("digits");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("log.jsonl"), log).unwrap();
    (folder, run)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_log_is_a_table_with_every_digit() {
    let (folder, run) = run(LOG);
    let output = inspect(&["log", text(&run)]);
    assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()), (Some(0), CSV));
    let file = folder.path().join("out.csv");
    assert!(inspect(&["log", text(&run), "-o", text(&file)]).status.success());
    assert_eq!(fs::read_to_string(file).unwrap(), CSV);
    let output = inspect(&["log", text(&run.join("log.jsonl")), "--format", "jsonl"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), LOG);
}

/// The first lines of a log decide about the columns of a file, unless later lines have more.
#[test]
fn columns_that_only_late_lines_of_a_long_log_have_are_in_the_table() {
    let lines = 400_000;
    let mut log = String::with_capacity(lines * 48);
    for step in 0..lines {
        let more = if step + 5 == lines { ",\"val_loss\":0.75" } else { "" };
        log.push_str(&format!("{{\"step\":{step},\"lr\":[0.1,0.25],\"loss\":{step}.5{more}}}\n"));
    }
    let (folder, run) = run(&log);
    let mut expected = String::from("step,lr.0,lr.1,loss,val_loss\n");
    for step in 0..lines {
        let more = if step + 5 == lines { "0.75" } else { "" };
        expected.push_str(&format!("{step},0.1,0.25,{step}.5,{more}\n"));
    }
    let file = folder.path().join("out.csv");
    assert!(inspect(&["log", text(&run), "-o", text(&file)]).status.success());
    assert!(fs::read_to_string(file).unwrap() == expected);
    assert!(String::from_utf8(inspect(&["log", text(&run)]).stdout).unwrap() == expected);
    assert!(inspect(&["log", text(&run), "--format", "jsonl"]).stdout == log.as_bytes());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no half of a file is left");
}

#[test]
fn lines_that_are_not_of_a_log_are_left_out_and_named() {
    let (_folder, run) = run(&format!("{LOG}garbage\n{{\"step\":3,\"lo"));
    let told = |format: &str| {
        let output = inspect(&["log", text(&run), "--format", format]);
        assert_eq!(output.status.code(), Some(0));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (csv, note) = told("csv");
    assert_eq!(csv, CSV);
    assert!(note.contains("digits: line 4 is left out, because it is no line of a log"), "{note}");
    // A step counts updates, so a line with half of one is not of a log, also among lines that are like it.
    let half = LOG.replace("{\"step\":1,", "{\"step\":0.5,\"epoch\":1,\"lr\":[0.1,2e-7],\"loss\":0.25}\n{\"step\":1,");
    fs::write(run.join("log.jsonl"), half + "{\"step\":-1,\"loss\":0.5}\n").unwrap();
    for (format, whole) in [("csv", CSV), ("jsonl", LOG)] {
        let (table, note) = told(format);
        assert_eq!(table, whole);
        let expected = "2 lines are left out, because they are no lines of a log: an object with a whole number as its \
                        `step`; the first is line 2\n";
        assert!(note.ends_with(expected), "{note}");
    }
}

#[test]
fn a_file_has_the_format_of_its_ending_and_an_unknown_one_is_refused() {
    let (folder, run) = run(LOG);
    let write = |name: &str, more: &[&str]| {
        let file = folder.path().join(name);
        let output = inspect(&[&["log", text(&run), "-o", text(&file)], more].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), fs::read_to_string(file).ok())
    };
    assert_eq!(write("a.JSONL", &[]), (Some(0), String::new(), Some(LOG.to_owned())));
    for (name, more) in [("a.csv", &[][..]), ("a", &[]), ("a.txt", &["--format", "csv"])] {
        assert_eq!(write(name, more), (Some(0), String::new(), Some(CSV.to_owned())), "{name}");
    }
    for name in ["a.xlsx", "a.json"] {
        let (code, told, file) = write(name, &[]);
        assert!(
            told.contains(&format!("{name}: logs are written as .csv, .parquet or .jsonl; or name a --format")),
            "{told}"
        );
        assert_eq!((code, file), (Some(2), None));
    }
}

#[test]
fn a_reader_that_leaves_is_no_error_in_any_format() {
    let (_folder, run) = run(LOG);
    let formats: &[&str] = if cfg!(feature = "parquet") { &["csv", "jsonl", "parquet"] } else { &["csv", "jsonl"] };
    for format in formats {
        let (reader, pipe) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_inspect"));
        let output = command.args(["log", text(&run), "--format", format]).stdout(pipe).output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()),
            (Some(0), ""),
            "{format}"
        );
    }
}

#[test]
fn what_is_no_run_is_refused_and_no_file_is_made() {
    let (folder, _) = run(LOG);
    let file = folder.path().join("out.csv");
    let output = inspect(&["log", text(folder.path()), "-o", text(&file)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("has no log.jsonl; give a run directory"));
    assert!(!file.exists());
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_file_has_types_and_nulls() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let (folder, run) = run(LOG);
    let path = folder.path().join("out.parquet");
    assert!(inspect(&["log", text(&run), "-o", text(&path)]).status.success());
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
    assert_eq!(
        rows[1],
        "{step: 1, epoch: 1, lr.0: 0.1, lr.1: 0.0000002, loss: 0.25, grad_norm: null, loss_scale: 1024.0, skipped: true, \
         val_loss: null}"
    );
    assert_eq!(rows.len(), 3);
    assert!(rows[0].contains("loss: 0.30000000000000004"));
}

#[test]
fn runs_are_drawn_in_one_picture() {
    let (folder, digits) = run(LOG);
    let wide = folder.path().join("wide");
    fs::create_dir(&wide).unwrap();
    fs::write(wide.join("log.jsonl"), LOG).unwrap();
    let file = folder.path().join("loss.svg");
    let more = ["--smooth", "--log-y", "--x", "epoch", "-o", text(&file)];
    let output = inspect(&[&["plot", text(&digits), text(&wide)], &more[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let drawn = fs::read_to_string(&file).unwrap();
    let document = Document::parse(&drawn).unwrap();
    let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).collect();
    for name in ["digits", "wide", "epoch", "loss"] {
        assert!(texts.contains(&name), "{name} in {texts:?}");
    }
    let file = folder.path().join("loss.png");
    assert!(inspect(&["plot", text(&digits), "--metric", "val_loss", "-o", text(&file)]).status.success());
    assert!(fs::read(file).unwrap().starts_with(b"\x89PNG"));
    let output = inspect(&["plot", text(&digits), "--metric", "lr.1"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("lr.1"));
}

#[test]
fn a_plot_says_what_a_log_lacks() {
    let (_folder, run) = run(LOG);
    let refusal = |arguments: &[&str]| {
        let output = inspect(&[&["plot", text(&run)], arguments].concat());
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refusal(&["--metric", "accuracy"]).contains("no numbers `accuracy`; it has lr, loss, grad_norm"));
    assert!(refusal(&["--x", "time"]).contains("use --x step"));
    assert!(refusal(&["--smooth", "1"]).contains("from 0 to below 1"));
    assert!(refusal(&["-o", "loss.gif"]).contains("loss.gif: pictures are .svg or .png"));
    assert!(!Path::new("loss.gif").exists());
}

#[test]
fn a_folder_of_runs_is_drawn_in_one_picture() {
    let (folder, digits) = run(LOG);
    for name in ["wide", "begun"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("log.jsonl"), if name == "wide" { LOG } else { "" }).unwrap();
    }
    for name in ["digits", "wide", "begun"] {
        fs::write(folder.path().join(name).join("config.toml"), "").unwrap();
    }
    let file = folder.path().join("loss.svg");
    let output = inspect(&["plot", text(folder.path()), "-o", text(&file)]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(
        told.starts_with("note: a run is left out: the log of ") && told.ends_with("begun has no steps yet\n"),
        "{told}"
    );
    let drawn = fs::read_to_string(&file).unwrap();
    let document = Document::parse(&drawn).unwrap();
    let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).collect();
    assert!(texts.contains(&"digits") && texts.contains(&"wide") && !texts.contains(&"begun"), "{texts:?}");
    assert!(inspect(&["plot", text(&digits), "-o", text(&file)]).status.success());
}
