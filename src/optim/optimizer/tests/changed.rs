//! A state that does not fit because a setting changed is refused by the name of the setting.

use super::matrix_and_vector;
use crate::optim::optimizer::*;
use crate::optim::{Adafactor, GroupConfig, GroupRule, Prodigy, Shampoo, Soap};
use crate::state::Stateful;

/// Returns why a state of one configuration does not fit another.
fn refusal(saved: impl Into<OptimizerConfig>, now: impl Into<OptimizerConfig>) -> String {
    let parameters = matrix_and_vector();
    let saved = Optimizer::new(&parameters, saved).unwrap().save().unwrap();
    Optimizer::new(&parameters, now).unwrap().check(&saved).unwrap_err().to_string()
}

#[test]
fn a_setting_that_decides_the_state_is_named_with_both_values() {
    let told = refusal(Adafactor::default(), Adafactor { beta1: Some(0.9), ..Adafactor::default() });
    assert_eq!(
        told,
        "optimizer.beta1 is not set in the checkpoint and 0.9 here, and it decides the state of the update rule: leave it \
         as it was, or begin a new run with these weights as `train.initial_weights`"
    );
    let unfactored = Adafactor { min_dim_size_to_factor: Some(6), lr: 0.5, ..Adafactor::default() };
    let told = refusal(unfactored, Adafactor::default());
    assert!(told.starts_with("optimizer.min_dim_size_to_factor is 6 in the checkpoint and not set here"), "{told}");
    let told = refusal(Shampoo::default(), Shampoo { max_precondition_dim: 4, lr: 0.5, ..Shampoo::default() });
    assert!(told.starts_with("optimizer.max_precondition_dim is 1024 in the checkpoint and 4 here"), "{told}");
    let told = refusal(Prodigy::default(), Prodigy { slice_p: 2, ..Prodigy::default() });
    assert!(told.starts_with("optimizer.slice_p is not set in the checkpoint and 2 here"), "{told}");
}

#[test]
fn a_setting_of_a_group_is_named_with_its_place() {
    let grouped = |max_precondition_dim: usize| {
        let rule = GroupRule::from(Shampoo { max_precondition_dim, ..Shampoo::default() });
        OptimizerConfig { groups: vec![GroupConfig::new(["a"], rule)], ..Soap::default().into() }
    };
    let told = refusal(grouped(4), grouped(5));
    assert!(told.starts_with("optimizer.groups[0].max_precondition_dim is 4 in the checkpoint and 5 here"), "{told}");
}
