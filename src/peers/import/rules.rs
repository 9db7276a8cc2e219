//! The `[optimizer]` table of a configuration, from a peer's rules and the names of its parameters.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::peers::translate::{RuleGroup, UpdateRule};

/// The table, and where its groups come from.
#[derive(Debug, PartialEq)]
pub(super) struct Planned {
    /// The table.
    pub table: Value,
    /// For each group of the table the peer's optimizer; `None` for parameters that do not train.
    pub sources: Vec<Option<usize>>,
    /// Parameters that do not train.
    pub frozen: Vec<String>,
}

/// A group of the table.
struct Group {
    kind: &'static str,
    hyperparameters: Map<String, Value>,
    names: Vec<String>,
    source: Option<usize>,
}

/// Hyperparameters in which a group may differ from the optimizer's rule.
const OF_GROUPS: [&str; 4] = ["lr", "weight_decay", "momentum", "beta1"];

/// Plans the table; `names` has those of each group, optimizer after optimizer, and `all` every parameter here.
pub(super) fn plan(rules: &[UpdateRule], names: &[Vec<String>], all: &[String]) -> Planned {
    let mut rest: BTreeSet<&str> = all.iter().map(String::as_str).collect();
    let mut groups = Vec::new();
    let places = rules
        .iter()
        .enumerate()
        .flat_map(|(optimizer, rule)| rule.groups.iter().map(move |group| (rule.kind, group, optimizer)));
    for ((kind, group, source), names) in places.zip(names) {
        let names: Vec<String> = trained(group, names);
        rest.retain(|name| !names.iter().any(|trained| trained == name));
        if !names.is_empty() {
            let hyperparameters = group.hyperparameters.clone();
            groups.push(Group { kind, hyperparameters, names, source: Some(source) });
        }
    }
    let frozen: Vec<String> = rest.into_iter().map(str::to_owned).collect();
    if !frozen.is_empty() {
        groups.push(Group { kind: "frozen", hyperparameters: Map::new(), names: frozen.clone(), source: None });
    }
    let sources = groups.iter().map(|group| group.source).collect();
    Planned { table: table(&groups), sources, frozen }
}

fn trained(group: &RuleGroup, names: &[String]) -> Vec<String> {
    let trained = group.parameters.iter().zip(names).filter(|(parameter, _)| !parameter.frozen);
    trained.map(|(_, name)| name.clone()).collect()
}

/// Writes the first group as the optimizer's rule, whose parameters are those that no other group has.
fn table(groups: &[Group]) -> Value {
    let Some((first, others)) = groups.split_first() else { return json!({"kind": "frozen"}) };
    let mut table = first.hyperparameters.clone();
    table.insert("kind".to_owned(), first.kind.into());
    let others: Vec<Value> = others.iter().map(|group| Value::Object(beside(group, first))).collect();
    if !others.is_empty() {
        table.insert("groups".to_owned(), others.into());
    }
    Value::Object(table)
}

/// Writes a group: as differences from the first where only those of groups differ, otherwise with a rule.
fn beside(group: &Group, first: &Group) -> Map<String, Value> {
    let patterns: Vec<String> = group.names.iter().map(|name| globset::escape(name)).collect();
    let mut table = Map::from_iter([("parameters".to_owned(), patterns.into())]);
    let keys: BTreeSet<&String> = group.hyperparameters.keys().chain(first.hyperparameters.keys()).collect();
    let differing: Vec<&String> =
        keys.into_iter().filter(|key| group.hyperparameters.get(*key) != first.hyperparameters.get(*key)).collect();
    let is_shared = group.kind == first.kind
        && differing.iter().all(|key| OF_GROUPS.contains(&key.as_str()) && group.hyperparameters.contains_key(*key));
    if is_shared {
        let own = group.hyperparameters.iter().filter(|(key, _)| differing.contains(key));
        table.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    } else {
        table.insert("kind".to_owned(), group.kind.into());
        table.extend(group.hyperparameters.clone());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::translate::RuleParameter;

    fn group(hyperparameters: Value, ids: usize, frozen: Option<usize>) -> RuleGroup {
        let Value::Object(hyperparameters) = hyperparameters else { panic!("a table") };
        let parameter = |id: usize| RuleParameter {
            id: id.to_string(),
            name: None,
            updates: None,
            states: Vec::new(),
            frozen: frozen == Some(id),
        };
        RuleGroup { of: 0, hyperparameters, parameters: (0..ids).map(parameter).collect() }
    }

    fn names(names: &[&[&str]]) -> Vec<Vec<String>> {
        names.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect()
    }

    #[test]
    fn groups_keep_their_order_and_what_no_group_has_is_frozen() {
        let rule = UpdateRule {
            kind: "adamw",
            groups: vec![
                group(json!({"lr": 0.1, "weight_decay": 0.0, "eps": 1e-8}), 2, Some(1)),
                group(json!({"lr": 0.1, "weight_decay": 0.5, "eps": 1e-8}), 1, None),
            ],
            asked: Vec::new(),
            notes: Vec::new(),
        };
        let all = ["a", "b", "c[0]", "d"].map(str::to_owned);
        let planned = plan(&[rule], &names(&[&["a", "b"], &["c[0]"]]), &all);
        assert_eq!(
            planned.table,
            json!({"kind": "adamw", "lr": 0.1, "weight_decay": 0.0, "eps": 1e-8, "groups": [
                {"parameters": ["c[[]0[]]"], "weight_decay": 0.5},
                {"parameters": ["b", "d"], "kind": "frozen"},
            ]})
        );
        assert_eq!(planned.sources, [Some(0), Some(0), None]);
        assert_eq!(planned.frozen, ["b", "d"]);
    }

    #[test]
    fn another_optimizer_and_another_epsilon_are_groups_with_a_rule() {
        let of = |kind, hyperparameters| UpdateRule {
            kind,
            groups: vec![group(hyperparameters, 1, None)],
            asked: Vec::new(),
            notes: Vec::new(),
        };
        let rules = [of("adamw", json!({"lr": 0.1, "eps": 1e-8})), of("sgd", json!({"lr": 0.1, "momentum": 0.9}))];
        let planned = plan(&rules, &names(&[&["a"], &["b"]]), &["a".to_owned(), "b".to_owned()]);
        let groups = json!([{"parameters": ["b"], "kind": "sgd", "lr": 0.1, "momentum": 0.9}]);
        assert_eq!(planned.table["groups"], groups);
        let rules = [of("adamw", json!({"lr": 0.1, "eps": 1e-8})), of("adamw", json!({"lr": 0.1, "eps": 1e-6}))];
        let planned = plan(&rules, &names(&[&["a"], &["b"]]), &["a".to_owned(), "b".to_owned()]);
        assert_eq!(planned.table["groups"], json!([{"parameters": ["b"], "kind": "adamw", "lr": 0.1, "eps": 1e-6}]));
    }
}
