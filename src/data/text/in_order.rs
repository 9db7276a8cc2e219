//! Pieces of a text, encoded on all threads and handed on in their order.

use rayon::prelude::*;

use super::Vocabulary;
use super::vocabulary::Before;
use crate::data::error::TextError;

/// Pieces that wait until there is one for each thread.
pub(super) struct InOrder<'a> {
    vocabulary: &'a Vocabulary,
    may_be_lost: bool,
    /// Bytes per token.
    width: usize,
    pieces: Vec<(Before, Vec<u8>)>,
}

impl<'a> InOrder<'a> {
    pub fn new(vocabulary: &'a Vocabulary, may_be_lost: bool, width: usize) -> Self {
        Self { vocabulary, may_be_lost, width, pieces: Vec::new() }
    }

    /// Adds the next piece.
    pub fn push(&mut self, before: Before, piece: &[u8]) {
        self.pieces.push((before, piece.to_vec()));
    }

    /// Whether there is a piece for each thread.
    pub fn is_full(&self) -> bool {
        self.pieces.len() >= rayon::current_num_threads()
    }

    /// Returns the tokens of each piece since the last call, as bytes. A piece has the same tokens on any thread.
    pub fn take(&mut self) -> Vec<Result<Vec<u8>, TextError>> {
        let (vocabulary, may_be_lost, width) = (self.vocabulary, self.may_be_lost, self.width);
        let encode = |(before, piece): (Before, Vec<u8>)| {
            let mut bytes = Vec::with_capacity(piece.len());
            let see = |token: u32| bytes.extend_from_slice(&token.to_le_bytes()[..width]);
            vocabulary.encode_piece(before, &piece, may_be_lost, see).map(|()| bytes)
        };
        match std::mem::take(&mut self.pieces) {
            pieces if pieces.len() < 2 => pieces.into_iter().map(encode).collect(),
            pieces => pieces.into_par_iter().map(encode).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_in_the_order_of_their_pieces_with_the_place_of_a_mistake() {
        let vocabulary = Vocabulary::characters("abc");
        let mut pieces = InOrder::new(&vocabulary, false, 1);
        let texts = ["ab", "", "ccc", "a", "b", "axc", "c"];
        for (number, text) in texts.iter().enumerate() {
            pieces.push(Before { bytes: 100 * number as u64, lines: 7 }, text.as_bytes());
        }
        let tokens: Vec<Result<Vec<u8>, String>> =
            pieces.take().into_iter().map(|tokens| tokens.map_err(|error| error.to_string())).collect();
        let (good, bad): (Vec<_>, Vec<_>) = tokens.into_iter().partition(Result::is_ok);
        let good: Vec<Vec<u8>> = good.into_iter().flatten().collect();
        assert_eq!(good, [vec![0, 1], vec![], vec![2, 2, 2], vec![0], vec![1], vec![2]]);
        let message = bad.first().cloned().unwrap().unwrap_err();
        assert!(message.contains("'x' at byte 501, line 8"), "{message}");
        assert!(pieces.take().is_empty());
    }
}
