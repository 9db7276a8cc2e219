//! The files of a data set: those of its training, its validation and its test rows, in their order.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use globset::Glob;

use super::error::FilesError;
use super::{DataConfig, DataError, Fingerprint};

/// The use of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    /// Returns the option that names its files.
    pub fn option(self) -> &'static str {
        match self {
            Self::Train => "path",
            Self::Validation => "validation_path",
            Self::Test => "test_path",
        }
    }

    /// Returns its word for messages and identities.
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Numbers of rows of each use, which follow each other in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub train: usize,
    pub validation: usize,
    pub test: usize,
}

impl Counts {
    /// Adds rows.
    pub fn add(&mut self, part: Part, rows: usize) {
        *match part {
            Part::Train => &mut self.train,
            Part::Validation => &mut self.validation,
            Part::Test => &mut self.test,
        } += rows;
    }
}

/// The files of a data set: all of training first, then those of validation and of test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files(Vec<(Part, PathBuf)>);

impl Files {
    /// Finds the files that `config` names. Those of a pattern are in the order of their names.
    pub fn of(config: &DataConfig) -> Result<Self, DataError> {
        let train = Some(config.paths());
        let given = [
            (Part::Train, train),
            (Part::Validation, config.validation_path.clone()),
            (Part::Test, config.test_path.clone()),
        ];
        let (mut files, mut seen) = (Vec::new(), HashMap::new());
        for (part, paths) in given {
            for pattern in paths.iter().flat_map(super::Paths::iter) {
                for path in found(part, pattern)? {
                    let file = path.canonicalize().unwrap_or_else(|_| path.clone());
                    if let Some(first) = seen.insert(file, part) {
                        let (first, second) = (first.option(), part.option());
                        return Err(FilesError::Twice { path, first, second }.into());
                    }
                    files.push((part, path));
                }
            }
        }
        Ok(Self(files))
    }

    /// Returns the files, each with the use of its rows.
    pub fn iter(&self) -> impl Iterator<Item = (Part, &Path)> {
        self.0.iter().map(|(part, path)| (*part, path.as_path()))
    }

    /// Returns the identity of the data whose files have these identities: that of a single file, or one of all uses and
    /// contents in their order. Names do not count, so that files can be moved.
    pub fn identity(&self, files: &[Fingerprint]) -> Fingerprint {
        match files {
            [only] => only.clone(),
            all => Fingerprint::of_files(self.iter().zip(all).map(|((part, _), file)| (part.word().to_owned(), file))),
        }
    }
}

/// Returns the first file of training rows, if there is one: the one whose first lines show options.
pub(super) fn first(config: &DataConfig) -> Option<PathBuf> {
    let path = config.path.as_path();
    found(Part::Train, path).ok()?.into_iter().next()
}

/// Returns the files and folders of the data; without those of a pattern that matches none.
#[cfg(feature = "cli")]
pub(crate) fn places(config: &DataConfig) -> Vec<PathBuf> {
    Files::of(config).map(|files| files.0.into_iter().map(|(_, path)| path).collect()).unwrap_or_default()
}

/// Returns the file at `pattern`, or all files whose names match it, sorted.
fn found(part: Part, pattern: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !is_pattern(pattern) || pattern.exists() {
        return Ok(vec![pattern.to_owned()]);
    }
    let mut places = vec![PathBuf::new()];
    for component in pattern.components() {
        let below = places.iter().map(|place| below(part, place, component));
        places = below.collect::<Result<Vec<_>, _>>()?.concat();
    }
    places.retain(|path| path.is_file());
    places.sort();
    if places.is_empty() {
        return Err(FilesError::NoMatch { option: part.option(), pattern: pattern.to_owned() }.into());
    }
    Ok(places)
}

/// Returns the files at a path of the command line: itself, or all files whose names match it as a pattern, sorted.
pub(crate) fn files_at(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    found(Part::Train, path).map_err(|error| match error {
        DataError::Files(FilesError::NoMatch { pattern, .. }) => FilesError::NoFiles { pattern }.into(),
        DataError::Files(FilesError::Pattern { pattern, reason, .. }) => {
            FilesError::NoPattern { pattern, reason }.into()
        }
        error => error,
    })
}

fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte))
}

