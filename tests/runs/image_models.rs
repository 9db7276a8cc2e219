//! Models of images: the same numbers as in PyTorch, with weight files exchanged both ways; the same bits after any
//! interruption and for any number of threads.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use crate::common::{Ended, Lab, assert_same_bits, checkpoint, log, state};
use candle_core::{DType, Device, Tensor};
use rekindle::data::Input;
use rekindle::model::{Mode, ModelConfig};

/// The models of `tests/data/image_reference.py`, without dropout, which PyTorch would draw differently.
const CONVNET: &str = "{ kind = 'convnet', hidden = [7], blocks = [{ channels = 4 }, \
     { channels = 5, padding = 1, batch_norm = true, pool = 'max' }, \
     { channels = 6, kernel = 2, padding = 1, pool = 'average', pool_stride = 1 }] }";
const RESNET: &str = "{ kind = 'resnet', widths = [4, 6], depths = [1, 2] }";
const STOCHASTIC_DEPTH: &str = "{ kind = 'resnet', widths = [4, 6], depths = [1, 2], stochastic_depth = 0.5 }";

fn reference(file: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(reference_path(file), &Device::Cpu).unwrap()
}

fn reference_path(file: &str) -> String {
    format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn assert_close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let difference = (found - expected).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    let difference = difference.to_scalar::<f32>().unwrap();
    assert!(difference <= tolerance, "{name} differs by {difference}");
}

/// Sums of some tens of numbers of size one, in f32: 1e-5 is a hundred units in the last place.
#[test]
fn weights_of_pytorch_give_the_outputs_of_pytorch() {
    for (file, config) in [("convnet.safetensors", CONVNET), ("resnet.safetensors", RESNET)] {
        let reference = reference(file);
        let input = Input::Numbers(reference["x"].dims()[1..].to_vec());
        let table: BTreeMap<String, ModelConfig> = toml::from_str(&format!("model = {config}")).unwrap();
        let model = table["model"].build(&input, 3, 0, &Device::Cpu).unwrap();
        for (name, var) in model.parameters().and(&model.buffers()).iter() {
            var.set(&reference[name]).unwrap();
        }
        let outputs = model.forward(&reference["x"], Mode::Evaluate).unwrap();
        assert_close(file, &outputs, &reference["outputs"], 1e-5);
    }
}

