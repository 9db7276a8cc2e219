use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

use super::super::columns::TableOptions;
use super::super::delimiter::CommentMark;
use super::super::frame::Cells;
use super::super::options::{Missing, Task};
use super::super::{Fingerprint, Label, Targets};
use super::*;

/// Returns the numbers of each feature, and the labels.
fn read(text: &str, header: bool, skip_lines: usize, label: i64) -> Result<(Vec<Vec<f64>>, Targets), DataError> {
    let (label, header, skip_lines) = (Some(Label::Index(label).into()), Some(header), Some(skip_lines));
    let classes = std::num::NonZeroUsize::new(4);
    let config = DataConfig { label, header, skip_lines, classes, ..DataConfig::new("a.csv") };
    let content = text.as_bytes().to_vec();
    let file = DataFile { path: &config.path, fingerprint: Fingerprint::of(&content), content };
    let options = TableOptions::new(&config)?;
    let mut reader = FrameReader::new(&options);
    super::read(&file, &config, &mut reader)?;
    let frame = reader.finish()?;
    let numbers = frame.columns.into_iter().map(|column| match column.cells {
        Cells::Numbers(numbers) => numbers,
        other @ (Cells::Categories(_) | Cells::Lists(_)) => panic!("{other:?}"),
    });
    Ok((numbers.collect(), frame.targets))
}

#[test]
fn the_label_may_stand_anywhere() {
    for (label, inputs, labels) in [(0, [2.0, 3.0], 1), (1, [1.0, 3.0], 2), (-1, [1.0, 2.0], 3), (-3, [2.0, 3.0], 1)] {
        let (columns, targets) = read("1, 2 ,3", false, 0, label).unwrap();
        assert_eq!(columns.concat(), inputs);
        assert_eq!(targets, Targets::Classes { labels: vec![labels], count: 4 });
    }
}

#[test]
fn text_is_read_as_spreadsheets_write_it() {
    let plain = read("a,b\n1,2.0\n", true, 0, -1).unwrap();
    for text in ["\u{feff}a,b\r\n1,2\r\n", "\n\na,b\n\n1,2\n\n", "\"a\",\"b\"\n\" 1e0\",\"2\"", "a,b\r1,2\r"] {
        assert_eq!(read(text, true, 0, -1).unwrap(), plain, "{text:?}");
    }
    assert_eq!(read("units: mm\nquoted \" and,so,on\na,b\n1,2", true, 2, -1).unwrap(), plain);
}

