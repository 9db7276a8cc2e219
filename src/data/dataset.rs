//! The trait of data sets: numbered rows that can be gathered into batches.

use std::fmt;
use std::ops::Range;

use candle_core::{Device, Tensor};

use super::{DataError, Fingerprint, Input, Names, Shards, TargetKind, TargetScale};
use crate::Notice;
use crate::state::{State, StateError, Stateful};

/// Rows that a run can learn from. Implement it for your own data and pass it to [`Data::new`](super::Data::new).
///
/// Making a batch is pure: the same rows give the same bits every time, from any thread. A data set with state
/// (statistics, a vocabulary) implements [`Stateful`](crate::state::Stateful) too, and then so does the
/// [`Data`](super::Data) around it.
///
/// A data set of numbers, whose rows are computed:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use rekindle::data::{Batch, Data, DataError, Dataset, Fingerprint, Input, Order, Split, TargetKind};
/// use rekindle::data::{BatchSize, LastBatch};
///
/// /// Grey images of 8×8 pixels, bright on the left (class 0) or on the right (class 1).
/// struct Sides(Fingerprint);
///
/// impl Dataset for Sides {
///     fn len(&self) -> usize {
///         1000
///     }
///     fn input(&self) -> Input {
///         Input::Numbers(vec![1, 8, 8])
///     }
///     fn targets(&self) -> TargetKind {
///         TargetKind::Classes { count: 2 }
///     }
///     fn fingerprint(&self) -> &Fingerprint {
///         &self.0
///     }
///     fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
///         let odd = |row: usize, at: usize| f32::from((at % 8 < 4) == (row % 2 == 0));
///         let pixel = |row: usize, at: usize| ((row + at) % 7) as f32 / 7.0 + odd(row, at);
///         let pixels: Vec<f32> = rows.iter().flat_map(|&row| (0..64).map(move |at| pixel(row, at))).collect();
///         let labels: Vec<u32> = rows.iter().map(|row| (row % 2) as u32).collect();
///         Ok(Batch {
///             inputs: Tensor::from_vec(pixels, (rows.len(), 1, 8, 8), &Device::Cpu)?,
///             targets: Tensor::from_vec(labels, rows.len(), &Device::Cpu)?,
///         })
///     }
/// }
///
/// let split = Split::new(1000, 0.1, 42)?;
/// let order = Order::new(split.train().len(), BatchSize::All, LastBatch::Keep, Some(42))?;
/// let data = Data::new(Sides(Fingerprint::of(b"sides, version 1")), split, order)?;
/// assert_eq!(data.batch(1_000_000)?.inputs.dims(), [900, 1, 8, 8]);
/// # Ok::<(), DataError>(())
/// ```
///
/// For tokens, inputs are `u32` of shape `[rows, context]`, and the targets, the next tokens, have the same form:
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use rekindle::data::{Batch, DataError, Dataset, Fingerprint, Input, TargetKind};
/// /// The digits of a counter, five at a time.
/// struct Digits(Vec<u8>, Fingerprint);
///
/// impl Dataset for Digits {
///     fn len(&self) -> usize {
///         self.0.len() - 5
///     }
///     fn input(&self) -> Input {
///         Input::Tokens { context: 5, vocabulary: 10 }
///     }
///     fn targets(&self) -> TargetKind {
///         TargetKind::Classes { count: 10 }
///     }
///     fn fingerprint(&self) -> &Fingerprint {
///         &self.1
///     }
///     fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
///         let windows = |offset: usize| {
///             let tokens: Vec<u32> =
///                 rows.iter().flat_map(|row| &self.0[row + offset..][..5]).map(|&digit| digit.into()).collect();
///             Tensor::from_vec(tokens, (rows.len(), 5), &Device::Cpu)
///         };
///         Ok(Batch { inputs: windows(0)?, targets: windows(1)? })
///     }
/// }
///
/// let digits: Vec<u8> = (0..100u8).flat_map(|n| [n / 10, n % 10]).collect();
/// let fingerprint = Fingerprint::of(&digits);
/// let batch = Digits(digits, fingerprint).gather(&[0, 2])?;
/// assert_eq!(batch.targets.to_vec2::<u32>()?, [[0, 0, 1, 0, 2], [1, 0, 2, 0, 3]]);
/// # Ok::<(), DataError>(())
/// ```
pub trait Dataset: Send + Sync {
    /// Returns the number of rows.
    fn len(&self) -> usize;

    /// Whether there are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the form of a row's inputs.
    fn input(&self) -> Input;

    /// Returns the form of the targets.
    fn targets(&self) -> TargetKind;

    /// Returns the identity of the content: a run resumes only on data with the same fingerprint.
    fn fingerprint(&self) -> &Fingerprint;

    /// Returns the names of columns and classes, if they have any.
    fn names(&self) -> Names {
        Names::default()
    }

    /// Returns notes on the interpretation of the data, and likely mistakes in it. A run prints them before it begins.
    fn notices(&self) -> Vec<Notice> {
        Vec::new()
    }

    /// Returns the class of every row, if each row has one and no rows have to be read for it.
    fn labels(&self) -> Option<Vec<u32>> {
        None
    }

    /// Returns the number of bytes of text that each token stands for, if the rows are text whose tokens have them all.
    fn token_bytes(&self) -> Option<Vec<u32>> {
        None
    }

    /// Returns the class that marks positions without a target, if there are any. A run of such data leaves them out of its
    /// loss and its metrics.
    fn ignored(&self) -> Option<u32> {
        None
    }

