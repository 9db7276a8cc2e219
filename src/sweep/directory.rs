//! The directory of a sweep, or its URL: its file, a configuration and a run for each trial, and the ledger.
//!
//! All configurations are written, each complete, before the first trial starts, and `sweep.toml` last: from then on the
//! sweep depends on no file outside the directory but the data, and an edited configuration does not change trials.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::SweepError;
use super::place::{self, Place};
use super::plan::{Plan, read_if_there};
use super::points;
use crate::train::{Config, Setting, TrainError, from_file};
use crate::{figures, shell, store};

/// The directory or URL of a sweep, which no other process sweeps meanwhile.
#[derive(Debug)]
pub struct Directory {
    place: Place,
}

impl Directory {
    /// Begins the sweep in the file at `file`, in the directory `out`; or continues it, if it is there.
    ///
    /// # Errors
    /// The file is wrong, a trial's configuration is wrong, the directory holds something else, or it cannot be written.
    /// The first two change nothing.
    pub fn begin(file: &Path, out: &Path) -> Result<(Self, Plan), SweepError> {
        let (plan, text) = Plan::read(file)?;
        let configs = configs(file, &plan)?;
        refuse_others(out, &plan)?;
        if !store::is_url(out) {
            for folder in [out.join("configs"), out.join("trials")] {
                fs::create_dir_all(&folder).map_err(SweepError::write(&folder, "be made"))?;
            }
        }
        let directory = Self { place: Place::hold(out)? };
        for (number, config) in configs.iter().enumerate() {
            directory.write_config(number, &plan, config)?;
        }
        if place::read(&out.join("sweep.toml"))?.is_none_or(|old| old != text) {
            directory.put("sweep.toml", &text)?;
        }
        Ok((directory, plan))
    }

    /// Continues the sweep in the directory, or at the URL, at `path`.
    ///
    /// # Errors
    /// There is no sweep, another process sweeps there, it cannot be read, or its data is not here.
    pub fn resume(path: &Path) -> Result<(Self, Plan), SweepError> {
        let plan = require_sweep(path)?;
        let directory = Self { place: Place::hold(path)? };
        directory.require_data()?;
        Ok((directory, plan))
    }

    /// Refuses to continue where the data of a sweep at a URL is missing: its configurations name local files from the
    /// working directory, and all trials would fail for good.
    fn require_data(&self) -> Result<(), SweepError> {
        if !store::is_url(self.path()) {
            return Ok(());
        }
        let path = from_file(&self.config(0), &[])?.data.path;
        let is_pattern = path.to_string_lossy().contains(['*', '?', '[', '{']);
        if path.as_os_str().is_empty() || store::is_url(&path) || is_pattern || path.exists() {
            return Ok(());
        }
        let reason = "is not here: the configurations of a sweep at a URL name local files from the working directory; \
                      continue it in a directory where they are";
        Err(SweepError::Directory { path, reason: reason.to_owned() })
    }

    /// Returns the directory or URL.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Returns the configuration of a trial.
    pub fn config(&self, trial: usize) -> PathBuf {
        self.path().join(config_name(trial))
    }

    /// Returns the run directory of a trial.
    pub fn run(&self, trial: usize) -> PathBuf {
        run_of(self.path(), trial)
    }

    /// Returns the local file of what the processes of a trial say, to which they append.
    pub fn output(&self, trial: usize) -> PathBuf {
        self.place.local(&output_name(trial))
    }

    /// Fetches what earlier processes of a trial at a URL have said. Nothing depends on it, so a failure is only told.
    pub fn fetch_output(&self, trial: usize) {
        self.tell(self.place.fetch(&output_name(trial)), "fetched", trial);
    }

    /// Uploads what the processes of a trial at a URL have said. Nothing depends on it, so a failure is only told.
    pub fn keep_output(&self, trial: usize) {
        self.tell(self.place.keep(&output_name(trial)), "uploaded", trial);
    }

    fn tell(&self, result: std::io::Result<()>, operation: &str, trial: usize) {
        if let Err(error) = result {
            let file = self.path().join(output_name(trial));
            tracing::warn!("{}: cannot be {operation}: {error}", file.display());
        }
    }

    /// Writes a file of the sweep, which is there whole or not at all.
    pub(super) fn put(&self, name: &str, text: &str) -> Result<(), SweepError> {
        self.place.put(name, text)
    }

    /// Writes the configuration of a trial, or sees that it is the one that is there.
    fn write_config(&self, number: usize, plan: &Plan, config: &Config) -> Result<(), SweepError> {
        let file = self.config(number);
        let body = complete(config, &self.path().join("configs"))?;
        let text = format!("# Trial {number} of a sweep: {}\n{body}", told(plan, &parameters(plan, number)));
        match place::read(&file)? {
            Some(old) if old == text => Ok(()),
            Some(_) => {
                let reason = format!(
                    "is not what {} gives now, so that has changed since the sweep began: continue with the \
                     configurations of then, `train sweep --resume {}`, or choose another directory with --out",
                    shell::path(&plan.config),
                    shell::path(self.path())
                );
                Err(SweepError::Directory { path: file, reason })
            }
            None => self.put(&config_name(number), &text),
        }
    }

    /// Writes `best.toml`, the configuration of a trial, with the line `why` above it.
    pub(super) fn write_best(&self, trial: usize, why: &str) -> Result<PathBuf, SweepError> {
        let config = from_file(&self.config(trial), &[])?;
        self.put("best.toml", &format!("# {why}\n{}", complete(&config, self.path())?))?;
        Ok(self.path().join("best.toml"))
    }
}

