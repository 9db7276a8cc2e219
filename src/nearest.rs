//! The name that was probably meant by one that is not known.

/// A name that is the beginning of another, or begins with it, has at least this many characters to be taken for it.
const BEGINNING: usize = 3;

/// The name among `known` that `name` was probably meant to be: one that is spelled nearly the same, or else one that
/// begins like it; `None` if there is no such name. Case does not matter.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let begins_alike = |candidate: &&str| {
        let (a, b) = (name.to_lowercase(), candidate.to_lowercase());
        a.len().min(b.len()) >= BEGINNING && (a.starts_with(&b) || b.starts_with(&a))
    };
    misspelled(name, known.clone()).or_else(|| known.into_iter().find(begins_alike))
}

/// The name among `known` that is spelled nearly as `name` is. Case does not matter. A name of one letter is near
/// only to itself.
pub(crate) fn misspelled<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let is_letter = |name: &str| name.chars().count() <= 1;
    // Short names are similar to everything.
    let farthest = if is_letter(&name) { 0 } else { 1 + name.chars().count() / 4 };
    let known = known.into_iter().filter(|candidate| !is_letter(candidate) || candidate.to_lowercase() == name);
    let rated = known.map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate));
    rated.filter(|(far, _)| *far <= farthest).min_by_key(|(far, _)| *far).map(|(_, candidate)| candidate)
}

/// The name among `known` of which `name` is the singular, the plural or the beginning.
pub(crate) fn completed<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let is_other_number = |candidate: &str| {
        candidate.strip_suffix('s') == Some(name.as_str()) || name.strip_suffix('s') == Some(candidate)
    };
    let begins = |candidate: &str| name.len() >= BEGINNING && candidate.starts_with(&name);
    let fitting = known.into_iter().filter(|candidate| is_other_number(candidate) || begins(candidate));
    fitting.min_by_key(|candidate| (!is_other_number(candidate), candidate.len()))
}

/// How many letters have to be changed, added, left out or exchanged with the next to make one name of the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let known = ["cosine", "constant", "polynomial", "adam", "adamw", "wsd", "lr"];
        let meant = |name| nearest(name, known);
        assert_eq!(meant("cosin"), Some("cosine"));
        assert_eq!(meant("AdamW"), Some("adamw"), "and not adam");
        assert_eq!(meant("poly"), Some("polynomial"), "it begins like it");
        assert_eq!(misspelled("poly", known), None);
        assert_eq!(meant("wds"), Some("wsd"), "letters are exchanged");
        assert_eq!(meant("rl"), Some("lr"));
        assert_eq!(meant("plateau"), None);
        assert_eq!(meant("xy"), None);
        assert_eq!(nearest("cow", ["cat", "dog"]), None, "short names are near to everything");
        assert_eq!(nearest("a", []), None);
        assert_eq!(nearest("a", ["x", "y"]), None, "one letter is near to every other");
        assert_eq!(nearest("ab", ["x", "a"]), None);
        assert_eq!(nearest("X", ["x", "y"]), Some("x"));
    }

    #[test]
    fn a_plural_or_a_beginning_is_completed() {
        let known = ["metrics", "clip_norm", "clip", "epoch", "epochs_of_all", "lr"];
        let meant = |name| completed(name, known);
        assert_eq!(meant("metric"), Some("metrics"));
        assert_eq!(meant("epochs"), Some("epoch"), "the other number comes before a beginning");
        assert_eq!(meant("clip_"), Some("clip_norm"));
        assert_eq!(meant("Metri"), Some("metrics"));
        assert_eq!(meant("l"), None);
        assert_eq!(meant("norm"), None);
    }
}
