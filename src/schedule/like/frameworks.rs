//! DeepSpeed 0.19.8, ignite 0.5.5 and mmengine 0.10.7.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{first_then, floor, piecewise, ratio, sequential, share, unless, warmup};

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "deepspeed.runtime.lr_schedules.WarmupLR(optimizer, warmup_min_lr=0.0, warmup_max_lr=None, warmup_num_steps=1000, warmup_type='log', last_batch_iteration=-1)",
        say: |given| {
            let start = unless("start_lr", given.number("warmup_min_lr")?, 0.0);
            deepspeed(given, &start, "constant")
        },
    },
    Class {
        signature: "deepspeed.runtime.lr_schedules.WarmupDecayLR(optimizer, total_num_steps, warmup_min_lr=0.0, warmup_max_lr=0.001, warmup_num_steps=1000, warmup_type='log', last_batch_iteration=-1)",
        say: |given| {
            let steps = given.count("warmup_num_steps")?.max(2);
            let least = given.number("warmup_min_lr")?;
            let decay = format!("polynomial({}{})", given.rest("total_num_steps", steps)?, floor(least));
            deepspeed(given, &unless("start_lr", least, 0.0), &decay)
        },
    },
    Class {
        signature: "deepspeed.runtime.lr_schedules.WarmupCosineLR(optimizer, total_num_steps, warmup_min_ratio=0.0, warmup_num_steps=1000, cos_min_ratio=0.0001, warmup_type='log', last_batch_iteration=-1)",
        say: |given| {
            let steps = given.count("warmup_num_steps")?.max(2);
            let rest = given.rest("total_num_steps", steps)?;
            let decay = format!("early(1, cosine({rest}{}))", ratio(given.number("cos_min_ratio")?));
            let start = unless("start_ratio", given.number("warmup_min_ratio")?, 0.0);
            let mut said = deepspeed(given, &start, &decay)?;
            if !start.is_empty() {
                // Before its first step the rate is 0, and not the start of the warm-up.
                said.text = first_then(0.0, &said.text.replace(", repeat=1", ""));
            }
            Ok(said.note("its cosine begins one step in, so the base rate is never used"))
        },
    },
    Class {
        signature: "deepspeed.runtime.lr_schedules.OneCycle(optimizer, cycle_min_lr, cycle_max_lr, decay_lr_rate=0.0, cycle_first_step_size=2000, cycle_second_step_size=None, cycle_first_stair_count=0, cycle_second_stair_count=None, decay_step_size=0, cycle_momentum=True, cycle_min_mom=0.8, cycle_max_mom=0.9, decay_mom_rate=0.0, last_batch_iteration=-1)",
        say: |given| {
            if given.count("cycle_first_stair_count")? != 0 {
                return Err(given.wrong("`cycle_first_stair_count` other than 0 is not read"));
            }
            let up = given.count("cycle_first_step_size")?;
            let down = given.count_or("cycle_second_step_size", up)?;
            let (decay, rate) = (given.count("decay_step_size")?, given.number("decay_lr_rate")?);
            let then = if decay == 0 { "constant".to_owned() } else { format!("inverse_time({decay}, {})", n(rate)) };
            let cycle =
                format!("cyclic({}, step_size_up={up}, step_size_down={down})", n(given.number("cycle_max_lr")?));
            let said = Said::of(given.number("cycle_min_lr")?, sequential(&[up + down], &[cycle, then]))?;
            Ok(said.note("the momentum is left alone here"))
        },
    },
    Class {
        signature: "deepspeed.runtime.lr_schedules.LRRangeTest(optimizer, lr_range_test_min_lr=1e-3, lr_range_test_step_size=2000, lr_range_test_step_rate=1.0, lr_range_test_staircase=False, last_batch_iteration=-1)",
        say: |given| {
            let (size, rate) = (given.count("lr_range_test_step_size")?, given.number("lr_range_test_step_rate")?);
            let text = match given.flag("lr_range_test_staircase")? {
                true => format!("expr(\"base * (1 + {} * floor(t / {size}))\")", n(rate)),
                false => format!("linear(1, {}, {})", n(1.0 + 1000.0 * rate), size.saturating_mul(1000)),
            };
            let said = Said::of(given.number("lr_range_test_min_lr")?, text)?;
            Ok(said.note("`train find-lr` makes such a test, and reads its result"))
        },
    },
    Class {
        signature: "ignite.handlers.CosineAnnealingScheduler(optimizer, param_name, start_value, end_value, cycle_size, cycle_mult=1.0, start_value_mult=1.0, end_value_mult=1.0, warmup_duration=0, save_history=False, param_group_index=None)",
        say: ignite_cosine,
    },
    Class {
        signature: "ignite.handlers.LinearCyclicalScheduler(optimizer, param_name, start_value, end_value, cycle_size, cycle_mult=1.0, start_value_mult=1.0, end_value_mult=1.0, warmup_duration=0, save_history=False, param_group_index=None, monotonic=False)",
        say: ignite_linear,
    },
    Class {
        signature: "ignite.handlers.create_lr_scheduler_with_warmup(lr_scheduler, warmup_start_value, warmup_duration, warmup_end_value=None, save_history=False, output_simulated_values=None)",
        say: |given| {
            let (inner, start) = (given.inner("lr_scheduler")?, given.number("warmup_start_value")?);
            let steps = given.count("warmup_duration")?.max(2);
            if given.is_none("warmup_end_value") {
                let said = Said { text: warmup(steps - 1, start, &inner.text), ..inner };
                return Ok(said.note("a warm-up of W updates has its peak at update W - 1, where the schedule begins"));
            }
            let end = given.number("warmup_end_value")?;
            let rise = format!("expr(\"{} + {} * t / {}\")", n(start), n(end - start), steps - 1);
            Ok(Said { text: sequential(&[steps], &[rise, inner.text.clone()]), ..inner })
        },
    },
    Class {
        signature: "ignite.handlers.LRScheduler(lr_scheduler, save_history=False, use_legacy=False)",
        say: |given| {
            let inner = given.inner("lr_scheduler")?;
            if !inner.text.starts_with("exponential(") {
                return Err(
                    given.wrong("only an ExponentialLR in it is read: PyTorch's other recursions go wrong in it")
                );
            }
            let said = Said { text: format!("early(1, {})", inner.text), ..inner };
            Ok(said.note("ignite multiplies before the first update as well"))
        },
    },
    Class {
        signature: "mmengine.optim.scheduler.LinearLR(optimizer, start_factor=1/3, end_factor=1.0, begin=0, end=None, last_step=-1, by_epoch=True, verbose=False)",
        say: |given| {
            let (start, end) = (given.number("start_factor")?, given.number("end_factor")?);
            let text = format!("linear({}, {}, {})", n(start), n(end), mmengine_last(given)?);
            mmengine(given, text)
        },
    },
    Class {
        signature: "mmengine.optim.scheduler.ConstantLR(optimizer, factor=1/3, begin=0, end=None, last_step=-1, by_epoch=True, verbose=False)",
        say: |given| {
            let text = format!("constant({}, total={})", n(given.number("factor")?), mmengine_last(given)?);
            mmengine(given, text)
        },
    },
    Class {
        signature: "mmengine.optim.scheduler.ExponentialLR(optimizer, gamma, begin=0, end=None, last_step=-1, by_epoch=True, verbose=False)",
        say: |given| {
            let text = format!("exponential({})", n(given.number("gamma")?));
            let text = if given.is_none("end") { text } else { format!("until({}, {text})", mmengine_last(given)?) };
            mmengine(given, text)
        },
    },
    Class {
        signature: "mmengine.optim.scheduler.CosineAnnealingLR(optimizer, T_max=None, eta_min=None, begin=0, end=None, last_step=-1, by_epoch=True, verbose=False, eta_min_ratio=None)",
        say: |given| {
            let low =
                format!("{}{}", floor(given.number_or("eta_min", 0.0)?), ratio(given.number_or("eta_min_ratio", 0.0)?));
            if given.is_none("end") {
                return mmengine(given, format!("cosine({}{low}, after=\"cycle\")", given.count("T_max")?));
            }
            let last = mmengine_last(given)?;
            let wave = given.count_or("T_max", last + 1)?;
            mmengine(given, format!("until({last}, cosine({wave}{low}, after=\"cycle\"))"))
        },
    },
    Class {
        signature: "mmengine.optim.scheduler.PolyLR(optimizer, eta_min=0, power=1, begin=0, end=None, last_step=-1, by_epoch=True, verbose=False)",
        say: |given| {
            let low = floor(given.number("eta_min")?);
            let text = format!("polynomial({}, power={}{low})", mmengine_last(given)?, n(given.number("power")?));
            mmengine(given, text)
        },
    },
    Class {
        signature: "mmengine.optim.scheduler.OneCycleLR(optimizer, eta_max, total_steps=None, pct_start=0.3, anneal_strategy='cos', div_factor=25.0, final_div_factor=10000.0, three_phase=False, begin=0, end=None, last_step=-1, by_epoch=True, verbose=False)",
        say: |given| {
            let three = if given.flag("three_phase")? { ", three_phase=true" } else { "" };
            let text = format!(
                "one_cycle({}, pct_start={}, anneal=\"{}\", div_factor={}, final_div_factor={}{three})",
                given.count("total_steps")?,
                n(given.number("pct_start")?),
                given.word("anneal_strategy", &["cos", "linear"])?,
                n(given.number("div_factor")?),
                n(given.number("final_div_factor")?),
            );
            Ok(Said { base_lrs: vec![given.number("eta_max")?], ..mmengine(given, text)? })
        },
    },
    Class {
        signature: "mmengine.optim.scheduler.StepLR(optimizer, step_size, gamma=0.1, begin=0, end=None, last_step=-1, by_epoch=True, verbose=False)",
        say: |given| {
            mmengine(given, format!("step({}, gamma={})", given.count("step_size")?, n(given.number("gamma")?)))
        },
    },
    Class {
        signature: "mmengine.optim.scheduler.MultiStepLR(optimizer, milestones, gamma=0.1, last_step=-1, begin=0, end=None, by_epoch=True, verbose=False)",
        say: |given| {
            mmengine(
                given,
                format!("multi_step({:?}, gamma={})", given.counts("milestones")?, n(given.number("gamma")?)),
            )
        },
    },
];

