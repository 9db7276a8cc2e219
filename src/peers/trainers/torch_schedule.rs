//! A scheduler's state as PyTorch writes it. No state names its class: kinds are told by their keys.

use super::settings::setting;
use crate::peers::peer::{Form, Peer, Schedule, Setting, Unit};
use crate::peers::tree::Ref;

/// Keys that every scheduler may have, and that are read apart or say nothing.
const COMMON: &[&str] = &[
    "base_lrs",
    "last_epoch",
    "_last_lr",
    "_step_count",
    "_is_initial",
    "_get_lr_called_within_step",
    "verbose",
    "_schedulers",
];

/// A class with the keys that it needs, and those that it may have besides.
struct Kind {
    class: &'static str,
    needs: &'static [&'static str],
    may: &'static [&'static str],
}

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind { class: "SequentialLR", needs: &["_schedulers", "_milestones"], may: &[] },
    Kind { class: "ChainedScheduler", needs: &["_schedulers"], may: &["_milestones"] },
    Kind { class: "LambdaLR", needs: &["lr_lambdas"], may: &[] },
    Kind { class: "MultiStepLR", needs: &["milestones", "gamma"], may: &[] },
    Kind { class: "StepLR", needs: &["step_size", "gamma"], may: &[] },
    Kind { class: "CosineAnnealingWarmRestarts", needs: &["T_0", "T_cur"], may: &["T_i", "T_mult", "eta_min"] },
    Kind { class: "CosineAnnealingLR", needs: &["T_max", "eta_min"], may: &[] },
    Kind { class: "PolynomialLR", needs: &["total_iters", "power"], may: &[] },
    Kind { class: "LinearLR", needs: &["start_factor", "end_factor", "total_iters"], may: &[] },
    Kind { class: "ConstantLR", needs: &["factor", "total_iters"], may: &[] },
    Kind { class: "OneCycleLR", needs: &["total_steps", "cycle_momentum"],
           may: &["_schedule_phases", "_anneal_func_type", "anneal_func", "use_beta1", "step_size_up", "step_size_down"] },
    Kind { class: "CyclicLR", needs: &["max_lrs", "total_size", "step_ratio"],
           may: &["mode", "gamma", "scale_mode", "cycle_momentum", "use_beta1", "base_momentums", "max_momentums",
                  "_scale_fn_custom", "_scale_fn_ref", "scale_fn"] },
    Kind { class: "ReduceLROnPlateau", needs: &["factor", "patience", "num_bad_epochs"],
           may: &["default_min_lr", "min_lrs", "cooldown", "eps", "mode", "mode_worse", "threshold", "threshold_mode",
                  "best", "cooldown_counter"] },
    Kind { class: "SWALR", needs: &["anneal_epochs"], may: &["_anneal_strategy", "anneal_func", "swa_lrs"] },
    Kind { class: "ExponentialLR", needs: &["gamma"], may: &[] },
];

/// Levels of schedulers inside schedulers that are read.
const MOST_LEVELS: usize = 8;
/// Keys that a state of a scheduler may have.
const MOST_KEYS: usize = 100;
/// Members of a scheduler that are read.
const MOST_MEMBERS: usize = 1000;

/// Returns whether `value` is the state of a scheduler.
pub(super) fn is_scheduler(value: Ref<'_>) -> bool {
    let has = |key: &str| value.get(key).is_some();
    value.entries().is_some()
        && !has("param_groups")
        && (has("_schedulers") && (has("_last_lr") || has("_milestones"))
            || has("last_epoch") && ["base_lrs", "_last_lr", "_step_count", "num_bad_epochs"].into_iter().any(has))
}

