//! The option `--device`, of every command that computes.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use rekindle::train::{Setting, TrainError};

/// The option.
#[derive(Args)]
pub struct OnDevice {
    /// The device: `cpu`, `cuda`, `cuda:1`, `metal`, or `auto`, the first GPU or else the CPU.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    device: Option<String>,
}

impl OnDevice {
    /// Returns the settings in `texts`, and this one.
    pub fn with(&self, texts: &[String]) -> Result<Vec<Setting>, TrainError> {
        let mut settings = texts.iter().map(|text| Setting::parse(text)).collect::<Result<Vec<_>, _>>()?;
        if let Some(name) = &self.device {
            let is_twice = |text: &&String| text.split('=').next().is_some_and(|key| key.trim() == "device");
            if let Some(text) = texts.iter().find(is_twice) {
                let reason = format!("the device is given twice, here and by --device {name}; give one of the two");
                return Err(TrainError::Setting { text: text.clone(), reason });
            }
            settings.push(Setting::of_device(name));
        }
        Ok(settings)
    }

    /// Returns `texts` and the text of this setting, for another process.
    pub fn texts(&self, texts: &[String]) -> Vec<String> {
        texts.iter().cloned().chain(self.device.iter().map(|name| format!("device={name}"))).collect()
    }
}
