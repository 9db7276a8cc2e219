//! Settings that follow from data with positions that are not learned, or with several documents in a row. They are part
//! of the run's configuration, so that its checkpoints are complete without the data.

use crate::data::Data;
use crate::loss::LossError;
use crate::train::TrainError;
use crate::train::config::Config;

/// Gives the configuration the class that the loss leaves out.
pub(super) fn settle_loss(config: &mut Config, data: &Data) -> Result<(), LossError> {
    if let Some(ignored) = data.ignored() {
        config.loss = config.loss.ignoring(ignored)?;
    }
    Ok(())
}

/// Gives the configuration the token at which the model's attention and positions begin again.
pub(super) fn settle_model(config: &mut Config, data: &Data) -> Result<(), TrainError> {
    let Some(start) = data.document_start() else { return Ok(()) };
    match config.model.of_documents(start) {
        Some(model) => {
            config.model = model;
            Ok(())
        }
        None => {
            let rule = format!(
                "the model `{}` cannot keep the documents of a row apart; set it to \"none\", or to \"rows\" for texts that \
                 may see each other",
                config.model.kind()
            );
            Err(TrainError::Field { field: "data.packing".to_owned(), value: "documents".to_owned(), rule })
        }
    }
}
