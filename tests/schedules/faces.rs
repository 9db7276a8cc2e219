//! Schedules as data and as text: valid forms, and messages for mistakes.

use rekindle::schedule::{Length, RunLength, Schedule, Unit};

fn printed(text: &str) -> String {
    text.parse::<Schedule>().unwrap().to_string()
}

fn text_error(text: &str) -> String {
    text.parse::<Schedule>().unwrap_err().to_string()
}

fn data_error(json: &str) -> String {
    let message = serde_json::from_str::<Schedule>(json).unwrap_err().to_string();
    message.split(" at line").next().unwrap().to_owned()
}

#[test]
fn text_is_printed_in_one_way() {
    let same = [
        ("warmup(500) -> cosine(9500, eta_min=1e-5)", "warmup( 500 )->cosine(t_max=9500,eta_min=0.00001,)"),
        ("cosine(20, eta_min=1e-3)", "cosine(20, 0.001, \"hold\")"),
        ("constant()", "constant"),
        ("step(5, gamma=0.5, unit=\"epoch\")", "step(5, unit=\"epoch\", gamma=.5)"),
        ("warmup(\"10%\") -> cosine(\"90%\")", "warmup(10%, schedule=cosine(90%))"),
        ("multi_step([5, 20])", "multi_step([5, 20,], gamma=0.1)"),
        ("cosine(10000)", "cosine(1e4)"),
        ("cosine(20)", "cosine(20, k_decay=null)"),
    ];
    for (canonical, other) in same {
        assert_eq!(printed(canonical), canonical);
        assert_eq!(printed(other), canonical);
    }
}

#[test]
fn arrows_between_schedules_of_known_length_are_sequential() {
    let two = "linear(0.01, 1, 10) -> cosine(40)";
    assert_eq!(printed(two), "sequential([10], [linear(start_factor=0.01, total=10), cosine(40)])");
    let four = "warmup(5) -> constant(0.5, 10) -> linear(0.5, 1, 20) -> exponential(0.9)";
    let schedules = "[constant(factor=0.5, total=10), linear(start_factor=0.5, total=20), exponential(0.9)]";
    assert_eq!(printed(four), format!("warmup(5) -> sequential([10, 30], {schedules})"));
    let late = "constant(0.5, \"10%\") -> warmup(\"5%\") -> cosine(\"85%\")";
    assert_eq!(
        printed(late),
        "sequential([\"10%\"], [constant(factor=0.5, total=\"10%\"), warmup(\"5%\") -> cosine(\"85%\")])"
    );
}

#[test]
fn a_schedule_in_rust_is_the_same_as_its_text() {
    let built = [
        (
            Schedule::warmup(500, Schedule::cosine(9500).eta_min(1e-5)).into(),
            "warmup(500) -> cosine(9500, eta_min=1e-5)",
        ),
        (Schedule::step(5).gamma(0.5).unit(Unit::Epoch), "step(5, gamma=0.5, unit=\"epoch\")"),
        (Schedule::cosine(Length::Percent(12.5)).into(), "cosine(\"12.5%\")"),
        (Schedule::multi_step([5, 20]).into(), "multi_step([5, 20])"),
        (Schedule::cyclic([1.0, 0.03]).momentum([0.8, 0.9]).into(), "cyclic([1, 0.03], momentum=[0.8, 0.9])"),
        (Schedule::piecewise([(0, 1.0), (10, 0.5)]).into(), "piecewise([[0, 1], [10, 0.5]])"),
    ];
    for (schedule, text) in built {
        assert_eq!(Schedule::to_string(&schedule), text);
        assert_eq!(text.parse::<Schedule>().unwrap(), schedule);
    }
}

#[test]
fn a_line_of_text_serves_as_data_anywhere() {
    let nested = r#"{"kind": "warmup", "steps": 5, "schedule": "cosine(20)"}"#;
    assert_eq!(serde_json::from_str::<Schedule>(nested).unwrap().to_string(), "warmup(5) -> cosine(20)");
    let toml: toml::Table = toml::from_str("schedule = 'warmup(5) -> cosine(20)'").unwrap();
    let schedule: Schedule = toml["schedule"].clone().try_into().unwrap();
    assert_eq!(schedule.to_string(), "warmup(5) -> cosine(20)");
}

#[test]
fn a_mistake_in_text_is_pointed_at() {
    let mistakes = [
        (
            "warmup(5) -> cosine(20, eta_mn=1e-3)",
            "`cosine` has no parameter `eta_mn`; did you mean `eta_min`?\n\
             \x20 warmup(5) -> cosine(20, eta_mn=1e-3)\n\
             \x20                         ^",
        ),
        (
            "cosin(20)",
            "there is no kind of schedule called `cosin`; did you mean `cosine`? (a user-defined kind must be \
             registered first, with `rekindle::schedule::register`)\n  cosin(20)\n  ^",
        ),
        ("step(5", "expected `,` or `)`, found the end\n  step(5\n        ^"),
        ("step(5) cosine(3)", "expected `->` or the end, found `c`\n  step(5) cosine(3)\n          ^"),
        ("cosine(20,, 3)", "expected a value, found `,`\n  cosine(20,, 3)\n            ^"),
        ("cosine(2x)", "`2x` is not a number\n  cosine(2x)\n         ^"),
        (
            "cosine(-5)",
            "`cosine` takes a whole number, a share such as \"10%\", or an amount such as \"5000 samples\" here, not -5\n  cosine(-5)\n         ^",
        ),
        ("step(gamma=0.1)", "`step` needs `step_size`\n  step(gamma=0.1)\n  ^"),
        ("step(5, step_size=6)", "`step` has been given `step_size` already\n  step(5, step_size=6)\n          ^"),
        ("cosine(20, \"hold)", "this string has no end; close it with `\"`\n  cosine(20, \"hold)\n             ^"),
        (
            "exponential(0.5) -> cosine(20)",
            "it is not clear when `exponential` ends; write `sequential([milestones], [schedules])` instead of an \
             arrow\n  exponential(0.5) -> cosine(20)\n  ^",
        ),
    ];
    for (text, message) in mistakes {
        assert_eq!(text_error(text), message);
    }
}

