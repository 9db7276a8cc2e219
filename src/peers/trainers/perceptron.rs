//! The perceptron of the real cases, for tests: a run is continued from what was read, and must make the losses that its
//! trainer printed.

use crate::peers::formats::{json, safetensors};
use crate::peers::peer::{Named, Peer};
use crate::peers::tree::Tree;

pub(super) const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/cases");

/// Inputs, hidden units.
const SIZES: (usize, usize) = (10, 32);

/// Weights or gradients: `[in, out]` kernels and biases of both layers.
pub(super) type Weights = [Vec<f64>; 4];

/// The updates that a case's trainer made after it was resumed: rate and loss.
pub(super) fn expected(peer: &str, case: &str) -> Vec<(f64, f64)> {
    let tree: Tree = json::read(format!("{CASES}/{peer}/expected.json").as_ref()).unwrap();
    let cases = tree.root().get("cases").unwrap().items().unwrap();
    let found = cases.into_iter().find(|found| found.get("case").unwrap().text() == Some(case)).unwrap();
    let number = |value: crate::peers::tree::Ref<'_>| value.number().unwrap();
    let updates = found.get("continues").unwrap().items().unwrap();
    updates
        .map(|update| (update.get("lr").unwrap().numbers().unwrap()[0], number(update.get("loss").unwrap())))
        .collect()
}

/// Returns tensors as numbers, in the order of `names`.
pub(super) fn numbers(tensors: &[Named], names: [&str; 4]) -> Weights {
    names.map(|name| {
        let named = tensors.iter().find(|named| named.name == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(named.in_out, named.tensor.shape().len() == 2, "{name}");
        named.tensor.to_f64().unwrap()
    })
}

/// Returns a state of the parameters, in the order of `names`.
pub(super) fn states(peer: &Peer, state: &str, names: [&str; 4]) -> Weights {
    let parameters: Vec<_> =
        peer.optimizers.iter().flat_map(|optimizer| &optimizer.groups).flat_map(|group| &group.parameters).collect();
    names.map(|name| {
        let parameter = parameters.iter().find(|parameter| parameter.name.as_deref() == Some(name)).unwrap();
        let found = parameter.states.iter().find(|(key, _)| key == state);
        found.unwrap_or_else(|| panic!("{name} has no {state}")).1.to_f64().unwrap()
    })
}

/// Continues for as many updates as are expected, and compares the losses. `update` changes a weight, given its number
/// among the four, its place, the gradient and the rate.
pub(super) fn continues(
    mut weights: Weights,
    expected: &[(f64, f64)],
    mut update: impl FnMut(usize, usize, usize, &mut f64, f64, f64),
) {
    let (x, y) = data();
    assert_eq!(expected.len(), 10);
    for (number, (rate, loss)) in expected.iter().enumerate() {
        let (found, gradients) = loss_and_gradients(&weights, &x, &y);
        assert!((found - loss).abs() < 1e-5 * loss.max(1.0), "update {number}: loss {found} where {loss} is due");
        for (index, gradient) in gradients.iter().enumerate() {
            for (place, gradient) in gradient.iter().enumerate() {
                update(number, index, place, &mut weights[index][place], *gradient, *rate);
            }
        }
    }
}

fn data() -> (Vec<f64>, Vec<f64>) {
    let path = format!("{CASES}/data.safetensors");
    let file = safetensors::read(path.as_ref()).unwrap();
    let of = |name: &str| file.tensors.iter().find(|named| named.0 == name).unwrap().1.to_f64().unwrap();
    (of("x"), of("y"))
}

/// The mean squared error of `relu(x w + b) v + c`, with its gradients.
fn loss_and_gradients([w, b, v, c]: &Weights, x: &[f64], y: &[f64]) -> (f64, Weights) {
    let (inputs, units) = SIZES;
    let mut gradients = [vec![0.0; w.len()], vec![0.0; b.len()], vec![0.0; v.len()], vec![0.0; c.len()]];
    let mut loss = 0.0;
    for (x, y) in x.chunks_exact(inputs).zip(y) {
        let hidden: Vec<f64> =
            (0..units).map(|unit| (0..inputs).map(|i| x[i] * w[i * units + unit]).sum::<f64>() + b[unit]).collect();
        let out = hidden.iter().zip(v).map(|(hidden, v)| hidden.max(0.0) * v).sum::<f64>() + c[0];
        loss += (out - y).powi(2);
        let slope = 2.0 * (out - y);
        gradients[3][0] += slope;
        for unit in 0..units {
            gradients[2][unit] += slope * hidden[unit].max(0.0);
            if hidden[unit] > 0.0 {
                gradients[1][unit] += slope * v[unit];
                (0..inputs).for_each(|i| gradients[0][i * units + unit] += slope * v[unit] * x[i]);
            }
        }
    }
    let rows = y.len() as f64;
    gradients.iter_mut().flatten().for_each(|gradient| *gradient /= rows);
    (loss / rows, gradients)
}
