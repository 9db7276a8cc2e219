//! A generative adversarial network: a loop with two models, two optimizers and two schedules, resumable to the bit.
//!
//! The generator is to draw points in eight spots on a ring, in all of them: the usual fault of such a game is to miss
//! some. The losses are squares: Mao et al., "Least squares generative adversarial networks", ICCV 2017. Run it, kill
//! it, run it again: `cargo run --release --example gan runs/gan`.

use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_nn::{Linear, Module};
use rekindle::checkpoint::{Folder, Snapshot, WrittenBy};
use rekindle::optim::{Adam, Gradients, Optimizer};
use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::{model::linear_default, parameters::Parameters, rng::Stream, state::Stateful};

const STEPS: u64 = 1600;
const BATCH: usize = 128;
const SEED: u64 = 11;

/// The spots: how many, and the standard deviation of the points in one.
const SPOTS: u16 = 8;
const SPREAD: f32 = 0.05;

/// Three linear maps with a ReLU between them: with one hidden layer the critic cannot tell the spots apart.
struct Perceptron {
    parameters: Parameters,
    maps: [Linear; 3],
}

impl Perceptron {
    fn new(name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        const WIDTH: usize = 64;
        let mut parameters = Parameters::new();
        let mut linear = |part: &str, inputs: usize, outputs: usize| -> Result<Linear> {
            let [weight, bias] = [format!("{part}.weight"), format!("{part}.bias")];
            let of = |var: &str, shape: &[usize]| {
                linear_default(&format!("{name}.{var}"), shape, inputs, SEED, &Device::Cpu)
            };
            let (w, b) = (of(&weight, &[outputs, inputs])?, of(&bias, &[outputs])?);
            let map = Linear::new(w.as_tensor().clone(), Some(b.as_tensor().clone()));
            parameters.insert(weight, w);
            parameters.insert(bias, b);
            Ok(map)
        };
        let maps = [linear("in", inputs, WIDTH)?, linear("hidden", WIDTH, WIDTH)?, linear("out", WIDTH, outputs)?];
        Ok(Self { parameters, maps })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let [first, second, last] = &self.maps;
        last.forward(&second.forward(&first.forward(x)?.relu()?)?.relu()?)
    }
}

/// A model in training, with its optimizer and its schedule.
struct Player {
    model: Perceptron,
    optimizer: Optimizer,
    scheduler: Scheduler,
}

impl Player {
    fn new(name: &str, outputs: usize, lr: f64, schedule: impl Into<Schedule>) -> Result<Self> {
        let model = Perceptron::new(name, 2, outputs)?;
        // A longer memory of gradients would be of another opponent.
        let optimizer = Optimizer::new(&model.parameters, Adam { lr, betas: [0.5, 0.999], ..Adam::default() })?;
        let run = RunLength { total_steps: Some(STEPS), steps_per_epoch: 1 };
        let scheduler = Scheduler::new(schedule, optimizer.base_lrs(), run)?;
        Ok(Self { model, optimizer, scheduler })
    }

    fn lower(&mut self, loss: &Tensor) -> Result<()> {
        let gradients = Gradients::from_loss(loss, &self.model.parameters)?.measure()?;
        self.optimizer.update(&gradients, &self.scheduler.rates())?;
        self.scheduler.advance();
        Ok(())
    }

    fn parts(&mut self) -> [&mut dyn Stateful; 3] {
        [&mut self.model.parameters, &mut self.optimizer, &mut self.scheduler]
    }
}

const GENERATOR: [&str; 3] = ["generator", "optimizers.generator", "schedulers.generator"];
const CRITIC: [&str; 3] = ["critic", "optimizers.critic", "schedulers.critic"];

/// The middle of a spot.
fn middle(spot: u16) -> [f32; 2] {
    let angle = f32::from(spot) * std::f32::consts::TAU / f32::from(SPOTS);
    [angle.cos(), angle.sin()]
}

/// Points in the spots, as a function of the step.
fn ring(step: u64) -> candle_core::Result<Tensor> {
    let spots = Stream::new(SEED, "spots").uniform(step, BATCH);
    let off = Stream::new(SEED, "spread").normal(step, BATCH * 2);
    let middles = spots.iter().flat_map(|uniform| middle((uniform * f32::from(SPOTS)) as u16));
    let points = middles.zip(off).map(|(middle, off)| middle + SPREAD * off);
    Tensor::from_vec(points.collect(), (BATCH, 2), &Device::Cpu)
}

