//! The contestant's side of the bench's protocol.
//!
//! A contestant is a separate process. It prints one line of JSON when it is ready, and one for each request, a line of
//! words, until there are no more. `time 0.5` asks for steps during half a second.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write as _};
use std::time::{Duration, Instant};

/// Number of first losses that a ready contestant reports, to check that all contestants train the same; the variable
/// `VERSUS_TOLD` asks for another.
const TOLD: usize = 20;

/// Minimal warm-up time.
const WARM_UP: Duration = Duration::from_secs(1);

/// Trains until everything is warm, reports it, and answers requests until there are no more. `other` answers requests
/// other than `time`.
pub fn serve(version: &str, step: &mut dyn FnMut() -> f32, other: &mut dyn FnMut(&[&str]) -> String) {
    let began = Instant::now();
    let told = std::env::var("VERSUS_TOLD").ok().and_then(|number| number.parse().ok()).unwrap_or(TOLD);
    let losses: Vec<f32> = (0..told).map(|_| step()).collect();
    while began.elapsed() < WARM_UP {
        step();
    }
    answer(&format!("{{\"version\": \"{version}\", \"losses\": {losses:?}}}"));
    each_request(&mut |words| match words {
        ["time", seconds] => time(seconds.parse().expect("a number of seconds"), step),
        words => other(words),
    });
}

/// Answers requests until there are none.
pub fn each_request(respond: &mut dyn FnMut(&[&str]) -> String) {
    for line in io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        let words: Vec<&str> = line.split_whitespace().collect();
        answer(&respond(&words));
    }
}

/// Prints a line of JSON.
pub fn answer(json: &str) {
    let mut stdout = io::stdout();
    writeln!(stdout, "{json}").and_then(|()| stdout.flush()).expect("the bench listens");
}

/// Returns the time of each step in microseconds, for steps that take `seconds` together.
fn time(seconds: f64, step: &mut dyn FnMut() -> f32) -> String {
    let mut times = String::new();
    let began = Instant::now();
    let loss = loop {
        let before = Instant::now();
        let loss = step();
        let _ = write!(times, "{:.1}", before.elapsed().as_secs_f64() * 1e6);
        if began.elapsed().as_secs_f64() >= seconds {
            break loss;
        }
        times.push_str(", ");
    };
    assert!(loss.is_finite(), "the loss is {loss}");
    format!("{{\"microseconds\": [{times}], \"loss\": {loss}, \"peak_kilobytes\": {}}}", peak_kilobytes())
}

/// Returns the peak memory of this process; 0 if the system does not report it.
fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    peak.split_whitespace().next().and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or_default()
}
