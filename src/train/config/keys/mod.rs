//! Every key of a configuration, with its type, default, range and meaning, made from the types that read it.
//!
//! `samples.rs` has configurations with as little in them as possible, of which the defaults are read; `schema.rs`
//! makes the schema, and `list.rs` a list of keys from that.

mod list;
mod samples;
mod schema;

pub use list::{Key, Table, tables};
pub use schema::schema;
