//! Documents of JSON Lines: rows, what is learned of them, and errors with their lines.

use candle_core::{Device, Tensor};
use rekindle::data::{Data, Dataset};

use crate::common::data::{folder, gzip, open, refusal};

/// Opens a file of these lines.
fn documents(lines: &str, options: &str) -> Data {
    let folder = folder(&[("a.jsonl.gz", gzip(lines.as_bytes()))]);
    open(&folder.path().join("a.jsonl.gz"), options).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns inputs and targets of these rows as text: the separator is `|`, and what is not learned `_`.
fn rows(data: &Data, rows: &[usize]) -> Vec<(String, String)> {
    let batch = data.dataset().gather(rows).unwrap();
    let ignored = data.dataset().ignored().unwrap();
    let text = |tensor: &Tensor| -> Vec<String> {
        let character = |token: &u32| match token {
            0 => '|',
            token if *token == ignored => '_',
            token => char::from(*token as u8),
        };
        tensor.to_vec2::<u32>().unwrap().iter().map(|row| row.iter().map(character).collect()).collect()
    };
    text(&batch.inputs).into_iter().zip(text(&batch.targets)).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(inputs, targets)| ((*inputs).to_owned(), (*targets).to_owned())).collect()
}

const TEXTS: &str = "{\"text\": \"abc\"}\n\n{\"text\": \"de\", \"more\": 1}\r\n{\"text\": \"fghijk\"}";

#[test]
fn texts_follow_each_other_in_rows_and_each_token_is_learned_once() {
    let data = documents(TEXTS, "tokens = \"bytes\"\ncontext = 5");
    let all = data.all_rows().to_vec();
    assert_eq!(rows(&data, &all), pairs(&[("|abc|", "abc|d"), ("de|fg", "e|fgh"), ("hijk|", "ijk|_")]));
    assert_eq!(data.dataset().document_start(), None);
    let data = documents(TEXTS, "tokens = \"bytes\"\ncontext = 5\npacking = \"none\"");
    let all = data.all_rows().to_vec();
    let expected = [("|abc|", "abc|_"), ("|de||", "de|__"), ("|fghi", "fghij"), ("jk|||", "k|___")];
    assert_eq!(rows(&data, &all), pairs(&expected));
}

const PAIRS: &str = r#"{"prompt": "ab", "answer": "c"}
{"prompt": "d", "answer": "ef"}
{"prompt": "ghijklm", "answer": "n"}
{"prompt": "o", "answer": "pqrstuv"}
"#;

#[test]
fn of_a_pair_the_answer_and_the_end_are_learned() {
    let template = "prompt = \"prompt\"\ntemplate = \"{prompt}:{answer}\"\ntokens = \"bytes\"\ncontext = 6";
    let data = documents(PAIRS, &format!("{template}\npacking = \"none\""));
    let all = data.all_rows().to_vec();
    let expected = [("|ab:c|", "___c|_"), ("|d:ef|", "__ef|_"), ("|o:pqr", "__pqrs")];
    assert_eq!(rows(&data, &all), pairs(&expected));
    let said: Vec<String> = data.notices().iter().map(|notice| notice.to_string()).collect();
    assert!(said[0].contains("2 documents longer than `data.context` = 6 tokens; the ends are cut off"), "{said:?}");
    assert!(said[1].contains("nothing is learned from 1 document: no answer within `data.context` = "), "{said:?}");
    // An empty answer teaches nothing, also where its row has others.
    let data =
        documents(&format!("{PAIRS}{{\"prompt\": \"w\", \"answer\": \"\"}}\n"), &template.replace("= 6", "= 20"));
    let said = data.notices().iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("nothing is learned from 1 document: no answer within `data.context` = 20 tokens"), "{said}");
    let data = documents(PAIRS, &template.replace("= 6", "= 10"));
    let all = data.all_rows().to_vec();
    let expected = [("|ab:c|d:ef", "___c|__ef|"), ("|ghijklm:n", "________n|"), ("|o:pqrstuv", "__pqrstuv|")];
    assert_eq!(rows(&data, &all), pairs(&expected));
    assert_eq!(data.dataset().document_start(), Some(0));
}

