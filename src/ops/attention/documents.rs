//! Several documents in one sequence: which positions see each other.

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Result, Tensor};

/// The first position that each position of some sequences sees: the beginning of its document.
#[derive(Clone, Debug)]
pub struct Documents {
    /// `[batch, context]`.
    first: Arc<[u32]>,
    context: usize,
    /// The same on the device whose kernels have read it, for all layers.
    on_device: Arc<OnceLock<Tensor>>,
}

impl PartialEq for Documents {
    fn eq(&self, other: &Self) -> bool {
        self.first == other.first && self.context == other.context
    }
}

impl Eq for Documents {}

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
        Ok(Self { first: first.into(), context, on_device: Arc::default() })
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

    /// Returns the first position that each position sees, on `device`.
    pub(super) fn on(&self, device: &Device) -> Result<Tensor> {
        if let Some(first) = self.on_device.get().filter(|first| first.device().same_device(device)) {
            return Ok(first.clone());
        }
        let first = Tensor::from_slice(&self.first, self.first.len(), device)?;
        // Another device has been the first one.
        let _ = self.on_device.set(first.clone());
        Ok(first)
    }

    /// Whether they are those of `batch` sequences of `context` tokens.
    pub(super) fn fit(&self, batch: usize, context: usize) -> bool {
        self.context == context && self.first.len() == batch * context
    }
}
