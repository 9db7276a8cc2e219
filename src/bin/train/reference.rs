//! `train reference`: every key of a configuration.

use anyhow::Result;
use clap::Args;

/// The form of the output.
#[derive(Args)]
pub struct Reference {
    /// Print the JSON schema, for editors, instead of the page.
    #[arg(long)]
    schema: bool,
}

/// Prints the reference to stdout.
pub fn print(arguments: &Reference) -> Result<()> {
    let text =
        if arguments.schema { format!("{:#}\n", rekindle::reference::schema()) } else { rekindle::reference::page() };
    Ok(crate::print(&text)?)
}
