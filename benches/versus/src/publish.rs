//! Results in the repository: the tables of `docs/benchmarks.md`, the picture, the README's line of ratios, and the raw
//! results.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::results::Results;
use crate::{picture, table};

const BEGIN: &str = "<!-- benches/versus: written by the bench, not by hand -->\n";
const END: &str = "<!-- end of benches/versus -->\n";

/// Writes all of it.
pub fn publish(results: &Results, root: &Path) -> Result<()> {
    for (file, section) in [("docs/benchmarks.md", section(results)), ("README.md", table::ratios(results))] {
        let path = root.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("{file} cannot be read"))?;
        fs::write(&path, with_section(&text, &section).with_context(|| file.to_owned())?)?;
    }
    fs::write(root.join("docs/versus.svg"), picture::bars(results))?;
    fs::write(root.join("benches/versus/results.json"), serde_json::to_string_pretty(results)? + "\n")?;
    Ok(())
}

fn section(results: &Results) -> String {
    format!("\n![Time of a training step](versus.svg)\n\n{}\n", table::brief(results))
}

/// Returns the text with `section` between the two markers.
fn with_section(text: &str, section: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("there is no mark where the section begins")?;
    let (_, after) = rest.split_once(END).context("there is no mark where the section ends")?;
    Ok([before, BEGIN, section, END, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_all_around_it_stays() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let new = with_section(&text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert_eq!(with_section(&new, "old\n").unwrap(), text);
        assert!(with_section("no marks", "new").is_err());
    }
}
