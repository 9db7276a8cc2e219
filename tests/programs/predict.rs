//! `train predict`: predictions for rows of a table, a tensor or images.

use std::fs;

use crate::common;
use crate::common::data::write;
use crate::common::{ADAMW, Lab, small, table};
use serde_json::Value;

/// The lines of a prediction, the first with the names of the columns.
fn predict(lab: &Lab, data: &str) -> Vec<Vec<String>> {
    let told = lab.train(&["predict", "run", "--data", data]).well();
    assert_eq!(told.stderr, "");
    told.stdout.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn lab() -> Lab {
    let lab =
        Lab::in_memory(&small(ADAMW, "constant()", "").replace("batch_size = 13", "batch_size = 13\n    classes = 3"));
    lab.start("run");
    lab
}

/// Each line without the columns `left_out`, counted from 0.
fn without(table: &str, left_out: &[usize]) -> String {
    let line = |line: &str| {
        let kept = line.split(',').enumerate().filter(|(column, _)| !left_out.contains(column));
        kept.map(|(_, field)| field).collect::<Vec<_>>().join(",") + "\n"
    };
    table.lines().map(line).collect()
}

#[test]
fn predictions_are_what_the_evaluation_counts() {
    let lab = lab();
    let predicted = predict(&lab, "data.csv");
    assert_eq!(predicted[0], ["class", "p_0", "p_1", "p_2"]);
    let labels: Vec<String> = table().lines().skip(1).map(|line| line[line.len() - 1..].to_owned()).collect();
    assert_eq!(predicted.len(), 1 + labels.len());
    let right = predicted[1..].iter().zip(&labels).filter(|(row, label)| row[0] == **label).count();
    let told = lab.train(&["eval", "run", "--rows", "all", "--json"]).well();
    let evaluated: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(right as f64 / 60.0, evaluated["accuracy"].as_f64().unwrap());
    let mut loss = 0.0;
    for (row, label) in predicted[1..].iter().zip(&labels) {
        let p: Vec<f64> = row[1..].iter().map(|p| p.parse().unwrap()).collect();
        // Three probabilities, each rounded to 24 bits.
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 2e-7, "{p:?}");
        let class: usize = row[0].parse().unwrap();
        assert!(p.iter().all(|&other| other <= p[class]), "{p:?}");
        loss -= p[label.parse::<usize>().unwrap()].ln() / 60.0;
    }
    assert!((loss - evaluated["loss"].as_f64().unwrap()).abs() < 1e-5, "{loss} {evaluated}");
}

#[test]
fn rows_need_no_label_and_no_order_of_columns() {
    let lab = lab();
    let expected = predict(&lab, "data.csv");
    let turned = table().lines().map(|line| line.split(',').rev().collect::<Vec<_>>().join(",") + "\n").collect();
    for (name, content) in [("bare.csv", without(&table(), &[3])), ("turned.csv", turned)] {
        fs::write(lab.path(name), content).unwrap();
        assert_eq!(predict(&lab, name), expected, "{name}");
    }
    // The run's own data is not needed.
    fs::remove_file(lab.path("data.csv")).unwrap();
    assert_eq!(predict(&lab, "bare.csv"), expected);
    fs::write(lab.path("less.csv"), without(&table(), &[1, 3])).unwrap();
    let refusal = lab.train(&["predict", "run", "--data", "less.csv"]).refusal();
    assert!(refusal.contains("less.csv has no column `b`, which the model was trained on"), "{refusal}");
    assert!(refusal.contains("; it has `a`, `c`"), "{refusal}");
}

