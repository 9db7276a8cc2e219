//! `docs/schedules.md` is correct: every schedule on it can be followed, every kind is on it, and its pictures show its
//! examples.
//!
//! The pictures are drawn here. `REKINDLE_DRAW=1 cargo test --test schedules docs` rewrites them; without it an
//! outdated picture is a failure.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rekindle::report::chart::{Chart, Size};
use rekindle::report::pictures;
use rekindle::schedule::{RunLength, Schedule, Scheduler, Trajectory, kinds};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/schedules.md");
const RUN: RunLength = RunLength { total_steps: Some(1000), steps_per_epoch: 10 };

/// Returns the text between backticks.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The cells of all rows of tables whose second column is called `here`.
fn rows() -> Vec<Vec<&'static str>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in PAGE.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        inside = line.starts_with('|') && (inside || cells.get(1) == Some(&"here"));
        if inside && !cells.contains(&"here") && !line.starts_with("|---") {
            rows.push(cells);
        }
    }
    rows
}

/// The schedules of the second column, and those in remarks: text with a kind and parentheses.
fn snippets() -> Vec<&'static str> {
    let is_schedule = |code: &&str| kinds::NAMES.iter().any(|name| code.starts_with(&format!("{name}(")));
    let remarks =
        |cells: &Vec<&'static str>| cells.get(2).copied().into_iter().flat_map(code).filter(is_schedule).collect();
    let of_row = |cells: &Vec<&'static str>| [code(cells[1]).collect::<Vec<_>>(), remarks(cells)].concat();
    rows().iter().flat_map(of_row).collect()
}

fn follow(text: &str) {
    let schedule: Schedule = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let groups = if text.starts_with("per_group") { 2 } else { 1 };
    let mut scheduler = Scheduler::new(schedule, vec![0.1; groups], RUN).unwrap_or_else(|error| panic!("{error}"));
    for metric in 0..1000 {
        let rates = scheduler.rates();
        assert!(rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0), "{text}: {rates:?}");
        scheduler.advance();
        scheduler.report(f64::from(metric % 7));
    }
}

#[test]
fn every_schedule_on_the_page_can_be_followed() {
    let snippets = snippets();
    assert!(snippets.len() > 90, "{}", snippets.len());
    snippets.into_iter().for_each(follow);
}

#[test]
fn every_row_shows_one() {
    for cells in rows() {
        assert_eq!(cells.len(), 3, "{cells:?}");
        assert_eq!(code(cells[1]).count(), 1, "{cells:?}");
    }
}

#[test]
fn every_kind_is_on_the_page_with_an_example() {
    for name in kinds::NAMES {
        let is_of_kind =
            |cells: &Vec<&str>| cells[0] == format!("`{name}`") && cells[1].starts_with(&format!("`{name}("));
        assert!(rows().iter().any(is_of_kind), "{name} is missing in the catalogue");
    }
}

/// The parameters of a kind with their defaults, as the brackets at the end of its row have them.
fn parameters(kind: &str) -> Vec<(&'static str, Option<&'static str>)> {
    let row = rows().into_iter().find(|cells| cells[0] == format!("`{kind}`")).unwrap();
    let (_, brackets) = row[2].strip_suffix(')').unwrap().rsplit_once('(').unwrap();
    let parts = brackets.split(", ").map(|part| part.split_once(' ').map_or((part, None), |(a, b)| (a, Some(b))));
    parts.collect()
}

/// A default as JSON; the first one if there are several words.
fn value(default: &str) -> Value {
    match default.split(" or ").next().unwrap() {
        "none" => Value::Null,
        "1/3" => (1.0 / 3.0).into(),
        word => serde_json::from_str(word).unwrap(),
    }
}

