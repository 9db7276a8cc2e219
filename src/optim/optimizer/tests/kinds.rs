//! An optimizer of each kind, and of the variants that are computed otherwise.

use crate::optim::{
    AdEmaMix, AdaBelief, Adadelta, Adafactor, AdafactorVariant, Adagrad, Adam, AdamVariant, AdamW, Adamax, Adan, Adopt,
    AdoptVariant, Asgd, Came, Cautious, Decoupled, Frozen, Ftrl, GrokFastAdamW, GroupConfig, LaProp, Lamb, Lars,
    LarsVariant, Lion, Mars, MeanDtype, Muon, MuonVariant, NAdam, NovoGrad, OptimizerConfig, Prodigy, RAdam,
    RAdamVariant, Rectify, RmsProp, RmsPropVariant, Rprop, RpropVariant, ScheduleFreeAdamW, ScheduleFreeSgd,
    ScheduleFreeVariant, Sgd, Shampoo, Soap, StableAdamW, Variant, Yogi,
};

/// Those whose updates have kernels on a GPU.
pub(super) fn with_kernels() -> [OptimizerConfig; 6] {
    let momentum = Sgd { momentum: 0.9, weight_decay: 0.01, ..Sgd::default() };
    [
        Sgd::default().into(),
        Sgd { dampening: 0.1, ..momentum.clone() }.into(),
        OptimizerConfig { groups: vec![GroupConfig::new(["b"], momentum.clone())], ..AdamW::default().into() },
        Sgd { nesterov: true, ..momentum }.into(),
        Adam { weight_decay: 0.02, ..Adam::default() }.into(),
        AdamW::default().into(),
    ]
}

/// Those that are computed by tensor operations on a GPU.
fn without_kernels() -> Vec<OptimizerConfig> {
    let sgd = Sgd { momentum: 0.9, weight_decay: 0.01, ..Sgd::default() };
    let adam = Adam { weight_decay: 0.02, ..Adam::default() };
    let rms_prop = RmsProp { weight_decay: 0.02, ..RmsProp::default() };
    let adagrad = Adagrad { lr_decay: 0.1, initial_accumulator_value: 0.5, ..Adagrad::default() };
    vec![
        Sgd { variant: Variant::Keras, ..sgd.clone() }.into(),
        Sgd { variant: Variant::Keras, nesterov: true, ..sgd.clone() }.into(),
        Sgd { variant: Variant::Keras, momentum: 0.0, ..sgd.clone() }.into(),
        Sgd { decoupled: Some(Decoupled::Rate), ..sgd.clone() }.into(),
        Sgd { decoupled: Some(Decoupled::Composer), nesterov: true, ..sgd }.into(),
        Adam { amsgrad: true, ..adam.clone() }.into(),
        Adam { amsgrad: true, variant: AdamVariant::Keras, ..adam.clone() }.into(),
        Adam { amsgrad: true, variant: AdamVariant::Optax, ..adam }.into(),
        AdamW { amsgrad: true, decoupled: Decoupled::Composer, ..AdamW::default() }.into(),
        AdamW { caution: true, ..AdamW::default() }.into(),
        NAdam { weight_decay: 0.02, ..NAdam::default() }.into(),
        NAdam { weight_decay: 0.02, decoupled_weight_decay: true, ..NAdam::default() }.into(),
        Adamax { weight_decay: 0.02, ..Adamax::default() }.into(),
        rms_prop.clone().into(),
        RmsProp { momentum: 0.5, ..rms_prop.clone() }.into(),
        RmsProp { centered: true, ..rms_prop.clone() }.into(),
        RmsProp { centered: true, momentum: 0.5, ..rms_prop.clone() }.into(),
        RmsProp { variant: RmsPropVariant::Keras, ..rms_prop.clone() }.into(),
        RmsProp { variant: RmsPropVariant::Keras, centered: true, momentum: 0.5, ..rms_prop.clone() }.into(),
        RmsProp { variant: RmsPropVariant::Timm, momentum: 0.5, ..rms_prop }.into(),
        adagrad.clone().into(),
        Adagrad { variant: Variant::Keras, weight_decay: 0.02, ..adagrad }.into(),
        Adamax { variant: Variant::Keras, weight_decay: 0.02, ..Adamax::default() }.into(),
        OptimizerConfig { groups: vec![GroupConfig::new(["b"], Frozen {})], ..AdamW::default().into() },
        // The first five updates have no kernel, later ones have that of Adam.
        RAdam { weight_decay: 0.02, betas: [0.9, 0.98], ..RAdam::default() }.into(),
        RAdam { weight_decay: 0.02, decoupled_weight_decay: true, ..RAdam::default() }.into(),
        RAdam { variant: RAdamVariant::PytorchOptimizer, ..RAdam::default() }.into(),
    ]
}

