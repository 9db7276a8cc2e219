//! Data sets far larger than memory, for a test and a bench: rows that are computed, and rows of a file that is mapped.
#![allow(dead_code, reason = "test and bench each use their own part of this")]

use std::fs::File;
use std::path::Path;

use candle_core::{Device, Tensor};
use memmap2::Mmap;
use rekindle::data::{
    Batch, BatchSize, Data, DataError, Dataset, Fingerprint, Input, LastBatch, Order, Split, TargetKind,
};
use rekindle::model::{Mlp, MlpConfig, Mode, Model};
use rekindle::ops::loss::cross_entropy;
use rekindle::optim::{Gradients, Optimizer, Sgd};
use rekindle::rng::{StepRng, Stream};

/// Numbers in a row, of one byte each in a file and four bytes each in a batch.
pub const WIDTH: usize = 4096;
/// Number of rows in a file of 20 GB.
pub const ROWS: usize = 5_000_000;

/// Number of values in a row that determine its class.
const SIGNAL: usize = 1024;

/// Source of a row's bytes.
pub enum Bytes {
    Computed(Stream),
    Mapped(Mmap),
}

/// Rows of [`WIDTH`] numbers, whose first values determine one of two classes.
pub struct Huge {
    rows: usize,
    bytes: Bytes,
    fingerprint: Fingerprint,
}

impl Huge {
    pub fn computed(rows: usize) -> Self {
        Self { rows, bytes: Bytes::Computed(Stream::new(0, "huge")), fingerprint: Fingerprint::of(b"computed") }
    }

    /// Creates a sparse file of `rows` at `path`: unwritten parts read as zeros.
    pub fn mapped(rows: usize, path: &Path) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len((rows * WIDTH) as u64).unwrap();
        // SAFETY: no other code knows the file or writes to it.
        let map = unsafe { Mmap::map(&file) }.unwrap();
        // Access is random, so reading ahead does not help.
        #[cfg(unix)]
        map.advise(memmap2::Advice::Random).unwrap();
        Self { rows, bytes: Bytes::Mapped(map), fingerprint: Fingerprint::of(b"mapped") }
    }

    /// Batches of 64 rows in a different order each epoch; the last thousand rows are for validation.
    pub fn data(self) -> Data<Self> {
        let split = Split::last(self.rows, 1000).unwrap();
        let size = BatchSize::Rows(64.try_into().unwrap());
        let order = Order::new(split.train().len(), size, LastBatch::Drop, Some(1)).unwrap();
        Data::new(self, split, order).unwrap()
    }
}

impl Dataset for Huge {
    fn len(&self) -> usize {
        self.rows
    }

    fn input(&self) -> Input {
        Input::Numbers(vec![WIDTH])
    }

    fn targets(&self) -> TargetKind {
        TargetKind::Classes { count: 2 }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let mut values = Vec::with_capacity(rows.len() * WIDTH);
        for &row in rows {
            let class = (row % 2) as f32;
            let start = values.len();
            match &self.bytes {
                Bytes::Computed(stream) => {
                    values.extend(stream.uniform(row as u64, WIDTH).iter().map(|x| (x - 0.5) * 0.1))
                }
                Bytes::Mapped(map) => values.extend(map[row * WIDTH..][..WIDTH].iter().map(|&byte| f32::from(byte))),
            }
            values[start..start + SIGNAL].iter_mut().for_each(|value| *value = class - 0.5);
        }
        let labels: Vec<u32> = rows.iter().map(|row| (row % 2) as u32).collect();
        let inputs = Tensor::from_vec(values, (rows.len(), WIDTH), &Device::Cpu)?;
        Ok(Batch { inputs, targets: Tensor::from_vec(labels, rows.len(), &Device::Cpu)? })
    }
}

/// Trains a small network for `steps` updates, and returns the loss of the last.
pub fn train(data: &Data<Huge>, steps: u64) -> f32 {
    let model = Mlp::new(MlpConfig::new([16]), WIDTH, 2, 0, &Device::Cpu).unwrap();
    let mut optimizer = Optimizer::new(model.parameters(), Sgd { lr: 0.01, ..Sgd::default() }).unwrap();
    let rates = optimizer.base_lrs();
    let mut last = f32::NAN;
    for step in 0..steps {
        let batch = data.batch(step).unwrap();
        let outputs = model.forward(&batch.inputs, Mode::Train(&StepRng::at(0, step))).unwrap();
        let loss = cross_entropy(&outputs, &batch.targets, 0.0).unwrap();
        last = loss.to_scalar().unwrap();
        let gradients = Gradients::from_loss(&loss, model.parameters()).unwrap().measure().unwrap();
        optimizer.update(&gradients, &rates).unwrap();
    }
    last
}
