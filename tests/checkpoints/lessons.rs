//! Defects of saving in other trainers that are none here. Each test is named after the defect; those of resumed runs
//! are in `tests/runs/lessons.rs`, those of schedules in `tests/schedules/lessons.rs`.

use std::fs;
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use crate::common::{ADAMW, EVERY_STEP, Lab, checkpoint, small, state};
use candle_core::{Device, Tensor, Var};
use rekindle::checkpoint::fs::{Disk, DiskFile, LocalDisk};
use rekindle::checkpoint::{Checkpoint, Folder, Retention, Saver, Snapshot, WrittenBy};
use rekindle::data::{
    Batch, BatchSize, Data, DataError, Dataset, Fingerprint, Input, LastBatch, Order, Split, TargetKind,
};
use rekindle::optim::{AdamW, Gradients, Optimizer};
use rekindle::parameters::Parameters;
use rekindle::state::{State, Stateful};
use serde_json::json;

/// Parameters of these names, made in this order: the ids that Candle gives them count upwards.
fn made_in_order(names: &[&str]) -> Parameters {
    let var = |name: &&str| {
        let value = name.bytes().map(f32::from).sum::<f32>();
        ((*name).to_owned(), Var::from_vec(vec![value; 3], 3, &Device::Cpu).unwrap())
    };
    names.iter().map(var).collect()
}

/// One update towards zero, in which every parameter has another gradient.
fn update(optimizer: &mut Optimizer, parameters: &Parameters) {
    let terms = parameters.iter().map(|(_, var)| var.sqr().unwrap().sum_all().unwrap());
    let loss = terms.reduce(|sum, term| (sum + term).unwrap()).unwrap();
    optimizer.update(&Gradients::from_loss(&loss, parameters).unwrap().measure().unwrap(), &[0.1]).unwrap();
}

/// burn #5130: moments were silently reset, because they were saved by the ids of parameters, which change between
/// processes. Here they have the names of their parameters, and a parameter without a name is an error.
#[test]
fn burn_5130_moments_are_found_by_name_in_any_order_parameters_are_made() {
    let adamw = || AdamW { lr: 0.1, ..AdamW::default() };
    let mut before = made_in_order(&["decoder", "embedding", "head"]);
    let mut optimizer = Optimizer::new(&before, adamw()).unwrap();
    (0..3).for_each(|_| update(&mut optimizer, &before));
    let (weights, moments) = (before.save().unwrap(), optimizer.save().unwrap());

    let mut after = made_in_order(&["head", "decoder", "embedding"]);
    let mut resumed = Optimizer::new(&after, adamw()).unwrap();
    after.load(&weights).unwrap();
    resumed.load(&moments).unwrap();
    assert_eq!(resumed.save().unwrap(), moments);
    update(&mut optimizer, &before);
    update(&mut resumed, &after);
    assert_eq!(after.save().unwrap(), before.save().unwrap());
    assert!(moments.tensors.values().all(|moment| moment.bytes.iter().any(|byte| *byte != 0)));

    let renamed = made_in_order(&["decoder", "embedding", "top"]);
    let error = Optimizer::new(&renamed, adamw()).unwrap().load(&moments).unwrap_err().to_string();
    assert!(error.contains("head") && error.contains("top"), "{error}");
    // All parts are checked before any is changed, so the weights are unchanged too.
    before.load(&weights).unwrap();
}

/// A disk that refuses new files, or records the order of operations.
#[derive(Clone, Default)]
struct Watched {
    is_full: bool,
    done: Arc<Mutex<Vec<&'static str>>>,
}

impl Watched {
    fn note(&self, what: &'static str) {
        self.done.lock().unwrap().push(what);
    }
}

impl Disk for Watched {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        LocalDisk.create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.is_full {
            return Err(ErrorKind::StorageFull.into());
        }
        self.note("create a file");
        Ok(Box::new(WatchedFile(self.clone(), LocalDisk.create_file(path)?)))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.note("flush a directory");
        LocalDisk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("rename");
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        LocalDisk.exchange(a, b)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.note("delete");
        LocalDisk.remove_dir_all(path)
    }
}

struct WatchedFile(Watched, Box<dyn DiskFile>);

impl io::Write for WatchedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

impl DiskFile for WatchedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.note("flush a file");
        self.1.sync()
    }
}

fn saver(folder: &Path, disk: &Watched) -> Saver {
    let keep = Retention { last: Some(1), ..Retention::default() };
    Saver::new(Folder::new(folder), WrittenBy::this_build("cpu")).on(Arc::new(disk.clone())).keeping(keep)
}

fn with_weight(step: u64, weight: &Parameters) -> Snapshot {
    Snapshot::at(step).part("model", weight).unwrap()
}

