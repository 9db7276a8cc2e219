//! Charts of the numbers in the logs of runs: a loss over steps, epochs or time.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::chart::{Chart, Series, Shape};
use super::log::{LogError, line, open};
use super::runs::Runs;
use crate::checkpoint::Folder;
use crate::data::Epochs;
use crate::store;

/// The horizontal axis of a chart of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlotAxis {
    /// The number of the step.
    #[default]
    Step,
    /// The number of epochs done, with its fraction.
    Epoch,
    /// The time since the run began. Only the times of saves are known; those of steps between are computed from them.
    Time,
}

/// A chart of runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plot {
    /// The runs, each a directory, a URL or a log; a folder of runs stands for all in it.
    pub runs: Vec<PathBuf>,
    /// The numbers of a log line to draw, such as `loss`, `val_loss` or `lr.1`.
    pub metrics: Vec<String>,
    /// The horizontal axis.
    pub x: PlotAxis,
    /// Whether the vertical axis is logarithmic.
    pub log_y: bool,
    /// The share that all earlier values have in a smoothed one, from 0, which smooths nothing, to below 1.
    pub smooth: f64,
}

/// A log, and the place of each of its lines on the horizontal axis.
type Placed<'a> = (Log<'a>, Vec<f64>);

impl Plot {
    /// Draws it. Returns with it why runs are left out: those in a folder that lack a metric or what the axis needs.
    ///
    /// # Errors
    /// A log is missing, cannot be read or lacks a metric; or a run does not tell its epochs or times.
    pub fn chart(&self) -> Result<(Chart, Vec<LogError>), LogError> {
        let all = Runs::paths_at(&self.runs);
        let (read, left_out) = self.read(&all)?;
        let runs: Vec<PathBuf> = read.iter().map(|(log, _)| log.run.to_owned()).collect();
        let longest = read.iter().filter_map(|(_, places)| places.last()).fold(0.0, |a: f64, &b| a.max(b));
        let (x_label, unit) = match self.x {
            PlotAxis::Step => ("step", 1.0),
            PlotAxis::Epoch => ("epoch", 1.0),
            PlotAxis::Time if longest < 180.0 => ("seconds", 1.0),
            PlotAxis::Time if longest < 3.0 * 3600.0 => ("minutes", 60.0),
            PlotAxis::Time => ("hours", 3600.0),
        };
        let mut series = Vec::new();
        for ((log, places), run) in read.iter().zip(names(&runs)) {
            for (metric, values) in self.metrics.iter().zip(&log.values) {
                let points = values.iter().map(|&(line, value)| (places[line] / unit, value)).collect();
                let name = self.name(&runs, &run, metric);
                series.push(Series { name, shape: Shape::Line, points: smoothed(points, self.smooth) });
            }
        }
        let y_label = if let [metric] = &self.metrics[..] { metric.clone() } else { String::new() };
        let title = match (&runs[..], &series[..]) {
            ([_], [one]) => one.name.clone(),
            ([_], _) => names(&runs).swap_remove(0),
            _ => String::new(),
        };
        let chart =
            Chart { title, x_label: x_label.to_owned(), y_label, log_y: self.log_y, series, ..Chart::default() };
        Ok((chart, left_out))
    }

    /// Reads the logs of the runs, each with the places of its lines. Of a run in a folder that was given, an error does
    /// not matter as long as another can be drawn: it may have just begun.
    fn read<'a>(&self, runs: &'a [PathBuf]) -> Result<(Vec<Placed<'a>>, Vec<LogError>), LogError> {
        let (mut read, mut left_out) = (Vec::new(), Vec::new());
        for run in runs {
            let log = Log::read(run, &self.metrics);
            match log.and_then(|log| log.places(self.x).map(|places| (log, places))) {
                Ok(found) => read.push(found),
                Err(error) if self.runs.contains(run) => return Err(error),
                Err(error) => left_out.push(error),
            }
        }
        if read.is_empty() && !left_out.is_empty() {
            return Err(left_out.swap_remove(0));
        }
        Ok((read, left_out))
    }

    fn name(&self, runs: &[PathBuf], run: &str, metric: &str) -> String {
        match (runs, &self.metrics[..]) {
            (_, [_]) => run.to_owned(),
            ([_], _) => metric.to_owned(),
            _ => format!("{run}: {metric}"),
        }
    }
}

