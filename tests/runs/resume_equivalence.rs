//! The promise: a run that is interrupted after any of its steps and resumed in a new process has the same bits.
//! Weights, moments, the memory of the schedule, every rate and every line of the log are compared as files.

use std::thread;

use crate::common::{
    ADAMW_AND_SGD, ADAMW_IN_TWO_GROUPS, EVERY_STEP, Lab, StopAfterOne, assert_same_bits, rates, small,
};
use crate::matrix::FOREIGN;
use rekindle::train::{Control, Outcome, Run, from_file, resume};

/// A plateau that hardly sees an improvement, and so reduces the rate while its patience is part of its memory.
const SCHEDULES: [&str; 4] = [
    "step(5, gamma=0.5)",
    "cosine(12, eta_min=1e-4)",
    "warmup(4) -> cosine(8)",
    "plateau(factor=0.5, patience=1, threshold=0.5)",
];

const STEPS: u64 = 12;

#[track_caller]
fn assert_any_step_can_be_the_last_before_a_resume(optimizer: &str) {
    for schedule in SCHEDULES {
        let lab = Lab::in_memory(&small(optimizer, schedule, EVERY_STEP));
        lab.assert_any_step_can_be_the_last(STEPS);
        let rates = rates(&lab.path("whole"));
        assert!(rates.iter().any(|rate| *rate != rates[0]), "{schedule} does not move the rate");
    }
}

#[test]
fn sgd_with_momentum_interrupted_after_any_step_has_the_same_bits() {
    assert_any_step_can_be_the_last_before_a_resume(
        "{ kind = 'sgd', lr = 0.05, momentum = 0.9, dampening = 0.1, weight_decay = 1e-3 }",
    );
}

#[test]
fn adam_interrupted_after_any_step_has_the_same_bits() {
    assert_any_step_can_be_the_last_before_a_resume("{ kind = 'adam', lr = 0.05, weight_decay = 0.01 }");
}

#[test]
fn adamw_with_two_groups_interrupted_after_any_step_has_the_same_bits() {
    assert_any_step_can_be_the_last_before_a_resume(ADAMW_IN_TWO_GROUPS);
}

#[test]
fn two_rules_in_one_run_interrupted_after_any_step_come_to_the_same_bits() {
    assert_any_step_can_be_the_last_before_a_resume(ADAMW_AND_SGD);
}

/// The other rules, and those of above as other frameworks compute them.
#[test]
fn every_other_rule_interrupted_after_any_step_has_the_same_bits() {
    // The longest of these tests would otherwise go on alone.
    let rules = FOREIGN;
    thread::scope(|scope| {
        for some in rules.chunks(rules.len().div_ceil(4)) {
            scope.spawn(move || {
                for optimizer in some {
                    Lab::in_memory(&small(optimizer, "late(1, in_f32(cosine(12)))", EVERY_STEP))
                        .assert_any_step_can_be_the_last(STEPS);
                }
            });
        }
    });
}

/// Errors of a single resume may be too small to see; many resumes add them up.
#[test]
fn a_run_stopped_and_resumed_after_every_single_step_has_the_same_bits() {
    for schedule in SCHEDULES {
        let lab = Lab::in_memory(&small(ADAMW_IN_TWO_GROUPS, schedule, EVERY_STEP));
        lab.start("whole");
        let (config, folder) = (lab.path("config.toml"), lab.path("stepwise"));
        for step in 0..STEPS {
            let control = Control::new();
            let mut observer = StopAfterOne(control.clone());
            let mut run = match step {
                0 => Run::start(from_file(&config, &[]).unwrap(), &folder, control).unwrap(),
                _ => resume::resume(&folder, resume::ResumeOptions::default(), control).unwrap().run,
            };
            // After the last step there is nothing to stop.
            let expected = if step + 1 < STEPS { Outcome::Stopped { signal: 15 } } else { Outcome::Finished };
            assert_eq!(run.train(&mut observer).unwrap(), expected);
            assert_eq!(run.session().step(), step + 1);
        }
        assert_same_bits(&lab.path("whole"), &folder);
    }
}
