//! Checkpoints of timm's training script: `last.pth.tar` and others.

use super::settings::{settings, text};
use super::survey::Survey;
use super::{Content, Found, loss_scale, models, progress, state_dict, torch_class, torch_optimizer};
use crate::peers::error::PeerError;
use crate::peers::peer::{Architecture, Clipping, Counter, Form, Peer, RateOf, Schedule, Setting, Trainer, Unit};
use crate::peers::tree::Ref;

/// Keys that are read apart.
const READ: &[&str] = &["epoch", "arch", "optimizer", "version", "args", "state_dict", "state_dict_ema", "amp_scaler"];
/// The number that PyTorch adds to the norm when it clips.
const CLIP_EPS: f64 = 1e-6;

fn root(found: &Found) -> Option<(Ref<'_>, &'static str)> {
    let Content::Torch { tree, format } = &found.content else { return None };
    let root = tree.root();
    let has = |key: &str| root.get(key).is_some();
    let is_ours = has("arch") && has("state_dict") && has("version") && (has("optimizer") || has("args"));
    is_ours.then_some((root, format))
}

/// Returns whether a file is one of timm's `CheckpointSaver`.
pub(super) fn recognizes(found: &Found) -> bool {
    root(found).is_some()
}

/// Describes the run.
///
/// # Errors
/// A state is damaged or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let (root, format) = root(found).ok_or_else(|| PeerError::unknown(&found.path, "this is no file of timm"))?;
    let path = &found.path;
    let mut peer = Peer::new(path, Trainer::Timm, format);
    if let Some(state) = root.get("optimizer").filter(|state| torch_optimizer::is_optimizer(*state)) {
        torch_optimizer::add(&mut peer, "optimizer", state)?;
    } else {
        peer.missing.push("the optimizer: the file was saved with weights alone".to_owned());
    }
    if let Some(dict) = root.get("state_dict") {
        peer.model = state_dict::read(path, "state_dict", dict, &mut peer.left)?;
    }
    if let Some(dict) = root.get("state_dict_ema") {
        let averages = state_dict::read(path, "state_dict_ema", dict, &mut peer.left)?;
        models::set_averages(&mut peer, "state_dict_ema", averages, None);
    }
    if let Some(scaler) = root.get("amp_scaler").filter(|scaler| loss_scale::is_scaler(*scaler)) {
        peer.loss_scale = loss_scale::read(scaler);
    }
    add_progress(&mut peer, root);
    let arguments = root.get("args");
    add_arguments(&mut peer, arguments);
    add_schedule(&mut peer, arguments);
    let survey = Survey::of(root, READ);
    peer.settings.extend(survey.settings);
    peer.left.extend(survey.left);
    peer.missing
        .push("the place in the data: the script begins the next epoch, and no file has its random state".to_owned());
    Ok(peer)
}

fn add_progress(peer: &mut Peer, root: Ref<'_>) {
    if let Some(epoch) = root.get("epoch").and_then(Ref::number) {
        let counts = "the number of the last epoch that was done, from 0".to_owned();
        peer.counters.push(Counter { name: "epoch".to_owned(), value: epoch, counts });
        peer.epochs = Some(epoch + 1.0);
    }
    peer.updates = peer.optimizers.first().and_then(|optimizer| optimizer.updates);
    if peer.updates.is_none() && !peer.optimizers.is_empty() {
        peer.missing
            .push("the number of updates: this optimizer does not count them, only epochs are known".to_owned());
    }
    let kind = root.get("arch").map(text).unwrap_or_default();
    peer.architecture = Some(Architecture { kind, settings: Vec::new() });
}

fn add_arguments(peer: &mut Peer, arguments: Option<Ref<'_>>) {
    let get = |name: &str| arguments.and_then(|arguments| arguments.get(name));
    for (name, setting) in arguments.map(|arguments| settings(arguments, &[])).unwrap_or_default() {
        if setting != Setting::Null {
            peer.settings.push((format!("args.{name}"), super::settings::words(&setting)));
        }
    }
    peer.accumulation = get("grad_accum_steps").and_then(Ref::int).and_then(|count| u64::try_from(count).ok());
    let mode = get("clip_mode").and_then(Ref::text).unwrap_or("norm");
    peer.clipping = match get("clip_grad").map(|most| (most.is_null(), most.number(), mode)) {
        Some((true, ..)) => Clipping::Off,
        Some((_, Some(most), "norm")) => Clipping::Norm { most, eps: CLIP_EPS },
        Some((_, Some(most), "value")) => Clipping::Value { most },
        Some((_, Some(_), mode)) => {
            peer.remarks.push(format!("gradients are clipped by the mode {mode}, which is not read"));
            Clipping::Unknown
        }
        _ => Clipping::Unknown,
    };
    if peer.clipping == Clipping::Unknown {
        peer.missing.push("clipping of gradients: args has no clip_grad that can be read".to_owned());
    }
    let word = get("opt").and_then(Ref::text).unwrap_or_default().to_lowercase();
    if word.contains("adamw") {
        torch_class::settle(peer, 0, "AdamW");
    } else if word == "adam" {
        torch_class::settle(peer, 0, "Adam");
    }
    if let Some(averages) = &mut peer.averages {
        averages.decay = get("model_ema_decay").and_then(Ref::number);
    }
}

/// timm computes rates from the epoch and the arguments; its schedulers have no state in the file.
fn add_schedule(peer: &mut Peer, arguments: Option<Ref<'_>>) {
    let get = |name: &str| arguments.and_then(|arguments| arguments.get(name));
    let kind = get("sched").and_then(Ref::text);
    if kind.is_none() {
        peer.missing.push("the schedule: args has no `sched`, so its form and warm-up are not known".to_owned());
    }
    if kind == Some("none") {
        return progress::rate_all(peer, 0, RateOf::Constant);
    }
    if peer.optimizers.is_empty() {
        return;
    }
    // The script saves before it steps the scheduler.
    progress::rate_all(peer, 0, RateOf::Last);
    let by_updates = get("sched_on_updates").and_then(Ref::bool) == Some(true);
    let (unit, at) = match by_updates {
        true => (Unit::Updates, peer.updates.map(|updates| updates as f64)),
        // The next epoch's number.
        false => (Unit::Epochs, peer.epochs),
    };
    let bases = peer.optimizers.first().map(|optimizer| {
        optimizer.groups.iter().map(|group| group.initial_lr).collect::<Option<Vec<f64>>>().unwrap_or_default()
    });
    peer.schedules.push(Schedule {
        form: Form {
            class: kind.map_or_else(|| "unknown".to_owned(), |kind| format!("timm.{kind}")),
            settings: arguments.map(|arguments| settings(arguments, &[])).unwrap_or_default(),
            members: Vec::new(),
        },
        optimizer: 0,
        at,
        unit,
        base_lrs: bases.unwrap_or_default(),
        last_lrs: Vec::new(),
        late: 0,
        in_f32: false,
    });
}
