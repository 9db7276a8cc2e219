//! The standard input of a hook: one JSON object in a line.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::store;
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

    pub fn end(&self, end: &RunEnd) -> String {
        let mut more = json!(end);
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

    #[test]
    fn an_error_is_cut_between_two_characters() {
        assert_eq!(shortened("short"), "short");
        let long = "ü".repeat(ERROR);
        assert_eq!(shortened(&format!("x{long}")).len(), ERROR - 1);
    }

    #[test]
    fn an_object_in_a_store_keeps_its_url() {
        let event = Event::of(Path::new("mem://bucket/run"), 3);
        assert!(event.start(0).contains("\"run\":\"mem://bucket/run\""));
        assert!(Event::of(Path::new("run"), 3).start(0).contains("\"run\":\"/"));
    }
}
