//! Results as tables in Markdown.

use std::fmt::Write as _;

use crate::on_gpu;
use crate::programs::CONTESTANTS;
use crate::results::{Figure, Results, Steps};
use crate::sizes;
use crate::workload::BF16;

/// Descriptions of the workloads of f32.
const WORKLOADS: [(&str, &str); 8] = [
    ("W1", "MLP 10-32-1, 512 rows, SGD"),
    ("W2", "MLP 784-1024-1024-10, 512 rows, AdamW"),
    ("W3", "ConvNet, 64 images of 28×28, AdamW"),
    ("W4", "GPT, 4 layers of width 128, 12×64 tokens, AdamW"),
    ("W5", "GPT, 6 layers of width 384, 8×256 tokens, AdamW, clipped"),
    ("W6", "ResNet-20, 64 images of 28×28, AdamW"),
    ("W7", "MLP 784-4096-4096-10, 256 rows, AdamW, clipped"),
    ("GPT-124M", "GPT, 12 layers of width 768, 8×1024 tokens, AdamW"),
];

/// Names and descriptions of all workloads: those of f32, and then those of bf16.
pub fn workloads() -> impl Iterator<Item = (String, String)> {
    let named = |end: &'static str| {
        WORKLOADS.iter().map(move |(name, what)| (format!("{name}{end}"), format!("{name}{end}: {what}")))
    };
    named("").chain(named(BF16))
}

/// All tables and the conditions.
pub fn full(results: &Results) -> String {
    let rounds = "The median of each round, in microseconds, and the loss at the first step and the 20th:\n\n";
    format!("{}\n{rounds}{}", brief(results), every_round(results))
}

/// The tables and the conditions.
pub fn brief(results: &Results) -> String {
    let mut text = String::new();
    let counts = thread_counts(results);
    for &threads in &counts {
        let plural = if threads == 1 { "" } else { "s" };
        let _ = writeln!(
            text,
            "Microseconds per step, {threads} thread{plural}; in brackets how many times as long as Rekindle:\n"
        );
        text += &by_workload(results, threads, |steps| {
            let time = microseconds(steps.microseconds);
            match results.of(&steps.workload, threads, "Rekindle") {
                Some(own) if steps.contestant != "Rekindle" => {
                    Some(format!("{time} ({})", times(steps.microseconds / own.microseconds)))
                }
                _ => Some(time),
            }
        });
        text.push('\n');
    }
    if let Some(&threads) = counts.first() {
        let _ = writeln!(text, "Peak memory of the process in MB, {threads} thread(s):\n");
        text += &by_workload(results, threads, |steps| Some(format!("{:.0}", steps.peak_megabytes)));
        text.push('\n');
        text += &comparison(results, threads, "Products in bf16, how many times as fast as in f32", |steps| {
            results.of(steps.workload.strip_suffix(BF16)?, threads, &steps.contestant)
        });
    }
    if let (Some(&most), Some(&least)) = (counts.iter().max(), counts.iter().min().filter(|_| counts.len() > 1)) {
        let title = format!("{most} threads, how many times as fast as {least}");
        text += &comparison(results, most, &title, |steps| results.of(&steps.workload, least, &steps.contestant));
    }
    text += &on_gpu::report(results);
    text += &sizes::table(results);
    text += &other_figures(results);
    text += &differences(results);
    for absent in &results.absent {
        let _ = writeln!(text, "Left out of {}: {}: {}\n", absent.what, absent.contestant, absent.why);
    }
    text + &conditions(results)
}

/// A table of how many times as fast steps are as others of the same contestant; nothing if there are no others.
fn comparison<'a>(
    results: &Results,
    threads: usize,
    title: &str,
    other: impl Fn(&Steps) -> Option<&'a Steps>,
) -> String {
    let cell = |steps: &Steps| Some(times(other(steps)?.microseconds / steps.microseconds));
    if !results.steps.iter().any(|steps| steps.threads == threads && cell(steps).is_some()) {
        return String::new();
    }
    let plural = if threads == 1 { "" } else { "s" };
    let place = if title.contains("thread") { String::new() } else { format!(", {threads} thread{plural}") };
    format!("{title}{place}:\n\n{}\n", by_workload(results, threads, cell))
}

/// Numbers of threads, in the order in which they were measured.
pub fn thread_counts(results: &Results) -> Vec<usize> {
    let mut counts: Vec<usize> = Vec::new();
    for steps in &results.steps {
        if !counts.contains(&steps.threads) {
            counts.push(steps.threads);
        }
    }
    counts
}

