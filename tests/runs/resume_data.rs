//! The promise for every kind of data: a run that is interrupted after any of its steps and resumed in a new process
//! has the same bits.

use std::path::Path;

use crate::common::data::{mnist, write};
use crate::common::{ADAMW, EVERY_STEP, Lab, log};

/// A run of seven updates on this data, which `prepare` puts into the folder. It ends inside an epoch, with dropout and
/// validation.
/// validation on the way.
#[track_caller]
fn assert_any_step_can_be_the_last_before_a_resume(data: &str, model: &str, prepare: impl Fn(&Path)) {
    let lengths = "train = { steps = 7, clip_norm = 1.0 }\nvalidation = { every = \"2 steps\" }";
    let head = format!("seed = 3\noptimizer = {ADAMW}\nschedule = \"cosine(7)\"\n{lengths}\n{EVERY_STEP}");
    let lab = Lab::in_memory(&format!("{head}\n[data]\n{data}\n[model]\n{model}\n"));
    prepare(&lab.path(""));
    lab.assert_any_step_can_be_the_last(7);
    assert!(log(&lab.path("whole")).iter().any(|line| line["val_loss"].is_number()), "nothing is validated");
}

const MLP: &str = "kind = \"mlp\"\nhidden = [8]\ndropout = 0.3";

#[test]
fn images_in_idx_files() {
    let data = "path = \".\"\nformat = \"idx\"\nbatch_size = 9";
    assert_any_step_can_be_the_last_before_a_resume(data, MLP, |folder| write(folder, &mnist()));
}

#[test]
fn tables_of_categories_and_gaps() {
    let table = |folder: &Path| {
        let row = |i: u32| {
            let gap = |text: String, every: u32| if i.is_multiple_of(every) { String::new() } else { text };
            let number = gap(format!("{}", f64::from(i * 37 % 61) / 7.0), 7);
            format!("{number},{},{},class {}\n", gap(format!("k{}", i * i % 5), 11), i % 3, (i * 7 + i * i) % 3)
        };
        let content = "x,kind,code,y\n".to_owned() + &(0..50).map(row).collect::<String>();
        write(folder, &[("people.csv", content.into_bytes())]);
    };
    let gaps = "missing = \"mean\"\nmissing_indicator = true\ncategories = [\"code\"]";
    let data = format!("path = \"people.csv\"\nvalidation = 0.2\nbatch_size = 9\n{gaps}");
    assert_any_step_can_be_the_last_before_a_resume(&data, MLP, table);
}

#[cfg(feature = "parquet")]
#[test]
fn tables_of_categories_and_gaps_in_parquet() {
    use crate::common::parquet_files::{Cells, write_parquet};
    let table = |folder: &Path| {
        let there = |i: i64, every: i64| i % every != 0;
        let columns = [
            ("x", Cells::Doubles((0..50).map(|i| there(i, 7).then_some((i * 37 % 61) as f64 / 7.0)).collect())),
            ("kind", Cells::Words((0..50).map(|i| there(i, 11).then(|| format!("k{}", i * i % 5))).collect())),
            ("code", Cells::Integers((0..50).map(|i| Some((1 << 40) + i % 3)).collect())),
            ("y", Cells::Words((0..50).map(|i| Some(format!("class {}", (i * 7 + i * i) % 3))).collect())),
        ];
        write_parquet(&folder.join("people.parquet"), &columns);
    };
    let gaps = "missing = \"mean\"\nmissing_indicator = true\ncategories = [\"code\"]";
    let data = format!("path = \"people.parquet\"\nvalidation = 0.2\nbatch_size = 9\n{gaps}");
    assert_any_step_can_be_the_last_before_a_resume(&data, MLP, table);
}

