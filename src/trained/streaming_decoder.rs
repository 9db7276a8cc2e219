//! Decoding of tokens to text while they are generated. A character may take several tokens, so text is held back until
//! its characters are complete.

use super::TrainedError;
use crate::data::Vocabulary;

/// The decoder's replacement for bytes that are not valid text, or not yet.
const UNFINISHED: char = '\u{fffd}';

/// Decodes tokens to text as they come.
pub(super) struct StreamingDecoder {
    vocabulary: Vocabulary,
    /// The last tokens: those last returned, because earlier tokens may change the text of later ones, and those held
    /// back.
    tokens: Vec<u32>,
    /// Number of returned tokens among them.
    said: usize,
}

impl StreamingDecoder {
    /// Creates a decoder after `tokens`, whose text is already known.
    pub fn after(vocabulary: Vocabulary, tokens: &[u32]) -> Self {
        Self { vocabulary, tokens: tokens.to_vec(), said: tokens.len() }
    }

    /// Returns the text that `token` adds, which may be empty. The last token also flushes held-back text.
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
        let mut spoken = StreamingDecoder::after(Vocabulary::bytes(), &[b'I', b'n'].map(u32::from));
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
