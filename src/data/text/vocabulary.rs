//! Vocabularies: from text to tokens and back.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::source::Texts;
use super::tokenizer::{At, Failure, JsonTokenizer};
use crate::data::DataError;
use crate::data::error::{TextError, Unknown};
use crate::regular;

/// The tokens of a text: its characters, bytes, or those of a tokenizer.
///
/// A checkpoint contains it as the state of the part `dataset`, from which [`Vocabulary::load`] restores it.
#[derive(Clone)]
pub struct Vocabulary {
    pub(super) kind: Kind,
    /// The token between documents.
    pub(super) separator: Option<u32>,
}

#[derive(Clone)]
pub(super) enum Kind {
    /// In ascending order; the token of a character is its index.
    Characters(Vec<char>),
    Bytes,
    Tokenizer(JsonTokenizer),
}

/// The amount of text before a piece.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::data) struct Before {
    pub bytes: u64,
    pub lines: u64,
}

impl Before {
    /// Returns the byte, from 0, and the line, from 1, of a position in the piece.
    fn place(self, piece: &[u8], at: usize) -> (u64, u64) {
        (self.bytes + at as u64, self.lines + line_ends(&piece[..at.min(piece.len())]) + 1)
    }
}

/// Counts the line ends in `piece`.
pub(in crate::data) fn line_ends(piece: &[u8]) -> u64 {
    piece.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// Whether a tokenizer splits words at random, like "BPE-Dropout": Provilkov and others, 2020.
fn drops_merges(json: &[u8]) -> bool {
    let json: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    json["model"]["dropout"].as_f64().is_some_and(|dropout| dropout > 0.0)
}

impl Vocabulary {
    pub(super) fn of_kind(kind: Kind) -> Self {
        Self { kind, separator: None }
    }

    /// The bytes from 0 to 255.
    pub fn bytes() -> Self {
        Self::of_kind(Kind::Bytes)
    }

    /// These characters, each once.
    pub fn characters(text: &str) -> Self {
        Self::of_kind(Kind::Characters(text.chars().collect::<BTreeSet<char>>().into_iter().collect()))
    }

    /// Every character of `text`.
    pub(super) fn of(text: &Texts) -> Result<Self, DataError> {
        let mut characters = BTreeSet::new();
        for file in &text.files {
            file.text::<DataError>(|_, piece| {
                characters.extend(piece.chars());
                Ok(())
            })?;
        }
        Ok(Self::of_kind(Kind::Characters(characters.into_iter().collect())))
    }

    /// Reads the tokenizer in a `tokenizer.json`, of any kind that the `tokenizers` library writes. Padding and
    /// truncation in it are ignored.
    ///
    /// # Errors
    /// The file cannot be read, is not a tokenizer, or gives different tokens for the same text every time.
    pub fn from_file(path: &Path) -> Result<Self, TextError> {
        let path = path.to_path_buf();
        let json = regular::read(&path).map_err(|source| TextError::ReadTokenizer { path: path.clone(), source })?;
        if drops_merges(&json) {
            return Err(TextError::RandomTokenizer { path });
        }
        Self::tokenizer(json).map_err(|reason| TextError::NotATokenizer { path, reason })
    }

    /// Creates a tokenizer from the content of its `tokenizer.json`.
    fn tokenizer(json: Vec<u8>) -> Result<Self, String> {
        JsonTokenizer::new(json).map(|tokenizer| Self::of_kind(Kind::Tokenizer(tokenizer)))
    }

    /// Returns the number of tokens; each is below that.
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Characters(characters) => characters.len(),
            Kind::Bytes => 256,
            Kind::Tokenizer(tokenizer) => tokenizer.size(),
        }
    }

    /// Returns the number of bytes of text that each token stands for, 0 for the separator; `None` if the tokens do not
    /// keep every byte, as those of a tokenizer that drops spaces.
    pub fn token_bytes(&self) -> Option<Vec<u32>> {
        let mut bytes = match &self.kind {
            Kind::Characters(characters) => {
                Some(characters.iter().map(|character| character.len_utf8() as u32).collect())
            }
            Kind::Bytes => Some(vec![1; 256]),
            Kind::Tokenizer(tokenizer) => tokenizer.token_bytes(),
        }?;
        if let Some(bytes) = self.separator.and_then(|separator| bytes.get_mut(separator as usize)) {
            *bytes = 0;
        }
        Some(bytes)
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the tokens of `text`.
    ///
    /// # Errors
    /// A character is not in the vocabulary.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let mut tokens = Vec::with_capacity(text.len());
        self.encode_piece(Before::default(), text.as_bytes(), false, |token| tokens.push(token))?;
        Ok(tokens)
    }

    /// Passes the tokens of a piece of text to `see`; `before` is the text before it. Bytes that are not text have
    /// tokens only if the tokens are bytes. Text without a token is an error, unless it `may_be_lost`.
    pub(in crate::data) fn encode_piece(
        &self,
        before: Before,
        bytes: &[u8],
        may_be_lost: bool,
        mut see: impl FnMut(u32),
    ) -> Result<(), TextError> {
        match &self.kind {
            Kind::Bytes => bytes.iter().for_each(|&byte| see(byte.into())),
            Kind::Characters(known) => {
                let unknown = |character, at| {
                    let (byte, line) = before.place(bytes, at);
                    TextError::UnknownCharacter { character, byte, line, known: self.to_string() }
                };
                for (at, character) in String::from_utf8_lossy(bytes).char_indices() {
                    see(known.binary_search(&character).map_err(|_| unknown(character, at))? as u32);
                }
            }
            Kind::Tokenizer(tokenizer) => {
                let text = String::from_utf8_lossy(bytes);
                tokenizer.encode(&text, may_be_lost, see).map_err(|failure| match failure {
                    Failure::Tokenizer(reason) => TextError::Tokenizer { byte: before.bytes, reason },
                    Failure::Lost(At { text, byte }) => {
                        let (byte, line) = before.place(bytes, byte);
                        TextError::LostCharacter { character: text, byte, line }
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Returns the unknown token and its word.
    pub(in crate::data) fn unknown(&self) -> Option<(u32, String)> {
        let Kind::Tokenizer(tokenizer) = &self.kind else { return None };
        tokenizer.unknown().map(|token| (token, tokenizer.word(token)))
    }

    /// Counts the unknown ones among `tokens`; more than half is an error, with an example from the beginning `text`.
    ///
    /// # Errors
    /// More than half of the tokens are unknown.
    pub(crate) fn require_known(&self, tokens: &[u32], text: &str) -> Result<Unknown, TextError> {
        let Some((unknown, _)) = self.unknown() else { return Ok(Unknown::default()) };
        let count = tokens.iter().filter(|&&token| token == unknown).count();
        self.unknowns(count, tokens.len(), text).require_few()
    }

    /// Describes `count` unknown tokens of `tokens`, with an example if there is one in `text`, the beginning of the
    /// text.
    pub(in crate::data) fn unknowns(&self, count: usize, tokens: usize, text: &str) -> Unknown {
        let (Some((_, word)), Kind::Tokenizer(tokenizer)) = (self.unknown(), &self.kind) else {
            return Unknown::default();
        };
        let first = (count > 0).then(|| tokenizer.first_unknown(text)).flatten().map(|At { text: of, byte }| {
            let (byte, line) = Before::default().place(text.as_bytes(), byte);
            format!(", for example for {of:?} at byte {byte}, line {line}")
        });
        Unknown { count, tokens, word, example: first.unwrap_or_default() }
    }

    /// Whether text may have no token at all, not even the unknown token.
    pub(super) fn may_lose(&self) -> bool {
        matches!(&self.kind, Kind::Tokenizer(tokenizer) if tokenizer.may_lose())
    }

    /// Returns the end of the identity of its tokens: the library of its regular expressions, unless they are those of
    /// a run of an earlier version, whose cached tokens are still found.
    pub(super) fn regex(&self) -> &'static str {
        if matches!(&self.kind, Kind::Tokenizer(tokenizer) if tokenizer.is_of_this_regex()) { " oniguruma" } else { "" }
    }

    /// Whether it is that of a run whose regular expressions were read by another library.
    pub(super) fn is_of_other_regex(&self) -> bool {
        matches!(&self.kind, Kind::Tokenizer(tokenizer) if tokenizer.is_of_other_regex())
    }

    /// Whether it has tokens for bytes that are not text.
    pub(in crate::data) fn takes_any_bytes(&self) -> bool {
        matches!(self.kind, Kind::Bytes)
    }

    /// Returns its characters in order, if it has characters.
    pub(super) fn listed(&self) -> String {
        match &self.kind {
            Kind::Characters(characters) => characters.iter().collect(),
            _ => String::new(),
        }
    }

    /// Returns a word for the kind of its tokens.
    pub(super) fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Characters(_) => "characters",
            Kind::Bytes => "bytes",
            Kind::Tokenizer(_) => "tokenizer",
        }
    }

    /// Returns the text of `tokens`. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// A token is not below [`Vocabulary::len`].
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TextError> {
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= self.len()) {
            return Err(TextError::UnknownToken { token, known: self.to_string() });
        }
        Ok(match &self.kind {
            Kind::Characters(known) => tokens.iter().filter_map(|&token| known.get(token as usize)).collect(),
            Kind::Bytes => {
                let bytes: Vec<u8> = tokens.iter().map(|&token| token as u8).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Kind::Tokenizer(tokenizer) => {
                tokenizer.decode(tokens).map_err(|reason| TextError::Tokenizer { byte: 0, reason })?
            }
        })
    }
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.kind, &other.kind) {
            (Kind::Characters(own), Kind::Characters(others)) => own == others,
            (Kind::Bytes, Kind::Bytes) => true,
            (Kind::Tokenizer(own), Kind::Tokenizer(others)) => own.json() == others.json(),
            _ => false,
        };
        same && self.separator == other.separator
    }
}