    /// Returns the token that begins a document, if the documents of a row must be seen apart from each other.
    fn document_start(&self) -> Option<u32> {
        None
    }

    /// Returns the columns of a table with the same value in every row.
    fn constant(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the columns of a table with missing values, and the number of rows without a value.
    fn missing(&self) -> Vec<(String, usize)> {
        Vec::new()
    }

    /// Returns what targets that are values have become; `None` if they are unchanged.
    fn target_scale(&self) -> Option<&TargetScale> {
        None
    }

    /// Returns the shards of the training rows, if reading rows in another order than theirs is slow. An order of such data
    /// keeps rows that are needed together near each other, and batches are always made on other threads.
    fn shards(&self) -> Option<Shards> {
        None
    }

    /// Hears which rows will be needed soon, in the order of reading, so that they can be read in advance.
    fn expect(&self, _rows: &[Range<usize>]) {}

    /// Hears that this process gathers a share of each batch, one of `ranks`, before any rows are gathered. What a row is
    /// must not change.
    fn shared(&mut self, _ranks: usize) {}

    /// Whether the rows are gathered on the run's device. Such a data set is only used from the training thread; for
    /// others, batches may be prefetched on other threads.
    fn is_on_device(&self) -> bool {
        false
    }

    /// Returns the rows with these numbers, in this order: in host memory, from where [`Data`](super::Data) transfers
    /// them to the run's device, or on that device, if the rows are already there.
    ///
    /// # Errors
    /// A row number is not less than [`Dataset::len`], a row cannot be read, or the device fails.
    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError>;
}

/// The rows of one update, or of one step of an evaluation.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[rows, …]`, f32, for inputs that are numbers; `[rows, context]`, u32, for tokens.
    pub inputs: Tensor,
    /// `[rows, width]`, f32, for targets that are values; `[rows]` or `[rows, positions]`, u32, for classes.
    pub targets: Tensor,
}

impl Batch {
    /// Copies the batch to `device`.
    pub(crate) fn on(self, device: &Device) -> candle_core::Result<Self> {
        Ok(Self { inputs: self.inputs.to_device(device)?, targets: self.targets.to_device(device)? })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.inputs.dims().first().copied().unwrap_or(0)
    }

    /// Splits the rows in order into at most `count` batches of equal size, the last one perhaps smaller.
    ///
    /// # Errors
    /// Inputs and targets have different numbers of rows.
    pub fn pieces(&self, count: usize) -> candle_core::Result<Vec<Self>> {
        pieces(self.rows(), count).map(|rows| self.slice(rows)).collect()
    }

    /// Returns these rows.
    pub(crate) fn slice(&self, rows: Range<usize>) -> candle_core::Result<Self> {
        let (start, length) = (rows.start, rows.len());
        Ok(Self { inputs: self.inputs.narrow(0, start, length)?, targets: self.targets.narrow(0, start, length)? })
    }
}

/// Returns the row ranges of at most `count` pieces of a batch of `rows`.
pub(crate) fn pieces(rows: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    let length = rows.div_ceil(count.max(1)).max(1);
    (0..rows).step_by(length).map(move |start| start..(start + length).min(rows))
}

/// A data set of any kind that a configuration can describe: rows, and their saved state.
pub trait Source: Dataset + Stateful + fmt::Debug {}

impl<D: Dataset + Stateful + fmt::Debug> Source for D {}

/// Forwards the methods of a data set to another one.
macro_rules! delegate {
    ($this:ident => $inner:expr) => {
        fn len(&$this) -> usize {
            $inner.len()
        }

        fn input(&$this) -> Input {
            $inner.input()
        }

        fn targets(&$this) -> TargetKind {
            $inner.targets()
        }

        fn fingerprint(&$this) -> &Fingerprint {
            $inner.fingerprint()
        }

        fn names(&$this) -> Names {
            $inner.names()
        }

        fn notices(&$this) -> Vec<Notice> {
            $inner.notices()
        }

        fn labels(&$this) -> Option<Vec<u32>> {
            $inner.labels()
        }

        fn token_bytes(&$this) -> Option<Vec<u32>> {
            $inner.token_bytes()
        }

        fn ignored(&$this) -> Option<u32> {
            $inner.ignored()
        }

        fn document_start(&$this) -> Option<u32> {
            $inner.document_start()
        }

        fn constant(&$this) -> Vec<String> {
            $inner.constant()
        }

        fn missing(&$this) -> Vec<(String, usize)> {
            $inner.missing()
        }

        fn target_scale(&$this) -> Option<&TargetScale> {
            $inner.target_scale()
        }

        fn shards(&$this) -> Option<Shards> {
            $inner.shards()
        }

        fn expect(&$this, rows: &[std::ops::Range<usize>]) {
            $inner.expect(rows);
        }

        fn is_on_device(&$this) -> bool {
            $inner.is_on_device()
        }

        fn gather(&$this, rows: &[usize]) -> Result<Batch, DataError> {
            $inner.gather(rows)
        }
    };
}
pub(super) use delegate;

impl Dataset for Box<dyn Source> {
    delegate!(self => self.as_ref());

    fn shared(&mut self, ranks: usize) {
        self.as_mut().shared(ranks);
    }
}

impl Stateful for Box<dyn Source> {
    fn save(&self) -> Result<State, StateError> {
        self.as_ref().save()
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.as_ref().check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.as_mut().load(state)
    }
}