/// DeepSpeed's warm-up, whose first rate is used twice, before `then`. Without `warmup_max_lr` its peak is the
/// optimizer's rate.
fn deepspeed(given: &Given, start: &str, then: &str) -> Result<Said, LikeError> {
    let steps = given.count("warmup_num_steps")?.max(2);
    let text = match given.word("warmup_type", &["log", "linear"])? {
        // By its logarithm the warm-up has its peak one step before its end.
        "log" if then != "constant" => {
            format!("warmup({}, shape=\"log\", repeat=1{start}) -> constant(total=1) -> {then}", steps - 1)
        }
        "log" => format!("warmup({}, shape=\"log\", repeat=1{start}) -> {then}", steps - 1),
        _ => format!("warmup({steps}, repeat=1{start}) -> {then}"),
    };
    let base_lrs = if given.is_none("warmup_max_lr") { Vec::new() } else { given.numbers("warmup_max_lr")? };
    let said = Said { text, base_lrs, notes: Vec::new() };
    Ok(said.note("DeepSpeed makes the first step of a warm-up twice, and so does this"))
}

fn ignite_cosine(given: &Given) -> Result<Said, LikeError> {
    let (start, cycle) = (given.number("start_value")?, given.count("cycle_size")?);
    let low = floor(given.number("end_value")?);
    let (top, bottom) = (given.number("start_value_mult")?, given.number("end_value_mult")?);
    let (growth, rise) = (given.number("cycle_mult")?, given.count("warmup_duration")?);
    if rise > 0 {
        if top != 1.0 || bottom != 1.0 || growth != 1.0 {
            return Err(given.wrong("`warmup_duration` with a multiplier is not read"));
        }
        let up = warmup(rise, given.number("end_value")?, "constant");
        let cycle_text = sequential(&[cycle], &[format!("cosine({cycle}{low})"), up]);
        let said = Said::of(start, format!("repeat({}, {cycle_text})", cycle + rise))?;
        return Ok(said.note("its warm-up comes after each cycle, and there is none before the first"));
    }
    let decay = match (top == 1.0, bottom == 1.0, top == bottom) {
        (true, true, _) => String::new(),
        (_, true, _) => format!(", cycle_decay={}", n(top)),
        (_, _, true) => format!(", cycle_decay={}, decays=\"both\"", n(top)),
        _ => return Err(given.wrong("`end_value_mult` must be 1 or `start_value_mult`")),
    };
    Ok(Said::of(start, format!("cosine_restarts({cycle}, t_mult={}{low}{decay})", n(growth)))?
        .note("it starts again by itself"))
}

