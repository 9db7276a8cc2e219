//! Options that the file itself shows. They are settled before a run begins, and then written into its configuration, so
//! that a resume does not look again.

use std::path::Path;

use super::delimiter::Delimiter;
use super::files::Part;
use super::first_lines::FirstLines;
use super::format_kind::Format;
use super::options::Decimal;
use super::{DataConfig, DataError, documents, files, stream};
use crate::Notice;

impl DataConfig {
    /// Returns the same options with those that are not given, and that the file shows, the first of several; and notes that say so.
    ///
    /// # Errors
    /// The file is packed in a way that is not read.
    pub(crate) fn settled(&self) -> Result<(Self, Vec<Notice>), DataError> {
        // Errors of the choice of files are reported when they are read.
        if stream::is_remote(self) && matches!(Format::of(self), Ok(Format::Jsonl)) {
            return Ok(documents::settled_in_shards(self));
        }
        let Some(first) = files::first(self) else { return Ok((self.clone(), Vec::new())) };
        match Format::of(self) {
            Ok(Format::Csv) => Ok(self.settled_csv(&first)),
            Ok(Format::Jsonl) => Ok(documents::settled(self, &first)),
            #[cfg(feature = "parquet")]
            Ok(Format::Parquet) => super::parquet::settled(self, &first),
            _ => Ok((self.clone(), Vec::new())),
        }
    }

    fn settled_csv(&self, first: &Path) -> (Self, Vec<Notice>) {
        let mut config = self.clone();
        let is_given = self.delimiter.is_some() && self.decimal.is_some();
        let lines = (!is_given).then(|| FirstLines::of(first, self.skip_lines.unwrap_or(0))).flatten();
        let Some(lines) = lines else { return (config, Vec::new()) };
        let (usual, mut said) = (self.delimiter(), Vec::new());
        if self.comment.is_none() && self.delimiter.is_none() {
            config.comment = lines.comment(usual);
            said.extend(config.comment.map(|mark| {
                let mark = String::from(mark);
                format!("lines that begin with `{mark}` are skipped as comments: `data.comment = \"{mark}\"`")
            }));
        }
        if self.delimiter.is_none() {
            let found = lines.delimiter(config.comment, usual).unwrap_or(usual);
            if found != usual {
                let (words, text) = (found.in_words(), String::from(found));
                said.push(format!("columns are separated by {words}: `data.delimiter = {text:?}`"));
            }
            config.delimiter = Some(found);
        }
        if self.decimal.is_none() {
            let found = lines.decimal(config.comment, config.delimiter()).unwrap_or_default();
            if found == Decimal::Comma {
                said.push("numbers have a decimal comma: `data.decimal = \",\"`".to_owned());
            }
            config.decimal = Some(found);
        }
        let path = first.display();
        let notices = said.into_iter().map(|text| Notice::Note(format!("{path}, by its first lines: {text}")));
        (config, notices.collect())
    }

    /// Takes over those options of a run, `saved`, that are not given here and that its file has shown.
    pub(crate) fn settle_as(&mut self, saved: &Self) {
        fn take<T: Clone>(own: &mut Option<T>, saved: &Option<T>) {
            if own.is_none() {
                own.clone_from(saved);
            }
        }
        match Format::of(self) {
            Ok(Format::Csv) => {
                take(&mut self.comment, &saved.comment);
                take(&mut self.delimiter, &saved.delimiter);
                take(&mut self.decimal, &saved.decimal);
            }
            Ok(Format::Jsonl) => {
                take(&mut self.prompt, &saved.prompt);
                take(&mut self.answer, &saved.answer);
                take(&mut self.messages, &saved.messages);
                take(&mut self.template, &saved.template);
            }
            Ok(Format::Parquet) => {
                take(&mut self.label, &saved.label);
                take(&mut self.ignore, &saved.ignore);
            }
            _ => {}
        }
    }

    /// Returns the same options for other rows, at `path`: with the delimiter and the decimal mark that its first lines
    /// show, before those that its name implies or that this file has.
    pub(crate) fn for_other(&self, path: &Path) -> Self {
        let named = Delimiter::usual(path);
        let is_named_so = named != Delimiter::usual(&self.path);
        let delimiter = if is_named_so { Some(named) } else { self.delimiter };
        let mut config = Self { delimiter, ..self.at(path) };
        if self.targets.as_deref().is_some_and(|name| name.contains('*'))
            && let Ok(targets) = self.targets_beside(Part::Train, path)
        {
            // The pattern of the targets refers to that of the inputs, which is left behind.
            config.targets = targets.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        if matches!(Format::of(&config), Ok(Format::Csv))
            && let Some(lines) = FirstLines::of(path, self.skip_lines.unwrap_or(0))
        {
            let usual = config.delimiter();
            config.delimiter = lines.delimiter(config.comment, usual).or(delimiter);
            config.decimal = lines.decimal(config.comment, config.delimiter()).or(config.decimal);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(text: &str) -> (DataConfig, Vec<String>) {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let (config, notices) = DataConfig::new(file.path()).settled().unwrap();
        assert_eq!(config.settled().unwrap(), (config.clone(), Vec::new()), "settled again");
        (config, notices.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn options_that_the_first_lines_show_are_used_and_reported() {
        let (config, said) = settled("# of today\na;b\n0,5;1\n");
        assert_eq!((config.delimiter, config.decimal), (Some(Delimiter::SEMICOLON), Some(Decimal::Comma)));
        assert!(said.len() == 3 && said[1].contains("`data.delimiter = \";\"`"), "{said:?}");
        let (config, said) = settled("a,b\n0.5,1\n");
        assert_eq!((config.delimiter, config.decimal), (Some(Delimiter::COMMA), Some(Decimal::Point)));
        assert_eq!(said, [""; 0]);
    }

    #[test]
    fn other_rows_are_read_as_their_own_first_lines_show() {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), "a;b\n0,5;1\n").unwrap();
        let run = DataConfig { delimiter: Some(Delimiter::COMMA), ..DataConfig::new("train.csv") };
        let other = run.for_other(file.path());
        assert_eq!((other.delimiter, other.decimal), (Some(Delimiter::SEMICOLON), Some(Decimal::Comma)));
        std::fs::write(file.path(), "one column\n1\n").unwrap();
        assert_eq!(run.for_other(file.path()).delimiter, Some(Delimiter::COMMA));
    }
}
