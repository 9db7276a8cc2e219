//! Text: windows of tokens, each with the following tokens as targets.
//!
//! 1. `vocabulary.rs`: characters, bytes or a tokenizer, and decoding to text; it is saved in checkpoints.
//!    `tokenizer.rs`: tokenization with a `tokenizer.json`; `as_tokenizer.rs`: any vocabulary as one; `separator.rs`: the
//!    token between documents; `saved.rs`: the state of a checkpoint; `form.rs`: what else follows from a vocabulary.
//! 2. `source.rs`: files of text of any length, in pieces.
//! 3. `cache.rs`: its tokens, computed once and kept in a memory-mapped file; `in_order.rs`: on all threads.

#[cfg(feature = "peers")]
mod as_tokenizer;
mod cache;
mod form;
mod in_order;
mod saved;
mod separator;
pub(super) mod source;
mod tokenizer;
mod vocabulary;

use std::num::NonZeroUsize;

use candle_core::{Device, Tensor};

pub(super) use form::{of_vocabulary, saves_vocabulary};
pub use vocabulary::Vocabulary;
pub(super) use vocabulary::{Before, line_ends};

use self::cache::{Job, Tokens};
use super::dataset::Source;
use super::error::{TextError, Unknown};
use super::options::TokenKind;
use super::{Batch, DataConfig, DataError, Dataset, Fingerprint, Input, Recalled, Split, TargetKind};
use crate::Notice;
use crate::state::{State, StateError, Stateful};

/// A text as rows of `context` tokens, whose targets are the next tokens, shifted by one position.
///
/// The first rows are for training: a window at every offset of the text's first part. The rest are for validation:
/// windows of the last part that do not overlap, so that each of its tokens counts once.
#[derive(Debug)]
pub struct Text {
    tokens: Tokens,
    vocabulary: Vocabulary,
    context: usize,
    /// Number of training windows, one at every offset.
    train: usize,
    /// Start of the last part, and its number of windows.
    validation_start: usize,
    validation: usize,
    fingerprint: Fingerprint,
    unknown: Unknown,
    /// The first skipped text.
    lost: Option<String>,
}

/// Opens the data set of the text at `config.path`, with its split. For the run of a checkpoint, `recalled` has the
/// tokenizer; a cache folder that only the checkpoint names is searched, but nothing is written there, and unknown text
/// is no longer refused.
pub(super) fn open(config: &DataConfig, recalled: Option<Recalled<'_>>) -> Result<(Box<dyn Source>, Split), DataError> {
    let context = config.context.map(NonZeroUsize::get).ok_or(TextError::NoContext)?;
    let text = source::Texts::of_training(config)?;
    recalled.map_or(Ok(()), |recalled| recalled.check(config, &text.fingerprint))?;
    let fixed = Vocabulary::given(config, recalled)?;
    let tokens = |may_lose| {
        let (job, cache) = (Job { text: &text, fixed: fixed.clone(), may_lose }, config.cache.as_deref());
        match recalled {
            Some(recalled) if !recalled.cache_is_given => {
                cache.and_then(|folder| job.find(folder)).map_or_else(|| job.tokens(None), Ok)
            }
            _ => job.tokens(cache),
        }
    };
    let has_begun = recalled.is_some();
    let (lost, (tokens, vocabulary)) = match tokens(false) {
        // A run that began when characters were skipped continues without them.
        Err(DataError::Text(error)) if has_begun && error.is_lost() => (Some(error.to_string()), tokens(true)?),
        made => (None, made?),
    };
    if tokens.len() == 0 {
        return Err(DataError::EmptyFile { path: text.path().to_owned() });
    }
    let unknown = unknown(&tokens, &vocabulary, &text);
    let unknown = if has_begun { unknown } else { few(unknown, &text)? };
    let set_aside = Split::count(tokens.len(), config.validation)?;
    let first_part = tokens.len() - set_aside;
    let (train, validation) = (first_part.saturating_sub(context), set_aside.saturating_sub(1) / context);
    let too_short = |part, tokens| TextError::TooShort { path: config.path.clone(), part, tokens, context };
    if train == 0 {
        return Err(too_short("training", first_part).into());
    }
    if set_aside > 0 && validation == 0 {
        return Err(too_short("validation", set_aside).into());
    }
    let split = Split::last(train + validation, validation)?;
    let fingerprint = text.fingerprint;
    let validation_start = first_part;
    let text = Text { tokens, vocabulary, context, train, validation_start, validation, fingerprint, unknown, lost };
    Ok((Box::new(text), split))
}

