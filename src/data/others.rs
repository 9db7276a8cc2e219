//! Validation and test rows in separate files of tensors, arrays or text, beside the training rows. They are read as other rows are
//! for a trained model: with the statistics, the classes and the vocabulary of the training rows.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::dataset::Source;
use super::file::DataFile;
use super::files::{Files, Part};
use super::format_kind::Format;
use super::tensors::{arrays, beside};
use super::{
    Batch, DataConfig, DataError, Dataset, Fingerprint, Input, Names, RowReader, Schema, Split, TargetKind,
    TargetScale, Text, Vocabulary, text,
};
use crate::Notice;
use crate::memory::{self, Need};
use crate::state::{State, StateError, Stateful};

/// The training rows, and after them rows of other files.
#[derive(Debug)]
pub(super) struct WithOthers {
    train: Box<dyn Source>,
    config: DataConfig,
    files: Files,
    others: Vec<Others>,
    fingerprint: Fingerprint,
    device: Device,
}

/// The rows of a file.
#[derive(Debug)]
enum Others {
    Rows(Batch),
    Text(Box<Text>),
}

impl Others {
    fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.rows(),
            Self::Text(text) => text.len(),
        }
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        match self {
            Self::Rows(all) => {
                let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
                let rows = Tensor::new(rows, all.inputs.device())?;
                let (inputs, targets) = (all.inputs.index_select(&rows, 0)?, all.targets.index_select(&rows, 0)?);
                Ok(Batch { inputs, targets })
            }
            Self::Text(text) => text.gather(rows),
        }
    }
}

/// The files of a data set and their identity.
pub(super) struct Known {
    files: Files,
    pub fingerprint: Fingerprint,
}

impl Known {
    /// Hashes all files of `config`.
    pub fn of(config: &DataConfig, format: Format) -> Result<Self, DataError> {
        let files = Files::of(config)?;
        if format == Format::Npy {
            beside::require_own(&files, config)?;
        }
        let fingerprint = |(part, path): (Part, &Path)| match format {
            Format::Npy => arrays::fingerprint(path, &config.targets_beside(part, path)?),
            _ => DataFile::fingerprint(path),
        };
        let fingerprints: Vec<Fingerprint> = files.iter().map(fingerprint).collect::<Result<_, _>>()?;
        Ok(Self { fingerprint: files.identity(&fingerprints), files })
    }

    /// Adds the rows of the other files to the training rows, which have this split.
    pub fn beside(
        self,
        (train, split): (Box<dyn Source>, Split),
        config: &DataConfig,
        device: &Device,
    ) -> Result<(Box<dyn Source>, Split), DataError> {
        let Self { files, fingerprint } = self;
        let (config, device) = (config.clone(), device.clone());
        let mut all = WithOthers { train, config, files, others: Vec::new(), fingerprint, device };
        all.others = all.read(&all.train.save()?)?;
        let rows = |part| {
            let others = all.files.iter().filter(|(of, _)| *of != Part::Train).zip(&all.others);
            others.filter(|((of, _), _)| *of == part).map(|(_, others)| others.len()).sum::<usize>()
        };
        let split = match rows(Part::Validation) {
            0 => split,
            validation => Split::last(all.train.len() + validation, validation)?,
        };
        let split = split.with_test(rows(Part::Test));
        Ok((Box::new(all), split))
    }
}

impl WithOthers {
    /// Reads all other files with this state of the training rows.
    fn read(&self, memory: &State) -> Result<Vec<Others>, DataError> {
        let (input, targets, names) = (self.train.input(), self.train.targets(), self.train.names());
        let schema = Schema { input, targets, names };
        let others = self.files.iter().filter(|(part, _)| *part != Part::Train);
        let at = |part: Part, path: &Path| {
            let config = self.config.at(path);
            if !matches!(Format::of(&config), Ok(Format::Npy)) {
                return Ok(config);
            }
            let targets = self.config.targets_beside(part, path)?;
            let name = targets.file_name().map(|name| name.to_string_lossy().into_owned());
            Ok::<_, DataError>(DataConfig { targets: name, ..config })
        };
        others.map(|(part, path)| self.read_one(&at(part, path)?, &schema, memory)).collect()
    }

