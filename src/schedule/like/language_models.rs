//! Trainers of language models: Megatron-core 0.19, OLMo-core 3.0, torchtitan 0.3, torchtune 0.6, nanotron 0.4, litgpt
//! 0.5, schedulefree 1.4.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{floor, ratio, sequential, share, warmup, warmup_from_one};

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "megatron.core.OptimizerParamScheduler(optimizer, init_lr, max_lr, min_lr, lr_warmup_steps, lr_decay_steps, lr_decay_style, start_wd=0, end_wd=0, wd_incr_steps=0, wd_incr_style='constant', use_checkpoint_opt_param_scheduler=True, override_opt_param_scheduler=False, wsd_decay_steps=None, lr_wsd_decay_style=None)",
        say: megatron,
    },
    Class {
        signature: "olmo_core.optim.ConstantWithWarmup(lr_field='lr', initial_lr_field='initial_lr', units=None, warmup=None, warmup_steps=None, warmup_fraction=None, warmup_min_lr=0.0, t_max=None)",
        say: |given| olmo(given, &|_| Ok("constant".to_owned())),
    },
    Class {
        signature: "olmo_core.optim.CosWithWarmup(lr_field='lr', initial_lr_field='initial_lr', units=None, warmup=None, warmup_steps=None, warmup_fraction=None, alpha_f=0.1, t_max=None, warmup_min_lr=0.0)",
        say: |given| {
            olmo(given, &|given| {
                let rest = given.rest("t_max", olmo_warmup(given)?)?;
                Ok(format!("cosine({rest}{})", ratio(given.number("alpha_f")?)))
            })
        },
    },
    Class {
        signature: "olmo_core.optim.LinearWithWarmup(lr_field='lr', initial_lr_field='initial_lr', units=None, alpha_f=0.1, t_max=None, warmup=None, warmup_steps=None, warmup_fraction=None, warmup_min_lr=0.0)",
        say: |given| {
            olmo(given, &|given| {
                let rest = given.rest("t_max", olmo_warmup(given)?)?;
                Ok(format!("polynomial({rest}{})", ratio(given.number("alpha_f")?)))
            })
        },
    },
    Class {
        signature: "olmo_core.optim.InvSqrtWithWarmup(lr_field='lr', initial_lr_field='initial_lr', units=None, alpha_f=0.1, warmup=None, warmup_steps=None, warmup_fraction=None, warmup_min_lr=0.0, t_max=None)",
        say: |given| {
            olmo(given, &|given| {
                let (steps, low) = (olmo_warmup(given)?.max(1), ratio(given.number("alpha_f")?));
                let rest = given.rest("t_max", steps)?;
                Ok(format!("wsd(0, {}, 0{low}, stable_shape=\"rsqrt\", stable_timescale={steps})", rest + 1))
            })
        },
    },
    Class {
        signature: "olmo_core.optim.PowerLR(lr_field='lr', initial_lr_field='initial_lr', units=None, b=-0.51, warmup=None, warmup_steps=None, warmup_fraction=None, warmup_min_lr=0.0, decay=None, decay_steps=None, decay_fraction=0.1, decay_min_lr=0.0, t_max=None)",
        say: |given| {
            let (steps, decay) = (olmo_warmup(given)?.max(1), olmo_decay(given)?);
            let (total, exponent) = (given.count("t_max")?, -given.number("b")?);
            let start = total.checked_sub(decay).filter(|start| *start > steps);
            let start = start.ok_or_else(|| given.wrong("warm-up and decay are longer than `t_max`"))?;
            let rise =
                warmup(steps, given.number("warmup_min_lr")?, &format!("power({steps}, exponent={})", n(exponent)));
            let peak = (start as f64 / steps as f64).powf(-exponent);
            let fall = format!("chained([constant({}), polynomial({decay})])", n(peak));
            if given.number("decay_min_lr")? != 0.0 {
                return Err(given.wrong("`decay_min_lr` other than 0 is not read"));
            }
            Said::text(sequential(&[start], &[rise, fall]))
        },
    },
    Class {
        signature: "olmo_core.optim.WSD(lr_field='lr', initial_lr_field='initial_lr', units=None, warmup=None, warmup_steps=None, warmup_fraction=None, decay=None, decay_steps=None, decay_fraction=0.1, warmup_min_lr=0.0, decay_min_lr=0.0, t_max=None)",
        say: |given| {
            olmo(given, &|given| {
                let decay = olmo_decay(given)?;
                let stable = given.rest("t_max", olmo_warmup(given)?)?.checked_sub(decay);
                let stable = stable.ok_or_else(|| given.wrong("warm-up and decay are longer than `t_max`"))?;
                Ok(format!("wsd(0, {stable}, {decay}, eta_min={})", n(given.number("decay_min_lr")?)))
            })
        },
    },
    Class {
        signature: "olmo_core.optim.WSDS(lr_field='lr', initial_lr_field='initial_lr', units=None, period_lengths=None, period_lr_multipliers=None, warmup=0, warmup_fraction=None, decay=None, decay_fraction=None, warmup_min_lr=0.0, decay_min_lr=0.0, t_max=None)",
        say: |given| {
            if given.number("warmup_min_lr")? != 0.0 || !given.is_none("period_lr_multipliers") {
                return Err(given.wrong("`warmup_min_lr` and `period_lr_multipliers` are not read"));
            }
            let (periods, warmup) = (given.counts("period_lengths")?, given.count("warmup")?);
            let low = floor(given.number("decay_min_lr")?);
            Said::text(format!("wsds({periods:?}, {}, warmup={warmup}{low})", given.count("decay")?))
        },
    },
    Class {
        signature: "torchtitan.components.optimizer.lr_scheduler.LRSchedulersContainer(optimizers=None, warmup_steps=200, training_steps=None, decay_ratio=None, decay_type='linear', min_lr_factor=0.0)",
        say: torchtitan,
    },
    Class {
        signature: "torchtune.training.get_cosine_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps, num_cycles=0.5, last_epoch=-1)",
        say: |given| {
            if given.number("num_cycles")? != 0.5 {
                return Err(given.wrong("`num_cycles` other than 0.5 is not read"));
            }
            let steps = given.count("num_warmup_steps")?;
            let rest = given.rest("num_training_steps", steps)?;
            Said::text(warmup(steps, 0.0, &format!("cosine({rest}, after=\"cycle\")")))
        },
    },
    Class {
        signature: "nanotron.helpers.lr_scheduler_builder(learning_rate, lr_warmup_steps=0, lr_warmup_style='linear', lr_decay_style='linear', lr_decay_steps=None, lr_decay_starting_step=None, min_decay_lr=None, total_training_steps=None)",
        say: |given| {
            let (base, steps) = (given.number("learning_rate")?, given.count("lr_warmup_steps")?);
            let rest = match given.is_none("lr_decay_steps") {
                true => given.rest("total_training_steps", steps)?,
                false => given.count("lr_decay_steps")?,
            };
            let low = ratio(share(given, "`min_decay_lr`", given.number_or("min_decay_lr", base)?, base)?);
            let decay = match given.word("lr_decay_style", &["linear", "cosine", "1-sqrt"])? {
                "cosine" => format!("cosine({rest}{low})"),
                "linear" => format!("polynomial({rest}{low})"),
                _ => format!("wsd(0, 0, {rest}, decay_shape=\"1-sqrt\"{low})"),
            };
            let said = Said::of(base, warmup(steps, 0.0, &decay))?;
            Ok(said
                .note("its LRSchedulerArgs are read as its arguments; the floor is a share of the rate of each group"))
        },
    },
    Class {
        signature: "litgpt.pretrain.get_lr(learning_rate, it, warmup_iters, max_iters, min_lr)",
        say: |given| {
            let steps = given.count("warmup_iters")?;
            let decay = format!("cosine({}{})", given.rest("max_iters", steps)?, floor(given.number("min_lr")?));
            Said::of(given.number("learning_rate")?, warmup(steps, 0.0, &decay))
        },
    },
    Class {
        signature: "schedulefree.AdamWScheduleFree(params=None, lr=0.0025, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, warmup_steps=0, r=0.0, weight_lr_power=2.0, foreach=True)",
        say: |given| {
            let said = Said::of(given.number("lr")?, warmup_from_one(given.count("warmup_steps")?, "constant"))?;
            Ok(said.note("the warm-up is the optimizer's own; its average of weights is no schedule"))
        },
    },
];

