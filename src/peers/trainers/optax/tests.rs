use super::*;
use crate::peers::formats::changed::{Random, change};
use crate::peers::peer::Trainer;
use crate::peers::trainers::open;
use crate::peers::trainers::perceptron::{CASES, continues, expected, numbers, states};
use crate::peers::trainers::testing::Maker;
use crate::peers::tree::Place;

/// The weights of a real case, in the order of the perceptron's.
fn names(first: &str, second: &str) -> [String; 4] {
    [first, second].map(|layer| ["kernel", "bias"].map(|leaf| format!("{layer}.{leaf}"))).concat().try_into().unwrap()
}

fn case(path: &str) -> Peer {
    open(format!("{CASES}/{path}").as_ref()).unwrap()
}

/// `trace = momentum trace + g`, `w -= lr trace`, with Nesterov's look ahead if asked for.
fn continues_as_sgd(peer: &Peer, case: (&str, &str), names: [&str; 4], nesterov: bool) {
    let mut trace = states(peer, "trace", names);
    let weights = numbers(&peer.model.tensors, names);
    continues(weights, &expected(case.0, case.1), |_, index, place, weight, gradient, rate| {
        let trace = &mut trace[index][place];
        *trace = 0.9 * *trace + gradient;
        *weight -= rate * if nesterov { gradient + 0.9 * *trace } else { *trace };
    });
}

#[test]
fn a_flax_state_continues_from_what_is_read() {
    let peer = case("flax/sgd_cosine/state.msgpack");
    assert_eq!((peer.trainer, peer.updates), (Trainer::Flax, Some(10)));
    assert_eq!((peer.optimizers[0].class.as_str(), peer.schedules[0].at), ("SGD", Some(10.0)));
    let names = names("Dense_0", "Dense_1");
    continues_as_sgd(&peer, ("flax", "sgd_cosine"), names.each_ref().map(String::as_str), false);
}

#[test]
fn an_orbax_state_in_zarr_continues_from_what_is_read() {
    for path in ["orbax/sgd_momentum_zarr/10", "orbax/sgd_momentum_zarr"] {
        let peer = case(path);
        assert_eq!((peer.trainer, peer.updates), (Trainer::Orbax, Some(10)));
        assert_eq!(peer.optimizers[0].class, "SGD");
        let names = names("layers_0", "layers_2");
        continues_as_sgd(&peer, ("orbax", "sgd_momentum_zarr"), names.each_ref().map(String::as_str), false);
    }
}

/// Adam of optax: `w -= lr (m̂ / (√v̂ + ε) + decay w)`, the decay for kernels only.
#[test]
fn an_orbax_state_in_ocdbt_continues_from_what_is_read() {
    let peer = case("orbax/adamw_warmup_cosine/10");
    assert_eq!((peer.updates, peer.optimizers[0].updates), (Some(10), Some(10)));
    assert_eq!((peer.optimizers[0].class.as_str(), peer.schedules[0].at), ("AdamW", Some(10.0)));
    assert!(peer.remarks.iter().any(|remark| remark.contains("mask")));
    let names = names("layers_0", "layers_2");
    let names = names.each_ref().map(String::as_str);
    let (mut m, mut v) = (states(&peer, "mu", names), states(&peer, "nu", names));
    let weights = numbers(&peer.model.tensors, names);
    continues(weights, &expected("orbax", "adamw_warmup_cosine"), |number, index, place, weight, gradient, rate| {
        let t = (10 + number + 1) as i32;
        let (m, v) = (&mut m[index][place], &mut v[index][place]);
        *m = 0.9 * *m + 0.1 * gradient;
        *v = 0.999 * *v + 0.001 * gradient * gradient;
        let (m, v) = (*m / (1.0 - 0.9f64.powi(t)), *v / (1.0 - 0.999f64.powi(t)));
        let decay = if index % 2 == 0 { 0.1 } else { 0.0 };
        *weight -= rate * (m / (v.sqrt() + 1e-8) + decay * *weight);
    });
}

/// A train state of one layer, with the state that `make` returns given a tree of tensors for it.
fn state(make: impl FnOnce(&mut Maker, Place) -> Place) -> Peer {
    let mut maker = Maker::default();
    let mut layer = || {
        let (kernel, bias) = (maker.tensor(&[2, 3]), maker.tensor(&[3]));
        let layer = maker.dict(&[("kernel", kernel), ("bias", bias)]);
        maker.dict(&[("Dense_0", layer)])
    };
    let (params, tensors) = (layer(), layer());
    let step = maker.int(7);
    let state = make(&mut maker, tensors);
    let root = maker.dict(&[("step", step), ("params", params), ("opt_state", state)]);
    maker.tree.set_root(root);
    let mut peer = Peer::new("x", Trainer::Flax, "test");
    describe(maker.tree.root(), &mut peer).unwrap();
    peer
}

