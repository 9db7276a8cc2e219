//! The promise for every kind of data: a run that is interrupted after any of its steps and resumed in a new process
//! comes to the same bits.

mod common;
mod common_data;

use std::path::Path;

use common::{ADAMW, EVERY_STEP, Lab, assert_same_bits, log, steps};
use common_data::{mnist, write};

/// A run of seven updates over this data, which `prepare` puts into the folder. It ends in mid-epoch, with dropout and
/// validation on the way.
#[track_caller]
fn assert_any_step_can_be_the_last_before_a_resume(data: &str, model: &str, prepare: impl Fn(&Path)) {
    let lengths = "train = { steps = 7, clip_norm = 1.0 }\nvalidation = { every = \"2 steps\" }";
    let head = format!("seed = 3\noptimizer = {ADAMW}\nschedule = \"cosine(7)\"\n{lengths}\n{EVERY_STEP}");
    let lab = Lab::in_memory(&format!("{head}\n[data]\n{data}\n[model]\n{model}\n"));
    prepare(&lab.path(""));
    lab.start("whole");
    assert!(log(&lab.path("whole")).iter().any(|line| line["val_loss"].is_number()), "nothing is validated");
    assert_eq!(steps(&lab.path("whole")), (0..=7).collect::<Vec<_>>());
    for step in 0..7 {
        let name = format!("interrupted-{step}");
        let copy = lab.interrupted_copy("whole", &name, step);
        lab.train(&["--resume", &name]).well();
        assert_same_bits(&lab.path("whole"), &copy);
    }
}

const MLP: &str = "kind = \"mlp\"\nhidden = [8]\ndropout = 0.3";

#[test]
fn images_in_idx_files() {
    let data = "path = \".\"\nformat = \"idx\"\nbatch_size = 9";
    assert_any_step_can_be_the_last_before_a_resume(data, MLP, |folder| write(folder, &mnist()));
}
