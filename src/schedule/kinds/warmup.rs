use super::*;

words! {
    /// Shape of a warm-up.
    Rise {
        /// Along a straight line.
        Linear = "linear",
        /// Along half a cosine.
        Cosine = "cosine",
        /// By the same factor in each update; the first rate must be above 0.
        Exponential = "exponential",
        /// As `ln(1 + n) / ln(1 + steps)`: fast at first.
        Log = "log",
    }
}

kind! {
    /// `start_lr + (base - start_lr) * n / steps` while `n < steps + first`, then `schedule`, which counts from its own 0.
    ///
    /// Here `n` is `max(t - repeat, 0) + first`. With `first = 1` the first update has `1/steps` of the rate, and the last
    /// of the warm-up the whole of it. With `repeat = 1` the first rate is used for two updates.
    /// With the default `start_lr` the rate at `t = 0` is 0, as in transformers, optax, Keras, Megatron and timm. At
    /// `t == steps` it is the first rate of `schedule`. Zero steps mean no warm-up. `start_lr` is a rate, the same for
    /// all groups. A metric-driven `schedule` receives only the metrics of its own updates.
    ///
    /// Source: transformers' `get_*_schedule_with_warmup`; timm's `warmup_t` with `warmup_prefix`; torchtitan (`first`);
    /// DeepSpeed's `WarmupLR` (`repeat`, "log").
    warmup => Warmup {
        /// The length of the warm-up.
        steps: Length,
        /// The rate at `t = 0`; 0 by default.
        start_lr: f64 where NOT_NEGATIVE = 0.0,
        /// The schedule after the warm-up.
        schedule: Schedule,
        /// The rate at `t = 0` as a share of `base`, in place of `start_lr`.
        start_ratio?: f64 where NOT_NEGATIVE,
        /// The shape; a straight line by default.
        shape: Rise = Rise::Linear,
        /// The number of the first update, 0 or 1; 0 by default.
        first: u64 where FRACTION = 0,
        /// The number of further updates that use the first rate; 0 by default.
        repeat: u64 = 0,
    }
}

impl Kind for Warmup {
    fn plan(&self, context: &Context) -> Planned {
        let steps = context.length("steps", self.steps)?;
        let start = match self.start_ratio {
            Some(ratio) if self.start_lr != 0.0 => {
                return Err(context.refuse("start_ratio", ratio, "there is a start_lr already; give one of the two"));
            }
            Some(ratio) => Start::Ratio(ratio),
            None => Start::Rate(self.start_lr),
        };
        if self.shape == Rise::Exponential && start.rate(1.0) == 0.0 {
            let rule = "it needs a first rate above 0: give a start_ratio or a start_lr";
            return Err(context.refuse("shape", "\"exponential\"", rule));
        }
        let then = context.child("schedule", &self.schedule)?;
        let repeat = if steps == 0 { 0 } else { self.repeat };
        let ends = steps.saturating_add(repeat);
        Ok(Box::new(WarmupCurve { steps, ends, repeat, start, shape: self.shape, first: self.first, then }))
    }

    fn length(&self) -> Option<Length> {
        self.schedule.length()?.plus(self.duration()?)
    }

    fn lasting(&self, length: Length) -> Option<Schedule> {
        let rest = length.minus(self.duration()?)?;
        Some(Self { schedule: self.schedule.lasting_inside(rest)?, ..self.clone() }.into())
    }

    fn phases(&self, phases: &mut Phases<'_>) {
        phases.next("warmup", self.duration().unwrap_or(self.steps));
        phases.of(&self.schedule);
    }
}

impl Warmup {
    /// Returns the length of the warm-up with its repeated updates.
    fn duration(&self) -> Option<Length> {
        if self.repeat == 0 { Some(self.steps) } else { self.steps.plus(Length::Steps(self.repeat)) }
    }
}

#[derive(Clone, Copy)]
enum Start {
    Rate(f64),
    Ratio(f64),
}

impl Start {
    fn rate(self, base: f64) -> f64 {
        match self {
            Self::Rate(rate) => rate,
            Self::Ratio(ratio) => base * ratio,
        }
    }
}

