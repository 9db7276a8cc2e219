//! The summary at the end of a run: how far it came, where its state is, and how to continue.

use std::fs;
use std::time::Instant;

use rekindle::figures::counted;
use rekindle::report::{Measured, Validation};
use rekindle::train::{BestCheckpoint, Console, Metric, Outcome, Run, Sink};
use rekindle::{figures, shell, store};

/// A log of at most this many bytes is read when a run is stopped: it takes some milliseconds.
const LOG: u64 = 16 << 20;

/// Returns the validation with the lowest loss, if that is lower than the loss of the best checkpoint. Somebody who stops a
/// run does not wait for a long log, which is read only at the end of a run.
fn lowest_unsaved(run: &Run, best: Option<&BestCheckpoint>, outcome: &Outcome) -> Option<Validation> {
    let is_short = || fs::metadata(run.path().join("log.jsonl")).is_ok_and(|log| log.len() <= LOG);
    if matches!(outcome, Outcome::Stopped { .. } | Outcome::TimeIsUp | Outcome::StepReached) && !is_short() {
        return None;
    }
    if store::is_url(run.path()) || best.is_some_and(|best| best.metric != Metric::ValidationLoss) {
        return None;
    }
    let lowest = Measured::of_run(run.path(), run.session().step()).best_validation?;
    best.is_none_or(|best| lowest.loss < best.value).then_some(lowest)
}

/// Prints what was done, where the state is, and how to continue.
pub fn summarize(run: &Run, outcome: &Outcome, first_step: u64, began: Instant, console: &mut Console) {
    let session = run.session();
    let (step, total) = (session.step(), session.total_steps());
    let (made, time) = (step - first_step, began.elapsed().saturating_sub(console.paused()));
    let seconds = time.as_secs_f64();
    let speed = if made > 0 { format!(", {} steps/s", figures::speed(made as f64 / seconds)) } else { String::new() };
    let checkpoint = run.last_checkpoint().map(|path| path.display().to_string()).unwrap_or_default();
    let best = run.best();
    let lowest = lowest_unsaved(run, best.as_ref(), outcome);
    let run = shell::path(run.path());
    match outcome {
        Outcome::Finished if made == 0 => {
            console.message(&format!("nothing left to do: all {total} steps are made"));
        }
        Outcome::Finished => {
            console.message(&format!("done: {} in {seconds:.1} s{speed}", counted(made, "step")));
        }
        Outcome::EndedEarly { reason } => {
            console.message(&format!("ended early after step {step} of {total}: {reason}"));
        }
        Outcome::Stopped { .. } | Outcome::TimeIsUp | Outcome::StepReached => {
            let why = match outcome {
                Outcome::TimeIsUp => ", because its time was up",
                Outcome::StepReached => ", as --until says",
                _ => "",
            };
            console.message(&format!(
                "stopped after step {step} of {total}{why}: {} in {seconds:.1} s{speed}",
                counted(made, "step")
            ));
        }
    }
    if session.skipped() > 0 {
        let skipped = counted(session.skipped(), "update");
        console.message(&format!("{skipped} skipped, because gradients overflowed in f16 (`skipped` in the log)"));
    }
    console.message(&format!("checkpoint: {checkpoint}"));
    if let Some(best) = best {
        console.message(&format!("best checkpoint: {best}"));
    }
    if let Some(Validation { step, loss, .. }) = lowest {
        let loss = figures::loss(loss);
        console.message(&format!(
            "lowest validation loss: {loss} after step {step}, which has no checkpoint; \
             `checkpoint.keep.best` keeps the best"
        ));
    }
    match outcome {
        Outcome::Finished => {
            let unit = if session.config().train.epochs.is_some() { "epochs" } else { "steps" };
            console.message(&format!("to train longer: train --resume {run} --set train.{unit}=…"));
        }
        Outcome::EndedEarly { .. } => console.message(&format!(
            "to continue nevertheless: train --resume {run} --set early_stopping=, or with another `patience` or `target`"
        )),
        Outcome::Stopped { .. } | Outcome::TimeIsUp | Outcome::StepReached => {
            console.message(&format!("to continue: train --resume {run}"));
        }
    }
}
