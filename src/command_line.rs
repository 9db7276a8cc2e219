//! Shell completions and manual pages of the programs, from the descriptions of their arguments.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

/// Arguments of `train completions` and `inspect completions`.
#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Arguments of `train man` and `inspect man`.
#[derive(Args)]
pub struct Manual {
    /// The folder to write to, as ~/.local/share/man/man1; made if it is missing
    folder: PathBuf,
}

impl Completions {
    /// Returns the script that completes the words of `command`.
    pub fn script(&self, mut command: Command) -> Vec<u8> {
        let (name, mut script) = (command.get_name().to_owned(), Vec::new());
        clap_complete::generate(self.shell, &mut command, &name, &mut script);
        if self.shell == Shell::Zsh { commands_or_files(&script, &name).into_bytes() } else { script }
    }
}

/// Corrects the script for zsh, which expects a command after the file that may stand in its place: a first word is a
/// command or a file.
fn commands_or_files(script: &[u8], name: &str) -> String {
    let commands = format!("\":: :_{name}_commands\"");
    let described = format!("    _describe -t commands '{name} commands' commands \"$@\"");
    let mut lines: Vec<String> = Vec::new();
    for line in String::from_utf8_lossy(script).lines() {
        if line.starts_with(&commands) && lines.last().is_some_and(|before| before.starts_with("':")) {
            lines.pop();
        }
        lines.push(line.replace("$line[2]", "$line[1]"));
        if line == described {
            lines.push("    _files".to_owned());
        }
    }
    lines.join("\n") + "\n"
}

impl Manual {
    /// Writes the manual page of `command`, and one of each of its commands. Returns a message about it.
    ///
    /// # Errors
    /// A file cannot be written; the message names it.
    pub fn write(&self, command: Command) -> io::Result<String> {
        let failed = |path: &Path, error: &io::Error| {
            let remedy = "choose another folder, such as ~/.local/share/man/man1";
            io::Error::other(format!("{} cannot be written: {error}; {remedy}", path.display()))
        };
        fs::create_dir_all(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        let (name, pages) = (command.get_name().to_owned(), pages(command));
        for (file, page) in &pages {
            let path = self.folder.join(file);
            fs::write(&path, page).map_err(|error| failed(&path, &error))?;
        }
        let folder = self.folder.display();
        Ok(format!("wrote {} manual pages to {folder}; `man {name}` shows the first\n", pages.len()))
    }
}

/// Returns the manual pages of a command and its commands, with the names of their files.
fn pages(command: Command) -> Vec<(String, Vec<u8>)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect::<Vec<_>>();
    let page = |command: Command| {
        let page = clap_mangen::Man::new(command).source(concat!("Rekindle ", env!("CARGO_PKG_VERSION")));
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = page.render(&mut text);
        // The text after the options is of notes and examples.
        let text = String::from_utf8_lossy(&text).replace("\n.SH EXTRA\n", "\n.SH NOTES\n");
        (page.get_filename(), text.into_bytes())
    };
    std::iter::once(command).chain(commands).map(page).collect()
}
