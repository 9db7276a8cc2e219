//! Recognizes numbers and dates in human notation, which a table treats as categories.

use super::options::{Decimal, MISSING_FOR_PANDAS, MISSING_VALUES};

/// The form of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// In words.
    pub what: &'static str,
    /// The number in plain notation; `None` for dates and times.
    pub plain: Option<String>,
}

/// Signs and names of currencies before or after a number.
const CURRENCIES: [&str; 12] = ["$", "€", "£", "¥", "₹", "USD", "EUR", "GBP", "CHF", "JPY", "US$", "kr"];

/// A longer word after a number is not a unit.
const LONGEST_UNIT: usize = 6;

/// Returns the form of `text` in a file with this decimal mark, unless it is a name or a plain number.
pub(super) fn look(text: &str, decimal: Decimal) -> Option<Look> {
    let text = text.trim();
    let plain = |text: &str| plain(text, decimal);
    if is_date(text) {
        return Some(Look { what: "a date or a time", plain: None });
    }
    let look = |what, number: String| Some(Look { what, plain: Some(number) });
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest.trim_start()),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let signed = |number: String| format!("{sign}{number}");
    if let Some(number) = unsigned.strip_suffix('%').and_then(&plain) {
        return look("a number with a percent sign", signed(number));
    }
    for currency in CURRENCIES {
        let bare = unsigned.strip_prefix(currency).or_else(|| unsigned.strip_suffix(currency));
        if let Some(number) = bare.and_then(&plain) {
            return look("a number with a currency", signed(number));
        }
    }
    if unsigned.parse::<f64>().is_err()
        && let Some(number) = plain(unsigned)
    {
        return look(
            match decimal {
                Decimal::Point => "a number with thousands separators, or a decimal comma",
                Decimal::Comma => "a number with thousands separators, or a decimal point",
            },
            signed(number),
        );
    }
    let end = unsigned.rfind(|c: char| c.is_ascii_digit()).map(|digit| digit + 1)?;
    let (number, unit) = unsigned.split_at(end);
    let unit = unit.trim_start();
    let is_unit = (1..=LONGEST_UNIT).contains(&unit.chars().count()) && !unit.contains(char::is_whitespace);
    plain(number).filter(|_| is_unit).and_then(|number| look("a number with a unit", signed(number)))
}

/// Returns a number without thousands separators, and with the decimal mark of the file. Where two readings are possible, that
/// mark decides.
fn plain(text: &str, decimal: Decimal) -> Option<String> {
    let text = text.trim();
    let has_digits_alone = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Three digits after each separator.
    let joined = |whole: &str, mark: char| {
        let mut groups = whole.split(mark);
        let first = groups.next().filter(|first| (1..=3).contains(&first.len()) && has_digits_alone(first))?;
        let rest: Vec<&str> = groups.collect();
        let are_thousands = !rest.is_empty() && rest.iter().all(|group| group.len() == 3 && has_digits_alone(group));
        are_thousands.then(|| format!("{first}{}", rest.concat()))
    };
    let whole = |whole: &str, marks: &[char]| {
        if has_digits_alone(whole) {
            Some(whole.to_owned())
        } else {
            marks.iter().find_map(|&mark| joined(whole, mark))
        }
    };
    let mark = decimal.mark();
    let with_fraction = |point: char, marks: &[char]| match text.split_once(point) {
        Some((before, fraction)) if has_digits_alone(fraction) => {
            Some(format!("{}{mark}{fraction}", whole(before, marks)?))
        }
        Some(_) => None,
        None => whole(text, marks),
    };
    let with_point = || with_fraction('.', &[',', ' ', '\'', '_', '\u{a0}', '\u{202f}']);
    let with_comma = || with_fraction(',', &['.', ' ', '\'', '\u{a0}', '\u{202f}']);
    match decimal {
        Decimal::Point => with_point().or_else(with_comma),
        Decimal::Comma => with_comma().or_else(with_point),
    }
}

