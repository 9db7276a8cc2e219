//! Charts as PNG.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::{Chart, ChartError};
use crate::typeface;

/// Pixels per unit of the SVG, for high-resolution screens.
const SCALE: u16 = 2;

impl Chart {
    /// Draws the chart as PNG: like [`Chart::to_svg`], with two pixels per unit and a built-in font.
    ///
    /// # Errors
    ///
    /// [`ChartError`], if the renderer fails.
    pub fn to_png(&self) -> Result<Vec<u8>, ChartError> {
        drawn(&self.title, &self.to_svg(), self.size.in_units())
    }
}

/// Draws an SVG of this width and height.
pub(super) fn drawn(title: &str, svg: &str, (width, height): (f64, f64)) -> Result<Vec<u8>, ChartError> {
    let drawing = |reason: String| ChartError::Drawing { title: title.to_owned(), reason };
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(typeface::FONT.to_vec());
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| drawing(error.to_string()))?;
    let [width, height] = [width, height].map(|length| length as u32 * u32::from(SCALE));
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| drawing("it has no size".to_owned()))?;
    let scale = f32::from(SCALE);
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    let encoding = |reason: String| ChartError::Encoding { title: title.to_owned(), reason };
    pixels.encode_png().map_err(|error| encoding(error.to_string()))
}
