//! A parameter of a sweep: its key in the configuration, and the values that trials give it.

use toml::{Table, Value};

/// A parameter of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its dotted key, such as `optimizer.lr`.
    pub key: String,
    /// Its values.
    pub values: Values,
}

/// The values of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// These, in their order.
    List(Vec<Value>),
    /// Numbers between two ends.
    Range(Range),
}

/// Numbers between two ends, which belong to the range; whole numbers if both ends are written as whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    low: f64,
    high: f64,
    is_log: bool,
    is_whole: bool,
    /// The number of values in a grid.
    points: Option<u32>,
}

/// The largest ends of whole numbers, up to which every one of them is an f64.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Reads the table `[parameters]`, whose keys may be written in quotes or as tables inside each other.
///
/// # Errors
/// The key and the fault.
pub(super) fn read(table: &Table) -> Result<Vec<Parameter>, (String, String)> {
    let mut found = Vec::new();
    collect("", table, &mut found)?;
    for (index, parameter) in found.iter().enumerate() {
        if found[..index].iter().any(|before| before.key == parameter.key) {
            return Err((parameter.key.clone(), "is given twice; give it once".to_owned()));
        }
    }
    Ok(found)
}

fn collect(prefix: &str, table: &Table, found: &mut Vec<Parameter>) -> Result<(), (String, String)> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let values = match value {
            Value::Array(list) => list_of(list).map(Values::List),
            Value::Table(table) if ["low", "high"].iter().any(|end| table.contains_key(*end)) => {
                Range::read(table).map(Values::Range)
            }
            Value::Table(table) if !table.is_empty() => {
                collect(&key, table, found)?;
                continue;
            }
            _ => Err("give a list of values, as `[0.1, 0.01]`, or a range, as `{ low = 1e-4, high = 1e-1, scale = \
                      \"log\" }`; a single value belongs in the configuration"
                .to_owned()),
        };
        match values {
            Ok(values) => found.push(Parameter { key, values }),
            Err(fault) => return Err((key, fault)),
        }
    }
    Ok(())
}

fn list_of(list: &[Value]) -> Result<Vec<Value>, String> {
    if list.is_empty() {
        return Err("the list is empty; give the values to try".to_owned());
    }
    if let Some(twice) = list.iter().enumerate().find(|(index, value)| list[..*index].contains(value)) {
        return Err(format!("{} is in the list twice; a trial of it would be made twice", twice.1));
    }
    Ok(list.to_vec())
}

impl Range {
    fn read(table: &Table) -> Result<Self, String> {
        const KEYS: [&str; 4] = ["low", "high", "scale", "points"];
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let near = crate::nearest::nearest(key, KEYS).map(|near| format!("; did you mean `{near}`?"));
            return Err(format!("a range has no `{key}`, only `{}`{}", KEYS.join("`, `"), near.unwrap_or_default()));
        }
        let is_whole = ["low", "high"].iter().all(|end| matches!(table.get(*end), Some(Value::Integer(_))));
        let [low, high] = [number(table, "low")?, number(table, "high")?];
        let is_log = match table.get("scale") {
            None => false,
            Some(Value::String(scale)) if scale == "linear" => false,
            Some(Value::String(scale)) if scale == "log" => true,
            Some(other) => return Err(format!("scale = {other}: is \"linear\" or \"log\"")),
        };
        let points = match table.get("points") {
            None => None,
            Some(Value::Integer(points @ 2..=10_000)) => u32::try_from(*points).ok(),
            Some(other) => return Err(format!("points = {other}: must be a whole number from 2 to 10000")),
        };
        if low >= high {
            return Err(format!("low = {low} must be below high = {high}"));
        }
        if is_log && low <= 0.0 {
            return Err(format!("low = {low}: a logarithmic range is of positive numbers"));
        }
        if is_whole && low.abs().max(high.abs()) > LARGEST {
            return Err(format!("whole numbers of a range go to {LARGEST}"));
        }
        Ok(Self { low, high, is_log, is_whole, points })
    }

    /// Returns the number at `share` of the range, from 0 to 1. Equal shares of a logarithmic range have equal ratios.
    fn at(&self, share: f64) -> Value {
        // Each whole number has an interval of the same length, or of the same ratio to the next.
        let high = if self.is_whole { self.high + 1.0 } else { self.high };
        let number = self.interpolated(share, high);
        self.value(if self.is_whole { number.floor() } else { number })
    }

    /// Returns the values in a grid, with both ends.
    fn in_grid(&self) -> Option<Vec<Value>> {
        let points = self.points?;
        let at = |index: u32| match index {
            0 => self.low,
            index if index + 1 == points => self.high,
            index => self.interpolated(f64::from(index) / f64::from(points - 1), self.high),
        };
        let round = |number: f64| if self.is_whole { number.round() } else { number };
        let mut values: Vec<Value> = (0..points).map(|index| self.value(round(at(index)))).collect();
        values.dedup();
        Some(values)
    }

    fn interpolated(&self, share: f64, high: f64) -> f64 {
        if self.is_log {
            // From a library, so that the numbers are the same on every system.
            let (from, to) = (libm::log(self.low), libm::log(high));
            libm::exp(from + share * (to - from))
        } else {
            self.low + share * (high - self.low)
        }
    }

    fn value(&self, number: f64) -> Value {
        let number = number.clamp(self.low, self.high);
        if self.is_whole { Value::Integer(number as i64) } else { Value::Float(number) }
    }

    /// Whether it says how many values it has in a grid.
    pub(super) fn has_points(&self) -> bool {
        self.points.is_some()
    }

    /// Whether equal ratios count, and not equal differences.
    pub(super) fn is_log(&self) -> bool {
        self.is_log
    }
}

