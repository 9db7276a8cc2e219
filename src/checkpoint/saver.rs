//! Saves in the background, while training continues.
//!
//! The state is copied between two steps, into the memory of the previous save; a thread then writes the copy, so it
//! holds no value of a later step. There is one copy and at most one save in flight: a further save waits.
//!
//! A tensor on a GPU is copied there between two steps, and the thread brings this copy to host memory.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::error::CheckpointError;
use super::folder::Folder;
use super::fs::{Disk, LocalDisk};
use super::keep::{self, Retention};
use super::save::{Saved, again, save_with};
use super::shared::Staging;
use super::snapshot::Snapshot;
use super::written_by::WrittenBy;
use crate::threads::Task;

/// Saves snapshots of a run in a folder, one at a time, while the run continues.
///
/// ```
/// # use rekindle::checkpoint::{Folder, Saver, WrittenBy};
/// # let temporary = tempfile::tempdir()?;
/// # let folder = Folder::new(temporary.path().join("checkpoints"));
/// let mut saver = Saver::new(folder, WrittenBy::this_build("cpu"));
/// for step in 1..=3 {
///     // … an update …
///     if let Some(earlier) = saver.wait() {
///         earlier?;
///     }
///     let snapshot = saver.snapshot_at(step).field("epoch", step)?;
///     saver.begin(snapshot, |_| Ok(()));
/// }
/// assert_eq!(saver.wait().expect("a save was begun")?.path, temporary.path().join("checkpoints/step-0000000003"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Saver {
    folder: Folder,
    disk: Arc<dyn Disk>,
    written_by: WrittenBy,
    keep: Retention,
    /// The snapshot of the last save, whose memory is reused.
    earlier: Option<Snapshot>,
    in_flight: Option<Task<Ended>>,
    /// The hidden directories of shared saves that may be left: one in which a process that is late makes a file cannot be
    /// removed at that moment.
    staged: Vec<PathBuf>,
    /// Duration of the last save in the background.
    took: Duration,
}

/// The saved snapshot, the result of the save, and its duration.
type Ended = (Snapshot, Result<Saved, CheckpointError>, Duration);

