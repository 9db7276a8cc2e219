//! Causal multi-head self-attention: Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2; with
//! queries that share keys and values in groups: Ainslie et al., "GQA", EMNLP 2023.
//!
//! Scores, mask, softmax, dropout and values are one operation, computed for a block of queries at a time and only with
//! the keys visible to them. Only the inputs are kept for the backward pass, which recomputes the probabilities. This
//! costs one of its five products, and no memory that grows with the square of the context.

mod bf16;
mod cpu;
mod cuda;
mod documents;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Result, Shape, Tensor, bail};

use super::bf16::Stored;
use super::dropout::Mask;
use super::op::{DeviceKernel, Op, apply};
use super::operand::{Gradient, Operand};
use crate::cpu::Real;
use cpu::merge_heads;
pub use documents::Documents;

/// The numbers of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Number of query heads.
    pub queries: usize,
    /// Number of key heads and of value heads: a divisor of the number of query heads.
    pub keys: usize,
}

/// Returns `softmax(q kᵀ / √size) v` for each head, where each position sees itself and those before it, like
/// `torch.nn.functional.scaled_dot_product_attention(…, is_causal=True, enable_gqa=True)`. Query head `h` uses head `h
/// / (queries / keys)` of keys and values. `dropout` is applied to the weights.
///
/// `q` is `[batch, context, queries * size]`, `k` and `v` are `[batch, context, keys * size]`, head after head in the
/// last dimension; the result has the shape of `q`.
///
/// # Errors
/// The shapes do not fit or the device fails.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads, dropout: Option<Mask>) -> Result<Tensor> {
    attention_within(q, k, v, heads, dropout, None)
}

/// Returns [`attention`] where each position sees only those of its document.
///
/// # Errors
/// As [`attention`].
pub fn attention_within(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: Heads,
    dropout: Option<Mask>,
    documents: Option<&Documents>,
) -> Result<Tensor> {
    let (_, _, width) = q.dims3()?;
    let size = heads.size(width, heads.queries)?;
    apply(Attention { heads, size, dropout, documents: documents.cloned() }, &[q, k, v])
}

/// Returns [`attention`] of queries, keys and values packed in one tensor: `qkv` is `[batch, context, (queries + 2
/// keys) * size]`, the result `[batch, context, queries * size]`.
///
/// # Errors
/// As [`attention`].
pub fn attention_packed(qkv: &Tensor, heads: Heads, dropout: Option<Mask>) -> Result<Tensor> {
    attention_packed_within(qkv, heads, dropout, None)
}

/// Returns [`attention_packed`] where each position sees only those of its document.
///
/// # Errors
/// As [`attention`].
pub fn attention_packed_within(
    qkv: &Tensor,
    heads: Heads,
    dropout: Option<Mask>,
    documents: Option<&Documents>,
) -> Result<Tensor> {
    let (_, _, width) = qkv.dims3()?;
    let size = heads.size(width, heads.queries + 2 * heads.keys)?;
    apply(Attention { heads, size, dropout, documents: documents.cloned() }, &[qkv])
}

impl Heads {
    /// Returns the size of a head, if `count` heads have `width` elements together.
    fn size(self, width: usize, count: usize) -> Result<usize> {
        let Self { queries, keys } = self;
        if keys == 0 || queries == 0 || !queries.is_multiple_of(keys) || width == 0 || !width.is_multiple_of(count) {
            bail!("attention: a width of {width} cannot be {queries} heads of queries and {keys} of keys and values");
        }
        Ok(width / count)
    }

    /// Returns the number of query heads per key head.
    fn group(self) -> usize {
        self.queries / self.keys
    }
}

/// Inputs: queries, keys and values, or all three packed in one tensor.
#[derive(Clone)]
struct Attention {
    heads: Heads,
    /// Numbers in a head.
    size: usize,
    dropout: Option<Mask>,
    /// The documents of the sequences, if there are several in one.
    documents: Option<Documents>,
}

impl Attention {
    fn scale<T: Real>(&self) -> T {
        T::of(1.0 / (self.size as f64).sqrt())
    }

