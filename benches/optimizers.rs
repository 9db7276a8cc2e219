//! Cost of an update by every rule, in nanoseconds per parameter, as the table of `docs/optimizers.md`:
//! `cargo bench --bench optimizers`, or with the names of some kinds behind `--`.
//!
//! With `REKINDLE_PYTHON`, a Python with PyTorch, the same update by its fused form, or by its foreach form where there is
//! no fused one, is measured in the same run: the two take turns. Packages beside PyTorch are measured if that Python has
//! them. `RAYON_NUM_THREADS` sets the threads of both. `TURNS` is the most updates of a rule; slow rules make fewer.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor, Var};
use rekindle::optim::{Gradients, Optimizer, OptimizerConfig};
use rekindle::parameters::Parameters;
use rekindle::rng::Stream;

/// The shapes of the parameters: those of a block of a language model of width 512.
const BLOCK: &[[usize; 2]] = &[[1536, 512], [512, 512], [2048, 512], [512, 2048]];

/// Those of rules whose time grows with the third power of a side.
const SQUARES: &[[usize; 2]] = &[[512, 512], [512, 512]];

/// Each rule, in the terms of a configuration, and its row in the table.
const RULES: [(&str, &str); 37] = [
    ("kind = 'sgd'\nmomentum = 0.9", "`sgd` with momentum"),
    ("kind = 'adam'", "`adam`"),
    ("kind = 'adamw'", "`adamw`"),
    ("kind = 'adam'\namsgrad = true", "`adam` with `amsgrad`"),
    ("kind = 'nadam'", "`nadam`"),
    ("kind = 'radam'", "`radam`"),
    ("kind = 'adamax'", "`adamax`"),
    ("kind = 'rmsprop'", "`rmsprop`"),
    ("kind = 'rmsprop'\nmomentum = 0.9\ncentered = true", "`rmsprop`, centered, with momentum"),
    ("kind = 'adagrad'", "`adagrad`"),
    ("kind = 'adadelta'", "`adadelta`"),
    ("kind = 'rprop'", "`rprop`"),
    ("kind = 'asgd'", "`asgd`"),
    ("kind = 'adafactor'", "`adafactor`"),
    ("kind = 'muon'", "`muon`"),
    ("kind = 'muon'\nvariant = 'keller_jordan'", "`muon`, `keller_jordan`"),
    ("kind = 'lion'", "`lion`"),
    ("kind = 'lion'\ncautious = 'timm'", "`lion`, cautious"),
    ("kind = 'schedule_free_adamw'", "`schedule_free_adamw`"),
    ("kind = 'schedule_free_sgd'", "`schedule_free_sgd`"),
    ("kind = 'lamb'", "`lamb`"),
    ("kind = 'adopt'", "`adopt`"),
    ("kind = 'ademamix'", "`ademamix`"),
    ("kind = 'adan'", "`adan`"),
    ("kind = 'prodigy'", "`prodigy`"),
    ("kind = 'mars'", "`mars`"),
    ("kind = 'stable_adamw'", "`stable_adamw`"),
    ("kind = 'soap'", "`soap`"),
    ("kind = 'lars'\nweight_decay = 1e-4", "`lars`"),
    ("kind = 'novograd'", "`novograd`"),
    ("kind = 'adabelief'", "`adabelief`"),
    ("kind = 'yogi'", "`yogi`"),
    ("kind = 'laprop'", "`laprop`"),
    ("kind = 'came'", "`came`"),
    ("kind = 'grokfast_adamw'", "`grokfast_adamw`"),
    ("kind = 'ftrl'", "`ftrl`"),
    ("kind = 'shampoo'", "`shampoo`"),
];

/// Updates that warm up, and begin what a rule has only then.
const FIRST: usize = 3;

/// The time of a rule's updates, after which there is no further one.
const ENOUGH: Duration = Duration::from_secs(6);

fn main() {
    let turns = std::env::var("TURNS").ok().and_then(|value| value.parse().ok()).unwrap_or(21);
    // Cargo adds `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_asked =
        |rule: &str| asked.is_empty() || asked.iter().any(|kind| rule.starts_with(&format!("kind = '{kind}'")));
    let mut python = Python::start();
    println!("{} threads, nanoseconds per parameter and update\n", rayon::current_num_threads());
    println!("| rule | Rekindle | other | | ratio |\n|---|---:|---:|---|---:|");
    for (rule, name) in RULES.into_iter().filter(|(rule, _)| is_asked(rule)) {
        let [own, theirs] = measure(rule, python.as_mut(), turns);
        let (other, ratio) = match theirs {
            Some(ns) => (format!("{ns:.2}"), format!("{:.2}", own.unwrap_or(f64::NAN) / ns)),
            None => ("–".to_owned(), String::new()),
        };
        let whose = python.as_ref().filter(|_| theirs.is_some()).map_or("", |python| python.whose.as_str());
        println!("| {name} | {:.2} | {other} | {whose} | {ratio} |", own.unwrap_or(f64::NAN));
    }
}

