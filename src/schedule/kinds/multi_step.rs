use super::floor::Floor;
use super::*;

kind! {
    /// `base * gamma^n`, where `n` is the number of milestones at or before `t`.
    ///
    /// The drop is at `t == milestone`; a repeated milestone counts each time. The rate never falls below the
    /// floor.
    ///
    /// Source: PyTorch's `MultiStepLR`.
    multi_step => MultiStep {
        /// The times at which the rate drops, in order.
        milestones: List<Length>,
        /// The factor per drop; 0.1 by default.
        gamma: f64 where DECAY = 0.1,
        /// The rate at which it stops to fall; 0 by default.
        eta_min: f64 where NOT_NEGATIVE = 0.0,
        /// The same as a share of `base`, in place of `eta_min`.
        min_ratio?: f64 where FRACTION,
    }
}

impl Kind for MultiStep {
    fn plan(&self, context: &Context) -> Planned {
        let milestones = context.in_order("milestones", &self.milestones)?;
        let gamma = self.gamma;
        let floor = Floor::of(context, self.eta_min, self.min_ratio)?;
        curve(move |t, base| floor.hold(base * power(gamma, passed(&milestones, t) as u64), base))
    }
}

/// Returns how many of `milestones` are at or before `t`.
pub(super) fn passed(milestones: &[u64], t: u64) -> usize {
    milestones.partition_point(|&milestone| milestone <= t)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_drops_at_the_milestone_and_twice_where_it_is_repeated() {
        let schedule = Schedule::multi_step([5, 10, 10]).gamma(0.5);
        assert_eq!(rates(schedule, [4, 5, 9, 10, u64::MAX]), [1.0, 0.5, 0.5, 0.125, 0.125]);
    }

    #[test]
    fn milestones_out_of_order_are_refused() {
        let message = refusal(Schedule::multi_step([10, 5]));
        assert_eq!(message, "`multi_step`: milestones[1] is 5; it comes before the one ahead of it; put them in order");
    }
}
