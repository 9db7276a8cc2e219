//! `inspect lr` as a program: formats, charts, errors and behavior.

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::common::programs::Workplace;
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree::Document;

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
    let mistakes: [(&[&str], &str); 7] = [
        (&["cosine(0)"], "error: `cosine`: t_max is 0; it must be at least 1\n"),
        (&["cosine(20"], "error: expected `,` or `)`, found the end\n  cosine(20\n           ^\n"),
        (
            &["constant", "--base-lr", "-1"],
            "error: the base rate of group 0 is -1; it must be a finite number and not negative\n",
        ),
        (&["{\"kind\": \"step\"}"], "error: the JSON table is not a schedule: `step` needs `step_size`\n"),
        (&["none.toml"], "error: none.toml cannot be read: No such file or directory (os error 2)\n"),
        (
            &["constant", "-o", "none/lr.svg"],
            "error: none/lr.svg cannot be written: No such file or directory (os error 2); \
             choose another place with --output\n",
        ),
        (
            &["per_group([constant, step(5)])"],
            "error: `per_group`: schedules is a list of 2; there must be one for each parameter group, that is 1\n",
        ),
    ];
    for (arguments, message) in mistakes {
        assert_eq!(stderr_of_a_failure(arguments), message);
    }
    let counts = [["--steps", "0"], ["--steps", "-1"], ["--steps", "10000001"], ["--steps-per-epoch", "0"]];
    for [option, value] in counts {
        let message = stderr_of_a_failure(&["constant", option, value]);
        assert!(message.contains(&format!("{option} <N>': {value} is not in 1..=10000000")), "{message}");
    }
    assert!(stderr_of_a_failure(&["constant", "--format", "pdf"]).contains("pdf"));
    let place = Workplace::new();
    let cases: [(&[&str], &str); 8] = [
        (
            &["nowhere"],
            "there is no file or folder nowhere; as a schedule: there is no kind of schedule called `nowhere`",
        ),
        (&["nowhere"], "there is `constant`"),
        (&["cosin"], "did you mean `cosine`?"),
        (&["runs/nope"], "there is no file or folder runs/nope; give a run, a configuration, or a schedule"),
        (
            &["{\"kind\":\"cosin\"}"],
            "the JSON table is not a schedule: kind: there is no kind of schedule called `cosin`",
        ),
        (&["rows.csv"], "rows.csv: "),
        (&["cosine(9)", "--base-lr", "nan"], "the base rate of group 0 is NaN; it must be a finite number"),
        (
            &["cosine(9)", "--metrics", "rows.csv"],
            "rows.csv is not a JSON array of numbers, such as [0.9, 0.7]: it holds `",
        ),
    ];
    for (arguments, message) in cases {
        place.inspect_refuses(2, &[&["lr"], arguments].concat(), &[message]);
    }
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

// Pictures.

/// Returns all words of an SVG, which must be valid.
fn words(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    document.descendants().filter_map(|node| node.text()).map(|text| text.trim().to_owned()).collect()
}

/// The line of each series, as the commands of its path.
fn lines(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let paths = document.descendants().filter(|node| node.attribute("stroke-width") == Some("2"));
    let of_legend = |path: &String| path.ends_with("h26");
    paths.filter_map(|node| node.attribute("d")).map(str::to_owned).filter(|path| !of_legend(path)).collect()
}

#[track_caller]
fn assert_has(words: &[String], expected: &[&str]) {
    for word in expected {
        assert!(words.iter().any(|has| has == word), "{word:?} is not among {words:?}");
    }
}

#[test]
fn a_plot_is_as_wide_as_asked_and_shows_phases_and_groups() {
    let arguments = ["warmup(20) -> cosine(80)", "--base-lr", "1,0.1", "--format", "plot"];
    for width in ["40", "72", "120"] {
        let plot = stdout(&[arguments.as_slice(), &["--width", width]].concat());
        let widest = plot.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.parse().unwrap(), "{plot}");
        assert!(widest + 4 > width.parse().unwrap(), "{plot}");
        assert!(plot.starts_with("warmup(20) -> cosine(80)\nlearning rate\n"), "{plot}");
        assert!(
            plot.contains("│warmup") && plot.contains("│cosine") && plot.contains("a group 0   b group 1"),
            "{plot}"
        );
    }
    let plot = stdout(&arguments);
    assert_eq!(plot.lines().map(|line| line.chars().count()).max(), Some(100), "what is no terminal has 100 columns");
}

