//! Formulas as schedules: their forms, refusals, and sound rates.

use proptest::prelude::*;
use rekindle::schedule::{RunLength, Schedule, Scheduler};

const RUN: RunLength = RunLength { total_steps: Some(100), steps_per_epoch: 10 };

fn start(text: &str) -> Result<Scheduler, String> {
    let schedule: Schedule = text.parse().map_err(|error| format!("{error}"))?;
    Scheduler::new(schedule, vec![0.1, 0.003], RUN).map_err(|error| error.to_string())
}

#[test]
fn a_formula_is_data_text_and_rust() {
    let built: Schedule = Schedule::expr("base * 0.5^(t/100)").into();
    let text = r#"expr("base * 0.5^(t/100)")"#;
    assert_eq!(text.parse::<Schedule>().unwrap(), built);
    assert_eq!(built.to_string(), text);
    let json = r#"{"kind":"expr","formula":"base * 0.5^(t/100)"}"#;
    assert_eq!(serde_json::to_string(&built).unwrap(), json);
    assert_eq!(serde_json::from_str::<Schedule>(json).unwrap(), built);
    let toml = "kind = \"expr\"\nformula = \"base * 0.5^(t/100)\"\n";
    assert_eq!(toml::from_str::<Schedule>(toml).unwrap(), built);
}

#[test]
fn each_group_has_its_own_base() {
    assert_eq!(start(r#"expr("base * 0.5^(t/2)")"#).unwrap().rates_at(4), [0.1 * 0.25, 0.003 * 0.25]);
}

#[test]
fn composed_it_counts_from_its_own_start_in_its_own_unit() {
    let scheduler = start(r#"warmup(10) -> expr("base / (1 + t)", unit="epoch")"#).unwrap();
    assert_eq!([10, 19, 20, 30].map(|t| scheduler.rates_at(t)[0]), [0.1, 0.1, 0.05, 0.1 / 3.0]);
}

#[test]
fn what_is_not_finite_in_the_run_is_refused_with_time_and_value() {
    let message = start(r#"expr("base / (50 - t)")"#).unwrap_err();
    let expected = "the rate of update 50 is inf in group 0, whose base rate is 0.1; \
                    `expr(\"base / (50 - t)\")` must be finite over the whole run";
    assert_eq!(message, expected);
    assert!(start(r#"expr("sqrt(50 - t)")"#).unwrap_err().contains("update 51 is NaN"));
    assert!(start(r#"expr("base / (99 - t)")"#).unwrap_err().contains("update 99 is inf"));
    assert!(start(r#"expr("ln(base - 0.003)")"#).unwrap_err().contains("update 0 is -inf in group 1"));
}

#[test]
fn only_the_times_at_which_a_formula_is_in_force_count() {
    assert!(start(r#"expr("base / (100 - t)")"#).is_ok());
    assert!(start(r#"sequential([50], [expr("sqrt(50 - t)"), constant])"#).is_ok());
    assert!(start(r#"sequential([50], [constant, expr("sqrt(50 - t)")])"#).is_ok());
}

#[test]
fn in_a_long_run_the_ends_are_looked_at() {
    let run = RunLength { total_steps: Some(10_000_000_000), steps_per_epoch: 1 };
    let start = |formula: &str| Scheduler::new(Schedule::expr(formula), vec![0.1], run).map(drop);
    assert!(start("1 / t").unwrap_err().to_string().contains("update 0 is inf"));
    assert!(start("1 / (t - 9999999999)").unwrap_err().to_string().contains("update 9999999999 is inf"));
    assert!(start("base").is_ok());
}

#[test]
fn a_number_is_no_formula() {
    let message = "expr(0.5)".parse::<Schedule>().unwrap_err().to_string();
    assert_eq!(message, "`expr` takes text in quotes here, not 0.5\n  expr(0.5)\n       ^");
}

/// Pieces of formulas; many random combinations are valid.
fn formula() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "t", "base", "pi", "1", "1e300", "1e-3", ".5", "+", "-", "*", "/", "%", "^", "(", ")", ",", "sqrt(", "exp(",
        "ln(", "tan(", "tanh(", "min(", "max(", "pow(", " ",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_formula_is_followed_soundly_or_refused(formula in formula(), t in any::<u64>(), base in 0.0..1e308) {
        if let Ok(plan) = Schedule::from(Schedule::expr(formula)).plan(&RUN, 1) {
            let rate = plan.rate(t, base, 0);
            prop_assert!(rate.is_finite() && rate >= 0.0, "{}", rate);
            prop_assert_eq!(plan.rate(t, base, 0).to_bits(), rate.to_bits());
        }
    }

    #[test]
    fn any_text_is_a_formula_or_refused(text in ".{0,60}") {
        let _ = Schedule::from(Schedule::expr(text)).plan(&RUN, 1);
    }
}
