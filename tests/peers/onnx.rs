//! `inspect export --to onnx`: the file has what the run had, and onnxruntime computes the run's predictions from it.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use rekindle::trained::Trained;
use serde_json::{Value, json};

use crate::common::programs::Workplace;
use crate::onnx_file::Network;

/// A run of words and large numbers with three classes, exported as `run.onnx`.
fn words() -> Workplace {
    let place = Workplace::new();
    let animal = ["owl", "cat", "dog"];
    let row = |i: u32| format!("{},{},{}\n", 1_000_000 + i * 7 % 10, i * 3 % 8, animal[(i * 7 % 10 / 4) as usize]);
    let rows: String = (0..24).map(row).collect();
    fs::write(place.path("rows.csv"), format!("weight,size,animal\n{rows}")).unwrap();
    place.train(&["config.toml", "--out", "run"]).says(0, &[]);
    place.inspect(&["export", "run", "--to", "onnx", "-o", "run.onnx"]).says(0, &[]);
    place
}

/// The numbers that `train predict` says of the rows in a file: a class that has no name, and probabilities or values.
fn predicted(place: &Workplace, run: &str, data: &str) -> Vec<Vec<f64>> {
    let told = place.train(&["predict", run, "--data", data]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    let numbers = |line: &str| line.split(',').filter_map(|field| field.parse::<f64>().ok()).collect();
    told.out.lines().skip(1).map(numbers).collect()
}

#[track_caller]
fn assert_close(found: &[Vec<f64>], expected: &[Vec<f64>], name: &str) {
    assert_eq!((found.len(), found.is_empty()), (expected.len(), false), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-5, "{name}: {found} and {expected}");
        }
    }
}

#[test]
fn an_onnx_file_has_the_weights_the_standardization_and_the_names_of_the_run() {
    let place = words();
    let network = Network::read(&place, "run.onnx");
    assert_eq!((network.model.integers(1), network.model.messages(8)[0].integers(2)), (vec![8], vec![17]));
    let kinds = ["Sub", "Div", "Cast", "Gemm", "Relu", "Gemm", "Identity", "Softmax", "ArgMax"];
    assert_eq!(network.kinds(), kinds);
    let metadata = network.metadata();
    let json = |key: &str| serde_json::from_str::<Value>(&metadata[key]).unwrap();
    assert_eq!((json("classes"), json("features")), (json!(["cat", "dog", "owl"]), json!(["weight", "size"])));
    assert_eq!(json("step"), json!(20));

    let constants = network.constants();
    let weights = place.path("run/checkpoints/step-0000000020/model.safetensors");
    let weights = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    for (name, weight) in &weights {
        let numbers = weight.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(constants[name], (weight.dims().to_vec(), 1, bytes), "{name}");
    }
    assert_eq!(constants.len(), weights.len() + 2);

    // Numbers around a million lose the digits that matter in 32 bits, so the input has 64.
    let input = &network.graph.messages(11)[0];
    assert_eq!(input.messages(2)[0].messages(1)[0].integers(1), [11]);
    let rows: Vec<f64> = (0..24u32).flat_map(|i| [f64::from(1_000_000 + i * 7 % 10), f64::from(i * 3 % 8)]).collect();
    let rows = Tensor::from_vec(rows, (24, 2), &Device::Cpu).unwrap();
    assert_close(&network.computed(&rows, "probabilities"), &predicted(&place, "run", "rows.csv"), "words");
}

#[test]
fn adapters_are_merged_into_the_weights_of_an_onnx_file() {
    let place = Workplace::with_run();
    let tuned = ["config.toml", "--init-from", "run", "--out", "tuned", "--set", "model.lora={rank=2}"];
    place.train(&[&tuned[..], &["--set", "optimizer.groups=[]"]].concat()).says(0, &[]);
    for run in ["run", "tuned"] {
        let file = format!("{run}.onnx");
        place.inspect(&["export", run, "--to", "onnx", "-o", &file]).says(0, &[]);
        let rows: Vec<f64> = (0..24u32).flat_map(|i| [f64::from(i * 7 % 10), f64::from(i * 3 % 8)]).collect();
        let rows = Tensor::from_vec(rows, (24, 2), &Device::Cpu).unwrap();
        let found = Network::read(&place, &file).computed(&rows, "probabilities");
        let expected: Vec<Vec<f64>> =
            predicted(&place, run, "rows.csv").iter().map(|row| row[row.len() - 2..].to_vec()).collect();
        assert_close(&found, &expected, run);
    }
}

