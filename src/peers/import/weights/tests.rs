use super::*;
use crate::peers::tensor::Tensor;

fn ours() -> Vec<Ours> {
    let tensors = [("0.bias", vec![3]), ("0.weight", vec![3, 2]), ("2.bias", vec![1]), ("2.weight", vec![1, 3])];
    tensors.map(|(name, shape)| Ours { name: name.to_owned(), shape, buffer: false }).to_vec()
}

fn model(tensors: &[(&str, &[usize])], in_order: bool) -> Model {
    let named = |(name, shape): &(&str, &[usize])| {
        Named::new(*name, Tensor::from_f32(shape, &vec![0.0; shape.iter().product()]).unwrap())
    };
    Model { tensors: tensors.iter().map(named).collect(), in_order, tied: Vec::new() }
}

fn pairs(ours: &[Ours], model: &Model) -> Result<Vec<String>, String> {
    let found =
        find(ours, model, &ParamNames::new()).map_err(|Refusal { thing, reason, .. }| format!("{thing}: {reason}"))?;
    Ok(found.matches.iter().map(|found| format!("{} {}", found.ours, model.tensors[found.theirs].name)).collect())
}

#[test]
fn prefixes_are_stripped_whatever_they_are() {
    let own = |prefix: &str| {
        let names = ["0.weight", "0.bias", "2.weight", "2.bias"].map(|name| format!("{prefix}{name}"));
        let shapes: [&[usize]; 4] = [&[3, 2], &[3], &[1, 3], &[1]];
        let tensors: Vec<(&str, &[usize])> = names.iter().map(String::as_str).zip(shapes).collect();
        pairs(&ours(), &model(&tensors, true)).unwrap().len()
    };
    for prefix in ["", "module.", "_orig_mod.module.", "net.", "some.thing."] {
        assert_eq!(own(prefix), 4, "{prefix}");
    }
}

#[test]
fn layers_with_other_names_are_matched_where_shapes_leave_one_choice() {
    let tensors: [(&str, &[usize]); 4] =
        [("out.weight", &[1, 3]), ("out.bias", &[1]), ("hidden.weight", &[3, 2]), ("hidden.bias", &[3])];
    let found = pairs(&ours(), &model(&tensors, true)).unwrap();
    assert_eq!(found, ["2.weight out.weight", "2.bias out.bias", "0.weight hidden.weight", "0.bias hidden.bias"]);
}

#[test]
fn what_shapes_cannot_decide_is_refused_with_the_candidates() {
    let square = |name: &str, shape: Vec<usize>| Ours { name: name.to_owned(), shape, buffer: false };
    let ours = [square("0.weight", vec![3, 3]), square("2.weight", vec![3, 3])];
    let tensors: [(&str, &[usize]); 2] = [("a.weight", &[3, 3]), ("b.weight", &[3, 3])];
    let refused = pairs(&ours, &model(&tensors, false)).unwrap_err();
    assert!(refused.contains("`a`") && refused.contains("`b`") && refused.contains("--param-names"), "{refused}");
    let given = param_names("a.weight = 2.weight\nb.weight = 0.weight");
    let found = find(&ours, &model(&tensors, false), &given).unwrap();
    assert_eq!(found.matches.iter().map(|found| found.theirs).collect::<Vec<_>>(), [1, 0]);
}

fn param_names(lines: &str) -> ParamNames {
    lines.lines().filter_map(|line| line.split_once(" = ")).map(|(a, b)| (a.to_owned(), Some(b.to_owned()))).collect()
}

#[test]
fn another_size_and_a_tensor_too_many_are_refused_by_name() {
    let tensors: [(&str, &[usize]); 5] =
        [("0.weight", &[3, 2]), ("0.bias", &[3]), ("2.weight", &[1, 3]), ("2.bias", &[1]), ("4.weight", &[1, 1])];
    let refused = pairs(&ours(), &model(&tensors, true)).unwrap_err();
    assert!(refused.starts_with("tensor `4.weight`") && refused.contains("no place"), "{refused}");
    let tensors = [("0.weight", &[4, 2][..]), ("0.bias", &[4]), ("2.weight", &[1, 4]), ("2.bias", &[1])];
    let refused = pairs(&ours(), &model(&tensors, true)).unwrap_err();
    assert!(refused.contains("`0.weight`: is [4, 2]") || refused.contains("`0.bias`: is [4]"), "{refused}");
}

#[test]
fn a_gpt2_of_another_order_is_turned_as_a_whole() {
    let name = |part: &str| format!("transformer.h.0.{part}.weight");
    let ours = [("attn.c_attn", vec![2, 6]), ("attn.c_proj", vec![2, 2])].map(|(part, shape)| Ours {
        name: name(part),
        shape,
        buffer: false,
    });
    let names = [name("attn.c_attn"), name("attn.c_proj")];
    let theirs = |first: &[usize]| {
        let found = find(&ours, &model(&[(&names[0], first), (&names[1], &[2, 2])], true), &ParamNames::new());
        found.unwrap().matches.iter().map(|found| found.is_turned).collect::<Vec<_>>()
    };
    assert_eq!((theirs(&[6, 2]), theirs(&[2, 6])), (vec![true, true], vec![false, false]));
}
