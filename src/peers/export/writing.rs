//! Files of an export, each of which appears only when it is complete, and what is told about them.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use serde_json::Value;

use super::error::ExportError;
use crate::atomic_file::AtomicFile;
use crate::peers::write::{Item, torch_zip};
use crate::state::HostTensor;

/// An export that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    place: PathBuf,
    pub files: Vec<PathBuf>,
    pub lines: Vec<String>,
    pub notes: Vec<String>,
}

impl Writing {
    /// Begins an export at a place where nothing is.
    ///
    /// # Errors
    /// Something is there.
    pub fn at(place: &Path) -> Result<Self, ExportError> {
        if place.symlink_metadata().is_ok() {
            return Err(ExportError::Occupied(place.to_owned()));
        }
        Ok(Self { place: place.to_owned(), files: Vec::new(), lines: Vec::new(), notes: Vec::new() })
    }

    /// Removes what was written, because the rest cannot be.
    pub fn undo(&self) {
        for file in &self.files {
            // The error of the write is more helpful than one of tidying up after it.
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_dir(&self.place);
    }

    /// Returns the file or folder that was asked for.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Creates a folder.
    pub fn folder(&mut self, path: &Path) -> Result<(), ExportError> {
        fs::create_dir_all(path).map_err(|source| ExportError::Write { path: path.to_owned(), source })
    }

    /// Writes a file of `torch.save`. The folder in it has the name of the file, as PyTorch's has.
    pub fn torch(&mut self, path: &Path, item: &Item<'_>) -> Result<(), ExportError> {
        let stem = path.file_stem().map_or_else(|| "archive".into(), |stem| stem.to_string_lossy());
        self.file(path, |out| torch_zip::write(item, &stem, out))
    }

    /// Writes a file of JSON.
    pub fn json(&mut self, path: &Path, value: &Value) -> Result<(), ExportError> {
        self.file(path, |out| {
            serde_json::to_writer_pretty(&mut *out, value)?;
            out.write_all(b"\n")
        })
    }

    /// Writes tensors as safetensors, with the mark that transformers looks for.
    pub fn safetensors(&mut self, path: &Path, tensors: &[(&str, &HostTensor)]) -> Result<(), ExportError> {
        let failed = |source| ExportError::Write { path: path.to_owned(), source };
        let views =
            tensors.iter().map(|(name, tensor)| view(name, tensor)).collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let bytes = safetensors::serialize(views, Some([("format".to_owned(), "pt".to_owned())].into()));
        let bytes = bytes.map_err(io::Error::other).map_err(failed)?;
        self.file(path, |out| out.write_all(&bytes))
    }

    /// Writes a file by `write`.
    pub fn file(
        &mut self,
        path: &Path,
        write: impl FnOnce(&mut BufWriter<AtomicFile>) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let whole = || {
            let mut out = BufWriter::with_capacity(1 << 20, AtomicFile::create(path)?);
            write(&mut out)?;
            out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
        };
        whole().map_err(|source| ExportError::Write { path: path.to_owned(), source })?;
        self.files.push(path.to_owned());
        Ok(())
    }
}

fn view<'a>(name: &str, tensor: &'a HostTensor) -> io::Result<(String, TensorView<'a>)> {
    let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
    view.map(|view| (name.to_owned(), view)).map_err(io::Error::other)
}
