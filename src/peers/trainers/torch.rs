//! A file that a script wrote with `torch.save`, of any layout: the states in it are found wherever they are, and whatever
//! they are called.

use super::survey::Survey;
use super::{Content, Found, loss_scale, models, progress, torch_optimizer, torch_schedule};
use crate::peers::error::PeerError;
use crate::peers::peer::{Optimizer, Peer, Trainer};
use crate::peers::tree::Ref;

/// Names of settings that may be the norm at which a script clips.
const CLIPPING: &[&str] =
    &["grad_clip", "clip_grad", "max_grad_norm", "clip_grad_norm", "clip_norm", "grad_clip_norm", "gradient_clip_val"];

/// Returns whether a file is one of `torch.save`.
pub(super) fn recognizes(found: &Found) -> bool {
    matches!(found.content, Content::Torch { .. })
}

/// Describes the run.
///
/// # Errors
/// Objects stand in place of their states, or a state is damaged or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let Content::Torch { tree, format } = &found.content else {
        return Err(PeerError::unknown(&found.path, "this is no file of torch.save"));
    };
    let mut peer = Peer::new(&found.path, Trainer::PyTorch, format);
    fill(&mut peer, Survey::of(tree.root(), &[]))?;
    if peer.model.tensors.is_empty() && peer.optimizers.is_empty() {
        let there = peer.left.iter().chain(peer.settings.iter().map(|(name, _)| name)).take(8);
        let there: Vec<&str> = there.map(String::as_str).collect();
        return Err(PeerError::unknown(
            &found.path,
            format!("the file has neither weights by name nor an optimizer; it has {}", there.join(", ")),
        ));
    }
    progress::settle(&mut peer);
    complete(&mut peer);
    Ok(peer)
}

/// Fills in the states that a survey found.
///
/// # Errors
/// As [`read`].
pub(super) fn fill(peer: &mut Peer, survey: Survey<'_>) -> Result<(), PeerError> {
    refuse_whole(peer, &survey)?;
    for (place, dict) in &survey.optimizers {
        torch_optimizer::add(peer, place, *dict)?;
    }
    peer.counters.extend(survey.counters);
    peer.settings.extend(survey.settings);
    peer.left.extend(survey.left);
    models::set(peer, &survey.models, &survey.averaged)?;
    add_schedules(peer, &survey.schedulers);
    if let Some((_, state)) = survey.scalers.first() {
        peer.loss_scale = loss_scale::read(*state);
    }
    for (place, _) in survey.scalers.iter().skip(1) {
        peer.left.push(format!("{place}: a further loss scale"));
    }
    Ok(())
}

/// Refuses a file whose weights or optimizers are objects, which only their own code can open.
fn refuse_whole(peer: &mut Peer, survey: &Survey<'_>) -> Result<(), PeerError> {
    let lacks = survey.models.is_empty() && survey.averaged.is_empty() || survey.optimizers.is_empty();
    let told: Vec<String> =
        survey.whole.iter().take(8).map(|(place, class)| format!("`{place}` is a {class}")).collect();
    if !told.is_empty() && lacks {
        return Err(PeerError::unsupported(
            &peer.path,
            format!(
                "{}, a whole object, which only the code of its class can open; that is not run here. Load the file \
                 with PyTorch and save the state_dict() of each instead",
                told.join(", ")
            ),
        ));
    }
    peer.left.extend(survey.whole.iter().map(|(place, class)| format!("{place}: a whole {class}")));
    Ok(())
}

/// Adds schedules, each to the optimizer that has its rates.
pub(super) fn add_schedules(peer: &mut Peer, schedulers: &[(String, Ref<'_>)]) {
    let mut taken = Vec::new();
    for (index, (place, dict)) in schedulers.iter().enumerate() {
        let rates = dict.get("_last_lr").and_then(Ref::numbers);
        let bases = dict.get("base_lrs").and_then(Ref::numbers);
        let matches = |optimizer: &Optimizer| {
            let of = |rate: fn(&crate::peers::peer::Group) -> Option<f64>| {
                optimizer.groups.iter().map(rate).collect::<Option<Vec<f64>>>()
            };
            match (&rates, &bases) {
                (Some(_), Some(_)) => of(|group| group.lr) == rates && of(|group| group.initial_lr) == bases,
                (Some(_), None) => of(|group| group.lr) == rates,
                _ => of(|group| group.initial_lr) == bases,
            }
        };
        let free = |index: &usize| !taken.contains(index);
        let fitting: Vec<usize> = (0..peer.optimizers.len())
            .filter(free)
            .filter(|at| peer.optimizers.get(*at).is_some_and(matches))
            .collect();
        let optimizer = match fitting.as_slice() {
            _ if peer.optimizers.len() <= 1 => 0,
            // Several may be alike: then their order decides.
            [_, _, ..] if fitting.contains(&index) => index,
            [first, ..] => *first,
            [] => {
                peer.remarks.push(format!("{place}: no optimizer has its rates, so it is taken for that at its place"));
                index.min(peer.optimizers.len() - 1)
            }
        };
        taken.push(optimizer);
        torch_schedule::add(peer, place, *dict, optimizer);
    }
}

/// Names what a resume needs and a script's file does not hold.
fn complete(peer: &mut Peer) {
    if peer.model.tensors.is_empty() {
        peer.missing.push("the weights: the file has an optimizer and no model".to_owned());
    }
    if peer.optimizers.is_empty() {
        peer.missing.push("the optimizer: the file has weights alone".to_owned());
        return;
    }
    peer.missing.push(
        "the place in the data: a script begins an epoch again, or draws other batches, where it does not count them"
            .to_owned(),
    );
    let hint =
        peer.settings.iter().find(|(name, _)| name.rsplit('.').next().is_some_and(|name| CLIPPING.contains(&name)));
    peer.missing.push(match hint {
        Some((name, value)) => format!("clipping of gradients: no state has it, but `{name}` is {value}"),
        None => "clipping of gradients: whether the script clips is in no state".to_owned(),
    });
}
