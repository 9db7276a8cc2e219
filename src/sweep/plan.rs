//! The file of a sweep: the configuration to vary, the parameters, the search, and the metric that judges the trials.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Table;

use super::error::SweepError;
use super::halving::EarlyEnding;
use super::parameter::{self, Parameter, Values};
use super::sobol;
use crate::nearest::nearest;
use crate::train::{Interval, Metric};
use crate::{plain, store};

/// The largest number of trials: their directories are numbered with four digits.
pub(super) const MOST_TRIALS: usize = 10_000;

/// A sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The configuration whose settings the trials change.
    pub config: PathBuf,
    /// The metric that judges the trials, in its own direction.
    pub metric: Metric,
    /// How many trials run at once.
    pub parallel: usize,
    /// How the values of the trials are chosen.
    pub search: Search,
    /// The parameters, in the order of the file.
    pub parameters: Vec<Parameter>,
    /// When a trial without a chance ends; `None` if every trial runs to its end.
    pub early_ending: Option<EarlyEnding>,
}

/// How the values of the trials are chosen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Search {
    /// Every combination. The last parameter changes first, as in loops inside each other.
    Grid {},
    /// Independent values, computed from the seed, the number of the trial and the parameter's key.
    Random {
        /// The number of trials.
        trials: usize,
        /// The seed.
        #[serde(default)]
        seed: u64,
    },
    /// A scrambled Sobol sequence, whose points fill the space evenly.
    Sobol {
        /// The number of trials; a power of two fills the space best.
        trials: usize,
        /// The seed of the scramble.
        #[serde(default)]
        seed: u64,
    },
}

impl Search {
    /// Returns the number of trials that the file asks for.
    pub(super) fn asked(&self) -> Option<usize> {
        match self {
            Self::Grid {} => None,
            Self::Random { trials, .. } | Self::Sobol { trials, .. } => Some(*trials),
        }
    }

