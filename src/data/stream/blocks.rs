//! Blocks of rows that are held in bounded memory, and read in advance on other threads.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::data::DataError;
use crate::threads;

/// A block: the number of its shard, and its own in the shard.
pub(super) type Id = (usize, usize);

/// Blocks that are read at once, in advance.
const READERS: usize = 4;

/// The blocks in memory. One that is not there is read when it is asked for; it is the same whenever it is read.
pub(super) struct Blocks<B: Send + Sync + 'static>(Arc<Shared<B>>);

struct Shared<B> {
    read: Box<Read<B>>,
    /// The largest number of blocks that are held while nobody uses them.
    most: usize,
    held: Mutex<Held<B>>,
    changed: Condvar,
}

type Read<B> = dyn Fn(Id) -> Result<B, DataError> + Send + Sync;

struct Held<B> {
    slots: HashMap<Id, Slot<B>>,
    /// Blocks to be read in advance, in this order.
    wanted: VecDeque<Id>,
    /// The number of threads that read in advance.
    readers: usize,
    /// Counts uses, so that the block that was not used for longest is known.
    uses: u64,
}

enum Slot<B> {
    Coming,
    Here { block: Arc<B>, used: u64 },
}

impl<B: Send + Sync + 'static> Blocks<B> {
    /// Creates it without blocks; `read` reads one, and at most `most` are held.
    pub fn new(read: impl Fn(Id) -> Result<B, DataError> + Send + Sync + 'static, most: usize) -> Self {
        let held = Held { slots: HashMap::new(), wanted: VecDeque::new(), readers: 0, uses: 0 };
        Self(Arc::new(Shared { read: Box::new(read), most, held: Mutex::new(held), changed: Condvar::new() }))
    }

    /// Returns a block, which may have to be read first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn get(&self, id: Id) -> Result<Arc<B>, DataError> {
        let mut held = self.0.lock();
        loop {
            match held.used(id) {
                Some(Slot::Here { block, .. }) => return Ok(Arc::clone(block)),
                Some(Slot::Coming) => held = self.0.changed.wait(held).unwrap_or_else(PoisonError::into_inner),
                None => break,
            }
        }
        held.slots.insert(id, Slot::Coming);
        drop(held);
        self.0.fetch(id)
    }

    /// Begins to read these blocks in their order, in place of those that were expected before.
    pub fn expect(&self, ids: Vec<Id>) {
        let mut held = self.0.lock();
        let mut wanted = VecDeque::new();
        for id in ids {
            if held.used(id).is_none() {
                wanted.push_back(id);
            }
        }
        held.wanted = wanted;
        while held.readers < READERS.min(held.wanted.len()) {
            let shared = Arc::clone(&self.0);
            // Without a thread, a block is read when it is asked for.
            if threads::builder("shards").spawn(move || shared.work()).is_err() {
                break;
            }
            held.readers += 1;
        }
    }
}

impl<B: Send + Sync + 'static> Drop for Blocks<B> {
    fn drop(&mut self) {
        // Each thread ends after its block.
        self.0.lock().wanted.clear();
    }
}

impl<B> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, Held<B>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads expected blocks until there are no more.
    fn work(&self) {
        loop {
            let mut held = self.lock();
            let Some(id) = held.wanted.pop_front() else {
                held.readers -= 1;
                return;
            };
            if held.slots.contains_key(&id) {
                continue;
            }
            held.slots.insert(id, Slot::Coming);
            drop(held);
            // Whoever needs the block meets the error again.
            if self.fetch(id).is_err() {
                self.lock().wanted.clear();
            }
        }
    }

    /// Reads a block that is marked as coming.
    fn fetch(&self, id: Id) -> Result<Arc<B>, DataError> {
        let _claim = Claim { shared: self, id };
        let block = Arc::new((self.read)(id)?);
        self.lock().keep(id, Arc::clone(&block), self.most);
        Ok(block)
    }
}

/// A block that one thread reads, and others may wait for.
struct Claim<'a, B> {
    shared: &'a Shared<B>,
    id: Id,
}

impl<B> Drop for Claim<'_, B> {
    /// Lets others read the block if this thread could not.
    fn drop(&mut self) {
        let mut held = self.shared.lock();
        if matches!(held.slots.get(&self.id), Some(Slot::Coming)) {
            held.slots.remove(&self.id);
        }
        drop(held);
        self.shared.changed.notify_all();
    }
}

impl<B> Held<B> {
    /// Returns what is known of a block, which counts as its use.
    fn used(&mut self, id: Id) -> Option<&Slot<B>> {
        self.uses += 1;
        let slot = self.slots.get_mut(&id)?;
        if let Slot::Here { used, .. } = slot {
            *used = self.uses;
        }
        Some(slot)
    }

    /// Holds a block, and drops those that were not used for longest.
    fn keep(&mut self, id: Id, block: Arc<B>, most: usize) {
        self.uses += 1;
        self.slots.insert(id, Slot::Here { block, used: self.uses });
        loop {
            let here = self.slots.iter().filter_map(|(id, slot)| match slot {
                Slot::Here { used, .. } => Some((*used, *id)),
                Slot::Coming => None,
            });
            let here: Vec<(u64, Id)> = here.collect();
            match here.iter().min() {
                Some((_, oldest)) if here.len() > most => self.slots.remove(oldest),
                _ => return,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn count(read: &Arc<AtomicUsize>) -> impl Fn(Id) -> Result<Id, DataError> + Send + Sync + use<> + 'static {
        let read = Arc::clone(read);
        move |id| {
            read.fetch_add(1, Ordering::SeqCst);
            Ok(id)
        }
    }

    #[test]
    fn a_block_that_is_held_is_not_read_again_and_the_oldest_are_dropped() {
        let read = Arc::new(AtomicUsize::new(0));
        let blocks = Blocks::new(count(&read), 2);
        for (id, expected) in [(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4), (0, 4)] {
            assert_eq!(*blocks.get((0, id)).unwrap(), (0, id));
            assert_eq!(read.load(Ordering::SeqCst), expected, "after {id}");
        }
    }

    #[test]
    fn expected_blocks_are_read_in_advance_and_once() {
        let read = Arc::new(AtomicUsize::new(0));
        let blocks = Blocks::new(count(&read), 20);
        let ids: Vec<Id> = (0..9).map(|id| (3, id)).collect();
        blocks.expect(ids.clone());
        while read.load(Ordering::SeqCst) < 9 {
            std::thread::sleep(Duration::from_millis(1));
        }
        for id in ids {
            assert_eq!(*blocks.get(id).unwrap(), id);
        }
        assert_eq!(read.load(Ordering::SeqCst), 9);
    }

    #[test]
    fn an_error_is_met_by_who_needs_the_block_and_the_next_read_may_succeed() {
        let read = Arc::new(AtomicUsize::new(0));
        let tries = Arc::clone(&read);
        let fails_first = move |id: Id| match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err(DataError::NothingToVisit),
            _ => Ok(id),
        };
        let blocks = Blocks::new(fails_first, 2);
        assert!(blocks.get((0, 0)).is_err());
        assert_eq!(*blocks.get((0, 0)).unwrap(), (0, 0));
    }
}
