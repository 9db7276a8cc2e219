//! A folder of images by class is read as the images it holds; errors name the image.

use std::fs;

use crate::common::data::{floats, folder, open, refusal};
use png::{BitDepth, ColorType};
use rekindle::data::{Data, Input, TargetKind};
use rekindle::state::Stateful;

const IMAGES: &str = "format = \"images\"\nshuffle = false\n";
const COLOUR: &[u8] = include_bytes!("../data/colour.jpg");
const GREY: &[u8] = include_bytes!("../data/grey.jpg");

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
    let saved = data.save().unwrap().json;
    assert_eq!((&saved["classes"], &saved["skipped"]), (&serde_json::json!(["cat", "dog"]), &serde_json::Value::Null));
    let images: Vec<&String> = saved["images"].as_object().unwrap().keys().collect();
    assert_eq!(images, ["cat/10.png", "cat/2.png", "dog/b.png"]);
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
        ("b/6", png(ColorType::Grayscale, BitDepth::One, 1, 1, &[0x80])),
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

/// libjpeg's results for the same files; two decoders may round a value differently.
#[test]
fn jpeg_files_are_read_in_grey_and_in_colour() {
    let colour = [[1, 0, 202], [43, 0, 200], [79, 1, 199], [122, 0, 201], [161, 0, 199], [202, 0, 202]];
    let (_folder, data) = opened(&[("a/1.jpg", COLOUR.to_vec()), ("b/1.jpg", COLOUR.to_vec())], "");
    assert_eq!(data.input(), Input::Numbers(vec![3, 4, 6]));
    let values = floats(&data.batch(0).unwrap().inputs);
    for (x, pixel) in colour.iter().enumerate() {
        for (channel, &expected) in pixel.iter().enumerate() {
            assert!((values[channel * 24 + x] * 255.0 - expected as f32).abs() <= 3.0, "{x} {channel}");
        }
    }
    let (_folder, data) = opened(&[("a/1.jpg", GREY.to_vec()), ("b/1.jpg", GREY.to_vec())], "");
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
    assert!(message.ends_with("val/cow has no training images in its class; it has `cat`, `dog`"), "{message}");
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
    assert_eq!(
        said(&files, ""),
        "dog/z.png is 3×2 pixels and cat/10.png 2×2; all images must have one size: set `data.resize`, or `data.crop`"
    );
}

#[test]
fn grey_and_coloured_images_are_mixed_only_on_request() {
    let mut files = animals();
    files.push(("dog/z.png", png(ColorType::Rgb, BitDepth::Eight, 2, 2, &[0; 12])));
    assert_eq!(
        said(&files, ""),
        "dog/z.png is coloured and cat/10.png grey; set `data.channels` to 1 or 3 to convert them all"
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
    let remedy = "convert it, or skip it with `--set data.skip_bad=true`";
    assert_eq!(
        with("cat/z.txt", b"hello".to_vec()),
        format!("cat/z.txt is neither PNG nor JPEG, WebP, BMP or GIF; {remedy}")
    );
    assert_eq!(with("cat/z.png", vec![]), format!("cat/z.png is neither PNG nor JPEG, WebP, BMP or GIF; {remedy}"));
    assert!(with("cat/z.png", grey([0; 4])[..20].to_vec()).starts_with("the image cat/z.png cannot be read: "));
    assert!(with("cat/z.jpg", COLOUR[..100].to_vec()).starts_with("the image cat/z.jpg cannot be read: "));
}

/// Their headers are valid, so the damage is found only by decoding.
fn with_three_cut_short() -> Vec<(&'static str, Vec<u8>)> {
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 20].to_vec();
    vec![
        ("cat/a.jpg", COLOUR.to_vec()),
        ("cat/b.jpg", cut(COLOUR)),
        ("dog/a.jpg", COLOUR.to_vec()),
        ("dog/b.jpg", cut(COLOUR)),
        ("dog/c.txt", b"hello".to_vec()),
        ("dog/d.jpg", COLOUR.to_vec()),
    ]
}

