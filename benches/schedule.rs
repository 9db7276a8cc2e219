//! Cost of a rate. `cargo bench --bench schedule`; the conditions are printed first, because the numbers mean nothing
//! without them.
//!
//! One rate should take at most 25 ns on a quiet machine, at any `t`.

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rekindle::schedule::{RunLength, Schedule, Scheduler};

const RUN: RunLength = RunLength { total_steps: Some(10_000), steps_per_epoch: 100 };

fn scheduler(text: &str, groups: u16) -> Scheduler {
    let schedule: Schedule = text.parse().expect("the text is a schedule");
    let base_lrs = (1..=groups).map(|group| 1e-3 * f64::from(group)).collect();
    Scheduler::new(schedule, base_lrs, RUN).expect("the run can follow it")
}

/// Other load that may have slowed the measurement down.
fn conditions(_: &mut Criterion) {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("processor{}, {cores} cores", model.trim_start());
    println!("load before: {}", read("/proc/loadavg").trim());
}

/// One rate of one group, by kind. A cosine of the standard library is measured beside them, because on a busy machine
/// it is slow too.
fn rate(c: &mut Criterion) {
    let mut group = c.benchmark_group("rate");
    group.bench_function("(f64::cos alone)", |b| b.iter(|| black_box(2.2f64).cos()));
    let schedules = [
        ("cosine", "cosine(10000)"),
        ("step", "step(30)"),
        ("exponential", "exponential(0.999)"),
        ("warmup then cosine", "warmup(500) -> cosine(9500, eta_min=1e-5)"),
        ("cosine_restarts", "cosine_restarts(10, t_mult=2)"),
        ("expr", "expr(\"base * 0.5^(t/100)\")"),
    ];
    for (name, text) in schedules {
        let plan = text.parse::<Schedule>().and_then(|schedule| schedule.plan(&RUN, 1)).expect("it can be followed");
        group.bench_function(name, |b| b.iter(|| plan.rate(black_box(7000), black_box(1e-3), 0)));
    }
}

/// The same rate early and late: its cost does not depend on `t`.
fn early_and_late(c: &mut Criterion) {
    let mut group = c.benchmark_group("cosine, after=\"cycle\"");
    let schedule: Schedule = "cosine(1000, after=\"cycle\")".parse().expect("the text is a schedule");
    let plan = schedule.plan(&RUN, 1).expect("the run can follow it");
    for (name, t) in [("t = 10", 10u64), ("t = 10^12", 1_000_000_000_000)] {
        group.bench_function(name, |b| b.iter(|| plan.rate(black_box(t), black_box(1e-3), 0)));
    }
}

/// The schedule's part of a training step: read the rates of all groups, advance, report.
fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("a step of 100 groups");
    for text in ["cosine(10000)", "warmup(500) -> cosine(9500, eta_min=1e-5)", "plateau()"] {
        let mut scheduler = scheduler(text, 100);
        let mut rates = Vec::new();
        group.bench_function(text, |b| {
            b.iter(|| {
                scheduler.rates_into(&mut rates);
                scheduler.advance();
                if scheduler.wants_metric() {
                    scheduler.report(black_box(0.5));
                }
                black_box(rates.last().copied())
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = conditions, rate, early_and_late, step
}
criterion_main!(benches);
