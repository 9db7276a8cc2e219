//! Differences between two checkpoints of one trainer: counters, rates and schedules first, because they explain the
//! tensors that differ.

use super::peer::{Form, Group, Named, Optimizer, Parameter, Peer, Schedule, Setting};
use super::tensor::{Tensor, element_bytes};

/// A thing that two checkpoints do not have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// The thing, such as `rate of group 0`.
    pub thing: String,
    /// The first one's value, as text.
    pub a: String,
    /// The second one's.
    pub b: String,
}

/// A value that is not there.
const NOTHING: &str = "nothing";

/// Returns every difference between two checkpoints that the readers see; empty where they see the same.
pub fn between(a: &Peer, b: &Peer) -> Vec<Unlike> {
    let mut found = Found(Vec::new());
    found.text("trainer", a.trainer.name(), b.trainer.name());
    found.debug("updates", &a.updates, &b.updates);
    found.debug("epochs", &a.epochs, &b.epochs);
    let counters = |peer: &Peer| peer.counters.iter().map(|it| (it.name.clone(), number(it.value))).collect();
    found.named("counter ", counters(a), counters(b));
    found.pairs("optimizer", &a.optimizers, &b.optimizers, rates);
    found.pairs("schedule", &a.schedules, &b.schedules, schedule);
    found.debug("loss scale", &a.loss_scale, &b.loss_scale);
    found.debug("clipping", &a.clipping, &b.clipping);
    found.named("", a.settings.clone(), b.settings.clone());
    tensors(&mut found, "", &a.model.tensors, &b.model.tensors);
    found.pairs("optimizer", &a.optimizers, &b.optimizers, states);
    let averages = |peer: &Peer| peer.averages.as_ref().map(|it| it.tensors.clone()).unwrap_or_default();
    tensors(&mut found, "average of ", &averages(a), &averages(b));
    found.0
}

/// Differences that were found so far.
struct Found(Vec<Unlike>);

impl Found {
    fn text(&mut self, thing: &str, a: &str, b: &str) {
        if a != b {
            self.0.push(Unlike { thing: thing.to_owned(), a: a.to_owned(), b: b.to_owned() });
        }
    }

    /// Compares values that may not be there.
    fn debug<T: std::fmt::Debug>(&mut self, thing: &str, a: &T, b: &T) {
        // A NaN is the same as another one here, as in the text.
        self.text(thing, &plain(&format!("{a:?}")), &plain(&format!("{b:?}")));
    }

    /// Compares values by their names.
    fn named(&mut self, before: &str, a: Vec<(String, String)>, b: Vec<(String, String)>) {
        let value = |of: &[(String, String)], name: &str| {
            of.iter().find(|(key, _)| key == name).map_or(NOTHING.to_owned(), |(_, value)| value.clone())
        };
        for (name, first) in &a {
            self.text(&format!("{before}{name}"), first, &value(&b, name));
        }
        for (name, second) in b.iter().filter(|(name, _)| !a.iter().any(|(other, _)| other == name)) {
            self.text(&format!("{before}{name}"), NOTHING, second);
        }
    }

    /// Compares items by their places; `each` gets the words for a place, which are empty where there is one item.
    fn pairs<T>(&mut self, kind: &str, a: &[T], b: &[T], each: fn(&mut Self, &str, &T, &T)) {
        self.text(&format!("number of {kind}s"), &a.len().to_string(), &b.len().to_string());
        for (index, (first, second)) in a.iter().zip(b).enumerate() {
            let place = if a.len() == 1 { String::new() } else { format!(" of {kind} {index}") };
            each(self, &place, first, second);
        }
    }
}

fn number(value: f64) -> String {
    plain(&format!("{value:?}"))
}

/// Returns a value of Rust's debug form as people write it.
fn plain(debug: &str) -> String {
    let inner = debug.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(debug);
    match inner {
        "None" => NOTHING.to_owned(),
        inner => inner.strip_suffix(".0").unwrap_or(inner).to_owned(),
    }
}

