//! A configuration as a run would interpret it: data, model, length, rates, and likely mistakes.

mod text;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::Notice;
use crate::data::{Data, Dataset, Format, Input, RowSet, TargetKind, class_counts};
use crate::model::LayerFlops;
use crate::train::{Session, Setting, TrainError, from_file};

/// A configuration as a run would interpret it.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The data.
    pub data: DataCheck,
    /// The model.
    pub model: ModelCheck,
    /// The optimizer.
    pub optimizer: OptimizerCheck,
    /// The length of the run.
    pub length: LengthCheck,
    /// The learning rate.
    pub schedule: ScheduleCheck,
    /// The configured interval of validations; `None` without validation rows.
    pub validation_every: Option<Value>,
    /// The configured interval of saves.
    pub checkpoint_every: Option<Value>,
    /// The notes and warnings before the first step of the run.
    pub notices: Vec<NoticeCheck>,
}

/// The data.
#[derive(Clone, Debug, Serialize)]
pub struct DataCheck {
    /// Its path.
    pub path: String,
    /// Its format.
    pub format: Option<Format>,
    /// Number of training rows.
    pub train_rows: usize,
    /// Number of validation rows.
    pub validation_rows: usize,
    /// Number of test rows.
    pub test_rows: usize,
    /// The inputs of a row.
    pub input: Input,
    /// The target of a row.
    pub targets: TargetKind,
    /// The feature columns of a table.
    pub features: Option<Vec<String>>,
    /// The target column of a table.
    pub label: Option<String>,
    /// The ignored columns of a table.
    pub ignored: Option<Vec<String>>,
    /// The classes with their counts, if each row has one class.
    pub classes: Option<Vec<ClassCheck>>,
    /// The columns of a table with missing values, and the number of rows with them.
    pub missing: Vec<(String, usize)>,
}

/// A class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassCheck {
    /// Its name, or its number.
    pub name: String,
    /// Number of training rows in the class.
    pub train: usize,
    /// Number of validation rows in the class.
    pub validation: usize,
}

/// The model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelCheck {
    /// Its kind.
    pub kind: String,
    /// Number of trainable numbers.
    pub parameters: usize,
    /// The trainable tensors and their shapes.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// The operations of a forward pass for a row, by layer; empty if they are not known.
    pub flops: Vec<LayerFlops>,
    /// The operations of an update, for all rows of its batch.
    pub flops_per_step: u64,
}

/// The optimizer.
#[derive(Clone, Debug, Serialize)]
pub struct OptimizerCheck {
    /// About how many operations its products of matrices take in an update, as the mean over many updates; 0 with rules
    /// that have no such products.
    pub flops_per_update: u64,
    /// Whether these are more than those of the model, so that updates take most of the time.
    pub exceeds_the_model: bool,
}

/// Length of the run.
#[derive(Clone, Debug, Serialize)]
pub struct LengthCheck {
    /// Number of updates.
    pub steps: u64,
    /// Number of updates per epoch.
    pub steps_per_epoch: u64,
    /// Number of passes over the data.
    pub epochs: f64,
}

/// The learning rate of the first parameter group, without reports of metrics.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleCheck {
    /// The schedule on one line.
    pub text: String,
    /// The rate of the first update.
    pub start: f64,
    /// The highest rate.
    pub peak: f64,
    /// The first update with the highest rate.
    pub peak_step: u64,
    /// The rate of the last update.
    pub end: f64,
    /// Whether it follows a metric, so that it may change.
    pub follows_a_metric: bool,
}

/// A [`Notice`] as data for programs.
#[derive(Clone, Debug, Serialize)]
pub struct NoticeCheck {
    /// `note` or `warning`.
    pub kind: &'static str,
    /// The sentence.
    pub text: String,
}