/// Returns the names of the runs: those of their directories, or their paths if two have the same name.
pub(super) fn names(runs: &[PathBuf]) -> Vec<String> {
    let short = |run: &Path| {
        let directory = if run.file_name().is_some_and(|name| name == "log.jsonl") { run.parent() } else { Some(run) };
        directory.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned())
    };
    let all: Vec<_> = runs.iter().map(|run| short(run)).collect();
    let is_unique = |name: &Option<String>| name.is_some() && all.iter().filter(|other| *other == name).count() == 1;
    let name = |(run, name): (&PathBuf, &Option<String>)| match name {
        Some(unique) if is_unique(name) => unique.clone(),
        _ => run.display().to_string(),
    };
    runs.iter().zip(&all).map(name).collect()
}

/// Smooths the values of points as TensorBoard does: an exponential average, divided by the sum of its weights, so that
/// the first values do not lean towards 0. Values that are not finite are left as they are.
fn smoothed(mut points: Vec<(f64, f64)>, share: f64) -> Vec<(f64, f64)> {
    let (mut average, mut weights) = (0.0, 0.0);
    if share > 0.0 {
        for (_, value) in points.iter_mut().filter(|(_, value)| value.is_finite()) {
            average = share * average + (1.0 - share) * *value;
            weights = share * weights + (1.0 - share);
            *value = average / weights;
        }
    }
    points
}

/// The parts of a log that are drawn.
struct Log<'a> {
    run: &'a Path,
    /// The step and the epoch of each line.
    lines: Vec<(u64, u64)>,
    /// The values of each metric, with the number of their line.
    values: Vec<Vec<(usize, f64)>>,
}

impl<'a> Log<'a> {
    fn read(run: &'a Path, metrics: &[String]) -> Result<Self, LogError> {
        let mut log = Self { run, lines: Vec::new(), values: vec![Vec::new(); metrics.len()] };
        let wanted: Vec<(&str, usize)> = metrics.iter().map(|metric| element_of(metric)).collect();
        let mut known: Vec<String> = Vec::new();
        line::each(open(run)?, |line| {
            let fields = line.fields;
            let number = |name: &str| fields.iter().find(|(field, _)| *field == name)?.1.parse::<u64>().ok();
            let Some(step) = number("step") else { return Ok(()) };
            for (values, (metric, (name, element))) in log.values.iter_mut().zip(metrics.iter().zip(&wanted)) {
                let exact = fields.iter().find(|(field, _)| field == metric).map(|(_, value)| (*value, 0));
                let part = || fields.iter().find(|(field, _)| field == name).map(|(_, value)| (*value, *element));
                let found = exact.or_else(part).and_then(|(value, element)| number_at(value, element));
                values.extend(found.map(|value| (log.lines.len(), value)));
            }
            // A line like the one before has no other names.
            for (name, _) in fields.iter().filter(|_| !line.is_like_before) {
                if !known.iter().any(|known| known == name) {
                    known.push((*name).to_owned());
                }
            }
            log.lines.push((step, number("epoch").unwrap_or(0)));
            Ok::<_, LogError>(())
        })?;
        if log.lines.is_empty() {
            return Err(LogError::NoSteps { path: run.to_owned() });
        }
        match metrics.iter().zip(&log.values).find(|(_, values)| values.is_empty()) {
            Some((metric, _)) => {
                known.retain(|name| !["step", "epoch", "skipped"].contains(&name.as_str()));
                Err(LogError::NoMetric { path: run.to_owned(), metric: metric.clone(), known })
            }
            None => Ok(log),
        }
    }

    /// Returns the place of each line on the horizontal axis; a time in seconds.
    fn places(&self, x: PlotAxis) -> Result<Vec<f64>, LogError> {
        match x {
            PlotAxis::Step => Ok(self.lines.iter().map(|(step, _)| *step as f64).collect()),
            PlotAxis::Epoch => {
                let epochs = self.epochs().ok_or_else(|| LogError::NoEpochs { path: self.run.to_owned() })?;
                Ok(self.lines.iter().map(|(step, _)| epochs.after(step + 1)).collect())
            }
            PlotAxis::Time => {
                let times = Times::of(self.run).ok_or_else(|| LogError::NoTimes { path: self.run.to_owned() })?;
                Ok(self.lines.iter().map(|(step, _)| times.at(step + 1)).collect())
            }
        }
    }

