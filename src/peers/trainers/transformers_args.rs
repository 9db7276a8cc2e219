//! `training_args.bin` of transformers: a pickled object with the settings of the run, of which only attributes are read.

use super::{settings, torch_class};
use crate::peers::peer::{Clipping, Form, Peer, Setting};
use crate::peers::tree::Ref;

/// The number that PyTorch adds to the norm when it clips.
const CLIP_EPS: f64 = 1e-6;

/// Attributes that tell how the run trains.
const TOLD: &[&str] = &[
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "optim",
    "optim_args",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "seed",
    "data_seed",
    "bf16",
    "fp16",
    "tf32",
    "label_smoothing_factor",
    "neftune_noise_alpha",
    "gradient_checkpointing",
    "group_by_length",
    "train_sampling_strategy",
    "dataloader_drop_last",
    "full_determinism",
    "ignore_data_skip",
    "torch_compile",
];

/// The arguments.
pub(super) struct Arguments<'a>(Ref<'a>);

impl<'a> Arguments<'a> {
    pub(super) fn of(root: Ref<'a>) -> Self {
        Self(root)
    }

    fn setting(&self, name: &str) -> Option<Setting> {
        self.0.get(name).map(settings::setting)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Ref::number)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Ref::bool) == Some(true)
    }

    /// Adds settings, clipping, accumulation, and the optimizer's class where it decides between two.
    pub(super) fn add(&self, peer: &mut Peer) {
        for name in TOLD {
            if let Some(setting) = self.setting(name).filter(|setting| *setting != Setting::Null) {
                peer.settings.push(((*name).to_owned(), settings::words(&setting)));
            }
        }
        peer.accumulation = self.number("gradient_accumulation_steps").map(|count| count as u64);
        if let Some(most) = self.0.get("max_grad_norm") {
            peer.clipping = match most.number() {
                Some(most) if most > 0.0 => Clipping::Norm { most, eps: CLIP_EPS },
                _ => Clipping::Off,
            };
        }
        let adamw = self.setting("optim").is_some_and(|optim| optim.text().is_some_and(|it| it.starts_with("adamw")));
        if adamw {
            torch_class::settle(peer, 0, "AdamW");
        }
    }

    /// Returns the form of the schedule whose state is a `LambdaLR`; `total` is the number of updates of the whole run.
    pub(super) fn schedule(&self, state: &Form, total: Option<f64>) -> Option<Form> {
        let kind = self.setting("lr_scheduler_type")?;
        if state.class != "torch.LambdaLR" {
            return None;
        }
        let mut form = Form { class: format!("transformers.{}", kind.text()?), ..Form::default() };
        for name in ["learning_rate", "warmup_steps", "warmup_ratio", "max_steps", "num_train_epochs"] {
            form.settings.extend(self.setting(name).map(|setting| (name.to_owned(), setting)));
        }
        if let Some(total) = total {
            form.settings.push(("num_training_steps".to_owned(), Setting::Number(total)));
            form.settings.push(("num_warmup_steps".to_owned(), Setting::Number(self.warmup(total))));
        }
        if let Some(more) = self.0.get("lr_scheduler_kwargs") {
            form.settings.extend(settings::settings(more, &[]));
        }
        form.settings.extend(state.setting("last_epoch").map(|at| ("last_epoch".to_owned(), at.clone())));
        Some(form)
    }

    /// Returns the updates of the warm-up, as `TrainingArguments.get_warmup_steps` has them: a number below 1 is a part
    /// of all, and `warmup_ratio` counts where there is no number.
    fn warmup(&self, total: f64) -> f64 {
        let steps = self.number("warmup_steps").unwrap_or(0.0);
        let ratio = self.number("warmup_ratio").unwrap_or(0.0);
        match steps {
            steps if steps >= 1.0 => steps.floor(),
            steps if steps > 0.0 => (total * steps).ceil(),
            _ => (total * ratio).ceil(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::testing::Maker;
    use crate::peers::tree::Object;

    fn warmup(steps: f64, ratio: f64) -> f64 {
        let mut maker = Maker::default();
        let (steps, ratio, kind) = (maker.float(steps), maker.float(ratio), maker.text("cosine"));
        let state = maker.dict(&[("warmup_steps", steps), ("warmup_ratio", ratio), ("lr_scheduler_type", kind)]);
        let class = "transformers.training_args.TrainingArguments".to_owned();
        let root = maker.add(Object { class, state: Some(state), ..Object::default() }.into());
        let lambda = Form { class: "torch.LambdaLR".to_owned(), ..Form::default() };
        let form = Arguments::of(maker.tree.at(root)).schedule(&lambda, Some(30.0)).unwrap();
        assert_eq!(form.class, "transformers.cosine");
        form.number("num_warmup_steps").unwrap()
    }

    #[test]
    fn a_warmup_below_one_is_a_part_of_all_updates() {
        assert_eq!((warmup(4.0, 0.5), warmup(0.1, 0.0), warmup(0.0, 0.11)), (4.0, 3.0, 4.0));
    }
}
