//! Speech and language toolkits: fairseq 0.12, fairseq2 0.8, ESPnet 202611, SpeechBrain 1.1, NeMo 3.0, flair 0.15.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{floor, piecewise, sequential, share, warmup, warmup_from_one};

const FROM_ONE: &str = "it counts from 1: the first update of its warm-up has one part of the rate";

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "fairseq2.optim.lr_schedulers.CosineAnnealingLR(optimizer, cycle_len, num_warmup_steps, cycle_mul=1.0, lr_mul=1.0, start_lr=0.0, final_lr=0.0, last_epoch=-1)",
        say: |given| {
            let cycles = cycles(given.count("cycle_len")?, given.number("cycle_mul")?, given.number("lr_mul")?);
            let text = format!("cosine_restarts({cycles}{})", floor(given.number("final_lr")?));
            Said::text(warmup(given.count("num_warmup_steps")?, given.number("start_lr")?, &text))
        },
    },
    Class {
        signature: "fairseq2.optim.lr_schedulers.NoamLR(optimizer, num_warmup_steps, last_epoch=-1)",
        say: |given| {
            let steps = given.count("num_warmup_steps")?.max(1);
            let share = n((steps as f64).powf(-0.5));
            let said = Said::text(format!("chained([constant({share}), warmup({steps}) -> inverse_sqrt({steps})])"))?;
            Ok(said.note("its first rate is 0, and it knows no size of the model"))
        },
    },
    Class {
        signature: "fairseq2.optim.lr_schedulers.PolynomialDecayLR(optimizer, num_steps, num_warmup_steps, power=1.0, start_lr=0.0, final_lr=0.0, last_epoch=-1)",
        say: |given| {
            let steps = given.count("num_warmup_steps")?;
            let (rest, power) = (given.rest("num_steps", steps)?, n(given.number("power")?));
            let text = format!("polynomial({rest}, power={power}{})", floor(given.number("final_lr")?));
            Said::text(warmup(steps, given.number("start_lr")?, &text))
        },
    },
    Class {
        signature: "fairseq2.optim.lr_schedulers.TriStageLR(optimizer, num_steps, stage_ratio, start_lr_scale=0.01, final_lr_scale=0.01, last_epoch=-1)",
        say: |given| {
            let (total, ratios) = (given.count("num_steps")? as f64, given.numbers("stage_ratio")?);
            let [up, hold, down] = ratios.as_slice() else {
                return Err(given.wrong("`stage_ratio` takes three shares, such as (0.1, 0.4, 0.5)"));
            };
            let stages = [up * total, hold * total, down * total].map(|length| length as u64);
            tri_stage(stages, given.number("start_lr_scale")?, given.number("final_lr_scale")?)
        },
    },
    Class {
        signature: "fairseq.optim.lr_scheduler.CosineLRSchedule(lr, min_lr=0, warmup_updates=0, warmup_init_lr=-1, t_mult=1.0, lr_period_updates=-1, lr_shrink=0.1, max_update=0)",
        say: |given| {
            let (steps, start) = fairseq_warmup(given)?;
            let period = match given.number("lr_period_updates")? {
                period if period > 0.0 => period as u64,
                _ => given.rest("max_update", steps)?,
            };
            let cycles = cycles(period, given.number("t_mult")?, given.number("lr_shrink")?);
            let text = format!("cosine_restarts({cycles}{})", floor(given.number("min_lr")?));
            Said::of(first_lr(given)?, warmup(steps, start, &text))
        },
    },
    Class {
        signature: "fairseq.optim.lr_scheduler.TriStageLRSchedule(lr, init_lr_scale=0.01, final_lr_scale=0.01, phase_ratio=None, warmup_steps=0, hold_steps=0, decay_steps=0, max_update=0)",
        say: |given| {
            let stages = if given.is_none("phase_ratio") {
                [given.count("warmup_steps")?, given.count("hold_steps")?, given.count("decay_steps")?]
            } else {
                let (total, ratios) = (given.count("max_update")? as f64, given.numbers("phase_ratio")?);
                let [up, hold, down] = ratios.as_slice() else {
                    return Err(given.wrong("`phase_ratio` takes three shares, such as (0.1, 0.4, 0.5)"));
                };
                [up * total, hold * total, down * total].map(|length| length as u64)
            };
            let said = tri_stage(stages, given.number("init_lr_scale")?, given.number("final_lr_scale")?)?;
            Ok(Said { base_lrs: vec![first_lr(given)?], ..said })
        },
    },
    Class {
        signature: "fairseq.optim.lr_scheduler.StepLRSchedule(lr, min_lr=0, warmup_updates=0, warmup_init_lr=-1, lr_deacy_period=25000, lr_decay=0.5)",
        say: |given| {
            let (steps, start) = fairseq_warmup(given)?;
            let (period, decay) = (given.count("lr_deacy_period")?, n(given.number("lr_decay")?));
            let text = format!("step({period}, gamma={decay}{})", floor(given.number("min_lr")?));
            Said::of(first_lr(given)?, warmup(steps, start, &text))
        },
    },
    Class {
        signature: "espnet2.schedulers.WarmupLR(optimizer, warmup_steps=25000, last_epoch=-1)",
        say: |given| Ok(Said::text(inverse_sqrt(given.count("warmup_steps")?))?.note(FROM_ONE)),
    },
    Class {
        signature: "espnet2.schedulers.PiecewiseLinearWarmupLR(optimizer, warmup_steps_list=[0, 25000], warmup_lr_list=[0, 0.001], last_epoch=-1)",
        say: |given| {
            let (steps, rates) = (given.counts("warmup_steps_list")?, given.numbers("warmup_lr_list")?);
            let (Some(&end), Some(&peak)) = (steps.last(), rates.last()) else {
                return Err(given.wrong("`warmup_steps_list` and `warmup_lr_list` must not be empty"));
            };
            let mut points = Vec::new();
            for (at, rate) in steps.iter().zip(&rates) {
                points.push((*at, share(given, "a rate of the warm-up", *rate, peak)?));
            }
            let parts = [piecewise(&points, "linear"), format!("inverse_sqrt({end})")];
            let said = Said::of(peak, format!("early(1, {})", sequential(&[end], &parts)))?;
            Ok(said
                .note(FROM_ONE)
                .note("the base rate is the last of `warmup_lr_list`, which should be the optimizer's"))
        },
    },
    Class {
        signature: "espnet2.schedulers.ExponentialDecayWarmup(optimizer, max_lr, min_lr, total_steps, warmup_steps=0, warm_from_zero=False, last_epoch=-1)",
        say: |given| {
            let (steps, peak) = (given.count("warmup_steps")?, given.number("max_lr")?);
            if steps > 0 && !given.flag("warm_from_zero")? {
                return Err(given.wrong("a warm-up is read with `warm_from_zero=True` only"));
            }
            let gamma = n(share(given, "`min_lr`", given.number("min_lr")?, peak)?);
            let decay = format!("exponential({gamma}, period={})", given.rest("total_steps", steps)?);
            let text = match steps {
                0 => decay,
                _ => format!("sequential([1], [constant(0), early(1, {})])", warmup_from_one(steps, &decay)),
            };
            Ok(Said::of(peak, text)?.note("the first update has rate 0, the second two parts of the peak"))
        },
    },
    Class {
        signature: "speechbrain.nnet.schedulers.NoamScheduler(lr_initial, n_warmup_steps, model_size=None)",
        say: |given| {
            let peak = given.number("lr_initial")?;
            let scale = if given.is_none("model_size") { 1.0 } else { given.number("model_size")?.powf(-0.5) };
            let said = Said::of(peak * scale, inverse_sqrt(given.count("n_warmup_steps")?))?;
            Ok(said.note("`lr_initial` is its peak, not the factor of the paper").note(FROM_ONE))
        },
    },
    Class {
        signature: "speechbrain.nnet.schedulers.WarmAndExpDecayLRSchedule(lr, n_warmup_steps, total_steps, decay_factor=0.1)",
        say: |given| {
            let steps = given.count("n_warmup_steps")?;
            let rest = given.rest("total_steps", steps)?;
            let decay = format!("exponential({}, period={rest})", n(given.number("decay_factor")?));
            Said::of(given.number("lr")?, warmup(steps, 0.0, &decay))
        },
    },
    Class {
        signature: "speechbrain.nnet.schedulers.CyclicCosineScheduler(n_warmup_steps, lr_initial=None, total_steps=100000)",
        say: |given| {
            let (steps, total) = (given.count("n_warmup_steps")?, given.count("total_steps")?);
            // The wave is 2 * total long, and update 0 is `steps - 1` before its top.
            let shift =
                (total * 2 + 1).checked_sub(steps).ok_or_else(|| given.wrong("the warm-up is longer than a wave"))?;
            let text = format!("early({shift}, cosine({total}, after=\"cycle\"))");
            let base_lrs = if given.is_none("lr_initial") { Vec::new() } else { vec![given.number("lr_initial")?] };
            let said = Said { text, base_lrs, notes: Vec::new() };
            Ok(said.note("its warm-up is the end of the wave before, and begins near the peak"))
        },
    },
    Class {
        signature: "speechbrain.nnet.schedulers.NewBobScheduler(initial_value, annealing_factor=0.5, improvement_threshold=0.0025, patient=0)",
        say: |given| {
            let (factor, threshold) = (given.number("annealing_factor")?, given.number("improvement_threshold")?);
            let patience = given.count("patient")?;
            let text = format!("newbob(factor={}, threshold={}, patience={patience})", n(factor), n(threshold));
            Said::of(given.number("initial_value")?, text)
        },
    },
    Class {
        signature: "nemo.core.optim.CosineAnnealing(optimizer, max_steps, min_lr=0, warmup_steps=0, warmup_ratio=None, constant_steps=0, last_epoch=-1)",
        say: |given| nemo(given, |rest, floor| format!("cosine({rest}{floor})")),
    },
    Class {
        signature: "nemo.core.optim.PolynomialDecayAnnealing(optimizer, max_steps, min_lr=0.0, power=1.0, cycle=False, warmup_steps=0, warmup_ratio=None, constant_steps=0, last_epoch=-1)",
        say: |given| {
            let power = n(given.number("power")?);
            nemo(given, |rest, floor| format!("polynomial({rest}, power={power}{floor})"))
        },
    },
    Class {
        signature: "nemo.core.optim.InverseSquareRootAnnealing(optimizer, max_steps, min_lr=0.0, warmup_steps=0, warmup_ratio=None, last_epoch=-1)",
        say: |given| {
            let steps = nemo_warmup(given)? + 1;
            let decay = warmup_from_one(steps, &format!("early(1, inverse_sqrt({steps}))"));
            after_the_end(given, &decay)
        },
    },
    Class {
        signature: "nemo.core.optim.SquareRootAnnealing(optimizer, max_steps, min_lr=0.0, warmup_steps=0, warmup_ratio=None, last_epoch=-1)",
        say: |given| {
            let (steps, total) = (nemo_warmup(given)? + 1, given.count("max_steps")?);
            let decay = warmup_from_one(steps, &format!("early({steps}, polynomial({total}, power=0.5))"));
            Ok(after_the_end(given, &decay)?
                .note("its root counts from the start of the run, so it jumps down after the peak"))
        },
    },
    Class {
        signature: "nemo.core.optim.WarmupHoldAnnealLinear(optimizer, max_steps, min_lr=0.0, warmup_steps=0, warmup_ratio=None, hold_steps=0, last_epoch=-1)",
        say: |given| {
            let (steps, hold) = (nemo_warmup(given)?, given.count("hold_steps")?);
            let rest = given.rest("max_steps", steps + hold)?;
            let decay = format!("polynomial({rest}{})", floor(given.number("min_lr")?));
            let held = if hold > 1 { format!("constant(total={}) -> {decay}", hold - 1) } else { decay };
            Ok(Said::text(warmup_from_one(steps + 1, &held))?.note(NEMO))
        },
    },
    Class {
        signature: "flair.optim.ExpAnnealLR(optimizer, end_lr, iterations, last_epoch=-1)",
        say: |given| {
            let (end, steps) = (n(given.number("end_lr")?), given.count("iterations")?);
            let text = format!("early(1, wsd(0, 0, {steps}, decay_shape=\"geometric\", eta_min={end}))");
            Ok(Said::text(text)?.note("here it stops at end_lr, where flair's falls below it"))
        },
    },
];