fn ignite_linear(given: &Given) -> Result<Said, LikeError> {
    for name in ["cycle_mult", "start_value_mult", "end_value_mult"] {
        if given.number(name)? != 1.0 {
            return Err(given.wrong(format!("`{name}` other than 1 is not read")));
        }
    }
    if given.count("warmup_duration")? != 0 || given.flag("monotonic")? {
        return Err(given.wrong("`warmup_duration` and `monotonic` are not read"));
    }
    let (start, cycle) = (given.number("start_value")?, given.count("cycle_size")?);
    let end = share(given, "`end_value`", given.number("end_value")?, start)?;
    let half = cycle / 2;
    let mut points = vec![(0, 1.0), (half, end)];
    if cycle % 2 == 1 {
        // The other end is between two updates, which have the same rate.
        let nearest = end + (1.0 - end) / cycle as f64;
        points = vec![(0, 1.0), (half, nearest), (half + 1, nearest)];
    }
    points.push((cycle, 1.0));
    points.dedup_by_key(|point| point.0);
    Said::of(start, format!("repeat({cycle}, {})", piecewise(&points, "linear")))
}

/// The last update of an mmengine scheduler, counted from its begin: one before its end.
fn mmengine_last(given: &Given) -> Result<u64, LikeError> {
    let begin = given.count("begin")?;
    if given.is_none("end") {
        return Err(given.wrong("it needs `end`"));
    }
    let last = given.count("end")?.checked_sub(begin + 1).filter(|last| *last > 0);
    last.ok_or_else(|| given.wrong("`end` must be at least 2 after `begin`"))
}

/// Before its begin the rate is the base rate.
fn mmengine(given: &Given, text: String) -> Result<Said, LikeError> {
    let begin = given.count("begin")?;
    let text = if begin == 0 { text } else { sequential(&[begin], &["constant".to_owned(), text]) };
    let said = Said::text(text)?.note("mmengine's schedulers stop one update before their `end`, and so does this");
    let per_epoch = given.flag("by_epoch")?;
    Ok(if per_epoch {
        said.note("mmengine counts epochs unless by_epoch=False: add unit=\"epoch\" for that")
    } else {
        said
    })
}
