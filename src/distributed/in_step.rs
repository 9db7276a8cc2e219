//! Micro-batches that are computed at the same time, and exchange numbers on the way: those of this process on a thread
//! each, those of other processes there.
//!
//! This thread alone calls the communicator. It waits until all threads have given their numbers, exchanges them with the
//! other processes, and gives each thread those of all.

use std::io;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::{Communicator, CommunicatorError, gather};
use crate::threads;

/// The message of a process whose micro-batches are computed. Numbers are longer, and a process without micro-batches
/// sends nothing.
const END: [u8; 1] = [1];

/// Numbers of all micro-batches, in their order.
type All = Arc<Vec<Vec<f64>>>;

/// Why micro-batches were not computed.
#[derive(Debug)]
pub enum InStepError<E> {
    /// The system refuses a thread.
    Thread(io::Error),
    /// Another process cannot be reached, or has come to another exchange.
    Communicator(CommunicatorError),
    /// The first one of this process that has failed.
    Work(E),
}

/// A micro-batch among those that are computed at the same time.
pub struct Place {
    number: usize,
    to: Sender<Event>,
    from: Receiver<All>,
}

impl Place {
    /// Gives numbers to all other micro-batches, waits for theirs, and returns all in the order of the micro-batches. Each
    /// calls this as often, with as many numbers.
    ///
    /// # Errors
    /// Another micro-batch has ended, most often by a failure.
    pub fn exchange(&self, own: Vec<f64>) -> candle_core::Result<Arc<Vec<Vec<f64>>>> {
        let ended = || candle_core::Error::msg("another micro-batch has ended before this one");
        self.to.send(Event::Numbers(self.number, own)).map_err(|_| ended())?;
        self.from.recv().map_err(|_| ended())
    }
}

/// The message of a thread, with its number among those of this process.
enum Event {
    Numbers(usize, Vec<f64>),
    Ended(usize),
}

/// Tells that a thread ends, also if it panics.
struct Ended(usize, Sender<Event>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody listens if a thread was refused.
        let _ = self.1.send(Event::Ended(self.0));
    }
}

/// Calls `work` with the number of each micro-batch in `own`, those of this process, at the same time. Returns the results
/// in their order. All processes call this, also one without micro-batches.
///
/// # Errors
/// As [`InStepError`].
pub fn in_step<T: Send, E: Send>(
    communicator: &dyn Communicator,
    own: Range<usize>,
    work: impl Fn(usize, Place) -> Result<T, E> + Sync,
) -> Result<Vec<T>, InStepError<E>> {
    if own.is_empty() {
        return follow(communicator).map(|()| Vec::new()).map_err(InStepError::Communicator);
    }
    let (to, events) = channel();
    let (replies, places): (Vec<Sender<All>>, Vec<Receiver<All>>) = own.clone().map(|_| channel()).unzip();
    let (first, exchanged, mut results) = thread::scope(|scope| {
        // Dropped if a thread is refused, so that those before it end.
        let replies = replies;
        let mut running = Vec::new();
        for (number, (micro_batch, from)) in own.zip(places).enumerate() {
            let (to, work) = (to.clone(), &work);
            let compute = move || {
                let _ended = Ended(number, to.clone());
                work(micro_batch, Place { number, to, from })
            };
            let builder = threads::deep_builder(&format!("batch-{micro_batch}"));
            let refused = |error| InStepError::Thread(threads::cannot_start("for a micro-batch", &error));
            running.push(builder.spawn_scoped(scope, compute).map_err(refused)?);
        }
        let (first, exchanged) = attend(communicator, &events, replies);
        let results = running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        Ok((first, exchanged, results.collect::<Vec<Result<T, E>>>()))
    })?;
    exchanged.map_err(InStepError::Communicator)?;
    // Those that wait for the first one to fail fail too, and know no reason.
    if let Some(first) = first.filter(|&first| results[first].is_err()) {
        results.swap(0, first);
    }
    let found = results.into_iter().collect::<Result<Vec<T>, E>>().map_err(InStepError::Work)?;
    end(communicator).map(|()| found).map_err(InStepError::Communicator)
}