impl Vocabulary {
    /// Returns the tokens that `config` names; `None` for the characters of its text. The tokenizer of a run of a checkpoint is
    /// the one in it, unless another is given.
    pub(in crate::data) fn given(
        config: &DataConfig,
        recalled: Option<Recalled<'_>>,
    ) -> Result<Option<Self>, DataError> {
        let memory = recalled.filter(|recalled| !recalled.tokenizer_is_given).and_then(|recalled| recalled.memory);
        Ok(match (&config.tokenizer, config.tokens.unwrap_or_default(), memory) {
            (Some(_), ..) if config.tokens.is_some() => {
                return Err(DataError::meaningless("tokens", "text with a tokenizer"));
            }
            (Some(_), _, Some(memory)) => Some(Self::load(memory)?),
            (Some(path), _, None) => Some(Self::from_file(path)?),
            (None, TokenKind::Bytes, _) => Some(Self::bytes()),
            (None, TokenKind::Characters, _) => None,
        })
    }
}

/// Opens the text of `config` with an existing vocabulary, all of it as rows that do not overlap. The tokens stay
/// in memory.
pub(super) fn open_known(config: &DataConfig, vocabulary: Vocabulary) -> Result<Text, DataError> {
    let context = config.context.map(NonZeroUsize::get).ok_or(TextError::NoContext)?;
    let text = source::Texts::of_training(config)?;
    let (tokens, vocabulary) = Job { text: &text, fixed: Some(vocabulary), may_lose: false }.in_memory()?;
    let unknown = few(unknown(&tokens, &vocabulary, &text), &text)?;
    let windows = tokens.len().saturating_sub(1) / context;
    if windows == 0 {
        let (path, tokens) = (text.path().to_owned(), tokens.len());
        return Err(TextError::TooShort { path, part: "evaluation", tokens, context }.into());
    }
    let fingerprint = text.fingerprint;
    let (train, validation_start, validation) = (0, 0, windows);
    Ok(Text { tokens, vocabulary, context, train, validation_start, validation, fingerprint, unknown, lost: None })
}

/// Returns the unknown part of the text.
fn unknown(tokens: &Tokens, vocabulary: &Vocabulary, text: &source::Texts) -> Unknown {
    let Some((token, _)) = vocabulary.unknown() else { return Unknown::default() };
    let count = tokens.count(token);
    let beginning = if count > 0 { text.beginning() } else { String::new() };
    vocabulary.unknowns(count, tokens.len(), &beginning)
}

/// Refuses a text that is mostly unknown.
fn few(unknown: Unknown, text: &source::Texts) -> Result<Unknown, DataError> {
    let in_file = |source| TextError::InFile { path: text.path().to_owned(), source: Box::new(source) };
    Ok(unknown.require_few().map_err(in_file)?)
}

impl Text {
    /// Returns the vocabulary of its tokens.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Returns the start of a row's window.
    fn start(&self, row: usize) -> Option<usize> {
        match row.checked_sub(self.train) {
            None => Some(row),
            Some(window) => (window < self.validation).then(|| self.validation_start + window * self.context),
        }
    }
}

impl Dataset for Text {
    fn len(&self) -> usize {
        self.train + self.validation
    }

