use super::*;

words! {
    /// Shape of a phase from 0 to 1; a decay runs from 1 to 0.
    Shape {
        /// Along a straight line.
        Linear = "linear",
        /// Along half a cosine.
        Cosine = "cosine",
        /// Up as `1 - sqrt(1 - x)`, down as `1 - sqrt(x)`.
        OneMinusSqrt = "1-sqrt",
        /// Down as `1 - x^2`, up as `1 - (1 - x)^2`.
        OneMinusSquare = "1-x^2",
        /// Down as `2 * 0.5^x - 1`, up as `2 * 0.5^(1 - x) - 1`, as in Megatron.
        Exponential = "exponential",
        /// By the same factor in each update, between the floor and the rate of the stable phase: the last stage of
        /// fairseq's tri-stage schedule. The floor must be above 0.
        Geometric = "geometric",
        /// Down as `1 - x^p`, up as `1 - (1 - x)^p`, where `p` is `shape_power`: 0.5 is "1-sqrt", 1 a straight line.
        Power = "power",
    }
}

words! {
    /// Shape of the rate between warm-up and decay.
    StableShape {
        /// The rate is constant.
        Constant = "constant",
        /// The rate falls as `1 / sqrt(1 + t / stable_timescale)`, and continues to fall in the decay.
        Rsqrt = "rsqrt",
    }
}

kind! {
    /// Warm up for `warmup`, hold for `stable`, decay for `decay`.
    ///
    /// With `min_ratio` r, each phase's factor f from 0 to 1 becomes `f * (1 - r) + r` times `base`; the warm-up then
    /// starts at `base * r`. With `eta_min` instead, the decay goes from the stable value down to that rate, and a
    /// stable value that falls is held at it. The rate is `base` at `t == warmup`; the floor is reached at
    /// `t == warmup + stable + decay`, and held.
    ///
    /// Source: Hu and others, "MiniCPM" (2024); transformers' `get_wsd_schedule` (`min_ratio`); timm's
    /// `WSDLRScheduler` (`eta_min`, `stable_shape`); Megatron-core's `OptimizerParamScheduler` ("exponential");
    /// fairseq's `TriStageLRSchedule` ("geometric").
    wsd => Wsd {
        /// The length of the warm-up; 0 by default.
        warmup: Length = Length::Steps(0),
        /// The length of the stable phase.
        stable: Length,
        /// The length of the decay.
        decay: Length,
        /// The shape of the warm-up; a straight line by default.
        warmup_shape: Shape = Shape::Linear,
        /// The shape of the decay; a straight line by default.
        decay_shape: Shape = Shape::Linear,
        /// The floor as a share of `base`; 0 by default.
        min_ratio?: f64 where FRACTION,
        /// The floor as a rate, in place of `min_ratio`.
        eta_min?: f64 where NOT_NEGATIVE,
        /// The shape of the stable phase; constant by default.
        stable_shape: StableShape = StableShape::Constant,
        /// The time scale of "rsqrt": a larger value falls more slowly; the length of the warm-up by default.
        stable_timescale?: Length where AT_LEAST_ONE,
        /// The exponent of the shape "power"; 2 by default.
        shape_power: f64 where POSITIVE = 2.0,
    }
}

