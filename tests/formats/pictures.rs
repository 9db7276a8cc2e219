//! Pictures of every format have the pixels that Pillow finds in them, also resized; what is valid and not read is not
//! called damaged.

use std::path::Path;

use crate::common::data::{floats, folder, open, refusal};
use rekindle::data::{Data, Input};
use serde_json::Value;

const IMAGES: &str = "format = \"images\"\nshuffle = false\nbatch_size = \"all\"\n";

/// Pillow's pixels, written by `make.py` beside the file.
fn pictures() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures/pictures.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn bytes(hexadecimal: &Value) -> Vec<u8> {
    let text = hexadecimal.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn opened(content: &[u8], options: &str) -> (tempfile::TempDir, Data) {
    let folder = folder(&[("a/1", content.to_vec()), ("b/1", content.to_vec())]);
    let data = open(folder.path(), &format!("{IMAGES}{options}")).unwrap();
    (folder, data)
}

/// The bytes of the first image, with the channels of a pixel together.
fn pixels(data: &Data) -> Vec<u8> {
    let Input::Numbers(shape) = data.input() else { panic!("tokens") };
    let (channels, plane) = (shape[0], shape[1] * shape[2]);
    let values = floats(&data.batch(0).unwrap().inputs);
    let at = |place: usize| (values[place % channels * plane + place / channels] * 255.0).round() as u8;
    (0..channels * plane).map(at).collect()
}

#[test]
fn every_format_has_the_pixels_that_pillow_finds() {
    let pictures = pictures();
    for (name, picture) in pictures["read"].as_object().unwrap() {
        let (_folder, data) = opened(&bytes(&picture["file"]), "channels = 3");
        let (found, expected) = (pixels(&data), bytes(&picture["pixels"]));
        assert_eq!(found.len(), expected.len(), "{name}");
        let farthest = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
        // Decoders of lossy formats may round in other ways.
        let allowed = if name.ends_with(".jpg") || name.starts_with("lossy") { 4 } else { 0 };
        assert!(farthest <= Some(allowed), "{name}: {farthest:?}");
    }
}

#[test]
fn a_resized_image_has_the_bits_of_pillow() {
    let pictures = pictures();
    let png = bytes(&pictures["source"]["png"]);
    for small in pictures["resized"].as_array().unwrap() {
        let options = format!("resize = [{}, {}]\nchannels = {}", small["height"], small["width"], small["channels"]);
        let (_folder, data) = opened(&png, &options);
        let expected = bytes(&small["pixels"]);
        assert_eq!(pixels(&data), expected, "{options}");
    }
}

/// The picture is 13 wide and 9 high.
#[test]
fn the_shorter_side_is_resized_and_the_middle_is_cropped() {
    let pictures = pictures();
    let png = bytes(&pictures["source"]["png"]);
    let size = |options: &str| opened(&png, options).1.input();
    assert_eq!(size("resize = 6"), Input::Numbers(vec![3, 6, 8]));
    assert_eq!(size("resize = 18\ncrop = 16"), Input::Numbers(vec![3, 16, 16]));
    let (_folder, whole) = opened(&png, "");
    let (_folder, middle) = opened(&png, "crop = [7, 6]");
    assert_eq!(middle.input(), Input::Numbers(vec![3, 7, 6]));
    let (whole, middle) = (pixels(&whole), pixels(&middle));
    // Half of 7 columns is 3.5, which is rounded to 4; half of 2 rows is 1.
    assert_eq!(middle[..18], whole[(13 + 4) * 3..(13 + 10) * 3]);
}

#[test]
fn images_of_several_sizes_are_brought_to_one() {
    let pictures = pictures();
    let files = [("a/1", bytes(&pictures["source"]["png"])), ("b/1", bytes(&pictures["read"]["motion.jpg"]["file"]))];
    let folder = folder(&files);
    let data = open(folder.path(), &format!("{IMAGES}resize = 10\ncrop = 10")).unwrap();
    assert_eq!(data.input(), Input::Numbers(vec![3, 10, 10]));
    let refused = |options: &str| refusal(&files, "", &format!("{IMAGES}{options}"));
    assert!(refused("").contains("set `data.resize`, or `data.crop`"));
    assert!(refused("resize = 10").contains("all images must have one size"));
    assert_eq!(
        refused("crop = 10"),
        "a/1 is 13×9 pixels, smaller than `data.crop`; set `data.resize` to enlarge it first"
    );
}

#[test]
fn a_jpeg_that_is_not_read_is_unsupported_and_not_damaged() {
    let pictures = pictures();
    let jpeg = bytes(&pictures["read"]["adobe.jpg"]["file"]);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for (at, byte, what) in [(1, 0xc9, "arithmetic coding"), (4, 12, "12 bits per sample"), (1, 0xc3, "lossless")] {
        let mut other = jpeg.clone();
        other[frame + at] = byte;
        let message = refusal(&[("a/1.jpg", other), ("b/1.jpg", jpeg.clone())], "", IMAGES);
        let expected = "a/1.jpg is not damaged, but unsupported: it is a ";
        assert!(message.starts_with(expected) && message.contains(what), "{message}");
        assert!(message.ends_with("; convert it, or skip it with `--set data.skip_bad=true`"), "{message}");
    }
}

#[test]
fn a_cut_or_empty_file_of_every_format_is_an_error() {
    let pictures = pictures();
    for (name, picture) in pictures["read"].as_object().unwrap() {
        let whole = bytes(&picture["file"]);
        for end in [12, whole.len() / 3] {
            let files = [("a/1", whole[..end].to_vec()), ("b/1", whole.clone())];
            let folder = folder(&files);
            let opened = open(folder.path(), &format!("{IMAGES}channels = 3"));
            let Err(message) = opened else { panic!("{name} is read up to byte {end}") };
            assert!(message.contains("a/1 cannot be read: "), "{name} {end}: {message}");
        }
    }
}
