//! Other trainers' checkpoints: read without running any code, described in one form, continued, and written back.
//!
//! 1. [`tree`] and [`tensor`]: what any such file holds, as a tree of values with references, and tensors that are views
//!    of the mapped file. [`formats`] reads files into them, one file per format.
//! 2. [`peer`]: the one description of a run, whoever wrote it. [`trainers`] fills it from a tree, one file per trainer.
//!
//! The formats and trainers depend on nothing else of this crate.

pub mod difference;
pub mod error;
#[cfg(feature = "trainer")]
pub mod export;
pub mod formats;
#[cfg(feature = "trainer")]
pub mod import;
pub mod peer;
#[cfg(feature = "trainer")]
pub mod report;
pub mod sums;
pub mod tensor;
pub mod trainers;
#[cfg(feature = "trainer")]
pub mod translate;
pub mod tree;
pub mod write;

pub use error::PeerError;
pub use peer::Peer;
pub use trainers::open;
