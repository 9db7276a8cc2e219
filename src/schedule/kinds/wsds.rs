use super::floor::Floor;
use super::*;

kind! {
    /// Hold and decay in each of `periods`: at its end the rate is the floor for one update, then the peak again.
    ///
    /// The first period begins with the warm-up. The floor is reached at the update whose number is the sum of the
    /// periods so far; after the last one it is held. So a checkpoint at the end of a period is as good as one of a run
    /// that ended there.
    ///
    /// Source: Wen and others, "Understanding warmup-stable-decay learning rates" (2024), WSD-S; OLMo-core's `WSDS`.
    wsds => Wsds {
        /// The lengths of the periods.
        periods: List<Length> where AT_LEAST_ONE,
        /// The length of the decay in each.
        decay: Length,
        /// The length of the warm-up, a part of the first period; 0 by default.
        warmup: Length = Length::Steps(0),
        /// The floor; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The floor as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for Wsds {
    fn plan(&self, context: &Context) -> Planned {
        let (warmup, decay) = (context.length("warmup", self.warmup)?, context.length("decay", self.decay)?);
        let mut ends = Vec::with_capacity(self.periods.len());
        let mut end = 0u64;
        for (index, period) in self.periods.iter().enumerate() {
            let field = format!("periods[{index}]");
            let length = context.period(&field, *period)?;
            let within = if index == 0 { decay.saturating_add(warmup) } else { decay };
            if within > length {
                let rule = format!("warm-up and decay within it take {within}; make it longer");
                return Err(context.refuse(&field, period, &rule));
            }
            end = end.saturating_add(length);
            ends.push(end);
        }
        if ends.is_empty() {
            return Err(context.refuse("periods", "an empty list", "there must be at least one period"));
        }
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        curve(move |t, base| {
            let floor = floor.rate(base);
            if t < warmup {
                return base * progress(t, warmup);
            }
            // The update at the end of a period still belongs to it.
            let Some(&end) = ends.get(ends.partition_point(|&end| end < t)) else { return floor };
            let left = end - t;
            if left >= decay { base } else { floor + (base - floor) * (left as f64 / decay as f64) }
        })
    }

    fn length(&self) -> Option<Length> {
        let (first, rest) = self.periods.split_first()?;
        rest.iter().try_fold(*first, |sum, period| sum.plus(*period))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn each_period_ends_at_the_floor_and_the_next_begins_at_the_peak() {
        let schedule = Schedule::wsds([10, 6], 2).warmup(4).min_ratio(0.5);
        let expected = [0.0, 0.5, 1.0, 1.0, 0.75, 0.5, 1.0, 1.0, 0.75, 0.5, 0.5];
        assert_close(rates(schedule, [0, 2, 4, 8, 9, 10, 11, 14, 15, 16, u64::MAX]), expected);
    }

    #[test]
    fn a_period_shorter_than_its_parts_is_refused() {
        let message = refusal(Schedule::wsds([5, 5], 2).warmup(4));
        assert_eq!(message, "`wsds`: periods[0] is 5; warm-up and decay within it take 6; make it longer");
    }
}
