//! An optimizer of ours as the `state_dict` of one of PyTorch.

use serde_json::{Map, Value};

use super::error::ExportError;
use super::optimizer_classes::{CLASSES, Class, Otherwise, UNSET};
use super::python;
use super::source::{Source, SourceGroup, stored};
use crate::peers::write::{Item, Stored};
use crate::state::Dtype;
use crate::wrapped::{CODE, wrapped_to};

/// Settings of ours that are read elsewhere, or say the same in every class.
const HANDLED: &[&str] = &["kind", "parameters", "groups", "decay", "lr", "weight_decay", "momentum", "betas"];

/// The rates of a group of PyTorch.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupRates {
    /// The rate of the next update.
    pub lr: f64,
    /// The base rate; `None` where no schedule drives the rate.
    pub initial_lr: Option<f64>,
    /// The momentum or first beta of the next update, where a schedule drives it.
    pub momentum: Option<f64>,
    /// Further entries that the scheduler keeps in the group.
    pub entries: Vec<(String, Item<'static>)>,
}

/// An optimizer as PyTorch saves it, and the code that makes one like it.
pub(super) struct TorchOptimizer<'a> {
    /// The class.
    pub name: &'static str,
    /// The `state_dict`.
    pub state: Item<'a>,
    /// The expression that makes the optimizer; parameters are named in `named`, a dict.
    pub code: String,
}

/// Returns whether our rule has betas.
pub(super) fn has_betas(kind: &str) -> bool {
    matches!(kind, "adam" | "adamw" | "nadam" | "radam" | "adamax")
}

/// Translates the optimizer, with the rates of `rates` for each of `groups`.
///
/// # Errors
/// PyTorch has no such rule or setting.
pub(super) fn optimizer<'a>(
    source: &Source<'a>,
    groups: &[SourceGroup<'a>],
    rates: &[GroupRates],
) -> Result<TorchOptimizer<'a>, ExportError> {
    let class = class_of(groups.first().map_or(&source.kind, |group| &group.kind))?;
    let (mut saved, mut states, mut code, mut id) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (group, rates) in groups.iter().zip(rates) {
        let settings = settings(class, source, group, rates)?;
        code.push(group_code(group, rates.initial_lr, &settings));
        let mut entries: Vec<(String, Item<'a>)> = settings.into_iter().map(|(key, item)| (key, item.into())).collect();
        entries.extend(rates.initial_lr.map(|lr| ("initial_lr".to_owned(), Item::Float(lr))));
        entries.extend(rates.entries.iter().map(|(key, item)| (key.clone(), item.clone())));
        let names = group.parameters.iter().map(|name| Item::text(*name)).collect();
        entries.push(("param_names".to_owned(), Item::List(names)));
        let ids = (id..).take(group.parameters.len()).map(Item::Int).collect();
        entries.push(("params".to_owned(), Item::List(ids)));
        saved.push(Item::dict(entries));
        for name in &group.parameters {
            if !group.is_frozen
                && let Some(state) = parameter_state(class, source, group, name)
            {
                states.push((Item::Int(id), state));
            }
            id += 1;
        }
    }
    let state = Item::dict([("state", Item::Dict(states)), ("param_groups", Item::List(saved))]);
    let code = format!("torch.optim.{}([\n{}])", class.name, code.concat());
    Ok(TorchOptimizer { name: class.name, state, code })
}

/// Returns the class for a rule of ours.
fn class_of(kind: &str) -> Result<&'static Class, ExportError> {
    CLASSES.iter().find(|class| class.kind == kind).ok_or_else(|| {
        let known: Vec<&str> = CLASSES.iter().map(|class| class.kind).collect();
        let reason = format!(
            "PyTorch has no such optimizer; it has {}; --to safetensors writes the weights alone",
            known.join(", ")
        );
        ExportError::refused(format!("optimizer.kind = {kind:?}"), reason)
    })
}

