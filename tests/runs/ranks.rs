//! A run that several processes compute together, here as threads that send each other what they have, has the bits of
//! one process.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use rekindle::distributed::{Communicator, CommunicatorError, ConnectError, DeviceLink, Message};
use rekindle::train::{Control, Outcome, Session, Setting, Sink, Sinks, StepRecord, TrainError, from_file};

use crate::common::data::{mnist, write};
use crate::common::{ADAMW, EVERY_STEP, Lab, assert_same_bits, checkpoint, log, small};

/// A rank with a channel from each and to each, itself included.
pub struct Rank {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
    /// The exchanges after which it fails.
    pub exchanges: Cell<usize>,
    /// Its way to the devices of the others, if it has one.
    pub devices: Option<Devices>,
}

pub fn ranks(world: usize) -> Vec<Rank> {
    let mut ranks: Vec<Rank> = (0..world)
        .map(|rank| Rank { rank, to: Vec::new(), from: Vec::new(), exchanges: Cell::new(usize::MAX), devices: None })
        .collect();
    for from in 0..world {
        for to in 0..world {
            let (sender, receiver) = channel();
            ranks[from].to.push(sender);
            ranks[to].from.push(receiver);
        }
    }
    ranks
}

/// The way of tensors from rank to rank.
pub struct Devices {
    to: Vec<Sender<Option<Tensor>>>,
    from: Vec<Receiver<Option<Tensor>>>,
    is_connected: Cell<bool>,
    /// How many exchanges went this way, over all ranks.
    exchanges: Arc<AtomicUsize>,
}

/// Ranks whose devices can be connected.
fn ranks_with_devices(world: usize, exchanges: &Arc<AtomicUsize>) -> Vec<Rank> {
    let mut ranks = ranks(world);
    for rank in &mut ranks {
        let (to, from, exchanges) = (Vec::new(), Vec::new(), Arc::clone(exchanges));
        rank.devices = Some(Devices { to, from, is_connected: Cell::new(false), exchanges });
    }
    for from in 0..world {
        for to in 0..world {
            let (sender, receiver) = channel();
            ranks[from].devices.as_mut().unwrap().to.push(sender);
            ranks[to].devices.as_mut().unwrap().from.push(receiver);
        }
    }
    ranks
}

impl DeviceLink for Devices {
    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn exchange(
        &self,
        parts: &[Option<Tensor>],
        sizes: &[usize],
        dtype: DType,
    ) -> Result<Option<Tensor>, CommunicatorError> {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        for (to, part) in self.to.iter().zip(parts) {
            assert!(part.iter().all(|part| part.dtype() == dtype && part.is_contiguous()));
            to.send(part.clone())?;
        }
        let mut received = Vec::new();
        for (from, &size) in self.from.iter().zip(sizes) {
            let part = from.recv_timeout(Duration::from_secs(60))?;
            assert_eq!(part.iter().map(Tensor::elem_count).sum::<usize>(), size);
            received.extend(part);
        }
        Ok(if received.is_empty() { None } else { Some(Tensor::cat(&received, 0)?) })
    }
}

