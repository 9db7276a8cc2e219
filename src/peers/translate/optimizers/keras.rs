//! Keras' optimizers (`keras/src/optimizers`), with the keys of their `get_config()`: decay is decoupled in all of them,
//! epsilon stands beside the unscaled root, and SGD keeps the rate in its velocity.

use serde_json::json;

use super::{Hyperparameters, Optimizer, Refusal, StateNames, UpdateRule, groups, unknown};

const MOMENTS: StateNames = &[
    ("exp_avg", &["momentum", "momentums", "m"]),
    ("exp_avg_sq", &["velocity", "velocities", "v"]),
    ("max_exp_avg_sq", &["velocity_hat", "velocity_hats", "vhat"]),
];
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
        "RMSprop" | "Adagrad" | "Adamax" | "Nadam" => {
            Err(unknown(optimizer, ": Keras' has its epsilon at another place than PyTorch's and Rekindle's"))
        }
        _ => Err(unknown(optimizer, "; the run can be continued with another one from the weights alone")),
    }
}

fn adam(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    match (hyperparameters.number("beta_1")?, hyperparameters.number("beta_2")?) {
        (Some(first), Some(second)) => hyperparameters.put("betas", json!([first, second])),
        _ => hyperparameters.ask("betas", "`beta_1` and `beta_2` are not in the file"),
    }
    hyperparameters.take("epsilon", "eps", None)?;
    hyperparameters.take_flag("amsgrad", "amsgrad")?;
    hyperparameters.take("weight_decay", "weight_decay", Some(0.0))?;
    hyperparameters.put("variant", json!("keras"));
    Ok(())
}

fn sgd(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("momentum", "momentum", None)?;
    hyperparameters.take_flag("nesterov", "nesterov")?;
    hyperparameters.put("dampening", json!(0.0));
    if hyperparameters.number("momentum")?.is_none_or(|momentum| momentum == 0.0) {
        // Keras looks ahead along a momentum only.
        hyperparameters.put("nesterov", json!(false));
    }
    hyperparameters.take("weight_decay", "weight_decay", Some(0.0))?;
    hyperparameters.put("variant", json!("keras"));
    Ok(())
}
