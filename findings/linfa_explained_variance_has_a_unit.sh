#!/usr/bin/env bash
# linfa's explained variance changes with the unit of the numbers and with the sign of the error, and exceeds 1.
#
# Packages: linfa 0.8.1, ndarray 0.16.1 (stable Rust).
# Expected: "same as R-Squared but with biased variance": one minus the variance of the errors over that of the targets,
#           as elsewhere. It is at most 1, is 1 for predictions that are off by a constant, and is the same in metres
#           and in millimetres.
# Seen:     the mean of the errors is subtracted from the sum of their squares, in place of their number times the
#           square of the mean. Predictions that are all 0.05 too high get 1.008 with targets from 1 to 4, 1.098 with
#           all numbers a tenth as large, and 0.999 with all ten times as large; those that are 0.05 too low get 0.988.
#           With errors whose mean is 0 it is right, and equal to R-squared, which is right throughout. No error.
# Why it matters: a model with a bias is chosen over an exact one, which has 1; in another unit, the other way round.
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
use ndarray::{array, Array1};

fn expected(predictions: &Array1<f64>, targets: &Array1<f64>) -> f64 {
    1.0 - (predictions - targets).var(0.0) / targets.var(0.0)
}

fn main() -> Result<(), linfa::Error> {
    let targets = array![1.0, 2.0, 3.0, 4.0];
    let errors = [
        ("exact", array![0.0, 0.0, 0.0, 0.0]),
        ("0.5 up and down", array![0.5, -0.5, 0.5, -0.5]),
        ("0.05 too high", array![0.05, 0.05, 0.05, 0.05]),
        ("0.05 too low", array![-0.05, -0.05, -0.05, -0.05]),
    ];
    for (name, errors) in errors {
        for unit in [1.0, 0.1, 10.0] {
            let predictions = (&targets + &errors) * unit;
            let targets = &targets * unit;
            let explained = predictions.explained_variance(&targets)?;
            let (r2, expected) = (predictions.r2(&targets)?, expected(&predictions, &targets));
            println!("{name}, times {unit}: {explained:.3} for {expected:.3}; R-squared {r2:.3}");
        }
    }
    Ok(())
}
RUST
cat > "$work/expected" <<'TEXT'
exact, times 1: 1.000 for 1.000; R-squared 1.000
exact, times 0.1: 1.000 for 1.000; R-squared 1.000
exact, times 10: 1.000 for 1.000; R-squared 1.000
0.5 up and down, times 1: 0.800 for 0.800; R-squared 0.800
0.5 up and down, times 0.1: 0.800 for 0.800; R-squared 0.800
0.5 up and down, times 10: 0.800 for 0.800; R-squared 0.800
0.05 too high, times 1: 1.008 for 1.000; R-squared 0.998
0.05 too high, times 0.1: 1.098 for 1.000; R-squared 0.998
0.05 too high, times 10: 0.999 for 1.000; R-squared 0.998
0.05 too low, times 1: 0.988 for 1.000; R-squared 0.998
0.05 too low, times 0.1: 0.898 for 1.000; R-squared 0.998
0.05 too low, times 10: 0.997 for 1.000; R-squared 0.998
TEXT
cargo run --quiet --manifest-path "$work/Cargo.toml" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
