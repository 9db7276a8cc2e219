//! DeepSpeed's configuration (`ds_config`), which the model file has, with the defaults that are not written there.

use crate::peers::peer::{Clipping, LossScale, Peer};
use crate::peers::tree::Ref;

use super::super::settings::{setting, text, words};

/// Settings of the configuration that describe a run.
const SETTINGS: &[&[&str]] = &[
    &["train_batch_size"],
    &["train_micro_batch_size_per_gpu"],
    &["zero_optimization", "stage"],
    &["bf16", "enabled"],
    &["fp16", "enabled"],
];

/// The norm that gradients are clipped to where the configuration does not name one, since release 0.19.8.
const DEFAULT_CLIPPING: f64 = 1.0;

/// The first release with that default that is known.
const CLIPS_SINCE: [u64; 3] = [0, 19, 8];

/// Reads batch sizes, precision and clipping.
pub(super) fn read(peer: &mut Peer, root: Ref<'_>) {
    let Some(config) = root.get("ds_config").filter(|config| config.entries().is_some()) else { return };
    for path in SETTINGS {
        if let Some(value) = config.at(path) {
            peer.settings.push((format!("ds_config.{}", path.join(".")), words(&setting(value))));
        }
    }
    for key in ["dp_world_size", "mp_world_size"] {
        if let Some(value) = root.get(key) {
            peer.settings.push((key.to_owned(), text(value)));
        }
    }
    let accumulation = config.get("gradient_accumulation_steps").and_then(Ref::int);
    peer.accumulation = accumulation.and_then(|steps| u64::try_from(steps).ok()).or_else(|| accumulated(root, config));
    peer.clipping = match config.get("gradient_clipping").and_then(Ref::number) {
        Some(most) => clipping(most),
        None if is_since(peer.version.as_deref()) => clipping(DEFAULT_CLIPPING),
        None => Clipping::Unknown,
    };
}

/// Micro-batches of an update follow from the two batch sizes and the number of processes, where all are there.
fn accumulated(root: Ref<'_>, config: Ref<'_>) -> Option<u64> {
    let count = |value: Option<Ref<'_>>| value.and_then(Ref::int).and_then(|count| u64::try_from(count).ok());
    let whole = count(config.get("train_batch_size"))?;
    let part = count(config.get("train_micro_batch_size_per_gpu"))?;
    let ranks = count(root.get("dp_world_size"))?;
    whole.checked_div(part.checked_mul(ranks)?).filter(|steps| *steps > 0)
}

/// Returns clipping to a norm, of which 0 means none.
pub(super) fn clipping(most: f64) -> Clipping {
    // DeepSpeed adds 1e-6 to the norm, as PyTorch does.
    if most > 0.0 { Clipping::Norm { most, eps: 1e-6 } } else { Clipping::Off }
}

/// Reads the scale of training in f16. DeepSpeed's rule has more to it than PyTorch's: it may wait for several overflows.
pub(super) fn loss_scale(peer: &mut Peer, scaler: Option<Ref<'_>>) {
    let Some(scaler) = scaler else { return };
    let number = |key: &str| scaler.get(key).and_then(Ref::number);
    let count = |key: &str| scaler.get(key).and_then(Ref::int).and_then(|count| u64::try_from(count).ok());
    let fixed = number("cur_scale").filter(|scale| *scale != 1.0);
    let (Some(scale), Some(factor), Some(window)) =
        (number("cur_scale"), number("scale_factor"), count("scale_window"))
    else {
        peer.settings.extend(fixed.map(|scale| ("loss_scale".to_owned(), scale.to_string())));
        return;
    };
    let at = scaler.get("cur_iter").and_then(Ref::int).unwrap_or(0);
    let last = scaler.get("last_overflow_iter").and_then(Ref::int).unwrap_or(-1);
    let since = u64::try_from(at.saturating_sub(last).saturating_sub(1)).unwrap_or(0);
    peer.loss_scale = Some(LossScale {
        scale,
        growth_factor: factor,
        backoff_factor: 1.0 / factor,
        growth_interval: window,
        since: since.checked_rem(window).unwrap_or(0),
    });
    if count("delayed_shift").is_some_and(|shifts| shifts > 1) {
        peer.remarks.push(
            "DeepSpeed lowers the loss scale after several overflows (`hysteresis`), which PyTorch's rule does not"
                .to_owned(),
        );
    }
}

fn is_since(version: Option<&str>) -> bool {
    let numbers = version.unwrap_or_default().split(['.', '+']).map(|number| number.parse::<u64>().unwrap_or(0));
    let mut found = [0; 3];
    found.iter_mut().zip(numbers).for_each(|(to, from)| *to = from);
    found >= CLIPS_SINCE
}

/// Names the class of DeepSpeed's own Adam, whose groups do not tell whether it decays as Adam or as AdamW: the
/// configuration does, where it names the optimizer.
pub(super) fn name_class(peer: &mut Peer, root: Ref<'_>) {
    let config = root.at(&["ds_config", "optimizer"]);
    let Some(kind) = config.and_then(|config| config.get("type")).and_then(Ref::text) else { return };
    let Some(optimizer) = peer.optimizers.first_mut() else { return };
    let flag = config.and_then(|config| config.at(&["params", "adam_w_mode"])).and_then(Ref::bool);
    let is_adam = kind.eq_ignore_ascii_case("adam") || kind.eq_ignore_ascii_case("adamw");
    let own = optimizer.groups.iter().all(|group| group.setting("bias_correction").is_some());
    if !is_adam || !own || optimizer.class != "unknown" {
        return;
    }
    if !optimizer.groups.iter().all(|group| group.flag("bias_correction")) {
        peer.missing.push("the optimizer's class: its Adam does not correct the bias of the first updates".to_owned());
        return;
    }
    // `Adam` decays as AdamW unless it is told not to (`deepspeed/runtime/engine.py`, `ADAM_W_MODE_DEFAULT`).
    let decoupled = kind.eq_ignore_ascii_case("adamw") || flag.unwrap_or(true);
    optimizer.class = if decoupled { "AdamW" } else { "Adam" }.to_owned();
    optimizer.named = true;
    peer.missing.retain(|line| !line.starts_with("the optimizer's class"));
    peer.remarks.push(format!(
        "the optimizer is DeepSpeed's {kind}, which decays as {}, by the configuration",
        peer.optimizers.first().map_or("", |optimizer| optimizer.class.as_str())
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert!(is_since(Some("0.19.8")) && is_since(Some("0.20.0")) && is_since(Some("1.0.0+cu12")));
        assert!(!is_since(Some("0.19.7")) && !is_since(Some("0.9.10")) && !is_since(None) && !is_since(Some("x")));
    }
}
