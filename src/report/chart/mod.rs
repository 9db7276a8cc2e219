//! A line chart, as SVG and PNG (feature `charts`) and in the terminal.
//!
//! Made for rates over steps and losses over rates, and knowing nothing of either: series of points, named phases
//! behind them, marks across them. Every chart can be drawn, whatever its numbers are: a point that has no place on
//! its axis (not finite, beyond ±1e300, or not positive on a logarithmic axis) leaves a gap in its line.

mod axis;
mod braille;
#[cfg(feature = "charts")]
mod canvas;
#[cfg(feature = "charts")]
mod png;
mod sample;
#[cfg(feature = "charts")]
mod svg;
mod text;
#[cfg(feature = "charts")]
mod typeface;

use axis::Axis;

/// What to draw. The default is an empty chart with linear axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Above the chart. This and the names of the axes may be empty, and then take no room.
    pub title: String,
    /// What the horizontal axis counts, as `step`.
    pub x_label: String,
    /// What the vertical axis measures, as `learning rate`.
    pub y_label: String,
    /// How large it is as SVG and PNG.
    pub size: Size,
    /// A logarithmic horizontal axis.
    pub log_x: bool,
    /// A logarithmic vertical axis.
    pub log_y: bool,
    /// The lines, the last one on top. Their points may be as many as a run has steps: what is drawn of them is the
    /// first, lowest, highest and last of each pixel column.
    pub series: Vec<Series>,
    /// Shaded bands behind the lines. Names that would overlap are put in up to three rows, fewer in a small chart;
    /// one for which no room is left is not written.
    pub phases: Vec<Phase>,
    /// Vertical lines across the chart; their labels are treated like the names of phases.
    pub marks: Vec<Mark>,
}

/// How large a chart is drawn: 960 by 540 units by default, at least 200 by 180, at most 4000 by 4000. Letters have the
/// same size in units whatever the chart's, so a small chart has fewer of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// From left to right.
    pub width: u16,
    /// From top to bottom.
    pub height: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { width: 960, height: 540 }
    }
}

#[cfg(feature = "charts")]
impl Size {
    /// Width and height, within the limits.
    fn in_units(self) -> (f64, f64) {
        (f64::from(self.width.clamp(200, 4000)), f64::from(self.height.clamp(180, 4000)))
    }
}

/// One line of a [`Chart`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend, which is shown when there are several series.
    pub name: String,
    /// How it leads from point to point.
    pub shape: Shape,
    /// Points `(x, y)`; sorted by `x` where they aren't.
    pub points: Vec<(f64, f64)>,
}

/// How a line leads from one of its points to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Straight: what is measured at a few places of something that changes gradually.
    #[default]
    Line,
    /// In steps: each value holds until the next one, and the last for as long as the one before it; a single one holds
    /// for 1. So is a rate, which has a value for each update and none between two.
    Steps,
}

/// A stretch of the horizontal axis with a name, as `warmup`. The part of it outside the chart is cut off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
}

/// A place on the horizontal axis to point out, as the current step. The axis is made long enough to hold it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mark {
    /// Where it is.
    pub x: f64,
    /// What is there.
    pub label: String,
}

/// Why a chart did not become a PNG. Both mean a defect of this library: any chart can be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// The drawing could not be read as SVG.
    #[error("chart {title:?}: its SVG cannot be drawn: {reason}; write the chart as SVG instead and report this")]
    Drawing {
        /// The chart's title.
        title: String,
        /// What the renderer says.
        reason: String,
    },
    /// The pixels could not be written as PNG.
    #[error("chart {title:?}: its pixels cannot be encoded: {reason}; write the chart as SVG instead and report this")]
    Encoding {
        /// The chart's title.
        title: String,
        /// What the encoder says.
        reason: String,
    },
}

impl Chart {
    /// The horizontal axis: over the points, with the width of the last step, and marks, or over the phases where there
    /// are neither.
    fn x_axis(&self) -> Axis {
        let points = self.points().map(|(x, _)| x).chain(self.series.iter().filter_map(Series::end));
        let marks = self.marks.iter().map(|mark| mark.x);
        let phases = self.phases.iter().flat_map(|phase| [phase.from, phase.to]);
        Axis::spanning(points.chain(marks), self.log_x)
            .or_else(|| Axis::spanning(phases, self.log_x))
            .unwrap_or_else(|| Axis::unit(self.log_x))
    }

    /// The vertical axis, with `margin` (a share of its length) around the points.
    fn y_axis(&self, margin: f64) -> Axis {
        let values = self.points().map(|(_, y)| y);
        Axis::spanning(values, self.log_y).unwrap_or_else(|| Axis::unit(self.log_y)).with_margin(margin)
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| series.points.iter().copied())
    }

    /// Each phase that has a place on `x`: its number, its name, and where it begins and ends.
    fn phases_on(&self, x: &Axis) -> Vec<(usize, &str, f64, f64)> {
        let placed = self.phases.iter().enumerate().filter_map(|(number, phase)| {
            let (from, to) = (x.place_within(phase.from)?, x.place_within(phase.to)?);
            (from < to).then_some((number, phase.name.as_str(), from, to))
        });
        placed.collect()
    }

    /// Each mark that has a place on `x`: the place and its label.
    fn marks_on(&self, x: &Axis) -> Vec<(f64, &str)> {
        self.marks.iter().filter_map(|mark| Some((x.place(mark.x)?, mark.label.as_str()))).collect()
    }
}

impl Series {
    /// Where the last step ends, if the series has steps.
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
