//! The class of an optimizer of PyTorch, which no file names: it is told by the settings of its groups and by the keys of
//! its states.

use std::collections::BTreeSet;

use crate::peers::peer::Peer;
use crate::peers::tree::Ref;

/// Keys by which a class is told.
struct Kind {
    class: &'static str,
    /// Settings that each group has.
    settings: &'static [&'static str],
    /// Settings of relatives, which no group has.
    without: &'static [&'static str],
    /// All keys that a parameter's state may have.
    states: &'static [&'static str],
}

const ADAM: &[&str] = &["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

/// Settings that relatives of Adam have and it has not.
const RELATIVES: &[&str] = &["correct_bias", "no_prox", "caution", "bias_correction", "corrected_weight_decay"];

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind { class: "SGD", settings: &["momentum", "dampening", "nesterov"], without: &["trust_coefficient", "alpha"],
           states: &["momentum_buffer"] },
    Kind { class: "Adam", settings: &["betas", "eps", "weight_decay", "amsgrad"], without: RELATIVES, states: ADAM },
    Kind { class: "NAdam", settings: &["betas", "eps", "momentum_decay"], without: &["caution"],
           states: &["step", "mu_product", "exp_avg", "exp_avg_sq"] },
    Kind { class: "RAdam", settings: &["betas", "eps", "decoupled_weight_decay"],
           without: &["amsgrad", "momentum_decay"], states: ADAM },
    Kind { class: "Adamax", settings: &["betas", "eps", "weight_decay"], without: &["amsgrad", "momentum_decay"],
           states: &["step", "exp_avg", "exp_inf"] },
    Kind { class: "RMSprop", settings: &["alpha", "eps", "centered", "momentum"],
           without: &["decoupled_decay", "lr_in_momentum"],
           states: &["step", "square_avg", "momentum_buffer", "grad_avg"] },
    Kind { class: "Adagrad", settings: &["lr_decay", "eps"], without: &[], states: &["step", "sum"] },
    Kind { class: "Adadelta", settings: &["rho", "eps"], without: &[], states: &["step", "square_avg", "acc_delta"] },
    Kind { class: "ASGD", settings: &["lambd", "alpha", "t0"], without: &[], states: &["step", "eta", "mu", "ax"] },
    Kind { class: "Rprop", settings: &["etas", "step_sizes"], without: &[], states: &["step", "prev", "step_size"] },
    Kind { class: "Adafactor", settings: &["beta2_decay", "d"], without: &[],
           states: &["step", "row_var", "col_var", "variance"] },
    Kind { class: "Muon", settings: &["momentum", "ns_steps", "ns_coefficients"], without: &[],
           states: &["momentum_buffer"] },
    Kind { class: "LBFGS", settings: &["max_iter", "tolerance_grad", "history_size"], without: &[],
           states: &["func_evals", "n_iter", "d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad",
                     "prev_loss", "al"] },
    Kind { class: "SparseAdam", settings: &["betas", "eps"], without: &["weight_decay", "amsgrad"], states: ADAM },
    Kind { class: "transformers.Adafactor", settings: &["scale_parameter", "relative_step", "clip_threshold"],
           without: &[], states: &["step", "exp_avg_sq_row", "exp_avg_sq_col", "exp_avg_sq", "exp_avg", "RMS"] },
    Kind { class: "transformers.AdamW", settings: &["betas", "eps", "weight_decay", "correct_bias"],
           without: &["amsgrad"], states: ADAM },
    Kind { class: "Lion", settings: &["betas", "weight_decay"], without: &["eps"], states: &["exp_avg"] },
];

/// The class where Adam and AdamW cannot be told apart.
const EITHER: &str = "Adam or AdamW";
/// The beginning of the line that says so.
const MISSING: &str = "the optimizer's class";

/// The class of an optimizer, with what is to be said of how it was told.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) class: &'static str,
    pub(super) remark: Option<String>,
    pub(super) missing: Option<String>,
}

