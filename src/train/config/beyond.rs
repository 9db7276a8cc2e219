//! Whole numbers of a configuration that are beyond 64 bits, which TOML does not have.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// A whole number beyond 64 bits, and its dotted key.
pub(super) struct Beyond {
    key: String,
    number: String,
}

/// Returns the first such number in a text, if there is one, and the text is TOML otherwise.
pub(super) fn beyond(text: &str) -> Option<Beyond> {
    in_table(DeTable::parse(text).ok()?.get_ref(), "")
}

fn in_table(table: &DeTable<'_>, key: &str) -> Option<Beyond> {
    table.iter().find_map(|(name, value)| {
        let name = name.get_ref();
        let key = if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
        in_value(value.get_ref(), &key)
    })
}

fn in_value(value: &DeValue<'_>, key: &str) -> Option<Beyond> {
    match value {
        DeValue::Integer(number) if i64::from_str_radix(number.as_str(), number.radix()).is_err() => {
            Some(Beyond { key: key.to_owned(), number: number.to_string() })
        }
        DeValue::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(place, item)| in_value(item.get_ref(), &format!("{key}[{place}]")))
        }
        DeValue::Table(table) => in_table(table, key),
        _ => None,
    }
}

impl Beyond {
    /// Returns it with the key of a setting in place of the `name` that this has in the text.
    pub fn of_setting(self, setting: &str, name: &str) -> Self {
        let inner = self.key.strip_prefix(name).unwrap_or_default();
        Self { key: format!("{setting}{inner}"), ..self }
    }
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { key, number }, least, most) = (self, i64::MIN, i64::MAX);
        write!(f, "`{key}` = {number} is beyond the whole numbers of a configuration, which go from {least} to {most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_64_bits_is_told_with_its_key_and_the_range() {
        let told = |text: &str| beyond(text).map(|found| found.to_string()).unwrap_or_default();
        let range = "is beyond the whole numbers of a configuration, which go from -9223372036854775808 to \
                     9223372036854775807";
        assert_eq!(told("seed = 9223372036854775808"), format!("`seed` = 9223372036854775808 {range}"));
        let largest = "9".repeat(50);
        for (text, key, number) in [
            ("a = { b = -N }", "a.b", "-N"),
            ("[model]\nwidth = 1\nhidden = [1, N]\n", "model.hidden[1]", "N"),
            ("[[a]]\nb = 0x1\n[[a]]\nb.c = N", "a[1].b.c", "N"),
        ] {
            let number = number.replace('N', &largest);
            assert_eq!(told(&text.replace('N', &largest)), format!("`{key}` = {number} {range}"));
        }
        let below = |text: &str| beyond(text).unwrap().of_setting("model", "value").key;
        assert_eq!(below("value = [99999999999999999999]"), "model[0]");
        assert_eq!(below("value = {seed = 99999999999999999999}"), "model.seed");
        for text in ["a = [", "a = 9223372036854775807", "a = -9223372036854775808", "a = 1e99"] {
            assert_eq!(told(text), "");
        }
    }
}
