//! PyTorch's optimizers, whose formulas ours have.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Hyperparameters, Optimizer, Refusal, StateNames, UpdateRule, groups, unknown};
use crate::peers::peer::Setting;
use crate::peers::tensor::{Storage, Tensor};
use crate::state::Dtype;

const MOMENTS: StateNames =
    &[("exp_avg", &["exp_avg"]), ("exp_avg_sq", &["exp_avg_sq"]), ("max_exp_avg_sq", &["max_exp_avg_sq"])];
const MOMENTUM: StateNames = &[("momentum_buffer", &["momentum_buffer"])];
const INFINITY: StateNames = &[("exp_avg", &["exp_avg"]), ("exp_inf", &["exp_inf"])];
const SQUARES: StateNames =
    &[("square_avg", &["square_avg"]), ("momentum_buffer", &["momentum_buffer"]), ("grad_avg", &["grad_avg"])];
const SUM: StateNames = &[("sum", &["sum"])];
const DELTAS: StateNames = &[("square_avg", &["square_avg"]), ("acc_delta", &["acc_delta"])];
const AVERAGE: StateNames = &[("ax", &["ax"])];
const FACTORS: StateNames = &[("row_var", &["row_var"]), ("col_var", &["col_var"]), ("variance", &["variance"])];
const SIGNS: StateNames = &[("prev", &["prev"]), ("step_size", &["step_size"])];

/// Translates one of PyTorch's optimizers.
pub(super) fn rule(optimizer: &Optimizer, base_lrs: &[Option<f64>]) -> Result<UpdateRule, Refusal> {
    let translate = |kind, states, read: fn(&mut Hyperparameters<'_>) -> Result<(), Refusal>| {
        groups(optimizer, base_lrs, kind, states, |hyperparameters| {
            refuse_what_is_not_ours(hyperparameters)?;
            read(hyperparameters)
        })
    };
    match optimizer.class.as_str() {
        "SGD" => translate("sgd", MOMENTUM, sgd),
        "Adam" => translate("adam", MOMENTS, adam),
        "AdamW" => translate("adamw", MOMENTS, adam),
        "Adam or AdamW" => {
            let mut rule = translate("adamw", MOMENTS, adam)?;
            let why = "Adam and AdamW of PyTorch before 1.12 write the same file, and decay differently; set \"adam\" or \"adamw\" in the configuration";
            rule.asked.push(Refusal::ask("optimizer.kind", why));
            Ok(rule)
        }
        "NAdam" => {
            check_products(optimizer)?;
            translate("nadam", MOMENTS, nadam)
        }
        "RAdam" => translate("radam", MOMENTS, radam),
        "Adamax" => translate("adamax", INFINITY, moments),
        "RMSprop" => translate("rmsprop", SQUARES, rmsprop),
        "Adagrad" => translate("adagrad", SUM, adagrad),
        "Adadelta" => translate("adadelta", DELTAS, adadelta),
        "Rprop" => translate("rprop", SIGNS, rprop),
        "ASGD" => with_rates(translate("asgd", AVERAGE, asgd)?, optimizer),
        "Muon" => translate("muon", MOMENTUM, muon),
        "Adafactor" => translate("adafactor", FACTORS, adafactor),
        "unknown" => Err(Refusal::cannot(
            "optimizer",
            "its class cannot be told by the settings and states in the file, so its arithmetic is not known",
        )),
        _ => Err(unknown(optimizer, "; the run can be continued with another one from the weights alone")),
    }
}

/// Flags that change the arithmetic. `foreach`, `fused`, `capturable` and `differentiable` do not.
fn refuse_what_is_not_ours(hyperparameters: &Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters
        .refuse_flag("maximize", "Rekindle only minimizes; negate the loss and the momentum in a run of PyTorch")
}

pub(super) fn sgd(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("momentum", "momentum", None)?;
    hyperparameters.take("dampening", "dampening", Some(0.0))?;
    hyperparameters.take_flag("nesterov", "nesterov")?;
    hyperparameters.take("weight_decay", "weight_decay", None)
}

pub(super) fn adam(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    moments(hyperparameters)?;
    hyperparameters.take_flag("amsgrad", "amsgrad")
}

fn moments(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take_betas("betas")?;
    hyperparameters.take("eps", "eps", None)?;
    hyperparameters.take("weight_decay", "weight_decay", None)
}

fn nadam(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    radam(hyperparameters)?;
    hyperparameters.take("momentum_decay", "momentum_decay", None)
}

fn radam(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    moments(hyperparameters)?;
    hyperparameters.take_flag("decoupled_weight_decay", "decoupled_weight_decay")
}

fn rmsprop(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("alpha", "alpha", None)?;
    hyperparameters.take("eps", "eps", None)?;
    hyperparameters.take("weight_decay", "weight_decay", None)?;
    hyperparameters.take("momentum", "momentum", None)?;
    hyperparameters.take_flag("centered", "centered")
}

fn adagrad(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("lr_decay", "lr_decay", None)?;
    hyperparameters.take("eps", "eps", Some(1e-10))?;
    hyperparameters.take("weight_decay", "weight_decay", None)?;
    let start = hyperparameters.number("initial_accumulator_value")?.unwrap_or(0.0);
    hyperparameters.put("initial_accumulator_value", json!(start));
    Ok(())
}

fn adadelta(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("rho", "rho", None)?;
    hyperparameters.take("eps", "eps", None)?;
    hyperparameters.take("weight_decay", "weight_decay", None)
}

