//! Tokenization with a `tokenizer.json`, and detection of text without tokens.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Tokenizer};

/// A tokenizer and its words.
#[derive(Clone)]
pub(super) struct JsonTokenizer {
    json: Arc<[u8]>,
    tokenizer: Arc<Tokenizer>,
    size: usize,
    /// The unknown token.
    unknown: Option<u32>,
    /// Whether there may be text without any token, not even the unknown token.
    may_lose: bool,
    /// Whether it has regular expressions.
    has_regex: bool,
    /// Whether its tokens were first made by this library of regular expressions.
    is_of_this_version: bool,
}

/// A piece of text with its position.
pub(super) struct At {
    pub text: String,
    pub byte: usize,
}

/// Why text could not be tokenized.
pub(super) enum Failure {
    /// Error of the tokenizer.
    Tokenizer(String),
    /// A character has no token.
    Lost(At),
}

impl From<tokenizers::Error> for Failure {
    fn from(error: tokenizers::Error) -> Self {
        Self::Tokenizer(error.to_string())
    }
}

impl JsonTokenizer {
    /// Creates the tokenizer from this JSON. Padding and truncation in it are ignored.
    pub fn new(json: Vec<u8>) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None).with_truncation(None).map_err(|error| error.to_string())?;
        let size = tokenizer.get_vocab(true).into_values().max().map_or(0, |largest| largest as usize + 1);
        if size == 0 {
            return Err("it has no tokens".to_owned());
        }
        let value: Value = serde_json::from_slice(&json).unwrap_or_default();
        let model = &value["model"];
        let named = model["unk_token"].as_str().and_then(|token| tokenizer.token_to_id(token));
        let unknown = named.or_else(|| model["unk_id"].as_u64().map(|id| id as u32));
        // Other models have a token for everything, or report text without one.
        let is_bpe = matches!(tokenizer.get_model(), ModelWrapper::BPE(_));
        let may_lose = is_bpe && model["unk_token"].is_null() && !has_all_bytes(&tokenizer, &value);
        let has_regex = has_regex(&value["pre_tokenizer"]) || has_regex(&value["normalizer"]);
        let (json, tokenizer) = (json.into(), Arc::new(tokenizer));
        Ok(Self { json, tokenizer, size, unknown, may_lose, has_regex, is_of_this_version: true })
    }

    /// Says whether the tokens of its run were first made by this library of regular expressions.
    pub fn set_regex(&mut self, is_of_this_version: bool) {
        self.is_of_this_version = is_of_this_version;
    }

    /// Whether it has regular expressions, read by this library.
    pub fn is_of_this_regex(&self) -> bool {
        self.has_regex && self.is_of_this_version
    }

    /// Whether it has regular expressions that were read by another library.
    pub fn is_of_other_regex(&self) -> bool {
        self.has_regex && !self.is_of_this_version
    }

    pub fn json(&self) -> &[u8] {
        &self.json
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    pub fn may_lose(&self) -> bool {
        self.may_lose
    }

    /// Returns the token with this word.
    pub fn token(&self, word: &str) -> Option<u32> {
        self.tokenizer.token_to_id(word)
    }

    /// Returns the word of a token.
    pub fn word(&self, token: u32) -> String {
        self.tokenizer.id_to_token(token).unwrap_or_default()
    }

    /// Returns the number of bytes that each token stands for, if there is a token for every byte.
    pub fn token_bytes(&self) -> Option<Vec<u32>> {
        let value: Value = serde_json::from_slice(&self.json).ok()?;
        if !has_all_bytes(&self.tokenizer, &value) {
            return None;
        }
        let are_bytes = ["pre_tokenizer", "normalizer"].iter().any(|step| mentions_bytes(&value[step]));
        let bytes = |token: u32| {
            let word = self.word(token);
            match word.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')) {
                Some(byte) if byte.len() == 2 && !are_bytes => 1,
                // Each character stands for a byte.
                _ if are_bytes => word.chars().count(),
                // A space is written as U+2581.
                _ => word.chars().map(|character| if character == '\u{2581}' { 1 } else { character.len_utf8() }).sum(),
            }
        };
        Some((0..self.size as u32).map(|token| bytes(token) as u32).collect())
    }

    /// Passes the tokens of `text` to `see`. A character without a token is an error, unless it `may_be_lost`.
    pub fn encode(&self, text: &str, may_be_lost: bool, mut see: impl FnMut(u32)) -> Result<(), Failure> {
        let pieces = self.pieces(text)?;
        for (normalized, place, tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            let tokens = tokens.as_deref().unwrap_or_default();
            tokens.iter().for_each(|token| see(token.id));
            let covered = tokens.last().map_or(0, |token| token.offsets.1);
            if self.may_lose && !may_be_lost && covered < normalized.len() {
                return Err(Failure::Lost(self.lost(text, place.0..place.1)?));
            }
        }
        Ok(())
    }

    pub fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        self.tokenizer.decode(tokens, false).map_err(|error| error.to_string())
    }

    /// Returns the first text that becomes the unknown token.
    pub fn first_unknown(&self, text: &str) -> Option<At> {
        const SHOWN: usize = 20;
        let unknown = self.unknown?;
        let pieces = self.pieces(text).ok()?;
        let mut splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte).into_iter();
        splits.find_map(|(normalized, (start, end), tokens)| {
            let token = tokens.iter().flatten().find(|token| token.id == unknown)?;
            // If the text was not normalized, the token gives its own position.
            let is_same = text.get(start..end) == Some(normalized);
            let (start, end) = if is_same { (start + token.offsets.0, start + token.offsets.1) } else { (start, end) };
            Some(At { text: text.get(start..end)?.chars().take(SHOWN).collect(), byte: start })
        })
    }

    /// Splits text into pieces with their tokens, as [`Tokenizer::encode`] does before it adds special tokens.
    fn pieces(&self, text: &str) -> Result<PreTokenizedString, tokenizers::Error> {
        let tokenizer = &self.tokenizer;
        let mut pieces = tokenizer.get_added_vocabulary().extract_and_normalize(tokenizer.get_normalizer(), text);
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        tokenizer.get_model().tokenize_in_pretokenized(&mut pieces, None)?;
        Ok(pieces)
    }

    /// Returns the first character at this position of `text` that has no token on its own.
    fn lost(&self, text: &str, place: Range<usize>) -> Result<At, Failure> {
        let mut known = BTreeMap::new();
        let start = place.start;
        let slice = text.get(place).unwrap_or_default();
        for (at, character) in slice.char_indices() {
            let is_lost = match known.get(&character) {
                Some(is_lost) => *is_lost,
                None => {
                    let alone = self.pieces(character.encode_utf8(&mut [0; 4]))?;
                    let splits = alone.get_splits(OffsetReferential::Original, OffsetType::Byte);
                    let covered = |tokens: &Option<Vec<tokenizers::Token>>| {
                        tokens.iter().flatten().last().map_or(0, |token| token.offsets.1)
                    };
                    splits.iter().any(|(normalized, _, tokens)| covered(tokens) < normalized.len())
                }
            };
            known.insert(character, is_lost);
            if is_lost {
                return Ok(At { text: character.to_string(), byte: start + at });
            }
        }
        Ok(At { text: slice.chars().take(1).collect(), byte: start })
    }
}