/// A row for each workload with a cell, a column for each contestant.
fn by_workload(results: &Results, threads: usize, cell: impl Fn(&Steps) -> Option<String>) -> String {
    let names: Vec<&str> = CONTESTANTS.iter().map(|(_, name)| *name).collect();
    let names: Vec<&str> =
        names.into_iter().filter(|name| results.steps.iter().any(|s| s.contestant == *name)).collect();
    let mut text = header("", &names);
    for (workload, what) in workloads() {
        let cells: Vec<Option<String>> =
            names.iter().map(|name| results.of(&workload, threads, name).and_then(&cell)).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".to_owned()));
            let _ = writeln!(text, "| {what} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
    }
    text
}

fn header(first: &str, names: &[&str]) -> String {
    format!("| {first} | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()))
}

/// Other results: a row for each kind, a column for each contestant.
fn other_figures(results: &Results) -> String {
    let unique = |value: fn(&Figure) -> &String| {
        let mut all: Vec<&str> = Vec::new();
        results.figures.iter().for_each(|figure| {
            if !all.contains(&value(figure).as_str()) {
                all.push(value(figure));
            }
        });
        all
    };
    let (whats, names) = (unique(|figure| &figure.what), unique(|figure| &figure.contestant));
    if whats.is_empty() {
        return String::new();
    }
    let mut text = header("", &names);
    for what in whats {
        let find = |name: &&str| results.figures.iter().find(|f| f.what == what && f.contestant == **name);
        let cells = names.iter().map(|name| find(name).map_or("–".to_owned(), amount));
        let _ = writeln!(text, "| {what} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text + "\n"
}

fn amount(figure: &Figure) -> String {
    match figure.unit.as_str() {
        "%" => format!("{:.1} %", figure.value),
        unit => format!("{:.3} {unit}", figure.value),
    }
}

/// Reports a contestant whose losses differ from Rekindle's, which means that it trains something else.
fn differences(results: &Results) -> String {
    let mut text = String::new();
    for steps in results.steps.iter().chain(&results.sizes) {
        let same = |own: &&Steps| own.workload == steps.workload && own.threads == steps.threads;
        let mut own = results.steps.iter().chain(&results.sizes).filter(|own| own.contestant == "Rekindle");
        let Some(own) = own.find(same) else { continue };
        // Dropout masks differ between contestants, so W3's losses agree only on average.
        let largest = if steps.workload.starts_with("W3") {
            let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
            (mean(&steps.losses) - mean(&own.losses)).abs() / mean(&own.losses) / 5.0
        } else {
            steps.losses.iter().zip(&own.losses).map(|(a, b)| (a - b).abs() / b).fold(0.0, f64::max)
        };
        if largest.is_nan() || largest > 0.02 {
            let (name, workload) = (&steps.contestant, &steps.workload);
            let _ =
                writeln!(text, "**{name} trains something else than Rekindle on {workload}**: compare the losses.\n");
        }
    }
    text
}

fn every_round(results: &Results) -> String {
    let mut text = header("", &["threads", "rounds", "first loss", "20th loss"]);
    for steps in &results.steps {
        let rounds: Vec<String> = steps.rounds.iter().map(|round| microseconds(*round)).collect();
        let loss = |loss: Option<&f64>| loss.map_or("–".to_owned(), |loss| format!("{loss:.5}"));
        let _ = writeln!(
            text,
            "| {} {} | {} | {} | {} | {} |",
            steps.workload,
            steps.contestant,
            steps.threads,
            rounds.join(" "),
            loss(steps.losses.first()),
            loss(steps.losses.last()),
        );
    }
    text
}

fn conditions(results: &Results) -> String {
    let told = &results.conditions;
    let versions = results.versions.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>();
    let gpu = if told.gpu.is_empty() { String::new() } else { format!("; GPU: {}", told.gpu.replace('\n', " and ")) };
    format!(
        "Measured {} on {} ({} cores, {} GB, {}{gpu}) at commit {} with {}. {}. Load averages {} before and {} after; while \
         the bench paused, others used {} % of the processors (median) and {} % at most.\n",
        told.date,
        told.processor,
        told.cores,
        told.memory_gigabytes,
        told.system,
        told.commit,
        told.rustc,
        versions.join("; "),
        told.load_before,
        told.load_after,
        told.busy_percent,
        told.most_busy_percent,
    )
}

/// With a comma between thousands.
pub fn microseconds(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn times(ratio: f64) -> String {
    format!("{ratio:.2}×")
}
