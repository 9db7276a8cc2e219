//! A run that several processes compute together, here as threads that send each other what they have, has the bits of
//! one process.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use candle_core::Tensor;
use rekindle::distributed::{Communicator, CommunicatorError};
use rekindle::optim::Gradients;
use rekindle::train::{Control, Outcome, Session, Setting, Sink, StepRecord, TrainError, from_file};

use crate::common::{ADAMW, EVERY_STEP, Lab, assert_same_bits, log, small};

/// The message of a rank to each of the others.
#[derive(Clone)]
enum Stateful {
    Gradients(Vec<Tensor>),
    Numbers(Vec<f64>),
}

/// A rank with a channel from each and to each, itself included.
struct Rank {
    rank: usize,
    to: Vec<Sender<Stateful>>,
    from: Vec<Receiver<Stateful>>,
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
    /// The parts of all ranks, in their order.
    fn exchange(&self, own: Stateful) -> Result<Vec<Stateful>, CommunicatorError> {
        self.to.iter().try_for_each(|to| to.send(own.clone()))?;
        self.from.iter().map(|from| Ok(from.recv_timeout(Duration::from_secs(60))?)).collect()
    }
}

impl Communicator for Rank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.to.len()
    }

    fn sum_in_order(&self, own: Gradients) -> Result<Gradients, CommunicatorError> {
        let mut sum: Option<Gradients> = None;
        for part in self.exchange(Stateful::Gradients(own.tensors().to_vec()))? {
            let Stateful::Gradients(tensors) = part else { return Err("numbers came where gradients should".into()) };
            let next = own.with_tensors(tensors)?;
            sum = Some(match sum {
                Some(sum) => sum.plus(&next)?,
                None => next,
            });
        }
        Ok(sum.unwrap_or(own))
    }

    fn gather(&self, own: Vec<f64>) -> Result<Vec<f64>, CommunicatorError> {
        let mut all = Vec::new();
        for part in self.exchange(Stateful::Numbers(own))? {
            let Stateful::Numbers(numbers) = part else { return Err("gradients came where numbers should".into()) };
            all.extend(numbers);
        }
        Ok(all)
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
fn two_ranks_and_three_have_the_bits_of_one_process_also_after_a_resume() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    for (world, accumulate) in [(2, "2"), (2, "3"), (3, "3")] {
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
