//! A file read as whole row groups, and row by row.

use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::super::block::NumberRule;
use super::super::columns::TableOptions;
use super::super::frame::Cells;
use super::super::missing::MissingTexts;
use super::super::options::{Missing, Task};
use super::super::{DataConfig, Fingerprint};
use super::*;

#[path = "../../../tests/common/parquet_files.rs"]
mod files;

/// All that is read of files one after the other, as whole row groups or row by row: columns with the bits of numbers,
/// targets and notices, or the error.
fn all_of(paths: &[PathBuf], config: &DataConfig, by_rows: bool) -> String {
    let read = || -> Result<String, DataError> {
        let options = TableOptions::new(config)?;
        let mut reader = FrameReader::new(&options);
        for path in paths {
            let mut records = ParquetRecords::new(path, Bytes::from(std::fs::read(path).unwrap()))?;
            records.is_careful = by_rows;
            reader.read(records)?;
        }
        let frame = reader.finish()?;
        let columns = frame.columns.iter().map(|column| match &column.cells {
            Cells::Numbers(numbers) => format!("{:?}", numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>()),
            Cells::Categories(words) => format!("{:?} {:?}", words.distinct(), words.rows()),
            Cells::Lists(lists) => format!("{:?}", lists.rows().collect::<Vec<_>>()),
        });
        let columns: Vec<String> = columns.collect();
        Ok(format!("{columns:?} {:?} {:?} {:?}", frame.targets, frame.classes, frame.notices))
    };
    read().unwrap_or_else(|error| error.to_string())
}

/// Values one after the other, with about this many rows in a page.
fn pages_of(rows: usize) -> WriterProperties {
    let plain = WriterProperties::builder().set_dictionary_enabled(false).set_compression(Compression::SNAPPY);
    plain.set_write_batch_size(rows).set_data_page_row_count_limit(rows).build()
}

#[test]
fn row_groups_on_all_threads_are_what_row_after_row_is() {
    let folder = tempfile::tempdir().unwrap();
    let doubles = |cells: &[Option<f64>]| files::Cells::Doubles(cells.repeat(3000));
    let integers = |cells: &[Option<i64>]| files::Cells::Integers(cells.repeat(3000));
    let words = |cells: &[Option<&str>]| {
        files::Cells::Words(cells.repeat(3000).into_iter().map(|word| word.map(str::to_owned)).collect())
    };
    let whole = [Some(0.5), Some(-2.0), Some(1e-30)];
    let large = [Some((1 << 60) + (1 << 36) + 1), Some(-3), Some(1 << 53)];
    let labels = [Some(0), Some(2), Some(1)];
    let cases = [
        vec![("a", doubles(&whole)), ("b", integers(&large)), ("y", integers(&labels))],
        vec![
            ("a", doubles(&[None, Some(f64::NAN), Some(3.0)])),
            ("b", words(&[Some("x"), None, Some("")])),
            ("y", integers(&labels)),
        ],
        vec![("a", doubles(&[None; 3])), ("b", words(&[None; 3])), ("y", words(&[Some("b"), Some("a"), Some("7")]))],
        vec![
            ("a", doubles(&whole)),
            ("b", integers(&[Some(1), None, Some(2)])),
            ("y", doubles(&[Some(1.5), Some(1.0), Some(-0.0)])),
        ],
        vec![("a", doubles(&[Some(1.0), Some(1e300), Some(2.0)])), ("b", integers(&large)), ("y", integers(&labels))],
        vec![("a", doubles(&whole)), ("b", integers(&large)), ("y", integers(&[Some(1), None, Some(2)]))],
        // The other values begin in a later row group.
        vec![
            ("a", files::Cells::Doubles([vec![Some(1.0); 5000], vec![None; 4000]].concat())),
            ("b", files::Cells::Doubles([vec![None; 5000], vec![Some(2.5); 4000]].concat())),
            ("y", integers(&labels)),
        ],
        vec![
            ("a", files::Cells::Doubles([vec![Some(1.0); 8000], vec![Some(-1e300)], vec![Some(2.0); 999]].concat())),
            ("b", files::Cells::Integers([vec![None; 5000], vec![Some(2); 4000]].concat())),
            ("y", integers(&labels)),
        ],
    ];
    let mut paths = Vec::new();
    for (number, columns) in cases.iter().enumerate() {
        for most in [2000, usize::MAX] {
            for (form, properties) in [("usual", WriterProperties::default()), ("plain", pages_of(700))] {
                let path = folder.path().join(format!("{number} of {most}, {form}.parquet"));
                files::write_groups(&path, columns, most, properties);
                paths.push(path);
            }
        }
    }
    let kept =
        ["people.snappy.parquet", "parquet/lists.parquet", "parquet/times.parquet", "parquet/decimals.brotli.parquet"];
    let kept = kept.map(|name| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/")).join(name));
    for missing in [Missing::Error, Missing::Mean] {
        for task in [Task::Classification, Task::Regression] {
            let config = DataConfig { missing: Some(missing), task: Some(task), ..DataConfig::new("a.parquet") };
            for first in paths.iter().chain(&kept) {
                for files in [vec![first.clone()], vec![first.clone(), paths[0].clone()]] {
                    assert_eq!(all_of(&files, &config, false), all_of(&files, &config, true), "{first:?}, {config:?}");
                }
            }
        }
    }
}

/// The reader of rows is not asked where every row has a number.
#[test]
fn doubles_in_plain_pages_are_read_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (vec![Some(0.1), Some(-0.0), Some(1e-300)], pages_of(700), true),
        (vec![Some(0.1), Some(f64::NAN), Some(3.0)], pages_of(700), true),
        (vec![Some(0.1), None, Some(3.0)], pages_of(700), false),
        (vec![Some(0.1), Some(2.0), Some(1e300)], pages_of(700), false),
        (vec![Some(0.1), Some(2.0), Some(3.0)], WriterProperties::default(), false),
    ];
    for (number, (cells, properties, are_plain)) in cases.into_iter().enumerate() {
        let cells = cells.repeat(1000);
        let path = folder.path().join(format!("{number}.parquet"));
        let columns = [("a", files::Cells::Doubles(cells.clone()))];
        files::write_groups(&path, &columns, usize::MAX, properties);
        let file = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let group = file.get_row_group(0).unwrap();
        let mut numbers = Vec::new();
        let is_read =
            plain::read(group.as_ref(), 0, NumberRule::of_feature(Some(&MissingTexts::default())), &mut numbers)
                .is_some();
        assert_eq!(is_read, are_plain, "{number}");
        if is_read {
            let bits = |number: Option<f64>| number.map(f64::to_bits);
            assert!(numbers.into_iter().map(Some).map(bits).eq(cells.into_iter().map(bits)), "{number}");
        }
    }
}

/// A file that later replaces it is another table.
#[test]
fn a_fingerprint_is_that_of_the_bytes_that_were_read() {
    let people = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/people.snappy.parquet");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    std::fs::copy(people, &path).unwrap();
    let file = DataFile::read(&path).unwrap();
    std::fs::write(&path, "PAR1").unwrap();
    assert_eq!(file.fingerprint, Fingerprint::of(&std::fs::read(people).unwrap()));
    let config = DataConfig { missing: Some(Missing::Mean), ..DataConfig::new(&path) };
    let options = TableOptions::new(&config).unwrap();
    let mut reader = FrameReader::new(&options);
    read(file, &mut reader).unwrap();
    let frame = reader.finish().unwrap();
    assert_eq!(frame.targets.len(), 4);
}
