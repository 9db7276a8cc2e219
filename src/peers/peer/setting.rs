//! A setting under the peer's name.

/// A setting of an optimizer or a schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Numbers, such as betas or milestones.
    Numbers(Vec<f64>),
    /// Numbers of which some have no value, such as `eps` of PyTorch's Adafactor.
    Partly(Vec<Option<f64>>),
    /// A word.
    Text(String),
    /// Something else, as text.
    Other(String),
}

impl Setting {
    /// Returns a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns numbers; a single one is a list of one.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Self::Number(number) => Some(vec![*number]),
            Self::Numbers(numbers) => Some(numbers.clone()),
            _ => None,
        }
    }

    /// Returns a word.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}
