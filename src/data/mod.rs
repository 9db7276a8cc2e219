//! Data: the training data of a run, and the rows that each step sees.
//!
//! Nothing here has a position. The batch of a step is computed from the step, so a resumed run continues inside an
//! epoch without skipping through earlier batches. Two things are saved: the state computed from the training rows,
//! such as the statistics of standardization, and a fingerprint, by which a resume refuses other content.
//!
//! Read in this order:
//! 1. `order.rs`: which rows batch number `step` holds; `shard_order.rs`: if they are in shards.
//! 2. `split.rs`: which rows are for training, for validation and for a test; `fold.rs`: folds of a cross-validation;
//!    `strata.rs`: each class in proportion.
//! 3. `dataset.rs`: the trait of data sets, for your own; `own.rs`: registration by name.
//! 4. `config.rs`: the options of data; `options.rs`: their words; `written.rs`, `paths.rs`: their form in a file;
//!    `format_kind.rs`: the options of each format; `settled.rs`: options that the file itself shows; `format.rs`: its reader;
//!    `files.rs`: the files of training, validation and test; `file.rs`, `packing.rs`, `gunzip.rs` and `unzstd.rs`: a file,
//!    decompressed.
//! 5. `table.rs`: a table in memory, from the records of `csv.rs` (`quotes.rs`, `first_lines.rs`) or `parquet.rs` in one file
//!    or several (`tables.rs`, `records.rs`, `value.rs`, `moments.rs`, `columns.rs`, `frame.rs`,
//!    `builder.rs`, `block.rs`, `words.rs`, `lists.rs`, `labels.rs`;
//!    `encoding.rs`: conversion of columns to numbers) or `tensors` (`rows.rs`, `integers.rs`); `standardize.rs`: mean 0 and
//!    deviation 1; `target_scale.rs`: transformed targets. `classes.rs`, `remarks.rs`, `looks.rs` and `rounding.rs`: likely
//!    mistakes.
//! 6. `images.rs`: images in memory, from `idx.rs` (`idx_file.rs`). `folder`: images in files, each a
//!    `picture.rs` (`pixels.rs`, `shaping.rs`);
//!    `augment`: random changes at each step. `text`: tokens; `documents`: those of JSON Lines. `class_counts.rs`: the rows of each class, `sampling.rs`:
//!    rows drawn by the weights of their classes. `stream`: data larger than memory, in shards; `processes.rs`: counting them
//!    together.
//! 7. `feed.rs`: the data of a training loop, which combines all of these in `batches.rs`; `prefetcher.rs`: batches made in advance.
//!    `batch_sizes.rs`, `epochs.rs`: the batch sizes of a run that was resumed with others, and the epochs by them.
//! 8. `schema.rs`: the form of rows, saved in a checkpoint; `reader`: other rows, for a trained model.
//! 9. `error`: all errors of data.

mod augment;
mod batch_sizes;
mod batches;
mod block;
mod builder;
mod class_counts;
mod classes;
mod columns;
mod config;
mod csv;
mod dataset;
mod defaults;
mod delimiter;
mod delivery;
mod digits;
mod documents;
mod encoding;
mod epochs;
mod error;
mod feed;
mod file;
mod files;
mod first_lines;
mod fold;
mod folder;
mod format;
mod format_kind;
mod frame;
mod gunzip;
mod idx;
mod idx_file;
mod images;
mod integers;
mod labels;
mod lists;
mod looks;
mod missing;
#[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "a text file has no such numbers"))]
mod moments;
mod options;
mod order;
mod others;
mod own;
mod packing;
#[cfg(feature = "parquet")]
mod parquet;
mod paths;
mod picture;
#[cfg_attr(not(feature = "images"), path = "pixels_absent.rs")]
mod pixels;
mod prefetcher;
#[cfg(feature = "peers")]
mod preparation;
mod processes;
mod quotes;
mod reader;
mod recalled;
mod records;
mod remarks;
mod rounding;
mod rows;
mod sampling;
mod schema;
mod settled;
mod shaping;
mod shard_order;
mod size;
mod split;
mod standardize;
mod strata;
mod stream;
mod survey;
mod table;
mod tables;
mod target_scale;
mod tensors;
mod text;
mod unzstd;
mod value;
mod whole;
mod words;
mod written;

pub use crate::loss::TargetKind;
pub use crate::model::{EVALUATION_ROWS, Input};
pub use augment::{Augment, Colour, Erase, Mix, Normalize, Probability, RandomCrop, Rotate};
pub(crate) use batch_sizes::BatchSizes;
pub(crate) use batches::Share;
pub(crate) use class_counts::class_counts;
pub use config::DataConfig;
pub(crate) use dataset::pieces;
pub use dataset::{Batch, Dataset, Source};
pub use delimiter::{CommentMark, Delimiter};
pub use documents::{DocumentSurvey, Prompt, PromptForm, Prompts};
pub(crate) use documents::{ScoredTexts, ScoredTokens};
pub(crate) use epochs::Epochs;
pub use error::{
    DataError, EncodingError, FilesError, IdxError, ImageError, Problem, StreamError, TableError, TensorError,
    TextError, Unknown,
};
pub use feed::Data;
pub use file::Fingerprint;
pub(crate) use files::files_at;
#[cfg(feature = "cli")]
pub(crate) use files::places;
pub use fold::Fold;
pub use folder::ImageFolder;
pub(crate) use format::open_text;
pub use format_kind::Format;
pub use images::Images;
pub use options::{CategoryEncoding, Channels, Decimal, Label, Missing, RowPacking, TargetColumns, Task, TokenKind};
pub use order::{BatchSize, LastBatch, Order};
pub use own::{DatasetSpec, Stateless, register};
pub use paths::Paths;
#[cfg(feature = "peers")]
pub(crate) use preparation::Preparation;
pub(crate) use processes::Processes;
pub(crate) use reader::lines_before_rows;
pub use reader::{ReadRows, RowReader};
pub(crate) use recalled::Recalled;
pub use rows::{Rows, Targets};
pub use sampling::Sampling;
pub use schema::{Columns, Names, Schema};
pub use shaping::{Crop, Resize, Side};
pub use shard_order::Shards;
pub use size::Size;
pub use split::{RowSet, Split};
pub use standardize::Statistics;
pub(crate) use survey::lines_above_table;
pub use survey::{ColumnSurvey, Survey, TableSurvey, TensorSurvey, survey};
pub use table::Table;
pub use target_scale::{TargetScale, TargetTransform};
pub use text::{Text, Vocabulary};
