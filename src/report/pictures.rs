//! Charts of a learning rate over a run, and of a range test.

use super::chart::{Chart, Mark, Phase, Series, Shape};
use crate::schedule::{RunLength, Schedule, Trajectory};
use crate::train::{RangePoint, RangeTest};

/// Draws the rates of a trajectory, one stepped line per group, with the given names.
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

/// Draws the losses of a range test over its rates, and the suggested rate. The vertical axis ends at the highest
/// loss before the minimum: after divergence losses are so much higher that nothing else would be visible.
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

/// Returns the phases of a schedule for a chart.
pub fn phases(schedule: &Schedule, run: &RunLength, steps: u64) -> Vec<Phase> {
    let phases = schedule.phases(run, steps).into_iter();
    phases.map(|phase| Phase { name: phase.name, from: phase.from, to: phase.to }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_diverged_end_of_a_range_test_does_not_rule_its_chart() {
        let losses = [2.0, 2.1, 1.0, 0.5, 0.7, 2.05, 90.0, 1e9];
        let point = |(step, &loss): (usize, &f64)| RangePoint { lr: 10f64.powi(step as i32), loss, smoothed: loss };
        let points = losses.iter().enumerate().map(point).collect();
        let chart = of_range_test("", &RangeTest { points, diverged: true, stopped: None, suggestion: None });
        let drawn: Vec<f64> = chart.series[0].points.iter().map(|point| point.1).filter(|y| y.is_finite()).collect();
        assert_eq!(drawn, losses[..6]);
    }
}