#[test]
fn every_image_that_is_cut_short_is_named_before_the_first_step() {
    assert_eq!(
        said(&with_three_cut_short(), ""),
        "3 of 6 images cannot be read:\n  cat/b.jpg: the file is truncated\n  dog/b.jpg: the file is truncated\n  \
         dog/c.txt: neither PNG nor JPEG, WebP, BMP or GIF\nreplace them with valid ones, or skip them with `--set data.skip_bad=true`"
    );
    let mut png = animals();
    png.push(("cat/z.png", grey([7; 4])));
    let end = png[5].1.len() - 20;
    png[5].1.truncate(end);
    let message = said(&png, "");
    assert!(message.starts_with("the image cat/z.png cannot be read: "), "{message}");
}

#[test]
fn an_image_that_was_not_looked_at_is_named_at_the_step_that_needs_it() {
    let (files, unchecked) = (&with_three_cut_short()[..4], "batch_size = 1\ncheck_images = false");
    let (folder, data) = opened(files, unchecked);
    assert_eq!(data.input(), Input::Numbers(vec![3, 4, 6]));
    assert!(data.batch(0).is_ok());
    let message = data.batch(1).unwrap_err().to_string();
    let path = folder.path().join("cat/b.jpg");
    let remedy = "replace it with a valid one, or skip it with `--set data.skip_bad=true`";
    assert_eq!(message, format!("the image {} cannot be read: the file is truncated; {remedy}", path.display()));
    let notices: Vec<String> = data.notices().iter().map(ToString::to_string).collect();
    assert!(notices[0].ends_with("are not decoded to check them; `data.check_images = true` does this"));
}

#[test]
fn bad_images_are_skipped_on_request_and_listed() {
    let (_folder, data) = opened(&with_three_cut_short(), "skip_bad = true");
    assert_eq!(data.batch(0).unwrap().targets.to_vec1::<u32>().unwrap(), [0, 1, 1]);
    let skipped = ["cat/b.jpg", "dog/b.jpg", "dog/c.txt"];
    let saved = data.save().unwrap();
    assert_eq!(saved.json["skipped"], serde_json::json!(skipped));
    let notices: Vec<String> = data.notices().iter().map(ToString::to_string).collect();
    let expected = "warning: 3 of 6 images cannot be read and are skipped: cat/b.jpg, dog/b.jpg, dog/c.txt";
    assert_eq!(notices, [expected]);
    // The rows are those of a folder without them.
    let without: Vec<_> = with_three_cut_short().into_iter().filter(|(name, _)| !skipped.contains(name)).collect();
    assert_eq!(opened(&without, "").1.fingerprint(), data.fingerprint());
    let only = [("cat/a.jpg", COLOUR.to_vec()), ("dog/a.jpg", COLOUR[..COLOUR.len() - 20].to_vec())];
    let message = said(&only, "skip_bad = true");
    assert!(
        message.ends_with(
            "has folders without an image in them: dog; a class needs images to \
                               be learned: add images, or remove the folder"
        ),
        "{message}"
    );
    let message = said(&with_three_cut_short(), "skip_bad = true\ncheck_images = false");
    assert!(message.starts_with("`data.check_images` does not apply"), "{message}");
}

/// A preview in a segment has its own end, and anything may follow the picture.
#[test]
fn a_jpeg_ends_where_its_own_picture_does() {
    let preview = [&[0xff, 0xe1, 0x00, 0x0a][..], &[0xff, 0xd8, 0xff, 0xda, 0x00, 0x02, 0xff, 0xd9]].concat();
    let with_preview = |bytes: &[u8]| [&bytes[..2], &preview, &bytes[2..]].concat();
    let film = [0x00, 0xff, 0xda, 0x12].repeat(50);
    let whole = [&with_preview(COLOUR)[..], &film].concat();
    let (_folder, data) = opened(&[("a/1.jpg", whole), ("b/1.jpg", COLOUR.to_vec())], "");
    let values = floats(&data.batch(0).unwrap().inputs);
    assert_eq!(values[..72], values[72..]);
    let cut = with_preview(&COLOUR[..COLOUR.len() - 20]);
    let message = said(&[("a/1.jpg", cut), ("b/1.jpg", COLOUR.to_vec())], "");
    assert!(message.starts_with("the image a/1.jpg cannot be read: the file is truncated"), "{message}");
}

