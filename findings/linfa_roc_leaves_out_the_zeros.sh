#!/usr/bin/env bash
# linfa's ROC curve leaves out its beginning if the lowest score is 0, and all of it if the scores are small.
#
# Packages: linfa 0.8.1, ndarray 0.16.1 (stable Rust).
# Expected: the area under the curve is the share of pairs of a positive and a negative in which the positive has the
#           higher score, ties by half. It depends on the order of the scores alone.
# Seen:     so it is for scores that lie apart and above 0. A score opens a new point only if it is more than 1e-10 away
#           from the last one, which is 0 at the start. With 0 as the lowest score the point (0, 0) is missing, and with
#           it the area up to the next one: 0.667 for 0.778, or 0.333 for 0.667 where five of six are 0. Scores
#           that lie 6e-11 apart become ties; below 1e-10 the curve is the one point (1, 1) and the area 0, as if
#           each pair were the wrong way round. No error.
# Why it matters: trees, neighbours and rounded probabilities are often exactly 0, and rare events have tiny scores.
#           The area that selects a model is too low by how many zeros it gives.
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
use linfa::dataset::Pr;
use linfa::prelude::*;
use ndarray::Array1;

const LABELS: [bool; 6] = [false, true, false, false, true, true];

/// The share of pairs in which the positive has the higher score.
fn pairs_in_order(scores: &[f32]) -> f32 {
    let of = |label| scores.iter().zip(LABELS).filter(move |pair| pair.1 == label).map(|pair| *pair.0);
    let pairs = of(true).flat_map(|positive| of(false).map(move |negative| (positive, negative)));
    let points = pairs.map(|(positive, negative)| match positive.total_cmp(&negative) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    });
    points.sum::<f32>() / 9.0
}

fn main() -> Result<(), linfa::Error> {
    let cases = [
        ("above 0", [0.1, 0.2, 0.3, 0.4, 0.5, 0.9]),
        ("the lowest three alike", [0.1, 0.1, 0.1, 0.4, 0.5, 0.9]),
        ("the lowest three 0", [0.0, 0.0, 0.0, 0.4, 0.5, 0.9]),
        ("five alike", [0.1, 0.1, 0.1, 0.1, 0.1, 0.9]),
        ("five 0", [0.0, 0.0, 0.0, 0.0, 0.0, 0.9]),
        ("6e-11 apart", [1.0e-9, 1.06e-9, 1.12e-9, 1.18e-9, 1.24e-9, 1.3e-9]),
        ("below 1e-10", [1.0e-12, 2.0e-12, 3.0e-12, 4.0e-12, 5.0e-12, 9.0e-12]),
    ];
    for (name, scores) in cases {
        let roc = scores.into_iter().map(Pr::new).collect::<Array1<Pr>>().roc(&LABELS)?;
        let (area, expected) = (roc.area_under_curve(), pairs_in_order(&scores));
        let (x, y) = roc.get_curve()[0];
        println!("{name}: area {area:.3} for {expected:.3}, the curve begins at ({x:.2}, {y:.2})");
    }
    Ok(())
}
RUST
cat > "$work/expected" <<'TEXT'
above 0: area 0.778 for 0.778, the curve begins at (0.00, 0.00)
the lowest three alike: area 0.778 for 0.778, the curve begins at (0.00, 0.00)
the lowest three 0: area 0.667 for 0.778, the curve begins at (0.33, 0.67)
five alike: area 0.667 for 0.667, the curve begins at (0.00, 0.00)
five 0: area 0.333 for 0.667, the curve begins at (0.67, 1.00)
6e-11 apart: area 0.722 for 0.778, the curve begins at (0.00, 0.00)
below 1e-10: area 0.000 for 0.778, the curve begins at (1.00, 1.00)
TEXT
cargo run --quiet --manifest-path "$work/Cargo.toml" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