#[test]
fn what_cannot_be_written_as_onnx_is_refused_by_name_and_nothing_is_left() {
    let place = words();
    place.inspect(&["export", "run", "--to", "onnx", "-o", "run.onnx"]).says(2, &["run.onnx exists", "-o"]);
    place.inspect(&["export", "none", "--to", "onnx", "-o", "a.onnx"]).says(2, &["none"]);
    let gone = place.inspect(&["export", "run", "--to", "onnx", "-o", "no/such/a.onnx"]);
    gone.says(2, &["no/such/a.onnx cannot be written"]);
    let swa = place.inspect(&["export", "run", "--to", "onnx", "--weights", "ema", "-o", "a.onnx"]);
    swa.says(2, &["ema"]);
    fs::write(place.path("text.txt"), "to be or not to be, that is the question ".repeat(9)).unwrap();
    let text = "[data]\npath = \"text.txt\"\nformat = \"text\"\ncontext = 8\nbatch_size = 4\n[model]\nkind = \"gpt\"\n\
                layers = 1\nheads = 1\nwidth = 4\n[optimizer]\nkind = \"sgd\"\nlr = 0.1\n[train]\nsteps = 1\n";
    fs::write(place.path("text.toml"), text).unwrap();
    place.train(&["text.toml", "--out", "text"]).says(0, &[]);
    let told = place.inspect(&["export", "text", "--to", "onnx", "-o", "a.onnx"]);
    told.says(2, &["a model of the kind `gpt`", "--to hugging-face"]);
    assert!(!place.path("a.onnx").exists());
}

const TAIL: &str = "[optimizer]\nkind = \"adamw\"\nlr = 0.01\n[train]\nsteps = 6\n";

/// Runs on images, each with its name.
const IMAGES: &[(&str, &str)] = &[
    ("perceptron", "kind = \"mlp\"\nhidden = [6, 5]\nactivation = \"gelu\""),
    (
        "convnet",
        "kind = \"convnet\"\nhidden = [7]\nactivation = \"tanh\"\nblocks = [{ channels = 4, padding = 1, batch_norm = true, \
         pool = \"max\", dropout = 0.2 }, { channels = 5, kernel = 2, stride = 2, pool = \"average\", pool_stride = 1 }]",
    ),
    ("averaged", "kind = \"convnet\"\naverage_to = 2\nblocks = [{ channels = 4, padding = 1 }, { channels = 3 }]"),
    ("mean", "kind = \"convnet\"\naverage_to = 1\nblocks = [{ channels = 4, batch_norm = true }]"),
    ("resnet", "kind = \"resnet\"\nwidths = [4, 6]\ndepths = [1, 2]"),
];

const SCRIPT: &str = r#"
import json, numpy, onnxruntime
try:
    import onnx
except ImportError:
    onnx = None
for case in json.load(open("cases.json")):
    path = case["name"] + ".onnx"
    if onnx:
        onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    kind = {"tensor(float)": numpy.float32, "tensor(double)": numpy.float64}[entry.type]
    rows = numpy.array(case["rows"], dtype=kind)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, (result.tolist() for result in session.run(None, {entry.name: rows}))))
    one = session.run(None, {entry.name: rows[:1]})
    assert all(len(result) == 1 for result in one), case["name"]
    none = session.run(None, {entry.name: rows[:0]})
    assert all(len(result) == 0 for result in none), case["name"]
    print(json.dumps({"name": case["name"], "outputs": found, "metadata": session.get_modelmeta().custom_metadata_map}))
"#;

/// A run, exported; the rows that onnxruntime is given, and the outputs and predictions that are ours.
struct Case {
    name: &'static str,
    rows: Value,
    outputs: Option<Vec<Vec<f64>>>,
    predicted: Vec<Vec<f64>>,
}

fn exported(place: &Workplace, name: &'static str, config: &str, data: &str, rows: Value) -> Case {
    fs::write(place.path(&format!("{name}.toml")), format!("seed = 3\n{config}")).unwrap();
    place.train(&[&format!("{name}.toml"), "--out", name]).says(0, &[]);
    place.inspect(&["export", name, "--to", "onnx", "-o", &format!("{name}.onnx")]).says(0, &[]);
    Case { name, rows, outputs: None, predicted: predicted(place, name, data) }
}