#[test]
fn of_a_chat_what_the_assistant_says_is_learned() {
    let lines = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
    let options = "messages = \"messages\"\ntemplate = \"{role}{content};\"\ntokens = \"bytes\"\ncontext = 20";
    let data = documents(lines, options);
    assert_eq!(rows(&data, &[0]), pairs(&[("|usera;assistantb;||", "_______________b;|__")]));
}

/// A document is on one side as a whole.
#[test]
fn documents_are_set_aside_and_not_rows() {
    let lines: String =
        ('a'..='t').map(|letter| format!("{{\"text\": \"{}\"}}\n", String::from(letter).repeat(30))).collect();
    let data = documents(&lines, "tokens = \"bytes\"\ncontext = 8\nvalidation = 0.25");
    let letters = |of: Vec<usize>| {
        let mut letters: Vec<char> =
            rows(&data, &of).iter().flat_map(|(x, _)| x.chars()).filter(|x| *x != '|').collect();
        letters.sort_unstable();
        letters.dedup();
        letters
    };
    let (train, validation) = (letters(data.train_rows().to_vec()), letters(data.validation_rows().to_vec()));
    assert_eq!((train.len(), validation.len()), (15, 5));
    assert!(train.iter().all(|letter| !validation.contains(letter)), "{train:?} {validation:?}");
}

#[test]
fn characters_have_a_separator_of_their_own() {
    let data = documents(TEXTS, "context = 5");
    let bytes = data.dataset().token_bytes().unwrap();
    assert_eq!((bytes.len(), bytes[0], bytes[1]), (12, 0, 1));
}

#[test]
fn what_is_wrong_with_a_record_is_said_with_its_line() {
    let refused = |lines: &str, options: &str| {
        refusal(&[("a.jsonl", lines.into())], "a.jsonl", &format!("context = 8\n{options}"))
    };
    assert!(refused("{\"text\": \"a\"}\n\n{\"text\": }\n", "").starts_with("a.jsonl, line 3: not JSON: "));
    assert_eq!(
        refused("{\"text\": \"a\"}\n[1]\n", ""),
        "a.jsonl, line 2: the line is no object, such as {\"text\": \"…\"}"
    );
    let message = refused("{\"title\": \"a\", \"body\": \"b\"}\n", "");
    assert!(message.starts_with("a.jsonl, line 1: no field `text`; it has `body`, `title`; "), "{message}");
    let message = refused("{\"text\": \"a\"}\n", "separator = \"ab\"");
    assert_eq!(message, "`data.separator` must be one token, and \"ab\" is 2");
    let message = refused("{\"prompt\": \"abcdefghijk\", \"answer\": \"b\"}\n", "prompt = \"prompt\"");
    assert!(message.contains("have nothing to learn within 8 tokens; raise `data.context`"), "{message}");
    assert_eq!(refused("\n\n", ""), "a.jsonl holds no rows of data");
    assert_eq!(refused("{\"text\": \"a\"}\n", "cache = \"c\""), "`data.cache` does not apply to JSON Lines; remove it");
    assert!(refused("{\"text\": \"\u{fffd}", "").contains("line 1: not JSON"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, b"{\"text\": \"a\"}\n{\"text\": \"\xff\"}\n").unwrap();
    let config = format!("path = '{}'\ntokens = 'bytes'\ncontext = 4", path.display());
    let error = Data::open(&toml::from_str(&config).unwrap(), 1, &Device::Cpu).unwrap_err().to_string();
    assert!(error.ends_with("a.jsonl, line 2: not UTF-8 text; save the file as UTF-8"), "{error}");
}

#[test]
fn fields_with_usual_names_are_found_in_the_first_record() {
    let lines = r#"{"instruction": "ab", "output": "c"}
{"instruction": "d", "output": "ef"}
"#;
    let data = documents(lines, "tokens = \"bytes\"\ncontext = 6\npacking = \"none\"");
    let all = data.all_rows().to_vec();
    assert_eq!(rows(&data, &all), pairs(&[("|ab\nc|", "___c|_"), ("|d\nef|", "__ef|_")]));
    let chat = r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#;
    let data = documents(chat, "tokens = \"bytes\"\ncontext = 80");
    assert!(rows(&data, &[0])[0].0.starts_with("|<|im_start|>human\na<|im_end|>"));
}
