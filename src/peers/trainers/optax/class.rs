//! The optimizer whose state this is, by the keys of the named tuples in its chain.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Walk;

/// The class of an optimizer, with what is to be said of how it was told.
pub(super) struct Told {
    pub(super) class: String,
    pub(super) remark: Option<String>,
}

/// Keys of a state beside `count`, and the optimizer that has it. The first that fits counts.
const KINDS: &[(&[&str], &str)] = &[
    (&["mu", "nu", "nu_max"], "AMSGrad"),
    (&["count", "mu", "nu"], "Adam"),
    (&["v", "v_col", "v_row"], "Adafactor"),
    (&["e_g", "e_x"], "Adadelta"),
    (&["sum_of_squares"], "Adagrad"),
    (&["mu", "nu"], "RMSprop"),
    (&["nu"], "RMSprop"),
    (&["count", "mu"], "Lion"),
    (&["trace"], "SGD"),
];

/// Tells the optimizer of all groups.
pub(super) fn tell(walk: &Walk<'_>) -> Told {
    let chains: Vec<&BTreeMap<String, BTreeSet<String>>> =
        walk.groups().iter().map(|(_, found)| &found.chain).collect();
    let mut classes: Vec<String> = chains.iter().filter_map(|chain| of_chain(chain)).collect();
    classes.dedup();
    match classes.as_slice() {
        [] if chains.iter().any(|chain| chain.values().any(|keys| !is_known(keys))) => {
            let keys: BTreeSet<&str> =
                chains.iter().flat_map(|chain| chain.values().flatten()).map(String::as_str).collect();
            Told {
                class: "unknown".to_owned(),
                remark: Some(format!("the optimizer has states that are not known: {keys:?}")),
            }
        }
        [] => Told {
            class: "SGD".to_owned(),
            remark: Some("the optimizer has no moments, as SGD has without momentum".to_owned()),
        },
        [class] => Told { class: class.clone(), remark: remark(class) },
        several => Told {
            class: several.join(" and "),
            remark: Some("groups of parameters have optimizers of several classes".to_owned()),
        },
    }
}

fn remark(class: &str) -> Option<String> {
    matches!(class, "Adam" | "AdamW").then(|| {
        "Adam, NAdam, AdaBelief, Adamax, Yogi and NovoGrad of optax have states of the same keys: the program tells which"
            .to_owned()
    })
}

/// A state without keys, or with a schedule's count alone, tells no optimizer.
fn is_known(keys: &BTreeSet<String>) -> bool {
    keys.is_empty() || keys.iter().eq(["count"]) || kind(keys).is_some()
}

fn kind(keys: &BTreeSet<String>) -> Option<&'static str> {
    let without_count = keys.iter().filter(|key| *key != "count");
    let own: Vec<&str> = without_count.map(String::as_str).collect();
    let fits = |(due, _): &&(&[&str], &str)| {
        let counted = due.contains(&"count");
        (!counted || keys.contains("count"))
            && own.iter().copied().eq(due.iter().copied().filter(|key| *key != "count"))
    };
    KINDS.iter().find(fits).map(|(_, class)| *class)
}

fn of_chain(chain: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let found: Vec<(&String, &str)> = chain.iter().filter_map(|(place, keys)| Some((place, kind(keys)?))).collect();
    // RMSprop with momentum has the momentum's trace in the chain after it.
    let (place, class) = found.iter().find(|(_, class)| *class != "SGD").or_else(|| found.first())?;
    Some(match *class {
        "Adam" => match between(place, chain) {
            0 => "Adam".to_owned(),
            1 => "AdamW".to_owned(),
            parts => format!("Adam with {parts} further parts, as LAMB is"),
        },
        class => class.to_owned(),
    })
}

/// Returns the number of parts without state between Adam's and the rate's: decoupled decay is such a part. The rate is
/// the last part of a chain, whether it has a count or not.
fn between(adam: &str, chain: &BTreeMap<String, BTreeSet<String>>) -> usize {
    let Some((above, index)) = adam.rsplit_once('.') else { return 0 };
    let Ok(index) = index.parse::<usize>() else { return 0 };
    let within = |place: &String| {
        let rest = place.strip_prefix(above)?.strip_prefix('.')?;
        rest.split('.').next()?.parse::<usize>().ok()
    };
    let after = || chain.iter().filter_map(|(place, keys)| Some((within(place)?, keys))).filter(|(at, _)| *at > index);
    let schedule = after().filter(|(_, keys)| keys.iter().eq(["count"])).map(|(at, _)| at).min();
    let rate = schedule.or_else(|| after().map(|(at, _)| at).max());
    rate.map_or(0, |rate| rate - index - 1)
}