/// Logits, values, probabilities and classes within 1e-5 of ours, for each kind of model and of targets.
#[test]
fn onnxruntime_computes_our_outputs_and_predictions() {
    let test = "onnxruntime_computes_our_outputs_and_predictions";
    let Some(python) = python(test, "onnxruntime, numpy") else { return };
    let place = Workplace::new();
    let mut cases = Vec::new();
    let x = Tensor::from_iter((0..20 * 2 * 9 * 11u32).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0), &Device::Cpu);
    let x = x.unwrap().reshape((20, 2, 9, 11)).unwrap();
    let y = Tensor::from_iter((0..20u32).map(|i| i % 3), &Device::Cpu).unwrap();
    let tensors = [("x".to_owned(), x.clone()), ("y".to_owned(), y)].into();
    candle_core::safetensors::save(&tensors, place.path("x.safetensors")).unwrap();
    let rows: Vec<Vec<f32>> = x.flatten_from(1).unwrap().to_vec2().unwrap();
    let rows = nested(&rows, [2, 9, 11]);
    for (name, model) in IMAGES {
        let normalize =
            if *name == "resnet" { "augment = { normalize = { mean = [0.1, 0.2], std = [0.5, 2.0] } }\n" } else { "" };
        let standardize = format!("standardize = {}\n", *name == "perceptron");
        let data =
            format!("[data]\npath = \"x.safetensors\"\nbatch_size = 10\nvalidation = 0.0\n{normalize}{standardize}");
        let mut case =
            exported(&place, name, &format!("{data}[model]\n{model}\n{TAIL}"), "x.safetensors", rows.clone());
        if normalize.is_empty() && *name != "perceptron" {
            let (trained, _) = Trained::open(&place.path(name), &[]).unwrap();
            let outputs = trained.outputs(&x).unwrap().to_dtype(DType::F64).unwrap();
            case.outputs = Some(outputs.to_vec2().unwrap());
        }
        cases.push(case);
    }
    cases.extend(tables(&place));
    let all: Vec<Value> = cases.iter().map(|case| json!({ "name": case.name, "rows": case.rows })).collect();
    fs::write(place.path("cases.json"), Value::from(all).to_string()).unwrap();
    fs::write(place.path("script.py"), SCRIPT).unwrap();
    let output = Command::new(python).arg("script.py").current_dir(place.path("")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}\n{out}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), cases.len(), "{err}");
    for (case, line) in cases.iter().zip(&lines) {
        let numbers =
            |name: &str| -> Option<Vec<Vec<f64>>> { serde_json::from_value(line["outputs"][name].clone()).ok() };
        let found = numbers("probabilities").or_else(|| numbers("values")).unwrap();
        let Case { name, predicted, .. } = case;
        let width = found[0].len();
        let expected: Vec<Vec<f64>> = predicted.iter().map(|row| row[row.len() - width..].to_vec()).collect();
        assert_close(&found, &expected, name);
        if let Some(outputs) = &case.outputs {
            assert_close(&numbers("logits").unwrap(), outputs, name);
        }
        if let Value::Array(classes) = &line["outputs"]["class"] {
            let largest = |row: &Vec<f64>| (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            let expected: Vec<usize> = expected.iter().map(largest).collect();
            assert_eq!(
                classes.iter().map(|class| class.as_u64().unwrap() as usize).collect::<Vec<_>>(),
                expected,
                "{name}"
            );
        }
    }
}

/// Runs on tables: values, counts, two classes with one output, labels.
fn tables(place: &Workplace) -> Vec<Case> {
    let mut table = "a,b,value,count,two\n".to_owned();
    let numbers = |i: u32| [f64::from(i * 7 % 10) / 3.0, f64::from(i * 3 % 8) - 1e4];
    for i in 0..30 {
        let [a, b] = numbers(i);
        writeln!(table, "{a},{b},{},{},{}", a * 2.0 - 1.0, i % 4, ["no", "yes"][(i % 3 / 2) as usize]).unwrap();
    }
    fs::write(place.path("table.csv"), table).unwrap();
    let rows = json!((0..30).map(numbers).collect::<Vec<_>>());
    let transformed = |name, label: &str, others: [&str; 2], loss: &str, transform: &str| {
        let task = if label == "two" { "" } else { "task = \"regression\"\n" };
        let config = format!(
            "[data]\npath = \"table.csv\"\nlabel = \"{label}\"\nignore = {others:?}\n{task}{transform}batch_size = 10\n[model]\nkind = \
             \"mlp\"\nhidden = [5]\n[loss]\nkind = \"{loss}\"\n{TAIL}"
        );
        exported(place, name, &config, "table.csv", rows.clone())
    };
    let of = |name, label, others, loss| transformed(name, label, others, loss, "");
    vec![
        transformed("scaled", "value", ["count", "two"], "mse", "target_transform = \"standardize\"\n"),
        transformed("logarithms", "count", ["value", "two"], "mae", "target_transform = \"log1p\"\n"),
        of("values", "value", ["count", "two"], "mse"),
        of("counts", "count", ["value", "two"], "poisson"),
        of("two", "two", ["value", "count"], "binary_cross_entropy"),
        of("labels", "two", ["value", "count"], "focal"),
    ]
}

/// Rows of numbers as nested lists.
fn nested(rows: &[Vec<f32>], [channels, height, width]: [usize; 3]) -> Value {
    let image = |row: &Vec<f32>| {
        let lines: Vec<&[f32]> = row.chunks(width).collect();
        let planes: Vec<Vec<&[f32]>> = lines.chunks(height).map(<[&[f32]]>::to_vec).collect();
        assert_eq!(planes.len(), channels);
        json!(planes)
    };
    rows.iter().map(image).collect()
}

/// Returns the Python of `REKINDLE_PYTHON` if it has these modules; says loudly that a test is skipped where it has not.
pub fn python(test: &str, modules: &str) -> Option<String> {
    let Ok(python) = std::env::var("REKINDLE_PYTHON") else {
        eprintln!("SKIPPED {test}: set REKINDLE_PYTHON to a Python with {modules}");
        return None;
    };
    if !Command::new(&python).args(["-c", &format!("import {modules}")]).output().unwrap().status.success() {
        eprintln!("SKIPPED {test}: the Python of REKINDLE_PYTHON cannot `import {modules}`");
        return None;
    }
    Some(python)
}
