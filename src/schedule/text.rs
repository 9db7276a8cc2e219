//! The text form: `warmup(500) -> cosine(9500, eta_min=1e-5)`.
//!
//! ```text
//! schedule = call { "->" call }
//! call     = name [ "(" [ argument { "," argument } ] ")" ]
//! argument = [ name "=" ] value
//! value    = number [ "%" ] | string | "[" values "]" | "true" | "false" | "null" | schedule
//! ```
//!
//! Unnamed arguments come first, in the order of the kind's parameters. `warmup(n) -> rest` warms up and then follows
//! the rest. Between other kinds the arrow means: one after the other, each for the duration that its own parameters
//! say, so all but the last must have a length: `linear(0.01, 1, 10) -> cosine(40)` is
//! `sequential([10], [linear(0.01, 1, 10), cosine(40)])`.

use std::fmt;

use super::Schedule;
use super::argument::Argument;
use super::definition::{Arguments, Definition, Parameter};
use super::error::{Problem, ScheduleError};
use super::kinds::{Sequential, Warmup, find};
use super::value::{Data, Value};

/// Limit on stages and nested schedules together; far beyond any use, and far below the limit of the stack.
const DEEPEST: usize = 100;

pub(super) fn parse(text: &str) -> Result<Schedule, ScheduleError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.whole().map_err(|problem| problem.in_text(text))
}

/// `name(arguments)` as read, before it is known whether an arrow follows.
struct Call {
    at: usize,
    definition: &'static Definition,
    entries: Vec<(String, Value)>,
}

impl Call {
    fn is_warmup(&self) -> bool {
        std::ptr::eq(self.definition, &Warmup::DEFINITION) || self.definition.name == Warmup::DEFINITION.name
    }

