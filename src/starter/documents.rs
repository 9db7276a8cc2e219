//! Configurations for documents of JSON Lines.

use std::path::Path;

use super::lines::{Length, Lines, quoted};
use super::{StarterError, files, nothing};
use crate::data::{DocumentSurvey, Split};
use crate::figures::counted;

/// Writes `[data]` and `[model]` for documents.
pub(super) fn describe(
    lines: &mut Lines,
    survey: &DocumentSurvey,
    data: &Path,
    written: &Path,
) -> Result<Length, StarterError> {
    match survey {
        DocumentSurvey { looked_at: 0, .. } => return Err(nothing(data, "it has no records")),
        DocumentSurvey { distinct: 0 | 1, .. } => {
            return Err(nothing(data, "the documents have a single character, so there is nothing to learn"));
        }
        _ => {}
    }
    let named = |name: &str| survey.options.iter().find(|(option, _)| *option == name).map(|(_, value)| value);
    let kind = match (named("prompt"), named("answer"), named("messages")) {
        (Some(prompt), Some(answer), _) => format!("pairs of `{prompt}` and `{answer}`; the answer is learned"),
        (.., Some(messages)) => format!("chats in `{messages}`; what the assistant says is learned"),
        _ => "texts in `text`".to_owned(),
    };
    let more = if survey.has_more { ", and more" } else { "" };
    let number = counted(survey.looked_at, "document");
    lines.decide(format!("format: jsonl, by the name of the file; {number}{more}: {kind}"));
    lines.table("data", "The training data.");
    lines.path("path", written, "The file of documents, relative to this one.");
    lines.value("format", "\"jsonl\"", "JSON Lines: a document in each line.");
    for (option, value) in &survey.options {
        let meaning = match *option {
            "prompt" => "The field of the prompt, which is not learned.",
            "answer" => "The field of the answer, which is learned.",
            "messages" => "The field of the list of messages.",
            _ => "The text of a document; the answer, and all after it, is learned.",
        };
        lines.value(option, &quoted(value), meaning);
    }
    lines.value(
        "tokens",
        "\"characters\"",
        "The kind of token: \"characters\" or \"bytes\"; or `tokenizer = \"tokenizer.json\"` instead.",
    );
    // A separator before the document, and one after it.
    let most = if survey.options.is_empty() { 256 } else { 1024 };
    let context = (survey.longest + 2).next_multiple_of(8).clamp(16, most);
    lines.decide(format!(
        "context: the model sees {context} tokens at once; the longest document has {} characters",
        survey.longest
    ));
    lines.value("context", &context.to_string(), "Number of tokens in a row: how far back the model can see.");
    validation(lines, survey);
    let batch_size = if context <= 256 { 12 } else { 4 };
    let length = Length { batch_size, epochs: None, steps: 2000, clip_norm: true };
    lines.batch_size(&length);
    files::gpt(lines);
    Ok(length)
}

fn validation(lines: &mut Lines, survey: &DocumentSurvey) {
    let share = if survey.looked_at < 10 { 0.0 } else { 0.1 };
    let count = Split::count(survey.looked_at, share).unwrap_or(0);
    lines.decide(match (count, survey.has_more) {
        (0, _) => "validation: no documents are set aside, because there are few".to_owned(),
        (_, true) => "validation: a tenth of the documents is set aside".to_owned(),
        (count, false) => format!("validation: {count} of {} documents are set aside", survey.looked_at),
    });
    lines.value("validation", &format!("{share:?}"), "Share of the documents that is used only for validation.");
}
