//! Causal self-attention of several heads: Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2; with
//! queries that share keys and values in groups: Ainslie et al., "GQA", EMNLP 2023.
//!
//! Scores, mask, softmax, dropout and values are one operation, a block of queries at a time, and only against the keys
//! that they may see. Nothing is kept for the backward pass but inputs: it computes the probabilities again, which
//! costs one of the five products there, and no memory that grows with the square of the context.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::cpu::{self, Reading, with_float};
use super::dropout::Mask;
use super::gemm::{Matrix, product};
use super::math::Real;
use super::norm::{softmax_gradient_of_row, softmax_of_row};
use super::tape::{apply1, apply3};

/// Queries that are worked on at once.
const BLOCK: usize = 64;

/// How many heads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Of queries.
    pub queries: usize,
    /// Of keys, and as many of values: a divisor of the queries'.
    pub keys: usize,
}

/// `softmax(q kᵀ / √size) v` for each head, each position seeing itself and those before it, as
/// `torch.nn.functional.scaled_dot_product_attention(…, is_causal=True, enable_gqa=True)`. Query head `h` uses head `h
/// / (queries / keys)` of keys and values. Weights are dropped out by `dropout`.
///
/// `q` is `[batch, context, queries * size]`, `k` and `v` are `[batch, context, keys * size]`, head after head in the
/// last dimension; the result has the shape of `q`.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads, dropout: Option<Mask>) -> Result<Tensor> {
    let ((batch, context, width), expected) = (q.dims3()?, k.dims3()?);
    let size = heads.size(width, heads.queries)?;
    if expected != (batch, context, heads.keys * size) || k.dims() != v.dims() {
        bail!("attention: queries {:?}, keys {:?} and values {:?} do not fit together", q.dims(), k.dims(), v.dims());
    }
    let attention = Attention { heads, size, dropout };
    if cpu::is_fused(q) {
        return apply3(&q.contiguous()?, &k.contiguous()?, &v.contiguous()?, attention);
    }
    attention.composed(q, k, v)
}

/// [`attention`] of queries, keys and values that one product has put side by side: `qkv` is `[batch, context, (queries
/// + 2 keys) * size]`, the result `[batch, context, queries * size]`.
///
/// # Errors
/// As [`attention`].
pub fn attention_packed(qkv: &Tensor, heads: Heads, dropout: Option<Mask>) -> Result<Tensor> {
    let (_, _, width) = qkv.dims3()?;
    let size = heads.size(width, heads.queries + 2 * heads.keys)?;
    let attention = Attention { heads, size, dropout };
    if cpu::is_fused(qkv) {
        return apply1(&qkv.contiguous()?, attention);
    }
    let part = |first: usize, count: usize| qkv.narrow(2, first * size, count * size);
    let Heads { queries, keys } = heads;
    attention.composed(&part(0, queries)?, &part(queries, keys)?, &part(queries + keys, keys)?)
}

impl Heads {
    /// How many numbers a head has, where `width` is that of `count` heads.
    fn size(self, width: usize, count: usize) -> Result<usize> {
        let Self { queries, keys } = self;
        if keys == 0 || queries == 0 || !queries.is_multiple_of(keys) || width == 0 || !width.is_multiple_of(count) {
            bail!("attention: a width of {width} cannot be {queries} heads of queries and {keys} of keys and values");
        }
        Ok(width / count)
    }

    /// Query heads to a head of keys.
    fn group(self) -> usize {
        self.queries / self.keys
    }
}

#[derive(Clone, Copy)]
struct Attention {
    heads: Heads,
    /// Numbers in a head.
    size: usize,
    dropout: Option<Mask>,
}

/// Heads side by side in an array: `stride` elements to a position, the first head at `offset`.
#[derive(Clone, Copy)]
struct Side<'a, T> {
    elements: &'a [T],
    stride: usize,
    offset: usize,
}

/// What attention looks at.
struct Inputs<'a, T> {
    batch: usize,
    context: usize,
    size: usize,
    q: Side<'a, T>,
    k: Side<'a, T>,
    v: Side<'a, T>,
}

