//! A peer's schedules: their forms and places.

use super::setting::Setting;

/// A schedule of rates, or of another setting.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its form, with its settings.
    pub form: Form,
    /// Index of its optimizer in [`Peer::optimizers`](super::Peer::optimizers).
    pub optimizer: usize,
    /// Its own counter, such as `last_epoch`: the `t` at which its formula gives the next rate. In
    /// `CosineAnnealingWarmRestarts` it is `T_cur`, which may be a fraction.
    pub at: Option<f64>,
    /// The unit of that counter.
    pub unit: Unit,
    /// Base rate of each group, where the file has them.
    pub base_lrs: Vec<f64>,
    /// Rate of each group as last computed, where the file has them.
    pub last_lrs: Vec<f64>,
    /// Updates by which it is behind: update `t` uses its rate at `t - late` (Composer: 1).
    pub late: u64,
    /// Whether rates are computed in f32.
    pub in_f32: bool,
}

/// The form of a schedule: a class with settings, and members where it is composed of others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// The class with its library: `torch.CosineAnnealingLR`, `transformers.linear`, `keras.CosineDecay`,
    /// `optax.warmup_cosine_decay_schedule`, `timm.cosine`, `nanogpt.cosine`, `ignite.ConcatScheduler`, `composer`…
    /// `unknown` where the file has no form; what it lacks is in [`Peer::missing`](super::Peer::missing).
    pub class: String,
    /// Settings under the peer's names, counters among them.
    pub settings: Vec<(String, Setting)>,
    /// Members of a composed schedule.
    pub members: Vec<Form>,
}

impl Form {
    /// Returns a setting by its name in the file.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Returns a setting that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.setting(name)?.number()
    }
}

/// The unit in which a schedule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Optimizer updates.
    Updates,
    /// Epochs.
    Epochs,
    /// That cannot be told from the file.
    Unknown,
}
