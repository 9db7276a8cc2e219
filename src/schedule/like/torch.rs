//! PyTorch 2.15: `torch.optim.lr_scheduler` and `SWALR`. Versions before 2.7 had a further argument, `verbose`.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{floor, plateau, sequential};

const RISES: &str = "here it holds its floor after T_max, where PyTorch's rises again: after=\"cycle\" does that too";

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "torch.optim.lr_scheduler.StepLR(optimizer, step_size, gamma=0.1, last_epoch=-1, verbose=False)",
        say: |given| Said::text(format!("step({}, gamma={})", given.count("step_size")?, n(given.number("gamma")?))),
    },
    Class {
        signature: "torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1, last_epoch=-1, verbose=False)",
        say: |given| {
            let mut milestones = given.counts("milestones")?;
            milestones.sort_unstable();
            Said::text(format!("multi_step({milestones:?}, gamma={})", n(given.number("gamma")?)))
        },
    },
    Class {
        signature: "torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1/3, total_iters=5, last_epoch=-1, verbose=False)",
        say: |given| {
            let factor = n(given.number("factor")?);
            match given.count("total_iters")? {
                0 => Ok(Said::text(format!("constant({factor})"))?.note("a `total_iters` of 0 never ends there")),
                total => Said::text(format!("constant({factor}, total={total})")),
            }
        },
    },
    Class {
        signature: "torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1/3, end_factor=1, total_iters=5, last_epoch=-1, verbose=False)",
        say: |given| {
            let (start, end) = (given.number("start_factor")?, given.number("end_factor")?);
            Said::text(format!("linear({}, {}, {})", n(start), n(end), given.count("total_iters")?))
        },
    },
    Class {
        signature: "torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma, last_epoch=-1, verbose=False)",
        say: |given| Said::text(format!("exponential({})", n(given.number("gamma")?))),
    },
    Class {
        signature: "torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=5, power=1, last_epoch=-1, verbose=False)",
        say: |given| {
            Said::text(format!("polynomial({}, power={})", given.count("total_iters")?, n(given.number("power")?)))
        },
    },
    Class {
        signature: "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max, eta_min=0, last_epoch=-1, verbose=False)",
        say: |given| {
            let text = format!("cosine({}{})", given.count("T_max")?, floor(given.number("eta_min")?));
            Ok(Said::text(text)?.note(RISES))
        },
    },
    Class {
        signature: "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0, T_mult=1, eta_min=0, last_epoch=-1, verbose=False)",
        say: |given| {
            let (first, growth) = (given.count("T_0")?, given.count("T_mult")?);
            Said::text(format!("cosine_restarts({first}, t_mult={growth}{})", floor(given.number("eta_min")?)))
        },
    },
    Class {
        signature: "torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr, max_lr, step_size_up=2000, step_size_down=None, mode='triangular', gamma=1, scale_fn=None, scale_mode='cycle', cycle_momentum=True, base_momentum=0.8, max_momentum=0.9, last_epoch=-1, verbose=False)",
        say: cyclic,
    },
    Class {
        signature: "torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None, pct_start=0.3, anneal_strategy='cos', cycle_momentum=True, base_momentum=0.85, max_momentum=0.95, div_factor=25, final_div_factor=10000, three_phase=False, last_epoch=-1, verbose=False)",
        say: one_cycle,
    },
    Class {
        signature: "torch.optim.lr_scheduler.SequentialLR(optimizer, schedulers, milestones, last_epoch=-1, verbose=False)",
        say: |given| {
            let inner = given.inner_list("schedulers")?;
            let milestones = given.counts("milestones")?;
            Ok(joined(&inner, |texts| sequential(&milestones, texts)))
        },
    },
    Class {
        signature: "torch.optim.lr_scheduler.ChainedScheduler(schedulers, optimizer=None)",
        say: |given| {
            let inner = given.inner_list("schedulers")?;
            let note = "here factors multiply; a scheduler of PyTorch with a closed form, such as \
                        CosineAnnealingWarmRestarts, overwrites those before it";
            Ok(joined(&inner, |texts| format!("chained([{}])", texts.join(", "))).note(note))
        },
    },
    Class {
        signature: "torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode='min', factor=0.1, patience=10, threshold=1e-4, threshold_mode='rel', cooldown=0, min_lr=0, eps=1e-8, verbose=False)",
        say: plateau,
    },
    Class {
        signature: "torch.optim.swa_utils.SWALR(optimizer, swa_lr, anneal_epochs=10, anneal_strategy='cos', last_epoch=-1)",
        say: |given| {
            let rates = given.numbers("swa_lr")?;
            let epochs = given.count("anneal_epochs")?;
            if epochs == 0 {
                return Err(given.wrong("an `anneal_epochs` of 0 is not read; write constant for `swa_lr`"));
            }
            let kind =
                if given.word("anneal_strategy", &["cos", "linear"])? == "cos" { "cosine" } else { "polynomial" };
            let texts: Vec<String> = rates.iter().map(|low| format!("{kind}({epochs}, eta_min={})", n(*low))).collect();
            let text =
                if let [one] = texts.as_slice() { one.clone() } else { format!("per_group([{}])", texts.join(", ")) };
            Ok(Said::text(text)?.note(
                "it begins where training changes to it: sequential([steps before], [the schedule before, this]), whose \
                 first schedule should end at the base rate",
            ))
        },
    },
];