impl<'a, T: Real> Inputs<'a, T> {
    /// Head `head` of one of the sides: `[context, size]`.
    fn head(&self, side: Side<'a, T>, sequence: usize, head: usize) -> Matrix<'a, T> {
        let start = sequence * self.context * side.stride + side.offset + head * self.size;
        Matrix::new(&side.elements[start..], self.context, self.size, side.stride)
    }
}

impl Attention {
    fn inputs<'a, T>(&self, q: &'a [T], k: &'a [T], v: &'a [T], batch: usize, context: usize) -> Inputs<'a, T> {
        let side = |elements, heads: usize| Side { elements, stride: heads * self.size, offset: 0 };
        let (q, k, v) = (side(q, self.heads.queries), side(k, self.heads.keys), side(v, self.heads.keys));
        Inputs { batch, context, size: self.size, q, k, v }
    }

    fn packed<'a, T>(&self, elements: &'a [T], batch: usize, context: usize) -> Inputs<'a, T> {
        let Heads { queries, keys } = self.heads;
        let stride = (queries + 2 * keys) * self.size;
        let side = |heads: usize| Side { elements, stride, offset: heads * self.size };
        Inputs { batch, context, size: self.size, q: side(0), k: side(queries), v: side(queries + keys) }
    }

    fn scale<T: Real>(&self) -> T {
        T::of(1.0 / (self.size as f64).sqrt())
    }

    /// `[batch, context, queries * size]`.
    fn forward<T: Real>(&self, inputs: &Inputs<'_, T>) -> Vec<T> {
        let Inputs { batch, context, size, .. } = *inputs;
        let mut heads = vec![T::of(0.0); batch * self.heads.queries * context * size];
        let effort = batch * self.heads.queries * context * context;
        cpu::for_chunks(&mut heads, context * size, effort, |number, result| {
            self.forward_of_head(inputs, number, result);
        });
        let heads: Vec<&[T]> = heads.chunks_exact((context * size).max(1)).collect();
        side_by_side(&heads, self.heads.queries, inputs)
    }

    /// Head `number`, counted through all sequences, as `[context, size]`.
    fn forward_of_head<T: Real>(&self, inputs: &Inputs<'_, T>, number: usize, result: &mut [T]) {
        let (sequence, head) = (number / self.heads.queries, number % self.heads.queries);
        let (q, shared) = (inputs.head(inputs.q, sequence, head), head / self.heads.group());
        let (k, v) = (inputs.head(inputs.k, sequence, shared), inputs.head(inputs.v, sequence, shared));
        let mut weights = Vec::new();
        for (start, end) in blocks(inputs.context) {
            self.probabilities(q.rows(start, end), k.rows(0, end), start, end, &mut weights);
            self.drop_out(number, start, end, inputs.context, &mut weights);
            let weights = Matrix::new(&weights, end - start, end, end);
            product(weights, v.rows(0, end), &mut result[start * inputs.size..], inputs.size, false);
        }
    }

    /// The probabilities of queries `start..end`, a row of `end` each, zero for the keys that come after the query.
    fn probabilities<T: Real>(&self, q: Matrix<T>, k: Matrix<T>, start: usize, end: usize, result: &mut Vec<T>) {
        result.resize((end - start) * end, T::of(0.0));
        product(q, k.transposed(), result, end, false);
        let scale = self.scale::<T>();
        cpu::vectorized(
            #[inline(always)]
            || {
                for (query, row) in (start..end).zip(result.chunks_exact_mut(end)) {
                    let (seen, later) = row.split_at_mut(query + 1);
                    for score in seen.iter_mut() {
                        *score *= scale;
                    }
                    softmax_of_row(seen);
                    later.fill(T::of(0.0));
                }
            },
        );
    }

    /// Applies the mask of queries `start..end` of a head. An element's number is its place in `[batch, queries,
    /// context, context]`.
    fn drop_out<T: Real>(&self, number: usize, start: usize, end: usize, context: usize, weights: &mut [T]) {
        let Some(mask) = self.dropout else { return };
        for (query, row) in (start..end).zip(weights.chunks_exact_mut(end)) {
            mask.apply_from((number * context + query) * context, &mut row[..=query]);
        }
    }

    /// The gradients of each head: `[context, size]` for every query head, then for every head of keys, then of values,
    /// and so for each sequence.
    fn backward<T: Real>(&self, inputs: &Inputs<'_, T>, gradient: &[T]) -> Gradients<T> {
        let Inputs { batch, context, size, .. } = *inputs;
        let (group, head) = (self.heads.group(), context * size);
        let of_output = Side { elements: gradient, stride: self.heads.queries * size, offset: 0 };
        let mut elements = vec![T::of(0.0); batch * self.heads.keys * (group + 2) * head];
        let effort = batch * self.heads.queries * context * context;
        cpu::for_chunks(&mut elements, (group + 2) * head, effort, |number, result| {
            self.backward_of_group(inputs, of_output, number, result);
        });
        Gradients { elements, heads: self.heads, head }
    }

    /// The query heads of a group one after the other, so that what they add to their keys and values has one order.
    fn backward_of_group<'a, T: Real>(
        &self,
        inputs: &Inputs<'a, T>,
        of_output: Side<'a, T>,
        number: usize,
        result: &mut [T],
    ) {
        let (sequence, shared) = (number / self.heads.keys, number % self.heads.keys);
        let (group, size, scale) = (self.heads.group(), inputs.size, self.scale::<T>());
        let (k, v) = (inputs.head(inputs.k, sequence, shared), inputs.head(inputs.v, sequence, shared));
        let (of_q, of_kv) = result.split_at_mut(group * inputs.context * size);
        let (of_k, of_v) = of_kv.split_at_mut(inputs.context * size);
        let (mut weights, mut dropped, mut slopes) = (Vec::new(), Vec::new(), Vec::new());
        for (member, of_q) in of_q.chunks_exact_mut(inputs.context * size).enumerate() {
            let head = shared * group + member;
            let (q, of_output) = (inputs.head(inputs.q, sequence, head), inputs.head(of_output, sequence, head));
            let head_number = sequence * self.heads.queries + head;
            for (start, end) in blocks(inputs.context) {
                let (q, of_output, seen) = (q.rows(start, end), of_output.rows(start, end), k.rows(0, end));
                self.probabilities(q, seen, start, end, &mut weights);
                let used = if self.dropout.is_some() {
                    dropped.clone_from(&weights);
                    self.drop_out(head_number, start, end, inputs.context, &mut dropped);
                    &dropped
                } else {
                    &weights
                };
                let square = |elements| Matrix::new(elements, end - start, end, end);
                product(square(used).transposed(), of_output, of_v, size, true);
                slopes.resize((end - start) * end, T::of(0.0));
                product(of_output, v.rows(0, end).transposed(), &mut slopes, end, false);
                self.drop_out(head_number, start, end, inputs.context, &mut slopes);
                slopes_of_scores(&weights, &mut slopes, start, end, scale);
                product(square(&slopes), seen, &mut of_q[start * size..], size, false);
                product(square(&slopes).transposed(), q, of_k, size, true);
            }
        }
    }

    fn composed(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (batch, context, width) = q.dims3()?;
        let (Heads { queries, keys }, group, size) = (self.heads, self.heads.group(), self.size);
        let q = q.reshape((batch, context, queries, size))?.transpose(1, 2)?.contiguous()?;
        let shared = |x: &Tensor| {
            let x = x.reshape((batch, context, keys, 1, size))?.broadcast_as((batch, context, keys, group, size))?;
            x.reshape((batch, context, queries, size))?.transpose(1, 2)?.contiguous()
        };
        let scores = (q.matmul(&shared(k)?.t()?.contiguous()?)? * self.scale::<f64>())?;
        let hidden = (0..context * context).map(|i| if i % context > i / context { f32::NEG_INFINITY } else { 0.0 });
        let hidden = Tensor::from_iter(hidden, q.device())?.reshape((context, context))?.to_dtype(q.dtype())?;
        let mut weights = candle_nn::ops::softmax(&scores.broadcast_add(&hidden)?, candle_core::D::Minus1)?;
        if let Some(mask) = self.dropout {
            let factors = Tensor::from_vec(mask.factors::<f32>(weights.elem_count()), weights.shape(), q.device())?;
            weights = (weights * factors.to_dtype(q.dtype())?)?;
        }
        weights.matmul(&shared(v)?)?.transpose(1, 2)?.reshape((batch, context, width))
    }
}

