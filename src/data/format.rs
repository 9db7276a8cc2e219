//! The format of a data set: its detection, and its reader.

use std::path::Path;

use candle_core::Device;

use super::columns::TableOptions;
use super::dataset::Source;
use super::error::FilesError;
use super::files::{Counts, Files, Part};
use super::format_kind::{COMMON, Format};
use super::tables::{self, ReadTable};
use super::tensors::{ReadTensors, TensorReader, beside};
use super::{
    DataConfig, DataError, Processes, Recalled, Split, Table, Vocabulary, documents, folder, idx, others, stream,
    survey, text,
};
use crate::Notice;
use crate::state::State;

impl Format {
    /// Returns the given format, otherwise the one for the ending of the file's name.
    pub(crate) fn of(config: &DataConfig) -> Result<Self, DataError> {
        let is = |path: &Path, ending| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        let is_packed = ["gz", "zst"].into_iter().any(|ending| is(&config.path, ending));
        let bare = if is_packed { config.path.with_extension("") } else { config.path.clone() };
        let named = match bare {
            path if is(&path, "csv") || is(&path, "tsv") => Some(Self::Csv),
            path if is(&path, "parquet") => Some(Self::Parquet),
            path if is(&path, "safetensors") => Some(Self::Safetensors),
            path if is(&path, "npy") => Some(Self::Npy),
            path if is(&path, "npz") => Some(Self::Npz),
            path if is(&path, "txt") => Some(Self::Text),
            path if is(&path, "jsonl") || is(&path, "ndjson") => Some(Self::Jsonl),
            _ => None,
        };
        let format = config.format.or(named).ok_or_else(|| {
            let path = config.path.clone();
            match survey::content(&path) {
                Some(content) => DataError::FolderFormat { path, content },
                None => DataError::UnknownFormat { path },
            }
        })?;
        if format == Self::Images {
            super::picture::require_decoders(&config.path)?;
        }
        Ok(format)
    }

    /// Returns the format of other data at `path`, for a model trained on that of `config`: the same one, except that a
    /// table may be CSV or Parquet, and named tensors safetensors or npz.
    ///
    /// # Errors
    /// The file's name has the ending of another format.
    pub(crate) fn of_other(config: &DataConfig, path: &Path) -> Result<Self, DataError> {
        let trained = Self::of(config)?;
        let by_name = |path: &Path| Self::of(&DataConfig::new(path)).ok();
        // A program's own format may have any ending.
        let is_own = matches!(trained, Self::Custom | Self::Own(_));
        let Some(named) = by_name(path).filter(|_| !is_own) else { return Ok(trained) };
        let are = |some: [Self; 2]| some.contains(&trained) && some.contains(&named);
        if are([Self::Csv, Self::Parquet]) || are([Self::Safetensors, Self::Npz]) {
            return Ok(named);
        }
        // If the run's own file has the same ending, or both are text, the name does not matter.
        if named == trained || by_name(&config.path) == Some(named) || are([Self::Csv, Self::Text]) {
            return Ok(trained);
        }
        Err(DataError::OtherFormat { path: path.to_owned(), found: named.name(), trained: trained.name() })
    }

    /// Refuses the first given option that does not apply to the format.
    fn check(self, config: &DataConfig) -> Result<(), DataError> {
        let given = serde_json::to_value(config).unwrap_or_default();
        let mut given = given.as_object().into_iter().flat_map(|options| options.keys());
        let is_own = |option: &str| config.own.as_ref().is_some_and(|own| own.settings().contains_key(option));
        let known = |option: &str| is_own(option) || COMMON.contains(&option) || self.options().contains(&option);
        match given.find(|option| !known(option)) {
            Some(option) => Err(DataError::meaningless(option, self.name())),
            None => self.check_rows(config),
        }
    }

    /// Refuses several files where one is read, and two ways of choosing validation rows.
    fn check_rows(self, config: &DataConfig) -> Result<(), DataError> {
        if !config.more_paths.is_empty() && !self.is_in_several_files() {
            return Err(FilesError::OnePath { option: Part::Train.option(), format: self.name() }.into());
        }
        let set_aside = [
            ("validation", config.validation > 0.0),
            ("validation_path", config.validation_path.is_some()),
            ("validation_images", config.validation_images.is_some()),
        ];
        let has_files = config.validation_path.is_some();
        match (config.fold, set_aside.into_iter().find(|(_, is_given)| *is_given)) {
            (Some(_), Some((option, _))) => Err(DataError::meaningless(option, "a run with `data.fold`")),
            (Some(_), None) if self == Self::Text => Err(DataError::meaningless("fold", "text")),
            (None, Some((option, _))) if config.stratify == Some(true) && option != "validation" => {
                Err(DataError::meaningless("stratify", "data that comes with validation files"))
            }
            _ if config.stratify == Some(true) && matches!(self, Self::Text | Self::Jsonl) => {
                Err(DataError::meaningless("stratify", "text, whose rows have no class"))
            }
            (None, Some(("validation", _))) if has_files => {
                Err(DataError::meaningless("validation", "data that comes with validation files"))
            }
            (None, None) if config.stratify == Some(true) => Err(DataError::meaningless(
                "stratify",
                "a run that sets no rows aside by `data.validation` or `data.fold`",
            )),
            _ => Ok(()),
        }
    }

    /// Whether its rows may be in several files.
    fn is_in_several_files(self) -> bool {
        !matches!(self, Self::Idx | Self::Images | Self::Custom | Self::Own(_))
    }
}

