use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::model::policy::tests::gradients;
use crate::model::{Input, Mode, Model, ModelConfig, Policy};
use crate::parameters::Parameters;
use crate::rng::{StepRng, Stream};

const TOKENS: Input = Input::Tokens { context: 5, vocabulary: 3 };
const LORA: &str = "lora = { rank = 2, alpha = 3.0 }";
const LLAMA: &str = "kind = 'gpt'\nlayers = 1\nheads = 2\nwidth = 8\npositions = 'rotary'\nactivation = 'swiglu'\n\
                     norm = 'rms'\nkv_heads = 1\nbias = false\ntied = false";
const GPT2: &str = "kind = 'gpt'\nlayers = 2\nheads = 2\nwidth = 8";

/// A model of each kind without its adapters, and the data that it takes.
fn kinds() -> [(&'static str, Input); 5] {
    [
        ("kind = 'mlp'\nhidden = [5, 4]", Input::Numbers(vec![6])),
        ("kind = 'convnet'\nhidden = [4]\nblocks = [{ channels = 3 }]", Input::Numbers(vec![1, 4, 4])),
        ("kind = 'resnet'\nwidths = [4]\ndepths = [1]", Input::Numbers(vec![1, 4, 4])),
        (GPT2, TOKENS),
        (LLAMA, TOKENS),
    ]
}

fn built(config: &str, input: &Input) -> Box<dyn Model> {
    let config: ModelConfig = toml::from_str(config).unwrap();
    config.validate().unwrap();
    config.build(input, 3, 7, &Device::Cpu).unwrap()
}

fn rows(input: &Input) -> Tensor {
    match input {
        Input::Tokens { .. } => {
            Tensor::from_iter((0..10u32).map(|i| i * i % 3), &Device::Cpu).unwrap().reshape((2, 5)).unwrap()
        }
        Input::Numbers(shape) => {
            let shape = [&[2], &shape[..]].concat();
            Tensor::from_vec(Stream::new(1, "rows").normal(0, shape.iter().product()), shape, &Device::Cpu).unwrap()
        }
    }
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn outputs(model: &dyn Model, input: &Input) -> Vec<f32> {
    values(&model.forward(&rows(input), Mode::Evaluate).unwrap())
}

/// Gives every second matrix of an adapter numbers that are not 0.
fn trained(model: &dyn Model) {
    for (name, var) in model.parameters().iter().filter(|(name, _)| name.ends_with(ADAPTER[1])) {
        let numbers = Stream::new(2, name).normal(0, var.elem_count());
        var.set(&(Tensor::from_vec(numbers, var.shape(), &Device::Cpu).unwrap() * 0.1).unwrap()).unwrap();
    }
}

#[test]
fn a_model_begins_as_it_was_and_trains_its_adapters_alone() {
    for (config, input) in kinds() {
        let (base, model) = (built(config, &input), built(&format!("{config}\n{LORA}"), &input));
        assert_eq!(outputs(&*model, &input), outputs(&*base, &input), "{config}");
        assert!(model.parameters().iter().all(|(name, _)| is_adapter(name)), "{config}");
        let names = |tensors: &Parameters| tensors.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&model.frozen()), names(base.parameters()), "{config}");
        trained(&*model);
        let (loss, found, is_covered) = gradients(&*model, &rows(&input));
        assert!(is_covered, "{config}: the gradients leave the tape");
        assert!(found.tensors().iter().all(|x| values(x).iter().any(|x| *x != 0.0)), "{config}");
        // Candle's own way back gives nothing to what is frozen.
        let store = loss.backward().unwrap();
        assert!(model.frozen().iter().all(|(_, var)| store.get(var).is_none()), "{config}");
    }
}

/// The merged weights are rounded once more, to 24 bits.
#[test]
fn merged_adapters_give_the_outputs_of_separate_ones() {
    for (config, input) in kinds() {
        let (base, model) = (built(config, &input), built(&format!("{config}\n{LORA}"), &input));
        trained(&*model);
        let before = outputs(&*base, &input);
        for (name, var) in base.parameters().iter() {
            let Some(map) = name.strip_suffix(".weight") else { continue };
            let [a, b] = ADAPTER.map(|end| model.parameters().get(&format!("{map}{end}")).map(Var::as_tensor));
            let (Some(a), Some(b)) = (a, b) else { continue };
            let product = (b.matmul(a).unwrap() * 1.5).unwrap();
            let product = if product.dims() == var.dims() && !name.starts_with("transformer.") {
                product
            } else {
                product.t().unwrap()
            };
            var.set(&(var.as_tensor() + product).unwrap()).unwrap();
        }
        let (merged, separate) = (outputs(&*base, &input), outputs(&*model, &input));
        let apart = |other: &[f32]| separate.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart(&merged) < 1e-6, "{config}: {}", apart(&merged));
        assert!(apart(&before) > 1e-4, "{config}: the adapters do nothing");
    }
}

#[test]
fn adapters_that_are_computed_again_have_the_same_gradients() {
    let lora = "lora = { rank = 2, alpha = 3.0, dropout = 0.4 }";
    let again = format!("{GPT2}\ncheckpoint_activations = true\n{lora}");
    let found = [format!("{GPT2}\n{lora}"), again].map(|config| {
        let model = built(&config, &TOKENS);
        trained(&*model);
        let (_, gradients, is_covered) = gradients(&*model, &rows(&TOKENS));
        assert!(is_covered);
        gradients.tensors().iter().map(values).collect::<Vec<_>>()
    });
    assert!(found[0] == found[1]);
}

