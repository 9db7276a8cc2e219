//! The table of sizes: the time of a step beside PyTorch's over widths, lengths of rows and batches.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;

use crate::Arguments;
use crate::conditions::Conditions;
use crate::programs::Programs;
use crate::results::Results;
use crate::rounds::{self, Turns};
use crate::table::{microseconds, times};
use crate::workload::Workload;

/// Widths from 128 to 2048, rows of 64 to 1024 tokens, and batches of 8 to 512 rows.
pub const POINTS: [&str; 13] = [
    "MLP-128x8",
    "MLP-128x512",
    "MLP-512x64",
    "MLP-1024x128",
    "MLP-2048x8",
    "MLP-2048x512",
    "GPT-128x64x8",
    "GPT-128x64x512",
    "GPT-128x1024x8",
    "GPT-256x256x8",
    "GPT-512x128x16",
    "GPT-1024x64x8",
    "GPT-2048x64x8",
];

/// First steps, whose losses are compared. The largest take seconds.
const TOLD: usize = 5;

const ROUNDS: usize = 3;

/// Measures a point with the first number of threads.
pub fn measure(
    point: &str,
    arguments: &Arguments,
    programs: &Programs,
    conditions: &mut Conditions,
    results: &mut Results,
) -> Result<()> {
    let Some(&threads) = arguments.threads.first() else { return Ok(()) };
    let start = programs.write_start(&[point.to_owned()])?;
    let turns = Turns {
        workload: point,
        threads,
        contestants: &["rekindle".to_owned(), "torch".to_owned()],
        rounds: arguments.rounds.min(ROUNDS),
        seconds: arguments.seconds,
        told: Some(TOLD),
    };
    let steps = rounds::in_turns(&turns, programs, conditions, results)?;
    results.sizes.extend(steps);
    // The largest has 400 MB.
    Ok(start.iter().try_for_each(fs::remove_file)?)
}

/// The table, and its worst point; nothing if no sizes were measured.
pub fn table(results: &Results) -> String {
    let of = |workload: &str, name: &str| {
        let mut all = results.sizes.iter().filter(|steps| steps.workload == workload);
        all.find(|steps| steps.contestant == name).map(|steps| steps.microseconds)
    };
    let (mut rows, mut worst) = (String::new(), None::<(f64, String)>);
    for point in POINTS {
        let Some((own, workload)) = of(point, "Rekindle").zip(Workload::named(point).ok()) else { continue };
        let rate = workload.operations() / own / 1e3;
        let (mut torch, mut ratio) = ("–".to_owned(), "–".to_owned());
        if let Some(time) = of(point, "PyTorch eager") {
            (torch, ratio) = (microseconds(time), times(time / own));
            if worst.as_ref().is_none_or(|(least, _)| time / own < *least) {
                worst = Some((time / own, point.to_owned()));
            }
        }
        let _ = writeln!(rows, "| {point} | {} | {torch} | {ratio} | {rate:.0} |", microseconds(own));
    }
    if rows.is_empty() {
        return rows;
    }
    let threads = results.sizes.first().map_or(0, |steps| steps.threads);
    let plural = if threads == 1 { "" } else { "s" };
    let mut text = format!(
        "Microseconds per step by size, {threads} thread{plural}. `MLP-1024x128` is an MLP 784-1024-1024-10 with 128 \
         rows, `GPT-256x128x8` two blocks of width 256 with 8 rows of 128 tokens; the last column is the minimal work \
         of Rekindle's step over its time:\n\n\
         | | Rekindle | PyTorch eager | ratio | GFLOP/s |\n|---|---:|---:|---:|---:|\n{rows}\n"
    );
    if let Some((ratio, point)) = worst {
        let _ = writeln!(text, "The smallest ratio is {} at {point}.\n", times(ratio));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::steps;

    #[test]
    fn every_point_is_a_workload() {
        for point in POINTS {
            assert!(Workload::named(point).is_ok_and(|workload| workload.operations() > 0.0), "{point}");
        }
    }

    #[test]
    fn the_table_names_its_worst_point() {
        let mut results = Results::default();
        assert_eq!(table(&results), "");
        for (point, own, torch) in [("MLP-128x8", 100.0, 300.0), ("GPT-128x64x8", 2000.0, 1800.0)] {
            results.sizes.push(steps(point, "Rekindle", own));
            results.sizes.push(steps(point, "PyTorch eager", torch));
        }
        results.sizes.push(steps("MLP-512x64", "Rekindle", 1000.0));
        let text = table(&results);
        // 8 rows, each with 2 × 784·128, 3 × 128·128 and 3 × 128·10 multiplications with additions.
        assert!(text.contains("| MLP-128x8 | 100 | 300 | 3.00× | 41 |"), "{text}");
        assert!(text.contains("| MLP-512x64 | 1,000 | – | – |"), "{text}");
        assert!(text.ends_with("The smallest ratio is 0.90× at GPT-128x64x8.\n\n"), "{text}");
    }
}
