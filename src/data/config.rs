//! Options of data: one flat table, from which every format takes its own options.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::delimiter::{CommentMark, Delimiter};
use super::format_kind::Format;
use super::options::{
    CategoryEncoding, Channels, Decimal, Label, MISSING_VALUES, Missing, RowPacking, TargetColumns, Task, TokenKind,
    missing_values, missing_values_schema,
};
use super::shaping::{Crop, Resize, Shaping};
use super::written::{is_nowhere, path_schema};
use super::{Augment, BatchSize, DataError, DatasetSpec, Fold, LastBatch, Paths, Sampling, TargetTransform};
use crate::registry::Chosen;

/// The `[data]` table of a configuration, as written. Missing options have the defaults given here; an option that does
/// not apply to the format is refused.
///
/// The settings of a registered format are in the same table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[non_exhaustive]
pub struct DataConfig {
    /// The file, plain, gzip or zstd; for IDX and images the folder of the files. Tables, tensors, text
    /// and JSON Lines may be in several files: a list, or a pattern such as "part-*.csv", whose files are in the order of
    /// their names. Custom data may have none.
    #[serde(skip_serializing_if = "is_nowhere")]
    #[schemars(schema_with = "path_schema")]
    pub path: PathBuf,
    /// The other paths, if `path` is a list.
    #[serde(skip)]
    #[schemars(skip)]
    pub more_paths: Vec<PathBuf>,
    /// The format; left out, it follows from the ending of the file's name, ignoring `.gz`
    /// and `.zst`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// CSV: whether the first line names the columns. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// CSV: number of lines to skip before the header or the first row. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_lines: Option<usize>,
    /// CSV: the character between columns, such as ",", ";" or "\t" (a tab). Default the one that divides the first
    /// lines alike: a comma, or a tab if the name of the file ends in `.tsv`, before others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<Delimiter>,
    /// CSV: the decimal mark of numbers, "." or ",". Default a comma if numbers in the first lines have one, otherwise a
    /// point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,
    /// CSV: the character at the beginning of lines that are comments, such as "#". Default none, or the one that the
    /// first lines show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<CommentMark>,
    /// Tables: the target column, or a list of several: labels of 0 and 1, or with `task = "regression"` values. Default -1,
    /// the last column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<TargetColumns>,
    /// Tables: whether the label is a class or a value. Default classification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Tables: columns to ignore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Vec<Label>>,
    /// Tables: columns of categories that look like numbers. A column whose first value is not a number is one of
    /// categories in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<Label>>,
    /// Tables: conversion of categories to numbers, "one_hot" or "ordinal". Default "one_hot".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<CategoryEncoding>,
    /// Tables: treatment of missing values: "error", "mean", "median" or "zero". Default "error".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// CSV: the text of missing values, or "pandas" for the words of that library. Default an empty field, `NA`, `N/A`,
    /// `NaN`, `nan`, `null`, `NULL`, `None` and `?`. Numbers are compared as numbers: `-999` is also `-999.0`, except in
    /// columns of `categories`. A label that is one of them is an error.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "missing_values")]
    #[schemars(schema_with = "missing_values_schema")]
    pub missing_values: Option<Vec<String>>,
    /// Tables: whether a number column with missing values gets a second column that marks them. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_indicator: Option<bool>,
    /// safetensors and npz: the name of the inputs, numbers of shape `[rows, …]`. Default "x".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// Tensors: the name of the targets; for npy the name of their file, in the folder of `path`, where a `*` stands for
    /// the same text as in `path`. Floats `[rows]` or `[rows, width]` are values; whole numbers or BOOL, `[rows]` or
    /// `[rows, 1]`, are classes. Default "y", for npy "y.npy".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// IDX: the file of images in the folder. Default "train-images-idx3-ubyte", with "t10k-images-idx3-ubyte" for
    /// validation if that exists. Each may be a gzip file, with `.gz` after its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// IDX: the file of labels in the folder. Default "train-labels-idx1-ubyte".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// IDX: a file of validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_images: Option<PathBuf>,
    /// IDX: the labels of the validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_labels: Option<PathBuf>,
    /// IDX: a file of test images, which are evaluated once, after the last update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_images: Option<PathBuf>,
    /// IDX: the labels of the test images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<PathBuf>,
    /// Text: the kind of token, "characters" or "bytes". Default "characters".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenKind>,
    /// Text: a `tokenizer.json` to use instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Text: number of tokens in a row. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<NonZeroUsize>,
    /// Text: the folder for cached tokens. Default `rekindle` in the user's cache folder: `$XDG_CACHE_HOME`, or
    /// `~/.cache`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Documents: the field of a text, by default "text".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Documents: the field of a prompt, which is not learned, where records are pairs; by default "prompt".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Documents: the field of the answer to learn, where records are pairs; by default "answer".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Documents: the field of a list of messages, where records are chats; what the assistant says is learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<String>,
    /// Documents: the text of a pair, with its fields in braces, by default prompt and answer in two lines; or of each
    /// message of a chat, with {role} and {content}, by default as in ChatML. The answer, or the content, is learned with
    /// all that follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Documents: the token between two of them. Default the tokenizer's own; for characters and bytes "\u0000".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Documents: how they share rows: "none", "rows" or "documents". By default "rows" for texts, and
    /// "documents" for pairs and chats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packing: Option<RowPacking>,
    /// Folders of images: 1 converts them to grey, 3 to colour. Default unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Folders of images: the size that images are resized to, the length of the shorter side or [height, width], with
    /// the bilinear filter of Pillow. Default unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Folders of images: the part in the middle that is kept, after resizing: the length of both sides, or [height,
    /// width]. Default the whole image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// Folders of images: whether images that cannot be read are skipped. They are reported, and listed in the
    /// checkpoints. It can be set to true on a resume: then each is replaced by another image. Default false: an image
    /// that cannot be read is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_bad: Option<bool>,
    /// Folders of images: whether each image is decoded once before the run begins, so that all unreadable ones are
    /// reported then. Default true up to a total of 1 GiB; otherwise a bad image is found when its batch is prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_images: Option<bool>,
    /// Number of classes. Default: one more than the largest label, or the number of class names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<NonZeroUsize>,
    /// Whether every feature except categories gets mean 0 and deviation 1. Default true for tables, false for
    /// tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standardize: Option<bool>,
    /// Targets that are values: "standardize" (mean 0 and deviation 1 over the training rows), "log" or "log1p". Metrics and
    /// predictions are of the values themselves, the loss of what they become. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_transform: Option<TargetTransform>,
    /// The share of the rows that is set aside for validation, in `[0, 1)`; for a text, its last part. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub validation: f64,
    /// The validation rows in separate files, instead of a share of the others; as `path`, with the same columns
    /// or classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_path: Option<Paths>,
    /// Rows that are evaluated once, after the last update; as `path`, with the same columns
    /// or classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_path: Option<Paths>,
    /// npy: the name of the file of the validation targets, in the folder of `validation_path`. Default that of `targets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_targets: Option<String>,
    /// npy: the name of the file of the test targets, in the folder of `test_path`. Default that of `targets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_targets: Option<String>,
    /// A fold of a cross-validation, such as "2/5", instead of a share: the second of five disjoint parts of the rows is set
    /// aside for validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// Whether a share or a fold that is set aside has each class in the proportion of all rows, as far as whole rows can;
    /// by default not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stratify: Option<bool>,
    /// Rows per update, or "all". Default 32.
    #[serde(default = "default_batch_size")]
    pub batch_size: BatchSize,
    /// Whether each epoch has a different order. Default true; false if a batch is all rows, because then the order
    /// would only change the rounding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<bool>,
    /// safetensors, npy, npz, text and documents that are larger than memory: the number of rows that are shuffled together and
    /// read in advance, while the run trains. In object storage by default 10000; otherwise all rows are in memory by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle_window: Option<NonZeroUsize>,
    /// Whether a last batch that is not full is dropped. Default false.
    #[serde(default)]
    pub drop_last: bool,
    /// Draws training rows at random with replacement, as many an epoch as there are rows, instead of each once:
    /// "balanced", each class as often as any other, or a list with a weight for the rows of each class. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    /// Random changes at every step: of images, and mixing of rows. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
    /// A registered format, with its settings.
    #[serde(skip)]
    #[schemars(skip)]
    pub own: Option<Chosen<dyn DatasetSpec>>,
}

