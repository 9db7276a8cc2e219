//! Python: literals, and schedules of ours as expressions, for PyTorch's `LambdaLR`.

use serde_json::Value;

use super::error::ExportError;

/// Returns a text literal.
pub(super) fn text(text: &str) -> String {
    // The escapes of JSON are those of Python.
    Value::from(text).to_string()
}

/// Returns an expression without the brackets around all of it.
pub(super) fn without_brackets(expression: &str) -> &str {
    let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return expression };
    let mut depth = 0i32;
    let closes_early = inner.chars().any(|letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        depth < 0
    });
    if closes_early { expression } else { inner }
}

/// Returns a number in the fewest digits that give the same one.
pub(super) fn number(number: f64) -> String {
    format!("{number:?}")
}

/// Returns `low + rest` in brackets; `rest` alone where `low` is 0, which adds nothing to any number.
fn above(low: f64, rest: String) -> String {
    if low == 0.0 { rest } else { format!("({} + {rest})", number(low)) }
}

/// Returns `top - low` in brackets; `top` alone where `low` is 0.
fn height(top: &str, low: f64) -> String {
    if low == 0.0 { top.to_owned() } else { format!("({top} - {})", number(low)) }
}

/// Returns half a wave of the cosine from `top` to `low`, at `x` of its length.
fn wave(top: &str, low: f64, x: &str) -> String {
    above(low, format!("{} / 2 * (1 + math.cos(math.pi * {x}))", height(top, low)))
}

/// Returns a power; the base of it where the exponent is 1.
fn power(base: String, exponent: f64) -> String {
    if exponent == 1.0 { base } else { format!("{base} ** {}", number(exponent)) }
}

/// A schedule of ours in its complete data form, with the length of the run in its unit.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    pub table: &'a Value,
    pub total: Option<f64>,
}