impl Rank {
    /// Sends a message to each rank, and returns what they send, one after the other.
    fn exchange(&self, messages: impl Iterator<Item = Vec<u8>>, sizes: &[usize]) -> Result<Message, CommunicatorError> {
        let left = self.exchanges.get().checked_sub(1).ok_or("this rank has failed")?;
        self.exchanges.set(left);
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

    fn connect(&self, _: &Device) -> Result<(), ConnectError> {
        self.devices.iter().for_each(|devices| devices.is_connected.set(true));
        Ok(())
    }

    fn link(&self) -> Option<&dyn DeviceLink> {
        self.devices.as_ref().filter(|devices| devices.is_connected.get()).map(|devices| devices as &dyn DeviceLink)
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
pub fn train(
    lab: &Lab,
    accumulate: &str,
    out: &str,
    rank: Option<Rank>,
    stop_after: u64,
) -> Result<Outcome, TrainError> {
    let setting = Setting::parse(&format!("train.accumulate={accumulate}")).unwrap();
    let builder = Session::builder(from_file(&lab.path("config.toml"), &[setting]).unwrap());
    let builder = match rank {
        Some(rank) => builder.communicator(rank),
        None => builder,
    };
    let control = Control::new();
    builder.run_in(&lab.path(out), control.clone())?.run.train(&mut StopAfter(stop_after, control))
}

/// Trains as each of `world` ranks in the same directory; returns the result of each.
pub fn train_together(
    lab: &Lab,
    world: usize,
    accumulate: &str,
    out: &str,
    stop_after: u64,
) -> Vec<Result<Outcome, TrainError>> {
    train_as(lab, ranks(world), accumulate, out, stop_after)
}

fn train_as(
    lab: &Lab,
    ranks: Vec<Rank>,
    accumulate: &str,
    out: &str,
    stop_after: u64,
) -> Vec<Result<Outcome, TrainError>> {
    thread::scope(|scope| {
        let ranks = ranks.into_iter();
        let all: Vec<_> =
            ranks.map(|rank| scope.spawn(move || train(lab, accumulate, out, Some(rank), stop_after))).collect();
        all.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

pub fn well(results: Vec<Result<Outcome, TrainError>>) {
    for result in results {
        result.unwrap();
    }
}

pub const NEVER: u64 = u64::MAX;

/// With dropout, whose masks go by the number of a micro-batch, and clipping, which goes by the norm of the sum. A run
/// that is stopped on some ranks continues with another number of them.
#[test]
fn any_number_of_ranks_has_the_bits_of_one_process_also_after_a_resume() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    for (worlds, accumulate) in
        [([2, 2], "2"), ([2, 3], "3"), ([3, 1], "3"), ([1, 2], "7"), ([3, 4], "8"), ([4, 3], "13")]
    {
        let name = format!("{worlds:?}-{accumulate}");
        let alone = format!("{name}-alone");
        train(&lab, accumulate, &alone, None, NEVER).unwrap();
        well(train_together(&lab, worlds[0], accumulate, &name, 4));
        // Several agree in the step after the request.
        assert_eq!(log(&lab.path(&name)).len(), if worlds[0] == 1 { 5 } else { 6 });
        well(train_together(&lab, worlds[1], accumulate, &name, NEVER));
        assert_same_bits(&lab.path(&alone), &lab.path(&name));
    }
}

/// Each rank has the moments of some parameters; the checkpoints are those of one process.
#[test]
fn a_shared_optimizer_has_the_same_files_and_bits() {
    let plain = small(ADAMW, "cosine(12)", EVERY_STEP);
    let lab = Lab::in_memory(&plain);
    train(&lab, "4", "alone", None, NEVER).unwrap();
    let config = format!("distributed = {{ shard_optimizer = true }}\n{plain}");
    std::fs::write(lab.path("config.toml"), config).unwrap();
    for (worlds, name) in [([2, 3], "two"), ([4, 1], "four"), ([1, 4], "one")] {
        well(train_together(&lab, worlds[0], "4", name, 4));
        well(train_together(&lab, worlds[1], "4", name, NEVER));
        let run = lab.path(name);
        for step in [3, 6, 12] {
            for file in ["model.safetensors", "optimizer.safetensors", "optimizer.json"] {
                let bytes = |run: &Path| std::fs::read(checkpoint(run, step).join(file)).ok();
                assert!(bytes(&run) == bytes(&lab.path("alone")), "{name}: {file} of step {step}");
            }
        }
        let log = |run: &Path| std::fs::read(run.join("log.jsonl")).unwrap();
        assert!(log(&run) == log(&lab.path("alone")));
    }
}

/// States of other shapes and types than the parameters': factors of matrices, moments of vectors alone, a number in f64.
#[test]
fn a_shared_optimizer_of_any_form_of_state_has_the_same_bits() {
    let groups = "groups = [{ parameters = ['0.*'], kind = 'adafactor', lr = 0.01 }, \
                  { parameters = ['2.bias'], kind = 'asgd', lr = 0.05 }]";
    let plain = small(&format!("{{ kind = 'muon', lr = 0.02, {groups} }}"), "cosine(12)", EVERY_STEP);
    let lab = Lab::in_memory(&plain);
    train(&lab, "4", "alone", None, NEVER).unwrap();
    let config = format!("distributed = {{ shard_optimizer = true }}\n{plain}");
    std::fs::write(lab.path("config.toml"), config).unwrap();
    well(train_together(&lab, 2, "4", "two", 4));
    well(train_together(&lab, 3, "4", "two", NEVER));
    for file in ["model.safetensors", "optimizer.safetensors", "optimizer.json"] {
        let bytes = |run: &str| std::fs::read(checkpoint(&lab.path(run), 12).join(file)).ok();
        assert!(bytes("two") == bytes("alone"), "{file}");
    }
}

/// Gradients, and weights of a shared optimizer, that never pass through the memory of a host: the sums have the same order.
#[test]
fn gradients_that_go_from_device_to_device_have_the_bits_of_one_process() {
    let plain = small(ADAMW, "cosine(12)", EVERY_STEP);
    let lab = Lab::in_memory(&plain);
    train(&lab, "7", "alone", None, NEVER).unwrap();
    for (table, worlds) in [("", [2, 3]), ("distributed = { shard_optimizer = true }\n", [3, 2])] {
        std::fs::write(lab.path("config.toml"), format!("{table}{plain}")).unwrap();
        let (run, exchanges) = (format!("devices-{}", worlds[0]), Arc::default());
        well(train_as(&lab, ranks_with_devices(worlds[0], &exchanges), "7", &run, 4));
        // Two for the gradients of a step in each rank, and one for its weights.
        let of_a_step = if table.is_empty() { 2 } else { 3 };
        assert_eq!(exchanges.load(Ordering::Relaxed), 6 * worlds[0] * of_a_step);
        // Whoever continues it, and by whichever way.
        well(train_as(&lab, ranks_with_devices(worlds[1], &exchanges), "7", &run, 8));
        well(train_together(&lab, 2, "7", &run, NEVER));
        for file in ["model.safetensors", "optimizer.safetensors"] {
            let bytes = |run: &str| std::fs::read(checkpoint(&lab.path(run), 12).join(file)).unwrap();
            assert!(bytes(&run) == bytes("alone"), "{run}: {file}");
        }
        assert!(
            std::fs::read(lab.path(&run).join("log.jsonl")).unwrap()
                == std::fs::read(lab.path("alone/log.jsonl")).unwrap()
        );
    }
}

#[test]
fn a_way_that_is_not_wanted_is_not_taken_and_one_that_is_not_there_is_refused() {
    let plain = small(ADAMW, "cosine(12)", EVERY_STEP);
    let lab = Lab::in_memory(&format!("distributed = {{ exchange = 'host' }}\n{plain}"));
    let exchanges = Arc::default();
    well(train_as(&lab, ranks_with_devices(2, &exchanges), "2", "host", NEVER));
    assert_eq!(exchanges.load(Ordering::Relaxed), 0);
    std::fs::write(lab.path("config.toml"), format!("distributed = {{ exchange = 'nccl' }}\n{plain}")).unwrap();
    let message = train_together(&lab, 2, "2", "nccl", NEVER).remove(0).unwrap_err().to_string();
    let reason = match cfg!(all(feature = "nccl", feature = "mpi")) {
        true => "it connects NVIDIA GPUs, and the device is `cpu`",
        false => "this program was built without it; a build with `--features nccl,mpi` can use it",
    };
    assert!(message.contains("distributed.exchange = nccl: ") && message.contains(reason), "{message}");
    // A single process exchanges nothing.
    train(&lab, "2", "alone", None, NEVER).unwrap();
}

/// The estimate of Prodigy is of all parameters, and an average is of all weights.
#[test]
fn a_rule_that_needs_all_states_is_not_shared() {
    for kind in ["prodigy", "schedule_free_sgd"] {
        let config = small(&format!("{{ kind = '{kind}', lr = 1.0 }}"), "constant", EVERY_STEP);
        let lab = Lab::in_memory(&format!("distributed = {{ shard_optimizer = true }}\n{config}"));
        let message = train_together(&lab, 2, "2", "run", NEVER).remove(0).unwrap_err().to_string();
        let told = format!("each process needs the whole state of `{kind}`; set it to false");
        assert!(message.contains("distributed.shard_optimizer") && message.contains(&told), "{message}");
    }
}

/// The moments of the lost one are gone, and with them what a save would need.
#[test]
fn a_lost_rank_with_a_shared_optimizer_leaves_the_last_checkpoint() {
    let config = small(ADAMW, "cosine(12)", "checkpoint = { every = '2 steps' }");
    let lab = Lab::in_memory(&format!("distributed = {{ shard_optimizer = true }}\n{config}"));
    let message = thread::scope(|scope| {
        let [first, second] = ranks(2).try_into().ok().unwrap();
        let lab = &lab;
        let second = Rank { exchanges: Cell::new(8 + 3 * 7 + 2 + 2), ..second };
        scope.spawn(move || train(lab, "2", "run", Some(second), NEVER).unwrap_err());
        train(lab, "2", "run", Some(first), NEVER).unwrap_err().to_string()
    });
    assert!(message.contains("has lost touch with the others at step 3"), "{message}");
    assert_eq!(newest(&lab.path("run")), 2);
    well(train_together(&lab, 2, "2", "run", NEVER));
    assert_eq!(log(&lab.path("run")).len(), 12);
}

/// The last batch of an epoch has one of 48 rows, and so one micro-batch.
#[test]
fn a_rank_without_a_micro_batch_adds_nothing() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(6)", EVERY_STEP).replace("batch_size = 13", "batch_size = 47"));
    train(&lab, "2", "alone", None, NEVER).unwrap();
    well(train_together(&lab, 2, "2", "run", NEVER));
    assert_eq!(log(&lab.path("alone")).len(), 6);
    assert_same_bits(&lab.path("alone"), &lab.path("run"));
}

/// A signal at a rank that keeps nothing: all stop after the same step, and the first one saves.
#[test]
fn a_signal_at_any_rank_stops_all_of_them_at_one_step() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let outcomes = thread::scope(|scope| {
        let [first, second] = ranks(2).try_into().ok().unwrap();
        let lab = &lab;
        let second = scope.spawn(move || {
            let control = Control::new();
            control.stop(15);
            let setting = Setting::parse("train.accumulate=2").unwrap();
            let builder = Session::builder(from_file(&lab.path("config.toml"), &[setting]).unwrap());
            builder.communicator(second).run_in(&lab.path("run"), control)?.run.train(&mut Sinks(Vec::new()))
        });
        [train(lab, "2", "run", Some(first), NEVER), second.join().unwrap()].map(Result::unwrap)
    });
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stopped { signal: 15 })));
    assert_eq!(log(&lab.path("run")).len(), 1);
    assert_eq!(newest(&lab.path("run")), 1);
    well(train_together(&lab, 2, "2", "run", NEVER));
    train(&lab, "2", "alone", None, NEVER).unwrap();
    assert_same_bits(&lab.path("alone"), &lab.path("run"));
}

