//! Classes of other libraries in our terms: the rule, and the names of its settings.

use rekindle::optim::OptimizerConfig;
use serde_json::{Map, Value, json};

use crate::TOLERANCE;
use crate::cases::Case;

/// A setting of a case that our rules lack.
#[derive(Debug)]
pub struct Lacking(pub String);

/// The requirements of a case beside its rule.
#[derive(Debug)]
pub struct Translated {
    /// The norm to which all gradients are cut.
    pub max_norm: Option<f64>,
    /// Whether the weights climb: the gradients of the negative loss are used.
    pub climbs: bool,
    /// Whether matrices are transposed here.
    pub transposes: bool,
    /// The largest difference of weights, and of state.
    pub tolerance: f64,
    pub state_tolerance: f64,
}

/// A class: the rule with the defaults of its library where they are not ours, and the names of arguments that are
/// called otherwise here.
struct Class {
    rule: Value,
    names: &'static [(&'static str, &'static str)],
}

const BETAS: &[(&str, &str)] =
    &[("decoupled", "decoupled_weight_decay"), ("weight_decouple", "decoupled_weight_decay")];
const OF_KERAS: &[(&str, &str)] = &[("epsilon", "eps"), ("rho", "alpha")];
const OF_KERAS_RHO: &[(&str, &str)] = &[("epsilon", "eps")];
const OF_TIMM: &[(&str, &str)] =
    &[("decoupled_decay", "decoupled_weight_decay"), ("decoupled", "decoupled_weight_decay")];
const NONE: &[(&str, &str)] = &[];

/// Arguments that change how a class computes, but not what.
const NEUTRAL: [&str; 9] = [
    "foreach",
    "fused",
    "capturable",
    "differentiable",
    "use_triton",
    "foreach_",
    "moment_requires_grad",
    "fsdp_in_use",
    "learning_rate",
];

