//! Attention against finite differences, PyTorch and its reference.

use std::sync::Arc;

use super::*;
use crate::ops::op::apply_shared;
use crate::ops::testing::{Reference, assert_same_function, assert_same_numbers, check, check_kernels, numbers};
use crate::rng::StepRng;

const GROUPED: Heads = Heads { queries: 4, keys: 2 };

fn mask() -> Option<Mask> {
    Mask::new(0.3, &StepRng::at(3, 5), "attention")
}

#[test]
fn attention_has_its_gradients() {
    let (q, k, v) = (numbers(&[2, 5, 12], 1), numbers(&[2, 5, 6], 2), numbers(&[2, 5, 6], 3));
    for (dropout, tolerance) in [(None, 1e-12), (mask(), 1e-6)] {
        let attention = Attention { heads: GROUPED, size: 3, dropout, documents: None };
        check(attention.clone(), &[&q, &k, &v], tolerance);
        check(attention, &[&numbers(&[2, 5, 24], 4)], tolerance);
    }
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let reference = Reference::open("gpt_reference.safetensors");
    let heads = Heads { queries: 4, keys: 4 };
    reference.assert("attention", 1e-12, |x| attention(&x[0], &x[1], &x[2], heads, None));
    reference.assert("attention_grouped", 1e-11, |x| attention(&x[0], &x[1], &x[2], GROUPED, None));
}

/// Contexts of several blocks, the last of them partial. The reference has the dropout's factors in f32.
#[test]
fn contexts_of_several_blocks_are_those_of_the_reference() {
    for (context, dropout, tolerance) in [(1, None, 1e-12), (150, None, 1e-11), (150, mask(), 1e-6)] {
        let (q, [k, v]) = (numbers(&[2, context, 20], 1), [2, 3].map(|seed| numbers(&[2, context, 10], seed)));
        let attention = Attention { heads: GROUPED, size: 5, dropout, documents: None };
        check_kernels(attention.clone(), &[&q, &k, &v], tolerance);
        check_kernels(attention, &[&Tensor::cat(&[q, k, v], 2).unwrap()], tolerance);
    }
}

#[test]
fn no_position_sees_a_later_one() {
    let x = numbers(&[1, 70, 12], 1);
    let changed = Tensor::cat(&[&x.narrow(1, 0, 67).unwrap(), &numbers(&[1, 3, 12], 2)], 1).unwrap();
    let heads = Heads { queries: 2, keys: 2 };
    let first = |x: &Tensor| attention(x, x, x, heads, None).unwrap().narrow(1, 0, 67).unwrap();
    assert_same_numbers(&first(&changed), &first(&x), 0.0);
}

#[test]
fn heads_that_do_not_fit_are_refused() {
    let x = numbers(&[1, 2, 10], 1);
    for (queries, keys) in [(3, 3), (5, 2), (0, 0), (5, 0)] {
        let message = attention(&x, &x, &x, Heads { queries, keys }, None).unwrap_err().to_string();
        assert!(message.contains(&format!("width of 10 cannot be {queries} heads")), "{message}");
    }
    let message = attention(&x, &x, &x, Heads { queries: 5, keys: 1 }, None).unwrap_err().to_string();
    assert!(message.contains("do not fit together"), "{message}");
}

/// Three sequences: of one document, of two, and of one in each block.
fn documents(context: u32) -> Documents {
    let starts = [vec![], vec![context / 3], vec![1, 64, 70]];
    let token = |sequence: usize, position: u32| u32::from(starts[sequence].contains(&position));
    let tokens = (0..3).flat_map(|sequence| (0..context).map(move |position| (sequence, position)));
    let tokens: Vec<u32> = tokens.map(|(sequence, position)| token(sequence, position)).collect();
    let tokens = Tensor::from_vec(tokens, (3, context as usize), &Device::Cpu).unwrap();
    Documents::beginning_with(1, &tokens).unwrap()
}

#[test]
fn attention_within_documents_has_its_gradients_and_is_that_of_the_reference() {
    for (context, dropout, tolerance) in [(5, None, 1e-12), (5, mask(), 1e-6), (150, None, 1e-11)] {
        let (q, [k, v]) = (numbers(&[3, context, 12], 1), [2, 3].map(|seed| numbers(&[3, context, 6], seed)));
        let documents = Some(documents(context as u32));
        let attention = Attention { heads: GROUPED, size: 3, dropout, documents };
        if context == 5 {
            check(attention.clone(), &[&q, &k, &v], tolerance);
            check_kernels(attention.clone(), &[&Tensor::cat(&[&q, &k, &v], 2).unwrap()], tolerance);
        }
        let attention = Arc::new(attention);
        let kernel = |x: &[Tensor]| apply_shared(Arc::clone(&attention), &[&x[0], &x[1], &x[2]]);
        assert_same_function(&[&q, &k, &v], tolerance, kernel, |x| attention.reference(&[&x[0], &x[1], &x[2]]));
    }
}

#[test]
fn a_document_is_seen_as_if_it_were_alone() {
    let (x, heads) = (numbers(&[3, 150, 12], 1), Heads { queries: 2, keys: 2 });
    let together = attention_within(&x, &x, &x, heads, None, Some(&documents(150))).unwrap();
    for (sequence, start, end) in [(0, 0, 150), (1, 0, 50), (1, 50, 150), (2, 1, 64), (2, 70, 150)] {
        let part = |x: &Tensor| x.narrow(0, sequence, 1).unwrap().narrow(1, start, end - start).unwrap();
        let alone = attention(&part(&x), &part(&x), &part(&x), heads, None).unwrap();
        // The products have other sizes, so their sums another order.
        assert_same_numbers(&part(&together), &alone, 1e-12);
    }
}

#[test]
fn documents_of_other_sequences_are_refused() {
    let x = numbers(&[2, 150, 12], 1);
    let heads = Heads { queries: 2, keys: 2 };
    let message = attention_within(&x, &x, &x, heads, None, Some(&documents(150))).unwrap_err().to_string();
    assert!(message.contains("the documents are not those of 2 sequences"), "{message}");
}
