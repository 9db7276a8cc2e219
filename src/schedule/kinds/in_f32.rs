use super::*;

kind! {
    /// The rate of `schedule`, rounded to the nearest f32.
    ///
    /// Only the result is rounded. Keras and optax round inside of their formulas as well, and a rate that PyTorch has
    /// in a tensor is rounded in each update: their rates are within about 1e-6 of these, as a share. A rate above
    /// 3.4e38 is infinite, and refused. Momentum is not rounded.
    ///
    /// Source: the type of rates in `keras.optimizers.schedules`, in optax, and in PyTorch where `lr` is a tensor.
    in_f32 => InF32 {
        /// The schedule whose rate is rounded.
        schedule: Schedule,
    }
}

impl Kind for InF32 {
    fn plan(&self, context: &Context) -> Planned {
        Ok(Box::new(Rounded(context.child("schedule", &self.schedule)?)))
    }

    fn length(&self) -> Option<Length> {
        self.schedule.length()
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        Some(Self { schedule: self.schedule.lasting_inside(length)? }.into())
    }

    fn phases(&self, phases: &mut Phases<'_>) {
        phases.of(&self.schedule);
    }
}

struct Rounded(Box<dyn Curve>);

impl Curve for Rounded {
    fn rate(&self, at: At<'_>) -> f64 {
        f64::from(self.0.rate(at) as f32)
    }

    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.0.momentum(t, group)
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        self.0.report(t, metric, memory);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn every_rate_is_an_f32() {
        let found = rates(Schedule::in_f32(Schedule::exponential(0.9)), [0, 1, 2]);
        assert_eq!(found, [1.0, f64::from(0.9f32), f64::from(0.81f32)]);
    }

    /// PyTorch 2.15, ten updates of `ExponentialLR(0.9)` on `lr=torch.tensor(0.01)`, which it rounds after each.
    #[test]
    fn a_rate_that_pytorch_has_in_a_tensor_is_met_to_one_part_in_a_million() {
        let plan = plan(Schedule::in_f32(Schedule::exponential(0.9))).unwrap();
        let (found, expected) = (plan.rate(10, f64::from(0.01f32), 0), 0.003486783243715763);
        assert!((found - expected).abs() < 1e-6 * expected, "{found}");
    }
}
