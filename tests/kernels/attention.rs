//! The parts of attention that are not products: heads, probabilities and rotary positions.

use candle_core::{Device, Tensor};
use rekindle::ops::dropout::Mask;
use rekindle::ops::{self, Documents, Heads};
use rekindle::rng::StepRng;

use super::arguments::Argument::{self, Count, In, Null, Out, Real};
use super::arguments::{Type, words};
use super::dropout::{DRAWS, mask};
use super::emulator::{launch, searches_races};
use super::expected::{assert_near, by_cpu, numbers};

/// `[rows, inner] [inner, columns]` for each of a number of matrices, in f64; the second may be transposed.
fn products(a: &[f64], b: &[f64], [rows, inner, columns]: [usize; 3], transposed: bool) -> Vec<f64> {
    let pairs = a.chunks_exact(rows * inner).zip(b.chunks_exact(inner * columns));
    let matrices = pairs.map(|(a, b)| {
        let at = |i: usize, k: usize| if transposed { b[i * inner + k] } else { b[k * columns + i] };
        let element = |i: usize| (0..inner).map(|k| a[i / columns * inner + k] * at(i % columns, k)).sum::<f64>();
        (0..rows * columns).map(element).collect::<Vec<_>>()
    });
    matrices.flatten().collect()
}

fn transposed(a: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
    let of_matrix = |a: &[f64]| (0..rows * columns).map(|i| a[i % rows * columns + i / rows]).collect::<Vec<_>>();
    a.chunks_exact(rows * columns).flat_map(of_matrix).collect()
}

/// The sizes of one attention.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    context: usize,
    heads: Heads,
    size: usize,
}

impl Sizes {
    fn stride(self) -> usize {
        (self.heads.queries + 2 * self.heads.keys) * self.size
    }

    /// Number of an argument's heads in a packed row, where they begin, and how often each is written.
    fn arguments(self, first: usize, is_shared: bool) -> Vec<Argument> {
        let group = if is_shared { self.heads.queries / self.heads.keys } else { 1 };
        let Self { batch, context, heads, size, .. } = self;
        [batch, context, heads.queries, size, self.stride(), first * size, group].map(Count).to_vec()
    }
}

/// Two sequences of documents: one that begins at 0 and at 2, and one at 1, 2 and 4.
fn documents(context: usize) -> (Documents, Argument) {
    let starts = [0u32, 0, 1, 0, 0, 0, 1, 1, 0, 1];
    let tokens = Tensor::from_slice(&starts, (2, context), &Device::Cpu).unwrap();
    (Documents::beginning_with(1, &tokens).unwrap(), words(&[0, 0, 2, 2, 2, 0, 1, 2, 2, 4]))
}

/// Attention in f64 of the kernels, with products in the test: against that of the CPU, with queries that share keys,
/// with dropout, and within documents.
#[test]
fn the_parts_of_attention_make_up_that_of_the_cpu() {
    let of = Type::F64;
    let (heads, draws) = (Heads { queries: 4, keys: 2 }, StepRng::at(DRAWS.0, DRAWS.1));
    for (p, is_packed) in [(0.0, false), (0.3, false), (0.0, true), (0.3, true)] {
        let sizes = Sizes { batch: 2, context: 5, heads, size: 3 };
        let Sizes { batch, context, size, .. } = sizes;
        let (within, first) = documents(context);
        let (within, first) = if is_packed { (Some(within), first) } else { (None, Null) };
        let qkv = numbers(of, batch * context * sizes.stride(), 1);
        let dy = numbers(of, batch * context * heads.queries * size, 2);
        let expected = by_cpu(&[(&qkv, &[batch, context, sizes.stride()])], &dy, |x| {
            ops::attention_packed_within(&x[0], heads, Mask::new(p, &draws, "a"), within.as_ref())
        });
        let count = batch * heads.queries * context;
        let split = |rows: &[f64], arguments: Vec<Argument>| {
            let all = [&[In(of, rows.to_vec()), Out(of, count * size)][..], &arguments].concat();
            launch("split_heads_f64", 2, &all).remove(0)
        };
        let q = split(&qkv, sizes.arguments(0, false));
        let [k, v] = [4, 6].map(|first| split(&qkv, sizes.arguments(first, true)));
        let square = [context, size, context];
        let mut shape = vec![first, Count(heads.queries), Count(batch * heads.queries), Count(context)];
        shape.push(Real(1.0 / (size as f64).sqrt()));
        shape.extend(mask(p, draws, DRAWS.0, "a"));
        let scores = products(&q, &k, square, true);
        let arguments = [&[In(of, scores), Out(of, count * context), Out(of, count * context)][..], &shape].concat();
        let weights = launch("causal_softmax_forward_f64", 6, &arguments);
        let y = products(&weights[1], &v, [context, context, size], false);
        let merge = |split: Vec<f64>, width: usize, group: usize| {
            let places = [batch, context, heads.queries, size, width, 0, group].map(Count);
            let arguments = [&[In(of, split), Out(of, batch * context * width)][..], &places].concat();
            launch("merge_heads_f64", 2, &arguments).remove(0)
        };
        let (wide, narrow) = (heads.queries * size, heads.keys * size);
        assert_near(of, 32.0, &merge(y, wide, 1), &expected[0]);

        let dy_rows = [batch, context, heads.queries, size, wide, 0, 1].map(Count).to_vec();
        let dy = split(&dy, dy_rows);
        let dp = products(&dy, &v, square, true);
        let arguments = [&[In(of, weights[0].clone()), In(of, dp), Out(of, count * context)][..], &shape].concat();
        let dscores = launch("causal_softmax_backward_f64", 6, &arguments).remove(0);
        let to_keys = [context, context, size];
        let turned = |x: &[f64]| transposed(x, [context, context]);
        let dq = merge(products(&dscores, &k, to_keys, false), wide, 1);
        let dk = merge(products(&turned(&dscores), &q, to_keys, false), narrow, 2);
        let dv = merge(products(&turned(&weights[1]), &dy, to_keys, false), narrow, 2);
        let rows = (0..batch * context).flat_map(|row| {
            let of_row = |x: &[f64], width: usize| x[row * width..(row + 1) * width].to_vec();
            [of_row(&dq, wide), of_row(&dk, narrow), of_row(&dv, narrow)].concat()
        });
        assert_near(of, 32.0, &rows.collect::<Vec<_>>(), &expected[1]);
    }
}

