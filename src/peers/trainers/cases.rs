//! The real checkpoints of `tests/peers/cases`: each is described as its trainer saw it.

use std::path::{Path, PathBuf};

use super::open;
use crate::peers::formats::json;
use crate::peers::peer::{Clipping, Peer, RateOf, Setting, Trainer, Unit};
use crate::peers::tree::Ref;

pub(super) fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases")
}

pub(super) fn opened(path: &str) -> Peer {
    open(&cases().join(path)).unwrap_or_else(|error| panic!("{error}"))
}

/// Opens every case of a peer, and compares groups and rates with what the trainer printed.
pub(super) fn check_all(peer: &str) -> usize {
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
    assert_eq!(check_all("torch"), 24);
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
