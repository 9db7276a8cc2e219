use super::*;

fn candidates(all: &[(&str, &[usize])]) -> Vec<Candidate> {
    all.iter().map(|(name, shape)| Candidate { name: (*name).to_owned(), shape: shape.to_vec() }).collect()
}

fn mlp() -> Vec<Candidate> {
    candidates(&[("0.weight", &[4, 4]), ("0.bias", &[4]), ("2.weight", &[4, 4]), ("2.bias", &[4])])
}

fn group(weight_decay: f64, shapes: &[Option<&[usize]>]) -> Ids {
    let id = |(index, shape): (usize, &Option<&[usize]>)| Id {
        id: index.to_string(),
        name: None,
        shape: shape.map(<[usize]>::to_vec),
    };
    Ids { ids: shapes.iter().enumerate().map(id).collect(), weight_decay }
}

const MATRIX: Option<&[usize]> = Some(&[4, 4]);
const VECTOR: Option<&[usize]> = Some(&[4]);

#[test]
fn one_group_is_the_order_of_registration() {
    let names = name(&[group(0.1, &[MATRIX, VECTOR, MATRIX, VECTOR])], &mlp(), Trainer::PyTorch).unwrap();
    assert_eq!(names, [["0.weight", "0.bias", "2.weight", "2.bias"]]);
}

#[test]
fn groups_of_other_shapes_are_told_by_them_whichever_is_first() {
    let (matrices, vectors) = (group(0.1, &[MATRIX, MATRIX]), group(0.0, &[VECTOR, VECTOR]));
    let names = name(&[vectors, matrices], &mlp(), Trainer::PyTorch).unwrap();
    assert_eq!(names, [["0.bias", "2.bias"], ["0.weight", "2.weight"]]);
}

#[test]
fn a_group_for_each_layer_of_one_shape_cannot_be_told() {
    let layer = group(0.1, &[MATRIX, VECTOR]);
    let refused = name(&[layer.clone(), layer], &mlp(), Trainer::PyTorch).unwrap_err();
    assert!(refused.reason.contains("more than one assignment") && refused.reason.contains("--param-names"));
}

#[test]
fn without_states_only_a_trainer_that_divides_by_decay_decides() {
    let groups = [group(0.1, &[None, None]), group(0.0, &[None, None])];
    assert!(name(&groups, &mlp(), Trainer::PyTorch).is_err());
    let names = name(&groups, &mlp(), Trainer::Transformers).unwrap();
    assert_eq!(names, [["0.weight", "2.weight"], ["0.bias", "2.bias"]]);
}

#[test]
fn transformers_divides_by_decay_also_where_the_decay_is_zero() {
    let groups = [group(0.0, &[None, None]), group(0.0, &[None, None])];
    let names = name(&groups, &mlp(), Trainer::Transformers).unwrap();
    assert_eq!(names, [["0.weight", "2.weight"], ["0.bias", "2.bias"]]);
    assert!(name(&groups, &mlp(), Trainer::Timm).is_err());
}

#[test]
fn a_parameter_without_an_id_is_passed_over_where_only_one_can_be() {
    let all = candidates(&[("a", &[2]), ("b", &[3]), ("c", &[2])]);
    assert_eq!(name(&[group(0.0, &[Some(&[3]), Some(&[2])])], &all, Trainer::PyTorch).unwrap(), [["b", "c"]]);
    assert!(name(&[group(0.0, &[Some(&[2])])], &all, Trainer::PyTorch).is_err());
}

#[test]
fn states_of_other_shapes_and_too_many_ids_are_refused() {
    let refused = name(&[group(0.0, &[MATRIX, MATRIX, MATRIX, VECTOR])], &mlp(), Trainer::PyTorch).unwrap_err();
    assert!(refused.reason.contains("other shapes"), "{refused:?}");
    let refused = name(&[group(0.0, &[None; 5])], &mlp(), Trainer::PyTorch).unwrap_err();
    assert!(refused.reason.contains("has 5 parameters") && refused.reason.contains("has 4"), "{refused:?}");
}

#[test]
fn names_in_the_file_count_more_than_the_order() {
    let mut groups = [group(0.0, &[VECTOR, MATRIX, VECTOR, MATRIX])];
    for (id, name) in groups[0].ids.iter_mut().zip(["2.bias", "2.weight", "0.bias", "0.weight"]) {
        id.name = Some(name.to_owned());
    }
    let names = name(&groups, &mlp(), Trainer::PyTorch).unwrap();
    assert_eq!(names, [["2.bias", "2.weight", "0.bias", "0.weight"]]);
    groups[0].ids[0].name = Some("2.weight".to_owned());
    assert!(name(&groups, &mlp(), Trainer::PyTorch).unwrap_err().reason.contains("twice"));
}
