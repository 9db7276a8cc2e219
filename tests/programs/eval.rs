//! `train eval`: a trained model is evaluated again, on its own rows and on others.

use std::fs;

use crate::common::data::{idx, mnist, write};
use crate::common::{ADAMW, EVERY_STEP, Lab, checkpoint, log, small};
use serde_json::Value;

/// A finished run `run` of twelve updates, validated after every second and saved after each.
fn lab() -> Lab {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    lab.start("run");
    lab
}

fn eval(lab: &Lab, arguments: &[&str]) -> Value {
    let told = lab.train(&[&["eval", "--json"], arguments].concat()).well();
    serde_json::from_str(&told.stdout).unwrap()
}

/// Returns loss and accuracy, by their bits.
fn figures(found: &Value) -> (u64, u64) {
    let bits = |name: &str| found[name].as_f64().unwrap().to_bits();
    (bits("loss"), bits("accuracy"))
}

#[test]
fn an_evaluation_repeats_what_the_log_said() {
    let lab = lab();
    for line in log(&lab.path("run")).iter().filter(|line| !line["val_loss"].is_null()) {
        let step = line["step"].as_u64().unwrap() + 1;
        let saved = checkpoint(&lab.path("run"), step);
        for threads in ["1", "3"] {
            let mut command = lab.command(&["eval", saved.to_str().unwrap(), "--json"]);
            let told = command.env("RAYON_NUM_THREADS", threads).output().unwrap();
            let found: Value = serde_json::from_slice(&told.stdout).unwrap();
            assert_eq!((&found["step"], &found["rows"]), (&step.into(), &12.into()));
            let logged = ["val_loss", "val_accuracy"].map(|name| line[name].as_f64().unwrap().to_bits());
            assert_eq!(figures(&found), logged.into(), "step {step}, {threads} threads");
        }
    }
    let (newest, last) = (eval(&lab, &["run"]), log(&lab.path("run")).pop().unwrap());
    assert_eq!(newest["loss"], last["val_loss"]);
    // The text form has the same numbers.
    let told = lab.train(&["eval", "run"]).well();
    let (loss, accuracy) = (newest["loss"].as_f64().unwrap(), newest["accuracy"].as_f64().unwrap());
    let expected = "run/checkpoints/step-0000000012 on validation rows\nrows=12";
    assert_eq!(told.stdout, format!("{expected} | loss={loss} | accuracy={accuracy}\n"));
    assert_eq!(told.stderr, "");
}

#[test]
fn any_rows_of_the_run_can_be_chosen() {
    let lab = lab();
    let [validation, train, all] = ["validation", "train", "all"].map(|rows| eval(&lab, &["run", "--rows", rows]));
    let number = |found: &Value, name: &str| found[name].as_f64().unwrap();
    assert_eq!([&validation, &train, &all].map(|found| number(found, "rows")), [12.0, 48.0, 60.0]);
    for name in ["loss", "accuracy"] {
        let sum = [&validation, &train].map(|found| number(found, name) * number(found, "rows")).iter().sum::<f64>();
        // Each mean is of losses in f32, summed in f64.
        assert!((sum / 60.0 - number(&all, name)).abs() < 1e-6, "{name}");
    }
}

/// Columns are found by their names, and statistics and classes are those of the run.
#[test]
fn other_data_is_measured_without_the_data_of_the_run() {
    let lab = lab();
    let all = figures(&eval(&lab, &["run", "--rows", "all"]));
    let table = fs::read_to_string(lab.path("data.csv")).unwrap();
    let turned = table.lines().map(|line| line.split(',').rev().chain(["more"]).collect::<Vec<_>>().join(",") + "\n");
    fs::create_dir(lab.path("elsewhere")).unwrap();
    fs::write(lab.path("elsewhere/turned.csv"), turned.collect::<String>()).unwrap();
    fs::rename(lab.path("data.csv"), lab.path("elsewhere/same.csv")).unwrap();
    for name in ["same.csv", "turned.csv"] {
        assert_eq!(figures(&eval(&lab, &["run", "--data", &format!("elsewhere/{name}")])), all, "{name}");
    }
    // A single row, of one class: statistics of other rows would be different, with fewer classes.
    let first: String = table.lines().take(2).map(|line| line.to_owned() + "\n").collect();
    fs::write(lab.path("first.csv"), first).unwrap();
    assert_eq!(eval(&lab, &["run", "--data", "first.csv"])["rows"], 1);

    let missing = lab.train(&["eval", "run"]).refusal();
    assert!(missing.contains("data.csv") && missing.contains("set `data.path` to its path"), "{missing}");
    assert_eq!(figures(&eval(&lab, &["run", "--rows", "all", "--set", "data.path=elsewhere/same.csv"])), all);
    let half: String = table.lines().take(31).map(|line| line.to_owned() + "\n").collect();
    fs::write(lab.path("half.csv"), half).unwrap();
    let other = lab.train(&["eval", "run", "--set", "data.path=half.csv"]).refusal();
    assert!(other.contains("the content of") && other.contains("half.csv cannot change within a run"), "{other}");
}

