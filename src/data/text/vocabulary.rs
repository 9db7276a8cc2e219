//! What tokens stand for: from text to tokens and back.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use super::TextError;
use super::source::TextFile;
use crate::data::DataError;
use crate::regular;
use crate::state::{Dtype, HostTensor, State, StateError};

/// The name of the tensor that holds a `tokenizer.json`.
const TOKENIZER: &str = "tokenizer";

/// The tokens of a text: its characters, bytes, or those of a tokenizer.
///
/// A checkpoint holds it as the state of the part `dataset`, from which [`Vocabulary::load`] makes it again.
#[derive(Clone)]
pub struct Vocabulary(Kind);

#[derive(Clone)]
enum Kind {
    /// In ascending order; the place of a character is its token.
    Characters(Vec<char>),
    Bytes,
    Tokenizer {
        json: Arc<[u8]>,
        tokenizer: Arc<Tokenizer>,
        size: usize,
    },
}

/// The JSON of a saved vocabulary.
#[derive(Serialize, Deserialize)]
#[serde(tag = "tokens", rename_all = "lowercase", deny_unknown_fields)]
enum Saved {
    Characters { characters: String },
    Bytes,
    Tokenizer,
}

/// Whether a tokenizer is of the kind that splits words at random, as "BPE-Dropout" does: Provilkov and others, 2020.
fn drops_merges(json: &[u8]) -> bool {
    let json: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    json["model"]["dropout"].as_f64().is_some_and(|dropout| dropout > 0.0)
}

impl Vocabulary {
    /// The bytes from 0 to 255.
    pub fn bytes() -> Self {
        Self(Kind::Bytes)
    }

    /// These characters, each once.
    pub fn characters(text: &str) -> Self {
        Self(Kind::Characters(text.chars().collect::<BTreeSet<char>>().into_iter().collect()))
    }

    /// Every character of `text`.
    pub(super) fn of(text: &TextFile) -> Result<Self, DataError> {
        let mut characters = BTreeSet::new();
        text.text::<DataError>(|_, piece| {
            characters.extend(piece.chars());
            Ok(())
        })?;
        Ok(Self(Kind::Characters(characters.into_iter().collect())))
    }

    /// The tokenizer in a `tokenizer.json`, of any kind that the `tokenizers` library writes. Padding and truncation
    /// that it may ask for are left aside.
    ///
    /// # Errors
    /// The file cannot be read, is none, or gives other tokens for the same text every time.
    pub fn from_file(path: &Path) -> Result<Self, TextError> {
        let path = path.to_path_buf();
        let json = regular::read(&path).map_err(|source| TextError::ReadTokenizer { path: path.clone(), source })?;
        if drops_merges(&json) {
            return Err(TextError::RandomTokenizer { path });
        }
        Self::tokenizer(json).map_err(|reason| TextError::NotATokenizer { path, reason })
    }

