//! Durations as a person writes them, such as `1s`.

use std::time::Duration;

/// Reads a duration with its unit.
///
/// # Errors
/// It is not a number with a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number with a unit, such as `500ms`, `1s`, `2m` or `1d`".to_owned();
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let seconds = match text[unit..].trim_end() {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let number: f64 = text[..unit].trim().parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let read = ["10ms", "1s", "1.5 s", "2m", "0s"].map(|text| duration(text).unwrap().as_millis());
        assert_eq!(read, [10, 1000, 1500, 120_000, 0]);
        for text in ["", "5", "s", "-1s", "1 day", "nan s", "1e99h", "infs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
