//! Parquet files, written by pyarrow, are read as the table they hold. Without the feature `parquet` the message says
//! how to get it.

use std::path::Path;

use crate::common::data::refusal;

const PEOPLE: [&str; 2] = ["people.snappy.parquet", "people.zstd.parquet"];

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_program_without_parquet_says_how_to_build_it_with() {
    let message = refusal(&[("a.parquet", std::fs::read(file(PEOPLE[0])).unwrap())], "a.parquet", "");
    let expected = "a.parquet is Parquet, which this program was built without; build it with `--features parquet`";
    assert_eq!(message, expected);
    assert!(file(PEOPLE[1]).exists());
}

#[cfg(feature = "parquet")]
mod with_parquet {
    use crate::common::data::{folder, gzip, open};
    use crate::common::parquet_files::{Cells, write_parquet};
    use rekindle::data::{Input, TargetKind};
    use rekindle::state::Stateful;

    use super::*;

    #[test]
    fn columns_are_numbers_or_categories_by_their_types_and_nulls_are_missing() {
        for name in PEOPLE {
            let options = "missing = \"mean\"\nstandardize = false\nbatch_size = \"all\"";
            let data = open(&file(name), options).unwrap();
            assert_eq!((data.input(), data.targets()), (Input::Numbers(vec![6]), TargetKind::Classes { count: 3 }));
            let batch = data.batch(0).unwrap();
            // Age; job: missing, cook, nurse; height; member.
            let two_thirds = (2.0_f64 / 3.0) as f32;
            assert_eq!(
                batch.inputs.to_vec2::<f32>().unwrap(),
                [
                    [30.0, 0.0, 1.0, 0.0, 1.5, 1.0],
                    [40.0, 0.0, 1.0, 0.0, 1.75, 0.0],
                    [50.0, 0.0, 0.0, 1.0, 1.75, 1.0],
                    [40.0, 1.0, 0.0, 0.0, 2.0, two_thirds],
                ]
            );
            assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [1, 0, 1, 2]);
        }
    }

    /// As 32-bit numbers, the first two integers would be equal, and the first two of the other columns as well.
    #[test]
    fn numbers_that_are_names_are_distinguished_to_their_last_digit() {
        let folder = folder(&[]);
        let path = folder.path().join("a.parquet");
        let integers = [16_777_217, 16_777_216, i64::MAX, 16_777_217];
        let columns = [
            ("code", Cells::Integers(integers.map(Some).to_vec())),
            ("share", Cells::Doubles([0.1, 0.100_000_000_000_1, 5.0, 0.1].map(Some).to_vec())),
            ("class", Cells::Integers([0, 1, 0, 1].map(Some).to_vec())),
        ];
        write_parquet(&path, &columns);
        let data =
            open(&path, "categories = [\"code\", \"share\"]\nstandardize = false\nbatch_size = \"all\"").unwrap();
        let saved = data.save().unwrap().json;
        let names = |column: usize| saved["columns"][column]["encoding"]["categories"].clone();
        assert_eq!(names(0), serde_json::json!(["16777216", "16777217", "9223372036854775807"]));
        assert_eq!(names(1), serde_json::json!(["0.1", "0.1000000000001", "5"]));
        let rows = data.batch(0).unwrap().inputs.to_vec2::<f32>().unwrap();
        assert_eq!(rows[0], [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(rows[1], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn two_columns_of_one_name_are_reported_by_their_places() {
        let folder = folder(&[]);
        let path = folder.path().join("a.parquet");
        let cells = || Cells::Integers([0, 1].map(Some).to_vec());
        for name in ["y", " y"] {
            write_parquet(&path, &[("y", cells()), ("a", cells()), (name, cells())]);
            let message = open(&path, "label = \"y\"").map(drop).unwrap_err();
            assert!(message.contains("two columns named `y`, columns 0 and 2 (counted from 0)"), "{message}");
        }
    }

    #[test]
    fn a_file_may_be_packed_once_more() {
        let whole = std::fs::read(file(PEOPLE[0])).unwrap();
        let folder = folder(&[("a.parquet.gz", gzip(&whole))]);
        let data = open(&folder.path().join("a.parquet.gz"), "missing = \"mean\"").unwrap();
        assert_eq!(data.train_rows().len(), 4);
    }

    #[test]
    fn what_is_wrong_is_named_by_row_and_column() {
        let said = |options: &str| {
            let bytes = std::fs::read(file(PEOPLE[0])).unwrap();
            refusal(&[("a.parquet", bytes)], "a.parquet", options)
        };
        assert_eq!(
            said(""),
            "a.parquet, row 1 (counted from 0), column `age`: the field is empty; \
             set `data.missing` to choose a replacement for missing values"
        );
        assert!(said("label = \"job\"\nmissing = \"mean\"").contains("row 3 (counted from 0), column `job`"));
        assert!(said("label = \"incom\"").contains("no column `incom`; did you mean `income`?"));
        assert_eq!(said("header = true"), "`data.header` does not apply to Parquet; remove it");
    }

    #[test]
    fn damaged_files_are_refused() {
        let whole = std::fs::read(file(PEOPLE[0])).unwrap();
        for end in [0, 3, 100, whole.len() - 1] {
            let message = refusal(&[("a.parquet", whole[..end].to_vec())], "a.parquet", "missing = \"mean\"");
            let expected = if end == 0 {
                "the data file a.parquet is empty"
            } else {
                "the Parquet file a.parquet cannot be read: "
            };
            assert!(message.starts_with(expected), "{message}");
            assert_eq!(message.ends_with("; fetch or write it again"), end != 0, "{message}");
        }
    }
}