    /// A tokenizer from the content of its `tokenizer.json`.
    fn tokenizer(json: Vec<u8>) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None).with_truncation(None).map_err(|error| error.to_string())?;
        let size = tokenizer.get_vocab(true).into_values().max().map_or(0, |largest| largest as usize + 1);
        if size == 0 {
            return Err("it has no tokens".to_owned());
        }
        Ok(Self(Kind::Tokenizer { json: json.into(), tokenizer: Arc::new(tokenizer), size }))
    }

    /// How many tokens there are; each is below that.
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Characters(characters) => characters.len(),
            Kind::Bytes => 256,
            Kind::Tokenizer { size, .. } => *size,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// A character is in no token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let mut tokens = Vec::with_capacity(text.len());
        self.encode_piece(0, text.as_bytes(), |token| tokens.push(token))?;
        Ok(tokens)
    }

    /// Hands the tokens of a piece of text to `see`. `before` is how many bytes were before it; bytes that are no text
    /// have tokens only where those are bytes.
    pub(super) fn encode_piece(&self, before: u64, bytes: &[u8], mut see: impl FnMut(u32)) -> Result<(), TextError> {
        match &self.0 {
            Kind::Bytes => bytes.iter().for_each(|&byte| see(byte.into())),
            Kind::Characters(known) => {
                let unknown = |character, at| TextError::UnknownCharacter {
                    character,
                    byte: before + at as u64,
                    known: self.to_string(),
                };
                for (at, character) in String::from_utf8_lossy(bytes).char_indices() {
                    see(known.binary_search(&character).map_err(|_| unknown(character, at))? as u32);
                }
            }
            Kind::Tokenizer { tokenizer, .. } => {
                let text = String::from_utf8_lossy(bytes);
                let encoding = tokenizer.encode_fast(text.as_ref(), false);
                let failed =
                    |error: tokenizers::Error| TextError::Tokenizer { byte: before, reason: error.to_string() };
                encoding.map_err(failed)?.get_ids().iter().for_each(|&token| see(token));
            }
        }
        Ok(())
    }

    /// Whether it has tokens for bytes that are no text.
    pub(super) fn takes_any_bytes(&self) -> bool {
        matches!(self.0, Kind::Bytes)
    }

    /// Its characters in their order, where it has such.
    pub(super) fn listed(&self) -> String {
        match &self.0 {
            Kind::Characters(characters) => characters.iter().collect(),
            _ => String::new(),
        }
    }

    /// What its tokens are, in a word.
    pub(super) fn kind(&self) -> &'static str {
        match self.0 {
            Kind::Characters(_) => "characters",
            Kind::Bytes => "bytes",
            Kind::Tokenizer { .. } => "tokenizer",
        }
    }

    /// The text of `tokens`. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// A token is not below [`Vocabulary::len`].
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TextError> {
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= self.len()) {
            return Err(TextError::UnknownToken { token, known: self.to_string() });
        }
        Ok(match &self.0 {
            Kind::Characters(known) => tokens.iter().filter_map(|&token| known.get(token as usize)).collect(),
            Kind::Bytes => {
                let bytes: Vec<u8> = tokens.iter().map(|&token| token as u8).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Kind::Tokenizer { tokenizer, .. } => {
                let failed = |error: tokenizers::Error| TextError::Tokenizer { byte: 0, reason: error.to_string() };
                tokenizer.decode(tokens, false).map_err(failed)?
            }
        })
    }

    /// What a checkpoint remembers of it.
    pub fn save(&self) -> State {
        let (saved, tensor) = match &self.0 {
            Kind::Characters(characters) => (Saved::Characters { characters: characters.iter().collect() }, None),
            Kind::Bytes => (Saved::Bytes, None),
            Kind::Tokenizer { json, .. } => {
                let tensor = HostTensor { dtype: Dtype::U8, shape: vec![json.len()], bytes: json.to_vec() };
                (Saved::Tokenizer, Some((TOKENIZER.to_owned(), tensor)))
            }
        };
        let json = serde_json::to_value(saved).unwrap_or_default();
        State { json, tensors: tensor.into_iter().collect() }
    }

    /// The vocabulary of a saved state.
    ///
    /// # Errors
    /// The state is not that of a vocabulary.
    pub fn load(state: &State) -> Result<Self, StateError> {
        match Saved::deserialize(&state.json)? {
            Saved::Tokenizer => {
                let json = state.tensors.get(TOKENIZER).map(|tensor| tensor.bytes.clone()).unwrap_or_default();
                state.expect_tensors([(TOKENIZER, Dtype::U8, &[json.len()][..])])?;
                Self::tokenizer(json).map_err(StateError::Malformed)
            }
            Saved::Bytes => state.expect_tensors([]).map(|()| Self::bytes()),
            Saved::Characters { characters } => state.expect_tensors([]).map(|()| Self::characters(&characters)),
        }
    }
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Characters(own), Kind::Characters(others)) => own == others,
            (Kind::Bytes, Kind::Bytes) => true,
            (Kind::Tokenizer { json: own, .. }, Kind::Tokenizer { json: others, .. }) => own == others,
            _ => false,
        }
    }
}

impl fmt::Display for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Characters(characters) => write!(f, "{} characters", characters.len()),
            Kind::Bytes => write!(f, "bytes"),
            Kind::Tokenizer { json, size, .. } => {
                write!(f, "{size} tokens by a tokenizer with blake3 {}", blake3::hash(json).to_hex())
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
            "character 'x' at byte 3 is unknown to the vocabulary of 2 characters"
        );
        assert_eq!(
            vocabulary.decode(&[0, 2]).unwrap_err().to_string(),
            "token 2 is not below the size of the vocabulary of 2 characters"
        );
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
