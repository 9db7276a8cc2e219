//! Saves that the processes of a run write together.

use super::Session;
use crate::train::TrainError;

impl Session {
    /// Whether each process writes a share of a save.
    pub(in crate::train) fn shares_saves(&self) -> bool {
        self.config.distributed.share_saves && self.communicator.world() > 1
    }

    /// Returns the number of this process and that of all.
    pub(in crate::train) fn place(&self) -> [usize; 2] {
        [self.communicator.rank(), self.communicator.world()]
    }

    /// Tells all processes the directory in which the first one is about to save; empty if it is not. Returns what it says.
    pub(in crate::train) fn tell(&self, name: &str) -> Result<String, TrainError> {
        let said = self.gather(name.as_bytes())?;
        Ok(said.first().map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default())
    }
}