fn states_of(peer: &Peer) -> Vec<&str> {
    peer.optimizers[0].groups[0].parameters[0].states.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn adam_and_adamw_are_told_by_the_part_between_them_and_the_rate() {
    let class = |parts: usize, scheduled: bool| {
        let peer = state(|maker, tensors| {
            let (count, empty) = (maker.int(7), maker.dict(&[]));
            let adam = maker.dict(&[("count", count), ("mu", tensors), ("nu", tensors)]);
            let last = if scheduled { maker.dict(&[("count", count)]) } else { empty };
            let mut chain = vec![empty; parts];
            (chain[0], chain[parts - 1]) = (adam, last);
            maker.dict(&["0", "1", "2", "3"].into_iter().zip(chain).collect::<Vec<_>>())
        });
        assert_eq!(states_of(&peer), ["mu", "nu"]);
        assert_eq!(peer.schedules.len(), usize::from(scheduled));
        peer.optimizers[0].class.clone()
    };
    assert!(class(4, false).starts_with("Adam with 2 further parts"));
    assert_eq!([class(2, false), class(3, false), class(2, true), class(3, true)], ["Adam", "AdamW", "Adam", "AdamW"]);
}

#[test]
fn wrappers_are_looked_into() {
    let peer = state(|maker, tensors| {
        let (count, rate, mini) = (maker.int(3), maker.float(0.25), maker.int(1));
        let trace = maker.dict(&[("trace", tensors)]);
        let chain = maker.dict(&[("0", trace)]);
        let hyperparams = maker.dict(&[("learning_rate", rate), ("momentum", rate)]);
        let injected = maker.dict(&[("count", count), ("hyperparams", hyperparams), ("inner_state", chain)]);
        let gradient_step = maker.int(3);
        maker.dict(&[
            ("mini_step", mini),
            ("gradient_step", gradient_step),
            ("inner_opt_state", injected),
            ("acc_grads", tensors),
        ])
    });
    let optimizer = &peer.optimizers[0];
    assert_eq!((optimizer.class.as_str(), optimizer.updates, peer.updates), ("SGD", Some(3), Some(7)));
    assert_eq!((optimizer.groups[0].lr, optimizer.groups[0].rate_of), (Some(0.25), RateOf::Constant));
    assert_eq!(optimizer.groups[0].number("momentum"), Some(0.25));
    assert_eq!(states_of(&peer), ["trace", "acc_grads"]);
    assert!(peer.missing.iter().any(|what| what.contains("MultiSteps")));
    assert!(peer.remarks.iter().any(|what| what.contains("3 updates, and the program counts 7 steps")));
}

#[test]
fn groups_of_a_multi_transform_have_the_parameters_of_their_states() {
    let peer = state(|maker, _| {
        let (kernel, bias, empty) = (maker.tensor(&[2, 3]), maker.tensor(&[3]), maker.dict(&[]));
        let mut group = |leaf: &str, tensor, other: &str| {
            let layer = maker.dict(&[(leaf, tensor), (other, empty)]);
            let tensors = maker.dict(&[("Dense_0", layer)]);
            let trace = maker.dict(&[("trace", tensors)]);
            maker.dict(&[("inner_state", trace)])
        };
        let (decay, none) = (group("kernel", kernel, "bias"), group("bias", bias, "kernel"));
        let states = maker.dict(&[("decay", decay), ("none", none)]);
        maker.dict(&[("inner_states", states)])
    });
    let groups: Vec<_> = peer.optimizers[0]
        .groups
        .iter()
        .map(|group| {
            (group.setting("label").unwrap().text().unwrap(), group.parameters[0].id.as_str(), group.parameters.len())
        })
        .collect();
    assert_eq!(groups, [("decay", "Dense_0.kernel", 1), ("none", "Dense_0.bias", 1)]);
}

#[test]
fn weights_alone_are_read_and_other_things_are_refused() {
    let mut maker = Maker::default();
    let (kernel, text) = (maker.tensor(&[2, 3]), maker.text("x"));
    let layer = maker.dict(&[("kernel", kernel)]);
    let bare = maker.dict(&[("Dense_0", layer)]);
    let other = maker.dict(&[("a", text)]);
    let describe = |root| {
        let mut peer = Peer::new("x", Trainer::Flax, "test");
        describe(maker.tree.at(root), &mut peer).map(|()| peer)
    };
    let peer = describe(bare).unwrap();
    assert!(
        peer.model.tensors[0].name == "Dense_0.kernel" && peer.model.tensors[0].in_out && peer.optimizers.is_empty()
    );
    assert!(describe(other).unwrap_err().contains("among the weights stands x"));
}

#[test]
fn a_moment_of_another_shape_is_refused() {
    let mut maker = Maker::default();
    let (one, other) = (maker.tensor(&[2, 3]), maker.tensor(&[3, 2]));
    let trees = [one, other].map(|tensor| maker.dict(&[("w", tensor)]));
    let trace = maker.dict(&[("trace", trees[1])]);
    let root = maker.dict(&[("params", trees[0]), ("opt_state", trace)]);
    let error = describe(maker.tree.at(root), &mut Peer::new("x", Trainer::Flax, "test")).unwrap_err();
    assert_eq!(error, "opt_state.trace.w has the shape [3, 2], and its weight [2, 3]");
}

#[test]
fn changed_forms_of_a_real_file_are_described_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.msgpack");
    let bytes = std::fs::read(format!("{CASES}/flax/sgd_cosine/state.msgpack")).unwrap();
    let mut random = Random(5);
    for round in 0..2000 {
        let mut changed = bytes.clone();
        change(&mut changed, &mut random);
        std::fs::write(&path, changed).unwrap();
        let began = std::time::Instant::now();
        drop(open(&path));
        assert!(began.elapsed().as_secs() < 5, "round {round}");
    }
}
