//! Checkpoints of Lightning: `.ckpt`.

use super::survey::Survey;
use super::{Content, Found, models, progress, state_dict, torch, torch_optimizer};
use crate::peers::error::PeerError;
use crate::peers::peer::{Averages, Counter, Peer, Trainer};
use crate::peers::tree::Ref;

/// Keys that are read apart.
const READ: &[&str] = &[
    "epoch",
    "global_step",
    VERSION,
    "state_dict",
    "current_model_state",
    "averaging_state",
    "optimizer_states",
    "lr_schedulers",
    "loops",
    "callbacks",
];
const VERSION: &str = "pytorch-lightning_version";
const BATCHES: &[&str] = &["loops", "fit_loop", "epoch_loop.batch_progress"];
const EPOCHS: &[&str] = &["loops", "fit_loop", "epoch_progress"];

fn root(found: &Found) -> Option<(Ref<'_>, &'static str)> {
    match &found.content {
        Content::Torch { tree, format } => Some((tree.root(), format)),
        _ => None,
    }
}

/// Returns whether a file is one of Lightning.
pub(super) fn recognizes(found: &Found) -> bool {
    root(found).is_some_and(|(root, _)| root.get(VERSION).is_some())
}

/// Describes the run.
///
/// # Errors
/// The weights are not there, or a state is damaged or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let (root, format) = root(found).ok_or_else(|| PeerError::unknown(&found.path, "this is no file of Lightning"))?;
    let mut peer = Peer::new(&found.path, Trainer::Lightning, format);
    peer.version = root.get(VERSION).and_then(Ref::text).map(str::to_owned);
    for (index, state) in states(root, "optimizer_states").enumerate() {
        torch_optimizer::add(&mut peer, &format!("optimizer_states[{index}]"), state)?;
    }
    add_weights(&mut peer, root)?;
    let schedulers: Vec<(String, Ref<'_>)> =
        states(root, "lr_schedulers").enumerate().map(|(index, it)| (format!("lr_schedulers[{index}]"), it)).collect();
    torch::add_schedules(&mut peer, &schedulers);
    // The scaler's key is the name of the plugin, and hyper-parameters may be under several names.
    let survey = Survey::of(root, READ);
    peer.loss_scale = survey.scalers.first().and_then(|(_, state)| super::loss_scale::read(*state));
    peer.settings = survey.settings;
    peer.left.extend(survey.left);
    for (name, state) in root.get("callbacks").and_then(Ref::entries).into_iter().flatten() {
        let name: String = super::settings::text(name).chars().take_while(|letter| *letter != '{').collect();
        let entries = state.entries().map_or(0, |entries| entries.len());
        peer.left.push(format!("callbacks: the state of {name}, of {entries} entries"));
    }
    add_counters(&mut peer, root);
    progress::settle(&mut peer);
    tell_unreported(&mut peer);
    complete(&mut peer, root);
    Ok(peer)
}

fn states<'a>(root: Ref<'a>, key: &str) -> impl Iterator<Item = Ref<'a>> {
    root.get(key).and_then(Ref::items).into_iter().flatten()
}

/// With a callback for averaging `state_dict` has the averages, and the weights that the moments belong to are apart.
fn add_weights(peer: &mut Peer, root: Ref<'_>) -> Result<(), PeerError> {
    let path = peer.path.clone();
    let dict = root.get("state_dict").filter(|dict| dict.entries().is_some_and(|entries| entries.len() > 0));
    let dict = dict.ok_or_else(|| {
        PeerError::unsupported(
            &path,
            "state_dict is not in the file: a strategy that shards saved the weights elsewhere; save the whole state",
        )
    })?;
    let Some(live) = root.get("current_model_state") else {
        peer.model = state_dict::read(&path, "state_dict", dict, &mut peer.left)?;
        return Ok(());
    };
    peer.model = state_dict::read(&path, "current_model_state", live, &mut peer.left)?;
    let averages = state_dict::read(&path, "state_dict", dict, &mut peer.left)?;
    let count = root.at(&["averaging_state", "n_averaged"]).and_then(Ref::int);
    models::set_averages(peer, "state_dict", averages, count.and_then(|count| u64::try_from(count).ok()));
    if let Some(Averages { .. }) = &peer.averages {
        peer.remarks.push(
            "state_dict has the averages of the weights, and current_model_state those that the optimizer updates: a \
             program that loads state_dict alone trains on from the averages"
                .to_owned(),
        );
        peer.missing.push("the decay of the averages: it is in the callback, and in no file".to_owned());
    }
    Ok(())
}

