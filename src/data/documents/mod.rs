//! Documents of JSON Lines files as rows of tokens: texts, pairs of prompt and answer, or chats.
//!
//! 1. `records.rs`: a line becomes pieces of text, of which some are learned; `template.rs`: templates of pairs and
//!    chats.
//!    `usual.rs`: the usual names of fields.
//! 2. `stream.rs`: their tokens, and which of them make a row. `lines.rs`: those of a part of a file.
//! 3. `prompts.rs`: records without their answers, for a trained model; `scored.rs`: texts that it judges;
//!    `file_lines.rs`: the lines of both.
//! 4. `survey.rs`: documents for a first configuration.
//!
//! A token that is not learned, such as those of a prompt, has the target [`Dataset::ignored`], which a loss leaves out.

mod file_lines;
mod lines;
mod prompts;
mod records;
mod scored;
mod stream;
mod survey;
mod template;
mod usual;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(super) use self::file_lines::NOT_TEXT;
pub(super) use self::lines::DocumentLines;
pub use self::prompts::{Prompt, PromptForm, Prompts};
use self::records::Fields;
pub(super) use self::records::LONGEST_LINE;
pub(crate) use self::scored::{ScoredTexts, ScoredTokens};
pub(super) use self::stream::{Rows, Shape, Stream, TokenBatch};
pub use self::survey::DocumentSurvey;
pub(super) use self::survey::survey;
pub(super) use self::usual::{settled, settled_in_shards};
use super::dataset::Source;
use super::error::{TextError, Unknown};
use super::files::{Counts, Files, Part};
use super::options::RowPacking;
use super::text::source::TextFile;
use super::text::{Before, Vocabulary, of_vocabulary, saves_vocabulary};
use super::{Batch, DataConfig, DataError, Dataset, Fingerprint, Input, Recalled, RowSet, Split, TargetKind};
use crate::Notice;
use crate::figures::counted;
use crate::memory::{self, Need};
use crate::state::{State, StateError, Stateful};

/// Documents as rows of `context` tokens, whose targets are the next tokens: first those for training, then those for
/// validation and for a test.
#[derive(Debug)]
pub struct Documents {
    /// By [`side_of`].
    sides: [Side; 3],
    vocabulary: Vocabulary,
    separator: u32,
    context: usize,
    /// Whether each document is seen without the others of its row.
    are_apart: bool,
    fingerprint: Fingerprint,
    notices: Vec<Notice>,
}

/// The documents of one use, and the rows that they make.
#[derive(Debug, Default)]
struct Side {
    stream: Stream,
    rows: Vec<Range<usize>>,
}

/// Returns the number of a side.
fn side_of(part: Part) -> usize {
    match part {
        Part::Train => 0,
        Part::Validation => 1,
        Part::Test => 2,
    }
}

/// Opens the data set that `config` describes, with its split by `seed`: documents are set aside, not rows. For the run
/// of a checkpoint, `recalled` has the tokenizer.
pub(super) fn open(
    config: &DataConfig,
    seed: u64,
    recalled: Option<Recalled<'_>>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let reader = Reader::new(config)?;
    recalled.map_or(Ok(()), |recalled| recalled.check(config, &reader.fingerprint))?;
    let vocabulary = Vocabulary::given(config, recalled)?.map_or_else(|| reader.characters(), Ok)?;
    let vocabulary = vocabulary.separated_by(config.separator.as_deref())?;
    let counts = Counts { train: reader.count()?, ..Counts::default() };
    let split = Split::of(config, counts, || None, seed)?;
    let documents = reader.read(vocabulary, split.validation())?;
    let [train, validation, test] = documents.lengths();
    let is_validated = config.validation_path.is_some() || !split.validation().is_empty();
    if train == 0 || (validation == 0 && is_validated) || (test == 0 && config.test_path.is_some()) {
        return Err(reader.no_rows().into());
    }
    Ok((Box::new(documents), Split::last(train + validation, validation)?.with_test(test)))
}

