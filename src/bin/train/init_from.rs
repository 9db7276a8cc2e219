//! The options `--init-from` and `--init-adapter`: a new run that begins with weights of another.

use std::path::PathBuf;

use clap::Args;
use rekindle::train::{Setting, TrainError};

/// The options.
#[derive(Args)]
pub struct InitFrom {
    /// Begin with the weights of a file, folder or run.
    #[arg(long, value_name = "PATH", requires = "config")]
    init_from: Option<PathBuf>,
    /// Begin with the adapters of a folder of PEFT.
    #[arg(long, value_name = "DIR", requires = "config")]
    init_adapter: Option<PathBuf>,
}

impl InitFrom {
    /// Returns the settings that they stand for. Unless it is `strict`, tensors may be missing or left over.
    pub fn settings(&self, strict: bool) -> Result<Vec<Setting>, TrainError> {
        let quoted = |path: &PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
        let mut texts = Vec::new();
        if let Some(path) = &self.init_from {
            let (missing, unused) = if strict { ("error", "error") } else { ("new", "ignore") };
            texts.push(format!("train.initial_weights={}", quoted(path)));
            texts.push(format!("train.missing_weights={missing}"));
            texts.push(format!("train.unused_weights={unused}"));
        }
        texts.extend(self.init_adapter.iter().map(|path| format!("train.initial_adapter={}", quoted(path))));
        texts.iter().map(|text| Setting::parse(text)).collect()
    }
}
