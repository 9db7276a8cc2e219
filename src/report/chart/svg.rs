//! Charts as SVG: one self-contained file, with the same bytes for the same chart.

use super::axis::{Axis, Tick};
use super::canvas::Canvas;
use super::sample::{self, Line};
use super::{Chart, Shape, text};
use crate::typeface;

const SHADES: [&str; 2] = ["#F4F6FA", "#E7EBF3"];
const INK: &str = "#222222";
const FAINT_INK: &str = "#5A6372";
const GRID: &str = "#D3D8E0";
const FAINT_GRID: &str = "#E9ECF0";

const TITLE: f64 = 17.0;
const LABEL: f64 = 13.0;
const SMALL: f64 = 12.0;
/// The height of a row of names above the chart.
const ROW: f64 = 17.0;
/// The smallest gap between two words in a row.
const GAP: f64 = 12.0;
/// The points of this number of full series are shared by all series, which limits the size of the file.
const FULL_SERIES: usize = 4;

impl Chart {
    /// Draws the chart as SVG, with text as text. Equal charts give equal bytes.
    pub fn to_svg(&self) -> String {
        let (width, height_of_all) = self.size.in_units();
        let (x, y) = (self.x_axis(), self.y_axis(0.05));
        let room = |words: &str, with: f64, without: f64| if words.is_empty() { without } else { with };
        let (top, bottom) = (room(&self.title, 48.0, 14.0), height_of_all - room(&self.x_label, 58.0, 30.0));
        let y_ticks = y.ticks_that(|_| true, (((bottom - top) / 30.0) as usize).clamp(2, 8));
        let widest = y_ticks.iter().map(|tick| typeface::width(&tick.label, SMALL)).fold(0.0, f64::max);
        let left = room(&self.y_label, 52.0, 18.0) + widest;
        let right = width - (width / 30.0).clamp(14.0, 32.0);
        // All of them together leave some space for the lines.
        let rows = ((height_of_all - 120.0) / 60.0).clamp(1.0, 3.0) as usize;
        let mut plot = Plot { x, y, left, right, top, bottom, width, rows };
        let legend = self.legend(&plot);
        let legend_top = plot.top + 6.0;
        plot.top += legend.last().map_or(0.0, |entry| 22.0 * (entry.row + 1) as f64);
        let phases = self.phase_names(&plot);
        let marks = self.mark_labels(&plot);
        plot.top += height(&phases) + height(&marks);

        let mut canvas = Canvas::new(width, height_of_all, &self.title);
        self.draw_phases(&mut canvas, &plot);
        plot.draw_axes(&mut canvas, &y_ticks);
        self.draw_labels(&mut canvas, &plot);
        self.draw_series(&mut canvas, &plot);
        self.draw_marks(&mut canvas, &plot);
        legend.iter().for_each(|entry| entry.draw(&mut canvas, legend_top));
        draw_names(&mut canvas, &phases, plot.top - height(&marks), FAINT_INK);
        draw_names(&mut canvas, &marks, plot.top, INK);
        canvas.finish()
    }

    /// Returns the legend's entries from left to right, in rows; the last one says how many did not fit.
    fn legend(&self, plot: &Plot) -> Vec<Entry> {
        let mut entries = Vec::new();
        let (mut left, mut row) = (plot.left, 0);
        for (number, series) in self.series.iter().enumerate().filter(|_| self.series.len() > 1) {
            let name = text::fitted(&series.name, 300.0, |name| typeface::width(name, SMALL));
            let width = 34.0 + typeface::width(&name, SMALL) + 22.0;
            let may_be_cut_off = row + 1 == plot.rows && number + 1 < self.series.len();
            let room = if may_be_cut_off { plot.right - 90.0 } else { plot.right + 22.0 };
            if left + width > room && left > plot.left {
                if row + 1 == plot.rows {
                    let name = format!("and {} more", self.series.len() - number);
                    entries.push(Entry { series: None, shape: series.shape, name, left, row });
                    break;
                }
                (left, row) = (plot.left, row + 1);
            }
            entries.push(Entry { series: Some(number), shape: series.shape, name, left, row });
            left += width;
        }
        entries
    }

