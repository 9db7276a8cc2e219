//! The page `docs/configuration.md`.

use std::fmt::Write;

use serde_json::Value;

use crate::train::config::keys::{Key, Table, tables};

const INTRODUCTION: &str = r#"# Configuration

<!-- written by `train reference`, from the types that read a configuration; not by hand -->

A run is a TOML file. This page has every key: its type and range, its default, and its meaning. `train init DATA`
writes a file for your data, with comments; `train check FILE` shows how a run would interpret it, without training; the
`config.toml` of a run has every default written out. An unknown key is refused, with the nearest known one as a
suggestion. A program can add its own kinds to those of `[model]`, `[loss]`, `data.format`, `validation.metrics` and the
schedules, each with its own keys ([`models.md`](models.md)).

An editor that checks TOML by a JSON schema (Even Better TOML, or any other with Taplo) completes keys, shows
their meaning and marks mistakes if the first line of the file names [`config.schema.json`](config.schema.json), by a
path or a URL:

```toml
#:schema docs/config.schema.json
```

`train reference` prints this page, and `train reference --schema` the schema. Paths in a file are relative to the file.
In the column of defaults, "needed" means that the key is required, "–" that it has no effect if left out, and "see
there" that the meaning describes the default.

"#;

const SCHEDULES: &str = "\
## Schedules

A schedule (`schedule`, `momentum_schedule`, `beta2_schedule` and the like) is one line of text, such as \
`\"warmup(100) -> cosine(900)\"`, or a table of one of these kinds. [`schedules.md`](schedules.md) has the formulas, \
and the equivalents of other frameworks' schedulers. A length is a whole number of steps, or of epochs if `unit` is \
`\"epoch\"`, a share of the run such as `\"10%\"`, or an amount of data such as `\"50000 samples\"` or \
`\"2e9 tokens\"`. The range of a parameter is checked before the first step, once the length of the run is known.

";

/// Returns the page, in Markdown.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut schedules_began = false;
    for table in tables() {
        let is_schedule = table.path == "schedule";
        if is_schedule && !schedules_began {
            page += SCHEDULES;
            schedules_began = true;
        }
        // Writing to a string does not fail.
        let _ = write_table(&mut page, &table, is_schedule);
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

fn write_table(page: &mut String, table: &Table, is_schedule: bool) -> std::fmt::Result {
    let place = table.path.replace("[]", "");
    let heading = match (&table.kind, place.as_str()) {
        (Some(kind), _) if is_schedule => format!("### `kind = \"{kind}\"`"),
        (Some(kind), _) if table.path.ends_with("[]") => format!("## Each of `{place}` with `kind = \"{kind}\"`"),
        (Some(kind), _) => format!("## `[{place}]` with `kind = \"{kind}\"`"),
        (None, "") => "## The whole".to_owned(),
        (None, _) if table.path.ends_with("[]") => format!("## Each of `{place}`"),
        (None, _) => format!("## `[{place}]`"),
    };
    writeln!(page, "{heading}\n\n{}\n", table.meaning)?;
    if table.keys.iter().all(|key| key.name == "kind") {
        return Ok(());
    }
    writeln!(page, "| key | type and range | default | meaning |\n|---|---|---|---|")?;
    for key in table.keys.iter().filter(|key| key.name != "kind" || table.kind.is_none()) {
        let kind = if key.range.is_empty() { key.kind.clone() } else { format!("{}, {}", key.kind, key.range) };
        writeln!(page, "| `{}` | {} | {} | {} |", key.name, cell(&kind), cell(&default(key)), cell(&meaning(key)))?;
    }
    writeln!(page)
}

fn default(key: &Key) -> String {
    let value = |value: &Value| match toml::Value::try_from(value) {
        Ok(table @ toml::Value::Table(_)) => format!("`{table}`"),
        _ => format!("`{value}`"),
    };
    match &key.defaults[..] {
        _ if key.needed => "needed".to_owned(),
        _ if key.derived => "follows from other keys".to_owned(),
        [] if key.meaning.contains("Default") => "see there".to_owned(),
        [] => "–".to_owned(),
        [(only, _)] => value(only),
        several => {
            let of = |(default, formats): &(Value, Vec<&str>)| format!("{} ({})", value(default), formats.join(", "));
            several.iter().map(of).collect::<Vec<_>>().join("; ")
        }
    }
}

fn meaning(key: &Key) -> String {
    let words = key.words.iter().map(|(word, meaning)| format!("`{word}`: {meaning}"));
    std::iter::once(key.meaning.clone()).chain(words).collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
