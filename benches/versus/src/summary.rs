//! The README's table: how long a step takes elsewhere, over all workloads of one type of numbers.

use std::fmt::Write as _;

use crate::processor;
use crate::programs::CONTESTANTS;
use crate::results::Results;
use crate::table::{thread_counts, times};
use crate::workload::BF16;

/// A row for each processor and type of numbers: of each contestant the geometric mean of the ratios, and the worst.
pub fn table(all: &[Results]) -> String {
    let names: Vec<&str> = CONTESTANTS.iter().map(|(_, name)| *name).filter(|name| *name != "Rekindle").collect();
    let mut text = format!("| | | {} |\n|---|---|{}\n", names.join(" | "), "---:|".repeat(names.len()));
    for results in all {
        let Some(&threads) = thread_counts(results).first() else { continue };
        for (is_short, numbers) in [(false, "f32"), (true, "bf16")] {
            let cell = |name: &&str| ratios(results, threads, name, is_short).and_then(|ratios| told(&ratios));
            let cells: Vec<Option<String>> = names.iter().map(cell).collect();
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let cells: Vec<String> = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".to_owned())).collect();
            let plural = if threads == 1 { "" } else { "s" };
            let title = processor::title(results);
            let _ = writeln!(text, "| {title} | {threads} thread{plural}, {numbers} | {} |", cells.join(" | "));
        }
    }
    text
}

/// The time of a contestant's step over Rekindle's, by workload.
fn ratios<'a>(results: &'a Results, threads: usize, name: &str, is_short: bool) -> Option<Vec<(&'a str, f64)>> {
    let steps = results.steps.iter().filter(|steps| steps.contestant == name && steps.threads == threads);
    let steps = steps.filter(|steps| steps.workload.ends_with(BF16) == is_short);
    let ratio = |own: f64, other: f64| (own > 0.0 && other > 0.0).then_some(other / own);
    let ratios: Vec<_> = steps
        .filter_map(|steps| {
            let own = results.of(&steps.workload, threads, "Rekindle")?;
            Some((steps.workload.as_str(), ratio(own.microseconds, steps.microseconds)?))
        })
        .collect();
    (!ratios.is_empty()).then_some(ratios)
}

fn told(ratios: &[(&str, f64)]) -> Option<String> {
    let (workload, worst) = ratios.iter().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let workload = workload.strip_suffix(BF16).unwrap_or(workload);
    Some(format!("{} ({}, {workload})", times(geometric_mean(ratios.iter().map(|(_, ratio)| *ratio))), times(*worst)))
}

/// The geometric mean of positive numbers.
pub fn geometric_mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = numbers.len() as f64;
    (numbers.map(f64::ln).sum::<f64>() / count).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::steps;

    #[test]
    fn each_processor_has_the_mean_and_the_worst_of_each_contestant_by_type_of_numbers() {
        let mut results = Results { device: "cpu".to_owned(), ..Results::default() };
        results.conditions.processor = "AMD EPYC".to_owned();
        results.conditions.cores = 2;
        for (workload, own, torch) in [("W1", 10.0, 40.0), ("W2", 10.0, 10.0), ("W2-bf16", 4.0, 3.0)] {
            results.steps.push(steps(workload, "Rekindle", own));
            results.steps.push(steps(workload, "PyTorch eager", torch));
        }
        results.steps.push(steps("W1", "burn", 30.0));
        let text = table(&[results]);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| AMD EPYC, 2 cores | 2 threads, f32 | 2.00× (1.00×, W2) | – | – | 3.00× (3.00×, W1) |",
                "| AMD EPYC, 2 cores | 2 threads, bf16 | 0.75× (0.75×, W2) | – | – | – |",
            ]
        );
    }
}
