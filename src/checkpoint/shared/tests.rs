//! Shares that make up the files of one process, whoever writes them.

use super::*;
use crate::checkpoint::fs::{DiskFile, LocalDisk};
use crate::checkpoint::save::{save, save_with};
use crate::checkpoint::{Folder, Layout, Owned, Saver, WrittenBy};
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
    let staging = Staging::create(Arc::new(LocalDisk), folder, 7, shared(), world, Arc::default()).unwrap();
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
    let staging = Staging::create(Arc::new(LocalDisk), &folder, 7, shared(), 2, Arc::default()).unwrap();
    let name = staging.name().to_owned();
    save_with(&LocalDisk, &folder, &snapshot(), &written_by(), Some(staging)).unwrap();
    let mut helper = Helper::default();
    helper.begin(of_helper(), &folder, &name, [1, 2]);
    helper.wait();
    assert_that_of_one_process(&folder, &alone);
}

/// A disk on which a process reports its share just before the directory of the save is put in place, or removed.
struct Late;

impl Late {
    fn report(staging: &Path) {
        let (folder, name) = (staging.parent().unwrap(), staging.file_name().unwrap().to_str().unwrap());
        let mut helper = Helper::default();
        helper.begin(of_helper(), folder, name, [1, 2]);
        helper.wait();
    }
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
        Self::report(from);
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        LocalDisk.exchange(a, b)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        Self::report(path);
        LocalDisk.remove_dir_all(path)
    }
}

#[test]
fn a_report_that_comes_when_the_save_is_put_in_place_is_removed() {
    let temporary = tempfile::tempdir().unwrap();
    let (alone, folder) = (temporary.path().join("alone"), temporary.path().join("late"));
    save(&LocalDisk, &alone, &snapshot(), &written_by()).unwrap();
    fs::create_dir_all(&folder).unwrap();
    let staging = Staging::create(Arc::new(LocalDisk), &folder, 7, shared(), 2, Arc::default()).unwrap();
    save_with(&Late, &folder, &snapshot(), &written_by(), Some(staging)).unwrap();
    assert_that_of_one_process(&folder, &alone);
}

/// Neither save needs its directory: the step is saved already.
#[test]
fn a_report_that_comes_when_a_save_is_not_needed_is_removed() {
    let temporary = tempfile::tempdir().unwrap();
    save(&LocalDisk, temporary.path(), &snapshot(), &written_by()).unwrap();
    let staging = || Staging::create(Arc::new(Late), temporary.path(), 7, shared(), 2, Arc::default()).unwrap();
    let first = staging();
    save_with(&LocalDisk, temporary.path(), &snapshot(), &written_by(), Some(first)).unwrap();
    let second = staging();
    let name = second.name().to_owned();
    save_with(&LocalDisk, temporary.path(), &snapshot(), &written_by(), Some(second)).unwrap();
    Helper::default().decline(temporary.path(), &name, 1);
    let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["step-0000000007"]);
}

#[test]
fn a_save_that_does_not_begin_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let staging = Staging::create(Arc::new(LocalDisk), temporary.path(), 7, shared(), 2, Arc::default()).unwrap();
    let mut helper = Helper::default();
    helper.begin(of_helper(), temporary.path(), staging.name(), [1, 2]);
    helper.wait();
    assert!(fs::read_dir(temporary.path()).unwrap().count() == 2, "a directory and a report");
    drop(staging);
    assert!(fs::read_dir(temporary.path()).unwrap().next().is_none());
}

/// The directory could not be removed, because a process that was late made a file in it meanwhile.
#[test]
fn what_is_left_of_a_save_is_removed_by_the_next_one_and_at_the_end() {
    let temporary = tempfile::tempdir().unwrap();
    let mut saver = Saver::new(Folder::new(temporary.path()), written_by());
    let mut stage = |step| {
        let staging = saver.stage(step, shared(), 2, Arc::default()).unwrap();
        let path = temporary.path().join(staging.name());
        drop(staging);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("model.safetensors"), "late").unwrap();
        path
    };
    let (first, second) = (stage(7), stage(8));
    assert!(!first.exists() && second.exists());
    saver.remove_staged();
    assert!(!second.exists());
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

/// The moments of `snapshot`, of which each process has some: tensor number `i` is of process `i % world`.
fn layout(world: usize) -> Layout {
    let snapshot = moments();
    let tensors = snapshot.states().find(|(part, _)| *part == "optimizer").unwrap().1.tensors.iter();
    let owned = tensors.enumerate().map(|(number, (name, tensor))| {
        let (name, dtype, shape, rank) = (name.clone(), tensor.dtype, tensor.shape.clone(), number % world);
        Owned { name, dtype, shape, rank }
    });
    Layout::of("optimizer", owned.collect()).unwrap()
}

