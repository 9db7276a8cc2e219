//! The token between documents.

use super::vocabulary::{Kind, Vocabulary};
use crate::data::error::TextError;

/// The character that no text has, for tokens without one of their own for this.
const NUL: char = '\0';

/// The names that tokenizers have for the token between documents, the most specific first.
const USUAL: [&str; 7] = ["<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "</s>", "<eos>", "[EOS]", "[SEP]"];

impl Vocabulary {
    /// Returns the token between documents, if there is one.
    pub fn separator(&self) -> Option<u32> {
        self.separator
    }

    /// Returns the token between documents.
    ///
    /// # Errors
    /// There is none.
    pub(in crate::data) fn required_separator(&self) -> Result<u32, TextError> {
        let rule = "is missing: the token between documents".to_owned();
        self.separator.ok_or_else(|| TextError::Option { option: "separator".to_owned(), rule })
    }

    /// Returns the vocabulary with a token between documents: that of the text `given`, otherwise the usual one. It is
    /// added to characters.
    ///
    /// # Errors
    /// The text is not one token, or a tokenizer has no usual one.
    pub(in crate::data) fn separated_by(self, given: Option<&str>) -> Result<Self, TextError> {
        let refused = |rule: String| TextError::Option { option: "separator".to_owned(), rule };
        let separator = match (&self.kind, given) {
            (Kind::Characters(_) | Kind::Bytes, None) => NUL.to_string(),
            (Kind::Tokenizer(tokenizer), None) => {
                let usual = USUAL.into_iter().find(|word| tokenizer.token(word).is_some());
                let missing = || {
                    format!("is missing: the tokenizer lacks the usual tokens between documents ({})", USUAL.join(", "))
                };
                usual.ok_or_else(|| refused(missing()))?.to_owned()
            }
            (_, Some(given)) => given.to_owned(),
        };
        let vocabulary = match &self.kind {
            Kind::Characters(known) => {
                Self::characters(&known.iter().copied().chain(separator.chars()).collect::<String>())
            }
            Kind::Bytes | Kind::Tokenizer(_) => self,
        };
        match vocabulary.encode(&separator).unwrap_or_default()[..] {
            [token] => Ok(Self { separator: Some(token), ..vocabulary }),
            ref tokens => Err(refused(format!("must be one token, and {separator:?} is {}", tokens.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_is_one_token_and_stands_for_no_text() {
        let characters = Vocabulary::characters("abc").separated_by(None).unwrap();
        assert_eq!((characters.len(), characters.separator()), (4, Some(0)));
        assert_eq!(characters.token_bytes().unwrap(), [0, 1, 1, 1]);
        let given = Vocabulary::characters("abc").separated_by(Some("\n")).unwrap();
        assert_eq!(given.decode(&[given.separator().unwrap()]).unwrap(), "\n");
        assert_eq!(Vocabulary::bytes().separated_by(None).unwrap().separator(), Some(0));
        let message = Vocabulary::bytes().separated_by(Some("ab")).unwrap_err().to_string();
        assert_eq!(message, "`data.separator` must be one token, and \"ab\" is 2");
        for vocabulary in [characters, given] {
            assert_eq!(Vocabulary::load(&vocabulary.save()).unwrap(), vocabulary);
        }
        assert!(Vocabulary::characters("ab").separated_by(None).unwrap() != Vocabulary::characters("\0ab"));
    }
}
