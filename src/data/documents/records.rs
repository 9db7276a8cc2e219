//! The records of a JSON Lines file as documents: a text, a pair of prompt and answer, or the messages of a chat.

use serde_json::{Map, Value};

use super::file_lines;
use super::template::{Part, Template};
use crate::data::error::{TextError, hint};
use crate::data::text::source::TextFile;
use crate::data::{DataConfig, DataError};

/// No record is longer.
pub(in crate::data) const LONGEST_LINE: usize = 256 << 20;

/// The usual template of a chat, as in ChatML.
const CHAT: &str = "<|im_start|>{role}\n{content}<|im_end|>\n";

/// Some text of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub text: String,
    /// Whether the model learns to write it.
    pub counts: bool,
}

/// How a record becomes a document.
#[derive(Clone, Debug)]
pub(super) enum Fields {
    /// The field of the text.
    Text(String),
    /// A template of fields; the text of `answer`, and all after it, is learned.
    Pair { answer: String, template: Template },
    /// The field of a list of messages, each written as the template says; those of the assistant are learned.
    Chat { messages: String, template: Template },
}

impl Fields {
    /// Returns what `config` describes.
    pub fn of(config: &DataConfig) -> Result<Self, DataError> {
        let refused = |option: &str, rule: &str| TextError::Option { option: option.to_owned(), rule: rule.to_owned() };
        let template = |usual: &str, required: &str| {
            Template::new(config.template.as_deref().unwrap_or(usual), required)
                .map_err(|rule| refused("template", &rule))
        };
        let is_pair = config.prompt.is_some() || config.answer.is_some();
        let kinds = [("text", config.text.is_some()), ("prompt", is_pair), ("messages", config.messages.is_some())];
        let given: Vec<&str> = kinds.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
        match given[..] {
            [_, other, ..] => {
                let rule = format!("and `data.{}` are two kinds of records; give one of them", given[0]);
                Err(refused(other, &rule).into())
            }
            ["messages"] => {
                let messages = config.messages.clone().unwrap_or_default();
                Ok(Self::Chat { messages, template: template(CHAT, "content")? })
            }
            ["prompt"] => {
                let prompt = config.prompt.as_deref().unwrap_or("prompt");
                let answer = config.answer.clone().unwrap_or_else(|| "answer".to_owned());
                let usual = format!("{{{prompt}}}\n{{{answer}}}");
                Ok(Self::Pair { template: template(&usual, &answer)?, answer })
            }
            _ if config.template.is_some() => {
                Err(refused("template", "is for pairs and chats: name their fields with `data.prompt` and `data.answer`, or with `data.messages`").into())
            }
            _ => Ok(Self::Text(config.text.clone().unwrap_or_else(|| "text".to_owned()))),
        }
    }

    /// Whether a document is kept in one row, since its end is about its beginning.
    pub fn are_whole(&self) -> bool {
        !matches!(self, Self::Text(_))
    }

    /// Returns the pieces of a record, none empty, and no two of a kind beside each other.
    pub fn pieces(&self, record: &Map<String, Value>) -> Result<Vec<Piece>, String> {
        let mut pieces = Pieces::default();
        match self {
            Self::Text(field) => pieces.add(text(record, field)?, true),
            Self::Pair { answer, template } => {
                pieces.fill(&template.0, Some(answer), |field| text(record, field))?;
            }
            Self::Chat { messages, template } => {
                for turn in turns(record, messages)? {
                    pieces.say(&template.0, turn)?;
                }
            }
        }
        Ok(pieces.0)
    }

    /// Returns the pieces of the record in a line; `None` if the line is empty.
    pub fn in_line(&self, line: &str) -> Result<Option<Vec<Piece>>, String> {
        if file_lines::is_blank(line) {
            return Ok(None);
        }
        match file_lines::json(line)? {
            Value::Object(record) => self.pieces(&record).map(Some),
            _ => Err("the line is no object, such as {\"text\": \"…\"}".to_owned()),
        }
    }

