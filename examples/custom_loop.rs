//! A hand-written training loop for a Candle model, resumable to the bit.
//!
//! Run it, kill it, run it again: `cargo run --release --example custom_loop runs/custom`.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, VarBuilder, VarMap, linear};
use rekindle::checkpoint::{Folder, Snapshot, WrittenBy};
use rekindle::optim::{AdamW, Gradients, Optimizer};
use rekindle::schedule::{RunLength, Schedule, Scheduler};
use rekindle::{model::linear_default, parameters::Parameters, rng::Stream};

const STEPS: u64 = 400;

/// Points in the unit square and whether they lie in a disk: the batch is a function of the step.
fn batch(step: u64) -> candle_core::Result<(Tensor, Tensor)> {
    let points = Stream::new(7, "points").uniform(step, 128);
    let inside = points.chunks(2).map(|p| f32::from((p[0] - 0.5).hypot(p[1] - 0.5) < 0.3)).collect();
    Ok((Tensor::from_vec(points, (64, 2), &Device::Cpu)?, Tensor::from_vec(inside, (64, 1), &Device::Cpu)?))
}

fn main() -> Result<()> {
    let folder = Folder::new(std::env::args().nth(1).unwrap_or_else(|| "runs/custom".into()));
    let varmap = VarMap::new();
    let shapes: [(&str, &[usize]); 4] =
        [("in.weight", &[32, 2]), ("in.bias", &[32]), ("out.weight", &[1, 32]), ("out.bias", &[1])];
    for (name, shape) in shapes {
        let var = linear_default(name, shape, if name.starts_with("in") { 2 } else { 32 }, 7, &Device::Cpu)?;
        varmap.data().lock().expect("no thread has panicked").insert(name.into(), var);
    }
    let layers = VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu);
    let (hidden, output) = (linear(2, 32, layers.pp("in"))?, linear(32, 1, layers.pp("out"))?);
    let forward = |x: &Tensor| output.forward(&hidden.forward(x)?.tanh()?);

    let mut model = Parameters::from_varmap(&varmap);
    let mut optimizer = Optimizer::new(&model, AdamW { lr: 0.02, ..AdamW::default() })?;
    let schedule = Schedule::warmup(20, Schedule::cosine(STEPS - 20));
    let run = RunLength { total_steps: Some(STEPS), steps_per_epoch: 1 };
    let mut scheduler = Scheduler::new(schedule, optimizer.base_lrs(), run)?;
    if let Some(newest) = folder.newest()? {
        let parts: &mut [(_, &mut dyn rekindle::state::Stateful)] =
            &mut [("model", &mut model), ("optimizer", &mut optimizer), ("schedulers.lr", &mut scheduler)];
        newest.checkpoint.restore(parts)?;
    }
    while scheduler.t() < STEPS {
        let (x, y) = batch(scheduler.t())?;
        let loss = (forward(&x)? - y)?.sqr()?.mean_all()?;
        optimizer.update(&Gradients::from_loss(&loss, &model)?.clip(1.0)?, &scheduler.rates())?;
        scheduler.advance();
        if scheduler.t() % 20 == 0 {
            println!("step {} | lr={:.6} | loss={:.4}", scheduler.t(), scheduler.rates()[0], loss.to_scalar::<f32>()?);
            let snapshot = Snapshot::at(scheduler.t()).part("model", &model)?.part("optimizer", &optimizer)?;
            folder.save(&snapshot.part("schedulers.lr", &scheduler)?, &WrittenBy::this_build("cpu"))?;
        }
    }
    Ok(())
}
