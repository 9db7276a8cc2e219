//! The promise on other kernels and devices: one table of cases (optimizers, schedules, models, losses), run with the
//! reference of each operation, and on a GPU where there is one.

use std::collections::HashMap;
use std::fs;

use candle_core::{Device, Tensor};

use crate::common::place::Place;
use crate::common::{
    ADAMW, ADAMW_AND_SGD, ADAMW_IN_TWO_GROUPS, EVERY_STEP, Ended, Lab, assert_same_bits, checkpoint, log, rates, small,
    table,
};

/// Updates of every case, four an epoch.
const STEPS: u64 = 12;

/// The last step before a resume: in the middle of an epoch, and at the end of one.
const CUTS: [u64; 2] = [3, 8];

/// A run: its name in messages, and its configuration.
pub struct Case {
    pub name: String,
    pub config: String,
}

const SGD: &str = "{ kind = 'sgd', lr = 0.05, weight_decay = 1e-3 }";
const MOMENTUM: &str = "{ kind = 'sgd', lr = 0.05, momentum = 0.9, dampening = 0.1, weight_decay = 1e-3 }";
const NESTEROV: &str = "{ kind = 'sgd', lr = 0.05, momentum = 0.9, nesterov = true }";
const ADAM: &str = "{ kind = 'adam', lr = 0.05, weight_decay = 0.01 }";

/// Other rules, and those of above as other frameworks compute them.
pub const FOREIGN: [&str; 49] = [
    "{ kind = 'sgd', lr = 0.05, momentum = 0.9, weight_decay = 1e-3, variant = 'keras' }",
    "{ kind = 'sgd', lr = 0.05, momentum = 0.9, weight_decay = 1e-3, decoupled = 'composer' }",
    "{ kind = 'adam', lr = 0.05, weight_decay = 0.01, amsgrad = true }",
    "{ kind = 'adam', lr = 0.05, weight_decay = 0.01, eps = 1e-7, variant = 'keras' }",
    "{ kind = 'adamw', lr = 0.05, weight_decay = 1e-3, decoupled = 'composer' }",
    "{ kind = 'nadam', lr = 0.05, weight_decay = 0.01 }",
    "{ kind = 'radam', lr = 0.05, weight_decay = 0.01, betas = [0.9, 0.98] }",
    "{ kind = 'adamax', lr = 0.05, weight_decay = 0.01 }",
    "{ kind = 'rmsprop', lr = 0.01, weight_decay = 0.01 }",
    "{ kind = 'rmsprop', lr = 0.01, momentum = 0.5, centered = true }",
    "{ kind = 'adamax', lr = 0.05, weight_decay = 0.01, variant = 'keras' }",
    "{ kind = 'rmsprop', lr = 0.01, momentum = 0.5, variant = 'keras' }",
    "{ kind = 'adagrad', lr = 0.05, initial_accumulator_value = 0.1, variant = 'keras' }",
    "{ kind = 'adagrad', lr = 0.05, lr_decay = 0.1, initial_accumulator_value = 0.1 }",
    "{ kind = 'lion', lr = 0.01, weight_decay = 0.1 }",
    "{ kind = 'lion', lr = 0.01, cautious = 'timm' }",
    "{ kind = 'adafactor', lr = 0.01, weight_decay = 0.1 }",
    "{ kind = 'adafactor', lr = 1.0, relative_step = true, beta1 = 0.9, variant = 'transformers' }",
    "{ kind = 'muon', lr = 0.02 }",
    "{ kind = 'muon', lr = 0.02, nesterov = false, variant = 'keller_jordan' }",
    "{ kind = 'schedule_free_adamw', lr = 0.05, weight_decay = 0.1, warmup_steps = 3 }",
    "{ kind = 'schedule_free_sgd', lr = 0.5 }",
    "{ kind = 'lamb', lr = 0.02 }",
    "{ kind = 'adadelta', lr = 1.0, weight_decay = 0.01 }",
    "{ kind = 'rprop', lr = 0.01 }",
    "{ kind = 'asgd', lr = 0.05, lambd = 0.01, t0 = 4.0 }",
    "{ kind = 'adopt', lr = 0.05, weight_decay = 0.01 }",
    "{ kind = 'ademamix', lr = 0.01, t_alpha_beta3 = 10 }",
    "{ kind = 'adan', lr = 0.05, weight_decay = 0.01 }",
    "{ kind = 'prodigy', lr = 1.0, d0 = 1e-3 }",
    "{ kind = 'prodigy', lr = 1.0, d0 = 1e-3, slice_p = 3 }",
    "{ kind = 'adafactor', lr = 0.01, beta1 = 0.9, clip_threshold = 1e30, variant = 'big_vision' }",
    "{ kind = 'rprop', lr = 0.01, variant = 'optax' }",
    "{ kind = 'mars', lr = 0.01 }",
    "{ kind = 'stable_adamw', lr = 0.01 }",
    "{ kind = 'soap', lr = 0.01, precondition_frequency = 3 }",
    "{ kind = 'lars', lr = 1.0, weight_decay = 1e-3, trust_coefficient = 0.02 }",
    "{ kind = 'lars', lr = 1.0, trust_coefficient = 0.02, variant = 'optax' }",
    "{ kind = 'novograd', lr = 0.01 }",
    "{ kind = 'adabelief', lr = 0.01 }",
    "{ kind = 'yogi', lr = 0.01 }",
    "{ kind = 'laprop', lr = 0.01, weight_decay = 0.01 }",
    "{ kind = 'came', lr = 0.01 }",
    "{ kind = 'shampoo', lr = 0.1, momentum = 0.5, precondition_frequency = 3 }",
    "{ kind = 'grokfast_adamw', lr = 0.01 }",
    "{ kind = 'ftrl', lr = 0.1, l1 = 1e-3 }",
    "{ kind = 'muon', lr = 0.02, groups = [{ parameters = ['2.*'], kind = 'schedule_free_sgd', lr = 0.1 }] }",
    "{ kind = 'adamw', lr = 0.05, groups = [{ parameters = ['0.*'], kind = 'frozen' }] }",
    "{ kind = 'nadam', lr = 0.05, groups = [{ parameters = ['2.*'], kind = 'radam', lr = 0.01 }] }",
];

