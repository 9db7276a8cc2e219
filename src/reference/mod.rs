//! The reference of configurations: every key with its type, default, range and meaning, made from the types that read
//! them. As a page it is `docs/configuration.md`, and as a JSON schema for editors `docs/config.schema.json`.
//!
//! `samples.rs` has configurations with as little in them as possible, of which the defaults are read; `schema.rs`
//! makes the schema, `keys.rs` a list of keys from that, and `page.rs` the page.

mod keys;
mod page;
mod samples;
mod schema;

pub use keys::{Key, Table, tables};
pub use page::page;
pub use schema::schema;
