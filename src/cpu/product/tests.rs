//! Products of bf16 against sums in f64.

use proptest::prelude::*;

use super::*;
use crate::cpu::workers;
use crate::rng::Stream;

/// Every kind of instructions that this processor has: one with the matrix unit has the others too.
fn all() -> Vec<Instructions> {
    let mut all = vec![Instructions::Dots, Instructions::Fma];
    match instructions() {
        Some(Instructions::Amx) => {
            all.push(Instructions::Amx);
            all
        }
        Some(_) => all,
        None => {
            eprintln!("NOT RUN: this processor has no instructions for bf16");
            Vec::new()
        }
    }
}

/// How a factor lies in memory.
#[derive(Clone, Copy, Debug)]
enum Lies {
    ByRows,
    ByColumns,
    /// Neither its rows nor its columns are adjacent.
    Apart,
}

/// A factor in f32 and in bf16.
struct Factor {
    wide: Vec<f32>,
    brain: Vec<bf16>,
    view: View,
}

impl Factor {
    fn new(rows: usize, columns: usize, lies: Lies, seed: u64) -> Self {
        let (row_stride, column_stride) = match lies {
            Lies::ByRows => (columns + 3, 1),
            Lies::ByColumns => (1, rows + 1),
            Lies::Apart => (2 * columns + 1, 2),
        };
        let len = rows * row_stride + columns * column_stride;
        let wide: Vec<f32> = Stream::new(seed, "factor").normal(0, len);
        let brain: Vec<bf16> = wide.iter().map(|&x| bf16::from_f32(x)).collect();
        let view = View { numbers: Numbers::F32(std::ptr::null()), rows, columns, row_stride, column_stride };
        Self { wide, brain, view }
    }