impl Kind for Wsd {
    fn plan(&self, context: &Context) -> Planned {
        let warmup = context.length("warmup", self.warmup)?;
        let stable = context.length("stable", self.stable)?;
        let decay = context.length("decay", self.decay)?;
        let Some(decay_start) = warmup.checked_add(stable) else {
            return Err(context.refuse("stable", stable, "warm-up and stable phase together are longer than time"));
        };
        let floor = match (self.min_ratio, self.eta_min) {
            (Some(_), Some(eta_min)) => {
                return Err(context.refuse("eta_min", eta_min, "there is a min_ratio already; give one of the two"));
            }
            (None, Some(eta_min)) => Floor::Rate(eta_min),
            (ratio, None) => Floor::Ratio(ratio.unwrap_or(0.0)),
        };
        let timescale = self.timescale(context, warmup)?;
        let up = self.warmup_shape.planned(context, "warmup_shape", floor, self.shape_power)?;
        let down = self.decay_shape.planned(context, "decay_shape", floor, self.shape_power)?;
        curve(move |t, base| {
            if t < warmup {
                let x = progress(t, warmup);
                if up.is_geometric() {
                    return geometric(base, floor.rate(base), 1.0 - x);
                }
                let risen = up.rise(x);
                return match floor {
                    Floor::Ratio(ratio) => base * (risen * (1.0 - ratio) + ratio),
                    Floor::Rate(_) => base * risen,
                };
            }
            let fallen = timescale.map_or(1.0, |timescale| 1.0 / (1.0 + (t - warmup) as f64 / timescale).sqrt());
            let passed = if t < decay_start { 0.0 } else { share(t - decay_start, decay) };
            if down.is_geometric() {
                return geometric(floor.above(base, fallen), floor.rate(base), passed);
            }
            let left = if t < decay_start { 1.0 } else { down.fall(passed) };
            match floor {
                Floor::Ratio(ratio) => base * (fallen * left * (1.0 - ratio) + ratio),
                Floor::Rate(eta_min) => eta_min + ((base * fallen).max(eta_min) - eta_min) * left,
            }
        })
    }

    fn length(&self) -> Option<Length> {
        self.warmup.plus(self.stable)?.plus(self.decay)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        let stable = length.minus(self.warmup)?.minus(self.decay)?;
        Some(Self { stable, ..self.clone() }.into())
    }

    fn phases(&self, phases: &mut Phases<'_>) {
        phases.next("warmup", self.warmup);
        phases.next("stable", self.stable);
        phases.rest("decay");
    }
}

impl Wsd {
    /// Returns the time scale of the stable phase, if it falls.
    fn timescale(&self, context: &Context, warmup: u64) -> Result<Option<f64>, ScheduleError> {
        let given = self.stable_timescale.map(|given| context.period("stable_timescale", given)).transpose()?;
        match (self.stable_shape, given.unwrap_or(warmup)) {
            (StableShape::Constant, _) => Ok(None),
            (StableShape::Rsqrt, 0) => {
                Err(context.refuse("stable_timescale", "not given", "without a warm-up, \"rsqrt\" needs one"))
            }
            (StableShape::Rsqrt, timescale) => Ok(Some(timescale as f64)),
        }
    }
}

#[derive(Clone, Copy)]
enum Floor {
    Ratio(f64),
    Rate(f64),
}

impl Floor {
    fn rate(self, base: f64) -> f64 {
        match self {
            Self::Ratio(ratio) => base * ratio,
            Self::Rate(rate) => rate,
        }
    }

    /// Returns the rate of the stable phase, which has fallen to the factor `fallen`.
    fn above(self, base: f64, fallen: f64) -> f64 {
        match self {
            Self::Ratio(ratio) => base * (fallen * (1.0 - ratio) + ratio),
            Self::Rate(rate) => (base * fallen).max(rate),
        }
    }
}

/// Returns the rate that falls from `top` to `floor` by the same factor in each update, after the share `x`.
fn geometric(top: f64, floor: f64, x: f64) -> f64 {
    if top > 0.0 { top * (floor / top).powf(x) } else { 0.0 }
}

/// Like [`progress`], but `total` may be 0: then everything has passed at once.
fn share(t: u64, total: u64) -> f64 {
    if total == 0 { 1.0 } else { progress(t, total) }
}

impl Shape {
    /// Checks that the shape can be followed to this floor.
    fn planned(self, context: &Context, field: &str, floor: Floor, power: f64) -> Result<PlannedShape, ScheduleError> {
        if self == Self::Geometric && floor.rate(1.0) == 0.0 {
            let rule = "it needs a floor above 0: give a min_ratio or an eta_min";
            return Err(context.refuse(field, "\"geometric\"", rule));
        }
        Ok(PlannedShape { shape: self, power })
    }
}

/// A shape with its exponent.
#[derive(Clone, Copy)]
struct PlannedShape {
    shape: Shape,
    power: f64,
}

impl PlannedShape {
    fn is_geometric(self) -> bool {
        self.shape == Shape::Geometric
    }

    /// From 0 at 0 to 1 at 1: the fall backwards.
    fn rise(self, x: f64) -> f64 {
        match self.shape {
            Shape::Linear => x,
            Shape::Cosine => half_cosine(0.0, 1.0, x),
            _ => self.fall(1.0 - x),
        }
    }