/// Every kind of schedule, with the optimizers in turn.
fn schedules() -> Vec<Case> {
    let schedules = [
        "constant",
        "step(5, gamma=0.5)",
        "multi_step([3, 7], gamma=0.5)",
        "exponential(0.9)",
        "linear(1, 0.1, 10)",
        "polynomial(12, power=2)",
        "cosine(12, eta_min=1e-4)",
        "cosine_restarts(4)",
        "cyclic(0.1, step_size_up=3)",
        "one_cycle(12)",
        "inverse_sqrt(4)",
        "inverse_time(4, 0.5)",
        "noam(16, 4)",
        "wsd(2, 6, 4)",
        "tanh(12)",
        "piecewise([[0, 1], [6, 0.5]])",
        "plateau(factor=0.5, patience=1, threshold=0.5)",
        "greedy(patience=1, max_lr=0.1, factor=0.9)",
        // Within a string of the configuration.
        r#"expr(\"base * (1 - t / 20)\")"#,
        "chained([cosine(12), exponential(0.9)])",
        "sequential([5], [constant, cosine(7)])",
        "warmup(4) -> cosine(8)",
        "late(2, cosine(10))",
        "in_f32(exponential(0.9))",
        "per_group([cosine(12), step(3)])",
    ];
    // The last has a schedule for each of its groups.
    let optimizers = [SGD, MOMENTUM, NESTEROV, ADAM, ADAMW_AND_SGD, ADAMW_IN_TWO_GROUPS];
    let in_turn = |at: usize| if at + 1 == schedules.len() { ADAMW_IN_TWO_GROUPS } else { optimizers[at % 6] };
    let case = |(at, schedule): (usize, &&str)| Case {
        name: format!("{schedule} with {}", in_turn(at)),
        config: small(in_turn(at), schedule, EVERY_STEP),
    };
    schedules.iter().enumerate().map(case).collect()
}

