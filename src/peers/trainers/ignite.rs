//! Checkpoints of Ignite: the states of an engine and of whatever else the script names.

use super::survey::Survey;
use super::{Content, Found, ignite_schedule, progress, torch};
use crate::peers::error::PeerError;
use crate::peers::peer::{Counter, Peer, Trainer};
use crate::peers::tree::Ref;

fn engine(root: Ref<'_>) -> Option<(&str, Ref<'_>)> {
    let is_engine = |value: Ref<'_>| {
        let has = |key: &str| value.get(key).is_some();
        has("epoch_length") && (has("max_epochs") || has("max_iters")) && (has("iteration") || has("epoch"))
    };
    root.entries()?.filter_map(|(key, value)| Some((key.text()?, value))).find(|(_, value)| is_engine(*value))
}

/// Returns whether a file has the state of an engine.
pub(super) fn recognizes(found: &Found) -> bool {
    matches!(&found.content, Content::Torch { tree, .. } if engine(tree.root()).is_some())
}

/// Describes the run.
///
/// # Errors
/// A state is damaged or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let unknown = || PeerError::unknown(&found.path, "this is no file of Ignite");
    let Content::Torch { tree, format } = &found.content else { return Err(unknown()) };
    let root = tree.root();
    let (name, engine) = engine(root).ok_or_else(unknown)?;
    let mut peer = Peer::new(&found.path, Trainer::Ignite, format);
    let schedulers: Vec<(String, Ref<'_>)> = (root.entries().into_iter().flatten())
        .filter_map(|(key, value)| Some((key.text()?.to_owned(), value)))
        .filter(|(_, value)| ignite_schedule::is_scheduler(*value))
        .collect();
    let read: Vec<&str> = schedulers.iter().map(|(key, _)| key.as_str()).chain([name]).collect();
    torch::fill(&mut peer, Survey::of(root, &read))?;
    add_progress(&mut peer, name, engine);
    for (place, state) in schedulers {
        ignite_schedule::add(&mut peer, &place, state);
    }
    progress::settle(&mut peer);
    peer.missing
        .push("the place in the data: Ignite itself begins a new pass, and its epochs end by the counter".to_owned());
    peer.missing.push("clipping of gradients: the script's update does it, and no state has it".to_owned());
    Ok(peer)
}

fn add_progress(peer: &mut Peer, name: &str, engine: Ref<'_>) {
    let number = |key: &str| engine.get(key).and_then(Ref::number);
    let (length, iteration, epoch) = (number("epoch_length"), number("iteration"), number("epoch"));
    let mut count = |key: &str, value: Option<f64>, counts: &str| {
        let counter = |value| Counter { name: format!("{name}.{key}"), value, counts: counts.to_owned() };
        peer.counters.extend(value.map(counter));
    };
    count("iteration", iteration, "calls of the script's update, which may be micro-batches");
    count("epoch", epoch, "epochs done");
    count("epoch_length", length, "iterations of an epoch");
    count("max_epochs", number("max_epochs"), "epochs of the whole run");
    peer.epochs = match (epoch, iteration, length) {
        (Some(epoch), _, _) => Some(epoch),
        (None, Some(iteration), Some(length)) if length > 0.0 => Some(iteration / length),
        _ => None,
    };
}