fn written(setting: &Setting) -> String {
    match setting {
        Setting::Null => NOTHING.to_owned(),
        Setting::Bool(flag) => flag.to_string(),
        Setting::Number(value) => number(*value),
        Setting::Numbers(numbers) => {
            format!("[{}]", numbers.iter().map(|it| number(*it)).collect::<Vec<_>>().join(", "))
        }
        Setting::Partly(numbers) => {
            let one = |value: &Option<f64>| value.map_or_else(|| NOTHING.to_owned(), number);
            format!("[{}]", numbers.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Setting::Text(text) | Setting::Other(text) => text.clone(),
    }
}

fn settings(of: &[(String, Setting)]) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| (name.clone(), written(value))).collect()
}

/// Compares an optimizer but for its states.
fn rates(found: &mut Found, place: &str, a: &Optimizer, b: &Optimizer) {
    found.text(&format!("optimizer's class{place}"), &a.class, &b.class);
    found.debug(&format!("updates{place}"), &a.updates, &b.updates);
    found.text(&format!("number of groups{place}"), &a.groups.len().to_string(), &b.groups.len().to_string());
    for (index, (first, second)) in a.groups.iter().zip(&b.groups).enumerate() {
        let of = format!("group {index}{place}");
        found.debug(&format!("rate of {of}"), &first.lr, &second.lr);
        found.debug(&format!("base rate of {of}"), &first.initial_lr, &second.initial_lr);
        let named = |group: &Group| {
            let all = settings(&group.settings).into_iter();
            all.map(|(name, value)| (format!("{name} of {of}"), value)).collect::<Vec<_>>()
        };
        found.named("", named(first), named(second));
    }
}

fn schedule(found: &mut Found, place: &str, a: &Schedule, b: &Schedule) {
    found.debug(&format!("schedule's counter{place}"), &a.at, &b.at);
    found.debug(&format!("schedule's base rates{place}"), &a.base_lrs, &b.base_lrs);
    found.debug(&format!("schedule's last rates{place}"), &a.last_lrs, &b.last_lrs);
    form(found, place, &a.form, &b.form);
}

fn form(found: &mut Found, place: &str, a: &Form, b: &Form) {
    found.text(&format!("schedule's class{place}"), &a.class, &b.class);
    let named = |form: &Form| -> Vec<(String, String)> {
        settings(&form.settings).into_iter().map(|(name, value)| (format!("schedule's {name}{place}"), value)).collect()
    };
    found.named("", named(a), named(b));
    found.text(&format!("members of the schedule{place}"), &a.members.len().to_string(), &b.members.len().to_string());
    for (index, (first, second)) in a.members.iter().zip(&b.members).enumerate() {
        form(found, &format!(" of member {index}{place}"), first, second);
    }
}

/// Compares the states of an optimizer's parameters.
fn states(found: &mut Found, place: &str, a: &Optimizer, b: &Optimizer) {
    for (index, (first, second)) in a.groups.iter().zip(&b.groups).enumerate() {
        let count = |group: &Group| group.parameters.len().to_string();
        found.text(&format!("number of parameters of group {index}{place}"), &count(first), &count(second));
        for (first, second) in first.parameters.iter().zip(&second.parameters) {
            let name = first.name.as_ref().unwrap_or(&first.id);
            let of = format!("parameter {name}{place}");
            found.debug(&format!("updates of {of}"), &first.updates, &second.updates);
            let numbers = |parameter: &Parameter| {
                parameter.numbers.iter().map(|(key, value)| (format!("{key} of {of}"), number(*value))).collect()
            };
            found.named("", numbers(first), numbers(second));
            let named = |parameter: &Parameter| -> Vec<(String, Tensor)> {
                parameter.states.iter().map(|(key, tensor)| (format!("{key} of {of}"), tensor.clone())).collect()
            };
            tensors_by_name(found, &named(first), &named(second));
        }
    }
}

fn tensors(found: &mut Found, before: &str, a: &[Named], b: &[Named]) {
    let named = |of: &[Named]| -> Vec<(String, Tensor)> {
        of.iter().map(|it| (format!("{before}weight {}", it.name), it.tensor.clone())).collect()
    };
    tensors_by_name(found, &named(a), &named(b));
}

