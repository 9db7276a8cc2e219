//! Values of a file as settings and as text: numbers and words are kept, everything else is described within bounds.

use crate::peers::peer::Setting;
use crate::peers::tree::{Ref, Value};

/// Most settings that are read of one holder.
const MOST_SETTINGS: usize = 2000;
/// Most numbers that a setting may have; milestones have a few.
const MOST_NUMBERS: usize = 1024;
/// Most characters that a value has as text.
const MOST_CHARACTERS: usize = 200;
/// Levels of values inside values that are shown.
const MOST_LEVELS: usize = 4;

/// Returns a value as a setting.
pub(super) fn setting(value: Ref<'_>) -> Setting {
    match value.value() {
        Value::Null => Setting::Null,
        Value::Bool(flag) => Setting::Bool(*flag),
        Value::Text(word) => Setting::Text(word.clone()),
        Value::List(items) | Value::Tuple(items) if items.len() > MOST_NUMBERS => Setting::Other(text(value)),
        Value::Tensor(tensor) if tensor.elements() > MOST_NUMBERS => Setting::Other(text(value)),
        Value::Object(object) if object.items.len() > MOST_NUMBERS => Setting::Other(text(value)),
        _ => None
            .or_else(|| value.number().map(Setting::Number))
            .or_else(|| value.numbers().map(Setting::Numbers))
            .or_else(|| counted(value).map(Setting::Numbers))
            .or_else(|| partly(value).map(Setting::Partly))
            .or_else(|| member(value).map(|word| Setting::Text(word.to_owned())))
            .unwrap_or_else(|| Setting::Other(text(value))),
    }
}

/// Returns the entries of a dict or the attributes of an object as settings, but those named in `but`.
pub(super) fn settings(holder: Ref<'_>, but: &[&str]) -> Vec<(String, Setting)> {
    let entries = holder.attributes().into_iter().flatten().take(MOST_SETTINGS);
    let named = entries.filter_map(|(key, value)| Some((key.text()?, value)));
    named.filter(|(key, _)| !but.contains(key)).map(|(key, value)| (key.to_owned(), setting(value))).collect()
}

/// Returns the text of a setting.
pub(super) fn words(setting: &Setting) -> String {
    match setting {
        Setting::Null => "null".to_owned(),
        Setting::Bool(flag) => flag.to_string(),
        Setting::Number(number) => number_text(*number),
        Setting::Numbers(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(|number| number_text(*number)).collect();
            format!("[{}]", numbers.join(", "))
        }
        Setting::Partly(numbers) => {
            let number = |number: &Option<f64>| number.map_or_else(|| "null".to_owned(), number_text);
            format!("[{}]", numbers.iter().map(number).collect::<Vec<_>>().join(", "))
        }
        Setting::Text(word) | Setting::Other(word) => word.clone(),
    }
}

/// Returns the word of a member of an `Enum`, which a pickle makes from its value.
pub(super) fn member(value: Ref<'_>) -> Option<&str> {
    let object = value.object()?;
    match object.arguments.as_slice() {
        [word] if object.state.is_none() && object.entries.is_empty() => value.other(*word).text(),
        _ => None,
    }
}

