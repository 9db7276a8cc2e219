//! Rekindle in the bench of `benches/versus`: one process that trains a workload, or saves and loads, on request.
//!
//! `write FOLDER W2 W4` writes the start of workloads, and the data of a run to resume. `steps W2 cuda` trains on a
//! device, by default the CPU, and answers. `storage 300` saves and loads 300 MB. `count W2 4` makes four steps and no
//! more, for counting instructions, with a smaller model or batch. `product 8192 bf16 cuda` tells how fast a device
//! multiplies matrices.

#[path = "../../src/bin/train/memory.rs"]
mod memory;
mod product;
#[path = "../versus/protocol.rs"]
mod protocol;
mod start;
mod steps;
mod storage;
mod workload;

use std::path::Path;

use candle_core::Device;
use rekindle::checkpoint::WrittenBy;
use rekindle::train::Config;
use start::Start;
use steps::Training;
use storage::Stored;
use workload::Workload;

fn main() {
    // SAFETY: no other thread exists yet that could read the environment. `train` does the same.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    memory::keep_freed();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", folder, ref names @ ..] => {
            for workload in names.iter().map(|name| named(name)) {
                let path = Path::new(folder).join(format!("{}.safetensors", workload.base));
                Start::of(&workload).and_then(|start| start.write(&path)).expect("the start is written");
            }
            let data = Path::new(folder).join("data.safetensors");
            Start::of(&named("W2")).and_then(|start| start.write_one_batch(&data)).expect("the data is written");
        }
        ["steps", workload] => serve(workload, "cpu"),
        ["steps", workload, device] => serve(workload, device),
        ["product", size, dtype, device] => {
            let size = size.parse().expect("a number of rows");
            let rate = product::rate(size, dtype, &open(device)).unwrap_or_else(|error| refuse(&error.to_string()));
            protocol::answer(&format!("{{\"version\": \"{}\", \"operations_per_second\": {rate:e}}}", version()));
        }
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
            let mut training = training(&named(workload).counted(), "cpu");
            for _ in 0..steps.parse().expect("a number of steps") {
                training.step();
            }
            println!("{}", WrittenBy::this_build("cpu").cpu_features.join(" "));
        }
        _ => {
            eprintln!(
                "usage: workloads write FOLDER WORKLOAD… | steps WORKLOAD [DEVICE] | storage MEGABYTES | count \
                 WORKLOAD STEPS | product SIZE TYPE DEVICE"
            );
            std::process::exit(2);
        }
    }
}

fn serve(workload: &str, device: &str) {
    let training = std::cell::RefCell::new(training(&named(workload), device));
    protocol::serve(&version(), &mut || training.borrow_mut().step(), &mut |words| match words {
        ["run", steps, every, folder] => {
            let number = |word: &str| word.parse().expect("a number");
            let seconds = storage::time_steps(&mut training.borrow_mut(), number(steps), number(every), folder);
            format!("{{\"seconds\": {seconds}}}")
        }
        ["launches"] => {
            let before = rekindle::kernel_launches();
            training.borrow_mut().step();
            format!("{{\"launches\": {}}}", rekindle::kernel_launches() - before)
        }
        other => unknown(other),
    });
}

fn named(workload: &str) -> Workload {
    Workload::named(workload).unwrap_or_else(|reason| refuse(&reason))
}

fn training(workload: &Workload, device: &str) -> Training {
    let device = open(device);
    let training = Start::of(workload).map_err(Into::into).and_then(|start| Training::new(workload, &start, &device));
    // `train` does the same.
    memory::return_freed();
    training.unwrap_or_else(|error| refuse(&format!("Rekindle has no {}: {error}", workload.base)))
}

/// Opens a device as `train` does.
fn open(name: &str) -> Device {
    let rest = "data = { path = 'none' }\nmodel = { kind = 'mlp' }\noptimizer = { kind = 'sgd', lr = 0.1 }";
    let config = format!("device = {name:?}\n{rest}\ntrain = {{ steps = 1 }}");
    let config = toml::from_str::<Config>(&config).expect("the least that a configuration has");
    config.open_device().unwrap_or_else(|error| refuse(&error.to_string()))
}

/// Ends the process; the last line of stderr says why.
fn refuse(reason: &str) -> ! {
    eprintln!("{}", reason.lines().next().unwrap_or_default());
    std::process::exit(3)
}

fn version() -> String {
    let written_by = WrittenBy::this_build("cpu");
    format!("{} (candle {}; {})", written_by.rekindle, written_by.candle, written_by.cpu_features.join(" "))
}

fn unknown(words: &[&str]) -> String {
    panic!("there is no request {words:?}")
}
