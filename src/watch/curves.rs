//! Charts of a run's numbers over its steps.

use std::collections::BTreeMap;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType};

use super::series::Series;
use super::view::View;

/// Colors of several lines in one chart.
const COLORS: [Color; 6] =
    [Color::Cyan, Color::Green, Color::Magenta, Color::Blue, Color::LightRed, Color::LightYellow];

/// Numbers in one chart.
pub struct Curves<'a> {
    title: String,
    /// The lines.
    lines: Vec<&'a Series>,
    /// Numbers of single steps, drawn as points.
    points: Option<&'a Series>,
    /// Whether they can be smoothed, and drawn logarithmically.
    is_loss: bool,
}

/// Returns the charts of a run, the most important first. The first two are always there.
pub fn charts(all: &BTreeMap<String, Series>) -> Vec<Curves<'_>> {
    let found = |name: &str| all.get(name).filter(|series| !series.is_empty());
    let those = |is_one: fn(&str) -> bool| {
        let found = all.iter().filter(move |(name, series)| is_one(name) && !series.is_empty());
        found.map(|(name, series)| (name.as_str(), series)).collect::<Vec<_>>()
    };
    let validation = found("val_loss");
    let title = if validation.is_some() { "loss, • in validations" } else { "loss" };
    let loss = found("loss").into_iter().collect();
    let rates = those(|name| name == "lr" || name.starts_with("lr."));
    let title_of_rates = if rates.len() > 1 { format!("rates of {} groups", rates.len()) } else { "rate".to_owned() };
    let rates = rates.into_iter().map(|(_, series)| series).collect();
    let mut charts = vec![
        Curves { title: title.to_owned(), lines: loss, points: validation, is_loss: true },
        Curves { title: title_of_rates, lines: rates, points: None, is_loss: false },
    ];
    let metrics = those(|name| name == "val_accuracy" || name.starts_with("validation_"));
    if let Some((name, _)) = metrics.first() {
        let more = if metrics.len() > 1 { format!(" and {} more", metrics.len() - 1) } else { String::new() };
        let lines = metrics.iter().map(|(_, series)| *series).collect();
        charts.push(Curves { title: format!("{name}{more}"), lines, points: None, is_loss: false });
    }
    if let Some(norm) = found("grad_norm") {
        charts.push(Curves { title: "gradient norm".to_owned(), lines: vec![norm], points: None, is_loss: true });
    }
    charts
}

impl Curves<'_> {
    /// Draws them in `area`, for a run that has made `done` updates.
    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, view: &View, done: u64) {
        let range = view.range(done);
        let drawn = self.drawn(view, range, usize::from(area.width) * 2);
        let log = if view.log && self.is_loss { ", log" } else { "" };
        let block = Block::bordered().title(format!(" {}{log} ", self.title));
        let bounds = bounds(drawn.iter().flat_map(|line| &line.points));
        let Some((low, high)) = bounds else {
            frame.render_widget(block.title_bottom(" no numbers yet "), area);
            return;
        };
        let y_labels = if area.height > 14 { 5 } else { 3 };
        let y_labels: Vec<String> = (0..y_labels)
            .map(|at| low + (high - low) * f64::from(at) / f64::from(y_labels - 1))
            .map(|value| short(if log.is_empty() { value } else { 10f64.powf(value) }))
            .collect();
        let middle = (range.0 + range.1) / 2.0;
        let steps: &[f64] = if area.width >= 40 { &[range.0, middle, range.1] } else { &[range.0, range.1] };
        let x_labels: Vec<String> = steps.iter().map(|step| format!("{step:.0}")).collect();
        let sets = drawn.iter().map(|line| {
            let (marker, kind) =
                if line.is_points { (Marker::Dot, GraphType::Scatter) } else { (Marker::Braille, GraphType::Line) };
            Dataset::default().marker(marker).graph_type(kind).style(line.style).data(&line.points)
        });
        let chart = Chart::new(sets.collect())
            .block(block)
            .x_axis(Axis::default().bounds([range.0, range.1]).labels(x_labels))
            .y_axis(Axis::default().bounds([low, high]).labels(y_labels));
        frame.render_widget(chart, area);
    }

    fn drawn(&self, view: &View, range: (f64, f64), columns: usize) -> Vec<Drawn> {
        let style = |color| if view.color { Style::new().fg(color) } else { Style::new() };
        let share = if self.is_loss { view.smoothing() } else { 0.0 };
        let mut drawn = Vec::new();
        for (series, color) in self.lines.iter().zip(COLORS.iter().cycle()) {
            let raw = || series.line(range, columns);
            if share == 0.0 {
                drawn.push(Drawn { points: raw(), style: style(*color), is_points: false });
                continue;
            }
            // Without colors the two could not be told apart.
            if view.color {
                drawn.push(Drawn { points: raw(), style: style(Color::DarkGray), is_points: false });
            }
            let points = series.smooth_line(range, columns, share);
            drawn.push(Drawn { points, style: style(*color), is_points: false });
        }
        if let Some(series) = self.points {
            drawn.push(Drawn { points: series.line(range, columns), style: style(Color::Yellow), is_points: true });
        }
        if view.log && self.is_loss {
            for line in &mut drawn {
                line.points.retain(|(_, value)| *value > 0.0);
                line.points.iter_mut().for_each(|(_, value)| *value = value.log10());
            }
        }
        drawn
    }
}

struct Drawn {
    points: Vec<(f64, f64)>,
    style: Style,
    is_points: bool,
}

/// Returns the lower and upper end of an axis with these values; `None` without any.
fn bounds<'a>(points: impl Iterator<Item = &'a (f64, f64)>) -> Option<(f64, f64)> {
    let (low, high) =
        points.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, value)| (low.min(*value), high.max(*value)));
    if low > high {
        return None;
    }
    let margin = if low == high { (0.1 * low.abs()).max(f64::MIN_POSITIVE * 1e16) } else { 0.05 * (high - low) };
    // A rate or a loss below 0 would only puzzle.
    let below = if low >= 0.0 { (low - margin).max(0.0) } else { low - margin };
    let above = high + margin;
    // Numbers near the greatest one have no room for a margin.
    (below.is_finite() && above.is_finite()).then_some((below, above)).or(Some((low, high)))
}

/// Formats a number at an axis.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&size) {
        let decimals = (2 - size.log10().floor() as i32).clamp(0, 5);
        format!("{value:.*}", usize::try_from(decimals).unwrap_or_default())
    } else {
        format!("{value:.1e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_an_axis_are_short_and_have_enough_digits() {
        let shown = [0.0, 2e-7, 0.0123, 2.5, 123.4, -0.5, 12_345.0, 2.3e11].map(short);
        assert_eq!(shown, ["0", "2.0e-7", "0.0123", "2.50", "123", "-0.500", "12345", "2.3e11"]);
    }

    #[test]
    fn an_axis_has_room_for_a_constant_and_for_huge_numbers() {
        let of = |values: &[f64]| bounds(values.iter().map(|value| (0.0, *value)).collect::<Vec<_>>().iter());
        assert_eq!(of(&[]), None);
        for values in [&[0.0][..], &[1.0], &[-1e300], &[f64::MAX, -f64::MAX], &[1e-300, 2e-300]] {
            let (low, high) = of(values).unwrap();
            assert!(low < high && low.is_finite() && high.is_finite(), "{values:?}: {low} to {high}");
        }
    }
}
