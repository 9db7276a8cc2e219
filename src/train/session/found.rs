//! Options that a run has found in its data, for a configuration without them that a program gives again.

use crate::checkpoint::Checkpoint;
use crate::data::DataConfig;
use crate::train::config::Config;

/// Returns `config` with the options that the run of `checkpoint` has found, where it does not give them.
pub(super) fn with_found(mut config: Config, checkpoint: &Checkpoint) -> Config {
    let Some(saved) = checkpoint.field("config") else { return config };
    if let Ok(data) = DataConfig::deserialize(&saved["data"]) {
        config.data.settle_as(&data);
    }
    let own = serde_json::to_value(&config.model).unwrap_or_default();
    let start = saved["model"]["document_start"].as_u64().and_then(|start| u32::try_from(start).ok());
    if own["document_start"].is_null()
        && let Some(model) = start.and_then(|start| config.model.of_documents(start))
    {
        config.model = model;
    }
    config
}
