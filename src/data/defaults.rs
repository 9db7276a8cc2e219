//! Defaults of `[data]`, filled in.

use std::num::NonZeroUsize;

use super::format_kind::Format;
use super::options::{Label, MISSING_VALUES, Missing, RowPacking, Task, TokenKind};
use super::{BatchSize, DataConfig, stream};

impl DataConfig {
    /// Returns the same options, with every default that applies to the format filled in. Values that depend on the
    /// data stay open: the number of classes, the channels of images, whether there are few enough images to decode
    /// them first, and the files in a folder.
    pub fn complete(&self) -> Self {
        let mut config = self.clone();
        let Ok(format) = Format::of(self) else { return config };
        config.format = Some(format);
        config.shuffle.get_or_insert(self.batch_size != BatchSize::All);
        if stream::is_remote(self) && stream::reads(format) {
            config.shuffle_window = self.shuffle_window.or(NonZeroUsize::new(stream::WINDOW));
        }
        match format {
            Format::Csv => {
                config.header.get_or_insert(true);
                config.skip_lines.get_or_insert(0);
                config.delimiter.get_or_insert(self.delimiter());
                config.decimal.get_or_insert_default();
                if config.missing.is_some_and(|missing| missing != Missing::Error) {
                    config.missing_values.get_or_insert_with(|| MISSING_VALUES.map(str::to_owned).to_vec());
                }
                config.complete_table();
            }
            Format::Parquet => config.complete_table(),
            Format::Npy => {
                config.targets.get_or_insert_with(|| "y.npy".to_owned());
                config.standardize.get_or_insert(false);
            }
            Format::Safetensors | Format::Npz => {
                config.inputs.get_or_insert_with(|| "x".to_owned());
                config.targets.get_or_insert_with(|| "y".to_owned());
                config.standardize.get_or_insert(false);
            }
            Format::Jsonl => config.complete_documents(),
            Format::Text if self.tokenizer.is_none() => {
                config.tokens.get_or_insert(TokenKind::default());
            }
            Format::Images => {
                config.skip_bad.get_or_insert(false);
            }
            Format::Text | Format::Idx | Format::Custom | Format::Own(_) => {}
        }
        config
    }

    fn complete_documents(&mut self) {
        self.packing = Some(self.row_packing());
        if self.tokenizer.is_none() {
            self.tokens.get_or_insert_default();
        }
        if self.prompt.is_some() || self.answer.is_some() {
            self.answer.get_or_insert_with(|| "answer".to_owned());
            if self.template.is_none() {
                self.prompt.get_or_insert_with(|| "prompt".to_owned());
            }
        } else if self.messages.is_none() {
            self.text.get_or_insert_with(|| "text".to_owned());
        }
    }

    /// Returns how documents share rows.
    pub(super) fn row_packing(&self) -> RowPacking {
        let are_texts = self.prompt.is_none() && self.answer.is_none() && self.messages.is_none();
        self.packing.unwrap_or(if are_texts { RowPacking::Rows } else { RowPacking::Documents })
    }

    fn complete_table(&mut self) {
        self.label.get_or_insert(Label::Index(-1).into());
        self.task.get_or_insert(Task::Classification);
        self.ignore.get_or_insert_default();
        self.categories.get_or_insert_default();
        self.encoding.get_or_insert_default();
        if *self.missing.get_or_insert_default() != Missing::Error {
            self.missing_indicator.get_or_insert(false);
        }
        self.standardize.get_or_insert(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_format_takes_is_written_out() {
        let written = |text: &str| {
            let config: DataConfig = toml::from_str(text).unwrap();
            let written = serde_json::to_value(config.complete()).unwrap();
            written.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
        };
        let common = "format path validation batch_size shuffle drop_last";
        let has = |text: &str, options: &str| {
            let mut expected: Vec<&str> = common.split(' ').chain(options.split_whitespace()).collect();
            let written = written(text);
            let mut written: Vec<&str> = written.split(' ').collect();
            expected.sort_unstable();
            written.sort_unstable();
            assert_eq!(written, expected, "{text}");
        };
        let table = "label task ignore categories encoding missing standardize";
        has("path = 'a.csv'", &format!("header skip_lines delimiter decimal {table}"));
        let missing = "missing_values missing_indicator";
        has("path = 'a.csv'\nmissing = 'mean'", &format!("header skip_lines delimiter decimal {missing} {table}"));
        has("path = 'a.parquet'\nmissing = 'mean'", &format!("missing_indicator {table}"));
        has("path = 'a.safetensors'", "inputs targets standardize");
        has("path = 'a.npz'", "inputs targets standardize");
        has("path = 'a.npy'", "targets standardize");
        has("path = 'a.txt'\ncontext = 8", "tokens context");
        has("path = 'a.jsonl'\ncontext = 8", "text packing tokens context");
        has("path = 'a.jsonl'\ncontext = 8\nprompt = 'p'", "prompt answer packing tokens context");
        has("path = 'a.txt'\ncontext = 8\ntokenizer = 'b.json'", "tokenizer context");
        has("path = 'a'\nformat = 'images'", "skip_bad");
        has("path = 'a'\nformat = 'idx'", "");
    }

    #[test]
    fn what_was_said_stays() {
        let text =
            "path = 'a.csv'\nheader = false\nlabel = 'y'\ntask = 'regression'\nbatch_size = 'all'\nshuffle = true";
        let config: DataConfig = toml::from_str(text).unwrap();
        let complete = config.complete();
        assert_eq!((complete.header, &complete.label, complete.task), (config.header, &config.label, config.task));
        assert_eq!(complete.shuffle, Some(true));
        assert_eq!(complete.complete(), complete);
    }
}