/// Opens the documents at `config.path` with an existing vocabulary, all of them for an evaluation.
pub(super) fn open_known(config: &DataConfig, vocabulary: Vocabulary) -> Result<Documents, DataError> {
    let reader = Reader::new(config)?;
    let all = Split::last(reader.count()?, 0)?.all();
    let documents = reader.read(vocabulary, &all)?;
    if documents.is_empty() { Err(reader.no_rows().into()) } else { Ok(documents) }
}

/// The files of documents with the options of reading them.
struct Reader {
    files: Vec<(Part, TextFile)>,
    fingerprint: Fingerprint,
    fields: Fields,
    shape: Shape,
    are_apart: bool,
}

impl Reader {
    fn new(config: &DataConfig) -> Result<Self, DataError> {
        let context = config.context.map(NonZeroUsize::get).ok_or(TextError::NoContext)?;
        let fields = Fields::of(config)?;
        let packing = config.row_packing();
        let shape = Shape { context, is_alone: packing == RowPacking::None, is_whole: fields.are_whole() };
        let named = Files::of(config)?;
        let files: Vec<(Part, TextFile)> =
            named.iter().map(|(part, path)| Ok((part, TextFile::open(path)?))).collect::<Result<_, DataError>>()?;
        let fingerprints: Vec<Fingerprint> = files.iter().map(|(_, file)| file.fingerprint.clone()).collect();
        let (fingerprint, are_apart) = (named.identity(&fingerprints), packing == RowPacking::Documents);
        Ok(Self { files, fingerprint, fields, shape, are_apart })
    }

    fn path(&self) -> PathBuf {
        self.files.first().map(|(_, file)| file.path.clone()).unwrap_or_default()
    }

    fn no_rows(&self) -> TextError {
        TextError::NothingToLearn { path: self.path(), context: self.shape.context }
    }

    /// Returns the files of training documents.
    fn training(&self) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(|(part, _)| *part == Part::Train).map(|(_, file)| file)
    }

    /// Returns the number of training documents, before any are set aside.
    fn count(&self) -> Result<usize, DataError> {
        let mut count = 0;
        for file in self.training() {
            self.fields.read::<DataError>(file, |_, _| {
                count += 1;
                Ok(())
            })?;
        }
        if count == 0 { Err(DataError::NoRows { path: self.path() }) } else { Ok(count) }
    }

    /// Returns every character of the training documents.
    fn characters(&self) -> Result<Vocabulary, DataError> {
        let mut characters = BTreeSet::new();
        for file in self.training() {
            self.fields.read::<DataError>(file, |_, pieces| {
                characters.extend(pieces.iter().flat_map(|piece| piece.text.chars()));
                Ok(())
            })?;
        }
        Ok(Vocabulary::characters(&characters.into_iter().collect::<String>()))
    }

    /// Reads all documents; training documents with the numbers `set_aside` are for validation.
    fn read(&self, vocabulary: Vocabulary, set_aside: &RowSet) -> Result<Documents, DataError> {
        let separator = vocabulary.required_separator()?;
        let mut streams = <[Stream; 3]>::default();
        let (mut number, mut unknown) = (0, 0);
        let mut aside = set_aside.iter().peekable();
        for (part, file) in &self.files {
            self.fields.read::<DataError>(file, |lines, pieces| {
                let side = match part {
                    Part::Train => usize::from(aside.next_if_eq(&number).is_some()),
                    others => side_of(*others),
                };
                number += 1;
                let stream = &mut streams[side];
                require_room(file, stream)?;
                let added = stream.add(&pieces, Before { bytes: 0, lines }, &vocabulary, separator);
                unknown += added.map_err(|error| in_file(&file.path, error))?;
                Ok(())
            })?;
        }
        streams.iter_mut().filter(|stream| stream.len() > 0).for_each(|stream| stream.end(separator));
        let unknown = vocabulary.unknowns(unknown, streams.iter().map(Stream::len).sum(), "");
        let unknown = unknown.require_few().map_err(|error| in_file(&self.path(), error))?;
        let found = streams.map(|stream| {
            let mut rows = stream.rows(self.shape);
            (Side { rows: std::mem::take(&mut rows.ranges), stream }, rows)
        });
        let notices = self.notices(&unknown, found.iter().map(|(_, rows)| rows));
        let sides = found.map(|(side, _)| side);
        let (context, are_apart, fingerprint) = (self.shape.context, self.are_apart, self.fingerprint.clone());
        Ok(Documents { sides, vocabulary, separator, context, are_apart, fingerprint, notices })
    }

    fn notices<'a>(&self, unknown: &Unknown, rows: impl Iterator<Item = &'a Rows> + Clone) -> Vec<Notice> {
        let sum = |of: fn(&Rows) -> usize| rows.clone().map(of).sum::<usize>();
        left_out(&self.path(), self.shape.context, sum(|rows| rows.cut), sum(|rows| rows.empty), unknown)
    }
}