/// As in PEFT, the weight beside an adapter sees all inputs.
#[test]
fn an_adapter_alone_drops_inputs_in_training_by_the_numbers_of_the_step() {
    let input = Input::Numbers(vec![6]);
    let model = built("kind = 'mlp'\nhidden = []\nlora = { rank = 2, dropout = 0.5 }", &input);
    trained(&*model);
    let (x, draws) = (rows(&input), StepRng::at(7, 3));
    let train = |draws: &StepRng| values(&model.forward(&x, Mode::Train(draws)).unwrap());
    let dropped = dropout(&x, 0.5, &draws, "dropout/lora/0").unwrap();
    let [a, b] = ADAPTER.map(|end| model.parameters().get(&format!("0{end}")).unwrap().as_tensor().clone());
    let lost = (dropped - &x).unwrap().matmul(&a.t().unwrap()).unwrap().matmul(&b.t().unwrap()).unwrap();
    let evaluated = outputs(&*model, &input);
    let expected: Vec<f32> = evaluated.iter().zip(values(&lost)).map(|(whole, lost)| whole + lost).collect();
    let found = train(&draws);
    // The sums have another order.
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {expected:?}");
    assert!(values(&lost).iter().any(|x| x.abs() > 1e-3), "nothing is dropped");
    assert_eq!(train(&draws), found);
    assert_ne!(train(&StepRng::at(7, 4)), found);
}

#[test]
fn patterns_choose_maps_and_what_is_trained_as_a_whole() {
    let input = Input::Numbers(vec![6]);
    let lora = "lora = { rank = 2, patterns = ['0', '2'], trained = ['4.*', '*.bias'] }";
    let model = built(&format!("kind = 'mlp'\nhidden = [5, 4]\n{lora}"), &input);
    let shapes: Vec<_> = model.parameters().iter().map(|(name, var)| format!("{name} {:?}", var.dims())).collect();
    let expected = [
        "0.bias [5]",
        "0.lora_A.weight [2, 6]",
        "0.lora_B.weight [5, 2]",
        "2.bias [4]",
        "2.lora_A.weight [2, 5]",
        "2.lora_B.weight [4, 2]",
        "4.bias [3]",
        "4.weight [3, 4]",
    ];
    assert_eq!(shapes, expected);
    let frozen: Vec<String> = model.frozen().iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(frozen, ["0.weight", "2.weight"]);
    let draws = StepRng::at(0, 0);
    model.forward(&rows(&input), Mode::Train(&draws)).unwrap();
}

#[test]
fn the_size_of_an_adapted_model_counts_what_is_trained() {
    for (config, input) in kinds() {
        let config: ModelConfig = toml::from_str(&format!("{config}\n{LORA}")).unwrap();
        let outline = config.outline(&input, 3).unwrap().unwrap();
        let model = config.build(&input, 3, 0, &Device::Cpu).unwrap();
        let counted = [outline.parameters, outline.buffers, outline.frozen];
        let built = [model.parameters().clone(), model.buffers(), model.frozen()];
        assert_eq!(counted, built.map(|tensors| tensors.element_count() as u64), "{config:?}");
    }
}

#[test]
fn adapters_compute_in_half_precision_beside_weights_of_f32() {
    let policy = Policy { compute: DType::BF16, ..Policy::default() };
    let config: ModelConfig = toml::from_str(&format!("{GPT2}\n{LORA}")).unwrap();
    let model = config.build_with_policy(&TOKENS, 3, 7, &Device::Cpu, policy).unwrap();
    trained(&*model);
    let (_, found, is_covered) = gradients(&*model, &rows(&TOKENS));
    assert!(is_covered && found.tensors().iter().all(|x| x.dtype() == DType::F32));
}

#[test]
fn adapters_that_cannot_be_are_refused_by_name() {
    let refusal = |config: &str, lora: &str| {
        let config: ModelConfig = toml::from_str(&format!("{config}\nlora = {{ {lora} }}")).unwrap();
        let built = config.validate().and_then(|()| {
            let input = if config.kind() == "gpt" { TOKENS } else { Input::Numbers(vec![6]) };
            config.build(&input, 3, 0, &Device::Cpu).map(drop)
        });
        built.unwrap_err().to_string()
    };
    let mlp = "kind = 'mlp'\nhidden = [5]";
    for (lora, message) in [
        ("rank = 0", "model.lora.rank = 0: must be at least 1"),
        ("rank = 1, alpha = 0.0", "model.lora.alpha = 0: must be a finite number above 0"),
        ("rank = 1, dropout = 1.0", "model.lora.dropout = 1: must be at least 0 and below 1"),
        ("rank = 1, patterns = []", "model.lora.patterns = []: give the names of linear maps"),
        ("rank = 1, patterns = ['a[']", "model.lora.patterns = a[: "),
        ("rank = 1, patterns = ['0', 'fc']", "model.lora.patterns = \"fc\": matches no linear map; there are `0`, `2`"),
        ("rank = 1, trained = ['fc.*']", "model.lora.trained = \"fc.*\": matches no parameter; there are `0.weight`, "),
    ] {
        let refusal = refusal(mlp, lora);
        assert!(refusal.starts_with(message), "{refusal}");
    }
    let tied = refusal("kind = 'mlp'\nhidden = [6, 6]\ntied = [['2.weight', '0.weight']]", "rank = 1");
    assert!(tied.starts_with("model.tied = \"2.weight\": a tensor of two layers"), "{tied}");
    let head = refusal(GPT2, "rank = 1, patterns = ['lm_head']");
    assert!(head.contains("there are `transformer.h.0.attn.c_attn`, `transformer.h.0.attn.c_proj`"), "{head}");
}
