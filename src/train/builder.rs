//! A run whose model, data or loss a program hands over as values, where a configuration does not name them.

use std::path::Path;
use std::sync::Arc;

use super::config::Config;
use super::given::Given;
use super::observe::control::Control;
use super::resume::{self, Resumed};
use super::run::Run;
use super::run_dir::place::is_run;
use super::session::Session;
use super::{RunDirectory, TrainError};
use crate::checkpoint::Checkpoint;
use crate::data::{Dataset, Format, Source, Stateless};
use crate::distributed::Communicator;
use crate::loss::{self, Loss, LossConfig};
use crate::model::{self, Model, ModelConfig};

/// Makes a [`Session`], or a [`Run`], of a configuration and of values that a program hands over. The configuration
/// calls each of those `custom`: `model.kind`, `data.format`, `loss.kind`. A checkpoint does too, so they are handed
/// over again on a resume. What the model has learned, and what the data set remembers, is in the checkpoint.
///
/// A type that is registered by name, such as a model by [`model::register`], needs no builder.
pub struct SessionBuilder {
    config: Config,
    given: Given,
}

impl Session {
    /// A session of `config`, for which values are handed over.
    pub fn builder(config: Config) -> SessionBuilder {
        SessionBuilder { config, given: Given::default() }
    }
}

impl SessionBuilder {
    /// Trains `model`. Its parameters are what it starts from, so they have to be a function of the program, and on the
    /// device of the run.
    #[must_use]
    pub fn model(mut self, model: impl Model + 'static) -> Self {
        self.given.model = Some(Box::new(model));
        self
    }

    /// Trains on `dataset`, of which a checkpoint remembers nothing but the fingerprint.
    #[must_use]
    pub fn dataset(self, dataset: impl Dataset + 'static) -> Self {
        self.source(Stateless(dataset))
    }

    /// Trains on `source`, a data set that a checkpoint remembers something of.
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
    /// configuration and a directory of its own.
    #[must_use]
    pub fn communicator(mut self, communicator: impl Communicator + 'static) -> Self {
        self.given.communicator = Some(Box::new(communicator));
        self
    }

    /// The configuration, in which what is handed over is called `custom`.
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

    /// A run at its start.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn build(self) -> Result<Session, TrainError> {
        let (config, given) = self.settled()?;
        Session::of(config, given)
    }

    /// The run at the state of `checkpoint`.
    ///
    /// # Errors
    /// As [`Session::resume`].
    pub fn resume(self, checkpoint: &Checkpoint) -> Result<Session, TrainError> {
        let (config, given) = self.settled()?;
        Session::resume_with(config, checkpoint, &[], given)
    }

    /// The run in the directory `out`: a new one, or the one that is there, from its newest valid checkpoint. Its
    /// configuration is then the given one, as far as it can change within a run.
    ///
    /// # Errors
    /// As [`Run::start`] and [`resume::resume`].
    pub fn run_in(self, out: &Path, control: Control) -> Result<Resumed, TrainError> {
        let (config, given) = self.settled()?;
        if is_run(out)? {
            return resume::resume_as(out, config, given, control);
        }
        let session = Session::of(config, given)?;
        session.require_figures()?;
        let directory = RunDirectory::create(out)?;
        Ok(Resumed { run: Run::enter(session, directory, control, None)?, messages: Vec::new() })
    }
}