    fn set_trials(&mut self, count: usize) {
        match self {
            Self::Grid {} => {}
            Self::Random { trials, .. } | Self::Sobol { trials, .. } => *trials = count,
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    config: PathBuf,
    #[serde(default = "usual_metric")]
    metric: String,
    #[serde(default = "one")]
    parallel: usize,
    search: Search,
    parameters: Table,
    early_ending: Option<WrittenEnding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEnding {
    first: Interval,
    #[serde(default = "usual_factor")]
    factor: u64,
}

fn usual_metric() -> String {
    "validation_loss".to_owned()
}

fn one() -> usize {
    1
}

fn usual_factor() -> u64 {
    3
}

impl Plan {
    /// Reads the file at `path`, and returns it with its text.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has a wrong value: with the file, the line where it is known, and the
    /// remedy.
    pub fn read(path: &Path) -> Result<(Self, String), SweepError> {
        let unread = |source| SweepError::Read { path: path.to_owned(), source };
        let text = store::read_to_string(path).map_err(unread)?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let plan = Self::parse(&text, &folder).map_err(|(line, reason)| SweepError::File {
            origin: line.map_or_else(|| path.display().to_string(), |line| format!("{}, line {line}", path.display())),
            reason,
        })?;
        Ok((plan, text))
    }

    /// Reads the text of a file in `folder`. An error has the line, if that is known, and the reason.
    fn parse(text: &str, folder: &Path) -> Result<Self, (Option<usize>, String)> {
        let written: Written = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            (line, in_plain_words(error.message()))
        })?;
        let wrong = |reason: String| (None, reason);
        let parameters = parameter::read(&written.parameters)
            .map_err(|(key, fault)| wrong(format!("[parameters] {key}: {fault}")))?;
        let plan = Self {
            config: folder.join(written.config),
            metric: metric_of(&written.metric).map_err(wrong)?,
            parallel: written.parallel,
            search: written.search,
            parameters,
            early_ending: written.early_ending.map(|ending| EarlyEnding { first: ending.first, factor: ending.factor }),
        };
        plan.check().map_err(wrong)?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        if self.parallel == 0 {
            return Err("parallel = 0: must be at least 1".to_owned());
        }
        if self.parameters.is_empty() {
            return Err("[parameters] has no parameter; give one, as `\"optimizer.lr\" = [0.1, 0.01]`".to_owned());
        }
        if let Some(ending) = &self.early_ending {
            ending.check()?;
        }
        let trials = match &self.search {
            Search::Grid {} => self.combinations()?,
            Search::Random { trials, .. } => self.drawn(*trials)?,
            Search::Sobol { trials, .. } => {
                let most = sobol::DIMENSIONS;
                if self.parameters.len() > most {
                    return Err(format!("a Sobol search has at most {most} parameters; use kind = \"random\""));
                }
                self.drawn(*trials)?
            }
        };
        match trials {
            0 => Err("search.trials = 0: must be at least 1".to_owned()),
            trials if trials > MOST_TRIALS => {
                Err(format!("{trials} trials are more than {MOST_TRIALS}; make it several sweeps"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the number of trials of a grid.
    fn combinations(&self) -> Result<usize, String> {
        self.parameters.iter().try_fold(1_usize, |product, parameter| {
            let count = parameter.values.in_grid().map(|values| values.len()).ok_or_else(|| {
                format!(
                    "[parameters] {}: a grid needs the number of values of a range; add `points`, or use kind = \
                     \"sobol\"",
                    parameter.key
                )
            })?;
            Ok(product.saturating_mul(count))
        })
    }

    fn drawn(&self, trials: usize) -> Result<usize, String> {
        let counts: Option<Vec<usize>> = self.parameters.iter().map(|parameter| parameter.values.count()).collect();
        let combinations = counts.map(|counts| counts.into_iter().fold(1, usize::saturating_mul));
        if let Some(combinations) = combinations.filter(|&combinations| combinations < trials) {
            return Err(format!(
                "search.trials = {trials}: there are only {combinations} combinations; kind = \"grid\" makes each once"
            ));
        }
        let has_points = |values: &Values| matches!(values, Values::Range(range) if range.has_points());
        match self.parameters.iter().find(|parameter| has_points(&parameter.values)) {
            Some(parameter) => Err(format!("[parameters] {}: `points` are of a grid; remove them here", parameter.key)),
            None => Ok(trials),
        }
    }

    /// Returns the number of trials.
    pub fn trials(&self) -> usize {
        self.search.asked().unwrap_or_else(|| self.combinations().unwrap_or(0))
    }

    /// Whether the trials of `later` are those of this sweep, and perhaps more: then its results hold there too, since
    /// they do not depend on later trials.
    pub(super) fn continues_as(&self, later: &Self) -> bool {
        let mut same = later.clone();
        (same.config, same.parallel) = (self.config.clone(), self.parallel);
        if let (Some(own), Some(more)) = (self.search.asked(), later.search.asked())
            && more >= own
        {
            same.search.set_trials(own);
        }
        same == *self
    }
}

/// Returns the metric of this name; the names in a log are understood too.
fn metric_of(name: &str) -> Result<Metric, String> {
    let full = match name {
        "val_loss" => "validation_loss",
        "val_accuracy" => "validation_accuracy",
        other => other,
    };
    Metric::named(full).ok_or_else(|| {
        let names = Metric::names();
        let near = nearest(full, names.iter().map(String::as_str));
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        format!("metric = \"{name}\": there is no such metric; {near}the metrics are `{}`", names.join("`, `"))
    })
}

/// Returns a message of the reader of TOML in plain words, with the key that was probably meant by an unknown one.
fn in_plain_words(message: &str) -> String {
    let message = plain::of_serde(message.trim_end());
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((name, known)) if message.starts_with("unknown field") => {
            let near = nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`? "));
            format!("there is no key `{name}` here; {}the keys are `{}`", near.unwrap_or_default(), known.join("`, `"))
        }
        Some((name, known)) if message.starts_with("unknown variant") => {
            format!("there is no `{name}`; there are `{}`", known.join("`, `"))
        }
        _ => message.clone(),
    }
}

/// Reads the sweep in a file that an earlier process wrote, or `None` if there is none.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Plan>, SweepError> {
    match Plan::read(path) {
        Err(SweepError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(|(plan, _)| Some(plan)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: &str = "config = 'base.toml'\nsearch = { kind = 'random', trials = 4 }\n\
                         [parameters]\n'optimizer.lr' = { low = 1e-3, high = 1.0, scale = 'log' }\n";

    fn parse(text: &str) -> Result<Plan, (Option<usize>, String)> {
        Plan::parse(text, Path::new("there"))
    }

    #[test]
    fn a_sweep_is_read_with_its_defaults() {
        let plan = parse(SWEEP).unwrap();
        assert_eq!((plan.config.as_path(), plan.parallel), (Path::new("there/base.toml"), 1));
        assert_eq!((plan.metric, plan.trials(), plan.early_ending.clone()), (Metric::ValidationLoss, 4, None));
        assert_eq!(plan.search, Search::Random { trials: 4, seed: 0 });
        let ending = parse(&format!("{SWEEP}[early_ending]\nfirst = '1 epoch'\n")).unwrap().early_ending;
        assert_eq!(ending, Some(EarlyEnding { first: Interval::Epochs(1), factor: 3 }));
    }

    #[test]
    fn a_wrong_sweep_is_refused_with_its_line_and_a_remedy() {
        let of = |from: &str, to: &str| SWEEP.replace(from, to);
        for (text, line, part) in [
            (of("config =", "conf ="), Some(1), "there is no key `conf` here; did you mean `config`?"),
            (of("random", "randon"), Some(2), "there is no `randon`; there are `grid`, `random`, `sobol`"),
            (of("trials = 4", "trial = 4"), Some(2), "did you mean `trials`?"),
            (of("trials = 4", "trials = 0"), None, "must be at least 1"),
            (of("trials = 4", "trials = 10001"), None, "10001 trials are more than 10000"),
            (of("config", "parallel = 0\nconfig"), None, "parallel = 0"),
            (of("config", "metric = 'val_acuracy'\nconfig"), None, "the metrics are `training_loss`"),
            (of("kind = 'random', trials = 4", "kind = 'grid'"), None, "add `points`"),
            (of("scale = 'log'", "points = 3"), None, "`points` are of a grid"),
            (of("{ low = 1e-3, high = 1.0, scale = 'log' }", "[0.1]"), None, "there are only 1 combinations"),
            (of("'optimizer.lr' = { low = 1e-3, high = 1.0, scale = 'log' }", ""), None, "has no parameter"),
            (format!("{SWEEP}[early_ending]\nfirst = '2 minutes'\n"), None, "steps or epochs"),
            (format!("{SWEEP}[early_ending]\nfirst = '2 steps'\nfactor = 1\n"), None, "factor = 1"),
        ] {
            let (at, reason) = parse(&text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
            assert!(line.is_none() || at == line, "{text}: {at:?}");
        }
    }

    #[test]
    fn a_sweep_continues_with_more_trials_and_not_with_other_ones() {
        let plan = parse(SWEEP).unwrap();
        let with = |from: &str, to: &str| parse(&SWEEP.replace(from, to)).unwrap();
        assert!(plan.continues_as(&with("trials = 4", "trials = 8")));
        assert!(plan.continues_as(&with("config", "parallel = 4\nconfig")));
        assert!(!plan.continues_as(&with("trials = 4", "trials = 3")));
        assert!(!plan.continues_as(&with("trials = 4", "trials = 4, seed = 1")));
        assert!(!plan.continues_as(&with("1e-3", "1e-2")));
        assert!(!plan.continues_as(&with("config", "metric = 'training_loss'\nconfig")));
    }
}