/// Opens the data set that `config` describes, with its split by `seed`. A table is transferred to `device`;
/// `processes` divide the work on data that is read whole first.
pub(super) fn open(
    config: &DataConfig,
    seed: u64,
    device: &Device,
    recalled: Option<Recalled<'_>>,
    processes: Option<&dyn Processes>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    // A run has settled its options before; a program that opens data without one has not.
    let (settled, said) = match recalled {
        Some(_) => (config.clone(), Vec::new()),
        None => config.settled()?,
    };
    let config = &settled;
    let format = Format::of(config)?;
    format.check(config)?;
    if stream::is_streamed(config) {
        return stream::open(config, format, recalled, processes);
    }
    // Data that an earlier version accepted must still be accepted on a resume.
    let nothing = State::default();
    let saved = recalled.map(|recalled| recalled.memory.unwrap_or(&nothing));
    match format {
        Format::Csv | Format::Parquet => read_table(config, format, seed, device, saved, said),
        Format::Safetensors | Format::Npy | Format::Npz | Format::Text if has_others(config) => {
            let known = others::Known::of(config, format)?;
            recalled.map_or(Ok(()), |recalled| recalled.check(config, &known.fingerprint))?;
            let recalled = recalled.map(|recalled| Recalled { fingerprint: None, ..recalled });
            let train = open(&config.training(), seed, device, recalled, None)?;
            known.beside(train, config, device)
        }
        Format::Safetensors | Format::Npy | Format::Npz => read_tensors(config, format, seed, device, saved),
        Format::Idx => idx::open(config, seed, saved),
        Format::Text => text::open(config, recalled),
        Format::Jsonl => documents::open(config, seed, recalled),
        Format::Images => folder::open(config, seed, recalled.and_then(|recalled| recalled.memory)),
        Format::Custom => Err(DataError::NotGiven),
        Format::Own(_) => {
            let own = config.own.as_ref().ok_or(DataError::NotGiven)?;
            config.validate()?;
            let source = own.get().open(&config.path)?;
            let counts = Counts { train: source.len(), ..Counts::default() };
            let split = Split::of(config, counts, || source.labels(), seed)?;
            Ok((source, split))
        }
    }
}

/// Opens the text or the documents at `config.path` with an existing vocabulary, all of them for an evaluation.
pub(crate) fn open_text(config: &DataConfig, vocabulary: Vocabulary) -> Result<Box<dyn Source>, DataError> {
    Ok(match Format::of(config)? {
        Format::Jsonl => Box::new(documents::open_known(config, vocabulary)?),
        _ => Box::new(text::open_known(config, vocabulary)?),
    })
}

/// Whether validation or test rows are in separate files.
fn has_others(config: &DataConfig) -> bool {
    config.validation_path.is_some() || config.test_path.is_some()
}

fn read_table(
    config: &DataConfig,
    format: Format,
    seed: u64,
    device: &Device,
    saved: Option<&State>,
    said: Vec<Notice>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let options = TableOptions::of_run(config, saved)?;
    let ReadTable { mut frame, counts, fingerprint } = tables::read(config, format, &options)?;
    frame.notices.extend(said);
    let split = Split::of(config, counts, || frame.targets.classes(), seed)?;
    let standardized = config.standardize.unwrap_or(true);
    let table = Table::encoded(frame, &split, options.encoding, standardized, fingerprint, device)?;
    Ok((Box::new(table.scaled(config.target_transform, &split)?), split))
}

fn read_tensors(
    config: &DataConfig,
    format: Format,
    seed: u64,
    device: &Device,
    saved: Option<&State>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let files = Files::of(config)?;
    let paths: Vec<&Path> = files.iter().map(|(_, path)| path).collect();
    if format == Format::Npy {
        beside::require_own(&files, config)?;
    }
    let (read, fingerprints) = TensorReader::new(config, saved).open(&paths, format, saved.is_some())?;
    let fingerprint = files.identity(&fingerprints);
    let ReadTensors { rows, names, notices } = read;
    let counts = Counts { train: rows.len(), ..Counts::default() };
    let split = Split::of(config, counts, || rows.targets().classes(), seed)?;
    let mut table = Table::new(rows, fingerprint, device)?.with_classes(names).saying(notices);
    if config.standardize.unwrap_or(false) {
        table = table.standardized(&split)?;
    }
    Ok((Box::new(table.scaled(config.target_transform, &split)?), split))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_the_name_tells_the_format() {
        let format = |path: &str| Format::of(&DataConfig::new(path));
        for csv in ["a.csv", "a.CSV", "a.csv.gz", "a.csv.zst", "a.tsv", "dir.safetensors/a.csv"] {
            assert_eq!(format(csv).unwrap(), Format::Csv);
        }
        assert_eq!(format("a.safetensors").unwrap(), Format::Safetensors);
        assert_eq!(format("a.txt.gz").unwrap(), Format::Text);
        assert_eq!(
            format("a.dat").unwrap_err().to_string(),
            "the name of a.dat does not show its format; set `data.format` to \"csv\", \"parquet\", \"safetensors\", \
             \"npy\", \"npz\", \"idx\", \"text\", \"jsonl\" or \"images\""
        );
    }

    #[test]
    fn a_format_of_a_program_may_have_any_ending() {
        let run = |format| DataConfig { format: Some(format), ..DataConfig::new("rows.dat") };
        for own in [Format::Custom, Format::Own("lines")] {
            assert_eq!(Format::of_other(&run(own), Path::new("other.parquet")).unwrap(), own);
        }
        assert!(Format::of_other(&run(Format::Idx), Path::new("other.parquet")).is_err());
    }
}
