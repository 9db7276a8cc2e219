//! A line chart, as SVG and PNG (feature `charts`) and in the terminal.
//!
//! Used for rates over steps and losses over rates, but independent of both: series of points, named phases behind
//! them, marks across them. Every chart can be drawn, whatever its numbers: a point that cannot be drawn on its axis
//! (not finite, beyond ±1e300, or not positive on a logarithmic axis) leaves a gap in its line.

mod axis;
mod braille;
#[cfg(feature = "charts")]
mod canvas;
#[cfg(feature = "charts")]
mod png;
mod sample;
#[cfg(feature = "charts")]
mod sheet;
#[cfg(feature = "charts")]
mod svg;
mod text;

use axis::Axis;
#[cfg(feature = "charts")]
pub use sheet::Sheet;

/// A chart. The default is an empty chart with linear axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Title above the chart. The title and the names of the axes may be empty, and then take no space.
    pub title: String,
    /// Name of the horizontal axis, such as `step`.
    pub x_label: String,
    /// Name of the vertical axis, such as `learning rate`.
    pub y_label: String,
    /// Size as SVG and PNG.
    pub size: Size,
    /// Whether the horizontal axis is logarithmic.
    pub log_x: bool,
    /// Whether the vertical axis is logarithmic.
    pub log_y: bool,
    /// The lines, the last one on top. They may have one point per step of a run: of each pixel column only the first,
    /// lowest, highest and last points are drawn.
    pub series: Vec<Series>,
    /// Shaded bands behind the lines. Names that would overlap are put in up to three rows, fewer in a small chart;
    /// names that do not fit are left out.
    pub phases: Vec<Phase>,
    /// Vertical lines across the chart; their labels are arranged like the names of phases.
    pub marks: Vec<Mark>,
}

/// Size of a chart: 960 by 540 units by default, at least 200 by 180, at most 4000 by 4000. Text has the same size in
/// units in all charts, so a small chart has less of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width in units.
    pub width: u16,
    /// Height in units.
    pub height: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { width: 960, height: 540 }
    }
}

#[cfg(feature = "charts")]
impl Size {
    /// Returns width and height, clamped to the limits.
    fn in_units(self) -> (f64, f64) {
        (f64::from(self.width.clamp(200, 4000)), f64::from(self.height.clamp(180, 4000)))
    }
}

/// One line of a [`Chart`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend, which is shown if there are several series.
    pub name: String,
    /// How points are connected.
    pub shape: Shape,
    /// Points `(x, y)`; they are sorted by `x` if necessary.
    pub points: Vec<(f64, f64)>,
}

/// How a line connects its points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Straight lines, for samples of a gradually changing quantity.
    #[default]
    Line,
    /// Steps: each value holds until the next one, and the last for as long as the one before it; a single one holds
    /// for 1. For example a rate, which has a value for each update and none in between.
    Steps,
    /// Not at all, for measurements that have no order.
    Points,
}

/// A named stretch of the horizontal axis, such as `warmup`. Parts outside the chart are cut off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Its start.
    pub from: f64,
    /// Its end.
    pub to: f64,
}

/// A labelled position on the horizontal axis, such as the current step. The axis is extended to include it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mark {
    /// Its position.
    pub x: f64,
    /// Its label.
    pub label: String,
}

/// Errors of drawing a PNG. Both mean a defect of this library: any chart can be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// The drawing could not be read as SVG.
    #[error("chart {title:?}: its SVG cannot be drawn: {reason}; write the chart as SVG instead and report this")]
    Drawing {
        /// The chart's title.
        title: String,
        /// The message of the renderer.
        reason: String,
    },
    /// The pixels could not be written as PNG.
    #[error("chart {title:?}: its pixels cannot be encoded: {reason}; write the chart as SVG instead and report this")]
    Encoding {
        /// The chart's title.
        title: String,
        /// The message of the encoder.
        reason: String,
    },
}

impl Chart {
    /// Returns the horizontal axis: over the points, with the width of the last step, and marks; over the phases if
    /// there are no points or marks.
    fn x_axis(&self) -> Axis {
        let points = self.points().map(|(x, _)| x).chain(self.series.iter().filter_map(Series::end));
        let marks = self.marks.iter().map(|mark| mark.x);
        let phases = self.phases.iter().flat_map(|phase| [phase.from, phase.to]);
        Axis::spanning(points.chain(marks), self.log_x)
            .or_else(|| Axis::spanning(phases, self.log_x))
            .unwrap_or_else(|| Axis::unit(self.log_x))
    }

    /// Returns the vertical axis, with `margin` (a share of its length) around the points.
    fn y_axis(&self, margin: f64) -> Axis {
        let values = self.points().map(|(_, y)| y);
        Axis::spanning(values, self.log_y).unwrap_or_else(|| Axis::unit(self.log_y)).with_margin(margin)
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| series.points.iter().copied())
    }

    /// Returns each phase that is visible on `x`: its number, its name, its start and its end.
    fn phases_on(&self, x: &Axis) -> Vec<(usize, &str, f64, f64)> {
        let placed = self.phases.iter().enumerate().filter_map(|(number, phase)| {
            let (from, to) = (x.place_within(phase.from)?, x.place_within(phase.to)?);
            (from < to).then_some((number, phase.name.as_str(), from, to))
        });
        placed.collect()
    }

    /// Returns each mark that is visible on `x`: its position and its label.
    fn marks_on(&self, x: &Axis) -> Vec<(f64, &str)> {
        self.marks.iter().filter_map(|mark| Some((x.place(mark.x)?, mark.label.as_str()))).collect()
    }
}

impl Series {
    /// Returns the end of the last step, if the series has steps.
    fn end(&self) -> Option<f64> {
        let largest_two = |(largest, second): (f64, f64), x: f64| match x > largest {
            true => (x, largest),
            false => (largest, second.max(x)),
        };
        let places = self.points.iter().map(|point| point.0).filter(|x| x.is_finite());
        let (largest, second) = places.fold((f64::NEG_INFINITY, f64::NEG_INFINITY), largest_two);
        let width = if second.is_finite() { largest - second } else { 1.0 };
        (self.shape == Shape::Steps && largest.is_finite()).then_some(largest + width)
    }
}
