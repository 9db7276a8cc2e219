//! Cycles of a decay that starts again: their lengths, tops and floors. Not a kind; the kinds with restarts share it.

use super::floor::Floor;
use super::*;

words! {
    /// Which part of a cycle `cycle_decay` makes smaller.
    Decays {
        /// The top; the floor stays, as in timm.
        Top = "top",
        /// The top and the floor, as in fairseq.
        Both = "both",
        /// The distance between the floor and the top, as in Keras.
        Height = "height",
    }
}

/// The cycles of a schedule with restarts, checked and resolved.
#[derive(Clone, Copy)]
pub(super) struct Cycles {
    lengths: Lengths,
    floor: Floor,
    cycle_decay: f64,
    cycle_limit: Option<u64>,
    decays: Decays,
}

/// The parameters of a kind with restarts, as they are written.
pub(super) struct Written {
    pub t_0: Length,
    pub t_mult: f64,
    pub warmup: Length,
    pub eta_min: f64,
    pub min_ratio: Option<f64>,
    pub cycle_decay: f64,
    pub cycle_limit: Option<u64>,
    pub decays: Decays,
}

/// Returns the cycles of a kind with restarts, whose fields have the names of [`Written`]'s.
macro_rules! cycles {
    ($kind:ident, $context:ident) => {
        $crate::schedule::kinds::cycles::Cycles::new(
            $context,
            &$crate::schedule::kinds::cycles::Written {
                t_0: $kind.t_0,
                t_mult: $kind.t_mult,
                warmup: $kind.warmup,
                eta_min: $kind.eta_min,
                min_ratio: $kind.min_ratio,
                cycle_decay: $kind.cycle_decay,
                cycle_limit: $kind.cycle_limit,
                decays: $kind.decays,
            },
        )
    };
}
pub(super) use cycles;

impl Cycles {
    pub fn new(context: &Context, written: &Written) -> Result<Self, ScheduleError> {
        let t_0 = context.period("t_0", written.t_0)?;
        let warmup = context.length("warmup", written.warmup)?;
        if warmup >= t_0 {
            return Err(context.refuse(
                "warmup",
                warmup,
                &format!("it must be shorter than the cycle, which is {t_0}"),
            ));
        }
        Ok(Self {
            lengths: Lengths { t_0, warmup, t_mult: written.t_mult },
            floor: Floor::of(context, written.eta_min, written.min_ratio)?,
            cycle_decay: written.cycle_decay,
            cycle_limit: written.cycle_limit,
            decays: written.decays,
        })
    }

    /// Returns the rate at `t`. `fall` gives the rate within a decay from its top, its floor, and the share that has
    /// passed.
    pub fn rate(&self, t: u64, base: f64, fall: impl Fn(f64, f64, f64) -> f64) -> f64 {
        let cycle = self.lengths.at(t);
        if let Some(limit) = self.cycle_limit.filter(|&limit| cycle.index >= limit) {
            return self.ends(limit - 1, base).1;
        }
        let (top, floor) = self.ends(cycle.index, base);
        let warmup = self.lengths.warmup as f64;
        if cycle.passed < warmup {
            return floor + (top - floor) * (cycle.passed / warmup);
        }
        fall(top, floor, (cycle.passed - warmup) / (cycle.length - warmup))
    }

    /// Returns the top and the floor of a cycle.
    fn ends(&self, index: u64, base: f64) -> (f64, f64) {
        let (floor, decay) = (self.floor.rate(base), power(self.cycle_decay, index));
        match self.decays {
            Decays::Top => (base * decay, floor),
            Decays::Both => (base * decay, floor * decay),
            Decays::Height => (floor + (base - floor) * decay, floor),
        }
    }
}

/// Cycle `i` is `warmup + (t_0 - warmup) * t_mult^i` long: the warm-up keeps its length.
#[derive(Clone, Copy)]
struct Lengths {
    t_0: u64,
    warmup: u64,
    t_mult: f64,
}

struct Cycle {
    index: u64,
    passed: f64,
    length: f64,
}

impl Lengths {
    /// Returns the cycle that contains `t`. With a whole `t_mult` it is found with integers, so restarts are exact.
    fn at(&self, t: u64) -> Cycle {
        if self.t_mult == 1.0 {
            return Cycle { index: t / self.t_0, passed: (t % self.t_0) as f64, length: self.t_0 as f64 };
        }
        // A cast of a larger number gives the largest u64, and such a cycle never ends either way.
        if self.t_mult.fract() == 0.0 { self.whole(t, self.t_mult as u64) } else { self.fractional(t) }
    }

    /// A growing cycle exceeds u64 after at most 64 rounds.
    fn whole(&self, t: u64, t_mult: u64) -> Cycle {
        let (mut index, mut passed, mut decay) = (0, t, self.t_0 - self.warmup);
        loop {
            let length = decay.saturating_add(self.warmup);
            if passed < length || length == u64::MAX {
                return Cycle { index, passed: passed as f64, length: length as f64 };
            }
            passed -= length;
            decay = decay.saturating_mul(t_mult);
            index += 1;
        }
    }

    /// Starts of cycles are no whole numbers here; the first update at or after one belongs to the new cycle. Every
    /// cycle is at least as long as the first, which bounds the search.
    fn fractional(&self, t: u64) -> Cycle {
        let (mut index, mut beyond) = (0, t / self.t_0 + 1);
        while beyond - index > 1 {
            let middle = index + (beyond - index) / 2;
            if self.start(middle) <= t as f64 { index = middle } else { beyond = middle }
        }
        let start = self.start(index);
        let length = self.warmup as f64 + (self.t_0 - self.warmup) as f64 * power(self.t_mult, index);
        Cycle { index, passed: (t as f64 - start).max(0.0), length }
    }

    fn start(&self, index: u64) -> f64 {
        let decays = (power(self.t_mult, index) - 1.0) / (self.t_mult - 1.0);
        index as f64 * self.warmup as f64 + (self.t_0 - self.warmup) as f64 * decays
    }
}
