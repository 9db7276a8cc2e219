//! The event file of this process.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::events;
use super::files::{Earlier, named};
use super::histogram::Histogram;
use super::records;
use crate::protobuf::Message;
use crate::regular;
use crate::train::record::StepRecord;
use crate::train::sink::{Beginning, StepTensors};

/// Maximal time that an event stays in memory.
const WRITE_EVERY: Duration = Duration::from_millis(500);

/// Maximal size of the events in memory.
const MOST_PENDING: usize = 1 << 20;

/// Time over which the speed is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// The file, open for appending.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    pending: Vec<u8>,
    written: Instant,
    /// When the speed was last measured, and the number of steps since.
    measured: (Instant, u64),
    total: u64,
}

impl Writer {
    /// Cuts the files of earlier processes back, and begins one with the steps that they lack, from `log.jsonl`.
    pub fn begin(beginning: &Beginning<'_>) -> io::Result<Self> {
        let earlier = Earlier::cut_back(beginning.run, beginning.recorded)?;
        let path = earlier.next_file(beginning.run, now() as u64);
        let file = File::options().append(true).create_new(true).open(&path).map_err(named(&path))?;
        let began = Instant::now();
        let (pending, measured) = (Vec::new(), (began, 0));
        let mut writer = Self { path, file, pending, written: began, measured, total: beginning.total };
        writer.add(&events::version(now()))?;
        writer.add(&events::start(now(), earlier.next))?;
        if earlier.next < beginning.recorded {
            writer.fill_in(&beginning.run.join("log.jsonl"), earlier.next, beginning.recorded)?;
        }
        Ok(writer)
    }

    /// Adds the steps from number `from` to before number `to` of a log.
    fn fill_in(&mut self, log: &Path, from: u64, to: u64) -> io::Result<()> {
        let mut file = regular::open(log).map_err(named(log))?;
        let place = place_before(&file, from).map_err(named(log))?;
        file.seek(SeekFrom::Start(place)).map_err(named(log))?;
        let mut lines = BufReader::with_capacity(1 << 20, file);
        let mut line = String::new();
        while lines.read_line(&mut line).map_err(named(log))? > 0 {
            if beginning_of(&line).is_some_and(|step| (from..to).contains(&step))
                && let Ok(record) = serde_json::from_str::<StepRecord>(&line)
            {
                self.add(&events::summary(now(), record.step, &events::scalars(&record)))?;
            }
            line.clear();
        }
        Ok(())
    }

    /// Adds values that are not of a step, before those of step `step`.
    pub fn describe(&mut self, step: u64, values: &[Message]) -> io::Result<()> {
        self.values(step, values)?;
        self.write_out()
    }

    /// Adds the scalars of a step.
    pub fn record(&mut self, record: &StepRecord) -> io::Result<()> {
        let mut values = events::scalars(record);
        values.extend(self.speed(record).map(|speed| events::scalar("steps_per_second", speed)));
        self.add(&events::summary(now(), record.step, &values))
    }

    /// Returns the speed over the last second, once a second and after the last step.
    fn speed(&mut self, record: &StepRecord) -> Option<f64> {
        let (since, steps) = (self.measured.0, self.measured.1 + 1);
        self.measured.1 = steps;
        let time = since.elapsed();
        if time < MEASURED && record.done() < self.total {
            return None;
        }
        self.measured = (Instant::now(), 0);
        Some(steps as f64 / time.as_secs_f64().max(1e-9))
    }

    /// Adds histograms of the weights and gradients of a step.
    pub fn tensors(&mut self, tensors: &StepTensors<'_>) -> io::Result<()> {
        let mut values = Vec::new();
        let mut add = |tag: String, tensor, scale| {
            let histogram = Histogram::of(tensor, scale).map_err(io::Error::other)?;
            values.extend(histogram.map(|histogram| events::histogram(&tag, &histogram)));
            Ok::<_, io::Error>(())
        };
        for (name, weight) in tensors.weights.iter() {
            add(format!("weights/{name}"), weight.as_tensor(), 1.0)?;
        }
        let scale = tensors.record.loss_scale.unwrap_or(1.0);
        let gradients = tensors.gradients.iter().flat_map(|gradients| gradients.names().zip(gradients.tensors()));
        for (name, gradient) in gradients {
            add(format!("gradients/{name}"), gradient, scale)?;
        }
        self.values(tensors.record.step, &values)
    }

    /// Adds values of a step that are not its scalars, after those.
    pub fn values(&mut self, step: u64, values: &[Message]) -> io::Result<()> {
        self.add(&events::summary(now(), step, values))
    }

    /// Adds an event; all are written if that is due.
    fn add(&mut self, event: &Message) -> io::Result<()> {
        records::append(&mut self.pending, event.bytes());
        if self.pending.len() >= MOST_PENDING || self.written.elapsed() >= WRITE_EVERY {
            self.write_out()?;
        }
        Ok(())
    }

    /// Writes all events so far.
    pub fn write_out(&mut self) -> io::Result<()> {
        self.file.write_all(&self.pending).map_err(named(&self.path))?;
        self.pending.clear();
        self.written = Instant::now();
        Ok(())
    }
}

/// Returns the time in seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Returns where a line begins in a log that has no line of step `from` or later before it. Steps rise in a log, so a long
/// one is halved again and again.
fn place_before(log: &File, from: u64) -> io::Result<u64> {
    /// Longer than most lines.
    const WINDOW: u64 = 1 << 14;
    let (mut low, mut high) = (0, log.metadata()?.len());
    let mut bytes = [0; WINDOW as usize];
    while high - low > WINDOW {
        let middle = low + (high - low) / 2;
        let read = log.read_at(&mut bytes, middle)?;
        let end = bytes[..read].iter().position(|&byte| byte == b'\n').map_or(read, |end| end + 1);
        let next = std::str::from_utf8(&bytes[end..read]).ok().and_then(beginning_of);
        match next {
            Some(step) if step < from => low = middle + end as u64,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Returns the step with which a log line begins.
fn beginning_of(line: &str) -> Option<u64> {
    line.strip_prefix("{\"step\":")?.split_once(',')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_in_a_long_log_without_reading_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let lines: Vec<String> = (0..5000).map(|step| format!("{{\"step\":{step},\"loss\":0.5}}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let log = File::open(&path).unwrap();
        for from in [0, 1, 77, 2500, 4999, 6000] {
            let place = place_before(&log, from).unwrap();
            let wanted: usize = lines.iter().take(from as usize).map(String::len).sum();
            let begins = lines.iter().scan(0, |at, line| Some(std::mem::replace(at, *at + line.len()) as u64));
            assert!(place <= wanted as u64 && wanted as u64 - place <= 2 << 14, "{from}: {place}, {wanted}");
            assert!(begins.into_iter().any(|begin| begin == place), "{from}: {place}");
        }
    }
}
