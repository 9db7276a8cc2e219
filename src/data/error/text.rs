//! What can be wrong with a text, its tokenizer, or text that is to become tokens.

use std::path::PathBuf;
use std::{fmt, io};

use thiserror::Error;

use crate::Notice;

/// How much of a text a tokenizer does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// How many tokens are the one for the unknown.
    pub count: usize,
    /// How many there are.
    pub tokens: usize,
    /// The token for the unknown.
    pub word: String,
    /// The first text that became it, and its place, in words that can follow; may be empty.
    pub example: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, tokens, word, example } = self;
        let percent = 100.0 * self.share();
        write!(f, "{count} of {tokens} tokens ({percent:.1} %) are `{word}`, which stands for the unknown{example}")
    }
}

impl TextError {
    /// Whether a tokenizer would leave something out.
    pub(in crate::data) fn is_lost(&self) -> bool {
        match self {
            Self::InFile { source, .. } => source.is_lost(),
            error => matches!(error, Self::LostCharacter { .. }),
        }
    }
}

impl Unknown {
    /// From this share on it is a warning.
    const MANY: f64 = 0.01;

    fn share(&self) -> f64 {
        self.count as f64 / self.tokens.max(1) as f64
    }

    /// Refuses more than half.
    pub(in crate::data) fn require_few(self) -> Result<Self, TextError> {
        if self.share() > 0.5 { Err(TextError::MostlyUnknown(self)) } else { Ok(self) }
    }

    /// A remark for a person.
    pub fn notice(&self) -> Option<Notice> {
        match self.count {
            0 => None,
            _ if self.share() > Self::MANY => Some(Notice::Warning(self.to_string())),
            _ => Some(Notice::Note(self.to_string())),
        }
    }
}

/// What is wrong with text.
#[derive(Debug, Error)]
#[non_exhaustive]
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
    #[error("character {character:?} at byte {byte}, line {line}, is unknown to the vocabulary of {known}")]
    UnknownCharacter {
        /// The character.
        character: char,
        /// Where, from 0.
        byte: u64,
        /// Its line, from 1.
        line: u64,
        /// What the vocabulary is.
        known: String,
    },
    /// The tokenizer would leave a character out.
    #[error(
        "character {character:?} at byte {byte}, line {line}, is in no token of the tokenizer, which would leave it out; \
         take a tokenizer that has a token for the unknown or for every byte, or change the text"
    )]
    LostCharacter {
        /// The character.
        character: String,
        /// Where, from 0.
        byte: u64,
        /// Its line, from 1.
        line: u64,
    },
    /// Most of the text is unknown to the tokenizer.
    #[error("{0}; take a tokenizer that was made from such text")]
    MostlyUnknown(Unknown),
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
