//! A log of ten million steps: `cargo bench --bench logs --features parquet`, with `LINES` for another number of lines.
//!
//! Each figure stands beside a bare read of the same file in the same run, once from the disk and once from memory: a
//! resume up to its first step, which looks at the end of the log, and `inspect log` to a reader that takes everything.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::time::Instant;

use rekindle::report::{LogFormat, export_log};
use rekindle::train::fuzzing::cut_log;

const TURNS: usize = 3;

fn main() -> io::Result<()> {
    let lines = std::env::var("LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(10_000_000);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let log = folder.path().join("log.jsonl");
    write(&log, lines)?;
    let bytes = fs::metadata(&log)?.len();
    println!("{lines} lines, {:.2} GB, {cores} cores, load before: {}", bytes as f64 / 1e9, load.trim());

    let resume = median((0..TURNS).map(|_| {
        forget(&log)?;
        timed(|| cut_log(&log, lines).map_err(io::Error::other))
    }))?;
    println!("a resume finds the end of the log after {:.1} ms, from the disk", 1e3 * resume);

    for (name, format) in [("jsonl", LogFormat::Jsonl), ("csv", LogFormat::Csv), ("parquet", LogFormat::Parquet)] {
        if format == LogFormat::Parquet && !cfg!(feature = "parquet") {
            continue;
        }
        let export = || export_log(folder.path(), format, io::sink()).map(drop).map_err(io::Error::other);
        for (from, is_cold) in [("the disk", true), ("memory", false)] {
            let ready = || if is_cold { forget(&log) } else { Ok(()) };
            let (mut bare, mut exported) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                ready()?;
                bare.push(timed(|| read(&log)));
                ready()?;
                exported.push(timed(export));
            }
            let (bare, exported) = (median(bare.into_iter())?, median(exported.into_iter())?);
            let ratio = bare / exported;
            println!("{name}: {exported:.2} s from {from}, a bare read {bare:.2} s: {ratio:.2} of its speed");
        }
    }
    Ok(())
}

/// Writes a log such as training makes, with a validation every now and then.
fn write(path: &Path, lines: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for step in 0..lines {
        let at = step as f64;
        let (lr, loss, norm) = (2e-3 / (1.0 + at * 1e-6), 2.3 / (1.0 + at * 1.1e-5), 1.1 / (1.0 + at * 1.3e-5));
        write!(
            out,
            "{{\"step\":{step},\"epoch\":{},\"lr\":[{lr}],\"loss\":{loss},\"grad_norm\":{norm}",
            step / 45 + 1
        )?;
        if step % 4500 == 4499 {
            write!(out, ",\"val_loss\":{},\"val_accuracy\":{}", loss * 1.1, 0.97 - 1.0 / (at + 2.0))?;
        }
        out.write_all(b"}\n")?;
    }
    out.into_inner()?.sync_all()
}

/// Has the system forget what it holds of a file in memory.
fn forget(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

fn read(path: &Path) -> io::Result<()> {
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn timed(work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

fn median(times: impl Iterator<Item = io::Result<f64>>) -> io::Result<f64> {
    let mut times = times.collect::<io::Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().ok_or_else(|| io::Error::other("no times"))
}
