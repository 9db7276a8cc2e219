//! Files of fastai's `Learner.save`: weights, and an optimizer whose states are a list by position.

use super::budget::Budget;
use super::settings::{list, settings};
use super::{Content, Found, progress, state_dict};
use crate::peers::error::PeerError;
use crate::peers::peer::{Dialect, Group, Optimizer, Parameter, Peer, RateOf, Trainer};
use crate::peers::tree::Ref;

fn parts(found: &Found) -> Option<(Ref<'_>, Ref<'_>, &'static str)> {
    let Content::Torch { tree, format } = &found.content else { return None };
    let (model, optimizer) = (tree.root().get("model")?, tree.root().get("opt")?);
    let is_optimizer = optimizer.get("hypers").is_some() && optimizer.get("state").is_some();
    is_optimizer.then_some((model, optimizer, format))
}

/// Returns whether a file is one of fastai with an optimizer. Without one it is like any other `state_dict`.
pub(super) fn recognizes(found: &Found) -> bool {
    parts(found).is_some()
}

/// Describes the run.
///
/// # Errors
/// The weights or the optimizer are damaged or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let unknown = || PeerError::unknown(&found.path, "this is no file of fastai");
    let (model, optimizer, format) = parts(found).ok_or_else(unknown)?;
    let mut peer = Peer::new(&found.path, Trainer::Fastai, format);
    peer.model = state_dict::read(&found.path, "model", model, &mut peer.left)?;
    add_optimizer(&mut peer, optimizer)?;
    peer.updates = peer.optimizers.iter().filter_map(|optimizer| optimizer.updates).max();
    if peer.updates.is_none() {
        peer.missing.push("the number of updates: this optimizer does not count them".to_owned());
    }
    progress::rate_all(&mut peer, 0, RateOf::Last);
    peer.missing.push(
        "the schedule: that of fit_one_cycle is in no file; the rate and momentum here are those of the last update"
            .to_owned(),
    );
    peer.missing.push("the epoch and the place in the data: no file of fastai has them".to_owned());
    peer.missing.push("clipping of gradients: it is a callback, and in no file".to_owned());
    Ok(peer)
}

fn add_optimizer(peer: &mut Peer, optimizer: Ref<'_>) -> Result<(), PeerError> {
    let mut budget = Budget::default();
    let mut parameters = Vec::new();
    for (index, state) in optimizer.get("state").map(list).unwrap_or_default().into_iter().enumerate() {
        budget.spend(1 + state.entries().map_or(0, |entries| entries.len()), &peer.path, "opt")?;
        parameters.push(parameter(peer, index, state));
    }
    let hypers = optimizer.get("hypers").map(list).unwrap_or_default();
    let Some(first) = hypers.first() else {
        return Err(PeerError::damaged(&peer.path, "opt: hypers has no group"));
    };
    for hyper in &hypers {
        budget.spend(1 + hyper.entries().map_or(0, |entries| entries.len()), &peer.path, "opt")?;
    }
    let groups: Vec<Group> = hypers.iter().map(|hyper| group(*hyper)).collect();
    let alike = |group: &Group| {
        group.settings == settings(*first, &["lr"]) && group.lr == first.get("lr").and_then(Ref::number)
    };
    let is_one = groups.iter().all(alike);
    let mut class = class(&parameters);
    let mut groups = if is_one { groups.into_iter().take(1).collect() } else { groups };
    if !is_one {
        // Which parameters belong to which group is nowhere in the file.
        class = "unknown";
        peer.missing.push(format!("the groups: there are {} with other settings each, and only the splitter of the learner tells which parameters belong to which", groups.len()));
    }
    peer.remarks.push(match class {
        "Adam" => "the optimizer has the states of Adam; fastai's Lamb has the same, and is not told apart".to_owned(),
        class => format!("the optimizer is told to be {class} by its states"),
    });
    let updates = parameters.iter().filter_map(|parameter| parameter.updates).max();
    if let Some(group) = groups.first_mut() {
        group.parameters = parameters;
    }
    peer.optimizers.push(Optimizer {
        class: class.to_owned(),
        named: false,
        dialect: Dialect::Fastai,
        groups,
        updates,
    });
    Ok(())
}

fn group(hyper: Ref<'_>) -> Group {
    Group {
        lr: hyper.get("lr").and_then(Ref::number),
        rate_of: RateOf::Unknown,
        initial_lr: None,
        settings: settings(hyper, &["lr"]),
        parameters: Vec::new(),
    }
}

fn parameter(peer: &mut Peer, index: usize, state: Ref<'_>) -> Parameter {
    let mut parameter =
        Parameter { id: index.to_string(), name: None, updates: None, states: Vec::new(), numbers: Vec::new() };
    for (key, value) in state.entries().into_iter().flatten() {
        let Some(key) = key.text() else { continue };
        match (key, value.tensor(), value.bool(), value.number()) {
            ("step", _, _, Some(number)) if number >= 0.0 => parameter.updates = Some(number as u64),
            (_, Some(tensor), _, _) => parameter.states.push((key.to_owned(), tensor.clone())),
            // `do_wd` and `force_train` are marks of a parameter.
            (_, _, Some(flag), _) => parameter.numbers.push((key.to_owned(), f64::from(u8::from(flag)))),
            (_, _, _, Some(number)) => parameter.numbers.push((key.to_owned(), number)),
            _ => peer.left.push(format!("opt: `{key}` of parameter {index}")),
        }
    }
    parameter
}

fn class(parameters: &[Parameter]) -> &'static str {
    let has = |name: &str| parameters.iter().any(|it| it.states.iter().any(|(key, _)| key == name));
    let known = ["grad_avg", "sqr_avg"];
    let further = parameters.iter().flat_map(|it| &it.states).any(|(key, _)| !known.contains(&key.as_str()));
    match (has("grad_avg"), has("sqr_avg")) {
        _ if further => "unknown",
        (true, true) => "Adam",
        (false, true) => "RMSProp",
        (_, false) => "SGD",
    }
}
