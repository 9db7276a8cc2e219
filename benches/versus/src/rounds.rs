//! The time of a step: all contestants of a workload at once, in turns.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::Arguments;
use crate::conditions::Conditions;
use crate::contestant::Contestant;
use crate::on_gpu;
use crate::programs::{CONTESTANTS, Programs};
use crate::results::{Results, Steps, median};

/// Time to get ready; `torch.compile` compiles meanwhile.
const READY: Duration = Duration::from_secs(600);

/// Pause between two turns, so that threads of the last one are asleep.
const PAUSE: Duration = Duration::from_millis(200);

/// A measurement of a workload with a number of threads.
pub struct Turns<'a> {
    pub workload: &'a str,
    pub threads: usize,
    /// Those that take part, by their names as arguments.
    pub contestants: &'a [String],
    /// Number of turns of each.
    pub rounds: usize,
    /// Length of a turn.
    pub seconds: f64,
    /// Number of first steps whose losses are told; by default the protocol's.
    pub told: Option<usize>,
}

/// Measures a workload with every number of threads.
pub fn measure(
    workload: &str,
    arguments: &Arguments,
    programs: &Programs,
    conditions: &mut Conditions,
    results: &mut Results,
) -> Result<()> {
    let mut contestants = vec!["rekindle".to_owned()];
    contestants.extend(arguments.contestants.iter().cloned());
    for &threads in &arguments.threads {
        let turns = Turns {
            workload,
            threads,
            contestants: &contestants,
            rounds: arguments.rounds,
            seconds: arguments.seconds,
            told: None,
        };
        let steps = in_turns(&turns, programs, conditions, results)?;
        results.steps.extend(steps);
    }
    Ok(())
}

/// Starts all contestants, and gives each its turn in every round.
pub fn in_turns(
    turns: &Turns<'_>,
    programs: &Programs,
    conditions: &mut Conditions,
    results: &mut Results,
) -> Result<Vec<Steps>> {
    let &Turns { workload, threads, rounds, seconds, .. } = turns;
    let mut taking_part = Vec::new();
    for (choice, name) in CONTESTANTS {
        if !turns.contestants.iter().any(|contestant| contestant == choice) {
            continue;
        }
        match start(programs, choice, name, turns, results) {
            Ok(contestant) => taking_part.extend(contestant),
            Err(error) => results.leave_out(workload, name, &format!("{error:#}")),
        }
    }
    for round in 0..rounds {
        eprintln!("{workload}, {threads} threads, round {} of {rounds}", round + 1);
        // In alternating order, so that no contestant always follows the same other one.
        if round > 0 {
            taking_part.reverse();
        }
        taking_part.retain_mut(|(contestant, steps)| {
            conditions.sample(PAUSE);
            let done = turn(contestant, seconds, steps);
            done.inspect_err(|error| results.leave_out(workload, &steps.contestant, &format!("{error:#}"))).is_ok()
        });
    }
    let measured = taking_part.into_iter().map(|(mut contestant, mut steps)| {
        steps.microseconds = median(&steps.rounds);
        if results.device != "cpu" {
            steps.launches = on_gpu::launches(&mut contestant).ok();
        }
        steps
    });
    Ok(measured.collect())
}

fn start(
    programs: &Programs,
    choice: &str,
    name: &str,
    turns: &Turns<'_>,
    results: &mut Results,
) -> Result<Option<(Contestant, Steps)>> {
    let Some(mut contestant) = programs.steps(choice, turns.workload, turns.threads, turns.told)? else {
        return Ok(None);
    };
    let ready = contestant.answer(READY)?;
    let version = ready["version"].as_str().unwrap_or_default().to_owned();
    results.versions.insert(name.to_owned(), version);
    let steps = Steps {
        workload: turns.workload.to_owned(),
        threads: turns.threads,
        contestant: name.to_owned(),
        microseconds: f64::NAN,
        rounds: Vec::new(),
        peak_megabytes: 0.0,
        launches: None,
        losses: numbers(&ready["losses"]),
    };
    Ok(Some((contestant, steps)))
}

/// One turn of one contestant.
fn turn(contestant: &mut Contestant, seconds: f64, steps: &mut Steps) -> Result<()> {
    let patience = Duration::from_secs_f64(60.0 + 20.0 * seconds);
    let answer = contestant.ask(&format!("time {seconds}"), patience)?;
    steps.rounds.push(median(&numbers(&answer["microseconds"])));
    steps.peak_megabytes = answer["peak_kilobytes"].as_f64().context("no peak memory was told")? / 1000.0;
    Ok(())
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}
