//! Tests of batches made in advance.

use std::sync::atomic::AtomicUsize;
use std::thread::ThreadId;

use candle_core::{Device, Tensor};

use super::*;

/// Longer than [`PREFETCH_THRESHOLD`].
const SLOW: Duration = Duration::from_millis(1);

fn batch(number: u64) -> Batch {
    let tensor = Tensor::new(&[number as u32], &Device::Cpu).unwrap();
    Batch { inputs: tensor.clone(), targets: tensor }
}

fn number(batch: &Batch) -> u64 {
    batch.inputs.to_vec1::<u32>().unwrap()[0].into()
}

/// Number of each batch, and the thread that made it.
type Log = Arc<Mutex<Vec<(u64, ThreadId)>>>;

/// Returns a prefetcher whose batches contain their numbers, and a log.
fn slow() -> (Prefetcher, Log) {
    let made = Arc::new(Mutex::new(Vec::new()));
    let log = made.clone();
    let prepare = move |number| {
        thread::sleep(SLOW);
        lock(&log).push((number, thread::current().id()));
        Ok(batch(number))
    };
    (Prefetcher::new(Arc::new(prepare), u64::MAX), made)
}

#[test]
fn slow_batches_are_made_by_other_threads_once_each() {
    let (ahead, made) = slow();
    for step in 10..60 {
        assert_eq!(number(&ahead.batch(step).unwrap()), step);
    }
    let most = ahead.most().unwrap() as u64;
    drop(ahead);
    let mut made = lock(&made).clone();
    made.sort_by_key(|(number, _)| *number);
    let numbers: Vec<u64> = made.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers[..50], (10..60).collect::<Vec<_>>());
    // Not more than the allowed number is made in advance.
    assert!(numbers.len() as u64 <= 50 + most, "{numbers:?}");
    assert!(made.iter().any(|(_, thread)| *thread != thread::current().id()));
}

#[test]
fn no_thread_is_started_for_quick_batches() {
    // A busy machine may make some batches look slow, but not those of every attempt.
    let starts_none = || {
        let ahead = Prefetcher::new(Arc::new(|number| Ok(batch(number))), u64::MAX);
        assert!((0..100).all(|step| number(&ahead.batch(step).unwrap()) == step));
        ahead.most().is_none()
    };
    assert!((0..20).any(|_| starts_none()));
}

#[test]
fn a_jump_gives_what_walking_there_gives() {
    let (ahead, _) = slow();
    for step in [0, 1, 2, 3, 4, 100, 101, 5, 6, 6, 7, 9, 8, 1_000_000, 0, 0] {
        assert_eq!(number(&ahead.batch(step).unwrap()), step);
    }
}

#[test]
fn no_batch_beyond_the_end_is_made() {
    let (Prefetcher { prepare, .. }, made) = slow();
    let ahead = Prefetcher::new(prepare, 8);
    assert!((0..8).all(|step| number(&ahead.batch(step).unwrap()) == step));
    drop(ahead);
    assert!(lock(&made).iter().all(|(number, _)| *number < 8));
}

#[test]
fn an_error_comes_up_at_the_batch_that_has_it() {
    let prepare = |number| {
        thread::sleep(SLOW);
        if number == 7 { Err(DataError::NoSuchRow { row: 7, rows: 0 }) } else { Ok(batch(number)) }
    };
    let ahead = Prefetcher::new(Arc::new(prepare), u64::MAX);
    for step in (0..12).chain(5..9) {
        let found = ahead.batch(step);
        assert_eq!(found.is_err(), step == 7, "step {step}");
    }
}

#[test]
fn a_panic_comes_up_at_the_batch_that_has_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let prepare = move |number| {
        thread::sleep(SLOW);
        assert!(number != 7 || counted.fetch_add(1, Ordering::SeqCst) > 5, "seven");
        Ok(batch(number))
    };
    let ahead = Prefetcher::new(Arc::new(prepare), u64::MAX);
    assert!((0..7).all(|step| number(&ahead.batch(step).unwrap()) == step));
    let caught = panic::catch_unwind(AssertUnwindSafe(|| ahead.batch(7)));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"seven"));
    assert!((8..20).all(|step| number(&ahead.batch(step).unwrap()) == step));
}

/// A signal must not have to wait for a disk that does not answer.
#[test]
fn a_wait_for_a_batch_ends_when_asked_to() {
    for waits_at in [0, 20] {
        let (gate, answers) = mpsc::channel::<()>();
        let answers = Mutex::new(answers);
        let prepare = move |number| {
            thread::sleep(SLOW);
            if number >= waits_at {
                // Until the other end is dropped.
                let _ = lock(&answers).recv();
            }
            Ok(batch(number))
        };
        let ahead = Prefetcher::new(Arc::new(prepare), u64::MAX);
        (0..waits_at).for_each(|step| drop(ahead.batch(step).unwrap()));
        assert!(ahead.batch_unless(waits_at, &|| true).unwrap().is_none());
        // Dropping does not wait for the end of the threads either.
        drop(ahead);
        drop(gate);
    }
}

#[test]
fn dropping_it_ends_its_threads() {
    let (ahead, made) = slow();
    (0..5).for_each(|step| drop(ahead.batch(step).unwrap()));
    drop(ahead);
    let count = Arc::strong_count(&made);
    assert_eq!(count, 1, "a thread still holds on to what makes batches");
}
