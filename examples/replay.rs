//! Reinforcement learning with a `Trainer`: the replay buffer and the target network are saved parts of the run.
//!
//! An agent learns to walk to the end of a corridor by Q-learning: Mnih et al., "Human-level control through deep
//! reinforcement learning", Nature 2015. Run it, kill it, run it again: `cargo run --release --example replay runs/walk`.

use std::cell::RefCell;
use std::rc::Rc;

use candle_core::{D, Device, Tensor};
use rekindle::optim::AdamW;
use rekindle::rng::Stream;
use rekindle::schedule::Schedule;
use rekindle::state::{HostTensor, State, StateError, Stateful};
use rekindle::trainer::Fallible;
use rekindle::{Trainer, model::linear_default, parameters::Parameters};

const SEED: u64 = 5;
const STEPS: u64 = 400;
/// Cells of the corridor; the reward is at the last.
const CELLS: usize = 8;
/// Moves that the agent makes before each update.
const MOVES: usize = 4;
const BATCH: usize = 32;
/// Transitions that the buffer keeps.
const CAPACITY: usize = 256;
const DISCOUNT: f32 = 0.9;

/// The values of going left and of going right, from each cell.
#[derive(Clone)]
struct Values(Parameters);

impl Values {
    fn new() -> Fallible<Self> {
        let shapes: [(&str, &[usize], usize); 3] =
            [("in.weight", &[CELLS, 16], CELLS), ("in.bias", &[16], CELLS), ("out.weight", &[16, 2], 16)];
        let var = |(name, shape, fan_in): (&str, &[usize], usize)| {
            Ok((name.to_owned(), linear_default(name, shape, fan_in, SEED, &Device::Cpu)?))
        };
        Ok(Self(shapes.into_iter().map(var).collect::<Fallible<_>>()?))
    }

    /// The values `[cells, 2]` of these cells.
    fn of(&self, cells: &[usize]) -> Fallible<Tensor> {
        let part = |name| self.0.get(name).ok_or("a layer is missing");
        let hot = cells.iter().flat_map(|cell| (0..CELLS).map(move |other| f32::from(u8::from(other == *cell))));
        let cells = Tensor::from_vec(hot.collect(), (cells.len(), CELLS), &Device::Cpu)?;
        let hidden = cells.matmul(part("in.weight")?)?.broadcast_add(part("in.bias")?)?.tanh()?;
        Ok(hidden.matmul(part("out.weight")?)?)
    }

    /// The better move from a cell: 0 is left, 1 is right.
    fn better(&self, cell: usize) -> Fallible<usize> {
        let values = self.of(&[cell])?.to_vec2::<f32>()?;
        Ok(usize::from(values[0][1] > values[0][0]))
    }
}

/// The cell after a move, and whether it has the reward.
fn after(cell: usize, right: usize) -> (usize, bool) {
    let next = if right == 1 { cell + 1 } else { cell.saturating_sub(1) };
    (next, next + 1 == CELLS)
}

/// The last transitions of the agent, `[cell, move, next cell]` each, and where it is.
#[derive(Default)]
struct Replay {
    cell: usize,
    made: usize,
    transitions: Vec<[usize; 3]>,
}

impl Replay {
    /// Moves by the values, or by chance, which becomes rarer with the step.
    fn act(&mut self, values: &Values, step: u64) -> Fallible<()> {
        let draws = Stream::new(SEED, "moves").uniform(step, 2 * MOVES);
        let chance = 1.0 - 0.9 * step as f32 / STEPS as f32;
        for draw in draws.chunks(2) {
            let right = if draw[0] < chance { usize::from(draw[1] < 0.5) } else { values.better(self.cell)? };
            let (next, is_rewarded) = after(self.cell, right);
            let transition = [self.cell, right, next];
            match self.transitions.get_mut(self.made % CAPACITY) {
                Some(oldest) => *oldest = transition,
                None => self.transitions.push(transition),
            }
            self.made += 1;
            self.cell = if is_rewarded { 0 } else { next };
        }
        Ok(())
    }

