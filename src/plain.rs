//! Messages of parsers in plain words, for users who do not know Rust or serde.

/// Returns serde's message about a value in plain words; another message as it is.
pub(crate) fn of_serde(message: &str) -> String {
    let (reason, place) = match message.rfind(" at line ") {
        Some(at) => message.split_at(at),
        None => (message, ""),
    };
    let plain = missing(reason).or_else(|| wrong_type(reason));
    plain.map_or_else(|| message.to_owned(), |plain| plain + place)
}

/// Returns serde's message about JSON that is a line of a file, which begins after `before` bytes of that line. The message
/// with it has the number of the line in the file, so that the only line that serde has seen is left out.
pub(crate) fn of_json_line(error: &serde_json::Error, before: usize) -> String {
    let message = of_serde(&error.to_string());
    let reason = message.rfind(" at line ").map_or(message.as_str(), |at| &message[..at]);
    match error.column() {
        0 => reason.to_owned(),
        column => format!("{reason} at column {}", before + column),
    }
}

/// Tells in plain words, after the argument and its value, why clap takes it for no number.
#[cfg(feature = "cli")]
pub fn of_argument(error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};

    let reason = of_number(&std::error::Error::source(error)?.to_string())?;
    match (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue)) {
        (Some(ContextValue::String(argument)), Some(ContextValue::String(value))) => {
            let name = argument.split(' ').next().unwrap_or(argument);
            Some(format!("{name} {}: {reason}", crate::shell::word(value)))
        }
        _ => None,
    }
}

/// Translates "missing field `a`".
fn missing(reason: &str) -> Option<String> {
    let name = reason.strip_prefix("missing field ")?;
    Some(format!("{name} is missing"))
}

/// Translates "invalid type: string "fast", expected f64", or "invalid value: …".
fn wrong_type(reason: &str) -> Option<String> {
    let rest = reason.strip_prefix("invalid type: ").or_else(|| reason.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.split_once(", expected ")?;
    let expected = match expected {
        "f64" | "f32" => "a number",
        "u64" | "u32" | "usize" => "a whole number, at least 0",
        "i64" | "i32" | "isize" => "a whole number",
        "a nonzero usize" | "a nonzero u64" => "a whole number, at least 1",
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
    Some(format!("must be {expected}, not {}", found.trim_matches('`')))
}

/// Returns the message of the standard library, or of clap, about a text that is no number of its type in plain words;
/// `None` if it is another message.
#[cfg(any(feature = "cli", test))]
fn of_number(message: &str) -> Option<&'static str> {
    Some(match message {
        "invalid digit found in string" => "must be a whole number, at least 0",
        "invalid float literal" | "cannot parse float from empty string" => "must be a number",
        "cannot parse integer from empty string" => "must be a whole number, and is empty",
        "number too large to fit in target type" => "is too large",
        "number too small to fit in target type" => "is too small",
        // A range of an option, which ends at the largest number of the type.
        other => match other.split_once(" is not in ")? {
            (value, range) if value.starts_with('-') && range.starts_with("0..") => {
                "must be a whole number, at least 0"
            }
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_serde_is_told_without_the_names_of_rust_types() {
        let cases = [
            ("invalid type: string \"fast\", expected f64", "must be a number, not \"fast\""),
            ("invalid type: integer `32`, expected a sequence", "must be a list in brackets, not 32"),
            ("invalid type: floating point `1000.0`, expected u64", "must be a whole number, at least 0, not 1000.0"),
            ("invalid value: integer `-1`, expected u64", "must be a whole number, at least 0, not -1"),
            ("invalid value: integer `0`, expected a nonzero u64", "must be a whole number, at least 1, not 0"),
            ("invalid type: map, expected a boolean", "must be true or false, not a table"),
            ("invalid type: integer `3`, expected struct TrainConfig", "must be a table, not 3"),
            ("missing field `lr`", "`lr` is missing"),
            ("missing field `lr` at line 1 column 2", "`lr` is missing at line 1 column 2"),
            (
                "invalid type: sequence, expected a map at line 1 column 0",
                "must be a table, not a list at line 1 column 0",
            ),
            ("EOF while parsing a value at line 1 column 0", "EOF while parsing a value at line 1 column 0"),
        ];
        for (serde, ours) in cases {
            assert_eq!(of_serde(serde), ours);
        }
    }

    #[test]
    fn a_message_about_a_line_of_json_has_its_column_alone() {
        let told = |line: &str, before| of_json_line(&serde_json::from_str::<u64>(line).unwrap_err(), before);
        assert_eq!(told("[", 0), "must be a whole number, at least 0, not a list");
        assert_eq!(told("1 x", 0), "trailing characters at column 3");
        assert_eq!(told("1 x", 4), "trailing characters at column 7");
        assert_eq!(told("", 0), "EOF while parsing a value");
    }

    #[test]
    fn a_text_that_is_no_number_is_told_by_what_is_needed() {
        let told = |error: String| of_number(&error);
        for text in ["x", "1.5", "-1"] {
            assert_eq!(told(text.parse::<u64>().unwrap_err().to_string()), Some("must be a whole number, at least 0"));
        }
        assert!(told("".parse::<u64>().unwrap_err().to_string()).is_some());
        assert_eq!(told("99999999999".parse::<u32>().unwrap_err().to_string()), Some("is too large"));
        assert_eq!(told("-99999999999".parse::<i32>().unwrap_err().to_string()), Some("is too small"));
        for text in ["x", ""] {
            assert_eq!(told(text.parse::<f64>().unwrap_err().to_string()), Some("must be a number"));
        }
        assert_eq!(of_number("-5 is not in 0..=4294967295"), Some("must be a whole number, at least 0"));
        assert_eq!(of_number("no such file"), None);
    }
}
