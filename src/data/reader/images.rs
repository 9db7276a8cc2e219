//! Images of an IDX file, or in a folder.

use candle_core::Tensor;

use super::ReadRows;
use crate::data::{
    Batch, DataConfig, DataError, Dataset, EVALUATION_ROWS, ImageError, ImageFolder, Images, Input, Schema, Size, idx,
};

/// The images of the IDX file at `config.path`; where that is a folder, of the file in it that `data.images` names, or
/// MNIST's file of test images.
pub(super) fn of_idx(
    config: &DataConfig,
    schema: &Schema,
) -> Result<impl Iterator<Item = Result<ReadRows, DataError>> + use<>, DataError> {
    let images: Images = idx::unlabelled(config)?;
    check(config, &images, schema)?;
    let rows = images.len();
    Ok(batches(rows, move |rows| images.gather(rows), |_| None))
}

/// The images in the folder at `config.path` and in the folders in it, in the order of their names, each with its name.
pub(super) fn of_folder(
    config: &DataConfig,
    schema: &Schema,
) -> Result<impl Iterator<Item = Result<ReadRows, DataError>> + use<>, DataError> {
    let folder = ImageFolder::unlabelled(&config.path, &schema.input)?;
    let names = folder.file_names(&config.path);
    let (rows, expected) = (folder.len(), schema.input.clone());
    let gather = move |rows: &[usize]| {
        folder.gather(rows).map_err(|error| match error {
            DataError::Image(ImageError::Changed { path, found: Size { channels, height, width }, .. }) => {
                DataError::OtherShape { path, found: vec![channels, height, width], expected: expected.clone() }
            }
            error => error,
        })
    };
    Ok(batches(rows, gather, move |row| names.get(row).cloned()))
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

fn batches(
    rows: usize,
    gather: impl Fn(&[usize]) -> Result<Batch, DataError>,
    name: impl Fn(usize) -> Option<String>,
) -> impl Iterator<Item = Result<ReadRows, DataError>> {
    (0..rows).step_by(EVALUATION_ROWS).map(move |start| {
        let numbers: Vec<usize> = (start..rows.min(start + EVALUATION_ROWS)).collect();
        let inputs: Tensor = gather(&numbers)?.inputs;
        Ok(ReadRows { inputs, targets: None, names: numbers.into_iter().map(&name).collect() })
    })
}
