//! Shares that make up the files of one process, whoever writes them.

use super::*;
use crate::checkpoint::WrittenBy;
use crate::checkpoint::fs::{DiskFile, LocalDisk};
use crate::checkpoint::save::{save, save_with};
use crate::state::{Dtype, HostTensor, State};

/// Tensors whose files have several pieces, one and a bit, and one.
fn snapshot() -> Snapshot {
    let tensor = |len: usize, seed: usize| HostTensor {
        dtype: Dtype::U8,
        shape: vec![len],
        bytes: (0..len).map(|i| (i * 7 + seed * 13 + i * i / 5) as u8).collect(),
    };
    let state = |sizes: &[usize]| {
        let tensors = sizes.iter().enumerate().map(|(at, &len)| (format!("{at}"), tensor(len, at)));
        State { tensors: tensors.collect(), ..State::default() }
    };
    let parts = [("model", state(&[5000, 1, 3000])), ("optimizer", state(&[2400])), ("components.ema", state(&[9]))];
    let parts = parts.into_iter().chain([("components.own", state(&[1500]))]);
    parts.fold(Snapshot::at(7), |snapshot, (name, state)| snapshot.state(name, state).unwrap())
}

fn shared() -> Vec<String> {
    ["model", "optimizer", "components.ema"].map(str::to_owned).to_vec()
}

/// The state of a process that helps: only what is shared.
fn of_helper() -> Snapshot {
    let shared = shared();
    let states = snapshot().states().map(|(name, state)| (name.to_owned(), state.clone())).collect::<Vec<_>>();
    let states = states.into_iter().filter(|(name, _)| shared.contains(name));
    states.fold(Snapshot::at(7), |snapshot, (name, state)| snapshot.state(&name, state).unwrap())
}

/// Saves in `folder` with `helpers` of a run of `world` processes.
fn save_shared(folder: &Path, world: usize, helpers: &[usize]) {
    fs::create_dir_all(folder).unwrap();
    let staging = Staging::create(Arc::new(LocalDisk), folder, 7, shared(), world).unwrap();
    let mut all: Vec<Helper> = helpers
        .iter()
        .map(|&rank| {
            let mut helper = Helper::default();
            helper.begin(of_helper(), folder, staging.name(), [rank, world]);
            helper
        })
        .collect();
    save_with(&LocalDisk, folder, &snapshot(), &written_by(), Some(staging)).unwrap();
    all.iter_mut().for_each(Helper::wait);
}

/// Its time is in the manifest.
fn written_by() -> WrittenBy {
    static SAME: std::sync::OnceLock<WrittenBy> = std::sync::OnceLock::new();
    SAME.get_or_init(|| WrittenBy::this_build("cpu")).clone()
}

#[track_caller]
fn assert_that_of_one_process(folder: &Path, alone: &Path) {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    };
    assert_eq!(names(folder), ["step-0000000007"], "no report is left");
    let (found, expected) = (folder.join("step-0000000007"), alone.join("step-0000000007"));
    assert_eq!(names(&found), names(&expected));
    for name in names(&expected) {
        assert!(fs::read(found.join(&name)).unwrap() == fs::read(expected.join(&name)).unwrap(), "{name:?}");
    }
}

#[test]
fn any_number_of_processes_writes_the_files_of_one() {
    let temporary = tempfile::tempdir().unwrap();
    let alone = temporary.path().join("alone");
    save(&LocalDisk, &alone, &snapshot(), &written_by()).unwrap();
    for world in [2, 3, 4, 30] {
        let folder = temporary.path().join(format!("{world}"));
        save_shared(&folder, world, &(1..world).collect::<Vec<_>>());
        assert_that_of_one_process(&folder, &alone);
    }
}

/// As if it were killed before it began.
#[test]
fn the_first_process_writes_the_share_of_one_that_does_not() {
    let temporary = tempfile::tempdir().unwrap();
    let alone = temporary.path().join("alone");
    save(&LocalDisk, &alone, &snapshot(), &written_by()).unwrap();
    for helpers in [&[][..], &[2], &[1, 3]] {
        let folder = temporary.path().join(format!("{helpers:?}"));
        save_shared(&folder, 4, helpers);
        assert_that_of_one_process(&folder, &alone);
    }
}

/// It has the state of its step, and writes it to files that are complete already; or to none, if they are gone.
#[test]
fn a_late_process_changes_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let (alone, folder) = (temporary.path().join("alone"), temporary.path().join("late"));
    save(&LocalDisk, &alone, &snapshot(), &written_by()).unwrap();
    fs::create_dir_all(&folder).unwrap();
    let staging = Staging::create(Arc::new(LocalDisk), &folder, 7, shared(), 2).unwrap();
    let name = staging.name().to_owned();
    save_with(&LocalDisk, &folder, &snapshot(), &written_by(), Some(staging)).unwrap();
    let mut helper = Helper::default();
    helper.begin(of_helper(), &folder, &name, [1, 2]);
    helper.wait();
    assert_that_of_one_process(&folder, &alone);
}

/// A disk on which a process reports its share just before the directory of the save is put in place.
struct Late {
    folder: PathBuf,
    name: String,
}

impl Disk for Late {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        LocalDisk.create_dir(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        LocalDisk.create_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut helper = Helper::default();
        helper.begin(of_helper(), &self.folder, &self.name, [1, 2]);
        helper.wait();
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        LocalDisk.exchange(a, b)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_dir_all(path)
    }
}

#[test]
fn a_report_that_comes_when_the_save_is_put_in_place_is_removed() {
    let temporary = tempfile::tempdir().unwrap();
    let (alone, folder) = (temporary.path().join("alone"), temporary.path().join("late"));
    save(&LocalDisk, &alone, &snapshot(), &written_by()).unwrap();
    fs::create_dir_all(&folder).unwrap();
    let staging = Staging::create(Arc::new(LocalDisk), &folder, 7, shared(), 2).unwrap();
    let disk = Late { folder: folder.clone(), name: staging.name().to_owned() };
    save_with(&disk, &folder, &snapshot(), &written_by(), Some(staging)).unwrap();
    assert_that_of_one_process(&folder, &alone);
}

#[test]
fn a_save_that_does_not_begin_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let staging = Staging::create(Arc::new(LocalDisk), temporary.path(), 7, shared(), 2).unwrap();
    let mut helper = Helper::default();
    helper.begin(of_helper(), temporary.path(), staging.name(), [1, 2]);
    helper.wait();
    assert!(fs::read_dir(temporary.path()).unwrap().count() == 2, "a directory and a report");
    drop(staging);
    assert!(fs::read_dir(temporary.path()).unwrap().next().is_none());
}

/// The name comes from another process.
#[test]
fn nothing_is_written_to_a_name_of_another_form() {
    let temporary = tempfile::tempdir().unwrap();
    fs::create_dir(temporary.path().join("step-0000000007")).unwrap();
    let mut helper = Helper::default();
    for name in ["step-0000000007", "../x", ""] {
        helper.begin(of_helper(), temporary.path(), name, [1, 2]);
        helper.wait();
    }
    assert!(fs::read_dir(temporary.path().join("step-0000000007")).unwrap().next().is_none());
}