/// Words are those of the run, although other rows have only some of them, and others.
#[test]
fn classes_and_categories_are_those_of_the_run() {
    let lab = Lab::in_memory(&small(ADAMW, "constant()", ""));
    let colours = ["red", "green", "blue"];
    let row = |i: usize| format!("{},{},{}\n", colours[i * 7 % 3], i % 11, ["owl", "cat", "dog"][(i * 7 + i / 20) % 3]);
    let table = (0..60).map(row).collect::<String>();
    fs::write(lab.path("data.csv"), format!("colour,size,animal\n{table}")).unwrap();
    lab.start("run");
    let all = eval(&lab, &["run", "--rows", "all"]);
    fs::write(lab.path("same.csv"), format!("colour,size,animal\n{table}")).unwrap();
    assert_eq!(figures(&eval(&lab, &["run", "--data", "same.csv"])), figures(&all));
    // The losses of all rows, each in a separate file, average to the loss of all.
    let alone = |row: &str| {
        fs::write(lab.path("alone.csv"), format!("colour,size,animal\n{row}\n")).unwrap();
        eval(&lab, &["run", "--data", "alone.csv"])["loss"].as_f64().unwrap()
    };
    let mean = table.lines().step_by(7).map(alone).sum::<f64>() / 9.0;
    let some: String = table.lines().step_by(7).map(|row| row.to_owned() + "\n").collect();
    fs::write(lab.path("some.csv"), format!("colour,size,animal\n{some}")).unwrap();
    let together = eval(&lab, &["run", "--data", "some.csv"])["loss"].as_f64().unwrap();
    assert!((mean - together).abs() < 1e-6, "{mean} {together}");

    fs::write(lab.path("fox.csv"), "colour,size,animal\nred,3,owl\nred,3,fox\n").unwrap();
    let refusal = lab.train(&["eval", "run", "--data", "fox.csv"]).refusal();
    assert!(refusal.contains("fox.csv, line 3, column `animal`: label \"fox\" is not a class"), "{refusal}");
    // A category that no training row had is unknown, as in the run's own validation.
    fs::write(lab.path("pink.csv"), "colour,size,animal\npink,3,owl\n").unwrap();
    assert_eq!(eval(&lab, &["run", "--data", "pink.csv"])["rows"], 1);
}

/// A file of any name is read in the format of the run's data.
#[test]
fn other_data_is_read_in_the_format_of_the_run() {
    let lab = lab();
    fs::copy(lab.path("data.csv"), lab.path("data.txt")).unwrap();
    assert_eq!(figures(&eval(&lab, &["run", "--data", "data.txt"])), figures(&eval(&lab, &["run", "--rows", "all"])));
}

#[test]
fn values_have_a_loss_and_no_accuracy() {
    let config = small(ADAMW, "constant()", "").replace("validation = 0.2", "validation = 0.2\ntask = \"regression\"");
    let lab = Lab::in_memory(&config);
    lab.start("run");
    let found = eval(&lab, &["run"]);
    assert_eq!(found["loss"], log(&lab.path("run")).pop().unwrap()["val_loss"]);
    assert!(found.get("accuracy").is_none());
    let all = eval(&lab, &["run", "--rows", "all"]);
    assert_eq!(eval(&lab, &["run", "--data", "data.csv"])["loss"], all["loss"]);
}