struct WarmupCurve {
    steps: u64,
    /// The first update of the schedule after it.
    ends: u64,
    repeat: u64,
    start: Start,
    shape: Rise,
    first: u64,
    then: Box<dyn Curve>,
}

impl WarmupCurve {
    /// Returns the rate at `t`, which is before the end.
    fn rising(&self, t: u64, base: f64) -> f64 {
        let number = t.saturating_sub(self.repeat) + self.first;
        let (start, x) = (self.start.rate(base), progress(number, self.steps));
        let risen = match self.shape {
            Rise::Linear => x,
            Rise::Cosine => half_cosine(0.0, 1.0, x),
            Rise::Exponential if start > 0.0 && base > 0.0 => return start * (base / start).powf(x),
            Rise::Exponential => return 0.0,
            Rise::Log => (number as f64).ln_1p() / (self.steps as f64).ln_1p(),
        };
        start + (base - start) * risen
    }
}

impl Curve for WarmupCurve {
    fn rate(&self, at: At<'_>) -> f64 {
        match at.t.checked_sub(self.ends) {
            Some(t) => self.then.rate(At { t, ..at }),
            None => self.rising(at.t, at.base),
        }
    }

    /// During the warm-up, momentum is the initial momentum of the schedule.
    fn momentum(&self, t: u64, group: usize) -> Option<f64> {
        self.then.momentum(t.saturating_sub(self.ends), group)
    }

    fn report(&self, t: u64, metric: f64, memory: &mut [Box<dyn Memory>]) {
        if t > self.ends {
            self.then.report(t - self.ends, metric, memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn it_rises_from_zero_and_hands_over_at_its_end() {
        let schedule = Schedule::warmup(4, Schedule::step(2).gamma(0.5));
        assert_eq!(rates(schedule, [0, 1, 3, 4, 5, 6]), [0.0, 0.25, 0.75, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn it_rises_from_the_rate_it_is_given() {
        assert_eq!(rates(Schedule::warmup(4, Schedule::constant()).start_lr(0.5), [0, 2, 4]), [0.5, 0.75, 1.0]);
    }

    #[test]
    fn zero_steps_are_no_warm_up() {
        assert_eq!(rates(Schedule::warmup(0, Schedule::constant()), [0, 1]), [1.0, 1.0]);
    }

    #[test]
    fn a_mistake_inside_is_named_with_its_place() {
        let message = refusal(Schedule::warmup(4, Schedule::cosine(0)));
        assert_eq!(message, "`cosine` at schedule: t_max is 0; it must be at least 1");
    }

    #[test]
    fn counted_from_one_the_first_update_has_one_part_of_the_rate() {
        let schedule = Schedule::warmup(4, Schedule::polynomial(4)).first(1u64);
        assert_close(rates(schedule, [0, 1, 3, 4, 5]), [0.25, 0.5, 1.0, 1.0, 0.75]);
    }

    #[test]
    fn the_first_rate_may_be_repeated() {
        let schedule = Schedule::warmup(4, Schedule::polynomial(4)).start_ratio(0.2).repeat(1u64);
        assert_close(rates(schedule, [0, 1, 2, 5, 6]), [0.2, 0.2, 0.4, 1.0, 0.75]);
        let text: Schedule = "warmup(4, repeat=1) -> polynomial(4) -> constant(0.5)".parse().unwrap();
        assert_close(rates(text, [1, 5, 8, 9]), [0.0, 1.0, 0.25, 0.5]);
    }

    #[test]
    fn it_may_rise_along_a_cosine_an_exponential_or_a_logarithm() {
        let of = |shape| rates(Schedule::warmup(2, Schedule::constant()).shape(shape).start_ratio(0.01), [0, 1, 2]);
        assert_close(of(Rise::Cosine), [0.01, 0.505, 1.0]);
        assert_close(of(Rise::Exponential), [0.01, 0.1, 1.0]);
        assert_close(of(Rise::Log), [0.01, 0.01 + 0.99 * 2f64.ln() / 3f64.ln(), 1.0]);
        let message = refusal(Schedule::warmup(2, Schedule::constant()).shape(Rise::Exponential));
        let rule = "it needs a first rate above 0: give a start_ratio or a start_lr";
        assert_eq!(message, format!("`warmup`: shape is \"exponential\"; {rule}"));
    }
}