    /// Returns the epochs by updates: those of the newest checkpoint, or by the first line of a later one than the first.
    fn epochs(&self) -> Option<Epochs> {
        let newest = Folder::new(self.run.join("checkpoints")).newest_outline().ok();
        let saved = newest.and_then(|newest| Epochs::of_checkpoint(|name| newest.checkpoint.field(name)));
        saved.or_else(|| {
            let mut neighbours = self.lines.windows(2).filter(|pair| pair[0].1 > 0 && pair[0].1 + 1 == pair[1].1);
            let pair = neighbours.find(|pair| pair[0].0 + 1 == pair[1].0)?;
            Some(Epochs::of_length(pair[1].0 / pair[0].1))
        })
    }
}

/// Splits the name of a column, such as `lr.1`, into the field and the element of its list.
fn element_of(metric: &str) -> (&str, usize) {
    let split = metric.rsplit_once('.').and_then(|(name, element)| Some((name, element.parse().ok()?)));
    split.unwrap_or((metric, 0))
}

fn number_at(value: &str, element: usize) -> Option<f64> {
    match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        Some(list) => list.split(',').nth(element)?.parse().ok(),
        None => value.parse().ok().filter(|_| element == 0),
    }
}

/// The times at which numbers of updates were reached, in seconds since the beginning: of the saves and ends of a run's
/// processes.
pub(super) struct Times(pub Vec<(u64, f64)>);