/// `2024-01-31`, `31.1.24`, `1/31/2024`, each optionally followed by a time, or only a time.
fn is_date(text: &str) -> bool {
    let is_number = |piece: &str, longest: usize| {
        (1..=longest).contains(&piece.len()) && piece.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_day = |text: &str| {
        ['-', '/', '.'].iter().any(|&mark| {
            let pieces: Vec<&str> = text.split(mark).collect();
            pieces.len() == 3
                && pieces.iter().all(|piece| is_number(piece, 4))
                && pieces.iter().filter(|piece| piece.len() <= 2).count() >= 2
        })
    };
    let is_time = |text: &str| {
        let bare = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let pieces: Vec<&str> = bare.split(':').collect();
        let starts_well = pieces.iter().take(2).all(|piece| is_number(piece, 2));
        (2..=4).contains(&pieces.len()) && starts_well
    };
    match text.split_once(['T', ' ']) {
        Some((day, time)) => is_day(day) && is_time(time) || is_time(text),
        None => is_day(text) || is_time(text),
    }
}

/// Whether a text stands for a missing value in our defaults or in those of pandas.
pub(super) fn is_missing_elsewhere(text: &str) -> bool {
    MISSING_VALUES.contains(&text) || MISSING_FOR_PANDAS.contains(&text)
}

/// In fewer rows than this, all values may differ by chance.
pub(super) const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_written_for_people_are_reported_with_the_number_that_is_meant() {
        for (text, what, number) in [
            ("7 km", "unit", "7"),
            ("12kg", "unit", "12"),
            ("-3.5 °C", "unit", "-3.5"),
            ("1,007 km", "unit", "1007"),
            ("$1,100.50", "currency", "1100.50"),
            ("1.100,50 €", "currency", "1100.50"),
            ("-$5", "currency", "-5"),
            ("45%", "percent", "45"),
            ("4,5 %", "percent", "4.5"),
            ("1,000", "thousands", "1000"),
            ("1 234 567.5", "thousands", "1234567.5"),
            ("3,14", "decimal comma", "3.14"),
        ] {
            let look = look(text, Decimal::Point).unwrap_or_else(|| panic!("{text}"));
            assert!(look.what.contains(what), "{text}: {look:?}");
            assert_eq!(look.plain.as_deref(), Some(number), "{text}");
        }
    }

    #[test]
    fn advice_has_the_decimal_mark_of_the_file() {
        for (text, what, number) in [
            ("1.234,5", "thousands separators, or a decimal point", "1234,5"),
            ("1.234.567", "thousands", "1234567"),
            ("1,234.5", "thousands", "1234,5"),
            ("1.500 kg", "unit", "1500"),
            ("7.5 km", "unit", "7,5"),
            ("-1.100,50 €", "currency", "-1100,50"),
            ("4.5%", "percent", "4,5"),
        ] {
            let look = look(text, Decimal::Comma).unwrap_or_else(|| panic!("{text}"));
            assert!(look.what.contains(what), "{text}: {look:?}");
            assert_eq!(look.plain.as_deref(), Some(number), "{text}");
        }
    }

    #[test]
    fn dates_and_times_are_reported() {
        for text in
            ["2024-01-31", "31.1.24", "1/31/2024", "2024-01-31T12:00:00Z", "2024-01-31 12:00", "12:30", "9:05 pm"]
        {
            assert_eq!(look(text, Decimal::Point), Some(Look { what: "a date or a time", plain: None }), "{text}");
        }
    }

    #[test]
    fn names_and_plain_numbers_look_like_nothing_else() {
        for text in ["", "cook", "7", "-1.5e3", "A4", "1 Main Street", "10.0.0.1", "k", "%", "$", "3 rd floor", "1,2,3"]
        {
            assert_eq!(look(text, Decimal::Point), None, "{text}");
        }
    }
}
