//! A table in one file or several: the rows of all of them, one file after the other.

#[cfg(not(feature = "parquet"))]
use super::TableError;
use super::columns::TableOptions;
use super::file::DataFile;
use super::files::{Counts, Files, Part};
use super::format_kind::Format;
use super::frame::Frame;
#[cfg(feature = "parquet")]
use super::parquet;
use super::records::FrameReader;
use super::{DataConfig, DataError, Fingerprint, csv, remarks};

/// The rows of a table.
pub(super) struct ReadTable {
    pub frame: Frame,
    pub counts: Counts,
    pub fingerprint: Fingerprint,
}

/// Reads the files of `config`, all in `format`: CSV or Parquet.
pub(super) fn read(config: &DataConfig, format: Format, options: &TableOptions) -> Result<ReadTable, DataError> {
    let files = Files::of(config)?;
    let (mut reader, mut counts, mut fingerprints) = (FrameReader::new(options), Counts::default(), Vec::new());
    for (part, path) in files.iter() {
        if part != Part::Train {
            reader.know_classes();
        }
        let file = DataFile::read(path)?;
        fingerprints.push(file.fingerprint.clone());
        counts.add(part, read_file(file, config, format, &mut reader)?);
    }
    let mut frame = reader.finish()?;
    if let Some((_, first)) = files.iter().next().filter(|_| format == Format::Csv && config.header != Some(false)) {
        frame.notices.extend(remarks::of_header(first, &frame));
        frame.notices.extend(remarks::of_index(first, &frame));
    }
    Ok(ReadTable { frame, counts, fingerprint: files.identity(&fingerprints) })
}

fn read_file(
    file: DataFile,
    config: &DataConfig,
    format: Format,
    reader: &mut FrameReader,
) -> Result<usize, DataError> {
    match format {
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::read(file, reader),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(TableError::NoParquet { path: file.path.to_owned() }.into()),
        _ => csv::read(&file, config, reader),
    }
}