/// lightning #1150: the previous checkpoint is deleted before the new one is whole.
#[test]
fn lightning_1150_the_previous_checkpoint_is_deleted_only_after_the_new_one_is_durable() {
    let (folder, weight) = (tempfile::tempdir().unwrap(), made_in_order(&["w"]));
    let saver_of = |disk: &Watched, step| {
        let mut saver = saver(folder.path(), disk);
        saver.begin(with_weight(step, &weight), |_| Ok(()));
        saver.wait().unwrap().is_ok()
    };
    assert!(saver_of(&Watched::default(), 1));
    assert!(!saver_of(&Watched { is_full: true, ..Watched::default() }, 2));
    assert_eq!(Folder::new(folder.path()).require_newest().unwrap().checkpoint.step(), 1);

    let disk = Watched::default();
    assert!(saver_of(&disk, 3));
    let done = disk.done.lock().unwrap();
    let last_of_the_save = done.iter().position(|what| *what == "rename").unwrap() + 1;
    assert_eq!(done[last_of_the_save], "flush a directory");
    assert_eq!(done[last_of_the_save + 1..], ["rename", "flush a directory", "delete"]);
}

/// KempnerForge #102: the `latest` pointer moved before the data was durable. Here there is no pointer, and the rename
/// that makes a checkpoint visible comes after the flush of its content.
#[test]
fn kempnerforge_102_nothing_is_visible_before_it_is_durable() {
    let (folder, weight, disk) = (tempfile::tempdir().unwrap(), made_in_order(&["w"]), Watched::default());
    let mut saver = saver(folder.path(), &disk);
    saver.begin(with_weight(1, &weight), |_| Ok(()));
    saver.wait().unwrap().unwrap();
    let done = disk.done.lock().unwrap();
    let rename = done.iter().position(|what| *what == "rename").unwrap();
    let count = |what| done[..rename].iter().filter(|done| **done == what).count();
    assert_eq!((count("create a file"), count("flush a file")), (3, 3));
    assert_eq!(done[rename - 1], "flush a directory");
    let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(entries.collect::<Vec<_>>(), ["step-0000000001"]);
}

/// pytorch #144657: an asynchronous save wrote values of a later step.
#[test]
fn pytorch_144657_an_asynchronous_save_has_the_values_of_its_own_step() {
    let (folder, mut weight) = (tempfile::tempdir().unwrap(), made_in_order(&["w"]));
    let saved = weight.save().unwrap();
    let mut saver = saver(folder.path(), &Watched::default());
    let (go, wait) = mpsc::channel();
    saver.begin(with_weight(1, &weight), move |_| {
        wait.recv().unwrap();
        Ok(())
    });
    let mut optimizer = Optimizer::new(&weight, AdamW { lr: 0.1, ..AdamW::default() }).unwrap();
    update(&mut optimizer, &weight);
    assert_ne!(weight.save().unwrap(), saved);
    go.send(()).unwrap();
    let path = saver.wait().unwrap().unwrap().path;
    assert_eq!(Checkpoint::read(&path).unwrap().state("model"), Some(&saved));
    weight.load(&saved).unwrap();
}

/// A million rows, created only on request and counted.
struct Counted {
    fingerprint: Fingerprint,
    gathered: Arc<AtomicUsize>,
}

const MANY: usize = 1_000_000;

impl Dataset for Counted {
    fn len(&self) -> usize {
        MANY
    }

    fn input(&self) -> Input {
        Input::Numbers(vec![1])
    }

    fn targets(&self) -> TargetKind {
        TargetKind::Values { width: 1 }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        self.gathered.fetch_add(rows.len(), Ordering::Relaxed);
        let column = Tensor::from_vec(rows.iter().map(|&row| row as f32).collect(), (rows.len(), 1), &Device::Cpu)?;
        Ok(Batch { inputs: column.clone(), targets: column })
    }
}

/// transformers #11284, #21934: 28 hours of skipping batches to find the position in the data. Here the position is
/// computed: none of the millions of earlier rows is read.
#[test]
fn transformers_11284_and_21934_no_batch_is_read_to_find_the_place_in_the_data() {
    let gathered = Arc::new(AtomicUsize::new(0));
    let split = Split::new(MANY, 0.0, 1).unwrap();
    let order = Order::new(MANY, BatchSize::Rows(NonZeroUsize::new(4).unwrap()), LastBatch::Keep, Some(1)).unwrap();
    let dataset = Counted { fingerprint: Fingerprint::of(b"counted"), gathered: Arc::clone(&gathered) };
    let data = Data::new(dataset, split, order).unwrap();
    data.batch(123_456_789).unwrap();
    assert_eq!(gathered.load(Ordering::Relaxed), 4);
}