fn default_batch_size() -> BatchSize {
    BatchSize::Rows(NonZeroUsize::MIN.saturating_add(31))
}

impl DataConfig {
    /// The words for missing values if a configuration gives none.
    pub const MISSING_VALUES: [&str; 9] = MISSING_VALUES;

    /// The options that are paths, and do not describe the data.
    pub const PATHS: [&str; 5] = ["path", "tokenizer", "cache", "validation_path", "test_path"];

    /// Creates the defaults for the file or folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            more_paths: Vec::new(),
            format: None,
            header: None,
            skip_lines: None,
            delimiter: None,
            decimal: None,
            comment: None,
            label: None,
            task: None,
            ignore: None,
            categories: None,
            encoding: None,
            missing: None,
            missing_values: None,
            missing_indicator: None,
            inputs: None,
            targets: None,
            images: None,
            labels: None,
            validation_images: None,
            validation_labels: None,
            test_images: None,
            test_labels: None,
            tokens: None,
            tokenizer: None,
            context: None,
            cache: None,
            text: None,
            prompt: None,
            answer: None,
            messages: None,
            template: None,
            separator: None,
            packing: None,
            channels: None,
            resize: None,
            crop: None,
            skip_bad: None,
            check_images: None,
            classes: None,
            standardize: None,
            target_transform: None,
            validation: 0.0,
            validation_path: None,
            test_path: None,
            validation_targets: None,
            test_targets: None,
            fold: None,
            stratify: None,
            batch_size: default_batch_size(),
            shuffle: None,
            shuffle_window: None,
            drop_last: false,
            sampling: None,
            augment: None,
            own: None,
        }
    }

    /// Checks the settings of a registered format.
    ///
    /// # Errors
    /// The setting and its value.
    pub fn validate(&self) -> Result<(), DataError> {
        self.own.as_ref().map_or(Ok(()), |own| own.get().validate())
    }

    /// Returns the values of [`DataConfig::PATHS`] that are given.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let others = [&mut self.tokenizer, &mut self.cache];
        let lists = [&mut self.validation_path, &mut self.test_path];
        let path = Some(&mut self.path).filter(|path| !is_nowhere(path));
        let several = lists.into_iter().flatten().flat_map(Paths::iter_mut).chain(&mut self.more_paths);
        path.into_iter().chain(others.into_iter().flatten()).chain(several)
    }

    /// Returns the paths of the data: one, or those of a list.
    pub fn paths(&self) -> Paths {
        Paths::of(&self.path, &self.more_paths)
    }

    /// Whether a row has several labels, each 0 or 1.
    pub(crate) fn has_labels(&self) -> bool {
        matches!(self.label, Some(TargetColumns::Several(_))) && self.task != Some(Task::Regression)
    }

    /// Returns the same options without files for validation and test.
    pub(super) fn training(&self) -> Self {
        let (validation_path, test_path) = (None, None);
        let (validation_targets, test_targets) = (None, None);
        Self { validation_path, test_path, validation_targets, test_targets, ..self.clone() }
    }

    /// Returns the same options for the file at `path` alone, without those that choose rows for validation and test.
    pub(super) fn at(&self, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), more_paths: Vec::new(), fold: None, stratify: None, ..self.training() }
    }

    /// Returns the treatment of a last batch that is not full.
    pub(super) fn last_batch(&self) -> LastBatch {
        if self.drop_last { LastBatch::Drop } else { LastBatch::Keep }
    }

    /// Returns how images are brought to one size.
    pub(super) fn shaping(&self) -> Shaping {
        Shaping { resize: self.resize, crop: self.crop }
    }

    /// Returns the character between the columns of a CSV file.
    pub(super) fn delimiter(&self) -> Delimiter {
        self.delimiter.unwrap_or_else(|| Delimiter::usual(&self.path))
    }

    /// Returns the run's seed if the order is shuffled.
    pub(super) fn shuffle_seed(&self, seed: u64) -> Option<u64> {
        self.shuffle.unwrap_or(self.batch_size != BatchSize::All).then_some(seed)
    }
}

#[cfg(test)]
mod tests;