/// Adds the schedule whose state is `dict`, for the optimizer of that index. The unit in which it counts is for the
/// trainer to say: it is [`Unit::Unknown`] here.
pub(super) fn add(peer: &mut Peer, place: &str, dict: Ref<'_>, optimizer: usize) {
    let mut levels = Levels { members: 0, deep: false };
    let form = levels.form(dict, 0);
    if levels.deep {
        peer.left
            .push(format!("{place}: members of schedulers beyond {MOST_LEVELS} levels or {MOST_MEMBERS} in number"));
    }
    if let Some(class) = find(&form, &["unknown"]) {
        let keys: Vec<&str> = class.settings.iter().map(|(key, _)| key.as_str()).take(24).collect();
        peer.missing
            .push(format!("the schedule's form: no known scheduler has the keys of {place} ({})", keys.join(", ")));
    }
    if find(&form, &["torch.LambdaLR"]).is_some() {
        peer.missing.push(format!(
            "the schedule's shape: {place} is a LambdaLR or MultiplicativeLR, whose function is in no file"
        ));
    }
    if find(&form, &["torch.OneCycleLR", "torch.CyclicLR"])
        .is_some_and(|form| matches!(form.setting("cycle_momentum"), Some(Setting::Bool(true))))
    {
        peer.remarks.push(format!("{place} moves the momentum or the first beta too"));
    }
    let leaf = first_leaf(&form);
    let numbers = |key: &str| dict.get(key).and_then(Ref::numbers);
    let from_leaf = || leaf.setting("base_lrs").and_then(Setting::numbers);
    let at = dict.get("T_cur").or_else(|| dict.get("last_epoch")).and_then(Ref::number);
    let at = at.or_else(|| members_at(&form));
    peer.schedules.push(Schedule {
        optimizer,
        at,
        unit: Unit::Unknown,
        base_lrs: numbers("base_lrs").or_else(from_leaf).unwrap_or_default(),
        last_lrs: numbers("_last_lr").unwrap_or_default(),
        late: 0,
        in_f32: in_f32(dict, 0),
        form,
    });
}

/// Returns the form of a scheduler that another library's scheduler holds.
pub(super) fn form(dict: Ref<'_>) -> Form {
    Levels { members: 0, deep: false }.form(dict, 1)
}

struct Levels {
    members: usize,
    /// Whether some were left out.
    deep: bool,
}

impl Levels {
    fn form(&mut self, dict: Ref<'_>, level: usize) -> Form {
        let class = class(dict).map_or_else(|| "unknown".to_owned(), |class| format!("torch.{class}"));
        let mut form = Form { class, ..Form::default() };
        for (key, value) in dict.entries().into_iter().flatten().take(MOST_KEYS) {
            let Some(key) = key.text() else { continue };
            // The whole schedule has its rates as fields, a member only here.
            let is_kept =
                !COMMON.contains(&key) || key == "last_epoch" || level > 0 && (key == "base_lrs" || key == "_last_lr");
            if is_kept {
                let kept = if key == "_schedule_phases" { ends(value) } else { setting(value) };
                form.settings.push((key.to_owned(), kept));
            }
        }
        for member in members(dict) {
            if level >= MOST_LEVELS || self.members >= MOST_MEMBERS {
                self.deep = true;
                break;
            }
            self.members += 1;
            let member = self.form(member, level + 1);
            form.members.push(member);
        }
        form
    }
}

/// Returns the phases of a `OneCycleLR`, which are dicts, as the numbers at which they end.
fn ends(phases: Ref<'_>) -> Setting {
    let ends = phases.items().and_then(|mut all| {
        all.try_fold(Vec::new(), |mut ends, phase| {
            ends.push(phase.get("end_step")?.number()?);
            (ends.len() <= 16).then_some(ends)
        })
    });
    ends.map_or_else(|| setting(phases), Setting::Numbers)
}

fn members(dict: Ref<'_>) -> impl Iterator<Item = Ref<'_>> {
    dict.get("_schedulers").and_then(Ref::items).into_iter().flatten()
}

fn class(dict: Ref<'_>) -> Option<&'static str> {
    let keys: Vec<&str> =
        dict.entries().filter(|entries| entries.len() <= MOST_KEYS)?.filter_map(|(key, _)| key.text()).collect();
    let fits = |kind: &&Kind| {
        kind.needs.iter().all(|key| keys.contains(key))
            && keys.iter().all(|key| {
                kind.needs.contains(key) || kind.may.contains(key) || COMMON.contains(key) && *key != "_schedulers"
            })
    };
    KINDS.iter().find(fits).map(|kind| kind.class)
}

/// Returns the form or a member of it that is of one of the classes.
fn find<'a>(form: &'a Form, classes: &[&str]) -> Option<&'a Form> {
    if classes.contains(&form.class.as_str()) {
        return Some(form);
    }
    form.members.iter().find_map(|member| find(member, classes))
}

fn first_leaf(form: &Form) -> &Form {
    form.members.first().map_or(form, first_leaf)
}

