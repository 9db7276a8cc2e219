//! Folders of accelerate's `save_state`: the states of all that was prepared, each in a file.

use super::folder::Folder;
use super::survey::Survey;
use super::{Found, loss_scale, models, progress, torch, torch_optimizer};
use crate::peers::error::PeerError;
use crate::peers::peer::{Counter, Model, Peer, Trainer, Unit};
use crate::peers::tree::Ref;

/// Returns whether a folder is one of accelerate.
pub(super) fn recognizes(found: &Found) -> bool {
    let Some(folder) = Folder::of(found) else { return false };
    let is_state = folder.first(&["optimizer.bin", "scheduler.bin", "random_states_0.pkl"]).is_some();
    is_state && folder.first(&["trainer_state.json", "training_args.bin"]).is_none()
}

/// Describes the run.
///
/// # Errors
/// A file is not there, empty, damaged, or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let folder =
        Folder::of(found).ok_or_else(|| PeerError::unknown(&found.path, "a state of accelerate is a folder"))?;
    let mut peer = Peer::new(&found.path, Trainer::Accelerate, "folder of accelerate");
    refuse_parts(&folder)?;
    let optimizers = folder.series("optimizer", ".bin");
    if optimizers.is_empty() {
        folder.file("optimizer.bin")?;
    }
    for name in &optimizers {
        let tree = folder.torch(name)?;
        if !torch_optimizer::is_optimizer(tree.root()) {
            return Err(PeerError::damaged(folder.path.join(name), "it is no state of an optimizer"));
        }
        torch_optimizer::add(&mut peer, name, tree.root())?;
    }
    add_models(&mut peer, &folder)?;
    let schedulers = folder.series("scheduler", ".bin");
    let trees: Result<Vec<_>, PeerError> =
        schedulers.iter().map(|name| Ok((name.clone(), folder.torch(name)?))).collect();
    let trees = trees?;
    let states: Vec<(String, Ref<'_>)> = trees.iter().map(|(name, tree)| (name.clone(), tree.root())).collect();
    torch::add_schedules(&mut peer, &states);
    add_custom(&mut peer, &folder)?;
    add_random(&mut peer, &folder)?;
    if folder.has("scaler.pt") {
        peer.loss_scale = loss_scale::read(folder.torch("scaler.pt")?.root());
    }
    settle_processes(&mut peer, &folder);
    progress::settle(&mut peer);
    complete(&mut peer, &folder);
    Ok(peer)
}

/// Refuses the forms in which the states are in parts, by name.
fn refuse_parts(folder: &Folder) -> Result<(), PeerError> {
    if folder.path.join("pytorch_model").is_dir() {
        return Err(PeerError::unsupported(
            &folder.path,
            "the model and the optimizer of this state are DeepSpeed's; open the folder pytorch_model in it",
        ));
    }
    let is_part = |name: &&String| {
        name.starts_with("pytorch_model_fsdp") || name.starts_with("optimizer_0") && !name.ends_with(".bin")
    };
    match folder.names.iter().find(is_part) {
        Some(name) => Err(PeerError::unsupported(
            &folder.path,
            format!(
                "{name} is of FSDP, in parts; save with the state dict type FULL_STATE_DICT, or open {name} itself"
            ),
        )),
        None => Ok(()),
    }
}

fn add_models(peer: &mut Peer, folder: &Folder) -> Result<(), PeerError> {
    let mut all: Vec<(String, Model)> = Vec::new();
    for index in 0.. {
        let end = if index == 0 { String::new() } else { format!("_{index}") };
        match folder.weights(&format!("model{end}"), &format!("pytorch_model{end}"), peer)? {
            Some(model) => all.push((format!("model{end}"), model)),
            None => break,
        }
    }
    if all.is_empty() {
        all = of_diffusers(peer, folder)?;
    }
    if all.is_empty() {
        folder.file("model.safetensors")?;
    }
    models::choose(peer, all);
    Ok(())
}

