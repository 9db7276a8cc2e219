//! `train init`: a first configuration for data.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rekindle::shell;
use rekindle::starter::{self, Requests, Starter};
use rekindle::train::{Console, Sink, relative_path};

/// Arguments of `train init`.
#[derive(Args)]
#[command(
    after_help = "It examines the beginning of the data and chooses target, model, optimizer and schedule; every \
                        line of the file explains its purpose and the alternatives. Each decision is printed, and \
                        listed at the top of the file. An existing file is not replaced."
)]
pub struct Init {
    /// The data: a CSV, Parquet, safetensors, text or JSON Lines file, a pattern of such files in quotes ('part-*.csv'),
    /// MNIST's folder, or a folder with one subfolder of images per class.
    data: PathBuf,
    /// The file to write; by default the name of the data with `.toml`, in the working directory.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The column to predict, by its name or its number from 0, if its name does not show it.
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    label: Option<String>,
    /// Number of lines above the table of a CSV file, which are skipped.
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    skip_lines: usize,
}

/// Writes the file.
pub fn write(arguments: &Init, console: &mut Console) -> Result<()> {
    let data = &arguments.data;
    let output = arguments.output.clone().unwrap_or_else(|| default_output(data));
    let already = || format!("{} exists; choose another file with -o", output.display());
    if output.symlink_metadata().is_ok() {
        bail!(already());
    }
    let folder = output.parent().unwrap_or(Path::new(""));
    let requests = Requests { label: arguments.label.as_deref(), skip_lines: arguments.skip_lines };
    let Starter { text, decisions } = starter::configuration(data, &relative_path(data, folder), requests)?;
    decisions.iter().for_each(|decision| console.message(&decision.to_string()));
    let unwritten = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow!(already()),
        _ => anyhow!("cannot write {}: {error}; choose another file with -o", output.display()),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(&output).map_err(unwritten)?;
    file.write_all(text.as_bytes()).map_err(unwritten)?;
    let name = shell::path(&output);
    console.message(&format!("wrote {name}; to check it: train check {name}; to train: train {name}"));
    Ok(())
}

fn default_output(data: &Path) -> PathBuf {
    let name = data.canonicalize().ok().and_then(|data| Some(data.file_name()?.to_string_lossy().into_owned()));
    let name = data.file_name().map(|name| name.to_string_lossy().into_owned()).or(name).unwrap_or_default();
    // Of a pattern, without its marks: `part.toml` for `part-*.csv`.
    let plain: String = name.chars().filter(|c| !"*?[]{}".contains(*c)).collect();
    let stem = plain.split('.').map(|part| part.trim_end_matches(['-', '_'])).find(|part| !part.is_empty());
    PathBuf::from(format!("{}.toml", stem.unwrap_or("run")))
}
