//! A save is all or nothing: the order of its operations, and the result if any of them fails.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rekindle::checkpoint::fs::{Disk, DiskFile, LocalDisk};
use rekindle::checkpoint::save::save;
use rekindle::checkpoint::{Checkpoint, CheckpointError, Folder, Outcome, Saved, Snapshot, WrittenBy};
use rekindle::state::{HostTensor, State};
use serde_json::Value;

fn snapshot(step: u64, weight: f64) -> Snapshot {
    let tensors = [("w".to_owned(), HostTensor::from_f64s(&[weight]))];
    let model = State { json: Value::Null, tensors: tensors.into_iter().collect() };
    Snapshot::at(step).state("model", model).unwrap()
}

fn weight(path: &Path) -> f64 {
    Checkpoint::read(path).unwrap().state("model").unwrap().tensors["w"].to_f64s().unwrap()[0]
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The local disk, with a list of operations and failures.
#[derive(Default)]
struct Watched {
    log: Arc<Mutex<Vec<String>>>,
    /// The operation that fails, counted from zero, and how.
    failing: Option<(usize, ErrorKind)>,
    cannot_exchange: bool,
    count: Arc<AtomicUsize>,
}

impl Watched {
    fn failing(operation: usize, kind: ErrorKind) -> Self {
        Self { failing: Some((operation, kind)), ..Self::default() }
    }

    fn step(&self, what: &str, path: &Path) -> io::Result<()> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.log.lock().unwrap().push(format!("{what} {}", readable(path)));
        match self.failing {
            Some((failing, kind)) if failing == number => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

/// The last two names of a path, the process and number of a temporary directory left out.
fn readable(path: &Path) -> String {
    let names: Vec<String> = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    let names = names.iter().rev().take(2).rev().map(|name| name.split("tmp-").next().unwrap().to_owned());
    names.collect::<Vec<_>>().join("/")
}

impl Disk for Watched {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step("create", path)?;
        LocalDisk.create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step("create", path)?;
        let disk = Self { log: self.log.clone(), count: self.count.clone(), ..*self };
        Ok(Box::new(WatchedFile { disk, path: path.to_owned(), file: LocalDisk.create_file(path)? }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step("sync", path)?;
        LocalDisk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename to", to)?;
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        if self.cannot_exchange {
            return Err(ErrorKind::Unsupported.into());
        }
        self.step("exchange", b)?;
        LocalDisk.exchange(a, b)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_dir_all(path)
    }
}

struct WatchedFile {
    disk: Watched,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl Write for WatchedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.step("write", &self.path)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for WatchedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.step("sync", &self.path)?;
        self.file.sync()
    }
}

fn save_on(disk: &dyn Disk, folder: &Path, snapshot: &Snapshot) -> Result<Saved, CheckpointError> {
    save(disk, folder, snapshot, &WrittenBy::this_build("cpu"))
}

#[test]
fn every_file_is_durable_before_the_rename_and_the_rename_before_the_save_returns() {
    let temporary = tempfile::tempdir().unwrap();
    let run = temporary.path().join("run");
    let disk = Watched::default();
    save_on(&disk, &run.join("ckpt"), &snapshot(7, 1.0)).unwrap();
    let log = disk.log();
    let above = temporary.path().file_name().unwrap().to_str().unwrap();
    let expected = [
        &format!("create {above}/run"),
        // The path of the parent folder is absolute, so its readable name is not known here.
        &log[1],
        "create run/ckpt",
        &format!("sync {above}/run"),
        "create ckpt/.step-0000000007.",
        "create .step-0000000007./model.safetensors",
        "write .step-0000000007./model.safetensors",
        "sync .step-0000000007./model.safetensors",
        "create .step-0000000007./state.json",
        "write .step-0000000007./state.json",
        "sync .step-0000000007./state.json",
        "create .step-0000000007./manifest.json",
        "write .step-0000000007./manifest.json",
        "sync .step-0000000007./manifest.json",
        "sync ckpt/.step-0000000007.",
        "rename to ckpt/step-0000000007",
        "sync run/ckpt",
    ];
    assert_eq!(log, expected);
    assert!(log[1].starts_with("sync ") && log[1].ends_with(above), "{}", log[1]);
}

#[test]
fn a_save_that_fails_anywhere_leaves_the_older_checkpoints_and_no_temporary_directory() {
    let kinds = [ErrorKind::StorageFull, ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other];
    for kind in kinds {
        for failing in 0.. {
            let temporary = tempfile::tempdir().unwrap();
            let old = save_on(&LocalDisk, temporary.path(), &snapshot(1, 1.0)).unwrap().path;
            let disk = Watched::failing(failing, kind);
            let result = save_on(&disk, temporary.path(), &snapshot(2, 2.0));
            assert_eq!(weight(&old), 1.0);
            let Err(error) = result else {
                assert_eq!(failing, disk.log().len(), "an operation failed, and the save did not");
                break;
            };
            let error = error.to_string();
            assert!(error.starts_with("cannot ") && error.contains(temporary.path().to_str().unwrap()), "{error}");
            if kind == ErrorKind::StorageFull {
                assert!(error.contains("free some space"), "{error}");
            }
            // If only the last flush failed, the checkpoint is complete.
            let last = disk.log().last().is_some_and(|last| !last.contains("step-"));
            let expected: &[&str] = if last { &["step-0000000001", "step-0000000002"] } else { &["step-0000000001"] };
            assert_eq!(names(temporary.path()), expected, "after {:?} failed", disk.log().last());
            // And the next attempt succeeds.
            assert_eq!(weight(&save_on(&LocalDisk, temporary.path(), &snapshot(2, 2.0)).unwrap().path), 2.0);
        }
    }
}

#[test]
fn a_folder_that_is_a_file_is_named_in_the_error() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("ckpt");
    fs::write(&file, "not a folder").unwrap();
    for folder in [file.clone(), file.join("below")] {
        let error = save_on(&LocalDisk, &folder, &snapshot(1, 1.0)).unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()) && error.contains("there is a file where"), "{error}");
    }
    assert_eq!(names(temporary.path()), ["ckpt"]);
    assert_eq!(fs::read(&file).unwrap(), b"not a folder");
}

