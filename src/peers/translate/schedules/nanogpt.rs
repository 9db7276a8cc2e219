//! nanoGPT's schedule (`train.py`, `get_lr`): a function of the iteration, with the numbers of its `config`.

use super::{Shape, Source};
use crate::peers::translate::Refusal;
use crate::schedule::Schedule;

/// Translates it: a linear warm-up, and a cosine to `min_lr` at `lr_decay_iters`.
///
/// The warm-up is `learning_rate * (it + 1) / (warmup_iters + 1)`; until 2024 it was `learning_rate * it / warmup_iters`,
/// so there are two readings.
pub(super) fn shapes(source: &Source<'_>) -> Result<Vec<Shape>, Refusal> {
    let settings = source.settings();
    let base = settings.number("learning_rate")?;
    let bases = vec![base; source.groups.len()];
    if !settings.flag_or("decay_lr", true)? {
        return Ok(vec![Shape::new(Schedule::constant(), bases)]);
    }
    let (warmup, end) = (settings.length("warmup_iters")?, settings.length("lr_decay_iters")?);
    let decay = Schedule::cosine(end.saturating_sub(warmup).max(1)).eta_min(settings.number("min_lr")?);
    if warmup == 0 {
        return Ok(vec![Shape::new(decay, bases)]);
    }
    let first = base / (warmup as f64 + 1.0);
    let warmed = |start: f64| Shape::new(Schedule::warmup(warmup, decay.clone()).start_lr(start), bases.clone());
    Ok(vec![warmed(first), warmed(0.0)])
}
