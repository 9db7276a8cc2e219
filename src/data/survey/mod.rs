//! Survey of undescribed data: its format, and a summary of its content from its beginning.

mod column;
mod delimiter;
mod folder;
mod table;
mod tensors;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use self::column::ColumnSurvey;
pub(crate) use self::delimiter::lines_above_table;
pub use self::table::TableSurvey;
pub use self::tensors::TensorSurvey;
use super::format_kind::Format;
use super::{DataConfig, DataError, DocumentSurvey, documents, file};

/// The recognized kind of data.
#[derive(Clone, Debug, PartialEq)]
pub enum Survey {
    /// A table.
    Table(TableSurvey),
    /// The tensors of a safetensors file or an `.npz` archive, or those of an `.npy` file and the others in its folder.
    Tensors(Vec<TensorSurvey>),
    /// MNIST's files.
    Idx {
        /// Whether there are validation files besides the training files.
        has_validation: bool,
        /// Number of images, their height and their width.
        shape: [usize; 3],
        /// Number of distinct labels; `None` without a file of labels.
        labels: Option<usize>,
    },
    /// A folder with a subfolder of images per class.
    Images {
        /// The folder of the classes.
        path: PathBuf,
        /// The folder of validation images, with the same classes.
        validation_path: Option<PathBuf>,
        /// The names of the classes.
        classes: Vec<String>,
        /// Number of training files.
        files: usize,
        /// Height and width of the first image.
        sides: [usize; 2],
    },
    /// Documents of JSON Lines.
    Documents(DocumentSurvey),
    /// A text.
    Text {
        /// Number of tokens in the part that was read: characters if it is Unicode, otherwise bytes.
        tokens: usize,
        /// Number of distinct tokens.
        distinct: usize,
        /// Whether the part that was read is Unicode.
        is_unicode: bool,
    },
}

/// Examines the data at `path`; `None` if its format is unknown. In a CSV file, `skip_lines` lines are skipped first.
///
/// # Errors
/// It cannot be read, or its folders of images cannot be used as classes.
pub fn survey(path: &Path, skip_lines: usize) -> Result<Option<Survey>, DataError> {
    let unreadable = |source| DataError::Read { path: path.into(), source };
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        return folder::survey(path);
    }
    file::require_file(path)?;
    let config = DataConfig::new(path);
    Ok(match Format::of(&config) {
        Ok(Format::Csv) => Some(Survey::Table(table::csv(path, skip_lines)?)),
        Ok(Format::Parquet) => Some(Survey::Table(table::parquet(path)?)),
        Ok(Format::Safetensors) => tensors::tensors(path).map_err(unreadable)?.map(Survey::Tensors),
        Ok(Format::Npz) => Some(Survey::Tensors(tensors::arrays(path)?)),
        Ok(Format::Npy) => Some(Survey::Tensors(tensors::files(path)?)),
        Ok(Format::Text) => Some(text(path).map_err(unreadable)?),
        Ok(Format::Jsonl) => Some(Survey::Documents(documents::survey(path)?)),
        Ok(Format::Idx | Format::Images | Format::Custom | Format::Own(_)) | Err(_) => None,
    })
}

/// Describes the content of a folder for a message, with the format that fits; `None` if it is no folder.
pub(super) fn content(path: &Path) -> Option<String> {
    path.is_dir().then(|| folder::content(path))
}

fn text(path: &Path) -> std::io::Result<Survey> {
    const LOOKED_AT: u64 = 1 << 20;
    let mut beginning = Vec::new();
    file::unpacked(path)?.0.take(LOOKED_AT).read_to_end(&mut beginning)?;
    let unicode = match std::str::from_utf8(&beginning) {
        Ok(text) => Some(text),
        // The last character may be incomplete.
        Err(error) if error.error_len().is_none() && beginning.len() as u64 == LOOKED_AT => {
            std::str::from_utf8(&beginning[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    Ok(match unicode {
        Some(text) => {
            let distinct = text.chars().collect::<BTreeSet<char>>().len();
            Survey::Text { tokens: text.chars().count(), distinct, is_unicode: true }
        }
        None => {
            let distinct = beginning.iter().collect::<BTreeSet<&u8>>().len();
            Survey::Text { tokens: beginning.len(), distinct, is_unicode: false }
        }
    })
}
