//! Survey of documents: what their records are, and how long they are.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use super::records::Fields;
use super::usual;
use crate::data::error::TextError;
use crate::data::{DataConfig, DataError, file};

/// The beginning of a file of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentSurvey {
    /// The options that name fields, each with its value; empty for texts in the field `text`.
    pub options: Vec<(&'static str, String)>,
    /// Number of documents that were read.
    pub looked_at: usize,
    /// Number of characters of the longest of them.
    pub longest: usize,
    /// Number of distinct characters.
    pub distinct: usize,
    /// Whether there are others, which were not read.
    pub has_more: bool,
}

/// Examines the first documents of the file at `path`.
///
/// # Errors
/// The file cannot be read, or a record is not as the first one shows, with its line.
pub(in crate::data) fn survey(path: &Path) -> Result<DocumentSurvey, DataError> {
    const LOOKED_AT: u64 = 4 << 20;
    let unreadable = |source| DataError::Read { path: path.into(), source };
    let (config, _) = usual::settled(&DataConfig::new(path), path);
    let fields = Fields::of(&config)?;
    let (text, packing) = file::unpacked(path).map_err(unreadable)?;
    file::require_readable(path, packing)?;
    let mut text = BufReader::new(text.take(LOOKED_AT));
    let (mut looked_at, mut longest, mut characters) = (0, 0, std::collections::BTreeSet::new());
    let (mut line, mut number) = (Vec::new(), 0);
    let has_more = loop {
        line.clear();
        number += 1;
        if text.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break text.get_ref().limit() == 0;
        }
        if !line.ends_with(b"\n") && text.get_ref().limit() == 0 {
            break true;
        }
        let wrong = |reason| TextError::Record { path: path.into(), line: number, reason };
        let record = String::from_utf8_lossy(&line);
        let record = record.trim_start_matches('\u{feff}').trim();
        if record.is_empty() {
            continue;
        }
        let Ok(Value::Object(record)) = serde_json::from_str(record) else {
            return Err(wrong("the line is no object in JSON, such as {\"text\": \"…\"}".to_owned()).into());
        };
        let pieces = fields.pieces(&record).map_err(wrong)?;
        looked_at += 1;
        longest = longest.max(pieces.iter().map(|piece| piece.text.chars().count()).sum());
        characters.extend(pieces.iter().flat_map(|piece| piece.text.chars()));
    };
    let DataConfig { prompt, answer, messages, template, .. } = config;
    let options = [("prompt", prompt), ("answer", answer), ("messages", messages), ("template", template)];
    let options = options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Ok(DocumentSurvey { options, looked_at, longest, distinct: characters.len(), has_more })
}
