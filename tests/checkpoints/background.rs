//! Saves in the background: the saved state is that of its step, and a failing disk loses no step.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::common;
use crate::common::place::Place;
use crate::common::{ADAMW, EVERY_STEP, Lab, assert_same_bits, small, steps};
use candle_core::{Device, Tensor, Var};
use rekindle::checkpoint::fs::{Disk, DiskFile, LocalDisk};
use rekindle::checkpoint::{Checkpoint, CheckpointError, Folder, Saver, WrittenBy};
use rekindle::parameters::Parameters;
use rekindle::train::{Control, Outcome, Run, Sink, StepRecord, TrainError, from_file};

/// A disk with a callback before each operation.
struct Before<F>(F);

impl<F: Fn() -> io::Result<()> + Send + Sync + Clone + 'static> Disk for Before<F> {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0().and_then(|()| LocalDisk.create_dir(path))
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0()?;
        Ok(Box::new(FileBefore { before: self.0.clone(), file: LocalDisk.create_file(path)? }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0().and_then(|()| LocalDisk.sync_dir(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0().and_then(|()| LocalDisk.rename(from, to))
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.0().and_then(|()| LocalDisk.exchange(a, b))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_dir_all(path)
    }
}

struct FileBefore<F> {
    before: F,
    file: Box<dyn DiskFile>,
}

impl<F: Fn() -> io::Result<()>> Write for FileBefore<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.before)()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<F: Fn() -> io::Result<()>> DiskFile for FileBefore<F> {
    fn sync(&mut self) -> io::Result<()> {
        (self.before)()?;
        self.file.sync()
    }
}

/// A gate that blocks a save.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let is_closed = |open: &mut bool| !*open;
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), is_closed).unwrap());
    }

    fn disk(&self) -> Arc<dyn Disk> {
        let gate = self.clone();
        Arc::new(Before(move || {
            gate.pass();
            Ok(())
        }))
    }
}

fn filled(value: f32) -> Parameters {
    filled_on(&Device::Cpu, 1000, value)
}

fn filled_on(device: &Device, length: usize, value: f32) -> Parameters {
    let weight = Var::from_tensor(&Tensor::full(value, length, device).unwrap()).unwrap();
    [("weight".to_owned(), weight)].into_iter().collect()
}

fn set(parameters: &Parameters, value: f32) {
    let weight = parameters.get("weight").unwrap();
    weight.set(&Tensor::full(value, weight.shape(), weight.device()).unwrap()).unwrap();
}

fn saver(folder: &Path) -> Saver {
    Saver::new(Folder::new(folder), WrittenBy::this_build("cpu"))
}

fn begin(saver: &mut Saver, step: u64, parameters: &Parameters) {
    let snapshot = saver.snapshot_at(step).part("model", parameters).unwrap();
    saver.begin(snapshot, |_| Ok(()));
}

/// The weight in a checkpoint, which must be the same in all of its elements.
fn weight(folder: &Path, step: u64) -> f32 {
    let checkpoint = Checkpoint::read(&folder.join(format!("step-{step:010}"))).unwrap();
    let bytes = &checkpoint.state("model").unwrap().tensors["weight"].bytes;
    let weights: Vec<f32> = bytes.as_chunks().0.iter().map(|element| f32::from_le_bytes(*element)).collect();
    assert!(weights.iter().all(|weight| *weight == weights[0]));
    weights[0]
}

/// An asynchronous save wrote values of a later step in PyTorch (#144657).
#[test]
fn a_save_beside_training_holds_no_value_of_a_later_step() {
    assert_no_value_of_a_later_step(&filled(1.0));
}

/// 120 MB, which come to the host in several pieces.
#[test]
fn a_save_from_a_gpu_beside_training_holds_no_value_of_a_later_step() {
    let Some(device) = Place::cuda("a save beside training") else { return };
    assert_no_value_of_a_later_step(&filled_on(&device, 30_000_000, 1.0));
}