/// The first process saves the state before the step that could not be computed.
#[test]
fn a_rank_that_has_ended_is_an_error_with_the_step_and_loses_nothing() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", "checkpoint = { every = '100 steps' }"));
    let message = thread::scope(|scope| {
        let [first, second] = ranks(2).try_into().ok().unwrap();
        let lab = &lab;
        // Four times two exchanges before the first step, four in each, and two in the validation.
        let second = Rank { exchanges: Cell::new(8 + 3 * 4 + 2), ..second };
        scope.spawn(move || train(lab, "2", "run", Some(second), NEVER).unwrap_err());
        train(lab, "2", "run", Some(first), NEVER).unwrap_err().to_string()
    });
    assert!(
        message.starts_with("process 0 of 2 (counted from 0) has lost touch with the others at step 3: "),
        "{message}"
    );
    assert_eq!(newest(&lab.path("run")), 3);
}

fn newest(run: &Path) -> u64 {
    *crate::common::steps(run).last().unwrap()
}

#[test]
fn more_ranks_than_micro_batches_are_refused_by_all() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let expected = "train.accumulate = 1: each of the 2 processes computes a piece of every batch; must be at least 2";
    for result in train_together(&lab, 2, "1", "run", NEVER) {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
    assert!(!lab.path("run").exists());
}

