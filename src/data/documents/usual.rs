//! The usual names of fields, by which records that no option describes are understood.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Notice;
use crate::data::{DataConfig, file, stream};

/// Fields of prompts and of answers in data sets of instructions and questions, the first ones before others.
const PROMPTS: [&str; 7] = ["prompt", "instruction", "question", "query", "problem", "input", "source"];
const ANSWERS: [&str; 7] = ["answer", "completion", "response", "output", "solution", "target", "summary"];

/// Fields that belong to an instruction or a question, if they are beside it.
const BESIDE: [&str; 2] = ["input", "context"];

/// Fields of lists of messages.
const CHATS: [&str; 4] = ["messages", "conversations", "conversation", "dialog"];

/// Returns the same options with the fields that the first record of `path` has by usual names, if the options name
/// no kind of record, and a note that says so.
pub(in crate::data) fn settled(config: &DataConfig, path: &Path) -> (DataConfig, Vec<Notice>) {
    by_record(config, || Some((path.to_owned(), first_record(file::unpacked(path).ok()?.0)?)))
}

/// Like [`settled`], for the first shard of those in object storage.
pub(in crate::data) fn settled_in_shards(config: &DataConfig) -> (DataConfig, Vec<Notice>) {
    by_record(config, || {
        let (path, beginning) = stream::beginning(config)?;
        Some((path, first_record(&beginning[..])?))
    })
}

fn by_record(
    config: &DataConfig,
    first: impl FnOnce() -> Option<(PathBuf, Map<String, Value>)>,
) -> (DataConfig, Vec<Notice>) {
    let unchanged = || (config.clone(), Vec::new());
    let is_described =
        config.text.is_some() || config.messages.is_some() || (config.prompt.is_some() && config.answer.is_some());
    let Some((path, record)) = (!is_described).then(first).flatten() else { return unchanged() };
    let found = of_record(config, &record);
    if found == *config {
        return unchanged();
    }
    let options = [
        ("prompt", &config.prompt, &found.prompt),
        ("answer", &config.answer, &found.answer),
        ("messages", &config.messages, &found.messages),
        ("template", &config.template, &found.template),
    ];
    let new = options.iter().filter(|(_, before, after)| before != after);
    let new = new.filter_map(|(name, _, after)| Some(format!("`data.{name} = {:?}`", after.as_deref()?)));
    let new = new.collect::<Vec<_>>().join(", ");
    let said = format!("{}, by its first record: {new}", path.display());
    (found, vec![Notice::Note(said)])
}

/// Returns the options with the fields of a record.
fn of_record(config: &DataConfig, record: &Map<String, Value>) -> DataConfig {
    let mut config = config.clone();
    let is_text = |name: &&str| record.get(*name).is_some_and(Value::is_string);
    let has_pair = config.prompt.is_some() || config.answer.is_some();
    if !has_pair && is_text(&"text") {
        return config;
    }
    if !has_pair && let Some(chat) = CHATS.into_iter().find(|name| record.get(*name).is_some_and(Value::is_array)) {
        config.messages = Some(chat.to_owned());
        return config;
    }
    let is_other = |name: &&str, other: &Option<String>| is_text(name) && other.as_deref() != Some(*name);
    let prompt = PROMPTS.into_iter().find(|name| is_other(name, &config.answer)).map(str::to_owned);
    let prompt = config.prompt.clone().or(prompt);
    let answer = ANSWERS.into_iter().find(|name| is_other(name, &prompt)).map(str::to_owned);
    let (Some(prompt), Some(answer)) = (prompt, config.answer.clone().or(answer)) else { return config };
    let beside = BESIDE.into_iter().find(|name| is_text(name) && *name != prompt && *name != answer);
    if let Some(beside) = beside.filter(|_| !has_pair && config.template.is_none()) {
        config.template = Some(format!("{{{prompt}}}\n{{{beside}}}\n{{{answer}}}"));
    }
    (config.prompt, config.answer) = (Some(prompt), Some(answer));
    config
}

/// Returns the first record of a text, if it can be read.
fn first_record(text: impl Read) -> Option<Map<String, Value>> {
    /// A longer first record is not looked at.
    const LONGEST: u64 = 16 << 20;
    let lines = BufReader::new(text.take(LONGEST)).lines();
    let line = lines.map_while(Result::ok).find(|line| !line.trim().is_empty())?;
    serde_json::from_str(line.trim_start_matches('\u{feff}')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options that are found for a first record, as TOML.
    fn found(options: &str, record: &str) -> String {
        let file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
        std::fs::write(file.path(), format!("\n{record}\n{{}}\n")).unwrap();
        let config: DataConfig = toml::from_str(&format!("path = 'a.jsonl'\n{options}")).unwrap();
        let (found, said) = settled(&config, file.path());
        assert_eq!(said.is_empty(), found == config);
        assert_eq!(settled(&found, file.path()), (found.clone(), Vec::new()), "settled again");
        let of = |name: &str, value: Option<String>| value.map(|value| format!("{name}={value}"));
        let all = [of("p", found.prompt), of("a", found.answer), of("m", found.messages), of("t", found.template)];
        all.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn usual_fields_are_found_by_their_names() {
        assert_eq!(found("", r#"{"prompt": "a", "completion": "b"}"#), "p=prompt a=completion");
        assert_eq!(found("", r#"{"question": "a", "answer": "b"}"#), "p=question a=answer");
        assert_eq!(found("", r#"{"input": "a", "output": "b"}"#), "p=input a=output");
        let alpaca = r#"{"instruction": "a", "input": "", "output": "b"}"#;
        assert_eq!(found("", alpaca), "p=instruction a=output t={instruction}\n{input}\n{output}");
        assert_eq!(found("template = '{output}'", alpaca), "p=instruction a=output t={output}");
        assert_eq!(found("", r#"{"conversations": [], "id": "1"}"#), "m=conversations");
    }

    #[test]
    fn options_that_are_given_are_not_changed() {
        let record = r#"{"text": "a", "prompt": "b", "answer": "c", "messages": [], "response": "d"}"#;
        assert_eq!(found("", record), "", "a text comes first");
        assert_eq!(found("messages = 'm'", record), "m=m");
        assert_eq!(found("prompt = 'q'", record), "p=q a=answer");
        assert_eq!(found("answer = 'response'", record), "p=prompt a=response");
        assert_eq!(found("", r#"{"title": "a", "body": 1}"#), "");
        assert_eq!(found("", "[1]"), "");
    }
}
