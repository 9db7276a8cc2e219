//! Both kinds of GPT compared with Hugging Face's, in all their shapes.

use std::collections::HashMap;

use candle_core::DType;

use super::*;
use crate::model::ModelConfig;
use crate::ops::loss::cross_entropy;
use crate::optim::Gradients;
use crate::parameters::to_host;
use crate::state::{HostTensor, Stateful};

/// Small configurations that cover every option.
fn shapes() -> Vec<GptConfig> {
    let gpt2 = GptConfig::new(2, 4, 16);
    let llama = GptConfig {
        positions: Positions::Rotary,
        activation: GptActivation::Swiglu,
        norm: GptNorm::Rms,
        bias: false,
        kv_heads: Some(2),
        ..gpt2.clone()
    };
    vec![
        GptConfig { dropout: 0.2, ..gpt2.clone() },
        GptConfig { activation: GptActivation::GeluTanh, bias: false, tied: false, ..gpt2.clone() },
        GptConfig { dropout: 0.2, ..llama.clone() },
        GptConfig { kv_heads: Some(1), bias: true, tied: false, hidden: Some(24), ..llama },
        GptConfig { norm: GptNorm::Rms, dropout: 0.1, context: Some(9), ..gpt2.clone() },
        GptConfig { positions: Positions::Rotary, bias: true, ..gpt2 },
    ]
}

fn gpt(config: &GptConfig) -> Gpt {
    Gpt::new(config.clone(), 6, 10, 10, 1, &Device::Cpu).unwrap()
}

fn tokens() -> Tensor {
    Tensor::from_iter((0..18u32).map(|i| i * i % 10), &Device::Cpu).unwrap().reshape((3, 6)).unwrap()
}

fn refusal(config: GptConfig) -> String {
    match Gpt::new(config, 6, 10, 10, 1, &Device::Cpu) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it should be refused"),
    }
}

/// A Hugging Face model and ours with its weights give the same logits: 1e-5 for numbers of size ten in f32. Ours has
/// exactly the tensors of the file.
#[track_caller]
fn assert_is_that_of_hugging_face(file: &str, config: GptConfig) {
    let path = format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut tensors: HashMap<String, Tensor> = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let (tokens, logits) = (tensors.remove("tokens").unwrap(), tensors.remove("logits").unwrap());
    let vocabulary = logits.dim(2).unwrap();
    let model = Gpt::new(config, 7, vocabulary, vocabulary, 1, &Device::Cpu).unwrap();
    for (name, var) in model.parameters().iter() {
        let tensor = tensors.remove(name).unwrap_or_else(|| panic!("{file} has no `{name}`"));
        var.set(&tensor).unwrap();
    }
    assert!(tensors.is_empty(), "{file} has more: {:?}", tensors.keys());
    let found = model.forward(&tokens, Mode::Evaluate).unwrap();
    assert_eq!(found.dims(), logits.dims());
    let difference = (found - logits).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-5, "{difference}");
}

#[test]
fn a_gpt2_of_hugging_face_gives_the_same_logits_here() {
    let activation = GptActivation::GeluTanh;
    assert_is_that_of_hugging_face(
        "gpt2.safetensors",
        GptConfig { activation, context: Some(8), ..GptConfig::new(2, 3, 12) },
    );
}

#[test]
fn a_llama_of_hugging_face_gives_the_same_logits_here() {
    assert_is_that_of_hugging_face(
        "llama.safetensors",
        GptConfig {
            kv_heads: Some(2),
            hidden: Some(20),
            positions: Positions::Rotary,
            activation: GptActivation::Swiglu,
            norm: GptNorm::Rms,
            bias: false,
            tied: false,
            ..GptConfig::new(2, 4, 16)
        },
    );
}

#[test]
fn every_shape_trains_every_parameter_and_evaluation_has_no_dropout() {
    for config in shapes() {
        let model = gpt(&config);
        let logits = model.forward(&tokens(), Mode::Train(&StepRng::at(0, 0))).unwrap();
        assert_eq!(logits.dims(), [3, 6, 10]);
        let loss = cross_entropy(&logits, &tokens(), 0.0).unwrap();
        Gradients::from_loss(&loss, model.parameters()).unwrap().measure().unwrap().check_finite().unwrap();
        let evaluated = || model.forward(&tokens(), Mode::Evaluate).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(evaluated(), evaluated());
        let trained = logits.to_vec3::<f32>().unwrap();
        assert_eq!(trained == evaluated(), config.dropout == 0.0, "{config:?}");
    }
}

fn loss_and_gradients(model: &Gpt, step: u64) -> (f32, Vec<HostTensor>) {
    let logits = model.forward(&tokens(), Mode::Train(&StepRng::at(4, step))).unwrap();
    let loss = cross_entropy(&logits, &tokens(), 0.0).unwrap();
    let store = loss.backward().unwrap();
    let gradients = model.parameters().iter().map(|(_, var)| to_host(store.get(var).unwrap()).unwrap()).collect();
    (loss.to_scalar().unwrap(), gradients)
}

#[test]
fn activations_computed_again_give_the_same_bits() {
    for config in shapes() {
        let again = GptConfig { checkpoint_activations: true, ..config.clone() };
        for step in [0, 7] {
            assert!(loss_and_gradients(&gpt(&config), step) == loss_and_gradients(&gpt(&again), step), "{config:?}");
        }
    }
}

