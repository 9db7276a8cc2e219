//! Dropout: the same mask as on the CPU, bit for bit.

use candle_core::{DType, Device, Tensor};
use rekindle::ops::{self, dropout};
use rekindle::rng::StepRng;

use super::arguments::Argument::{self, Count, In, Out, Real, Word};
use super::arguments::Type;
use super::cases;
use super::emulator::launch;
use super::expected::{assert_near, by_cpu, numbers};

/// The key of a stream: the first 64 bits of BLAKE3 over seed and purpose, as `rng.rs` has it.
fn key(seed: u64, purpose: &str) -> [u32; 2] {
    let hash = blake3::hash(&[&seed.to_le_bytes(), purpose.as_bytes()].concat());
    [0, 4].map(|start| u32::from_le_bytes(hash.as_bytes()[start..start + 4].try_into().unwrap()))
}

/// Key, step, threshold and factor of a mask, as the kernels take them.
pub fn mask(p: f64, draws: StepRng, seed: u64, purpose: &str) -> [Argument; 5] {
    let [key0, key1] = key(seed, purpose);
    let threshold = (p * 2f64.powi(32)) as u32;
    [Word(key0), Word(key1), Count(draws.step as usize), Word(threshold), Real(1.0 / (1.0 - p))]
}

/// A step that takes more than 32 bits.
pub const DRAWS: (u64, u64) = (7, 3 << 33 | 5);

#[test]
fn the_mask_has_the_bits_of_the_cpu() {
    let draws = StepRng::at(DRAWS.0, DRAWS.1);
    for (of, [rows, width]) in cases() {
        let count = rows * width;
        // No number is zero, so zeros are those of the mask.
        let x: Vec<f64> = numbers(of, count, 1).iter().map(|x| if *x == 0.0 { 1.0 } else { *x }).collect();
        for p in [0.1, 0.5] {
            let arguments = [&[In(of, x.clone()), Out(of, count), Count(count)][..], &mask(p, draws, 7, "block/3")];
            let found = launch(format!("dropout_{of}"), 2, &arguments.concat()).remove(0);
            let by_cpu = |dtype: DType| {
                let x = Tensor::from_slice(&x, count, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
                let y = dropout::dropout(&x, p, &draws, "block/3").unwrap();
                y.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()
            };
            // For f32 and f64 the values have the bits of the CPU as well.
            let expected = by_cpu(if of == Type::F32 { DType::F32 } else { DType::F64 });
            let is_zero = |values: &[f64]| values.iter().map(|value| *value == 0.0).collect::<Vec<_>>();
            assert_eq!(is_zero(&found), is_zero(&expected), "{of}");
            if of == of.wide() {
                assert_eq!(found, expected);
            }
            assert_near(of, 1.0, &found, &expected);
        }
    }
}

/// Rows of one element, and of more than a thread takes.
#[test]
fn whole_rows_are_dropped_as_on_the_cpu() {
    let draws = StepRng::at(DRAWS.0, DRAWS.1);
    for &of in Type::of_tensors() {
        for [rows, length] in [[1, 1], [9, 1], [6, 35], [2, 300]] {
            let (count, p) = (rows * length, 0.5);
            let x = numbers(of, count, 1);
            let arguments = [In(of, x.clone()), Out(of, count), Count(rows), Count(length)];
            let arguments = [&arguments[..], &mask(p, draws, 7, "block/3")].concat();
            let found = launch(format!("drop_path_{of}"), 2, &arguments).remove(0);
            let expected = by_cpu(&[(&x, &[rows, length])], &x, |x| ops::drop_path(&x[0], p, &draws, "block/3"));
            // Half of a number is exact, and so is its double.
            assert_eq!(found, of.rounded(expected[0].clone()), "{of} {rows} {length}");
            // The gradient has the same kernel.
            assert_near(of, 1.0, &found, &expected[1]);
        }
    }
}

/// A product would make a NaN of it.
#[test]
fn what_is_infinite_is_dropped() {
    let x = vec![f64::INFINITY; 64];
    let arguments = [&[In(Type::F32, x), Out(Type::F32, 64), Count(64)][..], &mask(0.5, StepRng::at(1, 2), 1, "a")];
    let y = launch("dropout_f32", 1, &arguments.concat()).remove(0);
    assert!(y.contains(&0.0) && y.contains(&f64::INFINITY) && !y.iter().any(|y| y.is_nan()), "{y:?}");
}
