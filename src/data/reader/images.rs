//! Images of an IDX file or a folder, for a trained model.

use std::path::{Component, Path};
use std::sync::Arc;

use super::ReadRows;
use crate::Notice;
use crate::data::prefetcher::Prefetcher;
use crate::data::{
    Batch, DataConfig, DataError, Dataset, EVALUATION_ROWS, IdxError, ImageError, ImageFolder, Images, Input, Schema,
    Size, TargetKind, idx,
};
use crate::state::{State, StateError};

/// Opens the images of the IDX file at `config.path`; for a folder, those of the file `data.images` in it, or MNIST's
/// test images. `with_targets` it is a folder, and all labelled images in it are used.
pub(super) fn of_idx(
    config: &DataConfig,
    schema: &Schema,
    with_targets: bool,
) -> Result<impl Iterator<Item = Result<ReadRows, DataError>> + use<>, DataError> {
    require_inside(config)?;
    let images: Images = match schema.targets {
        TargetKind::Classes { count } if with_targets => idx::labelled(config, count, schema.names.classes.as_deref())?,
        TargetKind::Classes { .. } | TargetKind::Values { .. } => idx::unlabelled(config)?,
    };
    check(config, &images, schema)?;
    let rows = images.len();
    Ok(batches(rows, with_targets, move |rows| images.gather(rows), |_| None))
}

/// The names of the files come from a checkpoint, and must be inside the user's folder.
fn require_inside(config: &DataConfig) -> Result<(), DataError> {
    let named = [
        ("images", &config.images),
        ("labels", &config.labels),
        ("validation_images", &config.validation_images),
        ("validation_labels", &config.validation_labels),
        ("test_images", &config.test_images),
        ("test_labels", &config.test_labels),
    ];
    let is_inside =
        |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let named = named.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)));
    match { named }.find(|(_, path)| !is_inside(path)) {
        Some((option, path)) => Err(IdxError::Outside { option, path: path.to_owned() }.into()),
        None => Ok(()),
    }
}

/// Opens the images in the folder at `config.path` and its subfolders, in the order of their names, each with its name.
/// `with_targets` the subfolders are classes of the model, as in its own data. Also returns a warning about skipped
/// images, if the run skips bad ones.
pub(super) fn of_folder(
    config: &DataConfig,
    schema: &Schema,
    memory: &State,
    with_targets: bool,
) -> Result<(impl Iterator<Item = Result<ReadRows, DataError>> + use<>, Vec<Notice>), DataError> {
    let folder = if with_targets {
        let unnamed = || StateError::Malformed("the names of the classes are not there".to_owned());
        let classes = schema.names.classes.as_deref().ok_or_else(unnamed)?;
        ImageFolder::labelled(config, classes, &schema.input, memory)?
    } else {
        ImageFolder::unlabelled(config, &schema.input, memory)?
    };
    let (names, notices) = (folder.file_names(&config.path), folder.notices());
    let (rows, expected) = (folder.len(), schema.input.clone());
    let gather = move |rows: &[usize]| {
        folder.gather(rows).map_err(|error| match error {
            DataError::Image(ImageError::OtherSize { path, found: Size { channels, height, width }, .. }) => {
                DataError::OtherShape { path, found: vec![channels, height, width], expected: expected.clone() }
            }
            error => error,
        })
    };
    Ok((batches(rows, with_targets, gather, move |row| names.get(row).cloned()), notices))
}

fn check(config: &DataConfig, images: &Images, schema: &Schema) -> Result<(), DataError> {
    match images.input() {
        input if input == schema.input => Ok(()),
        Input::Numbers(found) => {
            Err(DataError::OtherShape { path: config.path.clone(), found, expected: schema.input.clone() })
        }
        input @ Input::Tokens { .. } => Err(DataError::NotRows { path: config.path.clone(), input }),
    }
}

/// Returns rows by number, prefetched on other threads if that takes long.
fn batches(
    rows: usize,
    with_targets: bool,
    gather: impl Fn(&[usize]) -> Result<Batch, DataError> + Send + Sync + 'static,
    name: impl Fn(usize) -> Option<String>,
) -> impl Iterator<Item = Result<ReadRows, DataError>> {
    let count = rows.div_ceil(EVALUATION_ROWS);
    let numbers = move |batch: usize| batch * EVALUATION_ROWS..rows.min((batch + 1) * EVALUATION_ROWS);
    let prepare = move |batch: u64| gather(&numbers(batch as usize).collect::<Vec<_>>());
    let ahead = Prefetcher::new(Arc::new(prepare), count as u64);
    (0..count).map(move |batch| {
        let Batch { inputs, targets } = ahead.batch(batch as u64)?;
        Ok(ReadRows { inputs, targets: with_targets.then_some(targets), names: numbers(batch).map(&name).collect() })
    })
}
