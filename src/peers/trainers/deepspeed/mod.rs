//! DeepSpeed: a folder of each save (`global_step10/`), and `latest` beside it that names the last.
//!
//! The model file has weights, counters and configuration. Without ZeRO it has PyTorch's optimizer state too. With stage 1
//! or 2 each process has a file with its part of flat master weights and moments ([`partitions`]). Stage 3, tensor and
//! pipeline parallelism split the weights themselves, and are refused by name.

mod config;
mod made;
mod partitions;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::{Content, Found, names, settings, state_dict, torch_optimizer, torch_schedule};
use crate::peers::error::PeerError;
use crate::peers::formats::torch;
use crate::peers::peer::{Clipping, Counter, Form, Peer, RateOf, Schedule, Setting, Trainer, Unit};
use crate::peers::tree::Ref;

/// The file that names the last save.
const LATEST: &str = "latest";

/// The model file of a run that does not split its weights.
const MODEL: &str = "mp_rank_00_model_states.pt";

/// Ends of names by which a folder of DeepSpeed is known.
const ENDS: &[&str] = &["_model_states.pt", "_optim_states.pt", "-model_states.pt"];

/// Keys of the model file that are read here; all others are the script's.
const KNOWN: &[&str] = &[
    "module",
    "buffer_names",
    "optimizer",
    "param_shapes",
    "frozen_param_shapes",
    "shared_params",
    "frozen_param_fragments",
    "lr_scheduler",
    "skipped_steps",
    "global_steps",
    "global_samples",
    "dp_world_size",
    "mp_world_size",
    "ds_config",
    "ds_version",
    "sparse_tensor_module_names",
    "checkpoint_parallel_dimensions",
];

/// Returns whether a folder is one of DeepSpeed, or a file is its model file.
pub(super) fn recognizes(found: &Found) -> bool {
    match &found.content {
        Content::Folder(names) => is_save(names) || names.iter().any(|name| name == LATEST),
        Content::Torch { tree, .. } => is_model_file(tree.root()) || is_optimizer_file(tree.root()),
        Content::Other(_) => false,
    }
}

fn is_save(names: &[String]) -> bool {
    names.iter().any(|name| ENDS.iter().any(|end| name.ends_with(end)))
}

fn is_model_file(root: Ref<'_>) -> bool {
    root.get("module").is_some() && root.get("ds_version").is_some() && root.get("global_steps").is_some()
}

fn is_optimizer_file(root: Ref<'_>) -> bool {
    root.get("optimizer_state_dict").is_some() && root.get("ds_version").is_some()
}

/// Describes the run.
///
/// # Errors
/// The folder is incomplete, a file is damaged, or the weights are split in a way that is not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let folder = save(found)?;
    let listed = names(&folder)?;
    refuse_split(&folder, &listed)?;
    let path = folder.join(MODEL);
    if !listed.iter().any(|name| name == MODEL) {
        return Err(PeerError::damaged(&folder, format!("`{MODEL}` is missing; the save did not finish")));
    }
    let (tree, format) = torch::read(&path)?;
    let root = tree.root();
    if !is_model_file(root) {
        return Err(PeerError::damaged(&path, "it is no model file of DeepSpeed: keys of it are missing"));
    }
    let mut peer = Peer::new(&found.path, Trainer::DeepSpeed, format);
    refuse_ranks(&path, root)?;
    counters(&mut peer, root);
    let module = root.get("module").filter(|module| !module.is_null());
    let module = module.ok_or_else(|| PeerError::unsupported(&path, "the weights are not in the model file"))?;
    peer.model = state_dict::read(&path, "module", module, &mut peer.left)?;
    config::read(&mut peer, root);
    if partitions::are(&listed) {
        partitions::read(&mut peer, &folder, &listed, root)?;
    } else {
        whole_optimizer(&mut peer, &path, root)?;
    }
    config::name_class(&mut peer, root);
    schedule(&mut peer, root);
    for group in peer.optimizers.iter_mut().flat_map(|optimizer| &mut optimizer.groups) {
        group.rate_of = if peer.schedules.is_empty() { RateOf::Constant } else { RateOf::Next };
    }
    complete(&mut peer, root);
    Ok(peer)
}