/// Returns the counter of the members of a `ChainedScheduler`, which has none itself, where all have the same.
fn members_at(form: &Form) -> Option<f64> {
    let counts = form.members.iter().map(|member| member.number("last_epoch").or_else(|| members_at(member)));
    let counts: Option<Vec<f64>> = counts.collect();
    let counts = counts?;
    let first = *counts.first()?;
    counts.iter().all(|count| *count == first).then_some(first)
}

/// Returns whether rates are tensors, and so are computed in f32.
fn in_f32(dict: Ref<'_>, level: usize) -> bool {
    let is_tensor =
        |key: &str| dict.get(key).and_then(Ref::items).is_some_and(|mut all| all.any(|it| it.tensor().is_some()));
    is_tensor("base_lrs")
        || is_tensor("_last_lr")
        || level < MOST_LEVELS && members(dict).next().is_some_and(|it| in_f32(it, level + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::peer::Trainer;
    use crate::peers::trainers::testing::Maker;
    use crate::peers::tree::Place;

    fn state(maker: &mut Maker, keys: &[&str]) -> Place {
        let (rates, count) = (maker.floats(&[0.01]), maker.int(10));
        let own: Vec<(&str, Place)> = keys.iter().map(|key| (*key, count)).collect();
        let common = [("base_lrs", rates), ("_last_lr", rates), ("last_epoch", count), ("_step_count", count)];
        maker.dict(&[own.as_slice(), &common].concat())
    }

    fn read(maker: &Maker, place: Place) -> Peer {
        let mut peer = Peer::new("x.pt", Trainer::PyTorch, "test");
        assert!(is_scheduler(maker.tree.at(place)));
        add(&mut peer, "scheduler", maker.tree.at(place), 0);
        peer
    }

    #[test]
    fn every_kind_is_told_by_its_keys() {
        for kind in KINDS.iter().filter(|kind| !kind.needs.contains(&"_schedulers")) {
            let mut maker = Maker::default();
            for keys in [kind.needs.to_vec(), [kind.needs, kind.may].concat()] {
                let place = state(&mut maker, &keys);
                let schedule = read(&maker, place).schedules.remove(0);
                assert_eq!(schedule.form.class, format!("torch.{}", kind.class));
            }
        }
    }

    #[test]
    fn a_scheduler_with_further_keys_is_not_taken_for_a_known_one() {
        let mut maker = Maker::default();
        let place = state(&mut maker, &["milestones", "gamma", "warmup_factor", "warmup_iters"]);
        let peer = read(&maker, place);
        assert_eq!(peer.schedules[0].form.class, "unknown");
        assert!(peer.missing[0].contains("warmup_factor"), "{:?}", peer.missing);
    }

    #[test]
    fn members_are_read_with_their_own_counters() {
        let mut maker = Maker::default();
        let members = [
            state(&mut maker, &["start_factor", "end_factor", "total_iters"]),
            state(&mut maker, &["T_max", "eta_min"]),
        ];
        let (members, rates, count) = (maker.list(&members), maker.floats(&[0.01]), maker.int(12));
        let stones = maker.floats(&[5.0]);
        let place = maker.dict(&[
            ("_milestones", stones),
            ("last_epoch", count),
            ("_last_lr", rates),
            ("_schedulers", members),
        ]);
        let schedule = read(&maker, place).schedules.remove(0);
        assert_eq!((schedule.form.class.as_str(), schedule.at), ("torch.SequentialLR", Some(12.0)));
        assert_eq!(schedule.form.members[1].class, "torch.CosineAnnealingLR");
        assert_eq!((schedule.form.members[1].number("last_epoch"), schedule.base_lrs), (Some(10.0), vec![0.01]));
        let place = maker.dict(&[("_last_lr", rates), ("_schedulers", members)]);
        let schedule = read(&maker, place).schedules.remove(0);
        assert_eq!((schedule.form.class.as_str(), schedule.at), ("torch.ChainedScheduler", Some(10.0)));
    }

    #[test]
    fn a_scheduler_inside_itself_ends() {
        let mut maker = Maker::default();
        let (rates, members) = (maker.floats(&[0.01]), maker.list(&[]));
        let place = maker.dict(&[("_last_lr", rates), ("_schedulers", members)]);
        *maker.tree.at_mut(members) = crate::peers::tree::Value::List(vec![place; 3]);
        assert!(!read(&maker, place).left.is_empty());
    }
}
