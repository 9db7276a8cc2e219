//! Small packages: pytorch-optimizer 4.1, pytorch-scheduler 0.2, pytorch-warmup 0.2, warmup-scheduler 0.3,
//! cosine-annealing-warmup 2.0, pytorch-toolbelt 0.8, lightning-bolts 0.7, thinc 9.1, lrsched 0.5,
//! torch-schedule-anything 1.2.

use super::class::{Class, Said, n};
use super::pieces::{first_then, floor, ratio, sequential, share, warmup, warmup_from_one};

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "pytorch_optimizer.LinearScheduler(optimizer, t_max, max_lr, min_lr=0.0, init_lr=0.0, warmup_steps=0)",
        say: |given| {
            let (peak, low) = (given.number("max_lr")?, given.number("min_lr")?);
            let steps = given.count("warmup_steps")?;
            let decay = format!("polynomial({}{})", given.rest("t_max", steps)?, floor(low));
            let rest = warmup(steps, given.number("init_lr")?, &decay);
            let text = first_then(share(given, "`min_lr`", low, peak)?, &rest);
            Ok(Said::of(peak, text)?
                .note("its first update uses min_lr, and here the end holds where its rate turns negative"))
        },
    },
    Class {
        signature: "pytorch_optimizer.REXScheduler(optimizer, total_steps, max_lr=1.0, min_lr=0.0)",
        say: |given| {
            let (peak, low, total) = (given.number("max_lr")?, given.number("min_lr")?, given.count("total_steps")?);
            let rest = format!("early(1, rex({total}{}))", floor(low));
            let said = Said::of(peak, first_then(share(given, "`min_lr`", low, peak)?, &rest))?;
            Ok(said.note("its first update uses min_lr, and max_lr is never used"))
        },
    },
    Class {
        signature: "pytorch_optimizer.get_wsd_schedule(optimizer, num_warmup_steps, num_stable_steps, num_decay_steps, min_lr_ratio=0.0, num_cycles=0.5, cooldown_type='1-sqrt', last_epoch=-1)",
        say: |given| {
            let [up, hold, down] =
                ["num_warmup_steps", "num_stable_steps", "num_decay_steps"].map(|name| given.count(name));
            let (up, hold, down, end) = (up?, hold?, down?, given.number("min_lr_ratio")?);
            let shape = given.word("cooldown_type", &["1-sqrt", "linear", "cosine"])?;
            if shape == "cosine" {
                let decay = format!("wsd(0, {hold}, {down}, decay_shape=\"cosine\"{})", ratio(end));
                return Said::text(warmup(up, 0.0, &decay));
            }
            let decay = format!("wsd({up}, {hold}, {down}, decay_shape=\"{shape}\")");
            if end == 0.0 {
                return Said::text(decay);
            }
            let said = Said::text(sequential(&[up + hold + down], &[decay, format!("constant({})", n(end))]))?;
            Ok(said.note("its decay falls below the floor, and jumps up to it at the end"))
        },
    },
    Class {
        signature: "pytorch_scheduler.RexScheduler(optimizer, total_steps, last_epoch=-1)",
        say: |given| Said::text(format!("rex({})", given.count("total_steps")?)),
    },
    Class {
        signature: "pytorch_scheduler.HyperbolicLRScheduler(optimizer, total_steps, upper_bound, min_lr=1e-6, warmup_steps=0, last_epoch=-1)",
        say: |given| {
            let (steps, low) = (given.count("warmup_steps")?, given.number("min_lr")?);
            let (rest, upper) = (given.rest("total_steps", steps)?, given.count("upper_bound")?);
            Said::text(warmup(steps, low, &format!("hyperbolic({rest}, upper_bound={upper}{})", floor(low))))
        },
    },
    Class {
        signature: "pytorch_scheduler.KDecayScheduler(optimizer, total_steps, k=1.0, min_lr=0.0, last_epoch=-1)",
        say: |given| {
            let (total, k, low) = (given.count("total_steps")?, n(given.number("k")?), floor(given.number("min_lr")?));
            Said::text(format!("cosine({total}, k_decay={k}{low})"))
        },
    },
    Class {
        signature: "pytorch_scheduler.SlantedTriangularScheduler(optimizer, total_steps, cut_frac=0.1, ratio=32, last_epoch=-1)",
        say: |given| {
            let (total, cut_frac) = (given.count("total_steps")?, given.number("cut_frac")?);
            let cut = ((total as f64 * cut_frac) as u64).clamp(1, total.max(2) - 1);
            let low = n(1.0 / given.number("ratio")?);
            let parts = [format!("linear({low}, 1, {cut})"), format!("linear(1, {low}, {})", total.max(2) - cut)];
            Said::text(sequential(&[cut], &parts))
        },
    },
    Class {
        signature: "pytorch_scheduler.TrapezoidalScheduler(optimizer, total_steps, warmup_steps, decay_steps, min_lr=0.0, last_epoch=-1)",
        say: |given| {
            let (up, down) = (given.count("warmup_steps")?, given.count("decay_steps")?);
            let hold = given.rest("total_steps", up + down)?;
            Said::text(format!("wsd({up}, {hold}, {down}, eta_min={})", n(given.number("min_lr")?)))
        },
    },
    Class {
        signature: "pytorch_scheduler.PolynomialScheduler(optimizer, total_steps, power=1.0, min_lr=0.0, warmup_steps=0, cycle=False, last_epoch=-1)",
        say: |given| {
            let (total, steps) = (given.count("total_steps")?, given.count("warmup_steps")?);
            let (power, low) = (n(given.number("power")?), floor(given.number("min_lr")?));
            let text =
                warmup(steps, 0.0, &format!("polynomial({}, power={power}{low})", given.rest("total_steps", steps)?));
            Said::text(if given.flag("cycle")? { format!("repeat({total}, {text})") } else { text })
        },
    },
    Class {
        signature: "pytorch_warmup.LinearWarmup(optimizer, warmup_period, last_step=-1)",
        say: |given| {
            let said = Said::text(warmup_from_one(given.count("warmup_period")?, "constant"))?;
            Ok(said.note("it multiplies another scheduler: chained([this, the other])"))
        },
    },
    Class {
        signature: "pytorch_warmup.UntunedLinearWarmup(optimizer, last_step=-1, beta2=0.999)",
        say: |given| {
            let beta2 = given.number("beta2")?;
            if !(0.0..1.0).contains(&beta2) {
                return Err(given.wrong("`beta2` must be from 0 to below 1"));
            }
            let said = Said::text(warmup_from_one((2.0 / (1.0 - beta2)) as u64, "constant"))?;
            Ok(said.note("its length follows from the optimizer's beta2, 0.999 unless `beta2` is given here"))
        },
    },
    Class {
        signature: "warmup_scheduler.GradualWarmupScheduler(optimizer, multiplier, total_epoch, after_scheduler=None)",
        say: |given| {
            let (factor, total) = (given.number("multiplier")?, given.count("total_epoch")?);
            if factor <= 1.0 {
                return Err(given.wrong("a `multiplier` of at most 1 is not read; write warmup(…)"));
            }
            let peak = format!("constant({})", n(factor));
            let inner = if given.is_none("after_scheduler") { None } else { Some(given.inner("after_scheduler")?) };
            let (text, notes) = match inner {
                Some(inner) => (format!("chained([{peak}, {}])", inner.text), inner.notes),
                None => (peak, Vec::new()),
            };
            let text = sequential(&[total + 1], &[format!("linear(1, {}, {total})", n(factor)), text]);
            Ok(Said { text, base_lrs: Vec::new(), notes }.note("its peak is used twice"))
        },
    },
    Class {
        signature: "cosine_annealing_warmup.CosineAnnealingWarmupRestarts(optimizer, first_cycle_steps, cycle_mult=1.0, max_lr=0.1, min_lr=0.001, warmup_steps=0, gamma=1.0, last_epoch=-1)",
        say: |given| {
            let text = format!(
                "cosine_restarts({}, t_mult={}, eta_min={}, cycle_decay={}, warmup={})",
                given.count("first_cycle_steps")?,
                n(given.number("cycle_mult")?),
                n(given.number("min_lr")?),
                n(given.number("gamma")?),
                given.count("warmup_steps")?,
            );
            Ok(Said::of(given.number("max_lr")?, text)?
                .note("there lengths of cycles are cut to whole numbers, here they are not"))
        },
    },
    Class {
        signature: "pytorch_toolbelt.optimization.PolyLR(optimizer, max_epoch, gamma=0.9)",
        say: |given| {
            Said::text(format!("polynomial({}, power={})", given.count("max_epoch")?, n(given.number("gamma")?)))
        },
    },
    Class {
        signature: "pytorch_toolbelt.optimization.FlatCosineAnnealingLR(optimizer, T_max, T_flat, eta_min=0, last_epoch=-1)",
        say: |given| {
            let flat = given.count("T_flat")?;
            let (rest, low) = (given.rest("T_max", flat)?, given.number("eta_min")?);
            if low != 0.0 {
                return Err(given.wrong("`eta_min` other than 0 is not read"));
            }
            let rise = format!("(2 / (1 + cos(pi / {rest})))");
            let parts = [
                format!("expr(\"base * {rise}^t\")"),
                format!("expr(\"base * {rise}^{flat} * (1 + cos(pi * min(t, {rest}) / {rest})) / 2\")"),
            ];
            let said = Said::text(sequential(&[flat], &parts))?;
            Ok(said.note(
                "its flat part rises with each update, and so does this; meant is constant(total=…) -> cosine(…)",
            ))
        },
    },
    Class {
        signature: "pl_bolts.optimizers.lr_scheduler.LinearWarmupCosineAnnealingLR(optimizer, warmup_epochs, max_epochs, warmup_start_lr=0.0, eta_min=0.0, last_epoch=-1)",
        say: |given| {
            let steps = given.count("warmup_epochs")?;
            let decay = format!("cosine({}{})", given.rest("max_epochs", steps)?, floor(given.number("eta_min")?));
            let said = Said::text(warmup(steps.saturating_sub(1), given.number("warmup_start_lr")?, &decay))?;
            Ok(said
                .note("a warm-up of W epochs has its peak at epoch W - 1, where the cosine begins; it counts epochs"))
        },
    },
    Class {
        signature: "thinc.schedules.compounding(start, stop, compound, t=0.0)",
        say: |given| {
            let (stop, growth) = (n(given.number("stop")?), given.number("compound")?);
            let bound = if growth > 1.0 { "min" } else { "max" };
            Said::of(given.number("start")?, format!("expr(\"{bound}({stop}, base * {}^t)\")", n(growth)))
        },
    },
    Class {
        signature: "thinc.schedules.slanted_triangular(max_rate, num_steps, cut_frac=0.1, ratio=32, t=0.0)",
        say: |given| {
            let (total, low) = (given.count("num_steps")?.max(3), n(1.0 / given.number("ratio")?));
            let cut = ((total as f64 * given.number("cut_frac")?) as u64).clamp(1, total - 1);
            let parts = [format!("early(1, linear({low}, 1, {cut}))"), format!("linear(1, {low}, {})", total - cut)];
            let said = Said::of(given.number("max_rate")?, sequential(&[cut - 1], &parts))?;
            Ok(said.note("here the end holds, where thinc's rates turn negative"))
        },
    },
    Class {
        signature: "torch_schedule_anything.polynomial_schedule_with_inverse_warmup(optimizer, warmup_to_value, anneal_to_value, num_warmup_steps, num_training_steps, polynomial_exponent=2.0, warmup_multiplier=20.0, schedule_target='lr')",
        say: |given| {
            let (start, end) = (given.number("warmup_multiplier")?, given.number("warmup_to_value")?);
            let steps = given.count("num_warmup_steps")?;
            let power = n(given.number("polynomial_exponent")?);
            let low = ratio(share(given, "`anneal_to_value`", given.number("anneal_to_value")?, end)?);
            let decay = format!("polynomial({}, power={power}{low})", given.rest("num_training_steps", steps)?);
            let rise = format!("linear({}, {}, {steps})", n(start), n(end));
            let decay = if end == 1.0 { decay } else { format!("chained([constant({}), {decay}])", n(end)) };
            Said::text(sequential(&[steps], &[rise, decay]))
        },
    },
    Class {
        signature: "lrsched.cosine_restarts(base_lr, min_lr, period, t_mult)",
        say: |given| {
            let (period, growth) = (given.count("period")?, n(given.number("t_mult")?));
            let text = format!("cosine_restarts({period}, t_mult={growth}{})", floor(given.number("min_lr")?));
            Said::of(given.number("base_lr")?, text)
        },
    },
    Class {
        signature: "lrsched.triangular2(min_lr, max_lr, step_size)",
        say: |given| {
            let (peak, up) = (n(given.number("max_lr")?), given.count("step_size")?);
            Said::of(given.number("min_lr")?, format!("cyclic({peak}, step_size_up={up}, mode=\"triangular2\")"))
        },
    },
];
