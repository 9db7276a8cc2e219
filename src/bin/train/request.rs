//! The command line, and suggestions if it is wrong.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use rekindle::nearest::nearest;
use rekindle::plain;
use rekindle::reference::tables;
use rekindle::shell;

use crate::Arguments;

/// Options of a run with a value.
const VALUED: [&str; 9] = [
    "--resume",
    "--init-from",
    "--init-adapter",
    "--out",
    "--set",
    "--device",
    "--failures-every",
    "--max-time",
    "--until",
];

/// Returns the arguments of this process. If they are wrong, prints a message and exits; one of several processes that
/// were started with the same arguments may be `quiet`.
pub fn parse(quiet: bool) -> Arguments {
    let given: Vec<OsString> = std::env::args_os().collect();
    let words: Vec<String> = given.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let parsed = Arguments::try_parse_from(&given);
    let message = match &parsed {
        Ok(_) => mistyped(&places(&words)),
        Err(error) => better(&words, error),
    };
    match (message, parsed) {
        (None, Ok(arguments)) => arguments,
        (_, parsed) if quiet => std::process::exit(parsed.err().map_or(2, |error| error.exit_code())),
        (Some(message), _) => {
            drop(writeln!(io::stderr(), "error: {message}"));
            std::process::exit(2);
        }
        (None, Err(error)) => error.exit(),
    }
}

/// Handles a first word that is nearly that of a command, and no file.
fn mistyped(places: &[&str]) -> Option<String> {
    let (first, rest) = places.split_first()?;
    let commands = commands();
    let is_other = commands.iter().any(|name| name == first) || Path::new(first).extension().is_some();
    if is_other || Path::new(first).exists() {
        return None;
    }
    let near = nearest(first, commands.iter().map(String::as_str))?;
    let shown: String = rest.first().map(|second| format!(" {}", shell::path(Path::new(second)))).unwrap_or_default();
    Some(format!(
        "there is no command `{first}`, and no file; did you mean `train {near}{shown}`? the commands are {}",
        commands.join(", ")
    ))
}

/// Returns the names of all commands.
fn commands() -> Vec<String> {
    Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// Returns a message that says what to type, if one applies.
pub fn better(words: &[String], error: &clap::Error) -> Option<String> {
    if !error.use_stderr() {
        return None;
    }
    if let Some(text) = plain::of_argument(error) {
        return Some(text);
    }
    if error.kind() == ErrorKind::MissingRequiredArgument && words.iter().any(|word| word == "--strict") {
        return Some(
            "--strict is of `--resume RUN` or of `--init-from PATH`; add one of them, or remove it".to_owned(),
        );
    }
    if let Some(text) = several_paths(words, error) {
        return Some(text);
    }
    let (places, resumes) = (places(words), words.iter().any(|word| word.starts_with("--resume")));
    let first = places.first().copied();
    let commands = commands();
    if let Some(text) = mistyped(&places).filter(|_| !resumes && first != Some("resume")) {
        return Some(text);
    }
    if let Some(option) = unknown(error) {
        let has_settings = |name: &str| ["check", "find-lr", "prove"].contains(&name);
        let is_of_run = first.is_none_or(|first| has_settings(first) || !commands.iter().any(|name| name == first));
        let there_is_one = || error.get(ContextKind::SuggestedArg).is_some();
        // If there is an option with a similar name, clap suggests it.
        let other = || (!there_is_one()).then(|| no_option(&option));
        return if is_of_run { as_setting(&option, words).or_else(other) } else { None };
    }
    if first == Some("supervise") && error.kind() == ErrorKind::MissingRequiredArgument {
        return Some(
            "give the command to supervise: `train supervise -- train CONFIG.toml`, or a launcher with `train` in it; \
             `train supervise --help` has examples"
                .to_owned(),
        );
    }
    if let Some(first) = first
        && commands.iter().any(|name| name == first)
    {
        return bare_setting(words);
    }
    match (first, error.kind()) {
        (None, ErrorKind::MissingRequiredArgument) => Some(
            "give the configuration of a new run: `train CONFIG.toml`; `train init DATA` writes a first one, \
             `train --resume RUN` continues a run, and `train --help` lists all commands"
                .to_owned(),
        ),
        (Some(first), _) => bare_setting(words).or_else(|| too_many(first, places.get(1).copied(), resumes, &commands)),
        _ => None,
    }
}

/// Returns the unknown option, if that is the fault.
fn unknown(error: &clap::Error) -> Option<String> {
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    match error.get(ContextKind::InvalidArg).filter(|_| is_unknown) {
        Some(ContextValue::String(option)) if option.starts_with("--") => Some(option.clone()),
        _ => None,
    }
}

/// Handles several paths where one is taken, which a shell makes of a pattern without quotes.
fn several_paths(words: &[String], error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument || unknown(error).is_some() {
        return None;
    }
    let is_init = words.first().is_some_and(|word| word == "init");
    let taker = if is_init { "init" } else { "--data" };
    let at = words.iter().position(|word| word == taker)?;
    let is_path = |place: usize| words.get(place).is_some_and(|word| !word.starts_with('-'));
    let are_several = is_path(at + 1) && is_path(at + 2);
    are_several.then(|| format!("{taker} takes one path; put a pattern of names in quotes: `{taker} 'part-*.csv'`"))
}

/// Returns the words that are neither options nor their values.
fn places(words: &[String]) -> Vec<&str> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if VALUED.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            found.push(word.as_str());
        }
    }
    found
}

