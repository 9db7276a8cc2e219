//! `docs/schedules.md` keeps its word: every schedule on it can be followed, and every kind is on it.

use rekindle::schedule::{RunLength, Schedule, Scheduler, kinds};

const PAGE: &str = include_str!("../docs/schedules.md");
const RUN: RunLength = RunLength { total_steps: Some(1000), steps_per_epoch: 10 };

/// What stands between backticks.
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

/// The schedules of the second column, and those within remarks: what has a kind and parentheses.
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

#[test]
fn the_first_example_is_the_same_in_toml_twice() {
    let mut blocks = PAGE.split("```").filter_map(|block| block.strip_prefix("toml\n"));
    let mut next = || toml::from_str::<toml::Table>(blocks.next().unwrap()).unwrap()["schedule"].clone();
    let (text, data): (Schedule, Schedule) = (next().try_into().unwrap(), next().try_into().unwrap());
    assert_eq!(text, data);
}
