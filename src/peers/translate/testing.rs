//! Peers as tests need them: a form with settings, one group, and its rate.

use super::{RateSchedule, Refusal};
use crate::peers::Peer;
use crate::peers::peer::{Dialect, Form, Group, Optimizer, Parameter, RateOf, Schedule, Setting, Trainer, Unit};
use crate::schedule::{RunLength, Scheduler};

/// Returns a form with numbers as settings.
pub(super) fn form<const N: usize>(class: &str, numbers: [(&str, f64); N]) -> Form {
    let settings = numbers.map(|(key, number)| (key.to_owned(), Setting::Number(number)));
    Form { class: class.to_owned(), settings: settings.into(), members: Vec::new() }
}

impl Form {
    /// Adds a setting.
    pub(super) fn with(mut self, key: &str, setting: Setting) -> Self {
        self.settings.push((key.to_owned(), setting));
        self
    }

    /// Adds members.
    pub(super) fn of<const N: usize>(mut self, members: [Form; N]) -> Self {
        self.members = members.into();
        self
    }
}

/// Returns a word.
pub(super) fn word(word: &str) -> Setting {
    Setting::Text(word.to_owned())
}

/// Returns a group with one parameter, and numbers as settings.
pub(super) fn group<const N: usize>(lr: Option<f64>, numbers: [(&str, f64); N]) -> Group {
    let settings = numbers.map(|(key, number)| (key.to_owned(), Setting::Number(number)));
    let parameter =
        Parameter { id: "0".to_owned(), name: None, updates: None, states: Vec::new(), numbers: Vec::new() };
    Group { lr, rate_of: RateOf::Next, initial_lr: None, settings: settings.into(), parameters: vec![parameter] }
}

/// Returns a run of one optimizer without a schedule.
pub(super) fn run(class: &str, dialect: Dialect, groups: Vec<Group>) -> Peer {
    let mut peer = Peer::new("file", Trainer::PyTorch, "test");
    let optimizer = Optimizer { class: class.to_owned(), named: true, dialect, groups, updates: Some(10) };
    peer.updates = Some(10);
    peer.optimizers.push(optimizer);
    peer
}

/// Returns a run that stands at update `at` of a schedule, with the present rates `lrs` and the base rates `bases`.
pub(super) fn scheduled(form: Form, bases: &[f64], at: u64, lrs: &[f64]) -> Peer {
    let groups = lrs.iter().map(|lr| group(Some(*lr), [])).collect();
    let mut peer = run("SGD", Dialect::Torch, groups);
    peer.updates = Some(at);
    peer.optimizers[0].updates = Some(at);
    peer.schedules.push(Schedule {
        form,
        optimizer: 0,
        at: Some(at as f64),
        unit: Unit::Updates,
        base_lrs: bases.to_vec(),
        last_lrs: lrs.to_vec(),
        late: 0,
        in_f32: false,
    });
    peer
}

/// A run without an end, of one update per epoch.
pub(super) const RUN: RunLength = RunLength { total_steps: None, steps_per_epoch: 1 };

/// Returns the rates of the updates from `from` to `to`, for each group, with the memory that was translated.
pub(super) fn rates(schedule: &RateSchedule, from: u64, to: u64) -> Vec<Vec<f64>> {
    let scheduler = Scheduler::new(schedule.schedule.clone(), schedule.base_lrs.clone(), RUN).unwrap();
    (from..to).map(|t| scheduler.rates_at(t)).collect()
}

/// Checks that a form of one group, seen after `at` updates, is translated to `expected` in the next updates.
#[track_caller]
pub(super) fn gives(form: Form, base: f64, at: u64, expected: impl Fn(u64) -> f64) -> RateSchedule {
    let translated = translated(scheduled(form, &[base], at, &[expected(at)]));
    let highest = translated.base_lrs[0];
    for (t, rates) in (at..at + 60).zip(rates(&translated, at, at + 60)) {
        let wanted = expected(t);
        assert!(
            (rates[0] - wanted).abs() <= 1e-12 * wanted.abs().max(highest),
            "`{}` gives {} at {t} instead of {wanted}",
            translated.schedule,
            rates[0]
        );
    }
    translated
}

/// Returns the translation of the first optimizer's schedule.
#[track_caller]
pub(super) fn translated(peer: Peer) -> RateSchedule {
    super::schedule(&peer, 0).unwrap().unwrap()
}

/// Returns the reason why the first optimizer's schedule is not translated.
#[track_caller]
pub(super) fn refused(peer: Peer) -> Refusal {
    super::schedule(&peer, 0).unwrap_err()
}
