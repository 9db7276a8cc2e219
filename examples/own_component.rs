//! A user-defined component in `train`'s loop: an average of the weights, saved with the run and used for validations.
//!
//! Run it, kill it, run it again: `cargo run --release --example own_component runs/average`.

use anyhow::Result;
use rekindle::parameters::Parameters;
use rekindle::state::{BegunCopies, State, StateError, Stateful};
use rekindle::train::resume::start_or_resume;
use rekindle::train::{Component, Configured, Console, Control, Setting, Update, from_file, register_component};
use serde::Deserialize;

/// The exponential moving average of the weights.
struct Average {
    decay: f64,
    weights: Parameters,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    decay: f64,
}

impl Configured for Average {
    type Settings = Settings;

    fn new(Settings { decay }: Settings, parameters: &Parameters) -> Result<Self, StateError> {
        Ok(Self { decay, weights: parameters.copied()? })
    }
}

impl Component for Average {
    fn after_update(&mut self, update: &Update<'_>) -> Result<(), StateError> {
        for (name, average) in self.weights.iter() {
            let Some(weight) = update.parameters.get(name) else { continue };
            average.set(&((average.as_tensor() * self.decay)? + (weight.as_tensor() * (1.0 - self.decay))?)?)?;
        }
        Ok(())
    }

    fn evaluation_weights(&self) -> Option<&Parameters> {
        Some(&self.weights)
    }
}

/// The state is the averaged weights.
impl Stateful for Average {
    fn save(&self) -> Result<State, StateError> {
        self.weights.save()
    }
    /// On a GPU, training does not wait for the copy.
    fn begin_save(&self, state: &mut State, begun: &mut BegunCopies) -> Result<(), StateError> {
        self.weights.begin_save(state, begun)
    }
    fn check(&self, state: &State) -> Result<(), StateError> {
        self.weights.check(state)
    }
    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.weights.load(state)
    }
}

fn main() -> Result<()> {
    register_component::<Average>("average")?;
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/average".into());
    let config = || {
        let settings = ["components.average={decay=0.99}", "train.epochs=4", "checkpoint.every='5 steps'"];
        let settings = settings.map(Setting::parse).into_iter().collect::<Result<Vec<_>, _>>()?;
        from_file("examples/digits.toml".as_ref(), &settings)
    };
    start_or_resume(out.as_ref(), Control::new(), config)?.run.train(&mut Console::new())?;
    Ok(())
}