fn add_counters(peer: &mut Peer, root: Ref<'_>) {
    let number = |path: &[&str]| root.at(path).and_then(Ref::number);
    let within = |path: &'static [&'static str], further: [&'static str; 2]| number(&[path, &further].concat());
    let optimizers = peer.optimizers.len();
    let steps = number(&["global_step"]);
    let mut count = |name: &str, value: Option<f64>, counts: &str| {
        peer.counters.extend(value.map(|value| Counter { name: name.to_owned(), value, counts: counts.to_owned() }));
    };
    count("epoch", number(&["epoch"]), "the number of the epoch that was running, from 0");
    count("global_step", steps, if optimizers > 1 { "updates of all optimizers together" } else { "updates" });
    count(
        "loops.fit_loop.epoch_loop.batch_progress.total.processed",
        within(BATCHES, ["total", "processed"]),
        "batches",
    );
    count(
        "loops.fit_loop.epoch_loop.batch_progress.current.processed",
        within(BATCHES, ["current", "processed"]),
        "batches of the epoch that was running",
    );
    count("loops.fit_loop.epoch_progress.total.completed", within(EPOCHS, ["total", "completed"]), "epochs that ended");
    peer.epochs = epochs(root);
    let own = peer.optimizers.iter().filter_map(|optimizer| optimizer.updates).max();
    let whole = |value: f64| (value >= 0.0).then_some(value as u64);
    let batches = within(BATCHES, ["total", "processed"]);
    peer.updates = match optimizers {
        0 | 1 => own.or(steps.and_then(whole)),
        // Each batch is an update of each, where no micro-batches are summed.
        _ => own.or(batches.and_then(whole)),
    };
    if let (true, None, Some(batches)) = (optimizers > 1, own, batches) {
        peer.remarks.push(format!("no optimizer counts its updates; the {batches} batches are taken for them"));
    }
}

/// Returns the epochs done, with the part of one that is running where its length can be told.
fn epochs(root: Ref<'_>) -> Option<f64> {
    let number = |path: &[&str], further: [&str; 2]| root.at(&[path, &further].concat()).and_then(Ref::number);
    let ready = number(EPOCHS, ["total", "ready"])?;
    let batches = root.at(BATCHES)?;
    let (current, total) = (number(BATCHES, ["current", "processed"])?, number(BATCHES, ["total", "processed"])?);
    if ready < 1.0 {
        return Some(0.0);
    }
    if batches.get("is_last_batch").and_then(Ref::bool) == Some(true) {
        return Some(ready);
    }
    let length = (total - current) / (ready - 1.0);
    (ready > 1.0 && length >= 1.0).then(|| ready - 1.0 + current / length)
}

/// Says where a file was saved before the metric of its last epoch was reported.
fn tell_unreported(peer: &mut Peer) {
    let epochs = peer.epochs.filter(|epochs| epochs.fract() == 0.0).unwrap_or_default();
    let follows = |class: &str| class == "torch.ReduceLROnPlateau";
    let behind =
        peer.schedules.iter().any(|one| follows(&one.form.class) && one.at.is_some_and(|at| at + 1.0 == epochs));
    if behind {
        peer.remarks.push(format!(
            "ReduceLROnPlateau has had {} reports in {epochs} epochs: Lightning saved before that of the last, and its own \
             resume does not make up for it",
            epochs - 1.0
        ));
    }
}

fn complete(peer: &mut Peer, root: Ref<'_>) {
    if peer.optimizers.is_empty() {
        peer.missing.push("the optimizer and the schedule: the file was saved with weights alone".to_owned());
        return;
    }
    let within_epoch = peer.epochs.is_none_or(|epochs| epochs.fract() != 0.0) && root.at(BATCHES).is_some();
    peer.missing.push(match within_epoch {
        true => "the place in the data: Lightning itself begins with the first batches of the epoch again".to_owned(),
        false => "the order of the data: the loader's random state is not in the file".to_owned(),
    });
    peer.missing.push("states of random generators: Lightning saves none".to_owned());
    peer.missing.push(
        "clipping of gradients, and micro-batches per update: they are arguments of the Trainer, and in no file"
            .to_owned(),
    );
}
