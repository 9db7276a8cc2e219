//! Predictions for validation images in TensorBoard's event files.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::tensorboard::{Field, config, field, values};
use crate::common::{Lab, checkpoint, steps};

/// A run on sixty images of 8 by 8 pixels, of which 12 are validated on at every second step.
pub(super) fn lab(config: &str) -> Lab {
    let lab = Lab::in_memory(&config.replace("data.csv", "images.safetensors"));
    let pixels: Vec<f32> = (0..60 * 64_u32).map(|i| (i * i % 251) as f32 / 125.0 - 1.0).collect();
    let classes: Vec<u32> = (0..60).map(|i| (i * 7 + i * i) % 3).collect();
    let x = Tensor::from_vec(pixels, (60, 1, 8, 8), &Device::Cpu).unwrap();
    let y = Tensor::from_vec(classes, 60, &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("x", x), ("y", y)]), lab.path("images.safetensors")).unwrap();
    lab
}

/// The pictures of a run: step, width, height and PNG.
fn pictures(run: &Path) -> Vec<(u64, u64, u64, Vec<u8>)> {
    let all = values(run).remove("predictions").unwrap_or_default();
    let picture = |(step, value): (u64, Vec<(u64, Field)>)| {
        let image = field(&value, 4).unwrap().message();
        let number = |at| match field(&image, at) {
            Some(Field::Integer(number)) => *number,
            other => panic!("{other:?} is no number"),
        };
        let Some(Field::Bytes(png)) = field(&image, 4) else { panic!("no picture") };
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
        // Its own width and height.
        let length = |at: usize| u64::from(u32::from_be_bytes(png[at..at + 4].try_into().unwrap()));
        assert_eq!((number(2), number(1), number(3)), (length(16), length(20), 4));
        (step, number(2), number(1), png.clone())
    };
    all.into_iter().map(picture).collect()
}

#[test]
fn each_validation_has_one_picture_of_the_same_images_also_after_kills() {
    let lab = lab(&config("1 step", ""));
    lab.start("whole");
    let whole = pictures(&lab.path("whole"));
    assert_eq!(whole.iter().map(|picture| picture.0).collect::<Vec<_>>(), [1, 3, 5, 7, 9, 11]);
    // Eight images, four beside each other.
    assert!(whole.iter().all(|(_, width, height, _)| (*width, *height) == (4 * 128, 2 * 160)));
    assert_ne!(whole[0].3, whole[5].3, "the model has learned nothing");
    for step in [1, 2, 7, 8, 12] {
        let run = lab.interrupted_copy("whole", &format!("killed-{step}"), step);
        lab.train(&["--resume", run.to_str().unwrap()]).well();
        assert!(pictures(&run) == whole, "killed after step {step}");
    }
}

#[test]
fn pictures_change_no_bit_of_the_run_and_are_as_many_as_asked_for() {
    let lab = lab(&config("1 step", ""));
    lab.start("with");
    lab.train(&["config.toml", "--out", "without", "--set", "log={}"]).well();
    for step in steps(&lab.path("with")) {
        for part in ["model.safetensors", "optimizer.safetensors"] {
            let [a, b] = ["with", "without"].map(|run| fs::read(checkpoint(&lab.path(run), step).join(part)).unwrap());
            assert_eq!(a, b, "{part} at step {step}");
        }
    }
    for (images, size) in [("3", Some((3 * 128, 160))), ("64", Some((4 * 128, 3 * 160))), ("0", None)] {
        let run = format!("images-{images}");
        lab.train(&["config.toml", "--out", &run, "--set", &format!("log.images={images}")]).well();
        let sizes: Vec<_> = pictures(&lab.path(&run)).iter().map(|picture| (picture.1, picture.2)).collect();
        assert_eq!(sizes, size.map_or(vec![], |size| vec![size; 6]), "{images}");
    }
    let refused = lab.train(&["config.toml", "--out", "refused", "--set", "log.images=65"]).refusal();
    assert!(refused.contains("log.images = 65") && refused.contains("at most 64"), "{refused}");
}

#[test]
fn rows_of_a_table_have_no_picture() {
    let lab = Lab::in_memory(&config("30 steps", "images = 4"));
    lab.start("table");
    assert_eq!(pictures(&lab.path("table")), []);
    assert!(values(&lab.path("table")).contains_key("val_loss"));
}