fn class(library: &str, class: &str) -> Option<Class> {
    let found = |rule: Value, names| Some(Class { rule, names });
    match (library, class) {
        ("torch", "SGD") => found(json!({"kind": "sgd"}), NONE),
        ("torch", "Adam") => found(json!({"kind": "adam"}), NONE),
        ("torch", "AdamW") => found(json!({"kind": "adamw"}), NONE),
        ("torch", "NAdam") => found(json!({"kind": "nadam"}), NONE),
        ("torch", "RAdam") => found(json!({"kind": "radam"}), NONE),
        ("torch", "RMSprop") => found(json!({"kind": "rmsprop"}), NONE),
        ("torch", "Adagrad") => found(json!({"kind": "adagrad"}), NONE),
        ("torch", "Adadelta") => found(json!({"kind": "adadelta"}), NONE),
        ("torch", "Adamax") => found(json!({"kind": "adamax"}), NONE),
        ("torch", "ASGD") => found(json!({"kind": "asgd"}), NONE),
        ("torch", "Rprop") => found(json!({"kind": "rprop"}), NONE),
        ("torch", "Adafactor") => found(json!({"kind": "adafactor"}), &[("d", "clip_threshold")]),
        ("torch", "Muon") => found(json!({"kind": "muon"}), &[("adjust_lr_fn", "adjust_lr")]),
        ("lion-pytorch", "Lion") => found(json!({"kind": "lion"}), NONE),
        ("schedulefree", "SGDScheduleFree") => found(json!({"kind": "schedule_free_sgd"}), NONE),
        ("schedulefree", "AdamWScheduleFree") => found(json!({"kind": "schedule_free_adamw"}), NONE),
        ("schedulefree", "RAdamScheduleFree") => {
            found(json!({"kind": "schedule_free_adamw", "rectify": "silent"}), NONE)
        }
        ("prodigyopt", "Prodigy") => found(json!({"kind": "prodigy"}), NONE),
        ("muon-optimizer", "SingleDeviceMuon" | "SingleDeviceMuonWithAuxAdam") => {
            found(json!({"kind": "muon", "variant": "keller_jordan", "lr": 0.02, "weight_decay": 0.0}), NONE)
        }
        ("timm", "SGDW") => found(json!({"kind": "sgd", "decoupled": "rate"}), NONE),
        ("timm", "Lamb") => found(json!({"kind": "lamb"}), OF_TIMM),
        ("timm", "Lion") => found(json!({"kind": "lion"}), NONE),
        ("timm", "Adan") => found(json!({"kind": "adan"}), NONE),
        ("timm", "AdamWLegacy") => found(json!({"kind": "adamw"}), NONE),
        ("timm", "RMSpropTF") => {
            found(json!({"kind": "rmsprop", "variant": "timm", "alpha": 0.9, "eps": 1e-10}), OF_TIMM)
        }
        ("timm", "Muon") => found(
            json!({"kind": "muon", "variant": "timm", "nesterov": false, "adjust_lr": "match_rms_adamw",
                "weight_decay": 0.0, "adamw_eps": 1e-7}),
            NONE,
        ),
        ("timm", "Adopt") => found(json!({"kind": "adopt"}), OF_TIMM),
        ("timm", "Mars") => found(json!({"kind": "mars"}), NONE),
        ("timm", "Adafactor") => {
            found(json!({"kind": "adafactor", "variant": "timm"}), &[("decay_rate", "beta2_decay")])
        }
        ("timm", "AdafactorBigVision") => found(
            json!({"kind": "adafactor", "variant": "big_vision", "beta1": 0.9, "momentum_dtype": "bf16", "clip_threshold": 1e30}),
            &[("decay_rate", "beta2_decay"), ("momentum", "beta1")],
        ),
        // The form of transformers, with a mean of steps.
        ("pytorch-optimizer", "AdaFactor") => found(
            json!({"kind": "adafactor", "variant": "transformers", "relative_step": true, "beta1": 0.9,
                "momentum_dtype": "bf16"}),
            &[("decay_rate", "beta2_decay")],
        ),
        ("transformers", "Adafactor") => {
            let rule = json!({"kind": "adafactor", "variant": "transformers", "lr": 1.0, "relative_step": true});
            found(rule, &[("decay_rate", "beta2_decay")])
        }
        ("pytorch-optimizer", "Lion") => found(json!({"kind": "lion"}), NONE),
        // The sign of the mean that has the gradient in it.
        ("pytorch-optimizer", "Tiger") => {
            found(json!({"kind": "lion", "betas": [0.965, 0.965], "weight_decay": 0.01}), NONE)
        }
        ("pytorch-optimizer", "RAdam") => {
            found(json!({"kind": "radam", "variant": "pytorch_optimizer", "decoupled_weight_decay": true}), BETAS)
        }
        ("pytorch-optimizer", "Muon") => found(json!({"kind": "muon", "weight_decay": 0.0}), NONE),
        ("pytorch-optimizer", "Lamb") => found(
            json!({"kind": "lamb", "variant": "pytorch_optimizer", "weight_decay": 0.0, "decoupled_weight_decay": true}),
            BETAS,
        ),
        ("pytorch-optimizer", "ADOPT") => found(json!({"kind": "adopt", "variant": "pytorch_optimizer"}), BETAS),
        ("pytorch-optimizer", "AdEMAMix") => found(json!({"kind": "ademamix"}), NONE),
        ("pytorch-optimizer", "ScheduleFreeAdamW") => found(json!({"kind": "schedule_free_adamw"}), NONE),
        ("pytorch-optimizer", "Prodigy") => found(json!({"kind": "prodigy"}), NONE),
        ("pytorch-optimizer", "Adan") => found(json!({"kind": "adan"}), &[("weight_decouple", "no_prox")]),
        ("pytorch-optimizer", "StableAdamW") => found(json!({"kind": "stable_adamw"}), NONE),
        ("pytorch-optimizer", "SOAP") => found(json!({"kind": "soap"}), NONE),
        ("timm", "Lars") => found(json!({"kind": "lars"}), &[("trust_coeff", "trust_coefficient")]),
        ("timm", "NvNovoGrad") | ("pytorch-optimizer", "NovoGrad") => found(json!({"kind": "novograd"}), NONE),
        ("timm", "LaProp") => found(json!({"kind": "laprop"}), NONE),
        ("came-pytorch" | "pytorch-optimizer", "CAME") => found(json!({"kind": "came"}), NONE),
        ("pytorch-optimizer", "AdaBelief") => found(json!({"kind": "adabelief"}), BETAS),
        ("pytorch-optimizer", "GrokFastAdamW") => found(json!({"kind": "grokfast_adamw"}), NONE),
        ("pytorch-optimizer", "Shampoo") => found(json!({"kind": "shampoo"}), NONE),
        ("optax", "optax.lars") => found(json!({"kind": "lars", "variant": "optax", "eps": 0.0}), NONE),
        ("optax", "optax.novograd") => found(json!({"kind": "novograd", "betas": [0.9, 0.25], "eps": 1e-6}), NONE),
        ("optax", "optax.yogi") => found(json!({"kind": "yogi"}), NONE),
        ("optax", "optax.sgd") => found(json!({"kind": "sgd"}), NONE),
        ("optax", "optax.adam") => found(json!({"kind": "adam", "variant": "optax"}), NONE),
        ("optax", "optax.amsgrad") => found(json!({"kind": "adam", "variant": "optax", "amsgrad": true}), NONE),
        ("optax", "optax.adamw") => found(json!({"kind": "adamw", "variant": "optax", "weight_decay": 1e-4}), NONE),
        ("optax", "optax.lion") => found(json!({"kind": "lion", "weight_decay": 1e-3}), NONE),
        ("optax", "optax.lamb") => found(json!({"kind": "lamb", "weight_decay": 0.0, "always_adapt": true}), NONE),
        ("optax", "optax.adafactor") => found(
            json!({"kind": "adafactor", "variant": "optax"}),
            &[("weight_decay_rate", "weight_decay"), ("momentum", "beta1")],
        ),
        ("optax", "optax.adadelta") => found(json!({"kind": "adadelta"}), NONE),
        ("optax", "optax.adagrad") => {
            found(json!({"kind": "adagrad", "variant": "keras", "initial_accumulator_value": 0.1, "eps": 1e-7}), NONE)
        }
        ("optax", "optax.adamax") => found(json!({"kind": "adamax"}), NONE),
        ("optax", "optax.rmsprop") => {
            found(json!({"kind": "rmsprop", "variant": "keras", "alpha": 0.9, "eps": 1e-8}), &[("decay", "alpha")])
        }
        ("optax", "optax.radam") => found(json!({"kind": "radam"}), NONE),
        ("optax", "optax.contrib.prodigy") => {
            found(json!({"kind": "prodigy", "use_bias_correction": true}), &[("estim_lr0", "d0")])
        }
        ("optax", "optax.rprop") => found(json!({"kind": "rprop", "variant": "optax"}), NONE),
        ("optax", "optax.contrib.muon") => found(
            json!({"kind": "muon", "variant": "optax", "weight_decay": 0.0, "decay": "matrices", "eps": 1e-8,
                "adamw_betas": [0.9, 0.999], "adamw_eps": 1e-8}),
            &[("beta", "momentum")],
        ),
        ("optax", "optax.contrib.schedule_free_sgd") => {
            found(json!({"kind": "schedule_free_sgd", "variant": "optax"}), &[("b1", "momentum")])
        }
        ("optax", "optax.contrib.schedule_free_adamw") => {
            found(json!({"kind": "schedule_free_adamw", "variant": "optax"}), NONE)
        }
        ("optax", "optax.contrib.ademamix") => found(json!({"kind": "ademamix"}), NONE),
        ("keras", "Adam") => found(json!({"kind": "adam", "variant": "keras", "eps": 1e-7}), OF_KERAS_RHO),
        ("keras", "AdamW") => {
            found(json!({"kind": "adamw", "variant": "keras", "eps": 1e-7, "weight_decay": 0.004}), OF_KERAS_RHO)
        }
        ("keras", "Nadam") => found(json!({"kind": "nadam", "eps": 1e-7, "momentum_decay": 1.0}), OF_KERAS_RHO),
        ("keras", "Adamax") => found(json!({"kind": "adamax", "variant": "keras", "eps": 1e-7}), OF_KERAS_RHO),
        ("keras", "RMSprop") => {
            found(json!({"kind": "rmsprop", "variant": "keras", "eps": 1e-7, "alpha": 0.9}), OF_KERAS)
        }
        ("keras", "Adagrad") => found(
            json!({"kind": "adagrad", "variant": "keras", "eps": 1e-7, "initial_accumulator_value": 0.1}),
            OF_KERAS_RHO,
        ),
        ("keras", "Adadelta") => {
            found(json!({"kind": "adadelta", "variant": "keras", "rho": 0.95, "eps": 1e-7}), OF_KERAS_RHO)
        }
        ("keras", "Lion") => found(json!({"kind": "lion"}), OF_KERAS_RHO),
        ("keras", "Lamb") => found(
            json!({"kind": "lamb", "eps": 1e-7, "weight_decay": 0.0, "always_adapt": true, "decoupled_weight_decay": true}),
            OF_KERAS_RHO,
        ),
        ("keras", "Muon") => found(
            json!({"kind": "muon", "variant": "keras", "adjust_lr": "match_rms_adamw", "weight_decay": 0.004,
                "adamw_betas": [0.9, 0.999], "adamw_eps": 1e-7}),
            NONE,
        ),
        ("keras", "Ftrl") => found(
            json!({"kind": "ftrl"}),
            &[("l1_regularization_strength", "l1"), ("l2_regularization_strength", "l2")],
        ),
        ("keras", "Adafactor") => found(json!({"kind": "adafactor", "variant": "keras"}), OF_KERAS_RHO),
        _ => None,
    }
}

