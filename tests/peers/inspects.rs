//! `inspect` of other trainers' checkpoints, and `inspect diff` with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cases;
use crate::common::programs::Workplace;

fn shown(place: &Workplace, path: &Path) -> Value {
    let told = place.inspect(&[path.to_str().unwrap(), "--json"]);
    told.says(0, &[]);
    serde_json::from_str(&told.out).unwrap()
}

/// A whole pickled object is refused, and every other case is told: its trainer by the name of its folder, its groups,
/// and the ten updates that each had, where the file counts them.
#[test]
fn every_case_is_told_with_its_trainer_its_groups_and_its_updates() {
    let place = Workplace::new();
    let trainers = [
        ("accelerate", "accelerate"),
        ("composer", "Composer"),
        ("dcp", "PyTorch (distributed checkpoint)"),
        ("deepspeed", "DeepSpeed"),
        ("fastai", "fastai"),
        ("flax", "Flax"),
        ("ignite", "Ignite"),
        ("keras", "Keras"),
        ("lightning", "Lightning"),
        ("nanogpt", "nanoGPT"),
        ("orbax", "Orbax"),
        ("timm", "timm"),
        ("torch", "PyTorch"),
        ("torch-1.4", "PyTorch"),
        ("torch_run", "PyTorch"),
        ("transformers", "transformers"),
    ];
    let mut seen = 0;
    for case in cases::all().iter().filter(|case| case.name != "torch/whole_objects") {
        let status = shown(&place, &case.path);
        let peer = case.name.split('/').next().unwrap();
        let trainer = trainers.iter().find(|(folder, _)| *folder == peer).unwrap().1;
        assert_eq!(status["written_by"]["trainer"], trainer, "{}", case.name);
        let groups: usize = status["peer"]["optimizers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|optimizer| optimizer["groups"].as_array().unwrap().len())
            .sum();
        if let Some(expected) = case.expected["groups"].as_array() {
            assert_eq!(groups, expected.len(), "{}: {}", case.name, status["peer"]["optimizers"]);
        }
        assert!(status["step"].is_null() || status["step"] == 10, "{}: step {}", case.name, status["step"]);
        assert!(!status["layers"].as_array().unwrap().is_empty(), "{}", case.name);
        seen += 1;
    }
    assert!(seen >= 40, "{seen} cases");
    let whole = cases::checkpoint("torch/whole_objects");
    let told = place.inspect(&[whole.to_str().unwrap()]);
    told.says(2, &["torch.nn.modules.container.Sequential", "state_dict()"]);
}

#[test]
fn json_has_every_key_that_our_own_has() {
    let place = Workplace::with_run();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let ours: Value = serde_json::from_str(&place.inspect(&["run/checkpoints/step-0000000020", "--json"]).out).unwrap();
    let theirs = shown(&place, &cases::checkpoint("torch/sgd_nesterov_cosine"));
    let missing: Vec<String> = keys(&ours).difference(&keys(&theirs)).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(keys(&ours["groups"][0]), keys(&theirs["groups"][0]));
    assert_eq!(keys(&ours["tensors"][0]), keys(&theirs["tensors"][0]));
}

#[test]
fn the_text_says_what_is_there_what_is_missing_and_what_to_type_next() {
    let place = Workplace::new();
    let path = cases::checkpoint("torch/groups_no_decay_warmup_cosine");
    let told = place.inspect(&[path.to_str().unwrap()]);
    for part in [
        "trainer     PyTorch, zip\n",
        "step        10\n",
        "  from      torch.SequentialLR ",
        "optimizer   AdamW (told by its states), 10 updates betas=[0.9, 0.999] eps=1e-8\n",
        "            decoupled_weight_decay=true\n",
        "group 0     lr=9.046040e-3 now, then ",
        "base_lr=0.01 weight_decay=0.1 | 0.weight 2.weight\n",
        "base_lr=0.01 weight_decay=0 | 0.bias 2.bias\n",
        "missing     the place in the data: ",
        "missing     clipping of gradients: ",
        "next        inspect import ",
        "0  weight [32, 10] bias [32]  352\n",
    ] {
        assert!(told.out.contains(part), "`{part}` is not in:\n{}", told.out);
    }
    // The lines that name a path may be longer.
    let is_wide =
        |line: &&str| line.chars().count() > 100 && !line.starts_with("checkpoint") && !line.starts_with("next");
    for case in cases::all().iter().filter(|case| case.name != "torch/whole_objects") {
        let told = place.inspect(&[case.path.to_str().unwrap()]);
        assert_eq!(told.out.lines().find(is_wide), None, "{}", case.name);
        assert!(!told.out.contains("(no layer)"), "{}", told.out);
    }
}

#[test]
fn statistics_count_numbers_that_are_not_finite_only_where_they_are_asked_for() {
    let place = Workplace::new();
    let path = cases::checkpoint("torch/averaged");
    let path = path.to_str().unwrap();
    let headers = place.inspect(&[path]);
    assert!(headers.out.contains("only headers were read"), "{}", headers.out);
    let told = place.inspect(&[path, "--tensors"]);
    assert!(told.out.contains("all numbers were read"), "{}", told.out);
    let line = told.out.lines().find(|line| line.starts_with("averages   0.weight")).expect("a line for an average");
    assert!(line.trim_end().ends_with(" 0"), "{line}");
}

#[test]
fn a_checkpoint_and_the_same_run_of_another_trainer_are_compared_by_name() {
    let place = Workplace::new();
    let [one, other] = ["torch/sgd_nesterov_cosine", "torch/averaged"]
        .map(|name| cases::checkpoint(name).to_str().unwrap().to_owned());
    let same = place.inspect(&["diff", &one, &one]);
    assert_eq!((same.code, same.out.ends_with("\nidentical\n")), (Some(0), true), "{}", same.out);
    let told = place.inspect(&["diff", &one, &other]);
    assert_eq!(told.code, Some(1), "{}", told.err);
    for part in ["    lr  0.037525 | 0.03\n", "model 0.weight ", "optimizer 0.weight.momentum_buffer "] {
        assert!(told.out.contains(part), "`{part}` is not in:\n{}", told.out);
    }
    // A compiled model in DDP has other names for the same weights; Keras has matrices the other way round.
    let wrapped = cases::checkpoint("torch/ddp_compiled");
    let keras = cases::checkpoint("keras/adamw_cosine_warmup");
    for path in [wrapped, keras] {
        let told = place.inspect(&["diff", &one, path.to_str().unwrap()]);
        assert!(!told.out.contains("model 0.weight: only in A"), "{}", told.out);
        assert!(told.out.contains("model 0.weight "), "{}", told.out);
    }
}

#[test]
fn a_folder_that_holds_checkpoints_names_them_and_a_cut_file_is_bad() {
    let place = Workplace::new();
    let folder = cases::folder().join("nanogpt/adamw");
    let told = place.inspect(&[folder.to_str().unwrap()]);
    told.says(2, &["is no checkpoint itself, but holds some", "ckpt.pt"]);
    let bytes = fs::read(cases::checkpoint("torch/nadam")).unwrap();
    fs::write(place.path("cut.pt"), &bytes[..bytes.len() / 2]).unwrap();
    place.inspect_refuses(1, &["cut.pt"], &["cut.pt"]);
    place.inspect_refuses(2, &["config.toml"], &["config.toml: is a file; give a run directory"]);
    let rng = cases::folder().join("transformers/sgd_cosine/rng_state.pth");
    place.inspect(&[rng.to_str().unwrap()]).says(2, &["rng_state.pth"]);
}

#[test]
fn rates_of_another_trainers_schedule_are_a_table_and_one_that_is_not_in_the_file_is_asked_for() {
    let place = Workplace::new();
    let path = cases::checkpoint("torch/groups_no_decay_warmup_cosine");
    let told = place.inspect(&["lr", path.to_str().unwrap(), "--steps", "2", "--format", "csv"]);
    assert_eq!(told.out, "t,lr.0,lr.1\n0,0.001,0.001\n1,0.0028000000000000004,0.0028000000000000004\n", "{}", told.err);
    let timm = cases::checkpoint("timm/adamw_cosine_warmup");
    let told = place.inspect(&["lr", timm.to_str().unwrap()]);
    told.says(2, &["schedule: its form is not in the file", "write `schedule` in the configuration"]);
}