    /// Passes the pieces of every record of `file` to `see`, with the number of lines before it.
    pub fn read<E: From<DataError>>(
        &self,
        file: &TextFile,
        mut see: impl FnMut(u64, Vec<Piece>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut lines = Lines { file, fields: self, before: 0 };
        let mut begun = String::new();
        file.pieces(|_, piece| -> Result<(), E> {
            let mut rest = lines.as_text(piece)?;
            while let Some((line, after)) = rest.split_once('\n') {
                rest = after;
                if begun.is_empty() {
                    lines.line(line, &mut see)?;
                } else {
                    begun.push_str(line);
                    lines.line(&std::mem::take(&mut begun), &mut see)?;
                }
            }
            begun.push_str(rest);
            if begun.len() > LONGEST_LINE {
                return Err(lines.wrong(format!("a record of more than {LONGEST_LINE} bytes")).into());
            }
            Ok(())
        })?;
        lines.line(&begun, &mut see)
    }
}

/// The lines of a file, one after the other.
struct Lines<'a> {
    file: &'a TextFile,
    fields: &'a Fields,
    before: u64,
}

impl Lines<'_> {
    fn line<E: From<DataError>>(
        &mut self,
        line: &str,
        see: &mut impl FnMut(u64, Vec<Piece>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(pieces) = self.fields.in_line(line).map_err(|reason| self.wrong(reason))? {
            see(self.before, pieces)?;
        }
        self.before += 1;
        Ok(())
    }

    /// Returns the next lines of the file as text, or the error with the first one that is none.
    fn as_text<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, DataError> {
        std::str::from_utf8(bytes).or_else(|error| {
            self.file.require_readable()?;
            let ends = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() as u64;
            let (path, line) = (self.file.path.clone(), self.before + ends + 1);
            Err(TextError::Record { path, line, reason: file_lines::NOT_TEXT.to_owned() }.into())
        })
    }

    fn wrong(&self, reason: String) -> DataError {
        TextError::Record { path: self.file.path.clone(), line: self.before + 1, reason }.into()
    }
}

/// Pieces that are put together.
#[derive(Default)]
pub(super) struct Pieces(pub Vec<Piece>);

impl Pieces {
    fn add(&mut self, text: &str, counts: bool) {
        match self.0.last_mut() {
            Some(last) if last.counts == counts => last.text.push_str(text),
            _ if text.is_empty() => {}
            _ => self.0.push(Piece { text: text.to_owned(), counts }),
        }
    }

    /// Adds a filled template, of which the field `learned`, and all after it, counts.
    pub fn fill<'a>(
        &mut self,
        template: &[Part],
        learned: Option<&str>,
        value: impl Fn(&str) -> Result<&'a str, String>,
    ) -> Result<(), String> {
        let mut counts = false;
        for part in template {
            match part {
                Part::Text(text) => self.add(text, counts),
                Part::Field(field) => {
                    counts |= learned == Some(field.as_str());
                    self.add(value(field)?, counts);
                }
            }
        }
        Ok(())
    }

    /// Adds a turn of a chat in the template of a message, or in a part of it.
    pub fn say(&mut self, template: &[Part], turn: Turn<'_>) -> Result<(), String> {
        self.fill(template, turn.is_learned().then_some("content"), |field| match field {
            "role" => Ok(turn.role),
            "content" => Ok(turn.content),
            other => Err(format!("`data.template` has `{{{other}}}`; a message has `{{role}}` and `{{content}}`")),
        })
    }
}

/// A message of a chat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    pub role: &'a str,
    pub content: &'a str,
}

impl Turn<'_> {
    /// Whether the model learns to write it.
    pub fn is_learned(self) -> bool {
        matches!(self.role, "assistant" | "gpt" | "model")
    }
}

