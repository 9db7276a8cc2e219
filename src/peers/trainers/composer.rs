//! MosaicML's Composer: one file with `state` and `rng`, in which parameters have names.
//!
//! Its schedules are functions of the batch that was counted before the update, so they are one update late. Optimizers
//! whose names begin with `Decoupled` shrink weights by `lr / initial_lr * weight_decay`
//! (`composer/optim/decoupled_weight_decay.py`).

use super::settings::{setting, settings, text, words};
use super::{Content, Found, loss_scale, state_dict, torch_optimizer, torch_schedule};
use crate::peers::error::PeerError;
use crate::peers::peer::{Averages, Clipping, Counter, Dialect, Form, Peer, RateOf, Setting, Trainer, Unit};
use crate::peers::tree::{Ref, Tree};

/// Counters of a timestamp, and the thing that each counts.
const COUNTERS: &[(&str, &str)] = &[
    ("batch", "batches, which are updates"),
    ("epoch", "epochs that were finished"),
    ("batch_in_epoch", "batches in the epoch that is not finished"),
    ("sample", "rows of data"),
    ("sample_in_epoch", "rows of data in the epoch that is not finished"),
    ("token", "tokens"),
    ("token_in_epoch", "tokens in the epoch that is not finished"),
    ("iteration", "iterations, which are spans of epochs that a run may set"),
    ("epoch_in_iteration", "epochs in the iteration"),
    ("token_in_iteration", "tokens in the iteration"),
];

/// Parts of a file that nothing here continues.
const LEFT: &[(&str, &str)] = &[
    ("state.callbacks", "the states of callbacks"),
    ("state.dataset_state", "the state of the data set"),
    ("state.integrations", "the states of integrations"),
    ("rng", "the states of the random generators of each process"),
];

/// Returns whether a file is one of Composer.
pub(super) fn recognizes(found: &Found) -> bool {
    tree(found).is_some_and(|tree| timestamp(tree.root()).is_some())
}

fn tree(found: &Found) -> Option<&Tree> {
    match &found.content {
        Content::Torch { tree, .. } => Some(tree),
        _ => None,
    }
}

/// Returns the counters, which older versions have without their class.
fn timestamp(root: Ref<'_>) -> Option<Ref<'_>> {
    let timestamp = root.at(&["state", "timestamp"])?;
    timestamp.get("Timestamp").or(Some(timestamp)).filter(|timestamp| timestamp.get("batch").is_some())
}

/// Describes the run.
///
/// # Errors
/// A state is damaged or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let Content::Torch { tree, format } = &found.content else {
        return Err(PeerError::unknown(&found.path, "this is no file of torch.save"));
    };
    let mut peer = Peer::new(&found.path, Trainer::Composer, format);
    let root = tree.root();
    let state = root.get("state").ok_or_else(|| PeerError::damaged(&found.path, "it has no `state`"))?;
    counters(&mut peer, root);
    if let Some(model) = state.get("model") {
        peer.model = state_dict::read(&found.path, "state.model", model, &mut peer.left)?;
    }
    for (class, dict) in named(state, "optimizers") {
        optimizer(&mut peer, class, dict)?;
    }
    for (class, dict) in named(state, "schedulers") {
        schedule(&mut peer, class, dict);
    }
    if let Some((_, scaler)) = named(state, "scaler").next() {
        peer.loss_scale = loss_scale::read(scaler);
    }
    algorithms(&mut peer, state);
    metadata(&mut peer, state);
    let is_there = |path: &str| root.at(&path.split('.').collect::<Vec<_>>()).is_some_and(|part| !part.is_null());
    peer.left.extend(LEFT.iter().filter(|(path, _)| is_there(path)).map(|(path, what)| format!("{path}: {what}")));
    peer.missing.push(
        "the place in the data: Composer draws and skips the batches of the epoch again; with shuffling it then has \
         another order for the rest of that epoch"
            .to_owned(),
    );
    Ok(peer)
}

/// Returns the members of a dict by class, such as `state.optimizers`.
fn named<'a>(state: Ref<'a>, key: &str) -> impl Iterator<Item = (&'a str, Ref<'a>)> {
    let members = state.get(key).and_then(Ref::entries).into_iter().flatten();
    members.filter_map(|(class, member)| Some((class.text()?, member)))
}

fn counters(peer: &mut Peer, root: Ref<'_>) {
    let Some(timestamp) = timestamp(root) else { return };
    let number = |name: &str| timestamp.get(name).and_then(Ref::number);
    for (name, counts) in COUNTERS {
        if let Some(value) = number(name) {
            let name = format!("state.timestamp.{name}");
            peer.counters.push(Counter { name, value, counts: (*counts).to_owned() });
        }
    }
    peer.updates = timestamp.get("batch").and_then(Ref::int).and_then(|count| u64::try_from(count).ok());
    let (Some(batch), Some(epoch), Some(in_epoch)) = (number("batch"), number("epoch"), number("batch_in_epoch"))
    else {
        return;
    };
    // A file names its last batch by the epoch that it ends, which is not counted yet then. The length of an epoch is
    // known once one was finished.
    peer.epochs = match (batch - in_epoch) / epoch {
        _ if in_epoch == 0.0 => Some(epoch),
        length if length.is_finite() && length > 0.0 => Some(epoch + in_epoch / length),
        _ => None,
    };
}

