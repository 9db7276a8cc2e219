//! A user-defined sink has the file of an uninterrupted run, after a kill at any moment.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use rekindle::train::resume::{self, ResumeOptions};
use rekindle::train::{Beginning, Control, Run, Sink, StepRecord, TrainError, from_file};

use crate::common::{ADAMW, EVERY_STEP, Lab, small, steps};

/// A table of losses.
#[derive(Default)]
struct Losses {
    file: Option<File>,
    pending: String,
}

impl Sink for Losses {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<(), TrainError> {
        let path = beginning.run.join("losses.csv");
        let lines = fs::read_to_string(&path).unwrap_or_default();
        let kept: String = lines.split_inclusive('\n').take(beginning.recorded as usize).collect();
        fs::write(&path, kept).unwrap();
        self.file = Some(File::options().append(true).open(&path).unwrap());
        Ok(())
    }

    fn record(&mut self, record: &StepRecord) {
        let validation = record.validation.as_ref().map(|validation| validation.loss.to_string()).unwrap_or_default();
        self.pending += &format!("{},{},{},{validation}\n", record.step, record.loss, record.grad_norm);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().unwrap().write_all(std::mem::take(&mut self.pending).as_bytes())
    }
}

/// Trains the run at `path`, which has just begun or been resumed, to its end or to `stop`.
fn train(run: Run, stop: impl FnMut(&StepRecord)) -> PathBuf {
    let mut run = run.with_sink(Box::new(Losses::default()));
    run.train(&mut Stop(stop)).unwrap();
    run.path().join("losses.csv")
}

struct Stop<F>(F);

impl<F: FnMut(&StepRecord)> Sink for Stop<F> {
    fn record(&mut self, record: &StepRecord) {
        (self.0)(record);
    }
}

#[test]
fn a_sink_of_your_own_is_cut_back_to_the_checkpoint_on_a_resume() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let start = |out: &str, control: &Control| {
        let config = from_file(&lab.path("config.toml"), &[]).unwrap();
        Run::start(config, &lab.path(out), control.clone()).unwrap()
    };
    let whole = train(start("whole", &Control::new()), |_| {});
    let whole = fs::read_to_string(whole).unwrap();
    assert_eq!(whole.lines().count(), 12);

    let control = Control::new();
    let losses = train(start("cut", &control), |record| {
        if record.step == 4 {
            control.stop(15);
        }
    });
    // A killed process leaves a file that is ahead of its checkpoint, with an incomplete last line.
    let ahead = fs::read_to_string(&losses).unwrap();
    assert_eq!(ahead.lines().count(), 5);
    fs::write(&losses, ahead + "5,0.1,9,\n6,0.").unwrap();
    let choices = ResumeOptions { settings: &[], out: None, strict: false };
    let resumed = resume::resume(&lab.path("cut"), choices, Control::new()).unwrap();
    train(resumed.run, |_| {});
    assert_eq!(fs::read_to_string(&losses).unwrap(), whole);
}

/// A sink whose disk is full.
struct Full(Vec<String>);

impl Sink for Full {
    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn message(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

#[test]
fn a_sink_that_cannot_write_costs_no_step() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let config = from_file(&lab.path("config.toml"), &[]).unwrap();
    let mut run = Run::start(config, &lab.path("run"), Control::new()).unwrap();
    let mut sink = Full(Vec::new());
    run.train(&mut sink).unwrap();
    assert!(sink.0[0].contains("cannot be written") && sink.0[0].contains("training continues"), "{:?}", sink.0);
    assert_eq!(steps(&lab.path("run")).last(), Some(&12));
}
