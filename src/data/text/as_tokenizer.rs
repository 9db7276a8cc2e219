//! A vocabulary as the `tokenizer.json` of Hugging Face's `tokenizers`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Vocabulary;

impl Vocabulary {
    /// Returns the content of a `tokenizer.json` with the same tokens. The one that the vocabulary was read from is
    /// unchanged.
    pub(crate) fn to_tokenizer(&self) -> Value {
        match self.kind() {
            "characters" => of_characters(&self.listed()),
            "bytes" => of_bytes(),
            _ => {
                let saved = self.save();
                let json = saved.tensors.values().next().map(|tensor| tensor.bytes.as_slice()).unwrap_or_default();
                serde_json::from_slice(json).unwrap_or_default()
            }
        }
    }
}

/// Each character is a word. One that is not in the vocabulary is an error there too, because there is no word for the
/// unknown.
fn of_characters(characters: &str) -> Value {
    let words: BTreeMap<String, usize> =
        characters.chars().enumerate().map(|(number, character)| (character.to_string(), number)).collect();
    whole(
        json!({ "type": "Split", "pattern": { "Regex": r"[\s\S]" }, "behavior": "Isolated", "invert": false }),
        json!({ "type": "Fuse" }),
        json!({ "type": "WordLevel", "vocab": words, "unk_token": "<unk>" }),
    )
}

/// Each byte is a word, written as a character in the way of GPT-2.
fn of_bytes() -> Value {
    let words: BTreeMap<String, u8> = (0..=u8::MAX).map(|byte| (character_of(byte).to_string(), byte)).collect();
    whole(
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false }),
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false }),
        json!({ "type": "BPE", "dropout": null, "unk_token": null, "vocab": words, "merges": [] }),
    )
}

/// The character by which GPT-2's tokenizer writes a byte: itself where it can be seen, otherwise the next one from 256
/// on.
fn character_of(byte: u8) -> char {
    let is_seen = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_seen(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&other| !is_seen(other)).count() as u32;
    char::from_u32(256 + before).unwrap_or_default()
}

fn whole(pre_tokenizer: Value, decoder: Value, model: Value) -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": decoder,
        "model": model,
    })
}

#[cfg(test)]
mod tests {
    use tokenizers::Tokenizer;

    use super::*;

    fn tokenizer(vocabulary: &Vocabulary) -> Tokenizer {
        Tokenizer::from_bytes(vocabulary.to_tokenizer().to_string()).unwrap()
    }

    #[test]
    fn a_tokenizer_of_characters_has_their_tokens_and_refuses_others() {
        let text = "hello, wörld\r\n\n  €\u{301}";
        let vocabulary = Vocabulary::characters(text);
        let tokenizer = tokenizer(&vocabulary);
        let tokens = tokenizer.encode(text, true).unwrap();
        assert_eq!(tokens.get_ids(), vocabulary.encode(text).unwrap());
        assert_eq!(tokenizer.decode(tokens.get_ids(), false).unwrap(), text);
        assert!(tokenizer.encode("x", true).is_err());
    }

    #[test]
    fn a_tokenizer_of_bytes_has_each_byte_as_its_number() {
        let vocabulary = Vocabulary::bytes();
        let tokenizer = tokenizer(&vocabulary);
        let every: String = (0..0x250).filter_map(char::from_u32).chain(['€', '𝄞']).collect();
        let tokens = tokenizer.encode(every.as_str(), true).unwrap();
        assert_eq!(tokens.get_ids(), vocabulary.encode(&every).unwrap());
        assert_eq!(tokenizer.decode(tokens.get_ids(), false).unwrap(), every);
    }

    #[test]
    fn the_tokenizer_of_a_file_stays_as_it_is() {
        let json = r#"{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}"#;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json).unwrap();
        let expected: Value = serde_json::from_str(json).unwrap();
        assert_eq!(Vocabulary::from_file(file.path()).unwrap().to_tokenizer(), expected);
    }
}
