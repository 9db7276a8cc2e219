//! The steps on a GPU: as a share of the rate at which it multiplies matrices, launches, and the targets.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::contestant::Contestant;
use crate::programs::Programs;
use crate::results::{Results, Steps};
use crate::table::{microseconds, times};
use crate::workload::{BF16, Workload};

/// The size of the matrices whose product is the measure.
const SIZE: usize = 8192;

const PATIENCE: Duration = Duration::from_secs(120);

/// The least speed beside `torch.compile` that a workload should have.
const TARGETS: [(&str, f64); 5] = [("W1", 1.0), ("W2", 1.0), ("W3", 1.0), ("W4", 1.0), ("GPT-124M", 0.9)];

/// The most that a save every 100 steps may cost, in percent.
const SAVES: f64 = 1.0;

/// Measures the rate of products in each type of the workloads.
pub fn measure_products(programs: &Programs, results: &mut Results) {
    for dtype in ["f32", "bf16"] {
        let rate = programs.product(SIZE, dtype).and_then(|mut contestant| {
            let answer = contestant.answer(PATIENCE)?;
            answer["operations_per_second"].as_f64().with_context(|| format!("no rate in {answer}"))
        });
        match rate {
            Ok(rate) => drop(results.rates.insert(dtype.to_owned(), rate)),
            Err(error) => results.leave_out(&format!("a product in {dtype}"), "Rekindle", &format!("{error:#}")),
        }
    }
}

/// Asks how many kernels a step launches.
pub fn launches(contestant: &mut Contestant) -> Result<f64> {
    let answer = contestant.ask("launches", PATIENCE)?;
    answer["launches"].as_f64().with_context(|| format!("no number in {answer}"))
}

/// The name of a measurement of runs with saves.
pub fn saves(workload: &str, every: usize) -> String {
    format!("steps/s lost to a save every {every} steps, {workload}")
}

/// The steps on a GPU, and whether the targets are met; nothing for the CPU.
pub fn report(results: &Results) -> String {
    if results.device == "cpu" {
        return String::new();
    }
    let mut text = format!("On {}:\n\n", results.device);
    for (dtype, rate) in &results.rates {
        let _ = writeln!(text, "- a product of {SIZE}×{SIZE} in {dtype}: {:.1} TFLOP/s", rate / 1e12);
    }
    text +=
        "\n| | | step | in steps of Rekindle | of the rate of products | launches |\n|---|---|---:|---:|---:|---:|\n";
    for steps in &results.steps {
        let own = results.of(&steps.workload, steps.threads, "Rekindle");
        let ratio = own.map_or("–".to_owned(), |own| times(steps.microseconds / own.microseconds));
        let share = share(results, steps).map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let launches = steps.launches.map_or("–".to_owned(), |launches| format!("{launches:.0}"));
        let (name, time) = (&steps.contestant, microseconds(steps.microseconds));
        let _ = writeln!(text, "| {} | {name} | {time} µs | {ratio} | {share} | {launches} |", steps.workload);
    }
    text += "\nRekindle counts the launches of its own kernels; those of Candle and cuBLAS are not among them. PyTorch's \
             are all kernels that its profiler saw in a step.\n\n";
    text + &targets(results) + "\n"
}

/// The share of the measured rate of products at which a step does its minimal work.
fn share(results: &Results, steps: &Steps) -> Option<f64> {
    let is_short = steps.workload == "GPT-124M" || steps.workload.ends_with(BF16);
    let dtype = if is_short { "bf16" } else { "f32" };
    let rate = results.rates.get(dtype)?;
    Some(Workload::named(&steps.workload).ok()?.operations() / (steps.microseconds / 1e6) / rate)
}

