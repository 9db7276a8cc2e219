//! The processes of a run while they open its data: work on all of it is divided between them.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{DataError, Fingerprint};
use crate::distributed;

/// The processes of a run, which open the same data at the same time.
pub(crate) trait Processes {
    /// The number of this process, and how many there are.
    fn rank(&self) -> usize;
    fn world(&self) -> usize;

    /// Returns what each process has found in data with this identity, in the order of their numbers. All of them call it.
    fn gather(&self, content: &Fingerprint, own: Value) -> Result<Vec<Value>, DataError>;
}

/// The processes with which work on data of one identity is divided; none if a process does all of it.
#[derive(Clone, Copy)]
pub(super) struct Division<'a> {
    pub processes: Option<&'a dyn Processes>,
    pub content: &'a Fingerprint,
}

impl Division<'_> {
    /// Returns the results of `count` pieces of work, of which `make` does those of this process.
    pub fn of<T: Serialize + DeserializeOwned>(
        self,
        count: usize,
        make: impl FnOnce(Range<usize>) -> Result<Vec<T>, DataError>,
    ) -> Result<Vec<T>, DataError> {
        let Some(processes) = self.processes else { return make(0..count) };
        let own = make(distributed::share(count, processes.rank(), processes.world()))?;
        let mut all = Vec::with_capacity(count);
        for part in processes.gather(self.content, json!(own))? {
            let part: Vec<T> = serde_json::from_value(part).map_err(|error| DataError::Processes(error.into()))?;
            all.extend(part);
        }
        match all.len() == count {
            true => Ok(all),
            false => Err(DataError::Processes("the processes have divided the data in different ways".into())),
        }
    }
}
