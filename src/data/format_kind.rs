//! The formats of data: their names, and which options each takes.

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::DatasetSpec;
use crate::registry::Named;

/// A format of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// A columnar table format.
    Parquet,
    /// Named tensors.
    Safetensors,
    /// An array of NumPy, beside another one with the targets.
    Npy,
    /// Named arrays of NumPy.
    Npz,
    /// Images and labels in MNIST's format.
    Idx,
    /// Text, as rows of tokens.
    Text,
    /// Documents, each a line of JSON.
    Jsonl,
    /// A folder with one subfolder of images per class.
    Images,
    /// Rows that the training program passes as a value; there is no `data.path`.
    Custom,
    /// A registered format, by its name.
    #[schemars(skip)]
    Own(&'static str),
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let registered = || <dyn DatasetSpec>::registry().find(&word).map(|kind| Self::Own(kind.name));
        let found = Self::BUILT_IN.into_iter().find(|format| format.word() == word).or_else(registered);
        found.ok_or_else(|| {
            let known = Self::BUILT_IN.map(|format| format!("`{}`", format.word())).join(", ");
            let register = "a user-defined one must be registered first, with rekindle::data::register";
            D::Error::custom(format!("unknown variant `{word}`, expected one of {known}; {register}"))
        })
    }
}

/// Options of CSV.
const CSV: &[&str] = &[
    "header",
    "skip_lines",
    "delimiter",
    "decimal",
    "comment",
    "missing_values",
    "label",
    "task",
    "ignore",
    "categories",
    "encoding",
    "missing",
    "missing_indicator",
    "classes",
    "standardize",
    "target_transform",
    "validation_path",
    "test_path",
];

/// Options of every table format.
const TABLE: &[&str] = CSV.split_at(6).1;

/// Options of named tensors.
const TENSORS: &[&str] = &[
    "inputs",
    "targets",
    "classes",
    "standardize",
    "target_transform",
    "validation_path",
    "test_path",
    "shuffle_window",
];

/// Options of arrays in files.
const NPY: &[&str] = &[
    "targets",
    "classes",
    "standardize",
    "target_transform",
    "validation_path",
    "validation_targets",
    "test_path",
    "test_targets",
    "shuffle_window",
];

/// Options of documents.
const DOCUMENTS: &[&str] = &[
    "text",
    "prompt",
    "answer",
    "messages",
    "template",
    "separator",
    "packing",
    "tokens",
    "tokenizer",
    "context",
    "validation_path",
    "test_path",
    "shuffle_window",
];

/// Options of every format: the place of the data, its split, its order, and changes at every step.
pub(super) const COMMON: [&str; 10] =
    ["path", "format", "validation", "fold", "stratify", "batch_size", "shuffle", "drop_last", "sampling", "augment"];

impl Format {
    /// All formats except registered ones.
    pub(super) const BUILT_IN: [Self; 10] = [
        Self::Csv,
        Self::Parquet,
        Self::Safetensors,
        Self::Npy,
        Self::Npz,
        Self::Idx,
        Self::Text,
        Self::Jsonl,
        Self::Images,
        Self::Custom,
    ];

    /// Returns its word in a configuration.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Safetensors => "safetensors",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Idx => "idx",
            Self::Text => "text",
            Self::Jsonl => "jsonl",
            Self::Images => "images",
            Self::Custom => "custom",
            Self::Own(name) => name,
        }
    }

    /// Returns its name for a message.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
            Self::Safetensors => "safetensors",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Idx => "IDX",
            Self::Text => "text",
            Self::Jsonl => "JSON Lines",
            Self::Images => "images",
            Self::Custom => "custom data",
            Self::Own(name) => name,
        }
    }

    /// Returns its options besides the [`COMMON`] ones.
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Csv => CSV,
            // A Parquet file contains column names and missing values.
            Self::Parquet => TABLE,
            Self::Npy => NPY,
            Self::Npz | Self::Safetensors => TENSORS,
            Self::Idx => {
                &["images", "labels", "validation_images", "validation_labels", "test_images", "test_labels", "classes"]
            }
            Self::Text => {
                &["tokens", "tokenizer", "context", "cache", "validation_path", "test_path", "shuffle_window"]
            }
            Self::Jsonl => DOCUMENTS,
            Self::Images => &["validation_path", "test_path", "channels", "resize", "crop", "skip_bad", "check_images"],
            // Settings of a registered format are checked when they are read.
            Self::Custom | Self::Own(_) => &[],
        }
    }
}