const NEMO: &str = "NeMo's warm-up of W updates begins at 1/(W + 1) of the rate and has its peak at update W";

/// The length, growth and shrinking of fairseq's cycles, whose floors shrink too.
fn cycles(length: u64, growth: f64, shrink: f64) -> String {
    let shrunk = if shrink == 1.0 { String::new() } else { format!(", cycle_decay={}, decays=\"both\"", n(shrink)) };
    format!("{length}, t_mult={}{shrunk}", n(growth))
}

fn first_lr(given: &Given) -> Result<f64, LikeError> {
    given.numbers("lr")?.first().copied().ok_or_else(|| given.wrong("`lr` is an empty list"))
}

/// The length of fairseq's warm-up and its first rate, which is 0 if it is negative and there is a warm-up.
fn fairseq_warmup(given: &Given) -> Result<(u64, f64), LikeError> {
    let start = given.number("warmup_init_lr")?;
    let start = if start < 0.0 { given.number("min_lr")? } else { start };
    Ok((given.count("warmup_updates")?, start))
}

fn tri_stage([up, hold, down]: [u64; 3], start: f64, end: f64) -> Result<Said, LikeError> {
    let decay = format!("wsd(0, {hold}, {down}, decay_shape=\"geometric\", min_ratio={})", n(end));
    Said::text(if up == 0 { decay } else { format!("warmup({up}, start_ratio={}) -> {decay}", n(start)) })
}

