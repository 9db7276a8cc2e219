//! Errors of a text, its tokenizer, or of tokenization.

use std::path::PathBuf;
use std::{fmt, io};

use thiserror::Error;

use crate::Notice;
use crate::figures::counted;

/// The unknown part of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// Number of unknown tokens.
    pub count: usize,
    /// Number of all tokens.
    pub tokens: usize,
    /// The unknown token.
    pub word: String,
    /// The first unknown text with its place, as the end of a message; may be empty.
    pub example: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, tokens, word, example } = self;
        let percent = 100.0 * self.share();
        write!(f, "{count} of {tokens} tokens ({percent:.1} %) are `{word}`, the unknown token{example}")
    }
}

impl TextError {
    /// Whether a tokenizer would lose text.
    pub(in crate::data) fn is_lost(&self) -> bool {
        match self {
            Self::InFile { source, .. } => source.is_lost(),
            error => matches!(error, Self::LostCharacter { .. }),
        }
    }
}

impl Unknown {
    /// Share of unknown tokens that gives a warning.
    const MANY: f64 = 0.01;

    fn share(&self) -> f64 {
        self.count as f64 / self.tokens.max(1) as f64
    }

    /// Refuses more than half.
    pub(in crate::data) fn require_few(self) -> Result<Self, TextError> {
        if self.share() > 0.5 { Err(TextError::MostlyUnknown(self)) } else { Ok(self) }
    }

    /// Returns a remark for the user.
    pub fn notice(&self) -> Option<Notice> {
        match self.count {
            0 => None,
            _ if self.share() > Self::MANY => Some(Notice::Warning(self.to_string())),
            _ => Some(Notice::Note(self.to_string())),
        }
    }
}

/// Errors of text.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TextError {
    /// The length of a row is missing.
    #[error("`data.context` is missing: the number of tokens in a row of text")]
    NoContext,
    /// There are fewer tokens than a row needs.
    #[error(
        "{path}: the part for {part} has {}, and a row needs {} (`data.context` = {context}, and one \
         more)",
        counted(*tokens, "token"),
        context + 1
    )]
    TooShort {
        /// The path of the file.
        path: PathBuf,
        /// Training or validation.
        part: &'static str,
        /// Its number of tokens.
        tokens: usize,
        /// The number of tokens in a row.
        context: usize,
    },
    /// An option of documents has a value that does not fit.
    #[error("`data.{option}` {rule}")]
    Option {
        /// The option.
        option: String,
        /// The rule for it, as the end of a sentence.
        rule: String,
    },
    /// A record of a JSON Lines file is invalid.
    #[error("{path}, line {line}: {reason}")]
    Record {
        /// The path of the file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The fault.
        reason: String,
    },
    /// No row of documents has a token to learn, for training or for validation.
    #[error(
        "{path}: the documents for training or for validation have nothing to learn within {context} tokens; raise \
         `data.context`, or give other documents"
    )]
    NothingToLearn {
        /// The path of the file.
        path: PathBuf,
        /// The number of tokens in a row.
        context: usize,
    },
    /// The file is not text.
    #[error("{path}, byte {byte}: not UTF-8 text; save the file as UTF-8, or set `data.tokens = \"bytes\"`")]
    NotText {
        /// The path of the file.
        path: PathBuf,
        /// The position, decompressed and counted from 0.
        byte: u64,
    },
    /// The tokenizer cannot be read.
    #[error("cannot read the tokenizer {path}: {source}; set `data.tokenizer` to its path")]
    ReadTokenizer {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The tokenizer is invalid.
    #[error("{path} is not a tokenizer.json: {reason}")]
    NotATokenizer {
        /// The path of the file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The tokenizer gives different tokens every time.
    #[error("{path} drops merges at random (`model.dropout`), so that no two runs see the same tokens; set it to null")]
    RandomTokenizer {
        /// The path of the file.
        path: PathBuf,
    },
    /// A character is not in the vocabulary.
    #[error("character {character:?} at byte {byte}, line {line}, is unknown to the vocabulary of {known}")]
    UnknownCharacter {
        /// The character.
        character: char,
        /// Its position in bytes, from 0.
        byte: u64,
        /// Its line, from 1.
        line: u64,
        /// A description of the vocabulary.
        known: String,
    },
    /// The tokenizer would lose a character.
    #[error(
        "character {character:?} at byte {byte}, line {line}, is in no token of the tokenizer, which would lose it; \
         use a tokenizer with an unknown token or with tokens for all bytes, or change the text"
    )]
    LostCharacter {
        /// The character.
        character: String,
        /// Its position in bytes, from 0.
        byte: u64,
        /// Its line, from 1.
        line: u64,
    },
    /// Most of the text is unknown to the tokenizer.
    #[error("{0}; use a tokenizer that was made from such text")]
    MostlyUnknown(Unknown),
    /// The text of a file cannot be tokenized.
    #[error("{path}: {source}")]
    InFile {
        /// The path of the file.
        path: PathBuf,
        /// The fault and its place.
        source: Box<TextError>,
    },
    /// A token is not in the vocabulary.
    #[error("token {token} is not below the size of the vocabulary of {known}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// A description of the vocabulary.
        known: String,
    },
    /// The tokenizer refuses some text.
    #[error("the tokenizer fails on the text from byte {byte} on: {reason}")]
    Tokenizer {
        /// The start of the piece in bytes, from 0.
        byte: u64,
        /// Its message.
        reason: String,
    },
}
