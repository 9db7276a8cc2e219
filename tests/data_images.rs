//! A folder of PNG and JPEG files by class becomes the images it holds; what is wrong with one is said with its name.

mod common_data;

use std::fs;

use common_data::{floats, folder, open, refusal};
use png::{BitDepth, ColorType};
use rekindle::data::{Data, Input, TargetKind};
use rekindle::state::Part;

const IMAGES: &str = "format = \"images\"\nshuffle = false\n";
const COLOUR: &[u8] = include_bytes!("data/colour.jpg");
const GREY: &[u8] = include_bytes!("data/grey.jpg");

fn png(color: ColorType, depth: BitDepth, width: u32, height: u32, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(samples).unwrap();
    bytes
}

fn grey(samples: [u8; 4]) -> Vec<u8> {
    png(ColorType::Grayscale, BitDepth::Eight, 2, 2, &samples)
}

fn animals() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("dog/b.png", grey([0, 51, 102, 255])),
        ("cat/2.png", grey([1, 2, 3, 4])),
        ("cat/10.png", grey([5, 6, 7, 8])),
        ("cat/.hidden", vec![]),
        ("README", vec![]),
    ]
}

fn opened(files: &[(&str, Vec<u8>)], options: &str) -> (tempfile::TempDir, Data) {
    let folder = folder(files);
    let data = open(folder.path(), &format!("{IMAGES}{options}")).unwrap();
    (folder, data)
}

fn said(files: &[(&str, Vec<u8>)], options: &str) -> String {
    refusal(files, "", &format!("{IMAGES}{options}"))
}

#[test]
fn classes_are_folders_in_order_of_their_names_and_images_are_files_in_theirs() {
    let (_folder, data) = opened(&animals(), "");
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![1, 2, 2]), TargetKind::Classes { count: 2 }));
    let batch = data.batch(0).unwrap();
    assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [0, 0, 1]);
    let bytes: Vec<f32> = floats(&batch.inputs).iter().map(|value| value * 255.0).collect();
    let expected = [5.0, 6.0, 7.0, 8.0, 1.0, 2.0, 3.0, 4.0, 0.0, 51.0, 102.0, 255.0];
    assert!(bytes.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4), "{bytes:?}");
    assert_eq!(data.save().unwrap().json, serde_json::json!({"classes": ["cat", "dog"]}));
}

#[test]
fn every_kind_of_png_becomes_grey_or_three_colours() {
    let rgb = |samples: &[u8]| png(ColorType::Rgb, BitDepth::Eight, 1, 1, samples);
    let images: Vec<(&str, Vec<u8>)> = vec![
        ("a/1", rgb(&[10, 20, 30])),
        ("a/2", png(ColorType::Rgba, BitDepth::Eight, 1, 1, &[10, 20, 30, 7])),
        ("a/3", png(ColorType::Grayscale, BitDepth::Eight, 1, 1, &[40])),
        ("a/4", png(ColorType::GrayscaleAlpha, BitDepth::Eight, 1, 1, &[40, 7])),
        ("a/5", png(ColorType::Rgb, BitDepth::Sixteen, 1, 1, &[10, 99, 20, 99, 30, 99])),
        ("a/6", png(ColorType::Grayscale, BitDepth::One, 1, 1, &[0x80])),
    ];
    let of = |channels| {
        let (_folder, data) = opened(&images, &format!("channels = {channels}"));
        let values = floats(&data.batch(0).unwrap().inputs);
        values.iter().map(|value| (value * 255.0).round() as u8).collect::<Vec<u8>>()
    };
    assert_eq!(of(3), [10, 20, 30, 10, 20, 30, 40, 40, 40, 40, 40, 40, 10, 20, 30, 255, 255, 255]);
    // 0.299 · 10 + 0.587 · 20 + 0.114 · 30 = 18.15.
    assert_eq!(of(1), [18, 18, 40, 40, 18, 255]);
}

