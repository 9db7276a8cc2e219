//! The real checkpoints of `tests/peers/cases`: each is described as its trainer saw it.

use std::path::{Path, PathBuf};

use super::open;
use crate::peers::formats::json;
use crate::peers::peer::{Clipping, Peer, RateOf, Setting, Trainer, Unit};
use crate::peers::tree::Ref;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases")
}

fn opened(path: &str) -> Peer {
    open(&cases().join(path)).unwrap_or_else(|error| panic!("{error}"))
}

/// Opens every case of a peer, and compares groups and rates with what the trainer printed.
fn check_all(peer: &str) -> usize {
    let tree = json::read(&cases().join(peer).join("expected.json")).unwrap();
    let mut checked = 0;
    for case in tree.root().get("cases").unwrap().items().unwrap() {
        let name = case.get("case").and_then(Ref::text).unwrap();
        if name == "whole_objects" {
            continue;
        }
        let path = match case.get("file").or_else(|| case.at(&["files", "last.pth.tar"])) {
            Some(file) if file.text().is_some() => cases().join(peer).join(file.text().unwrap()),
            _ => file_of(&cases().join(peer).join(name)),
        };
        let found = open(&path).unwrap_or_else(|error| panic!("{peer}/{name}: {error}"));
        check(&format!("{peer}/{name}"), &found, case);
        checked += 1;
    }
    checked
}

/// Returns the only checkpoint in the folder of a case, or the folder itself.
fn file_of(folder: &Path) -> PathBuf {
    let is_checkpoint =
        |path: &PathBuf| [".ckpt", ".pt", ".pth", ".tar"].iter().any(|end| path.to_string_lossy().ends_with(end));
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    match files.iter().filter(|path| is_checkpoint(path)).collect::<Vec<_>>().as_slice() {
        [only] => (*only).clone(),
        _ => folder.to_owned(),
    }
}

fn check(name: &str, peer: &Peer, case: Ref<'_>) {
    let groups: Vec<_> = peer.optimizers.iter().flat_map(|optimizer| &optimizer.groups).collect();
    let expected: Vec<Ref<'_>> = match (case.get("groups"), case.get("group_names")) {
        (Some(groups), _) => groups.items().unwrap().collect(),
        (None, Some(names)) => names.items().unwrap().collect(),
        _ => Vec::new(),
    };
    assert_eq!(groups.len(), expected.len(), "{name}");
    for (group, expected) in groups.iter().zip(&expected) {
        let names = expected.get("names").unwrap_or(*expected).items().unwrap();
        assert_eq!(group.parameters.len(), names.len(), "{name}");
        for (key, value) in expected.entries().into_iter().flatten() {
            let key = key.text().unwrap();
            let setting = super::settings::setting(value);
            match key {
                "names" => {}
                // That of fastai's case is of the end of the run.
                "lr" | "mom" if peer.trainer == Trainer::Fastai => {}
                "lr" => assert_eq!(group.lr.map(Setting::Number), Some(setting), "{name}"),
                "initial_lr" => assert_eq!(group.initial_lr.map(Setting::Number), Some(setting), "{name}"),
                key => assert_eq!(group.setting(key), Some(&setting), "{name} {key}"),
            }
        }
    }
    let next: Vec<f64> =
        case.at(&["continues"]).unwrap().items().unwrap().next().unwrap().get("lr").unwrap().numbers().unwrap();
    let rates: Vec<f64> = groups.iter().filter_map(|group| group.lr).collect();
    if groups.iter().all(|group| group.rate_of != RateOf::Last) {
        assert_eq!(rates, next, "{name}");
    } else {
        assert_ne!(rates, next, "{name}");
    }
    if let Some(class) = case.get("optimizer").and_then(Ref::text) {
        assert_eq!(peer.optimizers[0].class, class, "{name}");
    }
    let counts = peer.optimizers.iter().any(|optimizer| optimizer.updates.is_some());
    assert_eq!(peer.updates.or(Some(10).filter(|_| !counts && peer.epochs == Some(10.0))), Some(10), "{name}");
}

#[test]
fn every_file_of_torch_is_described() {
    assert_eq!(check_all("torch"), 22);
    let mut classes = Vec::new();
    for name in [
        "legacy_adamw_warmup_step",
        "plateau",
        "adamw_foreach_lambda",
        "adam_amsgrad_multistep",
        "tensor_lr_exponential",
    ] {
        let peer = opened(&format!("torch/{name}.pt"));
        let schedule = &peer.schedules[0];
        assert_eq!(schedule.at, Some(10.0));
        assert_eq!(schedule.in_f32, name == "tensor_lr_exponential");
        classes.push(schedule.form.class.clone());
    }
    let expected = ["SequentialLR", "ReduceLROnPlateau", "LambdaLR", "MultiStepLR", "ExponentialLR"];
    assert_eq!(classes, expected.map(|class| format!("torch.{class}")));
}

#[test]
fn every_case_of_deepspeed_and_distributed_checkpoints_is_described() {
    assert_eq!((check_all("deepspeed"), check_all("dcp")), (2, 1));
}

#[test]
fn whole_objects_are_refused_by_name() {
    let error = open(&cases().join("torch/whole_objects.pt")).unwrap_err().to_string();
    assert!(error.contains("whole object") && error.contains("state_dict"), "{error}");
}

#[test]
fn a_unit_is_told_where_the_counters_tell_it() {
    let adam = opened("torch/nadam.pt");
    assert!(adam.schedules.is_empty() && adam.optimizers[0].groups[0].rate_of == RateOf::Constant);
    let both = opened("torch/bf16_adamw.pt");
    assert_eq!((both.updates, both.schedules[0].unit), (Some(10), Unit::Updates));
    let sgd = opened("torch/sgd_nesterov_cosine.pt");
    assert_eq!((sgd.updates, sgd.epochs, sgd.schedules[0].unit), (None, Some(10.0), Unit::Epochs));
    assert!(sgd.missing.iter().any(|line| line.starts_with("the number of updates")));
}

