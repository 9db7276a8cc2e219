//! Translates serde's messages about a configuration for users who do not know serde.

use crate::nearest::{completed, misspelled};
use crate::plain;

/// Names of other programs, or of other tables, and ours for them in the same table.
const OTHER_NAMES_HERE: [(&str, &str); 4] =
    [("kind", "format"), ("beta1", "betas"), ("beta2", "betas"), ("clip", "clip_norm")];

/// Returns the message in plain words; for an unknown name with the nearest known one. `elsewhere` searches for a key
/// of another table; its argument says whether the key's own table has a similar one.
pub(super) fn in_plain_words(reason: &str, elsewhere: impl Fn(bool) -> Option<String>) -> String {
    if let Some(unknown) = unknown_name(reason, &elsewhere) {
        return unknown;
    }
    let text = plain::of_serde(reason);
    // A key may have the name of a table, like `data.validation`.
    let question = elsewhere(true).filter(|_| text.starts_with("must be a table, not "));
    text + &question.map(|question| format!("; {question}")).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reason: &str) -> String {
        in_plain_words(reason, |_| None)
    }

    #[test]
    fn a_name_of_the_same_table_comes_before_one_of_another() {
        let asked = |reason: &str| in_plain_words(reason, |_| Some("did you mean `data.augment.flip`?".to_owned()));
        for (name, known, meant) in [
            ("clip", "`accumulate`, `clip_norm`", "clip_norm"),
            ("metric", "`every`, `metrics`", "metrics"),
            ("kind", "`path`, `format`", "format"),
            ("beta1", "`lr`, `betas`", "betas"),
            ("beta1", "`lr`, `momentum`", "data.augment.flip"),
        ] {
            let told = asked(&format!("unknown field `{name}`, expected one of {known}"));
            assert!(told.contains(&format!("did you mean `{meant}`?")), "{told}");
        }
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
}
