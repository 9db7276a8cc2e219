//! A device whose memory is used up: the error has the sizes of the run, and what would need less.
//!
//! No GPU is needed: the loss fails as an operation on one does.

use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{Error, Result, Tensor};
use rekindle::data::TargetKind;
use rekindle::loss::{CrossEntropy, Loss, LossError, Predicted};
use rekindle::train::{Control, Session, TrainError, from_file};

use crate::common::{ADAMW, EVERY_STEP, Lab, small};

/// Cross-entropy, until a device is full.
#[derive(Debug)]
struct Filling {
    calls_left: AtomicU64,
}

impl Filling {
    fn after(calls: u64) -> Self {
        Self { calls_left: AtomicU64::new(calls) }
    }
}

impl Loss for Filling {
    fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
        CrossEntropy::default().outputs(targets)
    }

    fn forward(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        if self.calls_left.fetch_sub(1, Ordering::Relaxed) == 0 {
            // The text of cudarc's error, which Candle wraps.
            let full = Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".to_owned());
            return Err(full.context("in a kernel"));
        }
        CrossEntropy::default().forward(outputs, targets)
    }

    fn measure(&self, outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
        CrossEntropy::default().measure(outputs, targets)
    }

    fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
        CrossEntropy::default().interpret(outputs)
    }
}

#[test]
fn a_full_device_is_answered_with_the_sizes_of_the_run_and_remedies() {
    let lab = Lab::new(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let (config, run) = (from_file(&lab.path("config.toml"), &[]).unwrap(), lab.path("run"));
    let resumed = |calls| Session::builder(config.clone()).loss(Filling::after(calls)).run_in(&run, Control::new());
    // In the first step everything can still be changed; a begun run keeps the rows of its batches.
    for (calls, changes) in [(0, true), (3, false)] {
        let error = resumed(calls).unwrap().run.train(&mut ()).unwrap_err();
        let (told, is_input_error) = (error.to_string(), error.is_input_error());
        assert!(matches!(error, TrainError::DeviceFull(_)) && !is_input_error, "{told}");
        assert!(told.starts_with("device `cpu` has no memory left; the run needs at least "), "{told}");
        assert!(told.contains("; its largest weights are `2.weight` [5, 8] of 160 B, "), "{told}");
        for need in ["\n  weights ", "\n  moments ", "\n  gradients ", "\n  activations ", "\n  batches "] {
            assert!(told.contains(need), "{need}: {told}");
        }
        assert!(told.contains("2 per weight, by adamw") && !told.contains("copy to save"), "{told}");
        assert!(told.contains("micro-batches, `train.accumulate = 2`"), "{told}");
        assert_eq!(told.contains("a smaller `data.batch_size`"), changes, "{told}");
    }
    // The updates before are saved, and the run continues where there is memory.
    let finished = resumed(u64::MAX).unwrap().run.train(&mut ());
    assert!(finished.is_ok(), "{finished:?}");
}

#[test]
fn other_failures_of_a_device_are_reported_as_they_are() {
    #[derive(Debug)]
    struct Broken;
    impl Loss for Broken {
        fn outputs(&self, targets: TargetKind) -> std::result::Result<usize, LossError> {
            CrossEntropy::default().outputs(targets)
        }
        fn forward(&self, _: &Tensor, _: &Tensor) -> Result<Tensor> {
            Err(Error::Msg("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")".to_owned()))
        }
        fn interpret(&self, outputs: Vec<Vec<f32>>) -> Predicted {
            CrossEntropy::default().interpret(outputs)
        }
    }
    let lab = Lab::new(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let config = from_file(&lab.path("config.toml"), &[]).unwrap();
    let run = Session::builder(config).loss(Broken).run_in(&lab.path("run"), Control::new());
    let told = run.unwrap().run.train(&mut ()).unwrap_err().to_string();
    assert_eq!(told, "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")");
}