#[test]
fn no_place_sees_a_later_token() {
    for config in shapes() {
        let model = gpt(&config);
        let other = Tensor::cat(&[&tokens().narrow(1, 0, 5).unwrap(), &tokens().narrow(1, 1, 1).unwrap()], 1).unwrap();
        let first = |tokens: &Tensor| {
            let logits = model.forward(tokens, Mode::Evaluate).unwrap();
            logits.narrow(1, 0, 5).unwrap().to_vec3::<f32>().unwrap()
        };
        assert_eq!(first(&tokens()), first(&other));
    }
}

#[test]
fn initial_weights_are_those_of_gpt2_and_a_function_of_the_seed() {
    let config = GptConfig::new(8, 4, 64);
    let model = |seed| Gpt::new(config.clone(), 32, 50, 50, seed, &Device::Cpu).unwrap();
    let one = model(1);
    let deviation = |name: &str| {
        let values = one.parameters().get(name).unwrap().flatten_all().unwrap().to_dtype(DType::F64).unwrap();
        values.sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
    };
    // 4,096 numbers and more: five standard errors of a standard deviation are 6 %.
    let is = |name: &str, expected: f64| assert!((deviation(name) / expected - 1.0).abs() < 0.06, "{name}");
    is("transformer.wte.weight", 0.02);
    is("transformer.h.3.attn.c_attn.weight", 0.02);
    is("transformer.h.3.attn.c_proj.weight", 0.005);
    is("transformer.h.3.mlp.c_proj.weight", 0.005);
    assert_eq!(deviation("transformer.ln_f.weight"), 1.0);
    assert_eq!(deviation("transformer.h.0.mlp.c_fc.bias"), 0.0);
    let saved = one.parameters().save().unwrap();
    assert_eq!(saved, model(1).parameters().save().unwrap());
    assert_ne!(saved, model(2).parameters().save().unwrap());
}

/// Decay "on matrices only" leaves out the one-dimensional tensors of a GPT: biases, and the scales of norms.
#[test]
fn what_decays_with_matrices_is_what_is_no_bias_and_no_norm() {
    for config in shapes() {
        for (name, var) in gpt(&config).parameters().iter() {
            let is_vector = name.ends_with(".bias") || name.contains("ln_") || name.contains("norm");
            assert_eq!(var.rank() == 1, is_vector, "{name}");
        }
    }
}

#[test]
fn a_shape_that_cannot_be_is_refused_with_both_numbers() {
    let base = GptConfig::new(2, 4, 16);
    let cases = [
        (GptConfig { heads: 3, ..base.clone() }, "model.heads = 3: must divide the width, 16"),
        (GptConfig { kv_heads: Some(3), ..base.clone() }, "model.kv_heads = 3: must divide the number of heads, 4"),
        (GptConfig { layers: 0, ..base.clone() }, "model.layers = 0: must be at least 1"),
        (GptConfig { dropout: 1.0, ..base.clone() }, "model.dropout = 1: must be at least 0 and below 1"),
        (GptConfig { rotary_base: 0.0, ..base.clone() }, "model.rotary_base = 0: must be a finite number above 1"),
        (
            GptConfig { context: Some(5), ..base.clone() },
            "model.context = 5: is less than the 6 tokens of a row of the data",
        ),
        (
            GptConfig { width: 12, positions: Positions::Rotary, ..base.clone() },
            "model.heads = 4: rotary positions turn pairs of numbers, and a head has 3: give an even width to a head",
        ),
    ];
    for (config, message) in cases {
        assert_eq!(refusal(config), message);
    }
    let other_outputs = Gpt::new(base, 6, 10, 4, 1, &Device::Cpu).unwrap_err().to_string();
    assert_eq!(other_outputs, "model.tied = true: the table of 10 tokens cannot give 4 outputs; set it to false");
}

#[test]
fn data_of_another_kind_and_a_sequence_that_is_too_long_are_refused() {
    let config = ModelConfig::of(&GptConfig::new(1, 1, 4)).unwrap();
    let numbers = crate::model::Input::Numbers(vec![64]);
    let message = config.build(&numbers, 10, 0, &Device::Cpu).err().unwrap().to_string();
    assert_eq!(message, "a gpt takes rows of tokens, and a row of the data is numbers of shape [64]");
    let long = Tensor::zeros((1, 7), DType::U32, &Device::Cpu).unwrap();
    let message = gpt(&GptConfig::new(1, 1, 4)).forward(&long, Mode::Evaluate).unwrap_err().to_string();
    assert!(message.contains("7 tokens are more than the 6 that the model takes"), "{message}");
}

/// Two documents in a row have the outputs of each in its own row, whatever the kind of positions.
#[test]
fn documents_of_a_row_do_not_see_each_other() {
    for config in shapes() {
        let apart = GptConfig { document_start: Some(9), ..config };
        let model = gpt(&apart);
        let logits = |tokens: &[u32]| {
            let inputs = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu).unwrap();
            model.forward(&inputs, Mode::Evaluate).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let (together, alone) = (logits(&[9, 1, 9, 2, 3, 4]), [logits(&[9, 1]), logits(&[9, 2, 3, 4])].concat());
        for (together, alone) in together.iter().zip(&alone) {
            // Rotary positions are turned by other angles, whose differences are the same.
            assert!((together - alone).abs() < 1e-5, "{together} {alone}");
        }
        let again = GptConfig { checkpoint_activations: true, ..apart.clone() };
        assert!(loss_and_gradients(&gpt(&apart), 7) == loss_and_gradients(&gpt(&again), 7));
    }
}