/// A warm-up that counts from 1, and the inverse square root after it.
fn inverse_sqrt(steps: u64) -> String {
    warmup_from_one(steps, &format!("early(1, inverse_sqrt({}))", steps.max(1)))
}

/// The length of NeMo's warm-up, which may be a share of the run, cut to a whole number.
fn nemo_warmup(given: &Given) -> Result<u64, LikeError> {
    match given.is_none("warmup_ratio") {
        true => given.count("warmup_steps"),
        false => Ok((given.number("warmup_ratio")? * given.count("max_steps")? as f64) as u64),
    }
}

fn nemo(given: &Given, decay: impl Fn(u64, &str) -> String) -> Result<Said, LikeError> {
    for name in ["constant_steps", "cycle"] {
        if !given.is_none(name) && given.number_or(name, 0.0).is_ok_and(|x| x != 0.0) {
            return Err(given.wrong(format!("`{name}` is not read; write the schedule by hand")));
        }
    }
    let steps = nemo_warmup(given)?;
    let rest = given.rest("max_steps", steps)?;
    let text = decay(rest, &floor(given.number("min_lr")?));
    let text = if steps == 0 { text } else { warmup_from_one(steps + 1, &format!("early(1, {text})")) };
    Ok(Said::text(text)?.note(NEMO))
}

/// NeMo's rate falls to its floor at once after the last update.
fn after_the_end(given: &Given, decay: &str) -> Result<Said, LikeError> {
    let (total, end) = (given.count("max_steps")?, given.number("min_lr")?);
    if end != 0.0 {
        return Err(given.wrong("`min_lr` other than 0 is not read"));
    }
    Ok(Said::text(sequential(&[total + 1], &[decay.to_owned(), "constant(0)".to_owned()]))?.note(NEMO))
}
