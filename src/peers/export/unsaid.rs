//! Parameters of our schedules that the classes of PyTorch lack, and that our functions for `LambdaLR` do not say either.

use serde_json::{Value, json};

use super::error::ExportError;

/// Refuses a schedule that uses one of them, at any depth, rather than leaving it out.
pub(super) fn refuse(table: &Value) -> Result<(), ExportError> {
    match table {
        Value::Object(entries) => {
            let kind = entries.get("kind").and_then(Value::as_str).unwrap_or_default();
            if let Some((name, value)) = entries.iter().find(|(name, value)| !is_said(kind, name, value)) {
                let reason = "PyTorch's scheduler for it has no such parameter; write the schedule as a function there, \
                              and give it to LambdaLR";
                return Err(ExportError::refused(format!("{name} = {value} of a schedule of kind `{kind}`"), reason));
            }
            entries.values().try_for_each(refuse)
        }
        Value::Array(items) => items.iter().try_for_each(refuse),
        _ => Ok(()),
    }
}

/// Whether the export says this value of a parameter.
fn is_said(kind: &str, name: &str, value: &Value) -> bool {
    let is = |plain: f64| value.as_f64() == Some(plain);
    match (kind, name) {
        ("wsd", "warmup_shape" | "decay_shape") => [json!("linear"), json!("cosine"), json!("1-sqrt")].contains(value),
        ("wsd", _) => true,
        (_, "min_ratio" | "start_ratio") => value.is_null(),
        ("step" | "multi_step" | "exponential" | "inverse_sqrt" | "inverse_time", "eta_min") => is(0.0),
        ("cosine", "exponent") | ("exponential", "period") | ("inverse_time", "power") => is(1.0),
        ("polynomial", "k_decay") => is(1.0),
        ("polynomial", "after") => value == "hold",
        ("cosine_restarts", "warmup") | ("warmup", "first" | "repeat") => is(0.0),
        ("cosine_restarts", "decays") => value == "top",
        ("cosine_restarts", "t_mult") => value.as_f64().is_some_and(|t_mult| t_mult.fract() == 0.0),
        ("warmup", "shape") => value == "linear",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    fn refused(text: &str) -> bool {
        let schedule: Schedule = text.parse().unwrap();
        refuse(&serde_json::to_value(schedule.complete()).unwrap()).is_err()
    }

    #[test]
    fn a_parameter_that_would_be_lost_is_refused_at_any_depth() {
        let lost = [
            "warmup(5) -> cosine(90, min_ratio=0.1)",
            "chained([constant(0.5), exponential(0.5, period=10)])",
            "warmup(5, first=1) -> constant",
            "step(10, eta_min=1e-3)",
            "cosine_restarts(10, t_mult=1.5)",
            "wsd(5, 6, 7, decay_shape=\"power\")",
        ];
        assert!(lost.iter().all(|text| refused(text)));
        let said =
            ["warmup(5) -> cosine(90, eta_min=0.1)", "wsd(5, 6, 7, min_ratio=0.1)", "exponential(0.5)", "step(9)"];
        assert!(!said.iter().any(|text| refused(text)));
    }
}