/// Every optimizer with the schedule that has memory, and accumulated gradients.
fn optimizers() -> Vec<Case> {
    let case = |(name, optimizer)| Case {
        name,
        config: small(optimizer, "plateau(factor=0.5, patience=1, threshold=0.5)", EVERY_STEP),
    };
    let all = [SGD, MOMENTUM, NESTEROV, ADAM, ADAMW, ADAMW_IN_TWO_GROUPS, ADAMW_AND_SGD];
    let mut cases: Vec<Case> = all.into_iter().map(|optimizer| case((optimizer.to_owned(), optimizer))).collect();
    for case in &mut cases[4..6] {
        case.name += ", accumulated";
        case.config = case.config.replace("clip_norm", "accumulate = 3, clip_norm");
    }
    cases.extend(FOREIGN.into_iter().map(|optimizer| case((optimizer.to_owned(), optimizer))));
    cases
}

/// Every built-in model and loss.
pub fn models() -> Vec<Case> {
    let common = format!(
        "seed = 3\noptimizer = {ADAMW}\nschedule = 'cosine(12)'\ntrain = {{ steps = {STEPS}, clip_norm = 1.0 }}\n\
         validation = {{ every = '2 steps' }}\n{EVERY_STEP}\n"
    );
    let of = |data: &str, models: &[(&str, &str)]| -> Vec<Case> {
        let case = |(name, model): &(&str, &str)| Case {
            name: (*name).to_owned(),
            config: format!("{common}data = {{ {data}, validation = 0.2 }}\n{model}\n"),
        };
        models.iter().map(case).collect()
    };
    let table = of(
        "path = 'data.csv', batch_size = 13",
        &[
            ("mlp", "model = { kind = 'mlp', hidden = [8, 5], dropout = 0.3 }"),
            ("mlp with gelu", "model = { kind = 'mlp', hidden = [8], activation = 'gelu' }"),
            (
                "mlp with adapters",
                "model = { kind = 'mlp', hidden = [8, 5], lora = { rank = 2, alpha = 4, trained = ['4.*'] } }",
            ),
        ],
    );
    let values = of(
        "path = 'data.csv', batch_size = 13, task = 'regression'",
        &[("mlp of values", "model = { kind = 'mlp', hidden = [8], activation = 'tanh' }\nloss = { kind = 'mse' }")],
    );
    let two = of(
        "path = 'two.csv', batch_size = 13",
        &[("mlp of one logit", "model = { kind = 'mlp', hidden = [8] }\nloss = { kind = 'binary_cross_entropy' }")],
    );
    let labels = of(
        "path = 'labels.csv', batch_size = 13, label = ['p', 'q']",
        &[("mlp of several labels", "model = { kind = 'mlp', hidden = [8] }")],
    );
    let parts = of(
        "path = ['data.csv', 'more.csv'], test_path = 'test.csv', batch_size = 17, task = 'regression', \
         target_transform = 'standardize'",
        &[("mlp of standardized values", "model = { kind = 'mlp', hidden = [8], activation = 'tanh' }")],
    );
    let images = of(
        "path = 'images.safetensors', batch_size = 13, augment = { flip = true, shift = 1 }",
        &[
            (
                "convnet",
                "model = { kind = 'convnet', hidden = [9], activation = 'gelu', dropout = 0.4, average_to = 2, \
                 blocks = [{ channels = 6, batch_norm = true, pool = 'max', dropout = 0.2 }, \
                 { channels = 5, kernel = 2, padding = 1, pool = 'average' }] }",
            ),
            ("resnet", "model = { kind = 'resnet', widths = [4, 6], depths = [1, 1] }"),
        ],
    );
    let text = of(
        "path = 'a.txt', format = 'text', context = 8, batch_size = 6, cache = 'cache'",
        &[
            ("gpt", "model = { kind = 'gpt', layers = 2, heads = 2, width = 8, dropout = 0.1 }"),
            (
                "gpt as llama",
                "model = { kind = 'gpt', layers = 1, heads = 2, kv_heads = 1, width = 8, positions = 'rotary', \
                 activation = 'swiglu', norm = 'rms', bias = false, tied = false }",
            ),
            (
                "gpt with adapters",
                "model = { kind = 'gpt', layers = 2, heads = 2, width = 8, dropout = 0.1, lora = { rank = 2, dropout = 0.2 } }",
            ),
            (
                "gpt that computes activations again",
                "model = { kind = 'gpt', layers = 2, heads = 2, width = 8, dropout = 0.1, \
                 checkpoint_activations = true }",
            ),
        ],
    );
    [table, values, two, labels, parts, images, text].into_iter().flatten().collect()
}

