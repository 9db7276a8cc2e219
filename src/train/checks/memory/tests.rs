//! Sizes of runs, and refusals of those that do not fit.

use super::*;
use crate::memory::total;
use crate::model::Activations;
use crate::optim::{AdamW, OptimizerConfig};

fn remembered(weights: u64) -> Remembered {
    OptimizerConfig::from(AdamW::default()).remembered(weights, std::iter::empty())
}

fn sizes(purpose: Purpose) -> Sizes {
    let activations = Activations { kept: 50, widest: 30, passing: 70 };
    let tensors = vec![("a".to_owned(), vec![10, 7]), ("b".to_owned(), vec![5, 6]), ("c".to_owned(), vec![3])];
    Sizes {
        outline: Outline { tensors, parameters: 100, buffers: 3, frozen: 0, activations },
        remembered: remembered(100),
        averages: 0,
        rows: 8,
        rows_at_once: 8,
        at_once: 1,
        validation_rows: 5,
        row_bytes: 12,
        batches: 9,
        is_on_cpu: true,
        activation_bytes: 4,
        purpose,
    }
}

fn listed(sizes: &Sizes) -> Vec<(String, u64)> {
    sizes.needs().into_iter().map(|need| (need.what, need.bytes)).collect()
}

fn expected(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(what, bytes)| ((*what).to_owned(), *bytes)).collect()
}

#[test]
fn a_run_is_its_weights_moments_copy_gradients_activations_and_batches() {
    let all = [
        ("weights", 4 * 103),
        ("moments", 4 * 200),
        ("copy to save", 4 * 303),
        ("gradients", 4 * 100),
        // 8 rows of 50 numbers, which are freed while the 100 gradients are computed.
        ("activations", 4 * 300),
        ("batches", 9 * 8 * 12),
    ];
    assert_eq!(listed(&sizes(Purpose::Train)), expected(&all));
    assert_eq!(listed(&sizes(Purpose::Resume { held: 7 })), expected(&all));
    assert_eq!(total(&sizes(Purpose::Train).needs()), 4 * 1006 + 864);
    // A range test saves nothing, and an inspection does not train.
    assert_eq!(listed(&sizes(Purpose::RangeTest)), expected(&[all[0], all[1], all[3], all[4], all[5]]));
    assert_eq!(listed(&sizes(Purpose::Look)), expected(&all[..2]));
}

#[test]
fn pieces_of_a_batch_are_beside_the_gradients_of_those_before() {
    let whole = sizes(Purpose::Train);
    let pieces = Sizes { rows_at_once: 4, ..whole };
    assert_eq!(pieces.activations(), 4 * (4 * 50));
    // A validation, with the gradients of the last update, may need more.
    assert_eq!(Sizes { validation_rows: 256, ..pieces }.activations(), 4 * (256 * 30));
}

/// Of eight micro-batches, when the last is computed: the sums of the first four, of the next two, and the seventh.
#[test]
fn sums_of_micro_batches_wait_for_others() {
    let gradients = |rows_at_once| {
        let sizes = Sizes { rows_at_once, ..sizes(Purpose::Train) };
        listed(&sizes).into_iter().find(|(what, _)| what == "gradients").unwrap().1
    };
    assert_eq!([8, 4, 3, 2, 1].map(gradients), [1, 1, 1, 2, 3].map(|sums| sums * 4 * 100));
}

#[test]
fn activations_in_half_precision_take_half_the_memory() {
    let half = Sizes { rows_at_once: 4, activation_bytes: 2, ..sizes(Purpose::Train) };
    assert_eq!(half.activations(), 2 * (4 * 50));
    assert_eq!(Sizes { validation_rows: 256, ..half.clone() }.activations(), 2 * (256 * 30));
    // For a moment, there are the weights in half precision too.
    let single = Sizes { activation_bytes: 4, ..half.clone() };
    let beside = |sizes: &Sizes| sizes.beside().bytes - total(&sizes.needs()) / 8;
    assert_eq!(beside(&half), beside(&single) + 4 * (103 / 2));
}

