//! Composer 0.32: `composer.optim`, whose times are texts such as "10ba" and "1dur".

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{ratio, unless};

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "composer.optim.StepScheduler(step_size, gamma=0.1)",
        say: |given| said(format!("step({}, gamma={})", time(given, "step_size")?, n(given.number("gamma")?))),
    },
    Class {
        signature: "composer.optim.ConstantScheduler(alpha=1.0, t_max='1dur')",
        say: |given| {
            let alpha = n(given.number("alpha")?);
            said(format!("constant({alpha}, total={})", time(given, "t_max")?))
        },
    },
    Class {
        signature: "composer.optim.LinearScheduler(alpha_i=1.0, alpha_f=0.0, t_max='1dur')",
        say: |given| {
            let (start, end) = (n(given.number("alpha_i")?), n(given.number("alpha_f")?));
            said(format!("linear({start}, {end}, {})", time(given, "t_max")?))
        },
    },
    Class {
        signature: "composer.optim.ExponentialScheduler(gamma, decay_period='1ep')",
        say: |given| {
            let gamma = n(given.number("gamma")?);
            said(format!("exponential({gamma}, period={})", time(given, "decay_period")?))
        },
    },
    Class {
        signature: "composer.optim.CosineAnnealingScheduler(t_max='1dur', alpha_f=0.0)",
        say: |given| said(format!("cosine({}{})", time(given, "t_max")?, ratio(given.number("alpha_f")?))),
    },
    Class {
        signature: "composer.optim.CosineAnnealingWarmRestartsScheduler(t_0, t_mult=1.0, alpha_f=0.0)",
        say: |given| {
            let growth = unless("t_mult", given.number("t_mult")?, 1.0);
            said(format!("cosine_restarts({}{growth}{})", time(given, "t_0")?, ratio(given.number("alpha_f")?)))
        },
    },
    Class {
        signature: "composer.optim.PolynomialScheduler(power, t_max='1dur', alpha_f=0.0)",
        say: |given| {
            let (total, power) = (time(given, "t_max")?, n(given.number("power")?));
            said(format!("polynomial({total}, power={power}{})", ratio(given.number("alpha_f")?)))
        },
    },
    Class {
        signature: "composer.optim.ConstantWithWarmupScheduler(t_warmup, alpha=1.0, t_max='1dur', scale_warmup=False)",
        say: |given| warmed(given, |given, _| Ok(format!("constant({})", n(given.number("alpha")?)))),
    },
    Class {
        signature: "composer.optim.LinearWithWarmupScheduler(t_warmup, alpha_i=1.0, alpha_f=0.0, t_max='1dur', scale_warmup=False)",
        say: |given| {
            warmed(given, |given, rest| {
                let (start, end) = (n(given.number("alpha_i")?), n(given.number("alpha_f")?));
                Ok(format!("linear({start}, {end}, {rest})"))
            })
        },
    },
    Class {
        signature: "composer.optim.CosineAnnealingWithWarmupScheduler(t_warmup, t_max='1dur', alpha_f=0.0, scale_warmup=False)",
        say: |given| warmed(given, |given, rest| Ok(format!("cosine({rest}{})", ratio(given.number("alpha_f")?)))),
    },
    Class {
        signature: "composer.optim.PolynomialWithWarmupScheduler(t_warmup, power=2.0, t_max='1dur', alpha_f=0.0, scale_warmup=False)",
        say: |given| {
            warmed(given, |given, rest| {
                let power = n(given.number("power")?);
                Ok(format!("polynomial({rest}, power={power}{})", ratio(given.number("alpha_f")?)))
            })
        },
    },
];

const LATE: &str = "this is the schedule as a function of time; Composer's trainer steps it one batch late: late(1, …)";

fn said(text: String) -> Result<Said, LikeError> {
    Ok(Said::text(text)?.note(LATE))
}

/// A time: batches, or a share of the run.
enum Time {
    Batches(u64),
    Percent(f64),
}

impl Time {
    fn text(&self) -> String {
        match self {
            Self::Batches(batches) => batches.to_string(),
            Self::Percent(percent) => format!("\"{}%\"", n(*percent)),
        }
    }
}

fn read(given: &Given, name: &str) -> Result<Time, LikeError> {
    if let Ok(batches) = given.count(name) {
        return Ok(Time::Batches(batches));
    }
    let text = given.text(name)?;
    let number = |unit: &str| text.strip_suffix(unit).map(str::trim);
    let batches = number("ba").and_then(|digits| digits.parse().ok()).map(Time::Batches);
    let share = number("dur").and_then(|digits| digits.parse::<f64>().ok()).map(|share| Time::Percent(share * 100.0));
    batches.or(share).ok_or_else(|| {
        given.wrong(format!(
            "`{name}` is \"{text}\"; write it in batches, such as \"10ba\", or as a share, such as \"0.5dur\""
        ))
    })
}

fn time(given: &Given, name: &str) -> Result<String, LikeError> {
    Ok(read(given, name)?.text())
}

/// A warm-up, and a decay over what is left.
fn warmed(given: &Given, decay: impl Fn(&Given, &str) -> Result<String, LikeError>) -> Result<Said, LikeError> {
    if given.flag("scale_warmup")? {
        return Err(given.wrong("`scale_warmup` is not read"));
    }
    let (warmup, total) = (read(given, "t_warmup")?, read(given, "t_max")?);
    let rest = match (&warmup, &total) {
        (Time::Batches(warmup), Time::Batches(total)) if total > warmup => Time::Batches(total - warmup),
        (Time::Percent(warmup), Time::Percent(total)) if total > warmup => Time::Percent(total - warmup),
        _ => {
            return Err(
                given.wrong("`t_max` must be longer than `t_warmup`, and both in batches or both shares of the run")
            );
        }
    };
    said(format!("warmup({}) -> {}", warmup.text(), decay(given, &rest.text())?))
}