#[test]
fn saving_the_same_state_again_writes_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let first = save_on(&LocalDisk, temporary.path(), &snapshot(3, 1.0)).unwrap();
    let manifest = fs::read(first.path.join("manifest.json")).unwrap();
    let disk = Watched::default();
    let again = save_on(&disk, temporary.path(), &snapshot(3, 1.0)).unwrap();
    assert_eq!(again, Saved { outcome: Outcome::Unchanged, ..first.clone() });
    assert_eq!(disk.log().len(), 1, "only the folder is flushed: {:?}", disk.log());
    assert_eq!(fs::read(first.path.join("manifest.json")).unwrap(), manifest);
}

#[test]
fn the_previous_content_of_a_saves_place_is_kept_aside() {
    for cannot_exchange in [false, true] {
        let temporary = tempfile::tempdir().unwrap();
        let disk = Watched { cannot_exchange, ..Watched::default() };
        for value in [1.0, 2.0, 3.0] {
            let saved = save_on(&disk, temporary.path(), &snapshot(3, value)).unwrap();
            assert_eq!(weight(&saved.path), value);
            if let Outcome::Replaced { aside } = saved.outcome {
                // It is complete, and becomes a checkpoint again when it gets its name back.
                let back = tempfile::tempdir().unwrap();
                let copy = back.path().join("step-0000000003");
                fs::create_dir(&copy).unwrap();
                for name in names(&aside) {
                    fs::copy(aside.join(&name), copy.join(&name)).unwrap();
                }
                assert_eq!(weight(&copy), value - 1.0);
            }
        }
        assert_eq!(names(temporary.path()).len(), 3, "{:?}", names(temporary.path()));
        assert_eq!(Folder::new(temporary.path()).list().unwrap().len(), 1);
    }
}

#[test]
fn a_damaged_checkpoint_is_replaced_and_kept() {
    let temporary = tempfile::tempdir().unwrap();
    let first = save_on(&LocalDisk, temporary.path(), &snapshot(3, 1.0)).unwrap();
    fs::write(first.path.join("state.json"), "damaged").unwrap();
    let again = save_on(&LocalDisk, temporary.path(), &snapshot(3, 1.0)).unwrap();
    let aside = temporary.path().join("step-0000000003.replaced-1");
    assert_eq!(again.outcome, Outcome::Replaced { aside: aside.clone() });
    assert_eq!(fs::read(aside.join("state.json")).unwrap(), b"damaged");
    assert_eq!(weight(&again.path), 1.0);
}

#[test]
fn a_replacement_that_fails_leaves_a_whole_checkpoint_in_place_and_loses_neither() {
    for failing in 0.. {
        let temporary = tempfile::tempdir().unwrap();
        let place = save_on(&LocalDisk, temporary.path(), &snapshot(3, 1.0)).unwrap().path;
        let disk = Watched::failing(failing, ErrorKind::Other);
        let replaced = save_on(&disk, temporary.path(), &snapshot(3, 2.0));
        let (in_place, left) = (weight(&place), names(temporary.path()));
        assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
        assert!(in_place == 1.0 || left.len() == 2, "the old one is gone: {left:?}");
        if replaced.is_ok() {
            assert_eq!((failing, in_place), (disk.log().len(), 2.0));
            break;
        }
    }
}

#[test]
fn a_name_left_by_a_killed_process_with_our_id_is_no_obstacle() {
    let temporary = tempfile::tempdir().unwrap();
    for number in 0..50 {
        let leftover = format!(".step-0000000004.tmp-{}-{number}", std::process::id());
        fs::create_dir(temporary.path().join(leftover)).unwrap();
    }
    assert_eq!(save_on(&LocalDisk, temporary.path(), &snapshot(4, 1.0)).unwrap().outcome, Outcome::New);
    assert_eq!(names(temporary.path()).len(), 51);
}
