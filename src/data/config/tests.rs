//! The options of data: how they are written, and their defaults.

use std::path::Path;

use super::*;

#[test]
fn a_config_is_written_as_it_was_typed() {
    let text = "path = \"a.csv\"\nlabel = -2\nvalidation = 0.2\nbatch_size = \"all\"\ndrop_last = true\n";
    let config: DataConfig = toml::from_str(text).unwrap();
    assert_eq!(config.label, Some(Label::Index(-2).into()));
    assert_eq!(toml::to_string(&config).unwrap(), text);
}

#[test]
fn defaults_are_those_of_new() {
    assert_eq!(toml::from_str::<DataConfig>("path = \"a.csv\"").unwrap(), DataConfig::new("a.csv"));
}

#[test]
fn other_rows_are_separated_as_their_name_says() {
    let delimiter = |own: &str, text: &str, other: &str| {
        let config: DataConfig = toml::from_str(&format!("path = \"{own}\"\n{text}")).unwrap();
        config.complete().for_other(Path::new(other)).delimiter()
    };
    assert_eq!(delimiter("a.csv", "", "b.csv"), Delimiter::COMMA);
    assert_eq!(delimiter("a.csv", "", "b.tsv"), Delimiter::TAB);
    assert_eq!(delimiter("a.tsv", "", "b.csv"), Delimiter::COMMA);
    assert_eq!(delimiter("a.csv", "delimiter = \";\"", "b.csv"), Delimiter::SEMICOLON);
    assert_eq!(delimiter("a.tsv", "", "b.tsv"), Delimiter::TAB);
}

/// A pattern of targets refers to the pattern of the inputs, which other rows need not repeat.
#[test]
fn other_rows_have_the_targets_that_a_pattern_of_the_run_names() {
    let config = "path = 'a/x-*.npy'\nformat = 'npy'\ntargets = 'y-*.npy'";
    let config: DataConfig = toml::from_str(config).unwrap();
    let targets = |other: &str| config.for_other(Path::new(other)).targets;
    assert_eq!(targets("b/x-7.npy").as_deref(), Some("y-7.npy"));
    assert_eq!(targets("b/other.npy").as_deref(), Some("y-*.npy"));
}

#[test]
fn a_whole_batch_is_shuffled_only_on_request() {
    let mut config = DataConfig::new("a.csv");
    assert_eq!(config.shuffle_seed(7), Some(7));
    config.batch_size = BatchSize::All;
    assert_eq!(config.shuffle_seed(7), None);
    config.shuffle = Some(true);
    assert_eq!(config.shuffle_seed(7), Some(7));
}

#[test]
fn bad_options_say_what_is_expected() {
    let message = |line: &str| toml::from_str::<DataConfig>(&format!("path = \"a\"\n{line}")).unwrap_err().to_string();
    assert!(message("label = 1.5").contains("a column is given by its name, or by its number"));
    assert!(message("batch_size = 0").contains("`batch_size` is a positive number of rows, or \"all\""));
    assert!(message("classes = 0").contains("nonzero"));
    assert!(message("batchsize = 1").contains("unknown field `batchsize`"));
}
