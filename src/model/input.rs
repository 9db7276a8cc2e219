//! A row's inputs, as a model takes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figures::counted;

/// Number of rows in a batch of an evaluation, except perhaps the last; [`Input::evaluation_rows`] reduces it for long
/// rows of tokens. It is fixed, and so is the order of the rows, so that the bits of a validation metric depend only on
/// the weights and the data, and not on the training batches.
pub const EVALUATION_ROWS: usize = 256;

/// The form of a row's inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// Numbers of this shape: `[64]` for 64 features, `[3, 32, 32]` for a coloured image.
    Numbers(Vec<usize>),
    /// `context` tokens, each below `vocabulary`.
    Tokens {
        /// Number of tokens in a row.
        context: usize,
        /// Number of different tokens.
        vocabulary: usize,
    },
}

impl Input {
    /// Returns the shape of a row of numbers; empty for tokens.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Numbers(shape) => shape,
            Self::Tokens { .. } => &[],
        }
    }

    /// Returns the number of numbers, or tokens, in a row.
    pub fn numbers(&self) -> usize {
        match self {
            Self::Numbers(shape) => shape.iter().product(),
            Self::Tokens { context, .. } => *context,
        }
    }

    /// Returns the number of rows in a batch of an evaluation: [`EVALUATION_ROWS`], or fewer if the logits of tokens, one
    /// for each word of the vocabulary at each position, would not fit in memory.
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
            Self::Tokens { context, vocabulary } => write!(f, "{} out of {vocabulary}", counted(*context, "token")),
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
