//! The metrics against numbers of scikit-learn and torchmetrics, in batches of any size and of several processes.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::Value;

use super::*;

/// `tests/data/metrics/cases.json`, which the script beside it makes.
#[derive(Deserialize)]
struct Cases {
    data: BTreeMap<String, Data>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Data {
    outputs: Value,
    targets: Value,
}

#[derive(Deserialize)]
struct Case {
    data: String,
    metric: MetricConfig,
    expected: BTreeMap<String, Option<f64>>,
    lists: BTreeMap<String, Vec<f64>>,
}

/// Numbers and their shape.
fn flat(value: &Value) -> (Vec<f64>, Vec<usize>) {
    let Some(items) = value.as_array() else { return (vec![value.as_f64().unwrap()], Vec::new()) };
    let parts: Vec<_> = items.iter().map(flat).collect();
    let shape = [items.len()].into_iter().chain(parts[0].1.clone()).collect();
    (parts.into_iter().flat_map(|(numbers, _)| numbers).collect(), shape)
}

impl Data {
    /// The outputs and targets in f32; classes as whole numbers, which JSON has without a point.
    fn tensors(&self) -> (Tensor, Tensor) {
        let tensor = |value| {
            let (numbers, shape) = flat(value);
            let numbers = numbers.into_iter().map(|number| number as f32).collect();
            Tensor::from_vec::<_, f32>(numbers, shape, &Device::Cpu).unwrap()
        };
        let is_class = !self.targets.to_string().contains('.');
        let targets = tensor(&self.targets);
        let targets = if is_class { targets.to_dtype(candle_core::DType::U32).unwrap() } else { targets };
        (tensor(&self.outputs), targets)
    }
}

/// The tally of a metric to which all rows were added, `size` at a time.
fn tally(metric: &dyn Metric, (outputs, targets): &(Tensor, Tensor), size: usize) -> Box<dyn Tally> {
    let mut tally = metric.tally();
    for start in (0..outputs.dims()[0]).step_by(size) {
        let count = size.min(outputs.dims()[0] - start);
        tally.add(&outputs.narrow(0, start, count).unwrap(), &targets.narrow(0, start, count).unwrap()).unwrap();
    }
    tally
}

/// The tally of two processes that share the batches.
fn shared(metric: &dyn Metric, (outputs, targets): &(Tensor, Tensor), size: usize) -> Box<dyn Tally> {
    let mut sum = metric.tally();
    let starts: Vec<usize> = (0..outputs.dims()[0]).step_by(size).collect();
    let (even, odd): (Vec<_>, Vec<_>) = starts.into_iter().partition(|start| (start / size).is_multiple_of(2));
    for start in odd.into_iter().chain(even) {
        let count = size.min(outputs.dims()[0] - start);
        let of_batch = (outputs.narrow(0, start, count).unwrap(), targets.narrow(0, start, count).unwrap());
        sum.add_sums(&tally(metric, &of_batch, count).sums().unwrap());
    }
    sum
}

/// Both libraries compute in f64 here, except for torchmetrics' calibration, perplexity and values, which are in f32:
/// 1e-6. Batches of any size, and several processes, give the same bits.
#[test]
fn metrics_are_those_of_scikit_learn_and_torchmetrics_for_any_batch_size_and_number_of_processes() {
    let cases: Cases = serde_json::from_str(include_str!("../../tests/data/metrics/cases.json")).unwrap();
    assert!(cases.cases.len() > 150, "{}", cases.cases.len());
    let mut wrong = Vec::new();
    for case in &cases.cases {
        let (data, metric) = (cases.data[&case.data].tensors(), case.metric.metric().as_ref());
        let whole = tally(metric, &data, usize::MAX);
        let (name, value) = (format!("{} of {}", case.metric.name(), case.data), whole.value());
        for (library, expected) in &case.expected {
            let is_close = match expected {
                None => !value.is_finite(),
                Some(expected) => (value - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            };
            if !is_close {
                wrong.push(format!("{name}: {value}, and {library} has {expected:?}"));
            }
        }
        let lists: BTreeMap<_, _> = whole.lists().into_iter().map(|(name, list)| (name.to_owned(), list)).collect();
        assert_eq!(lists, case.lists, "{name}");
        for size in [1, 3, 7] {
            for other in [tally(metric, &data, size), shared(metric, &data, size)] {
                assert_eq!(other.value().to_bits(), value.to_bits(), "{name} in batches of {size}");
                assert_eq!(other.lists(), whole.lists(), "{name} in batches of {size}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_metric_of_the_catalogue_is_compared() {
    let cases: Cases = serde_json::from_str(include_str!("../../tests/data/metrics/cases.json")).unwrap();
    for kind in <dyn Metric as crate::registry::Named>::registry().catalogue() {
        let is_compared = cases.cases.iter().any(|case| case.metric.name() == kind.name);
        assert!(is_compared || ["accuracy", "bits_per_byte"].contains(&kind.name), "{}", kind.name);
    }
}

/// For one class a row it is the micro-averaged precision, whose numbers are those of scikit-learn.
#[test]
fn the_accuracy_is_the_share_of_right_rows() {
    let cases: Cases = serde_json::from_str(include_str!("../../tests/data/metrics/cases.json")).unwrap();
    let of_classes = cases.cases.iter().filter(|case| case.metric.name() == "precision_micro");
    let data = of_classes.map(|case| (case, cases.data[&case.data].tensors()));
    let data: Vec<_> = data.filter(|(_, (_, targets))| targets.dtype().is_int()).collect();
    assert!(!data.is_empty());
    for (case, data) in data {
        let accuracy = tally(&Accuracy {}, &data, 7).value();
        let expected = case.expected.values().flatten();
        assert!(expected.into_iter().all(|expected| (accuracy - expected).abs() < 1e-6), "{}: {accuracy}", case.data);
    }
    let labels = |rows: &[[f32; 2]; 3]| Tensor::new(rows, &Device::Cpu).unwrap();
    let rows = (labels(&[[1.0, -1.0], [1.0, 1.0], [-2.0, -3.0]]), labels(&[[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]));
    assert_eq!(tally(&Accuracy {}, &rows, 2).value(), 2.0 / 3.0);
}

/// Two tokens, of one byte and of three: each has a probability of one half, 1 bit.
#[test]
fn bits_are_counted_for_each_byte_of_text() {
    let task = Task::new(TargetKind::Classes { count: 2 }).of_text(Some(vec![1, 3]));
    assert!(BitsPerByte {}.check_task(&task).is_ok());
    let mut tally = BitsPerByte {}.tally_for(&task);
    let logits = Tensor::zeros((1, 3, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    tally.add(&logits, &Tensor::new(&[[0u32, 1, 0]], &Device::Cpu).unwrap()).unwrap();
    assert!((tally.value() - 3.0 / 5.0).abs() < 1e-7, "{}", tally.value());
}

#[test]
fn a_metric_is_for_some_tasks_and_those_that_fit_are_listed() {
    let [two, many] = [2, 5000].map(|count| Task::new(TargetKind::Classes { count }));
    let values = Task::new(TargetKind::Values { width: 2 });
    let labels = values.clone().of_labels(true);
    assert!(F1 {}.check_task(&two).is_ok() && F1 {}.check_task(&many).unwrap_err().contains("`_macro`"));
    assert!(Auroc {}.check_task(&many).unwrap_err().contains("at most 1000 classes"));
    assert!(ConfusionMatrix {}.check_task(&many).unwrap_err().contains("at most 100 classes"));
    assert!(BitsPerByte {}.check_task(&two).unwrap_err().contains("is for text"));
    assert!(MeanAbsoluteError {}.check_task(&labels).is_err() && F1Macro {}.check_task(&labels).is_ok());
    assert!(TopKAccuracy { k: 1 }.check_task(&values).is_err() && BalancedAccuracy {}.check_task(&labels).is_err());
    let of_values = ["mean_absolute_error", "quantile_loss", "r2", "root_mean_squared_error"];
    assert_eq!(values.metrics(), of_values);
    assert!(TopKAccuracy { k: 0 }.validate().is_err());
    assert!(QuantileLoss { quantile: 1.0 }.validate().is_err());
    assert!(CalibrationError { bins: 0, norm: CalibrationNorm::L1 }.validate().is_err());
}