#[test]
fn folders_of_images() {
    let images = |folder: &Path| {
        for image in 0..30_u32 {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
            encoder.set_color(png::ColorType::Rgb);
            let samples: Vec<u8> = (0..18).map(|i| (image * 31 + i * i) as u8).collect();
            encoder.write_header().unwrap().write_image_data(&samples).unwrap();
            write(folder, &[(&format!("images/{}/{image}.png", ["cat", "cow", "dog"][image as usize % 3]), bytes)]);
        }
    };
    let data = "path = \"images\"\nformat = \"images\"\nvalidation = 0.2\nbatch_size = 7";
    assert_any_step_can_be_the_last_before_a_resume(data, MLP, images);
}

/// A text of 400 characters, of which eight are different.
fn write_text(folder: &Path) {
    let characters = (0..400u32).map(|i| char::from(b'a' + (i * i / 7 % 8) as u8));
    write(folder, &[("a.txt", characters.collect::<String>().into_bytes())]);
}

const TEXT: &str =
    "path = \"a.txt\"\nformat = \"text\"\ncontext = 10\nvalidation = 0.2\nbatch_size = 5\ncache = \"cache\"";

/// The options of a GPT, each with dropout.
const GPTS: [&str; 4] = [
    "bias = true",
    "positions = \"rotary\"\nactivation = \"swiglu\"\nnorm = \"rms\"\nbias = false\nkv_heads = 1",
    "activation = \"gelu_tanh\"\ntied = false\ncontext = 12\nkv_heads = 1\nhidden = 20",
    "checkpoint_activations = true",
];

#[test]
fn text_and_a_gpt_in_several_shapes() {
    for shape in GPTS {
        let model = format!("kind = \"gpt\"\nlayers = 2\nheads = 2\nwidth = 8\ndropout = 0.2\n{shape}");
        assert_any_step_can_be_the_last_before_a_resume(TEXT, &model, write_text);
    }
}

/// Rows of numbers, with a label of two classes, another one, and a value.
fn write_parts(folder: &Path) {
    for (name, rows) in
        [("part-1.csv", 0..30), ("part-2.csv", 30..50), ("validation.csv", 50..60), ("test.csv", 60..70)]
    {
        let row =
            |i: u32| format!("{},{},{},{},{}\n", i % 7, i * i % 11, u32::from(i % 7 > 3), i * i % 2, 1 + i * i % 9);
        let content = "a,b,warm,wet,y\n".to_owned() + &rows.map(row).collect::<String>();
        write(folder, &[(name, content.into_bytes())]);
    }
}

#[test]
fn several_files_with_validation_and_test_files() {
    let data = "path = \"part-*.csv\"\nvalidation_path = \"validation.csv\"\ntest_path = \"test.csv\"\nlabel = \"warm\"\n\
                batch_size = 9";
    assert_any_step_can_be_the_last_before_a_resume(data, MLP, write_parts);
}

#[test]
fn transformed_targets_of_a_fold() {
    for transform in ["standardize", "log", "log1p"] {
        let data = format!(
            "path = [\"part-1.csv\", \"part-2.csv\"]\nfold = \"2/4\"\ntask = \"regression\"\nbatch_size = 9\n\
             target_transform = \"{transform}\""
        );
        assert_any_step_can_be_the_last_before_a_resume(&data, MLP, write_parts);
    }
}

#[test]
fn several_labels() {
    let data = "path = \"part-1.csv\"\nvalidation = 0.2\nlabel = [\"warm\", \"wet\"]\nignore = [\"y\"]\nbatch_size = 9";
    assert_any_step_can_be_the_last_before_a_resume(data, MLP, write_parts);
}

