//! A row's inputs, as a model takes them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many rows a batch of an evaluation holds, the last one perhaps fewer; [`Input::evaluation_rows`] says where long
/// rows of tokens make it fewer. It is fixed, and so is the order of the rows, so that the bits of a validation metric
/// depend on the weights and the data alone, and not on how the training batches are made.
pub const EVALUATION_ROWS: usize = 256;

/// What one row's inputs are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// Numbers of this shape: `[64]` for 64 features, `[3, 32, 32]` for a coloured image.
    Numbers(Vec<usize>),
    /// `context` tokens, each below `vocabulary`.
    Tokens {
        /// How many tokens.
        context: usize,
        /// How many there are to choose from.
        vocabulary: usize,
    },
}

impl Input {
    /// The shape of a row of numbers; empty for tokens.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Numbers(shape) => shape,
            Self::Tokens { .. } => &[],
        }
    }

    /// How many numbers, or tokens, a row has.
    pub fn numbers(&self) -> usize {
        match self {
            Self::Numbers(shape) => shape.iter().product(),
            Self::Tokens { context, .. } => *context,
        }
    }

    /// How many rows a batch of an evaluation holds: [`EVALUATION_ROWS`], or fewer where the logits of so many rows of
    /// tokens, one for each word of the vocabulary at each position, would not fit in memory.
    pub fn evaluation_rows(&self) -> usize {
        const MOST_LOGITS: usize = 1 << 24;
        match self {
            Self::Numbers(_) => EVALUATION_ROWS,
            Self::Tokens { context, vocabulary } => {
                let logits = context.saturating_mul(*vocabulary).max(1);
                (MOST_LOGITS / logits).clamp(1, EVALUATION_ROWS)
            }
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(shape) => write!(f, "numbers of shape {shape:?}"),
            Self::Tokens { context, vocabulary } => write!(f, "{context} tokens out of {vocabulary}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 256 windows of 1,024 tokens out of 50,257 would have 53 GB of logits.
    #[test]
    fn an_evaluation_of_a_large_language_model_fits_in_memory() {
        let rows = |context, vocabulary| Input::Tokens { context, vocabulary }.evaluation_rows();
        assert_eq!([rows(64, 65), rows(256, 1000), rows(1024, 50_257), rows(usize::MAX, 2)], [256, 65, 1, 1]);
        assert_eq!(Input::Numbers(vec![3, 1024, 1024]).evaluation_rows(), 256);
    }
}