/// Blocks of queries: where they start and end.
fn blocks(context: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..context).step_by(BLOCK).map(move |start| (start, (start + BLOCK).min(context)))
}

/// From the slopes of the probabilities to those of the scores before they were scaled.
fn slopes_of_scores<T: Real>(weights: &[T], slopes: &mut [T], start: usize, end: usize, scale: T) {
    cpu::vectorized(
        #[inline(always)]
        || {
            for (query, (weights, slopes)) in
                (start..end).zip(weights.chunks_exact(end).zip(slopes.chunks_exact_mut(end)))
            {
                let (seen, later) = slopes.split_at_mut(query + 1);
                softmax_gradient_of_row(&weights[..=query], seen);
                for slope in seen.iter_mut() {
                    *slope *= scale;
                }
                later.fill(T::of(0.0));
            }
        },
    );
}

/// `[batch, context, count * size]` from heads that are `[context, size]` each, `count` of them for each sequence.
fn side_by_side<T: Real>(heads: &[&[T]], count: usize, inputs: &Inputs<'_, T>) -> Vec<T> {
    let Inputs { batch, context, size, .. } = *inputs;
    let mut result = vec![T::of(0.0); batch * context * count * size];
    cpu::for_rows(&mut result, count * size, |first, rows| {
        for (row, values) in (first..).zip(rows.chunks_exact_mut(count * size)) {
            let (sequence, position) = (row / context, row % context);
            let heads = &heads[sequence * count..][..count];
            for (value, head) in values.chunks_exact_mut(size).zip(heads) {
                value.copy_from_slice(&head[position * size..][..size]);
            }
        }
    });
    result
}

