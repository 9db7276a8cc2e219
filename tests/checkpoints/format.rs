//! The format of a checkpoint on disk, and that it restores the saved state to the bit.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use rekindle::checkpoint::{Checkpoint, CheckpointError, Folder, Snapshot, WrittenBy};
use rekindle::state::{Dtype, HostTensor, State, StateError, Stateful};
use serde_json::{Value, json};

fn here() -> WrittenBy {
    WrittenBy::this_build("cpu")
}

fn tensors(names: &[(&str, &[f64])]) -> State {
    let tensors = names.iter().map(|(name, values)| ((*name).to_owned(), HostTensor::from_f64s(values)));
    State { json: Value::Null, tensors: tensors.collect() }
}

fn sample() -> Snapshot {
    let optimizer = State { json: json!({"kind": "adamw"}), ..tensors(&[("w.exp_avg", &[0.5, -0.0])]) };
    let snapshot = Snapshot::at(100).field("epoch", 3).unwrap().field("config", json!({"lr": 0.1})).unwrap();
    let snapshot = snapshot.state("model", tensors(&[("w", &[1.0, 2.0]), ("b", &[3.0])])).unwrap();
    let snapshot = snapshot.state("optimizer", optimizer).unwrap();
    snapshot.state("schedulers.lr", State::from_json(json!({"t": 100, "base_lrs": [0.1]}))).unwrap()
}

fn files_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_checkpoint_on_disk_is_what_the_format_says() {
    let temporary = tempfile::tempdir().unwrap();
    let saved = Folder::new(temporary.path()).save(&sample(), &here()).unwrap();
    assert_eq!(saved.path, temporary.path().join("step-0000000100"));

    let files = files_in(&saved.path);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"]);

    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(manifest["format"], "rekindle.checkpoint");
    assert_eq!((&manifest["version"], &manifest["step"]), (&json!(1), &json!(100)));
    let listed = names.iter().filter(|name| **name != "manifest.json").map(|&name| {
        let content = &files[name];
        json!({"name": name, "bytes": content.len(), "blake3": blake3::hash(content).to_string()})
    });
    assert_eq!(manifest["files"], Value::Array(listed.collect()));
    assert_eq!(manifest["written_by"]["device"], "cpu");

    let state: Value = serde_json::from_slice(&files["state.json"]).unwrap();
    let expected = json!({
        "step": 100, "epoch": 3, "config": {"lr": 0.1}, "parts": ["model", "optimizer", "schedulers.lr"],
        "optimizer": {"kind": "adamw"}, "schedulers": {"lr": {"t": 100, "base_lrs": [0.1]}},
    });
    assert_eq!(state, expected);

    let model = safetensors::SafeTensors::deserialize(&files["model.safetensors"]).unwrap();
    let bias = model.tensor("b").unwrap();
    assert_eq!((bias.dtype(), bias.shape(), bias.data()), (Dtype::F64, &[1][..], &3.0_f64.to_le_bytes()[..]));
    assert!(safetensors::SafeTensors::read_metadata(&files["model.safetensors"]).unwrap().1.metadata().is_none());
}

#[test]
fn what_was_saved_can_be_asked_for_by_name() {
    let temporary = tempfile::tempdir().unwrap();
    let saved = Folder::new(temporary.path()).save(&sample(), &here()).unwrap();
    let checkpoint = Checkpoint::read(&saved.path).unwrap();
    assert_eq!(checkpoint.step(), 100);
    assert_eq!(checkpoint.path(), saved.path);
    assert_eq!(checkpoint.field("epoch"), Some(&json!(3)));
    assert_eq!(checkpoint.field("nothing"), None);
    assert_eq!(checkpoint.parts().collect::<Vec<_>>(), ["model", "optimizer", "schedulers.lr"]);
    assert_eq!(checkpoint.state("schedulers.lr").unwrap().json["t"], 100);
    assert_eq!(checkpoint.state("model"), Some(&tensors(&[("w", &[1.0, 2.0]), ("b", &[3.0])])));
    assert_eq!(checkpoint.state("ema"), None);
    assert_eq!(checkpoint.manifest().written_by.differences(&here()), Vec::<String>::new());
    assert_eq!(&Checkpoint::verify(&saved.path).unwrap(), checkpoint.manifest());
}