#[test]
fn for_a_moment_a_gradient_results_and_rounding_are_beside_them() {
    // The largest tensor has 70 numbers, and a row has 70 temporary ones.
    let all = sizes(Purpose::Train);
    assert_eq!(all.beside().bytes, 4 * (70 + 8 * 70) + total(&all.needs()) / 8);
    let look = sizes(Purpose::Look);
    assert_eq!(look.beside().bytes, total(&look.needs()) / 8);
}

#[test]
fn activations_are_recommended_to_be_computed_again_where_that_needs_less() {
    let shrinks = |layers: usize| {
        let config = |again: bool| {
            let text =
                format!("kind = 'gpt'\nlayers = {layers}\nheads = 2\nwidth = 16\ncheckpoint_activations = {again}");
            toml::from_str::<ModelConfig>(&text).unwrap()
        };
        let input = Input::Tokens { context: 64, vocabulary: 10 };
        let outline = config(false).outline(&input, 10).unwrap().unwrap();
        let plain = Sizes { outline, rows_at_once: 64, rows: 64, ..sizes(Purpose::Train) };
        plain.shrinks_with(&config(true), &input, 10)
    };
    assert!(shrinks(4));
    // A single block is kept in any case, and so is its result.
    assert!(!shrinks(1));
}

#[test]
fn on_another_device_only_copy_and_batches_are_in_memory() {
    let elsewhere = Sizes { is_on_cpu: false, batches: 1, ..sizes(Purpose::Train) };
    assert_eq!(listed(&elsewhere), expected(&[("copy to save", 4 * 303), ("batches", 8 * 12)]));
}

#[test]
fn a_full_device_has_the_copy_to_save_and_the_next_batch_only_if_it_copies_beside_training() {
    let on_device = |purpose, copies_beside, batches| {
        Sizes { is_on_cpu: false, batches, ..sizes(purpose) }.on_device(copies_beside)
    };
    let all = [
        ("weights", 4 * 103),
        ("moments", 4 * 200),
        ("copy to save", 4 * 303),
        ("gradients", 4 * 100),
        ("activations", 4 * 300),
        ("batches", 2 * 8 * 12),
    ];
    let without = [all[0], all[1], all[3], all[4], ("batches", 8 * 12)];
    for purpose in [Purpose::Train, Purpose::Resume { held: 7 }] {
        assert_eq!(listed(&on_device(purpose, true, 9)), expected(&all));
        assert_eq!(listed(&on_device(purpose, false, 9)), expected(&without));
    }
    assert_eq!(listed(&on_device(Purpose::RangeTest, true, 9)), expected(&without));
    // Small batches are not read ahead.
    assert_eq!(listed(&on_device(Purpose::Train, true, 1)).last(), expected(&without).last());
    let elsewhere = on_device(Purpose::Train, true, 9);
    let largest = elsewhere.largest_tensors();
    let names: Vec<_> = largest.iter().map(|(name, _, bytes)| (name.as_str(), *bytes)).collect();
    assert_eq!(names, [("a", 280), ("b", 120), ("c", 12)]);
}

#[test]
fn sizes_beyond_all_numbers_are_added_up() {
    let outline = Outline { parameters: u64::MAX, ..sizes(Purpose::Train).outline };
    let remembered = remembered(u64::MAX);
    let huge = Sizes { outline, remembered, rows: u64::MAX, rows_at_once: u64::MAX, ..sizes(Purpose::Train) };
    assert_eq!(total(&huge.needs()), u64::MAX);
}

#[test]
fn a_row_has_a_target_or_one_for_each_token() {
    let tokens = Input::Tokens { context: 64, vocabulary: 10 };
    assert_eq!(row_bytes(&tokens, TargetKind::Classes { count: 10 }), 4 * 128);
    assert_eq!(row_bytes(&Input::Numbers(vec![3, 8, 8]), TargetKind::Classes { count: 10 }), 4 * 193);
    assert_eq!(row_bytes(&Input::Numbers(vec![5]), TargetKind::Values { width: 2 }), 4 * 7);
}
