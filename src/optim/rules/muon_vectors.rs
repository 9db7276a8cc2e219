//! The update of parameters that Muon does not make orthogonal: AdamW, in the form of Muon's package.

use candle_core::Result;

use super::super::formula::Formula;
use super::super::{Step, Update};
use super::moments::{Moments, corrections, corrections_in_f32};
use super::muon::{Muon, MuonVariant};
use super::nadam;
use super::variants::{AdamVariant, Decoupled};

/// Updates a parameter.
pub(super) fn update(rule: &Muon, tensors: &Update<'_>, step: &Step) -> Result<()> {
    let [beta1, beta2] = rule.adamw_betas;
    let step = Step { lr: step.lr * rule.adamw_lr_ratio, momentum: beta1, ..*step };
    let shrink = Decoupled::Rate.shrink(&step);
    let of = |variant| Moments { shrink, ..Moments::new(&step, beta2, rule.adamw_eps, false, variant) };
    match rule.variant {
        // Its corrections are in f32, as those of optax, and of the rate.
        MuonVariant::Keras => {
            let moments = of(AdamVariant::Optax);
            let step_size = moments.step_size * moments.root_correction;
            Moments { step_size, root_correction: 1.0, ..moments }.update(tensors)
        }
        MuonVariant::Optax if rule.nesterov => ahead(rule, &step, shrink).update(tensors),
        MuonVariant::Optax => of(AdamVariant::Optax).update(tensors),
        _ => of(AdamVariant::Pytorch).update(tensors),
    }
}

/// Returns an update by the first moment of the next update, as far as it is known: NAdam with a constant momentum.
fn ahead(rule: &Muon, step: &Step, shrink: f64) -> nadam::Numbers {
    let betas = rule.adamw_betas;
    let [now, _] = corrections(betas, step.updates_before);
    let [next, _] = corrections(betas, step.updates_before + 1);
    let [_, second] = corrections_in_f32(betas, step.updates_before);
    nadam::Numbers {
        of_gradient: step.lr * (1.0 - betas[0]) / now,
        of_mean: step.lr * betas[0] / next,
        root_correction: second.sqrt(),
        betas,
        eps: rule.adamw_eps,
        shrink,
        decay: 0.0,
    }
}