/// Returns the models that scripts of diffusers save in folders by their names, such as `unet`.
fn of_diffusers(peer: &mut Peer, folder: &Folder) -> Result<Vec<(String, Model)>, PeerError> {
    let mut all = Vec::new();
    for name in folder.names.iter().filter(|name| folder.path.join(name).is_dir()) {
        let inner = Folder::open(&folder.path.join(name))?;
        let stem = "diffusion_pytorch_model";
        all.extend(inner.weights(stem, stem, peer)?.map(|model| (name.clone(), model)));
    }
    Ok(all)
}

/// Adds the objects that the script registered for saving.
fn add_custom(peer: &mut Peer, folder: &Folder) -> Result<(), PeerError> {
    let names = (0..).map(|index| format!("custom_checkpoint_{index}.pkl")).take_while(|name| folder.has(name));
    for name in names.collect::<Vec<_>>() {
        let tree = folder.torch(&name)?;
        let survey = Survey::of(tree.root(), &[]);
        let place = |inner: String| format!("{name}: {inner}");
        let counters = survey.counters.into_iter();
        peer.counters.extend(counters.map(|counter| Counter { name: place(counter.name), ..counter }));
        peer.settings.extend(survey.settings.into_iter().map(|(inner, value)| (place(inner), value)));
        peer.left.extend(survey.left.into_iter().map(place));
        let states = [&survey.models, &survey.averaged, &survey.optimizers, &survey.schedulers, &survey.scalers];
        let states = states.into_iter().flatten().map(|(inner, _)| place(inner.clone()));
        peer.left.extend(states.map(|place| format!("{place}: a state that the script registered")));
    }
    Ok(())
}

fn add_random(peer: &mut Peer, folder: &Folder) -> Result<(), PeerError> {
    for name in folder.names.iter().filter(|name| name.starts_with("random_states_")) {
        peer.left.push(format!("{name}: states of random generators"));
    }
    if !folder.has("random_states_0.pkl") {
        peer.missing.push("states of random generators: random_states_0.pkl is not in the folder".to_owned());
        return Ok(());
    }
    let tree = folder.torch("random_states_0.pkl")?;
    if let Some(value) = tree.root().get("step").and_then(Ref::number) {
        let counts = "micro-batches, and only those within accumulate()".to_owned();
        peer.counters.push(Counter { name: "random_states_0.pkl: micro-batches".to_owned(), value, counts });
    }
    Ok(())
}

/// With several processes a prepared scheduler moves as many steps at each update.
fn settle_processes(peer: &mut Peer, folder: &Folder) {
    let processes = folder.names.iter().filter(|name| name.starts_with("random_states_")).count();
    if processes < 2 {
        return;
    }
    let updates = peer.optimizers.iter().filter_map(|optimizer| optimizer.updates).max();
    for schedule in &mut peer.schedules {
        let (Some(at), Some(updates)) = (schedule.at, updates) else { continue };
        if at == updates as f64 * processes as f64 {
            peer.missing.push(format!(
                "the schedule in updates of one process: {processes} processes ran, and the scheduler moved {processes} \
                 steps at each of {updates} updates, to {at}"
            ));
            schedule.unit = Unit::Unknown;
        }
    }
}

fn complete(peer: &mut Peer, folder: &Folder) {
    let data = match folder.names.iter().any(|name| name.starts_with("sampler") || name.starts_with("dl_state_dict")) {
        true => "the place in the data: the sampler's state is there, but nobody here reads it",
        false => "the place in the data: the default sampler is found again at the end of an epoch alone",
    };
    peer.missing.push(data.to_owned());
    peer.missing.push("clipping of gradients: the script clips, and no file has it".to_owned());
    if peer.epochs.is_none() {
        peer.missing.push("the epoch: no file has it, but in what the script registers".to_owned());
    }
    if !peer.model.in_order {
        peer.missing.push(
            "names of the parameters in the optimizer: ids follow the order of registration, and the weights are sorted"
                .to_owned(),
        );
    }
    let is_read = |name: &str| {
        ["optimizer", "scheduler", "model", "pytorch_model", "random_states", "custom_checkpoint", "scaler.pt"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    peer.left.extend(folder.names.iter().filter(|name| !is_read(name)).cloned());
}