fn noise(name: &str, step: u64, count: usize) -> candle_core::Result<Tensor> {
    Tensor::from_vec(Stream::new(SEED, name).normal(step, count * 2), (count, 2), &Device::Cpu)
}

/// Points that the generator draws after training, always of the same noise.
fn drawn(generator: &Perceptron) -> Result<Vec<Vec<f32>>> {
    Ok(generator.forward(&noise("shown", 0, 2000)?)?.to_vec2()?)
}

/// In how many spots there are points, at least a third of an even share, and the share of all points that are in one:
/// within four standard deviations of its middle.
fn found(points: &[Vec<f32>]) -> (usize, f64) {
    let is_in = |spot: u16, point: &[f32]| {
        let [x, y] = middle(spot);
        (point[0] - x).hypot(point[1] - y) < 4.0 * SPREAD
    };
    let counts = (0..SPOTS).map(|spot| points.iter().filter(|point| is_in(spot, point)).count());
    let counts: Vec<usize> = counts.collect();
    let least = points.len() / (3 * usize::from(SPOTS));
    let spots = counts.iter().filter(|&&count| count >= least).count();
    (spots, counts.iter().sum::<usize>() as f64 / points.len() as f64)
}

/// The points as a picture of characters.
fn picture(points: &[Vec<f32>]) -> String {
    const SIDE: usize = 25;
    let cell = |x: f32| ((x / 3.0 + 0.5) * SIDE as f32).clamp(0.0, SIDE as f32 - 1.0) as usize;
    let mut counts = [[0; SIDE]; SIDE];
    points.iter().for_each(|point| counts[cell(-point[1])][cell(point[0])] += 1);
    let sign = |count: &u32| match count {
        0 => "  ",
        1..4 => "· ",
        4..16 => "o ",
        _ => "# ",
    };
    counts.iter().map(|row| row.iter().map(sign).collect::<String>().trim_end().to_owned() + "\n").collect()
}

/// The mean square of the distance from `wanted`.
fn distance(judged: &Tensor, wanted: f64) -> candle_core::Result<Tensor> {
    (judged - wanted)?.sqr()?.mean_all()
}

fn main() -> Result<()> {
    let folder = Folder::new(std::env::args().nth(1).unwrap_or_else(|| "runs/gan".into()));
    let mut generator = Player::new("generator", 2, 1e-3, Schedule::cosine(STEPS))?;
    let mut critic = Player::new("critic", 1, 2e-3, Schedule::warmup(50, Schedule::cosine(STEPS - 50)))?;
    if let Some(newest) = folder.newest()? {
        let generator = GENERATOR.into_iter().zip(generator.parts());
        let mut parts: Vec<_> = generator.chain(CRITIC.into_iter().zip(critic.parts())).collect();
        newest.checkpoint.restore(&mut parts)?;
    }
    while generator.scheduler.t() < STEPS {
        let step = generator.scheduler.t();
        let fakes = generator.model.forward(&noise("noise", step, BATCH)?)?;
        let judge = |points: &Tensor| critic.model.forward(points);
        let judged = (distance(&judge(&ring(step)?)?, 1.0)? + distance(&judge(&fakes.detach())?, 0.0)?)?;
        critic.lower(&judged)?;
        generator.lower(&distance(&critic.model.forward(&fakes)?, 1.0)?)?;
        if (step + 1) % 80 == 0 {
            let (spots, share) = found(&drawn(&generator.model)?);
            let loss = judged.to_scalar::<f32>()?;
            println!("step {} | loss of the critic={loss:.4} | spots={spots} | points in them={share:.2}", step + 1);
            let mut snapshot = Snapshot::at(step + 1);
            let generator = GENERATOR.into_iter().zip(generator.parts());
            for (name, part) in generator.chain(CRITIC.into_iter().zip(critic.parts())) {
                snapshot = snapshot.part(name, part)?;
            }
            folder.save(&snapshot, &WrittenBy::this_build("cpu"))?;
        }
    }
    println!("{}", picture(&drawn(&generator.model)?));
    Ok(())
}
