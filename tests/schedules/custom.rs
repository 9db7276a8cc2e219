//! User-defined schedules: registered by name, and then used like those of the catalogue.

use std::sync::Once;

use crate::common::example;
use rekindle::schedule::{CustomError, CustomSchedule, RunLength, Schedule, Scheduler, Unit, register};
use rekindle::state::{State, Stateful};
use serde::{Deserialize, Serialize};

const RUN: RunLength = RunLength { total_steps: Some(100), steps_per_epoch: 10 };

/// `base * factors[t % period]`, and on request negative or NaN.
#[derive(Debug, Serialize, Deserialize)]
struct Pulse {
    period: u64,
    #[serde(default)]
    factors: Vec<f64>,
    #[serde(default)]
    invert: bool,
    #[serde(default)]
    label: Option<String>,
}

impl Pulse {
    fn new(period: u64, factors: &[f64]) -> Self {
        Self { period, factors: factors.to_vec(), invert: false, label: None }
    }
}

impl CustomSchedule for Pulse {
    fn rate(&self, t: u64, base: f64, group: usize) -> f64 {
        let factor = self.factors[(t % self.period) as usize] * (group + 1) as f64;
        if self.invert { -base * factor } else { base * factor }
    }

    fn check(&self) -> Result<(), String> {
        let lengths = (self.period, self.factors.len());
        if lengths.0 as usize == lengths.1 && lengths.0 > 0 {
            return Ok(());
        }
        Err(format!(
            "period is {} and there are {} factors; there must be one for each update of it",
            lengths.0, lengths.1
        ))
    }
}

fn registered() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| register::<Pulse>("pulse").unwrap());
}

fn parse(text: &str) -> Result<Schedule, String> {
    registered();
    text.parse().map_err(|error: rekindle::schedule::ScheduleError| error.to_string())
}

fn scheduler(text: &str) -> Scheduler {
    Scheduler::new(parse(text).unwrap(), vec![1.0, 0.5], RUN).unwrap()
}

#[test]
fn it_has_three_faces_like_the_others() {
    registered();
    let built = Schedule::custom(Pulse::new(2, &[1.0, 0.1])).unwrap();
    let text = "pulse(period=2, factors=[1, 0.1], invert=false)";
    assert_eq!(built.to_string(), text);
    assert_eq!(built.kind(), "pulse");
    for same in [text, "pulse(2, [1, 0.1])", "pulse(2e0, [1, 0.1], label=null)"] {
        assert_eq!(parse(same).unwrap(), built, "{same}");
    }
    let json = serde_json::to_string(&built).unwrap();
    assert_eq!(json, r#"{"kind":"pulse","period":2,"factors":[1.0,0.1],"invert":false}"#);
    assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), built);
    assert_eq!(toml::from_str::<Schedule>(&toml::to_string(&built).unwrap()).unwrap(), built);
    let labelled = parse(r#"pulse(2, [1, 0.1], label="a \"b\"")"#).unwrap();
    assert_eq!(parse(&labelled.to_string()).unwrap(), labelled);
    assert_ne!(labelled, built);
}

#[test]
fn it_composes_and_counts_like_the_others() {
    let plan = |text: &str| parse(text).unwrap().plan(&RUN, 2).unwrap();
    let rates = |text: &str, ts: [u64; 4]| ts.map(|t| plan(text).rate(t, 1.0, 0));
    assert_eq!(rates("warmup(2) -> pulse(2, [1, 0.5])", [1, 2, 3, 4]), [0.5, 1.0, 0.5, 1.0]);
    assert_eq!(rates("chained([pulse(2, [1, 0.5]), exponential(0.5)])", [0, 1, 2, 3]), [1.0, 0.25, 0.25, 0.0625]);
    assert_eq!(rates("pulse(2, [1, 0.5], unit=\"epoch\")", [0, 9, 10, 20]), [1.0, 1.0, 0.5, 1.0]);
    registered();
    let epochs = Schedule::custom(Pulse::new(2, &[1.0, 0.5])).unwrap().unit(Unit::Epoch);
    assert_eq!(parse(&epochs.to_string()).unwrap(), epochs);
    assert_eq!(plan("pulse(1, [1])").rate(0, 1.0, 1), 2.0);
    assert_eq!(plan("per_group([constant, pulse(1, [1])])").rate(0, 1.0, 1), 1.0);
}

#[test]
fn it_is_saved_and_resumed_like_the_others() {
    let text = "warmup(5) -> pulse(3, [1, 0.3, 0.1])";
    let mut before = scheduler(text);
    (0..17).for_each(|_| before.advance());
    let file = serde_json::to_string(&before.save().unwrap().json).unwrap();
    let mut after = scheduler(text);
    after.load(&State::from_json(serde_json::from_str(&file).unwrap())).unwrap();
    assert_eq!(after.t(), 17);
    assert!(after.differences().is_empty());
    for t in 0..100 {
        assert_eq!(after.rates_at(t), before.rates_at(t));
    }
}

#[test]
fn a_changed_one_is_reported_of() {
    let mut before = scheduler("pulse(1, [1])");
    before.advance();
    let mut after = scheduler("pulse(1, [0.5])");
    after.load(&before.save().unwrap()).unwrap();
    let was = "the schedule was pulse(period=1, factors=[1], invert=false) \
               and is pulse(period=1, factors=[0.5], invert=false)";
    assert_eq!(after.differences(), [was]);
}

