//! The state of PyTorch's `GradScaler`.

use crate::peers::peer::LossScale;
use crate::peers::tree::Ref;

/// Returns whether `value` is the state of a scaler. One that is switched off is an empty dict, and tells nothing.
pub(super) fn is_scaler(value: Ref<'_>) -> bool {
    value.get("scale").is_some() && value.get("growth_factor").is_some() && value.get("growth_interval").is_some()
}

/// Returns the scale with its rule; `None` where a number is missing.
pub(super) fn read(state: Ref<'_>) -> Option<LossScale> {
    let number = |key: &str| state.get(key).and_then(Ref::number);
    let count = |key: &str| state.get(key).and_then(Ref::int).and_then(|count| u64::try_from(count).ok());
    Some(LossScale {
        scale: number("scale")?,
        growth_factor: number("growth_factor")?,
        backoff_factor: number("backoff_factor")?,
        growth_interval: count("growth_interval")?,
        since: count("_growth_tracker").unwrap_or(0),
    })
}
