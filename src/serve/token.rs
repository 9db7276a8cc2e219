//! The token: who has it may look. It comes with the URL that is printed, and then stays in a cookie.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};

/// Bytes of a token: too many to be guessed.
const BYTES: usize = 16;

/// A secret of this process. It is compared through its hash, which takes the same time for every guess.
#[derive(Clone)]
pub struct Token {
    text: String,
    hash: blake3::Hash,
}

impl Token {
    /// Draws a token.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn draw() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing into a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self { hash: blake3::hash(text.as_bytes()), text })
    }

    /// Whether `guess` is the token.
    pub fn is(&self, guess: &str) -> bool {
        // Hashes are compared in constant time.
        blake3::hash(guess.as_bytes()) == self.hash
    }

    /// Returns its text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone_and_is_not_printed_by_chance() {
        let [one, other] = [Token::draw().unwrap(), Token::draw().unwrap()];
        assert!(one.is(one.text()) && !one.is(other.text()) && !one.is("") && !one.is(&one.text()[1..]));
        assert_eq!(one.text().len(), 2 * BYTES);
        assert!(!format!("{one:?}").contains(one.text()));
    }
}