#[test]
fn what_systems_leave_is_no_class_and_no_image() {
    let mut files = animals();
    let left =
        ["@eaDir/x.png", "__MACOSX/dog/._b.png", "lost+found/a.png", ".ipynb_checkpoints/a.png", "cat/Thumbs.db"];
    files.extend(left.map(|name| (name, b"junk".to_vec())));
    files.push(("dog/@eaDir/b.png/SYNO.png", grey([0; 4])));
    let (_folder, data) = opened(&files, "");
    let (_other, clean) = opened(&animals(), "");
    assert_eq!((data.fingerprint(), data.targets()), (clean.fingerprint(), clean.targets()));
    let note = data.notices()[0].to_string();
    for name in ["@eaDir", "__MACOSX", "lost+found", ".ipynb_checkpoints", "Thumbs.db"] {
        assert!(note.starts_with("note: in ") && note.contains(name), "{note}");
    }
}

#[test]
fn images_that_would_be_skipped_are_an_error_with_an_example() {
    let mut files = animals();
    files.push(("dog/raw/1.png", grey([0; 4])));
    files.push(("dog/raw/deep/2.JPG", grey([0; 4])));
    files.push(("dog/notes/read.txt", vec![]));
    let message = said(&files, "");
    assert!(
        message.ends_with(
            ": 2 images in subfolders of the class folders would be skipped, such as dog/raw/1.png; \
             move them up into the folder of their class, or elsewhere"
        ),
        "{message}"
    );
    let message = said(&[("train/cat/1.png", grey([0; 4])), ("val/cat/2.png", grey([0; 4]))], "");
    assert!(message.ends_with("`data.path` is the folder of the classes: perhaps train"), "{message}");
    // Any files may be beside the class folders, but skipped images there are reported.
    let mut files = animals();
    files.push(("top.png", grey([0; 4])));
    let (folder, data) = opened(&files, "");
    let expected = format!("warning: 1 image is skipped, such as {}: ", folder.path().join("top.png").display());
    let notice = data.notices().pop().unwrap().to_string();
    assert!(notice.starts_with(&expected), "{notice}");
}

#[test]
fn a_class_without_images_and_one_class_alone_are_refused() {
    let mut files = animals();
    files.push(("cow/.hidden", vec![]));
    files.push(("zebra/@eaDir/x.png", vec![]));
    let message = said(&files, "");
    assert!(message.contains("has folders without an image in them: cow, zebra; a class needs images"), "{message}");
    let message = said(&[("cat/a.png", grey([0; 4]))], "");
    assert!(message.ends_with("has one class, cat, and at least two are needed; each is a subfolder"), "{message}");
}

/// A picture of two by two pixels, whose header says `width` by `height`.
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
fn a_header_with_more_pixels_than_the_file_can_hold_is_not_believed() {
    let expected = "its header says 16000×16000 pixels, which ";
    let message = said(&[("cat/a.png", lying(16_000, 16_000)), ("dog/b.png", grey([0; 4]))], "");
    assert!(message.starts_with("the image cat/a.png cannot be read: ") && message.contains(expected), "{message}");
    let mut jpeg = GREY.to_vec();
    let start_of_frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    jpeg[start_of_frame + 5..][..4].copy_from_slice(&[0x3e, 0x80, 0x3e, 0x80]);
    let message = said(&[("cat/a.jpg", jpeg), ("dog/b.jpg", GREY.to_vec())], "");
    assert!(message.starts_with("the image cat/a.jpg cannot be read: ") && message.contains(expected), "{message}");
    // A possible size in a header is accepted until decoding, but compared with the other images before.
    let message = said(&[("cat/a.png", grey([0; 4])), ("dog/b.png", lying(40, 50))], "");
    assert_eq!(
        message,
        "dog/b.png is 40×50 pixels and cat/a.png 2×2; all images must have one size: set `data.resize`, or `data.crop`"
    );
}

#[test]
fn an_image_that_changes_or_goes_away_is_named_at_the_step_that_needs_it() {
    let (folder, data) = opened(&animals(), "batch_size = 1");
    let path = folder.path().join("dog/b.png");
    // Another size, and another picture of the same size and length.
    for other in [png(ColorType::Grayscale, BitDepth::Eight, 1, 1, &[0]), grey([1, 51, 102, 255])] {
        fs::write(&path, other).unwrap();
        let message = data.batch(2).unwrap_err().to_string();
        let remedy = "restore the file and resume, or start a new run";
        let expected = format!("{} has changed since the data was opened; {remedy}", path.display());
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
    assert!(said(&animals(), "classes = 2").starts_with("`data.classes` does not apply to images"));
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
