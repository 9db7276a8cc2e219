//! The command line, and suggestions if it is wrong.

use std::io::Write;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use rekindle::nearest::nearest;
use rekindle::plain;
use rekindle::report::Runs;
use rekindle::{shell, store};

use crate::Cli;

/// Returns the arguments of this process. If they are wrong, prints a message and exits.
pub fn parse() -> Cli {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let places: Vec<String> = words.filter(|word| !word.starts_with('-')).collect();
    let parsed = Cli::try_parse();
    let message = match &parsed {
        Ok(cli) => cli.path.as_deref().and_then(mistyped),
        Err(error) => better(&places, error),
    };
    match (message, parsed) {
        (None, Ok(cli)) => cli,
        (Some(message), _) => {
            drop(writeln!(std::io::stderr(), "error: {message}"));
            std::process::exit(2);
        }
        (None, Err(error)) => error.exit(),
    }
}

/// Handles a word that is nearly that of a command, and no file.
fn mistyped(path: &Path) -> Option<String> {
    let first = path.to_str().filter(|_| path.extension().is_none() && !path.exists())?;
    let commands = commands();
    let near = nearest(first, commands.iter().map(String::as_str)).filter(|near| *near != first)?;
    Some(format!(
        "there is no command `{first}`, and no file; did you mean `inspect {near}`? the commands are {}",
        commands.join(", ")
    ))
}

/// Returns the names of all commands.
fn commands() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// Returns a message that says what to type, if one applies.
fn better(places: &[String], error: &clap::Error) -> Option<String> {
    if let Some(text) = plain::of_argument(error) {
        return Some(text);
    }
    let commands = commands();
    match (places, error.kind()) {
        ([], ErrorKind::MissingRequiredArgument) => Some(
            "give what to look at: `inspect RUN`, a run directory, a checkpoint or a folder of runs; `inspect --help` \
             lists the commands"
                .to_owned(),
        ),
        ([first, second, ..], _) if error.use_stderr() && !commands.contains(first) => {
            let [a, b] = [first, second].map(|word| shell::path(Path::new(word)));
            let inside = Path::new(first).join(second);
            if inside.exists() && Runs::in_folder(Path::new(first)).is_some() {
                return Some(format!(
                    "`inspect {a}` shows all that is in it; for one: `inspect {}`",
                    shell::path(&inside)
                ));
            }
            if Path::new(first).exists() || store::is_url(Path::new(first)) {
                return Some(format!(
                    "one place is shown at a time: `inspect {a}`, then `inspect {b}`; to compare two runs or \
                     checkpoints: `inspect diff {a} {b}`"
                ));
            }
            if ["runs", "run", "list", "ls", "show"].contains(&first.as_str()) {
                return Some(format!(
                    "there is no command `{first}`; to list the runs in a folder, or to show one: `inspect {b}`"
                ));
            }
            let near = nearest(first, commands.iter().map(String::as_str));
            let meant = near.map(|name| format!("did you mean `inspect {name} {b}`? ")).unwrap_or_default();
            Some(format!("there is no command `{first}`; {meant}the commands are {}", commands.join(", ")))
        }
        _ => None,
    }
}
