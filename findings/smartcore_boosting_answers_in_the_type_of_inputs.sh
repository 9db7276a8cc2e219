#!/usr/bin/env bash
# The boosted trees of smartcore predict in the type of the inputs: whole inputs make whole predictions.
#
# Package: smartcore 0.4.10 (stable Rust).
# Expected: a regressor predicts in the type of its targets, as the trees and the forests of the same library do. If
#           ages or counts are given as integers, prices with cents stay prices with cents.
# Seen:     XGRegressor fits eight targets from 0 to 1.75. With inputs as floating point numbers the predictions are as
#           good as exact; with the same inputs as integers the same predictions are cut off to 0 and 1, also 0.99999.
#           With inputs of 32 bits the predictions have 32 bits. A tree of the library answers in the type of the
#           targets for both. There is no warning.
# Why it matters: integer features are the usual ones for trees, and a matrix of them is accepted. A rate, a probability
#           or a normalized target comes out as 0 for nearly all rows.
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
smartcore = "=0.4.10"
TOML
cat > "$work/src/main.rs" <<'RUST'
use smartcore::error::Failed;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::tree::decision_tree_regressor::DecisionTreeRegressor;
use smartcore::xgboost::{XGRegressor, XGRegressorParameters};

fn shown<T: Copy + std::fmt::Display>(predictions: &[T]) -> String {
    predictions.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(" ")
}

fn main() -> Result<(), Failed> {
    let targets: Vec<f64> = (0..8).map(|row| 0.25 * f64::from(row)).collect();
    println!("targets: {}", shown(&targets));
    let floats = DenseMatrix::new(8, 1, (0..8).map(f64::from).collect(), false)?;
    let integers = DenseMatrix::new(8, 1, (0..8).collect::<Vec<i32>>(), false)?;
    let boosted = XGRegressor::fit(&floats, &targets, XGRegressorParameters::default())?;
    println!("boosted trees, inputs in f64: {}", shown(&boosted.predict(&floats)?));
    let boosted = XGRegressor::fit(&integers, &targets, XGRegressorParameters::default())?;
    println!("boosted trees, inputs in i32: {}", shown(&boosted.predict(&integers)?));
    let tree = DecisionTreeRegressor::fit(&integers, &targets, Default::default())?;
    println!("one tree, inputs in i32: {}", shown(&tree.predict(&integers)?));
    Ok(())
}
RUST
cat > "$work/expected" <<'TEXT'
targets: 0.000 0.250 0.500 0.750 1.000 1.250 1.500 1.750
boosted trees, inputs in f64: 0.000 0.250 0.500 0.750 1.000 1.250 1.500 1.750
boosted trees, inputs in i32: 0 0 0 0 0 1 1 1
one tree, inputs in i32: 0.000 0.250 0.500 0.750 1.000 1.250 1.500 1.750
TEXT
cargo run --quiet --manifest-path "$work/Cargo.toml" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