/// What libjpeg makes of the same files; two decoders may round a value differently.
#[test]
fn jpeg_files_are_read_in_grey_and_in_colour() {
    let colour = [[1, 0, 202], [43, 0, 200], [79, 1, 199], [122, 0, 201], [161, 0, 199], [202, 0, 202]];
    let (_folder, data) = opened(&[("a/1.jpg", COLOUR.to_vec())], "");
    assert_eq!(data.input(), Input::Numbers(vec![3, 4, 6]));
    let values = floats(&data.batch(0).unwrap().inputs);
    for (x, pixel) in colour.iter().enumerate() {
        for (channel, &expected) in pixel.iter().enumerate() {
            assert!((values[channel * 24 + x] * 255.0 - expected as f32).abs() <= 3.0, "{x} {channel}");
        }
    }
    let (_folder, data) = opened(&[("a/1.jpg", GREY.to_vec())], "");
    assert_eq!(data.input(), Input::Numbers(vec![1, 4, 6]));
    let values = floats(&data.batch(0).unwrap().inputs);
    for (value, expected) in values.iter().zip([23.0, 35.0, 47.0, 59.0, 70.0, 83.0, 58.0]) {
        assert!((value * 255.0 - expected).abs() <= 2.0);
    }
}

#[test]
fn validation_images_are_a_share_or_in_a_folder_of_their_own() {
    let mut files: Vec<(&str, Vec<u8>)> = animals();
    files.push(("val/dog/x.png", grey([9; 4])));
    let nested: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|(name, bytes)| {
            (if name.starts_with("val") { (*name).to_owned() } else { format!("train/{name}") }, bytes.clone())
        })
        .collect();
    let nested: Vec<(&str, Vec<u8>)> = nested.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let folder = folder(&nested);
    let options = format!("{IMAGES}validation_path = {:?}", folder.path().join("val"));
    let data = open(&folder.path().join("train"), &options).unwrap();
    assert_eq!((data.train_rows().len(), data.validation_rows().to_vec()), (3, vec![3]));
    assert_eq!(data.validation_batches().next().unwrap().unwrap().targets.to_vec1::<u32>().unwrap(), [1]);
    let (_folder, shared) = opened(&animals(), "validation = 0.34");
    assert_eq!((shared.train_rows().len(), shared.validation_rows().len()), (2, 1));

    fs::create_dir(folder.path().join("val/cow")).unwrap();
    let message = open(&folder.path().join("train"), &options).map(drop).unwrap_err();
    assert!(
        message.ends_with("val/cow is of a class that there is no training image of; it has `cat`, `dog`"),
        "{message}"
    );
}

#[test]
fn the_fingerprint_is_of_names_and_contents() {
    let of = |files: &[(&str, Vec<u8>)]| opened(files, "").1.fingerprint().clone();
    let whole = of(&animals());
    let (mut renamed, mut changed) = (animals(), animals());
    renamed[0].0 = "dog/c.png";
    changed[0].1 = grey([1; 4]);
    assert!(whole != of(&renamed) && whole != of(&changed) && whole == of(&animals()));
}

#[test]
fn an_image_of_another_size_is_named_with_both_sizes() {
    let mut files = animals();
    files.push(("dog/z.png", png(ColorType::Grayscale, BitDepth::Eight, 3, 2, &[0; 6])));
    assert_eq!(said(&files, ""), "dog/z.png is 3×2 pixels and cat/10.png 2×2; all images must have one size");
}

#[test]
fn grey_and_coloured_images_are_mixed_only_on_request() {
    let mut files = animals();
    files.push(("dog/z.png", png(ColorType::Rgb, BitDepth::Eight, 2, 2, &[0; 12])));
    assert_eq!(
        said(&files, ""),
        "dog/z.png is coloured and cat/10.png grey; set `data.channels` to 1 or 3 to have all of them alike"
    );
    assert_eq!(opened(&files, "channels = 3").1.input(), Input::Numbers(vec![3, 2, 2]));
}

#[test]
fn what_is_no_image_is_named() {
    let with = |name, bytes: Vec<u8>| {
        let mut files = animals();
        files.push((name, bytes));
        said(&files, "")
    };
    assert_eq!(with("cat/z.txt", b"hello".to_vec()), "cat/z.txt is neither PNG nor JPEG; remove it, or convert it");
    assert_eq!(with("cat/z.png", vec![]), "cat/z.png is neither PNG nor JPEG; remove it, or convert it");
    assert!(with("cat/z.png", grey([0; 4])[..20].to_vec()).starts_with("the image cat/z.png cannot be read: "));
    assert!(with("cat/z.jpg", COLOUR[..100].to_vec()).starts_with("the image cat/z.jpg cannot be read: "));
}