fn config_name(trial: usize) -> String {
    format!("configs/{trial:04}.toml")
}

fn output_name(trial: usize) -> String {
    format!("trials/{trial:04}.txt")
}

/// Returns the run directory of a trial in the sweep at `path`.
pub(super) fn run_of(path: &Path, trial: usize) -> PathBuf {
    path.join(format!("trials/{trial:04}"))
}

/// Whether a sweep is in the directory, or at the URL, at `path`. A store that does not answer has none.
pub fn is_at(path: &Path) -> bool {
    let has = |name: &str| store::is_file(&path.join(name)).unwrap_or(false);
    has("sweep.toml") && has(&config_name(0))
}

/// Reads the plan of the sweep at `path`.
pub(super) fn require_sweep(path: &Path) -> Result<Plan, SweepError> {
    read_if_there(&path.join("sweep.toml"))?.ok_or_else(|| {
        let reason = "is not the directory of a sweep: it has no sweep.toml; start one with `train sweep SWEEP.toml`";
        SweepError::Directory { path: path.to_owned(), reason: reason.to_owned() }
    })
}

/// Refuses a directory that holds something other than this sweep.
fn refuse_others(out: &Path, plan: &Plan) -> Result<(), SweepError> {
    let refuse = |reason: String| Err(SweepError::Directory { path: out.to_owned(), reason });
    match read_if_there(&out.join("sweep.toml"))? {
        Some(old) if !old.continues_as(plan) => refuse(format!(
            "holds another sweep, with other parameters, metric, search or early ending: choose another directory with \
             --out, or continue that one, `train sweep --resume {}`",
            shell::path(out)
        )),
        Some(_) => Ok(()),
        None if place::is_free(out)? => Ok(()),
        None => refuse("holds other files; choose another directory with --out".to_owned()),
    }
}

/// Returns the configuration of every trial.
fn configs(file: &Path, plan: &Plan) -> Result<Vec<Config>, SweepError> {
    (0..plan.trials())
        .map(|trial| {
            let wrong = |error| placed(error, file, trial);
            let settings: Vec<String> = settings(plan, trial);
            let settings: Result<Vec<Setting>, TrainError> = settings.iter().map(|text| Setting::parse(text)).collect();
            let config = settings.and_then(|settings| from_file(&plan.config, &settings)).map_err(wrong)?;
            require_metric(&config, plan).map_err(|reason| SweepError::File {
                origin: file.display().to_string(),
                reason: format!("metric = \"{}\": {reason}", metric_name(plan)),
            })?;
            Ok(config)
        })
        .collect()
}

/// Refuses a metric that the configuration does not compute.
fn require_metric(config: &Config, plan: &Plan) -> Result<(), String> {
    let mut following = config.clone();
    following.train.metric = Some(plan.metric);
    match following.validate() {
        Err(TrainError::Field { rule, .. }) => return Err(rule),
        Err(error) => return Err(error.to_string()),
        Ok(()) => {}
    }
    let data = serde_json::to_value(&config.data).unwrap_or_default();
    let is_given = |value: &Value| !value.is_null() && value.as_f64() != Some(0.0);
    let splits = |(key, value): (&String, &Value)| (key.starts_with("validation") || key == "fold") && is_given(value);
    if plan.metric.is_of_validation() && !data.as_object().is_some_and(|data| data.iter().any(splits)) {
        return Err("there are no validation rows; set `data.validation` to a share of the rows".to_owned());
    }
    Ok(())
}

/// Says where in the sweep a wrong setting is.
fn placed(error: TrainError, file: &Path, trial: usize) -> SweepError {
    let file = file.to_owned();
    match error {
        TrainError::Config { origin, field, reason } if origin.starts_with("--set") => {
            SweepError::Parameter { file, trial, field, reason }
        }
        TrainError::Setting { text, reason } => SweepError::Parameter { file, trial, field: text, reason },
        other => SweepError::Config(other),
    }
}

fn settings(plan: &Plan, trial: usize) -> Vec<String> {
    let values = points::values(plan, trial);
    plan.parameters.iter().zip(values).map(|(parameter, value)| format!("{}={value}", parameter.key)).collect()
}

/// Returns the values of a trial by the keys of the parameters.
pub(super) fn parameters(plan: &Plan, trial: usize) -> Map<String, Value> {
    let values = points::values(plan, trial).into_iter();
    let values = values.map(|value| serde_json::to_value(value).unwrap_or_default());
    plan.parameters.iter().map(|parameter| parameter.key.clone()).zip(values).collect()
}

/// Formats the values of a trial: `optimizer.lr = 0.1, seed = 3`.
pub(super) fn told(plan: &Plan, parameters: &Map<String, Value>) -> String {
    let shown = |value: &Value| match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => figures::exact(number),
        None => value.to_string(),
    };
    let keys = plan.parameters.iter().map(|parameter| parameter.key.as_str());
    let each = keys.filter_map(|key| Some(format!("{key} = {}", shown(parameters.get(key)?))));
    each.collect::<Vec<_>>().join(", ")
}

/// Returns the full name of the metric.
pub(super) fn metric_name(plan: &Plan) -> String {
    serde_json::to_value(plan.metric).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

/// Returns the complete configuration as a file in `folder`.
fn complete(config: &Config, folder: &Path) -> Result<String, SweepError> {
    config.relative_to(folder).to_complete_toml().map_err(|error| SweepError::File {
        origin: folder.display().to_string(),
        reason: format!("a configuration cannot be written as TOML: {error}"),
    })
}
