#!/usr/bin/env bash
# linfa gives precision for recall and recall for precision, unless the truth is handed over as a data set.
#
# Packages: linfa 0.8.1, ndarray 0.16.1 (stable Rust).
# Expected: `prediction.confusion_matrix(truth)` is the same table whether the truth is an array or the data set that
#           has it. For two classes its documentation gives precision as true-label-1 / (true-label-1 + false-label-1),
#           that is TP / (TP + FP), and recall with the FN.
# Seen:     one of four positives is found and nothing is found in error: precision is 1 and recall 0.25. With arrays,
#           as in the examples beside both functions, they come out as 0.25 and 1, and so with data sets on both sides
#           and with the targets of one: the table has rows for what was predicted, and the functions take them for the
#           truth. With an array and `&dataset` the two are exchanged once more, and the numbers are right. The F
#           score with a beta of 2 follows, 0.625 for 0.294; F1 and accuracy are the same either way.
# Why it matters: a detector that misses three of four is reported to miss nothing. Which of the two numbers stands
#           under a name depends on an `&dataset` or `dataset.targets()` in the call.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"

[dependencies]
linfa = "=0.8.1"
ndarray = "=0.16.1"
TOML
cat > "$work/src/main.rs" <<'RUST'
use linfa::prelude::*;
use ndarray::{array, Array2};

fn print(name: &str, matrix: ConfusionMatrix<bool>) {
    let (precision, recall) = (matrix.precision(), matrix.recall());
    let (f1, f2) = (matrix.f1_score(), matrix.f_score(2.0));
    println!("{name}: precision {precision:.3}, recall {recall:.3}, F1 {f1:.3}, F2 {f2:.3}");
}

fn main() -> Result<(), linfa::Error> {
    let truth = array![true, true, true, true, false, false, false, false, false, false];
    let found = array![true, false, false, false, false, false, false, false, false, false];
    let data = Dataset::new(Array2::<f64>::zeros((10, 1)), truth.clone());
    let found_data = Dataset::new(Array2::<f64>::zeros((10, 1)), found.clone());
    println!("by hand: precision 1.000, recall 0.250, F1 0.400, F2 0.294");
    print("array and array", found.confusion_matrix(&truth)?);
    print("array and targets of a data set", found.confusion_matrix(data.targets())?);
    print("data set and data set", found_data.confusion_matrix(&data)?);
    print("array and data set", found.confusion_matrix(&data)?);
    Ok(())
}
RUST
cat > "$work/expected" <<'TEXT'
by hand: precision 1.000, recall 0.250, F1 0.400, F2 0.294
array and array: precision 0.250, recall 1.000, F1 0.400, F2 0.625
array and targets of a data set: precision 0.250, recall 1.000, F1 0.400, F2 0.625
data set and data set: precision 0.250, recall 1.000, F1 0.400, F2 0.625
array and data set: precision 1.000, recall 0.250, F1 0.400, F2 0.294
TEXT
cargo run --quiet --manifest-path "$work/Cargo.toml" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