#[track_caller]
fn assert_no_value_of_a_later_step(parameters: &Parameters) {
    let (folder, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let mut saver = saver(folder.path()).on(gate.disk());
    begin(&mut saver, 1, parameters);
    set(parameters, 2.0);
    assert!(saver.is_saving() && saver.finished().is_none());
    gate.open();
    saver.wait().unwrap().unwrap();
    begin(&mut saver, 2, parameters);
    set(parameters, 3.0);
    saver.wait().unwrap().unwrap();
    assert_eq!((weight(folder.path(), 1), weight(folder.path(), 2)), (1.0, 2.0));
}

#[test]
fn a_save_that_was_begun_ends_before_its_saver_is_gone() {
    let (folder, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let mut saver = saver(folder.path()).on(gate.disk());
    begin(&mut saver, 7, &filled(1.0));
    let opened = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            opened.store(true, Ordering::SeqCst);
            gate.open();
        });
        drop(saver);
        assert!(opened.load(Ordering::SeqCst), "the save cannot have ended before");
    });
    assert_eq!(weight(folder.path(), 7), 1.0);
}

/// The memory of one save is reused by the next: there is no second copy of the state.
#[test]
fn the_copy_of_the_state_is_made_in_the_memory_of_the_last_one() {
    let (folder, parameters) = (tempfile::tempdir().unwrap(), filled(1.0));
    let mut saver = saver(folder.path());
    let address = |snapshot: &rekindle::checkpoint::Snapshot| {
        let state = snapshot.states().find(|(part, _)| *part == "model").unwrap().1;
        state.tensors["weight"].bytes.as_ptr() as usize
    };
    let mut addresses = Vec::new();
    for step in 1..=3 {
        let snapshot = saver.snapshot_at(step).part("model", &parameters).unwrap();
        addresses.push(address(&snapshot));
        saver.begin(snapshot, |_| Ok(()));
        saver.wait().unwrap().unwrap();
    }
    assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:x?}");
}

#[test]
fn what_must_be_durable_first_can_refuse_the_save() {
    let folder = tempfile::tempdir().unwrap();
    let mut saver = saver(folder.path());
    let snapshot = saver.snapshot_at(1).part("model", &filled(f32::INFINITY)).unwrap();
    saver.begin(snapshot, |snapshot| snapshot.require_finite("model"));
    let refused = saver.wait().unwrap().unwrap_err();
    assert!(matches!(&refused, CheckpointError::NotFinite { tensor, .. } if tensor == "weight"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The messages of a run.
#[derive(Default)]
struct Heard(Vec<String>);

impl Sink for Heard {
    fn message(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// Trains the run of a lab in this process, through `disk`.
fn train(lab: &Lab, out: &str, disk: Arc<dyn Disk>) -> (Result<Outcome, TrainError>, Vec<String>) {
    let config = from_file(&lab.path("config.toml"), &[]).unwrap();
    let mut run = Run::start(config, &lab.path(out), Control::new()).unwrap().on(disk);
    let mut heard = Heard::default();
    let outcome = run.train(&mut heard);
    (outcome, heard.0)
}

fn saved_every_step() -> Lab {
    Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP))
}

/// A disk that fails in operation number `failing`, and in all after it if `for_good`.
fn failing(failing: usize, for_good: bool, kind: ErrorKind) -> (Arc<dyn Disk>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let disk = Before(move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        if number == failing || (for_good && number > failing) { Err(kind.into()) } else { Ok(()) }
    });
    (Arc::new(disk), count)
}

/// Returns the number of operations in all saves of the run.
fn operations(lab: &Lab) -> usize {
    let (disk, count) = failing(usize::MAX, false, ErrorKind::Other);
    train(lab, "counted", disk).0.unwrap();
    count.load(Ordering::SeqCst)
}

#[test]
fn a_fault_in_any_operation_is_reported_and_costs_no_step() {
    let lab = saved_every_step();
    lab.start("whole");
    let kinds = [ErrorKind::StorageFull, ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other];
    let operations = operations(&lab);
    assert!(operations > 12 * 9, "{operations}");
    // Each operation of the second save and of its neighbours, and some of the others.
    let tried = (0..45).chain((45..operations).step_by(7));
    for (operation, kind) in tried.zip(kinds.into_iter().cycle()) {
        let run = format!("fault-{operation}");
        let (outcome, heard) = train(&lab, &run, failing(operation, false, kind).0);
        outcome.unwrap_or_else(|error| panic!("{kind} in operation {operation}: {error}"));
        assert_eq!(heard.len(), 1, "{kind} in operation {operation}: {heard:?}");
        assert!(heard[0].contains("is not saved: cannot ") && heard[0].ends_with("training continues"), "{heard:?}");
        let not_saved: u64 = heard[0].split(' ').nth(2).unwrap().parse().unwrap();
        let saved = steps(&lab.path(&run));
        // If only the last flush failed, the checkpoint is complete, without a guarantee.
        assert!((0..=12).all(|step| saved.contains(&step) || step == not_saved), "{kind} in {operation}: {saved:?}");
        same_where_saved(&lab, &run, &saved);
    }
}

/// The log and every existing checkpoint are those of the whole run.
fn same_where_saved(lab: &Lab, run: &str, saved: &[u64]) {
    for step in saved {
        Checkpoint::verify(&common::checkpoint(&lab.path(run), *step)).unwrap();
    }
    let (whole, run) = (lab.path("whole"), lab.path(run));
    assert!(std::fs::read(whole.join("log.jsonl")).unwrap() == std::fs::read(run.join("log.jsonl")).unwrap());
    let model = |run: &Path| std::fs::read(common::checkpoint(run, 12).join("model.safetensors")).unwrap();
    assert!(model(&whole) == model(&run));
}

#[test]
fn a_call_that_a_signal_interrupts_is_made_again() {
    let lab = saved_every_step();
    lab.start("whole");
    let count = AtomicUsize::new(0);
    let count = Arc::new(count);
    let disk = Before(move || match count.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Err(ErrorKind::Interrupted.into()),
        _ => Ok(()),
    });
    let (outcome, heard) = train(&lab, "interrupted", Arc::new(disk));
    outcome.unwrap();
    assert_eq!(heard, Vec::<String>::new());
    assert_same_bits(&lab.path("whole"), &lab.path("interrupted"));
}

#[test]
fn a_disk_that_fails_for_good_ends_the_run_with_an_error_and_the_older_checkpoints() {
    let lab = saved_every_step();
    let (outcome, heard) = train(&lab, "lost", failing(40, true, ErrorKind::StorageFull).0);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("no storage space"), "{error}");
    assert!(heard.len() > 5 && heard.iter().all(|text| text.contains("training continues")), "{heard:?}");
    let saved = steps(&lab.path("lost"));
    assert!(saved.len() > 2, "{saved:?}");
    lab.train(&["--resume", "lost"]).well();
    lab.start("whole");
    same_where_saved(&lab, "lost", &steps(&lab.path("lost")));
}