    fn sample(&self, step: u64) -> Vec<[usize; 3]> {
        let draws = Stream::new(SEED, "sample").uniform(step, BATCH);
        let row =
            |draw: f32| self.transitions[(draw * self.transitions.len() as f32) as usize % self.transitions.len()];
        draws.into_iter().map(row).collect()
    }

    /// The numbers of a saved buffer, if they are some.
    fn read(state: &State) -> Option<Self> {
        let number = |name: &str| usize::try_from(state.json.get(name)?.as_u64()?).ok();
        let transitions = state.tensors.get("transitions")?.to_f64s()?;
        let is_cell = |cell: &f64| (0.0..CELLS as f64).contains(cell);
        let transitions = transitions.iter().all(is_cell).then(|| transitions.as_chunks::<3>().0.to_vec())?;
        let whole = transitions.into_iter().map(|transition| transition.map(|number| number as usize));
        let cell = number("cell").filter(|cell| *cell < CELLS)?;
        Some(Self { cell, made: number("made")?, transitions: whole.take(CAPACITY).collect() })
    }
}

impl Stateful for Replay {
    fn save(&self) -> Result<State, StateError> {
        let numbers: Vec<f64> = self.transitions.iter().flatten().map(|&number| number as f64).collect();
        let mut state = State::from_json(serde_json::json!({"cell": self.cell, "made": self.made}));
        state.tensors.insert("transitions".to_owned(), HostTensor::from_f64s(&numbers));
        Ok(state)
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        Self::read(state).map(drop).ok_or_else(|| StateError::Malformed("it is no replay buffer".to_owned()))
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)?;
        *self = Self::read(state).unwrap_or_default();
        Ok(())
    }
}

fn main() {
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/walk".into());
    if let Err(error) = learn_to_walk(&out) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn learn_to_walk(out: &str) -> Fallible<()> {
    let values = Values::new()?;
    let target = Values(values.0.copied()?);
    let replay = Rc::new(RefCell::new(Replay::default()));

    let (acting, buffer) = (values.clone(), Rc::clone(&replay));
    let batch = |step| {
        let mut replay = buffer.borrow_mut();
        replay.act(&acting, step)?;
        Ok(replay.sample(step))
    };
    let loss = |rows: &Vec<[usize; 3]>| {
        let column = |number: usize| rows.iter().map(|row| row[number]).collect::<Vec<_>>();
        let later = target.of(&column(2))?.max(D::Minus1)?.detach().to_vec1::<f32>()?;
        let value = |(row, later): (&[usize; 3], f32)| if after(row[0], row[1]).1 { 1.0 } else { DISCOUNT * later };
        let wanted: Vec<f32> = rows.iter().zip(later).map(value).collect();
        let moves: Vec<u32> = column(1).into_iter().map(|right| right as u32).collect();
        let moves = Tensor::from_vec(moves, (rows.len(), 1), &Device::Cpu)?;
        let found = values.of(&column(0))?.gather(&moves, 1)?.squeeze(1)?;
        Ok((found - Tensor::new(wanted, &Device::Cpu)?)?.sqr()?.mean_all()?)
    };
    Trainer::new(&values.0, batch, loss)
        .optimizer(AdamW { lr: 0.02, ..AdamW::default() })
        .schedule(Schedule::cosine(STEPS))
        .steps(STEPS)
        .part("target", target.0.clone())
        .part("replay", replay)
        .save_every(20)
        .on_step(|end| {
            // The target follows every 20 updates. It is saved, because it is not a function of the step.
            if end.done() % 20 == 0 {
                println!("step {} | loss={:.5}", end.done(), end.loss);
                for (name, var) in target.0.iter() {
                    let newest = values.0.get(name).map_or(Ok(()), |newest| var.set(newest));
                    newest.expect("both are on the CPU and have one shape");
                }
            }
        })
        .train_in(out)?;
    let right = (0..CELLS - 1).filter(|&cell| values.better(cell).is_ok_and(|right| right == 1)).count();
    println!("goes right from {right} of {} cells", CELLS - 1);
    Ok(())
}