    /// Returns the gradients of all inputs.
    fn gradients_of_inputs<T: Stored>(&self, inputs: &[Operand<'_, T>], dy: &[T]) -> Result<Vec<Vec<T>>> {
        let heads = self.inputs(inputs)?;
        let gradients = self.gradients(&heads, dy);
        let merged = |parts: &[&[T::Sum]], count| merge_heads(parts, count, &heads);
        let Heads { queries, keys } = self.heads;
        if inputs.len() == 1 {
            return Ok(vec![merged(&gradients.together(), queries + 2 * keys)]);
        }
        let [dq, dk, dv] = gradients.parts();
        Ok(vec![merged(&dq, queries), merged(&dk, keys), merged(&dv, keys)])
    }

    /// Returns minus infinity where a position does not see another one: `[1 or batch, 1, context, context]`.
    fn hidden(&self, batch: usize, context: usize, like: &Tensor) -> Result<Tensor> {
        let sequences = if self.documents.is_some() { batch } else { 1 };
        let mut hidden = Vec::with_capacity(sequences * context * context);
        for sequence in 0..sequences {
            let first = self.documents.as_ref().map(|documents| documents.of_sequence(sequence)).unwrap_or_default();
            for query in 0..context {
                let seen = first.get(query).map_or(0, |&first| first as usize)..=query;
                hidden.extend((0..context).map(|key| if seen.contains(&key) { 0.0 } else { f32::NEG_INFINITY }));
            }
        }
        Tensor::from_vec(hidden, (sequences, 1, context, context), like.device())?.to_dtype(like.dtype())
    }

    fn reference_of_parts(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (batch, context, width) = q.dims3()?;
        let (Heads { queries, keys }, group, size) = (self.heads, self.heads.group(), self.size);
        let q = q.reshape((batch, context, queries, size))?.transpose(1, 2)?.contiguous()?;
        let shared = |x: &Tensor| {
            let x = x.reshape((batch, context, keys, 1, size))?.broadcast_as((batch, context, keys, group, size))?;
            x.reshape((batch, context, queries, size))?.transpose(1, 2)?.contiguous()
        };
        let scores = (q.matmul(&shared(k)?.t()?.contiguous()?)? * self.scale::<f64>())?;
        let hidden = self.hidden(batch, context, &q)?;
        let mut weights = candle_nn::ops::softmax(&scores.broadcast_add(&hidden)?, candle_core::D::Minus1)?;
        if let Some(mask) = self.dropout {
            let factors = Tensor::from_vec(mask.factors::<f32>(weights.elem_count()), weights.shape(), q.device())?;
            weights = (weights * factors.to_dtype(q.dtype())?)?;
        }
        weights.matmul(&shared(v)?)?.transpose(1, 2)?.reshape((batch, context, width))
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, inputs: &[&Tensor]) -> Result<Shape> {
        let Heads { queries, keys } = self.heads;
        let (batch, context, width) = inputs[0].dims3()?;
        match inputs {
            [_] if width == (queries + 2 * keys) * self.size => {}
            [_, k, v] if k.dims() == [batch, context, keys * self.size] && k.dims() == v.dims() => {}
            _ => {
                let shapes: Vec<_> = inputs.iter().map(|x| x.dims()).collect();
                bail!("attention: queries, keys and values {shapes:?} do not fit together");
            }
        }
        if self.documents.as_ref().is_some_and(|documents| !documents.fit(batch, context)) {
            bail!("attention: the documents are not those of {batch} sequences of {context} positions");
        }
        Ok(Shape::from((batch, context, queries * self.size)))
    }

    fn forward<T: Real>(&self, inputs: &[Operand<'_, T>]) -> Result<Vec<T>> {
        Ok(self.attend(&self.inputs(inputs)?))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[Operand<'_, T>],
        _: Operand<'_, T>,
        dy: Operand<'_, T>,
    ) -> Result<Vec<Gradient<T>>> {
        Ok(self.gradients_of_inputs(inputs, dy.elements)?.into_iter().map(Gradient::Elements).collect())
    }

    fn reference(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        if let [q, k, v] = inputs {
            return self.reference_of_parts(q, k, v);
        }
        let Heads { queries, keys } = self.heads;
        let part = |first: usize, count: usize| inputs[0].narrow(2, first * self.size, count * self.size);
        self.reference_of_parts(&part(0, queries)?, &part(queries, keys)?, &part(queries + keys, keys)?)
    }

    fn device_kernel(&self, device: &Device, dtype: DType) -> Option<&dyn DeviceKernel> {
        super::bf16::kernel(self, device, dtype)
    }
}
