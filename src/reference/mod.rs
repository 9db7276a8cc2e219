//! Reference of configurations: every key with its type, default, range and meaning, generated from the types that read
//! them. As a page it is `docs/configuration.md`, and as a JSON schema for editors `docs/config.schema.json`.
//!
//! `samples.rs` has minimal configurations, from which the defaults are read; `schema.rs` generates the schema,
//! `keys.rs` a list of keys from it, and `page.rs` the page.

mod keys;
mod page;
mod samples;
mod schema;

pub use keys::{Key, Table, tables};
pub use page::page;
pub use schema::schema;