fn optimizer(peer: &mut Peer, class: &str, dict: Ref<'_>) -> Result<(), PeerError> {
    let place = format!("state.optimizers.{class}");
    let missing = peer.missing.len();
    let remarks = peer.remarks.len();
    let index = torch_optimizer::add(peer, &place, dict)?;
    // The file names the class, so that it need not be told by keys.
    peer.missing.truncate(missing);
    peer.remarks.truncate(remarks);
    let names: Vec<String> = peer.model.tensors.iter().map(|named| named.name.clone()).collect();
    let Some(optimizer) = peer.optimizers.get_mut(index) else { return Ok(()) };
    class.clone_into(&mut optimizer.class);
    optimizer.named = true;
    if class.starts_with("Decoupled") {
        optimizer.dialect = Dialect::Composer;
        peer.remarks.push(format!(
            "weights shrink by lr / initial_lr * weight_decay at each update of {class}, and not by lr * weight_decay"
        ));
    }
    for group in &mut optimizer.groups {
        group.rate_of = if group.initial_lr.is_some() { RateOf::Next } else { RateOf::Constant };
        for parameter in &mut group.parameters {
            if names.contains(&parameter.id) {
                parameter.name = Some(parameter.id.clone());
            }
        }
    }
    Ok(())
}

/// Composer's own schedules are lambdas, whose function no file has. Those of PyTorch count by themselves, on time.
fn schedule(peer: &mut Peer, class: &str, dict: Ref<'_>) {
    let missing = peer.missing.len();
    torch_schedule::add(peer, &format!("state.schedulers.{class}"), dict, 0);
    let (updates, epochs) = (peer.updates.map(|updates| updates as f64), peer.epochs);
    let Some(schedule) = peer.schedules.last_mut() else { return };
    schedule.unit = match schedule.at {
        at if at.is_some() && at == updates => Unit::Updates,
        at if at.is_some() && at == epochs.map(f64::floor) => Unit::Epochs,
        _ => Unit::Unknown,
    };
    if schedule.form.class != "torch.LambdaLR" {
        return;
    }
    let settings = std::mem::take(&mut schedule.form.settings);
    schedule.form = Form { class: "composer".to_owned(), settings, members: Vec::new() };
    if schedule.unit == Unit::Updates {
        schedule.late = 1;
        peer.remarks.push(
            "the schedule is one update late: update t uses its rate at t - 1, and updates 0 and 1 both use that at 0"
                .to_owned(),
        );
    }
    peer.missing.truncate(missing);
    peer.missing.push("the schedule's shape: Composer's schedules are functions, which are in no file".to_owned());
}

/// Algorithms change training; of each the file has its name and how it prints itself.
fn algorithms(peer: &mut Peer, state: Ref<'_>) {
    let listed = state.get("algorithms").and_then(Ref::items);
    let Some(listed) = listed else {
        peer.missing.push("clipping of gradients, and other algorithms: the file has no list of them".to_owned());
        return;
    };
    peer.clipping = Clipping::Off;
    for algorithm in listed {
        let mut parts = algorithm.items().into_iter().flatten();
        let name = parts.next().and_then(Ref::text).unwrap_or_default();
        let state = parts.next();
        let printed = state.and_then(|state| state.get("repr")).and_then(Ref::text).unwrap_or_default();
        match name {
            "GradientClipping" => clipping(peer, printed),
            "EMA" => averages(peer, state),
            _ => peer.missing.push(format!("the algorithm {name}: it changes training, and is not continued here")),
        }
    }
}

/// Reads `GradientClipping(clipping_type='norm', clipping_threshold=1.0)`, where the file has that.
fn clipping(peer: &mut Peer, printed: &str) {
    let value = |key: &str| {
        let rest = printed.split_once(&format!("{key}="))?.1;
        rest.split([',', ')']).next().map(|value| value.trim().trim_matches(['\'', '"']))
    };
    let most = value("clipping_threshold").and_then(|most| most.parse().ok());
    match (value("clipping_type"), most) {
        // PyTorch's `clip_grad_norm_`.
        (Some("norm"), Some(most)) => peer.clipping = Clipping::Norm { most, eps: 1e-6 },
        (Some(kind), _) if kind != "norm" => {
            peer.clipping = Clipping::Unknown;
            peer.missing.push(format!("clipping of gradients: GradientClipping by {kind} is not continued here"));
        }
        _ => {
            peer.clipping = Clipping::Unknown;
            peer.missing.push(
                "clipping of gradients: the run has GradientClipping, whose kind and threshold are not in the file"
                    .to_owned(),
            );
        }
    }
}

