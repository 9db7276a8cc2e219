#!/usr/bin/env bash
# In Candle a copy of one row of a table holds all of the table.
#
# Package: candle-core 0.11.1 (stable Rust).
# Expected: `table.get(i)?.copy()?` has the elements of one row in memory; the documentation says that `copy` "copies the
#           actual storage", unlike `clone`.
# Seen:     the copy has a new storage with every element of the table, and still views one row of it, at the same
#           offset. Copies of all 100 rows hold 100 tables. `force_contiguous` gives one row. Values, shapes and strides
#           are the same, so nothing but the memory tells. By its source, `to_device` carries the whole storage over too.
# Why it matters: a training loop that cuts its data into batches by `copy` needs the square of the number of batches; a
#           program with 8 batches of 13 MB held 103 MB of them.
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
candle-core = "=0.11.1"
TOML
cat > "$work/src/main.rs" <<'RUST'
use candle_core::{CpuStorage, Device, Result, Storage, Tensor};

/// The elements in the storage of a tensor, and the place of its first one.
fn held(tensor: &Tensor) -> (usize, usize) {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(elements)) => (elements.len(), layout.start_offset()),
        _ => (0, 0),
    }
}

fn main() -> Result<()> {
    let table = Tensor::arange(0f32, 100_000.0, &Device::Cpu)?.reshape((100, 1000))?;
    let row = table.get(7)?;
    for (name, tensor) in [("copy", row.copy()?), ("force_contiguous", row.force_contiguous()?)] {
        let (elements, first) = held(&tensor);
        println!("{name}: {} elements, {elements} in memory, the first at {first}", tensor.elem_count());
    }
    Ok(())
}
RUST
seen=$(cargo run --quiet --manifest-path "$work/Cargo.toml")
echo "$seen"
diff - <(echo "$seen") <<'EXPECTED'
copy: 1000 elements, 100000 in memory, the first at 7000
force_contiguous: 1000 elements, 1000 in memory, the first at 0
EXPECTED
