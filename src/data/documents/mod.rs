//! Documents of a JSON Lines file as rows of tokens: texts, pairs of prompt and answer, or chats.
//!
//! 1. `records.rs`: a line becomes pieces of text, of which some are learned; `template.rs`: templates of pairs and
//!    chats.
//! 2. `stream.rs`: their tokens, and which of them make a row.
//!
//! A token that is not learned, such as those of a prompt, has the target [`Dataset::ignored`], which a loss leaves out.

mod records;
mod stream;
mod template;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::Range;

use candle_core::{Device, Tensor};

use self::records::{Fields, Piece};
use self::stream::{Rows, Shape, Stream};
use super::dataset::Source;
use super::error::{TextError, Unknown};
use super::files::Counts;
use super::options::{RowPacking, TokenKind};
use super::text::source::TextFile;
use super::text::{Before, Vocabulary};
use super::{Batch, DataConfig, DataError, Dataset, Fingerprint, Input, Recalled, RowSet, Split, TargetKind};
use crate::Notice;
use crate::figures::counted;
use crate::memory::{self, Need};
use crate::state::{State, StateError, Stateful};

/// Documents as rows of `context` tokens, whose targets are the next tokens. The first rows are for training.
#[derive(Debug)]
pub struct Documents {
    train: Part,
    validation: Part,
    vocabulary: Vocabulary,
    separator: u32,
    context: usize,
    /// Whether each document is seen without the others of its row.
    are_apart: bool,
    fingerprint: Fingerprint,
    notices: Vec<Notice>,
}

/// The documents of one side of the split, and the rows that they make.
#[derive(Debug, Default)]
struct Part {
    stream: Stream,
    rows: Vec<Range<usize>>,
}

/// Opens the data set that `config` describes, with its split by `seed`: documents are set aside, not rows. For the run
/// of a checkpoint, `recalled` has the tokenizer.
pub(super) fn open(
    config: &DataConfig,
    seed: u64,
    recalled: Option<Recalled<'_>>,
) -> Result<(Box<dyn Source>, Split), DataError> {
    let file = TextFile::open(&config.path)?;
    recalled.map_or(Ok(()), |recalled| recalled.check(config, &file.fingerprint))?;
    let tokenizer = recalled.filter(|recalled| !recalled.tokenizer_is_given).and_then(|recalled| recalled.memory);
    let reader = Reader::new(config, file)?;
    let vocabulary = match (&config.tokenizer, config.tokens.unwrap_or_default()) {
        (Some(_), _) if config.tokens.is_some() => {
            return Err(DataError::meaningless("tokens", "text with a tokenizer"));
        }
        (Some(path), _) => match tokenizer {
            Some(memory) => Vocabulary::load(memory)?,
            None => Vocabulary::from_file(path)?,
        },
        (None, TokenKind::Bytes) => Vocabulary::bytes(),
        (None, TokenKind::Characters) => reader.characters()?,
    };
    let vocabulary = vocabulary.separated_by(config.separator.as_deref())?;
    let split = Split::of(config, Counts { train: reader.count()?, ..Counts::default() }, seed)?;
    let documents = reader.read(vocabulary, split.validation())?;
    let (train, validation) = (documents.train.rows.len(), documents.validation.rows.len());
    if train == 0 || (validation == 0 && !split.validation().is_empty()) {
        return Err(reader.no_rows().into());
    }
    Ok((Box::new(documents), Split::last(train + validation, validation)?))
}

/// Opens the documents at `config.path` with an existing vocabulary, all of them for an evaluation.
pub(super) fn open_known(config: &DataConfig, vocabulary: Vocabulary) -> Result<Documents, DataError> {
    let reader = Reader::new(config, TextFile::open(&config.path)?)?;
    let all = Split::last(reader.count()?, 0)?.all();
    let documents = reader.read(vocabulary, &all)?;
    if documents.is_empty() { Err(reader.no_rows().into()) } else { Ok(documents) }
}

/// A file with the options of reading it.
struct Reader {
    file: TextFile,
    fields: Fields,
    shape: Shape,
    are_apart: bool,
}

impl Reader {
    fn new(config: &DataConfig, file: TextFile) -> Result<Self, DataError> {
        let context = config.context.map(NonZeroUsize::get).ok_or(TextError::NoContext)?;
        let fields = Fields::of(config)?;
        let packing = config.row_packing();
        let shape = Shape { context, is_alone: packing == RowPacking::None, is_whole: fields.are_whole() };
        Ok(Self { file, fields, shape, are_apart: packing == RowPacking::Documents })
    }

    fn no_rows(&self) -> TextError {
        TextError::NothingToLearn { path: self.file.path.clone(), context: self.shape.context }
    }

    /// Returns the number of documents.
    fn count(&self) -> Result<usize, DataError> {
        let mut count = 0;
        self.fields.read::<DataError>(&self.file, |_, _| {
            count += 1;
            Ok(())
        })?;
        if count == 0 { Err(DataError::NoRows { path: self.file.path.clone() }) } else { Ok(count) }
    }

    /// Returns every character of the documents.
    fn characters(&self) -> Result<Vocabulary, DataError> {
        let mut characters = BTreeSet::new();
        self.fields.read::<DataError>(&self.file, |_, pieces| {
            characters.extend(pieces.iter().flat_map(|piece| piece.text.chars()));
            Ok(())
        })?;
        Ok(Vocabulary::characters(&characters.into_iter().collect::<String>()))
    }

