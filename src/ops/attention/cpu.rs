//! Forward and backward passes of attention on the CPU. A task is a head or a group of heads.

use std::mem::MaybeUninit;

use candle_core::{Result, bail};

use super::{Attention, Heads};
use crate::cpu::{self, Real};
use crate::ops::bf16::Stored;
use crate::ops::gemm::Matrix;
use crate::ops::norm::{softmax_grad_of_row, softmax_of_row};
use crate::ops::operand::Operand;

/// Number of queries computed together.
const BLOCK: usize = 64;

/// Heads stored next to each other in an array: `stride` elements per position, the first head at `offset`.
#[derive(Clone, Copy)]
struct HeadLayout<'a, T> {
    elements: &'a [T],
    stride: usize,
    offset: usize,
}

/// The operands as heads.
pub struct Inputs<'a, T> {
    batch: usize,
    context: usize,
    size: usize,
    q: HeadLayout<'a, T>,
    k: HeadLayout<'a, T>,
    v: HeadLayout<'a, T>,
}

impl<'a, T: Stored> Inputs<'a, T> {
    /// Returns head `head` of queries, keys or values: `[context, size]`.
    fn head(&self, of: HeadLayout<'a, T>, sequence: usize, head: usize) -> Matrix<'a, T> {
        let start = sequence * self.context * of.stride + of.offset + head * self.size;
        Matrix::new(&of.elements[start..], self.context, self.size, of.stride)
    }
}

impl Attention {
    /// Locates the heads in these operands.
    pub fn inputs<'a, T>(&self, operands: &[Operand<'a, T>]) -> Result<Inputs<'a, T>> {
        let Heads { queries, keys } = self.heads;
        let (batch, context, _) = operands[0].layout.shape().dims3()?;
        let layout = |elements: &'a [T], heads: usize, first: usize| HeadLayout {
            elements,
            stride: heads * self.size,
            offset: first * self.size,
        };
        let [q, k, v] = match operands {
            [qkv] => [0, queries, queries + keys].map(|first| layout(qkv.elements, queries + 2 * keys, first)),
            [q, k, v] => [layout(q.elements, queries, 0), layout(k.elements, keys, 0), layout(v.elements, keys, 0)],
            _ => bail!("attention: one or three inputs were expected, not {}", operands.len()),
        };
        Ok(Inputs { batch, context, size: self.size, q, k, v })
    }

    /// Computes the result, `[batch, context, queries * size]`.
    pub fn attend<T: Stored>(&self, inputs: &Inputs<'_, T>) -> Vec<T> {
        let Inputs { batch, context, size, .. } = *inputs;
        let mut heads = vec![T::Sum::of(0.0); batch * self.heads.queries * context * size];
        let effort = batch * self.heads.queries * context * context;
        cpu::for_chunks(&mut heads, context * size, effort, |number, result| {
            self.attend_head(inputs, number, result);
        });
        let heads: Vec<&[T::Sum]> = heads.chunks_exact((context * size).max(1)).collect();
        merge_heads(&heads, self.heads.queries, inputs)
    }

    /// Computes head `number`, counted through all sequences, as `[context, size]`.
    fn attend_head<T: Stored>(&self, inputs: &Inputs<'_, T>, number: usize, result: &mut [T::Sum]) {
        let (sequence, head) = (number / self.heads.queries, number % self.heads.queries);
        let (q, shared) = (inputs.head(inputs.q, sequence, head), head / self.heads.group());
        let (k, v) = (inputs.head(inputs.k, sequence, shared), inputs.head(inputs.v, sequence, shared));
        let mut weights = Vec::new();
        for (start, end) in blocks(inputs.context) {
            let first = self.first_seen(sequence, start, end);
            self.probabilities(q.rows(start, end), k.rows(0, end), start, first, &mut weights);
            self.drop_out(number, start, end, inputs.context, &mut weights);
            let weights = Matrix::new(&weights, end - start, end, end);
            T::product_of_sums(weights, v.rows(0, end), &mut result[start * inputs.size..], inputs.size, false);
        }
    }

    /// Returns the first key that each of the queries `start..end` sees.
    fn first_seen(&self, sequence: usize, start: usize, end: usize) -> Seen<'_> {
        let documents = self.documents.as_ref().map(|documents| documents.of_sequence(sequence));
        Seen { first: documents.and_then(|first| first.get(start..end)), end }
    }

    /// Computes the probabilities of the queries from `start` on, a row of `seen.end` each, zero for keys that the query
    /// does not see.
    fn probabilities<T: Stored>(
        &self,
        q: Matrix<T>,
        k: Matrix<T>,
        start: usize,
        seen: Seen<'_>,
        result: &mut Vec<T::Sum>,
    ) {
        let (zero, end) = (T::Sum::of(0.0), seen.end);
        result.resize((end - start) * end, zero);
        T::product(q, k.transposed(), result, end, false);
        let scale = self.scale::<T::Sum>();
        cpu::vectorized(
            #[inline(always)]
            || {
                for (query, row) in (start..end).zip(result.chunks_exact_mut(end)) {
                    let (visible, masked) = row.split_at_mut(query + 1);
                    let (before, visible) = visible.split_at_mut(seen.first(query - start).min(query));
                    before.fill(zero);
                    for score in visible.iter_mut() {
                        *score *= scale;
                    }
                    softmax_of_row(visible);
                    masked.fill(zero);
                }
            },
        );
    }

    /// Applies the mask to queries `start..end` of a head. An element's number is its index in `[batch, queries,
    /// context, context]`.
    fn drop_out<T: Real>(&self, number: usize, start: usize, end: usize, context: usize, weights: &mut [T]) {
        let Some(mask) = self.dropout else { return };
        for (query, row) in (start..end).zip(weights.chunks_exact_mut(end)) {
            mask.apply_from((number * context + query) * context, &mut row[..=query]);
        }
    }

    /// Computes the gradients of each head. Per sequence: `[context, size]` for every query head, then every key head,
    /// then every value head.
    pub fn gradients<T: Stored>(&self, inputs: &Inputs<'_, T>, dy: &[T]) -> Gradients<T::Sum> {
        let Inputs { batch, context, size, .. } = *inputs;
        let (group, head) = (self.heads.group(), context * size);
        let dy = HeadLayout { elements: dy, stride: self.heads.queries * size, offset: 0 };
        let mut elements = vec![T::Sum::of(0.0); batch * self.heads.keys * (group + 2) * head];
        let effort = batch * self.heads.queries * context * context;
        cpu::for_chunks(&mut elements, (group + 2) * head, effort, |number, result| {
            self.gradients_of_group(inputs, dy, number, result);
        });
        Gradients { elements, heads: self.heads, head }
    }

    /// Processes the query heads of a group in order, so that their sums in the keys and values have a fixed order.
    fn gradients_of_group<'a, T: Stored>(
        &self,
        inputs: &Inputs<'a, T>,
        dy: HeadLayout<'a, T>,
        number: usize,
        result: &mut [T::Sum],
    ) {
        let (sequence, shared) = (number / self.heads.keys, number % self.heads.keys);
        let (group, size, scale) = (self.heads.group(), inputs.size, self.scale::<T::Sum>());
        let (k, v) = (inputs.head(inputs.k, sequence, shared), inputs.head(inputs.v, sequence, shared));
        let (dq, dkv) = result.split_at_mut(group * inputs.context * size);
        let (dk, dv) = dkv.split_at_mut(inputs.context * size);
        let (mut weights, mut dropped, mut dscores) = (Vec::new(), Vec::new(), Vec::new());
        for (member, dq) in dq.chunks_exact_mut(inputs.context * size).enumerate() {
            let head = shared * group + member;
            let (q, dy) = (inputs.head(inputs.q, sequence, head), inputs.head(dy, sequence, head));
            let head_number = sequence * self.heads.queries + head;
            for (start, end) in blocks(inputs.context) {
                let (q, dy, visible) = (q.rows(start, end), dy.rows(start, end), k.rows(0, end));
                let first = self.first_seen(sequence, start, end);
                self.probabilities(q, visible, start, first, &mut weights);
                let used = if self.dropout.is_some() {
                    dropped.clone_from(&weights);
                    self.drop_out(head_number, start, end, inputs.context, &mut dropped);
                    &dropped
                } else {
                    &weights
                };
                let square = |elements| Matrix::new(elements, end - start, end, end);
                T::product_of_sums(square(used).transposed(), dy, dv, size, true);
                dscores.resize((end - start) * end, T::Sum::of(0.0));
                T::product(dy, v.rows(0, end).transposed(), &mut dscores, end, false);
                self.drop_out(head_number, start, end, inputs.context, &mut dscores);
                scores_grad(&weights, &mut dscores, start, end, scale);
                T::product_of_sums(square(&dscores), visible, &mut dq[start * size..], size, false);
                T::product_of_sums(square(&dscores).transposed(), q, dk, size, true);
            }
        }
    }
}