/// Models of documents: of pairs whose prompts are not learned, and of several that do not see each other.
fn documents() -> Vec<Case> {
    let data = "path = 'a.jsonl', context = 24, batch_size = 5, validation = 0.2";
    let of = |name: &str, data: &str, model: &str| Case {
        name: name.to_owned(),
        config: format!(
            "seed = 3\noptimizer = {ADAMW}\nschedule = 'cosine(12)'\n\
             train = {{ steps = {STEPS}, clip_norm = 1.0, accumulate = 2 }}\n\
             validation = {{ every = '2 steps', metrics = ['perplexity', 'bits_per_byte'] }}\n{EVERY_STEP}\n\
             data = {{ {data} }}\nmodel = {{ kind = 'gpt', layers = 2, heads = 2, width = 8, {model} }}\n\
             loss = {{ label_smoothing = 0.1 }}\n"
        ),
    };
    vec![
        of("pairs", &format!("{data}, prompt = 'question'"), "dropout = 0.1"),
        of("pairs, one in a row", &format!("{data}, prompt = 'question', packing = 'none'"), "dropout = 0.1"),
        of("texts", &format!("{data}, text = 'question'"), "positions = 'rotary'"),
        of(
            "texts that do not see each other",
            &format!("{data}, text = 'question', packing = 'documents'"),
            "positions = 'rotary', checkpoint_activations = true",
        ),
    ]
}

/// A folder with the configuration and the data of a case.
pub fn lab(case: &Case, place: Place) -> Lab {
    let lab = Lab::at(place, &case.config);
    let rows = (0..60u32).map(|i| format!("{},{},{}\n", i * 37 % 61, i * i % 53, (i * 7 + i * i) % 5 / 3));
    fs::write(lab.path("two.csv"), "a,b,label\n".to_owned() + &rows.collect::<String>()).unwrap();
    let rows = (0..60u32).map(|i| format!("{},{},{},{}\n", i % 7, i % 7 / 4, i * i % 53, i * i % 2));
    fs::write(lab.path("labels.csv"), "a,p,b,q\n".to_owned() + &rows.collect::<String>()).unwrap();
    let all = table();
    for (file, rows) in [("more.csv", 0..10), ("test.csv", 10..30)] {
        let rows = all.lines().enumerate().filter(|(line, _)| *line == 0 || rows.contains(line));
        fs::write(lab.path(file), rows.map(|(_, row)| row.to_owned() + "\n").collect::<String>()).unwrap();
    }
    let text: String = (0..300u32).map(|i| char::from(b'a' + (i * i / 7 % 11) as u8)).collect();
    fs::write(lab.path("a.txt"), text).unwrap();
    let pair = |i: u32| format!("{{\"question\": \"{i} + {}?\", \"answer\": \"{}\"}}\n", i * i, i + i * i);
    fs::write(lab.path("a.jsonl"), (0..60).map(pair).collect::<String>()).unwrap();
    let pixels: Vec<f32> = (0..60 * 64_u32).map(|i| (i * i % 251) as f32 / 125.0 - 1.0).collect();
    let classes: Vec<u32> = (0..60).map(|i| (i * 7 + i * i) % 3).collect();
    let x = Tensor::from_vec(pixels, (60, 1, 8, 8), &Device::Cpu).unwrap();
    let y = Tensor::from_vec(classes, 60, &Device::Cpu).unwrap();
    let images = HashMap::from([("x", x), ("y", y)]);
    candle_core::safetensors::save(&images, lab.path("images.safetensors")).unwrap();
    lab
}

/// A run of each case, resumed after each of the `CUTS` in a new process, has the same bits.
#[track_caller]
fn assert_resumed(cases: &[Case], place: Place) {
    for case in cases {
        println!("{place:?}: {}", case.name);
        lab(case, place).assert_each_can_be_the_last(STEPS, CUTS);
    }
}

/// The same, and the bits do not change when the run is made again with another number of threads.
#[track_caller]
fn assert_exact(cases: &[Case], place: Place) {
    for case in cases {
        println!("{place:?}: {}", case.name);
        let lab = lab(case, place);
        lab.assert_each_can_be_the_last(STEPS, CUTS);
        let again = lab.command(&["config.toml", "--out", "again"]).env("RAYON_NUM_THREADS", "2").output().unwrap();
        let told = Ended::from(again).well().stderr;
        assert_eq!(told.contains("REKINDLE_REFERENCE is set"), place == Place::Reference, "{told}");
        assert_same_bits(&lab.path("whole"), &lab.path("again"));
    }
}

