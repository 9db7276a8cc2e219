//! The option `--init-from`: a new run that begins with weights of another.

use std::path::PathBuf;

use clap::Args;
use rekindle::train::{Setting, TrainError};

/// The option.
#[derive(Args)]
pub struct InitFrom {
    /// Begin with the weights of a file, folder or run.
    #[arg(long, value_name = "PATH", requires = "config")]
    init_from: Option<PathBuf>,
}

impl InitFrom {
    /// Returns the settings that it stands for. Unless it is `strict`, tensors may be missing or left over.
    pub fn settings(&self, strict: bool) -> Result<Vec<Setting>, TrainError> {
        let Some(path) = &self.init_from else { return Ok(Vec::new()) };
        let path = toml::Value::String(path.to_string_lossy().into_owned());
        let (missing, unused) = if strict { ("error", "error") } else { ("new", "ignore") };
        let texts = [
            format!("train.initial_weights={path}"),
            format!("train.missing_weights={missing}"),
            format!("train.unused_weights={unused}"),
        ];
        texts.iter().map(|text| Setting::parse(text)).collect()
    }
}
