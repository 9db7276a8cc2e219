//! Rekindle in the bench of `benches/versus`: one process that trains a workload, or saves and loads, on request.
//!
//! `write FOLDER` writes the start of each workload and the data of a run to resume, `steps W2` trains and answers,
//! `storage 300` saves and loads 300 MB, and `count W2 4` makes four steps and no more, for counting instructions; W2
//! has 32 rows then.

#[path = "../../src/bin/train/memory.rs"]
mod memory;
#[path = "../versus/protocol.rs"]
mod protocol;
mod start;
mod steps;
mod storage;

use std::path::Path;

use rekindle::checkpoint::WrittenBy;
use start::Start;
use steps::Training;
use storage::Stored;

/// Rows of W2 for counting instructions: an emulated processor takes a minute for a product of 512 rows.
const COUNTED_ROWS: usize = 32;

fn main() {
    // SAFETY: no other thread exists yet that could read the environment. `train` does the same.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    memory::keep_freed();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", folder] => {
            for name in start::NAMES {
                let path = Path::new(folder).join(name).with_extension("safetensors");
                Start::of(name).and_then(|start| start.write(&path)).expect("the start is written");
            }
            let data = Path::new(folder).join("data.safetensors");
            Start::of("W2").and_then(|start| start.write_one_batch(&data)).expect("the data is written");
        }
        ["steps", workload] => serve(workload),
        ["storage", megabytes] => {
            let mut stored = Stored::new(megabytes.parse().expect("a number of megabytes"));
            protocol::answer(&format!("{{\"version\": \"{}\", \"bytes\": {}}}", version(), stored.bytes()));
            protocol::each_request(&mut |words| match words {
                [request @ ("save" | "load" | "restore"), folder] => {
                    format!("{{\"seconds\": {}}}", stored.time(request, folder))
                }
                other => unknown(other),
            });
        }
        ["count", workload, steps] => {
            let mut training = training(workload, Start::of_size(workload, 1, COUNTED_ROWS));
            for _ in 0..steps.parse().expect("a number of steps") {
                training.step();
            }
            println!("{}", WrittenBy::this_build("cpu").cpu_features.join(" "));
        }
        _ => {
            eprintln!("usage: workloads write FOLDER | steps WORKLOAD | storage MEGABYTES | count WORKLOAD STEPS");
            std::process::exit(2);
        }
    }
}

fn serve(workload: &str) {
    let training = std::cell::RefCell::new(training(workload, Start::of(workload)));
    protocol::serve(&version(), &mut || training.borrow_mut().step(), &mut |words| match words {
        ["run", steps, every, folder] => {
            let number = |word: &str| word.parse().expect("a number");
            let seconds = storage::time_steps(&mut training.borrow_mut(), number(steps), number(every), folder);
            format!("{{\"seconds\": {seconds}}}")
        }
        other => unknown(other),
    });
}

fn training(workload: &str, start: candle_core::Result<Start>) -> Training {
    start.map_err(Into::into).and_then(|start| Training::new(workload, &start)).unwrap_or_else(|error| {
        eprintln!("Rekindle has no {workload}: {error}");
        std::process::exit(3)
    })
}

fn version() -> String {
    let written_by = WrittenBy::this_build("cpu");
    format!("{} (candle {}; {})", written_by.rekindle, written_by.candle, written_by.cpu_features.join(" "))
}

fn unknown(words: &[&str]) -> String {
    panic!("there is no request {words:?}")
}
