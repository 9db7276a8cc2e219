//! How tensors of files get the names of the model: by the prefixes that a user gives, or by one that all of them have
//! or lack.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The change of the name of each tensor of the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing.
    Kept,
    /// The longest of these prefixes that it has becomes the one beside it.
    Replaced(Vec<[String; 2]>),
    /// This prefix is removed; a name without it is kept.
    Stripped(String),
    /// This prefix is added, unless the name has it.
    Added(String),
}

impl Rule {
    /// Returns the rule of the pairs that a user gives; without any, the one by which most names are those of the model.
    ///
    /// # Errors
    /// A pair changes no name.
    pub fn of<'a>(
        pairs: &[[String; 2]],
        files: impl Iterator<Item = &'a str> + Clone,
        model: &BTreeSet<&str>,
    ) -> Result<Self, String> {
        if pairs.is_empty() {
            return Ok(Self::found(&files.collect(), model));
        }
        let is_idle = |[from, _]: &&[String; 2]| files.clone().all(|name| !name.starts_with(from.as_str()));
        match pairs.iter().find(is_idle) {
            Some([from, _]) => {
                let first = files.clone().next().unwrap_or_default();
                Err(format!("no tensor in it begins with `{from}`, as `train.rename_weights` says; one is `{first}`"))
            }
            None => Ok(Self::Replaced(pairs.to_vec())),
        }
    }

    /// Returns the new name of a tensor.
    pub fn renamed(&self, name: &str) -> String {
        match self {
            Self::Kept => name.to_owned(),
            Self::Replaced(pairs) => {
                let fitting = pairs.iter().filter_map(|[from, to]| Some((from.len(), name.strip_prefix(&**from)?, to)));
                let longest = fitting.max_by_key(|(length, ..)| *length);
                longest.map_or_else(|| name.to_owned(), |(_, rest, to)| format!("{to}{rest}"))
            }
            Self::Stripped(prefix) => name.strip_prefix(&**prefix).unwrap_or(name).to_owned(),
            Self::Added(prefix) if name.starts_with(&**prefix) => name.to_owned(),
            Self::Added(prefix) => format!("{prefix}{name}"),
        }
    }

    /// Finds a prefix with which more names are those of the model than without, and at least half of the model's. If
    /// two prefixes have the same number, neither is taken.
    fn found(files: &BTreeSet<&str>, model: &BTreeSet<&str>) -> Self {
        let kept = files.intersection(model).count();
        let stripped = prefixes(files, model).into_iter().map(|(prefix, count)| (count, Self::Stripped(prefix)));
        let added = prefixes(model, files).into_iter().map(|(prefix, count)| (count, Self::Added(prefix)));
        let mut better: Vec<(usize, Self)> =
            stripped.chain(added).filter(|(count, _)| *count > kept && 2 * count >= model.len()).collect();
        better.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let is_tie = better.len() > 1 && better[0].0 == better[1].0;
        match better.into_iter().next() {
            Some((_, rule)) if !is_tie => rule,
            _ => Self::Kept,
        }
    }
}

/// Returns each prefix, to its last dot, without which names in `long` are in `short`, and their number.
fn prefixes(long: &BTreeSet<&str>, short: &BTreeSet<&str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in long {
        for (dot, _) in name.match_indices('.') {
            let (prefix, rest) = name.split_at(dot + 1);
            if short.contains(rest) {
                *counts.entry(prefix.to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

/// For a message about the tensors: a comma, and the change.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => Ok(()),
            Self::Replaced(_) => f.write_str(", renamed by `train.rename_weights`"),
            Self::Stripped(prefix) => write!(f, ", without `{prefix}` in front of their names"),
            Self::Added(prefix) => write!(f, ", with `{prefix}` in front of their names"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: [&str; 4] = ["h.0.bias", "h.0.weight", "head.bias", "head.weight"];

    fn found(files: &[&str]) -> Rule {
        Rule::of(&[], files.iter().copied(), &BTreeSet::from(MODEL)).unwrap()
    }

    #[test]
    fn a_prefix_is_found_where_it_names_more_and_at_least_half_of_the_model() {
        let with = |prefix: &str| MODEL.map(|name| format!("{prefix}{name}"));
        let rule = |names: &[String]| found(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(rule(&with("")), Rule::Kept);
        assert_eq!(rule(&with("module._orig_mod.")), Rule::Stripped("module._orig_mod.".to_owned()));
        let inner = ["0.bias", "0.weight", "norm"];
        assert_eq!(found(&inner), Rule::Added("h.".to_owned()));
        assert_eq!(found(&inner).renamed("0.bias"), "h.0.bias");
        // Of two towers neither is meant more than the other, and one name of four is chance.
        assert_eq!(rule(&[with("a."), with("b.")].concat()), Rule::Kept);
        assert_eq!(found(&["encoder.head.bias", "x", "y"]), Rule::Kept);
    }

    #[test]
    fn the_longest_given_prefix_is_replaced_and_one_that_no_name_has_is_refused() {
        let pairs = |pairs: &[[&str; 2]]| pairs.iter().map(|pair| pair.map(str::to_owned)).collect::<Vec<_>>();
        let rule = Rule::Replaced(pairs(&[["model.", ""], ["model.h.", "h."], ["", "x."]]));
        assert_eq!(rule.renamed("model.h.0"), "h.0");
        assert_eq!(rule.renamed("model.g.0"), "g.0");
        assert_eq!(rule.renamed("g.0"), "x.g.0");
        let wrong = Rule::of(&pairs(&[["net.", ""]]), ["a.b"].into_iter(), &BTreeSet::new()).unwrap_err();
        assert!(wrong.contains("begins with `net.`") && wrong.contains("`a.b`"), "{wrong}");
    }
}
