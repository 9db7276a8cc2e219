//! From tokens to text while they come. A character may take several tokens, so text is held back until it is whole.

use super::TrainedError;
use crate::data::Vocabulary;

/// What a decoder puts for bytes that are no text, or not yet.
const UNFINISHED: char = '\u{fffd}';

/// Turns tokens into text as they come.
pub(super) struct Spoken {
    vocabulary: Vocabulary,
    /// The last tokens: those that were said last, as what stands before others may change how they are written, and
    /// those that are held back.
    tokens: Vec<u32>,
    /// How many of them were said.
    said: usize,
}

impl Spoken {
    /// After `tokens`, which were said.
    pub fn after(vocabulary: Vocabulary, tokens: &[u32]) -> Self {
        Self { vocabulary, tokens: tokens.to_vec(), said: tokens.len() }
    }

    /// The text that `token` adds to what was said; it may be empty. The last one completes it.
    pub fn say(&mut self, token: u32, is_last: bool) -> Result<String, TrainedError> {
        self.tokens.push(token);
        let before = self.vocabulary.decode(&self.tokens[..self.said])?;
        let now = self.vocabulary.decode(&self.tokens)?;
        if now.ends_with(UNFINISHED) && !is_last {
            return Ok(String::new());
        }
        self.tokens.drain(..self.said);
        self.said = self.tokens.len();
        Ok(now.get(before.len()..).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(tokens: &[u8]) -> Vec<String> {
        let mut spoken = Spoken::after(Vocabulary::bytes(), &[b'I', b'n'].map(u32::from));
        let say = |(place, &token): (usize, &u8)| spoken.say(token.into(), place + 1 == tokens.len()).unwrap();
        tokens.iter().enumerate().map(say).collect()
    }

    #[test]
    fn a_character_is_said_once_it_is_whole() {
        assert_eq!(said("aö€".as_bytes()), ["a", "", "ö", "", "", "€"]);
    }

    #[test]
    fn what_is_no_character_is_said_as_such() {
        assert_eq!(said(b"\xffa"), ["", "\u{fffd}a"]);
        assert_eq!(said(b"a\xc3"), ["a", "\u{fffd}"]);
    }
}
