//! An axis: the position of values, and ticks at round values.

/// Values beyond this cannot be drawn, so that no difference of two values overflows.
const LARGEST: f64 = 1e300;

/// A stretch of the number line, linear or logarithmic.
#[derive(Clone, Debug)]
pub struct Axis {
    log: bool,
    /// The ends in axis coordinates: values, or their decimal logarithms.
    low: f64,
    high: f64,
}

/// A round value on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Its position, from 0 at the low end to 1 at the high one.
    pub at: f64,
    /// Its value as text.
    pub label: String,
}

impl Axis {
    /// Returns the axis of a chart without points: from 0 to 1, or from 1 to 10.
    pub fn unit(log: bool) -> Self {
        Self { log, low: 0.0, high: 1.0 }
    }

    /// Returns the axis from the smallest to the largest drawable number of `values`; `None` if there is none.
    pub fn spanning(values: impl Iterator<Item = f64>, log: bool) -> Option<Self> {
        let coordinates = values.filter_map(|value| coordinate(value, log));
        let ends = coordinates.fold(None, |ends, c| ends.map_or(Some((c, c)), |(a, b)| Some((c.min(a), c.max(b)))));
        let (low, high): (f64, f64) = ends?;
        let largest = low.abs().max(high.abs());
        let (low, high) = match high - low > 1e-12 * largest {
            true => (low, high),
            false if log => (low - 0.5, high + 0.5),
            false if largest == 0.0 => (-1.0, 1.0),
            false => (low - 0.1 * largest, high + 0.1 * largest),
        };
        Some(Self { log, low, high })
    }

    /// Adds a margin on both sides, as a share of its length. A linear axis of positive values begins at zero, unless
    /// the values are so close together that little of their differences would be visible.
    pub fn with_margin(self, share: f64) -> Self {
        let from_zero = !self.log && self.low >= 0.0 && self.low < 0.7 * self.high;
        let low = if from_zero { 0.0 } else { self.low };
        let room = (self.high - low) * share;
        Self { low: if from_zero { 0.0 } else { low - room }, high: self.high + room, ..self }
    }

    /// Returns the position of `value`, from 0 at the low end to 1 at the high one; `None` if it cannot be drawn.
    pub fn place(&self, value: f64) -> Option<f64> {
        Some(self.share(coordinate(value, self.log)?))
    }

    /// Like `place`, but clamps values beyond an end to it; `None` only for NaN.
    pub fn place_within(&self, value: f64) -> Option<f64> {
        let value = if value.is_nan() { return None } else { value.clamp(-LARGEST, LARGEST) };
        Some(self.place(value).unwrap_or(0.0).clamp(0.0, 1.0))
    }

    /// Returns as many ticks as `fit`, at most about `most`.
    pub fn ticks_that(&self, fit: impl Fn(&[Tick]) -> bool, most: usize) -> Vec<Tick> {
        let fewer = (1..=most).rev().map(|most| self.ticks(most));
        fewer.into_iter().find(|ticks| fit(ticks)).unwrap_or_default()
    }

    /// Returns the positions of the multiples 2 to 9 of each power of ten, if a logarithmic axis is short enough to
    /// show them apart.
    #[cfg(feature = "charts")]
    pub fn minor_ticks(&self) -> Vec<f64> {
        if !self.log || self.high - self.low > 8.0 {
            return Vec::new();
        }
        let multiples = self.powers(-1).flat_map(|power| (2..=9).map(move |m| f64::from(power) + f64::from(m).log10()));
        multiples.map(|c| self.share(c)).filter(|share| (0.0..=1.0).contains(share)).collect()
    }

    fn share(&self, coordinate: f64) -> f64 {
        (coordinate - self.low) / (self.high - self.low)
    }

    fn ticks(&self, most: usize) -> Vec<Tick> {
        if !self.log {
            return linear_ticks(self.low, self.high, most, |value| self.share(value));
        }
        let fine = self.log_ticks(&[1, 2, 5], 1);
        if fine.len() < 2 {
            return linear_ticks(10f64.powf(self.low), 10f64.powf(self.high), most, |value| self.share(value.log10()));
        }
        let decades = self.log_ticks(&[1], 1);
        if fine.len() <= most || decades.len() < 2 {
            return fine;
        }
        let stride = (decades.len() - 1).div_ceil(most.max(1));
        self.log_ticks(&[1], i32::try_from(stride).unwrap_or(i32::MAX))
    }

    /// Returns ticks at `multiples` of every power of ten whose exponent is a multiple of `stride`.
    fn log_ticks(&self, multiples: &[i32], stride: i32) -> Vec<Tick> {
        let powers = self.powers(-1).filter(|power| power % stride == 0);
        let all = powers.flat_map(|power| multiples.iter().map(move |&multiple| (multiple, power)));
        let place = |(m, power): (i32, i32)| self.share(f64::from(power) + f64::from(m).log10());
        let within: Vec<_> = all.filter(|&tick| (-1e-9..=1.0 + 1e-9).contains(&place(tick))).collect();
        let plain = within.iter().all(|(_, power)| (-3..=5).contains(power));
        within.iter().map(|&tick| Tick { at: place(tick), label: log_label(tick, plain) }).collect()
    }