    fn read_one(&self, config: &DataConfig, schema: &Schema, memory: &State) -> Result<Others, DataError> {
        if let Input::Tokens { .. } = schema.input {
            let text = text::open_known(config, Vocabulary::load(memory)?)?;
            return Ok(Others::Text(Box::new(text)));
        }
        let path = &config.path;
        let bytes = std::fs::metadata(path).map_err(|source| DataError::Read { path: path.clone(), source })?.len();
        let needs = vec![Need::new("rows", bytes, "as many bytes as the file has")];
        memory::require(&path.display().to_string(), needs, 0, super::file::remedies())?;
        // An evaluation of the run normalizes its rows, wherever they are from.
        let config = DataConfig { augment: None, ..config.clone() };
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for rows in RowReader::open(&config, schema, memory, true)? {
            let rows = rows?;
            inputs.push(rows.inputs);
            targets.extend(rows.targets);
        }
        if inputs.is_empty() || targets.len() != inputs.len() {
            return Err(DataError::NoRows { path: config.path });
        }
        let (inputs, targets) = (Tensor::cat(&inputs, 0)?, Tensor::cat(&targets, 0)?);
        Ok(Others::Rows(Batch { inputs, targets }.on(&self.device)?))
    }

    /// Returns the rows of one file that is not the training file's, or of the training rows.
    fn gather_alike(&self, rows: &[usize]) -> Result<Option<Batch>, DataError> {
        let mut start = self.train.len();
        if rows.iter().all(|&row| row < start) {
            return self.train.gather(rows).map(Some);
        }
        for others in &self.others {
            let end = start + others.len();
            if rows.iter().all(|row| (start..end).contains(row)) {
                let rows: Vec<usize> = rows.iter().map(|row| row - start).collect();
                return others.gather(&rows).map(Some);
            }
            start = end;
        }
        Ok(None)
    }
}

impl Dataset for WithOthers {
    fn len(&self) -> usize {
        self.train.len() + self.others.iter().map(Others::len).sum::<usize>()
    }

    fn input(&self) -> Input {
        self.train.input()
    }

    fn targets(&self) -> TargetKind {
        self.train.targets()
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn names(&self) -> Names {
        self.train.names()
    }

    fn notices(&self) -> Vec<Notice> {
        let of_text = self.others.iter().filter_map(|others| match others {
            Others::Text(text) => Some(text.notices()),
            Others::Rows(_) => None,
        });
        self.train.notices().into_iter().chain(of_text.flatten()).collect()
    }

    fn labels(&self) -> Option<Vec<u32>> {
        let mut labels = self.train.labels()?;
        for others in &self.others {
            match others {
                Others::Rows(rows) => labels.extend(rows.targets.to_vec1::<u32>().ok()?),
                Others::Text(_) => return None,
            }
        }
        Some(labels)
    }

    fn token_bytes(&self) -> Option<Vec<u32>> {
        self.train.token_bytes()
    }

    fn target_scale(&self) -> Option<&TargetScale> {
        self.train.target_scale()
    }

    fn is_on_device(&self) -> bool {
        self.train.is_on_device()
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        if let Some(&row) = rows.iter().find(|&&row| row >= self.len()) {
            return Err(DataError::NoSuchRow { row, rows: self.len() });
        }
        if let Some(batch) = self.gather_alike(rows)? {
            return Ok(batch);
        }
        // Rows of several files.
        let each = rows.iter().map(|&row| {
            let batch = self.gather_alike(&[row])?;
            batch.ok_or(DataError::NoSuchRow { row, rows: self.len() })
        });
        let each: Vec<Batch> = each.collect::<Result<_, _>>()?;
        let joined = |part: fn(&Batch) -> &Tensor| Tensor::cat(&each.iter().map(part).collect::<Vec<_>>(), 0);
        Ok(Batch { inputs: joined(|batch| &batch.inputs)?, targets: joined(|batch| &batch.targets)? })
    }
}

impl Stateful for WithOthers {
    fn save(&self) -> Result<State, StateError> {
        self.train.save()
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.train.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.train.load(state)?;
        self.others = self.read(state).map_err(|error| StateError::Unable(error.to_string()))?;
        Ok(())
    }
}
