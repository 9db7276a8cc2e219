//! A configuration as a run would understand it: data, model, length, rates, and likely mistakes.

mod text;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::Notice;
use crate::data::{Data, Dataset, Format, Input, RowSet, TargetKind};
use crate::train::{Session, Setting, TrainError, from_file};

/// A configuration as a run would understand it.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The data.
    pub data: DataCheck,
    /// The model.
    pub model: ModelCheck,
    /// How long the run is.
    pub length: LengthCheck,
    /// The learning rate.
    pub schedule: ScheduleCheck,
    /// How often the model is evaluated on validation rows, as it is configured; none where there are none.
    pub validation_every: Option<Value>,
    /// How often the state is saved, as it is configured.
    pub checkpoint_every: Option<Value>,
    /// The notes and warnings of a run before its first step.
    pub notices: Vec<NoticeCheck>,
}

/// The data.
#[derive(Clone, Debug, Serialize)]
pub struct DataCheck {
    /// Where it is.
    pub path: String,
    /// Its kind.
    pub format: Option<Format>,
    /// Rows to train on.
    pub train_rows: usize,
    /// Rows to validate on.
    pub validation_rows: usize,
    /// The inputs of a row.
    pub input: Input,
    /// The target of a row.
    pub targets: TargetKind,
    /// The columns that the model sees, of a table.
    pub features: Option<Vec<String>>,
    /// The column that is the target, of a table.
    pub label: Option<String>,
    /// The columns that are left out, of a table.
    pub ignored: Option<Vec<String>>,
    /// The classes with their counts, where each row has one.
    pub classes: Option<Vec<ClassCheck>>,
    /// The columns of a table in which values are missing, and in how many rows.
    pub missing: Vec<(String, usize)>,
}

/// A class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassCheck {
    /// Its name, or its number.
    pub name: String,
    /// How many rows to train on have it.
    pub train: usize,
    /// How many rows to validate on have it.
    pub validation: usize,
}

/// The model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelCheck {
    /// Its kind.
    pub kind: String,
    /// How many numbers are trained.
    pub parameters: usize,
    /// The tensors that are trained, and their shapes.
    pub tensors: Vec<(String, Vec<usize>)>,
}

/// How long the run is.
#[derive(Clone, Debug, Serialize)]
pub struct LengthCheck {
    /// Updates in all.
    pub steps: u64,
    /// Updates in an epoch.
    pub steps_per_epoch: u64,
    /// Passes over the data.
    pub epochs: f64,
}

/// The learning rate of the first parameter group, as if no metric came.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleCheck {
    /// The schedule on one line.
    pub text: String,
    /// That of the first update.
    pub start: f64,
    /// The highest.
    pub peak: f64,
    /// The first update that uses the highest.
    pub peak_step: u64,
    /// That of the last update.
    pub end: f64,
    /// Whether it follows a metric, so that it may become another one.
    pub follows_a_metric: bool,
}

/// A [`Notice`] for programs.
#[derive(Clone, Debug, Serialize)]
pub struct NoticeCheck {
    /// `note` or `warning`.
    pub kind: &'static str,
    /// The sentence.
    pub text: String,
}

impl Check {
    /// Reads the configuration at `path` with `settings` and all that it names, and trains nothing.
    ///
    /// # Errors
    /// Whatever a run would be refused for.
    pub fn of_file(path: &Path, settings: &[Setting]) -> Result<Self, TrainError> {
        let session = Session::new(from_file(path, settings)?)?;
        session.require_figures()?;
        Ok(Self::of(&session))
    }

    /// The summary of a session at its start.
    pub fn of(session: &Session) -> Self {
        let config = serde_json::to_value(session.config().complete()).unwrap_or_default();
        let every = |table: &str| config[table].get("every").cloned();
        let data = DataCheck::of(session);
        Self {
            validation_every: every("validation").filter(|_| data.validation_rows > 0),
            checkpoint_every: every("checkpoint"),
            model: ModelCheck::of(session, &config),
            length: LengthCheck::of(session),
            schedule: ScheduleCheck::of(session),
            notices: session.notices().into_iter().chain(constant(session)).map(NoticeCheck::from).collect(),
            data,
        }
    }
}

