//! What a data set is to a training loop: numbered rows that can be gathered into batches.

use candle_core::Tensor;

use super::Fingerprint;

/// Rows that a run can learn from. Implement it for your own data and hand it to [`Data::new`](super::Data::new).
///
/// Gathering is pure: the same rows give the same bits every time, from any thread. A data set that remembers
/// something (statistics, a vocabulary) implements [`Part`](crate::state::Part) too, and then so does the
/// [`Data`](super::Data) around it.
pub trait Dataset: Send + Sync {
    /// How many rows there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of one row's inputs: `[64]` for 64 features, `[1, 28, 28]` for a grey image.
    fn input_shape(&self) -> &[usize];

    /// What the targets are.
    fn targets(&self) -> TargetKind;

    /// What identifies the content: a run resumes only on data of the same fingerprint.
    fn fingerprint(&self) -> &Fingerprint;

    /// The rows of these numbers, in this order, on the device that the run trains on.
    ///
    /// # Errors
    /// A row number is not less than [`Dataset::len`], or the device fails.
    fn gather(&self, rows: &[usize]) -> candle_core::Result<Batch>;
}

/// What a row's target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// `width` real numbers.
    Values {
        /// Numbers per row.
        width: usize,
    },
    /// One of `count` classes, numbered from 0.
    Classes {
        /// How many classes there are, whether or not each occurs.
        count: usize,
    },
}

/// What one update, or one step of an evaluation, looks at.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[rows, …]`, f32; behind the rows the data set's [`Dataset::input_shape`].
    pub inputs: Tensor,
    /// `[rows, width]`, f32, where the targets are values; `[rows]`, u32, where they are classes.
    pub targets: Tensor,
}

impl Batch {
    /// How many rows it holds.
    pub fn rows(&self) -> usize {
        self.inputs.dims().first().copied().unwrap_or(0)
    }
}