/// Those that are written as formulas, and those of matrices.
fn formulas() -> Vec<OptimizerConfig> {
    let adafactor = Adafactor { weight_decay: 0.02, ..Adafactor::default() };
    let adopt = Adopt { weight_decay: 0.02, ..Adopt::default() };
    vec![
        Lion { weight_decay: 0.02, ..Lion::default() }.into(),
        Lion { cautious: Some(Cautious::Timm), ..Lion::default() }.into(),
        adafactor.clone().into(),
        Adafactor { beta1: Some(0.9), variant: AdafactorVariant::Optax, ..adafactor.clone() }.into(),
        Adafactor {
            beta1: Some(0.9),
            momentum_dtype: MeanDtype::Bf16,
            min_dim_size_to_factor: Some(1),
            variant: AdafactorVariant::BigVision,
            ..adafactor
        }
        .into(),
        Muon::default().into(),
        Muon { variant: MuonVariant::Keras, ..Muon::default() }.into(),
        Muon { variant: MuonVariant::Optax, ..Muon::default() }.into(),
        Muon { variant: MuonVariant::Optax, nesterov: false, ..Muon::default() }.into(),
        ScheduleFreeAdamW { weight_decay: 0.02, warmup_steps: 3, ..ScheduleFreeAdamW::default() }.into(),
        ScheduleFreeAdamW { rectify: Some(Rectify::Sgd), ..ScheduleFreeAdamW::default() }.into(),
        ScheduleFreeSgd::default().into(),
        ScheduleFreeSgd { variant: ScheduleFreeVariant::Optax, warmup_steps: 3, ..ScheduleFreeSgd::default() }.into(),
        Lamb::default().into(),
        Adadelta { weight_decay: 0.02, ..Adadelta::default() }.into(),
        Rprop::default().into(),
        Rprop { variant: RpropVariant::Optax, weight_decay: 0.02, ..Rprop::default() }.into(),
        Asgd { t0: 3.0, ..Asgd::default() }.into(),
        adopt.clone().into(),
        Adopt { decoupled_weight_decay: true, variant: AdoptVariant::PytorchOptimizer, ..adopt }.into(),
        AdEmaMix { t_alpha_beta3: Some(5), ..AdEmaMix::default() }.into(),
        Adan { weight_decay: 0.02, ..Adan::default() }.into(),
        Adan { no_prox: true, caution: true, ..Adan::default() }.into(),
        Prodigy { d0: 1e-3, ..Prodigy::default() }.into(),
        Prodigy { d0: 1e-3, slice_p: 3, ..Prodigy::default() }.into(),
        Mars { weight_decay: 0.02, ..Mars::default() }.into(),
        StableAdamW::default().into(),
        Soap { precondition_frequency: 2, ..Soap::default() }.into(),
        Lars { weight_decay: 0.02, trust_coefficient: 0.1, ..Lars::default() }.into(),
        Lars { variant: LarsVariant::Optax, nesterov: true, ..Lars::default() }.into(),
        NovoGrad { weight_decay: 0.02, grad_averaging: true, ..NovoGrad::default() }.into(),
        AdaBelief { weight_decay: 0.02, ..AdaBelief::default() }.into(),
        Yogi { weight_decay: 0.02, ..Yogi::default() }.into(),
        LaProp { weight_decay: 0.02, ..LaProp::default() }.into(),
        Came { weight_decay: 0.02, ..Came::default() }.into(),
        Shampoo { momentum: 0.5, weight_decay: 0.02, precondition_frequency: 2, ..Shampoo::default() }.into(),
        GrokFastAdamW { weight_decay: 0.02, ..GrokFastAdamW::default() }.into(),
        Ftrl { l1: 0.01, l2: 0.01, ..Ftrl::default() }.into(),
    ]
}

pub(super) fn every_kind() -> Vec<OptimizerConfig> {
    let variants = [
        Adam { variant: AdamVariant::Keras, weight_decay: 0.02, ..Adam::default() }.into(),
        Adam { variant: AdamVariant::Optax, weight_decay: 0.02, ..Adam::default() }.into(),
        AdamW { variant: AdamVariant::Optax, ..AdamW::default() }.into(),
        AdamW { decoupled: Decoupled::Composer, ..AdamW::default() }.into(),
    ];
    let in_bf16 = AdamW { variant: AdamVariant::Optax, mu_dtype: MeanDtype::Bf16, ..AdamW::default() };
    with_kernels()
        .into_iter()
        .chain(variants)
        .chain(without_kernels())
        .chain([in_bf16.into()])
        .chain(formulas())
        .collect()
}