impl Times {
    /// Reads them; `None` if fewer than two are known.
    pub fn of(run: &Path) -> Option<Self> {
        #[derive(Deserialize)]
        struct Event {
            event: String,
            step: u64,
            unix_time: f64,
        }
        let text = store::read_to_string(&run.join("timing.jsonl")).ok()?;
        let mut times: Vec<(u64, f64)> = Vec::new();
        for event in text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()) {
            // A save ends later than its step.
            if !["copied", "step", "end"].contains(&event.event.as_str()) {
                continue;
            }
            // Steps after a kill are made again, and count from then on.
            times.retain(|(step, time)| *step < event.step && *time < event.unix_time);
            times.push((event.step, event.unix_time));
        }
        let began = times.first()?.1;
        times.iter_mut().for_each(|(_, time)| *time -= began);
        (times.len() > 1).then_some(Self(times))
    }

    /// Returns the time at which `done` updates were made: on the line through its neighbours.
    fn at(&self, done: u64) -> f64 {
        let after = self.0.partition_point(|(step, _)| *step < done).clamp(1, self.0.len() - 1);
        let ((first, begin), (last, end)) = (self.0[after - 1], self.0[after]);
        begin + (end - begin) * (done as f64 - first as f64) / (last as f64 - first as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A run of eight steps in two epochs.
    fn run(name: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join(name);
        fs::create_dir(&run).unwrap();
        let line = |step: u64| {
            let validation = if step % 4 == 3 { format!(",\"val_loss\":{step}.5") } else { String::new() };
            let epoch = step / 4 + 1;
            format!("{{\"step\":{step},\"epoch\":{epoch},\"lr\":[0.1,0.{step}],\"loss\":{step}.0{validation}}}\n")
        };
        fs::write(run.join("log.jsonl"), (0..8).map(line).collect::<String>()).unwrap();
        let time = |event: &str, step: u64, time: u64| {
            format!("{{\"event\":\"{event}\",\"step\":{step},\"seconds\":0.1,\"unix_time\":{time}}}\n")
        };
        let times = [time("copied", 0, 100), time("saved", 0, 150), time("copied", 6, 130), time("copied", 4, 200)];
        fs::write(run.join("timing.jsonl"), times.concat() + &time("end", 8, 208)).unwrap();
        (folder, run)
    }

    fn points(run: &Path, metric: &str, x: PlotAxis, smooth: f64) -> Vec<(f64, f64)> {
        let plot = Plot { runs: vec![run.to_owned()], metrics: vec![metric.to_owned()], x, log_y: false, smooth };
        plot.chart().unwrap().0.series.swap_remove(0).points
    }

    #[test]
    fn numbers_are_drawn_over_steps_epochs_and_times() {
        let (_folder, run) = run("a");
        assert_eq!(points(&run, "val_loss", PlotAxis::Step, 0.0), [(3.0, 3.5), (7.0, 7.5)]);
        assert_eq!(points(&run, "val_loss", PlotAxis::Epoch, 0.0), [(1.0, 3.5), (2.0, 7.5)]);
        // Step 4 was reached by a second process, 100 seconds after the beginning, and the end 8 seconds later.
        assert_eq!(
            points(&run, "loss", PlotAxis::Time, 0.0)[2..6],
            [(75.0, 2.0), (100.0, 3.0), (102.0, 4.0), (104.0, 5.0)]
        );
        assert_eq!(points(&run, "lr.1", PlotAxis::Step, 0.0)[3], (3.0, 0.3));
        assert_eq!(points(&run, "lr", PlotAxis::Step, 0.0)[3], (3.0, 0.1));
    }

    #[test]
    fn smoothing_begins_at_the_first_value_and_skips_what_is_not_finite() {
        let points = vec![(0.0, 4.0), (1.0, f64::NAN), (2.0, 1.0)];
        let found = smoothed(points.clone(), 0.5);
        assert_eq!((found[0], found[2]), ((0.0, 4.0), (2.0, 2.0)));
        assert!(found[1].1.is_nan());
        assert_eq!(smoothed(points, 0.0)[2], (2.0, 1.0));
    }

    #[test]
    fn a_line_is_named_after_what_differs() {
        let (_a, a) = run("a");
        let (_b, b) = run("b");
        let (_other, other) = run("a");
        let chart = |runs: &[&PathBuf], metrics: &[&str]| {
            let runs = runs.iter().map(|run| (*run).clone()).collect();
            let metrics = metrics.iter().map(|metric| (*metric).to_owned()).collect();
            let chart = Plot { runs, metrics, ..Plot::default() }.chart().unwrap().0;
            (chart.title, chart.series.into_iter().map(|series| series.name).collect::<Vec<_>>())
        };
        assert_eq!(chart(&[&a], &["loss"]), ("a".to_owned(), vec!["a".to_owned()]));
        assert_eq!(chart(&[&a], &["loss", "val_loss"]).1, ["loss", "val_loss"]);
        assert_eq!(chart(&[&a, &b], &["loss"]).1, ["a", "b"]);
        assert_eq!(chart(&[&a, &b], &["loss", "lr.1"]).1, ["a: loss", "a: lr.1", "b: loss", "b: lr.1"]);
        assert_eq!(chart(&[&a, &other], &["loss"]).1, [&a, &other].map(|run| run.display().to_string()));
    }

    #[test]
    fn a_folder_stands_for_its_runs_and_those_without_steps_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "begun"] {
            let (_other, other) = run(name);
            let to = folder.path().join(name);
            fs::create_dir(&to).unwrap();
            fs::write(to.join("config.toml"), "").unwrap();
            let log = if name == "begun" { Vec::new() } else { fs::read(other.join("log.jsonl")).unwrap() };
            fs::write(to.join("log.jsonl"), log).unwrap();
        }
        let plot = |runs: &[&str], metric: &str| {
            let runs = runs.iter().map(|name| folder.path().join(name)).collect();
            Plot { runs, metrics: vec![metric.to_owned()], ..Plot::default() }.chart()
        };
        let names = |chart: &Chart| chart.series.iter().map(|series| series.name.clone()).collect::<Vec<_>>();
        let (chart, left_out) = plot(&["", "b"], "loss").unwrap();
        assert_eq!(names(&chart), ["a", "b"]);
        assert!(matches!(&left_out[..], [LogError::NoSteps { path }] if path.ends_with("begun")));
        // One that is named must be drawn, and so must one of a folder.
        assert!(matches!(plot(&["a", "begun"], "loss"), Err(LogError::NoSteps { .. })));
        assert!(matches!(plot(&[""], "accuracy"), Err(LogError::NoMetric { path, .. }) if path.ends_with("a")));
    }

    #[test]
    fn what_a_run_lacks_is_said_with_what_it_has() {
        let (_folder, run) = run("a");
        let error = |metric: &str, x| {
            let plot = Plot { runs: vec![run.clone()], metrics: vec![metric.to_owned()], x, ..Plot::default() };
            plot.chart().unwrap_err().to_string()
        };
        assert!(error("accuracy", PlotAxis::Step).contains("no numbers `accuracy`; it has lr, loss, val_loss"));
        fs::remove_file(run.join("timing.jsonl")).unwrap();
        assert!(error("loss", PlotAxis::Time).contains("use --x step"));
        fs::write(run.join("log.jsonl"), "{\"step\":0,\"epoch\":1,\"loss\":1.0}\n").unwrap();
        assert!(error("loss", PlotAxis::Epoch).contains("less than an epoch"));
        fs::remove_file(run.join("log.jsonl")).unwrap();
        assert!(error("loss", PlotAxis::Step).contains("has no log.jsonl"));
    }
}