    /// From 1 at 0 to 0 at 1.
    fn fall(self, x: f64) -> f64 {
        match self.shape {
            Shape::Linear | Shape::Geometric => 1.0 - x,
            Shape::Cosine => half_cosine(1.0, 0.0, x),
            Shape::OneMinusSqrt => 1.0 - x.sqrt(),
            Shape::OneMinusSquare => 1.0 - x * x,
            Shape::Exponential => 2.0 * 0.5f64.powf(x) - 1.0,
            Shape::Power => 1.0 - x.powf(self.power),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_warms_up_holds_and_decays() {
        let schedule = Schedule::wsd(10, 4).warmup(4);
        assert_close(rates(schedule, [0, 2, 4, 13, 14, 16, 18, u64::MAX]), [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn a_ratio_lifts_the_warm_up_too() {
        let schedule = Schedule::wsd(10, 4).warmup(4).min_ratio(0.5);
        assert_close(rates(schedule, [0, 2, 4, 16, 18]), [0.5, 0.75, 1.0, 0.75, 0.5]);
    }

    #[test]
    fn with_a_floor_in_rates_the_decay_ends_there() {
        let schedule = Schedule::wsd(10, 4).eta_min(0.25).decay_shape(Shape::OneMinusSqrt);
        assert_close(rates(schedule, [0, 10, 11, 14, 99]), [1.0, 1.0, 0.625, 0.25, 0.25]);
    }

    #[test]
    fn a_falling_stable_phase_continues_falling_and_stops_at_the_floor() {
        let schedule = Schedule::wsd(9, 6).stable_shape(StableShape::Rsqrt).stable_timescale(3).eta_min(0.0);
        assert_close(rates(schedule.clone(), [0, 9, 12]), [1.0, 0.5, 0.5 / 5f64.sqrt()]);
        assert_close(rates(schedule.eta_min(0.9), [9, 12]), [0.9, 0.9]);
    }

    #[test]
    fn two_floors_are_refused() {
        let message = refusal(Schedule::wsd(10, 4).min_ratio(0.1).eta_min(0.1));
        assert_eq!(message, "`wsd`: eta_min is 0.1; there is a min_ratio already; give one of the two");
    }

    #[test]
    fn a_falling_stable_phase_without_timescale_is_refused() {
        let message = refusal(Schedule::wsd(10, 4).stable_shape(StableShape::Rsqrt));
        assert_eq!(message, "`wsd`: stable_timescale is not given; without a warm-up, \"rsqrt\" needs one");
    }

    #[test]
    fn a_decay_may_be_exponential_square_or_a_power() {
        let of = |shape| rates(Schedule::wsd(0, 4).decay_shape(shape), [0, 2, 4]);
        assert_close(of(Shape::Exponential), [1.0, 2f64.sqrt() - 1.0, 0.0]);
        assert_close(of(Shape::OneMinusSquare), [1.0, 0.75, 0.0]);
        assert_close(of(Shape::Power), [1.0, 0.75, 0.0]);
        assert_close(rates(Schedule::wsd(0, 4).decay_shape(Shape::Power).shape_power(3.0), [2]), [0.875]);
    }

    #[test]
    fn a_geometric_decay_goes_to_its_floor_by_one_factor() {
        let schedule = Schedule::wsd(2, 4).warmup(2).decay_shape(Shape::Geometric);
        assert_close(rates(schedule.clone().min_ratio(0.01), [0, 1, 2, 4, 6, 8, 9]), [0.01, 0.505, 1.0, 1.0, 0.1, 0.01, 0.01]);
        assert_close(rates(schedule.clone().eta_min(0.01), [1, 6, 8]), [0.5, 0.1, 0.01]);
        let up = Schedule::wsd(2, 4).warmup(2).warmup_shape(Shape::Geometric).min_ratio(0.01);
        assert_close(rates(up, [0, 1, 2]), [0.01, 0.1, 1.0]);
        let message = refusal(schedule);
        let rule = "it needs a floor above 0: give a min_ratio or an eta_min";
        assert_eq!(message, format!("`wsd`: decay_shape is \"geometric\"; {rule}"));
    }
}
