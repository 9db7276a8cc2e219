//! Pieces of text that many packages share.

use super::class::{Said, n};
use super::error::LikeError;
use super::given::Given;

/// A warm-up before `rest`; nothing if it has no length.
pub(super) fn warmup(steps: u64, start_lr: f64, rest: &str) -> String {
    match steps {
        0 => rest.to_owned(),
        _ if start_lr == 0.0 => format!("warmup({steps}) -> {rest}"),
        _ => format!("warmup({steps}, start_lr={}) -> {rest}", n(start_lr)),
    }
}

/// A warm-up whose first update has one part of the rate, before `rest`.
pub(super) fn warmup_from_one(steps: u64, rest: &str) -> String {
    if steps == 0 { rest.to_owned() } else { format!("warmup({steps}, first=1) -> {rest}") }
}

/// `, name=x` unless it is the default.
pub(super) fn unless(name: &str, x: f64, default: f64) -> String {
    if x == default { String::new() } else { format!(", {name}={}", n(x)) }
}

/// The same for a floor whose default is 0.
pub(super) fn floor(eta_min: f64) -> String {
    unless("eta_min", eta_min, 0.0)
}

/// The same for a floor as a share.
pub(super) fn ratio(min_ratio: f64) -> String {
    unless("min_ratio", min_ratio, 0.0)
}

/// Schedules one after the other.
pub(super) fn sequential(milestones: &[u64], schedules: &[String]) -> String {
    format!("sequential({milestones:?}, [{}])", schedules.join(", "))
}

/// Another rate for the first update, then the rest.
pub(super) fn first_then(factor: f64, rest: &str) -> String {
    format!("sequential([1], [constant({}), {rest}])", n(factor))
}

/// Points `[t, factor]` of a piecewise schedule.
pub(super) fn piecewise(points: &[(u64, f64)], interpolate: &str) -> String {
    let points: Vec<String> = points.iter().map(|(t, factor)| format!("[{t}, {}]", n(*factor))).collect();
    let shape = if interpolate == "step" { String::new() } else { format!(", interpolate=\"{interpolate}\"") };
    format!("piecewise([{}]{shape})", points.join(", "))
}

/// Divides, and refuses a divisor of 0.
pub(super) fn share(given: &Given, what: &str, part: f64, of: f64) -> Result<f64, LikeError> {
    if of == 0.0 { Err(given.wrong(format!("{what} is a share of a rate that is 0"))) } else { Ok(part / of) }
}

/// Rates from some times on, as shares of the first one.
pub(super) fn steps(given: &Given, values: &[f64], start: impl Fn(u64) -> u64) -> Result<Said, LikeError> {
    let base = values.first().copied().unwrap_or(0.0);
    share(given, "a value", 1.0, base)?;
    let points: Vec<(u64, f64)> = (0..).zip(values).map(|(index, value)| (start(index), value / base)).collect();
    Said::of(base, piecewise(&points, "step"))
}

/// PyTorch's `ReduceLROnPlateau` and its relatives, from parameters with its names.
pub(super) fn plateau(given: &Given) -> Result<Said, LikeError> {
    plateau_with(given, "eps")
}

/// [`plateau`], with another name of the smallest change.
pub(super) fn plateau_with(given: &Given, eps: &str) -> Result<Said, LikeError> {
    let (mode, threshold_mode) = (given.word("mode", &["min", "max"])?, given.word("threshold_mode", &["rel", "abs"])?);
    let min_lr = given.numbers("min_lr")?;
    let min_lr = match min_lr.as_slice() {
        [one] => n(*one),
        each => format!("{each:?}"),
    };
    Said::text(format!(
        "plateau(mode=\"{mode}\", factor={}, patience={}, threshold={}, threshold_mode=\"{threshold_mode}\", \
         cooldown={}, min_lr={min_lr}, eps={})",
        n(given.number("factor")?),
        given.count("patience")?,
        n(given.number("threshold")?),
        given.count("cooldown")?,
        n(given.number(eps)?),
    ))
}
