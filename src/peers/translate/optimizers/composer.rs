//! Composer's `DecoupledAdamW` and `DecoupledSGDW` (`composer/optim/decoupled_weight_decay.py`): PyTorch's, but weights
//! shrink by `lr / initial_lr * weight_decay`.

use serde_json::json;

use super::{Hyperparameters, Optimizer, Refusal, UpdateRule, torch};

/// Translates one of Composer's optimizers. Composer also trains with PyTorch's own.
pub(super) fn rule(optimizer: &Optimizer, base_lrs: &[Option<f64>]) -> Result<UpdateRule, Refusal> {
    let class = match optimizer.class.as_str() {
        "DecoupledAdamW" => "AdamW",
        "DecoupledSGDW" => "SGD",
        _ => return torch::rule(optimizer, base_lrs),
    };
    let mut rule = torch::rule(&Optimizer { class: class.to_owned(), ..optimizer.clone() }, base_lrs)?;
    for (group, peer) in rule.groups.iter_mut().zip(&optimizer.groups) {
        let base = group.hyperparameters.get("lr").and_then(serde_json::Value::as_f64);
        if let (Some(base), Some(initial)) = (base, peer.initial_lr)
            && base != initial
        {
            let hyperparameters = Hyperparameters::new(&optimizer.class, group.of, peer, Some(base));
            let reason = format!("its decay is relative to `initial_lr` {initial}, but the base rate is {base}");
            return Err(hyperparameters.refuse("initial_lr", reason));
        }
        group.hyperparameters.insert("decoupled".to_owned(), json!("composer"));
    }
    rule.notes.push(format!("weights shrink by rate / base rate * weight_decay, as in Composer's {}", optimizer.class));
    Ok(rule)
}
