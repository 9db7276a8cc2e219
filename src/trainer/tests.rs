//! A run of a [`Trainer`] has one result, for any interruption, and its settings are checked before it begins.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::checkpoint::{Checkpoint, Folder, Retention, keep::Best};
use crate::optim::{AdamW, MeasuredGradients, OptimError, ScheduleFreeSgd, Sgd, StepHyperparams};
use crate::parameters::Parameters;
use crate::rng::Stream;
use crate::schedule::Schedule;
use crate::state::{State, StateError, Stateful};

const STEPS: u64 = 12;

/// A line through points: a weight and a bias, which begin with the same values in every process.
fn parameters() -> Parameters {
    let var = |value: f32| Var::new(&[value], &Device::Cpu).unwrap();
    [("bias".to_owned(), var(0.5)), ("weight".to_owned(), var(-0.25))].into_iter().collect()
}

fn batch(step: u64) -> Fallible<Tensor> {
    Ok(Tensor::from_vec(Stream::new(3, "x").uniform(step, 8), 8, &Device::Cpu)?)
}

/// The squared distance from the line `2x - 1`.
fn loss(parameters: &Parameters, x: &Tensor) -> Fallible<Tensor> {
    let [bias, weight] = ["bias", "weight"].map(|name| parameters.get(name).unwrap().as_tensor());
    let line = x.broadcast_mul(weight)?.broadcast_add(bias)?;
    Ok((line - ((x * 2.0)? - 1.0)?)?.sqr()?.mean_all()?)
}

fn trainer<'a>() -> (Parameters, Trainer<'a, Tensor>) {
    let parameters = parameters();
    let own = parameters.clone();
    (parameters.clone(), Trainer::new(&parameters, batch, move |x: &Tensor| loss(&own, x)).steps(STEPS))
}

fn value(parameters: &Parameters, name: &str) -> f32 {
    parameters.get(name).unwrap().to_vec1::<f32>().unwrap()[0]
}

/// A count of something, which is saved.
#[derive(Default)]
struct Counter(u64);

impl Stateful for Counter {
    fn save(&self) -> Result<State, StateError> {
        Ok(State::from_json(self.0.into()))
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        state.json.as_u64().map(drop).ok_or_else(|| StateError::Malformed("not a count".into()))
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.check(state)?;
        self.0 = state.json.as_u64().unwrap_or_default();
        Ok(())
    }
}

/// Everything that a run leaves and that does not depend on the clock.
fn bits(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([("log".to_owned(), fs::read(run.join("log.jsonl")).unwrap())]);
    for (step, path) in Folder::new(run.join("checkpoints")).list().unwrap() {
        for file in fs::read_dir(path).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            if name != "manifest.json" {
                files.insert(format!("{step}/{name}"), fs::read(file.path()).unwrap());
            }
        }
    }
    files
}

/// Batches that depend on a part of the program, a metric that moves the rate, momentum, and clipping.
fn run(directory: &Path, until: u64) -> RunEnd {
    let seen = Rc::new(RefCell::new(Counter::default()));
    let (counted, parameters, done) = (Rc::clone(&seen), parameters(), Rc::new(Cell::new(0)));
    let (own, weights, ended) = (parameters.clone(), parameters.clone(), Rc::clone(&done));
    let batch = move |_: u64| {
        counted.borrow_mut().0 += 1;
        batch(counted.borrow().0)
    };
    Trainer::new(&parameters, batch, move |x: &Tensor| loss(&own, x))
        .optimizer(Sgd { lr: 0.2, momentum: 0.9, ..Sgd::default() })
        .schedule(Schedule::plateau().patience(0u64).factor(0.5))
        .clip_norm(0.5)
        .steps(STEPS)
        .steps_per_epoch(4)
        .part("seen", seen)
        .validate_every(2, move || Ok([("error", f64::from(value(&weights, "weight")))]))
        .follow("error")
        .save_every(1)
        .on_step(move |end| ended.set(end.done()))
        .stop_when(move || done.get() == until)
        .train_in(directory)
        .unwrap()
}

