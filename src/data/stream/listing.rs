//! The shards that a configuration names: objects or files, or patterns of their names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use globset::GlobBuilder;

use super::shard::unreadable;
use crate::data::error::{FilesError, StreamError};
use crate::data::files::{Files, Part};
use crate::data::{DataConfig, DataError, Paths};
use crate::store::{self, Object};

/// Returns the shards of training, validation and test rows in this order, with their sizes. Those of a pattern are in the
/// order of their names.
pub(super) fn of(config: &DataConfig) -> Result<Vec<(Part, Object)>, DataError> {
    if !super::is_remote(config) {
        let sized = |(part, path): (Part, &Path)| Ok((part, Object { path: path.to_owned(), bytes: size(path)? }));
        return Files::of(config)?.iter().map(sized).collect();
    }
    let train = config.paths();
    let given = [
        (Part::Train, Some(&train)),
        (Part::Validation, config.validation_path.as_ref()),
        (Part::Test, config.test_path.as_ref()),
    ];
    let (mut shards, mut seen): (Vec<(Part, Object)>, HashMap<PathBuf, Part>) = Default::default();
    for (part, paths) in given {
        for path in paths.into_iter().flat_map(Paths::iter) {
            if !store::is_url(path) {
                return Err(StreamError::Mixed { option: part.option(), path: path.to_owned() }.into());
            }
            for shard in found(part, path)? {
                if let Some(first) = seen.insert(shard.path.clone(), part) {
                    let (first, second) = (first.option(), part.option());
                    return Err(FilesError::Twice { path: shard.path, first, second }.into());
                }
                shards.push((part, shard));
            }
        }
    }
    Ok(shards)
}

/// Returns the size of a shard in bytes.
pub(super) fn size(path: &Path) -> Result<u64, DataError> {
    let found = match store::at(path).map_err(|source| unreadable(path, source))? {
        Some(store) => store.size(path),
        None => std::fs::metadata(path).map(|file| Some(file.len())),
    };
    let bytes = found.map_err(|source| unreadable(path, source))?;
    bytes.ok_or_else(|| StreamError::Missing { path: path.to_owned() }.into())
}

/// Returns the object at `path`, or all objects whose names match it.
fn found(part: Part, path: &Path) -> Result<Vec<Object>, DataError> {
    let text = path.to_string_lossy();
    let Some(wild) = text.find(['*', '?', '[', '{']) else {
        return Ok(vec![Object { path: path.to_owned(), bytes: size(path)? }]);
    };
    let failed = |source| unreadable(path, source);
    let Some(store) = store::at(path).map_err(failed)? else { return Ok(Vec::new()) };
    let folder = text[..wild].rfind('/').map_or("", |slash| &text[..slash]);
    let pattern = text[folder.len()..].trim_start_matches('/');
    let wrong = |error: globset::Error| FilesError::Pattern {
        option: part.option(),
        pattern: pattern.to_owned(),
        reason: error.kind().to_string(),
    };
    let matcher = GlobBuilder::new(pattern).literal_separator(true).build().map_err(wrong)?.compile_matcher();
    let folder = Path::new(folder);
    let listed = store.list(folder).map_err(failed)?.into_iter();
    let mut objects: Vec<Object> =
        listed.filter(|object| object.path.strip_prefix(folder).is_ok_and(|name| matcher.is_match(name))).collect();
    objects.sort();
    if objects.is_empty() {
        return Err(FilesError::NoMatch { option: part.option(), pattern: path.to_owned() }.into());
    }
    Ok(objects)
}