impl Saver {
    /// Creates a saver for `folder` on the local disk that keeps all checkpoints.
    pub fn new(folder: Folder, written_by: WrittenBy) -> Self {
        let (disk, keep) = (Arc::new(LocalDisk), Retention::default());
        Self {
            folder,
            disk,
            written_by,
            keep,
            earlier: None,
            in_flight: None,
            staged: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// Saves through `disk` instead, if the folder is on one.
    #[doc(hidden)]
    pub fn on(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Deletes the checkpoints that `keep` does not keep, after each save.
    pub fn keeping(mut self, keep: Retention) -> Self {
        self.keep = keep;
        self
    }

    /// Returns an empty snapshot, in the memory of the last one if that is free: after [`Saver::wait`]. It is for
    /// [`Saver::begin`], which waits for tensors that are on their way from a GPU.
    pub fn snapshot_at(&mut self, step: u64) -> Snapshot {
        let snapshot = match self.earlier.take() {
            Some(earlier) => Snapshot::again_at(step, earlier),
            None => Snapshot::at(step),
        };
        snapshot.begun()
    }

    /// Begins to save `snapshot` and returns at once. If a save is in flight, it first waits for that one and discards
    /// its result: call [`Saver::wait`] before. `before` is called first, also in the background, with all tensors in
    /// host memory; it may check the snapshot, or flush data that must not be older than a checkpoint, and if it fails
    /// nothing is saved.
    ///
    /// If the system refuses a thread, this returns when the snapshot is saved.
    pub fn begin(
        &mut self,
        snapshot: Snapshot,
        before: impl FnOnce(&Snapshot) -> Result<(), CheckpointError> + Send + 'static,
    ) {
        self.begin_with(snapshot, None, before);
    }

    /// Makes the hidden directory of a save of `step` in which `world` processes write the tensors of `parts`, for
    /// [`Saver::begin_with`]. Once it `hurries`, the save waits for no other process.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub(crate) fn stage(
        &mut self,
        step: u64,
        parts: Vec<String>,
        world: usize,
        hurries: Arc<AtomicBool>,
    ) -> Result<Staging, CheckpointError> {
        self.remove_staged();
        let staging = Staging::create(Arc::clone(&self.disk), self.folder.path(), step, parts, world, hurries)?;
        self.staged.push(self.folder.path().join(staging.name()));
        Ok(staging)
    }

    /// Removes what is left of earlier shared saves. Call it only while no save is in flight.
    pub(crate) fn remove_staged(&mut self) {
        let disk = &self.disk;
        // The next save tries again what fails, and at last a resume.
        self.staged.retain(|path| path.exists() && again(|| disk.remove_dir_all(path)).is_err());
    }

    /// [`Saver::begin`], perhaps together with other processes.
    pub(crate) fn begin_with(
        &mut self,
        mut snapshot: Snapshot,
        staging: Option<Staging>,
        before: impl FnOnce(&Snapshot) -> Result<(), CheckpointError> + Send + 'static,
    ) {
        drop(self.wait());
        let (disk, folder) = (Arc::clone(&self.disk), self.folder.clone());
        let (written_by, keep) = (self.written_by.clone(), self.keep.clone());
        self.in_flight = Some(Task::begin_aside("save", move || {
            let save = || {
                snapshot.finish_copies()?;
                before(&snapshot)?;
                let saved = match staging {
                    Some(_) => save_with(&*disk, folder.path(), &snapshot, &written_by, staging)?,
                    None => folder.save_on(&*disk, &snapshot, &written_by)?,
                };
                prune(&*disk, &folder, &keep, snapshot.step());
                Ok(saved)
            };
            let began = Instant::now();
            let result = save();
            (snapshot, result, began.elapsed())
        }));
    }

    /// Deletes the checkpoints that are not to be kept, in a run that continues from `step`, like the end of a save: a
    /// killed one may not have reached it. Call it only while no save is in flight.
    pub fn prune(&self, step: u64) {
        prune(&*self.disk, &self.folder, &self.keep, step);
    }

    /// Whether a save is in flight.
    pub fn is_saving(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|save| !save.is_finished())
    }

    /// Returns the duration of the last finished save, from [`Saver::begin`].
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Returns the result of the save in flight, if it has finished.
    ///
    /// # Errors
    /// As [`Folder::save`], and the errors of `before`.
    pub fn finished(&mut self) -> Option<Result<Saved, CheckpointError>> {
        if self.is_saving() { None } else { self.wait() }
    }

    /// Waits for the save in flight and returns its result; `None` if there is none.
    ///
    /// # Errors
    /// As [`Saver::finished`].
    pub fn wait(&mut self) -> Option<Result<Saved, CheckpointError>> {
        let ended = self.in_flight.take()?.wait();
        Some(match ended {
            Some((snapshot, result, took)) => {
                (self.earlier, self.took) = (Some(snapshot), took);
                result
            }
            None => Err(CheckpointError::Io {
                operation: "save to",
                path: self.folder.path().to_owned(),
                error: io::Error::other("the thread that saves has failed; please report this"),
            }),
        })
    }
}

/// Failing to delete an old checkpoint does not make a save fail.
fn prune(disk: &dyn Disk, folder: &Folder, keep: &Retention, step: u64) {
    if let Err(error) = keep::prune(disk, folder, keep, Some(step)) {
        tracing::warn!("an old checkpoint is not deleted: {error}");
    }
}

/// Finishes a save in flight.
impl Drop for Saver {
    fn drop(&mut self) {
        drop(self.wait());
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor, Var};

    use super::*;
    use crate::checkpoint::{Checkpoint, verify_all};
    use crate::optim::{AdamW, Gradients, Optimizer};
    use crate::parameters::Parameters;
    use crate::parameters::slow_device::SlowDevice;
    use crate::state::{State, Stateful};
    use crate::threads::starved::without_threads;

    /// Two weights in training, and their optimizer.
    struct Trained {
        parameters: Parameters,
        optimizer: Optimizer,
    }

    impl Trained {
        fn new() -> Self {
            let var = |length: usize| Var::ones(length, DType::F32, &Device::Cpu).unwrap();
            let parameters: Parameters =
                [("a".to_owned(), var(3)), ("b".to_owned(), var(70_000))].into_iter().collect();
            let optimizer = Optimizer::new(&parameters, AdamW { lr: 0.1, ..AdamW::default() }).unwrap();
            Self { parameters, optimizer }
        }