/// Another file that matches the pattern, or another content of any file, is other data.
#[test]
fn a_resume_on_other_files_is_refused() {
    let head = format!("optimizer = {ADAMW}\nschedule = \"constant()\"\ntrain = {{ steps = 4 }}\n{EVERY_STEP}");
    let paths = "path = \"part-*.csv\"\ntest_path = \"test.csv\"\nlabel = \"warm\"";
    let lab = Lab::in_memory(&format!("{head}\n[data]\n{paths}\n[model]\n{MLP}\n"));
    write_parts(&lab.path(""));
    lab.start("whole");
    for other in ["part-3.csv", "part-2.csv", "test.csv"] {
        let copy = format!("copy-{other}");
        lab.interrupted_copy("whole", &copy, 2);
        let kept = std::fs::read(lab.path(other)).ok();
        std::fs::copy(lab.path("validation.csv"), lab.path(other)).unwrap();
        let message = lab.train(&["--resume", &copy]).refusal();
        assert!(message.contains("cannot change within a run"), "{message}");
        match kept {
            Some(kept) => std::fs::write(lab.path(other), kept).unwrap(),
            None => std::fs::remove_file(lab.path(other)).unwrap(),
        }
        lab.train(&["--resume", &copy]).well();
    }
}

#[test]
fn text_with_validation_and_test_files() {
    let data = TEXT.replace("validation = 0.2", "validation_path = \"v.txt\"\ntest_path = \"t.txt\"");
    let model = format!("kind = \"gpt\"\nlayers = 1\nheads = 2\nwidth = 8\ndropout = 0.2\n{}", GPTS[0]);
    assert_any_step_can_be_the_last_before_a_resume(&data, &model, |folder| {
        write_text(folder);
        write(folder, &[("v.txt", b"abcdefghabcdefghhgfedcba".to_vec()), ("t.txt", b"aabbccddeeffgghh".to_vec())]);
    });
}

/// A safetensors file of these rows, each with two numbers and one of three classes.
pub fn write_tensors(folder: &Path, name: &str, rows: std::ops::Range<u32>) {
    use candle_core::{Device, Tensor};
    let count = rows.len();
    let x: Vec<f32> = rows.clone().flat_map(|i| [(i * 37 % 61) as f32 / 7.0, (i * i % 53) as f32 / 5.0]).collect();
    let y: Vec<i64> = rows.map(|i| i64::from((i * 7 + i * i) % 3)).collect();
    let tensors = std::collections::HashMap::from([
        ("x", Tensor::from_vec(x, (count, 2), &Device::Cpu).unwrap()),
        ("y", Tensor::from_vec(y, count, &Device::Cpu).unwrap()),
    ]);
    candle_core::safetensors::save(&tensors, folder.join(name)).unwrap();
}

#[test]
fn several_files_of_tensors_and_a_stratified_fold() {
    let tensors = |folder: &Path| {
        for (name, rows) in [("1.safetensors", 0..30), ("2.safetensors", 30..50), ("test.safetensors", 50..60)] {
            write_tensors(folder, name, rows);
        }
    };
    let data = "path = \"[12].safetensors\"\ntest_path = \"test.safetensors\"\nfold = \"2/4\"\nstratify = true\n\
                standardize = true\nbatch_size = 9";
    assert_any_step_can_be_the_last_before_a_resume(data, MLP, tensors);
}

#[test]
fn documents_in_several_files_with_those_for_validation_and_test() {
    let data = "path = \"part-*.jsonl\"\nvalidation_path = \"v.jsonl\"\ntest_path = \"t.jsonl\"\ncontext = 8\n\
                batch_size = 3";
    let model = format!("kind = \"gpt\"\nlayers = 1\nheads = 2\nwidth = 8\ndropout = 0.2\n{}", GPTS[0]);
    let lines = |rows: std::ops::Range<u32>| {
        let line = |i: u32| {
            let (a, b) = (char::from(b'a' + (i % 8) as u8), char::from(b'a' + (i * i % 8) as u8));
            format!("{{\"question\": \"{a}{b}\", \"answer\": \"{b}{a}\"}}\n")
        };
        rows.map(line).collect::<String>().into_bytes()
    };
    assert_any_step_can_be_the_last_before_a_resume(data, &model, |folder| {
        for (name, rows) in [("part-1.jsonl", 0..20), ("part-2.jsonl", 20..31), ("v.jsonl", 31..40), ("t.jsonl", 3..8)]
        {
            write(folder, &[(name, lines(rows))]);
        }
    });
}