#[test]
fn two_saves_of_one_state_give_the_same_bytes_in_every_file_but_the_manifest() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = WrittenBy { threads: 99, created: 0, ..here() };
    let one = Folder::new(one.path()).save(&sample(), &here()).map(|saved| files_in(&saved.path)).unwrap();
    let two = Folder::new(two.path()).save(&sample(), &other).map(|saved| files_in(&saved.path)).unwrap();
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    for (name, content) in one {
        assert_eq!(content == two[&name], name != "manifest.json", "{name}");
    }
}

/// `serialize_to_file` of safetensors leaves files that only their owner can read.
#[test]
fn files_have_the_permissions_that_any_new_file_gets() {
    let temporary = tempfile::tempdir().unwrap();
    let plain = temporary.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let saved = Folder::new(temporary.path()).save(&sample(), &here()).unwrap();
    for name in files_in(&saved.path).keys() {
        assert_eq!(mode(&saved.path.join(name)), mode(&plain), "{name}");
    }
}

#[test]
fn a_checkpoint_can_be_reached_through_links_and_relative_paths() {
    let temporary = tempfile::tempdir().unwrap();
    let saved = Folder::new(temporary.path()).save(&sample(), &here()).unwrap();
    let link = temporary.path().join("latest");
    std::os::unix::fs::symlink(&saved.path, &link).unwrap();
    assert_eq!(Checkpoint::read(&link).unwrap().step(), 100);
    assert_eq!(Checkpoint::read(&saved.path.join("..").join("step-0000000100").join(".")).unwrap().step(), 100);
}

#[test]
fn two_names_cannot_share_a_place() {
    let clash = |result: Result<Snapshot, CheckpointError>| {
        assert!(matches!(result, Err(CheckpointError::NameClash { .. })), "{result:?}");
    };
    clash(sample().field("epoch", 4));
    clash(sample().field("schedulers", json!({})));
    clash(sample().state("model", State::default()));
    clash(sample().state("schedulers", State::default()));
    clash(sample().state("schedulers.lr.warmup", State::default()));
    clash(sample().state("epoch.x", State::default()));
    for name in ["", "step", "parts", "../x", "Ema", "a..b"] {
        let refused = sample().state(name, State::default());
        assert!(matches!(refused, Err(CheckpointError::Name { .. })), "{refused:?}");
    }
}

/// A part with one number that must be even, which counts its loads.
#[derive(Debug, Default, PartialEq)]
struct Even {
    value: u64,
    loads: usize,
}

impl Stateful for Even {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(self.value.into()))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        match state.json.as_u64() {
            Some(value) if value % 2 == 0 => Ok(()),
            _ => Err(StateError::Malformed(format!("{} is not even", state.json))),
        }
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)?;
        *self = Self { value: state.json.as_u64().unwrap_or_default(), loads: self.loads + 1 };
        Ok(())
    }
}

