//! Real files are read as the rows they hold, and their state survives a save.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rekindle::data::{
    Batch, BatchSize, Data, DataConfig, DataError, Dataset, EVALUATION_ROWS, Fingerprint, Input, LastBatch, Order,
    RowReader, Rows, Split, Table, TargetKind, Targets,
};
use rekindle::state::Stateful;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name)
}

fn digits() -> DataConfig {
    let mut config = DataConfig::new(example("digits.csv.gz"));
    (config.header, config.validation) = (Some(false), 0.2);
    config
}

/// The digits as otherwise configured.
fn changed(change: impl FnOnce(&mut DataConfig)) -> DataConfig {
    let mut config = digits();
    change(&mut config);
    config
}

fn open(config: &DataConfig, seed: u64) -> Data {
    Data::open(config, seed, &Device::Cpu).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
}

/// Inputs and targets of all training rows, in the order of an unshuffled epoch.
fn training_rows(data: &Data) -> Batch {
    data.dataset().gather(&data.train_rows().to_vec()).unwrap()
}

#[test]
fn the_digits_are_1797_rows_of_64_pixels_in_10_classes() {
    let data = open(&digits(), 0);
    assert_eq!((data.train_rows().len(), data.validation_rows().len()), (1438, 359));
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![64]), TargetKind::Classes { count: 10 }));
    assert_eq!(data.steps_per_epoch(), 45);
    let batch = data.batch(0).unwrap();
    assert_eq!((batch.inputs.dims(), batch.inputs.dtype()), ([32, 64].as_slice(), DType::F32));
    assert_eq!((batch.targets.dims(), batch.targets.dtype()), ([32].as_slice(), DType::U32));
    assert_eq!(data.batch(44).unwrap().rows(), 1438 - 44 * 32);
}

#[test]
fn pixels_and_labels_are_those_of_the_file() {
    let data = open(&changed(|config| (config.standardize, config.validation) = (Some(false), 0.0)), 0);
    let batch = data.dataset().gather(&[1, 0]).unwrap();
    let inputs = batch.inputs.to_vec2::<f32>().unwrap();
    assert_eq!(inputs[1][..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0]);
    assert_eq!(inputs[0][..8], [0.0, 0.0, 0.0, 12.0, 13.0, 5.0, 0.0, 0.0]);
    assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [1, 0]);
}

#[test]
fn the_notebook_is_512_rows_with_one_value_each() {
    let mut config = DataConfig::new(example("experiment.safetensors"));
    config.batch_size = BatchSize::All;
    let data = open(&config, 0);
    assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![10]), TargetKind::Values { width: 1 }));
    assert_eq!((data.steps_per_epoch(), data.samples_before(20)), (1, 20 * 512));
    let batch = data.batch(0).unwrap();
    let file = std::fs::read(example("experiment.safetensors")).unwrap();
    let file = candle_core::safetensors::load_buffer(&file, &Device::Cpu).unwrap();
    assert_eq!((batch.inputs.dims(), bits(&batch.inputs)), ([512, 10].as_slice(), bits(&file["x"])));
    assert_eq!((batch.targets.dims(), bits(&batch.targets)), ([512, 1].as_slice(), bits(&file["y"])));
    assert_eq!(data.validation_batches().count(), 0);
}

#[test]
fn a_whole_batch_is_gathered_once() {
    let data = open(&changed(|config| config.batch_size = BatchSize::All), 0);
    let (first, later) = (data.batch(0).unwrap(), data.batch(9).unwrap());
    assert_eq!(first.inputs.id(), later.inputs.id());
    assert_eq!(bits(&first.inputs), bits(&training_rows(&data).inputs));
}

/// The sum of 1,438 values rounded to f32 (relative 2^-24 each, magnitudes up to 38) leaves at most about
/// 38 * 2^-24 = 2e-6 of a mean; the same holds for the variance, twice.
#[test]
fn standardized_training_columns_have_mean_0_and_variance_1() {
    let data = open(&digits(), 3);
    let rows = training_rows(&data).inputs.to_vec2::<f32>().unwrap();
    for column in 0..64 {
        let column: Vec<f64> = rows.iter().map(|row| f64::from(row[column])).collect();
        let mean = column.iter().sum::<f64>() / column.len() as f64;
        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / column.len() as f64;
        let constant = column.iter().all(|&x| x == column[0]);
        assert!(mean.abs() < 2e-6, "mean {mean}");
        assert!(constant && column[0] == 0.0 || (variance - 1.0).abs() < 1e-5, "variance {variance}");
    }
}

