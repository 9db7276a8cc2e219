//! The initial weights of a run, from safetensors files of any program. Which tensors match, are missing or are left
//! over is always said; by default the last two are errors.

mod adapter;
mod files;
mod names;
mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::DType;
use globset::Glob;

use self::files::{Files, Stored};
use self::names::Rule;
use self::others::Others;
use crate::Notice;
use crate::model::is_adapter;
use crate::parameters::{Parameters, from_host, host_dtype};
use crate::state::Dtype;
use crate::train::TrainError;
use crate::train::config::{Config, MissingWeights, TrainConfig, UnusedWeights};

/// The tensors of a model, of which the second are never trained.
struct Tensors<'a> {
    all: &'a Parameters,
    frozen: &'a Parameters,
}

impl<'a> Tensors<'a> {
    /// Returns the names of those that a run with adapters changes.
    fn trained(&self) -> impl Iterator<Item = &'a str> {
        let frozen = self.frozen;
        self.all.iter().map(|(name, _)| name).filter(move |name| frozen.get(name).is_none())
    }
}

/// The tensors of a model by where they come from.
#[derive(Default)]
struct Sorted<'a> {
    /// From the files.
    matched: Vec<(&'a str, &'a Stored)>,
    /// From the seed, because the files lack them. Adapters, which files of a model do not have, are not among them.
    missing: Vec<&'a str>,
    /// From the seed, as the configuration says.
    new: Vec<&'a str>,
}

/// Gives the tensors of a model, of which the second are never trained, the numbers that the configuration of a run names.
/// Returns what became of them; a run that `is_new` is warned if there should be some.
///
/// # Errors
/// As [`load`] and [`adapter::load`].
pub(super) fn begin(
    config: &Config,
    all: &Parameters,
    frozen: &Parameters,
    is_new: bool,
) -> Result<Vec<Notice>, TrainError> {
    let Some(path) = &config.train.initial_weights else {
        return Ok(of_untrained(frozen).into_iter().filter(|_| is_new).collect());
    };
    let tensors = Tensors { all, frozen };
    let mut notices = load(path, &config.train, &tensors)?;
    if let Some(path) = &config.train.initial_adapter {
        notices.extend(adapter::load(path, &config.model, &tensors)?);
    }
    Ok(notices)
}

/// Gives `model` the tensors at `path`, by the settings of `train`. Returns what became of all of them.
///
/// # Errors
/// A file cannot be read, a tensor has another shape or type than the model's, or the settings do not allow that one is
/// missing or left over.
fn load(path: &Path, train: &TrainConfig, model: &Tensors<'_>) -> Result<Vec<Notice>, TrainError> {
    let wrong = |rule: String| TrainError::Field {
        field: "train.initial_weights".to_owned(),
        value: path.display().to_string(),
        rule,
    };
    let weights = model.all;
    let files = Files::open(path).map_err(wrong)?;
    let known: BTreeSet<&str> = weights.iter().map(|(name, _)| name).filter(|name| !is_adapter(name)).collect();
    let names: Vec<&str> = files.names().collect();
    let rule = Rule::of(&train.rename_weights, names.iter().copied(), &known).map_err(wrong)?;
    let named = renamed(&files, &rule).map_err(wrong)?;
    let new = begin_new(&train.new_weights, weights)?;
    let sorted = Sorted::of(weights, &named, &new);
    sorted.refuse_missing(train.missing_weights.unwrap_or_default(), &names).map_err(wrong)?;
    sorted.matched.iter().try_for_each(|(name, stored)| fit(name, stored, weights)).map_err(wrong)?;
    sorted.refuse_frozen(model.frozen).map_err(wrong)?;
    refuse_adapters(&named, weights).map_err(wrong)?;
    let others = Others::of(&files, &named, weights).map_err(wrong)?;
    if train.unused_weights.unwrap_or_default() == UnusedWeights::Error
        && let Some(reason) = others.refusal()
    {
        return Err(wrong(reason));
    }
    for (name, stored) in &sorted.matched {
        give(&files, (name, stored), weights, wrong)?;
    }
    let mut notices = sorted.notices(path, weights.len(), &rule);
    notices.extend(others.notices(path));
    Ok(notices)
}

/// Gives a parameter the numbers of a tensor in the files.
fn give(
    files: &Files,
    (name, stored): (&str, &Stored),
    weights: &Parameters,
    wrong: impl Fn(String) -> TrainError,
) -> Result<(), TrainError> {
    let Some(parameter) = weights.get(name) else { return Ok(()) };
    let host = files.read(stored).map_err(&wrong)?;
    let tensor = from_host(&host, parameter.device()).map_err(|error| wrong(format!("`{name}`: {error}")))?;
    Ok(parameter.set(&tensor.to_dtype(parameter.dtype())?)?)
}

/// Returns a warning about weights that are neither trained nor given.
fn of_untrained(frozen: &Parameters) -> Option<Notice> {
    let warning = "`model.lora` adapts weights that nobody has trained; give trained ones with `train.initial_weights`";
    (!frozen.is_empty()).then(|| Notice::Warning(warning.to_owned()))
}

impl<'a> Sorted<'a> {
    fn of(weights: &'a Parameters, named: &'a BTreeMap<String, &'a Stored>, new: &BTreeSet<&'a str>) -> Self {
        let mut sorted = Self::default();
        for (name, _) in weights.iter() {
            match named.get(name) {
                _ if new.contains(name) => sorted.new.push(name),
                Some(&stored) => sorted.matched.push((name, stored)),
                None if is_adapter(name) => {}
                None => sorted.missing.push(name),
            }
        }
        sorted
    }

