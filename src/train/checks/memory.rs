//! Checks whether a run fits in memory, from its configuration and its data, before the model is built.

use candle_core::Device;

use crate::data::{Data, Input, TargetKind, pieces};
use crate::device::{self, is_out_of_memory};
use crate::memory::{self, DeviceFull, Need, begin_run, grouped};
use crate::model::{ModelConfig, Outline};
use crate::optim::Remembered;
use crate::parameters::Parameters;
use crate::train::TrainError;
use crate::train::config::Config;

/// Use of a session, which determines its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Training with saves.
    Train,
    /// Resuming from a checkpoint, whose bytes are in memory until its state is restored.
    Resume {
        /// Number of bytes.
        held: u64,
    },
    /// Training without saves.
    RangeTest,
    /// Inspection only.
    Look,
}

/// Bytes per number in weights, moments and batches, and per token or class.
const NUMBER: u64 = 4;

/// Size of a batch in bytes above which batches are certainly prefetched.
const READ_AHEAD_FROM: u64 = 64 << 20;

/// Refuses a run that cannot fit in memory.
pub(crate) fn require(
    config: &Config,
    data: &Data,
    outputs: usize,
    device: &Device,
    purpose: Purpose,
) -> Result<(), TrainError> {
    let sizes = Sizes::of(config, data, outputs, device, purpose)?;
    let held = if let Purpose::Resume { held } = purpose { held } else { 0 };
    let what = if purpose == Purpose::Look { "the model" } else { "the run" };
    let (needs, beside) = (sizes.needs(), sizes.beside());
    Ok(memory::require_with(what, needs, beside, held, sizes.remedies(config, &data.input(), outputs, purpose))?)
}

/// Returns the objects of a run that take memory, in the order in which they are made.
pub(crate) fn needs(
    config: &Config,
    data: &Data,
    outputs: usize,
    device: &Device,
    purpose: Purpose,
) -> Result<Vec<Need>, TrainError> {
    Ok(Sizes::of(config, data, outputs, device, purpose)?.needs())
}

/// Returns the error of an operation of a run whose rows are `data`. If the memory of its device is used up, the error
/// says by what, and what would help.
pub(crate) fn explained(
    error: TrainError,
    config: &Config,
    data: &Data,
    outputs: usize,
    device: &Device,
    purpose: Purpose,
) -> TrainError {
    if !is_out_of_memory(&error) {
        return error;
    }
    let Ok(sizes) = Sizes::of(config, data, outputs, device, purpose) else { return error };
    let sizes = sizes.on_device(device.is_cuda());
    let full = DeviceFull {
        device: config.device.clone(),
        free_of: device::memory(device),
        needs: sizes.needs(),
        tensors: sizes.largest_tensors(),
        remedies: sizes.remedies(config, &data.input(), outputs, purpose),
    };
    TrainError::DeviceFull(Box::new(full))
}

/// Notes what a process whose memory is used up says of the run: the names of its weights, and what would make it smaller.
pub(crate) fn note(
    weights: &Parameters,
    config: &Config,
    data: &Data,
    outputs: usize,
    device: &Device,
    purpose: Purpose,
) -> Result<(), TrainError> {
    let sizes = Sizes::of(config, data, outputs, device, purpose)?;
    begin_run(weights, &sizes.remedies(config, &data.input(), outputs, purpose));
    Ok(())
}

/// The sizes that determine the memory of a run.
#[derive(Clone, Debug)]
struct Sizes {
    outline: Outline,
    /// Size of the optimizer's state.
    remembered: Remembered,
    /// Number of averages of the weights.
    averages: u64,
    /// Number of rows in a batch, and in a micro-batch.
    rows: u64,
    rows_at_once: u64,
    /// Number of micro-batches that are computed at the same time.
    at_once: u64,
    /// Number of rows per validation batch; 0 without validation.
    validation_rows: u64,
    /// Bytes of a row and its targets.
    row_bytes: u64,
    /// Number of batches in memory at one time.
    batches: u64,
    /// Whether the model is on the CPU.
    is_on_cpu: bool,
    /// Bytes per number in activations.
    activation_bytes: u64,
    purpose: Purpose,
}