#[test]
fn a_name_that_is_not_registered_in_a_checkpoint_is_explained() {
    let scheduler = scheduler("pulse(1, [1])");
    let mut state = scheduler.save().unwrap();
    state.json["spec"]["kind"] = "puls".into();
    let message = scheduler.check(&state).unwrap_err().to_string();
    let expected = "there is no kind of schedule called `puls`; did you mean `pulse`? (a user-defined kind must be \
                    registered first, with `rekindle::schedule::register`)";
    assert!(message.contains(expected), "{message}");
    let message = parse("zzz").unwrap_err();
    assert!(message.contains("`constant`") && message.contains("`pulse`"), "{message}");
}

#[test]
fn mistakes_are_pointed_at() {
    let mistakes = [
        ("pulse(2, [1, x])", "there is no kind of schedule called `x`"),
        ("pulse(2, perod=3)", "`pulse` has no parameter `perod`; did you mean `period`?"),
        ("pulse(factors=[1])", "`pulse`: `period` is missing\n  pulse(factors=[1])\n  ^"),
        ("pulse(2.5, [1])", "`pulse`: must be a whole number, at least 0, not 2.5\n  pulse(2.5, [1])\n        ^"),
        ("pulse(1, [nan])", "`pulse` takes a finite number here, not nan\n  pulse(1, [nan])\n           ^"),
        ("pulse(1, [1], label=cosine(3))", "`pulse` takes a number, a text, true, false, or a list of them here"),
    ];
    for (text, expected) in mistakes {
        let message = parse(text).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
    let json = r#"{"kind": "warmup", "steps": 3, "schedule": {"kind": "pulse", "period": 2, "factors": [1, "x"]}}"#;
    let message = serde_json::from_str::<Schedule>(json).unwrap_err().to_string();
    assert!(message.starts_with("schedule.factors[1]: `pulse`: must be a number, not \"x\""), "{message}");
}

#[test]
fn what_it_says_of_its_parameters_is_passed_on_with_the_place() {
    let refusal = parse("warmup(3) -> pulse(2, [1])").unwrap().plan(&RUN, 1).unwrap_err().to_string();
    let says = "period is 2 and there are 1 factors; there must be one for each update of it";
    assert_eq!(refusal, format!("`pulse` at schedule: {says}"));
}

#[test]
fn no_unsound_rate_is_handed_out() {
    let plan = |text: &str| parse(text).unwrap().plan(&RUN, 1).unwrap();
    assert_eq!(plan("pulse(1, [1], invert=true)").rate(0, 1.0, 0), 0.0);
    assert_eq!(plan("pulse(1, [1e300])").rate(0, 1e300, 0), f64::MAX);
    let refusal = Scheduler::new(parse("pulse(2, [1, 1e300])").unwrap(), vec![1e300], RUN).unwrap_err().to_string();
    assert!(refusal.starts_with("the rate of update 1 is inf in group 0"), "{refusal}");
}

macro_rules! constant_one {
    ($($(#[$attribute:meta])* $Name:ident $body:tt)*) => {
        $(#[derive(Debug, Serialize, Deserialize)]
        $(#[$attribute])*
        struct $Name $body

        impl CustomSchedule for $Name {
            fn rate(&self, _t: u64, _base: f64, _group: usize) -> f64 {
                1.0
            }
        })*
    };
}

constant_one! {
    Nothing {}
    Again {}
    Never {}
    Takes { kind: u64 }
    Inner {}
    Nested { inner: Inner }
    Precise { x: f64 }
    #[serde(transparent)]
    Bare { x: f64 }
}

#[test]
fn a_name_means_one_type_and_a_type_has_one_name() {
    registered();
    register::<Nothing>("nothing").unwrap();
    assert_eq!(parse("nothing()").unwrap(), Schedule::custom(Nothing {}).unwrap());
    let twice = "is registered already, for schedules::custom::";
    assert!(
        register::<Nothing>("nothing_else").unwrap_err().to_string().contains(&format!("`nothing` {twice}Nothing"))
    );
    assert!(register::<Again>("pulse").unwrap_err().to_string().contains(&format!("`pulse` {twice}Pulse")));
    for taken in ["cosine", "expr", "true", "inf"] {
        assert_eq!(register::<Again>(taken), Err(CustomError::Taken(taken.to_owned())));
    }
    for bad in ["", "a-b", "2fast", "über", "a b"] {
        assert_eq!(register::<Again>(bad), Err(CustomError::Name(bad.to_owned())));
    }
    let message = Schedule::custom(Never {}).unwrap_err().to_string();
    assert!(message.contains("register::<schedules::custom::Never>(\"name\")` first"), "{message}");
}

#[test]
fn what_could_not_be_saved_is_refused() {
    assert!(register::<Takes>("takes").unwrap_err().to_string().contains("its field `kind` has a meaning already"));
    assert!(register::<Bare>("bare").unwrap_err().to_string().contains("a struct with named fields"));
    register::<Nested>("nested").unwrap();
    let message = Schedule::custom(Nested { inner: Inner {} }).unwrap_err().to_string();
    assert!(message.contains("`nested` cannot be saved: inner: a table cannot be written as text"), "{message}");
    register::<Precise>("precise").unwrap();
    for x in [0.1, 1.0 / 3.0, f64::MIN_POSITIVE, f64::MAX, 40.0, -0.0, -3.0] {
        let schedule = Schedule::custom(Precise { x }).unwrap();
        assert_eq!(parse(&schedule.to_string()).unwrap(), schedule);
    }
    let message = Schedule::custom(Precise { x: f64::NAN }).unwrap_err().to_string();
    assert!(message.contains("could not be read again"), "{message}");
}

#[test]
fn the_example_runs() {
    let output = example("own_schedule").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rates = String::from_utf8(output.stdout).unwrap();
    assert_eq!(rates.lines().count(), 24);
    assert!(rates.contains(" 8  0.06250\n"), "{rates}");
}
