//! Files of other trainers, written: pickles of protocol 2, and the zip of `torch.save` around them.
//!
//! As the formats that are read, these depend on nothing else of this crate.

pub mod item;
pub mod pickle;
pub mod torch_zip;

pub use item::{Item, Stored};