/// Gradients as a task for each group has computed them: its query heads, its keys, its values.
struct Gradients<T> {
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

    /// For each sequence in turn its heads of queries, of keys and of values.
    fn parts(&self) -> [Vec<&[T]>; 3] {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for mut group in self.groups() {
            parts[2].extend(group.pop());
            parts[1].extend(group.pop());
            parts[0].extend(group);
        }
        parts
    }

    /// For each sequence in turn all of its heads.
    fn together(&self) -> Vec<&[T]> {
        let Heads { queries, keys } = self.heads;
        let [q, k, v] = self.parts();
        let sequences = q.chunks_exact(queries).zip(k.chunks_exact(keys)).zip(v.chunks_exact(keys));
        sequences.flat_map(|((q, k), v)| [q, k, v].concat()).collect()
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, context, _) = layout.shape().dims3()?;
        with_float!("attention", cpu::dtype(qkv), T => {
            let y = self.forward(&self.packed::<T>(cpu::elements(qkv, layout)?, batch, context));
            Ok((cpu::storage(y), Shape::from((batch, context, self.heads.queries * self.size))))
        })
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let ((batch, context, _), gradient) = (qkv.dims3()?, gradient.contiguous()?);
        with_float!("attention", qkv.dtype(), T => {
            let (read, read_g) = (Reading::of(qkv), Reading::of(&gradient));
            let inputs = self.packed::<T>(read.elements()?, batch, context);
            let gradients = self.backward(&inputs, read_g.elements()?);
            let count = self.heads.queries + 2 * self.heads.keys;
            cpu::tensor(side_by_side(&gradients.together(), count, &inputs), qkv).map(Some)
        })
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, context, _) = ql.shape().dims3()?;
        with_float!("attention", cpu::dtype(q), T => {
            let (q, k, v) = (cpu::elements::<T>(q, ql)?, cpu::elements(k, kl)?, cpu::elements(v, vl)?);
            Ok((cpu::storage(self.forward(&self.inputs(q, k, v, batch, context))), ql.shape().clone()))
        })
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ((batch, context, _), gradient) = (q.dims3()?, gradient.contiguous()?);
        with_float!("attention", q.dtype(), T => {
            let (read_q, read_k, read_v) = (Reading::of(q), Reading::of(k), Reading::of(v));
            let (elements, read_g) = (read_q.elements::<T>()?, Reading::of(&gradient));
            let inputs = self.inputs(elements, read_k.elements()?, read_v.elements()?, batch, context);
            let gradients = self.backward(&inputs, read_g.elements()?);
            let [of_q, of_k, of_v] = gradients.parts();
            let tensor = |heads: &[&[T]], count, like| cpu::tensor(side_by_side(heads, count, &inputs), like).map(Some);
            let Heads { queries, keys } = self.heads;
            Ok((tensor(&of_q, queries, q)?, tensor(&of_k, keys, k)?, tensor(&of_v, keys, v)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Reference, assert_gradients, assert_same_numbers, gradients, numbers};
    use crate::rng::Draws;

    const GROUPED: Heads = Heads { queries: 4, keys: 2 };

    fn mask() -> Option<Mask> {
        Mask::new(0.3, &Draws::at(3, 5), "attention")
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let (q, k, v) = (numbers(&[2, 5, 12], 1), numbers(&[2, 5, 6], 2), numbers(&[2, 5, 6], 3));
        for dropout in [None, mask()] {
            assert_gradients(&[&q, &k, &v], |x| attention(&x[0], &x[1], &x[2], GROUPED, dropout));
            assert_gradients(&[&numbers(&[2, 5, 24], 4)], |x| attention_packed(&x[0], GROUPED, dropout));
        }
    }

    #[test]
    fn values_and_gradients_are_those_of_pytorch() {
        let reference = Reference::open("gpt_reference.safetensors");
        let heads = Heads { queries: 4, keys: 4 };
        reference.assert("attention", 1e-12, |x| attention(&x[0], &x[1], &x[2], heads, None));
        reference.assert("attention_grouped", 1e-11, |x| attention(&x[0], &x[1], &x[2], GROUPED, None));
    }

    /// Contexts of several blocks, the last of which is not full. The composed form has the dropout's factors in f32.
    #[test]
    fn the_composed_and_the_packed_form_agree_with_the_fused_one() {
        for (context, dropout, tolerance) in [(1, None, 1e-12), (150, None, 1e-11), (150, mask(), 1e-6)] {
            let (q, kv) = (numbers(&[2, context, 20], 1), [2, 3].map(|seed| numbers(&[2, context, 10], seed)));
            let inputs = [&q, &kv[0], &kv[1]];
            let fused = |x: &[Tensor]| attention(&x[0], &x[1], &x[2], GROUPED, dropout);
            let plain = |x: &[Tensor]| Attention { heads: GROUPED, size: 5, dropout }.composed(&x[0], &x[1], &x[2]);
            let packed = |x: &[Tensor]| attention_packed(&Tensor::cat(x, 2)?, GROUPED, dropout);
            let owned = inputs.map(Tensor::clone);
            let expected = plain(&owned).unwrap();
            assert_same_numbers(&fused(&owned).unwrap(), &expected, tolerance);
            assert_same_numbers(&packed(&owned).unwrap(), &expected, tolerance);
            let expected = gradients(&inputs, plain);
            for found in [gradients(&inputs, fused), gradients(&inputs, packed)] {
                found
                    .iter()
                    .zip(&expected)
                    .for_each(|(found, expected)| assert_same_numbers(found, expected, tolerance));
            }
        }
    }

    #[test]
    fn no_position_sees_a_later_one() {
        let x = numbers(&[1, 70, 12], 1);
        let changed = Tensor::cat(&[&x.narrow(1, 0, 67).unwrap(), &numbers(&[1, 3, 12], 2)], 1).unwrap();
        let heads = Heads { queries: 2, keys: 2 };
        let first = |x: &Tensor| attention(x, x, x, heads, None).unwrap().narrow(1, 0, 67).unwrap();
        assert_same_numbers(&first(&changed), &first(&x), 0.0);
    }

    #[test]
    fn heads_that_do_not_fit_are_refused() {
        let x = numbers(&[1, 2, 10], 1);
        for (queries, keys) in [(3, 3), (5, 2), (0, 0), (5, 0)] {
            let message = attention(&x, &x, &x, Heads { queries, keys }, None).unwrap_err().to_string();
            assert!(message.contains(&format!("width of 10 cannot be {queries} heads")), "{message}");
        }
        let message = attention(&x, &x, &x, Heads { queries: 5, keys: 1 }, None).unwrap_err().to_string();
        assert!(message.contains("do not fit together"), "{message}");
    }
}
