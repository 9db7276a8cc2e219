//! Results as tables in Markdown.

use std::fmt::Write as _;

use crate::on_gpu;
use crate::programs::CONTESTANTS;
use crate::results::{Figure, Results, Steps};

/// Descriptions of the workloads.
pub const WORKLOADS: [(&str, &str); 5] = [
    ("W1", "MLP 10-32-1, 512 rows, SGD"),
    ("W2", "MLP 784-1024-1024-10, 512 rows, AdamW"),
    ("W3", "ConvNet, 64 images of 28×28, AdamW"),
    ("W4", "GPT, 4 layers of width 128, 12×64 tokens, AdamW"),
    ("GPT-124M", "GPT, 12 layers of width 768, 8×1024 tokens, AdamW"),
];

/// All tables and the conditions.
pub fn full(results: &Results) -> String {
    let rounds = "The median of each round, in microseconds, and the loss at the first step and the 20th:\n\n";
    format!("{}\n{rounds}{}", brief(results), every_round(results))
}

/// One line of ratios for the README: the smallest and the largest over the workloads, with most threads.
pub fn ratios(results: &Results) -> String {
    let Some(&threads) = thread_counts(results).first() else { return String::new() };
    let ratios = |name: &str| -> Vec<f64> {
        let own = |steps: &Steps| results.of(&steps.workload, threads, "Rekindle").map(|own| own.microseconds);
        let all = results.steps.iter().filter(|steps| steps.contestant == name && steps.threads == threads);
        all.filter_map(|steps| Some(steps.microseconds / own(steps)?)).collect()
    };
    let others = CONTESTANTS.iter().map(|(_, name)| *name).filter(|name| *name != "Rekindle");
    let others = others.filter_map(|name| {
        let ratios = ratios(name);
        let (least, most) = (ratios.iter().copied().reduce(f64::min)?, ratios.iter().copied().reduce(f64::max)?);
        Some(format!("{} to {} as long in {name}", times(least), times(most)))
    });
    let others = others.collect::<Vec<_>>().join(", ");
    format!("A training step on {threads} threads takes {others} ({}).\n", results.conditions.processor)
}

/// The tables and the conditions.
pub fn brief(results: &Results) -> String {
    let mut text = String::new();
    for threads in thread_counts(results) {
        let plural = if threads == 1 { "" } else { "s" };
        let cell = |own: f64, steps: &Steps| {
            format!("{} ({})", microseconds(steps.microseconds), times(steps.microseconds / own))
        };
        let _ = writeln!(
            text,
            "Microseconds per step, {threads} thread{plural}; in brackets how many times as long as Rekindle:\n"
        );
        text += &by_workload(results, threads, |steps| steps.microseconds, cell);
        text.push('\n');
    }
    if let Some(threads) = thread_counts(results).first() {
        let _ = writeln!(text, "Peak memory of the process in MB, {threads} thread(s):\n");
        let cell = |_: f64, steps: &Steps| format!("{:.0}", steps.peak_megabytes);
        text += &by_workload(results, *threads, |steps| steps.peak_megabytes, cell);
        text.push('\n');
    }
    text += &on_gpu::report(results);
    text += &other_figures(results);
    text += &differences(results);
    for absent in &results.absent {
        let _ = writeln!(text, "Left out of {}: {}: {}\n", absent.what, absent.contestant, absent.why);
    }
    text + &conditions(results)
}

fn thread_counts(results: &Results) -> Vec<usize> {
    let mut counts: Vec<usize> = Vec::new();
    for steps in &results.steps {
        if !counts.contains(&steps.threads) {
            counts.push(steps.threads);
        }
    }
    counts
}

/// A row for each workload, a column for each contestant.
fn by_workload(
    results: &Results,
    threads: usize,
    value: impl Fn(&Steps) -> f64,
    cell: impl Fn(f64, &Steps) -> String,
) -> String {
    let names: Vec<&str> = CONTESTANTS.iter().map(|(_, name)| *name).collect();
    let names: Vec<&str> =
        names.into_iter().filter(|name| results.steps.iter().any(|s| s.contestant == *name)).collect();
    let mut text = header("", &names);
    for (workload, what) in WORKLOADS {
        let of = |name: &str| results.of(workload, threads, name);
        if names.iter().all(|name| of(name).is_none()) {
            continue;
        }
        let own = of("Rekindle").map_or(f64::NAN, &value);
        let cells = names.iter().map(|name| match of(name) {
            Some(steps) if *name == "Rekindle" => cell(own, steps).split(" (").next().unwrap_or_default().to_owned(),
            Some(steps) => cell(own, steps),
            None => "–".to_owned(),
        });
        let _ = writeln!(text, "| {workload}: {what} | {} |", cells.collect::<Vec<_>>().join(" | "));
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
    for steps in &results.steps {
        let Some(own) = results.of(&steps.workload, steps.threads, "Rekindle") else { continue };
        // Dropout masks differ between contestants, so W3's losses agree only on average.
        let largest = if steps.workload == "W3" {
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
