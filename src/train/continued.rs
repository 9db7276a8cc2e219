//! Where a resume continues, and why from that checkpoint.

use std::path::Path;

use super::TrainError;
use super::find::newest;
use super::session::Session;
use crate::checkpoint::{Checkpoint, Folder};

/// Why a resume continues from a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is the newest one.
    Newest,
    /// It is the newest one that is not damaged; this many newer ones are.
    NewestUndamaged(usize),
    /// It was given by its path.
    Given,
}

/// Returns the newest valid checkpoint in `folder`, why it is the one, and messages.
pub(super) fn newest_of(folder: &Path, strict: bool) -> Result<(Checkpoint, Why, Vec<String>), TrainError> {
    let (checkpoint, messages) = newest(folder, strict)?;
    let listed = Folder::new(folder).list()?;
    let newer = listed.iter().filter(|(step, _)| *step > checkpoint.step()).count();
    let why = if newer == 0 { Why::Newest } else { Why::NewestUndamaged(newer) };
    Ok((checkpoint, why, messages))
}

/// Says where a run continues, and why from there; `None` if all its updates are made. A new run, in `branch`, leaves
/// the checkpoint as it is.
pub(super) fn continued(checkpoint: &Checkpoint, why: Why, session: &Session, branch: Option<&Path>) -> Option<String> {
    let (step, total) = (session.step(), session.total_steps());
    let why = match why {
        Why::Newest => "the newest checkpoint".to_owned(),
        Why::NewestUndamaged(1) => "the newest undamaged checkpoint, as 1 newer one is damaged".to_owned(),
        Why::NewestUndamaged(count) => format!("the newest undamaged checkpoint, as {count} newer ones are damaged"),
        Why::Given => "the given checkpoint".to_owned(),
    };
    let path = checkpoint.path().display();
    if let Some(out) = branch {
        let place = format!("after step {step} of {total} from {why}");
        return Some(format!("continues in {}; {path} is not changed: {place}", out.display()));
    }
    let epoch = session.epoch_of(step) + 1;
    (step < total).then(|| format!("continues after step {step} of {total}, in epoch {epoch}, from {why}: {path}"))
}