/// The columns from which nothing can be learned. Pixels in a corner are such, so that a run does not speak of them.
fn constant(session: &Session) -> Option<Notice> {
    let columns = session.data().dataset().constant();
    let (has, them) = if columns.len() == 1 { ("column has", "it") } else { ("columns have", "them") };
    (!columns.is_empty()).then(|| {
        Notice::Warning(format!(
            "{} {has} the same value in every row, so nothing is learned from {them}: {}; `data.ignore` leaves {them} out",
            columns.len(),
            text::names(&columns)
        ))
    })
}

impl DataCheck {
    fn of(session: &Session) -> Self {
        let (config, data) = (&session.config().data, session.data());
        let names = data.schema().names;
        let columns = names.columns.as_ref();
        let name = |place: usize| columns.and_then(|columns| columns.all.get(place).cloned()).unwrap_or_default();
        Self {
            path: config.path.display().to_string(),
            format: config.complete().format,
            train_rows: data.train_rows().len(),
            validation_rows: data.validation_rows().len(),
            input: data.input(),
            targets: data.targets(),
            features: columns.map(|columns| columns.features().map(name).collect()),
            label: columns.map(|columns| name(columns.label)),
            ignored: columns.map(|columns| columns.ignored.iter().map(|&place| name(place)).collect()),
            classes: classes(data, names.classes.as_deref()),
            missing: data.dataset().missing(),
        }
    }
}

fn classes(data: &Data, names: Option<&[String]>) -> Option<Vec<ClassCheck>> {
    let (TargetKind::Classes { count }, Some(labels)) = (data.targets(), data.dataset().labels()) else { return None };
    let counts = |rows: &RowSet| {
        let mut counts = vec![0; count];
        for label in rows.iter().filter_map(|row| labels.get(row)) {
            counts.get_mut(*label as usize).into_iter().for_each(|count| *count += 1);
        }
        counts
    };
    let name = |class: usize| names.and_then(|names| names.get(class).cloned()).unwrap_or_else(|| class.to_string());
    let counts = counts(data.train_rows()).into_iter().zip(counts(data.validation_rows())).enumerate();
    Some(counts.map(|(class, (train, validation))| ClassCheck { name: name(class), train, validation }).collect())
}

impl ModelCheck {
    fn of(session: &Session, config: &Value) -> Self {
        let parameters = session.parameters();
        Self {
            kind: config["model"]["kind"].as_str().unwrap_or_default().to_owned(),
            parameters: parameters.element_count(),
            tensors: parameters.iter().map(|(name, tensor)| (name.to_owned(), tensor.dims().to_vec())).collect(),
        }
    }
}

impl LengthCheck {
    fn of(session: &Session) -> Self {
        let (steps, steps_per_epoch) = (session.total_steps(), session.steps_per_epoch());
        Self { steps, steps_per_epoch, epochs: steps as f64 / steps_per_epoch as f64 }
    }
}

impl ScheduleCheck {
    /// In a long run the peak is looked for at evenly spread updates.
    fn of(session: &Session) -> Self {
        const LOOKED_AT: u64 = 100_000;
        let (scheduler, steps) = (session.scheduler(), session.total_steps());
        let last = steps.saturating_sub(1);
        let rate = |step: u64| scheduler.rates_at(step).first().copied().unwrap_or_default();
        let stride = steps.div_ceil(LOOKED_AT).max(1) as usize;
        let (mut peak, mut peak_step) = (rate(0), 0);
        for step in (0..steps).step_by(stride).chain([last]) {
            if rate(step) > peak {
                (peak, peak_step) = (rate(step), step);
            }
        }
        Self {
            text: scheduler.schedule().to_string(),
            start: rate(0),
            peak,
            peak_step,
            end: rate(last),
            follows_a_metric: scheduler.wants_metric(),
        }
    }
}

impl From<Notice> for NoticeCheck {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Note(text) => Self { kind: "note", text },
            Notice::Warning(text) => Self { kind: "warning", text },
        }
    }
}
