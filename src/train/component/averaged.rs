//! The built-in averages of the weights: an exponential moving one, and an equal mean of several points of the run.

use serde::{Deserialize, Serialize};

use super::{Component, Statistics, Update, average};
use crate::data::Epochs;
use crate::parameters::Parameters;
use crate::state::{BegunCopies, State, StateError, Stateful};
use crate::train::config::every::Interval;
use crate::train::config::{BatchNormStatistics, EmaConfig, SwaConfig};
use crate::train::recurring::Recurring;

/// An average of the weights of a run, and the running statistics that go with it.
pub(super) struct Averaged {
    formula: Formula,
    /// The number of updates after which it begins.
    start: u64,
    /// The updates after which it moves.
    moves: Recurring,
    recomputes: bool,
    evaluates: bool,
    /// The tensors that move: weights, and statistics if these are averaged too.
    moving: Parameters,
    /// The same, and statistics that are computed for them.
    all: Parameters,
    memory: Memory,
}

/// The share of the trained weights in a move.
enum Formula {
    Exponential { decay: f64, warmup: bool },
    EqualMean,
}

/// Small numbers of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// Whether it has begun.
    begun: bool,
    /// How often it has moved, or for an equal mean, how many weights are in it.
    updates: u64,
    /// The value of `updates` for which the statistics were computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statistics_of: Option<u64>,
}

impl Formula {
    /// Returns the share for move number `t`, counted from 0; `scheduled` is the decay that a schedule drives.
    fn share(&self, t: u64, scheduled: Option<f64>) -> f64 {
        match *self {
            Self::EqualMean => 1.0 / (t as f64 + 1.0),
            Self::Exponential { decay, warmup } => {
                let (decay, t) = (scheduled.unwrap_or(decay), t as f64);
                1.0 - if warmup { decay.min((1.0 + t) / (10.0 + t)) } else { decay }
            }
        }
    }
}

impl Averaged {
    /// Creates the exponential average of `[ema]`.
    pub fn ema(
        config: &EmaConfig,
        (total, epochs): (u64, &Epochs),
        parameters: &Parameters,
        buffers: &Parameters,
    ) -> Result<Self, StateError> {
        let formula = Formula::Exponential { decay: config.decay, warmup: config.warmup };
        let made = Self::new(formula, config.batch_norm, config.evaluate, parameters, buffers)?;
        let start = config.start.in_steps(total, epochs);
        let moves = Recurring::of(config.every, start, epochs).unwrap_or(made.moves);
        Ok(Self { start, moves, memory: Memory { begun: start == 0, ..Memory::default() }, ..made })
    }

    /// Creates the equal mean of `[swa]`.
    pub fn swa(
        config: &SwaConfig,
        (total, epochs): (u64, &Epochs),
        parameters: &Parameters,
        buffers: &Parameters,
    ) -> Result<Self, StateError> {
        let made = Self::new(Formula::EqualMean, config.batch_norm, config.evaluate, parameters, buffers)?;
        let start = config.start.in_steps(total, epochs);
        let moves =
            [config.every, Interval::Epochs(1)].into_iter().find_map(|every| Recurring::of(every, start, epochs));
        Ok(Self { start, moves: moves.unwrap_or(made.moves), ..made })
    }

    fn new(
        formula: Formula,
        statistics: BatchNormStatistics,
        evaluates: bool,
        parameters: &Parameters,
        buffers: &Parameters,
    ) -> Result<Self, StateError> {
        let averages_buffers = statistics == BatchNormStatistics::Average;
        let moving = average::begun(&if averages_buffers { parameters.and(buffers) } else { parameters.clone() })?;
        let recomputes = statistics == BatchNormStatistics::Recompute && !buffers.is_empty();
        let all = if recomputes { moving.and(&average::begun(buffers)?) } else { moving.clone() };
        let memory = Memory::default();
        let moves = Recurring::each();
        Ok(Self { formula, start: 0, moves, recomputes, evaluates, moving, all, memory })
    }

    /// Whether it moves after `done` updates.
    fn is_due(&self, done: u64) -> bool {
        done >= self.start && self.moves.has(done)
    }

    /// Begins with the trained weights, as the first of an equal mean.
    fn begin(&mut self, update: &Update<'_>) -> Result<(), StateError> {
        average::set(&self.all, &[update.parameters, update.buffers])?;
        let updates = u64::from(matches!(self.formula, Formula::EqualMean));
        self.memory = Memory { begun: true, updates, statistics_of: None };
        Ok(())
    }
}

impl Component for Averaged {
    fn after_update(&mut self, update: &Update<'_>) -> Result<(), StateError> {
        let done = update.step + 1;
        if !self.memory.begun {
            return if done >= self.start { self.begin(update) } else { Ok(()) };
        }
        if self.is_due(done) {
            let share = self.formula.share(self.memory.updates, update.ema_decay);
            average::move_towards(&self.moving, &[update.parameters, update.buffers], share)?;
            self.memory.updates += 1;
        }
        Ok(())
    }

    fn before_evaluation(&mut self, statistics: &Statistics<'_>) -> Result<(), StateError> {
        let is_known = self.memory.statistics_of == Some(self.memory.updates);
        if self.recomputes
            && self.memory.begun
            && !is_known
            && let Some(found) = statistics(&self.moving)?
        {
            average::set(&self.all, &[&found])?;
            self.memory.statistics_of = Some(self.memory.updates);
        }
        Ok(())
    }

    fn evaluation_weights(&self) -> Option<&Parameters> {
        self.own_weights().filter(|_| self.evaluates)
    }

    fn own_weights(&self) -> Option<&Parameters> {
        self.memory.begun.then_some(&self.all)
    }
}

/// The state is the average, and how often it has moved.
impl Stateful for Averaged {
    fn save(&self) -> Result<State, StateError> {
        let mut state = State::default();
        self.save_into(&mut state)?;
        Ok(state)
    }

    fn save_into(&self, state: &mut State) -> Result<(), StateError> {
        self.all.save_into(state)?;
        state.json = serde_json::to_value(self.memory)?;
        Ok(())
    }

    fn begin_save(&self, state: &mut State, begun: &mut BegunCopies) -> Result<(), StateError> {
        self.all.begin_save(state, begun)?;
        state.json = serde_json::to_value(self.memory)?;
        Ok(())
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        Memory::deserialize(&state.json)?;
        self.all.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.memory = Memory::deserialize(&state.json)?;
        self.all.load(state)
    }
}