#[test]
fn each_step_can_be_the_last_before_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    assert_eq!(run(&whole, u64::MAX), RunEnd { step: STEPS, is_finished: true, resumed_from: None });
    let expected = bits(&whole);
    // 13 checkpoints of three files, and the log.
    assert_eq!(expected.len(), 40);
    for step in 1..STEPS {
        let parts = folder.path().join(step.to_string());
        assert_eq!(run(&parts, step), RunEnd { step, is_finished: false, resumed_from: None });
        // As if the process had been killed in the next steps: lines without a checkpoint, and a torn one.
        let mut log = fs::read(parts.join("log.jsonl")).unwrap();
        log.extend(format!("{{\"step\":{step},\"loss\":7}}\n{{\"step\":").bytes());
        fs::write(parts.join("log.jsonl"), log).unwrap();
        assert_eq!(run(&parts, u64::MAX), RunEnd { step: STEPS, is_finished: true, resumed_from: Some(step) });
        let found = bits(&parts);
        let differs = expected.iter().find(|(name, bytes)| found.get(*name) != Some(bytes)).map(|(name, _)| name);
        assert!(differs.is_none() && found.len() == expected.len(), "step {step}: {differs:?} differs");
    }
    let rates = String::from_utf8(expected["log"].clone()).unwrap();
    assert!(rates.contains("\"lr\":[0.1]"), "the metric has not moved the rate:\n{rates}");
}

#[test]
fn a_finished_run_trains_no_further_and_a_longer_one_continues() {
    let folder = tempfile::tempdir().unwrap();
    let (_, first) = trainer();
    first.train_in(folder.path()).unwrap();
    let before = bits(folder.path());
    let (parameters, again) = trainer();
    let refused: Box<dyn FnMut(&StepEnd)> = Box::new(|end| panic!("step {} is made again", end.step));
    let end = again.on_step(refused).train_in(folder.path()).unwrap();
    assert_eq!((end.resumed_from, bits(folder.path()) == before), (Some(STEPS), true));
    let trained = value(&parameters, "weight");
    let (parameters, longer) = trainer();
    assert_eq!(longer.steps(STEPS + 3).train_in(folder.path()).unwrap().step, STEPS + 3);
    assert_ne!(value(&parameters, "weight"), trained);
    let (_, shorter) = trainer();
    let error = shorter.train_in(folder.path()).unwrap_err().to_string();
    assert!(error.contains("has 15 updates already, and the run 12 in all"), "{error}");
}

#[test]
fn hooks_hear_of_steps_validations_saves_and_the_end_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let heard = RefCell::new(Vec::new());
    let (_, trainer) = trainer();
    let end = trainer
        .steps(3)
        .validate_every(2, || Ok(vec![("one".to_owned(), 1.0)]))
        .on_step(|end| heard.borrow_mut().push(format!("step {} {}", end.step, end.metrics.len())))
        .on_validation(|end| heard.borrow_mut().push(format!("validation {}", end.metrics["one"])))
        .on_save(|end| heard.borrow_mut().push(format!("save {} {}", end.step, end.result.is_ok())))
        .on_end(|end| heard.borrow_mut().push(format!("end {}", end.step)))
        .train_in(folder.path())
        .unwrap();
    assert!(end.is_finished);
    let expected = "save 0 true, step 0 0, step 1 1, validation 1, step 2 1, validation 1, save 3 true, end 3";
    assert_eq!(heard.into_inner().join(", "), expected);
}

