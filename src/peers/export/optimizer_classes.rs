//! The classes of PyTorch that optimizers of ours are written as.

/// A class of `torch.optim` for a rule of ours.
pub(super) struct Class {
    /// Our rule.
    pub kind: &'static str,
    /// The class.
    pub name: &'static str,
    /// Settings that are numbers or truth values: PyTorch's name, ours, and the value where ours has none.
    pub settings: &'static [(&'static str, &'static str, Otherwise)],
    /// Settings of ours that change nothing in this class.
    pub idle: &'static [&'static str],
    /// Further keys of a group, which are off.
    pub off: &'static [&'static str],
    /// Names of the state tensors of a parameter.
    pub states: &'static [&'static str],
    /// Whether weights can decay.
    pub decays: bool,
    /// Whether updates are counted for each parameter.
    pub counts: bool,
}

/// A value for a setting that our rule does not have.
#[derive(Clone, Copy)]
pub(super) enum Otherwise {
    Int(i64),
    Number(f64),
    Is(bool),
    Pair(f64, f64),
    Numbers([f64; 3]),
    /// A word, or none.
    Word,
    /// A pair of small numbers, of which the first is that of the type of the weights if it is not set.
    Eps(f64),
}

use Otherwise::{Eps, Int, Is, Number, Numbers, Pair, Word};

/// Settings that have no counterpart in ours, and are off in every class.
const OFF: &[&str] = &["maximize", "capturable", "differentiable"];

/// Settings of PyTorch's speed, which are chosen by it.
pub(super) const UNSET: &[&str] = &["foreach", "fused"];

/// The settings of most classes.
const USUAL: Class =
    Class { kind: "", name: "", settings: &[], idle: &[], off: OFF, states: &[], decays: true, counts: true };

pub(super) const CLASSES: &[Class] = &[
    Class {
        kind: "sgd",
        name: "SGD",
        settings: &[("dampening", "dampening", Int(0)), ("nesterov", "nesterov", Is(false))],
        off: &["maximize", "differentiable"],
        states: &["momentum_buffer"],
        counts: false,
        ..USUAL
    },
    Class {
        kind: "adam",
        name: "Adam",
        settings: &[
            ("eps", "eps", Number(1e-8)),
            ("amsgrad", "amsgrad", Is(false)),
            ("decoupled_weight_decay", "", Is(false)),
        ],
        states: &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
        ..USUAL
    },
    Class {
        kind: "adamw",
        name: "AdamW",
        settings: &[
            ("eps", "eps", Number(1e-8)),
            ("amsgrad", "amsgrad", Is(false)),
            ("decoupled_weight_decay", "", Is(true)),
        ],
        states: &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
        ..USUAL
    },
    Class {
        kind: "nadam",
        name: "NAdam",
        settings: &[
            ("eps", "eps", Number(1e-8)),
            ("momentum_decay", "momentum_decay", Number(4e-3)),
            ("decoupled_weight_decay", "decoupled_weight_decay", Is(false)),
        ],
        states: &["exp_avg", "exp_avg_sq"],
        ..USUAL
    },
    Class {
        kind: "radam",
        name: "RAdam",
        settings: &[("eps", "eps", Number(1e-8)), ("decoupled_weight_decay", "decoupled_weight_decay", Is(false))],
        states: &["exp_avg", "exp_avg_sq"],
        ..USUAL
    },
    Class {
        kind: "adamax",
        name: "Adamax",
        settings: &[("eps", "eps", Number(1e-8))],
        states: &["exp_avg", "exp_inf"],
        ..USUAL
    },
    Class {
        kind: "rmsprop",
        name: "RMSprop",
        settings: &[
            ("alpha", "alpha", Number(0.99)),
            ("eps", "eps", Number(1e-8)),
            ("centered", "centered", Is(false)),
        ],
        states: &["square_avg", "momentum_buffer", "grad_avg"],
        ..USUAL
    },
    Class {
        kind: "adagrad",
        name: "Adagrad",
        settings: &[
            ("lr_decay", "lr_decay", Number(0.0)),
            ("eps", "eps", Number(1e-10)),
            ("initial_accumulator_value", "initial_accumulator_value", Int(0)),
        ],
        off: &["maximize", "differentiable"],
        states: &["sum"],
        ..USUAL
    },
    Class {
        kind: "adadelta",
        name: "Adadelta",
        settings: &[("rho", "rho", Number(0.9)), ("eps", "eps", Number(1e-6))],
        states: &["square_avg", "acc_delta"],
        ..USUAL
    },
    Class {
        kind: "rprop",
        name: "Rprop",
        settings: &[("etas", "etas", Pair(0.5, 1.2)), ("step_sizes", "step_sizes", Pair(1e-6, 50.0))],
        states: &["prev", "step_size"],
        decays: false,
        ..USUAL
    },
    Class {
        kind: "asgd",
        name: "ASGD",
        settings: &[("lambd", "lambd", Number(1e-4)), ("alpha", "alpha", Number(0.75)), ("t0", "t0", Number(1e6))],
        states: &["ax"],
        ..USUAL
    },
    Class {
        kind: "muon",
        name: "Muon",
        settings: &[
            ("nesterov", "nesterov", Is(true)),
            ("ns_coefficients", "ns_coefficients", Numbers([3.4445, -4.775, 2.0315])),
            ("eps", "eps", Number(1e-7)),
            ("ns_steps", "ns_steps", Int(5)),
            ("adjust_lr_fn", "adjust_lr", Word),
        ],
        // Those of the parameters that are no matrices, which another class updates.
        idle: &["adamw_lr_ratio", "adamw_betas", "adamw_eps"],
        off: &[],
        states: &["momentum_buffer"],
        counts: false,
        ..USUAL
    },
    Class {
        kind: "adafactor",
        name: "Adafactor",
        settings: &[
            ("beta2_decay", "beta2_decay", Number(-0.8)),
            ("eps", "eps", Eps(1e-3)),
            ("d", "clip_threshold", Number(1.0)),
        ],
        // The class always does what it asks for.
        idle: &["scale_parameter"],
        off: &["maximize"],
        states: &["row_var", "col_var", "variance"],
        ..USUAL
    },
];
