//! A picture with some images, and under each its class and the predicted one.

use std::io;

use resvg::tiny_skia::{Color, FillRule, Paint, Pixmap, PremultipliedColorU8, Transform};

use crate::train::{Example, Image};
use crate::typeface;

/// The longest side of an image, in pixels. A smaller image is magnified as often as it fits.
pub(super) const SIDE: usize = 112;

/// Images beside each other.
const COLUMNS: usize = 4;

/// The place of an image with its words: width, and height.
const CELL: [usize; 2] = [SIDE + 16, SIDE + 48];

/// The gap around an image.
const GAP: usize = 8;

/// The size of letters, and of a line.
const LETTERS: f32 = 12.0;
const LINE: f32 = 15.0;

/// The colors of a class, of a right prediction, and of a wrong one: of Okabe and Ito, apart for the color-blind.
const INK: [u8; 3] = [0x22, 0x22, 0x22];
const RIGHT: [u8; 3] = [0x00, 0x7a, 0x58];
const WRONG: [u8; 3] = [0xc4, 0x51, 0x00];

/// A picture as PNG.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sheet {
    pub width: u32,
    pub height: u32,
    pub png: Vec<u8>,
}

impl Sheet {
    /// Draws examples with the names of their classes; `None` if no example has an image.
    pub fn of(examples: &[Example], names: &[String]) -> io::Result<Option<Self>> {
        let shown: Vec<(&Example, &Image)> =
            examples.iter().filter_map(|example| Some((example, example.image.as_ref()?))).collect();
        let (columns, rows) = (shown.len().min(COLUMNS), shown.len().div_ceil(COLUMNS));
        let [width, height] = [columns * CELL[0], rows * CELL[1]].map(|length| length as u32);
        let Some(mut pixels) = Pixmap::new(width, height) else { return Ok(None) };
        pixels.fill(Color::WHITE);
        for (number, (example, image)) in shown.into_iter().enumerate() {
            let place = (number % COLUMNS * CELL[0] + GAP, number / COLUMNS * CELL[1] + GAP);
            draw(&mut pixels, image, place);
            caption(&mut pixels, example, names, place);
        }
        let png = pixels.encode_png().map_err(io::Error::other)?;
        Ok(Some(Self { width, height, png }))
    }
}

/// Draws an image in the middle of a square.
fn draw(pixels: &mut Pixmap, image: &Image, (left, top): (usize, usize)) {
    let times = SIDE.checked_div(image.width.max(image.height)).unwrap_or(0).max(1);
    let middle = |length: usize| SIDE.saturating_sub(length * times) / 2;
    let (left, top) = (left + middle(image.width), top + middle(image.height));
    let (width, area) = (pixels.width() as usize, image.width * image.height);
    for y in 0..(image.height * times).min(SIDE) {
        for x in 0..(image.width * times).min(SIDE) {
            let at = y / times * image.width + x / times;
            let channel = |number: usize| {
                let number = if image.channels == 3 { number } else { 0 };
                image.pixels.get(number * area + at).copied().unwrap_or_default()
            };
            let color = PremultipliedColorU8::from_rgba(channel(0), channel(1), channel(2), u8::MAX);
            if let (Some(pixel), Some(color)) = (pixels.pixels_mut().get_mut((top + y) * width + left + x), color) {
                *pixel = color;
            }
        }
    }
}

/// Writes the class of an example under its image, and the predicted one under that.
fn caption(pixels: &mut Pixmap, example: &Example, names: &[String], (left, top): (usize, usize)) {
    // The number of a class whose name cannot be written.
    let name = |class: u32| names.get(class as usize).filter(|name| typeface::has(name)).cloned();
    let name = |class: u32| name(class).unwrap_or_else(|| class.to_string());
    let probability = format!(" {:.0} %", 100.0 * example.probability);
    let color = if example.predicted == example.target { RIGHT } else { WRONG };
    let room = |beside: &str| SIDE as f64 - typeface::width(beside, f64::from(LETTERS));
    let predicted = fitted(&name(example.predicted), room(&probability)) + &probability;
    let lines = [(fitted(&name(example.target), room("")), INK), (predicted, color)];
    let (left, mut line) = (left as f32, (top + SIDE) as f32 + LINE);
    for (text, [red, green, blue]) in lines {
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        paint.set_color_rgba8(red, green, blue, u8::MAX);
        if let Some(path) = typeface::outline(&text, LETTERS, (left, line)) {
            pixels.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
        }
        line += LINE;
    }
}

