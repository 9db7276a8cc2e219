//! Properties of every schedule: its three forms agree, its rates are sound at any time, and a save loses nothing.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rekindle::schedule::kinds::{After, Anneal, CycleMode, Decays, Interpolate, Rise, Shape, StableShape};
use rekindle::schedule::{Length, Mode, RunLength, Schedule, Scheduler, ThresholdMode, Unit};
use rekindle::state::{State, Stateful};

const RUN: RunLength = RunLength { total_steps: Some(1000), steps_per_epoch: 7 };
const GROUPS: usize = 2;

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![3 => (1u64..300).prop_map(Length::Steps), 1 => (1.0..100.0).prop_map(Length::Percent)]
}

/// Lengths in order, all of them in steps: shares and steps could be in any order.
fn milestones(count: usize) -> impl Strategy<Value = Vec<Length>> {
    vec(0u64..300, count).prop_map(|mut steps| {
        steps.sort_unstable();
        steps.into_iter().map(Length::Steps).collect()
    })
}

fn decay() -> impl Strategy<Value = f64> {
    0.01..1.0
}

fn floor() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..1.0]
}

fn momentum() -> impl Strategy<Value = Option<[f64; 2]>> {
    option::of([0.0..0.5, 0.5..1.0])
}

/// Kinds with a few numbers as parameters.
fn plain() -> impl Strategy<Value = Schedule> {
    let factor = || 0.0..4.0;
    prop_oneof![
        (factor(), option::of(length())).prop_map(|(factor, total)| {
            let schedule = Schedule::constant().factor(factor);
            total.map_or(schedule.clone(), |total| schedule.total(total)).into()
        }),
        (factor(), factor(), length()).prop_map(|(a, b, total)| Schedule::linear()
            .start_factor(a)
            .end_factor(b)
            .total(total)
            .into()),
        (length(), decay()).prop_map(|(size, gamma)| Schedule::step(size).gamma(gamma).into()),
        (milestones(3), decay()).prop_map(|(m, gamma)| Schedule::multi_step(m).gamma(gamma).into()),
        decay().prop_map(|gamma| Schedule::exponential(gamma).into()),
        (length(), 0.1..4.0, floor())
            .prop_map(|(total, p, eta)| Schedule::polynomial(total).power(p).eta_min(eta).into()),
        (length(), floor(), any::<bool>(), 0.1..40.0).prop_map(|(t_max, eta, hold, k)| {
            let after = if hold { After::Hold } else { After::Cycle };
            Schedule::cosine(t_max).eta_min(eta).after(after).k_decay(k).into()
        }),
        (length(), 1u64..4, decay(), floor()).prop_map(|(t_0, m, d, eta)| Schedule::cosine_restarts(t_0)
            .t_mult(m as f64)
            .cycle_decay(d)
            .eta_min(eta)
            .into()),
        decay().prop_map(|gamma| Schedule::expr(format!("base * {gamma}^(t / 7)")).into()),
        length().prop_map(|timescale| Schedule::inverse_sqrt(timescale).into()),
        (1u64..2000, length()).prop_map(|(dim, warmup)| Schedule::noam(dim, warmup).into()),
        (length(), -9.0..0.0, 0.1..9.0).prop_map(|(t_max, lb, ub)| Schedule::tanh(t_max).lb(lb).ub(ub).into()),
        (length(), 0.0..1e300, any::<bool>())
            .prop_map(|(decay, rate, stairs)| Schedule::inverse_time(decay, rate).staircase(stairs).into()),
    ]
}

/// A floor as a share of the base rate.
fn ratio() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..=1.0]
}

