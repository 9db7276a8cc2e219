//! Tests that every built-in model stays on the tape with every loss, so that no gradient uses Candle's graph.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::{Input, Mode, ModelConfig};
use crate::ops::{Tape, loss};
use crate::rng::{StepRng, Stream};

type Loss<'a> = dyn Fn(&Tensor) -> candle_core::Result<Tensor> + 'a;

/// Computes the gradients of a model with `outputs` numbers for each of four rows of `input`, or for each position in a
/// row, with every loss.
#[track_caller]
fn assert_on_tape(model: &str, input: &Input, inputs: &Tensor) {
    let table: BTreeMap<String, ModelConfig> = toml::from_str(&format!("model = {{ {model} }}")).unwrap();
    let outputs: &[usize] = if matches!(input, Input::Tokens { .. }) { &[10] } else { &[1, 3] };
    for &outputs in outputs {
        let built = table["model"].build(input, outputs, 1, &Device::Cpu).unwrap();
        let (draws, number) = (StepRng::at(1, 2), outputs as u32);
        let losses: [&Loss<'_>; 3] = [
            &|y| loss::mean_squared_error(y, &(y.zeros_like()? + 0.5)?),
            &|y| loss::cross_entropy(y, &classes(&y.dims()[..y.rank() - 1], number)?, 0.1),
            &|y| loss::binary_cross_entropy(y, &classes(y.dims(), 2)?, 0.1),
        ];
        for loss in losses {
            let (loss, tape) = Tape::record(|| {
                let outputs = built.forward(inputs, Mode::Train(&draws))?;
                loss(&outputs)
            });
            let loss = loss.unwrap();
            let found = tape.gradients(&loss, loss.ones_like().unwrap()).unwrap();
            let found = found.unwrap_or_else(|| panic!("{model} has left the tape"));
            for (name, parameter) in built.parameters().iter() {
                assert!(found.contains_key(&parameter.id()), "{model}: no gradient reached {name}");
            }
        }
    }
}

/// Returns classes below `count`, of this shape.
fn classes(shape: &[usize], count: u32) -> candle_core::Result<Tensor> {
    let len = shape.iter().product::<usize>() as u32;
    Tensor::from_iter((0..len).map(|i| i % count), &Device::Cpu)?.reshape(shape)
}

fn numbers(shape: &[usize]) -> (Input, Tensor) {
    let all = [&[4], shape].concat();
    let values: Vec<f32> = Stream::new(1, "test").normal(0, all.iter().product());
    (Input::Numbers(shape.to_vec()), Tensor::from_vec(values, all, &Device::Cpu).unwrap())
}

#[test]
fn perceptrons() {
    let (input, x) = numbers(&[2, 3]);
    for activation in ["relu", "gelu", "tanh"] {
        let model = format!("kind = 'mlp', hidden = [5, 4], dropout = 0.2, activation = '{activation}'");
        assert_on_tape(&model, &input, &x);
    }
    assert_on_tape("kind = 'mlp'", &input, &x);
}

#[test]
fn convolutional_networks() {
    let (input, x) = numbers(&[2, 9, 8]);
    let blocks = "blocks = [{ channels = 4, padding = 1, batch_norm = true, pool = 'max', dropout = 0.1 }, \
         { channels = 5, kernel = 2, pool = 'average', pool_stride = 1 }], hidden = [6], dropout = 0.1";
    for more in ["", ", activation = 'gelu'", ", activation = 'tanh', average_to = 1"] {
        assert_on_tape(&format!("kind = 'convnet', {blocks}{more}"), &input, &x);
    }
    assert_on_tape("kind = 'resnet', widths = [4, 6], depths = [1, 2]", &input, &x);
    assert_on_tape("kind = 'resnet', widths = [4, 6], depths = [1, 2], stochastic_depth = 0.2", &input, &x);
}

#[test]
fn decoders() {
    let input = Input::Tokens { context: 6, vocabulary: 10 };
    let tokens = classes(&[4, 6], 10).unwrap();
    let gpt = "kind = 'gpt', layers = 2, heads = 2, width = 8";
    for more in [
        "dropout = 0.1",
        "activation = 'gelu_tanh', tied = false",
        "positions = 'rotary', activation = 'swiglu', norm = 'rms', kv_heads = 1, bias = false, dropout = 0.1",
        "checkpoint_activations = true, dropout = 0.1, stochastic_depth = 0.3",
    ] {
        assert_on_tape(&format!("{gpt}, {more}"), &input, &tokens);
    }
}