/// Nothing is created, and no step is made.
#[test]
fn a_rank_with_another_configuration_is_named() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    let messages = thread::scope(|scope| {
        let lab = &lab;
        let ranks = ranks(3).into_iter().zip(["4", "4", "5"]);
        let all: Vec<_> = ranks
            .map(|(rank, accumulate)| scope.spawn(move || train(lab, accumulate, "run", Some(rank), NEVER)))
            .collect();
        all.into_iter().map(|rank| rank.join().unwrap().unwrap_err().to_string()).collect::<Vec<_>>()
    });
    let expected = "process 2 of 3 (counted from 0) has train.accumulate = 5, and process 0 has 4; all must have the same \
                    configuration, data and build";
    assert_eq!(messages, [expected; 3]);
    assert!(!lab.path("run").exists());
}

/// The others learn what stopped it, instead of waiting.
#[test]
fn the_error_of_one_rank_before_the_first_step_is_that_of_all() {
    let lab = Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP));
    std::fs::create_dir_all(lab.path("run/checkpoints")).unwrap();
    std::fs::write(lab.path("run/log.jsonl"), "{}\n").unwrap();
    let messages: Vec<String> =
        train_together(&lab, 2, "2", "run", NEVER).into_iter().map(|result| result.unwrap_err().to_string()).collect();
    assert_eq!(messages[1], format!("process 0 of 2 (counted from 0): {}", messages[0]));
}

