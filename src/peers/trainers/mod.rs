//! Trainers, one file each: what a file or folder holds becomes a [`Peer`].

mod accelerate;
mod budget;
#[cfg(test)]
mod case_folders;
#[cfg(test)]
mod cases;
mod composer;
mod dcp;
mod deepspeed;
mod fastai;
mod flax;
mod folder;
mod ignite;
mod ignite_schedule;
mod keras;
#[cfg(test)]
mod layouts;
mod lightning;
mod loss_scale;
mod models;
mod nanogpt;
mod optax;
mod orbax;
#[cfg(test)]
mod perceptron;
mod progress;
#[cfg(test)]
mod random;
mod safetensors;
mod settings;
mod sniff;
mod state_dict;
mod survey;
#[cfg(test)]
mod testing;
mod timm;
mod torch;
mod torch_class;
mod torch_optimizer;
mod torch_schedule;
mod transformers;
mod transformers_args;

use std::fs;
use std::path::{Path, PathBuf};

use super::error::PeerError;
use super::formats::json;
use super::peer::Peer;
use super::tree::{Ref, Tree};

/// A file or folder that was opened, before it is known who wrote it.
#[derive(Debug)]
pub struct Found {
    /// The path as it was given.
    pub path: PathBuf,
    /// Its content.
    pub content: Content,
}

/// The content of a file or folder.
#[derive(Debug)]
pub enum Content {
    /// A folder, with the names in it, sorted.
    Folder(Vec<String>),
    /// A file of `torch.save`.
    Torch {
        /// Its objects.
        tree: Tree,
        /// The format in words.
        format: &'static str,
    },
    /// A file of another format, by its first bytes; the trainer opens it.
    Other(OtherFormat),
}

/// Formats that are not of PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherFormat {
    /// HDF5: `.weights.h5`.
    Hdf5,
    /// A zip that is not of PyTorch: `.keras`.
    Zip,
    /// MessagePack.
    MessagePack,
    /// safetensors.
    Safetensors,
}

/// A trainer that may have written what was found.
struct Reader {
    /// Whether it has written this.
    recognizes: fn(&Found) -> bool,
    /// Describes the run.
    read: fn(&Found) -> Result<Peer, PeerError>,
}

/// All trainers. The first that recognizes a file reads it, so that the special come before the general.
const READERS: &[Reader] = &[
    Reader { recognizes: deepspeed::recognizes, read: deepspeed::read },
    Reader { recognizes: dcp::recognizes, read: dcp::read },
    Reader { recognizes: composer::recognizes, read: composer::read },
    Reader { recognizes: lightning::recognizes, read: lightning::read },
    Reader { recognizes: timm::recognizes, read: timm::read },
    Reader { recognizes: nanogpt::recognizes, read: nanogpt::read },
    Reader { recognizes: fastai::recognizes, read: fastai::read },
    Reader { recognizes: ignite::recognizes, read: ignite::read },
    Reader { recognizes: accelerate::recognizes, read: accelerate::read },
    Reader { recognizes: transformers::recognizes, read: transformers::read },
    Reader { recognizes: flax::recognizes, read: flax::read },
    Reader { recognizes: orbax::recognizes, read: orbax::read },
    Reader { recognizes: keras::recognizes, read: keras::read },
    Reader { recognizes: safetensors::recognizes, read: safetensors::read },
    Reader { recognizes: torch::recognizes, read: torch::read },
];

/// Opens a checkpoint of any trainer.
///
/// # Errors
/// Nothing is there, it is damaged, it holds something that is not read, or nobody known writes such a thing.
pub fn open(path: &Path) -> Result<Peer, PeerError> {
    let found = find(path)?;
    match READERS.iter().find(|reader| (reader.recognizes)(&found)) {
        Some(reader) => (reader.read)(&found),
        None => Err(PeerError::unknown(path, "no known trainer writes such a file or folder")),
    }
}

fn find(path: &Path) -> Result<Found, PeerError> {
    let metadata = fs::metadata(path).map_err(|error| PeerError::io(path, error))?;
    if !metadata.is_dir() {
        return Ok(Found { path: path.to_owned(), content: sniff::content(path)? });
    }
    let names = names(path)?;
    if names.iter().any(|name| name == "manifest.json") && is_ours(&path.join("manifest.json")) {
        return Err(PeerError::unknown(path, "this is a checkpoint of Rekindle itself, and of no other trainer"));
    }
    Ok(Found { path: path.to_owned(), content: Content::Folder(names) })
}

/// Returns the names in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>, PeerError> {
    let names = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect());
    let mut names: Vec<String> = names.map_err(|error| PeerError::io(folder, error))?;
    names.sort_unstable();
    Ok(names)
}

fn is_ours(manifest: &Path) -> bool {
    json::read(manifest).is_ok_and(|tree| tree.root().get("format").and_then(Ref::text) == Some("rekindle.checkpoint"))
}
