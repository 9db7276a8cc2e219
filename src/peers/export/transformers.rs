//! A `checkpoint-N/` of the Trainer of transformers.

use serde_json::{Value, json};

use super::Parts;
use super::error::ExportError;
use super::hugging_face;
use super::python::{self, Form};
use super::recipe;
use super::source::{Source, SourceGroup};
use super::torch;
use super::writing::Writing;
use crate::wrapped::{CODE, wrapped_to};

/// Writes the folder.
pub(super) fn write(source: &Source<'_>, parts: &Parts<'_>, writing: &mut Writing) -> Result<(), ExportError> {
    let folder = writing.place().to_owned();
    writing.folder(&folder)?;
    writing.safetensors(&folder.join("model.safetensors"), &source.weights)?;
    writing.torch(&folder.join("optimizer.pt"), &parts.optimizer.state)?;
    if let Some(state) = &parts.schedule.state {
        writing.torch(&folder.join("scheduler.pt"), state)?;
    }
    writing.json(&folder.join("trainer_state.json"), &trainer_state(source))?;
    if let Some(config) = config(source) {
        writing.json(&folder.join("config.json"), &config)?;
    }
    let arguments = arguments(source, parts);
    let lines = &mut writing.lines;
    lines.push(recipe::imports(&parts.schedule, &["transformers"]));
    if recipe::is_gpt2(source) {
        lines.push(format!(
            "model = transformers.GPT2LMHeadModel.from_pretrained({})",
            python::text(&folder.display().to_string())
        ));
    } else {
        lines.extend(recipe::model(source));
    }
    let optimizers = if arguments.scheduler.is_some() {
        ""
    } else {
        lines.push(recipe::NAMED.to_owned());
        lines.extend(recipe::parts(&parts.optimizer, &parts.schedule));
        let scheduler = if parts.schedule.state.is_some() { "scheduler" } else { "None" };
        writing.notes.push("the Trainer has no such schedule or optimizer by name: it is given both".to_owned());
        &format!(", optimizers=(optimizer, {scheduler})")
    };
    let lines = &mut writing.lines;
    let made = format!("arguments = transformers.TrainingArguments(\"run\"{})", arguments.text());
    lines.extend(wrapped_to(CODE, &made, "    ").lines().map(str::to_owned));
    lines.push(format!("trainer = transformers.Trainer(model, arguments, train_dataset=...{optimizers})"));
    let resumed = python::text(&folder.display().to_string());
    lines.push(format!("trainer.train(resume_from_checkpoint={resumed})"));
    // A schedule that the Trainer has under a name needs no remark on its function.
    if arguments.scheduler.is_none() {
        writing.notes.extend(parts.schedule.notes.iter().cloned());
    }
    writing.notes.push(
        "the Trainer takes logging_steps, eval_steps and save_steps from trainer_state.json, each 500, its default"
            .to_owned(),
    );
    writing.notes.extend(torch::gradients(source));
    let left = "left: the place in the data; the Trainer skips the batches made, in the order that its seed gives";
    writing.notes.push(left.to_owned());
    Ok(())
}

/// Returns the groups that the Trainer makes: the matrices, which decay, and the rest. Its optimizer takes a file of two
/// groups only.
///
/// # Errors
/// Parameters that would be in one group have different settings.
pub(super) fn groups<'a>(source: &Source<'a>) -> Result<Vec<SourceGroup<'a>>, ExportError> {
    let mut found: Vec<SourceGroup<'a>> = Vec::new();
    for is_matrix in [true, false] {
        let mut whole: Option<SourceGroup<'a>> = None;
        for (name, _) in source.weights.iter().filter(|(_, tensor)| (tensor.shape.len() >= 2) == is_matrix) {
            let Some(group) = source.groups.iter().find(|group| group.parameters.contains(name)) else { continue };
            match &mut whole {
                None => whole = Some(SourceGroup { parameters: vec![*name], ..group.clone() }),
                Some(whole) if is_alike(source, whole, group) => whole.parameters.push(*name),
                Some(_) => {
                    let reason = "the Trainer of transformers has two, of matrices and of the rest, each with one \
                                  rate; export --to torch";
                    return Err(ExportError::refused(format!("the parameter groups, with {name} in another"), reason));
                }
            }
        }
        found.extend(whole);
    }
    Ok(found)
}

/// Whether two groups have the same settings and rates.
fn is_alike(source: &Source<'_>, a: &SourceGroup<'_>, b: &SourceGroup<'_>) -> bool {
    let schedule = source.checkpoint.state("schedulers.lr").map(|state| &state.json["spec"]["kind"]);
    let settings = |group: &SourceGroup<'_>| (group.lr, group.weight_decay, group.momentum, group.is_frozen);
    let has_one_schedule = schedule.is_none_or(|kind| kind != "per_group");
    a.ours == b.ours && settings(a) == settings(b) || settings(a) == settings(b) && a.own == b.own && has_one_schedule
}