    fn schedule(self) -> Result<Schedule, Problem> {
        let arguments = Arguments { kind: self.definition.name, entries: &self.entries };
        Schedule::from_arguments(self.definition, &arguments).map_err(|problem| problem.at(Some(self.at)))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Result<Schedule, Problem> {
        let schedule = self.schedule()?;
        match self.peek() {
            None => Ok(schedule),
            Some(_) => Err(self.expected("`->` or the end")),
        }
    }

    fn schedule(&mut self) -> Result<Schedule, Problem> {
        let outer = self.depth;
        let mut calls = vec![self.call()?];
        while self.eat("->") {
            calls.push(self.call()?);
        }
        self.depth = outer;
        follow(calls)
    }

    fn call(&mut self) -> Result<Call, Problem> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.problem(format!("there are more than {DEEPEST} schedules in one another here")));
        }
        let at = self.start();
        let name = self.name().ok_or_else(|| self.expected("the name of a schedule"))?;
        let definition = find(name).map_err(|problem| problem.at(Some(at)))?;
        let mut call = Call { at, definition, entries: Vec::new() };
        if self.eat("(") {
            while !self.eat(")") {
                self.argument(&mut call)?;
                if !self.eat(",") && self.peek() != Some(')') {
                    return Err(self.expected("`,` or `)`"));
                }
            }
        }
        Ok(call)
    }

    fn argument(&mut self, call: &mut Call) -> Result<(), Problem> {
        let at = self.start();
        let name = match self.name_before_equals() {
            Some(name) => self.known(call.definition, name, at)?,
            None => self.next_in_order(call)?,
        };
        if call.entries.iter().any(|(given, _)| given == name) {
            let message = format!("`{}` has been given `{name}` already", call.definition.name);
            return Err(Problem::new(message).at(Some(at)));
        }
        let value = self.value()?;
        call.entries.push((name.to_owned(), value));
        Ok(())
    }

    fn known(&self, definition: &Definition, name: &'a str, at: usize) -> Result<&'a str, Problem> {
        let known = name == "unit" || definition.parameters.iter().any(|parameter| parameter.name == name);
        if known { Ok(name) } else { Err(definition.unknown(name).at(Some(at))) }
    }

    /// Returns the parameter for an unnamed argument.
    fn next_in_order(&self, call: &Call) -> Result<&'static str, Problem> {
        let parameters = call.definition.parameters;
        let given = call.entries.len();
        let in_order = call.entries.iter().zip(parameters).all(|((given, _), parameter)| given == parameter.name);
        match parameters.get(given) {
            Some(parameter) if in_order => Ok(parameter.name),
            Some(_) => Err(self.problem("an argument without a name cannot follow one with a name".to_owned())),
            None => Err(self.problem(format!("`{}` takes no more arguments than {given}", call.definition.name))),
        }
    }

    fn value(&mut self) -> Result<Value, Problem> {
        let at = self.start();
        let data = match self.peek() {
            Some('"') => self.string()?,
            Some('[') => self.list()?,
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number()?,
            Some(c) if is_name(c) => self.word()?,
            _ => return Err(self.expected("a value")),
        };
        Ok(Value { data, at: Some(at) })
    }

    fn word(&mut self) -> Result<Data, Problem> {
        let start = self.at;
        let constant = match self.name() {
            Some("true") => Data::Bool(true),
            Some("false") => Data::Bool(false),
            Some("null") => Data::Null,
            Some("nan" | "NaN") => Data::Number(f64::NAN),
            Some("inf") => Data::Number(f64::INFINITY),
            _ => {
                self.at = start;
                return self.schedule().map(Data::Schedule);
            }
        };
        Ok(constant)
    }

    fn number(&mut self) -> Result<Data, Problem> {
        let rest = self.rest();
        let end = rest
            .char_indices()
            .position(|(index, c)| {
                let after_exponent = matches!(rest.as_bytes().get(index.wrapping_sub(1)), Some(b'e' | b'E'));
                let sign = matches!(c, '-' | '+') && (index == 0 || after_exponent);
                !(c.is_ascii_alphanumeric() || c == '.' || sign)
            })
            .unwrap_or(rest.len());
        let digits = &rest[..end];
        let number = match digits.parse() {
            Ok(n) => Data::Integer(n),
            Err(_) => {
                digits.parse().map(Data::Number).map_err(|_| self.problem(format!("`{digits}` is not a number")))?
            }
        };
        self.at += end;
        Ok(if self.eat("%") { Data::Text(format!("{digits}%")) } else { number })
    }

    fn string(&mut self) -> Result<Data, Problem> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += index + 1;
                    return Ok(Data::Text(text));
                }
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => text.push(c),
            }
        }
        Err(self.problem("this string has no end; close it with `\"`".to_owned()))
    }

    fn list(&mut self) -> Result<Data, Problem> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.problem(format!("there are more than {DEEPEST} lists in one another here")));
        }
        let mut items = Vec::new();
        self.eat("[");
        while !self.eat("]") {
            items.push(self.value()?);
            if !self.eat(",") && self.peek() != Some(']') {
                return Err(self.expected("`,` or `]`"));
            }
        }
        self.depth -= 1;
        Ok(Data::List(items))
    }

    /// Reads `name =` if it is there.
    fn name_before_equals(&mut self) -> Option<&'a str> {
        let start = self.start();
        let name = self.name();
        if name.is_some() && self.eat("=") {
            return name;
        }
        self.at = start;
        None
    }

    fn name(&mut self) -> Option<&'a str> {
        self.start();
        let rest = self.rest();
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        self.at += end;
        let name = &rest[..end];
        (!name.is_empty()).then_some(name)
    }

    fn eat(&mut self, token: &str) -> bool {
        self.start();
        let eaten = self.rest().starts_with(token);
        self.at += if eaten { token.len() } else { 0 };
        eaten
    }

    fn peek(&mut self) -> Option<char> {
        self.start();
        self.rest().chars().next()
    }

    /// Skips to the start of the next token.
    fn start(&mut self) -> usize {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.at
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn problem(&self, message: String) -> Problem {
        Problem::new(message).at(Some(self.at))
    }

    fn expected(&mut self, what: &str) -> Problem {
        let found = self.peek().map_or("the end".to_owned(), |c| format!("`{c}`"));
        self.problem(format!("expected {what}, found {found}"))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Builds the schedule of calls joined by arrows.
fn follow(calls: Vec<Call>) -> Result<Schedule, Problem> {
    let mut later: Vec<(usize, Schedule)> = Vec::new();
    for mut call in calls.into_iter().rev() {
        let at = call.at;
        if call.is_warmup() && !later.is_empty() {
            if call.entries.iter().any(|(name, _)| name == "schedule") {
                let message = "`warmup` has a `schedule` already, so nothing can follow it";
                return Err(Problem::new(message).at(Some(at)));
            }
            let rest = one_after_the_other(std::mem::take(&mut later))?;
            call.entries.push(("schedule".to_owned(), Data::Schedule(rest).into()));
        }
        later.insert(0, (at, call.schedule()?));
    }
    one_after_the_other(later)
}

/// Builds a schedule that follows each of `schedules` for its length. Each comes with its position in the text.
fn one_after_the_other(schedules: Vec<(usize, Schedule)>) -> Result<Schedule, Problem> {
    let mut milestones = Vec::new();
    for (at, schedule) in schedules.iter().rev().skip(1).rev() {
        let unclear = || {
            let message = format!(
                "it is not clear when `{}` ends; write `sequential([milestones], [schedules])` instead of an arrow",
                schedule.kind()
            );
            Problem::new(message).at(Some(*at))
        };
        let length = schedule.length().ok_or_else(unclear)?;
        milestones.push(match milestones.last() {
            None => length,
            Some(&start) => length.plus(start).ok_or_else(unclear)?,
        });
    }
    let mut schedules: Vec<Schedule> = schedules.into_iter().map(|(_, schedule)| schedule).collect();
    Ok(match schedules.len() {
        1 => schedules.remove(0),
        _ => Sequential { milestones: milestones.into(), schedules: schedules.into() }.into(),
    })
}

pub(super) fn print(schedule: &Schedule, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let definition = schedule.kind.definition();
    let mut written = schedule.kind.written();
    let is_followed =
        |(parameter, _): &(&Parameter, Value)| definition.name == "warmup" && parameter.name == "schedule";
    let inner = written.iter().position(is_followed).map(|index| written.remove(index));
    write!(f, "{}(", definition.name)?;
    let mut by_position = true;
    for (index, (parameter, value)) in written.iter().enumerate() {
        by_position &= parameter.needed && definition.parameters.get(index) == Some(parameter);
        let comma = if index == 0 { "" } else { ", " };
        let name = if by_position { String::new() } else { format!("{}=", parameter.name) };
        write!(f, "{comma}{name}{value}")?;
    }
    if schedule.unit != super::Unit::default() {
        let comma = if written.is_empty() { "" } else { ", " };
        write!(f, "{comma}unit={}", schedule.unit.write())?;
    }
    f.write_str(")")?;
    match inner {
        Some((_, inner)) => write!(f, " -> {inner}"),
        None => Ok(()),
    }
}