/// Returns the messages in the field `messages` of a record.
pub(super) fn turns<'a>(record: &'a Map<String, Value>, messages: &str) -> Result<Vec<Turn<'a>>, String> {
    let list = record.get(messages).ok_or_else(|| missing(record, messages))?;
    let list = list.as_array().ok_or_else(|| format!("field `{messages}` is no list of messages"))?;
    let turn = |message: &'a Value| {
        let message = message.as_object().ok_or_else(|| "a message is no object".to_owned())?;
        Ok(Turn { role: either(message, ["role", "from"])?, content: either(message, ["content", "value"])? })
    };
    list.iter().map(turn).collect()
}

pub(super) fn text<'a>(record: &'a Map<String, Value>, field: &str) -> Result<&'a str, String> {
    match record.get(field) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("field `{field}` is no text")),
        None => Err(missing(record, field)),
    }
}

/// Returns the first of two fields that is there.
fn either<'a>(message: &'a Map<String, Value>, [usual, other]: [&str; 2]) -> Result<&'a str, String> {
    text(message, if message.contains_key(usual) { usual } else { other })
        .map_err(|error| if message.contains_key(other) { error } else { missing(message, usual) })
}

/// Describes a record without a field.
fn missing(record: &Map<String, Value>, field: &str) -> String {
    if record.is_empty() {
        return format!("no field `{field}`: the record has none");
    }
    let names: Vec<&str> = record.keys().map(String::as_str).collect();
    format!(
        "no field `{field}`{}; `data.text`, `data.prompt` and `data.answer`, or `data.messages` name fields",
        hint(field, &names)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(options: &str) -> Result<Fields, String> {
        let config: DataConfig = toml::from_str(&format!("path = 'a.jsonl'\n{options}")).unwrap();
        Fields::of(&config).map_err(|error| error.to_string())
    }

    /// The pieces of a record; what counts is in brackets.
    fn pieces(options: &str, record: Value) -> Result<String, String> {
        let found = fields(options)?.pieces(record.as_object().unwrap())?;
        Ok(found
            .iter()
            .map(|Piece { text, counts }| if *counts { format!("[{text}]") } else { text.clone() })
            .collect())
    }

    #[test]
    fn the_answer_alone_counts_with_what_follows_it() {
        let record = json!({"prompt": "2 + 2?", "answer": "4", "q": "who", "a": "me"});
        assert_eq!(pieces("prompt = 'prompt'", record.clone()).unwrap(), "2 + 2?\n[4]");
        assert_eq!(pieces("prompt = 'q'\nanswer = 'a'", record.clone()).unwrap(), "who\n[me]");
        let template = "answer = 'a'\ntemplate = \"Q: {q} {prompt}\\nA: {a}.\"";
        assert_eq!(pieces(template, record).unwrap(), "Q: who 2 + 2?\nA: [me.]");
    }

    #[test]
    fn of_a_chat_what_the_assistant_says_counts() {
        let record = json!({"messages": [
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
            {"from": "human", "value": "Bye"}, {"from": "gpt", "value": "Ciao"},
        ]});
        let options = "messages = 'messages'\ntemplate = '{role}: {content};'";
        let expected = "user: Hi;assistant: [Hello;]human: Bye;gpt: [Ciao;]";
        assert_eq!(pieces(options, record.clone()).unwrap(), expected);
        assert!(pieces("messages = 'messages'", record).unwrap().starts_with("<|im_start|>user\nHi<|im_end|>\n"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refusal = |options: &str, record: Value| pieces(options, record).unwrap_err();
        assert!(refusal("", json!({"txt": "a"})).contains("no field `text`; did you mean `txt`?"));
        assert!(refusal("", json!({"text": 1})).contains("field `text` is no text"));
        assert!(refusal("messages = 'm'", json!({"m": "a"})).contains("is no list of messages"));
        assert!(refusal("messages = 'm'", json!({"m": [{"role": "user"}]})).contains("no field `content`"));
        assert!(fields("text = 'a'\nprompt = 'b'").unwrap_err().contains("two kinds of records"));
        assert!(fields("template = '{text}'").unwrap_err().contains("is for pairs and chats"));
        assert!(fields("prompt = 'a'\ntemplate = '{a}'").unwrap_err().contains("no `{answer}`"));
    }
}
