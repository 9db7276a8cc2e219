//! Errors of shards.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::store;

/// Errors of shards in object storage or on the local disk.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A format that is not read in shards.
    #[error(
        "{path} is in object storage, or has a `data.shuffle_window`; safetensors, npy, npz, JSON Lines and text are read in such \
         shards, and {format} is not; fetch the files, or write them as safetensors"
    )]
    Format {
        /// The path.
        path: PathBuf,
        /// The format.
        format: &'static str,
    },
    /// Some files are on the local disk.
    #[error(
        "`data.{option}`: {path} is on the local disk, and other rows of the run are in object storage; put them all in \
         one of the two"
    )]
    Mixed {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// An option that needs all rows before the run begins.
    #[error(
        "`data.{option}` needs all rows before a run begins, and shards are read when they are needed; \
         remove it (validation rows can be in shards named by `data.validation_path`)"
    )]
    Meaningless {
        /// The option.
        option: &'static str,
    },
    /// The number of classes is not given.
    #[error(
        "`data.classes` is missing: the number of classes, since the labels in shards are not read before a run begins"
    )]
    NoClasses,
    /// Characters as tokens.
    #[error(
        "the characters of text in shards are not known before a run begins; set `data.tokens = \"bytes\"`, or \
         `data.tokenizer` to a `tokenizer.json`"
    )]
    Characters,
    /// A shard of text is packed.
    #[error("{path} is a {kind} file, and parts of shards are read as they are; unpack it")]
    Packed {
        /// The shard.
        path: PathBuf,
        /// How it is packed.
        kind: &'static str,
    },
    /// A block has another number of rows than were counted when the run began.
    #[error(
        "{path}, from byte {byte} on: there are {found} rows of tokens, and there were {counted} when the run began; \
         begin a new run"
    )]
    Recounted {
        /// The shard.
        path: PathBuf,
        /// Where the block begins.
        byte: u64,
        /// The number of rows.
        found: usize,
        /// The number of rows then.
        counted: usize,
    },
    /// A shard cannot be read.
    #[error("cannot read {path}: {source}{}", store::remedy(source))]
    Read {
        /// The shard.
        path: PathBuf,
        /// The error of the store, after its retries.
        source: io::Error,
    },
    /// A shard does not exist.
    #[error("{path} is missing; put it back, or correct the path")]
    Missing {
        /// The shard.
        path: PathBuf,
    },
    /// A shard of the checkpoint's run does not exist.
    #[error("the shard {name} that the run began with is not among those of {path}; put it back")]
    Gone {
        /// Its name.
        name: String,
        /// `data.path`.
        path: PathBuf,
    },
    /// The checkpoint's run has no such shard.
    #[error("{path} is not among the shards that the run began with; move it away, or begin a new run")]
    New {
        /// The shard.
        path: PathBuf,
    },
    /// A shard has other content.
    #[error(
        "{path} has changed since the run began: it was {was}, and is {now}; put the old shard back, or begin a new run, \
         with the weights of this one if you like: `train CONFIG --init-from RUN`"
    )]
    Changed {
        /// The shard.
        path: PathBuf,
        /// Its identity then.
        was: String,
        /// Its identity now.
        now: String,
    },
}