/// Validation batches are shared; their sums are added in one order. A metric without sums is computed by each.
#[test]
fn a_shared_validation_has_the_figures_of_one_process() {
    let config = small(ADAMW, "cosine(12)", EVERY_STEP).replace("path = \"data.csv\"", "path = \"many.csv\"");
    let config = config.replace("validation = 0.2", "validation = 0.97");
    let metrics = "validation = { every = \"2 steps\", metrics = [{ kind = 'top_k_accuracy', k = 2 }, \
                   'auroc', 'average_precision', 'f1_per_class', 'confusion_matrix', 'calibration_error', 'brier_score', \
                   'perplexity', 'balanced_accuracy'] }";
    let lab = Lab::in_memory(&config.replace("validation = { every = \"2 steps\" }", metrics));
    let row = |i: u32| format!("{},{},{},{}\n", i * 37 % 61, i * i % 53, i * 11 % 17, (i * 7 + i * i / 3) % 3);
    let rows: String = (0..1500).map(row).collect();
    std::fs::write(lab.path("many.csv"), "a,b,c,label\n".to_owned() + &rows).unwrap();
    train(&lab, "4", "alone", None, NEVER).unwrap();
    assert!(log(&lab.path("alone"))[1]["validation_top_k_accuracy"].as_f64().unwrap() > 0.0);
    for world in [2, 4] {
        let name = format!("{world}");
        well(train_together(&lab, world, "4", &name, NEVER));
        assert_same_bits(&lab.path("alone"), &lab.path(&name));
    }
}

/// Wherever in a step the other one is lost, the state that the first one saves is that from before the step, also the
/// running statistics of batch norms.
#[test]
fn a_rank_that_is_lost_at_any_exchange_of_a_step_leaves_the_state_before_it() {
    let config = small(ADAMW, "cosine(6)", "checkpoint = { every = '100 steps' }")
        .replace("path = \"data.csv\"\n    validation = 0.2", "path = \"mnist\"\n    format = \"idx\"")
        .replace("epochs = 3", "steps = 6")
        .replace(
            "kind = \"mlp\"\n    hidden = [8, 5]\n    dropout = 0.3",
            "kind = \"resnet\"\n    widths = [4]\n    depths = [1]",
        );
    let lab = Lab::in_memory(
        &config.replace("validation = { every = \"2 steps\" }", "validation = { every = \"100 steps\" }"),
    );
    write(&lab.path("mnist"), &mnist());
    train(&lab, "2", "alone", None, NEVER).unwrap();
    let whole = |run: &str| std::fs::read(checkpoint(&lab.path(run), 6).join("model.safetensors")).unwrap();
    for exchanges in 0..31 {
        let run = format!("lost-{exchanges}");
        thread::scope(|scope| {
            let [first, second] = ranks(2).try_into().ok().unwrap();
            // Eight exchanges are before the first step.
            let second = Rank { exchanges: Cell::new(8 + exchanges), ..second };
            let (lab, run) = (&lab, &run);
            scope.spawn(move || train(lab, "2", run, Some(second), NEVER).unwrap_err());
            train(lab, "2", run, Some(first), NEVER).unwrap_err();
        });
        well(train_together(&lab, 2, "2", &run, NEVER));
        assert!(whole(&run) == whole("alone"), "after {exchanges} exchanges");
    }
}

