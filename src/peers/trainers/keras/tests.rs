use std::path::PathBuf;

use super::*;
use crate::peers::formats::changed::{Random, change};
use crate::peers::peer::{RateOf, Setting};
use crate::peers::trainers::perceptron::{CASES, continues, expected, numbers, states};

fn open(path: PathBuf) -> Result<Peer, PeerError> {
    let other =
        if path.extension().is_some_and(|ending| ending == "h5") { OtherFormat::Hdf5 } else { OtherFormat::Zip };
    read(&Found { path, content: Content::Other(other) })
}

fn case(case: &str, file: &str) -> Peer {
    open(format!("{CASES}/keras/{case}/{file}").into()).unwrap()
}

const NAMES: [&str; 4] = ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"];
const OTHER_NAMES: [&str; 4] = ["hidden/kernel", "hidden/bias", "out/kernel", "out/bias"];

/// `w -= lr √(1 − β₂ᵗ) / (1 − β₁ᵗ) m / (√v + ε)`, after `w -= lr decay w`.
fn continues_as_adam(peer: &Peer, case: &str, names: [&str; 4]) {
    let group = &peer.optimizers[0].groups[0];
    let of = |key: &str| group.number(key).unwrap_or(0.0);
    let (beta_1, beta_2, epsilon, decay) = (of("beta_1"), of("beta_2"), of("epsilon"), of("weight_decay"));
    let (mut m, mut v) = (states(peer, "momentum", names), states(peer, "velocity", names));
    let weights = numbers(&peer.model.tensors, names);
    continues(weights, &expected("keras", case), |number, index, place, weight, gradient, rate| {
        let t = (peer.updates.unwrap() as usize + number + 1) as i32;
        let (m, v) = (&mut m[index][place], &mut v[index][place]);
        *m += (1.0 - beta_1) * (gradient - *m);
        *v += (1.0 - beta_2) * (gradient * gradient - *v);
        *weight -= rate * decay * *weight;
        *weight -= rate * (1.0 - beta_2.powi(t)).sqrt() / (1.0 - beta_1.powi(t)) * *m / (v.sqrt() + epsilon);
    });
}

#[test]
fn adamw_under_a_schedule_continues_from_what_is_read() {
    let peer = case("adamw_cosine_warmup", "model.keras");
    assert_eq!((peer.updates, peer.version.as_deref()), (Some(10), Some("3.15.1")));
    assert!(peer.model.in_order && peer.clipping == Clipping::Off && peer.averages.is_none());
    let optimizer = &peer.optimizers[0];
    assert_eq!((optimizer.class.as_str(), optimizer.groups[0].lr), ("AdamW", None));
    let schedule = &peer.schedules[0];
    assert_eq!((schedule.form.class.as_str(), schedule.at, schedule.in_f32), ("keras.CosineDecay", Some(10.0), true));
    assert_eq!(schedule.form.number("warmup_target"), Some(0.01));
    assert_eq!(schedule.form.number("decay_steps"), Some(26.0));
    continues_as_adam(&peer, "adamw_cosine_warmup", NAMES);
}

#[test]
fn adam_at_a_number_continues_from_what_is_read() {
    let peer = case("adam_number_named", "model.keras");
    let group = &peer.optimizers[0].groups[0];
    assert_eq!((group.lr, group.rate_of), (Some(f64::from(0.01f32)), RateOf::Constant));
    assert_eq!(group.number("weight_decay"), None);
    assert!(peer.schedules.is_empty());
    continues_as_adam(&peer, "adam_number_named", OTHER_NAMES);
    let architecture = peer.architecture.unwrap();
    assert_eq!(architecture.kind, "Sequential");
    assert!(architecture.settings.contains(&("hidden.activation".to_owned(), Setting::Text("relu".to_owned()))));
}

/// `v = momentum v − lr g`, `w += v`: the rate is in the velocity.
#[test]
fn sgd_with_the_rate_in_its_velocity_continues_from_what_is_read() {
    let peer = case("sgd_momentum_piecewise", "model.keras");
    assert_eq!(peer.schedules[0].form.setting("boundaries"), Some(&Setting::Numbers(vec![5.0, 12.0])));
    assert!(peer.remarks.iter().any(|remark| remark.contains("has the rate in it")));
    let momentum = peer.optimizers[0].groups[0].number("momentum").unwrap();
    let mut velocity = states(&peer, "momentum", NAMES);
    let weights = numbers(&peer.model.tensors, NAMES);
    continues(weights, &expected("keras", "sgd_momentum_piecewise"), |_, index, place, weight, gradient, rate| {
        let velocity = &mut velocity[index][place];
        *velocity = momentum * *velocity - rate * gradient;
        *weight += *velocity;
    });
}

#[test]
fn weights_alone_have_the_same_tensors_and_name_what_they_lack() {
    for (name, names) in
        [("adamw_cosine_warmup", NAMES), ("sgd_momentum_piecewise", NAMES), ("adam_number_named", OTHER_NAMES)]
    {
        let (whole, alone) = (case(name, "model.keras"), case(name, "model.weights.h5"));
        assert_eq!(numbers(&whole.model.tensors, names), numbers(&alone.model.tensors, names));
        assert_eq!(alone.updates, Some(10));
        assert_eq!(alone.optimizers[0].class, whole.optimizers[0].class);
        for state in alone.optimizers[0].groups[0].parameters[0].states.iter().map(|(state, _)| state) {
            assert_eq!(states(&whole, state, names), states(&alone, state, names));
        }
        assert!(alone.schedules.is_empty() && alone.clipping == Clipping::Unknown);
        assert!(alone.missing.iter().any(|what| what.starts_with("the optimizer's settings")));
    }
    assert_eq!(case("adam_number_named", "model.weights.h5").optimizers[0].groups[0].lr, Some(f64::from(0.01f32)));
}

/// Changes reach the configuration and the structure of the weights alike.
#[test]
fn changed_forms_of_real_files_are_described_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(3);
    for (case, name) in [("adamw_cosine_warmup", "model.keras"), ("adam_number_named", "model.weights.h5")] {
        let bytes = std::fs::read(format!("{CASES}/keras/{case}/{name}")).unwrap();
        let path = folder.path().join(name);
        for round in 0..600 {
            let mut changed = bytes.clone();
            // The configuration is small beside the weights.
            if round % 2 == 0 && name == "model.keras" {
                let place = random.below(3000);
                changed[place] = b"0]}\"-e"[random.below(6)];
            } else {
                change(&mut changed, &mut random);
            }
            std::fs::write(&path, changed).unwrap();
            let began = std::time::Instant::now();
            drop(open(path.clone()));
            assert!(began.elapsed().as_secs() < 5, "{name}, round {round}");
        }
    }
}
