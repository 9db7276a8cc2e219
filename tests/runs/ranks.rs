//! A run that several processes compute together, here as threads that send each other what they have, has the bits of
//! one process.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rekindle::distributed::{Communicator, CommunicatorError, Message};
use rekindle::train::{Control, Outcome, Session, Setting, Sink, StepRecord, TrainError, from_file};

use crate::common::{ADAMW, EVERY_STEP, Lab, assert_same_bits, log, small};

/// A rank with a channel from each and to each, itself included.
struct Rank {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

fn ranks(world: usize) -> Vec<Rank> {
    let mut ranks: Vec<Rank> = (0..world).map(|rank| Rank { rank, to: Vec::new(), from: Vec::new() }).collect();
    for from in 0..world {
        for to in 0..world {
            let (sender, receiver) = channel();
            ranks[from].to.push(sender);
            ranks[to].from.push(receiver);
        }
    }
    ranks
}

impl Rank {
    /// Sends a message to each rank, and returns what they send, one after the other.
    fn exchange(
        &self,
        messages: impl Iterator<Item = Vec<u8>>,
        sizes: &[usize],
    ) -> Result<Message, CommunicatorError> {
        self.to.iter().zip(messages).try_for_each(|(to, message)| to.send(message))?;
        let mut all = Vec::new();
        for (from, &size) in self.from.iter().zip(sizes) {
            let message = from.recv_timeout(Duration::from_secs(60))?;
            assert_eq!(message.len(), size);
            all.extend(message);
        }
        Ok(Message::of(&all))
    }
}

impl Communicator for Rank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.to.len()
    }

    fn all_to_all(
        &self,
        parts: Message,
        sizes: &[usize],
        received_sizes: &[usize],
    ) -> Result<Message, CommunicatorError> {
        assert_eq!(parts.bytes().len(), sizes.iter().sum::<usize>());
        let mut start = 0;
        let messages = sizes.iter().map(|size| {
            start += size;
            parts.bytes()[start - size..start].to_vec()
        });
        self.exchange(messages, received_sizes)
    }

    fn all_gather(&self, own: Message, sizes: &[usize]) -> Result<Message, CommunicatorError> {
        assert_eq!(own.bytes().len(), sizes[self.rank]);
        self.exchange(std::iter::repeat_n(own.bytes().to_vec(), self.to.len()), sizes)
    }
}

/// Asks for an end after the update of this step.
struct StopAfter(u64, Control);

impl Sink for StopAfter {
    fn record(&mut self, record: &StepRecord) {
        if record.step == self.0 {
            self.1.stop(15);
        }
    }
}

/// Trains the run of `config.toml` with this setting in the directory `out`, as one of several ranks if there is one.
fn train(lab: &Lab, accumulate: &str, out: &str, rank: Option<Rank>, stop_after: u64) -> Result<Outcome, TrainError> {
    let setting = Setting::parse(&format!("train.accumulate={accumulate}")).unwrap();
    let builder = Session::builder(from_file(&lab.path("config.toml"), &[setting]).unwrap());
    let builder = match rank {
        Some(rank) => builder.communicator(rank),
        None => builder,
    };
    let control = Control::new();
    builder.run_in(&lab.path(out), control.clone())?.run.train(&mut StopAfter(stop_after, control))
}

/// Trains as each of `world` ranks, in the directories `name-0`, `name-1` and so on.
fn train_together(lab: &Lab, world: usize, accumulate: &str, name: &str, stop_after: u64) {
    thread::scope(|scope| {
        for rank in ranks(world) {
            let out = format!("{name}-{}", rank.rank);
            scope.spawn(move || train(lab, accumulate, &out, Some(rank), stop_after).unwrap());
        }
    });
}

const NEVER: u64 = u64::MAX;

/// With dropout, whose masks go by the number of a piece, and clipping, which goes by the norm of the sum.
#[test]
fn any_number_of_ranks_has_the_bits_of_one_process_also_after_a_resume() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    for (world, accumulate) in [(2, "2"), (2, "3"), (3, "3"), (2, "7"), (3, "8"), (4, "13")] {
        let name = format!("{world}-{accumulate}");
        let alone = format!("{name}-alone");
        train(&lab, accumulate, &alone, None, NEVER).unwrap();
        train_together(&lab, world, accumulate, &name, 4);
        assert_eq!(log(&lab.path(&format!("{name}-0"))).len(), 5);
        train_together(&lab, world, accumulate, &name, NEVER);
        for rank in 0..world {
            assert_same_bits(&lab.path(&alone), &lab.path(&format!("{name}-{rank}")));
        }
    }
}

/// The last batch of an epoch has one of 48 rows, and so one piece.
#[test]
fn a_rank_without_a_piece_of_a_batch_adds_nothing() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(6)", EVERY_STEP).replace("batch_size = 13", "batch_size = 47"));
    train(&lab, "2", "alone", None, NEVER).unwrap();
    train_together(&lab, 2, "2", "run", NEVER);
    assert_eq!(log(&lab.path("alone")).len(), 6);
    for rank in ["run-0", "run-1"] {
        assert_same_bits(&lab.path("alone"), &lab.path(rank));
    }
}

#[test]
fn a_rank_that_has_ended_is_an_error_with_the_step() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let message = thread::scope(|scope| {
        let [first, second] = ranks(2).try_into().ok().unwrap();
        scope.spawn(|| train(&lab, "2", "second", Some(second), 2).unwrap());
        train(&lab, "2", "first", Some(first), NEVER).unwrap_err().to_string()
    });
    assert!(
        message.starts_with("process 0 of 2 (counted from 0) has lost touch with the others at step 3: "),
        "{message}"
    );
    assert_eq!(newest(&lab.path("first")), newest(&lab.path("second")));
}

fn newest(run: &Path) -> u64 {
    *crate::common::steps(run).last().unwrap()
}

#[test]
fn more_ranks_than_pieces_are_refused() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let message = train(&lab, "1", "run", Some(ranks(2).remove(0)), NEVER).unwrap_err().to_string();
    let expected = "train.accumulate = 1: each of the 2 processes computes a piece of every batch; must be at least 2";
    assert_eq!(message, expected);
}
