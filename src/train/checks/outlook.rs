//! Likely mistakes in the rates of a run, reported before its first step.

use std::ops::Range;

use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::figures;
use crate::notice::Notice;
use crate::schedule::{RunLength, Schedule, Scheduler};
use crate::state::Stateful;

/// Number of steps examined: one or two milliseconds of work.
const LOOKS: u64 = 4096;

/// Share of the base rate below which a step does not change a 32-bit weight.
const NOTHING: f64 = 1e-6;

/// A final constant rate is assumed to be intended if it is above this share of the base rate.
const HELD: f64 = 1e-5;

/// Maximal change of a rate on a resume without a message, as a share of the larger of the two.
const JUMP: f64 = 0.05;

/// Steps in which a group hardly changes.
#[derive(Clone, PartialEq)]
struct Stretch {
    steps: Range<u64>,
    /// The highest rate in it.
    highest: f64,
    /// Whether all its rates are equal to that.
    is_held: bool,
}

/// Returns a warning about a stretch of the run, starting at step `from` or later, in which the rate is 0 or almost 0,
/// with probable corrections.
///
/// A single step at 0, as at the start of a warm-up and the end of a decay, does not count.
pub(crate) fn standstill(scheduler: &Scheduler, run: RunLength, from: u64) -> Option<Notice> {
    let total = run.total_steps?;
    let found = stretches(scheduler, from..total);
    let (group, stretch) = found.iter().enumerate().find_map(|(group, stretch)| Some((group, stretch.clone()?)))?;
    let is_alike = |other: &Option<Stretch>| other.as_ref().is_some_and(|other| other.steps == stretch.steps);
    let groups: Vec<usize> = (group..found.len()).filter(|&other| is_alike(&found[other])).collect();
    let whose = match groups.as_slice() {
        _ if groups.len() == found.len() => String::new(),
        [group] => format!(" of parameter group {group}"),
        groups => {
            format!(" of parameter groups {}", groups.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
        }
    };
    let highest = found.iter().flatten().map(|stretch| stretch.highest).fold(0.0, f64::max);
    let or_less = if stretch.is_held && groups.len() == 1 || highest == 0.0 { "" } else { " or less" };
    let rate = figures::rate(highest);
    let Range { start, end } = stretch.steps;
    let share = 100.0 * (end - start) as f64 / total as f64;
    let schedule = scheduler.schedule();
    let meant = meant(scheduler, run, from);
    Some(Notice::Warning(format!(
        "the learning rate{whose} is {rate}{or_less} in steps {start} to {}, {share:.0}% of the run's {total}, and \
         nothing is learned in them: schedule = {schedule}{meant}",
        end - 1
    )))
}

/// Returns the longest relevant stretch of each group.
fn stretches(scheduler: &Scheduler, steps: Range<u64>) -> Vec<Option<Stretch>> {
    let bases = scheduler.base_lrs();
    if steps.is_empty() {
        return vec![None; bases.len()];
    }
    let last = scheduler.rates_at(steps.end - 1);
    let still = |t: u64| -> Vec<bool> {
        let rates = scheduler.rates_at(t).into_iter().zip(bases).zip(&last);
        rates.map(|((rate, &base), &last)| rate <= NOTHING * base || (rate == last && rate < HELD * base)).collect()
    };
    let looks: Vec<(u64, Vec<bool>)> = samples(steps.clone()).into_iter().map(|t| (t, still(t))).collect();
    let is_still = |t: u64, group: usize| still(t).get(group).copied().unwrap_or_default();
    // A group with base rate 0 is constant on purpose, unless all are.
    let all_rest = bases.iter().all(|&base| base == 0.0);
    let of_group = |group: usize| {
        if bases[group] == 0.0 && !all_rest {
            return None;
        }
        let mut longest = 0..0;
        let mut begin = None;
        for (index, (t, still)) in looks.iter().enumerate() {
            if still[group] {
                let before = |index: usize| looks[index - 1].0;
                begin.get_or_insert_with(|| match index {
                    0 => *t,
                    _ => first(before(index)..*t, |t| is_still(t, group)),
                });
            }
            let end = match looks.get(index + 1) {
                _ if !still[group] => continue,
                Some((_, next)) if next[group] => continue,
                Some((next, _)) => first(*t..*next, |t| !is_still(t, group)),
                None => steps.end,
            };
            let found = begin.take().unwrap_or(*t)..end;
            if found.end - found.start > longest.end - longest.start {
                longest = found;
            }
        }
        let rate = |t: u64| scheduler.rates_at(t).get(group).copied().unwrap_or_default();
        worth_a_word(longest, &steps, rate)
    };
    let found: Vec<Option<Stretch>> = (0..bases.len()).map(of_group).collect();
    // One group that waits while others begin is intended.
    let waits = |stretch: &Option<Stretch>| stretch.as_ref().is_some_and(|stretch| stretch.steps.start == 0);
    let do_all_wait = found.iter().zip(bases).all(|(stretch, &base)| waits(stretch) || (base == 0.0 && !all_rest));
    found.into_iter().map(|stretch| if waits(&stretch) && !do_all_wait { None } else { stretch }).collect()
}

/// Returns the relevant part of a stretch: more than one step in a hundred at one rate, which is then reported alone,
/// or one in twenty on the way down to it.
fn worth_a_word(stretch: Range<u64>, steps: &Range<u64>, rate: impl Fn(u64) -> f64) -> Option<Stretch> {
    let Range { start, end } = stretch;
    if start == end {
        return None;
    }
    let (first_rate, last_rate) = (rate(start), rate(end - 1));
    let holds = |t: u64| rate(t) == last_rate;
    let held = if first_rate == last_rate { start } else { first(start..end - 1, holds) };
    let is_long = |length: u64, share: u64| length > (steps.end / share).max(1);
    if is_long(end - held, 100) || (held == 0 && end == steps.end) {
        return Some(Stretch { steps: held..end, highest: last_rate, is_held: true });
    }
    let highest = first_rate.max(last_rate);
    is_long(end - start, 20).then_some(Stretch { steps: start..end, highest, is_held: false })
}

/// Returns steps to examine, in order: all of them, or one in each of equal parts, at a varying position, so that a
/// periodic schedule is not always sampled at the same phase.
pub(super) fn samples(steps: Range<u64>) -> Vec<u64> {
    let count = steps.end - steps.start;
    if count <= LOOKS {
        return steps.collect();
    }
    let part = |index: u64| steps.start + (u128::from(count) * u128::from(index) / u128::from(LOOKS)) as u64;
    let spread = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let mut samples: Vec<u64> =
        (0..LOOKS).map(|index| part(index) + spread(index) % (part(index + 1) - part(index))).collect();
    samples.push(steps.end - 1);
    samples.dedup();
    samples
}

/// Returns the first step after `steps.start`, up to `steps.end`, from which `holds` is true; it is true at the end,
/// and false at the start.
fn first(steps: Range<u64>, holds: impl Fn(u64) -> bool) -> u64 {
    let Range { mut start, mut end } = steps;
    while end - start > 1 {
        let middle = start + (end - start) / 2;
        if holds(middle) { end = middle } else { start = middle }
    }
    end
}

/// Formats suggestions as the end of a sentence: only those that parse and have no such stretch.
fn meant(scheduler: &Scheduler, run: RunLength, from: u64) -> String {
    let fits = |schedule: &Schedule| {
        let read = schedule.to_string().parse::<Schedule>().is_ok_and(|read| read == *schedule);
        let other = Scheduler::new(schedule.clone(), scheduler.base_lrs().to_vec(), run);
        let moves = |other: &Scheduler| {
            let end = run.total_steps.unwrap_or_default();
            stretches(other, from..end).iter().all(Option::is_none)
        };
        read && other.is_ok_and(|other| moves(&other))
    };
    let fitting = scheduler.schedule().meant(&run).into_iter().filter(|meant| fits(&meant.schedule));
    let told: Vec<String> = fitting.map(|meant| format!("{}, write `{}`", meant.condition, meant.schedule)).collect();
    if told.is_empty() { String::new() } else { format!("; {}", told.join("; ")) }
}

/// Returns a message about the change of the next update's rate if a resume has changed the length of the run, and with
/// it the shares in the schedule.
pub(crate) fn jump(checkpoint: &Checkpoint, scheduler: &Scheduler, run: RunLength) -> Option<Notice> {
    let number = |field: &str| checkpoint.field(field).and_then(Value::as_u64);
    let before = RunLength { total_steps: number("total_steps"), steps_per_epoch: number("steps_per_epoch")? };
    let (was, is) = (before.total_steps?, run.total_steps?);
    let t = scheduler.t();
    if was == is || t >= is {
        return None;
    }
    let state = checkpoint.state("schedulers.lr")?;
    let spec: Schedule = serde_json::from_value(state.json["spec"].clone()).ok()?;
    // Changes other than the length are reported separately.
    let mut earlier = Scheduler::new(spec, scheduler.base_lrs().to_vec(), before).ok()?;
    earlier.load(state).ok()?;
    if !earlier.differences().is_empty() || earlier.schedule() != scheduler.schedule() {
        return None;
    }
    let rates = earlier.rates().into_iter().zip(scheduler.rates());
    let (from, to) = rates.into_iter().find(|(from, to)| (from - to).abs() > JUMP * from.max(*to))?;
    Some(Notice::Warning(format!(
        "the learning rate jumps from {} to {} at step {t}: {} depends on the length of the run, which is {is} steps \
         and was {was}; set `schedule` if this is not intended",
        figures::rate(from),
        figures::rate(to),
        scheduler.schedule()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunLength = RunLength { total_steps: Some(144), steps_per_epoch: 12 };

    fn told_of(schedule: &str, bases: &[f64], run: RunLength) -> Option<String> {
        let scheduler = Scheduler::new(schedule.parse::<Schedule>().unwrap(), bases.to_vec(), run).unwrap();
        standstill(&scheduler, run, 0).map(|notice| notice.to_string())
    }

    fn told(schedule: &str) -> Option<String> {
        told_of(schedule, &[0.1], RUN)
    }

    #[test]
    fn a_rate_of_zero_is_named_with_its_steps_and_what_was_meant() {
        let cases = [
            (
                "cosine(12)",
                "in steps 12 to 143, 92%",
                r#"if it counts epochs, write `cosine(12, unit="epoch")`; to last as long as the run, write `cosine("100%")`"#,
            ),
            (
                "linear(1, 0, 100)",
                "in steps 100 to 143, 31%",
                r#"to last as long as the run, write `linear(start_factor=1, end_factor=0, total="100%")`; if"#,
            ),
            ("one_cycle(36)", "is 4.000e-7 in steps 35 to 143", r#"write `one_cycle("100%")`"#),
            ("polynomial(72, power=2)", "is 0 in steps 72 to 143, 50%", r#"write `polynomial("100%", power=2)`"#),
            ("wsd(10, 20, 30)", "in steps 60 to 143", "write `wsd(warmup=10, stable=104, decay=30)`"),
            ("warmup(10) -> cosine(20)", "in steps 30 to 143", "write `warmup(10) -> cosine(134)`"),
            ("late(10, cosine(20))", "in steps 30 to 143", "write `late(10, cosine(134))`"),
            ("in_f32(polynomial(72))", "is 0 in steps 72 to 143", r#"write `in_f32(polynomial("100%"))`"#),
            (r#"warmup("10%") -> cosine("40%")"#, "in steps 72 to 143", r#"write `warmup("10%") -> cosine("90%")`"#),
            ("warmup(1) -> cosine(11)", "in steps 12 to 143", "write `warmup(1) -> cosine(143)`"),
            (r#"cosine(6, unit="epoch")"#, "in steps 72 to 143", r#"write `cosine("100%", unit="epoch")`"#),
            ("exponential(0.7)", "in steps 39 to 143", r#"write `exponential(0.7, unit="epoch")`"#),
            ("sequential([20], [constant, cosine(20)])", "in steps 40 to 143", "cosine(124)"),
            ("constant(0)", "in steps 0 to 143, 100%", "schedule = constant"),
        ];
        for (schedule, steps, meant) in cases {
            let told = told(schedule).unwrap_or_else(|| panic!("nothing of {schedule}"));
            assert!(told.contains(steps) && told.contains(meant), "{told}");
        }
    }

    #[test]
    fn what_touches_zero_at_a_point_is_no_mistake() {
        let fine = [
            "constant",
            "warmup(20) -> constant",
            r#"warmup("10%") -> cosine("90%")"#,
            "cosine(144)",
            "cosine(143)",
            "cosine_restarts(12)",
            "cosine_restarts(4, t_mult=2)",
            "linear(1, 0, 144)",
            r#"one_cycle("100%")"#,
            r#"polynomial("100%", power=4)"#,
            r#"tanh("100%")"#,
            "cosine(12, eta_min=1e-3)",
            "cyclic(0, step_size_up=10)",
            "expr(\"base * (t % 2)\")",
            "plateau()",
            "noam(512, 40)",
            "step(30, gamma=0.1)",
        ];
        for schedule in fine {
            for total_steps in [144, 1_000_003] {
                let run = RunLength { total_steps: Some(total_steps), ..RUN };
                let is_of_144 = schedule.contains("14");
                if total_steps == 144 || !is_of_144 {
                    let decays_away =
                        total_steps > 144 && ["step(30", "noam"].iter().any(|kind| schedule.starts_with(kind));
                    assert_eq!(told_of(schedule, &[0.1], run).filter(|_| !decays_away), None, "{total_steps} steps");
                }
            }
        }
    }

    #[test]
    fn in_a_long_run_the_steps_are_still_exact() {
        let run = RunLength { total_steps: Some(10_000_000), steps_per_epoch: 1000 };
        let told = told_of("warmup(1000) -> linear(1, 0, 7654321)", &[0.1], run).unwrap();
        assert!(told.contains("in steps 7655321 to 9999999"), "{told}");
    }

    #[test]
    fn a_group_is_named_where_it_alone_is_constant_and_may_wait_or_rest() {
        let told_of = |schedule: &str, bases: &[f64]| told_of(schedule, bases, RUN);
        let told = told_of("per_group([constant, cosine(12)])", &[0.1, 0.1]).unwrap();
        assert!(told.contains("of parameter group 1 is 0 in steps 12 to 143"), "{told}");
        assert_eq!(told_of("per_group([constant, sequential([40], [constant(0), constant])])", &[0.1, 0.1]), None);
        assert_eq!(told_of("constant", &[0.1, 0.0]), None);
        assert!(told_of("sequential([40], [constant(0), constant])", &[0.1, 0.1]).unwrap().contains("steps 0 to 39"));
        assert!(told_of("constant", &[0.0, 0.0]).unwrap().contains("steps 0 to 143"));
    }
}