#[test]
fn the_brackets_hold_all_parameters_in_order_with_their_defaults() {
    for kind in kinds::NAMES {
        let parameters = parameters(kind);
        let known = format!("{kind}(no_such_parameter=1)").parse::<Schedule>().unwrap_err().to_string();
        let (_, known) = known.split_once("; there is ").unwrap();
        let expected = parameters.iter().map(|(name, _)| format!("`{name}`")).chain(["`unit`".to_owned()]);
        let listed = known.lines().next().unwrap();
        assert_eq!(listed, expected.collect::<Vec<_>>().join(", "), "{kind}");
        // An example with a default written out equals the example without it.
        let table = serde_json::to_value(example(kind).parse::<Schedule>().unwrap()).unwrap();
        let with = |name: &str, value: Option<Value>| {
            let mut table = table.clone();
            table.as_object_mut().unwrap().remove(name);
            value.map(|value| table.as_object_mut().unwrap().insert(name.to_owned(), value));
            serde_json::from_value::<Schedule>(table)
        };
        for (name, default) in parameters {
            match default {
                Some(default) => assert_eq!(with(name, Some(value(default))).unwrap(), with(name, None).unwrap()),
                None => assert!(with(name, None).is_err(), "`{kind}` does not need `{name}`"),
            }
            let words = default.into_iter().flat_map(|default| default.split(" or ").skip(1));
            words.for_each(|word| assert!(with(name, Some(value(word))).is_ok(), "{kind}: {name} {word}"));
        }
    }
}

#[test]
fn the_first_example_is_the_same_in_toml_twice() {
    let mut blocks = PAGE.split("```").filter_map(|block| block.strip_prefix("toml\n"));
    let mut next = || toml::from_str::<toml::Table>(blocks.next().unwrap()).unwrap()["schedule"].clone();
    let (text, data): (Schedule, Schedule) = (next().try_into().unwrap(), next().try_into().unwrap());
    assert_eq!(text, data);
}

/// The example of a kind in the catalogue, which comes first on the page.
fn example(kind: &str) -> &'static str {
    let cells = rows().into_iter().find(|cells| cells[0] == format!("`{kind}`")).unwrap();
    code(cells[1]).next().unwrap()
}

/// A made-up loss after update `t`: it falls, stays for a while, falls again, and stays.
fn loss(t: u32) -> f64 {
    let improvements = t.min(35) + t.clamp(60, 75) - 60;
    2.0 - 0.02 * f64::from(improvements)
}

/// An example over 120 updates from a base rate of 0.1. `inverse_sqrt` needs more of them to show its fall.
fn picture(kind: &str) -> Chart {
    let schedule: Schedule = example(kind).parse().unwrap();
    let steps = if kind == "inverse_sqrt" { 5000 } else { 120 };
    let run = RunLength { total_steps: Some(steps), steps_per_epoch: 10 };
    let base_lrs = if kind == "per_group" { vec![0.1; 2] } else { vec![0.1] };
    let metrics: Vec<f64> = (0..120).map(loss).collect();
    let trajectory = Trajectory::new(&schedule, &base_lrs, run, steps, &metrics).unwrap();
    Chart {
        y_label: String::new(),
        x_label: String::new(),
        size: Size { width: 300, height: 180 },
        phases: pictures::phases(&schedule, &run, steps),
        ..pictures::of_trajectory("", &trajectory, &[], false)
    }
}

#[test]
fn every_kind_has_a_picture_that_shows_what_its_example_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
    if std::env::var_os("REKINDLE_DRAW").is_some() {
        fs::create_dir_all(&folder).unwrap();
        kinds::NAMES.iter().for_each(|kind| {
            fs::write(folder.join(format!("{kind}.svg")), picture(kind).to_svg()).unwrap();
        });
    }
    for kind in kinds::NAMES {
        let shown = fs::read_to_string(folder.join(format!("{kind}.svg"))).unwrap_or_default();
        assert!(shown == picture(kind).to_svg(), "{kind}.svg is stale; rewrite it with REKINDLE_DRAW=1");
        assert!(shown.len() < 16_000, "{kind}.svg has {} bytes", shown.len());
        let cell = format!("![{kind}](pictures/{kind}.svg)<br>`{}`", example(kind));
        assert!(PAGE.contains(&cell), "the page lacks {cell}");
    }
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let expected: BTreeSet<String> = kinds::NAMES.iter().map(|kind| format!("{kind}.svg")).collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), expected);
}