impl Sizes {
    /// Works them out for a model with this number of `outputs`. Of a model of unknown size, only the batches count.
    fn of(config: &Config, data: &Data, outputs: usize, device: &Device, purpose: Purpose) -> Result<Self, TrainError> {
        let outline = config.model.outline(&data.input(), outputs)?.unwrap_or_default();
        let rows = data.full_batch();
        let of_micro_batch = pieces(rows as usize, config.train.accumulate.unwrap_or(1)).next().map_or(0, |p| p.len());
        // With synchronized batch norms, the micro-batches of a process are computed at the same time.
        let rows_at_once = match config.train.has_sync_batch_norm() {
            true => data.own_rows(rows as usize),
            false => of_micro_batch,
        };
        let row_bytes = row_bytes(&data.input(), data.targets());
        let is_large = rows.saturating_mul(row_bytes) >= READ_AHEAD_FROM;
        let steps = config.total_steps(data);
        let remembered = config.optimizer.remembered(outline.parameters, outline.shapes());
        Ok(Self {
            outline,
            remembered,
            averages: u64::from(config.ema.is_some()) + u64::from(config.swa.is_some()),
            rows,
            rows_at_once: rows_at_once as u64,
            at_once: rows_at_once.div_ceil(of_micro_batch.max(1)) as u64,
            validation_rows: data.validation_rows().len().min(data.input().evaluation_rows()) as u64,
            row_bytes,
            batches: if is_large { data.batches_held().min(steps) } else { 1 },
            is_on_cpu: device.is_cpu(),
            activation_bytes: config.precision.dtype().size_in_bytes() as u64,
            purpose,
        })
    }

    fn weights(&self) -> u64 {
        self.averaged().saturating_add(self.outline.frozen)
    }

    fn averaged(&self) -> u64 {
        self.outline.parameters.saturating_add(self.outline.buffers)
    }

    fn gradients(&self) -> u64 {
        self.outline.parameters
    }

    /// Returns the most sums of gradients that wait at a time for others to be added to, along the tree of micro-batches;
    /// those that are computed at the same time all wait.
    fn sums(&self) -> u64 {
        let micro_batches = self.rows.div_ceil(self.rows_at_once.max(1)).max(1);
        u64::from(micro_batches.ilog2()).max(self.at_once).max(1)
    }

    /// Returns the bytes of activations besides the gradients. Without accumulation, activations are freed while
    /// the gradients are computed; in a validation the gradients of the last update still exist.
    fn activations(&self) -> u64 {
        let bytes = |numbers: u64, rows: u64| numbers.saturating_mul(rows).saturating_mul(self.activation_bytes);
        let kept = bytes(self.outline.activations.kept, self.rows_at_once);
        let gradients = self.gradients().saturating_mul(NUMBER);
        let beside = if self.rows_at_once < self.rows { kept } else { kept.saturating_sub(gradients) };
        let validation = bytes(self.outline.activations.widest, self.validation_rows);
        if self.purpose == Purpose::RangeTest { beside } else { beside.max(validation) }
    }

    /// Returns the needs for memory, in the order of allocation.
    fn needs(&self) -> Vec<Need> {
        let numbers = |what: &str, count: u64, detail: String| Need::new(what, count.saturating_mul(NUMBER), detail);
        let averages = self.averaged().saturating_mul(self.averages);
        let copy = self.weights().saturating_add(self.remembered.numbers).saturating_add(averages);
        let mut needs = Vec::new();
        if self.is_on_cpu {
            let largest = self.outline.largest();
            let largest = largest.map(|(name, shape, _)| format!(", most in `{name}` {shape:?}")).unwrap_or_default();
            needs.push(numbers("weights", self.weights(), format!("{} numbers{largest}", grouped(self.weights()))));
            needs.push(numbers("moments", self.remembered.numbers, self.remembered.detail.clone()));
            if averages > 0 && self.purpose != Purpose::Look {
                needs.push(numbers("averages", averages, "of the weights".to_owned()));
            }
        }
        if self.purpose == Purpose::Look {
            return needs;
        }
        if self.purpose != Purpose::RangeTest {
            needs.push(numbers("copy to save", copy, "of weights and moments, while training continues".to_owned()));
        }
        if self.is_on_cpu {
            let sums = self.sums();
            let detail = if sums > 1 { format!("{sums} sums over micro-batches") } else { String::new() };
            needs.push(numbers("gradients", self.gradients().saturating_mul(sums), detail));
            let at_once = format!("of {} rows at a time, in addition to the gradients", grouped(self.rows_at_once));
            needs.push(Need::new("activations", self.activations(), at_once));
        }
        let batch = self.rows.saturating_mul(self.row_bytes);
        let count = if self.batches == 1 { "1".to_owned() } else { format!("{}, read ahead,", self.batches) };
        let of_rows = format!("{count} of {} rows", grouped(self.rows));
        needs.push(Need::new("batches", batch.saturating_mul(self.batches), of_rows));
        needs
    }

    /// Returns the sizes of what is in the memory of a GPU. If it `copies_beside` training, the copy to save and the next
    /// batch are there as well.
    fn on_device(self, copies_beside: bool) -> Self {
        let (purpose, batches) = match self.purpose {
            Purpose::Train | Purpose::Resume { .. } if copies_beside => (self.purpose, self.batches.min(2)),
            _ => (Purpose::RangeTest, 1),
        };
        Self { is_on_cpu: true, batches, purpose, ..self }
    }

