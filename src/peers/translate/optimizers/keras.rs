//! Keras' optimizers (`keras/src/optimizers`), with the keys of their `get_config()`: decay is decoupled in all of them,
//! epsilon stands beside the unscaled root, and SGD keeps the rate in its velocity.

use serde_json::json;

use super::{Hyperparameters, Optimizer, Refusal, StateNames, UpdateRule, groups, unknown};

const MOMENTS: StateNames = &[
    ("exp_avg", &["momentum", "momentums", "m"]),
    ("exp_avg_sq", &["velocity", "velocities", "v"]),
    ("max_exp_avg_sq", &["velocity_hat", "velocity_hats", "vhat"]),
];
const NORM: StateNames = &[("exp_avg", &["momentum"]), ("exp_inf", &["norm"])];
const SQUARES: StateNames =
    &[("square_avg", &["velocity"]), ("momentum_buffer", &["momentum"]), ("grad_avg", &["average_gradient"])];
const SUM: StateNames = &[("sum", &["accumulator"])];
const VELOCITY: StateNames = &[("velocity", &["momentum", "momentums", "velocity"])];

/// Translates one of Keras' optimizers.
pub(super) fn rule(optimizer: &Optimizer, base_lrs: &[Option<f64>]) -> Result<UpdateRule, Refusal> {
    let decays = optimizer.groups.iter().any(|group| group.number("weight_decay").is_some_and(|decay| decay != 0.0));
    match optimizer.class.as_str() {
        // Keras' Adam with a `weight_decay` is its AdamW.
        "Adam" | "AdamW" => {
            let kind = if decays || optimizer.class == "AdamW" { "adamw" } else { "adam" };
            let mut rule = groups(optimizer, base_lrs, kind, MOMENTS, adam)?;
            if decays {
                let note = "every weight decays; Keras' `exclude_from_weight_decay` is not in the file";
                rule.notes.push(note.to_owned());
            }
            Ok(rule)
        }
        "SGD" => groups(optimizer, base_lrs, "sgd", VELOCITY, sgd),
        "Nadam" => groups(optimizer, base_lrs, "nadam", MOMENTS, nadam),
        "Adamax" => groups(optimizer, base_lrs, "adamax", NORM, adamax),
        "RMSprop" => groups(optimizer, base_lrs, "rmsprop", SQUARES, rmsprop),
        "Adagrad" => groups(optimizer, base_lrs, "adagrad", SUM, adagrad),
        _ => Err(unknown(optimizer, "; the run can be continued with another one from the weights alone")),
    }
}

fn adam(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    betas(hyperparameters)?;
    hyperparameters.take_flag("amsgrad", "amsgrad")?;
    variant(hyperparameters)
}

/// Keras' momentum grows 250 times as fast as PyTorch's, and epsilon is where PyTorch has it.
fn nadam(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    betas(hyperparameters)?;
    hyperparameters.put("momentum_decay", json!(1.0));
    hyperparameters.put("decoupled_weight_decay", json!(true));
    decay(hyperparameters)
}

fn adamax(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    betas(hyperparameters)?;
    variant(hyperparameters)
}

fn rmsprop(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("rho", "alpha", None)?;
    hyperparameters.take("momentum", "momentum", None)?;
    hyperparameters.take("epsilon", "eps", None)?;
    hyperparameters.take_flag("centered", "centered")?;
    variant(hyperparameters)
}

fn adagrad(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("initial_accumulator_value", "initial_accumulator_value", None)?;
    hyperparameters.take("epsilon", "eps", None)?;
    variant(hyperparameters)
}

fn sgd(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("momentum", "momentum", None)?;
    hyperparameters.take_flag("nesterov", "nesterov")?;
    hyperparameters.put("dampening", json!(0.0));
    if hyperparameters.number("momentum")?.unwrap_or(0.0) <= 0.0 {
        // Keras looks ahead along a momentum only.
        hyperparameters.put("nesterov", json!(false));
    }
    variant(hyperparameters)
}

fn betas(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    match (hyperparameters.number("beta_1")?, hyperparameters.number("beta_2")?) {
        (Some(first), Some(second)) => hyperparameters.put("betas", json!([first, second])),
        _ => hyperparameters.ask("betas", "`beta_1` and `beta_2` are not in the file"),
    }
    hyperparameters.take("epsilon", "eps", None)
}

/// Has the rule compute as in Keras, where the weights decay by the rate in every optimizer.
fn variant(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.put("variant", json!("keras"));
    decay(hyperparameters)
}

fn decay(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("weight_decay", "weight_decay", Some(0.0))
}
