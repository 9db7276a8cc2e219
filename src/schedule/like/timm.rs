//! timm 1.0.31: `timm.scheduler`.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{floor, unless};

const NOISE: &str = "noise is not offered here";

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "timm.scheduler.CosineLRScheduler(optimizer, t_initial, lr_min=0, cycle_mul=1, cycle_decay=1, cycle_limit=1, warmup_t=0, warmup_lr_init=0, warmup_prefix=False, t_in_epochs=True, noise_range_t=None, noise_pct=0.67, noise_std=1, noise_seed=42, k_decay=1, initialize=True)",
        say: |given| {
            let (total, floor, k) =
                (given.count("t_initial")?, floor(given.number("lr_min")?), given.number("k_decay")?);
            let cycles = cycles(given)?;
            if cycles.is_empty() {
                return warmed(given, &format!("cosine({total}{floor}{})", unless("k_decay", k, 1.0)));
            }
            if k != 1.0 {
                return Err(given.wrong("`k_decay` with cycles is not offered here"));
            }
            warmed(given, &format!("cosine_restarts({total}{floor}{cycles})"))
        },
    },
    Class {
        signature: "timm.scheduler.TanhLRScheduler(optimizer, t_initial, lb=-7, ub=3, lr_min=0, cycle_mul=1, cycle_decay=1, cycle_limit=1, warmup_t=0, warmup_lr_init=0, warmup_prefix=False, t_in_epochs=True, noise_range_t=None, noise_pct=0.67, noise_std=1, noise_seed=42, initialize=True)",
        say: |given| {
            let (total, floor) = (given.count("t_initial")?, floor(given.number("lr_min")?));
            let (lb, ub) = (unless("lb", given.number("lb")?, -7.0), unless("ub", given.number("ub")?, 3.0));
            let cycles = cycles(given)?;
            let kind = if cycles.is_empty() { "tanh" } else { "tanh_restarts" };
            let curve = format!("{kind}({total}{floor}{cycles}{lb}{ub})");
            if given.count("warmup_t")? > 0 {
                return warmed(given, &curve);
            }
            // The first epoch has the base rate itself, a millionth above the curve.
            warmed(given, &format!("sequential([1], [constant, early(1, {curve})])"))
        },
    },
    Class {
        signature: "timm.scheduler.PolyLRScheduler(optimizer, t_initial, power=0.5, lr_min=0, cycle_mul=1, cycle_decay=1, cycle_limit=1, warmup_t=0, warmup_lr_init=0, warmup_prefix=False, t_in_epochs=True, noise_range_t=None, noise_pct=0.67, noise_std=1, noise_seed=42, k_decay=1, initialize=True)",
        say: |given| {
            let (total, floor) = (given.count("t_initial")?, floor(given.number("lr_min")?));
            let (power, k) = (n(given.number("power")?), unless("k_decay", given.number("k_decay")?, 1.0));
            let cycles = cycles(given)?;
            let kind = if cycles.is_empty() { "polynomial" } else { "polynomial_restarts" };
            warmed(given, &format!("{kind}({total}, power={power}{floor}{cycles}{k})"))
        },
    },
    Class {
        signature: "timm.scheduler.StepLRScheduler(optimizer, decay_t, decay_rate=1, warmup_t=0, warmup_lr_init=0, warmup_prefix=True, t_in_epochs=True, noise_range_t=None, noise_pct=0.67, noise_std=1, noise_seed=42, initialize=True)",
        say: |given| {
            warmed(given, &format!("step({}, gamma={})", given.count("decay_t")?, n(given.number("decay_rate")?)))
        },
    },
    Class {
        signature: "timm.scheduler.MultiStepLRScheduler(optimizer, decay_t, decay_rate=1, warmup_t=0, warmup_lr_init=0, warmup_prefix=True, t_in_epochs=True, noise_range_t=None, noise_pct=0.67, noise_std=1, noise_seed=42, initialize=True)",
        say: |given| {
            // Without a warm-up, its first epoch has the base rate whatever `decay_t` says.
            let first = u64::from(given.count("warmup_t")? == 0);
            let early: Vec<u64> = given.counts("decay_t")?.iter().map(|t| t.saturating_sub(1).max(first)).collect();
            let said = warmed(given, &format!("multi_step({early:?}, gamma={})", n(given.number("decay_rate")?)))?;
            Ok(said.note("timm switches one epoch before each of `decay_t`; so does this"))
        },
    },
    Class {
        signature: "timm.scheduler.PlateauLRScheduler(optimizer, decay_rate=0.1, patience_t=10, threshold=1e-4, cooldown_t=0, warmup_t=0, warmup_lr_init=0, lr_min=0, mode='max', noise_range_t=None, noise_type='normal', noise_pct=0.67, noise_std=1, noise_seed=None, initialize=True)",
        say: |given| {
            without_noise(given)?;
            let text = format!(
                "plateau(mode=\"{}\", factor={}, patience={}, threshold={}, cooldown={}, min_lr={})",
                given.word("mode", &["min", "max"])?,
                n(given.number("decay_rate")?),
                given.count("patience_t")?,
                n(given.number("threshold")?),
                given.count("cooldown_t")?,
                n(given.number("lr_min")?),
            );
            let (warmup, start) = (given.count("warmup_t")?, given.number("warmup_lr_init")?);
            Said::text(super::pieces::warmup(warmup, start, &text))
        },
    },
    Class {
        signature: "timm.scheduler.WSDLRScheduler(optimizer, t_initial, decay_t, lr_min=0, stable_fn='constant', stable_timescale=None, stable_power=0.5, decay_fn='1-sqrt', decay_power=0.5, decay_ratio=0.1, warmup_t=0, warmup_lr_init=0, t_in_epochs=True, noise_range_t=None, noise_pct=0.67, noise_std=1, noise_seed=42, initialize=True)",
        say: |given| {
            let decay = given.count("decay_t")?;
            let stable = given.count("t_initial")?.saturating_sub(decay);
            let stable_shape = given.word("stable_fn", &["constant", "rsqrt"])?;
            let timescale = given.count_or("stable_timescale", given.count("warmup_t")?)?;
            let timescale =
                if stable_shape == "rsqrt" { format!(", stable_timescale={timescale}") } else { String::new() };
            let shape = given.word("decay_fn", &["linear", "cosine", "1-sqrt", "power"])?;
            let power = match shape {
                "power" => format!(", shape_power={}", n(given.number("decay_power")?)),
                _ => String::new(),
            };
            let text = format!(
                "wsd(0, {stable}, {decay}, decay_shape=\"{shape}\", stable_shape=\"{stable_shape}\"{timescale}{power}, \
                 eta_min={})",
                n(given.number("lr_min")?)
            );
            without_noise(given)?;
            let text = super::pieces::warmup(given.count("warmup_t")?, given.number("warmup_lr_init")?, &text);
            in_epochs(given, Said::text(text)?)
        },
    },
];