    of_vocabulary!(self => self.vocabulary, self.context);

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn notices(&self) -> Vec<Notice> {
        let lost =
            self.lost.iter().map(|first| Notice::Warning(format!("as when the run began, text is skipped: {first}")));
        let regex = self.vocabulary.is_of_other_regex().then(|| {
            Notice::Warning(
                "the run began with a version that read the regular expressions of its tokenizer in another way; if its \
                 cached tokens are gone, some tokens may differ from those it began with"
                    .to_owned(),
            )
        });
        lost.chain(self.unknown.notice()).chain(regex).collect()
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let size = rows.len() * self.context;
        let (mut inputs, mut targets) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for &row in rows {
            let start = self.start(row).ok_or(DataError::NoSuchRow { row, rows: self.len() })?;
            self.tokens.read(start..start + self.context, &mut inputs);
            self.tokens.read(start + 1..start + 1 + self.context, &mut targets);
        }
        let tensor = |tokens| Tensor::from_vec(tokens, (rows.len(), self.context), &Device::Cpu);
        Ok(Batch { inputs: tensor(inputs)?, targets: tensor(targets)? })
    }
}

saves_vocabulary!(Text);

#[cfg(test)]
mod tests {
    use super::*;

    fn known(content: &str) -> Result<Text, DataError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let config = DataConfig { context: NonZeroUsize::new(3), ..DataConfig::new(file.path()) };
        open_known(&config, Vocabulary::characters("abcdefgh"))
    }

    #[test]
    fn a_text_in_known_tokens_is_windows_that_do_not_overlap() {
        let text = known("hgfedcba").unwrap();
        assert_eq!((text.len(), text.input()), (2, Input::Tokens { context: 3, vocabulary: 8 }));
        let batch = text.gather(&[0, 1]).unwrap();
        assert_eq!(batch.inputs.to_vec2::<u32>().unwrap(), [[7, 6, 5], [4, 3, 2]]);
        assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), [[6, 5, 4], [3, 2, 1]]);
    }

    /// A run that began when characters without a token were skipped continues without them, and a new one is refused.
    #[test]
    fn what_a_tokenizer_skipped_of_a_text_when_its_run_began_is_skipped_again() {
        let folder = tempfile::tempdir().unwrap();
        let [text, json, cache] = ["a.txt", "t.json", "cache"].map(|name| folder.path().join(name));
        std::fs::write(&text, "abab\nab\u{77f3}abba").unwrap();
        let tokenizer = r#"{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}"#;
        std::fs::write(&json, tokenizer).unwrap();
        let config = DataConfig {
            context: NonZeroUsize::new(3),
            tokenizer: Some(json.clone()),
            cache: Some(cache),
            ..DataConfig::new(&text)
        };
        let message = open(&config, None).map(drop).unwrap_err().to_string();
        let place = "character \"\\n\" at byte 4, line 1, is in no token of the tokenizer";
        assert!(message.contains(place), "{message}");
        let memory = Vocabulary::from_file(&json).unwrap().save();
        for cache_is_given in [true, true, false] {
            let recalled = Recalled {
                fingerprint: None,
                memory: Some(&memory),
                tokenizer_is_given: false,
                cache_is_given,
                batch_sizes: None,
            };
            let (data, _) = open(&config, Some(recalled)).unwrap();
            assert_eq!(data.len(), 10 - 3);
            let notice = data.notices()[0].to_string();
            assert!(notice.starts_with("warning: as when the run began, text is skipped: "), "{notice}");
            assert!(open(&config, None).is_err());
        }
    }

    #[test]
    fn a_text_with_other_characters_or_too_few_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abcx").unwrap();
        let config = DataConfig { context: NonZeroUsize::new(3), ..DataConfig::new(file.path()) };
        let message = open_known(&config, Vocabulary::characters("abc")).unwrap_err().to_string();
        let expected = format!(
            "{}: character 'x' at byte 3, line 1, is unknown to the vocabulary of 3 characters",
            file.path().display()
        );
        assert_eq!(message, expected);
        assert!(known("abc").unwrap_err().to_string().contains("evaluation has 3 tokens, and a row needs 4"));
    }
}
