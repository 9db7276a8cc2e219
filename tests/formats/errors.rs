//! Errors of data name the fault, the file, line and column, and the remedy.

use std::path::Path;

use crate::common::data;
use candle_core::Device;
use proptest::prelude::*;
use rekindle::data::{Data, DataConfig};
use safetensors::tensor::{Dtype, TensorView};

/// Returns the message of opening a file of this name, content and options, without the folder's path.
fn refusal(name: &str, content: &[u8], options: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    open(&path, options).unwrap_err().replace(&format!("{}/", folder.path().display()), "")
}

fn csv(content: &str, options: &str) -> String {
    refusal("a.csv", content.as_bytes(), options)
}

fn open(path: &Path, options: &str) -> Result<Data, String> {
    let config: DataConfig = toml::from_str(&format!("path = {path:?}\n{options}")).unwrap();
    Data::open(&config, 0, &Device::Cpu).map_err(|error| error.to_string())
}

/// Returns a safetensors file of these tensors, with zero bytes except the last ones.
fn tensors(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let filled: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, dtype, shape, last)| {
            let mut bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
            let start = bytes.len() - last.len();
            bytes[start..].copy_from_slice(last);
            bytes
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&filled)
        .map(|((name, dtype, shape, _), bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn of_tensors(list: &[(&str, Dtype, &[usize], &[u8])], options: &str) -> String {
    refusal("a.safetensors", &tensors(list), options)
}

#[test]
fn a_missing_file_is_named() {
    assert_eq!(
        open(Path::new("/nowhere/a.csv"), "").unwrap_err(),
        "cannot read the data file /nowhere/a.csv: No such file or directory (os error 2); set `data.path` to its path"
    );
}

#[test]
fn a_directory_is_no_data_file() {
    let folder = tempfile::tempdir().unwrap();
    let message = open(folder.path(), "format = \"csv\"").unwrap_err();
    assert!(message.ends_with("is a folder, not a regular file; `data.path` must name one file"), "{message}");
}

#[test]
fn an_unknown_ending_asks_for_the_format() {
    assert_eq!(
        refusal("a.dat", b"1,2", ""),
        "the name of a.dat does not show its format; set `data.format` to \"csv\", \"parquet\", \"safetensors\", \
         \"npy\", \"npz\", \"idx\", \"text\", \"jsonl\" or \"images\""
    );
}

#[test]
fn an_empty_file_has_no_rows() {
    assert_eq!(csv("", ""), "the data file a.csv is empty");
    assert_eq!(csv("\n\n", ""), "a.csv holds no rows of data");
    assert_eq!(csv("a,b\n", ""), "a.csv holds no rows of data");
    assert_eq!(csv("1,2\n", "header = false\nskip_lines = 5"), "a.csv holds no rows of data");
}

#[test]
fn a_single_column_is_reported_with_the_delimiter_that_it_has() {
    let message = csv("a;b\n1;2\n", "delimiter = \",\"");
    assert!(message.ends_with("by commas; the line has semicolons: set `data.delimiter = \";\"`"), "{message}");
    let message = csv("a,b\n1,2\n", "delimiter = \"\\t\"");
    assert!(message.ends_with("by tabs; the line has commas: set `data.delimiter = \",\"`"), "{message}");
    let bad: Result<rekindle::data::DataConfig, _> = toml::from_str("path = \"a.csv\"\ndelimiter = \";;\"");
    assert!(bad.unwrap_err().to_string().contains("must be one character such as"));
}

#[test]
fn a_ragged_row_is_named_by_its_line() {
    assert_eq!(csv("a,b,c\n1,2,0\n\n1,2\n", ""), "a.csv, line 4: 2 columns, but the first line has 3");
    assert_eq!(csv("1,2,0\n1,2,0,4\n", "header = false"), "a.csv, line 2: 4 columns, but the first line has 3");
}

#[test]
fn a_field_that_is_no_number_is_named_by_line_and_column() {
    assert_eq!(csv("a,b,y\n1,2,0\n1,two,0\n", ""), "a.csv, line 3, column `b`: \"two\" is not a number");
    assert_eq!(
        csv("x;y\n1,2,0\n1,two,0\n", "header = false\nskip_lines = 1"),
        "a.csv, line 3, column 1 (counted from 0): \"two\" is not a number"
    );
    assert_eq!(
        csv("a,b\n,0\n", ""),
        "a.csv, line 2, column `a`: the field is empty; set `data.missing` to choose a replacement for missing values"
    );
}

#[test]
fn a_field_that_is_not_finite_is_named_by_line_and_column() {
    for field in ["NAN", "inf", "-inf", "1e39"] {
        let message = csv(&format!("a,y\n0,1\n{field},1\n"), "");
        assert_eq!(message, format!("a.csv, line 3, column `a`: {field:?} is not a finite 32-bit number"));
    }
    let message = csv("a,y\n0,inf\n", "task = \"regression\"");
    assert_eq!(message, "a.csv, line 2, column `y`: \"inf\" is not a finite 32-bit number");
}

#[test]
fn a_label_that_is_no_class_is_named_by_line_and_column() {
    for label in ["1.5", "1e12", "inf"] {
        assert_eq!(
            csv(&format!("a,y\n0,{label}\n"), ""),
            format!(
                "a.csv, line 2, column `y`: label {label:?} is not a whole number of at least 0; \
                 for other values set `data.task = \"regression\"`"
            )
        );
    }
}

#[test]
fn a_label_beyond_the_classes_is_named_by_line_and_column() {
    assert_eq!(
        csv("a,y\n0,2\n0,3\n", "classes = 3"),
        "a.csv, row 1 (counted from 0, without the header), column `y`: label 3 is not below the number of classes, 3; \
         labels count from 0"
    );
    assert_eq!(
        csv("a,y\n0,0\n0,3\n", "classes = 3"),
        "a.csv, line 3, column `y`: label 3 is not below the number of classes, 3; labels count from 0"
    );
}

#[test]
fn a_column_of_values_is_not_taken_for_classes() {
    assert_eq!(
        csv("a,price\n1,452000\n2,310000\n", ""),
        "a.csv: label 452000 needs more classes than there are rows (2); \
         set `data.task = \"regression\"` for values, or `data.classes` for their number"
    );
}

#[test]
fn a_label_column_that_is_not_there_is_answered_with_those_that_are() {
    assert_eq!(
        csv("a,label\n1,2\n", "label = \"lable\""),
        "`data.label`: a.csv has no column `lable`; did you mean `label`? It has `a`, `label`"
    );
    for index in [2, -3, i64::MAX, i64::MIN] {
        assert_eq!(
            csv("a,b\n1,2\n", &format!("label = {index}")),
            format!("`data.label` = {index}, but a.csv has 2 columns: 0 to 1 from the first, -1 to -2 from the last")
        );
    }
    assert_eq!(
        csv("1,2\n", "header = false\nlabel = \"y\""),
        "`data.label` = \"y\" is a name, and `data.header = false` says that columns have none; give its number"
    );
}

#[test]
fn a_file_without_a_header_does_not_lose_its_first_row_to_one() {
    assert_eq!(
        csv("1,2\n3,4\n", ""),
        "a.csv, line 1: numbers instead of the names of the columns; set `data.header = false`"
    );
}

#[test]
fn a_single_column_has_no_features() {
    assert_eq!(
        csv("a\n1\n", ""),
        "a.csv, line 1: a single column, so there are no features besides the label; columns are separated by commas"
    );
}

#[test]
fn an_unclosed_quote_is_reported_by_the_line_on_which_it_opens() {
    let said = |line: usize| {
        format!(
            "a.csv, line {line}: a quote opens a field here and is never closed, so the rest of the file would be one \
             field; close it, or double it if it is a character of a quoted field"
        )
    };
    assert_eq!(csv("a,job,y\n1,cook,0\n2,\"cook,1\n3,nurse,0\n4,nurse,1\n", ""), said(3));
    assert_eq!(csv("a,y\n1,\"cat\n2,dog\n", ""), said(2));
    assert_eq!(csv("\"a,y\n1,0\n2,1\n", ""), said(1));
    assert_eq!(csv("note\n\na,y\n1,0\n2,\"1", "skip_lines = 2"), said(5));
    let packed = data::gzip(b"a,y\n1,0\n2,\"1\n3,0\n");
    assert_eq!(refusal("a.csv", &packed, ""), said(3));
}

#[test]
fn two_columns_of_one_name_are_reported_by_their_places() {
    let doubled = "a.csv has two columns named `y`, columns 0 and 2 (counted from 0); rename one of them in the file, \
                   or ignore one by its number with `data.ignore`";
    let rows = "1,2,0\n2,3,1\n";
    for header in ["y,a,y", "y,a, y ", "\"y\",a,\" y\""] {
        for options in ["", "label = \"y\"", "ignore = [\"y\"]", "label = 1"] {
            assert_eq!(csv(&format!("{header}\n{rows}"), options), doubled, "{header} {options}");
        }
    }
}

#[test]
fn labels_that_are_all_the_same_are_refused_with_what_may_have_been_meant() {
    let message = csv("label,a,b\n1,2,0\n0,3,0\n1,4,0\n", "");
    assert_eq!(
        message,
        "a.csv, column `b`: every row has the label 0, so nothing can be learned; set `data.label` to the column of \
         the label (by default the last one), or `data.task = \"regression\"` if labels are values"
    );
    assert!(csv("a,b\n1,cat\n2,cat\n", "").contains("every row has the label \"cat\""));
    let x: (&str, Dtype, &[usize], &[u8]) = ("x", Dtype::F32, &[4, 3], &[]);
    assert_eq!(
        of_tensors(&[x, ("y", Dtype::U8, &[4], &[])], ""),
        "a.safetensors, tensor `y`: every row has the label 0, so nothing can be learned; `data.targets` names the \
         tensor of labels"
    );
}

#[test]
fn a_file_that_is_no_text_is_named_by_its_line() {
    assert_eq!(
        refusal("a.csv", b"a,b\n1,2\n\xff\xfe,2\n", ""),
        "a.csv, line 3: not UTF-8 text; save the file as UTF-8"
    );
}

#[test]
fn a_truncated_gzip_is_damaged() {
    let digits = std::fs::read("examples/data/digits.csv.gz").unwrap();
    let expected = "the gzip file a.csv.gz is damaged or cut short: ";
    for end in [2, 15, 1000, digits.len() - 1] {
        let message = refusal("a.csv.gz", &digits[..end], "header = false");
        assert!(message.starts_with(expected) && message.ends_with("; fetch it again"), "{message}");
    }
    let mut flipped = digits.clone();
    flipped[30_000] ^= 1;
    assert!(refusal("a.csv.gz", &flipped, "header = false").starts_with(expected));
}

#[test]
fn options_of_the_other_format_are_refused_by_name() {
    for option in ["inputs", "targets"] {
        let message = csv("a,b\n1,2\n", &format!("{option} = \"x\""));
        assert_eq!(message, format!("`data.{option}` does not apply to CSV; remove it"));
    }
    let options = ["header = true", "skip_lines = 0", "label = 1", "task = \"regression\""];
    for option in options {
        let message = refusal("a.safetensors", b"", option);
        let name = option.split_once(' ').unwrap().0;
        assert_eq!(message, format!("`data.{name}` does not apply to safetensors; remove it"));
    }
    let message = csv("a,b\n1,2\n", "task = \"regression\"\nclasses = 2");
    assert_eq!(message, "`data.classes` does not apply to regression; remove it");
    let list: [(&str, Dtype, &[usize], &[u8]); 2] = [("x", Dtype::F32, &[2, 3], &[]), ("y", Dtype::F32, &[2, 1], &[])];
    let message = of_tensors(&list, "classes = 2");
    assert_eq!(message, "`data.classes` does not apply to targets that are floats; remove it");
}

#[test]
fn a_missing_tensor_is_answered_with_those_that_are_there() {
    let list: [(&str, Dtype, &[usize], &[u8]); 2] = [("X", Dtype::F32, &[2, 3], &[]), ("z", Dtype::F32, &[2, 1], &[])];
    assert_eq!(
        of_tensors(&list, ""),
        "`data.inputs`: a.safetensors has no tensor `x`; did you mean `X`? It has `X`, `z`"
    );
    assert_eq!(
        of_tensors(&list, "inputs = \"X\"\ntargets = \"target\""),
        "`data.targets`: a.safetensors has no tensor `target`; it has `X`, `z`"
    );
}

#[test]
fn tensors_of_another_dtype_or_shape_are_refused() {
    let y: (&str, Dtype, &[usize], &[u8]) = ("y", Dtype::F32, &[2], &[]);
    for (dtype, shape, kind) in [
        (Dtype::F64, [2].as_slice(), "F64[2]"),
        (Dtype::F32, &[2], "F32[2]"),
        (Dtype::F32, &[], "F32[]"),
        (Dtype::F32, &[1 << 60, 0], "F32[1152921504606846976, 0]"),
    ] {
        let message = of_tensors(&[("x", dtype, shape, &[]), y], "");
        assert_eq!(
            message,
            format!("a.safetensors: tensor `x` is {kind}; `data.inputs` must be numbers of shape [rows, …]")
        );
    }
    let x: (&str, Dtype, &[usize], &[u8]) = ("x", Dtype::F32, &[2, 3], &[]);
    for (dtype, shape, kind) in [
        (Dtype::F64, [2, 1, 3].as_slice(), "F64[2, 1, 3]"),
        (Dtype::F32, &[2, 1, 1], "F32[2, 1, 1]"),
        (Dtype::I64, &[2, 0], "I64[2, 0]"),
    ] {
        let message = of_tensors(&[x, ("y", dtype, shape, &[])], "");
        let expected = "floats [rows] or [rows, width] for values, or whole numbers or BOOL [rows] for classes, or BOOL [rows, width]";
        assert_eq!(message, format!("a.safetensors: tensor `y` is {kind}; `data.targets` must be {expected}"));
    }
    let message = of_tensors(&[x, ("y", Dtype::I64, &[2, 3], &[])], "");
    assert!(
        message.ends_with("must be one class a row, [rows] or [rows, 1], where the dtype is an integer"),
        "{message}"
    );
}

#[test]
fn tensors_with_other_numbers_of_rows_are_refused() {
    let message = of_tensors(&[("x", Dtype::F32, &[4, 3], &[]), ("y", Dtype::F32, &[5], &[])], "");
    assert_eq!(message, "a.safetensors: the inputs have 4 rows and the targets 5");
    let message = of_tensors(&[("x", Dtype::F32, &[0, 3], &[]), ("y", Dtype::F32, &[0], &[])], "");
    assert_eq!(message, "a.safetensors holds no rows of data");
}

#[test]
fn an_element_that_cannot_be_is_named_by_its_row() {
    let nan = f32::NAN.to_le_bytes();
    let x: (&str, Dtype, &[usize], &[u8]) = ("x", Dtype::F32, &[4, 3], &[]);
    assert_eq!(
        of_tensors(&[("x", Dtype::F32, &[4, 3], &nan), ("y", Dtype::F32, &[4], &[])], ""),
        "a.safetensors, tensor `x`, row 3 (counted from 0): NaN is not a finite 32-bit number"
    );
    assert_eq!(
        of_tensors(&[x, ("y", Dtype::I64, &[4], &(-1i64).to_le_bytes())], ""),
        "a.safetensors, tensor `y`, row 3 (counted from 0): label -1 is not a whole number of at least 0; \
         if these are values, store them as F32"
    );
    assert_eq!(
        of_tensors(&[x, ("y", Dtype::U8, &[4], &[9])], "classes = 5"),
        "a.safetensors, tensor `y`, row 3 (counted from 0): label 9 is not below the number of classes, 5; \
         labels count from 0"
    );
}

#[test]
fn a_header_that_claims_two_to_the_sixty_bytes_is_refused() {
    let message = refusal("a.safetensors", &[&(1u64 << 60).to_le_bytes()[..], b"{}"].concat(), "");
    assert_eq!(message, "a.safetensors is not a valid safetensors file: header too large; fetch or write it again");
    assert!(refusal("a.safetensors", b"1234", "").contains("header too small"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any damage is an error or valid data, and never a panic.
    #[test]
    fn a_damaged_safetensors_file_never_panics(
        flips in prop::collection::vec((0..400_usize, any::<u8>()), 1..5), cut in prop::option::of(0..400_usize),
    ) {
        let x: (&str, Dtype, &[usize], &[u8]) = ("x", Dtype::F32, &[4, 3], &[]);
        let mut bytes = tensors(&[x, ("y", Dtype::I64, &[4], &[])]);
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        never_panics("a.safetensors", &bytes, "")?;
    }

    #[test]
    fn a_damaged_csv_file_never_panics(
        text in "([0-9.,\"\r\n\u{feff}a-]|nan|é){0,60}", header: bool, skip in 0..3_usize, label in -4..4_i64,
    ) {
        never_panics("a.csv", text.as_bytes(), &format!("header = {header}\nskip_lines = {skip}\nlabel = {label}"))?;
    }
}

fn never_panics(name: &str, content: &[u8], options: &str) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    if let Ok(data) = open(&path, options) {
        prop_assert!(data.batch(0).unwrap().rows() > 0);
    }
    Ok(())
}
