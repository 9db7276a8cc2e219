//! fvcore 0.1.5: `fvcore.common.param_scheduler`, whose lengths are shares of the run.

use super::class::{Class, Said, n};
use super::error::LikeError;
use super::given::Given;
use super::pieces::{floor, share, steps};

pub(super) const CLASSES: &[Class] = &[
    Class {
        signature: "fvcore.common.param_scheduler.ConstantParamScheduler(value)",
        say: |given| Said::of(given.number("value")?, "constant"),
    },
    Class {
        signature: "fvcore.common.param_scheduler.LinearParamScheduler(start_value, end_value)",
        say: |given| {
            let (start, end) = (given.number("start_value")?, given.number("end_value")?);
            let base = start.max(end);
            let of = |rate| share(given, "a value", rate, base);
            Said::of(base, format!("linear({}, {}, \"100%\")", n(of(start)?), n(of(end)?)))
        },
    },
    Class {
        signature: "fvcore.common.param_scheduler.CosineParamScheduler(start_value, end_value)",
        say: |given| {
            Said::of(given.number("start_value")?, format!("cosine(\"100%\"{})", floor(given.number("end_value")?)))
        },
    },
    Class {
        signature: "fvcore.common.param_scheduler.PolynomialDecayParamScheduler(base_value, power)",
        say: |given| {
            Said::of(given.number("base_value")?, format!("polynomial(\"100%\", power={})", n(given.number("power")?)))
        },
    },
    Class {
        signature: "fvcore.common.param_scheduler.ExponentialParamScheduler(start_value, decay)",
        say: |given| {
            let text = format!("exponential({}, period=\"100%\")", n(given.number("decay")?));
            Ok(Said::of(given.number("start_value")?, text)?.note("`decay` is of the whole run"))
        },
    },
    Class {
        signature: "fvcore.common.param_scheduler.StepParamScheduler(num_updates, values)",
        say: |given| {
            let values = given.numbers("values")?;
            let (updates, parts) = (given.count("num_updates")?, values.len().max(1) as u64);
            steps(given, &values, |index| (updates.saturating_mul(index)).div_ceil(parts))
        },
    },
    Class {
        signature: "fvcore.common.param_scheduler.MultiStepParamScheduler(values, num_updates=None, milestones=None)",
        say: |given| {
            let (values, milestones) = (given.numbers("values")?, given.counts("milestones")?);
            if values.len() != milestones.len() + 1 {
                return Err(given.wrong("there must be one more of `values` than of `milestones`"));
            }
            let starts: Vec<u64> = std::iter::once(0).chain(milestones).collect();
            steps(given, &values, |index| starts.get(index as usize).copied().unwrap_or_default())
        },
    },
    Class {
        signature: "fvcore.common.param_scheduler.CompositeParamScheduler(schedulers, lengths, interval_scaling)",
        say: composite,
    },
];

/// Schedulers in turn. A "fixed" one sees the whole run, of which its interval shows a part.
fn composite(given: &Given) -> Result<Said, LikeError> {
    let (inner, lengths) = (given.inner_list("schedulers")?, given.numbers("lengths")?);
    let scalings = given.texts("interval_scaling")?;
    if inner.len() != lengths.len() || inner.len() != scalings.len() || inner.is_empty() {
        return Err(given.wrong("`schedulers`, `lengths` and `interval_scaling` must have the same length"));
    }
    let base = inner.iter().flat_map(|said| said.base_lrs.iter().copied()).fold(0.0, f64::max);
    let (mut start, mut milestones, mut texts) = (0.0, Vec::new(), Vec::new());
    for ((said, length), scaling) in inner.iter().zip(&lengths).zip(&scalings) {
        let text = match scaling.as_str() {
            "rescaled" => said.text.replace("\"100%\"", &format!("\"{}%\"", n(length * 100.0))),
            "fixed" if start == 0.0 => said.text.clone(),
            "fixed" => format!("early(\"{}%\", {})", n(start * 100.0), said.text),
            _ => return Err(given.wrong("`interval_scaling` can be \"rescaled\" or \"fixed\"")),
        };
        let own = said.base_lrs.first().copied().unwrap_or(base);
        texts.push(match own == base {
            true => text,
            false if said.text.contains("eta_min=") => {
                return Err(given.wrong("its schedulers have several highest values, and one has an end above 0"));
            }
            false => format!("chained([constant({}), {text}])", n(share(given, "a value", own, base)?)),
        });
        start += length;
        milestones.push(format!("\"{}%\"", n(start * 100.0)));
    }
    milestones.pop();
    Said::of(base, format!("sequential([{}], [{}])", milestones.join(", "), texts.join(", ")))
}