/// The parameters of cycles; empty for a single one, whose end is held.
fn cycles(given: &Given) -> Result<String, LikeError> {
    let (growth, decay) = (given.number("cycle_mul")?, given.number("cycle_decay")?);
    Ok(match given.count("cycle_limit")? {
        1 => String::new(),
        0 => {
            return Err(
                given.wrong("a `cycle_limit` of 0 gives `lr_min` from the second epoch on; write the number of cycles")
            );
        }
        limit => format!(", t_mult={}, cycle_decay={}, cycle_limit={limit}", n(growth), n(decay)),
    })
}

fn without_noise(given: &Given) -> Result<(), LikeError> {
    if given.is_none("noise_range_t") { Ok(()) } else { Err(given.wrong(NOISE)) }
}

/// Adds the warm-up. Without a prefix the schedule counts from the start of the run.
fn warmed(given: &Given, text: &str) -> Result<Said, LikeError> {
    without_noise(given)?;
    let (steps, start) = (given.count("warmup_t")?, given.number("warmup_lr_init")?);
    let text = match steps {
        0 => text.to_owned(),
        _ if given.flag("warmup_prefix")? => super::pieces::warmup(steps, start, text),
        _ => super::pieces::warmup(steps, start, &format!("early({steps}, {text})")),
    };
    in_epochs(given, Said::text(text)?)
}

fn in_epochs(given: &Given, said: Said) -> Result<Said, LikeError> {
    let per_update = !given.flag("t_in_epochs")?;
    Ok(if per_update {
        said
    } else {
        said.note("timm counts epochs unless t_in_epochs=False: add unit=\"epoch\" for that")
    })
}
