//! Batch norms that take the statistics of the whole batch, in however many micro-batches and processes it is computed.

use std::fs;
use std::thread;

use crate::common::data::{mnist, write};
use crate::common::{ADAMW, EVERY_STEP, Lab, assert_same_bits, checkpoint, log, small};
use crate::ranks::{NEVER, Rank, ranks, train, train_together, well};

/// A ResNet, which is trained on 40 images in batches of 9 and one of 4.
fn config(train: &str, more: &str) -> String {
    let config = small(ADAMW, "cosine(15)", more)
        .replace("path = \"data.csv\"\n    validation = 0.2", "path = \"mnist\"\n    format = \"idx\"")
        .replace("batch_size = 13", "batch_size = 9")
        .replace(
            "kind = \"mlp\"\n    hidden = [8, 5]\n    dropout = 0.3",
            "kind = \"resnet\"\n    widths = [4]\n    depths = [1]",
        );
    config.replace("train = { epochs = 3", &format!("train = {{ {train}, epochs = 3"))
}

fn lab(train: &str, more: &str) -> Lab {
    let lab = Lab::in_memory(&config(train, more));
    write(&lab.path("mnist"), &mnist());
    lab
}

/// With the statistics that averages of the weights compute again, and ranks that have no micro-batch of the last batch of
/// an epoch: 4 images in 3 micro-batches are two of 2.
#[test]
fn any_number_of_ranks_has_the_bits_of_one_process_also_after_a_resume() {
    let averages = "ema = { decay = 0.9, evaluate = false }\nswa = { start = '2 steps', every = '2 steps' }";
    let lab = lab("sync_batch_norm = true", &format!("{EVERY_STEP}\n{averages}"));
    for (worlds, accumulate) in [([2, 3], "3"), ([1, 4], "7"), ([4, 1], "4")] {
        let (name, alone) = (format!("{worlds:?}-{accumulate}"), format!("alone-{accumulate}"));
        train(&lab, accumulate, &alone, None, NEVER).unwrap();
        well(train_together(&lab, worlds[0], accumulate, &name, 4));
        assert!(log(&lab.path(&name)).len() < 15);
        well(train_together(&lab, worlds[1], accumulate, &name, NEVER));
        assert_same_bits(&lab.path(&alone), &lab.path(&name));
    }
}

/// Micro-batches then change nothing but the rounding. Without it, they are another run.
#[test]
fn losses_are_those_of_whole_batches() {
    let losses = |sync: bool, accumulate: &str| {
        let config = config(&format!("sync_batch_norm = {sync}"), EVERY_STEP);
        // Adam would make much of the rounding of small gradients.
        let lab = Lab::in_memory(&config.replace(ADAMW, "{ kind = 'sgd', lr = 0.05 }"));
        write(&lab.path("mnist"), &mnist());
        train(&lab, accumulate, "run", None, NEVER).unwrap();
        let loss = |key: &str| {
            log(&lab.path("run")).iter().filter_map(|line| line[key].as_f64()).take(6).collect::<Vec<f64>>()
        };
        [loss("loss"), loss("validation_loss")].concat()
    };
    let whole = losses(false, "1");
    let far = |losses: Vec<f64>| {
        assert_eq!(losses.len(), whole.len());
        losses.iter().zip(&whole).map(|(found, whole)| (found - whole).abs() / whole).fold(0.0, f64::max)
    };
    // Some steps of rounding in f32, against statistics of 3 images or of 9.
    assert!(far(losses(true, "4")) < 1e-3 && far(losses(false, "4")) > 1e-2);
}

/// Wherever in a step the other one is lost, the first one saves the state from before it.
#[test]
fn a_rank_that_is_lost_at_any_exchange_leaves_the_state_before_the_step() {
    let lab = lab("sync_batch_norm = true", "checkpoint = { every = '100 steps' }");
    train(&lab, "2", "alone", None, NEVER).unwrap();
    let whole = |run: &str| fs::read(checkpoint(&lab.path(run), 15).join("model.safetensors")).unwrap();
    for exchanges in (0..80).step_by(5) {
        let run = format!("lost-{exchanges}");
        thread::scope(|scope| {
            let [first, second]: [Rank; 2] = ranks(2).try_into().ok().unwrap();
            second.exchanges.set(6 + exchanges);
            let (lab, run) = (&lab, &run);
            scope.spawn(move || train(lab, "2", run, Some(second), NEVER).unwrap_err());
            train(lab, "2", run, Some(first), NEVER).unwrap_err();
        });
        well(train_together(&lab, 2, "2", &run, NEVER));
        assert!(whole(&run) == whole("alone"), "after {exchanges} exchanges");
    }
}

#[test]
fn a_model_without_batch_norm_is_refused() {
    let config = small(ADAMW, "cosine(12)", EVERY_STEP).replace("train = {", "train = { sync_batch_norm = true,");
    let error = train(&Lab::in_memory(&config), "2", "run", None, NEVER).unwrap_err().to_string();
    assert_eq!(error, "train.sync_batch_norm = true: the model has no batch norm; remove it");
}