    /// Returns names of the phases, each centred over its band.
    fn phase_names(&self, plot: &Plot) -> Vec<Name> {
        let centred = |(_, name, from, to): (usize, &str, f64, f64)| {
            let name = plot.fitted(name);
            let width = typeface::width(&name, SMALL);
            let left = plot.x((from + to) / 2.0) - width / 2.0;
            Name { left: left.clamp(plot.left, plot.right - width), width, row: 0, name, line: None }
        };
        arranged(self.phases_on(&plot.x).into_iter().map(centred).collect(), plot.rows)
    }

    /// Returns labels of the marks, each beginning at its line, or ending there at the end of the chart.
    fn mark_labels(&self, plot: &Plot) -> Vec<Name> {
        let beside = |(at, label): (f64, &str)| {
            let name = plot.fitted(label);
            let width = typeface::width(&name, SMALL);
            let line = plot.x(at);
            let left = if line + 4.0 + width <= plot.width - 8.0 { line + 4.0 } else { line - 4.0 - width };
            Name { left, width, row: 0, name, line: Some(line) }
        };
        arranged(self.marks_on(&plot.x).into_iter().map(beside).collect(), plot.rows)
    }

    fn draw_phases(&self, canvas: &mut Canvas, plot: &Plot) {
        for (number, _, from, to) in self.phases_on(&plot.x) {
            let (left, width) = (plot.x(from), plot.x(to) - plot.x(from));
            // Bands narrower than a pixel are invisible, and there may be very many.
            if width >= 1.0 {
                canvas.rectangle(left, plot.top, width, plot.bottom - plot.top, SHADES[number % SHADES.len()]);
            }
        }
    }

    fn draw_labels(&self, canvas: &mut Canvas, plot: &Plot) {
        let fitted =
            |words: &str, most: f64, size: f64| text::fitted(words, most, |words| typeface::width(words, size));
        let title = fitted(&self.title, plot.right - plot.left, TITLE);
        canvas.text(plot.left, 32.0, TITLE, "start", INK, &title);
        let x_label = fitted(&self.x_label, plot.right - plot.left, LABEL);
        canvas.text((plot.left + plot.right) / 2.0, plot.bottom + 44.0, LABEL, "middle", INK, &x_label);
        let y_label = fitted(&self.y_label, plot.bottom - plot.top, LABEL);
        canvas.upright_text(24.0, (plot.top + plot.bottom) / 2.0, LABEL, INK, &y_label);
    }

    fn draw_series(&self, canvas: &mut Canvas, plot: &Plot) {
        let columns = (plot.right - plot.left) / self.series.len().div_ceil(FULL_SERIES).max(1) as f64;
        for (number, series) in self.series.iter().enumerate() {
            let lines = sample::lines(series, &plot.x, &plot.y, columns as usize);
            let (dots, lines): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(|line| line.len() == 1);
            canvas.line(&lines.iter().map(|line| plot.path(line)).collect::<String>(), number);
            for (x, y) in dots.into_iter().flatten() {
                canvas.dot(plot.x(x), plot.y(y), number);
            }
        }
    }

    fn draw_marks(&self, canvas: &mut Canvas, plot: &Plot) {
        for (at, _) in self.marks_on(&plot.x) {
            let x = plot.x(at);
            canvas.rule([x, plot.top, x, plot.bottom], INK, "stroke-width=\"1.5\" stroke-dasharray=\"5 4\"");
        }
    }
}

/// The rectangle that holds the lines.
struct Plot {
    x: Axis,
    y: Axis,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    /// The width of the whole drawing.
    width: f64,
    /// Maximal number of rows of the legend, of the names of phases, and of the labels of marks.
    rows: usize,
}

impl Plot {
    fn x(&self, share: f64) -> f64 {
        self.left + share * (self.right - self.left)
    }

    fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }

    fn fitted(&self, name: &str) -> String {
        text::fitted(name, (self.right - self.left) / 2.0, |name| typeface::width(name, SMALL))
    }

    /// Formats a line as path commands, in tenths of a unit, with short forms for vertical and horizontal segments.
    fn path(&self, line: &Line) -> String {
        let tenths = |&(x, y): &(f64, f64)| (format!("{:.1}", self.x(x)), format!("{:.1}", self.y(y)));
        let mut points: Vec<(String, String)> = line.iter().map(tenths).collect();
        points.dedup();
        let begin = points.first().map(|(x, y)| format!("M{x},{y}")).unwrap_or_default();
        if points.len() == 1 {
            return begin + "h0";
        }
        points.windows(2).fold(begin, |path, pair| {
            let ((x, y), (next_x, next_y)) = (&pair[0], &pair[1]);
            match (x == next_x, y == next_y) {
                (true, _) => path + "V" + next_y,
                (_, true) => path + "H" + next_x,
                _ => path + "L" + next_x + "," + next_y,
            }
        })
    }

    fn draw_axes(&self, canvas: &mut Canvas, y_ticks: &[Tick]) {
        for x in self.x.minor_ticks().into_iter().map(|share| self.x(share)) {
            canvas.rule([x, self.top, x, self.bottom], FAINT_GRID, "");
        }
        for y in self.y.minor_ticks().into_iter().map(|share| self.y(share)) {
            canvas.rule([self.left, y, self.right, y], FAINT_GRID, "");
        }
        for tick in y_ticks {
            let y = self.y(tick.at);
            canvas.rule([self.left, y, self.right, y], GRID, "");
            canvas.text(self.left - 8.0, y + 4.0, SMALL, "end", FAINT_INK, &tick.label);
        }
        let most = (((self.right - self.left) / 80.0) as usize).clamp(2, 10);
        for tick in self.x.ticks_that(|ticks| self.have_room(ticks), most) {
            let x = self.x(tick.at);
            canvas.rule([x, self.top, x, self.bottom + 5.0], GRID, "");
            let half = typeface::width(&tick.label, SMALL) / 2.0;
            let x = x.min(self.width - half - 2.0);
            canvas.text(x, self.bottom + 19.0, SMALL, "middle", FAINT_INK, &tick.label);
        }
        canvas.rule([self.left, self.bottom, self.right, self.bottom], FAINT_INK, "");
        canvas.rule([self.left, self.top, self.left, self.bottom], FAINT_INK, "");
    }

    /// Whether these ticks of the horizontal axis do not overlap.
    fn have_room(&self, ticks: &[Tick]) -> bool {
        let half = |tick: &Tick| typeface::width(&tick.label, SMALL) / 2.0;
        let clear = |a: &Tick, b: &Tick| self.x(a.at) + half(a) + GAP <= self.x(b.at) - half(b);
        ticks.is_sorted_by(clear)
    }
}

/// An entry of the legend; without a series it is a note.
struct Entry {
    series: Option<usize>,
    shape: Shape,
    name: String,
    left: f64,
    row: usize,
}

impl Entry {
    fn draw(&self, canvas: &mut Canvas, top: f64) {
        let y = top + 22.0 * self.row as f64;
        match (self.series, self.shape) {
            (Some(number), Shape::Points) => canvas.dot(self.left + 20.0, y, number),
            (Some(number), _) => canvas.line(&format!("M{:.1},{y:.1}h26", self.left), number),
            (None, _) => {}
        }
        let indent = if self.series.is_some() { 34.0 } else { 0.0 };
        canvas.text(self.left + indent, y + 4.0, SMALL, "start", INK, &self.name);
    }
}

/// A name above the chart.
struct Name {
    left: f64,
    width: f64,
    /// Its row, counted upwards from the chart.
    row: usize,
    name: String,
    /// Position of the line that it labels.
    line: Option<f64>,
}

/// Arranges names in rows above the chart, leaving out those that do not fit. Names of lines are placed from the right,
/// so that a line to a higher row passes to the left of the names below.
fn arranged(mut names: Vec<Name>, most: usize) -> Vec<Name> {
    let stretch = |name: &Name| match name.line {
        None => (name.left, name.left + name.width + GAP),
        Some(_) => (-name.left - name.width, GAP - name.left),
    };
    let rows = text::rows(&names.iter().map(stretch).collect::<Vec<_>>(), most);
    let mut rows = rows.into_iter();
    names.retain_mut(|name| rows.next().flatten().map(|row| name.row = row).is_some());
    names
}

/// Returns the height of the rows that `names` take.
fn height(names: &[Name]) -> f64 {
    ROW * names.iter().map(|name| name.row + 1).max().unwrap_or(0) as f64
}

/// Draws names in rows that end at `bottom`, and lines up to the names that have one.
fn draw_names(canvas: &mut Canvas, names: &[Name], bottom: f64, colour: &str) {
    for name in names {
        let y = bottom - ROW * name.row as f64 - 5.0;
        if let Some(x) = name.line.filter(|_| !name.name.is_empty()) {
            canvas.rule([x, bottom, x, y - 9.0], colour, "");
        }
        canvas.text(name.left, y, SMALL, "start", colour, &name.name);
    }
}
