//! transformers 5.23: `transformers.optimization`, whose functions are imported from `transformers` as well.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{plateau, ratio, unless, warmup, warmup_from_one};

const SHARE: &str = "there the floor is a share of the rate that the optimizer was made with: for a group with another \
                     rate write min_ratio, the floor divided by that rate, in place of eta_min";
const RISES: &str = "after the end the cosine rises again there, and here: leave out after=\"cycle\" to hold its floor";

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "transformers.optimization.get_scheduler(name, optimizer, num_warmup_steps=None, num_training_steps=None, scheduler_specific_kwargs=None)",
        say: by_name,
    },
    Class {
        signature: "transformers.optimization.get_constant_schedule(optimizer, last_epoch=-1)",
        say: |_| Said::text("constant"),
    },
    Class {
        signature: "transformers.optimization.get_constant_schedule_with_warmup(optimizer, num_warmup_steps, last_epoch=-1)",
        say: |given| Said::text(warmup(given.count("num_warmup_steps")?, 0.0, "constant")),
    },
    Class {
        signature: "transformers.optimization.get_linear_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps, last_epoch=-1)",
        say: |given| after_warmup(given, |rest| format!("polynomial({rest})")),
    },
    Class {
        signature: "transformers.optimization.get_cosine_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps, num_cycles=0.5, last_epoch=-1)",
        say: |given| cosine(given, ""),
    },
    Class {
        signature: "transformers.optimization.get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps, num_cycles=1, last_epoch=-1)",
        say: hard_restarts,
    },
    Class {
        signature: "transformers.optimization.get_polynomial_decay_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps, lr_end=1e-7, power=1.0, last_epoch=-1)",
        say: |given| {
            let (end, power) = (n(given.number("lr_end")?), unless("power", given.number("power")?, 1.0));
            Ok(after_warmup(given, |rest| format!("polynomial({rest}{power}, eta_min={end})"))?.note(SHARE))
        },
    },
    Class {
        signature: "transformers.optimization.get_inverse_sqrt_schedule(optimizer, num_warmup_steps, timescale=None, last_epoch=-1)",
        say: |given| {
            let steps = given.count("num_warmup_steps")?;
            let timescale = given.count_or("timescale", if steps == 0 { 10_000 } else { steps })?;
            Said::text(warmup(steps, 0.0, &format!("inverse_sqrt({timescale})")))
        },
    },
    Class {
        signature: "transformers.optimization.get_cosine_with_min_lr_schedule_with_warmup(optimizer, num_warmup_steps, num_training_steps, num_cycles=0.5, last_epoch=-1, min_lr=None, min_lr_rate=None)",
        say: |given| {
            let (floor, is_share) = the_floor(given)?;
            let said = cosine(given, &floor)?;
            Ok(if is_share { said } else { said.note(SHARE) })
        },
    },
    Class {
        signature: "transformers.optimization.get_cosine_with_min_lr_schedule_with_warmup_lr_rate(optimizer, num_warmup_steps, num_training_steps, num_cycles=0.5, last_epoch=-1, min_lr=None, min_lr_rate=None, warmup_lr_rate=None)",
        say: |given| {
            half(given)?;
            let (floor, is_share) = the_floor(given)?;
            let steps = given.count("num_warmup_steps")?;
            let rest = given.rest("num_training_steps", steps)?;
            let decay = format!("early(1, cosine({rest}{floor}, after=\"cycle\"))");
            let text = match given.is_none("warmup_lr_rate") {
                true => warmup_from_one(steps, &decay),
                false if steps < 2 => decay,
                // There the first update has this share of the rate, and the last one of the warm-up the whole of it.
                false => {
                    let start = n(given.number("warmup_lr_rate")?);
                    format!("sequential([{steps}], [linear({start}, 1, {}), {decay}])", steps - 1)
                }
            };
            let said = Said::text(text)?.note(RISES);
            Ok(if is_share { said } else { said.note(SHARE) })
        },
    },
    Class {
        signature: "transformers.optimization.get_wsd_schedule(optimizer, num_warmup_steps, num_decay_steps, num_training_steps=None, num_stable_steps=None, warmup_type='linear', decay_type='cosine', min_lr_ratio=0, num_cycles=0.5, last_epoch=-1)",
        say: wsd,
    },
    Class {
        signature: "transformers.optimization.get_reduce_on_plateau_schedule(optimizer, mode='min', factor=0.1, patience=10, threshold=1e-4, threshold_mode='rel', cooldown=0, min_lr=0, eps=1e-8)",
        say: plateau,
    },
    Class {
        signature: "transformers.optimization.GreedyLR(optimizer, mode='min', factor=0.95, patience=10, threshold=1e-6, threshold_mode='abs', cooldown=0, warmup=0, min_lr=1e-3, max_lr=1.0, eps=1e-8, verbose=False, smooth=False, window_size=50, reset_start=500)",
        say: |given| {
            let threshold_mode = given.word("threshold_mode", &["rel", "abs"])?;
            Said::text(format!(
                "greedy(mode=\"{}\", factor={}, patience={}, threshold={}, threshold_mode=\"{threshold_mode}\", \
                 cooldown={}, warmup={}, min_lr={}, max_lr={}, eps={}, smooth={}, window_size={}, reset_start={})",
                given.word("mode", &["min", "max"])?,
                n(given.number("factor")?),
                given.count("patience")?,
                n(given.number("threshold")?),
                given.count("cooldown")?,
                given.count("warmup")?,
                n(given.number("min_lr")?),
                n(given.number("max_lr")?),
                n(given.number("eps")?),
                given.flag("smooth")?,
                given.count("window_size")?,
                given.count("reset_start")?,
            ))
        },
    },
];