#[test]
fn the_best_checkpoint_by_a_result_of_the_program_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (_, trainer) = trainer();
    let mut scores = [0.1, 0.9, 0.2, 0.3, 0.4, 0.5].into_iter();
    let best = Some(Best { count: 1, metric: "score".to_owned(), more_is_better: true });
    trainer
        .validate_every(2, move || Ok(scores.next().map(|score| ("score", score))))
        .save_every(2)
        .keep(Retention { best, ..Retention::default() })
        .train_in(folder.path())
        .unwrap();
    let steps: Vec<u64> =
        Folder::new(folder.path().join("checkpoints")).list().unwrap().iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [4, 12]);
}

/// The weights of a validation are others than the trained ones, which have the same bits as without it.
#[test]
fn a_validation_uses_the_weights_for_evaluations_and_changes_nothing() {
    let trained = |every: u64| {
        let folder = tempfile::tempdir().unwrap();
        let (parameters, trainer) = trainer();
        let (own, seen) = (parameters.clone(), Rc::new(RefCell::new(Vec::new())));
        let validated = Rc::clone(&seen);
        trainer
            .optimizer(ScheduleFreeSgd { lr: 0.1, ..ScheduleFreeSgd::default() })
            .validate_every(every, move || {
                validated.borrow_mut().push(value(&own, "weight"));
                Ok([("none", 0.0)])
            })
            .train_in(folder.path())
            .unwrap();
        (value(&parameters, "weight").to_bits(), seen.take())
    };
    let (often, rarely) = (trained(1), trained(STEPS));
    assert_eq!((often.0, often.1.len(), rarely.1.len()), (rarely.0, STEPS as usize, 1));
    assert_ne!(often.1.last().unwrap().to_bits(), often.0);
}

/// The sign of the gradients, with a count of its updates.
struct SignDescent {
    parameters: Parameters,
    updates: Counter,
}

impl Stateful for SignDescent {
    fn save(&self) -> Result<State, StateError> {
        self.updates.save()
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.updates.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.updates.load(state)
    }
}

impl Updates for SignDescent {
    fn base_lrs(&self) -> Vec<f64> {
        vec![0.125]
    }

    fn update(&mut self, gradients: &MeasuredGradients, hyperparams: &[StepHyperparams]) -> Result<(), OptimError> {
        for ((_, var), gradient) in self.parameters.iter().zip(gradients.tensors()) {
            var.set(&(var.as_tensor() - (gradient.sign()? * hyperparams[0].lr)?)?)?;
        }
        self.updates.0 += 1;
        Ok(())
    }
}

#[test]
fn an_optimizer_of_the_program_updates_and_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (parameters, trainer) = trainer();
    let own = SignDescent { parameters: parameters.clone(), updates: Counter::default() };
    trainer.update_with(own).steps(2).train_in(folder.path()).unwrap();
    assert_eq!(value(&parameters, "bias"), 0.25);
    let saved = Checkpoint::read(&folder.path().join("checkpoints/step-0000000002")).unwrap();
    assert_eq!(saved.state("optimizer").unwrap().json, 2);
}

#[test]
fn settings_that_cannot_be_are_refused_before_anything_is_written() {
    type Change = Box<dyn Fn(Trainer<'static, Tensor>) -> Trainer<'static, Tensor>>;
    let plateau = || Schedule::plateau().patience(0u64);
    let cases: [(&str, Change); 8] = [
        ("`Trainer::steps`: is 0", Box::new(|it| it.steps(0))),
        ("`Trainer::steps_per_epoch`: is 0", Box::new(|it| it.steps_per_epoch(0))),
        ("`Trainer::save_every`: is 0", Box::new(|it| it.save_every(0))),
        ("`Trainer::validate_every`: is 0", Box::new(|it| it.validate_every(0, || Ok([("a", 0.0)])))),
        ("`Trainer::clip_norm`: is not positive", Box::new(|it| it.clip_norm(f64::NAN))),
        ("`Trainer::follow`: there is no validation", Box::new(|it| it.follow("accuracy"))),
        ("`Trainer::follow`: the schedule follows a metric", Box::new(move |it| it.schedule(plateau()))),
        ("optimizer.lr = -1", Box::new(|it| it.optimizer(AdamW { lr: -1.0, ..AdamW::default() }))),
    ];
    for (expected, change) in cases {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let error = change(trainer().1).train_in(&run).unwrap_err().to_string();
        assert!(error.contains(expected) && !run.exists(), "{expected}: {error}");
    }
}

#[test]
fn a_result_that_is_missing_or_has_a_taken_name_is_named() {
    let refusal = |name: &'static str| {
        let folder = tempfile::tempdir().unwrap();
        let (_, trainer) = trainer();
        let trainer = trainer.validate_every(1, move || Ok([(name, 1.0)])).follow("accuracy");
        trainer.train_in(folder.path()).unwrap_err().to_string()
    };
    assert!(refusal("error").contains("the validation has no result `accuracy`; it has error"));
    assert!(refusal("lr").contains("a result is called `lr`"));
}

