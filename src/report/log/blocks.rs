//! Works on a log in blocks of whole lines, on all threads, and has the results in the order of the log. Memory stays
//! bounded: a few blocks for each thread, which are used again.

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

/// A block, and what is made of it.
#[derive(Default)]
pub(super) struct Buffers {
    pub block: Vec<u8>,
    /// The work begins with what an earlier one made, which saves time if it is as long.
    pub made: Vec<u8>,
}

/// A block, and where its result goes.
type Job<T> = (Buffers, SyncSender<(T, Buffers)>);

/// A result that is being made.
type Pending<T> = Receiver<(T, Buffers)>;

/// Gives the blocks of `log` to `work` on several threads, and its results in order to `take`, with what it made. Each
/// block but the last one ends with a line break, unless a line is too long.
pub(super) fn each<T: Send, E: From<io::Error>>(
    log: impl Read,
    bytes: usize,
    work: impl Fn(&mut Buffers) -> T + Sync,
    mut take: impl FnMut(T, &[u8]) -> Result<(), E>,
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
        let mut pending: VecDeque<Pending<T>> = VecDeque::new();
        let mut spare = Buffers::default();
        while blocks.next(&mut spare.block)? {
            let mut buffers = std::mem::take(&mut spare);
            if started == 0 {
                take(work(&mut buffers), &buffers.made)?;
                spare = buffers;
                continue;
            }
            let (reply, result) = mpsc::sync_channel(1);
            // There is room: no more jobs are pending than the channel holds.
            give.send((buffers, reply)).map_err(|_| gave_up())?;
            pending.push_back(result);
            if pending.len() == 2 * workers {
                spare = take_first(&mut pending, &mut take)?;
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
fn answer<T>(jobs: &Mutex<Receiver<Job<T>>>, work: impl Fn(&mut Buffers) -> T) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((mut buffers, reply)) = job else { return };
        let result = work(&mut buffers);
        // Nobody waits for it after an error.
        drop(reply.send((result, buffers)));
    }
}

/// Takes the result of the first pending job, and returns its buffers.
fn take_first<T, E: From<io::Error>>(
    pending: &mut VecDeque<Pending<T>>,
    take: &mut impl FnMut(T, &[u8]) -> Result<(), E>,
) -> Result<Buffers, E> {
    let Some(first) = pending.pop_front() else { return Ok(Buffers::default()) };
    let (result, buffers) = first.recv().map_err(|_| gave_up())?;
    take(result, &buffers.made)?;
    Ok(buffers)
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
    is_at_end: bool,
}

impl<R: Read> Blocks<R> {
    pub fn of(log: R, bytes: usize) -> Self {
        Self { log, bytes: bytes.max(LONGEST), rest: Vec::new(), is_at_end: false }
    }

    /// Puts the next block into `block`, whose content is of no use any more. Returns false at the end.
    pub fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        // The bytes of the block before are written over, so that most of it need not be set to 0.
        block.resize(self.bytes, 0);
        let mut filled = self.rest.len().min(self.bytes);
        for (place, byte) in block.iter_mut().zip(self.rest.drain(..)) {
            *place = byte;
        }
        while !self.is_at_end && filled < self.bytes {
            match self.log.read(block.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => self.is_at_end = true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        block.truncate(filled);
        if self.is_at_end {
            return Ok(filled > 0);
        }
        let end = memchr::memrchr(b'\n', block).map_or(filled, |end| end + 1);
        self.rest.extend_from_slice(block.get(end..).unwrap_or_default());
        block.truncate(end);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_the_log_in_order_in_whole_lines() {
        let log: String = (0..400_000).map(|line| format!("line {line}\n")).collect();
        for content in [log.as_str(), &log[..log.len() - 4], "one", "", "\n"] {
            let mut all: Vec<u8> = Vec::new();
            let work = |buffers: &mut Buffers| std::mem::swap(&mut buffers.block, &mut buffers.made);
            each(content.as_bytes(), BLOCK, work, |(), block| {
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
        let result = each(
            log.as_bytes(),
            BLOCK,
            |buffers| buffers.block.len(),
            |_, _| {
                taken += 1;
                Err::<(), _>(io::Error::other("full"))
            },
        );
        assert_eq!((result.unwrap_err().to_string(), taken), ("full".to_owned(), 1));
    }
}