/// Returns what is in the folder `place` by the name or the pattern `component`. Hidden files match only a pattern that
/// begins with a dot, as in a shell.
fn below(part: Part, place: &Path, component: Component) -> Result<Vec<PathBuf>, DataError> {
    let named = place.join(component);
    let Component::Normal(name) = component else { return Ok(vec![named]) };
    if !is_pattern(Path::new(name)) || named.exists() {
        return Ok(vec![named]);
    }
    let pattern = name.to_string_lossy();
    let wrong = |error: globset::Error| FilesError::Pattern {
        option: part.option(),
        pattern: pattern.clone().into_owned(),
        reason: error.kind().to_string(),
    };
    let matcher = Glob::new(&pattern).map_err(wrong)?.compile_matcher();
    let folder = if place.as_os_str().is_empty() { Path::new(".") } else { place };
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(source) => return Err(DataError::Read { path: folder.to_owned(), source }),
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let is_shown = |name: &Path| pattern.starts_with('.') || !name.as_os_str().as_encoded_bytes().starts_with(b".");
    let fits = names.filter(|name| is_shown(Path::new(name)) && matcher.is_match(Path::new(name)));
    Ok(fits.map(|name| place.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Paths;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        folder
    }

    /// The files of a list of patterns in a folder, relative to it.
    fn named(folder: &tempfile::TempDir, patterns: &[&str]) -> Result<Vec<String>, String> {
        let paths: Vec<PathBuf> = patterns.iter().map(|pattern| folder.path().join(pattern)).collect();
        let config = DataConfig { more_paths: paths[1..].to_vec(), ..DataConfig::new(&paths[0]) };
        let files = Files::of(&config).map_err(|error| error.to_string())?;
        let name = |path: &Path| path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned();
        Ok(files.iter().map(|(_, path)| name(path)).collect())
    }

    #[test]
    fn a_pattern_is_the_files_of_these_names_in_their_order() {
        let folder = folder(&["b.csv", "a.csv", "c.txt", ".hidden.csv", "x/1.csv", "y/2.csv", "odd[1].csv"]);
        assert_eq!(named(&folder, &["?.csv"]).unwrap(), ["a.csv", "b.csv"]);
        assert_eq!(named(&folder, &["*/*.csv"]).unwrap(), ["x/1.csv", "y/2.csv"]);
        assert_eq!(named(&folder, &["b.csv", "{a,c}.*"]).unwrap(), ["b.csv", "a.csv", "c.txt"]);
        assert_eq!(named(&folder, &["odd[1].csv"]).unwrap(), ["odd[1].csv"], "a name comes before a pattern");
    }

    #[test]
    fn files_that_are_not_there_or_twice_are_refused() {
        let folder = folder(&["a.csv", "b.csv"]);
        let message = named(&folder, &["*.tsv"]).unwrap_err();
        assert!(message.starts_with("`data.path`: no file is named ") && message.contains("*.tsv"), "{message}");
        let message = named(&folder, &["*.csv", "a.csv"]).unwrap_err();
        assert!(message.ends_with("a.csv is named twice in `data.path`; name each file once"), "{message}");
        let test = Some(Paths::one(folder.path().join("b.csv")));
        let config = DataConfig { test_path: test, ..DataConfig::new(folder.path().join("*.csv")) };
        let message = Files::of(&config).unwrap_err().to_string();
        assert!(message.contains("b.csv is named in `data.path` and in `data.test_path`"), "{message}");
        assert!(named(&folder, &["[.csv"]).unwrap_err().contains("is not a pattern"));
    }

    #[test]
    fn a_single_file_has_its_own_identity_and_several_have_one_of_all_in_order() {
        let one = Fingerprint::of(b"a");
        let two = Fingerprint::of(b"b");
        let files = |count: usize| Files(vec![(Part::Train, PathBuf::new()); count]);
        assert_eq!(files(1).identity(std::slice::from_ref(&one)), one);
        let both = files(2).identity(&[one.clone(), two.clone()]);
        assert_ne!(both, files(2).identity(&[two.clone(), one.clone()]));
        let as_test = Files(vec![(Part::Train, PathBuf::new()), (Part::Test, PathBuf::new())]);
        assert_ne!(both, as_test.identity(&[one, two]));
    }
}