#[test]
fn every_optimizer_is_exact_on_other_kernels_and_devices() {
    for place in Place::others("the optimizers of the resume matrix") {
        assert_exact(&optimizers(), place);
    }
}

#[test]
fn every_schedule_is_resumed_on_other_kernels_and_devices() {
    for place in Place::others("the schedules of the resume matrix") {
        assert_resumed(&schedules(), place);
    }
}

#[test]
fn every_model_and_loss_is_exact_on_other_kernels_and_devices() {
    for place in Place::others("the models of the resume matrix") {
        assert_exact(&models(), place);
    }
}

#[test]
fn documents_are_exact_everywhere() {
    for place in [Place::Cpu].into_iter().chain(Place::others("documents of the resume matrix")) {
        assert_exact(&documents(), place);
    }
}

/// The largest difference between two runs' weights after the last update, and the largest weight.
fn apart(one: &Lab, other: &str) -> (f32, f32) {
    let weights = |run: &str| {
        let file = checkpoint(&one.path(run), STEPS).join("model.safetensors");
        candle_core::safetensors::load(file, &Device::Cpu).unwrap()
    };
    let (whole, other) = (weights("whole"), weights(other));
    let largest = |x: &Tensor| x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    let pairs = whole.iter().map(|(name, weight)| (largest(&(weight - &other[name]).unwrap()), largest(weight)));
    pairs.fold((0.0, 0.0), |all, pair| (pair.0.max(all.0), pair.1.max(all.1)))
}

/// A run that changes its kernels or its device after step 6, in each direction, has the rates of the whole run to the
/// bit, and its weights within rounding. Nothing is refused; a message says what differs.
#[test]
fn a_checkpoint_moves_between_kernels_and_devices_and_goes_on_within_rounding() {
    for other in Place::others("a checkpoint that moves between the CPU and a GPU") {
        let cases = models().into_iter().filter(|case| ["mlp with gelu", "convnet", "gpt"].contains(&&*case.name));
        for (case, (from, to)) in cases.flat_map(|case| {
            let name = case.name;
            [(Place::Cpu, other), (other, Place::Cpu)]
                .map(|way| (Case { name: name.clone(), config: case.config.clone() }, way))
        }) {
            // Adam divides by the root of a square that begins at 0, which makes a rounding error of a gradient near 0
            // as large as a step.
            let config = case.config.replace("kind = 'adamw', lr = 0.05", "kind = 'sgd', lr = 0.05, momentum = 0.9");
            let mut lab = lab(&Case { name: case.name.clone(), config }, from);
            lab.start("whole");
            lab.interrupted_copy("whole", "moved", 6);
            lab.move_to(to);
            let device = if to == Place::Cuda { "device=cuda" } else { "device=cpu" };
            let told = lab.train(&["--resume", "moved", "--set", device]).well().stderr;
            let differs = if other == Place::Cuda { "device: written with " } else { "kernels: written with " };
            assert!(told.contains("the same bits are not promised") && told.contains(differs), "{told}");
            let way = format!("{} from {from:?} to {to:?}", case.name);
            assert_eq!(rates(&lab.path("moved")), rates(&lab.path("whole")), "{way}");
            let (difference, largest) = apart(&lab, "moved");
            assert!(difference < 1e-4 * largest, "{way}: {difference} of {largest}");
            let is_same = log(&lab.path("moved")) == log(&lab.path("whole"));
            assert!(!is_same, "{way}: nothing is rounded in another way, so the kernels have not changed");
            let losses = |run: &str| -> Vec<f64> {
                log(&lab.path(run)).iter().map(|line| line["loss"].as_f64().unwrap()).collect()
            };
            let (whole, moved) = (losses("whole"), losses("moved"));
            assert_eq!(whole[..6], moved[..6], "{way}");
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-4 * a.abs();
            assert!(whole.iter().zip(&moved).all(close), "{way}: {whole:?} {moved:?}");
        }
    }
}