/// Returns what is asked for beside the rule, and the optimizer.
pub fn translate(case: &Case) -> Result<(Translated, OptimizerConfig), Lacking> {
    let library = case.library.split_whitespace().next().unwrap_or_default();
    let name = case.class.as_str();
    let Some(Class { rule, names }) = class(library, name) else {
        return Err(Lacking(format!("there is no rule for `{name}` of {library}")));
    };
    let mut table = rule.as_object().cloned().unwrap_or_default();
    let (tolerance, state_tolerance) = (TOLERANCE, TOLERANCE);
    let mut translated = Translated { max_norm: None, climbs: false, transposes: false, tolerance, state_tolerance };
    match (library, name) {
        ("timm", "Lamb") => translated.max_norm = Some(1.0),
        ("optax", "optax.contrib.muon") => translated.transposes = true,
        // It takes 1 - 0.999 in f32, which is 1.3e-5 of it too small.
        ("keras", "Nadam") => translated.state_tolerance = 1.5e-5,
        // The moments have the estimate and its square in them, and the package adds the sums of it in f32.
        ("prodigyopt", _) => translated.state_tolerance = 1e-5,
        // Its first axes are the eigenvectors of a matrix that has not full rank, so a part of them can be any: two right
        // programs come to differ by 4 %.
        (_, "SOAP") => (translated.tolerance, translated.state_tolerance) = (0.06, f64::INFINITY),
        // The first products of a long vector have not full rank: the root of what is left is that of rounding. A step by
        // roots has more rounding than the weights, which are sums of steps.
        (_, "Shampoo") if case.names().contains(&"b") => {
            (translated.tolerance, translated.state_tolerance) = (0.01, f64::INFINITY);
        }
        (_, "Shampoo") => translated.state_tolerance = 1e-4,
        ("torch" | "muon-optimizer", _) if name.contains("Muon") => translated.tolerance = 1e-6,
        _ => {}
    }
    for (argument, value) in &case.arguments {
        set(&mut table, &mut translated, (library, name), names, argument, value)?;
    }
    if let [first, rest @ ..] = &case.groups_given[..] {
        of_groups(&mut table, first, rest);
    }
    table.entry("lr").or_insert(json!(0.01));
    let config = serde_json::from_value(Value::Object(table)).map_err(|error| Lacking(error.to_string()))?;
    Ok((translated, config))
}

