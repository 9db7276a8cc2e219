//! The place of a schedule in its run: units, delays, rates in f32, and what a file does not tell.

use crate::peers::peer::{Setting, Unit};
use crate::peers::translate::testing::*;
use crate::schedule::RunLength;

fn step() -> crate::peers::peer::Form {
    form("torch.StepLR", [("step_size", 4.0), ("gamma", 0.5)])
}

#[test]
fn a_schedule_of_epochs_counts_epochs() {
    let mut peer = scheduled(step(), &[0.1], 10, &[0.025]);
    peer.schedules[0].unit = Unit::Epochs;
    peer.updates = Some(70);
    peer.optimizers[0].updates = Some(70);
    let translated = translated(peer);
    assert!(translated.per_epoch && translated.at == Some(10));
    let plan = translated.schedule.plan(&RunLength { total_steps: None, steps_per_epoch: 7 }, 1).unwrap();
    assert_eq!([plan.rate(83, 0.1, 0), plan.rate(84, 0.1, 0)], [0.025, 0.0125]);
}

#[test]
fn a_unit_that_cannot_be_told_is_asked_for() {
    let mut peer = scheduled(step(), &[0.1], 10, &[0.025]);
    peer.schedules[0].unit = Unit::Unknown;
    let refusal = refused(peer);
    assert!(refusal.asked && refusal.reason.contains("unit = \"epoch\""), "{refusal}");
}

#[test]
fn a_schedule_that_began_later_stays_behind() {
    let mut peer = scheduled(step(), &[0.1], 10, &[0.025]);
    peer.optimizers[0].updates = Some(13);
    let translated = translated(peer);
    assert_eq!(translated.at, Some(13));
    assert_eq!(rates(&translated, 13, 16), [[0.025], [0.025], [0.0125]]);
}

#[test]
fn a_schedule_that_is_ahead_is_refused_with_both_counts() {
    let mut peer = scheduled(step(), &[0.1], 10, &[0.025]);
    peer.optimizers[0].updates = Some(5);
    let refusal = refused(peer);
    assert!(refusal.reason.contains("stands at 10 after 5 updates"), "{refusal}");
}

#[test]
fn rates_of_a_tensor_are_rounded_to_f32() {
    let mut peer =
        scheduled(form("torch.ExponentialLR", [("gamma", 0.9)]), &[0.01_f32.into()], 10, &[0.003486783243715763]);
    peer.schedules[0].in_f32 = true;
    for (rates, expected) in rates(&translated(peer), 10, 12).iter().zip([0.003486783243715763, 0.0031381049193441868])
    {
        assert_eq!(rates[0], f64::from(rates[0] as f32));
        assert!((rates[0] - expected).abs() <= 2e-6 * expected);
    }
}

#[test]
fn a_form_that_is_not_in_the_file_is_asked_for_with_its_delay() {
    let mut peer = scheduled(form("unknown", []), &[0.01], 10, &[0.009]);
    peer.schedules[0].late = 1;
    let refusal = refused(peer);
    assert!(refusal.asked && refusal.reason.contains("late(1, "), "{refusal}");
}

#[test]
fn a_schedule_that_is_one_late_uses_the_rate_before() {
    let mut peer = scheduled(step(), &[0.1], 12, &[0.025]);
    peer.schedules[0].late = 1;
    let translated = translated(peer);
    assert_eq!((translated.at, rates(&translated, 12, 14)), (Some(12), vec![vec![0.025], vec![0.0125]]));
}

#[test]
fn two_schedules_of_one_optimizer_are_a_question() {
    let mut peer = scheduled(step(), &[0.1], 10, &[0.025]);
    let second = peer.schedules[0].clone();
    peer.schedules.push(second);
    assert!(refused(peer).asked);
}

#[test]
fn a_rate_that_a_scheduler_moved_without_leaving_its_state_is_a_question() {
    let mut peer = scheduled(step(), &[0.1], 10, &[0.025]);
    peer.schedules.clear();
    assert!(super::super::schedule(&peer, 0).unwrap().is_none(), "a rate without traces of a schedule is constant");
    peer.optimizers[0].groups[0].initial_lr = Some(0.1);
    assert!(refused(peer).asked);
}

#[test]
fn lengths_that_are_not_whole_are_refused_by_name() {
    let refusal = refused(scheduled(form("torch.StepLR", [("step_size", 2.5), ("gamma", 0.5)]), &[0.1], 1, &[0.1]));
    assert_eq!(refusal.thing, "torch.StepLR step_size");
    let missing = refused(scheduled(form("torch.StepLR", [("gamma", 0.5)]), &[0.1], 1, &[0.1]));
    assert!(missing.asked && missing.thing == "torch.StepLR step_size");
    let nan = form("torch.StepLR", [("step_size", 4.0)]).with("gamma", Setting::Number(f64::NAN));
    assert_eq!(refused(scheduled(nan, &[0.1], 1, &[0.1])).thing, "torch.StepLR gamma");
}
