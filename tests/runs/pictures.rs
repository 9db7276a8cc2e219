//! The picture of a killed run that README shows: what several processes computed is one line, that of a run that was
//! never stopped.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::training::Training;
use crate::common::{Lab, assert_same_bits, log, steps};
use rekindle::report::chart::{Chart, Mark, Series, Size};
use serde_json::Value;

/// The example of handwritten digits, ten epochs of it, with a save after every twentieth update.
fn settings(out: &str) -> [String; 7] {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits.toml");
    let [epochs, every] = ["train.epochs=10", "checkpoint.every='20 steps'"].map(str::to_owned);
    let set = || "--set".to_owned();
    [example.display().to_string(), "--out".to_owned(), out.to_owned(), set(), epochs, set(), every]
}

fn arguments(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn losses(log: &[Value], from: usize) -> Vec<(f64, f64)> {
    log[from..].iter().map(|line| (line["step"].as_f64().unwrap(), line["loss"].as_f64().unwrap())).collect()
}

/// A run that is killed when it has saved each of these steps, and resumed: what each process computed.
fn killed(lab: &Lab, kills: &[u64]) -> Vec<Series> {
    let (run, mut processes) = (lab.path("killed"), Vec::new());
    let settings = settings("killed");
    let (started, resumed) = (arguments(&settings), vec!["--resume", "killed"]);
    for (index, kill) in kills.iter().map(Some).chain([None]).enumerate() {
        let from = steps(&run).last().copied().unwrap_or(0);
        let mut training: Training = lab.spawn(if index == 0 { &started } else { &resumed });
        let how = match kill {
            Some(&step) => {
                training.wait_until(|| steps(&run).last().is_some_and(|&saved| saved >= step));
                assert!(training.kill(), "the run had ended");
                "killed"
            }
            None => {
                training.ended().well();
                "ends"
            }
        };
        // Its last line may be torn.
        let text = fs::read_to_string(run.join("log.jsonl")).unwrap();
        let lines: Vec<Value> = text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        let name = format!("process {}, {how}", index + 1);
        processes.push(Series { name, points: losses(&lines, from as usize), ..Series::default() });
    }
    processes
}

fn picture(folder: &Path) -> PathBuf {
    folder.join("docs/killed.svg")
}

#[test]
fn the_picture_of_a_killed_run_is_there_and_can_be_drawn_again() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("REKINDLE_DRAW").is_some() {
        let lab = Lab::new("");
        lab.train(&arguments(&settings("whole"))).well();
        let series = killed(&lab, &[80, 200, 320]);
        assert_same_bits(&lab.path("whole"), &lab.path("killed"));
        let all = losses(&log(&lab.path("whole")), 0);
        assert!(series.iter().all(|process| process.points.iter().all(|point| all.contains(point))));
        let mark =
            |process: &Series| Mark { x: process.points.last().map_or(0.0, |point| point.0), label: String::new() };
        let chart = Chart {
            title: "Killed three times: the losses of the run that was never stopped, to the bit".to_owned(),
            x_label: "step".to_owned(),
            y_label: "loss".to_owned(),
            size: Size { width: 960, height: 360 },
            log_y: true,
            marks: series[..3].iter().map(mark).collect(),
            series,
            ..Chart::default()
        };
        fs::write(picture(repository), chart.to_svg()).unwrap();
    }
    let shown = fs::read_to_string(picture(repository)).unwrap();
    assert!((1..=4).all(|process| shown.contains(&format!("process {process}, "))), "{shown}");
    let readme = fs::read_to_string(repository.join("README.md")).unwrap();
    for name in ["killed", "plan", "find-lr"] {
        assert!(readme.contains(&format!("(docs/{name}.svg)")), "README does not show docs/{name}.svg");
    }
    let linked = readme.split("](").filter_map(|rest| rest.split_once(')')).map(|(path, _)| path);
    for picture in linked.filter(|path| path.ends_with(".svg")) {
        assert!(repository.join(picture).is_file(), "{picture} is missing");
    }
}
