//! Roles of a table's columns: the target, ignored columns, and columns of categories.

use std::collections::HashMap;
use std::path::Path;

use super::encoding::{EncodingOptions, missing_by_number};
use super::error::{describe, hint};
use super::frame::{FrameOptions, Role};
use super::labels::LabelKind;
use super::missing::MissingTexts;
use super::options::{Label, MISSING_VALUES, Missing, TargetColumns, Task};
use super::{DataConfig, DataError, TableError};
use crate::Notice;
use crate::state::State;

/// Options of a table's columns.
pub(super) struct TableOptions<'a> {
    labels: &'a [Label],
    ignore: &'a [Label],
    categories: &'a [Label],
    pub frame: FrameOptions,
    pub encoding: EncodingOptions,
}

impl<'a> TableOptions<'a> {
    /// Creates the options for a run that may have begun, with what it has `saved` about its table. Likely mistakes are
    /// then only reported, not errors.
    pub fn of_run(config: &'a DataConfig, saved: Option<&State>) -> Result<Self, DataError> {
        let mut options = Self::new(config)?;
        let Some(saved) = saved else { return Ok(options) };
        options.frame.has_begun = true;
        // Without names, a label is the number of its class, as all whole numbers were in earlier versions, in which a
        // word for missing values could be the name of a class.
        let has_names = saved.json.get("classes").is_some_and(|names| !names.is_null());
        if options.frame.labels == LabelKind::Classes && !has_names {
            options.frame.labels = LabelKind::AsFirst;
        }
        options.frame.missing_labels = options.frame.missing_values.clone().unwrap_or_default();
        if !missing_by_number(&saved.json) {
            options.frame.compare_words();
            options.encoding.missing_by_number = false;
        }
        Ok(options)
    }

    /// Creates the options from `config`, with defaults.
    pub fn new(config: &'a DataConfig) -> Result<Self, DataError> {
        let task = config.task.unwrap_or(Task::Classification);
        let is_list = matches!(config.label, Some(TargetColumns::Several(_)));
        let labels = match (task, is_list) {
            (Task::Regression, _) => LabelKind::Values,
            (Task::Classification, true) => LabelKind::ZeroOrOne,
            (Task::Classification, false) => LabelKind::Classes,
        };
        if config.classes.is_some() && labels != LabelKind::Classes {
            let place = if is_list { "a list of labels" } else { "regression" };
            return Err(DataError::meaningless("classes", place));
        }
        if config.target_transform.is_some() && task == Task::Classification {
            return Err(DataError::meaningless("target_transform", "classification"));
        }
        let treatment = config.missing.unwrap_or_default();
        let allowed = treatment != Missing::Error;
        if !allowed && config.missing_indicator.is_some() {
            return Err(DataError::meaningless("missing_indicator", "a table without missing values"));
        }
        let usual = || MISSING_VALUES.map(str::to_owned).to_vec();
        let decimal = config.decimal.unwrap_or_default();
        let missing = MissingTexts::new(&config.missing_values.clone().unwrap_or_else(usual), decimal);
        let missing_by_number = allowed && missing.have_numbers();
        let missing_values = allowed.then(|| missing.clone());
        Ok(Self {
            labels: config.label.as_ref().map_or(LAST, TargetColumns::columns),
            ignore: config.ignore.as_deref().unwrap_or_default(),
            categories: config.categories.as_deref().unwrap_or_default(),
            frame: FrameOptions {
                labels,
                missing_labels: missing,
                classes: config.classes,
                transform: config.target_transform,
                missing_values,
                decimal,
                has_begun: false,
            },
            encoding: EncodingOptions {
                missing: treatment,
                indicator: config.missing_indicator.unwrap_or(false),
                encoding: config.encoding.unwrap_or_default(),
                missing_by_number,
            },
        })
    }
}

/// The label if none is given.
const LAST: &[Label] = &[Label::Index(-1)];

/// The remedy for two columns of one name.
const OF_NAMES: &str = "rename one of them in the file, or ignore one by its number with `data.ignore`";

/// The same if the name is a number, which a row often has twice.
const OF_A_ROW: &str =
    "if the first line is a row, set `data.header = false`; otherwise rename one of them in the file";

/// The columns of a table with their roles.
pub(super) struct Selection {
    names: Option<Vec<String>>,
    roles: Vec<Role>,
    /// Whether the label is one of the columns of categories.
    pub label_is_named: bool,
}

impl Selection {
    /// Creates the selection for `count` columns of the file at `path`, with their names if they have any.
    pub fn new(
        path: &Path,
        names: Option<Vec<String>>,
        count: usize,
        options: &TableOptions,
    ) -> Result<Self, DataError> {
        let mut columns = Self { names, roles: vec![Role::Feature; count], label_is_named: false };
        // A column with a duplicate name can be ignored by its number. After that a name identifies one column.
        let (numbers, names) = options.ignore.iter().partition::<Vec<_>, _>(|label| matches!(label, Label::Index(_)));
        for label in numbers {
            let column = columns.find(path, "ignore", label)?;
            columns.roles[column] = Role::Ignored;
        }
        if let Some((name, first, second)) = columns.doubled().filter(|_| !options.frame.has_begun) {
            let remedy = if name.parse::<f64>().is_ok() { OF_A_ROW } else { OF_NAMES };
            let path = path.into();
            return Err(TableError::DoubleName { path, name, first, second, remedy }.into());
        }
        let categories = options.categories.iter().collect();
        for (option, labels, role) in [("ignore", names, Role::Ignored), ("categories", categories, Role::Category)] {
            for label in labels {
                let column = columns.find(path, option, label)?;
                columns.roles[column] = role;
            }
        }
        if options.labels.is_empty() {
            return Err(DataError::meaningless("label", "a table, as an empty list"));
        }
        for (place, label) in options.labels.iter().enumerate() {
            columns.choose(path, place, label, options)?;
        }
        Ok(columns)
    }

