//! The catalogue: one file per kind of schedule, with its formula, its edge cases in words, and its source.
//!
//! To add a kind, write its file and its line in `catalogue!` below.

use super::Schedule;
use super::argument::{Argument, ForGroups, List, Momentum};
use super::context::Context;
use super::custom;
use super::definition::{Definition, Kind, kind, words};
use super::error::{Problem, ScheduleError, caret, suggestion};
use super::length::Length;
use super::memory::{self, Extended, Improvement, Memory, Mode, ThresholdMode};
use super::phases::Phases;
use super::plan::{At, Curve};

mod cycles;
mod floor;

/// Lists the files of the catalogue and the kind that each defines.
macro_rules! catalogue {
    ($($file:ident::$Kind:ident,)*) => {
        $(mod $file;
        pub use $file::$Kind;)*

        static CATALOGUE: &[&Definition] = &[$(&$Kind::DEFINITION),*];

        /// Returns the kinds in the catalogue.
        pub(super) fn definitions() -> &'static [&'static Definition] {
            CATALOGUE
        }

        /// The names of the kinds in the catalogue.
        pub const NAMES: &[&str] = &[$($Kind::DEFINITION.name),*];
    };
}

catalogue! {
    constant::Constant,
    linear::Linear,
    step::Step,
    multi_step::MultiStep,
    exponential::Exponential,
    polynomial::Polynomial,
    cosine::Cosine,
    cosine_restarts::CosineRestarts,
    polynomial_restarts::PolynomialRestarts,
    tanh_restarts::TanhRestarts,
    cyclic::Cyclic,
    one_cycle::OneCycle,
    inverse_sqrt::InverseSqrt,
    power::Power,
    wsd::Wsd,
    wsds::Wsds,
    noam::Noam,
    tanh::Tanh,
    rex::Rex,
    hyperbolic::Hyperbolic,
    inverse_time::InverseTime,
    piecewise::Piecewise,
    expr::Expr,
    warmup::Warmup,
    sequential::Sequential,
    chained::Chained,
    per_group::PerGroup,
    late::Late,
    early::Early,
    until::Until,
    repeat::Repeat,
    in_f32::InF32,
    plateau::Plateau,
    greedy::Greedy,
    newbob::Newbob,
    adaptive::Adaptive,
}

pub use cosine::After;
pub use cycles::Decays;
pub use cyclic::CycleMode;
pub use one_cycle::Anneal;
pub use piecewise::Interpolate;
pub use warmup::Rise;
pub use wsd::{Shape, StableShape};

/// Returns the definition of the kind called `name`, from the catalogue or registered.
pub(super) fn find(name: &str) -> Result<&'static Definition, Problem> {
    if let Some(known) = CATALOGUE.iter().find(|definition| definition.name == name) {
        return Ok(known);
    }
    let registered = custom::definitions();
    registered.iter().find(|definition| definition.name == name).copied().ok_or_else(|| {
        let names = NAMES.iter().copied().chain(registered.iter().map(|definition| definition.name));
        let suggestion = suggestion(name, names);
        let register = "a user-defined kind must be registered first, with `rekindle::schedule::register`";
        Problem::new(format!("there is no kind of schedule called `{name}`; {suggestion} ({register})"))
    })
}

/// Result of planning a kind.
type Planned = Result<Box<dyn Curve>, ScheduleError>;

/// Builds a plan that is a plain function of `t` and base rate.
fn curve(function: impl Fn(u64, f64) -> f64 + Send + Sync + 'static) -> Planned {
    Ok(Box::new(function))
}

/// Returns the share of `total` that has passed at `t`, at most 1.
fn progress(t: u64, total: u64) -> f64 {
    t.min(total) as f64 / total as f64
}

/// Returns `factor^count` for any count.
fn power(factor: f64, count: u64) -> f64 {
    factor.powf(count as f64)
}

/// Returns the value at `x` of half a cosine wave, from `from` at 0 to `to` at 1.
fn half_cosine(from: f64, to: f64, x: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * x).cos())
}

#[cfg(test)]
mod testing {
    //! Helpers of the tests of all kinds.

    use super::super::{Plan, RunLength, ScheduleError, Scheduler};
    use super::*;

    /// A run of 100 steps in 10 epochs.
    pub const RUN: RunLength = RunLength { total_steps: Some(100), steps_per_epoch: 10 };

    /// Returns the plan of `schedule` for [`RUN`] with one group.
    pub fn plan(schedule: impl Into<Schedule>) -> Result<Plan, ScheduleError> {
        schedule.into().plan(&RUN, 1)
    }

    /// Returns the rates at `ts` for a base rate of 1.
    pub fn rates<const N: usize>(schedule: impl Into<Schedule>, ts: [u64; N]) -> [f64; N] {
        let plan = plan(schedule).unwrap();
        ts.map(|t| plan.rate(t, 1.0, 0))
    }

    /// Returns the rate of each update, from number 0, after which one of these metrics is reported, and the rate after
    /// the last.
    pub fn reported(schedule: impl Into<Schedule>, base: f64, metrics: &[f64]) -> Vec<f64> {
        let mut scheduler = Scheduler::new(schedule, vec![base], RUN).unwrap();
        let mut rates = scheduler.rates();
        for metric in metrics {
            scheduler.advance();
            scheduler.report(*metric);
            rates.extend(scheduler.rates());
        }
        rates
    }

    /// Returns the message with which planning is refused.
    pub fn refusal(schedule: impl Into<Schedule>) -> String {
        plan(schedule).unwrap_err().to_string()
    }

    /// Asserts equality within 1e-14 of the larger of both, which allows a few roundings.
    #[track_caller]
    pub fn assert_close<const N: usize>(actual: [f64; N], expected: [f64; N]) {
        for (a, e) in actual.iter().zip(&expected) {
            assert!((a - e).abs() <= 1e-14 * a.abs().max(e.abs()).max(1e-3), "{actual:?} is not {expected:?}");
        }
    }
}