/// Joins the texts of several schedules, and keeps their notes.
fn joined(inner: &[Said], join: impl Fn(&[String]) -> String) -> Said {
    let texts: Vec<String> = inner.iter().map(|said| said.text.clone()).collect();
    let mut notes: Vec<String> = inner.iter().flat_map(|said| said.notes.clone()).collect();
    notes.dedup();
    Said { text: join(&texts), base_lrs: Vec::new(), notes }
}

fn momentum(given: &Given) -> Result<String, LikeError> {
    if !given.flag("cycle_momentum")? {
        return Ok(String::new());
    }
    let (low, high) = (given.number("base_momentum")?, given.number("max_momentum")?);
    Ok(format!(", momentum=[{}, {}]", n(low), n(high)))
}

fn cyclic(given: &Given) -> Result<Said, LikeError> {
    if !given.is_none("scale_fn") {
        return Err(given.wrong("`scale_fn` is a function, which cannot be read; write the schedule as expr(…)"));
    }
    let highest = given.numbers("max_lr")?;
    let highest = if let [one] = highest.as_slice() { n(*one) } else { format!("{highest:?}") };
    let down = match given.count_or("step_size_down", 0)? {
        0 => String::new(),
        down => format!(", step_size_down={down}"),
    };
    let text = format!(
        "cyclic({highest}, step_size_up={}{down}, mode=\"{}\", gamma={}{})",
        given.count("step_size_up")?,
        given.word("mode", &["triangular", "triangular2", "exp_range"])?,
        n(given.number("gamma")?),
        momentum(given)?,
    );
    Ok(Said { text, base_lrs: given.numbers("base_lr")?, notes: Vec::new() })
}

fn one_cycle(given: &Given) -> Result<Said, LikeError> {
    let total = if given.is_none("total_steps") {
        if given.is_none("epochs") || given.is_none("steps_per_epoch") {
            return Err(given.wrong("it needs `total_steps`, or `epochs` and `steps_per_epoch`"));
        }
        given.count("epochs")?.saturating_mul(given.count("steps_per_epoch")?)
    } else {
        given.count("total_steps")?
    };
    let anneal = given.word("anneal_strategy", &["cos", "linear"])?;
    let three = if given.flag("three_phase")? { ", three_phase=true" } else { "" };
    let text = format!(
        "one_cycle({total}, pct_start={}, anneal=\"{anneal}\", div_factor={}, final_div_factor={}{three}{})",
        n(given.number("pct_start")?),
        n(given.number("div_factor")?),
        n(given.number("final_div_factor")?),
        momentum(given)?,
    );
    let said = Said { text, base_lrs: given.numbers("max_lr")?, notes: Vec::new() };
    Ok(said.note("here it holds its last rate after its end, where PyTorch's climbs back or turns negative"))
}
