//! A first configuration for data of a person's own: what seems to be in it, with a comment at every line that says
//! what it is and what else there is.

mod lines;
mod table;
mod tensors;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::data::{DataError, Survey, survey};
use lines::Lines;

/// Why there is no configuration for data.
#[derive(Debug, Error)]
pub enum StarterError {
    /// It cannot be read.
    #[error(transparent)]
    Data(Box<DataError>),
    /// It is no format that is known.
    #[error(
        "{path} is nothing that can be learned from: give a table (`.csv`, `.parquet`), tensors (`.safetensors`), a text \
         (`.txt`), each with `.gz` or without, a folder with MNIST's files, or a folder that has a folder of PNG or JPEG \
         files for each class"
    )]
    Unknown {
        /// The file or folder.
        path: PathBuf,
    },
    /// Nothing in it can be the target, or nothing else can be learned from.
    #[error("{path}: {reason}")]
    NoTarget {
        /// The file.
        path: PathBuf,
        /// The part that is missing.
        reason: String,
    },
}

impl From<DataError> for StarterError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

/// The text of a configuration for the data at `data`, which the file names `written`, its path from there.
///
/// # Errors
/// When the data cannot be read, or is nothing that a run can learn from.
pub fn configuration(data: &Path, written: &Path) -> Result<String, StarterError> {
    let survey = survey(data)?.ok_or_else(|| StarterError::Unknown { path: data.into() })?;
    let mut lines = Lines::new();
    let length = match &survey {
        Survey::Table(table) => table::describe(&mut lines, table, data, written)?,
        Survey::Tensors(tensors) => tensors::describe(&mut lines, tensors, data, written)?,
        Survey::Idx { has_validation, shape } => idx(&mut lines, written, *has_validation, *shape),
        Survey::Images { path, validation_path, files, sides } => {
            let from_there = |path: &Path| match path.strip_prefix(data) {
                Ok(inner) if inner != Path::new("") => written.join(inner),
                _ => written.to_owned(),
            };
            let validation = validation_path.as_deref().map(from_there);
            images(&mut lines, &from_there(path), validation.as_deref(), *files, *sides)
        }
        Survey::Text { bytes, is_unicode } => text(&mut lines, written, *bytes, *is_unicode),
    };
    lines.training(&length);
    Ok(lines.into_text())
}

fn idx(lines: &mut Lines, path: &Path, has_validation: bool, [count, height, width]: [usize; 3]) -> lines::Length {
    lines.table("data", "What to learn from.");
    lines.path("path", path, "The folder of the files, relative to this one.");
    lines.value("format", "\"idx\"", "MNIST's format. Another name of a file is said by `images` and `labels`.");
    if !has_validation {
        lines.validation(count);
    }
    let length = lines::Length::of_rows(count, 64);
    lines.batch_size(&length);
    lines.convnet([height, width]);
    length
}

fn images(lines: &mut Lines, path: &Path, validation: Option<&Path>, files: usize, sides: [usize; 2]) -> lines::Length {
    lines.table("data", "What to learn from.");
    lines.path("path", path, "The folder that has a folder of images for each class, relative to this file.");
    lines.value("format", "\"images\"", "A folder of images for each class.");
    match validation {
        Some(path) => lines.path("validation_path", path, "The folder of those for validation, with the same classes."),
        None => lines.validation(files),
    }
    let length = lines::Length::of_rows(files, 32);
    lines.batch_size(&length);
    lines.convnet(sides);
    length
}

fn text(lines: &mut Lines, path: &Path, bytes: usize, is_unicode: bool) -> lines::Length {
    // A tenth of the text is for validation, and has to hold a row.
    let context = (bytes / 40).clamp(1, 64);
    lines.table("data", "What to learn from.");
    lines.path("path", path, "The text, relative to this file.");
    lines.value("format", "\"text\"", "A text, as rows of tokens.");
    let tokens = if is_unicode { "\"characters\"" } else { "\"bytes\"" };
    lines.value(
        "tokens",
        tokens,
        "What a token is: \"characters\" or \"bytes\"; or `tokenizer = \"tokenizer.json\"` instead.",
    );
    lines.value("context", &context.to_string(), "How many tokens a row holds: how far back the model can see.");
    lines.value("validation", "0.1", "The last part of the text, on which nothing is trained; 0 for none.");
    let length = lines::Length { batch_size: 12, epochs: None, steps: 2000, clip_norm: true };
    lines.batch_size(&length);
    lines.table("model", "What learns: a decoder of tokens.");
    lines.value("kind", "\"gpt\"", "For tokens there is \"gpt\".");
    lines.value("layers", "4", "Blocks, one after the other.");
    lines.value("heads", "4", "Heads of attention in each block; they divide the width.");
    lines.value("width", "128", "Numbers that stand for a token. More learn more, and take longer.");
    lines.value(
        "dropout",
        "0.0",
        "Share that is dropped in training, from 0 to below 1; 0.1 or 0.2 where the text is short.",
    );
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_data_is_told_what_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let message = configuration(folder.path(), Path::new("data")).unwrap_err().to_string();
        assert!(message.contains("a folder of PNG or JPEG files for each class"), "{message}");
    }
}
