//! Checkpoints of transformers' `Trainer`: a folder `checkpoint-N`, or the folder of a run that has several.

use super::folder::Folder;
use super::transformers_args::Arguments;
use super::{Found, loss_scale, progress, settings, torch_optimizer, torch_schedule};
use crate::peers::error::PeerError;
use crate::peers::peer::{Architecture, Clipping, Counter, Optimizer, Peer, RateOf, Trainer, Unit};
use crate::peers::tree::Ref;

const STATE: &str = "trainer_state.json";
const ARGUMENTS: &str = "training_args.bin";
const OPTIMIZER: &str = "optimizer.pt";
const SCHEDULER: &str = "scheduler.pt";

/// Files that are read here.
const READ: &[&str] = &[STATE, ARGUMENTS, OPTIMIZER, SCHEDULER, "scaler.pt", "config.json", "adapter_config.json"];
/// Weights by the names that the trainer gives them: of safetensors, and of PyTorch.
const WEIGHTS: &[(&str, &str)] = &[("model", "pytorch_model"), ("adapter_model", "adapter_model")];

/// Returns whether a folder is a checkpoint of transformers, or has some.
pub(super) fn recognizes(found: &Found) -> bool {
    let Some(folder) = Folder::of(found) else { return false };
    folder.first(&[STATE, ARGUMENTS]).is_some()
        || newest(&folder).is_some()
        || folder.has(OPTIMIZER) && folder.has(SCHEDULER)
        || has_weights(&folder)
}

fn has_weights(folder: &Folder) -> bool {
    WEIGHTS
        .iter()
        .flat_map(|(safe, bin)| [format!("{safe}.safetensors"), format!("{bin}.bin")])
        .any(|whole| folder.has(&whole) || folder.has(&format!("{whole}.index.json")))
}

/// Returns the name of the newest checkpoint in the folder of a run.
fn newest(folder: &Folder) -> Option<&str> {
    let numbered = folder.names.iter().filter_map(|name| {
        let number: u64 = name.strip_prefix("checkpoint-")?.parse().ok()?;
        folder.path.join(name).is_dir().then_some((number, name.as_str()))
    });
    numbered.max().map(|(_, name)| name)
}

/// Describes the run.
///
/// # Errors
/// A file is not there, empty, damaged, or not read.
pub(super) fn read(found: &Found) -> Result<Peer, PeerError> {
    let mut folder =
        Folder::of(found).ok_or_else(|| PeerError::unknown(&found.path, "a checkpoint of transformers is a folder"))?;
    let mut peer = Peer::new(&found.path, Trainer::Transformers, "folder of transformers");
    // At the end of a run its folder gets the weights too, but never the optimizer.
    if let Some(name) = newest(&folder).filter(|_| !folder.has(OPTIMIZER)).map(str::to_owned) {
        peer.remarks.push(format!("{name} is read, the newest of the checkpoints in the folder"));
        peer.path = folder.path.join(&name);
        folder = Folder::open(&peer.path)?;
    }
    let arguments = folder.has(ARGUMENTS).then(|| folder.torch(ARGUMENTS)).transpose()?;
    let arguments = arguments.as_ref().map(|tree| Arguments::of(tree.root()));
    add_configuration(&mut peer, &folder)?;
    add_weights(&mut peer, &folder)?;
    let trained = is_whole(&folder, arguments.as_ref())?;
    if trained {
        add_state(&mut peer, &folder)?;
        let tree = folder.torch(OPTIMIZER)?;
        torch_optimizer::add(&mut peer, "optimizer.pt", tree.root())?;
    } else {
        let why = "the optimizer, the schedule and the random states: the checkpoint was saved with weights alone";
        peer.missing.push(why.to_owned());
        if folder.has(STATE) {
            add_state(&mut peer, &folder)?;
        }
    }
    if let Some(arguments) = &arguments {
        arguments.add(&mut peer);
    } else {
        peer.missing.push(format!("{ARGUMENTS}: clipping, batch size and seed of the run are in it alone"));
    }
    if trained {
        add_schedule(&mut peer, &folder, arguments.as_ref())?;
        progress::settle(&mut peer);
        complete(&mut peer, arguments.as_ref());
    }
    if folder.has("scaler.pt") {
        peer.loss_scale = loss_scale::read(folder.torch("scaler.pt")?.root());
    }
    let is_read = |name: &str| {
        READ.contains(&name) || WEIGHTS.iter().any(|(safe, bin)| name.starts_with(safe) || name.starts_with(bin))
    };
    peer.left.extend(folder.names.iter().filter(|name| !is_read(name)).cloned());
    Ok(peer)
}

/// Returns whether the folder holds a run, rather than weights that were saved without one.
fn is_whole(folder: &Folder, arguments: Option<&Arguments<'_>>) -> Result<bool, PeerError> {
    let (optimizer, state) = (folder.has(OPTIMIZER), folder.has(STATE));
    if let Some(name) = folder.names.iter().find(|name| name.starts_with("global_step")).filter(|_| !optimizer) {
        return Err(PeerError::unsupported(
            &folder.path,
            format!("the optimizer of this checkpoint is DeepSpeed's; open the folder {name} in it"),
        ));
    }
    if folder.has("optimizer_0") || folder.has("pytorch_model_fsdp_0") {
        return Err(PeerError::unsupported(
            &folder.path,
            "the checkpoint is of FSDP, in parts; open the folders pytorch_model_fsdp_0 and optimizer_0 in it, or save \
             with fsdp_state_dict_type FULL_STATE_DICT",
        ));
    }
    if optimizer || folder.has(SCHEDULER) {
        // The trainer writes the state last.
        for name in [OPTIMIZER, SCHEDULER, STATE] {
            folder.file(name)?;
        }
        return Ok(true);
    }
    let weights_alone = arguments.is_some_and(|arguments| arguments.flag("save_only_model"));
    if state && !weights_alone {
        folder.file(OPTIMIZER)?;
    }
    Ok(false)
}