/// Training waits for a slower disk: every due save is made.
#[test]
fn on_a_slow_disk_training_waits_and_no_save_is_skipped() {
    let lab = saved_every_step();
    lab.start("whole");
    let slow = Before(|| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        Ok(())
    });
    let (outcome, heard) = train(&lab, "slow", Arc::new(slow));
    outcome.unwrap();
    assert_eq!(heard, Vec::<String>::new());
    assert_same_bits(&lab.path("whole"), &lab.path("slow"));
}

/// Opens the gate of the disk at a step.
struct OpenAt(u64, Gate, Vec<u64>);

impl Sink for OpenAt {
    fn record(&mut self, record: &StepRecord) {
        self.2.push(record.done());
        if record.done() == self.0 {
            self.1.open();
        }
    }
}

/// With a save every four steps, steps 5 to 7 are made while the save of step 4 is blocked.
#[test]
fn training_continues_while_a_save_is_written() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", "checkpoint = { every = '4 steps' }"));
    lab.start("whole");
    let (gate, config) = (Gate::default(), from_file(&lab.path("config.toml"), &[]).unwrap());
    let mut run = Run::start(config, &lab.path("beside"), Control::new()).unwrap().on(gate.disk());
    let mut observer = OpenAt(7, gate, Vec::new());
    run.train(&mut observer).unwrap();
    assert_eq!(observer.2, (1..=12).collect::<Vec<_>>());
    assert_same_bits(&lab.path("whole"), &lab.path("beside"));
}

#[test]
fn a_signal_waits_for_its_save() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", "checkpoint = { every = '4 steps' }"));
    let config = from_file(&lab.path("config.toml"), &[]).unwrap();
    let control = Control::new();
    control.stop(2);
    let slow = Before(|| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        Ok(())
    });
    let mut run = Run::start(config, &lab.path("stopped"), control).unwrap().on(Arc::new(slow));
    assert_eq!(run.train(&mut ()).unwrap(), Outcome::Stopped { signal: 2 });
    let last: PathBuf = run.last_checkpoint().unwrap().to_owned();
    assert!(last.ends_with("step-0000000001"), "{}", last.display());
    Checkpoint::verify(&last).unwrap();
}