/// Every weight and every running statistic: through the loss, all gradients and the optimizer, from a file of
/// PyTorch's to a file that PyTorch can load.
#[test]
fn a_step_from_a_file_of_pytorch_comes_to_the_weights_of_pytorch() {
    for (file, config) in [("convnet.safetensors", CONVNET), ("resnet.safetensors", RESNET)] {
        let lab = Lab::new(&format!(
            "model = {config}\noptimizer = {{ kind = 'sgd', lr = 0.1 }}\n\
             train = {{ steps = 1, initial_weights = '{0}', unused_weights = 'ignore' }}\ndata = {{ path = '{0}', batch_size = 'all' }}",
            reference_path(file)
        ));
        lab.start("run");
        let saved = checkpoint(&lab.path("run"), 1).join("model.safetensors");
        let mut saved = candle_core::safetensors::load(saved, &Device::Cpu).unwrap();
        for (name, expected) in reference(file) {
            // PyTorch counts batches for a momentum that it does not have by default, and starts from 0 without.
            let Some(name) = name.strip_prefix("after.").filter(|name| !name.ends_with("num_batches_tracked")) else {
                continue;
            };
            let found = saved.remove(name).unwrap_or_else(|| panic!("{file}: {name} is missing"));
            assert_close(name, &found, &expected, 1e-5);
        }
        assert_eq!(saved.keys().collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

const STEPS: u64 = 12;

/// Sixty images of 8 by 8, and one of three classes each; the models of the matrix.
fn lab(model: &str) -> Lab {
    lab_with(model, "{}")
}

fn lab_with(model: &str, augment: &str) -> Lab {
    let lab = Lab::in_memory(&format!(
        "seed = 3\nmodel = {model}\noptimizer = {{ kind = 'adamw', lr = 0.01, decay = 'matrices' }}\n\
         schedule = 'cosine(12)'\ntrain = {{ epochs = 3, clip_norm = 1.0 }}\nvalidation = {{ every = '2 steps' }}\n\
         checkpoint = {{ every = '1 step' }}\n\
         data = {{ path = 'images.safetensors', validation = 0.2, batch_size = 13, augment = {augment} }}\n"
    ));
    write_images(&lab.path("images.safetensors"), |x| x);
    lab
}

fn write_images(path: &Path, pixel: impl Fn(f32) -> f32) {
    let pixels: Vec<f32> = (0..60 * 64_u32).map(|i| pixel((i * i % 251) as f32 / 125.0 - 1.0)).collect();
    let classes: Vec<u32> = (0..60).map(|i| (i * 7 + i * i) % 3).collect();
    let x = Tensor::from_vec(pixels, (60, 1, 8, 8), &Device::Cpu).unwrap();
    let y = Tensor::from_vec(classes, 60, &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("x", x), ("y", y)]), path).unwrap();
}

const WITH_DROPOUT: &str = "{ kind = 'convnet', hidden = [9], activation = 'gelu', dropout = 0.4, average_to = 2, \
     blocks = [{ channels = 6, batch_norm = true, pool = 'max', dropout = 0.2 }, { channels = 5, kernel = 2 }] }";

const AUGMENT: &str = "{ flip = true, shift = 2, normalize = { mean = [0.1], std = [0.9] } }";

const MATRIX: [(&str, &str); 4] =
    [(CONVNET, "{}"), (WITH_DROPOUT, AUGMENT), (RESNET, "{ flip = true }"), (STOCHASTIC_DEPTH, "{}")];

/// Batches of 13 of 48 rows: the last of an epoch has 9. A batch norm after the second convolution sees a single number
/// of each channel in a row; that of the third model sees four.
#[test]
fn a_run_whose_batches_are_too_small_for_its_batch_norm_is_refused_before_its_first_step() {
    let narrow = "{ kind = 'convnet', blocks = [{ channels = 4, kernel = 8, batch_norm = true }] }";
    let resnet = "{ kind = 'resnet', widths = [2, 2, 2, 2], depths = [1, 1, 1, 1] }";
    let wide = "{ kind = 'convnet', blocks = [{ channels = 4, kernel = 7, batch_norm = true, pool = 'max' }] }";
    let start = |model: &str, settings: &[&str]| {
        let lab = lab(model);
        let set = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = ["config.toml", "--out", "run"].into_iter().chain(set).collect();
        let ended = lab.train(&arguments);
        (ended, lab.path("run").join("log.jsonl").exists())
    };
    let refused = |model: &str, settings: &[&str], expected: &str| {
        let (ended, began) = start(model, settings);
        let message = ended.refusal();
        assert!(message.contains(expected) && message.contains("`data.drop_last = true`") && !began, "{message}");
    };
    for model in [narrow, resnet] {
        let expected =
            "train.accumulate = 13: update 0 has 13 rows, and so a micro-batch of 1, too few for a batch norm";
        refused(model, &["train.accumulate=13"], expected);
        // Pieces of 3, 3, 3, 3 and 1.
        refused(
            model,
            &["train.accumulate=5"],
            "train.accumulate = 5: update 0 has 13 rows, and so a micro-batch of 1",
        );
        // Pieces of 5, 5 and 3; then of 3, 3 and 3.
        start(model, &["train.accumulate=3"]).0.well();
        // 48 rows are 47 and 1.
        refused(model, &["data.batch_size=47"], "data.batch_size = 47: update 1 has 1 row, and so a batch of 1");
        start(model, &["data.batch_size=47", "data.drop_last=true"]).0.well();
        start(model, &["data.batch_size=47", "train.steps=1"]).0.well();
    }
    start(wide, &["train.accumulate=13"]).0.well();
}

#[test]
fn models_of_images_interrupted_after_any_step_come_to_the_same_bits() {
    for (model, augment) in MATRIX {
        lab_with(model, augment).assert_any_step_can_be_the_last(STEPS);
    }
}

#[test]
fn any_number_of_threads_gives_models_of_images_the_same_bits() {
    for (model, augment) in MATRIX {
        let lab = lab_with(model, augment);
        for threads in ["1", "2", "3"] {
            let arguments = ["config.toml", "--out", threads];
            Ended::from(lab.command(&arguments).env("RAYON_NUM_THREADS", threads).output().unwrap()).well();
            assert_same_bits(&lab.path("1"), &lab.path(threads));
        }
    }
}

fn weights(lab: &Lab, run: &str, step: u64) -> HashMap<String, Tensor> {
    let path = checkpoint(&lab.path(run), step).join("model.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn running_statistics_are_saved_beside_the_weights_and_no_part_of_the_optimizer() {
    let lab = lab(CONVNET);
    lab.start("run");
    let (first, last) = (weights(&lab, "run", 0), weights(&lab, "run", STEPS));
    for name in ["features.3.running_mean", "features.3.running_var"] {
        assert_ne!(bits(&first[name]), bits(&last[name]), "{name}");
        assert_eq!(last[name].dtype(), DType::F32);
    }
    let optimizer = state(&checkpoint(&lab.path("run"), STEPS))["parts"]["optimizer"].to_string();
    let moments = fs::read(checkpoint(&lab.path("run"), STEPS).join("optimizer.safetensors")).unwrap();
    let moments = String::from_utf8_lossy(&moments);
    assert!(moments.contains("features.3.weight") && !moments.contains("running_"), "{optimizer}");
    assert!(!optimizer.contains("running_"), "{optimizer}");
}

#[test]
fn decay_on_matrices_leaves_norms_and_biases_alone() {
    let lab = lab(RESNET);
    for (run, decay) in [("none", "0"), ("much", "0.5")] {
        let setting = format!("optimizer.weight_decay={decay}");
        lab.train(&["config.toml", "--out", run, "--set", "train.epochs=1", "--set", &setting]).well();
    }
    let (none, much) = (weights(&lab, "none", 1), weights(&lab, "much", 1));
    for (name, weight) in none {
        let same = bits(&weight) == bits(&much[&name]);
        assert_eq!(same, weight.rank() < 2, "{name}");
    }
}

/// With a rate of 0 the weights do not change, and the inputs of the model differ.
#[test]
fn training_sees_images_flipped_and_shifted_and_evaluation_as_they_are() {
    let lab = lab("{ kind = 'convnet', blocks = [{ channels = 3 }] }");
    let figures = |run: &str, augment: &str| {
        let augment = format!("data.augment={augment}");
        let rate = ["--set", "optimizer.lr=0", "--set", "optimizer.weight_decay=0", "--set", &augment];
        lab.train(&[&["config.toml", "--out", run][..], &rate].concat()).well();
        let log = log(&lab.path(run));
        let column = |name: &str| log.iter().map(|line| line[name].to_string()).collect::<Vec<_>>();
        (column("loss"), column("val_loss"))
    };
    let (plain, plain_validation) = figures("plain", "{}");
    let (moved, moved_validation) = figures("moved", "{ flip = true, shift = 2 }");
    assert!(plain.iter().zip(&moved).all(|(plain, moved)| plain != moved), "{plain:?} {moved:?}");
    assert_eq!(plain_validation, moved_validation);
    let (normalized, validation) = figures("normalized", "{ normalize = { mean = [0.5], std = [0.5] } }");
    assert!(plain.iter().zip(&normalized).all(|(plain, normalized)| plain != normalized));
    assert_ne!(plain_validation, validation);
    let table = ["data.path=data.csv", "model={kind='mlp'}", "data.augment.flip=true"];
    let settings = table.iter().flat_map(|setting| ["--set", setting]);
    let arguments: Vec<&str> = ["config.toml", "--out", "run"].into_iter().chain(settings).collect();
    let refusal = lab.train(&arguments).refusal();
    assert!(refusal.contains("`data.augment` is for images"), "{refusal}");
}

/// Predictions for images normalized by the run equal those for images normalized before.
#[test]
fn predictions_are_of_normalized_images_too() {
    let augment = "{ normalize = { mean = [0.25], std = [0.5] } }";
    let (inside, before) = (lab_with(CONVNET, augment), lab(CONVNET));
    write_images(&before.path("images.safetensors"), |x| (x - 0.25) / 0.5);
    let told = |lab: &Lab| {
        lab.start("run");
        (lab.train(&["predict", "run", "--data", "images.safetensors"]).well().stdout, weights(lab, "run", STEPS))
    };
    let ((inside, weights), (before, expected)) = (told(&inside), told(&before));
    assert_eq!(inside, before);
    assert!(weights.iter().all(|(name, weight)| bits(weight) == bits(&expected[name])));
}

#[test]
fn a_model_that_does_not_fit_the_images_is_refused_before_the_first_step() {
    let lab = lab("{ kind = 'convnet', blocks = [{ channels = 2, pool = 'max' }, { channels = 2, kernel = 4 }] }");
    let refusal = lab.train(&["config.toml", "--out", "run"]).refusal();
    assert!(refusal.contains("blocks[1]: its convolution of 4 by 4 meets 3 by 3"), "{refusal}");
    assert!(refusal.contains("numbers of shape [1, 8, 8]"), "{refusal}");
    let table = ["config.toml", "--out", "run", "--set", "data.path=data.csv"];
    let refusal = lab.train(&table).refusal();
    assert!(refusal.contains("a convnet takes images") && refusal.contains("numbers of shape [3]"), "{refusal}");
    assert!(!lab.path("run").exists());
}
