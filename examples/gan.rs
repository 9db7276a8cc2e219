//! A generative adversarial network: a loop with two models, two optimizers and two schedules, resumable to the bit.
//!
//! The generator is to draw points on a ring. The losses are squares: Mao et al., "Least squares generative
//! adversarial networks", ICCV 2017. Run it, kill it, run it again: `cargo run --release --example gan runs/gan`.

use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_nn::{Linear, Module};
use rekindle::checkpoint::{Folder, Snapshot, WrittenBy};
use rekindle::optim::{Adam, Gradients, Optimizer};
use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::{model::linear_default, parameters::Parameters, rng::Stream, state::Stateful};

const STEPS: u64 = 800;
const BATCH: usize = 64;
const SEED: u64 = 11;

/// Two linear maps with a tanh between them.
struct Perceptron {
    parameters: Parameters,
    hidden: Linear,
    output: Linear,
}

impl Perceptron {
    fn new(name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        const WIDTH: usize = 32;
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
        let (hidden, output) = (linear("in", inputs, WIDTH)?, linear("out", WIDTH, outputs)?);
        Ok(Self { parameters, hidden, output })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.output.forward(&self.hidden.forward(x)?.tanh()?)
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
        let optimizer = Optimizer::new(&model.parameters, Adam { lr, ..Adam::default() })?;
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

/// Points on the ring, as a function of the step.
fn ring(step: u64) -> candle_core::Result<Tensor> {
    let turns = Stream::new(SEED, "ring").uniform(step, BATCH);
    let points =
        turns.iter().flat_map(|turn| [(turn * std::f32::consts::TAU).cos(), (turn * std::f32::consts::TAU).sin()]);
    Tensor::from_vec(points.collect(), (BATCH, 2), &Device::Cpu)
}

fn noise(step: u64) -> candle_core::Result<Tensor> {
    Tensor::from_vec(Stream::new(SEED, "noise").normal(step, BATCH * 2), (BATCH, 2), &Device::Cpu)
}

/// The mean square of the distance from `wanted`.
fn distance(judged: &Tensor, wanted: f64) -> candle_core::Result<Tensor> {
    (judged - wanted)?.sqr()?.mean_all()
}

fn main() -> Result<()> {
    let folder = Folder::new(std::env::args().nth(1).unwrap_or_else(|| "runs/gan".into()));
    let mut generator = Player::new("generator", 2, 2e-3, Schedule::cosine(STEPS))?;
    let mut critic = Player::new("critic", 1, 4e-3, Schedule::warmup(50, Schedule::cosine(STEPS - 50)))?;
    if let Some(newest) = folder.newest()? {
        let generator = GENERATOR.into_iter().zip(generator.parts());
        let mut parts: Vec<_> = generator.chain(CRITIC.into_iter().zip(critic.parts())).collect();
        newest.checkpoint.restore(&mut parts)?;
    }
    while generator.scheduler.t() < STEPS {
        let step = generator.scheduler.t();
        let fakes = generator.model.forward(&noise(step)?)?;
        let judge = |points: &Tensor| critic.model.forward(points);
        let judged = (distance(&judge(&ring(step)?)?, 1.0)? + distance(&judge(&fakes.detach())?, 0.0)?)?;
        critic.lower(&judged)?;
        generator.lower(&distance(&critic.model.forward(&fakes)?, 1.0)?)?;
        if (step + 1) % 40 == 0 {
            let radius = fakes.sqr()?.sum(1)?.sqrt()?;
            let off = (radius - 1.0)?.abs()?.mean_all()?.to_scalar::<f32>()?;
            println!(
                "step {} | loss of the critic={:.4} | off the ring by {off:.3}",
                step + 1,
                judged.to_scalar::<f32>()?
            );
            let mut snapshot = Snapshot::at(step + 1);
            let generator = GENERATOR.into_iter().zip(generator.parts());
            for (name, part) in generator.chain(CRITIC.into_iter().zip(critic.parts())) {
                snapshot = snapshot.part(name, part)?;
            }
            folder.save(&snapshot, &WrittenBy::this_build("cpu"))?;
        }
    }
    Ok(())
}