/// Of a pattern the rows of all files follow each other in the order of the names, and an evaluation is that of all.
#[test]
fn rows_may_be_in_the_files_of_a_pattern() {
    let lab = lab();
    let (whole, lines) = (table(), table().lines().map(str::to_owned).collect::<Vec<_>>());
    for (name, rows) in [("part-2.csv", &lines[21..]), ("part-1.csv", &lines[1..21])] {
        fs::write(lab.path(name), [&lines[..1], rows].concat().join("\n") + "\n").unwrap();
    }
    // Products of other numbers of rows may differ in the last bit.
    let [parts, all] = ["part-*.csv", "data.csv"].map(|data| predict(&lab, data));
    assert_eq!((parts.len(), &parts[0]), (61, &all[0]));
    for (part, all) in parts.iter().zip(&all).skip(1) {
        assert_eq!(part[0], all[0]);
        let number = |text: &String| text.parse::<f64>().unwrap();
        assert!(
            part[1..].iter().zip(&all[1..]).all(|(part, all)| (number(part) - number(all)).abs() < 1e-6),
            "{part:?}"
        );
    }
    let figures = |data: &str| {
        let told = lab.train(&["eval", "run", "--data", data, "--json"]).well().stdout;
        let found: Value = serde_json::from_str(&told).unwrap();
        (found["rows"].as_u64().unwrap(), found["accuracy"].as_f64().unwrap(), found["loss"].as_f64().unwrap())
    };
    let (parts, all) = (figures("part-[12].csv"), figures("data.csv"));
    assert_eq!((parts.0, parts.1), (whole.lines().count() as u64 - 1, all.1));
    // The sums of the two files are added in another order than those of one.
    assert!((parts.2 - all.2).abs() < 1e-6, "{parts:?} {all:?}");
    fs::write(lab.path("part-3.csv"), "a,b,c,label\n1,2,x,0\n").unwrap();
    for command in ["predict", "eval"] {
        let refusal = lab.train(&[command, "run", "--data", "other-*.csv"]).refusal();
        assert!(refusal.contains("no file is named other-*.csv; a pattern matches names of files"), "{refusal}");
        let refusal = lab.train(&[command, "run", "--data", "part-1.csv", "part-2.csv"]).refusal();
        assert!(refusal.contains("--data takes one path; put a pattern of names in quotes"), "{refusal}");
    }
    // Rows of earlier files may be computed by then.
    for command in [&["predict", "-o", "out.csv"][..], &["eval"]] {
        let refusal = lab.train(&[command, &["run", "--data", "part-*.csv"]].concat()).refusal();
        assert!(refusal.contains("part-3.csv, line 2, column `c`"), "{refusal}");
    }
    assert!(!lab.path("out.csv").exists());
}

#[test]
fn columns_without_names_are_taken_in_their_order() {
    let bare = |table: &str| table.lines().skip(1).map(|line| line.to_owned() + "\n").collect::<String>();
    let config = small(ADAMW, "constant()", "").replace("batch_size", "header = false\nlabel = 1\nbatch_size");
    let lab = Lab::in_memory(&config.replace("validation = 0.2", "task = \"regression\""));
    fs::write(lab.path("data.csv"), bare(&table())).unwrap();
    lab.start("run");
    let expected = predict(&lab, "data.csv");
    assert_eq!((expected.len(), &expected[0][..]), (61, &["value".to_owned()][..]));
    fs::write(lab.path("bare.csv"), bare(&without(&table(), &[1]))).unwrap();
    assert_eq!(predict(&lab, "bare.csv"), expected);
    fs::write(lab.path("less.csv"), bare(&without(&table(), &[1, 2]))).unwrap();
    let refusal = lab.train(&["predict", "run", "--data", "less.csv"]).refusal();
    let expected = "less.csv has 2 columns, and the model was trained on 4; its label is column 1";
    assert!(refusal.contains(expected), "{refusal}");
}

#[test]
fn classes_have_the_names_that_the_run_knows() {
    let lab = Lab::in_memory(&small(ADAMW, "constant()", ""));
    let row = |i: usize| format!("{},{},{}\n", ["red", "blue"][i % 2], i % 7, ["owl", "cat, wild"][i / 2 % 2]);
    let quoted = |row: String| row.replace("cat, wild", "\"cat, wild\"");
    let rows: String = (0..60).map(row).map(quoted).collect();
    fs::write(lab.path("data.csv"), format!("colour,size,animal\n{rows}")).unwrap();
    lab.start("run");
    fs::write(lab.path("new.csv"), "size,colour\n3,red\n5,blue\n").unwrap();
    let told = lab.train(&["predict", "run", "--data", "new.csv"]).well();
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "class,\"p_cat, wild\",p_owl"));
    assert!(lines[1..].iter().all(|line| line.starts_with("owl,") || line.starts_with("\"cat, wild\",")), "{lines:?}");
}

