//! The real cases, and folders that are half written.

use std::fs;
use std::path::Path;

use super::super::open;
use super::*;
use crate::peers::formats::changed::{Random, change};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases/deepspeed")
}

#[test]
fn flat_states_are_cut_by_their_addresses() {
    let peer = open(&cases().join("zero2_adamw_groups")).unwrap();
    assert_eq!((peer.trainer, peer.version.as_deref(), peer.updates), (Trainer::DeepSpeed, Some("0.19.8"), Some(10)));
    assert_eq!(peer.clipping, Clipping::Norm { most: 1.0, eps: 1e-6 });
    let groups = &peer.optimizers[0].groups;
    let names: Vec<Vec<_>> = groups
        .iter()
        .map(|group| group.parameters.iter().map(|parameter| parameter.name.as_deref().unwrap()).collect())
        .collect();
    assert_eq!(names, [["0.weight", "2.weight"], ["0.bias", "2.bias"]]);
    assert_eq!((peer.optimizers[0].class.as_str(), peer.optimizers[0].updates), ("AdamW", Some(10)));
    assert!(groups.iter().all(|group| group.lr == Some(0.007525000000000001) && group.rate_of == RateOf::Next));
    assert_eq!(groups[1].setting("weight_decay"), Some(&Setting::Number(0.0)));
    for parameter in groups.iter().flat_map(|group| &group.parameters) {
        let weight = peer.model.tensors.iter().find(|named| Some(&named.name) == parameter.name.as_ref()).unwrap();
        assert_eq!(parameter.states.len(), 2);
        assert!(parameter.states.iter().all(|(_, tensor)| tensor.shape() == weight.tensor.shape()));
    }
    // Master weights of a run in f32 are its weights.
    let (tree, _) = torch::read(&cases().join("zero2_adamw_groups/global_step10").join(MODEL)).unwrap();
    for named in &peer.model.tensors {
        let stored = tree.root().at(&["module", &named.name]).unwrap().tensor().unwrap();
        assert_eq!(stored.to_f32().unwrap(), named.tensor.to_f32().unwrap(), "{}", named.name);
    }
    assert_eq!(
        (peer.schedules[0].form.class.as_str(), peer.schedules[0].unit),
        ("torch.CosineAnnealingLR", Unit::Updates)
    );
}

#[test]
fn without_zero_the_state_is_that_of_pytorch() {
    let peer = open(&cases().join("zero0_sgd/global_step10").join(MODEL)).unwrap();
    assert_eq!((peer.optimizers[0].class.as_str(), peer.clipping, peer.updates), ("SGD", Clipping::Off, Some(10)));
    assert_eq!(peer.optimizers[0].groups[0].parameters.len(), 4);
    assert_eq!(peer.schedules[0].form.class, "torch.StepLR");
}

/// Copies the case with ZeRO, but for the file whose name has `but`.
fn copy(but: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let save = folder.path().join("global_step10");
    fs::create_dir(&save).unwrap();
    fs::copy(cases().join("zero2_adamw_groups").join(LATEST), folder.path().join(LATEST)).unwrap();
    for entry in fs::read_dir(cases().join("zero2_adamw_groups/global_step10")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.contains(but) {
            fs::copy(&path, save.join(name)).unwrap();
        }
    }
    folder
}

#[test]
fn a_folder_that_is_half_written_is_damaged_and_says_what_is_missing() {
    for (but, missing) in
        [("optim_states", "optim_states.pt"), ("model_states", "`mp_rank_00_model_states.pt` is missing")]
    {
        let folder = copy(but);
        let error = open(folder.path()).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains(missing), "{error}");
    }
    let folder = copy("nothing");
    fs::write(folder.path().join(LATEST), "global_step20").unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("global_step20"), "{error}");
    fs::write(folder.path().join(LATEST), "../../etc").unwrap();
    assert!(open(folder.path()).unwrap_err().is_damage());
    let save = folder.path().join("global_step10");
    fs::rename(
        save.join("zero_pp_rank_0_mp_rank_00_optim_states.pt"),
        save.join("zero_pp_rank_1_mp_rank_00_optim_states.pt"),
    )
    .unwrap();
    let error = open(&save).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("process 0"), "{error}");
}

#[test]
fn weights_that_are_split_are_refused_by_the_kind_of_split() {
    for (name, word) in [
        ("zero_pp_rank_0_mp_rank_00_model_states.pt", "stage 3"),
        ("layer_00-model_states.pt", "pipeline"),
        ("mp_rank_01_model_states.pt", "tensor parallelism"),
        ("layer_0_expert_0_mp_rank_00_model_states.pt", "experts"),
    ] {
        let folder = copy("nothing");
        fs::write(folder.path().join("global_step10").join(name), "").unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, PeerError::Unsupported { .. }) && error.to_string().contains(word), "{error}");
    }
}

#[test]
fn changed_forms_of_the_real_files_are_read_or_refused() {
    let folder = copy("nothing");
    let mut random = Random(5);
    for name in [MODEL, "zero_pp_rank_0_mp_rank_00_optim_states.pt"] {
        let path = folder.path().join("global_step10").join(name);
        let whole = fs::read(&path).unwrap();
        for _ in 0..150 {
            let mut changed = whole.clone();
            change(&mut changed, &mut random);
            fs::write(&path, &changed).unwrap();
            // Whatever it is, a panic would end the test.
            drop(open(folder.path()));
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(open(folder.path()).is_ok());
}
