//! The outcome of a sweep as a picture: the best value so far over the trials, and the values over each parameter.

use serde_json::Value;

use super::ledger::{End, Ended};
use super::outcome::Outcome;
use super::parameter::{Parameter, Values};
use crate::report::chart::{Chart, Mark, Series, Shape, Sheet, Size};

/// Width of the whole picture; two parameters stand beside each other.
const WIDTH: u16 = 960;
const HEIGHT: u16 = 320;

impl Outcome {
    /// Returns the picture.
    pub fn picture(&self) -> Sheet {
        let mut sheet = Sheet::default();
        sheet.add(0, 0, self.best_so_far());
        for (index, (parameter, heading)) in self.plan.parameters.iter().zip(self.headings()).enumerate() {
            let (column, row) = (index % 2, index / 2 + 1);
            let at = |count: usize, length: u16| u16::try_from(count).unwrap_or(u16::MAX).saturating_mul(length);
            sheet.add(at(column, WIDTH / 2), at(row, HEIGHT), self.over(parameter, &heading));
        }
        sheet
    }

    fn best_so_far(&self) -> Chart {
        let mut best: Option<f64> = None;
        let mut line = Vec::new();
        for ended in &self.ended {
            let is_better = |new: f64, old: f64| if self.more_is_better { new > old } else { new < old };
            if let Some(value) = ended.value
                && best.is_none_or(|best| is_better(value, best))
            {
                best = Some(value);
            }
            line.extend(best.map(|best| (ended.trial as f64, best)));
        }
        let mut series = self.series(|ended| Some(ended.trial as f64));
        series.push(Series { name: "best so far".to_owned(), shape: Shape::Steps, points: line });
        Chart {
            title: format!("{} of {} trials", self.metric, self.trials),
            x_label: "trial".to_owned(),
            y_label: self.metric.clone(),
            size: Size { width: WIDTH, height: HEIGHT },
            series,
            ..Chart::default()
        }
    }

    /// Returns the values over a parameter. Values that are no numbers stand in the order of their list.
    fn over(&self, parameter: &Parameter, heading: &str) -> Chart {
        let place = |ended: &Ended| place(parameter, ended.parameters.get(&parameter.key)?);
        Chart {
            x_label: heading.to_owned(),
            y_label: self.metric.clone(),
            size: Size { width: WIDTH / 2, height: HEIGHT },
            log_x: is_log(&parameter.values),
            series: self.series(place),
            marks: marks(&parameter.values),
            ..Chart::default()
        }
    }

    /// Returns the values of the trials as points, those that ended early apart.
    fn series(&self, x: impl Fn(&Ended) -> Option<f64>) -> Vec<Series> {
        let of = |name: &str, end: End| {
            let of_kind = self.ended.iter().filter(|ended| ended.end == end);
            let points = of_kind.filter_map(|ended| Some((x(ended)?, ended.value?))).collect();
            Series { name: name.to_owned(), shape: Shape::Points, points }
        };
        let all = [of("finished", End::Finished), of("ended early", End::EndedEarly)];
        all.into_iter().filter(|series| !series.points.is_empty()).collect()
    }
}

fn is_log(values: &Values) -> bool {
    match values {
        Values::Range(range) => range.is_log(),
        // Values that are many times each other were chosen by their ratios.
        Values::List(list) => {
            let numbers: Option<Vec<f64>> = list.iter().map(number).collect();
            numbers.is_some_and(|numbers| {
                let (low, high) = numbers.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), &n| (a.min(n), b.max(n)));
                low > 0.0 && high / low >= 8.0
            })
        }
    }
}

fn number(value: &toml::Value) -> Option<f64> {
    match value {
        toml::Value::Integer(number) => Some(*number as f64),
        toml::Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// Returns the place of a value on the horizontal axis.
fn place(parameter: &Parameter, value: &Value) -> Option<f64> {
    match &parameter.values {
        Values::List(list) if list.iter().any(|value| number(value).is_none()) => {
            let is_it = |other: &toml::Value| serde_json::to_value(other).is_ok_and(|other| other == *value);
            list.iter().position(is_it).map(|index| index as f64)
        }
        _ => value.as_f64(),
    }
}

/// Returns a mark for each value that is no number.
fn marks(values: &Values) -> Vec<Mark> {
    match values {
        Values::List(list) if list.iter().any(|value| number(value).is_none()) => {
            let label = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            list.iter().enumerate().map(|(index, value)| Mark { x: index as f64, label: label(value) }).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;
    use super::*;

    #[test]
    fn the_best_value_so_far_is_a_line_over_the_trials() {
        let chart = outcome().best_so_far();
        let line = chart.series.last().unwrap();
        assert_eq!(line.points, [(0.0, 0.5), (1.0, 0.5), (2.0, 0.75), (3.0, 0.75)]);
        let points: Vec<usize> = chart.series.iter().map(|series| series.points.len()).collect();
        assert_eq!(points, [2, 1, 4]);
    }

    #[test]
    fn words_stand_at_marks_in_the_order_of_their_list() {
        let words = ["sgd", "adamw"].map(|word| toml::Value::String(word.to_owned())).to_vec();
        let parameter = Parameter { key: "optimizer.kind".to_owned(), values: Values::List(words) };
        assert_eq!(place(&parameter, &"adamw".into()), Some(1.0));
        let labels: Vec<String> = marks(&parameter.values).into_iter().map(|mark| mark.label).collect();
        assert_eq!(labels, ["sgd", "adamw"]);
    }

    #[test]
    fn the_picture_is_one_drawing_with_a_chart_for_each_parameter() {
        let svg = outcome().picture().to_svg();
        assert_eq!(svg.matches("<svg ").count(), 4);
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    }
}