/// The keys that a block of queries sees.
#[derive(Clone, Copy)]
struct Seen<'a> {
    /// The first key that each query sees; without it, the first of all.
    first: Option<&'a [u32]>,
    /// The end of the keys.
    end: usize,
}

impl Seen<'_> {
    /// Returns the first key that a query of the block sees.
    #[inline(always)]
    fn first(self, query: usize) -> usize {
        self.first.and_then(|first| first.get(query)).map_or(0, |&first| first as usize)
    }
}

/// Blocks of queries, as start and end.
fn blocks(context: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..context).step_by(BLOCK).map(move |start| (start, (start + BLOCK).min(context)))
}

/// Converts the gradients of the probabilities to gradients of the unscaled scores.
fn scores_grad<T: Real>(weights: &[T], dscores: &mut [T], start: usize, end: usize, scale: T) {
    cpu::vectorized(
        #[inline(always)]
        || {
            for (query, (weights, dscores)) in
                (start..end).zip(weights.chunks_exact(end).zip(dscores.chunks_exact_mut(end)))
            {
                let (visible, masked) = dscores.split_at_mut(query + 1);
                softmax_grad_of_row(&weights[..=query], visible);
                for dscore in visible.iter_mut() {
                    *dscore *= scale;
                }
                masked.fill(T::of(0.0));
            }
        },
    );
}

