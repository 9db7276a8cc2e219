//! The name that was probably meant by one that is not known.

/// A name that is the beginning of another, or begins with it, has at least this many characters to be taken for it.
const BEGINNING: usize = 3;

/// The name among `known` that `name` was probably meant to be; `None` where none is like it. Case does not matter.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    // Short names are near to everything.
    let farthest = 1 + name.chars().count() / 4;
    let rated = known.into_iter().filter_map(|candidate| {
        let lowercase = candidate.to_lowercase();
        let far = distance(&name, &lowercase);
        let begins = name.len().min(lowercase.len()) >= BEGINNING
            && (lowercase.starts_with(&name) || name.starts_with(&lowercase));
        (far <= farthest || begins).then_some((far, candidate))
    });
    rated.min_by_key(|(far, _)| *far).map(|(_, candidate)| candidate)
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
        assert_eq!(meant("wds"), Some("wsd"), "letters are exchanged");
        assert_eq!(meant("rl"), Some("lr"));
        assert_eq!(meant("plateau"), None);
        assert_eq!(meant("xy"), None);
        assert_eq!(nearest("cow", ["cat", "dog"]), None, "short names are near to everything");
        assert_eq!(nearest("a", []), None);
    }
}