fn number(table: &Table, end: &str) -> Result<f64, String> {
    let number = match table.get(end) {
        Some(Value::Integer(number)) => *number as f64,
        Some(Value::Float(number)) => *number,
        Some(other) => return Err(format!("{end} = {other}: must be a number")),
        None => return Err(format!("the range has no `{end}`; give both ends")),
    };
    if number.is_finite() { Ok(number) } else { Err(format!("{end} = {number}: must be a finite number")) }
}

impl Values {
    /// Returns the value at `share` of all values, from 0 to 1.
    pub(super) fn at(&self, share: f64) -> Value {
        match self {
            Self::List(list) => {
                let index = ((share * list.len() as f64) as usize).min(list.len().saturating_sub(1));
                list.get(index).cloned().unwrap_or(Value::Boolean(false))
            }
            Self::Range(range) => range.at(share),
        }
    }

    /// Returns the values in a grid; `None` for a range without `points`.
    pub(super) fn in_grid(&self) -> Option<Vec<Value>> {
        match self {
            Self::List(list) => Some(list.clone()),
            Self::Range(range) => range.in_grid(),
        }
    }

    /// Returns the number of values of a list.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::List(list) => Some(list.len()),
            Self::Range(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Values {
        parameters(text).unwrap().remove(0).values
    }

    fn parameters(text: &str) -> Result<Vec<Parameter>, (String, String)> {
        read(&text.parse::<Table>().unwrap())
    }

    #[test]
    fn keys_are_in_quotes_or_tables_and_in_their_order() {
        let found = parameters("'optimizer.lr' = [0.1]\nmodel.hidden = [[8], [16, 16]]\nseed = [1, 2]").unwrap();
        assert_eq!(
            found.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(),
            ["optimizer.lr", "model.hidden", "seed"]
        );
        let twice = parameters("'optimizer.lr' = [0.1]\noptimizer.lr = [0.2]").unwrap_err();
        assert_eq!(twice.0, "optimizer.lr");
    }

    #[test]
    fn what_is_no_list_and_no_range_is_refused() {
        for (text, part) in [
            ("seed = 3", "a single value belongs in the configuration"),
            ("seed = []", "the list is empty"),
            ("seed = [1, 2, 1]", "1 is in the list twice"),
            ("seed = { low = 1 }", "the range has no `high`"),
            ("seed = { low = 3, high = 1 }", "low = 3 must be below high = 1"),
            ("seed = { low = 0.0, high = 1.0, scale = 'log' }", "positive numbers"),
            ("seed = { low = 0.1, high = 1.0, scale = 'loga' }", "\"linear\" or \"log\""),
            ("seed = { low = 0.1, high = 1.0, scales = 'log' }", "did you mean `scale`?"),
            ("seed = { low = 0.1, high = inf }", "must be a finite number"),
            ("seed = { low = 0.1, high = 1.0, points = 1 }", "from 2 to 10000"),
        ] {
            let (key, fault) = parameters(text).unwrap_err();
            assert!(key == "seed" && fault.contains(part), "{text}: {fault}");
        }
    }

    #[test]
    fn numbers_are_within_their_range_and_whole_where_the_ends_are() {
        let log = values("a = { low = 1e-4, high = 1e-1, scale = 'log' }");
        let whole = values("a = { low = 1, high = 4 }");
        let mut counts = [0; 4];
        for i in 0..=1000 {
            let share = f64::from(i) / 1000.0;
            let Value::Float(rate) = log.at(share) else { panic!("not a float") };
            assert!((1e-4..=1e-1).contains(&rate), "{rate}");
            let Value::Integer(layers) = whole.at(share) else { panic!("not a whole number") };
            counts[usize::try_from(layers).unwrap() - 1] += 1;
        }
        assert_eq!(counts, [250, 250, 250, 251]);
        let Value::Float(middle) = log.at(0.5) else { panic!("not a float") };
        assert!((middle / 1e-4_f64.sqrt() / 1e-1_f64.sqrt() - 1.0).abs() < 1e-12, "{middle}");
    }

    #[test]
    fn a_grid_has_both_ends_of_a_range_and_no_value_twice() {
        let grid = |text: &str| values(text).in_grid();
        assert_eq!(grid("a = { low = 0.5, high = 2.5, points = 3 }"), Some([0.5, 1.5, 2.5].map(Value::Float).to_vec()));
        assert_eq!(grid("a = { low = 1, high = 3, points = 9 }"), Some([1, 2, 3].map(Value::Integer).to_vec()));
        assert_eq!(
            grid("a = { low = 1, high = 100, scale = 'log', points = 3 }"),
            Some([1, 10, 100].map(Value::Integer).to_vec())
        );
        assert_eq!(grid("a = { low = 1, high = 3 }"), None);
        assert_eq!(grid("a = ['x', true]").map(|values| values.len()), Some(2));
    }
}