fn tensors_by_name(found: &mut Found, a: &[(String, Tensor)], b: &[(String, Tensor)]) {
    let in_b: std::collections::HashMap<&str, &Tensor> = b.iter().map(|(name, it)| (name.as_str(), it)).collect();
    let in_a: std::collections::HashSet<&str> = a.iter().map(|(name, _)| name.as_str()).collect();
    for (name, first) in a {
        match in_b.get(name.as_str()) {
            Some(second) => tensor(found, name, first, second),
            None => found.text(name, &kind(first), NOTHING),
        }
    }
    for (name, second) in b.iter().filter(|(name, _)| !in_a.contains(name.as_str())) {
        found.text(name, NOTHING, &kind(second));
    }
}

fn kind(tensor: &Tensor) -> String {
    format!("{:?} {:?}", tensor.dtype(), tensor.shape())
}

/// Compares two tensors bit for bit, and tells the first element that differs.
fn tensor(found: &mut Found, name: &str, a: &Tensor, b: &Tensor) {
    if (a.dtype(), a.shape()) != (b.dtype(), b.shape()) {
        return found.text(name, &kind(a), &kind(b));
    }
    let (Ok(first), Ok(second), Ok(size)) = (a.to_bytes(), b.to_bytes(), element_bytes(a.dtype())) else {
        return;
    };
    if first == second {
        return;
    }
    let unlike = |(one, other): &(&[u8], &[u8])| one != other;
    let pairs = || first.chunks_exact(size).zip(second.chunks_exact(size));
    let count = pairs().filter(unlike).count();
    let Some(index) = pairs().position(|pair| unlike(&pair)) else { return };
    let value = |tensor: &Tensor| {
        let found = tensor.to_f64().ok().and_then(|all| all.get(index).copied());
        // The shortest digits that tell it from its neighbours of that dtype, or of one that has them all.
        found.map_or("other bits".to_owned(), |found| match size {
            ..=4 if f64::from(found as f32) == found => plain(&format!("{:?}", found as f32)),
            _ => number(found),
        })
    };
    found.0.push(Unlike {
        thing: format!("{name} ({count} of {} numbers), element {:?}", a.elements(), place(index, a.shape())),
        a: value(a),
        b: value(b),
    });
}

/// Returns the indices of an element from its place in row-major order.
fn place(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices = vec![0; shape.len()];
    for (indices, length) in indices.iter_mut().zip(shape).rev() {
        *indices = index % length.max(&1);
        index /= length.max(&1);
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::open;

    fn case(name: &str) -> Peer {
        let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cases/torch/");
        open(&std::path::Path::new(cases).join(name)).unwrap()
    }

    fn things(found: &[Unlike]) -> Vec<&str> {
        found.iter().map(|unlike| unlike.thing.as_str()).collect()
    }

    #[test]
    fn a_checkpoint_does_not_differ_from_itself() {
        for name in ["sgd_nesterov_cosine.pt", "plateau.pt", "averaged.pt", "grad_scaler.pt"] {
            assert_eq!(between(&case(name), &case(name)), [], "{name}");
        }
    }

    #[test]
    fn rates_and_schedules_come_before_the_tensors_that_they_change() {
        let (a, mut b) = (case("sgd_nesterov_cosine.pt"), case("sgd_nesterov_cosine.pt"));
        b.optimizers[0].groups[0].lr = Some(0.05);
        b.schedules[0].at = Some(4.0);
        b.model.tensors[0].tensor = b.model.tensors[0].tensor.clone().negated();
        let found = between(&a, &b);
        let all = "weight 0.weight (320 of 320 numbers), element [0, 0]";
        assert_eq!(things(&found), ["rate of group 0", "schedule's counter", all]);
        assert_eq!((found[1].a.as_str(), found[1].b.as_str()), ("10", "4"));
    }

    #[test]
    fn a_schedule_that_is_in_one_file_only_is_told() {
        let (a, mut b) = (case("sgd_nesterov_cosine.pt"), case("sgd_nesterov_cosine.pt"));
        b.schedules.clear();
        b.optimizers[0].groups[0].parameters[1].states.clear();
        let found = between(&a, &b);
        assert_eq!(things(&found), ["number of schedules", "momentum_buffer of parameter 1"]);
        assert_eq!(found[1].b, NOTHING);
    }
}