#[test]
fn things_beside_the_state_are_described_or_left_by_name() {
    let peer = opened("torch/numpy_scalars.pt");
    let has = |name: &str| peer.left.iter().any(|line| line.starts_with(name));
    assert!(has("rng.torch") && has("blob") && has("history"), "{:?}", peer.left);
    assert!(peer.settings.iter().any(|(name, value)| name == "args.lr" && value == "0.01"), "{:?}", peer.settings);
    let scaled = opened("torch/grad_scaler.pt").loss_scale.unwrap();
    assert_eq!((scaled.scale, scaled.growth_interval), (1024.0, 50));
    let averages = opened("torch/averaged.pt").averages.unwrap();
    assert_eq!((averages.place.as_str(), averages.count, averages.tensors.len()), ("ema_model", Some(10), 4));
    assert_eq!(averages.tensors[0].name, "0.weight");
    assert_eq!(opened("torch/tied.pt").model.tied, [("4.weight".to_owned(), "2.weight".to_owned())]);
    assert_eq!(
        opened("torch/named_parameters.pt").optimizers[0].groups[0].parameters[3].name.as_deref(),
        Some("2.bias")
    );
}

#[test]
fn old_files_are_read_and_adam_is_not_guessed() {
    let peer = opened("torch-1.4/adamw_cosine.pt");
    assert_eq!((peer.optimizers[0].class.as_str(), peer.updates), ("Adam or AdamW", Some(10)));
    assert!(peer.missing.iter().any(|line| line.starts_with("the optimizer's class")));
    assert_eq!(check_all("torch-1.4"), 2);
    for name in ["sgd_momentum_cosine", "adamw_step"] {
        let peer = opened(&format!("torch_run/{name}.pt"));
        assert_eq!((peer.optimizers.len(), peer.schedules.len(), peer.epochs), (1, 1, Some(10.0)), "{name}");
    }
}

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
fn lightning_counts_every_optimizer_and_each_has_its_schedule() {
    assert_eq!(check_all("lightning"), 2);
    let peer = opened("lightning/two_optimizers/epoch=9-step=20.ckpt");
    assert_eq!((peer.updates, peer.epochs, peer.version.as_deref()), (Some(10), Some(10.0), Some("2.6.6")));
    let schedules: Vec<_> = peer.schedules.iter().map(|it| (it.optimizer, it.form.class.as_str(), it.unit)).collect();
    assert_eq!(schedules, [(0, "torch.CosineAnnealingLR", Unit::Updates), (1, "torch.StepLR", Unit::Updates)]);
    assert!(
        peer.counters
            .iter()
            .any(|it| it.name == "global_step" && it.value == 20.0 && it.counts.contains("all optimizers"))
    );
    assert_eq!(peer.model.tensors[0].name, "net.0.weight");
}

#[test]
fn trainers_with_the_rate_of_the_last_update_say_so() {
    for peer in ["ignite", "timm", "nanogpt", "fastai"] {
        assert_eq!(check_all(peer), 1);
        let expected = json::read(&cases().join(peer).join("expected.json")).unwrap();
        let case = expected.root().get("cases").unwrap().items().unwrap().next().unwrap();
        let found = open(&file_of(&cases().join(peer).join(case.get("case").unwrap().text().unwrap()))).unwrap();
        let rates = found.optimizers[0].groups.iter().map(|group| group.rate_of);
        assert!(rates.into_iter().all(|rate| rate == RateOf::Last), "{peer}");
    }
}

#[test]
fn schedules_that_are_not_of_pytorch_have_their_form_and_place() {
    let ignite = opened("ignite/adamw_own_cosine_warmup/checkpoint_10.pt");
    let schedule = &ignite.schedules[0];
    assert_eq!(
        (schedule.form.class.as_str(), schedule.at, schedule.unit),
        ("ignite.ConcatScheduler", Some(10.0), Unit::Updates)
    );
    assert_eq!(schedule.form.members[1].class, "ignite.CosineAnnealingScheduler");
    let nano = opened("nanogpt/adamw/ckpt.pt");
    assert_eq!((nano.schedules[0].form.class.as_str(), nano.schedules[0].at), ("nanogpt.cosine", Some(10.0)));
    assert_eq!(nano.clipping, Clipping::Norm { most: 1.0, eps: 1e-6 });
    let timm = opened("timm/adamw_cosine_warmup/last.pth.tar");
    assert_eq!((timm.schedules[0].at, timm.schedules[0].unit, timm.epochs), (Some(10.0), Unit::Epochs, Some(10.0)));
    assert!(timm.missing.iter().any(|line| line.starts_with("the schedule")));
    let fastai = opened("fastai/adam_one_cycle/ten.pth");
    assert!(fastai.schedules.is_empty() && fastai.missing.iter().any(|line| line.starts_with("the schedule")));
    assert!(fastai.optimizers[0].groups[0].parameters[1].numbers.contains(&("do_wd".to_owned(), 0.0)));
}

#[test]
fn a_checkpoint_of_rekindle_itself_is_no_peer() {
    let place = tempfile::tempdir().unwrap();
    copy(&cases().join("transformers/adamw_linear_warmup"), place.path());
    std::fs::write(place.path().join("manifest.json"), r#"{"format": "rekindle.checkpoint"}"#).unwrap();
    assert!(open(place.path()).unwrap_err().to_string().contains("Rekindle itself"));
}