    fn view(&self, wide: bool) -> View {
        let numbers = if wide { Numbers::F32(self.wide.as_ptr()) } else { Numbers::Bf16(self.brain.as_ptr()) };
        View { numbers, ..self.view }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.brain[row * self.view.row_stride + column * self.view.column_stride].to_f64()
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    sizes: [usize; 3],
    lie: [Lies; 2],
    wide: [bool; 2],
    add: bool,
    /// No bias, one of columns, one of rows.
    bias: usize,
    relu: bool,
    to_bf16: bool,
}

/// Computes a case, and returns its result, with rows two elements apart, in f32.
fn compute(case: Case, left: &Factor, right: &Factor, bias: &[f32], instructions: Instructions) -> Vec<f32> {
    let [rows, _, columns] = case.sizes;
    let row_stride = columns + 2;
    let before: Vec<f32> = (0..rows * row_stride).map(|i| (i % 5) as f32).collect();
    let mut in_bf16: Vec<bf16> = before.iter().map(|&x| bf16::from_f32(x)).collect();
    let mut in_f32 = before;
    let into = if case.to_bf16 { Target::Bf16(in_bf16.as_mut_ptr()) } else { Target::F32(in_f32.as_mut_ptr()) };
    let bias = [Bias::None, Bias::OfColumns(bias.as_ptr()), Bias::OfRows(bias.as_ptr())][case.bias];
    let (left, right) = (left.view(case.wide[0]), right.view(case.wide[1]));
    let product = Product { left, right, into, row_stride, add: case.add, bias, relu: case.relu };
    // SAFETY: the factors and the result are as large as their sizes say.
    unsafe { multiply(&product, instructions, true) };
    if case.to_bf16 { in_bf16.into_iter().map(bf16::to_f32).collect() } else { in_f32 }
}

fn check(case: Case) {
    let [rows, inner, columns] = case.sizes;
    let (left, right) = (Factor::new(rows, inner, case.lie[0], 1), Factor::new(inner, columns, case.lie[1], 2));
    let bias: Vec<f32> = Stream::new(3, "bias").normal(0, rows.max(columns));
    for instructions in all() {
        let found = compute(case, &left, &right, &bias, instructions);
        for (i, &found) in found.iter().enumerate() {
            let (row, column) = (i / (columns + 2), i % (columns + 2));
            let before = (i % 5) as f64;
            if column >= columns {
                assert_eq!(f64::from(found), before, "{case:?}: beside the result");
                continue;
            }
            let mut exact: f64 = (0..inner).map(|k| left.at(row, k) * right.at(k, column)).sum();
            exact += if case.add { before } else { 0.0 };
            exact += [0.0, f64::from(bias[column]), f64::from(bias[row])][case.bias];
            exact = if case.relu { exact.max(0.0) } else { exact };
            let size = (inner as f64).sqrt() + before + 1.0;
            let tolerance = if case.to_bf16 { exact.abs() / 250.0 } else { 0.0 } + size * 1e-5;
            let found = f64::from(found);
            assert!((found - exact).abs() <= tolerance, "{case:?} {instructions:?}: {row}, {column}: {found} {exact}");
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let size = || prop_oneof![1..4usize, 14..35usize, 60..140usize, 190..200usize];
    let lies = || prop_oneof![Just(Lies::ByRows), Just(Lies::ByColumns), Just(Lies::Apart)];
    let flags = (any::<[bool; 2]>(), any::<bool>(), 0..3usize, any::<bool>(), any::<bool>());
    ([size(), size(), size()], [lies(), lies()], flags)
        .prop_map(|(sizes, lie, (wide, add, bias, relu, to_bf16))| Case { sizes, lie, wide, add, bias, relu, to_bf16 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_are_those_of_f64_for_every_form(case in case()) {
        check(case);
    }
}

/// Also of sizes with several tasks.
#[test]
fn bits_depend_neither_on_the_threads_nor_on_how_factors_lie() {
    let form = Case {
        sizes: [300, 129, 290],
        lie: [Lies::ByRows; 2],
        wide: [false; 2],
        add: false,
        bias: 1,
        relu: true,
        to_bf16: false,
    };
    let bias: Vec<f32> = Stream::new(3, "bias").normal(0, 300);
    let [rows, inner, columns] = form.sizes;
    let (left, right) = (Factor::new(rows, inner, Lies::ByRows, 1), Factor::new(inner, columns, Lies::ByRows, 2));
    // The same numbers by columns.
    let by_columns = |factor: &Factor, rows: usize, columns: usize| {
        let mut other = Factor::new(rows, columns, Lies::ByColumns, 1);
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let from = row * factor.view.row_stride + column;
            let to = row + column * other.view.column_stride;
            (other.wide[to], other.brain[to]) = (factor.wide[from], factor.brain[from]);
        }
        other
    };
    let turned = (by_columns(&left, rows, inner), by_columns(&right, inner, columns));
    for instructions in all() {
        let bits = |threads, left: &Factor, right: &Factor, wide| {
            let case = Case { wide: [wide; 2], ..form };
            let found = workers::with_threads(threads, || compute(case, left, right, &bias, instructions));
            found.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        let one = bits(1, &left, &right, false);
        for threads in [2, 3, 7] {
            assert!(one == bits(threads, &left, &right, false), "{instructions:?} on {threads} threads");
        }
        assert!(one == bits(2, &turned.0, &turned.1, false), "{instructions:?} by columns");
        assert!(one == bits(2, &left, &right, true), "{instructions:?} from f32");
    }
}

#[test]
fn a_product_without_an_inner_dimension_is_its_bias() {
    for instructions in all() {
        let form = Case {
            sizes: [3, 0, 5],
            lie: [Lies::ByRows; 2],
            wide: [false; 2],
            add: false,
            bias: 1,
            relu: false,
            to_bf16: false,
        };
        let (left, right) = (Factor::new(3, 0, Lies::ByRows, 1), Factor::new(0, 5, Lies::ByRows, 2));
        let found = compute(form, &left, &right, &[1.0, 2.0, 3.0, 4.0, 5.0], instructions);
        assert_eq!(found[..5], [1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}

/// Neither a sum nor ReLU loses what went wrong.
#[test]
fn nan_and_infinity_stay() {
    let (mut left, right) = (Factor::new(20, 40, Lies::ByRows, 1), Factor::new(40, 20, Lies::ByRows, 2));
    let stride = left.view.row_stride;
    (left.brain[2 * stride + 5], left.brain[3 * stride + 7]) = (bf16::NAN, bf16::INFINITY);
    for (instructions, to_bf16) in all().into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let form = Case {
            sizes: [20, 40, 20],
            lie: [Lies::ByRows; 2],
            wide: [false; 2],
            add: false,
            bias: 0,
            relu: true,
            to_bf16,
        };
        let found = compute(form, &left, &right, &[], instructions);
        let row = |row: usize| &found[row * 22..row * 22 + 20];
        assert!(row(2).iter().all(|x| x.is_nan()), "{instructions:?}: {:?}", row(2));
        assert!(row(3).iter().all(|x| *x == f32::INFINITY || *x == 0.0), "{instructions:?}: {:?}", row(3));
        assert!(row(4).iter().all(|x| x.is_finite()));
    }
}