/// A line for each target: met, missed, or not measured.
fn targets(results: &Results) -> String {
    let mut text = String::new();
    let mut line = |what: &str, met: Option<(bool, String)>| {
        let told = match met {
            Some((true, found)) => format!("met: {found}"),
            Some((false, found)) => format!("MISSED: {found}"),
            None => "not measured".to_owned(),
        };
        let _ = writeln!(text, "- target, {what}: {told}");
    };
    for (workload, least) in TARGETS {
        let find = |name: &str| results.steps.iter().find(|s| s.workload == workload && s.contestant == name);
        let speed = find("Rekindle").zip(find("torch.compile"));
        let speed = speed.map(|(own, other)| other.microseconds / own.microseconds);
        let what = format!("{workload} at {least:.1} times the speed of torch.compile or more");
        line(&what, speed.map(|speed| (speed >= least, times(speed))));
    }
    let saves = saves("GPT-124M", 100);
    let lost = results.figures.iter().find(|figure| figure.what == saves && figure.contestant == "Rekindle");
    let lost = lost.map(|figure| (figure.value <= SAVES, format!("{:.1} %", figure.value)));
    line("at most 1 % for a save every 100 steps of GPT-124M", lost);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results;

    fn steps(workload: &str, contestant: &str, microseconds: f64, launches: Option<f64>) -> Steps {
        Steps { launches, ..results::tests::steps(workload, contestant, microseconds) }
    }

    fn results() -> Results {
        let mut results = Results { device: "cuda".to_owned(), ..Results::default() };
        results.rates.insert("f32".to_owned(), 5e13);
        results.rates.insert("bf16".to_owned(), 7e14);
        results.steps.push(steps("W2", "Rekindle", 200.0, Some(31.0)));
        results.steps.push(steps("W2", "torch.compile", 300.0, None));
        results.steps.push(steps("GPT-124M", "Rekindle", 50_000.0, Some(412.0)));
        results.steps.push(steps("GPT-124M", "torch.compile", 40_000.0, Some(300.0)));
        results.add(&saves("GPT-124M", 100), "Rekindle", "%", vec![0.4]);
        results
    }

    #[test]
    fn a_report_has_the_share_of_the_rate_the_launches_and_the_targets() {
        let text = report(&results());
        for line in [
            "- a product of 8192×8192 in bf16: 700.0 TFLOP/s",
            "| W2 | Rekindle | 200 µs | 1.00× | 49.0 % | 31 |",
            "| W2 | torch.compile | 300 µs | 1.50× | 32.6 % | – |",
            "| GPT-124M | torch.compile | 40,000 µs | 0.80× | 25.0 % | 300 |",
            "- target, W2 at 1.0 times the speed of torch.compile or more: met: 1.50×",
            "- target, GPT-124M at 0.9 times the speed of torch.compile or more: MISSED: 0.80×",
            "- target, W1 at 1.0 times the speed of torch.compile or more: not measured",
            "- target, at most 1 % for a save every 100 steps of GPT-124M: met: 0.4 %",
        ] {
            assert!(text.lines().any(|found| found == line), "`{line}` is not in:\n{text}");
        }
        assert!(text.contains("those of Candle and cuBLAS are not among them"), "{text}");
    }

    #[test]
    fn a_product_that_was_not_measured_leaves_a_dash() {
        let mut results = results();
        results.rates.clear();
        assert!(report(&results).contains("| W2 | Rekindle | 200 µs | 1.00× | – | 31 |"));
    }

    #[test]
    fn the_cpu_has_no_such_report() {
        assert_eq!(report(&Results { device: "cpu".to_owned(), ..results() }), "");
    }

    #[test]
    fn operations_are_those_of_the_documentation() {
        let billions = |workload: &str| (Workload::named(workload).unwrap().operations() / 1e8).round() / 10.0;
        assert_eq!(["W2", "W3", "W4", "W5", "W6", "W7"].map(billions), [4.9, 4.6, 4.0, 145.3, 11.9, 29.1]);
        // 8,192 tokens with 6 for each weight of a product, and attention.
        assert_eq!(billions("GPT-124M"), 7001.3);
    }
}
