//! Works on a log in blocks of whole lines, on all threads, and has the results in the order of the log. Memory stays
//! bounded: a few blocks for each thread.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::threads;

/// Bytes of a block, unless its lines are longer: little enough for the cache of a core.
pub(super) const BLOCK: usize = 1 << 20;

/// Maximal length of a line in bytes. Of a longer one each part of this length is a line.
pub(super) const LONGEST: usize = 1 << 20;

/// A block, and where its result goes.
type Job<T> = (Vec<u8>, SyncSender<T>);

/// Gives the blocks of `log` to `work` on several threads, and its results in order to `take`. Each block but the last
/// one ends with a line break, unless a line is too long.
pub(super) fn each<T: Send, E: From<io::Error>>(
    log: impl Read,
    bytes: usize,
    work: impl Fn(&[u8]) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let workers = thread::available_parallelism().map_or(1, |threads| threads.get().min(16));
    let (give, jobs) = mpsc::sync_channel::<Job<T>>(2 * workers);
    let jobs = Mutex::new(jobs);
    thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..workers {
            started += usize::from(threads::builder("log").spawn_scoped(scope, || answer(&jobs, &work)).is_ok());
        }
        let mut blocks = Blocks::of(log, bytes);
        let mut pending: VecDeque<Receiver<T>> = VecDeque::new();
        while let Some(block) = blocks.next()? {
            if started == 0 {
                take(work(&block))?;
                continue;
            }
            let (reply, result) = mpsc::sync_channel(1);
            // There is room: no more jobs are pending than the channel holds.
            give.send((block, reply)).map_err(|_| gave_up())?;
            pending.push_back(result);
            if pending.len() == 2 * workers {
                take_first(&mut pending, &mut take)?;
            }
        }
        // Without more jobs the workers end.
        drop(give);
        while !pending.is_empty() {
            take_first(&mut pending, &mut take)?;
        }
        Ok(())
    })
}

/// Does jobs until there are no more.
fn answer<T>(jobs: &Mutex<Receiver<Job<T>>>, work: impl Fn(&[u8]) -> T) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((block, reply)) = job else { return };
        // Nobody waits for it after an error.
        drop(reply.send(work(&block)));
    }
}

fn take_first<T, E: From<io::Error>>(
    pending: &mut VecDeque<Receiver<T>>,
    take: &mut impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let Some(first) = pending.pop_front() else { return Ok(()) };
    take(first.recv().map_err(|_| gave_up())?)
}

fn gave_up() -> io::Error {
    io::Error::other("a thread that reads the log has failed")
}

/// The blocks of what is read.
pub(super) struct Blocks<R> {
    log: R,
    bytes: usize,
    /// The beginning of a line, read with the block before.
    rest: Vec<u8>,
}

impl<R: Read> Blocks<R> {
    pub fn of(log: R, bytes: usize) -> Self {
        Self { log, bytes, rest: Vec::new() }
    }

    /// Returns the next block; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut block = Vec::with_capacity(self.bytes + LONGEST);
        block.append(&mut self.rest);
        while block.len() < self.bytes.max(LONGEST) {
            let more = (self.bytes.max(LONGEST) - block.len()) as u64;
            if self.log.by_ref().take(more).read_to_end(&mut block)? == 0 {
                return Ok((!block.is_empty()).then_some(block));
            }
        }
        let end = memchr::memrchr(b'\n', &block).map_or(block.len(), |end| end + 1);
        self.rest.extend_from_slice(block.get(end..).unwrap_or_default());
        block.truncate(end);
        Ok(Some(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_the_log_in_order_in_whole_lines() {
        let log: String = (0..400_000).map(|line| format!("line {line}\n")).collect();
        for content in [log.as_str(), &log[..log.len() - 4], "one", "", "\n"] {
            let mut all = Vec::new();
            let work = |block: &[u8]| block.to_vec();
            each(content.as_bytes(), BLOCK, work, |block: Vec<u8>| {
                assert!(all.len() + block.len() == content.len() || block.ends_with(b"\n"));
                all.extend(block);
                Ok::<_, io::Error>(())
            })
            .unwrap();
            assert!(all == content.as_bytes());
        }
    }

    #[test]
    fn an_error_ends_it_at_once() {
        let log = "line\n".repeat(4_000_000);
        let mut taken = 0;
        let result = each(log.as_bytes(), BLOCK, <[u8]>::len, |_| {
            taken += 1;
            Err::<(), _>(io::Error::other("full"))
        });
        assert_eq!((result.unwrap_err().to_string(), taken), ("full".to_owned(), 1));
    }
}