/// Decays with a floor as a share of the base rate, and those that came with the tables of many packages.
fn to_a_share() -> impl Strategy<Value = Schedule> {
    let decays = prop_oneof![Just(Decays::Top), Just(Decays::Both), Just(Decays::Height)];
    let growth = prop_oneof![Just(1.0), Just(2.0), 1.0f64..4.0, Just(1.000_000_1), Just(1e300)];
    prop_oneof![
        (length(), ratio(), 0.1..9.0).prop_map(|(t, r, p)| Schedule::cosine(t).min_ratio(r).exponent(p).into()),
        (length(), ratio(), any::<bool>(), 0.1..9.0).prop_map(|(t, r, hold, k)| {
            let after = if hold { After::Hold } else { After::Cycle };
            Schedule::polynomial(t).min_ratio(r).after(after).k_decay(k).into()
        }),
        ((100u64..300), growth, decay(), ratio(), decays, 0u64..99, 1u64..9, 0..3).prop_map(
            |(t_0, m, d, r, decays, warmup, limit, which)| match which {
                0 => Schedule::cosine_restarts(t_0)
                    .t_mult(m)
                    .cycle_decay(d)
                    .min_ratio(r)
                    .decays(decays)
                    .warmup(warmup)
                    .into(),
                1 => Schedule::polynomial_restarts(t_0)
                    .t_mult(m)
                    .cycle_decay(d)
                    .min_ratio(r)
                    .warmup(warmup)
                    .power(d)
                    .into(),
                _ => Schedule::tanh_restarts(t_0).t_mult(m).decays(decays).min_ratio(r).cycle_limit(limit).into(),
            }
        ),
        (length(), ratio(), 0.1..4.0).prop_map(|(t, r, p)| Schedule::power(t).exponent(p).min_ratio(r).into()),
        (length(), ratio(), decay()).prop_map(|(t, r, g)| Schedule::exponential(g).period(t).min_ratio(r).into()),
        (length(), ratio()).prop_map(|(t, r)| Schedule::inverse_sqrt(t).min_ratio(r).into()),
        (length(), ratio(), 0.1..9.0).prop_map(|(t, r, p)| Schedule::inverse_time(t, 0.5).power(p).min_ratio(r).into()),
        (length(), ratio()).prop_map(|(t, r)| Schedule::rex(t).min_ratio(r).into()),
        ((1u64..200), 200u64..400, floor())
            .prop_map(|(t, u, f)| Schedule::hyperbolic(t).upper_bound(u).eta_min(f).into()),
        (vec(40u64..90, 1..5), 1u64..20, 0u64..20, ratio()).prop_map(|(periods, decay, warmup, r)| Schedule::wsds(
            periods, decay
        )
        .warmup(warmup)
        .min_ratio(r)
        .into()),
        (decay(), 0.0..0.9, 0u64..4).prop_map(|(factor, threshold, patience)| {
            Schedule::newbob().factor(factor).threshold(threshold).patience(patience).into()
        }),
        (decay(), 0.0..0.9, 0u64..4, floor()).prop_map(|(factor, tol, patience, min_lr)| {
            Schedule::adaptive().factor(factor).tol(tol).patience(patience).min_lr(min_lr).into()
        }),
    ]
}

/// Kinds with other parameters.
fn elaborate() -> impl Strategy<Value = Schedule> {
    let mode = prop_oneof![Just(CycleMode::Triangular), Just(CycleMode::Triangular2), Just(CycleMode::ExpRange)];
    let curved = || prop_oneof![Just(Shape::OneMinusSquare), Just(Shape::Exponential), Just(Shape::Power)];
    let shape = move || prop_oneof![Just(Shape::Linear), Just(Shape::Cosine), Just(Shape::OneMinusSqrt), curved()];
    let interpolate = prop_oneof![Just(Interpolate::Step), Just(Interpolate::Linear), Just(Interpolate::Cosine)];
    prop_oneof![
        (0.0..3.0, length(), mode, decay(), momentum()).prop_map(|(max, up, mode, gamma, momentum)| {
            let schedule = Schedule::cyclic(max).step_size_up(up).mode(mode).gamma(gamma);
            momentum.map_or(schedule.clone(), |momentum| schedule.momentum(momentum)).into()
        }),
        (length(), 0.0..1.0, any::<bool>(), any::<bool>(), momentum()).prop_map(
            |(total, pct, cos, three, momentum)| {
                let anneal = if cos { Anneal::Cos } else { Anneal::Linear };
                let schedule = Schedule::one_cycle(total).pct_start(pct).anneal(anneal).three_phase(three);
                momentum.map_or(schedule.clone(), |momentum| schedule.momentum(momentum)).into()
            }
        ),
        (length(), length(), length(), shape(), shape(), floor(), any::<bool>()).prop_map(
            |(warmup, stable, decay, up, down, eta, falls)| {
                let schedule = Schedule::wsd(stable, decay).warmup(warmup).warmup_shape(up).decay_shape(down);
                let schedule = schedule.eta_min(eta).stable_timescale(5);
                if falls { schedule.stable_shape(StableShape::Rsqrt).into() } else { schedule.into() }
            }
        ),
        (length(), length(), length(), 0.001..1.0).prop_map(|(warmup, stable, decay, ratio)| {
            let schedule = Schedule::wsd(stable, decay).warmup(warmup).min_ratio(ratio);
            schedule.warmup_shape(Shape::Geometric).decay_shape(Shape::Geometric).into()
        }),
        (milestones(3), vec(0.0..2.0, 3), interpolate).prop_map(|(ts, factors, interpolate)| {
            let mut points: Vec<(Length, f64)> = ts.into_iter().zip(factors).collect();
            points.dedup_by_key(|point| point.0);
            Schedule::piecewise(points).interpolate(interpolate).into()
        }),
        (any::<bool>(), decay(), 0u64..4, 0u64..4, floor()).prop_map(|(lower, factor, patience, cooldown, min)| {
            let mode = if lower { Mode::Min } else { Mode::Max };
            Schedule::plateau().mode(mode).factor(factor).patience(patience).cooldown(cooldown).min_lr(min).into()
        }),
        (decay(), 0u64..3, 0u64..3, any::<bool>(), 1u64..6, 1u64..4).prop_map(
            |(factor, patience, wait, smooth, window, reset)| {
                let schedule = Schedule::greedy().factor(factor).patience(patience).cooldown(wait).warmup(wait);
                let schedule = schedule.threshold_mode(ThresholdMode::Rel).smooth(smooth);
                schedule.window_size(window).reset_start(reset).into()
            }
        ),
    ]
}

