//! Layouts that scripts have and the real checkpoints have not: made by hand.

use super::testing::Maker;
use super::{Content, Found, lightning, torch};
use crate::peers::error::PeerError;
use crate::peers::peer::{Peer, RateOf, Unit};
use crate::peers::tree::Place;

fn found(mut maker: Maker, root: Place) -> Found {
    maker.tree.set_root(root);
    Found { path: "x.pt".into(), content: Content::Torch { tree: maker.tree, format: "test" } }
}

fn script(maker: Maker, root: Place) -> Result<Peer, PeerError> {
    let found = found(maker, root);
    assert!(torch::recognizes(&found));
    torch::read(&found)
}

fn model(maker: &mut Maker, names: &[&str], length: usize) -> Place {
    let entries: Vec<(&str, Place)> = names.iter().map(|name| (*name, maker.tensor(&[length]))).collect();
    maker.dict(&entries)
}

/// The state of AdamW for `count` parameters of `length` numbers after `steps` updates.
fn adamw(maker: &mut Maker, count: i64, length: usize, steps: i64, further: &[(&str, Place)]) -> Place {
    let mut states = Vec::new();
    for id in 0..count {
        let (step, first, second) = (maker.int(steps), maker.tensor(&[length]), maker.tensor(&[length]));
        states.push((id, maker.dict(&[("step", step), ("exp_avg", first), ("exp_avg_sq", second)])));
    }
    let ids: Vec<Place> = (0..count).map(|id| maker.int(id)).collect();
    let (lr, betas, eps, yes) = (maker.float(0.01), maker.floats(&[0.9, 0.999]), maker.float(1e-8), maker.bool(true));
    let params = maker.list(&ids);
    let group =
        [("lr", lr), ("betas", betas), ("eps", eps), ("weight_decay", lr), ("amsgrad", yes), ("params", params)];
    let group = maker.dict(&[group.as_slice(), &[("decoupled_weight_decay", yes)], further].concat());
    let (groups, state) = (maker.list(&[group]), maker.numbered(&states));
    maker.dict(&[("state", state), ("param_groups", groups)])
}

fn cosine(maker: &mut Maker, last_epoch: i64) -> Place {
    let (count, length, floor, rates) =
        (maker.int(last_epoch), maker.int(100), maker.float(0.0), maker.floats(&[0.01]));
    maker.dict(&[
        ("T_max", length),
        ("eta_min", floor),
        ("base_lrs", rates),
        ("last_epoch", count),
        ("_last_lr", rates),
    ])
}

#[test]
fn states_are_found_however_deep_they_are_and_whatever_they_are_called() {
    let mut maker = Maker::default();
    let (net, opt, plan) =
        (model(&mut maker, &["a.w", "a.b"], 3), adamw(&mut maker, 2, 3, 7, &[]), cosine(&mut maker, 7));
    let (opts, plans) = (maker.list(&[opt]), maker.list(&[plan]));
    let inner = maker.dict(&[("nets", net), ("opts", opts), ("plans", plans)]);
    let root = maker.dict(&[("run", inner)]);
    let peer = script(maker, root).unwrap();
    assert_eq!((peer.model.tensors.len(), peer.updates), (2, Some(7)));
    assert_eq!((peer.schedules[0].unit, peer.optimizers[0].groups[0].rate_of), (Unit::Updates, RateOf::Next));
}

#[test]
fn a_file_that_was_saved_before_the_scheduler_was_stepped_has_the_last_rate() {
    let mut maker = Maker::default();
    let (net, opt, plan) = (model(&mut maker, &["w"], 3), adamw(&mut maker, 1, 3, 7, &[]), cosine(&mut maker, 6));
    let root = maker.dict(&[("model", net), ("optimizer", opt), ("scheduler", plan)]);
    let peer = script(maker, root).unwrap();
    assert_eq!((peer.schedules[0].at, peer.optimizers[0].groups[0].rate_of), (Some(7.0), RateOf::Last));
}

