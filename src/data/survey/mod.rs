//! A first look at data that nobody has described yet: which format it has, and, as far as a look at its beginning
//! tells, what is in it.

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
use super::{DataConfig, DataError, file};

/// The kind of data that was recognized.
#[derive(Clone, Debug, PartialEq)]
pub enum Survey {
    /// A table.
    Table(TableSurvey),
    /// The tensors of a safetensors file.
    Tensors(Vec<TensorSurvey>),
    /// MNIST's files.
    Idx {
        /// Whether there are files for validation beside those to train on.
        has_validation: bool,
        /// How many images there are, and their height and width.
        shape: [usize; 3],
        /// How many different labels there are; none where there is no file of labels.
        labels: Option<usize>,
    },
    /// A folder of images for each class.
    Images {
        /// The folder of the classes.
        path: PathBuf,
        /// The folder of those for validation, with the same classes.
        validation_path: Option<PathBuf>,
        /// The names of the classes.
        classes: Vec<String>,
        /// How many files there are to train on.
        files: usize,
        /// Height and width of the first image.
        sides: [usize; 2],
    },
    /// A text.
    Text {
        /// How many tokens it has, as far as it was read: characters where it is Unicode, else bytes.
        tokens: usize,
        /// How many different ones.
        distinct: usize,
        /// Whether it is Unicode as far as it was read.
        is_unicode: bool,
    },
}

/// Looks at the data at `path`; none where it is no format that is known. Of a CSV file, `skip_lines` lines are passed
/// over first.
///
/// # Errors
/// When it cannot be read, or its folders of images are no classes to learn.
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
        Ok(Format::Text) => Some(text(path).map_err(unreadable)?),
        Ok(Format::Idx | Format::Images | Format::Custom | Format::Own(_)) | Err(_) => None,
    })
}

fn text(path: &Path) -> std::io::Result<Survey> {
    const LOOKED_AT: u64 = 1 << 20;
    let mut beginning = Vec::new();
    file::unpacked(path)?.0.take(LOOKED_AT).read_to_end(&mut beginning)?;
    let unicode = match std::str::from_utf8(&beginning) {
        Ok(text) => Some(text),
        // The last character may be cut off.
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