/// Returns the state of a parameter; `None` where it has none yet, or never has any.
fn parameter_state<'a>(class: &Class, source: &Source<'a>, group: &SourceGroup<'a>, name: &str) -> Option<Item<'a>> {
    let updates = source.updates_of(name);
    if updates == 0 {
        return None;
    }
    let tensors = class.states.iter().filter_map(|state| Some((*state, source.state(name, state)?)));
    let mut entries: Vec<(&str, Item<'a>)> = Vec::new();
    if class.counts {
        entries.push(("step", Item::step(updates)));
    }
    if class.kind == "nadam" {
        entries.push(("mu_product", mu_product(source, group, updates)));
    }
    if class.kind == "asgd" {
        entries.extend(averaging(source, group, name));
    }
    entries.extend(tensors.map(|(state, tensor)| (state, Item::Tensor(stored(tensor)))));
    (!entries.is_empty()).then(|| Item::dict(entries))
}

/// Returns the rate of ASGD's next update, and the share of the next weights in their average, in f32 as PyTorch keeps them.
fn averaging(source: &Source<'_>, group: &SourceGroup<'_>, name: &str) -> Vec<(&'static str, Item<'static>)> {
    let start = group.setting(source, "t0").and_then(Value::as_f64).unwrap_or(1e6);
    let share = 1.0 / (source.updates_of(name) as f64 - start).max(1.0);
    let rate = source
        .state(name, "eta")
        .and_then(|eta| eta.bytes.as_slice().first_chunk().map(|bytes| f64::from_le_bytes(*bytes)));
    let rate = rate.map(|rate| ("eta", scalar(rate as f32)));
    rate.into_iter().chain([("mu", scalar(share as f32))]).collect()
}

/// Returns a tensor of one number without dimensions.
fn scalar(number: f32) -> Item<'static> {
    Item::Tensor(Stored { dtype: Dtype::F32, shape: Vec::new(), bytes: number.to_le_bytes().to_vec().into() })
}

/// Returns the product of NAdam's momenta over all `updates`, in f32 as PyTorch multiplies it.
fn mu_product(source: &Source<'_>, group: &SourceGroup<'_>, updates: u64) -> Item<'static> {
    let number = |key: &str, default| group.setting(source, key).and_then(Value::as_f64).unwrap_or(default);
    let (beta1, decay) = (group.momentum.unwrap_or(0.9), number("momentum_decay", 4e-3));
    let product = (1..=updates).fold(1.0f32, |product, step| {
        let mu = beta1 * (1.0 - 0.5 * 0.96f64.powf(step as f64 * decay));
        (f64::from(product) * mu) as f32
    });
    scalar(product)
}

/// A setting of a group.
#[derive(Clone, Debug, PartialEq)]
enum Set {
    None,
    Int(i64),
    Number(f64),
    Is(bool),
    Pair(f64, f64),
    Numbers([f64; 3]),
    Word(String),
    Eps(Option<f64>, f64),
}

impl From<Set> for Item<'_> {
    fn from(value: Set) -> Self {
        match value {
            Set::None => Self::None,
            Set::Int(value) => Self::Int(value),
            Set::Number(value) => Self::Float(value),
            Set::Is(value) => Self::Bool(value),
            Set::Pair(first, second) => Self::Tuple(vec![Self::Float(first), Self::Float(second)]),
            Set::Numbers(numbers) => Self::Tuple(numbers.map(Self::Float).into()),
            Set::Word(word) => Self::text(word),
            Set::Eps(first, second) => Self::Tuple(vec![first.map_or(Self::None, Self::Float), Self::Float(second)]),
        }
    }
}

/// Returns every entry of a group of PyTorch but its ids, so that an optimizer that loads them has no other settings.
fn settings(
    class: &Class,
    source: &Source<'_>,
    group: &SourceGroup<'_>,
    rates: &GroupRates,
) -> Result<Vec<(String, Set)>, ExportError> {
    refuse_others_of(source, group)?;
    let betas = group.setting(source, "betas").map(|betas| (betas[0].as_f64(), betas[1].as_f64()));
    let momentum = match betas.filter(|_| group.is_beside_muon()) {
        Some((beta1, _)) => beta1,
        None => rates.momentum.or(group.momentum),
    };
    let mut found = vec![("lr".to_owned(), Set::Number(rates.lr))];
    if has_betas(class.kind) {
        let second = betas.and_then(|(_, beta2)| beta2).unwrap_or(0.999);
        found.push(("betas".to_owned(), Set::Pair(momentum.unwrap_or(0.9), second)));
    } else if matches!(class.kind, "sgd" | "rmsprop" | "muon") {
        found.push(("momentum".to_owned(), Set::Number(momentum.unwrap_or_default())));
    }
    for (name, ours, default) in class.settings {
        let set = group.setting(source, ours);
        let pair = set.and_then(|set| Some((set.get(0)?.as_f64()?, set.get(1)?.as_f64()?)));
        let value = match *default {
            Otherwise::Int(value) => match (set.and_then(Value::as_i64), set.and_then(Value::as_f64)) {
                (Some(whole), _) => Set::Int(whole),
                (None, number) => number.map_or(Set::Int(value), Set::Number),
            },
            Otherwise::Numbers(numbers) => {
                let given = set.and_then(|set| Some([set.get(0)?, set.get(1)?, set.get(2)?].map(Value::as_f64)));
                Set::Numbers(match given {
                    Some([Some(first), Some(second), Some(third)]) => [first, second, third],
                    _ => numbers,
                })
            }
            Otherwise::Word => set.and_then(Value::as_str).map_or(Set::None, |word| Set::Word(word.to_owned())),
            Otherwise::Number(value) => Set::Number(set.and_then(Value::as_f64).unwrap_or(value)),
            Otherwise::Is(value) => Set::Is(set.and_then(Value::as_bool).unwrap_or(value)),
            Otherwise::Pair(first, second) => {
                let (first, second) = pair.unwrap_or((first, second));
                Set::Pair(first, second)
            }
            Otherwise::Eps(second) => {
                pair.map_or(Set::Eps(None, second), |(first, second)| Set::Eps(Some(first), second))
            }
        };
        found.push(((*name).to_owned(), value));
    }
    if class.decays {
        found.push(("weight_decay".to_owned(), Set::Number(group.weight_decay)));
    } else if group.weight_decay != 0.0 {
        return Err(lacking(class, "weight_decay", &group.weight_decay.into()));
    }
    found.extend(class.off.iter().map(|name| ((*name).to_owned(), Set::Is(false))));
    let is_fused = matches!(class.kind, "sgd" | "adam" | "adamw" | "adagrad");
    let unset = UNSET.iter().filter(|name| class.kind != "muon" && (**name != "fused" || is_fused));
    found.extend(unset.map(|name| ((*name).to_owned(), Set::None)));
    Ok(found)
}