#[test]
fn a_scheduler_that_was_not_saved_is_missed() {
    let mut maker = Maker::default();
    let initial = maker.float(0.1);
    let (net, opt) = (model(&mut maker, &["w"], 3), adamw(&mut maker, 1, 3, 7, &[("initial_lr", initial)]));
    let root = maker.dict(&[("model", net), ("optimizer", opt)]);
    let peer = script(maker, root).unwrap();
    assert!(
        peer.missing.iter().any(|line| line.starts_with("the schedule: groups have initial_lr")),
        "{:?}",
        peer.missing
    );
    assert_eq!(peer.optimizers[0].groups[0].rate_of, RateOf::Unknown);
}

#[test]
fn a_rate_that_the_settings_contradict_is_not_taken_for_constant() {
    let mut maker = Maker::default();
    let (net, opt, other) = (model(&mut maker, &["w"], 3), adamw(&mut maker, 1, 3, 7, &[]), maker.float(0.02));
    let config = maker.dict(&[("lr", other)]);
    let root = maker.dict(&[("model", net), ("optimizer", opt), ("config", config)]);
    let peer = script(maker, root).unwrap();
    assert_eq!(peer.optimizers[0].groups[0].rate_of, RateOf::Unknown);
    assert!(
        peer.missing.iter().any(|line| line.starts_with("the schedule: `config.lr` is 0.02")),
        "{:?}",
        peer.missing
    );
}

#[test]
fn lengths_among_settings_are_no_counters() {
    let mut maker = Maker::default();
    let (length, done) = (maker.int(1000), maker.int(40));
    let args = maker.dict(&[("step", length), ("epoch", length)]);
    let net = model(&mut maker, &["w"], 3);
    let root = maker.dict(&[("args", args), ("model", net), ("epoch", done), ("steps", length)]);
    let peer = script(maker, root).unwrap();
    let counters: Vec<_> = peer.counters.iter().map(|counter| (counter.name.as_str(), counter.value)).collect();
    assert_eq!(counters, [("epoch", 40.0)]);
    assert_eq!(peer.settings.len(), 3);
}

#[test]
fn of_two_models_the_one_that_the_optimizer_fits_is_trained() {
    let mut maker = Maker::default();
    let (teacher, student) = (model(&mut maker, &["w", "b"], 5), model(&mut maker, &["w", "b"], 3));
    let opt = adamw(&mut maker, 2, 3, 7, &[]);
    let root = maker.dict(&[("teacher", teacher), ("student", student), ("optimizer", opt)]);
    let peer = script(maker, root).unwrap();
    assert_eq!((peer.model.tensors.len(), peer.model.tensors[0].tensor.shape()), (2, &[3][..]));
    assert!(peer.left.iter().any(|line| line.starts_with("teacher: another model of 2 tensors")), "{:?}", peer.left);
}

#[test]
fn two_models_that_may_both_be_trained_are_both_described() {
    let mut maker = Maker::default();
    let (first, second) = (model(&mut maker, &["w", "b"], 3), model(&mut maker, &["w", "b"], 3));
    let opts = [adamw(&mut maker, 2, 3, 7, &[]), adamw(&mut maker, 2, 3, 9, &[])];
    let opts = maker.list(&opts);
    let root = maker.dict(&[("generator", first), ("discriminator", second), ("optimizers", opts)]);
    let peer = script(maker, root).unwrap();
    let names: Vec<_> = peer.model.tensors.iter().map(|named| named.name.as_str()).collect();
    assert_eq!(names, ["generator.w", "generator.b", "discriminator.w", "discriminator.b"]);
    assert!(peer.remarks.iter().any(|line| line.contains("2 models (generator, discriminator)")), "{:?}", peer.remarks);
    assert_eq!(peer.optimizers.iter().map(|it| it.updates).collect::<Vec<_>>(), [Some(7), Some(9)]);
}

#[test]
fn averages_are_known_by_their_place_and_names() {
    let mut maker = Maker::default();
    let (live, averages) = (model(&mut maker, &["w"], 3), model(&mut maker, &["module.w"], 3));
    let root = maker.dict(&[("model", live), ("model_ema", averages)]);
    let peer = script(maker, root).unwrap();
    let averages = peer.averages.unwrap();
    assert_eq!((averages.place.as_str(), averages.tensors[0].name.as_str()), ("model_ema", "w"));
    assert_eq!(peer.model.tensors.len(), 1);
}