/// The head is whole, so that it is only seen to be damaged when its batch is gathered.
#[test]
fn an_image_that_is_cut_short_is_named_at_the_step_that_needs_it() {
    for (name, bytes, size) in [("cat/z.png", grey([7; 4]), (2, 2)), ("cat/z.jpg", COLOUR.to_vec(), (6, 4))] {
        let end = bytes.len() - 20;
        let (folder, data) = opened(&[("cat/a.jpg", bytes.clone()), (name, bytes[..end].to_vec())], "batch_size = 1");
        assert_eq!(data.input(), Input::Numbers(vec![if size == (2, 2) { 1 } else { 3 }, size.1, size.0]));
        assert!(data.batch(0).is_ok());
        let message = data.batch(1).unwrap_err().to_string();
        let expected = format!("the image {} cannot be read: ", folder.path().join(name).display());
        assert!(message.starts_with(&expected), "{message}");
    }
}

/// A picture of two by two, whose head speaks of `width` by `height`.
fn lying(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = grey([7; 4]);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bytes
}

/// Sixteen thousand by sixteen thousand would be 256 MB in grey.
#[test]
fn a_head_that_speaks_of_more_pixels_than_the_file_can_hold_is_not_believed() {
    let expected = "its head speaks of 16000×16000 pixels, which ";
    let message = said(&[("cat/a.png", lying(16_000, 16_000))], "");
    assert!(message.starts_with("the image cat/a.png cannot be read: ") && message.contains(expected), "{message}");
    let mut jpeg = GREY.to_vec();
    let start_of_frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    jpeg[start_of_frame + 5..][..4].copy_from_slice(&[0x3e, 0x80, 0x3e, 0x80]);
    let message = said(&[("cat/a.jpg", jpeg)], "");
    assert!(message.starts_with("the image cat/a.jpg cannot be read: ") && message.contains(expected), "{message}");
    // What a file can hold is believed until it is unpacked, and compared with the other images before that.
    let message = said(&[("cat/a.png", grey([0; 4])), ("cat/b.png", lying(40, 50))], "");
    assert_eq!(message, "cat/b.png is 40×50 pixels and cat/a.png 2×2; all images must have one size");
}

#[test]
fn an_image_that_changes_or_goes_away_is_named_at_the_step_that_needs_it() {
    let (folder, data) = opened(&animals(), "batch_size = 1");
    let path = folder.path().join("dog/b.png");
    // Another size, and another picture of the same size and length.
    for other in [png(ColorType::Grayscale, BitDepth::Eight, 1, 1, &[0]), grey([1, 51, 102, 255])] {
        fs::write(&path, other).unwrap();
        let message = data.batch(2).unwrap_err().to_string();
        let remedy = "bring back what it was and resume, or start a new run";
        let expected = format!("{} is not what it was when the data was opened; {remedy}", path.display());
        assert_eq!(message, expected);
    }
    fs::write(&path, grey([0, 51, 102, 255])).unwrap();
    assert!(data.batch(2).is_ok());
    fs::remove_file(&path).unwrap();
    assert!(data.batch(2).unwrap_err().to_string().starts_with(&format!("cannot read {}: No such", path.display())));
}

#[test]
fn folders_without_classes_or_images_are_refused() {
    let expected = "has no folders in it; images of a class are in a folder with the name of the class";
    assert!(said(&[("a.png", grey([0; 4]))], "").ends_with(expected));
    assert!(said(&[("cat/.hidden", vec![])], "").ends_with(" holds no rows of data"));
    let message = refusal(&[], "nowhere", IMAGES);
    assert!(message.starts_with("cannot read nowhere: No such file or directory"), "{message}");
    assert!(said(&animals(), "classes = 2").starts_with("`data.classes` has no meaning for images"));
}

#[test]
fn a_checkpoint_of_other_classes_is_refused() {
    let (_folder, data) = opened(&animals(), "");
    let mut files = animals();
    files.push(("cow/a.png", grey([0; 4])));
    let message = opened(&files, "").1.check(&data.save().unwrap()).unwrap_err().to_string();
    assert_eq!(
        message,
        "the list of classes is [\"cat\",\"dog\"] in the checkpoint and [\"cat\",\"cow\",\"dog\"] here"
    );
}
