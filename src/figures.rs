//! Numbers for people: enough digits at any scale.
//!
//! Files for programs, such as `log.jsonl`, have all digits instead.

use std::fmt::Display;

use crate::memory::Size;

/// Minimal number of significant digits.
const DIGITS: i32 = 4;

/// Numbers from here up are written with a power of ten.
const LARGE: f64 = 1e6;

/// Formats a learning rate: `0.095106`, or `2.000e-7` if six decimals would show too few digits.
///
/// ```
/// use rekindle::figures::rate;
///
/// assert_eq!([rate(0.095106), rate(2e-7), rate(0.0)], ["0.095106", "2.000e-7", "0"]);
/// ```
pub fn rate(x: f64) -> String {
    if x == 0.0 { "0".to_owned() } else { shown(x, &[6]) }
}

/// Formats a loss or another metric without a fixed scale: `2.4531`, `0.012346`, `2.233e11`.
///
/// ```
/// use rekindle::figures::loss;
///
/// let shown = [2.4531, 0.0123456, 223256100864.0, 3e-9].map(loss);
/// assert_eq!(shown, ["2.4531", "0.012346", "2.233e11", "3.000e-9"]);
/// ```
pub fn loss(x: f64) -> String {
    if x == 0.0 { "0.0000".to_owned() } else { shown(x, &[4, 6]) }
}

/// Formats a number in the shortest form that reads back as the same bits: `0.75`, `2e-7`.
pub fn exact(x: f64) -> String {
    let (plain, scientific) = (x.to_string(), format!("{x:e}"));
    if x.is_finite() && scientific.len() < plain.len() { scientific } else { plain }
}

/// Formats a count with its unit, which is given in the singular: `1 image`, `2 classes`.
///
/// ```
/// use rekindle::figures::counted;
///
/// assert_eq!([counted(1, "image"), counted(0, "class"), counted(5, "row")], ["1 image", "0 classes", "5 rows"]);
/// ```
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, unit: &str) -> String {
    let ending = match unit.ends_with('s') {
        _ if count == N::from(1) => "",
        true => "es",
        false => "s",
    };
    format!("{count} {unit}{ending}")
}

/// Formats seconds in the unit that fits, with two digits or more: `1.5 h`, `250 ms`.
///
/// ```
/// use rekindle::figures::span;
///
/// assert_eq!([5400.0, 0.25, 95.0].map(span), ["1.5 h", "250 ms", "1.6 min"]);
/// ```
pub fn span(seconds: f64) -> String {
    const UNITS: [(f64, &str); 6] =
        [(86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs")];
    let (size, unit) = UNITS.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1e-6, "µs"));
    let amount = seconds / size;
    let decimals = usize::from(amount < 9.95);
    let text = format!("{amount:.decimals$}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    let unit = if unit == "days" && text == "1" { "day" } else { unit };
    format!("{text} {unit}")
}

/// Formats a number of floating-point operations: `101 kFLOP`, `9.7 MFLOP`.
pub fn flops(operations: u64) -> String {
    // The units and digits are those of sizes.
    Size(operations).to_string().replace('B', "FLOP")
}

/// Formats a number of steps per second: `0.0125`, `1.25`, `12.5`, `1250`.
pub fn speed(x: f64) -> String {
    let decimals = match x {
        _ if x >= 100.0 => 0,
        _ if x >= 10.0 => 1,
        _ if x >= 1.0 => 2,
        _ => 4,
    };
    format!("{x:.decimals$}")
}

/// Formats with the first of these numbers of decimals that shows enough digits, otherwise with a power of ten.
fn shown(x: f64, decimals: &[i32]) -> String {
    let enough = |decimals: &&i32| (10f64.powi(DIGITS - 1 - **decimals)..LARGE).contains(&x.abs());
    match decimals.iter().find(enough) {
        Some(&decimals) => format!("{x:.*}", decimals as usize),
        None if x.is_finite() => format!("{x:.*e}", DIGITS as usize - 1),
        None => x.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_six_decimals_where_they_show_four_digits() {
        let shown = [0.1, 0.001, 9.999e-4, 1e-30, 12.5, 1e6, f64::NAN, f64::INFINITY].map(rate);
        assert_eq!(shown, ["0.100000", "0.001000", "9.999e-4", "1.000e-30", "12.500000", "1.000e6", "NaN", "inf"]);
    }

    #[test]
    fn a_loss_has_four_decimals_or_six_or_a_power_of_ten() {
        let shown = [8.15591, 0.1, 0.09999, 0.001, 0.000_999, 999_999.0, -0.5, -3e-8].map(loss);
        assert_eq!(
            shown,
            ["8.1559", "0.1000", "0.099990", "0.001000", "9.990e-4", "999999.0000", "-0.5000", "-3.000e-8"]
        );
    }

    #[test]
    fn a_span_of_time_is_in_the_unit_that_fits() {
        let spans =
            [(86_400.0, "1 day"), (200_000.0, "2.3 days"), (5400.0, "1.5 h"), (61.0, "1 min"), (0.25, "250 ms")];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
        assert_eq!((span(2e-5), span(0.0)), ("20 µs".to_owned(), "0 µs".to_owned()));
    }

    #[test]
    fn operations_have_the_prefixes_of_sizes() {
        assert_eq!([0, 101_000, 9_700_000_000].map(flops), ["0 FLOP", "101 kFLOP", "9.7 GFLOP"]);
    }

    #[test]
    fn a_speed_has_three_digits_or_more() {
        assert_eq!([1234.5, 45.67, 1.0, 0.012].map(speed), ["1234", "45.7", "1.00", "0.0120"]);
    }

    #[test]
    fn an_exact_number_is_read_back_as_it_was() {
        for x in [0.1, 2e-7, 1.0 / 3.0, 223_256_100_864.0, 5e-324, f64::MAX, -0.0] {
            assert_eq!(exact(x).parse::<f64>().unwrap().to_bits(), x.to_bits());
            assert!(exact(x).len() < 25);
        }
    }
}
