//! The standard input of a hook: one JSON object in a line.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::store;
use crate::train::metrics::TestFigures;
use crate::train::record::StepRecord;
use crate::train::run_dir::outcome::RunEnd;

/// Longest error in bytes; the whole one is in `outcome.json`.
const ERROR: usize = 8 << 10;

/// The run of the events.
pub(super) struct Event {
    run: PathBuf,
    total: u64,
}

impl Event {
    /// A command may change its directory, so paths are absolute.
    pub fn of(run: &Path, total: u64) -> Self {
        Self { run: absolute(run), total }
    }

    pub fn start(&self, done: u64) -> String {
        self.line("start", done, json!({"process": std::process::id()}))
    }

    pub fn checkpoint(&self, done: u64, path: &Path) -> String {
        self.line("checkpoint", done, json!({"checkpoint": absolute(path).to_string_lossy()}))
    }

    pub fn validation(&self, record: &StepRecord) -> String {
        self.line("validation", record.done(), json!({"record": record}))
    }

    pub fn end(&self, end: &RunEnd, test: Option<&TestFigures>) -> String {
        let mut more = json!(end);
        if let Some(object) = more.as_object_mut() {
            object.extend(test.iter().flat_map(|test| test.named()).map(|(name, number)| (name, json!(number))));
        }
        let name = if end.error.is_some() { "failure" } else { "end" };
        if let (Some(error), Some(object)) = (&end.error, more.as_object_mut()) {
            object.insert("error".to_owned(), shortened(error).into());
        }
        self.line(name, end.step, more)
    }

    /// Returns the event `name` after `done` updates, with the fields of `more`.
    fn line(&self, name: &str, done: u64, more: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut object = if let Value::Object(more) = more { more } else { Map::new() };
        object.insert("event".to_owned(), name.into());
        object.insert("run".to_owned(), self.run.to_string_lossy().into());
        object.insert("step".to_owned(), done.into());
        object.insert("total_steps".to_owned(), self.total.into());
        object.insert("unix_time".to_owned(), now.into());
        Value::Object(object).to_string() + "\n"
    }
}

fn absolute(path: &Path) -> PathBuf {
    if store::is_url(path) {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn shortened(error: &str) -> &str {
    let end = (0..=ERROR.min(error.len())).rev().find(|end| error.is_char_boundary(*end));
    &error[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::run_dir::outcome::Ending;

    #[test]
    fn an_error_is_cut_between_two_characters() {
        assert_eq!(shortened("short"), "short");
        let long = "ü".repeat(ERROR);
        assert_eq!(shortened(&format!("x{long}")).len(), ERROR - 1);
    }

    #[test]
    fn the_end_of_a_run_has_the_figures_of_its_test_rows() {
        let event = Event::of(Path::new("run"), 3);
        let end = RunEnd {
            outcome: Ending::Finished,
            step: 3,
            signal: None,
            reason: None,
            error: None,
            exit_code: 0,
            unix_time: 0.0,
        };
        assert!(!event.end(&end, None).contains("test"));
        let test = TestFigures { loss: 0.25, accuracy: Some(0.5), metrics: [("f1".to_owned(), 0.75)].into() };
        let told: Value = serde_json::from_str(&event.end(&end, Some(&test))).unwrap();
        let found = ["outcome", "test_loss", "test_accuracy", "test_f1"].map(|name| told[name].clone());
        assert_eq!(found, [json!("finished"), json!(0.25), json!(0.5), json!(0.75)]);
    }

    #[test]
    fn an_object_in_a_store_keeps_its_url() {
        let event = Event::of(Path::new("mem://bucket/run"), 3);
        assert!(event.start(0).contains("\"run\":\"mem://bucket/run\""));
        assert!(Event::of(Path::new("run"), 3).start(0).contains("\"run\":\"/"));
    }
}
