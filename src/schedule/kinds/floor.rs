//! The floor of a decay: a rate, or a share of each group's own base rate. Not a kind.

use super::*;

/// The lowest rate of a decay.
#[derive(Clone, Copy)]
pub(super) enum Floor {
    /// A rate, the same for all groups.
    Rate(f64),
    /// A share of the base rate of each group.
    Ratio(f64),
}

impl Floor {
    /// Returns the floor that `eta_min` and `min_ratio` give; a kind takes one of the two.
    pub fn of(context: &Context, eta_min: f64, min_ratio: Option<f64>) -> Result<Self, ScheduleError> {
        match min_ratio {
            None => Ok(Self::Rate(eta_min)),
            Some(ratio) if eta_min == 0.0 => Ok(Self::Ratio(ratio)),
            Some(ratio) => Err(context.refuse("min_ratio", ratio, "there is an eta_min already; give one of the two")),
        }
    }

    /// Returns the floor of a group as a rate.
    pub fn rate(self, base: f64) -> f64 {
        match self {
            Self::Rate(rate) => rate,
            Self::Ratio(ratio) => base * ratio,
        }
    }

    /// Holds `rate` at the floor; a floor above the base rate holds it at the base rate.
    pub fn hold(self, rate: f64, base: f64) -> f64 {
        rate.max(self.rate(base).min(base))
    }
}