/// Sets an argument of the class.
fn set(
    table: &mut Map<String, Value>,
    translated: &mut Translated,
    (library, class): (&str, &str),
    names: &[(&str, &str)],
    argument: &str,
    value: &Value,
) -> Result<(), Lacking> {
    let lacking = || Err(Lacking(format!("there is no setting for `{argument} = {value}`")));
    match (argument, value) {
        ("maximize" | "cautious" | "caution", Value::Bool(false)) => {}
        ("maximize", Value::Bool(true)) => translated.climbs = true,
        // An average beside the weights: `[ema]`.
        ("use_ema" | "ema_momentum", _) => {}
        // The momentum of NAdam where it has grown to its end.
        ("nesterov", Value::Bool(true)) if class == "optax.adam" => {
            table.remove("variant");
            table.extend([("kind".to_owned(), json!("nadam")), ("momentum_decay".to_owned(), json!(1e6))]);
        }
        ("use_adjusted_lr", Value::Bool(true)) => drop(table.insert("adjust_lr".to_owned(), json!("match_rms_adamw"))),
        ("silent_sgd_phase", Value::Bool(silent)) => {
            drop(table.insert("rectify".to_owned(), json!(if *silent { "silent" } else { "sgd" })));
        }
        ("caution", Value::Bool(true)) if !["Adan", "AdamWLegacy"].contains(&class) => {
            drop(table.insert("cautious".to_owned(), json!("timm")))
        }
        ("cautious", Value::Bool(true)) => drop(table.insert("cautious".to_owned(), json!("pytorch_optimizer"))),
        ("decoupled_weight_decay", Value::Bool(decoupled)) if library == "lion-pytorch" => {
            let word = if *decoupled { "composer" } else { "rate" };
            table.insert("decoupled".to_owned(), json!(word));
        }
        ("max_grad_norm", value) => translated.max_norm = value.as_f64(),
        ("growth_rate", Value::String(_)) => {}
        ("b1" | "beta_1", value) => beta(table, 0, value),
        ("b2" | "beta_2", value) => beta(table, 1, value),
        ("b3", value) => beta(table, 2, value),
        ("decay_rate", value) if library == "optax" => {
            table.insert("beta2_decay".to_owned(), json!(-value.as_f64().unwrap_or(f64::NAN)));
        }
        // timm factors sides that are larger than it.
        ("min_dim_size_to_factor", value) if (library, class) == ("timm", "Adafactor") => {
            table.insert(argument.to_owned(), json!(value.as_u64().unwrap_or_default() + 1));
        }
        ("eps", Value::Array(eps)) if class == "Adafactor" => {
            let first = eps.first().and_then(Value::as_f64).unwrap_or(f64::from(f32::EPSILON));
            table.insert(argument.to_owned(), json!([first, eps.get(1)]));
        }
        ("lr", Value::Null) => {}
        ("lr", value) if library == "transformers" || (library, class) == ("timm", "Adafactor") => {
            table.insert("lr".to_owned(), value.clone());
        }
        ("lr" | "learning_rate", Value::Number(_)) => drop(table.insert("lr".to_owned(), value.clone())),
        (neutral, _) if NEUTRAL.contains(&neutral) => {}
        ("mu_dtype", Value::String(name)) if name == "bfloat16" => {
            drop(table.insert(argument.to_owned(), json!("bf16")))
        }
        ("pre_norm", Value::Bool(pre)) => translated.max_norm = pre.then_some(1.0),
        ("maximize" | "mu_dtype", _) => return lacking(),
        (_, Value::Null) => {}
        (argument, value) => {
            let name = names.iter().find(|(theirs, _)| *theirs == argument).map_or(argument, |(_, ours)| ours);
            table.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

/// Sets one of several betas, whose defaults are those of the rule.
fn beta(table: &mut Map<String, Value>, index: usize, value: &Value) {
    let defaults = match table["kind"].as_str() {
        Some("lion") => json!([0.9, 0.99]),
        Some("ademamix") => json!([0.9, 0.999, 0.9999]),
        _ => json!([0.9, 0.999]),
    };
    let betas = table.entry("betas").or_insert(defaults);
    if let Some(place) = betas.get_mut(index) {
        *place = value.clone();
    }
}

/// Sets what differs in groups: of matrices, by the rule, and of the others, by Adam.
fn of_groups(table: &mut Map<String, Value>, first: &Map<String, Value>, rest: &[Map<String, Value>]) {
    let copied = |group: &Map<String, Value>, name: &str| group.get(name).cloned().filter(|value| !value.is_null());
    for name in ["lr", "weight_decay", "momentum"] {
        copied(first, name).map(|value| table.insert(name.to_owned(), value));
    }
    let mut groups = Vec::new();
    for group in rest {
        let mut ours = json!({"parameters": group.get("params").cloned().unwrap_or_default()});
        for name in ["lr", "weight_decay"] {
            if let Some(value) = copied(group, name) {
                ours[name] = value;
            }
        }
        copied(group, "betas").map(|value| table.insert("adamw_betas".to_owned(), value));
        copied(group, "eps").map(|value| table.insert("adamw_eps".to_owned(), value));
        groups.push(ours);
    }
    if !groups.is_empty() {
        table.insert("groups".to_owned(), json!(groups));
    }
}
