//! Formats of files, one file each: bytes become a [`Tree`](super::tree::Tree) or tensors, and no code is run.
//!
//! A format knows nothing of trainers. Each refuses by name what it does not read, and takes no more memory than a small
//! multiple of the file's size.