    /// Makes a column the target at a place among those of a row.
    fn choose(&mut self, path: &Path, place: usize, label: &Label, options: &TableOptions) -> Result<(), DataError> {
        let target = self.find(path, "label", label)?;
        match self.roles[target] {
            Role::Ignored => return Err(DataError::meaningless("ignore", "the column of the label")),
            Role::Target(_) => return Err(DataError::meaningless("label", "one column twice")),
            Role::Category
                if options.frame.labels != LabelKind::Classes && options.frame.labels != LabelKind::AsFirst =>
            {
                return Err(DataError::meaningless("categories", "the column of a label that is a value"));
            }
            Role::Category | Role::Feature | Role::Number | Role::List(_) => {
                self.label_is_named = self.roles[target] == Role::Category;
                self.roles[target] = Role::Target(place);
            }
        }
        Ok(())
    }

    /// Returns the name of each column, or its number if it has none, and its role.
    pub fn roles(&self) -> impl Iterator<Item = (String, Role)> {
        let name = |column: usize| self.names.as_ref().and_then(|names| names.get(column).cloned());
        let roles = self.roles.iter().enumerate();
        roles.map(move |(column, &role)| (name(column).unwrap_or_else(|| column.to_string()), role))
    }

    /// Returns the names of the label columns for messages, in the order of the targets.
    pub fn labels(&self) -> Vec<String> {
        let targets = self.roles.iter().enumerate().filter_map(|(column, role)| match role {
            Role::Target(place) => Some((*place, column)),
            _ => None,
        });
        let mut targets: Vec<(usize, usize)> = targets.collect();
        targets.sort_unstable();
        targets.into_iter().map(|(_, column)| describe(self.names.as_deref(), column)).collect()
    }

    /// Returns the numbers of the columns that are not ignored.
    pub fn used(&self) -> Vec<usize> {
        (0..self.roles.len()).filter(|&column| self.roles[column] != Role::Ignored).collect()
    }

    /// Returns a duplicate name, which then refers to the first of the two columns, and the two numbers.
    fn doubled(&self) -> Option<(String, usize, usize)> {
        let names = self.names.as_ref()?;
        let (first, second) = double(names, self.used())?;
        Some((names[first].trim().to_owned(), first, second))
    }

    /// Returns a warning about duplicate columns in the file at `path`, for a run that has begun with them.
    pub fn notice(&self, path: &Path) -> Option<Notice> {
        let (name, first, second) = self.doubled()?;
        let path = path.display();
        Some(Notice::Warning(format!(
            "{path} has two columns named `{name}`, columns {first} and {second} (counted from 0): the name means \
             the first"
        )))
    }

    fn find(&self, path: &Path, option: &'static str, label: &Label) -> Result<usize, DataError> {
        match (label, &self.names) {
            (Label::Name(name), Some(names)) => {
                let is_called = |column: &usize| names.get(*column) == Some(name);
                let used = self.used().into_iter().find(is_called);
                used.or_else(|| (0..names.len()).find(is_called)).ok_or_else(|| {
                    let hint = hint(name, &names.iter().map(String::as_str).collect::<Vec<_>>());
                    TableError::NoSuchColumn { path: path.into(), option, name: name.clone(), hint }.into()
                })
            }
            (Label::Name(name), None) => Err(TableError::NoNames { option, name: name.clone() }.into()),
            (&Label::Index(index), _) => {
                let columns = self.roles.len();
                nth(index, columns)
                    .ok_or_else(|| TableError::NoSuchIndex { path: path.into(), option, index, columns }.into())
            }
        }
    }
}

/// Returns the first two of `columns` with the same name, except for blanks around it.
pub(super) fn double(names: &[String], columns: impl IntoIterator<Item = usize>) -> Option<(usize, usize)> {
    let mut seen = HashMap::new();
    columns.into_iter().find_map(|column| Some((seen.insert(names.get(column)?.trim(), column)?, column)))
}

/// Resolves `index` among `count` positions; negative numbers count from the end.
fn nth(index: i64, count: usize) -> Option<usize> {
    let position = if index < 0 { index.checked_add(i64::try_from(count).ok()?)? } else { index };
    usize::try_from(position).ok().filter(|&position| position < count)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_of_an_earlier_version_compares_numbers_among_missing_values_as_words() {
        let config: DataConfig =
            toml::from_str("path = 'a.csv'\nmissing = 'mean'\nmissing_values = ['-999']\nlabel = 'y'").unwrap();
        let contains = |saved: Option<State>, text: &str| {
            let options = TableOptions::of_run(&config, saved.as_ref()).unwrap();
            let (values, labels) = (options.frame.missing_values.unwrap(), options.frame.missing_labels);
            assert_eq!(values.contain(text), labels.contain(text));
            values.contain(text)
        };
        let saved = |json| Some(State { json, ..State::default() });
        assert!(contains(None, "-999.0") && contains(saved(json!({"missing_by_number": true})), "-999.0"));
        assert!(!contains(saved(json!({})), "-999.0") && contains(saved(json!({})), "-999"));
    }
}
