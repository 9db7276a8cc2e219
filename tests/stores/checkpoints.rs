//! Checkpoints in an object store: after any failure, the newest one is complete, the old or the new.
//!
//! The store here is in memory, so that every request can be counted, refused, or be the last of a process that is
//! killed. Objects change one at a time and changes are visible to all at once, as in the supported stores: a killed
//! process leaves the results of its first requests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rekindle::checkpoint::fs::LocalDisk;
use rekindle::checkpoint::keep::prune;
use rekindle::checkpoint::{
    Checkpoint, CheckpointError, Folder, Outcome, Outline, Retention, Snapshot, WrittenBy, foreign_files,
};
use rekindle::state::{HostTensor, State};
use rekindle::store::{self, Memory, Object, Store, Version};
use rekindle::train::resume::{self, ResumeOptions};
use rekindle::train::{Control, Run, Setting, from_file};
use serde_json::Value;

/// A store that counts requests, and refuses some.
#[derive(Default)]
struct Faulty {
    objects: Memory,
    plan: Mutex<Plan>,
    bytes_read: AtomicU64,
}

/// The refused requests.
#[derive(Clone, Copy, Default)]
enum Plan {
    #[default]
    None,
    /// Only the one with this number.
    One(u64),
    /// All from this number: the process is dead.
    From(u64),
    /// All read requests.
    Reads,
}

impl Faulty {
    /// A separate store at a separate URL.
    fn new() -> (Arc<Self>, PathBuf) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let base = format!("mem://bucket{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let store = Arc::new(Self::default());
        store::register(&base, store.clone());
        (store, Path::new(&base).join("run/checkpoints"))
    }

    fn plan(&self, plan: Plan) {
        *self.plan.lock().unwrap() = plan;
    }

    fn request(&self) -> io::Result<()> {
        let refused = Err(io::Error::other("refused by the test"));
        let plan = &mut *self.plan.lock().unwrap();
        match plan {
            Plan::One(0) => {
                *plan = Plan::None;
                refused
            }
            Plan::From(0) => refused,
            Plan::One(left) | Plan::From(left) => {
                *left -= 1;
                Ok(())
            }
            Plan::None | Plan::Reads => Ok(()),
        }
    }

    /// Everything in the store.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let objects = self.objects.list(Path::new("")).unwrap();
        objects
            .into_iter()
            .map(|Object { path, bytes }| (path.clone(), self.objects.read(&path, 0..bytes).unwrap()))
            .collect()
    }
}

impl Store for Faulty {
    fn list(&self, folder: &Path) -> io::Result<Vec<Object>> {
        self.request()?;
        self.objects.list(folder)
    }

    fn size(&self, object: &Path) -> io::Result<Option<u64>> {
        self.request()?;
        self.objects.size(object)
    }

    fn read(&self, object: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.request()?;
        if matches!(*self.plan.lock().unwrap(), Plan::Reads) {
            return Err(ErrorKind::TimedOut.into());
        }
        self.bytes_read.fetch_add(range.end - range.start, Ordering::Relaxed);
        self.objects.read(object, range)
    }

    fn fetch(&self, object: &Path, limit: u64) -> io::Result<Option<(Vec<u8>, Version)>> {
        self.request()?;
        self.objects.fetch(object, limit)
    }

    fn create(&self, object: &Path, content: &[u8]) -> io::Result<Version> {
        self.request()?;
        self.objects.create(object, content)
    }

    fn replace(&self, object: &Path, content: &[u8], version: &Version) -> io::Result<Version> {
        self.request()?;
        self.objects.replace(object, content, version)
    }

    fn upload(&self, object: &Path, content: &mut dyn Read, bytes: u64) -> io::Result<()> {
        self.request()?;
        self.objects.upload(object, content, bytes)
    }

    fn remove(&self, object: &Path) -> io::Result<()> {
        self.request()?;
        self.objects.remove(object)
    }
}

fn snapshot(step: u64, weight: f64, elements: usize) -> Snapshot {
    let tensors = [("w".to_owned(), HostTensor::from_f64s(&vec![weight; elements]))];
    let model = State { json: Value::Null, tensors: tensors.into_iter().collect() };
    Snapshot::at(step).state("model", model).unwrap().state("note", State::from_json("kept".into())).unwrap()
}

fn save(folder: &Path, (step, weight): (u64, f64)) -> Result<Outcome, CheckpointError> {
    let saved = Folder::new(folder).save(&snapshot(step, weight, 50), &WrittenBy::this_build("cpu"));
    saved.map(|saved| saved.outcome)
}

