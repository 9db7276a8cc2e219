//! Results in the repository: a file for each processor in `benches/versus/results`, and what is rendered from all of
//! them: the sections of `docs/benchmarks.md`, the pictures, and the README's table.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::results::Results;
use crate::{picture, processor, summary, table};

const BEGIN: &str = "<!-- benches/versus: written by the bench, not by hand -->\n";
const END: &str = "<!-- end of benches/versus -->\n";

/// The folder with a file for each processor.
const FOLDER: &str = "benches/versus/results";

/// Writes the file of the processor, instead of its earlier one, and renders all.
pub fn publish(results: &Results, root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let path = folder.join(processor::file_name(results)).with_extension("json");
    fs::write(path, serde_json::to_string_pretty(results)? + "\n")?;
    render(root)
}

/// Writes everything that shows the results of all processors.
pub fn render(root: &Path) -> Result<()> {
    let all = read(&root.join(FOLDER))?;
    for (file, section) in [("docs/benchmarks.md", sections(&all)), ("README.md", readme(&all))] {
        let path = root.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("{file} cannot be read"))?;
        fs::write(&path, with_section(&text, &section).with_context(|| file.to_owned())?)?;
    }
    for results in &all {
        fs::write(root.join("docs").join(picture_of(results)), picture::bars(results))?;
    }
    Ok(())
}

/// The results of all processors, by file name.
fn read(folder: &Path) -> Result<Vec<Results>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no results in {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let results = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path)?;
        serde_json::from_str(&text).with_context(|| format!("{} has no results", path.display()))
    };
    paths.iter().map(results).collect()
}

fn picture_of(results: &Results) -> String {
    format!("versus-{}.svg", processor::file_name(results))
}

/// A section for each processor.
fn sections(all: &[Results]) -> String {
    let section = |results: &Results| {
        let (title, picture, tables) = (processor::title(results), picture_of(results), table::brief(results));
        format!("\n## {title}\n\n![Time of a training step]({picture})\n\n{tables}\n")
    };
    all.iter().map(section).collect()
}

/// The picture of the newest results, and the table of all.
fn readme(all: &[Results]) -> String {
    let on_cpu = all.iter().filter(|results| results.device == "cpu");
    let Some(newest) = on_cpu.max_by(|a, b| a.conditions.date.cmp(&b.conditions.date)) else { return String::new() };
    format!(
        "\n![Time of a training step](docs/{})\n\nHow many times as long as in Rekindle a training step takes: the \
         geometric mean over the workloads, and in brackets\nthe worst of them.\n\n{}\n",
        picture_of(newest),
        summary::table(all)
    )
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
    use crate::results::tests::steps;

    #[test]
    fn a_section_is_replaced_and_all_around_it_stays() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let new = with_section(&text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert_eq!(with_section(&new, "old\n").unwrap(), text);
        assert!(with_section("no marks", "new").is_err());
    }

    fn root_with_pages() -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("versus-publish-{}", std::process::id()));
        fs::create_dir_all(root.join("docs")).unwrap();
        for file in ["docs/benchmarks.md", "README.md"] {
            fs::write(root.join(file), format!("before\n{BEGIN}{END}after\n")).unwrap();
        }
        root
    }

    #[test]
    fn results_of_processors_stand_side_by_side_and_new_ones_replace_those_of_the_same() {
        let root = root_with_pages();
        for (processor, date, time) in
            [("AMD EPYC", "2026-01-01", 7.0), ("Intel(R) Xeon(R) Processor", "2026-01-02", 8.0)]
        {
            for time in [time, 10.0 * time] {
                let mut results = Results { device: "cpu".to_owned(), ..Results::default() };
                (results.conditions.processor, results.conditions.date) = (processor.to_owned(), date.to_owned());
                results.conditions.cores = 2;
                results.steps.push(steps("W2", "Rekindle", time));
                results.steps.push(steps("W2", "burn", 100.0 * time));
                publish(&results, &root).unwrap();
            }
        }
        assert_eq!(fs::read_dir(root.join(FOLDER)).unwrap().count(), 2);
        let page = fs::read_to_string(root.join("docs/benchmarks.md")).unwrap();
        assert!(
            page.contains("\n## AMD EPYC, 2 cores\n\n![Time of a training step](versus-amd-epyc-2-cores.svg)"),
            "{page}"
        );
        assert!(page.contains("\n## Intel Xeon, 2 cores\n"), "{page}");
        assert!(page.contains("| 70 | 7,000 (100.00×) |") && page.contains("| 80 | 8,000 (100.00×) |"), "{page}");
        let readme = fs::read_to_string(root.join("README.md")).unwrap();
        assert!(readme.contains("](docs/versus-intel-xeon-2-cores.svg)"), "{readme}");
        assert!(readme.contains("| AMD EPYC, 2 cores | 2 threads, f32 |"), "{readme}");
        assert!(root.join("docs/versus-amd-epyc-2-cores.svg").exists());
        fs::remove_dir_all(root).unwrap();
    }
}