#[test]
fn an_svg_shows_the_rates_with_phases_and_groups_named() {
    let svg = stdout(&["warmup(20) -> cosine(80)", "--base-lr", "1,0.1", "--format", "svg"]);
    let named = ["warmup(20) -> cosine(80)", "learning rate", "step", "warmup", "cosine", "group 0", "group 1", "100"];
    assert_has(&words(&svg), &named);
    assert_eq!(lines(&svg).len(), 2);
}

#[test]
fn a_step_schedule_is_drawn_in_steps() {
    let svg = stdout(&["step(5, gamma=0.5)", "--steps", "15", "--format", "svg"]);
    let [line] = lines(&svg).try_into().unwrap();
    let commands: String = line.chars().filter(char::is_ascii_alphabetic).collect();
    assert_eq!(commands, "MHVHVH", "{line}");
}

#[test]
fn a_logarithmic_axis_has_powers_of_ten_and_no_zero() {
    let rates = |log: &[&str]| {
        let arguments = ["step(5, gamma=0.1)", "--steps", "20", "--format", "svg"];
        words(&stdout(&[arguments.as_slice(), log].concat()))
    };
    assert_has(&rates(&["--log"]), &["1", "0.1", "0.01", "0.001"]);
    assert_has(&rates(&[]), &["0.2", "0.4", "0.6", "0.8", "1.0"]);
}

#[test]
fn a_file_has_the_format_of_its_name_unless_another_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let arguments = ["cosine(100)", "-o", path.to_str().unwrap()];
        assert_eq!(stdout(&[arguments.as_slice(), more].concat()), "");
        fs::read(path).unwrap()
    };
    let pixels = Pixmap::decode_png(&write("lr.png", &[])).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (1920, 1080));
    assert!(write("lr.PNG", &[]).starts_with(b"\x89PNG\r\n\x1a\n"));
    let text = |name: &str, more: &[&str]| String::from_utf8(write(name, more)).unwrap();
    let svg = stdout(&["cosine(100)", "--format", "svg"]);
    assert_eq!(text("lr.svg", &[]), svg);
    assert_eq!(text("lr.png", &["--format", "svg"]), svg);
    assert!(text("lr.csv", &[]).starts_with("t,lr\n0,1\n"));
    assert!(text("lr.json", &[]).starts_with("{\"lrs\":[[1.0],"));
    assert!(text("lr", &[]).starts_with(" t "), "a table where the name says nothing");
}

#[test]
fn a_schedule_that_is_reported_no_metric_says_so() {
    let output = inspect(&["warmup(2) -> plateau()", "--steps", "3"]);
    assert!(output.status.success());
    let message = "no metrics are given, so plateau and greedy keep their initial rates; see --metrics\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), message);

    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("metrics.json");
    fs::write(&metrics, "[1.0, 1.0, 1.0]").unwrap();
    let arguments = ["plateau(factor=0.5, patience=0)", "--steps", "4", "--format", "csv", "--metrics"];
    let output = inspect(&[arguments.as_slice(), &[metrics.to_str().unwrap()]].concat());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "t,lr\n0,1\n1,1\n2,0.5\n3,0.25\n");
    assert!(output.stderr.is_empty());

    fs::write(&metrics, "[NaN, Infinity,\n null, \"inf\"]").unwrap();
    let output = inspect(&[arguments.as_slice(), &[metrics.to_str().unwrap()]].concat());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "t,lr\n0,1\n1,0.5\n2,0.25\n3,0.125\n", "each is a bad one");

    fs::write(&metrics, "[1.0, \"low\"]").unwrap();
    let message = stderr_of_a_failure(&[arguments.as_slice(), &[metrics.to_str().unwrap()]].concat());
    assert!(message.contains("is not a JSON array of numbers, such as [0.9, 0.7]: it holds `\"low\"`"), "{message}");
}

// The plan of a run.

/// Two groups, a schedule that is a share of the run, and twenty updates in four epochs.
fn place() -> Workplace {
    let place = Workplace::with_run();
    let config = fs::read_to_string(place.path("config.toml")).unwrap();
    let config = config.replace("weight_decay = 0.0", "weight_decay = 0.0\nlr = 0.01");
    fs::write(place.path("two.toml"), config.replace("t_max = 20", "t_max = \"50%\"")).unwrap();
    place
}

