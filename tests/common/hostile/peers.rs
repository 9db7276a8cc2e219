//! Other trainers' files: read as data, never run, within a fixed multiple of their size in memory.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;

use rekindle::peers::formats::pickle::{self, Refusal, Storages, Wanted};
use rekindle::peers::formats::{json, torch};
use rekindle::peers::tensor::Storage;
use rekindle::peers::tree::Tree;
use rekindle::peers::{PeerError, open};

use super::Arena;
use super::memory::bounded;

/// Memory for each byte. An opcode of one byte makes an empty list, which takes 32 bytes in the tree, three times while
/// the tree grows. A description of a run may have several texts for a value.
const TIMES: usize = 256;

/// A pickle with storages beside it.
pub fn peer_pickle(_: &Arena, bytes: &[u8]) {
    let read = bounded(bytes.len(), TIMES, || pickle::read(bytes, &mut Zeros::default()).map(|(tree, _)| tree));
    if let Ok(tree) = read {
        look(&tree);
    }
}

/// A file of `torch.save`, or of whatever its first bytes say, as a format and as a run.
pub fn peer_torch(arena: &Arena, bytes: &[u8]) {
    let path = arena.file("peer.pt");
    fs::write(&path, bytes).unwrap();
    if let Ok(tree) = bounded(bytes.len(), TIMES, || torch::read(&path).map(|(tree, _)| tree)) {
        look(&tree);
    }
    match bounded(bytes.len(), 4 * TIMES, || open(&path)) {
        Ok(peer) => assert_eq!(peer.path, path),
        Err(error) => assert!(matches!(error, PeerError::Io { .. }) || !error.to_string().is_empty()),
    }
    assert!(fs::read(&path).unwrap() == bytes);
    fs::remove_file(&path).unwrap();
}

/// JSON as Python writes it.
pub fn peer_json(_: &Arena, bytes: &[u8]) {
    if let Ok(tree) = bounded(bytes.len(), TIMES, || json::parse(bytes)) {
        look(&tree);
    }
}

/// Reads all that can be reached, each value once. Every list ends, and every tensor gives its numbers.
fn look(tree: &Tree) {
    let (mut next, mut seen) = (vec![tree.root()], HashSet::new());
    while let Some(value) = next.pop() {
        if !seen.insert(value.place()) {
            continue;
        }
        // A view may repeat what is stored.
        if let Some(tensor) = value.tensor().filter(|tensor| tensor.elements() < 1 << 12) {
            drop(tensor.to_bytes());
            drop(tensor.to_f64());
        }
        let _ = (value.number(), value.get("state"));
        next.extend(value.items().into_iter().flatten());
        next.extend(value.attributes().into_iter().flatten().flat_map(|(key, value)| [key, value]));
    }
    assert!(seen.len() <= tree.len());
}

/// Storages of zeros under the numbers 0 to 15, up to a size.
#[derive(Default)]
struct Zeros(HashMap<String, Arc<Storage>>);

impl Storages for Zeros {
    fn storage(&mut self, wanted: Wanted<'_>) -> Result<Option<Arc<Storage>>, Refusal> {
        let size = wanted.elements.saturating_mul(wanted.element_bytes);
        if size > 1 << 12 || !wanted.key.parse::<u8>().is_ok_and(|key| key < 16) {
            return Err(Refusal::Damaged("there is no such storage".to_owned()));
        }
        let storage = self.0.entry(wanted.key.to_owned()).or_insert_with(|| Storage::owned(vec![0; size]));
        Ok(Some(Arc::clone(storage)))
    }
}