fn rise() -> impl Strategy<Value = Rise> {
    prop_oneof![Just(Rise::Linear), Just(Rise::Cosine), Just(Rise::Exponential), Just(Rise::Log)]
}

/// Any schedule that a run with [`GROUPS`] groups can follow.
fn schedule() -> impl Strategy<Value = Schedule> {
    let leaf = prop_oneof![plain(), elaborate(), to_a_share()];
    let unit = prop_oneof![Just(Unit::Step), Just(Unit::Epoch)];
    let leaf = (leaf, unit).prop_map(|(schedule, unit)| schedule.unit(unit)).boxed();
    let inside = leaf.clone();
    let composed = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (length(), floor(), inner.clone())
                .prop_map(|(steps, start, inner)| Schedule::warmup(steps, inner).start_lr(start).into()),
            (length(), 0.001..2.0, rise(), 0u64..2, 0u64..3, inner.clone()).prop_map(
                |(steps, ratio, shape, first, repeat, inner)| {
                    Schedule::warmup(steps, inner).start_ratio(ratio).shape(shape).first(first).repeat(repeat).into()
                }
            ),
            (length(), inner.clone()).prop_map(|(by, inner)| Schedule::early(by, inner).into()),
            (length(), inner.clone()).prop_map(|(end, inner)| Schedule::until(end, inner).into()),
            (length(), inner.clone()).prop_map(|(period, inner)| Schedule::repeat(period, inner).into()),
            (milestones(2), vec(inner.clone(), 3)).prop_map(|(m, inner)| Schedule::sequential(m, inner).into()),
            vec(inner.clone(), 1..4).prop_map(|inner| Schedule::chained(inner).into()),
            (length(), inner.clone()).prop_map(|(by, inner)| Schedule::late(by, inner).into()),
            inner.prop_map(|inner| Schedule::in_f32(inner).into()),
        ]
    });
    prop_oneof![4 => composed, 1 => vec(inside, GROUPS).prop_map(|inner| Schedule::per_group(inner).into())]
}

/// Any time, and those at which arithmetic would break first.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..2000, any::<u64>(), Just(1 << 53), Just(u64::MAX - 1), Just(u64::MAX)]
}

fn metric() -> impl Strategy<Value = f64> {
    prop_oneof![8 => -1.0..3.0, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(f64::NEG_INFINITY)]
}

fn scheduler(schedule: &Schedule) -> Scheduler {
    Scheduler::new(schedule.clone(), vec![0.1, 0.003], RUN).unwrap()
}

fn bits(rates: &[f64]) -> Vec<u64> {
    rates.iter().map(|rate| rate.to_bits()).collect()
}

