//! `ckpt.pt` of nanoGPT.

use std::f64::consts::PI;

use super::settings::{settings, words};
use super::survey::Survey;
use super::{Content, Found, progress, torch, torch_class};
use crate::peers::error::PeerError;
use crate::peers::peer::{Architecture, Clipping, Counter, Form, Peer, RateOf, Schedule, Trainer, Unit};
use crate::peers::tree::Ref;

/// Keys that are read apart.
const READ: &[&str] = &["model_args", "config", "iter_num"];
/// Settings of the schedule in `config`.
const SCHEDULE: &[&str] = &["learning_rate", "min_lr", "warmup_iters", "lr_decay_iters", "decay_lr"];
/// The number that PyTorch adds to the norm when it clips.
const CLIP_EPS: f64 = 1e-6;
/// Difference of rates that rounding can make, as a part of them.
const ROUNDING: f64 = 1e-9;

fn root(found: &Found) -> Option<(Ref<'_>, &'static str)> {
    let Content::Torch { tree, format } = &found.content else { return None };
    let root = tree.root();
    ["model", "model_args", "iter_num", "config"].iter().all(|key| root.get(key).is_some()).then_some((root, format))
}

/// Returns whether a file is one of nanoGPT.
pub(super) fn recognizes(found: &Found) -> bool {
    root(found).is_some()
}

/// Describes the run.
///
/// # Errors
/// A state is damaged or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let (root, format) = root(found).ok_or_else(|| PeerError::unknown(&found.path, "this is no file of nanoGPT"))?;
    let mut peer = Peer::new(&found.path, Trainer::NanoGpt, format);
    torch::fill(&mut peer, Survey::of(root, READ))?;
    // It has no other optimizer.
    torch_class::settle(&mut peer, 0, "AdamW");
    let settings_of = |key: &str| root.get(key).map(|holder| settings(holder, &[])).unwrap_or_default();
    peer.architecture = Some(Architecture { kind: "nanogpt".to_owned(), settings: settings_of("model_args") });
    let config = settings_of("config");
    peer.settings.extend(config.iter().map(|(name, value)| (format!("config.{name}"), words(value))));
    let number = |name: &str| root.at(&["config", name]).and_then(Ref::number);
    let updates = root.get("iter_num").and_then(Ref::int).and_then(|count| u64::try_from(count).ok());
    let updates = updates.ok_or_else(|| PeerError::damaged(&found.path, "iter_num is no count"))?;
    let counts = "updates done".to_owned();
    peer.counters.push(Counter { name: "iter_num".to_owned(), value: updates as f64, counts });
    peer.updates = Some(updates);
    peer.accumulation = number("gradient_accumulation_steps").map(|count| count as u64);
    peer.clipping = match number("grad_clip") {
        Some(most) if most > 0.0 => Clipping::Norm { most, eps: CLIP_EPS },
        Some(_) => Clipping::Off,
        None => Clipping::Unknown,
    };
    add_schedule(&mut peer, root);
    complete(&mut peer, root);
    Ok(peer)
}

fn add_schedule(peer: &mut Peer, root: Ref<'_>) {
    let config = |name: &str| root.at(&["config", name]);
    if config("decay_lr").and_then(Ref::bool) == Some(false) {
        return progress::rate_all(peer, 0, RateOf::Constant);
    }
    let named = SCHEDULE.iter().filter_map(|name| Some(((*name).to_owned(), super::settings::setting(config(name)?))));
    let form = Form { class: "nanogpt.cosine".to_owned(), settings: named.collect(), members: Vec::new() };
    let rate = peer.optimizers.first().and_then(|optimizer| optimizer.groups.first()?.lr);
    let updates = peer.updates.unwrap_or(0) as f64;
    let is = |at: f64| {
        let rates = [rate_at(&form, at, 1.0), rate_at(&form, at, 0.0)];
        let near = |of: f64| rate.is_some_and(|rate| (rate - of).abs() <= ROUNDING * of.abs());
        rates.into_iter().flatten().any(near)
    };
    // The script sets the rate before it saves, other scripts of its kind after; the rate itself tells.
    let rate_of = match (is(updates), is(updates - 1.0)) {
        (true, _) => RateOf::Next,
        (false, true) => RateOf::Last,
        (false, false) => RateOf::Unknown,
    };
    if rate_at(&form, updates, 1.0).is_none() {
        peer.missing.push(format!("the schedule: config lacks one of {}", SCHEDULE.join(", ")));
    } else if rate_of == RateOf::Unknown {
        peer.remarks.push("the rate in the file is not one that config gives at iter_num".to_owned());
    }
    progress::rate_all(peer, 0, rate_of);
    let base = form.number("learning_rate").into_iter().collect();
    peer.schedules.push(Schedule {
        form,
        optimizer: 0,
        at: Some(updates),
        unit: Unit::Updates,
        base_lrs: base,
        last_lrs: Vec::new(),
        late: 0,
        in_f32: false,
    });
}