/// Exchanges the numbers of the threads until all have ended. Returns the first one that has.
fn attend(
    communicator: &dyn Communicator,
    events: &Receiver<Event>,
    mut replies: Vec<Sender<All>>,
) -> (Option<usize>, Result<(), CommunicatorError>) {
    let mut numbers = vec![Vec::new(); replies.len()];
    let (mut waiting, mut ended, mut first, mut outcome) = (0, 0, None, Ok(()));
    while ended < numbers.len() {
        match events.recv() {
            Ok(Event::Numbers(thread, own)) => {
                numbers[thread] = own;
                waiting += 1;
            }
            Ok(Event::Ended(thread)) => {
                ended += 1;
                first.get_or_insert(thread);
            }
            Err(_) => break,
        }
        if ended > 0 {
            // One that waits for numbers of this one learns that there are none.
            replies.clear();
        } else if waiting == numbers.len() {
            waiting = 0;
            match numbers_of_all(communicator, &mut numbers) {
                Ok(all) => replies.iter().for_each(|reply| drop(reply.send(Arc::clone(&all)))),
                Err(error) => {
                    outcome = Err(error);
                    replies.clear();
                }
            }
        }
    }
    (first, outcome)
}

/// Exchanges the numbers of the micro-batches of this process for those of all.
fn numbers_of_all(communicator: &dyn Communicator, own: &mut [Vec<f64>]) -> Result<All, CommunicatorError> {
    let own: Vec<Vec<f64>> = own.iter_mut().map(std::mem::take).collect();
    if communicator.world() == 1 {
        return Ok(Arc::new(own));
    }
    let len = own.first().map_or(0, Vec::len).max(1);
    if own.iter().any(|numbers| numbers.len() != len) {
        return Err("micro-batches have come to different exchanges".into());
    }
    let mut all = Vec::new();
    for (rank, bytes) in gather(communicator, bytemuck::cast_slice(&own.concat()))?.into_iter().enumerate() {
        if !bytes.len().is_multiple_of(len * size_of::<f64>()) {
            return Err(format!("process {rank} has come to another exchange").into());
        }
        let (numbers, _) = bytes.as_chunks();
        let numbers: Vec<f64> = numbers.iter().map(|number| f64::from_ne_bytes(*number)).collect();
        all.extend(numbers.chunks_exact(len).map(<[f64]>::to_vec));
    }
    Ok(Arc::new(all))
}

/// Says that the micro-batches of this process are computed, at the same time as all others do.
fn end(communicator: &dyn Communicator) -> Result<(), CommunicatorError> {
    if communicator.world() == 1 {
        return Ok(());
    }
    match gather(communicator, &END)?.iter().position(|said| said.len() > END.len()) {
        Some(rank) => Err(format!("process {rank} has come to another exchange").into()),
        None => Ok(()),
    }
}

/// Takes part in the exchanges of others, without micro-batches.
fn follow(communicator: &dyn Communicator) -> Result<(), CommunicatorError> {
    loop {
        let said = gather(communicator, &[])?;
        if said.iter().any(|said| said.len() == END.len()) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributed::SingleProcess;

    #[test]
    fn each_micro_batch_gets_the_numbers_of_all_in_their_order() {
        let found = in_step(&SingleProcess, 0..5, |number, place| {
            let first = place.exchange(vec![number as f64])?;
            let second = place.exchange(vec![10.0 * number as f64, 1.0])?;
            Ok::<_, candle_core::Error>((first.concat(), second.concat().iter().sum::<f64>()))
        });
        assert_eq!(found.unwrap(), vec![(vec![0.0, 1.0, 2.0, 3.0, 4.0], 105.0); 5]);
    }

    #[test]
    fn a_failure_of_one_ends_all_and_is_the_one_that_is_told() {
        let found = in_step(&SingleProcess, 0..4, |number, place| {
            place.exchange(vec![0.0])?;
            if number == 2 {
                candle_core::bail!("the disk is on fire");
            }
            place.exchange(vec![0.0]).map(drop)
        });
        let Err(InStepError::Work(error)) = found else { panic!("{found:?}") };
        // Where backtraces are on, more lines follow.
        assert!(error.to_string().starts_with("the disk is on fire"), "{error}");
    }

    #[test]
    fn one_that_exchanges_less_often_is_an_error_and_no_wait() {
        let found = in_step(&SingleProcess, 0..2, |number, place| {
            (0..2 + number).try_for_each(|_| place.exchange(vec![0.0]).map(drop))
        });
        let Err(InStepError::Work(error)) = found else { panic!("{found:?}") };
        assert!(error.to_string().starts_with("another micro-batch has ended before this one"), "{error}");
    }

    #[test]
    fn a_refused_thread_is_an_error() {
        let found = crate::threads::starved::without_threads(|| {
            in_step(&SingleProcess, 0..2, |_, place| place.exchange(vec![0.0]).map(drop))
        });
        assert!(matches!(found, Err(InStepError::Thread(_))), "{found:?}");
    }
}
