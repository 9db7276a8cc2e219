//! PyTorch's composed schedulers: `SequentialLR` and `ChainedScheduler`.

use super::settings::Settings;
use super::{Shape, Source, torch};
use crate::peers::peer::{Form, Setting};
use crate::peers::translate::Refusal;
use crate::schedule::Schedule;

/// Translates a composed scheduler.
pub(super) fn shape(source: &Source<'_>) -> Result<Shape, Refusal> {
    let form = &source.schedule.form;
    if form.members.is_empty() {
        return Err(Refusal::cannot(&form.class, "it has no members in the file"));
    }
    let bases = bases(source)?;
    if form.class == "torch.SequentialLR" { sequential(source, bases) } else { chained(source, bases) }
}

/// Returns the base rates, which a composed scheduler's own state does not have.
fn bases(source: &Source<'_>) -> Result<Vec<f64>, Refusal> {
    let of_member = source.schedule.form.members.iter().find_map(|member| member.setting("base_lrs")?.numbers());
    source.base_lrs().or_else(|refusal| of_member.ok_or(refusal))
}

/// At a milestone PyTorch sets the next member to its closed form at 0; before it, members do not move.
fn sequential(source: &Source<'_>, bases: Vec<f64>) -> Result<Shape, Refusal> {
    let form = &source.schedule.form;
    let key = if form.setting("_milestones").is_some() { "_milestones" } else { "milestones" };
    let milestones = Settings::of(form).lengths(key)?;
    // Its own counter: in a file that was saved before the scheduler was stepped, the place in the run is one ahead.
    if let Some(at) = form.number("last_epoch").or(source.schedule.at) {
        check_member_in_force(form, &milestones, at)?;
    }
    let members = form.members.iter().map(|member| plain(member, source)).collect::<Result<Vec<Schedule>, _>>()?;
    Ok(Shape::new(Schedule::sequential(milestones, members), bases))
}

/// Compares the counter of the member in force with the place that the milestones give it.
fn check_member_in_force(form: &Form, milestones: &[u64], at: f64) -> Result<(), Refusal> {
    let passed = milestones.iter().filter(|milestone| **milestone as f64 <= at).count();
    let start = passed.checked_sub(1).and_then(|last| milestones.get(last)).map_or(0.0, |start| *start as f64);
    let Some(member) = form.members.get(passed) else { return Ok(()) };
    match member.setting("last_epoch") {
        Some(Setting::Number(counter)) if *counter != at - start => {
            let reason = format!(
                "its member {passed} (`{}`) stands at {counter}, but its milestones put it at {}; write `schedule` in the configuration",
                member.class,
                at - start
            );
            Err(Refusal::cannot(&form.class, reason))
        }
        _ => Ok(()),
    }
}

/// A chain multiplies the rate once for each member, so members must be factors that do not depend on the rate.
fn chained(source: &Source<'_>, bases: Vec<f64>) -> Result<Shape, Refusal> {
    let form = &source.schedule.form;
    let mut notes = Vec::new();
    for member in &form.members {
        notes.extend(check_factor(member, source.schedule.at)?);
    }
    let members = form.members.iter().map(|member| plain(member, source)).collect::<Result<Vec<Schedule>, _>>()?;
    let mut shape = Shape::new(Schedule::chained(members), bases);
    shape.notes = notes;
    if shape.at.is_none() && source.schedule.at.is_none() {
        shape.at = form.members.iter().find_map(|member| member.number("last_epoch"));
    }
    Ok(shape)
}

/// Refuses a member that does not multiply; returns a note where it does so for a time only.
fn check_factor(member: &Form, at: Option<f64>) -> Result<Option<String>, Refusal> {
    let settings = Settings::of(member);
    match member.class.as_str() {
        "torch.StepLR"
        | "torch.MultiStepLR"
        | "torch.ExponentialLR"
        | "torch.PolynomialLR"
        | "torch.LinearLR"
        | "torch.ConstantLR" => Ok(None),
        "torch.CosineAnnealingLR" => {
            let (t_max, eta_min) = (settings.length("T_max")?, settings.number_or("eta_min", 0.0)?);
            let at = at.or(member.number("last_epoch")).unwrap_or_default();
            if eta_min != 0.0 || at >= t_max as f64 {
                let reason = "in a chain, with an `eta_min` or after `T_max`, its rate depends on what the other members did before; write `schedule` in the configuration";
                return Err(settings.refuse("in a ChainedScheduler", reason));
            }
            Ok(Some(format!(
                "CosineAnnealingLR in a chain is a factor until its T_max of {t_max}; after that PyTorch differs"
            )))
        }
        "torch.LambdaLR" | "torch.MultiplicativeLR" => Ok(None),
        _ => {
            let reason =
                "in a chain it sets the rate and forgets the other members; write `schedule` in the configuration";
            Err(settings.refuse("in a ChainedScheduler", reason))
        }
    }
}

fn plain(member: &Form, source: &Source<'_>) -> Result<Schedule, Refusal> {
    match member.class.strip_prefix("torch.") {
        Some(name) => torch::plain(name, Settings::of(member), source),
        None => Err(super::asked::unknown(member, source)),
    }
}