/// Refuses the settings of a group that no class of PyTorch has.
fn refuse_others_of(source: &Source<'_>, group: &SourceGroup<'_>) -> Result<(), ExportError> {
    let class = class_of(&group.rule)?;
    if group.rule == source.kind {
        refuse_others(class, source.hyperparameters)?;
    }
    group.own.map_or(Ok(()), |own| refuse_others(class, own))?;
    let of_rule = group.own.or_else(|| Some(source.hyperparameters).filter(|_| group.rule == source.kind));
    let ratio = of_rule.and_then(|settings| settings.get("adamw_lr_ratio")?.as_f64()).unwrap_or(1.0);
    if group.is_beside_muon() && ratio != 1.0 {
        let reason = "the schedule would need other rates; --to safetensors writes the weights alone";
        return Err(ExportError::refused(format!("optimizer.adamw_lr_ratio = {ratio}"), reason));
    }
    Ok(())
}

/// Refuses a setting of ours that the class does not have, unless it is off.
fn refuse_others(class: &Class, settings: &Map<String, Value>) -> Result<(), ExportError> {
    let is_handled = |key: &str| HANDLED.contains(&key) || class.idle.contains(&key);
    let is_known = |key: &str| is_handled(key) || class.settings.iter().any(|(_, ours, _)| *ours == key);
    let is_off = |value: &Value| value.is_null() || value == &Value::Bool(false);
    match settings.iter().find(|(key, value)| !is_known(key) && !is_off(value)) {
        None => Ok(()),
        Some((key, value)) => Err(lacking(class, key, value)),
    }
}

fn lacking(class: &Class, key: &str, value: &Value) -> ExportError {
    let reason = format!("torch.optim.{} has no such setting; --to safetensors writes the weights alone", class.name);
    ExportError::refused(format!("optimizer.{key} = {value}"), reason)
}

/// Returns the code of a group: the names of its parameters and its settings, with its base rate.
fn group_code(group: &SourceGroup<'_>, base: Option<f64>, settings: &[(String, Set)]) -> String {
    let names: Vec<String> = group.parameters.iter().map(|name| python::text(name)).collect();
    let value = |set: &Set| match set {
        Set::None | Set::Is(false) => None,
        Set::Is(true) => Some("True".to_owned()),
        Set::Int(value) => Some(value.to_string()),
        Set::Number(value) => Some(python::number(*value)),
        Set::Pair(first, second) => Some(format!("({}, {})", python::number(*first), python::number(*second))),
        Set::Numbers(numbers) => Some(format!("({})", numbers.map(python::number).join(", "))),
        Set::Word(word) => Some(python::text(word)),
        Set::Eps(first, second) => {
            let first = first.map_or_else(|| "None".to_owned(), python::number);
            Some(format!("({first}, {})", python::number(*second)))
        }
    };
    let shown = settings.iter().filter(|(key, _)| key != "decoupled_weight_decay");
    let shown = shown.map(|(key, set)| match base {
        Some(base) if key == "lr" => (key, Set::Number(base)),
        _ => (key, set.clone()),
    });
    let entries: Vec<String> =
        shown.filter_map(|(key, set)| Some(format!("{}: {}", python::text(key), value(&set)?))).collect();
    let (names, entries) = (names.join(", "), entries.join(", "));
    let parameters = format!("    {{\"params\": [named[n] for n in [{names}]],");
    if parameters.len() + entries.len() < CODE {
        return format!("{parameters} {entries}}},\n");
    }
    // A name with a blank must not be broken.
    let is_breakable = !group.parameters.iter().any(|name| name.contains(' '));
    let parameters = if is_breakable { wrapped_to(CODE, &parameters, "        ") } else { parameters };
    format!("{parameters}\n     {entries}}},\n")
}