#[test]
fn restoring_changes_every_part_or_none() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::new(temporary.path());
    let save = |step, a: u64, b: u64| {
        let (a, b) = (Even { value: a, loads: 0 }, Even { value: b, loads: 0 });
        let snapshot = Snapshot::at(step).part("a", &a).unwrap().part("b", &b).unwrap();
        Checkpoint::read(&folder.save(&snapshot, &here()).unwrap().path).unwrap()
    };
    let (good, bad) = (save(1, 4, 6), save(2, 8, 9));
    let (mut a, mut b, mut c) = (Even::default(), Even::default(), Even::default());

    let error = bad.restore(&mut [("a", &mut a), ("b", &mut b)]).unwrap_err().to_string();
    assert!(error.contains("part `b` does not fit") && error.contains("9 is not even"), "{error}");
    let error = good.restore(&mut [("a", &mut a)]).unwrap_err().to_string();
    assert!(error.contains("step-0000000001 holds a part `b` that this program does not restore"), "{error}");
    let error = good.restore(&mut [("a", &mut a), ("b", &mut b), ("c", &mut c)]).unwrap_err().to_string();
    assert!(error.contains("step-0000000001 lacks the part `c` that this program restores"), "{error}");
    assert_eq!((&a, &b, &c), (&Even::default(), &Even::default(), &Even::default()));

    good.restore(&mut [("b", &mut b), ("a", &mut a)]).unwrap();
    assert_eq!((a, b), (Even { value: 4, loads: 1 }, Even { value: 6, loads: 1 }));
}

const DTYPES: [Dtype; 22] = [
    Dtype::BOOL,
    Dtype::F4,
    Dtype::F6_E2M3,
    Dtype::F6_E3M2,
    Dtype::U8,
    Dtype::I8,
    Dtype::F8_E5M2,
    Dtype::F8_E4M3,
    Dtype::F8_E8M0,
    Dtype::F8_E4M3FNUZ,
    Dtype::F8_E5M2FNUZ,
    Dtype::I16,
    Dtype::U16,
    Dtype::F16,
    Dtype::BF16,
    Dtype::I32,
    Dtype::U32,
    Dtype::F32,
    Dtype::C64,
    Dtype::F64,
    Dtype::I64,
    Dtype::U64,
];

/// Any dtype, up to three dimensions, including lengths of zero and scalars; dtypes smaller than a byte only fill whole
/// bytes.
fn tensor() -> impl Strategy<Value = HostTensor> {
    let shape = prop::collection::vec(0_usize..5, 0..4);
    (prop::sample::select(&DTYPES[..]), shape).prop_flat_map(|(dtype, mut shape)| {
        if dtype.bitsize() < 8 {
            shape.push(4);
        }
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        prop::collection::vec(any::<u8>(), bytes).prop_map(move |bytes| HostTensor {
            dtype,
            shape: shape.clone(),
            bytes,
        })
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no word for it", |x| x.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn state() -> impl Strategy<Value = State> {
    let name = any::<String>().prop_filter("safetensors keeps it for itself", |name| name != "__metadata__");
    (json_value(), prop::collection::btree_map(name, tensor(), 0..5))
        .prop_map(|(json, tensors)| State { json, tensors })
}

/// Unlike `==`, this tells -0.0 from 0.0.
fn exactly(state: &State) -> (String, &BTreeMap<String, HostTensor>) {
    (state.json.to_string(), &state.tensors)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn save_and_read_is_the_identity(
        step in any::<u64>(),
        field in json_value(),
        states in prop::collection::btree_map("[a-z0-9_-]{1,3}(\\.[a-z0-9_-]{1,3}){0,2}", state(), 0..5),
    ) {
        let temporary = tempfile::tempdir().unwrap();
        let mut snapshot = Snapshot::at(step).field("a-field", field.clone()).unwrap();
        let mut expected = Vec::new();
        for (name, state) in states {
            // Some of the names clash, one lying within another.
            if let Ok(with_it) = snapshot.clone().state(&name, state.clone()) {
                snapshot = with_it;
                expected.push((name, state));
            }
        }
        let saved = Folder::new(temporary.path()).save(&snapshot, &here()).unwrap();
        let checkpoint = Checkpoint::read(&saved.path).unwrap();
        prop_assert_eq!(checkpoint.step(), step);
        prop_assert_eq!(checkpoint.field("a-field").unwrap().to_string(), field.to_string());
        prop_assert_eq!(checkpoint.parts().collect::<Vec<_>>(), expected.iter().map(|(name, _)| name).collect::<Vec<_>>());
        for (name, state) in &expected {
            prop_assert_eq!(exactly(checkpoint.state(name).unwrap()), exactly(state));
        }
    }
}