/// Returns the folder of one save: the one that was named, the one that `latest` names, or that of the file.
fn save(found: &Found) -> Result<PathBuf, PeerError> {
    let Content::Folder(names) = &found.content else {
        return Ok(found.path.parent().map(Path::to_owned).unwrap_or_default());
    };
    if is_save(names) {
        return Ok(found.path.clone());
    }
    let latest = found.path.join(LATEST);
    let tag = std::fs::read_to_string(&latest).map_err(|error| PeerError::io(&latest, error))?;
    let tag = tag.trim();
    if tag.is_empty() || tag == ".." || tag.contains(['/', '\\']) {
        return Err(PeerError::damaged(&latest, format!("{tag:?} is no name of a folder beside it")));
    }
    let folder = found.path.join(tag);
    if !folder.is_dir() {
        return Err(PeerError::damaged(&latest, format!("it names {tag:?}, and there is no such folder beside it")));
    }
    Ok(folder)
}

/// Refuses a save whose weights are split over files.
fn refuse_split(folder: &Path, names: &[String]) -> Result<(), PeerError> {
    let has = |fits: &dyn Fn(&str) -> bool| names.iter().find(|name| fits(name));
    let is_third = |name: &str| name.contains("zero_pp_rank_") && name.ends_with("_model_states.pt");
    let split = [
        (
            has(&is_third),
            "ZeRO stage 3 splits the weights; write them whole with DeepSpeed's `zero_to_fp32.py`, or save a universal checkpoint",
        ),
        (
            has(&|name| name.ends_with("-model_states.pt")),
            "a pipeline splits the layers; run it with one stage, or save its weights whole",
        ),
        (has(&|name| name.contains("_expert_")), "experts are split over files; that is not read"),
        (
            has(&|name| name.starts_with("mp_rank_") && name.ends_with("_model_states.pt") && name != MODEL),
            "tensor parallelism splits the weights; that is not read",
        ),
    ];
    match split.into_iter().find_map(|(name, why)| Some((name?, why))) {
        Some((name, why)) => Err(PeerError::unsupported(folder, format!("`{name}`: {why}"))),
        None => Ok(()),
    }
}

fn refuse_ranks(path: &Path, root: Ref<'_>) -> Result<(), PeerError> {
    match root.get("mp_world_size").and_then(Ref::int) {
        Some(ranks) if ranks > 1 => Err(PeerError::unsupported(
            path,
            format!("the weights are split over {ranks} processes by tensor parallelism; that is not read"),
        )),
        _ => Ok(()),
    }
}

fn counters(peer: &mut Peer, root: Ref<'_>) {
    let mut count = |name: &str, counts: &str| {
        let value = root.get(name).and_then(Ref::int).and_then(|count| u64::try_from(count).ok())?;
        peer.counters.push(Counter { name: name.to_owned(), value: value as f64, counts: counts.to_owned() });
        Some(value)
    };
    let steps = count("global_steps", "updates, with those that were skipped");
    let skipped = count("skipped_steps", "updates that were skipped since gradients overflowed");
    count("global_samples", "rows of data");
    peer.updates = steps.map(|steps| steps.saturating_sub(skipped.unwrap_or(0)));
    if let Some(epoch) = root.get("epoch").and_then(Ref::number) {
        let counts = "epochs as the script counts them: those done, or the last one's number".to_owned();
        peer.counters.push(Counter { name: "epoch".to_owned(), value: epoch, counts });
        peer.epochs = Some(epoch);
    }
    peer.version = root.get("ds_version").and_then(Ref::text).map(str::to_owned);
}

