//! Cost of the writers of a run: `cargo bench --bench sinks`.
//!
//! The digits run and that of a GPT on text, each with nothing but `log.jsonl`, which a resume needs, and with all
//! others too: console, TensorBoard and JSON lines. They take turns, so that another program on the machine slows both; the
//! ratio of their speeds should be above 0.99. `SECONDS` is the time of a run, `TURNS` the number of them. With `ONE=bare`
//! or `ONE=all`, and `EXAMPLE`, a single run is made, whose instructions can then be counted:
//!
//! ```sh
//! for sinks in bare all; do ONE=$sinks EXAMPLE=digits.toml perf stat -e instructions:u "$BENCH"; done
//! ```
//!
//! Where the processor's counters are not available, `valgrind --tool=callgrind` counts them, and `strace -f -c` the
//! system calls, of which no sink makes one in each step.

use std::path::Path;
use std::time::Instant;

use rekindle::train::{Console, Control, JsonLines, Records, Run, Setting, Sink, Sinks, from_file};

/// The examples, with the number of steps of a run in a second, which is then measured.
const EXAMPLES: [(&str, u64); 2] = [("digits.toml", 400), ("text.toml", 20)];

fn main() {
    let number =
        |name: &str, usual: u64| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual);
    if let Ok(one) = std::env::var("ONE") {
        let example = std::env::var("EXAMPLE").unwrap_or_else(|_| EXAMPLES[0].0.to_owned());
        let (speed, took) = speed(&example, number("STEPS", 1000), one == "all");
        return println!("{example} with {one}: {speed:.1} steps/s in {took:.2} s");
    }
    let (seconds, turns) = (number("SECONDS", 2), number("TURNS", 9));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{cores} cores, load before: {}", load.trim());
    for (example, steps) in EXAMPLES {
        let (found, _) = speed(example, steps, false);
        let steps = (found * seconds as f64).ceil() as u64;
        let (mut bare, mut all) = (Vec::new(), Vec::new());
        for turn in 0..turns {
            // Each is the first one in every second turn.
            let order = if turn % 2 == 0 { [false, true] } else { [true, false] };
            for with_all in order {
                let (speed, _) = speed(example, steps, with_all);
                if with_all { all.push(speed) } else { bare.push(speed) }
            }
        }
        let ratios: Vec<f64> = all.iter().zip(&bare).map(|(all, bare)| all / bare).collect();
        let (bare, all, pairs) = (median(bare), median(all), median(ratios));
        println!(
            "{example}: {bare:.1} steps/s with log.jsonl, {all:.1} with all, {steps} steps; ratio {:.4}, of pairs {pairs:.4}",
            all / bare
        );
    }
}

/// Returns the steps in a second, and the seconds.
fn speed(example: &str, steps: u64, with_all: bool) -> (f64, f64) {
    let settings = [format!("train.steps={steps}"), format!("log.tensorboard={with_all}")];
    let settings = settings.map(|text| Setting::parse(&text).expect("a setting"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let config = from_file(&path, &settings).expect("an example");
    let mut run = Run::start(config, &folder.path().join("run"), Control::new()).expect("a run");
    let lines = std::fs::File::create(folder.path().join("lines")).expect("a file");
    let (mut console, mut lines, mut nothing) = (Console::new(), JsonLines::new(lines, Records::Steps), ());
    let mut all = Sinks(vec![&mut console, &mut lines]);
    let sink: &mut dyn Sink = if with_all { &mut all } else { &mut nothing };
    let (began, steps) = (Instant::now(), run.session().total_steps());
    run.train(sink).expect("training");
    let took = began.elapsed().as_secs_f64();
    (steps as f64 / took, took)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