#[test]
fn a_failure_of_the_program_or_of_the_numbers_names_its_step() {
    let refusal = |loss: fn(&Tensor) -> Fallible<Tensor>, at: u64| {
        let folder = tempfile::tempdir().unwrap();
        let parameters = parameters();
        let own = parameters.clone();
        let mut step = 0;
        let error = Trainer::new(&parameters, batch, move |x: &Tensor| {
            step += 1;
            if step > at { loss(x) } else { super::tests::loss(&own, x) }
        });
        let error = error.steps(STEPS).train_in(folder.path()).unwrap_err().to_string();
        let newest = Folder::new(folder.path().join("checkpoints")).newest().unwrap().unwrap();
        assert_eq!(newest.checkpoint.step(), 0, "the state of before is still there");
        error
    };
    let error = refusal(|_| Err("no power".into()), 2);
    assert_eq!(error, "the loss of step 2: no power");
    let error = refusal(|x| Ok(Tensor::full(f32::NAN, (), x.device())?), 0);
    assert!(error.starts_with("no gradient reached `bias`, `weight`"), "{error}");
    assert!(refusal(|x| Ok(x.clone()), 1).starts_with("the loss has the shape [8] and must be one number"));
    let folder = tempfile::tempdir().unwrap();
    let (parameters, trainer) = trainer();
    parameters.get("bias").unwrap().set(&Tensor::full(f32::INFINITY, 1, &Device::Cpu).unwrap()).unwrap();
    // The state of a new run is checked before its first step.
    let error = trainer.train_in(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("the parameter `bias` of step 0 is not finite"), "{error}");
}

#[test]
fn one_process_trains_in_a_directory_and_a_run_of_the_program_train_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let held = place::Place::hold(folder.path()).unwrap();
    let error = trainer().1.train_in(folder.path()).unwrap_err().to_string();
    assert!(error.contains(&format!("is in use by process {}", std::process::id())), "{error}");
    drop(held);
    fs::write(folder.path().join("config.toml"), "seed = 1").unwrap();
    let error = trainer().1.train_in(folder.path()).unwrap_err().to_string();
    assert!(error.contains("has a run of `train`"), "{error}");
}

#[test]
fn another_model_than_that_of_the_checkpoint_is_refused_and_a_part_is_named() {
    let folder = tempfile::tempdir().unwrap();
    trainer().1.train_in(folder.path()).unwrap();
    let with_part = trainer().1.part("seen", Counter::default());
    let error = with_part.train_in(folder.path()).unwrap_err().to_string();
    assert!(error.contains("seen"), "{error}");
    let (mut parameters, _) = trainer();
    parameters.insert("more", Var::zeros(3, DType::F32, &Device::Cpu).unwrap());
    let error = Trainer::new(&parameters, batch, |x: &Tensor| Ok(x.sum_all()?)).steps(STEPS).train_in(folder.path());
    assert!(error.unwrap_err().to_string().contains("more"));
}