/// Through the bytes of a file, like a checkpoint.
fn through_a_file(state: &State) -> State {
    State::from_json(serde_json::from_str(&serde_json::to_string(&state.json).unwrap()).unwrap())
}

proptest! {
    #[test]
    fn text_and_back_is_the_identity(schedule in schedule()) {
        let text = schedule.to_string();
        let back: Schedule = text.parse().unwrap();
        prop_assert_eq!(back.to_string(), text);
        prop_assert_eq!(back, schedule);
    }

    #[test]
    fn data_and_back_is_the_identity(schedule in schedule()) {
        let json: Schedule = serde_json::from_str(&serde_json::to_string(&schedule).unwrap()).unwrap();
        let toml: Schedule = toml::from_str(&toml::to_string(&schedule).unwrap()).unwrap();
        prop_assert_eq!(&json, &schedule);
        prop_assert_eq!(&toml, &schedule);
    }

    #[test]
    fn any_text_is_read_or_refused(text in r#"[a-z(){}\[\],="% 0-9.>é-]{0,40}"#) {
        let _ = text.parse::<Schedule>();
    }

    #[test]
    fn a_damaged_text_is_read_or_refused(schedule in schedule(), cut in any::<prop::sample::Index>()) {
        let mut text: Vec<char> = schedule.to_string().chars().collect();
        text.remove(cut.index(text.len()));
        if let Err(error) = text.into_iter().collect::<String>().parse::<Schedule>() {
            prop_assert!(error.to_string().ends_with('^'), "{}", error);
        }
    }

    #[test]
    fn rates_are_finite_and_not_negative_at_any_time(
        schedule in schedule(),
        times in vec(time(), 1..20),
        base in prop_oneof![0.0..10.0, 0.0..f64::MAX, Just(0.0), Just(f64::MIN_POSITIVE), Just(f64::MAX)],
    ) {
        let plan = schedule.plan(&RUN, GROUPS).unwrap();
        for (t, group) in times.into_iter().flat_map(|t| [(t, 0), (t, 1)]) {
            let rate = plan.rate(t, base, group);
            prop_assert!(rate.is_finite() && rate >= 0.0, "{} at {}", rate, t);
            let momentum = plan.momentum(t, group).unwrap_or_default();
            prop_assert!((0.0..1.0).contains(&momentum), "{} at {}", momentum, t);
        }
    }

    #[test]
    fn rates_read_out_of_order_are_the_same_bits(schedule in schedule(), times in vec(time(), 1..20)) {
        let scheduler = scheduler(&schedule);
        let forwards: Vec<_> = times.iter().map(|&t| bits(&scheduler.rates_at(t))).collect();
        let mut backwards: Vec<_> = times.iter().rev().map(|&t| bits(&scheduler.rates_at(t))).collect();
        backwards.reverse();
        prop_assert_eq!(forwards, backwards);
    }

    #[test]
    fn after_a_save_and_a_load_everything_continues_the_same(
        schedule in schedule(),
        before in vec(metric(), 0..30),
        after in vec(metric(), 0..30),
    ) {
        let mut uninterrupted = scheduler(&schedule);
        for metric in before {
            uninterrupted.advance();
            uninterrupted.report(metric);
        }
        let saved = uninterrupted.save().unwrap();
        let mut resumed = scheduler(&schedule);
        resumed.check(&saved).unwrap();
        resumed.load(&through_a_file(&saved)).unwrap();
        prop_assert_eq!(resumed.save().unwrap(), saved);
        prop_assert_eq!(resumed.differences(), &[] as &[String]);
        for metric in after {
            prop_assert_eq!(bits(&resumed.rates()), bits(&uninterrupted.rates()));
            for scheduler in [&mut resumed, &mut uninterrupted] {
                scheduler.advance();
                scheduler.report(metric);
            }
        }
        prop_assert_eq!(resumed.save().unwrap(), uninterrupted.save().unwrap());
    }

    /// Sums of a window may round to the edge, so no stricter condition than for any other rate is required.
    #[test]
    fn learned_rates_are_finite_and_not_negative(schedule in schedule(), metrics in vec(metric(), 0..60)) {
        let mut scheduler = scheduler(&schedule);
        let mut rates = Vec::new();
        for metric in metrics {
            scheduler.advance();
            scheduler.report(metric);
            scheduler.rates_into(&mut rates);
            prop_assert!(rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0), "{:?}", rates);
        }
    }
}