#[test]
fn a_configuration_brings_its_base_rates_and_the_length_of_its_run() {
    let place = place();
    let csv = place.inspect(&["lr", "two.toml", "--format", "csv"]).out;
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 1 + 20, "{csv}");
    assert_eq!(rows[0], "t,lr.0,lr.1");
    // The parameters without a group come first.
    let spec = "cosine(10, eta_min=1e-3)";
    let rates = place.inspect(&["lr", spec, "--base-lr", "0.1,0.01", "--steps", "20", "--format", "csv"]).out;
    assert_eq!(csv, rates);
    let svg = place.inspect(&["lr", "two.toml", "--format", "svg"]).out;
    assert_has(&words(&svg), &["group 0", "group 1", "cosine(\"50%\", eta_min=1e-3)", "20"]);
    let other = place.inspect(&["lr", "two.toml", "--base-lr", "1,1", "--steps", "2", "--format", "csv"]).out;
    assert!(other.starts_with("t,lr.0,lr.1\n0,1,1\n"), "{other}");
}

#[test]
fn a_checkpoint_has_its_step_marked_and_a_run_its_last() {
    let place = place();
    for (path, mark) in [("run/checkpoints/step-0000000010", "step 10"), ("run", "step 20")] {
        assert_has(&words(&place.inspect(&["lr", path, "--format", "svg"]).out), &[mark, "cosine(20, eta_min=1e-3)"]);
        let plot = place.inspect(&["lr", path, "--format", "plot"]).out;
        assert!(plot.contains(mark) && plot.contains('┊'), "{plot}");
    }
    let svg = place.inspect(&["lr", "config.toml", "--format", "svg"]).out;
    assert!(words(&svg).iter().all(|word| !word.starts_with("step ")), "what has not begun has no step");
    let table = |path: &str| place.inspect(&["lr", path, "--format", "csv"]).out;
    assert_eq!(table("run"), table("config.toml"));
}

#[test]
fn two_plans_are_laid_over_each_other() {
    let place = place();
    let svg = place.inspect(&["lr", "config.toml", "step(5, gamma=0.5)", "--diff", "--format", "svg"]).out;
    assert_eq!(lines(&svg).len(), 4, "two groups each: the second takes the first one's");
    let csv = place.inspect(&["lr", "constant", "run", "--diff", "--format", "csv"]).out;
    assert_eq!((csv.lines().count(), csv.lines().next()), (1 + 20, Some("t,lr.0,lr.1,lr.2,lr.3")));
    assert!(csv.lines().skip(1).all(|row| row.contains(",0.1,0.1,")), "and the first the second one's: {csv}");

    // Different plans, with different lengths and numbers of groups.
    let longer = fs::read_to_string(place.path("config.toml")).unwrap().replace("epochs = 4", "epochs = 8");
    let (before, after) = longer.split_once("[[optimizer.groups]]").unwrap();
    let (_, after) = after.split_once("[schedule]").unwrap();
    fs::write(place.path("long.toml"), format!("{before}[schedule]{after}")).unwrap();
    let svg = place.inspect(&["lr", "two.toml", "long.toml", "--diff", "--format", "svg"]).out;
    let words = words(&svg);
    assert_has(&words, &["Two learning rates", "group 0 of two.toml", "group 1 of two.toml", "long.toml", "40"]);
    let ends = |line: &String| line.rsplit_once('H').unwrap().1.parse::<f64>().unwrap();
    let [a, b, long] = lines(&svg).iter().map(ends).collect::<Vec<_>>().try_into().unwrap();
    assert!(a == b && a < long, "each line is as long as its run: {a} {b} {long}");
    let csv = place.inspect(&["lr", "two.toml", "long.toml", "--diff", "--format", "csv"]).out;
    assert_eq!((csv.lines().count(), csv.lines().next()), (1 + 20, Some("t,lr.0,lr.1,lr.2")));
}

#[test]
fn misuse_of_diff_is_refused() {
    let place = place();
    let refused: [(&[&str], &[&str]); 5] = [
        (&["lr", "constant", "step(5)"], &["--diff"]),
        (&["lr", "constant", "--diff"], &["<OTHER>"]),
        (&["lr", "constant", "stepp(5)", "--diff"], &["`stepp`", "did you mean `step`?"]),
        (&["lr", "constant", "none.toml", "--diff"], &["none.toml cannot be read"]),
        (
            &["lr", "run", "per_group([constant])", "--diff"],
            &["schedules is a list of 1", "each parameter group, that is 2"],
        ),
    ];
    for (arguments, parts) in refused {
        place.inspect_refuses(2, arguments, parts);
    }
}
