//! Several charts on one sheet, as SVG and PNG.

use super::canvas::Canvas;
use super::{Chart, ChartError, png};

/// Charts, each at its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// Each chart with its left upper corner.
    charts: Vec<(u16, u16, Chart)>,
}

impl Sheet {
    /// Adds a chart, with its left upper corner at `(x, y)`.
    pub fn add(&mut self, x: u16, y: u16, chart: Chart) {
        self.charts.push((x, y, chart));
    }

    /// Returns width and height.
    fn size(&self) -> (f64, f64) {
        self.charts.iter().fold((1.0, 1.0), |(width, height), (x, y, chart)| {
            let (own_width, own_height) = chart.size.in_units();
            (f64::max(width, f64::from(*x) + own_width), f64::max(height, f64::from(*y) + own_height))
        })
    }

    fn title(&self) -> &str {
        self.charts.first().map_or("", |(_, _, chart)| &chart.title)
    }

    /// Draws the sheet as SVG. Equal sheets give equal bytes.
    pub fn to_svg(&self) -> String {
        let (width, height) = self.size();
        let mut canvas = Canvas::new(width, height, self.title());
        for (x, y, chart) in &self.charts {
            canvas.drawing(f64::from(*x), f64::from(*y), &chart.to_svg());
        }
        canvas.finish()
    }

    /// Draws the sheet as PNG, with two pixels per unit.
    ///
    /// # Errors
    /// As [`Chart::to_png`].
    pub fn to_png(&self) -> Result<Vec<u8>, ChartError> {
        png::drawn(self.title(), &self.to_svg(), self.size())
    }
}