fn rprop(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take_pair("etas", "etas")?;
    hyperparameters.take_pair("step_sizes", "step_sizes")
}

fn asgd(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("lambd", "lambd", None)?;
    hyperparameters.take("alpha", "alpha", None)?;
    hyperparameters.take("t0", "t0", None)?;
    hyperparameters.take("weight_decay", "weight_decay", None)
}

/// Adds the rate of ASGD's next update, which is a number of each parameter's state.
fn with_rates(mut rule: UpdateRule, optimizer: &Optimizer) -> Result<UpdateRule, Refusal> {
    for (group, peer) in rule.groups.iter_mut().zip(&optimizer.groups) {
        let trained = group.parameters.iter_mut().zip(&peer.parameters).filter(|(own, _)| !own.states.is_empty());
        for (own, parameter) in trained {
            let rate = parameter.numbers.iter().find(|(name, _)| name == "eta").map(|(_, rate)| *rate);
            let number = |rate: f64| Tensor::contiguous(Dtype::F64, vec![1], Storage::owned(rate.to_le_bytes().into()));
            match rate.map(number) {
                Some(Ok(rate)) => own.states.push(("eta", rate)),
                _ => {
                    let reason =
                        format!("parameter {} has no such number, which is the rate of its next update", own.id);
                    return Err(Refusal::cannot("ASGD eta", reason));
                }
            }
        }
    }
    Ok(rule)
}

fn muon(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    for key in ["momentum", "weight_decay", "eps"] {
        hyperparameters.take(key, key, None)?;
    }
    hyperparameters.take_flag("nesterov", "nesterov")?;
    let steps = hyperparameters.number("ns_steps")?.unwrap_or(5.0);
    hyperparameters.put("ns_steps", json!(steps as u64));
    match hyperparameters.group.setting("ns_coefficients").and_then(Setting::numbers) {
        Some(numbers) if numbers.len() == 3 => hyperparameters.put("ns_coefficients", json!(numbers)),
        _ => return Err(hyperparameters.refuse("ns_coefficients", "they are not three numbers")),
    }
    match hyperparameters.group.setting("adjust_lr_fn") {
        None | Some(Setting::Null) => {}
        Some(Setting::Text(word)) => hyperparameters.put("adjust_lr", json!(word)),
        Some(other) => return Err(hyperparameters.refuse("adjust_lr_fn", format!("{other:?} is no name of a way"))),
    }
    Ok(())
}

fn adafactor(hyperparameters: &mut Hyperparameters<'_>) -> Result<(), Refusal> {
    hyperparameters.take("beta2_decay", "beta2_decay", None)?;
    hyperparameters.take("d", "clip_threshold", None)?;
    hyperparameters.take("weight_decay", "weight_decay", None)?;
    let Some(Setting::Partly(eps)) = hyperparameters.group.setting("eps") else {
        return hyperparameters.take_pair("eps", "eps");
    };
    let [None, Some(second)] = eps[..] else {
        return Err(hyperparameters.refuse("eps", "its second number is missing"));
    };
    let first = epsilon(hyperparameters)?;
    // Those of our rule, if none are given.
    if (first, second) != (f64::from(f32::EPSILON), 1e-3) {
        hyperparameters.put("eps", json!([first, second]));
    }
    Ok(())
}

/// Returns the smallest step of the type of the weights, which is that of their states, from 1 on.
fn epsilon(hyperparameters: &Hyperparameters<'_>) -> Result<f64, Refusal> {
    let states = hyperparameters.group.parameters.iter().flat_map(|parameter| &parameter.states);
    let types: BTreeSet<Dtype> = states.map(|(_, tensor)| tensor.dtype()).collect();
    let mut types = types.into_iter();
    match (types.next(), types.next()) {
        (None | Some(Dtype::F32), None) => Ok(f64::from(f32::EPSILON)),
        (Some(Dtype::F64), None) => Ok(f64::EPSILON),
        (Some(Dtype::BF16), None) => Ok(half::bf16::EPSILON.into()),
        (Some(Dtype::F16), None) => Ok(half::f16::EPSILON.into()),
        _ => Err(hyperparameters.refuse("eps", "it follows from the type of the weights, of which there are several")),
    }
}

/// NAdam's `mu_product` is the product of all momenta so far. Ours computes it from the number of updates, so a file whose
/// betas changed on the way cannot be continued.
fn check_products(optimizer: &Optimizer) -> Result<(), Refusal> {
    for group in &optimizer.groups {
        let beta = group.setting("betas").and_then(Setting::numbers).and_then(|betas| betas.first().copied());
        let (Some(beta), Some(decay)) = (beta, group.number("momentum_decay")) else { continue };
        for parameter in &group.parameters {
            let found = parameter.numbers.iter().find(|(name, _)| name == "mu_product").map(|(_, product)| *product);
            let (Some(found), Some(updates)) = (found, parameter.updates) else { continue };
            // Far beyond this the product is 0 in f32.
            let updates = updates.min(100_000);
            let product: f64 = (1..=updates).map(|n| beta * (1.0 - 0.5 * 0.96_f64.powf(n as f64 * decay))).product();
            // The file's is rounded to f32 at each update, and the smallest f32 are coarse.
            if (found - product).abs() > 1e-6 * (1.0 + updates as f64) * product + 1e-40 {
                let reason = format!(
                    "parameter {} has {found}, but {updates} updates with its betas give {product}: they changed on the way, which Rekindle's nadam cannot continue",
                    parameter.id
                );
                return Err(Refusal::cannot("NAdam mu_product", reason));
            }
        }
    }
    Ok(())
}