/// Returns warnings of documents that are cut off, of those that teach nothing, and of unknown tokens.
pub(super) fn left_out(path: &Path, context: usize, cut: usize, empty: usize, unknown: &Unknown) -> Vec<Notice> {
    let path = path.display();
    let cut = (cut > 0).then(|| {
        let number = counted(cut, "document");
        format!("{path}: {number} longer than `data.context` = {context} tokens; the ends are cut off")
    });
    let empty = (empty > 0).then(|| {
        let number = counted(empty, "document");
        format!("{path}: nothing is learned from {number}: no answer within `data.context` = {context} tokens")
    });
    cut.into_iter().chain(empty).map(Notice::Warning).chain(unknown.notice()).collect()
}

/// Refuses tokens that do not fit in memory, before the vector that holds them grows.
fn require_room(file: &TextFile, stream: &Stream) -> Result<(), DataError> {
    let Some(bytes) = stream.growth() else { return Ok(()) };
    let needs = vec![Need::new("tokens", bytes, "4 bytes each")];
    let remedies = vec!["a file of fewer documents".to_owned()];
    Ok(memory::require(&file.path.display().to_string(), needs, 0, remedies)?)
}

fn in_file(path: &Path, source: TextError) -> TextError {
    TextError::InFile { path: path.to_owned(), source: Box::new(source) }
}

impl Documents {
    /// Returns the numbers of rows for training, for validation and for a test.
    fn lengths(&self) -> [usize; 3] {
        self.sides.each_ref().map(|side| side.rows.len())
    }

    /// Returns the stream of a row, and its range in it.
    fn row(&self, mut row: usize) -> Option<(&Stream, Range<usize>)> {
        for side in &self.sides {
            match side.rows.get(row) {
                Some(range) => return Some((&side.stream, range.clone())),
                None => row -= side.rows.len(),
            }
        }
        None
    }
}

impl Dataset for Documents {
    fn len(&self) -> usize {
        self.lengths().iter().sum()
    }

    of_vocabulary!(self => self.vocabulary, self.context);

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn ignored(&self) -> Option<u32> {
        Some(self.vocabulary.len() as u32)
    }

    fn document_start(&self) -> Option<u32> {
        self.are_apart.then_some(self.separator)
    }

    fn notices(&self) -> Vec<Notice> {
        self.notices.clone()
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let ignored = self.vocabulary.len() as u32;
        let mut batch = TokenBatch::new(rows.len(), self.context, self.separator, ignored);
        for &row in rows {
            let (stream, range) = self.row(row).ok_or(DataError::NoSuchRow { row, rows: self.len() })?;
            batch.add(stream, &range);
        }
        batch.batch()
    }
}

saves_vocabulary!(Documents);