/// torchdata #1317: the first data worker made every step 200 times slower, because it saved its position each step.
/// Here there is no position: the data's part of a checkpoint does not change from step to step.
#[test]
fn torchdata_1317_there_is_no_position_in_the_data_to_save() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    lab.start("run");
    let of_the_data = |step| {
        let path = checkpoint(&lab.path("run"), step);
        (state(&path)["data"].clone(), Checkpoint::read(&path).unwrap().state("dataset").cloned())
    };
    let first = of_the_data(0);
    assert!(first.1.is_some() && (1..=12).all(|step| of_the_data(step) == first));
}

/// Candle's `VarMap` is a hash map: the order of its variables differs in every process, and so would norms and files.
#[test]
fn candle_varmap_two_maps_of_the_same_variables_give_the_same_bytes() {
    let bytes = |order: &[&str]| {
        let map = candle_nn::VarMap::new();
        for name in order {
            let tensor = Tensor::full(name.len() as f32, 2, &Device::Cpu).unwrap();
            map.data().lock().unwrap().insert((*name).to_owned(), Var::from_tensor(&tensor).unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        let snapshot = Snapshot::at(1).part("model", &Parameters::from_varmap(&map)).unwrap();
        let saved = Folder::new(folder.path()).save(&snapshot, &WrittenBy::this_build("cpu")).unwrap();
        fs::read(saved.path.join("model.safetensors")).unwrap()
    };
    let first = bytes(&["a", "bb", "ccc", "dddd", "eeeee"]);
    assert_eq!(bytes(&["eeeee", "ccc", "a", "dddd", "bb"]), first);
}

/// Saves one JSON value, and reads it back.
fn through_a_checkpoint(value: serde_json::Value) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = Snapshot::at(1).state("part", State::from_json(value)).unwrap();
    let saved = Folder::new(folder.path()).save(&snapshot, &WrittenBy::this_build("cpu")).unwrap();
    Checkpoint::read(&saved.path).unwrap().state("part").unwrap().json.clone()
}

/// `serde_json` reads floats inexactly, off by one in the last place, unless told otherwise.
#[test]
fn serde_json_floats_come_back_to_the_last_bit() {
    let mut hard = vec![0.1 + 0.2, 1.0 / 3.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, 2.0f64.powi(60) + 256.0, -0.0];
    // Random bits: about a quarter of such numbers came back changed.
    let mut bits = 1u64;
    for _ in 0..1000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        hard.extend(Some(f64::from_bits(bits)).filter(|number| number.is_finite()));
    }
    let back = through_a_checkpoint(json!(hard));
    let back: Vec<u64> = back.as_array().unwrap().iter().map(|number| number.as_f64().unwrap().to_bits()).collect();
    assert_eq!(back, hard.iter().map(|number| number.to_bits()).collect::<Vec<_>>());
}

/// `serde_json` writes an infinity as `null`; the best metric of a plateau is one at first.
#[test]
fn serde_json_a_best_that_is_infinite_comes_back_as_infinite() {
    use rekindle::schedule::{RunLength, Schedule, Scheduler};
    let run = RunLength { total_steps: Some(10), steps_per_epoch: 1 };
    for mode in ["min", "max"] {
        let schedule = || format!("plateau(mode=\"{mode}\", patience=0)").parse::<Schedule>().unwrap();
        let before = Scheduler::new(schedule(), vec![0.1], run).unwrap();
        let saved = before.save().unwrap();
        assert!(!saved.json.to_string().contains("\"best\":null"), "{}", saved.json);
        let mut after = Scheduler::new(schedule(), vec![0.1], run).unwrap();
        after.load(&State::from_json(through_a_checkpoint(saved.json.clone()))).unwrap();
        assert_eq!(after.save().unwrap(), saved);
        // Any metric is better than the best so far.
        after.advance();
        after.report(if mode == "min" { 1e300 } else { -1e300 });
        assert_eq!(after.rates(), [0.1]);
    }
}

/// safetensors: a header with more than one `__metadata__` key differs from run to run, and `serialize_to_file` neither
/// flushes nor lets other users read the file. Here there is no metadata, and files are created in the usual way.
#[test]
fn safetensors_headers_are_the_same_in_every_run_and_files_are_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let snapshot = with_weight(1, &made_in_order(&["a", "b", "c", "d"]));
    let saved = Folder::new(folder.path()).save(&snapshot, &WrittenBy::this_build("cpu")).unwrap();
    let file = saved.path.join("model.safetensors");
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(metadata.metadata(), &None);
    fs::write(folder.path().join("other"), "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&file), mode(&folder.path().join("other")));
}
