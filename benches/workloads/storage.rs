//! Saving and loading on Rekindle: a state of any size, and steps with saves between them.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use rekindle::checkpoint::{Checkpoint, Folder, Retention, Saver, WrittenBy, dir_name};
use rekindle::optim::{AdamW, Gradients, Optimizer};
use rekindle::parameters::Parameters;

use crate::steps::Training;

/// Elements of each tensor: 16 MB.
const ELEMENTS: usize = 4 << 20;

/// Weights and the two moments of AdamW.
pub struct Stored {
    parameters: Parameters,
    optimizer: Optimizer,
    saver: Option<(String, Saver)>,
    step: u64,
}

impl Stored {
    /// Creates a state of about this number of megabytes, after one update.
    pub fn new(megabytes: usize) -> Self {
        let count = (megabytes * 1_000_000 / 3 / 4).div_ceil(ELEMENTS);
        let values = Tensor::arange(0_u32, ELEMENTS as u32, &Device::Cpu).and_then(|t| t.to_dtype(DType::F32));
        let values = values.and_then(|values| values / ELEMENTS as f64).expect("a tensor");
        let var = |i: usize| (format!("layer.{i:02}"), Var::from_tensor(&(&values + i as f64).unwrap()).unwrap());
        let parameters: Parameters = (0..count).map(var).collect();
        let mut optimizer = Optimizer::new(&parameters, AdamW::default()).expect("an optimizer");
        let squares = parameters.iter().map(|(_, var)| var.sqr().unwrap().sum_all().unwrap());
        let loss = squares.reduce(|a, b| (a + b).unwrap()).expect("a parameter");
        optimizer
            .update(&Gradients::from_loss(&loss, &parameters).expect("gradients").measure().expect("a norm"), &[1e-3])
            .expect("an update");
        Self { parameters, optimizer, saver: None, step: 0 }
    }

    /// Returns the number of bytes of all tensors.
    pub fn bytes(&self) -> usize {
        3 * 4 * self.parameters.element_count()
    }

    /// Executes a request in a folder, and returns its time in seconds: `save` until it is durable, `load` the saved
    /// state with verification, `restore` it into the weights and moments too.
    pub fn time(&mut self, request: &str, folder: &str) -> f64 {
        if self.saver.as_ref().is_none_or(|(own, _)| own != folder) {
            self.saver = Some((folder.to_owned(), saver(folder, "cpu")));
        }
        let began = Instant::now();
        match request {
            "save" => {
                self.step += 1;
                let (_, saver) = self.saver.as_mut().expect("it was made");
                save(saver, self.step, &self.parameters, &self.optimizer);
                saver.wait().expect("a save was begun").expect("it is saved");
            }
            "load" => drop(Checkpoint::read(&newest(folder, self.step)).expect("it is whole")),
            _ => {
                let checkpoint = Checkpoint::read(&newest(folder, self.step)).expect("it is whole");
                let parts = &mut [("model", &mut self.parameters as _), ("optimizer", &mut self.optimizer as _)];
                checkpoint.restore(parts).expect("it fits");
            }
        }
        began.elapsed().as_secs_f64()
    }
}

fn newest(folder: &str, step: u64) -> std::path::PathBuf {
    Path::new(folder).join(dir_name(step))
}

/// It keeps only the last checkpoint, like the other contestants.
fn saver(folder: &str, device: &str) -> Saver {
    Saver::new(Folder::new(folder), WrittenBy::this_build(device))
        .keeping(Retention { last: Some(1), ..Retention::default() })
}

fn save(saver: &mut Saver, step: u64, parameters: &Parameters, optimizer: &Optimizer) {
    let snapshot = saver.snapshot_at(step).part("model", parameters).expect("the weights");
    saver.begin(snapshot.part("optimizer", optimizer).expect("the moments"), |_| Ok(()));
}

/// Returns the seconds of `steps` steps with a save before every `every` of them; 0 means never. The save in flight at
/// the end balances the one at the beginning, as in a long run.
pub fn time_steps(training: &mut Training, steps: u64, every: u64, folder: &str) -> f64 {
    let mut saver = saver(folder, training.device_name());
    let began = Instant::now();
    for done in 0..steps {
        if every > 0 && done % every == 0 {
            saver.wait().transpose().expect("it is saved");
            save(&mut saver, training.step, training.model.parameters(), &training.optimizer);
        }
        training.step();
    }
    let seconds = began.elapsed().as_secs_f64();
    saver.wait().transpose().expect("it is saved");
    seconds
}