/// Returns a name, cut off with `…` if it is wider than `most`.
fn fitted(name: &str, most: f64) -> String {
    /// More letters than fit anywhere.
    const LETTERS_THAT_FIT: usize = 60;
    let width = |text: &str| typeface::width(text, f64::from(LETTERS));
    let mut letters: Vec<char> = name.chars().take(LETTERS_THAT_FIT).collect();
    let mut text: String = letters.iter().collect();
    while width(&text) > most && letters.pop().is_some() {
        text = letters.iter().copied().chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(target: u32, predicted: u32, (channels, width, height): (usize, usize, usize)) -> Example {
        let pixels = (0..channels * width * height).map(|at| (at * 7 % 256) as u8).collect();
        let image = Some(Image { width, height, channels, pixels });
        Example { row: 0, target, predicted, probability: 0.972, image }
    }

    fn drawn(sheet: &Sheet) -> Pixmap {
        Pixmap::decode_png(&sheet.png).unwrap()
    }

    #[test]
    fn images_stand_in_rows_of_four_magnified_with_their_classes_below() {
        let names = ["boot", "a very long name of a class that does not fit"].map(str::to_owned);
        let examples: Vec<Example> =
            [(0, 0, (1, 28, 28)), (0, 1, (3, 32, 20)), (1, 1, (1, 112, 112)), (7, 0, (1, 2, 2)), (0, 0, (1, 8, 8))]
                .into_iter()
                .map(|(target, predicted, shape)| example(target, predicted, shape))
                .collect();
        let sheet = Sheet::of(&examples, &names).unwrap().unwrap();
        assert_eq!((sheet.width, sheet.height), (4 * 128, 2 * 160));
        let pixels = drawn(&sheet);
        let at = |x: u32, y: u32| {
            let pixel = pixels.pixel(x, y).unwrap();
            [pixel.red(), pixel.green(), pixel.blue()]
        };
        // 28 pixels, four times as large.
        for (x, y) in [(0, 0), (27, 3), (5, 27)] {
            let grey = ((y * 28 + x) * 7 % 256) as u8;
            assert_eq!([at(8 + 4 * x, 8 + 4 * y), at(11 + 4 * x, 11 + 4 * y)], [[grey; 3]; 2]);
        }
        // Colors, three times as large, in the middle.
        assert_eq!(at(128 + 8 + 8, 8 + 26), [0, 128, 0]);
        // Words below, and nothing beside the cell of the fifth.
        let has = |test: fn([u8; 3]) -> bool, cell: (u32, u32)| {
            let mut inside = (0..128).flat_map(|x| (120..160).map(move |y| (x, y)));
            inside.any(|(x, y)| test(at(128 * cell.0 + x, 160 * cell.1 + y)))
        };
        let is_ink = |color: [u8; 3]| color[0] == color[2] && color[0] < 0x80;
        let is_right = |color: [u8; 3]| color[1] > color[0].saturating_add(0x40);
        let is_wrong = |color: [u8; 3]| color[0] > color[2].saturating_add(0x40);
        assert!(has(is_ink, (0, 0)) && has(is_right, (0, 0)) && !has(is_wrong, (0, 0)));
        assert!(has(is_ink, (1, 0)) && has(is_wrong, (1, 0)) && !has(is_right, (1, 0)));
        assert_eq!(at(200, 200), [255; 3]);
        let in_japanese = Sheet::of(&examples[..1], &["\u{65e5}".to_owned()]).unwrap();
        assert_eq!(in_japanese, Sheet::of(&examples[..1], &[]).unwrap());
        assert_eq!(Sheet::of(&examples, &names).unwrap(), Some(sheet));
    }

    #[test]
    fn rows_without_images_have_no_picture() {
        let none = Example { image: None, ..example(0, 0, (1, 2, 2)) };
        assert_eq!(Sheet::of(&[none], &[]).unwrap(), None);
        assert_eq!(Sheet::of(&[], &[]).unwrap(), None);
    }

    #[test]
    fn a_long_name_is_cut_to_its_room() {
        assert_eq!(fitted("boot", 100.0), "boot");
        let cut = fitted(&"m".repeat(500), 100.0);
        assert!(cut.ends_with('…') && typeface::width(&cut, 12.0) <= 100.0 && cut.len() > 8, "{cut}");
        assert_eq!(fitted("m", 1.0), "…");
    }
}
