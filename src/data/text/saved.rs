//! A vocabulary as the state of a checkpoint.

use serde::{Deserialize, Serialize};

use super::tokenizer::JsonTokenizer;
use super::vocabulary::{Kind, Vocabulary};
use crate::data::stream;
use crate::state::{Dtype, HostTensor, State, StateError};

/// The name of the tensor with a `tokenizer.json`.
const TOKENIZER: &str = "tokenizer";

/// The library of regular expressions that tokenizers are read with.
const REGEX: &str = "oniguruma";

/// The JSON of a saved vocabulary.
#[derive(Serialize, Deserialize)]
#[serde(tag = "tokens", rename_all = "lowercase", deny_unknown_fields)]
enum Saved {
    Characters {
        characters: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separator: Option<u32>,
    },
    Bytes {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separator: Option<u32>,
    },
    Tokenizer {
        /// The library of its regular expressions, if it has any. Earlier versions had another one, which finds other
        /// pieces for some patterns, and no such entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        regex: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separator: Option<u32>,
    },
}

impl Vocabulary {
    /// Returns the state for a checkpoint.
    pub fn save(&self) -> State {
        let separator = self.separator;
        let (saved, tensor) = match &self.kind {
            Kind::Characters(characters) => {
                (Saved::Characters { characters: characters.iter().collect(), separator }, None)
            }
            Kind::Bytes => (Saved::Bytes { separator }, None),
            Kind::Tokenizer(tokenizer) => {
                let json = tokenizer.json();
                let tensor = HostTensor { dtype: Dtype::U8, shape: vec![json.len()], bytes: json.to_vec() };
                let regex = tokenizer.is_of_this_regex().then(|| REGEX.to_owned());
                (Saved::Tokenizer { regex, separator }, Some((TOKENIZER.to_owned(), tensor)))
            }
        };
        let json = serde_json::to_value(saved).unwrap_or_default();
        State { json, tensors: tensor.into_iter().collect() }
    }

    /// Restores the vocabulary from a saved state.
    ///
    /// # Errors
    /// The state is not that of a vocabulary.
    pub fn load(state: &State) -> Result<Self, StateError> {
        let state = &stream::without_shards(state);
        let (vocabulary, separator) = match Saved::deserialize(&state.json)? {
            Saved::Tokenizer { regex, separator } => {
                let json = state.tensors.get(TOKENIZER).map(|tensor| tensor.bytes.clone()).unwrap_or_default();
                state.expect_tensors([(TOKENIZER, Dtype::U8, &[json.len()][..])])?;
                let mut tokenizer = JsonTokenizer::new(json).map_err(StateError::Malformed)?;
                tokenizer.set_regex(regex.is_some());
                (Self::of_kind(Kind::Tokenizer(tokenizer)), separator)
            }
            Saved::Bytes { separator } => (state.expect_tensors([]).map(|()| Self::bytes())?, separator),
            Saved::Characters { characters, separator } => {
                (state.expect_tensors([]).map(|()| Self::characters(&characters))?, separator)
            }
        };
        if separator.is_some_and(|separator| separator as usize >= vocabulary.len()) {
            return Err(StateError::Malformed(format!("its separator is not a token of {vocabulary}")));
        }
        Ok(Self { separator, ..vocabulary })
    }

    /// Refuses the saved state of another vocabulary.
    ///
    /// # Errors
    /// It differs, or the state is not that of a vocabulary.
    pub(in crate::data) fn check(&self, state: &State) -> Result<(), StateError> {
        let saved = Self::load(state)?;
        if saved == *self {
            return Ok(());
        }
        let (what, saved, expected) = ("the vocabulary".to_owned(), saved.to_string(), self.to_string());
        Err(StateError::Mismatch { what, saved, expected })
    }
}
