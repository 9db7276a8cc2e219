//! The hooks of a run, which its program has to allow.

use super::Run;
use crate::train::observe::hooks::Hooks;

impl Run {
    /// Starts the commands of `hooks` in the configuration when something happens. Without this a run starts no
    /// command, because its configuration may be a stranger's. Of several processes only the first starts commands.
    pub fn with_hooks(mut self) -> Self {
        if self.keeper.is_some() {
            self.sinks.extend(Hooks::configured(&self.session, &self.path));
        }
        self
    }

    /// Whether the configuration has commands that [`Run::with_hooks`] would start.
    pub fn has_hooks(&self) -> bool {
        self.keeper.is_some() && !self.session.config().hooks.is_empty()
    }
}
