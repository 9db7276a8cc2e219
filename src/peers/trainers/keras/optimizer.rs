//! The optimizer of a Keras file: its variables are numbered, and its class and settings tell which is which.

use super::layers::Weight;
use super::slots::{Slots, UNTOLD, slots};
use super::variables::snake_case;
use super::{clipping, renamed};
use crate::peers::formats::hdf5::Group as Folder;
use crate::peers::peer::{
    Averages, Counter, Dialect, Form, Group, LossScale, Optimizer, Parameter, Peer, RateOf, Schedule, Unit,
};
use crate::peers::tensor::Tensor;
use crate::peers::trainers::settings::settings;
use crate::peers::tree::Ref;

/// Optimizers whose automatic names tell them.
const CLASSES: [&str; 14] = [
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Adamax",
    "Nadam",
    "Ftrl",
    "Lion",
    "Lamb",
    "Adafactor",
    "Muon",
    "LossScaleOptimizer",
];

/// Growth of the loss scale where no configuration tells it: Keras' default.
const GROWTH_INTERVAL: f64 = 2000.0;

/// An optimizer as a file states it.
pub(super) struct Stated<'a> {
    class: String,
    config: Option<Ref<'a>>,
    place: String,
    /// Counted micro-batches.
    iteration: Option<i64>,
    /// The rate, where it is a number.
    rate: Option<f64>,
    slots: Option<Slots>,
    /// Why variables are not assigned to weights.
    unknown: Option<String>,
    loss_scale: Option<LossScale>,
}

impl<'a> Stated<'a> {
    /// Returns the optimizer of a file for a number of weights that are trained; `None` where the file has none.
    ///
    /// # Errors
    /// Its variables are not those of its class.
    pub(super) fn of(root: &Folder, config: Option<Ref<'a>>, trained: usize) -> Result<Option<Self>, String> {
        let Some(mut folder) = root.group("optimizer") else { return Ok(None) };
        let mut config = config.and_then(|config| config.at(&["compile_config", "optimizer"]));
        let mut place = "optimizer/vars".to_owned();
        let mut loss_scale = None;
        if let Some(inner) = folder.group("inner_optimizer") {
            let settings = config.and_then(|config| config.get("config"));
            loss_scale = scale(folder, settings)?;
            // Under mixed precision Keras wraps the optimizer by itself, and writes the configuration of the inner one.
            config = settings.and_then(|settings| settings.get("inner_optimizer")).or(config);
            folder = inner;
            place = "optimizer/inner_optimizer/vars".to_owned();
        }
        let Some(vars) = folder.group("vars") else { return Ok(None) };
        let named = config.and_then(|config| config.get("class_name")?.text());
        let class = named.map(str::to_owned).or_else(|| vars.attribute("name").map(class_of)).unwrap_or_default();
        let config = config.and_then(|config| config.get("config"));
        let variables = vars.numbered().map_err(|what| format!("{place}: {what}"))?;
        let (header, rest) = header(&variables, config);
        let (read, unknown) = match slots(&class, config, rest, trained) {
            Ok(None) if !rest.is_empty() => {
                (None, Some(format!("{} variables of the optimizer {class:?}", rest.len())))
            }
            Ok(read) => (read, None),
            // Without a configuration frozen layers count as trained.
            Err(what) => (None, Some(what)),
        };
        let iteration = header.first().and_then(|tensor| tensor.scalar()).map(|number| number as i64);
        let rate = header.get(1).and_then(|tensor| tensor.scalar());
        Ok(Some(Self { class, config, place, iteration, rate, slots: read, unknown, loss_scale }))
    }

    /// Returns the shapes of the weights that it updates, in its order; `None` where it has nothing for each.
    pub(super) fn shapes(&self) -> Option<&[Vec<usize>]> {
        self.slots.as_ref().map(|slots| slots.shapes.as_slice())
    }

    /// Puts it into the description of a run with `weights` in their order, if `peer` says that it is known.
    ///
    /// # Errors
    /// It updates other weights.
    pub(super) fn describe(self, weights: &[Weight], peer: &mut Peer) -> Result<(), String> {
        let trained: Vec<&Weight> = weights.iter().filter(|weight| weight.trained).collect();
        let accumulation = self.number("gradient_accumulation_steps").filter(|steps| *steps > 1.0);
        peer.accumulation = accumulation.map(|steps| steps as u64);
        let micro_batches = self.iteration.and_then(|count| u64::try_from(count).ok());
        let updates = micro_batches.map(|count| count / peer.accumulation.unwrap_or(1));
        peer.updates = updates;
        peer.clipping = clipping(self.config);
        peer.loss_scale = self.loss_scale;
        let mut parameters = Vec::new();
        for (number, weight) in trained.iter().enumerate() {
            let name = peer.model.in_order.then(|| weight.named.name.clone());
            let states = self.slots.as_ref().map(|slots| slots.states(number)).unwrap_or_default();
            let numbers = self.slots.as_ref().map(Slots::numbers).unwrap_or_default();
            parameters.push(Parameter { id: number.to_string(), name, updates, states, numbers });
        }
        if let Some(averages) = self.slots.as_ref().and_then(|slots| slots.of("average")) {
            let tensors = if peer.model.in_order { renamed(&trained, averages) } else { Vec::new() };
            let place = format!("{}, after iteration and rate", self.place);
            peer.averages = Some(Averages { place, tensors, count: updates, decay: self.number("ema_momentum") });
        }
        let schedule =
            self.config.and_then(|config| config.get("learning_rate")).filter(|rate| rate.number().is_none());
        let rate_of = if self.rate.is_some() { RateOf::Constant } else { RateOf::Unknown };
        let settings = self.config.map(|config| settings(config, &["name", "learning_rate"])).unwrap_or_default();
        let settings = settings.into_iter().filter(|(_, value)| *value != crate::peers::peer::Setting::Null).collect();
        let group = Group { lr: self.rate, rate_of, initial_lr: None, settings, parameters };
        self.count(micro_batches, peer);
        peer.schedules.extend(schedule.map(|schedule| form(schedule, micro_batches)));
        self.remark(schedule.is_some(), peer);
        peer.optimizers.push(Optimizer {
            class: self.class,
            named: true,
            dialect: Dialect::Keras,
            groups: vec![group],
            updates,
        });
        Ok(())
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.config.and_then(|config| config.get(key)?.number())
    }