/// Whether there is a token for each byte, used for text without another token.
fn has_all_bytes(tokenizer: &Tokenizer, json: &Value) -> bool {
    let model = &json["model"];
    let is_set = |option: &str| model[option].as_str().is_some_and(|text| !text.is_empty());
    if is_set("continuing_subword_prefix") || is_set("end_of_word_suffix") {
        return false;
    }
    let has = |token: &str| tokenizer.token_to_id(token).is_some();
    let becomes_bytes = ["pre_tokenizer", "normalizer"].iter().any(|step| mentions_bytes(&json[step]));
    let alphabet = || ByteLevel::alphabet().into_iter().all(|byte| has(byte.encode_utf8(&mut [0; 4])));
    let falls_back = model["byte_fallback"].as_bool() == Some(true);
    (becomes_bytes && alphabet()) || (falls_back && (0..=255).all(|byte| has(&format!("<0x{byte:02X}>"))))
}

/// Whether a step, or one nested in it, has a regular expression.
fn has_regex(step: &Value) -> bool {
    match step {
        Value::Object(table) => table.contains_key("Regex") || table.values().any(has_regex),
        Value::Array(steps) => steps.iter().any(has_regex),
        _ => false,
    }
}

/// Whether a step, or one nested in it, converts text to bytes.
fn mentions_bytes(step: &Value) -> bool {
    match step {
        Value::Object(table) => {
            table.get("type").is_some_and(|kind| kind == "ByteLevel") || table.values().any(mentions_bytes)
        }
        Value::Array(steps) => steps.iter().any(mentions_bytes),
        _ => false,
    }
}