/// Handles a setting whose key and value are two words.
fn bare_setting(words: &[String]) -> Option<String> {
    let at = words.iter().position(|word| word == "--set")?;
    let key = words.get(at + 1).filter(|key| !key.contains('=') && !key.starts_with('-'))?;
    let value = words.get(at + 2).filter(|value| !value.starts_with("--"))?;
    Some(format!("--set {key} {value}: key and value must be one word; write `--set {}`", quoted(key, value)))
}

/// Handles an option that is the name of a setting, or of several.
fn as_setting(option: &str, words: &[String]) -> Option<String> {
    let name = option.trim_start_matches('-').replace('-', "_");
    let given = words.iter().find_map(|word| word.strip_prefix(option)?.strip_prefix('='));
    let next = words.iter().position(|word| word == option).and_then(|at| words.get(at + 1));
    let value = given.or(next.map(String::as_str).filter(|value| !value.starts_with("--"))).unwrap_or("…");
    let mut keys: Vec<String> = Vec::new();
    for table in tables().iter().filter(|table| !table.path.contains("[]") && !table.path.contains("schedule")) {
        if table.keys.iter().any(|key| key.name == name) {
            let dotted = if table.path.is_empty() { name.clone() } else { format!("{}.{name}", table.path) };
            if !keys.contains(&dotted) {
                keys.push(dotted);
            }
        }
    }
    let written: Vec<String> = keys.iter().map(|key| format!("`--set {}`", quoted(key, value))).collect();
    let all = written.join(" or ");
    (!written.is_empty()).then(|| format!("{option} is a setting of the configuration: write {all}"))
}

fn no_option(option: &str) -> String {
    format!(
        "there is no option {option}; settings of a run are changed with `--set KEY=VALUE`: `train reference` lists \
         the keys, and `train --help` the options"
    )
}

fn quoted(key: &str, value: &str) -> String {
    if value == "…" { format!("{key}=…") } else { shell::word(&format!("{key}={value}")) }
}

/// Handles an extra word, or an unknown command.
fn too_many(first: &str, second: Option<&str>, resumes: bool, commands: &[String]) -> Option<String> {
    if resumes {
        return Some(format!(
            "a run is resumed with the configuration in its checkpoint, so remove {first}; change settings \
             with `--set KEY=VALUE`"
        ));
    }
    let second = second?;
    let shown = shell::path(Path::new(second));
    if first == "resume" {
        return Some(format!("a run is resumed with an option: `train --resume {shown}`"));
    }
    if !Path::new(first).exists() && !first.ends_with(".toml") {
        return Some(format!("there is no command `{first}`; the commands are {}", commands.join(", ")));
    }
    if second.contains('=') {
        return Some(format!("{second}: a setting comes after `--set`: `train {first} --set {shown}`"));
    }
    Some(format!(
        "`{second}` is one word too many after the configuration {first}; a folder for the run comes after `--out`, a \
         setting after `--set`"
    ))
}
