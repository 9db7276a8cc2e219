//! Python: literals, and schedules of ours as expressions, for PyTorch's `LambdaLR`.

use serde_json::Value;

use super::error::ExportError;

/// Returns a text literal.
pub(super) fn text(text: &str) -> String {
    // The escapes of JSON are those of Python.
    Value::from(text).to_string()
}

/// Returns a number in the fewest digits that give the same one.
pub(super) fn number(number: f64) -> String {
    format!("{number:?}")
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

    /// Returns the rate at `t` as an expression; `t` and `base` are expressions too.
    pub fn expression(&self, t: &str, base: &str) -> Result<String, ExportError> {
        let n = |name: &str| number(self.number(name));
        let from = |name: &str| Ok::<_, ExportError>(self.length(name)?.to_string());
        Ok(match self.kind() {
            "constant" if self.table["total"].is_null() => format!("{base} * {}", n("factor")),
            "constant" => format!("({base} * {} if {t} < {} else {base})", n("factor"), from("total")?),
            "linear" => {
                let (start, end, total) = (n("start_factor"), n("end_factor"), from("total")?);
                format!("{base} * ({start} + ({end} - {start}) * min({t}, {total}) / {total})")
            }
            "step" => format!("{base} * {} ** (({t}) // {})", n("gamma"), from("step_size")?),
            "multi_step" => {
                let milestones = self.lengths("milestones")?;
                format!("{base} * {} ** sum(m <= {t} for m in {milestones:?})", n("gamma"))
            }
            "exponential" => format!("{base} * {} ** ({t})", n("gamma")),
            "polynomial" => {
                let (total, floor) = (from("total")?, n("eta_min"));
                format!("({floor} + ({base} - {floor}) * (1 - min({t}, {total}) / {total}) ** {})", n("power"))
            }
            "cosine" => {
                let (t_max, floor, k) = (from("t_max")?, n("eta_min"), n("k_decay"));
                let x = match self.table["after"].as_str() {
                    Some("cycle") if self.number("k_decay") == 1.0 => format!("(({t}) % (2 * {t_max}) / {t_max})"),
                    Some("cycle") => format!("((({t}) / {t_max}) ** {k} % 2)"),
                    _ => format!("((min({t}, {t_max}) / {t_max}) ** {k})"),
                };
                format!("({floor} + ({base} - {floor}) / 2 * (1 + math.cos(math.pi * {x})))")
            }
            "cosine_restarts" if self.whole("t_mult") == Some(1) => {
                let (t_0, floor, decay) = (from("t_0")?, n("eta_min"), n("cycle_decay"));
                let top = format!("{base} * {decay} ** (({t}) // {t_0})");
                let wave =
                    format!("({floor} + ({top} - {floor}) / 2 * (1 + math.cos(math.pi * (({t}) % {t_0}) / {t_0})))");
                match self.whole("cycle_limit") {
                    Some(limit) => format!("({floor} if ({t}) // {t_0} >= {limit} else {wave})"),
                    None => wave,
                }
            }
            "inverse_sqrt" => {
                let scale = from("timescale")?;
                format!("{base} * math.sqrt({scale} / ({t} + {scale}))")
            }
            "inverse_time" => {
                let divided = if self.table["staircase"] == true { "//" } else { "/" };
                format!("{base} / (1 + {} * (({t}) {divided} {}))", n("rate"), from("decay")?)
            }
            "noam" => {
                let (width, warmup) = (self.whole("model_dim").unwrap_or(1), from("warmup")?);
                format!("{base} / math.sqrt({width}) * min(max({t}, 1) ** -0.5, max({t}, 1) * {warmup} ** -1.5)")
            }
            "tanh" => {
                let (t_max, lb, ub, floor) = (from("t_max")?, n("lb"), n("ub"), n("eta_min"));
                let x = format!("(({t}) / {t_max})");
                let inside = format!("math.tanh({lb} * (1 - {x}) + {ub} * {x})");
                format!("({floor} if {t} >= {t_max} else {floor} + ({base} - {floor}) / 2 * (1 - {inside}))")
            }
            "piecewise" => self.pieces(t, base)?,
            "wsd" => self.stable(t, base)?,
            "warmup" => {
                let (steps, start) = (self.length("steps")?, n("start_lr"));
                let then = self.inner("schedule").expression(&format!("({t} - {steps})"), base)?;
                if steps == 0 {
                    return Ok(then);
                }
                format!("({start} + ({base} - {start}) * ({t}) / {steps} if {t} < {steps} else {then})")
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
        let x = format!("(({t}) / {})", warmup.max(1));
        let risen = match shape("warmup_shape") {
            "cosine" => format!("(1 - math.cos(math.pi * {x})) / 2"),
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
            format!("(1 / math.sqrt(1 + ({t} - {warmup}) / {scale}))")
        } else {
            "1".to_owned()
        };
        let (first, then) = match self.table["eta_min"].as_f64() {
            Some(floor) => {
                let floor = number(floor);
                let then = format!("{floor} + (max({base} * {slow}, {floor}) - {floor}) * {left}");
                (format!("{base} * {risen}"), then)
            }
            None => {
                let (ratio, rest) = (self.number("min_ratio"), number(1.0 - self.number("min_ratio")));
                let ratio = number(ratio);
                let then = format!("{base} * ({slow} * {left} * {rest} + {ratio})");
                (format!("{base} * ({risen} * {rest} + {ratio})"), then)
            }
        };
        Ok(format!("({first} if {t} < {warmup} else {then})"))
    }
}