    /// Returns name, shape and bytes of the largest weights.
    fn largest_tensors(&self) -> Vec<(String, Vec<usize>, u64)> {
        const MOST: usize = 3;
        let bytes = |numbers: u64| numbers.saturating_mul(NUMBER);
        let shapes = self.outline.tensors.iter().map(|(_, shape)| shape);
        let sized = self.outline.sizes().zip(shapes);
        let mut all: Vec<_> =
            sized.map(|((name, numbers), shape)| (name.to_owned(), shape.clone(), bytes(numbers))).collect();
        all.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
        all.truncate(MOST);
        all
    }

    /// Returns the temporary memory in addition: the gradient of one weight and the working memory of a backward pass;
    /// and the loss by an allocator that rounds up large sizes, at most an eighth.
    fn beside(&self) -> Need {
        let rounded = memory::total(&self.needs()) / 8;
        let largest = self.outline.largest().map_or(0, |(_, _, numbers)| numbers);
        let passing = self.outline.activations.passing.saturating_mul(self.rows_at_once).saturating_add(largest);
        // In half precision, the weights are converted as well.
        let copies = if self.activation_bytes < NUMBER { self.weights() / 2 } else { 0 };
        let passing = passing.saturating_add(copies);
        let passing = if self.is_on_cpu && self.purpose != Purpose::Look { passing } else { 0 };
        let bytes = passing.saturating_mul(NUMBER).saturating_add(rounded);
        Need::new("for a moment", bytes, "at most, by an estimate: temporary results, and rounded sizes")
    }

    /// Whether the run would need less memory if it recomputed activations.
    fn shrinks_with(&self, again: &ModelConfig, input: &Input, outputs: usize) -> bool {
        let Ok(Some(outline)) = again.outline(input, outputs) else { return false };
        let all = |sizes: &Self| memory::total(&sizes.needs()).saturating_add(sizes.beside().bytes);
        all(&Self { outline, ..self.clone() }) < all(self)
    }

    /// Returns the remedies.
    fn remedies(&self, config: &Config, input: &Input, outputs: usize, purpose: Purpose) -> Vec<String> {
        let needs = self.needs();
        let of = |names: &[&str]| {
            let these = needs.iter().filter(|need| names.contains(&need.what.as_str()));
            these.fold(0, |sum: u64, need| sum.saturating_add(need.bytes))
        };
        let (of_rows, of_model) =
            (of(&["activations", "batches"]), of(&["weights", "moments", "copy to save", "gradients"]));
        let counts = |bytes: u64| bytes > memory::total(&needs) / 10;
        let is_resumed = matches!(purpose, Purpose::Resume { .. });
        let mut rows = Vec::new();
        if counts(of_rows) && purpose != Purpose::Look {
            if !is_resumed {
                rows.push(format!("a smaller `data.batch_size` (a batch has {} rows)", grouped(self.rows)));
            }
            if config.train.has_sync_batch_norm() {
                rows.push("`train.sync_batch_norm = false`, or more processes".to_owned());
            } else if self.rows_at_once > 1 && of(&["activations"]) > of(&["batches"]) {
                let pieces = config.train.accumulate.unwrap_or(1).saturating_mul(2);
                rows.push(format!("micro-batches, `train.accumulate = {pieces}` or more"));
            }
            let again = config.model.spec().memory_remedies().into_iter();
            rows.extend(again.filter(|(_, again)| self.shrinks_with(again, input, outputs)).map(|(remedy, _)| remedy));
            if let Input::Tokens { context, .. } = input
                && !is_resumed
            {
                rows.push(format!("a shorter `data.context` (it is {})", grouped(*context as u64)));
            }
        }
        let mut model = Vec::new();
        if counts(of_model) && !is_resumed {
            match (self.outline.largest(), input) {
                (Some((name, &[rows, _], _)), Input::Tokens { vocabulary, .. }) if rows == *vocabulary => {
                    model.push(format!("a tokenizer of fewer than {} tokens (`{name}`)", grouped(rows as u64)));
                }
                _ => {}
            }
            model.push("a smaller model".to_owned());
            if self.remembered.most > 1 {
                model.push("`optimizer.kind = \"sgd\"`, which has less state per weight".to_owned());
            }
        }
        let (first, second) = if of_rows > of_model { (rows, model) } else { (model, rows) };
        let mut remedies = [first, second].concat();
        if remedies.is_empty() {
            remedies.push("a machine, or a limit, with more memory".to_owned());
        }
        remedies
    }
}

/// Returns the bytes of a row in a batch.
fn row_bytes(input: &Input, targets: TargetKind) -> u64 {
    let product = |shape: &[usize]| shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64));
    let (inputs, places) = match input {
        Input::Numbers(shape) => (product(shape), 1),
        Input::Tokens { context, .. } => (*context as u64, *context as u64),
    };
    let targets = match targets {
        TargetKind::Values { width } => width as u64,
        TargetKind::Classes { .. } => places,
    };
    inputs.saturating_add(targets).saturating_mul(NUMBER)
}

#[cfg(test)]
mod tests;
