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
    use rekindle::data::{Data, DataConfig, Input, RowReader, TargetKind};
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

    fn rows(name: &str, options: &str) -> (Data, Vec<Vec<f32>>, Vec<u32>) {
        let options = format!("standardize = false\nbatch_size = \"all\"\nshuffle = false\n{options}");
        let data = open(&file(&format!("parquet/{name}")), &options).unwrap();
        let batch = data.batch(0).unwrap();
        let (inputs, targets) = (batch.inputs.to_vec2().unwrap(), batch.targets.to_vec1().unwrap());
        (data, inputs, targets)
    }

    #[test]
    fn the_index_of_pandas_is_neither_label_nor_feature() {
        for (name, index, x) in [
            ("index.parquet", "__index_level_0__", [2.5, 0.5, 3.5, 1.5]),
            ("named_index.parquet", "id", [0.5, 1.5, 2.5, 3.5]),
        ] {
            let (data, inputs, targets) = rows(name, "");
            assert_eq!(inputs.concat(), x);
            assert_eq!(targets, x.map(|x| u32::from(x as u32 % 2 == 1)));
            let told = data.notices().iter().map(ToString::to_string).collect::<String>();
            assert!(told.contains(&format!("`{index}` is the index of a table of pandas, and ignored")), "{told}");
            let (_, inputs, _) = rows(name, "label = -1\nignore = []");
            assert_eq!(inputs.concat(), x);
            let (_, inputs, _) = rows(name, &format!("label = \"label\"\ncategories = [\"{index}\"]"));
            assert_eq!(inputs[0].len(), 5, "a column that is named is used");
        }
    }

    #[test]
    fn decimals_and_text_without_a_mark_are_read_from_brotli() {
        let (_, inputs, targets) = rows("decimals.brotli.parquet", "missing = \"zero\"");
        let large = 12_345_678_901_234_567_890.5_f64 as f32;
        // The categories are blue, grün and red.
        assert_eq!(
            inputs,
            [
                [1.25, large, 0.0, 0.0, 1.0],
                [-2.5, -1.5, 1.0, 0.0, 0.0],
                [0.0, 0.0, 0.0, 0.0, 1.0],
                [0.1, 3.0, 0.0, 1.0, 0.0]
            ]
        );
        assert_eq!(targets, [0, 1, 0, 1]);
    }

    #[test]
    fn a_column_that_is_ignored_is_never_read_and_one_that_cannot_be_read_is_named() {
        let ignored = "ignore = [\"list\", \"map\", \"struct\", \"bytes\"]";
        assert_eq!(rows("nested.parquet", ignored).1.concat(), [0.5, 1.5, 2.5, 3.5]);
        let said = |options: &str| {
            let bytes = std::fs::read(file("parquet/nested.parquet")).unwrap();
            refusal(&[("a.parquet", bytes)], "a.parquet", options)
        };
        assert!(said("").contains("column `map` is a map in each row, and neither numbers nor text; ignore it with"));
        let list = said("ignore = [\"map\", \"struct\", \"bytes\"]");
        assert!(list.contains("row 1 (counted from 0), column `list`: a list of 0 numbers, where 1 is expected"));
        assert!(said("ignore = [\"list\", \"map\"]").contains("column `struct` is a group of columns"));
        let text = said("ignore = [\"list\", \"map\", \"struct\"]");
        assert!(
            text.contains("row 0 (counted from 0), column `bytes`: a value is neither a number nor text"),
            "{text}"
        );
    }

    const NO_LISTS: &str = "ignore = [\"ragged\", \"empty\", \"words\", \"nested\"]";

    #[test]
    fn each_place_of_a_list_of_numbers_is_a_feature() {
        let (data, inputs, targets) = rows("lists.parquet", &format!("{NO_LISTS}\nmissing = \"mean\""));
        let expected = [
            [1.0, 2.0, 1.0, 2.0, 3.0, 1.25, 0.5],
            [3.0, 4.25, 4.0, 5.0, 6.0, -2.5, 1.5],
            [3.0, 4.25, 7.0, 8.0, 9.0, 0.0, 2.5],
            [5.0, 6.5, 10.0, 11.0, 12.0, 0.1, 3.5],
        ];
        assert_eq!((inputs.as_slice(), targets), (&expected.map(Vec::from)[..], vec![0, 1, 0, 1]));
        assert_eq!(data.schema().names.columns.unwrap().all.len(), 9, "a list is one column of the file");
        let (_, marked, _) =
            rows("lists.parquet", &format!("{NO_LISTS}\nmissing = \"zero\"\nmissing_indicator = true"));
        assert_eq!(marked[1][..3], [3.0, 0.0, 1.0]);
        assert_eq!(marked[2][..3], [0.0, 0.0, 1.0]);
        assert_eq!(marked.iter().map(Vec::len).collect::<Vec<_>>(), [8; 4], "complete lists are not marked");
    }

    #[test]
    fn a_trained_model_reads_the_same_lists() {
        let options = format!("{NO_LISTS}\nmissing = \"mean\"\nbatch_size = \"all\"\nshuffle = false");
        let path = file("parquet/lists.parquet");
        let config: DataConfig = toml::from_str(&format!("path = {path:?}\n{options}")).unwrap();
        let data = Data::open(&config, 0, &candle_core::Device::Cpu).unwrap();
        let mut reader = RowReader::open(&config, &data.schema(), &data.save().unwrap(), true).unwrap();
        let rows = reader.next().unwrap().unwrap();
        let own = data.batch(0).unwrap();
        assert_eq!(rows.inputs.to_vec2::<f32>().unwrap(), own.inputs.to_vec2::<f32>().unwrap());
        let mut again = Data::open(&config, 0, &candle_core::Device::Cpu).unwrap();
        again.load(&data.save().unwrap()).unwrap();
        assert_eq!(again.batch(0).unwrap().inputs.to_vec2::<f32>().unwrap(), own.inputs.to_vec2::<f32>().unwrap());
    }

    #[test]
    fn lists_of_several_lengths_or_of_other_things_are_refused_by_their_place() {
        let bytes = std::fs::read(file("parquet/lists.parquet")).unwrap();
        let all = ["embedding", "fixed", "price", "ragged", "empty", "words", "nested"];
        let said = |used: &str, options: &str| {
            let ignored: Vec<&str> = all.into_iter().filter(|name| *name != used).collect();
            refusal(&[("a.parquet", bytes.clone())], "a.parquet", &format!("ignore = {ignored:?}\n{options}"))
        };
        assert!(said("ragged", "").starts_with(
            "a.parquet, row 1 (counted from 0), column `ragged`: a list of 2 numbers, where 1 is expected: all lists"
        ));
        assert!(said("empty", "").contains("row 0 (counted from 0), column `empty`: an empty list; ignore the column"));
        for name in ["words", "nested"] {
            let message = said(name, "");
            assert!(message.contains(&format!("column `{name}` is a list of other than numbers")), "{message}");
        }
        assert!(said("embedding", "").contains("row 1 (counted from 0), column `embedding`: the field is empty"));
        assert!(said("fixed", "label = \"fixed\"").contains("column `fixed`: a list of numbers, where one value"));
        assert!(
            said("fixed", "categories = [\"fixed\"]").contains("column `fixed`: a list of numbers, where one value")
        );
    }

    /// The crate's reader of rows cuts such times, of nanoseconds, to milliseconds.
    #[test]
    fn what_is_lost_of_old_times_is_told() {
        use parquet::data_type::{Int64Type, Int96, Int96Type};
        use parquet::file::writer::SerializedFileWriter;
        let folder = folder(&[]);
        let path = folder.path().join("a.parquet");
        let schema = "message a { required int96 time; required int64 y; }";
        let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        // 1.5 ms and 2 ms after the beginning of 1970, which is day 2440588.
        let times = [1_500_000, 2_000_000].map(|nanoseconds| Int96::from(vec![nanoseconds, 0, 2_440_588]));
        column.typed::<Int96Type>().write_batch(&times, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[0, 1], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let data = open(&path, "standardize = false\nbatch_size = \"all\"\nshuffle = false").unwrap();
        assert_eq!(data.batch(0).unwrap().inputs.to_vec2::<f32>().unwrap(), [[1.0], [2.0]]);
        let told: Vec<String> = data.notices().iter().map(ToString::to_string).collect();
        assert!(
            told[0].contains("column `time`: times of the type INT96, which are read to the millisecond"),
            "{told:?}"
        );
    }

    /// pandas wrote the same table as CSV, where booleans, dates and times are words.
    #[test]
    fn booleans_dates_and_times_are_the_categories_that_they_are_in_csv() {
        let config = |name: &str| {
            let options = "shuffle = false\nbatch_size = \"all\"";
            toml::from_str::<DataConfig>(&format!("path = {:?}\n{options}", file(&format!("parquet/{name}")))).unwrap()
        };
        let text = Data::open(&config("times.csv"), 0, &candle_core::Device::Cpu).unwrap();
        let batch = text.batch(0).unwrap();
        assert_eq!((batch.inputs.dims(), batch.targets.to_vec1::<u32>().unwrap()), (&[4, 6][..], vec![1, 0, 1, 0]));
        let (schema, memory) = (text.schema(), text.save().unwrap());
        let mut reader = RowReader::open(&config("times.parquet"), &schema, &memory, true).unwrap();
        let rows = reader.next().unwrap().unwrap();
        assert_eq!(rows.inputs.to_vec2::<f32>().unwrap(), batch.inputs.to_vec2::<f32>().unwrap());
        assert_eq!(rows.targets.unwrap().to_vec1::<u32>().unwrap(), [1, 0, 1, 0]);
        assert_eq!(reader.notices(), []);
    }
}