#[test]
fn the_most_probable_classes_are_those_of_the_whole_table() {
    let lab = lab();
    let all = predict(&lab, "data.csv");
    let told = lab.train(&["predict", "run", "--data", "data.csv", "--top-k", "2"]).well();
    let lines: Vec<Vec<&str>> = told.stdout.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["class_1", "class_2", "p_1", "p_2"]);
    assert_eq!(lines.len(), all.len());
    for (line, all) in lines[1..].iter().zip(&all[1..]) {
        assert_eq!(line[0], all[0]);
        let p: Vec<f64> = all[1..].iter().map(|p| p.parse().unwrap()).collect();
        let of = |class: &str| all[1 + class.parse::<usize>().unwrap()].as_str();
        assert_eq!((line[2], line[3]), (of(line[0]), of(line[1])));
        let second = line[3].parse::<f64>().unwrap();
        assert_eq!(p.iter().filter(|&&other| other > second).count(), 1, "{line:?} of {all:?}");
    }
    lab.train(&["predict", "run", "--data", "data.csv", "--top-k", "0"]).refusal();
}

#[test]
fn json_lines_have_the_same_numbers_by_the_names_of_classes() {
    let lab = lab();
    let all = predict(&lab, "data.csv");
    let told = lab.train(&["predict", "run", "--data", "data.csv", "--json"]).well();
    let lines: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() + 1, all.len());
    for (line, all) in lines.iter().zip(&all[1..]) {
        assert_eq!(line["class"].to_string(), all[0]);
        for class in 0..3 {
            assert_eq!(line["probabilities"][class.to_string()].to_string(), all[1 + class], "{line}");
        }
    }
    lab.train(&["predict", "run", "--data", "data.csv", "--top-k", "1", "-o", "top.jsonl"]).well();
    let written = fs::read_to_string(lab.path("top.jsonl")).unwrap();
    let first: Value = serde_json::from_str(written.lines().next().unwrap()).unwrap();
    assert_eq!(first["probabilities"].as_object().unwrap().len(), 1);
    assert_eq!(first["probabilities"][all[1][0].as_str()], lines[0]["probabilities"][all[1][0].as_str()]);
    let refusal = lab.train(&["predict", "run", "--data", "data.csv", "-o", "top.txt"]).refusal();
    assert!(refusal.contains(".csv, .jsonl or .parquet"), "{refusal}");
}