/// The mean of loss and accuracy over parts is that of all: each is a mean in f64 of losses in f32.
#[track_caller]
fn assert_parts_are_the_whole(whole: &Value, parts: &[Value]) {
    let number = |found: &Value, name: &str| found[name].as_f64().unwrap();
    let rows: f64 = parts.iter().map(|part| number(part, "rows")).sum();
    assert_eq!(rows, number(whole, "rows"));
    for name in ["loss", "accuracy"] {
        let sum: f64 = parts.iter().map(|part| number(part, name) * number(part, "rows")).sum();
        assert!((sum / rows - number(whole, name)).abs() < 1e-6, "{name}");
    }
}

/// Other rows may have fewer classes, and fewer rows than a batch of the run; an unknown label is named.
#[test]
fn classes_of_tensors_are_those_of_the_run() {
    use candle_core::{DType, Device, Tensor};
    let config = small(ADAMW, "constant()", "").replace("data.csv", "data.safetensors");
    let lab =
        Lab::in_memory(&config.replace("batch_size = 13", "batch_size = 13\nstandardize = true\ndrop_last = true"));
    let x = Tensor::from_iter((0..300u32).map(|i| (i * 37 % 101) as f32 / 9.0), &Device::Cpu).unwrap();
    let x = x.reshape((60, 5)).unwrap();
    let y = Tensor::from_iter((0..60u32).map(|i| i % 3), &Device::Cpu).unwrap();
    let save = |name: &str, x: &Tensor, y: &Tensor| {
        let tensors = [("x".to_owned(), x.clone()), ("y".to_owned(), y.clone())].into();
        candle_core::safetensors::save(&tensors, lab.path(name)).unwrap();
    };
    save("data.safetensors", &x, &y);
    lab.start("run");
    let all = eval(&lab, &["run", "--rows", "all"]);
    assert_eq!(figures(&eval(&lab, &["run", "--data", "data.safetensors"])), figures(&all));
    let part = |name: &str, start: usize, length: usize, dtype: DType| {
        let y = y.narrow(0, start, length).unwrap().to_dtype(dtype).unwrap();
        save(name, &x.narrow(0, start, length).unwrap(), &y.reshape((length, 1)).unwrap());
        eval(&lab, &["run", "--data", name])
    };
    // Two rows have the classes 0 and 1.
    let parts = [part("two.safetensors", 0, 2, DType::I64), part("rest.safetensors", 2, 58, DType::U8)];
    assert_parts_are_the_whole(&all, &parts);
    let refusal = |x: &Tensor, y: &Tensor| {
        save("other.safetensors", x, y);
        lab.train(&["eval", "run", "--data", "other.safetensors"]).refusal()
    };
    let message = refusal(&x, &(&y + 1.0).unwrap());
    let expected =
        "other.safetensors, tensor `y`, row 2 (counted from 0): label 3 is not below the number of classes, 3";
    assert!(message.contains(expected), "{message}");
    let message = refusal(&x, &y.to_dtype(DType::F32).unwrap());
    let expected =
        "tensor `y` is F32[60]; `data.targets` must be whole numbers or BOOL [rows], since the run's data has classes";
    assert!(message.contains(expected), "{message}");
    let message = refusal(&x, &y.narrow(0, 0, 7).unwrap());
    assert!(message.contains("other.safetensors: the inputs have 60 rows and the targets 7"), "{message}");
}