/// Without ZeRO the model file has the state of PyTorch's optimizer. A wrapper for f16 has it inside, with flat weights.
fn whole_optimizer(peer: &mut Peer, path: &Path, root: Ref<'_>) -> Result<(), PeerError> {
    let Some(state) = root.get("optimizer").filter(|state| !state.is_null()) else {
        if root.at(&["ds_config", "zero_optimization", "stage"]).and_then(Ref::int).is_some_and(|stage| stage > 0) {
            let what = "the run has ZeRO, and the files of the optimizer (`…_optim_states.pt`) are missing; the save did not finish";
            return Err(PeerError::damaged(path, what));
        }
        peer.missing.push("the optimizer: it was not saved".to_owned());
        return Ok(());
    };
    if !torch_optimizer::is_optimizer(state) {
        return Err(PeerError::unsupported(
            path,
            "`optimizer` is the state of DeepSpeed's optimizer for f16 without ZeRO, whose weights are flat; that is \
             not read. Save with ZeRO stage 1",
        ));
    }
    torch_optimizer::add(peer, "optimizer", state)?;
    Ok(())
}

/// PyTorch's schedulers save their state, DeepSpeed's own only their counter; the configuration has the rest.
fn schedule(peer: &mut Peer, root: Ref<'_>) {
    let Some(state) = root.get("lr_scheduler").filter(|state| !state.is_null()) else { return };
    if peer.optimizers.is_empty() {
        peer.left.push("lr_scheduler: a schedule without an optimizer".to_owned());
        return;
    }
    if torch_schedule::is_scheduler(state) {
        torch_schedule::add(peer, "lr_scheduler", state, 0);
        let updates = peer.updates.map(|updates| updates as f64);
        if let Some(schedule) = peer.schedules.last_mut() {
            // DeepSpeed steps the scheduler that it is given at each update.
            schedule.unit = if schedule.at == updates { Unit::Updates } else { Unit::Unknown };
        }
        return;
    }
    let Some(at) = state.get("last_batch_iteration").and_then(Ref::number) else {
        peer.missing.push("the schedule: the state under `lr_scheduler` is of no known scheduler".to_owned());
        return;
    };
    let config = root.at(&["ds_config", "scheduler"]);
    let class = config.and_then(|config| config.get("type")).and_then(Ref::text);
    if class.is_none() {
        peer.missing.push(
            "the schedule's form: DeepSpeed's schedulers save only their counter, and the configuration names none"
                .to_owned(),
        );
    }
    let params = config.and_then(|config| config.get("params"));
    peer.schedules.push(Schedule {
        form: Form {
            class: class.map_or_else(|| "unknown".to_owned(), |class| format!("deepspeed.{class}")),
            settings: params.map(|params| settings::settings(params, &[])).unwrap_or_default(),
            members: Vec::new(),
        },
        optimizer: 0,
        // It is that of the last update; the rate in the groups is already the next one's.
        at: Some(at + 1.0),
        unit: Unit::Updates,
        base_lrs: Vec::new(),
        last_lrs: Vec::new(),
        late: 0,
        in_f32: false,
    });
}

/// Names what a resume needs and the folder does not hold.
fn complete(peer: &mut Peer, root: Ref<'_>) {
    for (key, value) in root.entries().into_iter().flatten() {
        let Some(key) = key.text().filter(|key| !KNOWN.contains(key) && *key != "epoch") else { continue };
        match settings::setting(value) {
            Setting::Null => {}
            Setting::Other(_) => peer.left.push(format!("{key}: {}", settings::text(value))),
            setting => peer.settings.push((key.to_owned(), settings::words(&setting))),
        }
    }
    if peer.clipping == Clipping::Unknown {
        peer.missing.push(
            "clipping of gradients: the configuration does not name it; DeepSpeed 0.19.8 clips to 1.0 then, older \
             releases do not"
                .to_owned(),
        );
    }
    peer.missing.push("the place in the data: DeepSpeed leaves it to the script".to_owned());
    peer.missing.push("the states of the random generators: DeepSpeed leaves them to the script".to_owned());
}