    fn count(&self, micro_batches: Option<u64>, peer: &mut Peer) {
        let Some(count) = micro_batches else { return };
        let counts = match peer.accumulation {
            Some(steps) => format!("micro-batches, {steps} for each update"),
            None => "optimizer updates".to_owned(),
        };
        peer.counters.push(Counter { name: format!("{}/0", self.place), value: count as f64, counts });
    }

    fn remark(&self, scheduled: bool, peer: &mut Peer) {
        let mut remark = |what: &str| peer.remarks.push(what.to_owned());
        match self.class.as_str() {
            "SGD" if self.slots.is_some() => {
                remark("the momentum of SGD has the rate in it: v = momentum * v - lr * gradient, w += v");
            }
            "Adam" | "AdamW" => remark("epsilon is added to the root of the velocity as it is, not as it is corrected"),
            _ => {}
        }
        if peer.averages.is_some() {
            remark("a file saved after the end of `fit` has the averages in place of the live weights");
        }
        if self.number("weight_decay").is_some() {
            let what =
                "weights without decay: a call of exclude_from_weight_decay is in no file; without one all decay";
            peer.missing.push(what.to_owned());
        }
        if self.config.is_none() {
            let what = "the optimizer's settings, clipping and the schedule: only a .keras file has them";
            peer.missing.push(what.to_owned());
        } else if !scheduled {
            let what = "callbacks that change the rate (ReduceLROnPlateau, LearningRateScheduler): no file has them";
            peer.missing.push(what.to_owned());
        }
        peer.left.extend(self.unknown.iter().map(|what| format!("{}: {what}", self.place)));
        if self.slots.as_ref().is_some_and(|slots| slots.of(UNTOLD).is_some()) {
            let what = "averages of the weights or accumulated gradients; only a .keras file tells which";
            peer.left.push(format!("{}: {what}", self.place));
        }
    }
}

/// Splits variables into the header, which is the iteration and the rate where it is a number, and the rest.
fn header<'t, 's>(variables: &'s [&'t Tensor], config: Option<Ref<'_>>) -> (&'s [&'t Tensor], &'s [&'t Tensor]) {
    let is_float = |tensor: &Tensor| tensor.shape().is_empty() && tensor.dtype().bitsize() >= 16 && is_float(tensor);
    let rate = config.and_then(|config| config.get("learning_rate"));
    let with_rate = match rate {
        Some(rate) => rate.number().is_some(),
        None => variables.get(1).is_some_and(|tensor| is_float(tensor)),
    };
    variables.split_at(variables.len().min(if with_rate { 2 } else { 1 }))
}

fn is_float(tensor: &Tensor) -> bool {
    use crate::peers::tensor::Dtype;
    matches!(tensor.dtype(), Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Returns the class that has this automatic name, or the name itself.
fn class_of(name: &str) -> String {
    let base = name.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches('_');
    let known = CLASSES.iter().find(|class| snake_case(class) == base || class.eq_ignore_ascii_case(base));
    known.map_or(name, |class| class).to_owned()
}

/// Returns the loss scale of mixed precision, from the variables around the inner optimizer's.
fn scale(folder: &Folder, settings: Option<Ref<'_>>) -> Result<Option<LossScale>, String> {
    let Some(vars) = folder.group("vars") else { return Ok(None) };
    let variables = vars.numbered().map_err(|what| format!("optimizer/vars: {what}"))?;
    // Iteration, a rate that is not used, the counter of good steps, and the scale; then those of the inner optimizer.
    let (Some(since), Some(scale)) = (variables.get(2), variables.get(3)) else { return Ok(None) };
    let (Some(since), Some(scale)) = (since.scalar(), scale.scalar()) else { return Ok(None) };
    let interval = settings.and_then(|settings| settings.get("dynamic_growth_steps")?.number());
    Ok(Some(LossScale {
        scale,
        growth_factor: 2.0,
        backoff_factor: 0.5,
        growth_interval: interval.unwrap_or(GROWTH_INTERVAL) as u64,
        since: since as u64,
    }))
}

/// Describes the schedule by its class and settings.
fn form(schedule: Ref<'_>, micro_batches: Option<u64>) -> Schedule {
    let class = schedule.get("class_name").and_then(Ref::text).unwrap_or("unknown");
    let settings = schedule.get("config").map(|config| settings(config, &["name"])).unwrap_or_default();
    let form = Form { class: format!("keras.{class}"), settings, members: Vec::new() };
    let base = form.number("initial_learning_rate");
    Schedule {
        optimizer: 0,
        at: micro_batches.map(|count| count as f64),
        unit: Unit::Updates,
        base_lrs: base.into_iter().collect(),
        last_lrs: Vec::new(),
        late: 0,
        in_f32: true,
        form,
    }
}