#[test]
fn single_tensors_beside_the_states_are_no_model() {
    let mut maker = Maker::default();
    let (loss, rates, net) = (maker.tensor(&[]), maker.tensor(&[9]), model(&mut maker, &["w"], 3));
    let root = maker.dict(&[("model", net), ("loss", loss), ("best", loss), ("rates", rates)]);
    let peer = script(maker, root).unwrap();
    assert_eq!(peer.model.tensors[0].name, "w");
    assert_eq!(peer.left, ["rates: a tensor F32 [9]"]);
    assert_eq!(peer.settings[0], ("loss".to_owned(), "0.5".to_owned()));
}

#[test]
fn a_file_without_weights_and_optimizer_is_named() {
    let mut maker = Maker::default();
    let number = maker.float(0.5);
    let root = maker.dict(&[("accuracy", number)]);
    let error = script(maker, root).unwrap_err().to_string();
    assert!(error.contains("neither weights") && error.contains("accuracy"), "{error}");
}

/// A checkpoint of Lightning in its third epoch, after `current` of 10 batches.
fn lightning_file(current: i64, is_last: bool, averaged: bool) -> Result<Peer, PeerError> {
    let mut maker = Maker::default();
    let (weights, averages) = (model(&mut maker, &["net.w"], 3), model(&mut maker, &["net.w"], 3));
    let optimizer = adamw(&mut maker, 1, 3, 20 + current, &[]);
    let [ready, total, current, epoch] = [3, 20 + current, current, 2].map(|number| maker.int(number));
    let (version, last) = (maker.text("2.6.6"), maker.bool(is_last));
    let count = |maker: &mut Maker, key: &str, value: Place| maker.dict(&[(key, value)]);
    let epochs = count(&mut maker, "ready", ready);
    let epochs = count(&mut maker, "total", epochs);
    let (total_of, current_of) = (count(&mut maker, "processed", total), count(&mut maker, "processed", current));
    let batches = maker.dict(&[("total", total_of), ("current", current_of), ("is_last_batch", last)]);
    let fit = maker.dict(&[("epoch_progress", epochs), ("epoch_loop.batch_progress", batches)]);
    let loops = maker.dict(&[("fit_loop", fit)]);
    let optimizers = maker.list(&[optimizer]);
    let mut entries = vec![
        ("epoch", epoch),
        ("global_step", total),
        ("pytorch-lightning_version", version),
        ("loops", loops),
        ("optimizer_states", optimizers),
        ("state_dict", if averaged { averages } else { weights }),
    ];
    if averaged {
        let state = count(&mut maker, "n_averaged", ready);
        entries.extend([("current_model_state", weights), ("averaging_state", state)]);
    }
    let root = maker.dict(&entries);
    let live = maker.tree.at(weights).get("net.w").unwrap().tensor().unwrap().clone();
    let found = found(maker, root);
    assert!(lightning::recognizes(&found));
    let peer = lightning::read(&found)?;
    assert!(peer.model.tensors[0].tensor.is_same_view(&live));
    Ok(peer)
}

#[test]
fn lightning_with_averages_has_the_live_weights_apart() {
    let peer = lightning_file(10, true, true).unwrap();
    let averages = peer.averages.unwrap();
    assert_eq!((averages.place.as_str(), averages.count), ("state_dict", Some(3)));
    assert!(peer.remarks.iter().any(|line| line.contains("trains on from the averages")));
    assert!(peer.missing.iter().any(|line| line.starts_with("the decay of the averages")));
}

#[test]
fn lightning_within_an_epoch_has_its_part() {
    let peer = lightning_file(5, false, false).unwrap();
    assert_eq!((peer.updates, peer.epochs), (Some(25), Some(2.5)));
    assert!(peer.missing.iter().any(|line| line.contains("first batches of the epoch again")), "{:?}", peer.missing);
    let ended = lightning_file(10, true, false).unwrap();
    assert_eq!(ended.epochs, Some(3.0));
}
