//! The typeface of charts and other pictures: how wide words are in it, and their outlines.

use resvg::tiny_skia::{Path, PathBuilder};
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, MetadataProvider};

/// The font of every picture: DejaVu Sans, Latin and Greek letters and a few symbols.
pub const FONT: &[u8] = include_bytes!("../assets/fonts/DejaVuSans-subset.ttf");

/// Returns the width of `text` in the font at `size`, in the unit of `size`.
pub fn width(text: &str, size: f64) -> f64 {
    let Ok(font) = FontRef::new(FONT) else { return 0.6 * size * text.chars().count() as f64 };
    let (glyphs, metrics) = (font.charmap(), font.glyph_metrics(Size::new(size as f32), LocationRef::default()));
    let advance = |letter: char| metrics.advance_width(glyphs.map(letter)?).map(f64::from);
    // Characters missing in the font are drawn with another one; most are at most a square.
    text.chars().map(|letter| advance(letter).unwrap_or(size)).sum()
}

/// Whether the font has every character of `text`.
pub fn has(text: &str) -> bool {
    FontRef::new(FONT).is_ok_and(|font| text.chars().all(|letter| font.charmap().map(letter).is_some()))
}

/// Returns the outline of `text` at `size`, written from `x` on above the line at `y`; `None` if nothing is to be drawn.
/// A character that the font lacks is a gap.
pub fn outline(text: &str, size: f32, (x, y): (f32, f32)) -> Option<Path> {
    let font = FontRef::new(FONT).ok()?;
    let (glyphs, outlines) = (font.charmap(), font.outline_glyphs());
    let metrics = font.glyph_metrics(Size::new(size), LocationRef::default());
    let mut pen = Pen { path: PathBuilder::new(), x, y };
    for letter in text.chars() {
        let glyph = glyphs.map(letter).unwrap_or_default();
        if let Some(outline) = outlines.get(glyph) {
            let settings = DrawSettings::unhinted(Size::new(size), LocationRef::default());
            // Every glyph of the built-in font can be drawn.
            let _ = outline.draw(settings, &mut pen);
        }
        pen.x += metrics.advance_width(glyph).unwrap_or(size);
    }
    pen.path.finish()
}

/// Collects outlines, whose heights grow upwards, in a path, where they grow downwards.
struct Pen {
    path: PathBuilder,
    x: f32,
    y: f32,
}

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x, self.y - y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x, self.y - y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.x + x1, self.y - y1, self.x + x, self.y - y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path.cubic_to(self.x + x1, self.y - y1, self.x + x2, self.y - y2, self.x + x, self.y - y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_wide_as_the_typeface_draws_them() {
        // DejaVu Sans: `m` is 1995 of 2048 units wide, `i` 569.
        assert!((width("m", 2048.0) - 1995.0).abs() < 0.5);
        assert!((width("mi", 1024.0) - (1995.0 + 569.0) / 2.0).abs() < 0.5);
    }

    #[test]
    fn an_outline_is_where_the_word_is_written() {
        let bounds = outline("mi", 100.0, (50.0, 80.0)).unwrap().bounds();
        let end = 50.0 + width("mi", 100.0) as f32;
        assert!(bounds.left() > 50.0 && bounds.right() < end && bounds.right() > end - 20.0, "{bounds:?}");
        // On the line, and as high as the dot of the `i`.
        assert!((bounds.bottom() - 80.0).abs() < 1.0 && (bounds.top() - 4.0).abs() < 2.0, "{bounds:?}");
        // Greek letters, but no Japanese ones.
        assert_eq!([has("mi µ…"), has("\u{65e5}")], [true, false]);
        assert!(outline("\u{65e5} ", 100.0, (0.0, 0.0)).is_none());
    }
}