/// Returns the rate of update `at`, as `get_lr` of nanoGPT's `train.py` has it: a warm-up from `learning_rate /
/// (warmup_iters + 1)`, then a cosine to `min_lr`. Until 2024 the warm-up began at 0: that is `first` 0 in place of 1.
fn rate_at(form: &Form, at: f64, first: f64) -> Option<f64> {
    let number = |name: &str| form.number(name);
    let (top, least) = (number("learning_rate")?, number("min_lr")?);
    let (warmup, end) = (number("warmup_iters")?, number("lr_decay_iters")?);
    if at < warmup {
        return Some(top * (at + first) / (warmup + first));
    }
    if at > end {
        return Some(least);
    }
    let part = (at - warmup) / (end - warmup);
    Some(least + 0.5 * (1.0 + (PI * part).cos()) * (top - least))
}

fn complete(peer: &mut Peer, root: Ref<'_>) {
    if peer.optimizers.is_empty() {
        peer.missing.push("the optimizer: the file has weights alone".to_owned());
    }
    peer.missing
        .push("the place in the data: batches are drawn at random, and no random state is in the file".to_owned());
    if peer.clipping == Clipping::Unknown {
        peer.missing.push("clipping of gradients: config has no grad_clip".to_owned());
    }
    let is_half = root.at(&["config", "dtype"]).and_then(Ref::text) == Some("float16");
    if is_half && peer.loss_scale.is_none() {
        peer.missing.push("the loss scale: the run is in float16, and its scaler is not in the file".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::testing::Maker;

    /// Returns to which update the rate belongs in a file of update 4, in a warm-up of 9 to 1.
    fn rate_of(rate: f64) -> RateOf {
        let mut maker = Maker::default();
        let (params, count) = (maker.list(&[]), maker.int(4));
        let numbers = [("learning_rate", 1.0), ("min_lr", 0.1), ("warmup_iters", 9.0), ("lr_decay_iters", 30.0)];
        let config: Vec<_> = numbers.iter().map(|(name, number)| (*name, maker.float(*number))).collect();
        let lr = maker.float(rate);
        let group = maker.dict(&[("lr", lr), ("params", params)]);
        let (groups, state) = (maker.list(&[group]), maker.dict(&[]));
        let optimizer = maker.dict(&[("state", state), ("param_groups", groups)]);
        let (config, weight) = (maker.dict(&config), maker.tensor(&[2]));
        let model = maker.dict(&[("w", weight)]);
        let entries = [("model", model), ("optimizer", optimizer), ("model_args", config)];
        let root = maker.dict(&[entries.as_slice(), &[("iter_num", count), ("config", config)]].concat());
        maker.tree.set_root(root);
        let found = Found { path: "x.pt".into(), content: Content::Torch { tree: maker.tree, format: "test" } };
        assert!(recognizes(&found));
        read(&found).unwrap().optimizers[0].groups[0].rate_of
    }

    #[test]
    fn the_rate_tells_whether_it_is_of_the_next_update_or_of_the_last_in_both_versions() {
        assert_eq!((rate_of(0.5), rate_of(4.0 / 9.0)), (RateOf::Next, RateOf::Next));
        assert_eq!((rate_of(0.4), rate_of(3.0 / 9.0)), (RateOf::Last, RateOf::Last));
        assert_eq!(rate_of(0.77), RateOf::Unknown);
    }
}
