//! The components of a run, by its configuration: the built-in ones, and those that a program has registered.

use serde_json::Value;

use super::averaged::Averaged;
use super::{Component, make};
use crate::data::Epochs;
use crate::parameters::Parameters;
use crate::train::TrainError;
use crate::train::config::Config;

/// The built-in components, each with a table of its name in a configuration.
pub(in crate::train) const BUILT_IN: [&str; 2] = ["ema", "swa"];

/// Returns the setting that adds a component to a run.
pub(in crate::train) fn setting(name: &str) -> String {
    if BUILT_IN.contains(&name) { name.to_owned() } else { format!("components.{name}") }
}

/// A component and its name.
type Named = (String, Box<dyn Component>);

/// Makes the components of a run.
pub(crate) struct Makers<'a> {
    /// The configuration of the run.
    pub config: &'a Config,
    /// The weights that the optimizer updates, at the beginning of a component.
    pub parameters: &'a Parameters,
    /// Everything else that the model remembers.
    pub buffers: &'a Parameters,
    /// The number of updates in the run, and its epochs, which decide when an average begins and moves.
    pub(in crate::train) length: (u64, Epochs),
}

impl<'a> Makers<'a> {
    /// Makes those of a checkpoint, which only lend weights: the length of the run is of no use.
    pub fn of(config: &'a Config, parameters: &'a Parameters, buffers: &'a Parameters) -> Self {
        Self { config, parameters, buffers, length: (1, Epochs::of_length(1)) }
    }

    /// Returns the names of the run's components.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let has = |name: &&str| match *name {
            "ema" => self.config.ema.is_some(),
            _ => self.config.swa.is_some(),
        };
        BUILT_IN.into_iter().filter(has).chain(self.config.components.keys().map(String::as_str))
    }

    /// Makes all of them, under their names.
    pub fn all(&self) -> Result<Vec<Named>, TrainError> {
        self.names().map(|name| Ok((name.to_owned(), self.make(name)?))).collect()
    }

    /// Makes the component called `name`.
    pub fn make(&self, name: &str) -> Result<Box<dyn Component>, TrainError> {
        let length = (self.length.0, &self.length.1);
        let made = match (name, &self.config.ema, &self.config.swa) {
            ("ema", Some(ema), _) => Averaged::ema(ema, length, self.parameters, self.buffers),
            ("swa", _, Some(swa)) => Averaged::swa(swa, length, self.parameters, self.buffers),
            _ => {
                let settings = self.config.components.get(name).unwrap_or(&Value::Null);
                return make(name, settings, self.parameters);
            }
        };
        let failed = |error| TrainError::Component { name: name.to_owned(), step: 0, error };
        made.map(|average| Box::new(average) as Box<dyn Component>).map_err(failed)
    }
}
