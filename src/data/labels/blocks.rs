//! Labels of many rows at once.

use std::num::NonZeroUsize;

use super::{LabelKind, Labels};
use crate::data::value::Value;
use crate::data::words::Words;

impl Labels {
    /// Whether each label is a value.
    pub fn are_values(&self) -> bool {
        matches!(self, Self::Unknown(LabelKind::Values | LabelKind::ZeroOrOne) | Self::Values(_))
    }

    /// Whether labels are kept as texts.
    pub fn are_texts(&self) -> bool {
        matches!(self, Self::Unknown(LabelKind::Classes | LabelKind::Names) | Self::Texts { .. })
    }

    /// Whether each label is a name, even if it looks like a number.
    pub fn are_words(&self) -> bool {
        matches!(self, Self::Unknown(LabelKind::Names) | Self::Names(_) | Self::Texts { named: true, .. })
    }

    /// Returns the values, if labels are values.
    pub fn values(&mut self) -> Option<&mut Vec<f64>> {
        if let Self::Unknown(LabelKind::Values | LabelKind::ZeroOrOne) = self {
            *self = Self::Values(Vec::new());
        }
        match self {
            Self::Values(values) => Some(values),
            Self::Unknown(_) | Self::Numbers(_) | Self::Names(_) | Self::Texts { .. } => None,
        }
    }

    /// Returns the texts, if there are any.
    pub fn texts(&mut self) -> Option<&mut Words> {
        match self {
            Self::Texts { words, .. } => Some(words),
            Self::Unknown(_) | Self::Values(_) | Self::Numbers(_) | Self::Names(_) => None,
        }
    }

    /// Takes back all labels after the first `rows`.
    pub fn truncate(&mut self, rows: usize, declared: Option<NonZeroUsize>) {
        match self {
            Self::Values(values) => values.truncate(rows),
            Self::Texts { words, named, high, has_zero } => {
                words.truncate(rows);
                // Each word counts where it is first, so that the words alone tell the rest.
                let mut again = Self::Unknown(if *named { LabelKind::Names } else { LabelKind::Classes });
                let were_taken = words.distinct().iter().all(|word| again.push(Value::Text(word), declared).is_ok());
                debug_assert!(were_taken, "these words were taken before");
                (*high, *has_zero) = match again {
                    Self::Texts { high, has_zero, .. } => (high, has_zero),
                    _ => (None, false),
                };
            }
            Self::Unknown(_) | Self::Numbers(_) | Self::Names(_) => {}
        }
    }
}