/// Returns the items of a list, or of a class of the kind that keeps them in its attribute `items`.
pub(super) fn list(value: Ref<'_>) -> Vec<Ref<'_>> {
    match value.items() {
        Some(items) => items.collect(),
        None => value.get("items").and_then(Ref::items).into_iter().flatten().collect(),
    }
}

/// Returns the keys of a `Counter` of numbers, each as often as it was counted, in rising order: milestones.
fn counted(value: Ref<'_>) -> Option<Vec<f64>> {
    let mut numbers = Vec::new();
    for (key, count) in value.entries().filter(|entries| (1..=MOST_NUMBERS).contains(&entries.len()))? {
        let (key, count) = (key.number()?, usize::try_from(count.int()?).ok()?);
        if count > MOST_NUMBERS - numbers.len() {
            return None;
        }
        numbers.extend(std::iter::repeat_n(key, count));
    }
    numbers.sort_by(f64::total_cmp);
    Some(numbers)
}

/// Returns the numbers of a list in which some have no value.
fn partly(value: Ref<'_>) -> Option<Vec<Option<f64>>> {
    let items = value.items()?.map(|item| if item.is_null() { Some(None) } else { item.number().map(Some) });
    items.collect::<Option<Vec<Option<f64>>>>().filter(|numbers| numbers.iter().any(Option::is_some))
}

/// Returns a value in a few words.
pub(super) fn text(value: Ref<'_>) -> String {
    let mut out = String::new();
    write(&mut out, value, MOST_LEVELS);
    if out.chars().count() > MOST_CHARACTERS {
        out = out.chars().take(MOST_CHARACTERS).collect();
        out.push('…');
    }
    out
}

fn write(out: &mut String, value: Ref<'_>, levels: usize) {
    if out.len() > 4 * MOST_CHARACTERS {
        return;
    }
    match value.value() {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(&flag.to_string()),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::BigInt(digits) => out.extend(digits.chars().take(MOST_CHARACTERS)),
        Value::Float(number) => out.push_str(&number_text(*number)),
        Value::Text(word) => out.extend(word.chars().take(MOST_CHARACTERS)),
        Value::Bytes(bytes) => out.push_str(&format!("{} bytes", bytes.len())),
        Value::Tensor(tensor) => match tensor.scalar() {
            Some(number) => out.push_str(&number_text(number)),
            None => out.push_str(&format!("{} {:?}", tensor.dtype(), tensor.shape())),
        },
        _ if levels == 0 => out.push('…'),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
            write_list(out, ('[', ']'), items.iter().map(|item| value.other(*item)), levels);
        }
        Value::Dict(entries) => {
            out.push('{');
            for (index, (key, item)) in entries.iter().take(MOST_CHARACTERS).enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write(out, value.other(*key), levels - 1);
                out.push_str(": ");
                write(out, value.other(*item), levels - 1);
            }
            out.push('}');
        }
        Value::Object(object) => {
            out.extend(object.class.chars().take(MOST_CHARACTERS));
            let parts = object.arguments.iter().chain(&object.items).chain(&object.state);
            write_list(out, ('(', ')'), parts.map(|part| value.other(*part)), levels);
        }
    }
}

fn write_list<'a>(out: &mut String, (open, close): (char, char), items: impl Iterator<Item = Ref<'a>>, levels: usize) {
    out.push(open);
    for (index, item) in items.take(MOST_CHARACTERS).enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        write(out, item, levels - 1);
    }
    out.push(close);
}

/// Returns a number in the shortest form that reads back as the same.
fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 { format!("{number:.0}") } else { format!("{number:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::trainers::testing::Maker;
    use crate::peers::tree::Object;

    #[test]
    fn numbers_words_and_members_are_kept_and_others_are_told() {
        let mut maker = Maker::default();
        let (first, second) = (maker.float(0.9), maker.float(0.999));
        let betas = maker.add(Value::Tuple(vec![first, second]));
        let word = maker.text("cosine");
        let member = maker.add(Value::from(Object {
            class: "transformers.trainer_utils.SchedulerType".to_owned(),
            arguments: vec![word],
            ..Object::default()
        }));
        let mixed = maker.add(Value::List(vec![first, word]));
        let nothing = maker.add(Value::Null);
        let eps = maker.add(Value::Tuple(vec![nothing, first]));
        assert_eq!(setting(maker.tree.at(eps)), Setting::Partly(vec![None, Some(0.9)]));
        assert_eq!(setting(maker.tree.at(betas)), Setting::Numbers(vec![0.9, 0.999]));
        assert_eq!(setting(maker.tree.at(member)), Setting::Text("cosine".to_owned()));
        assert_eq!(setting(maker.tree.at(mixed)), Setting::Other("[0.9, cosine]".to_owned()));
        assert_eq!((number_text(1e-8), number_text(30.0)), ("1e-8".to_owned(), "30".to_owned()));
    }

    #[test]
    fn milestones_that_are_counted_are_repeated_and_in_order() {
        let mut maker = Maker::default();
        let entries = [(14, 1), (6, 2)].map(|(key, count)| (maker.int(key), maker.int(count)));
        let milestones = maker.add(Value::Dict(entries.to_vec()));
        assert_eq!(setting(maker.tree.at(milestones)), Setting::Numbers(vec![6.0, 6.0, 14.0]));
    }

    #[test]
    fn a_value_inside_itself_is_told_within_bounds() {
        let mut maker = Maker::default();
        let list = maker.add(Value::List(Vec::new()));
        *maker.tree.at_mut(list) = Value::List(vec![list; 1000]);
        assert!(text(maker.tree.at(list)).chars().count() <= MOST_CHARACTERS + 1);
    }
}
