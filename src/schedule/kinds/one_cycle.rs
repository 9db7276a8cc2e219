use super::*;

words! {
    /// Shape of a phase between its first and last rate.
    Anneal {
        /// Along half a cosine.
        Cos = "cos",
        /// Along a straight line.
        Linear = "linear",
    }
}

kind! {
    /// From `base / div_factor` up to `base`, then down to `base / div_factor / final_div_factor`.
    ///
    /// `base` is the peak. It is reached at `pct_start * total - 1`. The last rate is reached at `total - 1` and held;
    /// PyTorch's rate rises again from there, or turns negative. With `three_phase` the fall pauses at `base /
    /// div_factor`, at `2 * pct_start * total - 2`. Momentum goes the other way, from `high` to `low` and back.
    ///
    /// Source: Smith and Topin, "Super-convergence" (2018); PyTorch's `OneCycleLR`.
    one_cycle => OneCycle {
        /// The length of the cycle.
        total: Length where AT_LEAST_ONE,
        /// The share of the cycle in which the rate rises; 0.3 by default.
        pct_start: f64 where FRACTION = 0.3,
        /// The shape of each phase; half a cosine by default.
        anneal: Anneal = Anneal::Cos,
        /// The ratio of the peak to the first rate; 25 by default.
        div_factor: f64 where POSITIVE = 25.0,
        /// The ratio of the first rate to the last; 1e4 by default.
        final_div_factor: f64 where POSITIVE = 1e4,
        /// Whether the fall mirrors the rise before the last descent; not by default.
        three_phase: bool = false,
        /// `[low, high]`: momentum cycles too, against the rate; unchanged by default.
        momentum?: Momentum,
    }
}

impl Kind for OneCycle {
    fn plan(&self, context: &Context) -> Planned {
        let total = context.period("total", self.total)?;
        let pct_start = self.pct_start;
        let first = 1.0 / self.div_factor;
        let last = first / self.final_div_factor;
        for (field, value, factor) in
            [("div_factor", self.div_factor, first), ("final_div_factor", self.final_div_factor, last)]
        {
            if !factor.is_finite() {
                return Err(context.refuse(field, value, "it is so small that the rate is infinite"));
            }
        }
        let Momentum { low, high } = self.momentum.unwrap_or(Momentum { low: 0.0, high: 0.0 });
        let (peak, end) = (pct_start * total as f64 - 1.0, total as f64 - 1.0);
        let rise = Phase { start: 0.0, end: peak, factors: [first, 1.0], momentum: [high, low] };
        let phases = if self.three_phase {
            let back = 2.0 * pct_start * total as f64 - 2.0;
            let fall = Phase { start: peak, end: back, factors: [1.0, first], momentum: [low, high] };
            vec![rise, fall, Phase { start: back, end, factors: [first, last], momentum: [high, high] }]
        } else {
            vec![rise, Phase { start: peak, end, factors: [1.0, last], momentum: [low, high] }]
        };
        let drives_momentum = context.momentum(self.momentum)?.is_some();
        Ok(Box::new(Phases { last_step: total - 1, anneal: self.anneal, phases, drives_momentum }))
    }

    fn length(&self) -> Option<Length> {
        Some(self.total)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        Some(Self { total: length, ..self.clone() }.into())
    }
}

/// A phase: a stretch of time, with the factors and momenta at both ends.
#[derive(Clone, Copy)]
struct Phase {
    start: f64,
    end: f64,
    factors: [f64; 2],
    momentum: [f64; 2],
}

struct Phases {
    last_step: u64,
    anneal: Anneal,
    phases: Vec<Phase>,
    drives_momentum: bool,
}

impl Phases {
    /// Interpolates `ends` of the phase at `t`: the first phase that has not ended, otherwise the last.
    fn value(&self, t: u64, ends: impl Fn(&Phase) -> [f64; 2]) -> f64 {
        let t = t.min(self.last_step) as f64;
        let phase = self.phases.iter().find(|phase| t <= phase.end).or(self.phases.last());
        let Some(phase) = phase else { return 0.0 };
        let [from, to] = ends(phase);
        let length = phase.end - phase.start;
        let x = if length > 0.0 { ((t - phase.start) / length).clamp(0.0, 1.0) } else { 1.0 };
        match self.anneal {
            Anneal::Cos => half_cosine(from, to, x),
            Anneal::Linear => from + (to - from) * x,
        }
    }
}

impl Curve for Phases {
    fn rate(&self, at: At<'_>) -> f64 {
        at.base * self.value(at.t, |phase| phase.factors)
    }

    fn momentum(&self, t: u64, _group: usize) -> Option<f64> {
        self.drives_momentum.then(|| self.value(t, |phase| phase.momentum))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_peaks_at_the_base_rate_and_holds_the_last() {
        let schedule = Schedule::one_cycle(50).pct_start(0.5).div_factor(4.0).final_div_factor(2.0);
        assert_close(rates(schedule, [0, 24, 49, 50, 51, u64::MAX]), [0.25, 1.0, 0.125, 0.125, 0.125, 0.125]);
    }

    #[test]
    fn in_three_phases_it_stops_where_it_started() {
        let schedule = Schedule::one_cycle(100).pct_start(0.25).three_phase(true).anneal(Anneal::Linear);
        assert_close(rates(schedule, [0, 24, 48, 99]), [0.04, 1.0, 0.04, 4e-6]);
    }

    #[test]
    fn momentum_goes_against_the_rate() {
        let plan = plan(Schedule::one_cycle(50).pct_start(0.5).momentum([0.85, 0.95])).unwrap();
        assert_eq!([0, 24, 49, 50].map(|t| plan.momentum(t, 0)), [0.95, 0.85, 0.95, 0.95].map(Some));
        assert_eq!(super::super::testing::plan(Schedule::one_cycle(50)).unwrap().momentum(3, 0), None);
    }

    #[test]
    fn a_cycle_of_one_step_has_a_finite_rate() {
        assert!(rates(Schedule::one_cycle(1), [0, 1]).iter().all(|rate| rate.is_finite()));
    }

    #[test]
    fn factors_of_nothing_are_refused() {
        let message = refusal(Schedule::one_cycle(50).div_factor(0.0));
        assert_eq!(message, "`one_cycle`: div_factor is 0; it must be above 0");
        let message = refusal(Schedule::one_cycle(50).pct_start(1.5));
        assert_eq!(message, "`one_cycle`: pct_start is 1.5; it must be from 0 to 1");
    }
}
