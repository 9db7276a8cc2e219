//! The files of a tokenizer, and what they say of the ends of texts.

use serde_json::{Map, Value, json};

use crate::data::Vocabulary;

/// Words that usual tokenizers have for the end of a text.
const ENDS: &[&str] = &["<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "[EOS]"];

/// A tokenizer as transformers loads it.
pub(super) struct Tokens {
    /// `tokenizer.json`.
    pub tokenizer: Value,
    /// The word and the number of the token at the end of a text, if there is one.
    end: Option<(String, u64)>,
    /// Where its tokens differ from those of the run.
    pub remarks: Vec<String>,
}

impl Tokens {
    pub fn of(vocabulary: &Vocabulary) -> Self {
        let tokenizer = vocabulary.to_tokenizer();
        let end = end(&tokenizer);
        let mut remarks = Vec::new();
        let after = &tokenizer["post_processor"];
        if !after.is_null() && after["type"] != "ByteLevel" {
            remarks.push(
                "the tokenizer adds special tokens in transformers, and the run had none: pass \
                 `add_special_tokens=False`"
                    .to_owned(),
            );
        }
        Self { tokenizer, end, remarks }
    }

    /// Returns the fields of `config.json` about special tokens. Without them GPT-2 would have those of OpenAI's.
    pub fn ids(&self) -> Map<String, Value> {
        let end = self.end.as_ref().map(|(_, id)| *id);
        let fields = [("bos_token_id", end), ("eos_token_id", end), ("pad_token_id", None)];
        fields.into_iter().map(|(name, id)| (name.to_owned(), json!(id))).collect()
    }

    /// Returns `tokenizer_config.json`, for models that take `context` tokens.
    pub fn config(&self, context: usize) -> Value {
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": context,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": false,
        });
        if let Some((word, _)) = &self.end {
            config["eos_token"] = json!(word);
        }
        config
    }

    /// Returns `generation_config.json`: text is drawn, as by `train sample`.
    pub fn generation(&self) -> Value {
        let mut fields = self.ids();
        fields.insert("do_sample".to_owned(), json!(true));
        Value::Object(fields)
    }
}

/// Returns the token at the end of a text: a special one with a usual word.
fn end(tokenizer: &Value) -> Option<(String, u64)> {
    let added = tokenizer["added_tokens"].as_array()?;
    ENDS.iter().find_map(|word| {
        let token = added.iter().find(|token| token["content"] == *word && token["special"] == true)?;
        Some(((*word).to_owned(), token["id"].as_u64()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokenizer_of_characters_ends_no_text_and_one_with_the_word_does() {
        let tokens = Tokens::of(&Vocabulary::characters("ab"));
        assert_eq!(tokens.ids()["eos_token_id"], Value::Null);
        let added = json!({"added_tokens": [{"id": 7, "content": "</s>", "special": true}]});
        assert_eq!(end(&added), Some(("</s>".to_owned(), 7)));
        let plain = json!({"added_tokens": [{"id": 7, "content": "</s>", "special": false}]});
        assert_eq!(end(&plain), None);
    }
}
