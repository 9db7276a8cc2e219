//! Prompts in the form of a run's documents: the text that its model has seen before an answer.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use super::file_lines::{self, FileLines};
use super::records::{Fields, Pieces, Turn, text, turns};
use super::template::Part;
use crate::data::{DataConfig, DataError};

/// The beginning of a text that a model continues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Texts whose tokens follow each other, as in training. A tokenizer may have others for all of them together.
    pub(crate) pieces: Vec<String>,
    /// The text that the template has after an answer.
    pub(crate) after: String,
}

impl Prompt {
    /// Returns a prompt of this text as it is.
    pub fn as_is(text: impl Into<String>) -> Self {
        Self { pieces: vec![text.into()], after: String::new() }
    }

    /// Returns its text.
    pub fn text(&self) -> String {
        self.pieces.concat()
    }

    fn of(pieces: Pieces, after: &[Part]) -> Self {
        let texts = after.iter().map_while(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Field(_) => None,
        });
        Self { pieces: pieces.0.into_iter().map(|piece| piece.text).collect(), after: texts.collect() }
    }
}

/// The form of the prompts of a run: fields of records, and a template.
#[derive(Clone, Debug)]
pub struct PromptForm(Fields);

impl PromptForm {
    /// Returns the form that the data of `config` has.
    ///
    /// # Errors
    /// Its options do not describe one.
    pub fn of(config: &DataConfig) -> Result<Self, DataError> {
        Fields::of(config).map(Self)
    }

    /// Returns the prompt of a question: of pairs their only field beside the answer, of chats a message of the user,
    /// of other texts the text itself.
    ///
    /// # Errors
    /// In words: the template of pairs has another number of fields.
    pub fn asked(&self, question: &str) -> Result<Prompt, String> {
        let record = match &self.0 {
            Fields::Text(_) => return Ok(Prompt::as_is(question)),
            Fields::Pair { answer, template } => {
                let mut fields: Vec<&str> = template.around(answer).0.iter().filter_map(Part::field).collect();
                fields.sort_unstable();
                fields.dedup();
                let [field] = fields[..] else {
                    return Err(format!(
                        "a prompt of the run has {} fields, and a question is one; write a record of all fields in a \
                         file, for `--prompts FILE`",
                        fields.len()
                    ));
                };
                Map::from_iter([(field.to_owned(), question.into())])
            }
            Fields::Chat { messages, .. } => {
                let message = serde_json::json!([{"role": "user", "content": question}]);
                Map::from_iter([(messages.clone(), message)])
            }
        };
        self.of_record(&record)
    }

    /// Returns the prompt of a record like those of the run's data; its answer may be missing, and is not used. So is a
    /// last message of the assistant in a chat.
    ///
    /// # Errors
    /// In words: a field is missing.
    pub fn of_record(&self, record: &Map<String, Value>) -> Result<Prompt, String> {
        let mut pieces = Pieces::default();
        match &self.0 {
            Fields::Text(field) => Ok(Prompt::as_is(text(record, field)?)),
            Fields::Pair { answer, template } => {
                let (before, after) = template.around(answer);
                pieces.fill(before, None, |field| text(record, field))?;
                Ok(Prompt::of(pieces, after))
            }
            Fields::Chat { messages, template } => {
                let mut all = turns(record, messages)?;
                let last = all.pop_if(|turn| turn.is_learned());
                let speaker = last.or_else(|| all.iter().rev().copied().find(|turn| turn.is_learned()));
                all.iter().try_for_each(|turn| pieces.say(&template.0, *turn))?;
                let (before, after) = template.around("content");
                let usual = || if is_of_sharegpt(record, messages) { "gpt" } else { "assistant" };
                let role = speaker.map_or_else(usual, |turn| turn.role);
                pieces.say(before, Turn { role, content: "" })?;
                Ok(Prompt::of(pieces, after))
            }
        }
    }

    /// Reads prompts, one on each line: a record, or a text in quotes, which is used as it is. Without a path they come
    /// from stdin.
    ///
    /// # Errors
    /// The file cannot be opened. Faults of single lines are reported when they are read.
    pub fn read(self, path: Option<&Path>) -> Result<Prompts, DataError> {
        let Some(path) = path else {
            return Ok(Prompts::of(self, Box::new(BufReader::new(io::stdin())), Path::new("stdin")));
        };
        Ok(Prompts::of(self, file_lines::open(path)?, path))
    }
}

/// Whether messages have the names of ShareGPT: `from` and `value`.
fn is_of_sharegpt(record: &Map<String, Value>, messages: &str) -> bool {
    record.get(messages).and_then(|list| list.get(0)?.get("from")).is_some()
}

/// Prompts of a file, one after the other. A fault ends them.
pub struct Prompts {
    form: PromptForm,
    lines: FileLines,
    is_over: bool,
}