impl fmt::Display for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Characters(characters) => write!(f, "{} characters", characters.len()),
            Kind::Bytes => write!(f, "bytes"),
            Kind::Tokenizer(tokenizer) => {
                let hash = blake3::hash(tokenizer.json()).to_hex();
                write!(f, "{} tokens by a tokenizer with blake3 {hash}", tokenizer.size())
            }
        }
    }
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vocabulary({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    #[test]
    fn characters_are_numbered_in_their_order_and_come_back() {
        let vocabulary = Vocabulary::characters("hello, wörld\n");
        assert_eq!(vocabulary.len(), 11);
        assert_eq!(vocabulary.encode("\nö, h").unwrap(), [0, 10, 2, 1, 5]);
        assert_eq!(vocabulary.decode(&[5, 4, 6, 6, 7]).unwrap(), "hello");
        assert_eq!(Vocabulary::load(&vocabulary.save()).unwrap(), vocabulary);
    }

    #[test]
    fn what_is_unknown_is_named_with_its_place() {
        let vocabulary = Vocabulary::characters("aö");
        assert_eq!(
            vocabulary.encode("öax").unwrap_err().to_string(),
            "character 'x' at byte 3, line 1, is unknown to the vocabulary of 2 characters"
        );
        assert_eq!(
            vocabulary.decode(&[0, 2]).unwrap_err().to_string(),
            "token 2 is not below the size of the vocabulary of 2 characters"
        );
    }

    #[test]
    fn a_token_stands_for_bytes() {
        assert_eq!(Vocabulary::characters("aö€").token_bytes().unwrap(), [1, 2, 3]);
        assert_eq!(Vocabulary::bytes().token_bytes().unwrap(), [1; 256]);
    }

    #[test]
    fn bytes_need_no_text() {
        let vocabulary = Vocabulary::bytes();
        assert_eq!(vocabulary.encode("ö").unwrap(), [0xc3, 0xb6]);
        assert_eq!(vocabulary.decode(&[0xc3, 0xb6, 0xff]).unwrap(), "ö\u{fffd}");
        assert_eq!(Vocabulary::load(&vocabulary.save()).unwrap(), vocabulary);
    }

    #[test]
    fn a_state_that_is_no_vocabulary_is_refused() {
        let state = |json| State::from_json(json);
        for bad in [
            serde_json::json!(null),
            serde_json::json!({"tokens": "words"}),
            serde_json::json!({"tokens": "tokenizer"}),
        ] {
            assert!(Vocabulary::load(&state(bad)).is_err());
        }
    }
}