        fn update(&mut self) {
            let squares = self.parameters.iter().map(|(_, var)| var.sqr().unwrap().sum_all().unwrap());
            let loss: Tensor = squares.reduce(|a, b| (a + b).unwrap()).unwrap();
            let gradients = Gradients::from_loss(&loss, &self.parameters).unwrap().measure().unwrap();
            self.optimizer.update(&gradients, &[0.1]).unwrap();
        }

        fn begin_save(&self, saver: &mut Saver, step: u64) {
            let snapshot = saver.snapshot_at(step).part("model", &self.parameters).unwrap();
            saver.begin(snapshot.part("optimizer", &self.optimizer).unwrap(), |snapshot| {
                snapshot.require_finite("model")
            });
        }

        fn states(&self) -> [State; 2] {
            [self.parameters.save().unwrap(), self.optimizer.save().unwrap()]
        }
    }

    fn saved(folder: &Folder, step: u64) -> [State; 2] {
        let checkpoint = Checkpoint::read(&folder.path().join(format!("step-{step:010}"))).unwrap();
        ["model", "optimizer"].map(|part| checkpoint.state(part).unwrap().clone())
    }

    /// The copies reach host memory when training is two updates further.
    #[test]
    fn a_save_from_a_slow_device_has_the_values_of_its_step() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        let mut saver = Saver::new(folder.clone(), WrittenBy::this_build("cpu"));
        let mut trained = Trained::new();
        for step in [3, 6] {
            let expected = SlowDevice::with(|device| {
                trained.update();
                trained.begin_save(&mut saver, step);
                let expected = trained.states();
                trained.update();
                trained.update();
                assert!(saver.is_saving() && !folder.path().join(format!("step-{step:010}")).exists());
                device.open();
                expected
            });
            saver.wait().unwrap().unwrap();
            assert!(saved(&folder, step) == expected && trained.states() != expected, "step {step}");
        }
    }

    #[test]
    fn a_device_that_fails_during_a_save_is_an_error_and_the_next_save_succeeds() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        let mut saver = Saver::new(folder.clone(), WrittenBy::this_build("cpu"));
        let trained = Trained::new();
        SlowDevice::with(|device| {
            trained.begin_save(&mut saver, 1);
            device.fail();
        });
        let error = saver.wait().unwrap().unwrap_err().to_string();
        assert_eq!(error, "the part `model` cannot be saved: the device has fallen off the bus");
        assert!(folder.list().unwrap().is_empty());
        trained.begin_save(&mut saver, 1);
        saver.wait().unwrap().unwrap();
        assert_eq!(saved(&folder, 1), trained.states());
    }

    #[test]
    fn a_snapshot_with_tensors_on_their_way_is_not_saved_without_them() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        let mut saver = Saver::new(folder.clone(), WrittenBy::this_build("cpu"));
        let parameters = Trained::new().parameters;
        let begun = SlowDevice::with(|_| saver.snapshot_at(1).part("model", &parameters).unwrap());
        let error = folder.save(&begun, &WrittenBy::this_build("cpu")).unwrap_err().to_string();
        assert!(error.ends_with("on their way from a device; save the snapshot with `Saver::begin`"), "{error}");
        // A snapshot that is made without a saver waits for the device instead.
        SlowDevice::with(|_| {
            let whole = Snapshot::at(1).part("model", &parameters).unwrap();
            folder.save(&whole, &WrittenBy::this_build("cpu")).unwrap();
        });
        assert_eq!(
            Checkpoint::read(&folder.path().join("step-0000000001")).unwrap().state("model").unwrap().tensors.len(),
            2
        );
    }

    #[test]
    fn where_there_is_no_thread_to_be_had_the_state_is_saved_and_verified_all_the_same() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        let mut saver = Saver::new(folder.clone(), WrittenBy::this_build("cpu"));
        // Large enough for its file to be hashed while it is written.
        let snapshot = Snapshot::at(3).field("text", "x".repeat(2 << 20)).unwrap();
        let mut found = Vec::new();
        without_threads(|| {
            saver.begin(snapshot, |_| Ok(()));
            assert!(!saver.is_saving(), "it went on beside");
            let saved = saver.wait().unwrap().unwrap();
            verify_all(&[saved.path], 2, |_, manifest| found.push(manifest.unwrap().step));
        });
        assert_eq!(found, [3]);
        assert_eq!(folder.newest().unwrap().unwrap().checkpoint.step(), 3);
    }
}
