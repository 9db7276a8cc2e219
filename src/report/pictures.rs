//! Charts of what this crate knows: a learning rate over a run, a range test.

use serde_json::Value;

use super::chart::{Chart, Mark, Phase, Series, Shape};
use crate::schedule::{RunLength, Schedule, Trajectory};
use crate::train::{RangePoint, RangeTest};

/// The rates of a trajectory, each of which holds for its update, a line for each group, under the names given.
pub fn of_trajectory(title: &str, trajectory: &Trajectory, names: &[String], log_y: bool) -> Chart {
    let groups = trajectory.lrs.first().map_or(0, Vec::len);
    let line = |group: usize| Series {
        name: names.get(group).cloned().unwrap_or_else(|| format!("group {group}")),
        shape: Shape::Steps,
        points: trajectory.lrs.iter().enumerate().map(|(t, lrs)| (t as f64, lrs[group])).collect(),
    };
    Chart {
        title: title.to_owned(),
        x_label: "step".to_owned(),
        y_label: "learning rate".to_owned(),
        log_y,
        series: (0..groups).map(line).collect(),
        ..Chart::default()
    }
}

/// The losses of a range test over its rates, and the rate that it suggests. It is drawn as far up as the losses before
/// the lowest go: where it diverges, the end is many times higher, and next to it nothing else would be seen.
pub fn of_range_test(title: &str, test: &RangeTest) -> Chart {
    let lowest = (0..test.points.len()).min_by(|&a, &b| test.points[a].smoothed.total_cmp(&test.points[b].smoothed));
    let before = &test.points[..lowest.map_or(0, |lowest| lowest + 1)];
    let highest = before.iter().map(|point| point.loss.max(point.smoothed)).fold(f64::NEG_INFINITY, f64::max);
    let drawn = |loss: f64| if loss > highest { f64::NAN } else { loss };
    let line = |name: &str, loss: fn(&RangePoint) -> f64| Series {
        name: name.to_owned(),
        shape: Shape::Line,
        points: test.points.iter().map(|point| (point.lr, drawn(loss(point)))).collect(),
    };
    let mark = |lr: f64| Mark { x: lr, label: format!("suggested {lr:.2e}") };
    Chart {
        title: title.to_owned(),
        x_label: "learning rate".to_owned(),
        y_label: "loss".to_owned(),
        log_x: true,
        series: vec![line("smoothed", |point| point.smoothed), line("loss of a batch", |point| point.loss)],
        marks: test.suggestion.map(mark).into_iter().collect(),
        ..Chart::default()
    }
}

/// The stretches of a schedule that is put together from others, up to `steps`; none where it is of one piece.
pub fn phases(schedule: &Schedule, run: &RunLength, steps: u64) -> Vec<Phase> {
    let spec = serde_json::to_value(schedule).unwrap_or_default();
    let mut found = Vec::new();
    collect(&spec, 0.0, steps as f64, &Ruler { run: *run, in_epochs: false }, &mut found);
    found.retain(|phase| phase.from < phase.to);
    if found.len() > 1 { found } else { Vec::new() }
}

/// How the lengths of a schedule are counted in steps.
#[derive(Clone, Copy)]
struct Ruler {
    run: RunLength,
    in_epochs: bool,
}

impl Ruler {
    /// Of a schedule inside one that is measured so.
    fn within(self, spec: &Value) -> Self {
        Self { in_epochs: self.in_epochs || spec["unit"] == "epoch", ..self }
    }

    /// A length in steps: a number of steps or epochs, or a share of the run.
    fn steps(&self, length: &Value) -> f64 {
        let unit = if self.in_epochs { self.run.steps_per_epoch as f64 } else { 1.0 };
        let share = length.as_str().and_then(|text| text.trim_end_matches('%').parse::<f64>().ok());
        match share {
            Some(percent) => percent / 100.0 * self.run.total_steps.unwrap_or_default() as f64,
            None => length.as_f64().unwrap_or_default() * unit,
        }
    }
}

fn collect(spec: &Value, from: f64, to: f64, ruler: &Ruler, found: &mut Vec<Phase>) {
    let ruler = ruler.within(spec);
    let kind = spec["kind"].as_str().unwrap_or_default();
    let mut stretch = |name: &str, from: f64, end: f64| {
        found.push(Phase { name: name.to_owned(), from, to: end.min(to) });
        end.min(to)
    };
    match kind {
        "warmup" => {
            let end = stretch("warmup", from, from + ruler.steps(&spec["steps"]));
            collect(&spec["schedule"], end, to, &ruler, found);
        }
        "wsd" => {
            let end = stretch("warmup", from, from + ruler.steps(&spec["warmup"]));
            let end = stretch("stable", end, end + ruler.steps(&spec["stable"]));
            stretch("decay", end, to);
        }
        "sequential" => {
            let milestones = spec["milestones"].as_array().into_iter().flatten();
            let ends = milestones.map(|length| (from + ruler.steps(length)).min(to)).chain([to]);
            let mut begin = from;
            for (child, end) in spec["schedules"].as_array().into_iter().flatten().zip(ends) {
                collect(child, begin, end, &ruler, found);
                begin = end;
            }
        }
        other => {
            stretch(other, from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, steps_per_epoch: u64) -> Vec<(String, f64, f64)> {
        let run = RunLength { total_steps: Some(100), steps_per_epoch };
        let phases = phases(&text.parse().unwrap(), &run, 100);
        phases.into_iter().map(|phase| (phase.name, phase.from, phase.to)).collect()
    }

    #[test]
    fn the_diverged_end_of_a_range_test_does_not_rule_its_chart() {
        let losses = [2.0, 2.1, 1.0, 0.5, 0.7, 2.05, 90.0, 1e9];
        let point = |(step, &loss): (usize, &f64)| RangePoint { lr: 10f64.powi(step as i32), loss, smoothed: loss };
        let points = losses.iter().enumerate().map(point).collect();
        let chart = of_range_test("", &RangeTest { points, diverged: true, stopped: None, suggestion: None });
        let drawn: Vec<f64> = chart.series[0].points.iter().map(|point| point.1).filter(|y| y.is_finite()).collect();
        assert_eq!(drawn, losses[..6]);
    }

    #[test]
    fn phases_are_named_where_a_schedule_is_put_together() {
        let phase = |name: &str, from: f64, to: f64| (name.to_owned(), from, to);
        assert_eq!(named("cosine(100)", 1), []);
        assert_eq!(
            named("warmup(\"10%\") -> cosine(90)", 1),
            [phase("warmup", 0.0, 10.0), phase("cosine", 10.0, 100.0)]
        );
        let three = [phase("constant", 0.0, 20.0), phase("warmup", 20.0, 30.0), phase("step", 30.0, 100.0)];
        assert_eq!(named("sequential([20], [constant(), warmup(10) -> step(5)])", 1), three);
        assert_eq!(named("warmup(2, schedule=cosine(8), unit=\"epoch\")", 10)[0], phase("warmup", 0.0, 20.0));
    }
}
