//! Ranges of schedule parameters. A kind declares them beside the parameter; they are checked before planning, and
//! appear in the reference and the JSON schema.

use serde_json::{Value as Json, json};

/// The range of a parameter.
#[derive(Debug, PartialEq)]
pub(crate) struct Range {
    low: Bound,
    high: Bound,
    /// The rule, as the end of a message.
    pub rule: &'static str,
}

#[derive(Debug, PartialEq)]
enum Bound {
    None,
    /// The bound itself is allowed.
    Closed(f64),
    /// The bound itself is not allowed.
    Open(f64),
}

/// From 0 up.
pub(crate) const NOT_NEGATIVE: Range =
    Range { low: Bound::Closed(0.0), high: Bound::None, rule: "it must not be negative" };
/// Above 0.
pub(crate) const POSITIVE: Range = Range { low: Bound::Open(0.0), high: Bound::None, rule: "it must be above 0" };
/// From 1 up: a count, or a length that is not 0.
pub(crate) const AT_LEAST_ONE: Range =
    Range { low: Bound::Closed(1.0), high: Bound::None, rule: "it must be at least 1" };
/// From 0 to 1.
pub(crate) const FRACTION: Range =
    Range { low: Bound::Closed(0.0), high: Bound::Closed(1.0), rule: "it must be from 0 to 1" };
/// A decay factor.
pub(crate) const DECAY: Range =
    Range { low: Bound::Open(0.0), high: Bound::Closed(1.0), rule: "a decay must be above 0 and at most 1" };
/// A factor that makes something smaller.
pub(crate) const SHRINK: Range = Range {
    low: Bound::Open(0.0),
    high: Bound::Open(1.0),
    rule: "it must be above 0 and below 1, or nothing ever changes",
};

/// Adds this range to the schema of a parameter.
pub(crate) fn narrowed(mut schema: Json, range: Option<&Range>) -> Json {
    range.into_iter().for_each(|range| range.narrow(&mut schema));
    schema
}

impl Range {
    /// Whether the range contains `x`.
    pub fn has(&self, x: f64) -> bool {
        let is_above = match self.low {
            Bound::None => true,
            Bound::Closed(low) => x >= low,
            Bound::Open(low) => x > low,
        };
        let is_below = match self.high {
            Bound::None => true,
            Bound::Closed(high) => x <= high,
            Bound::Open(high) => x < high,
        };
        is_above && is_below
    }

    /// Adds the limits to all numbers in the schema of a parameter.
    fn narrow(&self, schema: &mut Json) {
        let is_number = schema["type"] == "number" || schema["type"] == "integer";
        if is_number {
            let limits = [("minimum", "exclusiveMinimum", &self.low), ("maximum", "exclusiveMaximum", &self.high)];
            for (closed, open, bound) in limits {
                match bound {
                    Bound::None => {}
                    Bound::Closed(limit) => schema[closed] = json!(limit),
                    Bound::Open(limit) => schema[open] = json!(limit),
                }
            }
        }
        schema["anyOf"].as_array_mut().into_iter().flatten().for_each(|choice| self.narrow(choice));
        if let Some(items) = schema.get_mut("items") {
            self.narrow(items);
        }
    }
}