    /// Returns the exponents along a logarithmic axis, starting `before` exponents earlier.
    fn powers(&self, before: i32) -> std::ops::RangeInclusive<i32> {
        self.low.ceil() as i32 + before..=self.high.floor() as i32 + 1
    }
}

/// Converts a value to axis coordinates; `None` if it cannot be drawn. A value too close to zero to matter becomes
/// zero.
fn coordinate(value: f64, log: bool) -> Option<f64> {
    let value = if value.abs() < 1.0 / LARGEST { 0.0 } else { value };
    let has_place = value.abs() <= LARGEST && (!log || value > 0.0);
    has_place.then(|| if log { value.log10() } else { value })
}

fn linear_ticks(low: f64, high: f64, most: usize, place: impl Fn(f64) -> f64) -> Vec<Tick> {
    let rough = (high - low) / most.max(1) as f64;
    let power = 10f64.powi(rough.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0].map(|m| m * power).into_iter().find(|&step| step >= rough).unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let values = std::iter::successors(Some(first), |k| Some(k + 1.0)).take_while(|&k| k <= last).take(most + 1);
    let largest = low.abs().max(high.abs());
    values.map(|k| Tick { at: place(k * step), label: linear_label(k * step, step, largest) }).collect()
}

/// Formats a multiple of `step` with enough digits to distinguish it from its neighbours.
fn linear_label(value: f64, step: f64, largest: f64) -> String {
    let exponent = |number: f64| (number.abs().log10() + 1e-9).floor() as i32;
    let digits = |count: i32| usize::try_from(count).unwrap_or(0).min(15);
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-2..1e6).contains(&largest) {
        format!("{value:.*}", digits(-exponent(step)))
    } else {
        let label = format!("{value:.*e}", digits(exponent(value) - exponent(step)));
        match label.split_once('e') {
            Some((mantissa, exponent)) if mantissa.contains('.') => {
                format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
            }
            _ => label,
        }
    }
}

/// Formats `multiple * 10^power`, as a decimal number if that is `plain` or short.
fn log_label((multiple, power): (i32, i32), plain: bool) -> String {
    match usize::try_from(-power) {
        Ok(decimals) if plain || power == 0 => format!("{:.decimals$}", f64::from(multiple) * 10f64.powi(power)),
        Err(_) if plain || power < 3 => format!("{:.0}", f64::from(multiple) * 10f64.powi(power)),
        _ => format!("{multiple}e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: [f64; 2], log: bool, most: usize) -> Vec<String> {
        let axis = Axis::spanning(values.into_iter(), log).unwrap();
        axis.ticks(most).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_and_as_precise_as_their_distance() {
        assert_eq!(labels([0.0, 1000.0], false, 5), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(labels([0.0, 0.1], false, 5), ["0", "0.02", "0.04", "0.06", "0.08", "0.10"]);
        assert_eq!(labels([0.0, 1e-3], false, 5), ["0", "2e-4", "4e-4", "6e-4", "8e-4", "1e-3"]);
        assert_eq!(labels([0.0, 3e-4], false, 6), ["0", "5e-5", "1e-4", "1.5e-4", "2e-4", "2.5e-4", "3e-4"]);
        assert_eq!(labels([-2e9, 2e9], false, 4), ["-2e9", "-1e9", "0", "1e9", "2e9"]);
    }

    #[test]
    fn ticks_of_a_logarithmic_axis_are_powers_of_ten() {
        assert_eq!(labels([1e-5, 1.0], true, 6), ["1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1"]);
        assert_eq!(labels([1e-3, 1e2], true, 6), ["0.001", "0.01", "0.1", "1", "10", "100"]);
        assert_eq!(labels([1e-4, 1e-3], true, 6), ["1e-4", "2e-4", "5e-4", "1e-3"]);
        assert_eq!(labels([1e-300, 1e300], true, 4), ["1e-300", "1e-150", "1", "1e150", "1e300"]);
    }

    #[test]
    fn a_logarithmic_axis_within_a_decade_has_linear_ticks() {
        assert_eq!(labels([1.1, 1.4], true, 4), ["1.1", "1.2", "1.3", "1.4"]);
    }

    #[test]
    fn every_axis_has_ticks_in_order_and_within_it() {
        let values = [0.0, -0.0, 1.0, -1.0, 1e-320, 1e-299, 1e300, -1e300, 1e6, 1e6 + 1e-6, f64::NAN, f64::INFINITY];
        for (a, b, log) in values.iter().flat_map(|&a| values.iter().flat_map(move |&b| [(a, b, true), (a, b, false)]))
        {
            let Some(axis) = Axis::spanning([a, b].into_iter(), log) else { continue };
            let ticks = axis.ticks(6);
            assert!(!ticks.is_empty(), "{a:e} {b:e} {log}");
            assert!(ticks.is_sorted_by(|a, b| a.at < b.at), "{ticks:?}");
            assert!(ticks.iter().all(|tick| (-0.01..=1.01).contains(&tick.at)), "{ticks:?}");
        }
    }
}