/// Averages, and the statistics of batch norms that are computed for them, are the same on several ranks.
#[test]
fn averages_have_the_same_bits_on_any_number_of_ranks() {
    let model = crate::matrix::models().into_iter().find(|case| case.name == "resnet").unwrap();
    let averages = "ema = { decay = 0.9, evaluate = false }\nswa = { start = '2 steps', every = '2 steps' }";
    let case = crate::matrix::Case { name: model.name, config: format!("{averages}\n{}", model.config) };
    let lab = crate::matrix::lab(&case, crate::common::place::Place::Cpu);
    train(&lab, "4", "alone", None, NEVER).unwrap();
    well(train_together(&lab, 3, "4", "ranks", 5));
    well(train_together(&lab, 2, "4", "ranks", NEVER));
    assert_same_bits(&lab.path("alone"), &lab.path("ranks"));
}

/// The inputs that adapters drop are those of a micro-batch, whichever rank computes it.
#[test]
fn adapters_that_drop_inputs_have_the_same_bits_on_any_number_of_ranks() {
    let case = crate::matrix::models().into_iter().find(|case| case.name == "gpt with adapters").unwrap();
    let lab = crate::matrix::lab(&case, crate::common::place::Place::Cpu);
    train(&lab, "4", "alone", None, NEVER).unwrap();
    well(train_together(&lab, 3, "4", "ranks", 5));
    well(train_together(&lab, 2, "4", "ranks", NEVER));
    assert_same_bits(&lab.path("alone"), &lab.path("ranks"));
}

/// Each rank reads the rows of its share from the shards, whose order and windows are the same for all.
#[test]
fn any_number_of_ranks_has_the_bits_of_one_process_on_shards_in_object_storage() {
    use rekindle::store::{self, Memory, Store};
    let memory = Memory::new();
    let folder = tempfile::tempdir().unwrap();
    for (number, rows) in [0..10, 10..31, 31..48].into_iter().enumerate() {
        let name = format!("{number}.safetensors");
        super::resume_data::write_tensors(folder.path(), &name, rows);
        let content = std::fs::read(folder.path().join(&name)).unwrap();
        let path = Path::new("mem://ranks").join(name);
        memory.upload(&path, &mut &content[..], content.len() as u64).unwrap();
    }
    store::register("mem://ranks", std::sync::Arc::new(memory));
    let config = small(ADAMW, "cosine(12)", EVERY_STEP).replace(
        "path = \"data.csv\"\n    validation = 0.2",
        "path = \"mem://ranks/[01].safetensors\"\nvalidation_path = \"mem://ranks/2.safetensors\"\nclasses = 3\n\
         shuffle_window = 15",
    );
    let lab = Lab::in_memory(&config);
    train(&lab, "7", "alone", None, NEVER).unwrap();
    well(train_together(&lab, 3, "7", "together", 4));
    well(train_together(&lab, 2, "7", "together", NEVER));
    assert_same_bits(&lab.path("alone"), &lab.path("together"));
}

/// Documents in shards become the same rows in every process.
#[test]
fn any_number_of_ranks_has_the_bits_of_one_process_on_documents_in_shards() {
    let lines = |from: u32| -> String {
        (from..from + 20).map(|i| format!("{{\"text\": \"number {i} {}\"}}\n", "ab ".repeat(i as usize % 9))).collect()
    };
    let config = small(ADAMW, "cosine(8)", EVERY_STEP)
        .replace(
            "path = \"data.csv\"\n    validation = 0.2",
            "path = \"text/[01].jsonl\"\nvalidation_path = \"text/2.jsonl\"\ntokens = \"bytes\"\ncontext = 12\n\
             packing = \"documents\"\nshuffle_window = 15",
        )
        .replace("epochs = 3", "steps = 8")
        .replace("kind = \"mlp\"\n    hidden = [8, 5]", "kind = \"gpt\"\nlayers = 1\nheads = 1\nwidth = 8");
    let lab = Lab::in_memory(&config);
    std::fs::create_dir(lab.path("text")).unwrap();
    for (number, from) in [0, 20, 40].into_iter().enumerate() {
        std::fs::write(lab.path("text").join(format!("{number}.jsonl")), lines(from)).unwrap();
    }
    train(&lab, "7", "alone", None, NEVER).unwrap();
    well(train_together(&lab, 3, "7", "together", 4));
    well(train_together(&lab, 2, "7", "together", NEVER));
    assert_same_bits(&lab.path("alone"), &lab.path("together"));
}
