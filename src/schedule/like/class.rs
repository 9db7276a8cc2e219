//! A class or function of another library: its signature, and what it does in our terms.

use super::error::LikeError;
use super::given::Given;
use crate::schedule::value::number;

/// A class that can be read.
pub(super) struct Class {
    /// Its full name and parameters as Python has them: `torch.optim.lr_scheduler.StepLR(optimizer, step_size, gamma=0.1)`.
    pub signature: &'static str,
    /// Says its arguments in our terms.
    pub say: fn(&Given) -> Result<Said, LikeError>,
}

impl Class {
    /// Returns the full name.
    pub fn path(&self) -> &'static str {
        self.signature.split('(').next().unwrap_or(self.signature)
    }

    /// Returns the name without its package and modules.
    pub fn name(&self) -> &'static str {
        self.path().rsplit('.').next().unwrap_or(self.signature)
    }

    /// Returns the package.
    pub fn package(&self) -> &'static str {
        self.path().split('.').next().unwrap_or(self.signature)
    }
}

/// A constructor in our terms.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The schedule in the text form.
    pub text: String,
    /// The base rates, empty if the constructor has none.
    pub base_lrs: Vec<f64>,
    /// Where ours differs.
    pub notes: Vec<String>,
}

impl Said {
    /// A schedule without base rates, which are the optimizer's.
    pub fn text(text: impl Into<String>) -> Result<Self, LikeError> {
        Ok(Self { text: text.into(), ..Self::default() })
    }

    /// A schedule of one base rate.
    pub fn of(base: f64, text: impl Into<String>) -> Result<Self, LikeError> {
        Ok(Self { text: text.into(), base_lrs: vec![base], notes: Vec::new() })
    }

    /// Adds a note.
    pub fn note(mut self, note: &str) -> Self {
        self.notes.push(note.to_owned());
        self
    }
}

/// Formats a number as the text form reads it.
pub(super) fn n(x: f64) -> String {
    number(x)
}