/// Reads `get_scheduler`, which calls the function for a name.
fn by_name(given: &Given) -> Result<Said, LikeError> {
    const NAMES: [(&str, &str, &[&str]); 12] = [
        ("linear", "get_linear_schedule_with_warmup", ALL),
        ("cosine", "get_cosine_schedule_with_warmup", ALL),
        ("cosine_with_restarts", "get_cosine_with_hard_restarts_schedule_with_warmup", ALL),
        ("polynomial", "get_polynomial_decay_schedule_with_warmup", ALL),
        ("constant", "get_constant_schedule", &[]),
        ("constant_with_warmup", "get_constant_schedule_with_warmup", WARMUP),
        ("inverse_sqrt", "get_inverse_sqrt_schedule", WARMUP),
        ("reduce_lr_on_plateau", "get_reduce_on_plateau_schedule", &[]),
        ("cosine_with_min_lr", "get_cosine_with_min_lr_schedule_with_warmup", ALL),
        ("cosine_warmup_with_min_lr", "get_cosine_with_min_lr_schedule_with_warmup_lr_rate", ALL),
        ("warmup_stable_decay", "get_wsd_schedule", ALL),
        ("greedy", "GreedyLR", &[]),
    ];
    const WARMUP: &[&str] = &["num_warmup_steps"];
    const ALL: &[&str] = &["num_warmup_steps", "num_training_steps"];
    let name = given.word("name", &NAMES.map(|(name, ..)| name))?;
    let (_, function, handed) = NAMES.into_iter().find(|(known, ..)| *known == name).unwrap_or(NAMES[0]);
    given.hand_on(&format!("transformers.optimization.{function}"), handed, "scheduler_specific_kwargs")
}

/// A warm-up, and a decay over what is left of the training.
fn after_warmup(given: &Given, decay: impl Fn(u64) -> String) -> Result<Said, LikeError> {
    let steps = given.count("num_warmup_steps")?;
    Said::text(warmup(steps, 0.0, &decay(given.rest("num_training_steps", steps)?)))
}

/// Accepts half a wave only.
fn half(given: &Given) -> Result<(), LikeError> {
    match given.number("num_cycles")? {
        0.5 => Ok(()),
        _ => Err(given.wrong("`num_cycles` other than 0.5 is not read; write cosine(…, after=\"cycle\")")),
    }
}

fn cosine(given: &Given, floor: &str) -> Result<Said, LikeError> {
    half(given)?;
    Ok(after_warmup(given, |rest| format!("cosine({rest}{floor}, after=\"cycle\")"))?.note(RISES))
}

/// The floor, and whether it is a share.
fn the_floor(given: &Given) -> Result<(String, bool), LikeError> {
    match (given.is_none("min_lr"), given.is_none("min_lr_rate")) {
        (false, false) => Err(given.wrong("`min_lr` and `min_lr_rate` are both given; give one of the two")),
        (true, true) => Err(given.wrong("it needs `min_lr` or `min_lr_rate`")),
        (true, false) => Ok((ratio(given.number("min_lr_rate")?), true)),
        (false, true) => Ok((format!(", eta_min={}", n(given.number("min_lr")?)), false)),
    }
}

fn hard_restarts(given: &Given) -> Result<Said, LikeError> {
    let steps = given.count("num_warmup_steps")?;
    let (rest, cycles) = (given.rest("num_training_steps", steps)?, given.count("num_cycles")?.max(1));
    if rest.is_multiple_of(cycles) {
        let text = format!("cosine_restarts({}, cycle_limit={cycles})", rest / cycles);
        return Said::text(warmup(steps, 0.0, &text));
    }
    let wave = format!("expr(\"base * (1 + cos(pi * (({cycles} * t / {rest}) % 1))) / 2\")");
    let text = format!("sequential([{}], [{}, constant(0)])", steps + rest, warmup(steps, 0.0, &wave));
    Ok(Said::text(text)?.note("its cycles are no whole number of updates, so they need a formula"))
}

fn wsd(given: &Given) -> Result<Said, LikeError> {
    const SHAPES: &[&str] = &["linear", "cosine", "1-sqrt"];
    if given.number("num_cycles")? != 0.5 {
        return Err(given.wrong("`num_cycles` other than 0.5 is not read"));
    }
    let (warmup, decay) = (given.count("num_warmup_steps")?, given.count("num_decay_steps")?);
    let stable = match (given.is_none("num_stable_steps"), given.is_none("num_training_steps")) {
        (false, true) => given.count("num_stable_steps")?,
        (true, false) => {
            let total = given.count("num_training_steps")?;
            let stable = total.checked_sub(warmup).and_then(|rest| rest.checked_sub(decay));
            stable.ok_or_else(|| given.wrong("warm-up and decay together are longer than `num_training_steps`"))?
        }
        _ => return Err(given.wrong("it needs one of `num_stable_steps` and `num_training_steps`")),
    };
    let (up, down) = (given.word("warmup_type", SHAPES)?, given.word("decay_type", SHAPES)?);
    Said::text(format!(
        "wsd({warmup}, {stable}, {decay}, warmup_shape=\"{up}\", decay_shape=\"{down}\"{})",
        ratio(given.number("min_lr_ratio")?)
    ))
}
