//! What can be wrong with a text, its tokenizer, or text that is to become tokens.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What is wrong with text.
#[derive(Debug, Error)]
pub enum TextError {
    /// The length of a row is not given.
    #[error("`data.context` is missing: how many tokens a row of text holds")]
    NoContext,
    /// There are fewer tokens than a row needs.
    #[error(
        "{path}: the part for {part} has {tokens} tokens, and a row needs {} (`data.context` = {context}, and one more)",
        context + 1
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Training or validation.
        part: &'static str,
        /// How many tokens it has.
        tokens: usize,
        /// The tokens of a row.
        context: usize,
    },
    /// The file is not text.
    #[error("{path}, byte {byte}: not UTF-8 text; save the file as UTF-8, or set `data.tokens = \"bytes\"`")]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where, unpacked and from 0.
        byte: u64,
    },
    /// The tokenizer cannot be read.
    #[error("cannot read the tokenizer {path}: {source}; `data.tokenizer` says where it is")]
    ReadTokenizer {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The tokenizer is none.
    #[error("{path} is not a tokenizer.json: {reason}")]
    NotATokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer gives other tokens every time.
    #[error("{path} drops merges at random (`model.dropout`), so that no two runs see the same tokens; set it to null")]
    RandomTokenizer {
        /// The file.
        path: PathBuf,
    },
    /// Text has a character that is in no token.
    #[error("character {character:?} at byte {byte} is unknown to the vocabulary of {known}")]
    UnknownCharacter {
        /// The character.
        character: char,
        /// Where, from 0.
        byte: u64,
        /// What the vocabulary is.
        known: String,
    },
    /// The text of a file does not become tokens.
    #[error("{path}: {source}")]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<TextError>,
    },
    /// A token is none of the vocabulary's.
    #[error("token {token} is not below the size of the vocabulary of {known}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// What the vocabulary is.
        known: String,
    },
    /// The tokenizer refuses some text.
    #[error("the tokenizer fails on the text from byte {byte} on: {reason}")]
    Tokenizer {
        /// Where the piece begins, from 0.
        byte: u64,
        /// What it says.
        reason: String,
    },
}