/// Returns the time of our update and of the other, each the median of some, and the mean for a rule whose tenth update is
/// longer than the others.
fn measure(rule: &str, mut python: Option<&mut Python>, turns: usize) -> [Option<f64>; 2] {
    let is_periodic = rule == "kind = 'soap'";
    let shapes = if is_periodic || rule == "kind = 'shampoo'" { SQUARES } else { BLOCK };
    let (turns, of) = if is_periodic { (10, mean as fn(Vec<f64>) -> Option<f64>) } else { (turns, median as _) };
    let mut ours = Ours::new(rule, shapes);
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for turn in 0..turns + FIRST {
        let (a, b) = (ours.update(), python.as_mut().and_then(|python| python.update(rule, shapes)));
        if turn >= FIRST {
            own.push(a);
            theirs.extend(b);
        }
        if !is_periodic && own.len() >= 3 && began.elapsed() > ENOUGH {
            break;
        }
    }
    [of(own), of(theirs)]
}

fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn mean(times: Vec<f64>) -> Option<f64> {
    (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
}

fn count(shapes: &[[usize; 2]]) -> f64 {
    shapes.iter().map(|[rows, columns]| rows * columns).sum::<usize>() as f64
}

/// Our rule, with its parameters and their gradients.
struct Ours {
    parameters: Parameters,
    optimizer: Optimizer,
    gradients: Vec<Tensor>,
    count: f64,
}

impl Ours {
    fn new(rule: &str, shapes: &[[usize; 2]]) -> Self {
        let config: OptimizerConfig = toml::from_str(&format!("lr = 1e-3\n{rule}")).expect("a rule");
        let normal = |name: &str, shape: &[usize]| {
            let numbers: Vec<f32> = Stream::new(0, name).normal(0, shape.iter().product());
            Tensor::from_vec(numbers, shape, &Device::Cpu).expect("a tensor")
        };
        let of = |(i, shape): (usize, &[usize; 2])| (format!("{i}"), normal(&format!("weight {i}"), shape));
        let start = shapes.iter().enumerate().map(of);
        let parameters: Parameters =
            start.map(|(name, tensor)| (name, Var::from_tensor(&tensor).expect("a parameter"))).collect();
        let gradients = shapes.iter().enumerate().map(|(i, shape)| normal(&format!("gradient {i}"), shape)).collect();
        let optimizer = Optimizer::new(&parameters, config).expect("an optimizer");
        Self { parameters, optimizer, gradients, count: count(shapes) }
    }

    /// Returns the nanoseconds per parameter.
    fn update(&mut self) -> f64 {
        let gradients = Gradients::of_tensors(&self.parameters, self.gradients.clone()).expect("gradients");
        let gradients = gradients.measure().expect("their norm");
        let began = Instant::now();
        self.optimizer.update(&gradients, &[1e-3]).expect("an update");
        began.elapsed().as_secs_f64() * 1e9 / self.count
    }
}

/// A process with PyTorch, which makes an update of the rule that it is told and says how long it took.
struct Python {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    /// Whose class made the last update.
    whose: String,
}

impl Python {
    fn start() -> Option<Self> {
        let Ok(python) = std::env::var("REKINDLE_PYTHON") else {
            println!("REKINDLE_PYTHON names no Python with PyTorch, so nothing is compared");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/optimizers.py");
        let mut command = Command::new(python);
        command.arg(script).arg(rayon::current_num_threads().to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python begins");
        let said = BufReader::new(child.stdout.take().expect("its output"));
        Some(Self { child, said, whose: String::new() })
    }

    /// Returns the nanoseconds per parameter, if it knows the rule.
    fn update(&mut self, rule: &str, shapes: &[[usize; 2]]) -> Option<f64> {
        let asked = format!("{}\t{shapes:?}\n", rule.replace('\n', "; "));
        self.child.stdin.as_mut()?.write_all(asked.as_bytes()).ok()?;
        let mut line = String::new();
        self.said.read_line(&mut line).ok()?;
        let (seconds, whose) = line.trim().split_once(' ')?;
        whose.clone_into(&mut self.whose);
        seconds.parse::<f64>().ok().map(|seconds| seconds * 1e9 / count(shapes))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.stdin = None;
        let _ = self.child.wait();
    }
}
