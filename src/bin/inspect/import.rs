//! `inspect import`: makes a run of another trainer's checkpoint, which `train --resume` continues.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Error, Result, anyhow};
use clap::Args;
use rekindle::Notice;
use rekindle::peers::import::{self, Import as Request};
use rekindle::shell;
use rekindle::train::{Setting, is_default};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::{Answer, peer};

/// Arguments of `inspect import`.
#[derive(Args)]
#[command(after_help = "\
The optimizer, the schedule and the clipping come from the checkpoint, so the configuration may leave them out. Where \
it says them too, they must be the same, or the import is refused with both values; --set decides on purpose. Tensors \
are matched by name, whatever their prefix, otherwise layer by layer; if more than one match would fit, it is refused, \
and --param-names decides.")]
pub struct Import {
    /// A checkpoint of another trainer: a file or a folder
    peer: PathBuf,
    /// The configuration of the run: data, model and length; `optimizer`, `schedule` and `train.clip_norm` may be left
    /// out. Without it one is proposed, as RUN.toml, and nothing is imported
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The run directory to make
    #[arg(short, long, value_name = "RUN")]
    out: PathBuf,
    /// Change a value of the configuration, also where the checkpoint says another one
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Setting::parse)]
    settings: Vec<Setting>,
    /// A file of lines `peer name = our name`; an id of the optimizer may be on the left, and nothing on the right
    /// leaves a tensor out
    #[arg(long, value_name = "FILE")]
    param_names: Option<PathBuf>,
    /// Number of updates made, where the checkpoint does not say it
    #[arg(long, value_name = "N")]
    updates: Option<u64>,
}

/// Imports, saves, and prints the account.
pub fn import(arguments: &Import) -> Result<Answer> {
    peer::require(&arguments.peer)?;
    let Some(config) = &arguments.config else { return propose(arguments) };
    let request = Request {
        peer: arguments.peer.clone(),
        config: config.clone(),
        settings: &arguments.settings,
        param_names: arguments.param_names.clone(),
        updates: arguments.updates,
    };
    let imported = request.run()?;
    hold_signals().context("signals cannot be handled")?;
    let saved = imported.save(&arguments.out)?;
    let mut text = imported.account().to_string();
    for notice in imported.session().notices() {
        if let Notice::Warning(warning) = notice {
            text += &format!("warning     {warning}\n");
        }
    }
    text += &format!("saved       {}\n", saved.display());
    text += &format!("continue    train --resume {}\n", shell::path(&arguments.out));
    Ok(Answer::good(text))
}

/// Lets the save be finished when a signal comes, which takes a moment, so that no half of a run is left. A second
/// signal ends the process.
fn hold_signals() -> io::Result<()> {
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| is_default(*signal)) {
        flag::register_conditional_default(signal, Arc::clone(&is_second))?;
        flag::register(signal, Arc::clone(&is_second))?;
    }
    Ok(())
}

/// Writes a proposed configuration beside the run directory; one that is there is not replaced.
fn propose(arguments: &Import) -> Result<Answer> {
    let text = import::propose(&arguments.peer, arguments.param_names.as_deref())?;
    let path = proposed(&arguments.out);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    }
    let mut file = File::create_new(&path).map_err(|error| not_proposed(&path, &error))?;
    if let Err(error) = file.write_all(text.as_bytes()) {
        let _ = fs::remove_file(&path);
        return Err(not_proposed(&path, &error));
    }
    let (peer, out) = (shell::path(&arguments.peer), shell::path(&arguments.out));
    let next = format!("inspect import {peer} --config {} -o {out}", shell::path(&path));
    Ok(Answer::good(format!("{text}\nproposed    {}\nnext        complete it, then {next}\n", path.display())))
}

fn not_proposed(path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        return anyhow!("{path} exists; give it with --config if it is the run's, or choose another place with --out");
    }
    anyhow!("{path} cannot be written: {error}; choose another place with --out")
}

/// Returns the path of the configuration that is proposed for a run: a run `a.b` has `a.b.toml`.
fn proposed(run: &Path) -> PathBuf {
    let mut name = run.file_name().unwrap_or_default().to_owned();
    name.push(".toml");
    run.with_file_name(name)
}
