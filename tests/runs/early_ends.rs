//! Ends of a run before its last update: by its metric, and by a limit of its time.

use std::time::Duration;

use rekindle::train::{Control, Ending, Outcome, Run, RunEnd, from_file};

use crate::common::{ADAMW, EVERY_STEP, Lab, assert_same_bits, log, small, steps};

/// The rate is too high to go on improving, so that the run ends before its length.
fn impatient(patience: u64) -> String {
    let config = small(ADAMW, "constant", &format!("{EVERY_STEP}\nearly_stopping = {{ patience = {patience} }}"));
    config.replace("epochs = 3", "epochs = 100")
}

#[test]
fn early_stopping_ends_the_run_when_its_metric_no_longer_improves_and_says_why() {
    let lab = Lab::in_memory(&impatient(3));
    let told = lab.start("run");
    let lines = log(&lab.path("run"));
    let losses: Vec<f64> = lines.iter().filter_map(|line| line["val_loss"].as_f64()).collect();
    let best = losses.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert_eq!(losses.len(), best + 4, "{losses:?}");
    let end = RunEnd::read(&lab.path("run")).unwrap();
    let reason = end.reason.unwrap();
    assert_eq!((end.outcome, end.exit_code, end.step), (Ending::Finished, 0, lines.len() as u64));
    assert!(
        reason.starts_with("ended early: validation_loss has not improved in 3 measurements; the best"),
        "{reason}"
    );
    assert!(
        told.stderr.contains("ended early after step") && told.stderr.contains("--set early_stopping="),
        "{told:?}"
    );
    // A resume changes nothing, unless it is given more patience.
    let again = lab.train(&["--resume", "run"]).well();
    assert!(again.stderr.contains("ended early after step"), "{again:?}");
    assert_eq!(log(&lab.path("run")).len(), lines.len());
    lab.train(&["--resume", "run", "--set", "early_stopping.patience=4"]).well();
    assert!(log(&lab.path("run")).len() >= lines.len() + 2);
}

/// Killed at any of these steps and resumed, it ends at the same step with the same bits: what it waited for is saved.
#[test]
fn a_killed_run_ends_early_at_the_same_step() {
    let lab = Lab::in_memory(&impatient(2));
    lab.start("whole");
    let last = *steps(&lab.path("whole")).last().unwrap();
    assert!(last < 400, "it has not ended early");
    for cut in [2, last / 2, last - 2, last - 1] {
        let copy = lab.interrupted_copy("whole", &format!("cut-{cut}"), cut);
        lab.train(&["--resume", &format!("cut-{cut}")]).well();
        assert_same_bits(&lab.path("whole"), &copy);
    }
}

#[test]
fn a_target_ends_the_run_in_the_direction_of_its_metric() {
    let target = "early_stopping = { metric = 'validation_accuracy', target = 0.05 }";
    let lab = Lab::in_memory(&small(ADAMW, "constant", &format!("{EVERY_STEP}\n{target}")));
    lab.start("run");
    let accuracies: Vec<f64> = log(&lab.path("run")).iter().filter_map(|line| line["val_accuracy"].as_f64()).collect();
    let (last, before) = accuracies.split_last().unwrap();
    assert!(*last >= 0.05 && before.iter().all(|accuracy| *accuracy < 0.05), "{accuracies:?}");
    for (setting, words) in [
        ("early_stopping={}", "give `patience`, or `target`, or both"),
        ("early_stopping.metric=validation_brier", "validation_brier"),
        ("data.validation=", "early_stopping.metric"),
        ("early_stopping.min_delta=-1", "must be a finite number, at least 0"),
    ] {
        let told = lab.train(&["config.toml", "--out", "bad", "--set", setting]).refusal();
        assert!(told.contains(words), "`{words}` is not in: {told}");
    }
}

/// The limit is over before the first step, so the run makes one step in each process, whatever the machine.
#[test]
fn a_run_whose_time_is_up_saves_and_stops_and_a_resume_continues() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", "checkpoint = { every = '100 steps' }"));
    lab.start("whole");
    let control = Control::new();
    control.limit_time(Duration::from_millis(1));
    let config = from_file(&lab.path("config.toml"), &[]).unwrap();
    let mut run = Run::start(config, &lab.path("run"), control).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(run.train(&mut ()).unwrap(), Outcome::TimeIsUp);
    drop(run);
    let end = RunEnd::read(&lab.path("run")).unwrap();
    assert_eq!((end.outcome, end.signal, end.exit_code), (Ending::Stopped, None, 0));
    assert_eq!(end.reason.as_deref(), Some("its time was up"));
    assert_eq!(*steps(&lab.path("run")).last().unwrap(), end.step);
    let told = lab.train(&["--resume", "run", "--max-time", "1ms"]).well().stderr;
    assert!(told.contains("because its time was up") && told.contains("to continue: train --resume"), "{told}");
    lab.train(&["--resume", "run", "--set", "train.max_time=1d"]).well();
    assert_eq!(log(&lab.path("run")), log(&lab.path("whole")));
    assert!(lab.train(&["config.toml", "--max-time", "soon"]).refusal().contains("with a unit"));
}