#[test]
fn a_mistake_in_data_is_named_with_its_place() {
    let mistakes = [
        (r#"{"t_max": 20}"#, "a schedule needs its `kind`, such as kind = \"cosine\""),
        (r#"{"kind": "cosine"}"#, "`cosine` needs `t_max`"),
        (
            r#"{"kind": "step", "stepsize": 4}"#,
            "stepsize: `step` has no parameter `stepsize`; did you mean `step_size`?",
        ),
        (r#"{"kind": "step", "step_size": 4, "gamma": "x"}"#, "gamma: `step` takes a number here, not \"x\""),
        (
            r#"{"kind": "cosine", "t_max": 4, "after": "stop"}"#,
            "after: `cosine` takes one of \"hold\", \"cycle\" here, not \"stop\"",
        ),
        (
            r#"{"kind": "sequential", "milestones": [4], "schedules": [{"kind": "constant"}, {"kind": "cosine"}]}"#,
            "schedules[1]: `cosine` needs `t_max`",
        ),
        (
            r#"{"kind": "multi_step", "milestones": [4, "soon"]}"#,
            "milestones[1]: `multi_step` takes a whole number, a share such as \"10%\", or an amount such as \"5000 samples\" here, not \"soon\"",
        ),
        (
            r#"{"kind": "piecewise", "points": [[0, 1], [5]]}"#,
            "points[1]: `piecewise` takes points of two numbers, [t, factor], here, not [5]",
        ),
        ("5", "`schedule` takes a schedule here, not 5"),
    ];
    for (json, message) in mistakes {
        assert_eq!(data_error(json), message);
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for text in
        ["warmup(1) -> ".repeat(100_000), "chained([".repeat(100_000), "multi_step(".to_owned() + &"[".repeat(100_000)]
    {
        assert!(text_error(&text).contains("more than 100"));
    }
}

/// A run's schedule is written into its configuration and its checkpoints, and must be read back from there. Text of a
/// hundred levels could be read, but was too deep once it was printed, and in a configuration or a checkpoint.
#[test]
fn the_deepest_schedule_that_a_run_takes_comes_back_from_text_json_and_toml() {
    let run = RunLength { total_steps: Some(100), steps_per_epoch: 10 };
    let innermost = || Schedule::from(Schedule::cosine(5));
    let nested = |depth: usize| (1..depth).fold(innermost(), |inner, _| Schedule::chained([inner]).into());
    let arrows: Schedule = ("warmup(1) -> ".repeat(30) + "cosine(1) -> cosine(1)").parse().unwrap();
    for deepest in [nested(32), arrows] {
        deepest.plan(&run, 1).unwrap();
        assert_eq!(deepest.to_string().parse::<Schedule>().unwrap(), deepest);
        let json = serde_json::json!({"config": {"schedule": deepest}}).to_string();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::from_value::<Schedule>(json["config"]["schedule"].clone()).unwrap(), deepest);
        let table = std::collections::BTreeMap::from([("schedule", &deepest)]);
        let table: toml::Table = toml::to_string(&table).unwrap().parse().unwrap();
        assert_eq!(table["schedule"].clone().try_into::<Schedule>().unwrap(), deepest);
    }
    let message = nested(33).plan(&run, 1).unwrap_err().to_string();
    assert!(message.contains("there are more than 32 schedules in one another here"), "{message}");
}

#[test]
fn a_share_needs_a_run_that_ends() {
    let endless = RunLength { total_steps: None, steps_per_epoch: 1 };
    let schedule: Schedule = "cosine(\"10%\")".parse().unwrap();
    assert_eq!(
        schedule.plan(&endless, 1).unwrap_err().to_string(),
        "`cosine`: t_max is \"10%\"; a share needs a run of known length; set its number of steps or give a number here"
    );
}

/// Ten steps are one epoch; the second stage counts its epochs from its own start.
#[test]
fn epochs_and_steps_go_together() {
    let run = RunLength { total_steps: Some(100), steps_per_epoch: 10 };
    let rate = |text: &str, t| text.parse::<Schedule>().unwrap().plan(&run, 1).unwrap().rate(t, 1.0, 0);
    let inner = "warmup(5) -> step(1, gamma=0.5, unit=\"epoch\")";
    assert_eq!([4, 5, 14, 15].map(|t| rate(inner, t)), [0.8, 1.0, 1.0, 0.5]);
    let outer = "warmup(2, unit=\"epoch\") -> step(1, gamma=0.5)";
    assert_eq!([9, 10, 20, 29, 30].map(|t| rate(outer, t)), [0.0, 0.5, 1.0, 1.0, 0.5]);
}
