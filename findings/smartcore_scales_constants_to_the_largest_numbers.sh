#!/usr/bin/env bash
# The standard scaler of smartcore turns a column that is 0.1 throughout into numbers of 291 digits.
#
# Package: smartcore 0.4.10 (stable Rust).
# Expected: a constant column becomes 0, and three numbers that are 1 apart become -1.22, 0 and 1.22, wherever they lie.
# Seen:     the variance is the mean of the squares less the square of the mean. A deviation of 0, and one that is not a
#           number as this difference came out negative, are replaced by the smallest normal number, 2e-308, so a
#           mean that is one unit in the last place off is scaled up to -6e290. It depends on the number of rows: three
#           times 0.1, but not six times 0.3. If the constant is 0.5, all is right until a new row has 0.75: 1e307.
#           100000001 to 100000003, whose squares cancel, become ±4.5e307, and 10000001 to 10000003 are right.
# Why it matters: unused features, padding and one class of a one-hot column are constant. Distances and products of
#           such numbers are infinite or NaN, some steps later and elsewhere.
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
use smartcore::api::{Transformer, UnsupervisedEstimator};
use smartcore::error::Failed;
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::preprocessing::numerical::{StandardScaler, StandardScalerParameters};

fn column(values: &[f64]) -> Result<DenseMatrix<f64>, Failed> {
    DenseMatrix::new(values.len(), 1, values.to_vec(), false)
}

fn main() -> Result<(), Failed> {
    for (fitted, scaled) in [
        (&[1.0, 2.0, 3.0][..], &[1.0, 2.0, 3.0][..]),
        (&[10000001.0, 10000002.0, 10000003.0], &[10000001.0, 10000002.0, 10000003.0]),
        (&[100000001.0, 100000002.0, 100000003.0], &[100000001.0, 100000002.0, 100000003.0]),
        (&[0.1; 3], &[0.1]),
        (&[0.3; 6], &[0.3]),
        (&[0.7; 10], &[0.7]),
        (&[0.5; 4], &[0.5, 0.75]),
    ] {
        let scaler = StandardScaler::fit(&column(fitted)?, StandardScalerParameters::default())?;
        let result = scaler.transform(&column(scaled)?)?;
        let shown: Vec<String> = result.iterator(0).map(|value| format!("{value:.2e}")).collect();
        println!("fitted to {} rows, {}: {scaled:?} becomes {}", fitted.len(), fitted[0], shown.join(" "));
    }
    Ok(())
}
RUST
cat > "$work/expected" <<'TEXT'
fitted to 3 rows, 1: [1.0, 2.0, 3.0] becomes -1.22e0 0.00e0 1.22e0
fitted to 3 rows, 10000001: [10000001.0, 10000002.0, 10000003.0] becomes -1.22e0 0.00e0 1.22e0
fitted to 3 rows, 100000001: [100000001.0, 100000002.0, 100000003.0] becomes -4.49e307 0.00e0 4.49e307
fitted to 3 rows, 0.1: [0.1] becomes -6.24e290
fitted to 6 rows, 0.3: [0.3] becomes 0.00e0
fitted to 10 rows, 0.7: [0.7] becomes -4.99e291
fitted to 4 rows, 0.5: [0.5, 0.75] becomes 0.00e0 1.12e307
TEXT
cargo run --quiet --manifest-path "$work/Cargo.toml" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
