//! optax' optimizers, chains of transformations that are told by their states. Their settings are in no file, but where
//! `inject_hyperparams` puts them.

use serde_json::json;

use super::{Hyperparameters, Optimizer, Refusal, StateNames, UpdateRule, groups, unknown};

const MOMENTS: StateNames = &[("exp_avg", &["mu"]), ("exp_avg_sq", &["nu"])];
const LARGEST: StateNames = &[("exp_avg", &["mu"]), ("exp_avg_sq", &["nu"]), ("max_exp_avg_sq", &["nu_max"])];
const TRACE: StateNames = &[("momentum_buffer", &["trace"])];

/// Translates `optax.adamw`, `optax.adam` (AdamW without decay), `optax.amsgrad` or `optax.sgd`.
pub(super) fn rule(optimizer: &Optimizer, base_lrs: &[Option<f64>]) -> Result<UpdateRule, Refusal> {
    let parameters = || optimizer.groups.iter().flat_map(|group| &group.parameters);
    let has = |name: &str| parameters().any(|parameter| parameter.states.iter().any(|(state, _)| state == name));
    let adam_alone = optimizer.class.split(" and ").all(|class| matches!(class, "Adam" | "AdamW"));
    match (has("mu"), has("nu"), has("trace")) {
        // A centred RMSprop has `mu` and `nu` too.
        (true, true, false) if adam_alone => groups(optimizer, base_lrs, "adamw", MOMENTS, adam),
        (true, true, false) if optimizer.class == "AMSGrad" => groups(optimizer, base_lrs, "adam", LARGEST, amsgrad),
        (false, false, true) => groups(optimizer, base_lrs, "sgd", TRACE, sgd),
        (false, false, false) if parameters().all(|parameter| parameter.states.is_empty()) => {
            groups(optimizer, base_lrs, "sgd", TRACE, plain)
        }
        _ => Err(unknown(optimizer, " with these states; optax.adamw, adam, amsgrad and sgd are translated")),
    }
}

fn adam(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    moments(hyperparameters)?;
    take(hyperparameters, "weight_decay", "weight_decay", "1e-4 in adamw, and 0 in adam, which has none")?;
    hyperparameters.put("amsgrad", json!(false));
    Ok(())
}

fn amsgrad(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    moments(hyperparameters)?;
    hyperparameters.put("weight_decay", json!(0.0));
    note_no_decay(hyperparameters, "optax.amsgrad");
    hyperparameters.put("amsgrad", json!(true));
    Ok(())
}

/// Takes over what all kinds of Adam have; each corrects its moments in f32.
fn moments(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    match (hyperparameters.number("b1")?, hyperparameters.number("b2")?) {
        (Some(first), Some(second)) => hyperparameters.put("betas", json!([first, second])),
        _ => hyperparameters.ask("betas", "`b1` and `b2` are not in the file (optax' defaults are 0.9 and 0.999)"),
    }
    take(hyperparameters, "eps", "eps", "1e-8")?;
    hyperparameters.put("variant", json!("optax"));
    Ok(())
}

fn sgd(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    if hyperparameters.number("momentum")?.is_some() {
        hyperparameters.take("momentum", "momentum", None)?;
    } else {
        take(hyperparameters, "decay", "momentum", "none: it was given")?;
    }
    if hyperparameters.group.setting("nesterov").is_some() {
        hyperparameters.take_flag("nesterov", "nesterov")?;
    } else {
        hyperparameters.ask("nesterov", "`nesterov` is not in the file (optax' default is false)");
    }
    without_decay(hyperparameters);
    Ok(())
}

fn plain(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.put("momentum", json!(0.0));
    hyperparameters.put("nesterov", json!(false));
    without_decay(hyperparameters);
    Ok(())
}

/// `optax.sgd` has no decay; a chain with `add_decayed_weights` leaves no trace in the file.
fn without_decay(hyperparameters: &mut Hyperparameters<'_>) {
    hyperparameters.put("dampening", json!(0.0));
    hyperparameters.put("weight_decay", json!(0.0));
    note_no_decay(hyperparameters, "optax.sgd");
}

fn note_no_decay(hyperparameters: &mut Hyperparameters<'_>, class: &str) {
    hyperparameters.notes.push(format!(
        "weight decay is taken to be 0, as in {class}: `add_decayed_weights` would leave no trace in the file"
    ));
}

/// Takes a number over, or asks for it, naming optax' default.
fn take(hyperparameters: &mut Hyperparameters<'_>, theirs: &str, ours: &str, default: &str) -> Result<(), Refusal> {
    match hyperparameters.number(theirs)? {
        Some(number) => hyperparameters.put(ours, json!(number)),
        None => hyperparameters.ask(ours, &format!("`{theirs}` is not in the file (optax' default is {default})")),
    }
    Ok(())
}