#[test]
fn statistics_survive_a_save_bit_for_bit_and_replace_the_computed_ones() {
    let mut config = digits();
    config.batch_size = BatchSize::All;
    let saved = open(&config, 1);
    let mut other = open(&config, 2);
    other.batch(0).unwrap();
    assert_ne!(saved.save().unwrap(), other.save().unwrap());
    other.check(&saved.save().unwrap()).unwrap();
    other.load(&saved.save().unwrap()).unwrap();
    assert_eq!(saved.save().unwrap(), other.save().unwrap());
    let all: Vec<usize> = (0..1797).collect();
    let gathered = |data: &Data| bits(&data.dataset().gather(&all).unwrap().inputs);
    assert_eq!(gathered(&saved), gathered(&other));
    assert_eq!(bits(&other.batch(0).unwrap().inputs), bits(&training_rows(&other).inputs));
}

#[test]
fn data_that_is_not_standardized_remembers_nothing() {
    let plain = open(&changed(|config| config.standardize = Some(false)), 0);
    assert_eq!(plain.save().unwrap(), rekindle::state::State::default());
    let statistics = open(&digits(), 0).save().unwrap();
    let message = plain.check(&statistics).unwrap_err().to_string();
    assert_eq!(message, "the checkpoint holds a tensor `mean` that this program does not expect");
    let message = open(&digits(), 0).check(&plain.save().unwrap()).unwrap_err().to_string();
    assert_eq!(message, "tensor `mean` is missing from the checkpoint");
}

#[test]
fn validation_batches_do_not_depend_on_how_training_batches_are_made() {
    let validation = |config: &DataConfig| -> Vec<Vec<u32>> {
        open(config, 0).validation_batches().map(|batch| bits(&batch.unwrap().inputs)).collect()
    };
    let expected = validation(&digits());
    assert_eq!(
        expected.iter().map(|batch| batch.len() / 64).collect::<Vec<_>>(),
        [EVALUATION_ROWS, 359 - EVALUATION_ROWS]
    );
    let batch_size = BatchSize::Rows(NonZeroUsize::new(7).unwrap());
    let other = changed(|config| {
        (config.batch_size, config.shuffle, config.drop_last) = (batch_size, Some(false), true);
    });
    assert_eq!(validation(&other), expected);
}

#[test]
fn the_fingerprint_is_that_of_the_bytes_on_disk() {
    let bytes = std::fs::read(example("digits.csv.gz")).unwrap();
    let expected = Fingerprint { blake3: blake3::hash(&bytes).to_hex().to_string(), bytes: 57_523 };
    assert_eq!(open(&digits(), 0).fingerprint(), &expected);
}

#[test]
fn plain_and_gzip_read_the_same_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut plain = Vec::new();
    let packed = std::fs::read(example("digits.csv.gz")).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut plain).unwrap();
    let expected = bits(&training_rows(&open(&digits(), 0)).inputs);
    for (name, content) in [("plain.csv", &plain), ("packed.csv", &packed), ("plain.csv.gz", &plain)] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let data = open(&changed(|config| config.path = path), 0);
        assert_eq!(bits(&training_rows(&data).inputs), expected, "{name}");
    }
}

#[test]
fn a_header_names_the_label_and_a_regression_keeps_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("houses.csv");
    std::fs::write(&path, "rooms,price,area\n3,1.5,80\n4,-2.25,120\n").unwrap();
    let text = "label = \"price\"\ntask = \"regression\"\nstandardize = false\nbatch_size = \"all\"";
    let config: DataConfig = toml::from_str(&format!("path = {path:?}\n{text}")).unwrap();
    let batch = open(&config, 0).batch(5).unwrap();
    assert_eq!(batch.inputs.to_vec2::<f32>().unwrap(), [[3.0, 80.0], [4.0, 120.0]]);
    assert_eq!(batch.targets.to_vec2::<f32>().unwrap(), [[1.5], [-2.25]]);
}

