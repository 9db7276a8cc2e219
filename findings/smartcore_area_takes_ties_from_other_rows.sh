#!/usr/bin/env bash
# The area under the curve of smartcore depends on the order of the rows if two scores are equal.
#
# Package: smartcore 0.4.10 (stable Rust).
# Expected: the area is the share of pairs of a positive and a negative in which the positive has the higher score, ties
#           by half. Rows are a set: in another order they have the same area.
# Seen:     the scores are sorted, but equal ones are sought in the list as it was given. Ties that do not stand side by
#           side there are not seen, and those that do are averaged at the place where they stand in the list instead
#           of theirs in the order. The 24 orders of the same four rows have four areas, and the right one is that of
#           four orders. Without ties all agree, as in the example of the documentation.
# Why it matters: trees, neighbours and rounded probabilities have many ties. A model seems better or worse after rows
#           were shuffled, and often perfect, although a positive and a negative have the same score.
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
use smartcore::metrics::roc_auc_score;
use std::collections::BTreeMap;

type Row = (f64, f64);

fn orders(rows: &[Row]) -> Vec<Vec<Row>> {
    if rows.is_empty() {
        return vec![Vec::new()];
    }
    let first = |place: usize| {
        let others = [&rows[..place], &rows[place + 1..]].concat();
        orders(&others).into_iter().map(move |others| [&[rows[place]], &others[..]].concat())
    };
    (0..rows.len()).flat_map(first).collect()
}

fn area(rows: &[Row]) -> f64 {
    let (labels, scores): (Vec<f64>, Vec<f64>) = rows.iter().copied().unzip();
    roc_auc_score(&labels, &scores)
}

/// The share of pairs in which the positive has the higher score.
fn pairs_in_order(rows: &[Row]) -> f64 {
    let of = |label| rows.iter().filter(move |row| row.0 == label).map(|row| row.1);
    let pairs = of(1.0).flat_map(|positive| of(0.0).map(move |negative| (positive, negative)));
    let points = pairs.map(|(positive, negative)| {
        if positive == negative { 0.5 } else { f64::from(u8::from(positive > negative)) }
    });
    points.sum::<f64>() / 4.0
}

fn main() {
    for (name, rows) in [
        ("one tie", [(0.0, 0.2), (0.0, 0.5), (1.0, 0.5), (1.0, 0.9)]),
        ("no tie", [(0.0, 0.2), (0.0, 0.5), (1.0, 0.6), (1.0, 0.9)]),
        ("two ties, told apart", [(0.0, 0.2), (0.0, 0.2), (1.0, 0.9), (1.0, 0.9)]),
    ] {
        let mut areas: BTreeMap<String, usize> = BTreeMap::new();
        for order in orders(&rows) {
            *areas.entry(area(&order).to_string()).or_default() += 1;
        }
        let areas: Vec<String> = areas.iter().map(|(area, times)| format!("{area} in {times}")).collect();
        println!("{name}: {} of the pairs, areas of the orders {}", pairs_in_order(&rows), areas.join(", "));
    }
}
RUST
cat > "$work/expected" <<'TEXT'
one tie: 0.875 of the pairs, areas of the orders 0.625 in 4, 0.75 in 6, 0.875 in 4, 1 in 10
no tie: 1 of the pairs, areas of the orders 1 in 24
two ties, told apart: 1 of the pairs, areas of the orders 0.875 in 8, 1 in 16
TEXT
cargo run --quiet --manifest-path "$work/Cargo.toml" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"
