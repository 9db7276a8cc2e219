//! Reference of configurations: every key with its type, default, range and meaning, generated from the types that read
//! them. As a page it is `docs/configuration.md`, and as a JSON schema for editors `docs/config.schema.json`.

mod page;

pub use crate::train::config::keys::{Key, Table, schema, tables};
pub use page::page;