fn trainer_state(source: &Source<'_>) -> Value {
    let epochs = source.run_epochs.after(source.step());
    let total = source.total.unwrap_or(source.step());
    json!({
        "best_global_step": null,
        "best_metric": null,
        "best_model_checkpoint": null,
        "epoch": epochs,
        "eval_steps": 500,
        "global_step": source.step(),
        "is_hyper_param_search": false,
        "is_local_process_zero": true,
        "is_world_process_zero": true,
        "log_history": [],
        "logging_steps": 500,
        "max_steps": total,
        "num_input_tokens_seen": 0,
        "num_train_epochs": source.run_epochs.begun(total),
        "save_steps": 500,
        "stateful_callbacks": {},
        "total_flos": 0.0,
        "train_batch_size": source.config("/data/batch_size"),
        "trial_name": null,
        "trial_params": null,
    })
}

/// Returns `config.json` of a GPT-2; `None` for models that transformers does not make.
fn config(source: &Source<'_>) -> Option<Value> {
    if !recipe::is_gpt2(source) {
        return None;
    }
    let gpt = hugging_face::gpt(source.config("/model"))?;
    let (vocabulary, _) = source.weight("transformer.wte.weight").and_then(|table| two(&table.shape))?;
    let (context, _) = source.weight("transformer.wpe.weight").and_then(|table| two(&table.shape))?;
    Some(hugging_face::gpt2_config(&gpt, hugging_face::Sizes { context, vocabulary }))
}

fn two(shape: &[usize]) -> Option<(usize, usize)> {
    Some((*shape.first()?, *shape.get(1)?))
}

/// Arguments of the Trainer that make the run go on.
struct Arguments {
    /// The schedule, if the Trainer has it under a name.
    scheduler: Option<(&'static str, u64, Option<u64>)>,
    others: Vec<(&'static str, String)>,
}

impl Arguments {
    fn text(&self) -> String {
        let mut all = Vec::new();
        if let Some((name, warmup, most)) = self.scheduler {
            all.push(("lr_scheduler_type", python::text(name)));
            all.extend((warmup > 0).then(|| ("warmup_steps", warmup.to_string())));
            all.extend(most.map(|most| ("max_steps", most.to_string())));
        }
        all.iter().chain(&self.others).map(|(name, value)| format!(", {name}={value}")).collect()
    }
}

fn arguments(source: &Source<'_>, parts: &Parts<'_>) -> Arguments {
    let is_known = matches!(source.kind.as_str(), "adamw" | "sgd" | "adagrad");
    let form = Form { table: &parts.schedule.table, total: source.total.map(|total| total as f64) };
    let scheduler = if is_known && !parts.schedule.per_epoch { name(form) } else { None };
    let mut others = Vec::new();
    if let Some(group) = parts.optimizer_groups.first() {
        let rates = parts.schedule.rates.first();
        let base = rates.and_then(|rates| rates.initial_lr.or(Some(rates.lr))).unwrap_or_default();
        others.push(("learning_rate", python::number(base)));
        others.push(("weight_decay", python::number(group.weight_decay)));
    }
    // Other optimizers are handed over: the Trainer refuses a name that it has not.
    if is_known && source.kind != "adamw" {
        others.push(("optim", python::text(&source.kind)));
    }
    if scheduler.is_none_or(|(_, _, most)| most.is_none()) {
        others.extend(source.total.map(|total| ("max_steps", total.to_string())));
    }
    others.extend(batches(source));
    // The Trainer clips to 1.0 unless it is told not to.
    let clip = source.config("/train/clip_norm").as_f64().unwrap_or_default();
    others.push(("max_grad_norm", python::number(clip)));
    Arguments { scheduler, others }
}

/// Returns the size and number of the batches of an update. An update here has `batch_size` rows in all; a number that
/// they cannot be divided by is left out, which changes nothing but the memory that is needed.
fn batches(source: &Source<'_>) -> Vec<(&'static str, String)> {
    let Some(rows) = source.config("/data/batch_size").as_u64() else { return Vec::new() };
    let divides = |micro: &u64| *micro > 1 && rows.is_multiple_of(*micro);
    match source.config("/train/accumulate").as_u64().filter(divides) {
        None => vec![("per_device_train_batch_size", rows.to_string())],
        Some(micro) => vec![
            ("per_device_train_batch_size", (rows / micro).to_string()),
            ("gradient_accumulation_steps", micro.to_string()),
        ],
    }
}

/// Returns the name, the warm-up and the length of a schedule that the Trainer has.
fn name(form: Form<'_>) -> Option<(&'static str, u64, Option<u64>)> {
    let is_constant =
        |form: Form<'_>| form.kind() == "constant" && form.number("factor") == 1.0 && form.table["total"].is_null();
    if is_constant(form) {
        return Some(("constant", 0, None));
    }
    let (warmup, then) = match form.kind() {
        "warmup" if form.number("start_lr") == 0.0 => (form.length("steps").ok()?, form.inner("schedule")),
        _ => (0, form),
    };
    if is_constant(then) {
        return Some(("constant_with_warmup", warmup, None));
    }
    if then.number("eta_min") != 0.0 {
        return None;
    }
    match then.kind() {
        "polynomial" if then.number("power") == 1.0 => {
            Some(("linear", warmup, Some(warmup + then.length("total").ok()?)))
        }
        "cosine" if then.number("k_decay") == 1.0 => {
            Some(("cosine", warmup, Some(warmup + then.length("t_max").ok()?)))
        }
        _ => None,
    }
}
