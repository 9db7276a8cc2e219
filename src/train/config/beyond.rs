//! Whole numbers of a configuration that are beyond 64 bits, which TOML does not have.

use std::fmt;

/// A whole number beyond 64 bits, and its key, if that is clear.
pub(super) struct Beyond {
    key: Option<String>,
    number: String,
}

/// Returns the number because of which `text` is no TOML; `None` if it is none for another reason.
pub(super) fn beyond(text: &str, error: &toml::de::Error) -> Option<Beyond> {
    // The messages of the standard library for numbers that are too large, and too small.
    if !error.message().contains("to fit in target type") {
        return None;
    }
    let span = error.span()?;
    let (number, before) = (text.get(span.clone())?.to_owned(), text.get(..span.start)?);
    Some(Beyond { key: before.rsplit_once('=').and_then(key), number })
}

/// Returns the key before the last `=`, unless another table ends between that and the number.
fn key((before, after): (&str, &str)) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || "_-.\"'".contains(c);
    let key = before.trim_end().rsplit(|c| !is_part(c)).next()?.trim_matches(['"', '\'']);
    Some(key.to_owned()).filter(|key| !key.is_empty() && !after.contains(['}', '#']))
}

impl Beyond {
    /// Returns it with its key below that of a setting, which stands as `name` in the text.
    pub fn below(self, setting: &str, name: &str) -> Self {
        let key = match self.key {
            Some(key) if key != name => format!("{setting}.{key}"),
            _ => setting.to_owned(),
        };
        Self { key: Some(key), ..self }
    }
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "`{key}` = ")?;
        }
        let (number, least, most) = (&self.number, i64::MIN, i64::MAX);
        write!(f, "{number} is beyond the whole numbers of a configuration, which go from {least} to {most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_64_bits_is_told_with_its_key_and_the_range() {
        let found = |text: &str| beyond(text, &text.parse::<toml::Table>().unwrap_err());
        let told = |text: &str| found(text).unwrap().to_string();
        let range = "is beyond the whole numbers of a configuration, which go from -9223372036854775808 to \
                     9223372036854775807";
        assert_eq!(told("seed = 9223372036854775808"), format!("`seed` = 9223372036854775808 {range}"));
        assert_eq!(told("a = { b = -99999999999999999999 }"), format!("`b` = -99999999999999999999 {range}"));
        assert_eq!(
            told("[model]\nhidden = [1, 99999999999999999999]\n"),
            format!("`hidden` = 99999999999999999999 {range}")
        );
        assert_eq!(told("a = [{ b = 1 }, 99999999999999999999]"), format!("99999999999999999999 {range}"));
        let below = found("value = [99999999999999999999]").unwrap().below("model.hidden", "value");
        assert!(below.to_string().starts_with("`model.hidden` = 9"));
        let below = found("value = {seed = 99999999999999999999}").unwrap().below("train", "value");
        assert!(below.to_string().starts_with("`train.seed` = 9"));
        assert!(found("a = [").is_none());
    }
}