fn megatron(given: &Given) -> Result<Said, LikeError> {
    const STYLES: &[&str] = &["constant", "linear", "cosine", "inverse-square-root", "WSD"];
    let (init, peak, least) = (given.number("init_lr")?, given.number("max_lr")?, given.number("min_lr")?);
    let (steps, total) = (given.count("lr_warmup_steps")?, given.count("lr_decay_steps")?);
    let low = floor(least);
    let text = match given.word("lr_decay_style", STYLES)? {
        "constant" => warmup(steps, init, "constant"),
        "linear" => warmup(steps, init, &format!("polynomial({}{low})", given.rest("lr_decay_steps", steps)?)),
        "cosine" => warmup(steps, init, &format!("cosine({}{low})", given.rest("lr_decay_steps", steps)?)),
        "inverse-square-root" => {
            let end = n(share(given, "`min_lr`", least, peak)?);
            let decay = warmup(steps, init, &format!("inverse_sqrt({}{low})", steps.max(1)));
            sequential(&[total + 1], &[decay, format!("constant({end})")])
        }
        _ => {
            let decay = given.count("wsd_decay_steps")?;
            let shape = match given.word("lr_wsd_decay_style", &["linear", "cosine", "minus_sqrt", "exponential"])? {
                "minus_sqrt" => "1-sqrt",
                shape => shape,
            };
            let wsd = |stable: u64| format!("wsd(0, {stable}, {decay}, decay_shape=\"{shape}\", eta_min={})", n(least));
            let start = total.saturating_sub(decay);
            match start.checked_sub(steps) {
                Some(stable) => warmup(steps, init, &wsd(stable)),
                // The decay begins within the warm-up, and shows from its end on.
                None => {
                    let rise = warmup(steps, init, "constant");
                    sequential(&[steps + 1], &[rise, format!("early({}, {})", steps + 1 - start, wsd(0))])
                }
            }
        }
    };
    Said::of(peak, text)
}

