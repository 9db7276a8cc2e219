//! A `.ckpt` of Lightning.

use super::Parts;
use super::error::ExportError;
use super::python;
use super::recipe;
use super::source::Source;
use super::torch::{self, count};
use super::writing::Writing;
use crate::peers::write::Item;

/// The release whose form this is: Lightning changes files of older ones when it reads them.
const VERSION: &str = "2.6.6";

/// Writes the file; `prefix` is the attribute of the LightningModule that holds the model, with a dot.
pub(super) fn write(
    source: &Source<'_>,
    parts: &Parts<'_>,
    prefix: &str,
    writing: &mut Writing,
) -> Result<(), ExportError> {
    let schedules = parts.schedule.state.clone().into_iter().collect();
    let mut entries = vec![
        ("epoch", count(source.epochs())),
        ("global_step", count(source.step())),
        ("pytorch-lightning_version", Item::text(VERSION)),
        ("state_dict", torch::weights(source, prefix)),
        ("loops", Item::dict([("fit_loop", fit_loop(source))])),
        ("callbacks", Item::Dict(Vec::new())),
        ("optimizer_states", Item::List(vec![parts.optimizer.state.clone()])),
        ("lr_schedulers", Item::List(schedules)),
    ];
    entries.extend(torch::scaler(source).map(|scaler| ("MixedPrecision", scaler)));
    let path = writing.place().to_owned();
    writing.torch(&path, &Item::dict(entries))?;
    let lines = &mut writing.lines;
    lines.push(recipe::imports(&parts.schedule, &["lightning"]));
    let inner = prefix.trim_end_matches('.');
    let of_module = if inner.is_empty() { "self".to_owned() } else { format!("self.{inner}") };
    lines.push("# in the LightningModule:".to_owned());
    lines.push("def configure_optimizers(self):".to_owned());
    lines.push(format!("    model = {of_module}"));
    lines.push(format!("    {}", recipe::NAMED));
    lines.extend(recipe::parts(&parts.optimizer, &parts.schedule).iter().map(|line| format!("    {line}")));
    let interval = if parts.schedule.per_epoch { "epoch" } else { "step" };
    lines.push(match parts.schedule.state {
        Some(_) => format!("    return [optimizer], [{{\"scheduler\": scheduler, \"interval\": \"{interval}\"}}]"),
        None => "    return optimizer".to_owned(),
    });
    let clip = source.config("/train/clip_norm").as_f64();
    let clip = clip.map(|norm| format!("gradient_clip_val={}, ", python::number(norm))).unwrap_or_default();
    let path = python::text(&path.display().to_string());
    lines.push(format!("lightning.Trainer({clip}max_steps=...).fit(module, loader, ckpt_path={path})"));
    writing
        .notes
        .extend(torch::notes(source, &parts.schedule).into_iter().filter(|note| !note.starts_with("scheduler.step")));
    if source.in_epoch() > 0 {
        writing.notes.push(
            "it is saved within an epoch, which Lightning begins with the first batches of the loader".to_owned(),
        );
    }
    Ok(())
}

/// Returns the state of Lightning's loops after the updates made. It saves before it has closed an epoch, so at the end
/// of one the last batch is processed and not completed; here the epoch is closed.
fn fit_loop(source: &Source<'_>) -> Item<'static> {
    let (step, epochs, within) = (source.step(), source.epochs(), source.in_epoch());
    let four = |done: u64| Item::dict(["ready", "completed", "started", "processed"].map(|name| (name, count(done))));
    let two = |done: u64| Item::dict(["ready", "completed"].map(|name| (name, count(done))));
    let three = |done: u64| Item::dict(["ready", "completed", "started"].map(|name| (name, count(done))));
    let both = |total: Item<'static>, current: Item<'static>| Item::dict([("total", total), ("current", current)]);
    let batches = Item::dict([
        ("total", four(step)),
        ("current", four(within)),
        ("is_last_batch", Item::Bool(within == 0 && step > 0)),
    ]);
    let none = || Item::Dict(Vec::new());
    let optimizer =
        Item::dict([("step", both(two(step), two(within))), ("zero_grad", both(three(step), three(within)))]);
    let started = epochs + u64::from(within > 0);
    let epoch = Item::dict([
        ("ready", count(started)),
        ("completed", count(epochs)),
        ("started", count(started)),
        ("processed", count(epochs)),
    ]);
    Item::dict([
        ("state_dict", none()),
        ("epoch_loop.state_dict", Item::dict([("_batches_that_stepped", count(step))])),
        ("epoch_loop.batch_progress", batches),
        ("epoch_loop.scheduler_progress", both(two(step), two(within))),
        ("epoch_loop.automatic_optimization.state_dict", none()),
        ("epoch_loop.automatic_optimization.optim_progress", Item::dict([("optimizer", optimizer)])),
        ("epoch_loop.manual_optimization.state_dict", none()),
        ("epoch_loop.manual_optimization.optim_step_progress", both(two(0), two(0))),
        ("epoch_loop.val_loop.state_dict", none()),
        (
            "epoch_loop.val_loop.batch_progress",
            Item::dict([("total", four(0)), ("current", four(0)), ("is_last_batch", Item::Bool(false))]),
        ),
        ("epoch_progress", both(epoch.clone(), epoch)),
    ])
}
