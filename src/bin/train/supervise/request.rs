//! The command of `train supervise`: its `train`, and the run directory.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use rekindle::shell;
use rekindle::train::resume;

use crate::{Arguments, default_out, request};

/// A command that starts or resumes a run.
pub struct Request {
    /// Its words, with the run directory if only `train` would choose it.
    pub words: Vec<OsString>,
    /// The run directory, or the URL of a run.
    pub run: PathBuf,
    /// The position of the word `train`.
    at: usize,
    /// The configuration of a new run.
    config: Option<PathBuf>,
    /// Whether it resumes the run in its own directory.
    is_in_place: bool,
}

impl Request {
    /// Finds `train` in a command, and the run directory in the words after it.
    ///
    /// # Errors
    /// There is no `train`, its words are wrong, or there is nothing to resume.
    pub fn read(command: &[OsString]) -> Result<Self> {
        let (at, arguments) = train_in(command)?;
        let mut words = command.to_vec();
        let (run, is_in_place) = match (&arguments.resume, &arguments.config) {
            (Some(path), _) => {
                let (run, is_in_place) = resume::directory_of(path, arguments.out.as_deref(), arguments.strict)?;
                if !is_in_place && arguments.out.is_none() {
                    words.extend(["--out".into(), run.clone().into()]);
                }
                (run, is_in_place)
            }
            (None, config) => {
                let config = config.as_deref().unwrap_or(Path::new(""));
                (arguments.out.unwrap_or_else(|| default_out(config)), false)
            }
        };
        if words[at] == "train" && !is_in_path(OsStr::new("train")) {
            words[at] = env::current_exe()?.into();
        }
        Ok(Self { words, run, at, config: arguments.config, is_in_place })
    }

    /// Whether it makes a run directory.
    pub fn is_new(&self) -> bool {
        !self.is_in_place
    }

    /// Whether the command is `train` itself, whose exit code is right.
    pub fn is_direct(&self) -> bool {
        self.at == 0
    }

    /// Returns the command for another attempt: the same one, or once there is a run, the one that resumes it. That has
    /// the settings of the command in its own configuration.
    pub fn again(&self, is_run: bool) -> Vec<OsString> {
        if self.is_in_place || !is_run {
            return self.words.clone();
        }
        let mut again = self.words[..=self.at].to_vec();
        again.extend(["--resume".into(), self.run.clone().into()]);
        let mut config = self.config.as_deref().map(Path::as_os_str);
        let mut rest = self.words[self.at + 1..].iter();
        while let Some(word) = rest.next() {
            const OF_THE_START: [&str; 6] = ["--resume", "--init-from", "--init-adapter", "--out", "--set", "--device"];
            let is_joined = |option: &&str| word.as_encoded_bytes().starts_with(format!("{option}=").as_bytes());
            if OF_THE_START.iter().any(|option| word == option) {
                rest.next();
            } else if config == Some(word) {
                config = None;
            } else if word == "--strict" && self.config.is_some() {
                // It was about the initial weights.
            } else if word != "--" && !OF_THE_START.iter().any(is_joined) {
                again.push(word.clone());
            }
        }
        again
    }
}

/// Formats a command for a message.
pub fn shown(words: &[OsString]) -> String {
    words.iter().map(|word| shell::word(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// Finds the `train` that starts or resumes a run, and reads the words after it.
fn train_in(command: &[OsString]) -> Result<(usize, Arguments)> {
    let mut wrong = None;
    for (at, word) in command.iter().enumerate() {
        if Path::new(word).file_name() != Some(OsStr::new("train")) {
            continue;
        }
        match Arguments::try_parse_from(&command[at..]) {
            Ok(arguments) if arguments.command.is_none() => return Ok((at, arguments)),
            Ok(_) => wrong = wrong.or_else(|| Some(no_run(&command[at..]))),
            Err(error) => wrong = wrong.or_else(|| Some(told(&command[at..], &error))),
        }
    }
    if let Some(wrong) = wrong {
        bail!("{}: {wrong}", shown(command));
    }
    Err(anyhow!(
        "the command `{}` has no word `train`, so its run is not known; write `train supervise -- train CONFIG.toml`, \
         with a launcher before the second `train` if you use one, and each word by itself",
        shown(command)
    ))
}

fn no_run(words: &[OsString]) -> String {
    let command = words.get(1).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    format!("`train {command}` is not a run; a supervised command is `train CONFIG.toml` or `train --resume RUN`")
}

/// Returns what is wrong with the words of a `train`.
fn told(words: &[OsString], error: &clap::Error) -> String {
    if !error.use_stderr() {
        return no_run(words);
    }
    let words: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    request::better(&words, error).unwrap_or_else(|| {
        let text = error.to_string();
        text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
    })
}

/// Whether the shell would find the program `name`.
fn is_in_path(name: &OsStr) -> bool {
    let is_program =
        |path: PathBuf| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    env::var_os("PATH").is_some_and(|folders| env::split_paths(&folders).any(|folder| is_program(folder.join(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    /// Asserts the run directory of a command, and the command that continues the run.
    #[track_caller]
    fn assert_continued(command: &str, run: &str, again: &str) {
        let request = Request::read(&words(command)).unwrap();
        assert_eq!((request.run.as_path(), request.is_new()), (Path::new(run), true));
        assert_eq!(shown(&request.again(false)), command, "without a run the command is the same");
        assert_eq!(shown(&request.again(true)), again);
    }

    #[test]
    fn a_run_is_continued_with_the_words_of_its_launcher_and_its_own_settings() {
        assert_continued("/a/train one/two.toml", "runs/two", "/a/train --resume runs/two");
        assert_continued("./train a.toml --out=r/a --set=seed=2", "r/a", "./train --resume r/a");
        assert_continued(
            "mpirun -n 4 --bind-to core bin/train --set train.steps=5 --device cpu a.toml --out r",
            "r",
            "mpirun -n 4 --bind-to core bin/train --resume r",
        );
        assert_continued(
            "./train a.toml --json=epochs --quiet",
            "runs/a",
            "./train --resume runs/a --json=epochs --quiet",
        );
        assert_continued("./train a.toml --init-from w --strict --quiet", "runs/a", "./train --resume runs/a --quiet");
        assert_continued("srun -J ./train ./train a.toml", "runs/a", "srun -J ./train ./train --resume runs/a");
    }

    #[test]
    fn a_command_without_a_run_is_refused_with_what_to_write() {
        for (command, part) in [
            ("echo config.toml", "`echo config.toml` has no word `train`"),
            ("train", "train: give the configuration of a new run"),
            ("x/train eval runs/a", "`train eval` is not a run"),
            ("train --help", "`train --help` is not a run"),
            ("train a.toml optimizer.lr=1", "a setting comes after `--set`"),
            ("train a.toml --lr 1", "--lr is a setting of the configuration: write `--set optimizer.lr=1`"),
            ("train --resume missing-folder", "cannot read missing-folder"),
        ] {
            let message = Request::read(&words(command)).err().unwrap().to_string();
            assert!(message.contains(part), "{command}: {message}");
        }
    }
}