/// Averages of the weights, which the algorithm EMA keeps.
fn averages(peer: &mut Peer, state: Option<Ref<'_>>) {
    let kept = state.and_then(|state| state.get("ema_model"));
    let tensors = kept.and_then(|kept| kept.get("parameters").or_else(|| kept.get("named_parameters_dict")));
    let Some(dict) = tensors.filter(|dict| state_dict::is_model(*dict)) else {
        peer.missing.push("the averages of EMA: the file does not have them where they are expected".to_owned());
        return;
    };
    let place = "state.algorithms.EMA.ema_model".to_owned();
    if let Ok(model) = state_dict::read(&peer.path, &place, dict, &mut peer.left) {
        peer.averages = Some(Averages { place, tensors: model.tensors, count: None, decay: None });
    }
}

fn metadata(peer: &mut Peer, state: Ref<'_>) {
    for key in ["run_name", "rank_zero_seed"] {
        if let Some(value) = state.get(key) {
            peer.settings.push((key.to_owned(), text(value)));
        }
    }
    let Some(metadata) = state.get("metadata") else { return };
    peer.version = metadata.at(&["composer_env_info", "composer_version"]).and_then(Ref::text).map(str::to_owned);
    let told = settings(metadata, &["composer_env_info"]);
    peer.settings.extend(told.iter().map(|(key, value)| (key.clone(), words(value))));
    let number = |key: &str| metadata.get(key).map(setting).as_ref().and_then(Setting::number);
    if let (Some(batch), Some(part)) = (number("train_dataloader_batch_size"), number("device_train_microbatch_size"))
        && part > 0.0
    {
        peer.accumulation = Some((batch / part).ceil().max(1.0) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::open;
    use crate::peers::trainers::testing::Maker;
    use std::path::Path;

    #[test]
    fn the_real_case_is_described_as_composer_continues_it() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases");
        let peer = open(&cases.join("composer/decoupled_adamw_cosine/ep9-ba10-rank0.pt")).unwrap();
        assert_eq!((peer.trainer, peer.version.as_deref()), (Trainer::Composer, Some("0.32.1")));
        assert_eq!((peer.updates, peer.epochs, peer.clipping), (Some(10), Some(10.0), Clipping::Off));
        let [optimizer] = &peer.optimizers[..] else { panic!("{:?}", peer.optimizers) };
        assert_eq!((optimizer.class.as_str(), optimizer.dialect), ("DecoupledAdamW", Dialect::Composer));
        let group = &optimizer.groups[0];
        let names: Vec<_> = group.parameters.iter().map(|parameter| parameter.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"]);
        // The rate that update 10 uses.
        assert_eq!((group.lr, group.rate_of, group.initial_lr), (Some(0.009203427396521453), RateOf::Next, Some(0.01)));
        assert_eq!(group.setting("betas"), Some(&Setting::Numbers(vec![0.9, 0.95])));
        let schedule = &peer.schedules[0];
        assert_eq!((schedule.form.class.as_str(), schedule.at, schedule.late), ("composer", Some(10.0), 1));
        assert_eq!((schedule.unit, peer.accumulation), (Unit::Updates, Some(1)));
        assert!(peer.missing.iter().any(|line| line.starts_with("the schedule's shape")), "{:?}", peer.missing);
        assert!(peer.left.iter().any(|line| line.starts_with("rng")), "{:?}", peer.left);
    }

    #[test]
    fn an_algorithm_that_clips_is_read_as_it_prints_itself() {
        let mut maker = Maker::default();
        let name = maker.text("GradientClipping");
        for (printed, expected) in [
            ("GradientClipping(clipping_type='norm', clipping_threshold=0.5)", Clipping::Norm { most: 0.5, eps: 1e-6 }),
            ("GradientClipping(clipping_type='adaptive', clipping_threshold=0.5)", Clipping::Unknown),
            ("<composer.algorithms.GradientClipping object>", Clipping::Unknown),
        ] {
            let repr = maker.text(printed);
            let state = maker.dict(&[("repr", repr)]);
            let pair = maker.list(&[name, state]);
            let (list, other) = (maker.list(&[pair]), maker.list(&[]));
            let state = maker.dict(&[("algorithms", list), ("optimizers", other)]);
            let mut peer = Peer::new("x.pt", Trainer::Composer, "test");
            algorithms(&mut peer, maker.tree.at(state));
            assert_eq!(peer.clipping, expected, "{printed}");
            assert_eq!(peer.missing.is_empty(), expected != Clipping::Unknown, "{:?}", peer.missing);
        }
    }
}
