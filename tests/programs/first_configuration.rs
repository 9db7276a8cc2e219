//! `train init` writes a configuration that can be trained, reports each decision, and refuses data without anything to
//! learn.

use std::fs;

use crate::common::data;
use crate::common::programs::Workplace;
use serde_json::{Value, json};

/// Writes a configuration for `data`, has it checked, and trains a few steps of it.
#[track_caller]
fn assert_it_trains(place: &Workplace, data: &str, expected: &[(&str, Value)]) {
    let told = place.train(&["init", data, "-o", "made.toml"]);
    told.says(0, &["wrote made.toml", "note: format: "]);
    let text = fs::read_to_string(place.path("made.toml")).unwrap();
    let config: Value = toml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    for (key, value) in expected {
        assert_eq!(config.pointer(key), Some(value), "{key} in {text}");
    }
    let uncommented =
        |pair: &[&str]| pair[1].contains(" = ") && !pair[0].starts_with('#') && !pair[1].starts_with([' ', '#']);
    let lines: Vec<&str> = text.lines().collect();
    assert!(!lines.windows(2).any(uncommented), "{text}");
    // Each decision is printed, and in the file.
    let plain = |text: &str| text.replace("# ", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for decision in told.err.lines().filter_map(|line| line.strip_prefix("note: ")) {
        assert!(plain(&text).contains(&plain(decision)), "{decision} is not in {text}");
    }
    let cache = place.path("cache").display().to_string();
    let arguments = ["check", "made.toml", "--json"];
    let told = place.command(env!("CARGO_BIN_EXE_train"), &arguments).env("XDG_CACHE_HOME", &cache).output().unwrap();
    assert!(told.status.success(), "{told:?} for {text}");
    let checked: Value = serde_json::from_slice(&told.stdout).unwrap();
    let steps = &checked["length"]["steps"];
    let stated = format!("here {steps} updates in all");
    assert!(plain(&text).contains(&stated) || config["train"]["steps"] == *steps, "{stated}: {text}");
    let arguments = ["made.toml", "--out", "made", "--set", "train.steps=3"];
    let told = place.command(env!("CARGO_BIN_EXE_train"), &arguments).env("XDG_CACHE_HOME", &cache).output();
    assert!(told.as_ref().unwrap().status.success(), "{told:?} for {text}");
    fs::remove_dir_all(place.path("made")).unwrap();
    fs::remove_file(place.path("made.toml")).unwrap();
}

fn write(place: &Workplace, files: &[(&str, Vec<u8>)]) {
    data::write(&place.path(""), files);
}

#[test]
fn a_first_configuration_trains_as_it_is_for_tables() {
    let place = Workplace::new();
    assert_it_trains(&place, "rows.csv", &[("/data/label", json!("label")), ("/data/task", json!("classification"))]);
    let row = |i: u32| {
        format!("{i},{:.2},{},{}\n", f64::from(i) * 0.37, ["red", "blue"][i as usize % 2], f64::from(i * i) + 0.5)
    };
    let rows: String = (0..40).map(row).collect();
    write(&place, &[("values.csv", format!("id,size,colour,price\n{rows}").into_bytes())]);
    let expected = [
        ("/data/label", json!("price")),
        ("/data/task", json!("regression")),
        ("/data/ignore", json!(["id"])),
        ("/data/categories", json!(["colour"])),
    ];
    assert_it_trains(&place, "values.csv", &expected);
    let row = |i: u32| format!("{},{}.5,{}\n", ["a", "b", "c"][i as usize % 3], i, i * 7 % 31);
    write(&place, &[("first.csv.gz", data::gzip((0..40).map(row).collect::<String>().as_bytes()))]);
    assert_it_trains(&place, "first.csv.gz", &[("/data/label", json!(0)), ("/data/header", json!(false))]);
    let row =
        |i: u32| format!("{},{},{}\n", if i.is_multiple_of(5) { String::new() } else { i.to_string() }, i % 7, i % 2);
    write(&place, &[("gaps.csv", format!("a,b,c\n{}", (0..40).map(row).collect::<String>()).into_bytes())]);
    assert_it_trains(&place, "gaps.csv", &[("/data/label", json!("c")), ("/data/missing", json!("median"))]);
}

#[cfg(feature = "parquet")]
#[test]
fn a_first_configuration_trains_as_it_is_for_parquet() {
    use crate::common::parquet_files::{Cells, write_parquet};
    let place = Workplace::new();
    let columns = [
        ("size", Cells::Doubles((0..40).map(|i| Some(f64::from(i) * 0.3)).collect())),
        ("kind", Cells::Words((0..40).map(|i| Some(["a", "b"][i % 2].to_owned())).collect())),
        ("label", Cells::Integers((0..40).map(|i| Some(i % 3)).collect())),
    ];
    write_parquet(&place.path("rows.parquet"), &columns);
    let expected = [("/data/label", json!("label")), ("/data/categories", json!(["kind"]))];
    assert_it_trains(&place, "rows.parquet", &expected);
}

#[test]
fn a_first_configuration_trains_as_it_is_for_tensors_and_text() {
    use candle_core::{Device, Tensor, safetensors};
    let place = Workplace::new();
    let x = Tensor::rand(0f32, 1.0, (40, 5), &Device::Cpu).unwrap();
    let y = Tensor::rand(0f32, 1.0, (40, 2), &Device::Cpu).unwrap();
    safetensors::save(&[("features", x), ("y", y)].into_iter().collect(), place.path("a.safetensors")).unwrap();
    assert_it_trains(&place, "a.safetensors", &[("/data/inputs", json!("features"))]);
    let text: String = (0..400).map(|i: u32| format!("{} and {}; ", i, i * i)).collect();
    write(&place, &[("a.txt", text.into_bytes()), ("b.txt", (0..3000u32).map(|i| (i * i) as u8).collect())]);
    assert_it_trains(&place, "a.txt", &[("/data/tokens", json!("characters")), ("/model/kind", json!("gpt"))]);
    assert_it_trains(&place, "b.txt", &[("/data/tokens", json!("bytes"))]);
}

#[test]
fn a_first_configuration_trains_as_it_is_for_documents() {
    let place = Workplace::new();
    let lines =
        |line: &dyn Fn(u32) -> Value| (0..40).map(|i| format!("{}\n", line(i))).collect::<String>().into_bytes();
    let letter = |i: u32| String::from(char::from(b'a' + (i % 9) as u8));
    write(
        &place,
        &[
            ("texts.jsonl", lines(&|i| json!({"text": letter(i).repeat(5), "id": i}))),
            ("pairs.jsonl.gz", data::gzip(&lines(&|i| json!({"question": letter(i), "answer": letter(i + 1)})))),
            ("beside.jsonl", lines(&|i| json!({"problem": letter(i), "context": "", "output": letter(i + 2)}))),
            (
                "chats.jsonl",
                lines(&|i| {
                    let said = |role: &str, i| json!({"role": role, "content": letter(i)});
                    json!({"messages": [said("user", i), said("assistant", i + 1)]})
                }),
            ),
        ],
    );
    let jsonl = ("/data/format", json!("jsonl"));
    assert_it_trains(&place, "texts.jsonl", &[jsonl.clone(), ("/data/context", json!(16))]);
    let pair = [jsonl.clone(), ("/data/prompt", json!("question")), ("/data/answer", json!("answer"))];
    assert_it_trains(&place, "pairs.jsonl.gz", &pair);
    let template = json!("{problem}\n{context}\n{output}");
    assert_it_trains(&place, "beside.jsonl", &[("/data/answer", json!("output")), ("/data/template", template)]);
    assert_it_trains(&place, "chats.jsonl", &[jsonl, ("/data/messages", json!("messages"))]);
    write(&place, &[("odd.jsonl", lines(&|i| json!({"title": letter(i)}))), ("text.jsonl", b"no JSON\n".to_vec())]);
    let refused = |data: &str, expected: &[&str]| place.train_refuses(&["init", data, "-o", "never.toml"], expected);
    refused("odd.jsonl", &["odd.jsonl, line 1: no field `text`; it has `title`"]);
    refused("text.jsonl", &["text.jsonl, line 1: the line is no object in JSON"]);
}

#[test]
fn a_first_configuration_trains_as_it_is_for_images() {
    let place = Workplace::new();
    let labels = data::idx(&[12], &[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
    let images = data::idx(&[12, 12, 10], &(0..12 * 120).map(|i: u32| (i * 31) as u8).collect::<Vec<u8>>());
    write(&place, &[("idx/train-images-idx3-ubyte", images), ("idx/train-labels-idx1-ubyte", labels)]);
    assert_it_trains(&place, "idx", &[("/data/format", json!("idx")), ("/model/kind", json!("convnet"))]);
    for class in ["cat", "dog"] {
        for number in 0..6u8 {
            for folder in ["train", "val"] {
                let path = place.path(&format!("pets/{folder}/{class}/{number}.png"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 9, 8);
                encoder.set_color(png::ColorType::Grayscale);
                encoder.set_depth(png::BitDepth::Eight);
                let pixels: Vec<u8> = (0..72u8).map(|i| i.wrapping_mul(number)).collect();
                encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
            }
        }
    }
    assert_it_trains(&place, "pets", &[("/data/validation_path", json!("pets/val"))]);
    assert_it_trains(&place, "pets/train", &[("/data/path", json!("pets/train"))]);
}

#[test]
fn a_first_configuration_overwrites_nothing_and_needs_data() {
    let place = Workplace::new();
    place.train_refuses(&["init", "rows.csv", "-o", "config.toml"], &["config.toml exists", "-o"]);
    let nowhere = ["cannot read the data nowhere.csv", "give the path of a file or folder to learn from"];
    place.train_refuses(&["init", "nowhere.csv"], &nowhere);
    place.train_refuses(
        &["init", "config.toml", "-o", "new.toml"],
        &["config.toml has no known format of training data"],
    );
    place.train(&["init", "rows.csv"]).says(0, &["wrote rows.toml", "train check rows.toml"]);
    place.train_refuses(&["init", "rows.csv"], &["rows.toml exists"]);
}

#[test]
fn a_first_configuration_takes_a_pattern_of_files() {
    let place = Workplace::new();
    for number in [1, 2] {
        let content = lines("a,kind", |i| format!("{},{}", i * number, i % 2));
        write(&place, &[(&format!("part-{number}.csv"), content.into_bytes())]);
    }
    let told = place.train(&["init", "part-*.csv"]);
    told.says(0, &["wrote part.toml", "files: 2 of the pattern; the first, part-1.csv, shows the rest"]);
    // Both files have as many.
    let rows = lines("a,kind", |i| i.to_string()).lines().count() - 1;
    told.says(0, &[&format!("{} rows, 2 columns", 2 * rows), &format!("of {} rows are set aside", 2 * rows)]);
    let config: Value = toml::from_str(&fs::read_to_string(place.path("part.toml")).unwrap()).unwrap();
    assert_eq!(config["data"]["path"], "part-*.csv");
    place.train(&["check", "part.toml"]).says(0, &[]);
    let nothing = ["no file is named other-*.csv; a pattern matches names of files"];
    place.train_refuses(&["init", "other-*.csv"], &nothing);
}

/// A file with a column `a`, whatever else is in each row, and its configuration with what `train init` said.
#[track_caller]
fn made(place: &Workplace, name: &str, content: &str, arguments: &[&str]) -> (Value, String) {
    write(place, &[(name, content.as_bytes().to_vec())]);
    let mut all = vec!["init", name, "-o", "told.toml"];
    all.extend(arguments);
    let told = place.train(&all);
    told.says(0, &["wrote told.toml"]);
    let config = toml::from_str(&fs::read_to_string(place.path("told.toml")).unwrap()).unwrap();
    fs::remove_file(place.path("told.toml")).unwrap();
    (config, told.err)
}

fn lines(head: &str, row: impl Fn(u32) -> String) -> String {
    format!("{head}\n") + &(0..40).map(|i| row(i) + "\n").collect::<String>()
}

#[test]
fn a_first_configuration_finds_the_delimiter() {
    let place = Workplace::new();
    let row = |mark: char| lines(&format!("a{mark}b{mark}kind"), |i| format!("{i}{mark}{}{mark}{}", i * 7 % 11, i % 2));
    for (name, mark, written) in [
        ("a.csv", ',', None),
        ("b.csv", ';', Some(";")),
        ("c.csv", '\t', Some("\t")),
        ("d.tsv", '\t', None),
        ("e.tsv", ',', Some(",")),
        ("f.csv", '|', Some("|")),
    ] {
        write(&place, &[(name, row(mark).into_bytes())]);
        let expected: Vec<(&str, Value)> = written.map(|mark| ("/data/delimiter", json!(mark))).into_iter().collect();
        assert_it_trains(&place, name, &expected);
        let (config, told) = made(&place, name, &row(mark), &[]);
        assert_eq!(config["data"].get("delimiter").is_some(), written.is_some(), "{name}: {told}");
    }
}

#[test]
fn a_first_configuration_tells_why_a_column_is_skipped_or_changed() {
    let place = Workplace::new();
    let odd = |i: u32| if i == 6 { "unknown".to_owned() } else { (20 + i).to_string() };
    let wrong = |i: u32| if i == 6 { "1O5".to_owned() } else { (20 + i).to_string() };
    let table = lines("dist,day,age,size,zip,customer_id,same,price", |i| {
        let (age, size, zip, price) = (odd(i), wrong(i), i % 4, f64::from(i) * 1.5);
        format!("{i} km,2024-01-{:02},{age},{size},{zip:05},{i},7,{price}", i % 28 + 1)
    });
    let (config, told) = made(&place, "a.csv", &table, &[]);
    for expected in [
        "warning: ignored: `dist`: a number with a unit, such as \"0 km\"; write plain numbers",
        "warning: ignored: `day`: a date or a time",
        "warning: ignored: `customer_id`: it only numbers the rows",
        "warning: ignored: `same`: the same value in every row",
        "warning: ignored: `size`: 1 of 40 values is not a number, such as \"1O5\" in row 7",
        "note: categories: `zip`: codes with leading zeros, such as \"00000\"",
        "warning: missing values: `age` has numbers and \"unknown\", which is taken for missing",
        "note: target: `price`, because no column has the name of a target, and it is the last column and has \
         numbers; task: regression",
        "note: model: mlp",
    ] {
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
    assert_eq!(config["data"]["ignore"], json!(["dist", "day", "size", "customer_id", "same"]));
    assert_eq!(config["data"]["categories"], json!(["zip"]));
    assert_it_trains(&place, "a.csv", &[("/data/missing", json!("median"))]);
}

#[test]
fn a_first_configuration_keeps_a_target_with_gaps_and_tells_them() {
    let place = Workplace::new();
    let table =
        lines("a,label,b", |i| format!("{i},{},{}", if i == 11 { "" } else { ["y", "n"][i as usize % 2] }, i * i));
    let (config, told) = made(&place, "a.csv", &table, &[]);
    assert_eq!((&config["data"]["label"], &config["data"]["task"]), (&json!("label"), &json!("classification")));
    assert!(told.contains("warning: column `label`, the target, is missing: 1 row has none, first row 12"), "{told}");
    place.train(&["init", "a.csv"]).says(0, &[]);
    place.train_refuses(
        &["check", "a.toml"],
        &["a.csv, line 13, column `label`: the label is missing", "remove the row"],
    );
}

#[test]
fn a_first_configuration_takes_lines_above_a_table_and_another_target() {
    let place = Workplace::new();
    let table = lines("a,b,label", |i| format!("{i},{},{}", i % 3, i % 2));
    let above = format!("A report\nof today\n{table}");
    write(&place, &[("a.csv", above.clone().into_bytes())]);
    place.train_refuses(&["init", "a.csv", "-o", "x.toml"], &["line 3", "3 columns", "`--skip-lines 2`"]);
    let (config, _) = made(&place, "a.csv", &above, &["--skip-lines", "2", "--label", "b"]);
    assert_eq!((&config["data"]["skip_lines"], &config["data"]["label"]), (&json!(2), &json!("b")));
    place.train_refuses(
        &["init", "a.csv", "--skip-lines", "2", "--label", "c"],
        &["no such column", "`a`, `b`, `label`"],
    );
    write(&place, &[("a.txt", b"a text of some characters".to_vec())]);
    place.train_refuses(&["init", "a.txt", "--skip-lines", "2"], &["--skip-lines does not apply to a.txt"]);
    place.train_refuses(&["init", "a.txt", "--label", "b"], &["--label does not apply to a.txt"]);
}

#[test]
fn a_first_configuration_is_refused_where_nothing_can_be_learned() {
    use candle_core::{Device, Tensor, safetensors};
    let place = Workplace::new();
    let refused = |data: &str, expected: &[&str]| {
        place.train_refuses(&["init", data, "-o", "never.toml"], expected);
        assert!(!place.path("never.toml").exists());
    };
    write(
        &place,
        &[
            ("one.csv", lines("a,label", |i| format!("{i},yes")).into_bytes()),
            ("last.csv", lines("a,b,c", |i| format!("{i},{},yes", i * i)).into_bytes()),
            ("single.csv", lines("a", |i| i.to_string()).into_bytes()),
            ("empty.csv", Vec::new()),
            ("header.csv", b"a,b,label\n".to_vec()),
            ("words.csv", lines("note,label", |i| format!("word number {i},{}", i % 2)).into_bytes()),
            ("units.csv", lines("a,target", |i| format!("{i},{i} km")).into_bytes()),
            ("one.txt", vec![b'a'; 500]),
            ("short.txt", b"ab".to_vec()),
            ("empty.txt", Vec::new()),
            ("idx/train-images-idx3-ubyte", data::idx(&[4, 2, 2], &[7; 16])),
            ("idx/train-labels-idx1-ubyte", data::idx(&[4], &[3; 4])),
            ("images/cat/readme.txt", b"no image".to_vec()),
        ],
    );
    refused("one.csv", &["column `label`, the target, is \"yes\" in every row", "--label"]);
    refused("last.csv", &["column `c`, the last one, is \"yes\" in every row", "--label"]);
    refused("single.csv", &["a single column", "commas, semicolons, tabs"]);
    refused("empty.csv", &["the data file empty.csv is empty"]);
    refused("header.csv", &["header.csv holds no rows of data"]);
    refused("words.csv", &["no column beside the target", "`note`: 40 different words"]);
    refused("units.csv", &["holds a number with a unit, such as \"0 km\"", "write plain numbers"]);
    refused("one.txt", &["the text has a single character"]);
    refused("short.txt", &["too short to learn from"]);
    refused("empty.txt", &["the data file empty.txt is empty"]);
    refused("idx", &["all images have the same label"]);
    refused("images", &["images has no known format of training data", "one subfolder of images for each class"]);
    let x = Tensor::rand(0f32, 1.0, (40, 5), &Device::Cpu).unwrap();
    let y = Tensor::ones((40, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
    safetensors::save(&[("x", x), ("y", y)].into_iter().collect(), place.path("a.safetensors")).unwrap();
    refused("a.safetensors", &["tensor `y`, the targets, has one value in every row"]);
}