#[test]
fn rows_may_come_through_a_pipe() {
    use std::io::Write;
    use std::process::Stdio;
    let lab = lab();
    let expected = lab.train(&["predict", "run", "--data", "data.csv"]).well().stdout;
    let through = |content: &str| {
        let mut command = lab.command(&["predict", "run", "--data", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        process.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(through(&table()), (Some(0), expected.clone(), String::new()));
    let (code, out, err) = through("a,b,c\n1,two,3\n");
    // The names of the columns are written before the first row is read.
    assert!(code == Some(2) && out.lines().count() <= 1, "{err}");
    assert!(err.contains("/dev/stdin, line 2, column `b`: \"two\" is not a number"), "{err}");
    assert_eq!(through("").0, Some(2));
    let file = fs::File::open(lab.path("data.csv")).unwrap();
    let output = lab.command(&["predict", "run", "--data", "-"]).stdin(file).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn what_is_half_written_is_not_left_behind() {
    let lab = lab();
    fs::write(lab.path("out.csv"), "of an earlier run").unwrap();
    let rows = "1,2,3\n".repeat(3000);
    fs::write(lab.path("bad.csv"), format!("a,b,c\n{rows}1,two,3\n")).unwrap();
    let before = fs::read_dir(lab.path("")).unwrap().count();
    for output in ["out.csv", "new.csv"] {
        let refusal = lab.train(&["predict", "run", "--data", "bad.csv", "-o", output]).refusal();
        assert!(refusal.contains("bad.csv, line 3002, column `b`: \"two\" is not a number"), "{refusal}");
    }
    assert_eq!(fs::read_to_string(lab.path("out.csv")).unwrap(), "of an earlier run");
    assert_eq!(fs::read_dir(lab.path("")).unwrap().count(), before);
    let told = lab.train(&["predict", "run", "--data", "data.csv", "-o", "out.csv"]).well();
    assert_eq!((told.stdout.as_str(), told.stderr.as_str()), ("", "60 rows written to out.csv\n"));
    let written = fs::read_to_string(lab.path("out.csv")).unwrap();
    assert_eq!(written, lab.train(&["predict", "run", "--data", "data.csv"]).well().stdout);
}

/// Returns the peak memory of the process so far, in bytes; `None` once it has ended.
#[cfg(target_os = "linux")]
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Ten times the rows take no more memory.
#[cfg(target_os = "linux")]
#[test]
fn a_prediction_streams_in_bounded_memory() {
    let lab = lab();
    let peak_of = |rows: usize, name: &str| {
        let row = format!("{:0100},{:0100},{:0100}\n", 1, 2, 3);
        fs::write(lab.path(name), "a,b,c\n".to_owned() + &row.repeat(rows)).unwrap();
        let mut command = lab.command(&["predict", "run", "--data", name, "-o", "out.csv"]);
        let mut process = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        let mut most = 0;
        while process.try_wait().unwrap().is_none() {
            most = most.max(peak(process.id()).unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(process.wait().unwrap().success() && most > 0);
        assert_eq!(fs::read_to_string(lab.path("out.csv")).unwrap().lines().count(), rows + 1);
        most
    };
    let (few, many) = (peak_of(20_000, "few.csv"), peak_of(200_000, "many.csv"));
    // The larger file has 60 MB, and its predictions 8 MB.
    assert!(many < few + (6 << 20), "{few} and {many} bytes");
}

#[test]
fn rows_of_a_tensor_need_no_targets() {
    use candle_core::{Device, Tensor};
    let config = small(ADAMW, "constant()", "").replace("data.csv", "data.safetensors");
    let lab = Lab::in_memory(&config);
    let x = Tensor::from_iter((0..300u32).map(|i| (i * 37 % 101) as f32 / 9.0), &Device::Cpu).unwrap();
    let x = x.reshape((60, 5)).unwrap();
    let y = Tensor::from_iter((0..60u32).map(|i| i % 3), &Device::Cpu).unwrap();
    let save = |name: &str, tensors: &[(&str, &Tensor)]| {
        let tensors = tensors.iter().map(|&(name, tensor)| (name.to_owned(), tensor.clone())).collect();
        candle_core::safetensors::save(&tensors, lab.path(name)).unwrap();
    };
    save("data.safetensors", &[("x", &x), ("y", &y)]);
    lab.start("run");
    let expected = predict(&lab, "data.safetensors");
    assert_eq!(expected.len(), 61);
    save("bare.safetensors", &[("x", &x)]);
    assert_eq!(predict(&lab, "bare.safetensors"), expected);
    save("wide.safetensors", &[("x", &x.reshape((50, 6)).unwrap())]);
    let refusal = lab.train(&["predict", "run", "--data", "wide.safetensors"]).refusal();
    let expected = "wide.safetensors: a row is numbers of shape [6], and the model takes numbers of shape [5]";
    assert!(refusal.contains(expected), "{refusal}");
    save("other.safetensors", &[("z", &x)]);
    let refusal = lab.train(&["predict", "run", "--data", "other.safetensors"]).refusal();
    assert!(refusal.contains("other.safetensors has no tensor `x`"), "{refusal}");
    let mut bytes = fs::read(lab.path("bare.safetensors")).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(lab.path("cut.safetensors"), bytes).unwrap();
    let refusal = lab.train(&["predict", "run", "--data", "cut.safetensors"]).refusal();
    assert!(
        refusal.contains("cut.safetensors is not a valid safetensors file: its tensors fill 1200 of the"),
        "{refusal}"
    );
}

#[test]
fn images_need_no_labels() {
    let config = small(ADAMW, "constant()", "").replace("path = \"data.csv\"", "path = \"digits\"\nformat = \"idx\"");
    let lab = Lab::in_memory(&config);
    let pixels: Vec<u8> = (0..40 * 6).map(|i| (i * 31 % 251) as u8).collect();
    let images = |count: u8, rows: u8, columns: u8| {
        let head = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, rows, 0, 0, 0, columns];
        [&head[..], &pixels].concat()
    };
    fs::create_dir(lab.path("digits")).unwrap();
    fs::write(lab.path("digits/train-images-idx3-ubyte"), images(40, 2, 3)).unwrap();
    let labels: Vec<u8> = [0, 0, 8, 1, 0, 0, 0, 40].into_iter().chain((0..40).map(|i| i % 4)).collect();
    fs::write(lab.path("digits/train-labels-idx1-ubyte"), labels).unwrap();
    lab.start("run");
    let predicted = predict(&lab, "digits/train-images-idx3-ubyte");
    assert_eq!((predicted.len(), predicted[0].len()), (41, 5));
    let told = lab.train(&["eval", "run", "--rows", "all", "--json"]).well();
    let accuracy = serde_json::from_str::<Value>(&told.stdout).unwrap()["accuracy"].as_f64().unwrap();
    let right = predicted[1..].iter().zip(0..).filter(|(row, i)| row[0] == (i % 4).to_string()).count();
    assert_eq!(right as f64 / 40.0, accuracy);
    let again: Value =
        serde_json::from_str(&lab.train(&["eval", "run", "--data", "digits", "--json"]).well().stdout).unwrap();
    assert_eq!((again["rows"].as_u64(), again["accuracy"].as_f64()), (Some(40), Some(accuracy)));
    fs::write(lab.path("wide"), images(40, 1, 6)).unwrap();
    let refusal = lab.train(&["predict", "run", "--data", "wide"]).refusal();
    assert!(refusal.contains("wide: a row is numbers of shape [1, 1, 6], and the model takes"), "{refusal}");
}

/// In any folder, images are identified by their files; a class has the name of its folder in training.
#[test]
fn images_in_a_folder_are_predicted_by_the_names_of_their_files() {
    let config = small(ADAMW, "constant()", "").replace("data.csv\"", "animals\"\nformat = \"images\"");
    let lab = Lab::in_memory(&config.replace("epochs = 3", "epochs = 40"));
    let picture = |image: usize, width: u32| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, 2);
        encoder.set_color(png::ColorType::Grayscale);
        // The columns of a cat are dark, and those of a dog bright.
        let samples: Vec<u8> =
            (0..2 * width as usize).map(|i| ((image % 2) * 150 + (image * 7 + i * 31) % 90) as u8).collect();
        encoder.write_header().unwrap().write_image_data(&samples).unwrap();
        bytes
    };
    let classes = ["cat", "wild, dog"];
    for image in 0..40 {
        write(&lab.path("animals").join(classes[image % 2]), &[(&format!("{image}.png"), picture(image, 3))]);
        let place = if image < 30 { format!("{image:02}.png") } else { format!("box/{image}.png") };
        write(&lab.path("new"), &[(&place, picture(image, 3))]);
    }
    lab.start("run");
    fs::remove_dir_all(lab.path("animals")).unwrap();
    let told = lab.train(&["predict", "run", "--data", "new"]).well();
    let mut table = csv::Reader::from_reader(told.stdout.as_bytes());
    assert_eq!(table.headers().unwrap(), &["file", "class", "p_cat", "p_wild, dog"][..]);
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let names: Vec<String> =
        (0..40).map(|image| if image < 30 { format!("{image:02}.png") } else { format!("box/{image}.png") }).collect();
    assert_eq!(rows.iter().map(|row| &row[0]).collect::<Vec<_>>(), names);
    let right = rows.iter().enumerate().filter(|(image, row)| &row[1] == classes[image % 2]).count();
    assert!(right >= 38, "{right} of 40");
    // One image is treated as a folder of one.
    let told = lab.train(&["predict", "run", "--data", "new/box/35.png"]).well();
    let one: Vec<csv::StringRecord> =
        csv::Reader::from_reader(told.stdout.as_bytes()).into_records().map(Result::unwrap).collect();
    assert_eq!((one.len(), &one[0][0], &one[0][1]), (1, "35.png", &rows[35][1]));
    // The decoder would find its end missing; the size is checked before that, from the header.
    let wide = picture(1, 5);
    write(&lab.path("new"), &[("zoo/wide.png", wide[..wide.len() - 20].to_vec())]);
    let refusal = lab.train(&["predict", "run", "--data", "new", "-o", "out.csv"]).refusal();
    let expected =
        "new/zoo/wide.png: a row is numbers of shape [1, 2, 5], and the model takes numbers of shape [1, 2, 3]";
    assert!(refusal.contains(expected) && !lab.path("out.csv").exists(), "{refusal}");
}

/// At any moment: before there is a file, when it was just created, and later.
#[cfg(unix)]
#[test]
fn a_signal_ends_a_prediction_and_leaves_what_was_there_before() {
    let lab = lab();
    let row = format!("{:0100},{:0100},{:0100}\n", 1, 2, 3);
    fs::write(lab.path("many.csv"), "a,b,c\n".to_owned() + &row.repeat(300_000)).unwrap();
    fs::write(lab.path("out.csv"), "of an earlier run").unwrap();
    let files = || {
        let mut names: Vec<_> = fs::read_dir(lab.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    for (signal, code, output) in
        [(rustix::process::Signal::INT, 130, "out.csv"), (rustix::process::Signal::TERM, 143, "new.csv")]
    {
        for wait in [0, 20, 100] {
            let mut command = lab.command(&["predict", "run", "--data", "many.csv", "-o", output]);
            let mut process = command.stderr(std::process::Stdio::null()).spawn().unwrap();
            while files() == before {
                assert!(process.try_wait().unwrap().is_none(), "it ended before its file was seen");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            std::thread::sleep(std::time::Duration::from_millis(wait));
            rustix::process::kill_process(rustix::process::Pid::from_child(&process), signal).unwrap();
            assert_eq!(process.wait().unwrap().code(), Some(code));
            assert_eq!(files(), before);
            assert_eq!(fs::read_to_string(lab.path("out.csv")).unwrap(), "of an earlier run");
        }
    }
}

/// `train predict … | head` is not an error.
#[test]
fn a_reader_of_predictions_may_go_away() {
    let lab = lab();
    fs::write(lab.path("many.csv"), "a,b,c\n".to_owned() + &"1,2,3\n".repeat(100_000)).unwrap();
    let mut command = lab.command(&["predict", "run", "--data", "many.csv"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut process = command.spawn().unwrap();
    drop(process.stdout.take());
    let ended: common::Ended = process.wait_with_output().unwrap().into();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

/// Rust would write the rows to nowhere.
#[test]
fn predictions_for_a_closed_stdout_are_an_error() {
    let lab = lab();
    for command in ["predict run --data data.csv", "eval run"] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("exec {} {command} >&-", common::programs::TRAIN)]).current_dir(lab.path(""));
        let ended: common::Ended = shell.output().unwrap().into();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("the result cannot be written to stdout: Bad file descriptor"),
            "{}",
            ended.stderr
        );
    }
}

#[cfg(feature = "parquet")]
#[test]
fn predictions_can_be_parquet() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let lab = lab();
    let expected = predict(&lab, "data.csv");
    lab.train(&["predict", "run", "--data", "data.csv", "-o", "out.parquet"]).well();
    let reader = SerializedFileReader::new(fs::File::open(lab.path("out.parquet")).unwrap()).unwrap();
    let rows: Vec<Vec<String>> = reader
        .get_row_iter(None)
        .unwrap()
        .map(|row| row.unwrap().get_column_iter().map(|(_, field)| field.to_string()).collect())
        .collect();
    assert_eq!(rows.len(), 60);
    for (row, expected) in rows.iter().zip(&expected[1..]) {
        assert_eq!(row[0], expected[0]);
        let number = |text: &String| text.parse::<f32>().unwrap();
        assert!(row[1..].iter().map(number).eq(expected[1..].iter().map(number)), "{row:?} {expected:?}");
    }
}

/// A Parquet file names its columns, although those of the run had no names.
#[cfg(feature = "parquet")]
#[test]
fn rows_in_parquet_are_taken_in_their_order_by_a_model_of_columns_without_names() {
    use crate::common::parquet_files::{Cells, write_parquet};
    let config = small(ADAMW, "constant()", "").replace("batch_size", "header = false\nbatch_size");
    let lab = Lab::in_memory(&config);
    let rows: Vec<String> = table().lines().skip(1).map(str::to_owned).collect();
    fs::write(lab.path("data.csv"), rows.join("\n")).unwrap();
    lab.start("run");
    let column = |place: usize| {
        let number = |row: &String| Some(row.split(',').nth(place).unwrap().parse().unwrap());
        Cells::Doubles(rows.iter().map(number).collect())
    };
    write_parquet(&lab.path("rows.parquet"), &[("x", column(0)), ("y", column(1)), ("z", column(2))]);
    assert_eq!(predict(&lab, "rows.parquet"), predict(&lab, "data.csv"));
    write_parquet(&lab.path("less.parquet"), &[("x", column(0)), ("y", column(1))]);
    let refusal = lab.train(&["predict", "run", "--data", "less.parquet"]).refusal();
    let expected = "less.parquet has 2 columns, and the model was trained on 4; its label is column 3";
    assert!(refusal.contains(expected), "{refusal}");
}

/// A model of a CSV file takes rows from Parquet too, the columns by their names.
#[cfg(feature = "parquet")]
#[test]
fn rows_can_be_parquet() {
    use crate::common::parquet_files::{Cells, write_parquet};
    let lab = lab();
    let expected = predict(&lab, "data.csv");
    let column = |place: usize| {
        let number = |line: &str| Some(line.split(',').nth(place).unwrap().parse().unwrap());
        Cells::Doubles(table().lines().skip(1).map(number).collect())
    };
    write_parquet(&lab.path("rows.parquet"), &[("c", column(2)), ("a", column(0)), ("b", column(1))]);
    assert_eq!(predict(&lab, "rows.parquet"), expected);
    fs::write(lab.path("cut.parquet"), "PAR1").unwrap();
    let refusal = lab.train(&["predict", "run", "--data", "cut.parquet"]).refusal();
    assert!(refusal.contains("the Parquet file cut.parquet cannot be read"), "{refusal}");
}

/// Sixty rows of a size in words and a number; every third is of class 1.
fn sizes() -> String {
    let row = |i: u32| {
        format!("{},{}.5,{}\n", ["6300", "7100", "S"][(i % 3) as usize], i % 7, u32::from(i.is_multiple_of(3)))
    };
    "size,x,y\n".to_owned() + &(0..60).map(row).collect::<String>()
}

#[test]
fn categories_that_training_had_not_are_counted_with_an_example() {
    let config = small(ADAMW, "constant()", "").replace("batch_size", "categories = [\"size\"]\nbatch_size");
    let lab = Lab::in_memory(&config);
    fs::write(lab.path("data.csv"), sizes()).unwrap();
    lab.start("run");
    let rows = "6300.0,1,0\ns,2,1\n6300,3,1\n6300.0,3,1\n";
    fs::write(lab.path("new.csv"), format!("size,x,y\n{rows}")).unwrap();
    let expected = "warning: new.csv: of the rows, 3 of 4 have a value in column `size` that no training row has, \
                    such as \"6300.0\" (they have \"6300\"); the model treats it as unknown\n";
    let told = lab.train(&["predict", "run", "--data", "new.csv"]).well();
    assert_eq!((told.stderr.as_str(), told.stdout.lines().count()), (expected, 5));
    let told = lab.train(&["eval", "run", "--data", "new.csv", "--json"]).well();
    assert_eq!(told.stderr, expected);
    serde_json::from_str::<Value>(&told.stdout).unwrap();
    // Larger files are counted completely.
    fs::write(lab.path("many.csv"), format!("size,x,y\n{}", rows.repeat(200))).unwrap();
    let told = lab.train(&["predict", "run", "--data", "many.csv", "-o", "out.csv"]).well();
    assert!(told.stderr.contains("600 of 800 have a value in column `size`"), "{}", told.stderr);
}

#[test]
fn lines_that_another_file_does_not_have_are_not_skipped() {
    let config = small(ADAMW, "constant()", "").replace("batch_size", "skip_lines = 2\nbatch_size");
    let lab = Lab::in_memory(&config);
    let note = "units: mm,mm,mm\nof the year, 2025\n";
    fs::write(lab.path("data.csv"), note.to_owned() + &table()).unwrap();
    lab.start("run");
    let expected = predict(&lab, "data.csv");
    assert_eq!(expected.len(), 61);
    for (name, before, lines) in [("bare.csv", "", 0), ("one.csv", "of another year\n", 1)] {
        fs::write(lab.path(name), before.to_owned() + &table()).unwrap();
        let told = lab.train(&["predict", "run", "--data", name]).well();
        let rows: Vec<String> = expected.iter().map(|row| row.join(",") + "\n").collect();
        assert_eq!(told.stdout, rows.concat());
        let said = format!("note: {name}: {lines} lines are skipped before the rows, not 2 as in the run's own file\n");
        assert_eq!(told.stderr, said);
        let told = lab.train(&["eval", "run", "--data", name, "--json"]).well();
        assert_eq!(serde_json::from_str::<Value>(&told.stdout).unwrap()["rows"], 60);
    }
    fs::write(lab.path("three.csv"), "x\n".repeat(3) + &table()).unwrap();
    let refusal = lab.train(&["predict", "run", "--data", "three.csv"]).refusal();
    assert!(refusal.contains("three.csv has no column `a`, which the model was trained on"), "{refusal}");
    let told = lab.train(&["predict", "run", "--data", "three.csv", "--skip-lines", "3"]).well();
    assert_eq!((told.stderr.as_str(), told.stdout.lines().count()), ("", 61));
    lab.train(&["eval", "run", "--data", "three.csv", "--skip-lines", "3"]).well();
}

#[test]
fn without_a_header_no_row_of_another_file_is_skipped() {
    let config = small(ADAMW, "constant()", "").replace("batch_size", "header = false\nskip_lines = 1\nbatch_size");
    let lab = Lab::in_memory(&config);
    let bare: String = table().lines().skip(1).map(|line| line.to_owned() + "\n").collect();
    fs::write(lab.path("data.csv"), "60,3,of class,0 to 2\n".to_owned() + &bare).unwrap();
    lab.start("run");
    let expected = predict(&lab, "data.csv");
    assert_eq!(expected.len(), 61);
    for (name, content) in [("bare.csv", bare.clone()), ("unlabelled.csv", without(&bare, &[3]))] {
        fs::write(lab.path(name), content).unwrap();
        let told = lab.train(&["predict", "run", "--data", name]).well();
        assert_eq!(told.stdout.lines().count(), 61, "{name}");
        assert!(told.stderr.contains("0 lines are skipped before the rows, not 1"), "{}", told.stderr);
    }
    let told = lab.train(&["eval", "run", "--data", "bare.csv", "--json"]).well();
    assert_eq!(serde_json::from_str::<Value>(&told.stdout).unwrap()["rows"], 60);
}

/// Seconds since 1970 are 128 apart in 32 bits. A model trained with 64 bits distinguishes them.
#[test]
fn large_numbers_are_distinguished_in_training_and_prediction() {
    let config = small(ADAMW, "constant()", "").replace("epochs = 3", "epochs = 60").replace("dropout = 0.3", "");
    let lab = Lab::in_memory(&config);
    let late = |i: u32| u32::from(i * 37 % 60 > 30);
    let row = |base: u64, i: u32| format!("{},{}\n", base + u64::from(i * 37 % 60), late(i));
    let rows = |base: u64| "when,late\n".to_owned() + &(0..60).map(|i| row(base, i)).collect::<String>();
    let classes = |run: &str| {
        fs::write(lab.path("new.csv"), rows(if run == "late" { 1_700_000_000 } else { 0 })).unwrap();
        let told = lab.train(&["predict", run, "--data", "new.csv"]).well();
        told.stdout.lines().skip(1).map(|line| line[..1].parse().unwrap()).collect::<Vec<u32>>()
    };
    for (run, base) in [("early", 0), ("late", 1_700_000_000)] {
        fs::write(lab.path("data.csv"), rows(base)).unwrap();
        lab.start(run);
    }
    let found = classes("late");
    let right = found.iter().zip(0..).filter(|&(&class, i)| class == late(i)).count();
    assert!(right >= 55, "{right} of 60 are right");
    // Means and deviations in f64 are exact but for the last bits, so that the standardized inputs are the same in f32
    // but for the last bit, and a class on the border may differ.
    let early = classes("early");
    assert!(found.iter().zip(&early).filter(|(late, early)| late != early).count() <= 1);
}
