//! Several documents in one sequence: which positions see each other.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

/// The first position that each position of some sequences sees: the beginning of its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// `[batch, context]`.
    first: Arc<[u32]>,
    context: usize,
}

impl Documents {
    /// Finds the documents in `tokens` `[batch, context]`: each begins with the token `start`, the first one of a
    /// sequence also without it.
    ///
    /// # Errors
    /// The tokens are not whole numbers of two dimensions, or the device fails.
    pub fn beginning_with(start: u32, tokens: &Tensor) -> Result<Self> {
        let (_, context) = tokens.dims2()?;
        let tokens = tokens.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?;
        let mut first = Vec::with_capacity(tokens.len());
        for sequence in tokens.chunks_exact(context.max(1)) {
            let mut begun = 0;
            for (position, token) in (0..).zip(sequence) {
                if *token == start {
                    begun = position;
                }
                first.push(begun);
            }
        }
        Ok(Self { first: first.into(), context })
    }

    /// Returns the position of each token in its document, `[batch, context]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn positions(&self, like: &Tensor) -> Result<Tensor> {
        let all = (0..self.context as u32).cycle();
        let positions: Vec<u32> = self.first.iter().zip(all).map(|(first, position)| position - first).collect();
        Tensor::from_vec(positions, like.shape(), like.device())
    }

    /// Returns the first position that each position of sequence number `sequence` sees.
    pub(super) fn of_sequence(&self, sequence: usize) -> &[u32] {
        self.first.get(sequence * self.context..(sequence + 1) * self.context).unwrap_or_default()
    }

    /// Whether they are those of `batch` sequences of `context` tokens.
    pub(super) fn fit(&self, batch: usize, context: usize) -> bool {
        self.context == context && self.first.len() == batch * context
    }
}
