//! Cost of an update by every rule: `cargo bench --bench optimizers`, in nanoseconds per parameter.
//!
//! With `REKINDLE_PYTHON`, a Python with PyTorch, the same update by its fused form, or by its foreach form where there is
//! no fused one, is measured in the same run: the two take turns. Packages beside PyTorch are measured if that Python has
//! them. `RAYON_NUM_THREADS` sets the threads of both. `TURNS` is the number of updates, of which the median counts.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use rekindle::optim::{Gradients, Optimizer, OptimizerConfig};
use rekindle::parameters::Parameters;
use rekindle::rng::Stream;

/// The shapes of the parameters: those of a block of a language model of width 512.
const SHAPES: [[usize; 2]; 4] = [[1536, 512], [512, 512], [2048, 512], [512, 2048]];

/// Each rule, in the terms of a configuration.
const RULES: [&str; 37] = [
    "kind = 'sgd'\nmomentum = 0.9",
    "kind = 'adam'",
    "kind = 'adamw'",
    "kind = 'adam'\namsgrad = true",
    "kind = 'nadam'",
    "kind = 'radam'",
    "kind = 'adamax'",
    "kind = 'rmsprop'",
    "kind = 'rmsprop'\nmomentum = 0.9\ncentered = true",
    "kind = 'adagrad'",
    "kind = 'adadelta'",
    "kind = 'rprop'",
    "kind = 'asgd'",
    "kind = 'adafactor'",
    "kind = 'muon'",
    "kind = 'muon'\nvariant = 'keller_jordan'",
    "kind = 'lion'",
    "kind = 'lion'\ncautious = 'timm'",
    "kind = 'schedule_free_adamw'",
    "kind = 'schedule_free_sgd'",
    "kind = 'lamb'",
    "kind = 'adopt'",
    "kind = 'ademamix'",
    "kind = 'adan'",
    "kind = 'prodigy'",
    "kind = 'mars'",
    "kind = 'stable_adamw'",
    "kind = 'soap'",
    "kind = 'lars'\nweight_decay = 1e-4",
    "kind = 'novograd'",
    "kind = 'adabelief'",
    "kind = 'yogi'",
    "kind = 'laprop'",
    "kind = 'came'",
    "kind = 'grokfast_adamw'",
    "kind = 'ftrl'",
    "kind = 'shampoo'",
];

fn main() {
    let turns = std::env::var("TURNS").ok().and_then(|value| value.parse().ok()).unwrap_or(21);
    let mut python = Python::start();
    println!("{} threads, nanoseconds per parameter and update", rayon::current_num_threads());
    for rule in RULES {
        let name = rule.replace('\n', ", ");
        let mut ours = Ours::new(rule);
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        // The first updates warm up, and begin what a rule has only then.
        for turn in 0..turns + 3 {
            let (a, b) = (ours.update(), python.as_mut().and_then(|python| python.update(rule)));
            if turn >= 3 {
                own.push(a);
                theirs.extend(b);
            }
        }
        let other = median(theirs).map_or_else(|| "-".to_owned(), |ns| format!("{ns:.2}"));
        println!("{name:<55} {:>8.2}   PyTorch {other:>8}", median(own).unwrap_or(f64::NAN));
    }
}

fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn count() -> f64 {
    SHAPES.iter().map(|[rows, columns]| rows * columns).sum::<usize>() as f64
}

/// Our rule, with its parameters and their gradients.
struct Ours {
    parameters: Parameters,
    optimizer: Optimizer,
    gradients: Vec<Tensor>,
}

impl Ours {
    fn new(rule: &str) -> Self {
        let config: OptimizerConfig = toml::from_str(&format!("lr = 1e-3\n{rule}")).expect("a rule");
        let normal = |name: &str, shape: &[usize]| {
            let numbers: Vec<f32> = Stream::new(0, name).normal(0, shape.iter().product());
            Tensor::from_vec(numbers, shape, &Device::Cpu).expect("a tensor")
        };
        let of = |(i, shape): (usize, &[usize; 2])| (format!("{i}"), normal(&format!("weight {i}"), shape));
        let start = SHAPES.iter().enumerate().map(of);
        let parameters: Parameters =
            start.map(|(name, tensor)| (name, Var::from_tensor(&tensor).expect("a parameter"))).collect();
        let gradients = SHAPES.iter().enumerate().map(|(i, shape)| normal(&format!("gradient {i}"), shape)).collect();
        let optimizer = Optimizer::new(&parameters, config).expect("an optimizer");
        Self { parameters, optimizer, gradients }
    }

    /// Returns the nanoseconds per parameter.
    fn update(&mut self) -> f64 {
        let gradients = Gradients::of_tensors(&self.parameters, self.gradients.clone()).expect("gradients");
        let gradients = gradients.measure().expect("their norm");
        let began = Instant::now();
        self.optimizer.update(&gradients, &[1e-3]).expect("an update");
        began.elapsed().as_secs_f64() * 1e9 / count()
    }
}

/// A process with PyTorch, which makes an update of the rule that it is told and says how long it took.
struct Python {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Python {
    fn start() -> Option<Self> {
        let Ok(python) = std::env::var("REKINDLE_PYTHON") else {
            println!("REKINDLE_PYTHON names no Python with PyTorch, so nothing is compared");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/optimizers.py");
        let mut command = Command::new(python);
        command.arg(script).arg(rayon::current_num_threads().to_string()).arg(format!("{SHAPES:?}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python begins");
        let said = BufReader::new(child.stdout.take().expect("its output"));
        Some(Self { child, said })
    }

    /// Returns the nanoseconds per parameter, if it knows the rule.
    fn update(&mut self, rule: &str) -> Option<f64> {
        let asked = rule.replace('\n', "; ") + "\n";
        self.child.stdin.as_mut()?.write_all(asked.as_bytes()).ok()?;
        let mut line = String::new();
        self.said.read_line(&mut line).ok()?;
        line.trim().parse::<f64>().ok().map(|seconds| seconds * 1e9 / count())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.stdin = None;
        let _ = self.child.wait();
    }
}