/// Rows shorter than a block, and for one type longer; scores so far apart that some are zero.
#[test]
fn causal_probabilities_are_those_of_f64() {
    for &of in Type::of_tensors() {
        let contexts: &[usize] = if of == Type::F32 && !searches_races() { &[1, 5, 270] } else { &[5] };
        for &context in contexts {
            let scores = of.rounded(numbers(of, context * context, 1).iter().map(|x| x * 20.0).collect());
            let shape =
                [&[Null, Count(1), Count(1), Count(context), Real(0.5)][..], &mask(0.0, StepRng::at(1, 1), 1, "a")]
                    .concat();
            let arguments = [&[In(of, scores.clone()), Out(of, context * context), Null][..], &shape].concat();
            let found = launch(format!("causal_softmax_forward_{of}"), context.min(8), &arguments).remove(0);
            let expected = scores.chunks_exact(context).enumerate().flat_map(|(query, row)| {
                let exponentials: Vec<f64> = row[..=query].iter().map(|x| (x * 0.5).exp()).collect();
                let sum: f64 = exponentials.iter().sum();
                exponentials.into_iter().map(move |x| x / sum).chain(vec![0.0; context - query - 1]).collect::<Vec<_>>()
            });
            // Numbers of up to 40 have roundings of up to 20, which `exp` makes relative.
            assert_near(of, 64.0, &found, &expected.collect::<Vec<_>>());
        }
    }
}

/// Forward and backward are one kernel.
#[test]
fn rotary_positions_are_those_of_the_cpu() {
    for &of in Type::of_tensors() {
        for [batch, context, heads, size] in [[1, 1, 1, 2], [2, 9, 3, 10]] {
            let (width, half) = (heads * size, size / 2);
            let (x, dy) = (numbers(of, batch * context * width, 1), numbers(of, batch * context * width, 2));
            let expected = by_cpu(&[(&x, &[batch, context, width])], &dy, |x| ops::rotary(&x[0], heads, 500.0));
            let angle = |i: usize| (i / half) as f64 * 500f64.powf(-2.0 * (i % half) as f64 / size as f64);
            let table = |f: fn(f64) -> f64| {
                let values = (0..context * half).map(|i| f(angle(i))).collect();
                In(of.wide(), of.wide().rounded(values))
            };
            let sizes = [batch * context, context, width, size].map(Count);
            for (input, expected, sign) in [(x, &expected[0], 1.0), (dy, &expected[1], -1.0)] {
                let count = input.len();
                let tensors = [In(of, input), table(f64::cos), table(f64::sin), Out(of, count)];
                let found = launch(format!("rotary_{of}"), 2, &[&tensors[..], &sizes, &[Real(sign)]].concat());
                assert_near(of, 4.0, &found[0], expected);
            }
        }
    }
}
