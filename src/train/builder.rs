//! Runs with a model, data or a loss passed as values by a program.

use std::path::Path;
use std::sync::Arc;

use super::TrainError;
use super::config::Config;
use super::given::Given;
use super::joining::{self, Joining};
use super::observe::control::Control;
use super::resume::Resumed;
use super::session::Session;
use crate::checkpoint::Checkpoint;
use crate::data::{Dataset, Format, Source, Stateless};
use crate::distributed::Communicator;
use crate::loss::{self, Loss, LossConfig};
use crate::model::{self, Model, ModelConfig};

/// Builds a [`Session`], or a [`Run`](super::Run), from a configuration and values of a program. The configuration
/// has `custom` in place of each value: `model.kind`, `data.format`, `loss.kind`. So does a checkpoint, and the
/// values must be passed again on a resume. The weights of the model, and the state of the data set, are in the
/// checkpoint.
///
/// Types registered by name, such as a model with [`model::register`], need no builder.
pub struct SessionBuilder {
    config: Config,
    given: Given,
}

impl Session {
    /// Creates a builder for a session of `config`.
    pub fn builder(config: Config) -> SessionBuilder {
        SessionBuilder { config, given: Given::default() }
    }
}

impl SessionBuilder {
    /// Trains `model`. Its parameters are the initial weights, so they must be the same in every run of the program,
    /// and on the run's device.
    #[must_use]
    pub fn model(mut self, model: impl Model + 'static) -> Self {
        self.given.model = Some(Box::new(model));
        self
    }

    /// Trains on `dataset`; a checkpoint saves only its fingerprint.
    #[must_use]
    pub fn dataset(self, dataset: impl Dataset + 'static) -> Self {
        self.source(Stateless(dataset))
    }

    /// Trains on `source`, a data set with saved state.
    #[must_use]
    pub fn source(mut self, source: impl Source + 'static) -> Self {
        self.given.dataset = Some(Box::new(source));
        self
    }

    /// Minimizes `loss`.
    #[must_use]
    pub fn loss(mut self, loss: impl Loss) -> Self {
        self.given.loss = Some(Arc::new(loss));
        self
    }

    /// Computes the run together with other processes, with which `communicator` connects this one. Each has the same
    /// configuration; only the first one writes files.
    #[must_use]
    pub fn communicator(mut self, communicator: impl Communicator + 'static) -> Self {
        self.given.joining = Joining::of(Arc::new(communicator));
        self
    }

    /// Returns the configuration, with `custom` for each passed value.
    fn settled(self) -> Result<(Config, Given), TrainError> {
        let Self { mut config, given } = self;
        let failed = |error: crate::KindError| TrainError::Field {
            field: "kind".to_owned(),
            value: "custom".to_owned(),
            rule: error.to_string(),
        };
        if given.model.is_some() {
            config.model = ModelConfig::of(&model::Custom {}).map_err(failed)?;
        }
        if given.loss.is_some() {
            config.loss = LossConfig::of(&loss::Custom {}).map_err(failed)?;
        }
        if given.dataset.is_some() {
            config.data.format = Some(Format::Custom);
            config.data.own = None;
        }
        config.validate()?;
        Ok((config, given))
    }

    /// Creates a session at its start.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn build(self) -> Result<Session, TrainError> {
        let (config, given) = self.settled()?;
        Session::of(config, given)
    }

    /// Creates a session at the state of `checkpoint`.
    ///
    /// # Errors
    /// As [`Session::resume`].
    pub fn resume(self, checkpoint: &Checkpoint) -> Result<Session, TrainError> {
        let (config, given) = self.settled()?;
        Session::resume_with(config, checkpoint, &[], given)
    }

    /// Starts or resumes the run in the directory `out`; a resume uses its newest valid checkpoint, and the given
    /// configuration as far as it can change within a run.
    ///
    /// # Errors
    /// As [`Run::start`](super::Run::start) and [`resume::resume`](super::resume::resume).
    pub fn run_in(self, out: &Path, control: Control) -> Result<Resumed, TrainError> {
        let (config, given) = self.settled()?;
        joining::start_or_resume(config, given, out, control)
    }
}