#[test]
fn classes_of_idx_files_are_those_of_the_run() {
    let config = small(ADAMW, "constant()", "")
        .replace("path = \"data.csv\"\n    validation = 0.2", "path = \"mnist\"\nformat = \"idx\"");
    let lab = Lab::in_memory(&config.replace("batch_size = 13", "batch_size = 13\ndrop_last = true"));
    write(&lab.path("mnist"), &mnist());
    lab.start("run");
    let all = eval(&lab, &["run", "--rows", "all"]);
    assert_eq!(figures(&eval(&lab, &["run", "--data", "mnist"])), figures(&all));
    // Only the training files, or only the validation files.
    let [train, test] = [0..2, 2..4].map(|files| mnist()[files].to_vec());
    write(&lab.path("train"), &train);
    write(&lab.path("test"), &test);
    let parts = ["train", "test"].map(|name| eval(&lab, &["run", "--data", name]));
    assert_parts_are_the_whole(&all, &parts);
    let refusal = |labels: Vec<u8>| {
        write(&lab.path("test"), &[("t10k-labels-idx1-ubyte", labels)]);
        lab.train(&["eval", "run", "--data", "test"]).refusal()
    };
    let message = refusal(idx(&[10], &[0, 1, 2, 3, 0, 0, 0, 0, 0, 0]));
    let expected =
        "test/t10k-labels-idx1-ubyte, image 3 (counted from 0), byte 11: label 3 is not below the number of classes, 3";
    assert!(message.contains(expected), "{message}");
    // A single class, and fewer images than a batch of the run has.
    write(&lab.path("test"), &[("t10k-labels-idx1-ubyte", idx(&[10], &[1; 10]))]);
    assert_eq!(eval(&lab, &["run", "--data", "test"])["rows"], 10);
    let message = lab.train(&["eval", "run", "--data", "test/t10k-images-idx3-ubyte"]).refusal();
    assert!(message.contains("test/t10k-images-idx3-ubyte is a file; give the folder that holds both"), "{message}");
    let message = lab.train(&["eval", "run", "--data", "."]).refusal();
    assert!(message.contains("cannot read the data file ./train-images-idx3-ubyte: No such file"), "{message}");
}

#[test]
fn a_folder_of_images_may_have_some_of_the_classes_of_the_run() {
    let config = small(ADAMW, "constant()", "").replace("data.csv\"", "animals\"\nformat = \"images\"");
    let lab = Lab::in_memory(&config.replace(
        "batch_size = 13",
        "batch_size = 5\ndrop_last = true\naugment = { normalize = { mean = [0.4], std = [0.3] } }",
    ));
    let classes = ["cat", "cow", "dog"];
    let place = |folder: &str, image: usize| format!("{folder}/{}/{image}.png", classes[image % 3]);
    (0..30).for_each(|image| write(&lab.path(""), &[(&place("animals", image), picture(image))]));
    lab.start("run");
    let all = eval(&lab, &["run", "--rows", "all"]);
    assert_eq!(figures(&eval(&lab, &["run", "--data", "animals"])), figures(&all));
    let some = |folder: &str, chosen: fn(usize) -> bool| {
        (0..30)
            .filter(|&image| chosen(image))
            .for_each(|image| write(&lab.path(""), &[(&place(folder, image), picture(image))]));
        eval(&lab, &["run", "--data", folder])
    };
    // By itself, the second of the three classes would be the first.
    let parts = [some("cows", |image| image % 3 == 1), some("others", |image| image % 3 != 1)];
    assert_parts_are_the_whole(&all, &parts);
    write(&lab.path("zoo/cog"), &[("1.png", picture(1))]);
    let message = lab.train(&["eval", "run", "--data", "zoo"]).refusal();
    let expected = "zoo/cog has no training images in its class; did you mean `cow`? It has `cat`, `cow`, `dog`";
    assert!(message.contains(expected), "{message}");
}

/// A grey picture of three by two.
fn picture(image: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 3, 2);
    encoder.set_color(png::ColorType::Grayscale);
    let samples: Vec<u8> = (0..6).map(|i| (image * 31 + i * i * 7) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&samples).unwrap();
    bytes
}

/// The checkpoints in the repository are from before checkpoints described the rows of their model.
#[test]
fn an_older_checkpoint_asks_the_data_what_it_takes() {
    let lab = Lab::in_memory("");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = root.join("checkpoints/notebook");
    let data = format!("data.path={}", root.join("examples/data/experiment.safetensors").display());
    let named = eval(&lab, &[run.to_str().unwrap(), "--rows", "train", "--set", &data]);
    // The data is at the path in the configuration.
    let found = eval(&lab, &[run.to_str().unwrap(), "--rows", "train"]);
    assert_eq!(found, named);
    assert!(found["loss"].as_f64().unwrap().is_finite() && found["rows"].as_u64().unwrap() > 0, "{found}");
}