    /// Refuses files that lack a tensor, if that is an error, and files that have no tensor of the model.
    fn refuse_missing(&self, missing: MissingWeights, names: &[&str]) -> Result<(), String> {
        let remedy = "give weights of this model, or change `model` to theirs";
        let allowed = "or set `train.missing_weights = \"new\"`, which begins what is missing new";
        match self.missing[..] {
            [] => {}
            [first] if missing == MissingWeights::Error => {
                return Err(format!("has no tensor `{first}`; {remedy}, {allowed}"));
            }
            _ if missing == MissingWeights::Error => {
                let (count, names) = (self.missing.len(), listed(&self.missing));
                return Err(format!("has no tensors for {count} parameters: {names}; {remedy}, {allowed}"));
            }
            _ => {}
        }
        if self.matched.is_empty() {
            return Err(format!(
                "no tensor in it is one of the model's: it has {}, and the model {}; {remedy}, or rename them with \
                 `train.rename_weights`",
                listed(names),
                listed(&[&self.missing[..], &self.new[..]].concat())
            ));
        }
        Ok(())
    }

    /// Refuses weights that would stay as they are drawn.
    fn refuse_frozen(&self, frozen: &Parameters) -> Result<(), String> {
        match self.new.iter().chain(&self.missing).find(|name| frozen.get(name).is_some()) {
            Some(name) => Err(format!(
                "`{name}` begins new, and `model.lora` would freeze it; train it as a whole with \
                 `model.lora.trained = [\"{}\"]`",
                siblings(name)
            )),
            None => Ok(()),
        }
    }

    fn notices(&self, path: &Path, count: usize, rule: &Rule) -> Vec<Notice> {
        let path = path.display();
        let matched: Vec<&str> = self.matched.iter().map(|(name, _)| *name).collect();
        let taken = format!(
            "{path}: {} of the model's {count} tensors are taken from it{rule}: {}",
            matched.len(),
            listed(&matched)
        );
        let new = (!self.new.is_empty()).then(|| {
            Notice::Note(format!("{} tensors begin new, by `train.new_weights`: {}", self.new.len(), listed(&self.new)))
        });
        let missing = (!self.missing.is_empty()).then(|| {
            let (count, names) = (self.missing.len(), listed(&self.missing));
            Notice::Warning(format!("{path}: it lacks {count} of the model's tensors, which begin new: {names}"))
        });
        [Some(Notice::Note(taken)), new, missing].into_iter().flatten().collect()
    }
}

/// Refuses adapters that the model has not: without them the weights are those before fine-tuning.
fn refuse_adapters(named: &BTreeMap<String, &Stored>, weights: &Parameters) -> Result<(), String> {
    match named.keys().find(|name| is_adapter(name) && weights.get(name).is_none()) {
        Some(name) => Err(format!(
            "has an adapter `{name}` that the model has no place for; give the model a `[model.lora]` that has it, or \
             weights with merged adapters, of `inspect export RUN --to safetensors`"
        )),
        None => Ok(()),
    }
}

/// Returns the tensors of the files by their new names.
fn renamed<'a>(files: &'a Files, rule: &Rule) -> Result<BTreeMap<String, &'a Stored>, String> {
    let mut named = BTreeMap::new();
    for (name, stored) in files.tensors() {
        let new = rule.renamed(name);
        if named.insert(new.clone(), stored).is_some() {
            return Err(format!("two of its tensors would be `{new}`; correct `train.rename_weights`"));
        }
    }
    Ok(named)
}

/// Returns the names that match `train.new_weights`.
fn begin_new<'a>(patterns: &[String], weights: &'a Parameters) -> Result<BTreeSet<&'a str>, TrainError> {
    let mut new = BTreeSet::new();
    let known: Vec<&str> = weights.iter().map(|(name, _)| name).collect();
    for pattern in patterns {
        let matcher = Glob::new(pattern).map(|glob| glob.compile_matcher());
        let matching = |name: &&str| matcher.as_ref().is_ok_and(|glob| glob.is_match(name));
        let found: Vec<&str> = known.iter().copied().filter(matching).collect();
        if found.is_empty() {
            return Err(TrainError::Field {
                field: "train.new_weights".to_owned(),
                value: format!("{pattern:?}"),
                rule: format!("matches no parameter; there are {}", listed(&known)),
            });
        }
        new.extend(found);
    }
    Ok(new)
}

/// Refuses a tensor whose shape or type is not that of the model's.
fn fit(name: &str, stored: &Stored, weights: &Parameters) -> Result<(), String> {
    let Some(parameter) = weights.get(name) else { return Ok(()) };
    if stored.shape == parameter.dims() && can_become(stored.dtype, parameter.dtype()) {
        return Ok(());
    }
    let (shape, own) = (&stored.shape, parameter.dims());
    let (has, needs) = (stored.dtype, host_dtype(parameter.dtype()));
    Err(format!(
        "has `{name}` as {has:?}{shape:?}, and the model as {needs:?}{own:?}; give weights of this model, or change \
         `model` to theirs, or let it begin new with `train.new_weights = [\"{}\"]`",
        siblings(name)
    ))
}

/// Whether every number of the first type is one of the second.
fn can_become(has: Dtype, needs: DType) -> bool {
    match needs {
        DType::F32 => matches!(has, Dtype::F32 | Dtype::F16 | Dtype::BF16),
        DType::F64 => matches!(has, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16),
        other => has == host_dtype(other),
    }
}

/// Returns a pattern for a parameter and those of the same layer.
fn siblings(name: &str) -> String {
    name.rsplit_once('.').map_or_else(|| name.to_owned(), |(layer, _)| format!("{layer}.*"))
}

/// Lists the first few names in quotes, and the number of the others.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
