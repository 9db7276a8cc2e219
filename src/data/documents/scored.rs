//! Texts of a file, one on each line, as tokens of which a model is asked how probable they are.

use std::io::BufRead;
use std::path::Path;

use serde_json::Value;

use super::file_lines::{self, FileLines};
use super::records::{Fields, Piece};
use crate::data::error::{TextError, Unknown};
use crate::data::{DataConfig, DataError, Format, Vocabulary};

/// A text as tokens, each with whether it is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScoredTokens {
    /// The number of its line, from 1.
    pub line: u64,
    /// The tokens, in the form of the run's documents: of a pair the answer alone is judged, and its end.
    pub tokens: Vec<(u32, bool)>,
    /// The tokens that stand for unknown text.
    pub unknown: Unknown,
}

/// The texts of a file, one after the other. A fault ends them.
pub(crate) struct ScoredTexts {
    lines: FileLines,
    /// How a record becomes a text; `None` if each line is one as it is.
    fields: Option<Fields>,
    vocabulary: Vocabulary,
    is_over: bool,
}

impl ScoredTexts {
    /// Opens the file at `path` for a run whose data is that of `config`. In JSON Lines a line is a record like those of
    /// such a run, or a text in quotes; otherwise each line is a text. Where the name does not tell, it is as in the run.
    ///
    /// # Errors
    /// It is neither, or cannot be opened.
    pub fn open(config: &DataConfig, vocabulary: Vocabulary, path: &Path) -> Result<Self, DataError> {
        let (trained, named) = (Format::of(config)?, Format::of(&DataConfig::new(path)).ok());
        let of_records = match named.unwrap_or(trained) {
            Format::Jsonl => true,
            Format::Text | Format::Csv => false,
            found => {
                let (path, found, trained) = (path.to_owned(), found.name(), trained.name());
                return Err(DataError::OtherFormat { path, found, trained });
            }
        };
        let fields = of_records.then(|| Fields::of(config)).transpose()?;
        Ok(Self::of(file_lines::open(path)?, path, fields, vocabulary))
    }

    fn of(lines: Box<dyn BufRead>, path: &Path, fields: Option<Fields>, vocabulary: Vocabulary) -> Self {
        Self { lines: FileLines::of(lines, path), fields, vocabulary, is_over: false }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        self.lines.path()
    }

    fn pieces(&self, line: &str) -> Result<Vec<Piece>, String> {
        let whole = |text: &str| Piece { text: text.to_owned(), counts: true };
        let Some(fields) = &self.fields else { return Ok(vec![whole(line)]) };
        match file_lines::json(line)? {
            Value::Object(record) => fields.pieces(&record),
            Value::String(text) => Ok(vec![whole(&text)]),
            _ => Err("the line is neither a record nor a text in quotes".to_owned()),
        }
    }

    /// Returns the tokens of a text: between two separators if the run's documents are.
    fn encoded(&self, pieces: &[Piece]) -> Result<(Vec<(u32, bool)>, Unknown), TextError> {
        let mut tokens: Vec<(u32, bool)> =
            self.vocabulary.separator().map(|token| (token, false)).into_iter().collect();
        for Piece { text, counts } in pieces {
            tokens.extend(self.vocabulary.encode(text)?.into_iter().map(|token| (token, *counts)));
        }
        let ends_judged = pieces.last().is_none_or(|piece| piece.counts);
        tokens.extend(self.vocabulary.separator().map(|token| (token, ends_judged)));
        let all: Vec<u32> = tokens.iter().map(|(token, _)| *token).collect();
        let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        Ok((tokens, self.vocabulary.require_known(&all, &text)?))
    }

    fn text(&self, line: &str) -> Result<ScoredTokens, DataError> {
        let pieces = self.pieces(line).map_err(|reason| self.lines.wrong(reason))?;
        let (tokens, unknown) = self.encoded(&pieces).map_err(|error| self.lines.wrong(error.to_string()))?;
        Ok(ScoredTokens { line: self.lines.number(), tokens, unknown })
    }
}

impl Iterator for ScoredTexts {
    type Item = Result<ScoredTokens, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            let found = match self.lines.next_line() {
                Ok(None) => break,
                // An empty line is a text without tokens, so that each line of a text has its line of figures.
                Ok(Some(line)) if self.fields.is_none() => Some(self.text(line.trim_end_matches(['\n', '\r']))),
                Ok(Some(line)) if file_lines::is_blank(&line) => None,
                Ok(Some(line)) => Some(self.text(&line)),
                Err(error) => Some(Err(error)),
            };
            if found.is_some() {
                self.is_over = matches!(found, Some(Err(_)));
                return found;
            }
        }
        self.is_over = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(options: &str, lines: &'static str, is_of_records: bool) -> Vec<Result<ScoredTokens, DataError>> {
        let config: DataConfig = toml::from_str(&format!("path = 'a.jsonl'\n{options}")).unwrap();
        let fields = is_of_records.then(|| Fields::of(&config).unwrap());
        let vocabulary = Vocabulary::bytes();
        let vocabulary = if is_of_records { vocabulary.separated_by(None).unwrap() } else { vocabulary };
        ScoredTexts::of(Box::new(lines.as_bytes()), Path::new("a"), fields, vocabulary).collect()
    }

    /// The text, with a dot for each token that is not judged, and the line.
    fn shown(text: &Result<ScoredTokens, DataError>) -> (String, u64) {
        let text = text.as_ref().unwrap();
        let character = |&(token, is_judged): &(u32, bool)| if is_judged { (token as u8) as char } else { '.' };
        (text.tokens.iter().map(character).collect(), text.line)
    }

    #[test]
    fn of_a_pair_the_answer_and_its_end_are_judged_and_of_a_text_all_after_its_beginning() {
        let lines = "{\"q\":\"ab\",\"a\":\"yes\"}\n\n\"in quotes\"\n";
        let found = texts("answer = 'a'\ntemplate = '{q}?{a}!'", lines, true);
        assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), [("....yes!\0".into(), 1), (".in quotes\0".into(), 3)]);
    }

    #[test]
    fn each_line_of_a_text_is_one_also_an_empty_one() {
        let found = texts("", "first\r\n\nlast", false);
        assert_eq!(
            found.iter().map(shown).collect::<Vec<_>>(),
            [("first".into(), 1), (String::new(), 2), ("last".into(), 3)]
        );
    }

    #[test]
    fn a_line_that_is_no_json_is_named_by_its_number_in_the_file_alone() {
        let found = texts("", "\"a\"\n  {\"text\" \"b\"}\n", true);
        let message = found[1].as_ref().unwrap_err().to_string();
        assert_eq!(message, "a, line 2: not JSON: expected `:` at column 11");
    }

    #[test]
    fn a_wrong_line_ends_the_texts_and_is_named() {
        let found = texts("", "{\"text\":\"a\"}\n{\"txt\":\"b\"}\n{\"text\":\"c\"}\n", true);
        assert_eq!(found.len(), 2);
        let message = found[1].as_ref().unwrap_err().to_string();
        assert!(message.contains("line 2") && message.contains("`text`"), "{message}");
    }
}