fn add_configuration(peer: &mut Peer, folder: &Folder) -> Result<(), PeerError> {
    if !folder.has("config.json") {
        return Ok(());
    }
    let tree = folder.json("config.json")?;
    let root = tree.root();
    let text = |key: &str| root.get(key).and_then(Ref::text).map(str::to_owned);
    peer.version = text("transformers_version");
    let kind = text("model_type").unwrap_or_else(|| "unknown".to_owned());
    peer.architecture = Some(Architecture { kind, settings: settings::settings(root, &["model_type"]) });
    Ok(())
}

fn add_weights(peer: &mut Peer, folder: &Folder) -> Result<(), PeerError> {
    for (safe, bin) in WEIGHTS {
        if let Some(model) = folder.weights(safe, bin, peer)? {
            peer.model = model;
            if *safe == "adapter_model" {
                peer.remarks
                    .push("the weights are those of an adapter; those of the model below it are not here".to_owned());
            }
            return Ok(());
        }
    }
    // Its own error names the file and the remedy.
    folder.file("model.safetensors").map(|_| ())
}

fn add_state(peer: &mut Peer, folder: &Folder) -> Result<(), PeerError> {
    let tree = folder.json(STATE)?;
    let root = tree.root();
    let number = |key: &str| root.get(key).and_then(Ref::number);
    let updates = root.get("global_step").and_then(Ref::int).and_then(|step| u64::try_from(step).ok());
    let updates = updates.ok_or_else(|| PeerError::damaged(folder.path.join(STATE), "global_step is no count"))?;
    peer.updates = Some(updates);
    peer.epochs = number("epoch");
    let mut count = |name: &str, value: Option<f64>, counts: &str| {
        let counter = |value| Counter { name: format!("{STATE}: {name}"), value, counts: counts.to_owned() };
        peer.counters.extend(value.map(counter));
    };
    count("global_step", Some(updates as f64), "updates");
    count("epoch", number("epoch"), "epochs done, with a fraction within one");
    count("max_steps", number("max_steps"), "updates of the whole run");
    count("num_train_epochs", number("num_train_epochs"), "epochs of the whole run");
    count("num_input_tokens_seen", number("num_input_tokens_seen").filter(|seen| *seen > 0.0), "tokens");
    if let Some(history) = root.get("log_history").and_then(Ref::items) {
        peer.left.push(format!("{STATE}: log_history of {} entries", history.len()));
    }
    Ok(())
}

fn add_schedule(peer: &mut Peer, folder: &Folder, arguments: Option<&Arguments<'_>>) -> Result<(), PeerError> {
    let tree = folder.torch(SCHEDULER)?;
    if !torch_schedule::is_scheduler(tree.root()) {
        return Err(PeerError::damaged(folder.path.join(SCHEDULER), "it is no state of a scheduler"));
    }
    let lines = peer.missing.len();
    torch_schedule::add(peer, SCHEDULER, tree.root(), 0);
    let updates = peer.updates;
    let Some(schedule) = peer.schedules.last_mut() else { return Ok(()) };
    schedule.unit = Unit::Updates;
    if let (Some(at), Some(updates)) = (schedule.at, updates)
        && at != updates as f64
    {
        peer.remarks.push(format!("the scheduler stands at {at} after {updates} updates"));
    }
    let total = peer.counters.iter().find(|counter| counter.name.ends_with("max_steps")).map(|counter| counter.value);
    if let Some(form) = arguments.and_then(|arguments| arguments.schedule(&schedule.form, total)) {
        // The arguments have what the state lacks.
        schedule.form = form;
        peer.missing.truncate(lines);
    }
    progress::rate_all(peer, 0, RateOf::Next);
    Ok(())
}

fn complete(peer: &mut Peer, arguments: Option<&Arguments<'_>>) {
    let own = peer.optimizers.first().and_then(|optimizer: &Optimizer| optimizer.updates);
    if let (Some(own), Some(updates)) = (own, peer.updates)
        && own != updates
    {
        peer.remarks.push(format!("global_step is {updates}, and the optimizer counts {own} updates"));
    }
    peer.missing.push(match arguments.is_some_and(|arguments| arguments.flag("ignore_data_skip")) {
        true => "the place in the data: with ignore_data_skip the trainer begins the epoch again".to_owned(),
        false => {
            "the place in the data: the trainer finds it by its seed, and skips the batches that were done".to_owned()
        }
    });
    peer.missing.push(
        "names of the parameters in the optimizer: ids follow the order of registration, those with decay first"
            .to_owned(),
    );
    if peer.clipping == Clipping::Unknown {
        peer.missing.push("clipping of gradients: it is on by default, at a norm of 1".to_owned());
    }
}
