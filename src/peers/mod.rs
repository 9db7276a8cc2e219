//! Other trainers' checkpoints: read without running any code, described in one form, continued, and written back.
//!
//! 1. [`tree`] and [`tensor`]: what any such file holds, as a tree of values with references, and tensors that are views
//!    of the mapped file. [`formats`] reads files into them, one file per format.
//! 2. [`peer`]: the one description of a run, whoever wrote it. [`trainers`] fills it from a tree, one file per trainer.
//! 3. [`translate`]: its schedules and optimizers in our terms. [`import`] makes a state of ours from it, [`report`] shows
//!    it, and [`difference`] compares two.
//! 4. [`export`]: a state of ours as another trainer's checkpoint, by [`mod@write`]. [`verify`]: the checksums of a file.
//!
//! The formats and trainers know nothing of our runs.

pub mod difference;
pub mod error;
pub mod export;
pub mod formats;
pub mod import;
pub mod peer;
pub mod report;
pub mod tensor;
pub mod trainers;
pub mod translate;
pub mod tree;
pub mod verify;
pub mod write;

pub use error::PeerError;
pub use peer::Peer;
pub use trainers::open;