    /// Reads all documents; those with the numbers `set_aside` are for validation.
    fn read(&self, vocabulary: Vocabulary, set_aside: &RowSet) -> Result<Documents, DataError> {
        let separator = vocabulary.separator().ok_or_else(|| TextError::Option {
            option: "separator".to_owned(),
            rule: "is missing: the token between documents".to_owned(),
        })?;
        let unknown_token = vocabulary.unknown().map(|(token, _)| token);
        let (mut sides, mut ends) = ([Stream::default(), Stream::default()], [true, true]);
        let (mut number, mut unknown) = (0, 0);
        let mut aside = set_aside.iter().peekable();
        self.fields.read::<DataError>(&self.file, |lines, pieces| {
            let side = usize::from(aside.next_if_eq(&number).is_some());
            number += 1;
            let stream = &mut sides[side];
            self.require_room(stream)?;
            stream.begin(separator, ends[side]);
            for Piece { text, counts } in &pieces {
                let before = Before { bytes: 0, lines };
                let see = |token| {
                    unknown += usize::from(Some(token) == unknown_token);
                    stream.push(token, *counts);
                };
                vocabulary.encode_piece(before, text.as_bytes(), false, see).map_err(|error| self.in_file(error))?;
            }
            ends[side] = pieces.last().is_none_or(|piece| piece.counts);
            Ok(())
        })?;
        for (stream, ends) in sides.iter_mut().zip(ends).filter(|(stream, _)| stream.len() > 0) {
            stream.end(separator, ends);
        }
        let unknown = vocabulary.unknowns(unknown, sides.iter().map(Stream::len).sum(), "");
        let unknown = unknown.require_few().map_err(|error| self.in_file(error))?;
        let [(train, of_train), (validation, of_validation)] = sides.map(|stream| {
            let mut rows = stream.rows(self.shape);
            (Part { rows: std::mem::take(&mut rows.ranges), stream }, rows)
        });
        let notices = self.notices(&unknown, &[of_train, of_validation]);
        let (context, are_apart, fingerprint) = (self.shape.context, self.are_apart, self.file.fingerprint.clone());
        Ok(Documents { train, validation, vocabulary, separator, context, are_apart, fingerprint, notices })
    }

    /// Refuses tokens that do not fit in memory, before the vector that holds them grows.
    fn require_room(&self, stream: &Stream) -> Result<(), DataError> {
        let Some(bytes) = stream.growth() else { return Ok(()) };
        let needs = vec![Need::new("tokens", bytes, "4 bytes each")];
        let remedies = vec!["a file of fewer documents".to_owned()];
        Ok(memory::require(&self.file.path.display().to_string(), needs, 0, remedies)?)
    }

    fn in_file(&self, source: TextError) -> TextError {
        TextError::InFile { path: self.file.path.clone(), source: Box::new(source) }
    }

    fn notices(&self, unknown: &Unknown, rows: &[Rows]) -> Vec<Notice> {
        let (path, context) = (self.file.path.display(), self.shape.context);
        let sum = |of: fn(&Rows) -> usize| rows.iter().map(of).sum::<usize>();
        let (cut, empty) = (sum(|rows| rows.cut), sum(|rows| rows.empty));
        let cut = (cut > 0).then(|| {
            let number = counted(cut, "document");
            format!("{path}: {number} longer than `data.context` = {context} tokens; the ends are cut off")
        });
        let empty = (empty > 0).then(|| {
            format!("{path}: {} without anything to learn, such as an answer, left out", counted(empty, "row"))
        });
        cut.into_iter().chain(empty).map(Notice::Warning).chain(unknown.notice()).collect()
    }
}

impl Documents {
    /// Returns the stream of a row, and its range in it.
    fn row(&self, row: usize) -> Option<(&Stream, Range<usize>)> {
        let (part, row) = match row.checked_sub(self.train.rows.len()) {
            None => (&self.train, row),
            Some(row) => (&self.validation, row),
        };
        Some((&part.stream, part.rows.get(row)?.clone()))
    }
}

impl Dataset for Documents {
    fn len(&self) -> usize {
        self.train.rows.len() + self.validation.rows.len()
    }

    fn input(&self) -> Input {
        Input::Tokens { context: self.context, vocabulary: self.vocabulary.len() }
    }

    fn targets(&self) -> TargetKind {
        TargetKind::Classes { count: self.vocabulary.len() }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn token_bytes(&self) -> Option<Vec<u32>> {
        self.vocabulary.token_bytes()
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
        let (size, ignored) = (rows.len() * self.context, self.vocabulary.len() as u32);
        let (mut inputs, mut targets) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for &row in rows {
            let (stream, range) = self.row(row).ok_or(DataError::NoSuchRow { row, rows: self.len() })?;
            let missing = self.context - (range.len() - 1);
            inputs.extend(stream.read(range.start..range.end - 1).map(|(token, _)| token));
            inputs.extend(std::iter::repeat_n(self.separator, missing));
            let target = |(token, counts)| if counts { token } else { ignored };
            targets.extend(stream.read(range.start + 1..range.end).map(target));
            targets.extend(std::iter::repeat_n(ignored, missing));
        }
        let tensor = |tokens| Tensor::from_vec(tokens, (rows.len(), self.context), &Device::Cpu);
        Ok(Batch { inputs: tensor(inputs)?, targets: tensor(targets)? })
    }
}

/// The vocabulary is saved, so that a checkpoint alone can decode tokens to text.
impl Stateful for Documents {
    fn save(&self) -> Result<State, StateError> {
        Ok(self.vocabulary.save())
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.vocabulary.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)
    }
}