/// Returns `[batch, context, count * size]` from heads of `[context, size]` each, `count` of them per sequence.
pub fn merge_heads<T: Stored>(heads: &[&[T::Sum]], count: usize, inputs: &Inputs<'_, T>) -> Vec<T> {
    let Inputs { batch, context, size, .. } = *inputs;
    let fill = |result: &mut [MaybeUninit<T>]| {
        cpu::for_rows(result, count * size, |first, rows| {
            cpu::vectorized(
                #[inline(always)]
                || {
                    for (row, values) in (first..).zip(rows.chunks_exact_mut(count * size)) {
                        let (sequence, position) = (row / context, row % context);
                        let heads = &heads[sequence * count..][..count];
                        for (value, head) in values.chunks_exact_mut(size).zip(heads) {
                            let head = &head[position * size..][..size];
                            value.iter_mut().zip(head).for_each(|(value, &x)| _ = value.write(T::store(x)));
                        }
                    }
                },
            );
        });
    };
    // SAFETY: every row has `count` heads.
    unsafe { cpu::filled(batch * context * count * size, fill) }
}

/// Gradients as computed by one task per group: its query heads, its keys, its values.
pub struct Gradients<T> {
    elements: Vec<T>,
    heads: Heads,
    /// Elements in a head.
    head: usize,
}

impl<T> Gradients<T> {
    fn groups(&self) -> impl Iterator<Item = Vec<&[T]>> {
        let size = (self.heads.group() + 2) * self.head;
        self.elements.chunks_exact(size.max(1)).map(|group| group.chunks_exact(self.head).collect())
    }

    /// Returns the query, key and value heads of all sequences, separately.
    pub fn parts(&self) -> [Vec<&[T]>; 3] {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for mut group in self.groups() {
            parts[2].extend(group.pop());
            parts[1].extend(group.pop());
            parts[0].extend(group);
        }
        parts
    }

    /// Returns all heads of each sequence in turn.
    pub fn together(&self) -> Vec<&[T]> {
        let Heads { queries, keys } = self.heads;
        let [q, k, v] = self.parts();
        let sequences = q.chunks_exact(queries).zip(k.chunks_exact(keys)).zip(v.chunks_exact(keys));
        sequences.flat_map(|((q, k), v)| [q, k, v].concat()).collect()
    }
}