impl<'a> Form<'a> {
    /// Returns its kind.
    pub fn kind(&self) -> &'a str {
        self.table["kind"].as_str().unwrap_or_default()
    }

    /// Returns a parameter that is a number; 0 where it has none.
    pub fn number(&self, name: &str) -> f64 {
        self.table[name].as_f64().unwrap_or_default()
    }

    /// Returns a parameter that is a whole number.
    pub fn whole(&self, name: &str) -> Option<u64> {
        let value = &self.table[name];
        value
            .as_u64()
            .or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..9e15).contains(x)).map(|x| x as u64))
    }

    /// Returns a parameter that is a length, as the number of updates that it is in this run.
    pub fn length(&self, name: &str) -> Result<u64, ExportError> {
        self.resolved(&self.table[name], name)
    }

    /// Returns a parameter that is a list of lengths.
    pub fn lengths(&self, name: &str) -> Result<Vec<u64>, ExportError> {
        self.table[name].as_array().into_iter().flatten().map(|length| self.resolved(length, name)).collect()
    }

    /// Returns a schedule within it.
    pub fn inner(&self, name: &str) -> Form<'a> {
        Form { table: &self.table[name], total: self.total }
    }

    /// Returns the schedules within it.
    pub fn members(&self) -> Vec<Form<'a>> {
        let tables = self.table["schedules"].as_array().into_iter().flatten();
        tables.map(|table| Form { table, total: self.total }).collect()
    }

    fn resolved(&self, length: &Value, name: &str) -> Result<u64, ExportError> {
        if let Some(steps) = length.as_u64() {
            return Ok(steps);
        }
        let percent = length.as_str().and_then(|text| text.strip_suffix('%')?.trim().parse::<f64>().ok());
        match (percent, self.total) {
            (Some(percent), Some(total)) => Ok((percent / 100.0 * total).round() as u64),
            _ => {
                let thing = format!("{name} = {length} of `{}`", self.kind());
                Err(ExportError::refused(thing, "it is a share of a run of unknown length"))
            }
        }
    }

    /// Returns the rate at `t` as an expression; `t` and `base` are expressions too, which need no brackets around them.
    pub fn expression(&self, t: &str, base: &str) -> Result<String, ExportError> {
        let n = |name: &str| number(self.number(name));
        let from = |name: &str| Ok::<_, ExportError>(self.length(name)?.to_string());
        Ok(match self.kind() {
            "constant" if self.number("factor") == 1.0 => base.to_owned(),
            "constant" if self.table["total"].is_null() => format!("{base} * {}", n("factor")),
            "constant" => format!("({base} * {} if {t} < {} else {base})", n("factor"), from("total")?),
            "linear" => {
                let (start, end, total) = (self.number("start_factor"), n("end_factor"), from("total")?);
                let rise = format!("{} * min({t}, {total}) / {total}", height(&end, start));
                if start == 0.0 { format!("{base} * ({rise})") } else { format!("{base} * {}", above(start, rise)) }
            }
            "step" => format!("{base} * {} ** ({t} // {})", n("gamma"), from("step_size")?),
            "multi_step" => {
                let milestones = self.lengths("milestones")?;
                format!("{base} * {} ** sum(m <= {t} for m in {milestones:?})", n("gamma"))
            }
            "exponential" => format!("{base} * {} ** {t}", n("gamma")),
            "polynomial" => {
                let (total, floor) = (from("total")?, self.number("eta_min"));
                let rest = power(format!("(1 - min({t}, {total}) / {total})"), self.number("power"));
                above(floor, format!("{} * {rest}", height(base, floor)))
            }
            "cosine" => {
                let (t_max, floor, k) = (from("t_max")?, self.number("eta_min"), self.number("k_decay"));
                let x = match self.table["after"].as_str() {
                    Some("cycle") if k == 1.0 => format!("({t} % (2 * {t_max}) / {t_max})"),
                    Some("cycle") => format!("({} % 2)", power(format!("({t} / {t_max})"), k)),
                    _ if k == 1.0 => format!("(min({t}, {t_max}) / {t_max})"),
                    _ => format!("({})", power(format!("(min({t}, {t_max}) / {t_max})"), k)),
                };
                wave(base, floor, &x)
            }
            "cosine_restarts" if self.whole("t_mult") == Some(1) => {
                let (t_0, floor, decay) = (from("t_0")?, self.number("eta_min"), n("cycle_decay"));
                let top = match self.number("cycle_decay") {
                    1.0 => base.to_owned(),
                    _ => format!("{base} * {decay} ** ({t} // {t_0})"),
                };
                let wave = wave(&top, floor, &format!("({t} % {t_0}) / {t_0}"));
                match self.whole("cycle_limit") {
                    Some(limit) => format!("({} if {t} // {t_0} >= {limit} else {wave})", number(floor)),
                    None => wave,
                }
            }
            "inverse_sqrt" => {
                let scale = from("timescale")?;
                format!("{base} * math.sqrt({scale} / ({t} + {scale}))")
            }
            "inverse_time" => {
                let divided = if self.table["staircase"] == true { "//" } else { "/" };
                format!("{base} / (1 + {} * ({t} {divided} {}))", n("rate"), from("decay")?)
            }
            "noam" => {
                let (width, warmup) = (self.whole("model_dim").unwrap_or(1), from("warmup")?);
                format!("{base} / math.sqrt({width}) * min(max({t}, 1) ** -0.5, max({t}, 1) * {warmup} ** -1.5)")
            }
            "tanh" => {
                let (t_max, lb, ub, floor) = (from("t_max")?, n("lb"), n("ub"), self.number("eta_min"));
                let x = format!("({t} / {t_max})");
                let inside = format!("math.tanh({lb} * (1 - {x}) + {ub} * {x})");
                let fallen = above(floor, format!("{} / 2 * (1 - {inside})", height(base, floor)));
                format!("({} if {t} >= {t_max} else {fallen})", number(floor))
            }
            "piecewise" => self.pieces(t, base)?,
            "wsd" => self.stable(t, base)?,
            "warmup" => {
                let (steps, start) = (self.length("steps")?, self.number("start_lr"));
                if steps == 0 {
                    return self.inner("schedule").expression(t, base);
                }
                let then = self.inner("schedule").expression(&format!("({t} - {steps})"), base)?;
                let rise = above(start, format!("{} * {t} / {steps}", height(base, start)));
                format!("({rise} if {t} < {steps} else {then})")
            }
            "sequential" => {
                let (milestones, members) = (self.lengths("milestones")?, self.members());
                let starts = std::iter::once(0).chain(milestones.iter().copied());
                let mut parts = members.iter().zip(starts).map(|(member, start)| {
                    let t = if start == 0 { t.to_owned() } else { format!("({t} - {start})") };
                    member.expression(&t, base)
                });
                let first = parts.next().unwrap_or_else(|| Ok(base.to_owned()))?;
                milestones.iter().zip(parts).try_fold(first, |before, (milestone, part)| {
                    Ok::<_, ExportError>(format!("({} if {t} >= {milestone} else {before})", part?))
                })?
            }
            "chained" => {
                let members = self.members();
                let factors = members.iter().map(|member| Ok(format!("({}) / {base}", member.expression(t, base)?)));
                format!("{base} * ({})", factors.collect::<Result<Vec<_>, ExportError>>()?.join(") * ("))
            }
            "late" => {
                let by = self.length("by")?;
                self.inner("schedule").expression(&format!("max({t} - {by}, 0)"), base)?
            }
            "in_f32" => format!("ctypes.c_float({}).value", self.inner("schedule").expression(t, base)?),
            kind => {
                let reason = "PyTorch has no scheduler for it, and no short formula says it; write it as a function, \
                              and give it to LambdaLR";
                return Err(ExportError::refused(format!("a schedule of kind `{kind}`"), reason));
            }
        })
    }

    /// Returns a chain of conditions over the points.
    fn pieces(&self, t: &str, base: &str) -> Result<String, ExportError> {
        let points = self.table["points"].as_array().into_iter().flatten();
        let read = |point: &Value| {
            let at = self.resolved(point.get(0).unwrap_or(&Value::Null), "points")?;
            Ok::<_, ExportError>((at, point.get(1).and_then(Value::as_f64).unwrap_or_default()))
        };
        let points: Vec<(u64, f64)> = points.map(read).collect::<Result<_, _>>()?;
        let Some(((_, first), (_, last))) = points.first().copied().zip(points.last().copied()) else {
            return Ok(base.to_owned());
        };
        let shape = self.table["interpolate"].as_str().unwrap_or("step");
        let ends = points.windows(2).filter_map(|pair| pair.first().copied().zip(pair.last().copied()));
        let beyond = number(last);
        let pieces = ends.rev().fold(beyond, |after, ((start, from), (end, to))| {
            let (x, from, to) = (format!("({t} - {start}) / {}", end - start), number(from), number(to));
            let factor = match shape {
                "linear" => format!("{from} + ({to} - {from}) * {x}"),
                "cosine" => format!("{to} + ({from} - {to}) / 2 * (1 + math.cos(math.pi * {x}))"),
                _ => from,
            };
            format!("({factor} if {t} < {end} else {after})")
        });
        let begins = points.first().map_or(0, |(at, _)| *at);
        Ok(format!("{base} * ({} if {t} < {begins} else {pieces})", number(first)))
    }

    /// Returns the three phases of a `wsd`.
    fn stable(&self, t: &str, base: &str) -> Result<String, ExportError> {
        let (warmup, stable, decay) = (self.length("warmup")?, self.length("stable")?, self.length("decay")?);
        let shape = |name: &str| self.table[name].as_str().unwrap_or("linear");
        let x = format!("({t} / {})", warmup.max(1));
        let risen = match shape("warmup_shape") {
            "cosine" => format!("((1 - math.cos(math.pi * {x})) / 2)"),
            "1-sqrt" => format!("(1 - math.sqrt(1 - {x}))"),
            _ => x,
        };
        let start = warmup.saturating_add(stable);
        let x = format!("min(1, ({t} - {start}) / {})", decay.max(1));
        let x = if decay == 0 { "1".to_owned() } else { x };
        let fallen = match shape("decay_shape") {
            "cosine" => format!("(1 + math.cos(math.pi * {x})) / 2"),
            "1-sqrt" => format!("(1 - math.sqrt({x}))"),
            _ => format!("(1 - {x})"),
        };
        let left = format!("(1 if {t} < {start} else {fallen})");
        let slow = if self.table["stable_shape"] == "rsqrt" {
            let scale =
                if self.table["stable_timescale"].is_null() { warmup } else { self.length("stable_timescale")? };
            Some(format!("(1 / math.sqrt(1 + ({t} - {warmup}) / {scale}))"))
        } else {
            None
        };
        let (first, then) = match self.table["eta_min"].as_f64() {
            Some(floor) => {
                let top = slow.map_or_else(|| base.to_owned(), |slow| format!("{base} * {slow}"));
                let top = if floor == 0.0 { top } else { format!("max({top}, {})", number(floor)) };
                (format!("{base} * {risen}"), above(floor, format!("{} * {left}", height(&top, floor))))
            }
            None => {
                let ratio = self.number("min_ratio");
                let part = |part: &str| match ratio {
                    0.0 => format!("{base} * {part}"),
                    _ => format!("{base} * ({part} * {} + {})", number(1.0 - ratio), number(ratio)),
                };
                let lasting = slow.map_or_else(|| left.clone(), |slow| format!("({slow} * {left})"));
                (part(&risen), part(&lasting))
            }
        };
        Ok(format!("({first} if {t} < {warmup} else {then})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(table: Value) -> String {
        Form { table: &table, total: Some(20.0) }.expression("t", "base").unwrap()
    }

    #[test]
    fn brackets_go_only_where_they_are_around_all() {
        assert_eq!(without_brackets("(a if (t - 1) else b)"), "a if (t - 1) else b");
        assert_eq!(without_brackets("(a) / (b)"), "(a) / (b)");
    }

    #[test]
    fn a_floor_of_zero_a_power_of_one_and_a_factor_of_one_are_not_written() {
        let polynomial = |power, floor| {
            expression(serde_json::json!({"kind": "polynomial", "total": 8, "power": power, "eta_min": floor}))
        };
        assert_eq!(polynomial(1.0, 0.0), "base * (1 - min(t, 8) / 8)");
        assert_eq!(polynomial(2.0, 0.5), "(0.5 + (base - 0.5) * (1 - min(t, 8) / 8) ** 2.0)");
        let warmup = serde_json::json!({"kind": "warmup", "steps": 4, "start_lr": 0.0, "schedule": {"kind": "constant", "factor": 1.0}});
        assert_eq!(expression(warmup), "(base * t / 4 if t < 4 else base)");
    }
}
