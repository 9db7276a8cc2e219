//! Charts in a terminal: two by four dots per character.

use super::axis::Tick;
use super::sample::{self, Line};
use super::{Chart, text};

const NAME_ROWS: usize = 3;
/// Number of columns between the letters that label a line.
const TAG_EVERY: usize = 8;

impl Chart {
    /// Draws the chart as plain text: `width_cols` columns in all (20 to 1000), a plot of `height_rows` rows (3 to
    /// 200).
    ///
    /// From top to bottom, each only if the chart has it: title; name of the vertical axis; the plot; the horizontal
    /// axis, two lines, and its name; marks, whose columns are `┊` where no line runs; phases, each name beginning at
    /// the start of its phase; the legend, if there are several series, with the letters that label their lines.
    pub fn to_braille(&self, width_cols: usize, height_rows: usize) -> String {
        let (width, height) = (width_cols.clamp(20, 1000), height_rows.clamp(3, 200));
        let (x, y) = (self.x_axis(), self.y_axis(0.0));
        let y_ticks = y.ticks_that(|ticks| ticks.len() <= height.div_ceil(2), height.div_ceil(3).clamp(2, 8));
        let widest = y_ticks.iter().map(|tick| length(&tick.label)).max().unwrap_or(0);
        let left = (widest + 1).min(width / 2);
        let mut grid = Grid::new(width - left - 1, height);
        for (number, series) in self.series.iter().enumerate() {
            sample::lines(series, &x, &y, 2 * grid.width).iter().for_each(|line| grid.draw(line, number));
        }
        if self.series.len() > 1 {
            grid.tag_lines(self.series.len());
        }
        let marks: Vec<(usize, &str)> = self.marks_on(&x).iter().map(|&(at, label)| (grid.column(at), label)).collect();
        marks.iter().for_each(|&(column, _)| grid.mark(column));

        let mut lines = Vec::new();
        lines.extend(heading(&self.title, width));
        lines.extend(heading(&self.y_label, width));
        lines.extend(grid.rows(left, &y_ticks));
        let x_ticks = x.ticks_that(|ticks| grid.have_room(ticks), (grid.width / 8).clamp(2, 10));
        lines.extend(grid.x_axis(left, &x_ticks));
        lines.extend(heading(&self.x_label, width).map(|label| format!("{label:>width$}")));
        lines.extend(grid.names(left, marks.iter().map(|&(column, label)| (column, '┊', label)).collect()));
        let phases = self.phases_on(&x);
        lines.extend(
            grid.names(left, phases.iter().map(|&(_, name, from, _)| (grid.column(from), '│', name)).collect()),
        );
        lines.extend(self.letters(width));
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// Returns the legend: each series' letter and name, in as many lines as needed.
    fn letters(&self, width: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for (number, series) in self.series.iter().enumerate().filter(|_| self.series.len() > 1) {
            let entry = fitted(&format!("{} {}", tag(number), series.name), width);
            match lines.last_mut().filter(|line| length(line) + 3 + length(&entry) <= width) {
                Some(line) => line.extend(["   ", &entry]),
                None => lines.push(entry),
            }
        }
        lines
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Returns `words` in one line, if there are any.
fn heading(words: &str, width: usize) -> Option<String> {
    (!words.is_empty()).then(|| fitted(words, width))
}

fn fitted(words: &str, width: usize) -> String {
    text::fitted(words, width as f64, |words| length(words) as f64)
}

/// Returns the letter of a series; letters repeat after 26 series.
fn tag(number: usize) -> char {
    char::from(b'a' + (number % 26) as u8)
}

/// The characters of the plot.
struct Grid {
    width: usize,
    height: usize,
    /// Dots of each character, row by row, as the low byte of its code point in the block of Braille patterns.
    dots: Vec<u8>,
    /// Characters that replace dots.
    letters: Vec<Option<char>>,
    /// The characters that each series passes through, as indices in `dots`.
    trails: Vec<Vec<usize>>,
}

impl Grid {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, dots: vec![0; width * height], letters: vec![None; width * height], trails: Vec::new() }
    }

    /// Returns the dot at a position, counted from the left and the top. Positions beyond an end, from rounding of huge
    /// numbers, are clamped to it: a line is drawn dot by dot, so its length must be bounded.
    fn dot(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (x, y) = (x.clamp(0.0, 1.0), y.clamp(0.0, 1.0));
        ((x * (2 * self.width - 1) as f64).round(), ((1.0 - y) * (4 * self.height - 1) as f64).round())
    }

    fn column(&self, at: f64) -> usize {
        (self.dot((at, 0.0)).0 as usize / 2).min(self.width - 1)
    }

    fn row(&self, at: f64) -> usize {
        (self.dot((0.0, at)).1 as usize / 4).min(self.height - 1)
    }

    fn draw(&mut self, line: &Line, series: usize) {
        let dots: Vec<(f64, f64)> = line.iter().map(|&place| self.dot(place)).collect();
        dots.first().into_iter().for_each(|&dot| self.set(dot, series));
        for pair in dots.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs());
            for step in 1..=steps as usize {
                let share = step as f64 / steps;
                self.set((from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1)), series);
            }
        }
    }

    fn set(&mut self, (x, y): (f64, f64), series: usize) {
        /// The bit of each dot of a character, by row and column (the Unicode Standard, block 2800).
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (x, y) = (x.round() as usize, y.round() as usize);
        let index = y / 4 * self.width + x / 2;
        let Some(dots) = self.dots.get_mut(index) else { return };
        *dots |= BITS[y % 4][x % 2];
        self.trails.resize(self.trails.len().max(series + 1), Vec::new());
        self.trails[series].push(index);
    }

    /// Labels the line of each series with its letter at intervals, in separate columns.
    fn tag_lines(&mut self, series: usize) {
        let every = TAG_EVERY.min(self.width / series).max(1);
        for (number, trail) in self.trails.iter().enumerate() {
            let own = |index: &usize| index % self.width % (every * series) == every * number + every / 2;
            let mut last = None;
            for index in trail.iter().copied().filter(own) {
                let column = index % self.width;
                if last != Some(column) && self.letters[index].is_none() {
                    self.letters[index] = Some(tag(number));
                }
                last = Some(column);
            }
        }
    }

    fn mark(&mut self, column: usize) {
        for index in (0..self.height).map(|row| row * self.width + column) {
            if self.dots[index] == 0 {
                self.letters[index] = Some('┊');
            }
        }
    }

    /// Returns the plot with the vertical axis at its left.
    fn rows(&self, left: usize, ticks: &[Tick]) -> Vec<String> {
        let row = |row: usize| {
            let tick = ticks.iter().find(|tick| self.row(tick.at) == row);
            let label = tick.map_or(String::new(), |tick| fitted(&tick.label, left - 1));
            let stroke = if tick.is_some() { '┤' } else { '│' };
            let cells = row * self.width..(row + 1) * self.width;
            let cells: String = cells.map(|index| self.character(index)).collect();
            format!("{label:>0$} {stroke}{cells}", left - 1)
        };
        (0..self.height).map(row).collect()
    }

    fn character(&self, index: usize) -> char {
        let dots = self.dots[index];
        let pattern = if dots == 0 { Some(' ') } else { char::from_u32(0x2800 + u32::from(dots)) };
        self.letters[index].or(pattern).unwrap_or(' ')
    }

    /// Returns the first column of a tick label of the horizontal axis.
    fn label_start(&self, tick: &Tick) -> usize {
        let length = length(&tick.label);
        self.column(tick.at).saturating_sub(length / 2).min(self.width.saturating_sub(length))
    }

    fn have_room(&self, ticks: &[Tick]) -> bool {
        ticks.is_sorted_by(|a, b| self.label_start(a) + length(&a.label) + 2 <= self.label_start(b))
    }

    /// Returns the horizontal axis and the labels of its ticks.
    fn x_axis(&self, left: usize, ticks: &[Tick]) -> [String; 2] {
        let strokes = (0..self.width)
            .map(|column| if ticks.iter().any(|tick| self.column(tick.at) == column) { '┬' } else { '─' });
        let labels: Vec<_> =
            ticks.iter().map(|tick| (self.label_start(tick), fitted(&tick.label, self.width))).collect();
        [format!("{:left$}└{}", "", strokes.collect::<String>()), self.written(left, &labels)]
    }

    /// Arranges names `(column, sign, name)` in as many rows as needed, each with its sign in its column.
    fn names(&self, left: usize, names: Vec<(usize, char, &str)>) -> Vec<String> {
        let beside = |(column, sign, name): (usize, char, &str)| {
            let name = fitted(name, self.width / 2);
            let size = length(&name) + 1;
            match column + size <= self.width {
                true => (column, format!("{sign}{name}")),
                false => ((column + 1).saturating_sub(size), format!("{name}{sign}")),
            }
        };
        let names: Vec<(usize, String)> = names.into_iter().map(beside).collect();
        let stretch = |(start, name): &(usize, String)| (*start as f64, (start + length(name)) as f64 + 0.5);
        let rows = text::rows(&names.iter().map(stretch).collect::<Vec<_>>(), NAME_ROWS);
        let count = rows.iter().flatten().max().map_or(0, |row| row + 1);
        let in_row =
            |row: usize| names.iter().zip(&rows).filter(move |(_, r)| **r == Some(row)).map(|(name, _)| name.clone());
        (0..count).map(|row| self.written(left, &in_row(row).collect::<Vec<_>>())).collect()
    }

    /// Returns one line below the plot with each of `words` at its column.
    fn written(&self, left: usize, words: &[(usize, String)]) -> String {
        let mut words: Vec<_> = words.to_vec();
        words.sort();
        let start = " ".repeat(left + 1);
        words.iter().fold(start, |line, (column, word)| format!("{line:0$}{word}", left + 1 + column))
    }
}