fn weight(checkpoint: &Checkpoint) -> f64 {
    let weights = checkpoint.state("model").unwrap().tensors["w"].to_f64s().unwrap();
    assert!(weights.iter().all(|weight| *weight == weights[0]), "values of two states in one checkpoint");
    weights[0]
}

/// Step and weight of the newest checkpoint; nothing in the folder may be damaged.
fn newest(folder: &Path) -> Option<(u64, f64)> {
    let newest = Folder::new(folder).newest().unwrap_or_else(|error| panic!("{error}"))?;
    assert!(newest.damaged.is_empty(), "{}", newest.damaged[0]);
    Some((newest.checkpoint.step(), weight(&newest.checkpoint)))
}

fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().into(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_checkpoint_in_a_store_has_the_files_of_a_local_one_and_goes_either_way() {
    let (store, folder) = Faulty::new();
    let here = tempfile::tempdir().unwrap();
    save(&folder, (100, 1.5)).unwrap();
    save(here.path(), (100, 1.5)).unwrap();
    let (there, name) = (folder.join("step-0000000100"), "step-0000000100");
    let remote: BTreeMap<PathBuf, Vec<u8>> = store
        .content()
        .into_iter()
        .map(|(path, bytes)| (path.strip_prefix(&there).unwrap().to_owned(), bytes))
        .collect();
    assert!(remote == tree(&here.path().join(name)), "the same files, and nothing else");
    // Downloaded, as any program does.
    let down = tempfile::tempdir().unwrap();
    fs::create_dir(down.path().join(name)).unwrap();
    remote.iter().for_each(|(path, bytes)| fs::write(down.path().join(name).join(path), bytes).unwrap());
    assert_eq!(newest(down.path()), Some((100, 1.5)));
    // And uploaded.
    let (store, folder) = Faulty::new();
    for (path, bytes) in tree(&here.path().join(name)) {
        store.objects.create(&folder.join(name).join(path), &bytes).unwrap();
    }
    assert_eq!(newest(&folder), Some((100, 1.5)));
    assert_eq!(save(&folder, (100, 1.5)).unwrap(), Outcome::Unchanged);
}

/// Makes the durable saves, then kills the last one after each number of its requests.
fn kill_everywhere(before: &[(u64, f64)], last: (u64, f64), keep: &Retention) {
    let old = before.last().copied();
    let mut outcomes = [0, 0];
    for requests in 0.. {
        let (store, folder) = Faulty::new();
        before.iter().for_each(|earlier| drop(save(&folder, *earlier).unwrap()));
        store.plan(Plan::From(requests));
        let saved = save(&folder, last);
        let pruned = prune(&LocalDisk, &Folder::new(&folder), keep, None);
        let survived = saved.is_ok() && pruned.is_ok();
        store.plan(Plan::None);
        let what = format!("killed after {requests} requests");
        if old.is_none_or(|old| old.0 != last.0) {
            // A concurrent reader that cleans up nothing.
            let found = newest(&folder);
            assert!(found == Some(last) || found == old, "{what}: found {found:?}");
        }
        Folder::new(&folder).sweep().unwrap();
        let found = newest(&folder);
        assert!(found == Some(last) || (saved.is_err() && found == old), "{what}: after the sweep {found:?}");
        assert!(store.content().keys().all(|path| !path.to_string_lossy().contains(".unfinished")), "{what}");
        outcomes[usize::from(found == Some(last))] += 1;
        save(&folder, (99, 9.0)).unwrap();
        assert_eq!(newest(&folder), Some((99, 9.0)), "{what}");
        if survived {
            break;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "only one outcome was ever seen: {outcomes:?}");
}

#[test]
fn a_killed_first_save_is_there_whole_or_not_at_all() {
    kill_everywhere(&[], (10, 1.0), &Retention::default());
}

#[test]
fn a_killed_save_leaves_the_old_checkpoint_or_the_new() {
    kill_everywhere(&[(10, 1.0), (20, 2.0)], (30, 3.0), &Retention { last: Some(1), ..Retention::default() });
}

#[test]
fn a_killed_save_in_the_place_of_another_leaves_one_of_the_two() {
    kill_everywhere(&[(10, 1.0)], (10, 2.0), &Retention::default());
}

#[test]
fn a_killed_save_that_deletes_what_it_has_replaced_leaves_one_of_the_two() {
    kill_everywhere(&[(10, 1.0)], (10, 2.0), &Retention { last: Some(1), ..Retention::default() });
}

#[test]
fn a_copy_that_was_replaced_goes_by_the_rules_wherever_its_deletion_is_cut_off() {
    let (keep, mut cut_off) = (Retention { last: Some(3), ..Retention::default() }, 0);
    for requests in 0.. {
        let (store, folder) = Faulty::new();
        save(&folder, (10, 1.0)).unwrap();
        save(&folder, (10, 2.0)).unwrap();
        let prune = || prune(&LocalDisk, &Folder::new(&folder), &keep, None);
        store.plan(Plan::From(requests));
        let survived = prune().is_ok();
        store.plan(Plan::None);
        assert_eq!(newest(&folder), Some((10, 2.0)), "killed after {requests} requests");
        Folder::new(&folder).sweep().unwrap();
        prune().unwrap();
        assert_eq!(newest(&folder), Some((10, 2.0)), "killed after {requests} requests");
        let left: Vec<String> = store.content().keys().map(|path| path.display().to_string()).collect();
        assert!(
            left.iter().all(|path| path.contains("step-0000000010/")),
            "killed after {requests} requests: {left:?}"
        );
        if survived {
            break;
        }
        cut_off += 1;
    }
    assert!(cut_off >= 6, "a deletion has more requests than {cut_off}");
}

/// The clean-up itself can be killed too.
#[test]
fn a_checkpoint_that_was_to_be_replaced_comes_back_however_often_the_sweep_is_killed() {
    let (store, folder) = Faulty::new();
    save(&folder, (10, 1.0)).unwrap();
    for requests in 0.. {
        // Killed when the old one is removed and the new one does not exist yet.
        store.plan(Plan::From(requests));
        let replaced = save(&folder, (10, 2.0)).is_ok();
        store.plan(Plan::None);
        for swept in 0.. {
            store.plan(Plan::From(swept));
            let is_done = Folder::new(&folder).sweep().is_ok();
            store.plan(Plan::None);
            if is_done {
                break;
            }
        }
        assert!(requests < 200, "what is left grows with every kill");
        // The last of its requests only removes the marker: without it the new one exists all the same.
        let found = newest(&folder).map(|(step, weight)| (step, weight == 2.0));
        let is_new = found == Some((10, true));
        assert!(is_new || (!replaced && found == Some((10, false))), "killed after {requests} requests: {found:?}");
        if is_new {
            break;
        }
    }
}

/// The process lives: a failed request fails this save, but affects no other checkpoint and leaves a clean folder.
#[test]
fn a_save_that_fails_leaves_nothing_behind_and_succeeds_the_next_time() {
    let mut failed = 0;
    for request in 0.. {
        let (store, folder) = Faulty::new();
        save(&folder, (10, 1.0)).unwrap();
        let before = store.content();
        store.plan(Plan::One(request));
        let saved = save(&folder, (20, 2.0));
        store.plan(Plan::None);
        let Err(error) = saved else { break };
        failed += 1;
        let message = error.to_string();
        assert!(message.contains("refused by the test") && message.contains("mem://"), "{message}");
        let is_clean = store.content() == before;
        // Only if the very last request fails, the checkpoint exists: as when a local folder cannot be flushed.
        assert!(is_clean || newest(&folder) == Some((20, 2.0)), "request {request}: {:?}", store.content().keys());
        save(&folder, (20, 2.0)).unwrap();
        assert_eq!(newest(&folder), Some((20, 2.0)));
    }
    assert!(failed >= 6, "a save has more requests than {failed}");
}

#[test]
fn a_checkpoint_that_is_replaced_is_kept_aside() {
    let (_, folder) = Faulty::new();
    save(&folder, (10, 1.0)).unwrap();
    let aside = folder.join("step-0000000010.replaced-1");
    assert_eq!(save(&folder, (10, 2.0)).unwrap(), Outcome::Replaced { aside: aside.clone() });
    assert_eq!(newest(&folder), Some((10, 2.0)));
    let store = store::at(&folder).unwrap().unwrap();
    assert_eq!(store.list(&aside).unwrap().len(), 3);
    assert_eq!(Folder::new(&folder).list().unwrap().len(), 1);
}

/// A person may be uploading a checkpoint at this moment.
#[test]
fn objects_that_no_save_of_ours_has_marked_are_never_swept() {
    let (store, folder) = Faulty::new();
    save(&folder, (10, 1.0)).unwrap();
    store.objects.create(&folder.join("step-0000000020/state.json"), b"{}").unwrap();
    store.objects.create(&folder.join("notes.txt"), b"mine").unwrap();
    let before = store.content();
    assert_eq!(Folder::new(&folder).sweep().unwrap(), [] as [PathBuf; 0]);
    assert!(store.content() == before);
    let newest = Folder::new(&folder).newest().unwrap().unwrap();
    assert_eq!(newest.checkpoint.step(), 10);
    assert!(matches!(newest.damaged[0].error, CheckpointError::NoManifest { .. }), "{}", newest.damaged[0]);
}

#[test]
fn what_is_damaged_is_skipped_and_named_by_its_url() {
    let (store, folder) = Faulty::new();
    save(&folder, (10, 1.0)).unwrap();
    save(&folder, (20, 2.0)).unwrap();
    let file = folder.join("step-0000000020/model.safetensors");
    let mut bytes = store.content()[&file].clone();
    *bytes.last_mut().unwrap() ^= 1;
    store.objects.upload(&file, &mut &bytes[..], bytes.len() as u64).unwrap();
    let newest = Folder::new(&folder).newest().unwrap().unwrap();
    assert_eq!(newest.checkpoint.step(), 10);
    assert!(newest.damaged[0].to_string().starts_with(file.to_str().unwrap()), "{}", newest.damaged[0]);
    store.objects.remove(&folder.join("step-0000000010/state.json")).unwrap();
    assert!(matches!(Folder::new(&folder).newest(), Err(CheckpointError::OnlyDamaged { .. })));
}

/// Using an older checkpoint because the connection failed would repeat finished work.
#[test]
fn a_store_that_does_not_answer_is_not_taken_for_damage() {
    let (store, folder) = Faulty::new();
    save(&folder, (10, 1.0)).unwrap();
    save(&folder, (20, 2.0)).unwrap();
    store.plan(Plan::Reads);
    let error = Folder::new(&folder).newest().unwrap_err();
    assert!(!error.is_damage() && error.to_string().contains("step-0000000020"), "{error}");
    let rules = Retention { last: Some(1), ..Retention::default() };
    assert!(prune(&LocalDisk, &Folder::new(&folder), &rules, None).unwrap().is_empty(), "an unread one was deleted");
}

#[test]
fn an_object_that_a_manifest_does_not_list_is_no_damage() {
    let (store, folder) = Faulty::new();
    save(&folder, (10, 1.0)).unwrap();
    let path = folder.join("step-0000000010");
    for name in [".DS_Store", "notes/today.txt"] {
        store.objects.create(&path.join(name), b"x").unwrap();
    }
    assert_eq!(newest(&folder), Some((10, 1.0)));
    let manifest = Checkpoint::verify(&path).unwrap();
    assert_eq!(foreign_files(&path, &manifest).unwrap(), [path.join(".DS_Store"), path.join("notes/today.txt")]);
}

/// A run directory in a store is described, restored and protected like one on the local disk.
#[test]
fn the_configuration_of_a_run_in_a_store_comes_back_and_is_not_written_over() {
    let (store, folder) = Faulty::new();
    let (run, here) = (folder.parent().unwrap(), tempfile::tempdir().unwrap());
    let rows: String = (0..20).map(|row| format!("{row},{}\n", row % 2)).collect();
    fs::write(here.path().join("rows.csv"), format!("a,label\n{rows}")).unwrap();
    let text = "data = { path = 'rows.csv' }\nmodel = { kind = 'mlp', hidden = [2] }\n\
                optimizer = { kind = 'sgd', lr = 0.1 }\ntrain = { steps = 2 }\n";
    fs::write(here.path().join("config.toml"), text).unwrap();
    let config = from_file(&here.path().join("config.toml"), &[]).unwrap();
    Run::start(config, run, Control::new()).unwrap().train(&mut ()).unwrap();
    let resume = |settings: &[Setting]| {
        let choices = ResumeOptions { settings, ..ResumeOptions::default() };
        let mut resumed = resume::resume(run, choices, Control::new()).map_err(|error| error.to_string())?;
        resumed.run.train(&mut ()).unwrap();
        Ok::<_, String>(resumed.messages)
    };
    let file = run.join("config.toml");
    let written = store.content()[&file].clone();
    store.objects.remove(&file).unwrap();
    assert!(resume(&[]).unwrap()[0].contains("config.toml was missing, and is written again"));
    assert_eq!(store.content()[&file], written);
    let edited = String::from_utf8(written).unwrap().replace("steps = 2", "steps = 4");
    store.objects.upload(&file, &mut edited.as_bytes(), edited.len() as u64).unwrap();
    let refused = resume(&[]).unwrap_err();
    assert!(refused.contains(&format!("train --resume {} --set train.steps=4", run.display())), "{refused}");
    resume(&[Setting::parse("train.steps=4").unwrap()]).unwrap();
    assert_eq!(store.content()[&file], edited.clone().into_bytes());
    resume(&[Setting::parse("train.steps=6").unwrap()]).unwrap();
    assert_eq!(store.content()[&run.join("config.toml.kept")], edited.into_bytes());
}

#[test]
fn pins_and_rules_hold_in_a_store() {
    let (_, path) = Faulty::new();
    let folder = Folder::new(&path);
    (1..=5).for_each(|step| drop(save(&path, (step, 1.0)).unwrap()));
    folder.pin(2).unwrap();
    assert!(folder.pin(7).is_err(), "there is no such checkpoint");
    let keep = Retention { last: Some(1), every: Some(3), ..Retention::default() };
    assert_eq!(
        prune(&LocalDisk, &folder, &keep, None).unwrap(),
        [path.join("step-0000000001"), path.join("step-0000000004")]
    );
    let steps = || folder.list().unwrap().into_iter().map(|(step, _)| step).collect::<Vec<_>>();
    assert_eq!(steps(), [2, 3, 5]);
    folder.unpin(2).unwrap();
    prune(&LocalDisk, &folder, &keep, None).unwrap();
    assert_eq!(steps(), [3, 5]);
}

#[test]
fn an_outline_reads_headers_and_no_tensors() {
    let (store, folder) = Faulty::new();
    let large = snapshot(10, 1.0, 4 << 20);
    let bytes = Folder::new(&folder).save(&large, &WrittenBy::this_build("cpu")).unwrap().bytes;
    let read = |what: &dyn Fn()| {
        store.bytes_read.store(0, Ordering::Relaxed);
        what();
        store.bytes_read.load(Ordering::Relaxed)
    };
    let path = folder.join("step-0000000010");
    let outlined = read(&|| {
        let outline = Outline::read(&path).unwrap();
        let tensor = &outline.tensors()[0];
        assert_eq!((tensor.name.as_str(), &tensor.shape[..], tensor.bytes), ("w", &[4 << 20][..], 32 << 20));
        assert_eq!(outline.state("note").unwrap().json, "kept");
    });
    assert!(outlined < 20_000, "{outlined} of {bytes} bytes");
    let whole = read(&|| assert_eq!(newest(&folder), Some((10, 1.0))));
    assert!((bytes..bytes + 2000).contains(&whole), "each byte is read once: {whole} of {bytes}");
}

#[test]
fn nothing_is_written_and_nothing_removed_once_the_run_is_another_s() {
    let (store, path) = Faulty::new();
    for held in 0.. {
        // The run is lost after this number of writes.
        let (asked, at_loss) = (AtomicU64::new(0), Arc::new(Mutex::new(None)));
        let folder = Folder::new(&path).guarded({
            let (store, at_loss) = (store.clone(), at_loss.clone());
            move || {
                if asked.fetch_add(1, Ordering::Relaxed) < held {
                    return Ok(());
                }
                at_loss.lock().unwrap().get_or_insert_with(|| store.content());
                Err(io::Error::other("taken over"))
            }
        });
        let saved = folder.save(&snapshot(10 + held, 1.0, 50), &WrittenBy::this_build("cpu"));
        let Some(at_loss) = at_loss.lock().unwrap().take() else {
            assert!(saved.is_ok() && held > 4, "{saved:?}");
            break;
        };
        let error = saved.unwrap_err().to_string();
        assert!(error.contains("taken over"), "{error}");
        assert!(store.content() == at_loss, "after {held} writes something else was written");
    }
}

#[cfg(not(feature = "object-store"))]
#[test]
fn a_program_without_object_stores_says_how_to_build_it_with_them() {
    let error = Folder::new("s3://bucket/run/checkpoints").newest().unwrap_err().to_string();
    assert!(error.contains("s3://bucket/run/checkpoints") && error.contains("--features object-store"), "{error}");
    let message = CheckpointError::is_damage(&Checkpoint::read(Path::new("s3://bucket/step-0000000001")).unwrap_err());
    assert!(!message);
}
