//! `docs/data.md` is correct: every option is on it, and every configuration on it is valid.

use candle_core::Device;
use rekindle::data::{Data, DataConfig, DataError, StreamError, TableError, TextError};

const PAGE: &str = include_str!("../../docs/data.md");

#[derive(serde::Deserialize)]
struct Table {
    data: DataConfig,
}

fn snippets() -> Vec<&'static str> {
    PAGE.split("```").filter_map(|block| block.strip_prefix("toml\n")).collect()
}

/// Options are valid if the only error is missing data.
#[test]
fn every_configuration_on_the_page_is_understood() {
    assert!(snippets().len() >= 8);
    for snippet in snippets() {
        let mut config = toml::from_str::<Table>(snippet).unwrap_or_else(|error| panic!("{snippet}{error}")).data;
        config.path = "/no/such/place".into();
        config.format = config.format.or_else(|| {
            let name = toml::from_str::<toml::Table>(snippet).unwrap()["data"]["path"].as_str().unwrap().to_owned();
            let ending = name.trim_end_matches(".gz").rsplit('.').next().unwrap().replace("txt", "text");
            Some(serde_json::from_value(ending.into()).unwrap())
        });
        match Data::open(&config, 0, &Device::Cpu) {
            Err(DataError::Read { .. } | DataError::Text(TextError::ReadTokenizer { .. }) | DataError::Image(_)) => {}
            // Other shards than those in `path` are in object storage.
            Err(DataError::Stream(StreamError::Mixed { .. })) => {}
            Err(DataError::Table(error)) if matches!(*error, TableError::NoParquet { .. }) => {}
            other => panic!("{snippet}{:?}", other.map(drop)),
        }
    }
}

#[test]
fn every_option_is_on_the_page_and_no_other() {
    let error = toml::from_str::<DataConfig>("path = \"a\"\nno_such_option = 1").unwrap_err().to_string();
    let (_, expected) = error.split_once("expected one of ").unwrap();
    let mut known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut listed: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    known.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, known);
}