impl Check {
    /// Reads the configuration at `path` with `settings`, and the files that it names, without training.
    ///
    /// # Errors
    /// Any error that a run would be refused for.
    pub fn of_file(path: &Path, settings: &[Setting]) -> Result<Self, TrainError> {
        let session = Session::new(from_file(path, settings)?)?;
        session.require_figures()?;
        Ok(Self::of(&session))
    }

    /// Summarizes a session at its start.
    pub fn of(session: &Session) -> Self {
        let config = serde_json::to_value(session.config().complete()).unwrap_or_default();
        let every = |table: &str| config[table].get("every").cloned();
        let data = DataCheck::of(session);
        let model = ModelCheck::of(session, &config);
        Self {
            validation_every: every("validation").filter(|_| data.validation_rows > 0),
            checkpoint_every: every("checkpoint"),
            optimizer: OptimizerCheck::of(session, &model),
            model,
            length: LengthCheck::of(session),
            schedule: ScheduleCheck::of(session),
            notices: session.notices().into_iter().chain(constant(session)).map(NoticeCheck::from).collect(),
            data,
        }
    }
}

/// Returns the constant columns, from which nothing can be learned. Runs do not report them, because corner pixels are
/// often constant.
fn constant(session: &Session) -> Option<Notice> {
    let columns = session.data().dataset().constant();
    let (has, them) = if columns.len() == 1 { ("column has", "it") } else { ("columns have", "them") };
    (!columns.is_empty()).then(|| {
        Notice::Warning(format!(
            "{} {has} the same value in every row, so nothing is learned from {them}: {}; `data.ignore` ignores {them}",
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
            path: config.paths().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
            format: config.complete().format,
            train_rows: data.train_rows().len(),
            validation_rows: data.validation_rows().len(),
            test_rows: data.test_rows().len(),
            input: data.input(),
            targets: data.targets(),
            features: columns.map(|columns| columns.features().map(name).collect()),
            label: columns.map(|columns| columns.labels().map(name).collect::<Vec<_>>().join("`, `")),
            ignored: columns.map(|columns| columns.ignored.iter().map(|&place| name(place)).collect()),
            classes: classes(data, names.classes.as_deref()),
            missing: data.dataset().missing(),
        }
    }
}

fn classes(data: &Data, names: Option<&[String]>) -> Option<Vec<ClassCheck>> {
    let counts = |rows: &RowSet| class_counts(data.dataset(), rows);
    let name = |class: usize| names.and_then(|names| names.get(class).cloned()).unwrap_or_else(|| class.to_string());
    let counts = counts(data.train_rows())?.into_iter().zip(counts(data.validation_rows())?).enumerate();
    Some(counts.map(|(class, (train, validation))| ClassCheck { name: name(class), train, validation }).collect())
}

impl ModelCheck {
    fn of(session: &Session, config: &Value) -> Self {
        let parameters = session.parameters();
        // A model without known operations is no reason to show nothing.
        let flops = session.flops().unwrap_or_default();
        let rows = session.data().full_batch();
        Self {
            flops_per_step: LayerFlops::of_training(&flops).saturating_mul(rows),
            flops,
            kind: config["model"]["kind"].as_str().unwrap_or_default().to_owned(),
            parameters: parameters.element_count(),
            tensors: parameters.iter().map(|(name, tensor)| (name.to_owned(), tensor.dims().to_vec())).collect(),
        }
    }
}

impl OptimizerCheck {
    fn of(session: &Session, model: &ModelCheck) -> Self {
        let flops_per_update = session.update_flops();
        Self { flops_per_update, exceeds_the_model: flops_per_update > model.flops_per_step }
    }
}

impl LengthCheck {
    fn of(session: &Session) -> Self {
        let (steps, steps_per_epoch) = (session.total_steps(), session.steps_per_epoch());
        Self { steps, steps_per_epoch, epochs: session.data().epochs().after(steps) }
    }
}

impl ScheduleCheck {
    /// In a long run the peak is searched at evenly spaced updates.
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
