//! The typeface of charts, and how wide words are in it.

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// The font of every chart: DejaVu Sans, Latin and Greek letters and a few symbols.
pub const FONT: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans-subset.ttf");

/// Returns the width of `text` in the font at `size`, in the unit of `size`.
pub fn width(text: &str, size: f64) -> f64 {
    let Ok(font) = FontRef::new(FONT) else { return 0.6 * size * text.chars().count() as f64 };
    let (glyphs, metrics) = (font.charmap(), font.glyph_metrics(Size::new(size as f32), LocationRef::default()));
    let advance = |letter: char| metrics.advance_width(glyphs.map(letter)?).map(f64::from);
    // Characters missing in the font are drawn with another one; most are at most a square.
    text.chars().map(|letter| advance(letter).unwrap_or(size)).sum()
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
}
