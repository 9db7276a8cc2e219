//! Embeddings of tokens and positions.

use candle_core::{Device, Tensor};
use rekindle::ops;

use super::arguments::Argument::{Count, In, InOut, Null, Out};
use super::arguments::{Type, words};
use super::emulator::launch;
use super::expected::{assert_near, by_cpu, numbers};

/// Sequences, their length, rows of the table and of the positions, and the width: one of each, and rows that are
/// longer than a block and read many times or never.
const SHAPES: [[usize; 5]; 3] = [[1, 1, 1, 1, 1], [3, 40, 11, 50, 5], [2, 5, 30, 5, 300]];

#[test]
fn embeddings_are_those_of_the_cpu() {
    for &of in Type::of_tensors() {
        for [batch, context, rows, positions, width] in SHAPES {
            let count = batch * context;
            let ids: Vec<u32> = (0..count as u32).map(|i| i * i % rows as u32).collect();
            let (table, offsets) = (numbers(of, rows * width, 1), numbers(of, positions * width, 2));
            let dy = numbers(of, count * width, 3);
            let tensor = Tensor::from_slice(&ids, (batch, context), &Device::Cpu).unwrap();
            let inputs: [(&[f64], &[usize]); 2] = [(&table, &[rows, width]), (&offsets, &[positions, width])];
            let expected = by_cpu(&inputs, &dy, |x| ops::embedding_with_positions(&x[0], &x[1], &tensor));
            let alone = by_cpu(&inputs[..1], &dy, |x| ops::embedding(&x[0], &tensor));

            let sizes = [Count(count), Count(context), Count(rows), Count(width)];
            for (positions, expected) in [(In(of, offsets.clone()), &expected[0]), (Null, &alone[0])] {
                let arguments =
                    [&[In(of, table.clone()), positions, words(&ids), Out(of, count * width)], &sizes[..]].concat();
                assert_near(of, 1.0, &launch(format!("embedding_forward_{of}"), 3, &arguments)[0], expected);
            }
            let order = launch("embedding_order", 2, &[words(&ids), Out(Type::U32, count), Count(count)]).remove(0);
            let mut sorted: Vec<f64> = (0..count).map(|place| place as f64).collect();
            sorted.sort_by_key(|&place| ids[place as usize]);
            assert_eq!(order, sorted);
            let inputs = [In(of, dy.clone()), words(&ids), In(Type::U32, order)];
            let table = [InOut(of, vec![0.0; rows * width]), Count(count), Count(rows), Count(width)];
            let found = launch(format!("embedding_backward_{of}"), 5, &[&inputs[..], &table].concat());
            // Sums of up to a dozen numbers.
            assert_near(of, 8.0, &found[0], &expected[1]);
            let arguments =
                [&[In(of, dy), Out(of, positions * width)], &[batch, context, positions, width].map(Count)[..]];
            let found = launch(format!("positions_backward_{of}"), 3, &arguments.concat());
            assert_near(of, 2.0, &found[0], &expected[2]);
        }
    }
}

/// Whoever starts the kernel checks the numbers; nothing beside the table is read or written all the same.
#[test]
fn a_token_that_there_is_not_gives_no_number() {
    let ids = [2, 5, 0];
    let sizes = [3, 3, 5, 1].map(Count);
    let table = In(Type::F32, vec![1.0; 5]);
    let y = launch("embedding_forward_f32", 1, &[&[table, Null, words(&ids), Out(Type::F32, 3)], &sizes[..]].concat());
    assert!(y[0][0] == 1.0 && y[0][1].is_nan() && y[0][2] == 1.0);
    let inputs = [In(Type::F32, vec![1.0; 3]), words(&ids), words(&[2, 0, 1])];
    let arguments = [&inputs[..], &[InOut(Type::F32, vec![0.0; 5]), Count(3), Count(5), Count(1)]].concat();
    assert_eq!(launch("embedding_backward_f32", 3, &arguments)[0], [1.0, 0.0, 1.0, 0.0, 0.0]);
}