#[test]
fn integer_targets_of_safetensors_are_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.safetensors");
    let images = Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap().reshape((3, 2, 2, 2)).unwrap();
    for dtype in [DType::I64, DType::U32, DType::U8] {
        let labels = Tensor::new(&[4u8, 0, 2], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let tensors = [("images".to_owned(), images.clone()), ("labels".to_owned(), labels)].into();
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let text =
            format!("path = {path:?}\ninputs = \"images\"\ntargets = \"labels\"\nshuffle = false\nstandardize = true");
        let data = open(&toml::from_str(&text).unwrap(), 0);
        assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![2, 2, 2]), TargetKind::Classes { count: 5 }));
        let batch = data.batch(0).unwrap();
        assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [4, 0, 2]);
        assert_eq!(batch.inputs.dims(), [3, 2, 2, 2]);
        // Rows n, n + 8, n + 16 of every feature: the mean is the middle, the deviation 8 * sqrt(2 / 3).
        let pixels = batch.inputs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected = 1.5_f64.sqrt() as f32;
        assert_eq!(pixels, [[-expected; 8], [0.0; 8], [expected; 8]].concat());
    }
}

#[test]
fn integer_targets_that_do_not_count_from_0_are_classes_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signs.safetensors");
    let inputs = Tensor::arange(0f32, 3.0, &Device::Cpu).unwrap().reshape((3, 1)).unwrap();
    let signs = Tensor::new(&[1i64, -1, 1], &Device::Cpu).unwrap();
    candle_core::safetensors::save(&[("x".to_owned(), inputs), ("y".to_owned(), signs)].into(), &path).unwrap();
    let config: DataConfig =
        toml::from_str(&format!("path = {path:?}\nshuffle = false\nbatch_size = \"all\"")).unwrap();
    let data = open(&config, 0);
    assert_eq!(data.batch(0).unwrap().targets.to_vec1::<u32>().unwrap(), [1, 0, 1]);
    assert_eq!(data.schema().names.classes.unwrap(), ["-1", "1"]);
    let mut reader = RowReader::open(&config, &data.schema(), &data.save().unwrap(), true).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().targets.unwrap().to_vec1::<u32>().unwrap(), [1, 0, 1]);
    let mut again = open(&config, 0);
    again.load(&data.save().unwrap()).unwrap();
}

/// A user-defined data set: row `n` holds `n`, and its target is `2 n`.
struct Doubles(Fingerprint);

impl Dataset for Doubles {
    fn len(&self) -> usize {
        10
    }
    fn input(&self) -> Input {
        Input::Numbers(vec![1])
    }
    fn targets(&self) -> TargetKind {
        TargetKind::Values { width: 1 }
    }
    fn fingerprint(&self) -> &Fingerprint {
        &self.0
    }
    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        let column = |factor: f32| {
            let values: Vec<f32> = rows.iter().map(|&row| factor * row as f32).collect();
            Tensor::from_vec(values, (rows.len(), 1), &Device::Cpu)
        };
        Ok(Batch { inputs: column(1.0)?, targets: column(2.0)? })
    }
}

#[test]
fn a_data_set_of_your_own_has_split_order_and_batches() {
    let split = Split::new(10, 0.3, 5).unwrap();
    let train = split.train().to_vec();
    let order = Order::new(7, BatchSize::Rows(NonZeroUsize::new(3).unwrap()), LastBatch::Keep, None).unwrap();
    let data = Data::new(Doubles(Fingerprint::of(b"doubles")), split.clone(), order).unwrap();
    let expected: Vec<f32> = train[3..6].iter().map(|&row| 2.0 * row as f32).collect();
    assert_eq!(data.batch(4).unwrap().targets.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);

    let for_all = Order::new(10, BatchSize::All, LastBatch::Keep, None).unwrap();
    let message = Data::new(Doubles(Fingerprint::of(b"")), split, for_all).map(drop).unwrap_err().to_string();
    assert_eq!(message, "the order is made for 10 rows, and there are 7");
}

#[test]
fn a_table_can_be_made_from_memory() {
    let targets = Targets::Classes { labels: vec![1, 0], count: 3 };
    let rows = Rows::new(vec![2], vec![1.0, 2.0, 3.0, 4.0], targets).unwrap();
    let split = Split::new(2, 0.0, 0).unwrap();
    let table = Table::new(rows, Fingerprint::of(b"two rows"), &Device::Cpu).unwrap().standardized(&split).unwrap();
    assert_eq!(table.statistics().unwrap().mean(), [2.0, 3.0]);
    assert_eq!(table.gather(&[1]).unwrap().inputs.to_vec2::<f32>().unwrap(), [[1.0, 1.0]]);
    assert!(table.gather(&[2]).is_err());
}

#[test]
fn batches_can_be_read_ahead_on_other_threads() {
    let data = open(&digits(), 0);
    let here = bits(&data.batch(70).unwrap().inputs);
    let there = std::thread::scope(|scope| scope.spawn(|| bits(&data.batch(70).unwrap().inputs)).join().unwrap());
    assert_eq!(here, there);
}
