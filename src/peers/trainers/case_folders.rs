//! Checkpoints that are folders: the real ones of transformers and accelerate, and what is said of those that lack a file.

use std::path::Path;

use super::cases::{cases, check_all, opened};
use super::open;
use crate::peers::peer::{Clipping, Trainer, Unit};
use crate::peers::tensor::Dtype;
use crate::peers::write::{Item, Stored, torch_zip};

#[test]
fn folders_of_transformers_have_their_schedule_in_the_arguments() {
    assert_eq!(check_all("transformers"), 3);
    let peer = opened("transformers/gpt2_tied");
    let form = &peer.schedules[0].form;
    assert_eq!((form.class.as_str(), form.number("num_warmup_steps")), ("transformers.cosine", Some(3.0)));
    assert_eq!(form.number("num_training_steps"), Some(30.0));
    assert_eq!(peer.clipping, Clipping::Norm { most: 1.0, eps: 1e-6 });
    assert_eq!(peer.architecture.as_ref().map(|it| it.kind.as_str()), Some("gpt2"));
    assert_eq!((peer.version.as_deref(), peer.model.in_order), (Some("5.23.0"), false));
    assert!(!peer.missing.iter().any(|line| line.contains("shape")), "{:?}", peer.missing);
}

#[test]
fn the_newest_checkpoint_of_a_run_is_read() {
    let run = tempfile::tempdir().unwrap();
    for (number, case) in [("9", "sgd_cosine"), ("10", "adamw_linear_warmup")] {
        copy(&cases().join("transformers").join(case), &run.path().join(format!("checkpoint-{number}")));
    }
    let peer = open(run.path()).unwrap();
    assert!(peer.path.ends_with("checkpoint-10"));
    assert_eq!(peer.optimizers[0].class, "AdamW");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Copies a case without `file`, or with it empty, and returns the error.
fn error_without(case: &str, file: &str, empty: bool) -> String {
    let place = tempfile::tempdir().unwrap();
    copy(&cases().join(case), place.path());
    std::fs::remove_file(place.path().join(file)).unwrap();
    if empty {
        std::fs::write(place.path().join(file), b"").unwrap();
    }
    let error = open(place.path()).unwrap_err();
    assert!(error.is_damage(), "{case} without {file}: {error}");
    error.to_string()
}

#[test]
fn half_written_folders_are_damaged_with_what_is_missing() {
    for file in ["model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"] {
        for empty in [false, true] {
            let error = error_without("transformers/adamw_linear_warmup", file, empty);
            assert!(error.contains(file) && error.contains("take the checkpoint before it"), "{error}");
        }
    }
    for file in ["model.safetensors", "optimizer.bin"] {
        assert!(error_without("accelerate/adamw_warmup_step", file, false).contains(file));
    }
    assert!(error_without("transformers/sgd_cosine", "training_args.bin", true).contains("empty"));
}

#[test]
fn weights_of_pytorch_keep_the_order_of_registration() {
    let place = tempfile::tempdir().unwrap();
    copy(&cases().join("transformers/adamw_linear_warmup"), place.path());
    std::fs::remove_file(place.path().join("model.safetensors")).unwrap();
    let weight = |shape: &[usize]| Stored {
        dtype: Dtype::F32,
        shape: shape.to_vec(),
        bytes: vec![0; 4 * shape.iter().product::<usize>()].into(),
    };
    let names = ["2.weight", "0.weight", "0.bias"].map(|name| (Item::text(name), Item::Tensor(weight(&[2, 3]))));
    let mut bytes = Vec::new();
    torch_zip::write(&Item::OrderedDict(names.to_vec()), "pytorch_model", &mut bytes).unwrap();
    std::fs::write(place.path().join("pytorch_model.bin"), bytes).unwrap();
    let model = open(place.path()).unwrap().model;
    let names: Vec<_> = model.tensors.iter().map(|named| named.name.as_str()).collect();
    assert_eq!((names.as_slice(), model.in_order), (&["2.weight", "0.weight", "0.bias"][..], true));
}

#[test]
fn a_part_of_the_weights_that_is_not_there_is_named() {
    let place = tempfile::tempdir().unwrap();
    copy(&cases().join("transformers/adamw_linear_warmup"), place.path());
    let whole = place.path().join("model.safetensors");
    std::fs::rename(&whole, place.path().join("model-00001-of-00002.safetensors")).unwrap();
    let index = |second: &str| {
        let map = r#""0.weight": "model-00001-of-00002.safetensors", "0.bias": "model-00001-of-00002.safetensors""#;
        let text = format!(r#"{{"metadata": {{}}, "weight_map": {{{map}, "2.weight": "{second}"}}}}"#);
        std::fs::write(place.path().join("model.safetensors.index.json"), text).unwrap();
        open(place.path())
    };
    let error = index("model-00002-of-00002.safetensors").unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("1 of 2 parts"), "{error}");
    assert!(index("../model.safetensors").unwrap_err().to_string().contains("no name of a part"));
    let peer = index("model-00001-of-00002.safetensors").unwrap();
    assert_eq!(peer.model.tensors.len(), 3);
}

#[test]
fn a_folder_of_accelerate_is_described() {
    assert_eq!(check_all("accelerate"), 1);
    let peer = opened("accelerate/adamw_warmup_step");
    assert_eq!((peer.trainer, peer.model.tensors.len()), (Trainer::Accelerate, 4));
    assert_eq!((peer.schedules[0].form.class.as_str(), peer.schedules[0].unit), ("torch.SequentialLR", Unit::Updates));
    assert!(peer.settings.iter().any(|(name, value)| name == "custom_checkpoint_0.pkl: n" && value == "10"));
}

#[test]
fn a_checkpoint_of_rekindle_itself_is_no_peer() {
    let place = tempfile::tempdir().unwrap();
    copy(&cases().join("transformers/adamw_linear_warmup"), place.path());
    std::fs::write(place.path().join("manifest.json"), r#"{"format": "rekindle.checkpoint"}"#).unwrap();
    assert!(open(place.path()).unwrap_err().to_string().contains("Rekindle itself"));
}
