//! Saving and loading, and the cost of saves in a run, compared with PyTorch, safetensors' Python, and bare writes and
//! reads.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

use crate::Arguments;
use crate::conditions::Conditions;
use crate::contestant::Contestant;
use crate::on_gpu;
use crate::programs::Programs;
use crate::results::{Results, median};

const TURNS: usize = 7;

/// Steps of a run with and without saves, at least.
const STEPS: usize = 200;

const READY: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

/// Requests to a contestant of saving and loading.
struct Column {
    name: &'static str,
    folder: PathBuf,
    save: &'static str,
    load: &'static str,
    restore: Option<&'static str>,
}

/// Measures saving and loading a state of this number of megabytes.
pub fn measure(
    megabytes: usize,
    programs: &Programs,
    conditions: &mut Conditions,
    results: &mut Results,
) -> Result<()> {
    // The very first turn brings programs into the system's cache.
    turn(megabytes, programs, conditions, Times::default())?;
    let (mut bytes, mut times) = (0, Times::default());
    for _ in 0..TURNS {
        (bytes, times) = turn(megabytes, programs, conditions, times)?;
    }
    for (what, name, turns) in times.0 {
        results.add(&format!("{what}, {} MB", bytes / 1_000_000), name, "s", turns);
    }
    Ok(fs::remove_dir_all(programs.empty_folder("bare")?.parent().context("a folder of saves")?)?)
}

/// One turn of all contestants, in new processes: a save or load is the first, as in a run, and uses new memory.
fn turn(
    megabytes: usize,
    programs: &Programs,
    conditions: &mut Conditions,
    mut times: Times,
) -> Result<(usize, Times)> {
    let column = |name, save, load, restore| -> Result<Column> {
        Ok(Column { name, folder: programs.empty_folder(name)?, save, load, restore })
    };
    let (mut rekindle, mut torch) = programs.storage(megabytes)?;
    let bytes = rekindle.answer(READY)?["bytes"].as_u64().context("no size was told")? as usize;
    if let Some(torch) = &mut torch {
        torch.answer(READY)?;
    }
    conditions.sample(PAUSE);
    times.turn(&column("Rekindle", "save", "load", Some("restore"))?, &mut rekindle)?;
    if let Some(torch) = &mut torch {
        times.turn(&column("PyTorch", "save", "load", Some("restore"))?, torch)?;
        times.turn(&column("safetensors", "save-safetensors", "load-safetensors", None)?, torch)?;
    }
    let (bare, content) = (programs.empty_folder("bare")?.join("state"), vec![1_u8; bytes]);
    times.add("save until it is on disk", "bare", timed(|| write(&bare, &content))?);
    times.add("load, file in memory", "bare", timed(|| Ok(drop(fs::read(&bare)?)))?);
    forget(&bare)?;
    times.add("load, file on disk", "bare", timed(|| Ok(drop(fs::read(&bare)?)))?);
    Ok((bytes, times))
}

/// The turns of each measurement, in the order in which they first came.
#[derive(Default)]
struct Times(Vec<(&'static str, &'static str, Vec<f64>)>);

impl Times {
    fn add(&mut self, what: &'static str, name: &'static str, seconds: f64) {
        match self.0.iter_mut().find(|(w, n, _)| (*w, *n) == (what, name)) {
            Some((_, _, turns)) => turns.push(seconds),
            None => self.0.push((what, name, vec![seconds])),
        }
    }

    fn turn(&mut self, column: &Column, contestant: &mut Contestant) -> Result<()> {
        let folder = column.folder.display();
        let mut ask = |request: &str| contestant.seconds(&format!("{request} {folder}"));
        self.add("save until it is on disk", column.name, ask(column.save)?);
        self.add("load, file in memory", column.name, ask(column.load)?);
        forget(&column.folder)?;
        self.add("load, file on disk", column.name, ask(column.load)?);
        if let Some(restore) = column.restore {
            self.add("load and restore, file in memory", column.name, ask(restore)?);
        }
        Ok(())
    }
}

/// Measures how much longer a run takes with saves, in percent.
pub fn measure_saves(
    arguments: &Arguments,
    programs: &Programs,
    conditions: &mut Conditions,
    results: &mut Results,
) -> Result<()> {
    let (workload, every) = (&arguments.saves_of, arguments.save_every);
    let (what, steps) = (on_gpu::saves(workload, every), STEPS.max(2 * every));
    for (choice, name) in [("rekindle", "Rekindle"), ("torch", "PyTorch")] {
        let mut turns = || -> Result<Option<[Vec<f64>; 2]>> {
            let Some(mut contestant) = programs.steps(choice, workload, 2, None)? else { return Ok(None) };
            contestant.answer(READY)?;
            let [mut with, mut without] = [Vec::new(), Vec::new()];
            for _ in 0..arguments.save_turns {
                conditions.sample(PAUSE);
                let folder = programs.empty_folder(choice)?;
                let mut run = |every| contestant.seconds(&format!("run {steps} {every} {}", folder.display()));
                without.push(run(0)?);
                with.push(run(every)?);
            }
            Ok(Some([with, without]))
        };
        match turns() {
            Ok(Some([with, without])) => {
                let lost = with.iter().zip(&without).map(|(with, without)| 100.0 * (1.0 - without / with)).collect();
                results.add(&what, name, "%", lost);
                eprintln!("  {:.2} s with saves, {:.2} s without", median(&with), median(&without));
            }
            Ok(None) => {}
            Err(error) => results.leave_out(&what, name, &format!("{error:#}")),
        }
    }
    Ok(())
}

fn timed(what: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    what()?;
    Ok(began.elapsed().as_secs_f64())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    Ok(file.sync_all()?)
}

/// Drops a file, or all files in a folder and its subfolders, from the system's cache.
fn forget(path: &Path) -> Result<()> {
    if path.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| forget(&entry?.path()));
    }
    Ok(fadvise(&File::open(path)?, 0, None, Advice::DontNeed)?)
}