/// Returns the class by the groups and the keys of the states of all parameters.
pub(super) fn tell(groups: &[Ref<'_>], states: &BTreeSet<String>) -> Told {
    let fits = |kind: &&Kind| {
        groups.iter().all(|group| {
            kind.settings.iter().all(|key| group.get(key).is_some())
                && kind.without.iter().all(|key| group.get(key).is_none())
        }) && states.iter().all(|key| kind.states.contains(&key.as_str()))
    };
    let plain = |class| Told { class, remark: None, missing: None };
    match KINDS.iter().find(fits) {
        Some(kind) if !groups.is_empty() && kind.class == "Adam" => tell_decay(groups),
        // Its groups are those of other classes without the state that tells it.
        Some(kind) if kind.class == "Adamax" && !states.contains("exp_inf") => unknown(groups, states),
        Some(kind) if !groups.is_empty() => plain(kind.class),
        _ => unknown(groups, states),
    }
}

/// Settles the class of an optimizer that may be of two, where the trainer tells it elsewhere.
pub(super) fn settle(peer: &mut Peer, optimizer: usize, class: &str) {
    if let Some(optimizer) = peer.optimizers.get_mut(optimizer).filter(|optimizer| optimizer.class == EITHER) {
        optimizer.class = class.to_owned();
        optimizer.named = true;
        peer.missing.retain(|line| !line.starts_with(MISSING));
    }
}

fn unknown(groups: &[Ref<'_>], states: &BTreeSet<String>) -> Told {
    let settings: BTreeSet<&str> = groups.iter().flat_map(|group| keys(*group)).collect();
    let join = |names: &mut dyn Iterator<Item = &str>| names.take(24).collect::<Vec<_>>().join(", ");
    let remark = format!(
        "no known optimizer has these settings ({}) with these states ({})",
        join(&mut settings.into_iter()),
        join(&mut states.iter().map(String::as_str))
    );
    Told { class: "unknown", remark: Some(remark), missing: Some(MISSING.to_owned()) }
}

/// Returns the keys of a group, in the order of the file.
fn keys(group: Ref<'_>) -> impl Iterator<Item = &str> {
    group.entries().into_iter().flatten().filter_map(|(key, _)| key.text())
}

/// Returns Adam or AdamW by the flag that decides it since PyTorch 2.7, and by traces in older files.
fn tell_decay(groups: &[Ref<'_>]) -> Told {
    let plain = |class| Told { class, remark: None, missing: None };
    let flags = groups.iter().map(|group| group.get("decoupled_weight_decay").and_then(Ref::bool));
    let flags: Vec<Option<bool>> = flags.collect();
    if flags.iter().all(|flag| *flag == Some(true)) {
        return plain("AdamW");
    }
    if flags.iter().all(|flag| *flag == Some(false)) {
        return plain("Adam");
    }
    if flags.iter().any(Option::is_some) {
        return Told {
            remark: Some("groups differ in decoupled_weight_decay: some decay as Adam, others as AdamW".to_owned()),
            ..plain("unknown")
        };
    }
    if groups.iter().all(|group| group.get("weight_decay").and_then(Ref::number) == Some(0.0)) {
        return plain("Adam");
    }
    tell_by_order(groups)
}

/// Tells Adam from AdamW by the order of their default settings, in files of PyTorch 1.12 to 2.6: AdamW names `foreach`
/// before `maximize`, Adam after it (`torch/optim/adam.py` and `adamw.py` of those versions).
fn tell_by_order(groups: &[Ref<'_>]) -> Told {
    let places = groups.iter().map(|group| {
        let place = |name: &str| keys(*group).position(|key| key == name);
        (place("foreach"), place("maximize"), place("initial_lr"))
    });
    let places: Vec<_> = places.collect();
    let told = |class, order: &str| Told {
        class,
        remark: Some(format!(
            "the file is older than the flag decoupled_weight_decay; it is told to be {class} by {order} in its groups"
        )),
        missing: None,
    };
    if places.iter().all(|place| matches!(place, (Some(foreach), Some(maximize), _) if foreach < maximize)) {
        return told("AdamW", "foreach before maximize");
    }
    // A run that began in an older version got both settings later, after initial_lr, and in one order for both classes.
    let is_adam = |place: &(Option<usize>, Option<usize>, Option<usize>)| match place {
        (Some(foreach), Some(maximize), initial) => {
            maximize < foreach && initial.is_none_or(|initial| initial > *maximize)
        }
        _ => false,
    };
    if places.iter().all(is_adam) {
        return told("Adam", "maximize before foreach");
    }
    Told {
        class: EITHER,
        remark: None,
        missing: Some(format!(
            "{MISSING}: Adam and AdamW of PyTorch before 1.12 write the same file, and decay differently"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::testing::Maker;
    use crate::peers::tree::Place;

    fn class_of(settings: &[&str], flag: Option<bool>, states: &[&str]) -> &'static str {
        let mut maker = Maker::default();
        let mut entries: Vec<(&str, Place)> = settings.iter().map(|key| (*key, maker.float(0.1))).collect();
        if let Some(flag) = flag {
            let flag = maker.bool(flag);
            entries.push(("decoupled_weight_decay", flag));
        }
        let group = maker.dict(&entries);
        tell(&[maker.tree.at(group)], &states.iter().map(|key| (*key).to_owned()).collect()).class
    }

    #[test]
    fn the_flag_decides_between_adam_and_adamw() {
        let settings = ["lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach"];
        let states = ["step", "exp_avg", "exp_avg_sq"];
        assert_eq!(class_of(&settings, Some(true), &states), "AdamW");
        assert_eq!(class_of(&settings, Some(false), &states), "Adam");
    }

    #[test]
    fn without_the_flag_the_order_of_the_settings_decides_and_without_both_nothing_does() {
        let adam = ["lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "initial_lr"];
        let adamw = ["lr", "betas", "eps", "weight_decay", "amsgrad", "foreach", "maximize", "initial_lr"];
        let later = ["lr", "betas", "eps", "weight_decay", "amsgrad", "initial_lr", "maximize", "foreach"];
        assert_eq!(class_of(&adam, None, &["step"]), "Adam");
        assert_eq!(class_of(&adamw, None, &["step"]), "AdamW");
        assert_eq!(class_of(&later, None, &["step"]), "Adam or AdamW");
        assert_eq!(class_of(&adam[..5], None, &["step"]), "Adam or AdamW");
    }

    #[test]
    fn relatives_are_not_taken_for_what_they_resemble() {
        let lamb = ["lr", "bias_correction", "betas", "eps", "weight_decay", "trust_clip", "always_adapt"];
        let lars = ["lr", "momentum", "dampening", "nesterov", "trust_coefficient"];
        let tensorflow = ["lr", "alpha", "eps", "centered", "momentum", "decoupled_decay", "lr_in_momentum"];
        assert_eq!(class_of(&lamb, None, &["exp_avg", "exp_avg_sq"]), "unknown");
        assert_eq!(class_of(&lars, None, &["momentum_buffer"]), "unknown");
        assert_eq!(class_of(&tensorflow, None, &["square_avg", "momentum_buffer"]), "unknown");
        assert_eq!(class_of(&["lr", "momentum", "dampening", "nesterov"], None, &["exp_avg"]), "unknown");
    }

    #[test]
    fn every_class_is_told_by_its_own_keys() {
        for kind in KINDS.iter().filter(|kind| !["Adam", "RAdam"].contains(&kind.class)) {
            assert_eq!(class_of(kind.settings, None, kind.states), kind.class);
        }
        assert_eq!(class_of(&["betas", "eps", "weight_decay"], Some(true), &ADAM[..3]), "RAdam");
    }
}