impl Prompts {
    fn of(form: PromptForm, lines: Box<dyn BufRead>, path: &Path) -> Self {
        Self { form, lines: FileLines::of(lines, path), is_over: false }
    }

    fn prompt(&self, line: &str) -> Result<Prompt, DataError> {
        let found = file_lines::json(line).and_then(|line| match line {
            Value::Object(record) => self.form.of_record(&record),
            Value::String(text) => Ok(Prompt::as_is(text)),
            _ => Err("the line is neither a record nor a text in quotes".to_owned()),
        });
        found.map_err(|reason| self.lines.wrong(reason))
    }
}

impl Iterator for Prompts {
    type Item = Result<Prompt, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            let found = match self.lines.next_line() {
                Ok(None) => break,
                Ok(Some(line)) if file_lines::is_blank(&line) => None,
                Ok(Some(line)) => Some(self.prompt(&line)),
                Err(error) => Some(Err(error)),
            };
            if found.is_some() {
                self.is_over = matches!(found, Some(Err(_)));
                return found;
            }
        }
        self.is_over = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(options: &str) -> PromptForm {
        PromptForm::of(&toml::from_str(&format!("path = 'a.jsonl'\n{options}")).unwrap()).unwrap()
    }

    fn prompt(options: &str, record: Value) -> (Vec<String>, String) {
        let Prompt { pieces, after } = form(options).of_record(record.as_object().unwrap()).unwrap();
        (pieces, after)
    }

    const PAIR: &str = "answer = 'a'\ntemplate = \"{q}?\\nA: {a}.\\n{q}\"";

    #[test]
    fn a_prompt_is_what_stands_before_the_answer() {
        let before = (vec!["who?\nA: ".to_owned()], ".\n".to_owned());
        assert_eq!(prompt(PAIR, json!({"q": "who"})), before);
        assert_eq!(prompt(PAIR, json!({"q": "who", "a": "I", "other": 1})), before);
        assert_eq!(prompt("", json!({"text": "In the"})), (vec!["In the".to_owned()], String::new()));
    }

    #[test]
    fn a_chat_ends_where_the_assistant_begins_to_speak() {
        let chat = |messages: Value| prompt("messages = 'm'", json!({"m": messages}));
        let user = json!({"role": "user", "content": "Hi"});
        let begun = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
        let answered = json!({"role": "assistant", "content": "Hello"});
        for messages in [json!([user]), json!([user, answered])] {
            assert_eq!(chat(messages), (vec![begun.to_owned()], "<|im_end|>\n".to_owned()));
        }
        // An earlier answer is a piece, as in training.
        let (pieces, _) = chat(json!([user, answered, user]));
        assert_eq!(pieces, [begun, "Hello<|im_end|>\n", begun]);
        let (pieces, _) = chat(json!([{"from": "human", "value": "Hi"}]));
        assert_eq!(pieces, ["<|im_start|>human\nHi<|im_end|>\n<|im_start|>gpt\n"]);
    }

    #[test]
    fn a_question_takes_the_place_of_the_one_field_of_a_prompt() {
        assert_eq!(form(PAIR).asked("who").unwrap().text(), "who?\nA: ");
        assert_eq!(form("").asked("who").unwrap(), Prompt::as_is("who"));
        let chat = form("messages = 'm'\ntemplate = '{role}: {content};'").asked("who").unwrap();
        assert_eq!((chat.text(), chat.after), ("user: who;assistant: ".to_owned(), ";".to_owned()));
        let two = form("answer = 'a'\ntemplate = '{p} {q} {a}'").asked("who").unwrap_err();
        assert!(two.contains("has 2 fields, and a question is one"), "{two}");
    }

    #[test]
    fn lines_are_records_or_texts_and_a_fault_has_its_line_and_ends_them() {
        let read = |text: &str| {
            let lines = Box::new(io::Cursor::new(text.as_bytes().to_vec()));
            let all = Prompts::of(form(PAIR), lines, Path::new("q.jsonl"));
            all.map(|prompt| prompt.map_or_else(|error| error.to_string(), |prompt| prompt.text())).collect::<Vec<_>>()
        };
        assert_eq!(read("\u{feff}{\"q\": \"1\"}\r\n\n\"as it is\""), ["1?\nA: ", "as it is"]);
        let faults = ["{\"p\": 1}", "[1]", "{", "\u{0}"];
        for fault in faults {
            let told = read(&format!("\"a\"\n\n{fault}\n\"b\""));
            assert!(told.len() == 2 && told[1].starts_with("q.jsonl, line 3: "), "{told:?}");
        }
        assert!(read("{\"p\": \"1\"}")[0].contains("no field `q`"));
    }
}
