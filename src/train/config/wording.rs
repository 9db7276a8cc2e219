//! Translates serde's messages about a configuration for users who do not know serde.

use crate::nearest::{completed, misspelled};

/// Names of other programs, or of other tables, and ours for them in the same table.
const OTHER_NAMES_HERE: [(&str, &str); 3] = [("kind", "format"), ("beta1", "betas"), ("beta2", "betas")];

/// Returns the message in plain words; for an unknown name with the nearest known one. `elsewhere` searches for a key
/// of another table; its argument says whether the key's own table has a similar one.
pub(super) fn plain(reason: &str, elsewhere: impl Fn(bool) -> Option<String>) -> String {
    let unknown = unknown_name(reason, &elsewhere);
    unknown.or_else(|| wrong_type(reason, &elsewhere)).unwrap_or_else(|| reason.to_owned())
}

/// Translates "unknown field `a`, expected one of `b`, `c`", or "unknown variant …".
fn unknown_name(reason: &str, elsewhere: impl Fn(bool) -> Option<String>) -> Option<String> {
    let is_field = reason.starts_with("unknown field ");
    let rest = reason.strip_prefix("unknown field ").or_else(|| reason.strip_prefix("unknown variant "))?;
    let (rest, hint) = rest.split_once("; ").unwrap_or((rest, ""));
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let name = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    let nearest = misspelled(name, known.iter().copied());
    let here = meant_here(name, &known).filter(|_| is_field).map(|meant| format!("did you mean `{meant}`?"));
    let question = here.or_else(|| elsewhere(nearest.is_some()).filter(|_| is_field));
    let question = question.or_else(|| Some(format!("did you mean `{}`?", nearest?)));
    let question = question.map(|question| question + " ").unwrap_or_default();
    let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
    if known.is_empty() {
        return Some(format!("`{name}` is unknown; {question}nothing else is set here{hint}"));
    }
    Some(format!("`{name}` is unknown; {question}known here: `{}`{hint}", known.join("`, `")))
}

/// Returns the key of the same table that comes before those of other tables.
fn meant_here<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let other_name = OTHER_NAMES_HERE.iter().find(|(other, _)| *other == name).map(|(_, ours)| *ours);
    let named = known.iter().copied().find(|known| Some(*known) == other_name);
    named.or_else(|| completed(name, known.iter().copied()))
}

/// Translates "invalid type: string "fast", expected f64", or "invalid value: …".
fn wrong_type(reason: &str, elsewhere: impl Fn(bool) -> Option<String>) -> Option<String> {
    let rest = reason.strip_prefix("invalid type: ").or_else(|| reason.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.split_once(", expected ")?;
    let expected = match expected {
        "f64" => "a number",
        "u64" | "usize" => "a whole number, at least 0",
        "a nonzero usize" => "a whole number, at least 1",
        "a sequence" => "a list in brackets",
        "a string" => "text in quotes",
        "a boolean" => "true or false",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    let found = match found {
        "map" => "a table",
        "sequence" => "a list",
        "null" => "nothing",
        value => value.split_once(' ').map_or(value, |(kind, value)| match kind {
            "floating" => value.trim_start_matches("point "),
            _ => value,
        }),
    };
    // A key may have the name of a table, like `data.validation`.
    let question = elsewhere(true).filter(|_| expected == "a table" && found != "a table");
    let question = question.map(|question| format!("; {question}")).unwrap_or_default();
    Some(format!("must be {expected}, not {}{question}", found.trim_matches('`')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reason: &str) -> String {
        plain(reason, |_| None)
    }

    #[test]
    fn an_unknown_name_comes_with_the_nearest_known_one() {
        let field = told("unknown field `lrr`, expected one of `lr`, `momentum`");
        assert_eq!(field, "`lrr` is unknown; did you mean `lr`? known here: `lr`, `momentum`");
        let variant = told("unknown variant `AdamW`, expected one of `sgd`, `adam`, `adamw`");
        assert!(variant.contains("did you mean `adamw`?"), "{variant}");
        assert_eq!(told("unknown variant `rnn`, expected `mlp`"), "`rnn` is unknown; known here: `mlp`");
        let hinted = told("unknown variant `rnn`, expected one of `mlp`; register it");
        assert_eq!(hinted, "`rnn` is unknown; known here: `mlp` (register it)");
        let none = told("unknown field `a`, there are none");
        assert_eq!(none, "`a` is unknown; nothing else is set here");
    }

    #[test]
    fn a_wrong_type_is_reported_without_the_names_of_rust_types() {
        let cases = [
            ("invalid type: string \"fast\", expected f64", "must be a number, not \"fast\""),
            ("invalid type: integer `32`, expected a sequence", "must be a list in brackets, not 32"),
            ("invalid type: floating point `1000.0`, expected u64", "must be a whole number, at least 0, not 1000.0"),
            ("invalid value: integer `-1`, expected u64", "must be a whole number, at least 0, not -1"),
            ("invalid type: map, expected a boolean", "must be true or false, not a table"),
            ("invalid type: integer `3`, expected struct TrainConfig", "must be a table, not 3"),
            ("missing field `lr`", "missing field `lr`"),
        ];
        for (serde, ours) in cases {
            assert_eq!(told(serde), ours);
        }
    }
}