/// Some that are in a piece with those of others, and some that fill several.
fn moments() -> Snapshot {
    let tensor = |len: usize| {
        let bytes = (0..len).map(|i| (i * 11 + len) as u8).collect();
        HostTensor { dtype: Dtype::U8, shape: vec![len], bytes }
    };
    let sizes = [3000, 40, 5000, 2, 4100, 700, 0, 2500];
    let tensors = sizes.iter().enumerate().map(|(at, &len)| (format!("{at}"), tensor(len)));
    let optimizer = State { tensors: tensors.collect(), ..State::default() };
    let model = snapshot().states().find(|(part, _)| *part == "model").unwrap().1.clone();
    Snapshot::at(7).state("model", model).unwrap().state("optimizer", optimizer).unwrap()
}

/// The part of it that process `rank` has. The first one also has what the others lend.
fn moments_of(rank: usize, world: usize) -> Snapshot {
    let (all, layout) = (moments(), layout(world));
    let mut snapshot = Snapshot::at(7);
    for (part, state) in all.states() {
        let mut own = state.clone();
        if part == "optimizer" {
            own.tensors.retain(|name, _| name.parse::<usize>().unwrap() % world == rank);
        }
        snapshot = snapshot.state(part, own).unwrap();
    }
    let tensors = &all.states().find(|(part, _)| *part == "optimizer").unwrap().1.tensors;
    let lent = layout.lent().into_iter().map(|lent| {
        assert_eq!(lent.rank, lent.tensor.parse::<usize>().unwrap() % world);
        tensors[&lent.tensor].bytes[lent.bytes.start as usize..lent.bytes.end as usize].to_vec()
    });
    let lent = if rank == 0 { lent.collect() } else { Vec::new() };
    snapshot.owned("optimizer", Arc::new(layout), Arc::new(lent))
}

/// Saves moments that each of `world` processes has some of, with these `helpers`.
fn save_moments(folder: &Path, world: usize, helpers: &[usize], hurries: bool) -> Result<(), CheckpointError> {
    fs::create_dir_all(folder).unwrap();
    let (parts, hurries) = (vec!["model".to_owned(), "optimizer".to_owned()], Arc::new(AtomicBool::new(hurries)));
    let staging = Staging::create(Arc::new(LocalDisk), folder, 7, parts, world, hurries).unwrap();
    let mut all: Vec<Helper> = Vec::new();
    for &rank in helpers {
        let mut helper = Helper::default();
        helper.begin(moments_of(rank, world), folder, staging.name(), [rank, world]);
        all.push(helper);
    }
    if staging.hurries.load(Ordering::Acquire) {
        all.iter_mut().for_each(Helper::wait);
    }
    let saved = save_with(&LocalDisk, folder, &moments_of(0, world), &written_by(), Some(staging));
    all.iter_mut().for_each(Helper::wait);
    saved.map(drop)
}

#[test]
fn processes_that_have_some_tensors_each_write_the_files_of_one() {
    let temporary = tempfile::tempdir().unwrap();
    let alone = temporary.path().join("alone");
    save(&LocalDisk, &alone, &moments(), &written_by()).unwrap();
    for world in [2, 3, 5, 12] {
        let writers = layout(world).writers();
        assert!(writers.iter().any(|&writer| writer != 0) && writers.contains(&0), "{writers:?}");
        let folder = temporary.path().join(format!("{world}"));
        save_moments(&folder, world, &(1..world).collect::<Vec<_>>(), false).unwrap();
        assert_that_of_one_process(&folder, &alone);
    }
}

/// Its share is in its memory alone. The checkpoint of before stays, and nothing of the new one.
#[test]
fn a_save_without_the_tensors_of_a_process_fails_and_leaves_the_one_before() {
    let temporary = tempfile::tempdir().unwrap();
    let alone = temporary.path().join("alone");
    save(&LocalDisk, &alone, &moments(), &written_by()).unwrap();
    for (helpers, hurries) in [(&[][..], false), (&[1], false), (&[], true)] {
        let error = save_moments(&alone, 3, helpers, hurries).unwrap_err().to_string();
        assert!(error.contains("has not written its share, and no other process has what belongs there"), "{error}");
        assert_that_of_one_process(&alone, &alone);
    }
    // One that is asked to end soon takes what is there.
    let folder = temporary.path().join("soon");
    save_moments(&folder, 3, &[1, 2], true).unwrap();
    assert_that_of_one_process(&folder, &alone);
}

/// A file of which bytes are missing is never written by anyone alone.
#[test]
fn bytes_of_another_process_are_never_left_out() {
    let temporary = tempfile::tempdir().unwrap();
    for rank in [0, 1] {
        let error = save(&LocalDisk, temporary.path(), &moments_of(rank, 2), &written_by()).unwrap_err().to_string();
        assert!(error.contains("another process has "), "{error}");
        assert!(fs::read_dir(temporary.path()).unwrap().next().is_none());
    }
}
