//! Cost of reading another trainer's checkpoint. `cargo bench --bench peers`; with `-- 100` for a file of 100 MB instead of
//! 1 GB.
//!
//! A file of `torch.save` with a model and the moments of AdamW is described from its headers, and read whole as an import
//! does, beside a bare read of its bytes into a buffer and a bare walk over its mapped bytes, all in turns in one run.

use std::borrow::Cow;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Read};
use std::path::Path;
use std::time::Instant;

use memmap2::Mmap;
use rekindle::peers::tensor::{Dtype, Tensor};
use rekindle::peers::write::{Item, Stored, torch_zip};
use rekindle::peers::{self, Peer};

/// Turns of each measurement; the result is the median.
const TURNS: usize = 7;

/// Bytes of each tensor.
const TENSOR: usize = 16_000_000;

fn main() {
    let megabytes: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1000);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    println!("{}", cpuinfo.lines().find(|line| line.starts_with("model name")).unwrap_or("unknown processor"));
    println!("load before: {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    let place = tempfile::tempdir_in("target").expect("a folder in target");
    let path = place.path().join("run.pt");
    write(&path, (megabytes * 1_000_000).div_ceil(3 * TENSOR).max(1));
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..TURNS {
        times[0].push(seconds(|| bare_read(&path)));
        times[1].push(seconds(|| bare_walk(&path)));
        times[2].push(seconds(|| every_number(&peers::open(&path).expect("a checkpoint"))));
        times[3].push(seconds(|| peers::open(&path).expect("a checkpoint").model.tensors.len() as u64));
    }
    let medians = times.map(median);
    let bytes = fs::metadata(&path).expect("the file").len() as f64;
    for (name, time) in ["bare read", "bare walk over the mapped file", "every tensor", "headers"].iter().zip(medians) {
        println!("{name:<32} {:9.2} ms  {:8.2} GB/s", time * 1e3, bytes / time / 1e9);
    }
    println!("every tensor against a bare read: {:.2} of its speed", medians[0] / medians[2]);
}

/// Writes a model of `count` tensors with the two moments of each.
fn write(path: &Path, count: usize) {
    let bytes: Vec<u8> = (0..TENSOR / 4).flat_map(|number| (number as f32).to_le_bytes()).collect();
    let stored =
        || Item::Tensor(Stored { dtype: Dtype::F32, shape: vec![1000, TENSOR / 4000], bytes: Cow::Borrowed(&bytes) });
    let name = |number: usize| format!("{number}.weight");
    let state = |number: usize| {
        let state = Item::dict([("step", Item::step(10)), ("exp_avg", stored()), ("exp_avg_sq", stored())]);
        (Item::Int(number as i64), state)
    };
    let ids = Item::List((0..count).map(|number| Item::Int(number as i64)).collect());
    let group = Item::dict([
        ("lr", Item::Float(1e-3)),
        ("betas", Item::Tuple(vec![Item::Float(0.9), Item::Float(0.999)])),
        ("eps", Item::Float(1e-8)),
        ("weight_decay", Item::Float(0.01)),
        ("decoupled_weight_decay", Item::Bool(true)),
        ("params", ids),
    ]);
    let optimizer =
        Item::dict([("state", Item::Dict((0..count).map(state).collect())), ("param_groups", Item::List(vec![group]))]);
    let model = Item::OrderedDict((0..count).map(|number| (Item::text(name(number)), stored())).collect());
    let mut out = BufWriter::new(File::create(path).expect("a file"));
    torch_zip::write(&Item::dict([("model", model), ("optimizer", optimizer)]), "run", &mut out).expect("written");
    out.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all()).expect("flushed");
}

fn seconds(work: impl FnOnce() -> u64) -> f64 {
    let began = Instant::now();
    black_box(work());
    began.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Reads a file through a buffer that stays in the cache, and adds its words up.
fn bare_read(path: &Path) -> u64 {
    let (mut file, mut buffer, mut sum) = (File::open(path).expect("the file"), vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer).expect("a read") {
            0 => return sum,
            count => sum = words(&buffer[..count], sum),
        }
    }
}

fn bare_walk(path: &Path) -> u64 {
    let file = File::open(path).expect("the file");
    // SAFETY: nobody else writes the file, which is in a folder of this process.
    words(&unsafe { Mmap::map(&file) }.expect("a map"), 0)
}

/// Adds up the words of all tensors.
fn every_number(peer: &Peer) -> u64 {
    let words_of = |sum: u64, tensor: &Tensor| words(&tensor.to_bytes().expect("numbers"), sum);
    let sum = peer.model.tensors.iter().fold(0, |sum, named| words_of(sum, &named.tensor));
    let parameters = peer.optimizers.iter().flat_map(|optimizer| &optimizer.groups).flat_map(|group| &group.parameters);
    parameters.flat_map(|parameter| &parameter.states).fold(sum, |sum, (_, tensor)| words_of(sum, tensor))
}

fn words(bytes: &[u8], sum: u64) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(sum, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}
