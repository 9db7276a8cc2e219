//! Variables of Keras' layers, in the order in which a layer saves them.

use crate::peers::formats::hdf5::Group;
use crate::peers::tree::Ref;

/// A variable of a layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Variable {
    pub(super) name: String,
    /// Whether no optimizer updates it.
    pub(super) buffer: bool,
    /// Whether it is a matrix from its rows to its columns.
    pub(super) in_out: bool,
}

impl Variable {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), buffer: false, in_out: false }
    }

    /// Returns a variable of which only the number is known.
    pub(super) fn unknown(number: usize) -> Self {
        Self::new(&number.to_string())
    }
}

/// Returns the variables of a layer of a class with given settings.
pub(super) fn variables(class: Option<&str>, settings: Option<Ref<'_>>, shapes: &[&[usize]]) -> Vec<Variable> {
    let flag = |key: &str| settings.and_then(|settings| settings.get(key)?.bool()).unwrap_or(true);
    let names: &[&str] = match class {
        Some(
            "Dense" | "EinsumDense" | "Conv1D" | "Conv2D" | "Conv3D" | "Conv1DTranspose" | "Conv2DTranspose"
            | "Conv3DTranspose" | "DepthwiseConv1D" | "DepthwiseConv2D",
        ) => &["kernel", "bias"],
        Some("SeparableConv1D" | "SeparableConv2D") => &["depthwise_kernel", "pointwise_kernel", "bias"],
        Some("SimpleRNNCell" | "LSTMCell" | "GRUCell") => &["kernel", "recurrent_kernel", "bias"],
        Some("Embedding") => &["embeddings"],
        Some("RMSNormalization") => &["scale"],
        Some("PReLU") => &["alpha"],
        Some("LayerNormalization" | "GroupNormalization" | "BatchNormalization") => {
            let is_batch = class == Some("BatchNormalization");
            return normalization(flag("scale"), flag("center"), is_batch, shapes.len());
        }
        Some("Normalization") => &["mean", "variance", "count"],
        Some(_) => &[],
        // An unknown layer with a matrix and a vector of its columns is a dense one.
        None => match shapes {
            [[_, out], [bias]] if out == bias => &["kernel", "bias"],
            _ => &[],
        },
    };
    let named = names.iter().zip(shapes).map(|(name, shape)| Variable {
        name: (*name).to_owned(),
        buffer: class == Some("Normalization"),
        in_out: name.ends_with("kernel") && shape.len() == 2,
    });
    named.collect()
}

fn normalization(scale: bool, center: bool, is_batch: bool, count: usize) -> Vec<Variable> {
    let statistics: &[&str] = if is_batch { &["moving_mean", "moving_variance"] } else { &[] };
    let own = count.saturating_sub(statistics.len());
    let mut names: Vec<&str> =
        [(scale, "gamma"), (center, "beta")].iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    names.truncate(own);
    let trained = names.into_iter().map(Variable::new);
    trained.chain(statistics.iter().map(|name| Variable { buffer: true, ..Variable::new(name) })).collect()
}

/// Layers whose inner layers are all EinsumDense.
const ATTENTION: [&str; 3] = ["MultiHeadAttention", "GroupedQueryAttention", "GroupQueryAttention"];

/// Returns the groups of a layer's inner layers, in the order in which the class makes them.
pub(super) fn nested_order<'a>(class: Option<&str>, groups: &'a [Group]) -> Vec<&'a Group> {
    let order: &[&str] = match class {
        Some(class) if ATTENTION.contains(&class) => &["query_dense", "key_dense", "value_dense", "output_dense"],
        Some("Bidirectional") => &["forward_layer", "backward_layer"],
        _ => &[],
    };
    let rank = |group: &Group| {
        let name = group.name.trim_start_matches('_');
        order.iter().position(|known| *known == name).unwrap_or(order.len())
    };
    let mut groups: Vec<&Group> = groups.iter().filter(|group| group.name != "vars").collect();
    groups.sort_by_key(|group| rank(group));
    groups
}

/// Classes whose folders or automatic names tell them.
const CLASSES: &[&str] = &[
    "Dense",
    "EinsumDense",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNNCell",
    "LSTMCell",
    "GRUCell",
    "Embedding",
    "RMSNormalization",
    "PReLU",
    "LayerNormalization",
    "GroupNormalization",
    "BatchNormalization",
    "Normalization",
    "MultiHeadAttention",
    "GroupedQueryAttention",
    "Bidirectional",
];

/// Returns the class of an inner layer of a layer of a class.
pub(super) fn class_within(class: Option<&str>) -> Option<&'static str> {
    class.filter(|class| ATTENTION.contains(class)).map(|_| "EinsumDense")
}

/// Returns the class whose automatic name this is: `dense_3` is a Dense.
pub(super) fn class_of_name(name: &str) -> Option<String> {
    let base = match name.rsplit_once('_') {
        Some((base, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => name,
    };
    CLASSES.iter().find(|class| snake_case(class) == base).map(|class| (*class).to_owned())
}

/// Returns a class as the name of a folder, by the rule of Keras' `to_snake_case`.
pub(super) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    let mut name = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let next = letters.get(at + 1);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase() || next.is_some_and(char::is_ascii_lowercase) && *before != '_'
            });
        if begins {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_folders_as_in_keras() {
        let names = [
            ("Dense", "dense"),
            ("BatchNormalization", "batch_normalization"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("LSTM", "lstm"),
            ("LSTMCell", "lstm_cell"),
            ("MultiHeadAttention", "multi_head_attention"),
            ("RMSNormalization", "rms_normalization"),
        ];
        names.into_iter().for_each(|(class, name)| assert_eq!(snake_case(class), name));
        assert_eq!(class_of_name("conv2d_transpose_12").as_deref(), Some("Conv2DTranspose"));
        assert_eq!(class_of_name("hidden_1"), None);
    }

    #[test]
    fn statistics_of_a_batch_normalization_are_buffers() {
        let names = |scale, center, count| {
            let variables = normalization(scale, center, true, count);
            variables.into_iter().map(|variable| (variable.name, variable.buffer)).collect::<Vec<_>>()
        };
        let expected =
            |list: &[(&str, bool)]| list.iter().map(|(name, buffer)| ((*name).to_owned(), *buffer)).collect::<Vec<_>>();
        let statistics = [("moving_mean", true), ("moving_variance", true)];
        assert_eq!(names(true, true, 4), expected(&[&[("gamma", false), ("beta", false)][..], &statistics].concat()));
        assert_eq!(names(false, true, 3), expected(&[&[("beta", false)][..], &statistics].concat()));
    }

    #[test]
    fn a_layer_of_an_unknown_class_is_dense_by_its_shapes_alone() {
        let dense = variables(None, None, &[&[10, 32], &[32]]);
        assert!(dense[0].in_out && dense[0].name == "kernel" && dense[1].name == "bias");
        assert!(variables(None, None, &[&[10, 32]]).is_empty());
        assert!(variables(Some("Mine"), None, &[&[10, 32], &[32]]).is_empty());
        assert!(!variables(Some("Embedding"), None, &[&[10, 32]])[0].in_out);
    }
}