const T_MAX: &str = "`t_max` is the length of the run, which OLMo-core's trainer gives to the scheduler";

fn olmo(given: &Given, decay: &dyn Fn(&Given) -> Result<String, LikeError>) -> Result<Said, LikeError> {
    let text = warmup(olmo_warmup(given)?, given.number("warmup_min_lr")?, &decay(given)?);
    Ok(Said::text(text)?.note(T_MAX))
}

fn olmo_warmup(given: &Given) -> Result<u64, LikeError> {
    part(given, ["warmup", "warmup_steps"], "warmup_fraction")
}

fn olmo_decay(given: &Given) -> Result<u64, LikeError> {
    part(given, ["decay", "decay_steps"], "decay_fraction")
}

/// A part of the run, as a number of steps under one of two names, or as a share of it.
fn part(given: &Given, names: [&str; 2], fraction: &str) -> Result<u64, LikeError> {
    if let Some(name) = names.into_iter().find(|name| !given.is_none(name)) {
        return given.count(name);
    }
    Ok((given.number(fraction)? * given.count("t_max")? as f64).round() as u64)
}

fn torchtitan(given: &Given) -> Result<Said, LikeError> {
    let (steps, total) = (given.count("warmup_steps")?, given.count("training_steps")?);
    let low = ratio(given.number("min_lr_factor")?);
    let curve = |length: u64| match given.word("decay_type", &["linear", "cosine", "sqrt"])? {
        "linear" => Ok(format!("polynomial({length}{low})")),
        "cosine" => Ok(format!("cosine({length}{low})")),
        _ => Ok::<_, LikeError>(format!("wsd(0, 0, {length}, decay_shape=\"1-sqrt\"{low})")),
    };
    let rest = given.rest("training_steps", steps)?;
    let text = if given.is_none("decay_ratio") {
        curve(rest)?
    } else {
        let decay = (given.number("decay_ratio")? * total as f64).round() as u64;
        let stable = (rest + 1).checked_sub(decay).filter(|_| decay > 0);
        let stable = stable.ok_or_else(|| given.wrong("warm-up and decay are longer than `training_steps`"))?;
        let decay = format!("early(1, {})", curve(decay)?);
        if stable == 0 { decay } else { format!("constant(total={stable}) -> {decay}") }
    };
    let said = Said::text(warmup_from_one(steps, &text))?;
    Ok(said.note("its warm-up counts from 1, so the peak is used twice"))
}