#[test]
fn a_line_is_the_line_of_the_file() {
    let line = |text: &str, skip| match read(text, true, skip, -1) {
        Err(DataError::Table(error)) => match *error {
            TableError::Field { line, .. } | TableError::Ragged { line, .. } => line,
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(line("a,b\n1,2\nx,2\n", 0), 3);
    assert_eq!(line("a,b\r\n\r\n\r\n1,2\r\n\r\n1,2,3\r\n", 0), 6);
    assert_eq!(line("note\n\na,b\n1,2\n1\n", 2), 5);
}

#[test]
fn skipping_more_lines_than_there_are_leaves_no_rows() {
    for skip in [2, 3, usize::MAX] {
        assert!(matches!(read("a,b\n1,2\n", false, skip, -1), Err(DataError::NoRows { .. })));
    }
}

/// All that is read of a text: columns with the bits of numbers, targets and notices, or the error.
fn all_of(text: &str, config: &DataConfig, piece: Option<usize>) -> String {
    let read = || -> Result<String, DataError> {
        let options = TableOptions::new(config)?;
        let mut reader = FrameReader::new(&options);
        let mut records = CsvRecords::new(Text::of(&config.path, text.as_bytes(), config)?, config)?;
        records.refuse_strange_head()?;
        match piece {
            Some(piece) => records.ahead = Ahead::with_pieces_of(piece),
            None => records.text.content = None,
        }
        reader.read(records)?;
        let frame = reader.finish()?;
        let columns = frame.columns.iter().map(|column| match &column.cells {
            Cells::Numbers(numbers) => {
                format!("{:?}", numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>())
            }
            Cells::Categories(words) => format!("{:?} {:?}", words.distinct(), words.rows()),
            other @ Cells::Lists(_) => panic!("{other:?}"),
        });
        let columns: Vec<String> = columns.collect();
        Ok(format!("{columns:?} {:?} {:?} {:?}", frame.targets, frame.classes, frame.notices))
    };
    read().unwrap_or_else(|error| error.to_string())
}

/// A text of rows that are mostly alike, in the columns of which are numbers, words and anything else.
fn texts() -> impl Strategy<Value = String> {
    const PLAIN: [&str; 9] = ["1", "-2.50", "16777217", "-0", ".5", "-,5", "0,25", "0.1234567", "1234567.12345678"];
    const OTHER: [&str; 9] =
        ["3e2", " 7 ", "\"0.5\"", "1e-60", "1.", "2,", "+1", "-7\t", "1.00000005960464477540000001"];
    let number = || select([PLAIN, OTHER].concat());
    let word = || select(vec!["x", "y z", "\"q\"", "\"a,b;c\"", " \"", "é", "\u{feff}x", "5 kg"]);
    let odd =
        || select(vec!["", "NA", "nan", "\"a\nb\"", "\"\"\"\"", "\"", "1e99", "a\"b", "\"a\"b", "#", "1,2;3", "\r"]);
    let label = || select(vec!["0", "1", "2", "-1", "one", "1.0"]);
    let numbers = move || Union::new_weighted(vec![(24, number().boxed()), (1, odd().boxed()), (1, word().boxed())]);
    let words = move || Union::new_weighted(vec![(24, word().boxed()), (1, odd().boxed()), (1, number().boxed())]);
    let end = || select(vec!["\n", "\n", "\n", "\r\n", "\n\n", " \n", "\n# a, \"b\n", "\r", ";9\n"]);
    let ends = move || Union::new_weighted(vec![(12, Just("\n").boxed()), (1, end().boxed())]);
    let row = (numbers(), words(), numbers(), label(), ends());
    let rows = vec(row.prop_map(|(a, b, c, label, end)| format!("{a};{b};{c};{label}{end}")), 1..30);
    (select(vec!["", "\u{feff}", "\n"]), rows).prop_map(|(mark, rows)| format!("{mark}a;b;c;y\n{}", rows.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// In pieces of any length: the same bits, and the same message with the same line.
    #[test]
    fn pieces_on_all_threads_are_what_record_after_record_is(
        text in texts(),
        piece in 1..200_usize,
        header in any::<bool>(),
        comma in any::<bool>(),
        task in select(vec![Task::Classification, Task::Regression]),
        missing in select(vec![Missing::Error, Missing::Mean]),
        values in select(vec![None, Some(vec!["nan".to_owned()]), Some(vec!["1".to_owned(), "0.25".to_owned()])]),
        comment in select(vec![None, Some(CommentMark::HASH)]),
    ) {
        let decimal = Some(if comma { Decimal::Comma } else { Decimal::Point });
        let config = DataConfig {
            delimiter: Some(Delimiter::SEMICOLON),
            header: Some(header),
            task: Some(task),
            missing: Some(missing),
            missing_values: values,
            decimal,
            comment,
            ..DataConfig::new("a.csv")
        };
        prop_assert_eq!(all_of(&text, &config, Some(piece)), all_of(&text, &config, None));
    }
}

/// In a feature its row is filled up; as a label it is refused.
#[test]
fn a_word_for_missing_values_may_be_a_number_with_a_decimal_comma() {
    let config = DataConfig {
        delimiter: Some(Delimiter::SEMICOLON),
        task: Some(Task::Regression),
        missing: Some(Missing::Mean),
        missing_values: Some(vec!["-999,9".to_owned()]),
        decimal: Some(Decimal::Comma),
        ..DataConfig::new("a.csv")
    };
    let text = |feature: &str, label: &str| format!("a;b;y\n1,5;2,5;0,5\n{feature};2,5;{label}\n2,5;2,5;1,5\n");
    // In pieces, and record after record.
    for piece in [Some(1000), None] {
        let filled = all_of(&text("-999,9", "1"), &config, piece);
        assert_eq!(filled, all_of(&text("-999,9", "1,0"), &config, piece));
        assert_ne!(filled, all_of(&text("-999,8", "1"), &config, piece));
        let refused = all_of(&text("1", "-999,9"), &config, piece);
        assert!(refused.contains("line 3"), "{refused}");
    }
}

#[test]
fn a_delimiter_may_be_a_character_of_numbers() {
    for delimiter in ["-", ".", "0", "5", "e", " ", "+", ","] {
        let text = ["a|b|y\n", &"1|2.5|7\n3|-4|6\r\n|1|8\n".repeat(3)].concat().replace('|', delimiter);
        for decimal in [Decimal::Point, Decimal::Comma] {
            let config = DataConfig {
                delimiter: Some(Delimiter::try_from(delimiter.to_owned()).unwrap()),
                task: Some(Task::Regression),
                missing: Some(Missing::Mean),
                decimal: Some(decimal),
                ..DataConfig::new("a.csv")
            };
            for piece in [4, 30, 1000] {
                assert_eq!(all_of(&text, &config, Some(piece)), all_of(&text, &config, None), "{delimiter:?}");
            }
        }
    }
}

#[test]
fn a_mistake_after_many_plain_lines_has_its_line() {
    let rows = "1,2,0\n4,5,1\n".repeat(500);
    let config = DataConfig { skip_lines: Some(1), ..DataConfig::new("a.csv") };
    for (wrong, told) in [
        ("1,x,0\n", "line 1003, column `b`"),
        ("\n1,2\n", "line 1004"),
        ("1,2,0.5\n", "line 1003"),
        ("1,\"2,0\n", "line 1003"),
    ] {
        let text = format!("of today\na,b,c\n{rows}{wrong}{rows}");
        let message = all_of(&text, &config, Some(700));
        assert!(message.contains(told), "{message}");
        assert_eq!(message, all_of(&text, &config, None));
    }
}
