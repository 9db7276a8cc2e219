//! The number of threads that read batches ahead changes no bit.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId, available_parallelism};
use std::time::Duration;

use candle_core::{Device, Tensor};
use rekindle::data::{Batch, DataError, Dataset, Fingerprint, Input, TargetKind};
use rekindle::train::{Control, Session, from_file};

use crate::common::place::Place;
use crate::common::{ADAMW, EVERY_EPOCH, Lab, assert_same_bits};

/// The number of batches that each thread has gathered ahead.
type Gathered = Arc<Mutex<HashMap<ThreadId, usize>>>;

/// Columns of a row: a batch of eight is large enough for a GPU to upload it beside training.
const COLUMNS: usize = 2100;

/// Rows that take long to gather.
struct Slow(Fingerprint, Gathered);

impl Dataset for Slow {
    fn len(&self) -> usize {
        400
    }

    fn input(&self) -> Input {
        Input::Numbers(vec![COLUMNS])
    }

    fn targets(&self) -> TargetKind {
        TargetKind::Classes { count: 3 }
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.0
    }

    fn gather(&self, rows: &[usize]) -> Result<Batch, DataError> {
        thread::sleep(Duration::from_millis(2));
        let current = thread::current();
        if current.name() == Some("batches") {
            *self.1.lock().unwrap().entry(current.id()).or_default() += 1;
        }
        let number = |row: usize, column: usize| (row * (column + 7) % 61) as f32 / 30.0 - 1.0;
        let numbers: Vec<f32> =
            rows.iter().flat_map(|&row| (0..COLUMNS).map(move |column| number(row, column))).collect();
        let classes: Vec<u32> = rows.iter().map(|row| (row * row % 3) as u32).collect();
        Ok(Batch {
            inputs: Tensor::from_vec(numbers, (rows.len(), COLUMNS), &Device::Cpu)?,
            targets: Tensor::from_vec(classes, rows.len(), &Device::Cpu)?,
        })
    }
}

/// Lets the calling thread, and those that it starts, use `count` processors.
fn use_processors(count: usize) {
    // SAFETY: a set of processors may be all zeros, and both calls get its size.
    let set = unsafe {
        let mut all: libc::cpu_set_t = mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&all), &raw mut all), 0);
        let mut some: libc::cpu_set_t = mem::zeroed();
        let numbers = (0..libc::CPU_SETSIZE as usize).filter(|&number| libc::CPU_ISSET(number, &all));
        numbers.take(count).for_each(|number| libc::CPU_SET(number, &mut some));
        libc::sched_setaffinity(0, size_of_val(&some), &raw const some)
    };
    assert_eq!(set, 0);
}

/// Trains on `processors`, and returns how many threads read ahead: as many as there are processors, up to four.
fn train(lab: &Lab, out: &str, processors: usize) -> usize {
    let gathered = Gathered::default();
    let data = Slow(Fingerprint::of(b"slow, version 1"), Arc::clone(&gathered));
    thread::scope(|scope| {
        scope.spawn(|| {
            use_processors(processors);
            let builder = Session::builder(from_file(&lab.path("config.toml"), &[]).unwrap()).dataset(data);
            builder.run_in(&lab.path(out), Control::new()).unwrap().run.train(&mut ()).unwrap();
        });
    });
    // The first batches are gathered by a thread for each.
    let gathered = gathered.lock().unwrap();
    gathered.values().filter(|&&batches| batches > 1).count()
}

#[test]
fn one_and_two_threads_that_read_ahead_give_the_same_bits() {
    let places = [Place::Cpu].into_iter().chain(Place::cuda("threads that read ahead").map(|_| Place::Cuda));
    for place in places {
        let lab = Lab::at(
            place,
            &format!(
                "seed = 3\noptimizer = {ADAMW}\ntrain = {{ epochs = 2 }}\n{EVERY_EPOCH}\n\
                 data = {{ format = 'custom', validation = 0.2, batch_size = 8 }}\n\
                 model = {{ kind = 'mlp', hidden = [8], dropout = 0.3 }}\n"
            ),
        );
        assert_eq!(train(&lab, "one", 1), 1);
        if available_parallelism().unwrap().get() > 1 {
            assert_eq!(train(&lab, "two", 2), 2);
            assert_same_bits(&lab.path("one"), &lab.path("two"));
        }
    }
}
