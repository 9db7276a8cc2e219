//! Components: validations use the weights that they provide, and they can be added and removed by settings.

use std::fs;
use std::sync::Once;

use rekindle::parameters::Parameters;
use rekindle::state::{State, StateError, Stateful};
use rekindle::train::resume::{ResumeOptions, resume};
use rekindle::train::{Component, Configured, Control, Run, Setting, Update, from_file, register_component};
use rekindle::trained::{EvaluationRows, Trained};
use serde::Deserialize;

use crate::common::{ADAMW, EVERY_STEP, Lab, log, small, state};

/// Counts updates, and provides the initial weights.
struct Frozen {
    weights: Parameters,
    updates: u64,
    lends: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    lends: bool,
}

impl Configured for Frozen {
    type Settings = Settings;

    fn new(Settings { lends }: Settings, parameters: &Parameters) -> Result<Self, StateError> {
        Ok(Self { weights: parameters.copied()?, updates: 0, lends })
    }
}

impl Component for Frozen {
    fn after_update(&mut self, update: &Update<'_>) -> Result<(), StateError> {
        assert_eq!(update.parameters.len(), self.weights.len());
        self.updates += 1;
        if update.step == 400 { Err(StateError::Unable("step 400 is one too many".to_owned())) } else { Ok(()) }
    }

    fn evaluation_weights(&self) -> Option<&Parameters> {
        self.lends.then_some(&self.weights)
    }
}

impl Stateful for Frozen {
    fn save(&self) -> Result<State, StateError> {
        Ok(State { json: self.updates.into(), ..self.weights.save()? })
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        self.weights.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        self.updates = state.json.as_u64().unwrap();
        self.weights.load(state)
    }
}

fn registered() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        register_component::<Frozen>("frozen").unwrap();
        register_component::<Frozen>("frozen_too").unwrap();
    });
}

fn lab() -> Lab {
    registered();
    Lab::in_memory(&small(ADAMW, "cosine(12)", EVERY_STEP))
}

fn start(lab: &Lab, out: &str, settings: &[&str]) -> Result<(), String> {
    let settings: Vec<Setting> = settings.iter().map(|text| Setting::parse(text).unwrap()).collect();
    let config = from_file(&lab.path("config.toml"), &settings).map_err(|error| error.to_string())?;
    let mut run = Run::start(config, &lab.path(out), Control::new()).map_err(|error| error.to_string())?;
    run.train(&mut ()).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_validation_measures_the_weights_that_a_component_lends_and_training_does_not_see_them() {
    let lab = lab();
    start(&lab, "plain", &[]).unwrap();
    start(&lab, "lent", &["components.frozen={lends=true}"]).unwrap();
    let (plain, lent) = (log(&lab.path("plain")), log(&lab.path("lent")));
    let losses = |lines: &[serde_json::Value], name: &str| -> Vec<f64> {
        lines.iter().filter_map(|line| line[name].as_f64()).collect()
    };
    assert_eq!(losses(&plain, "loss"), losses(&lent, "loss"));
    // The initial weights give the same loss each time, and the trained ones do not.
    let (moving, still) = (losses(&plain, "val_loss"), losses(&lent, "val_loss"));
    assert_eq!(still.len(), 6);
    assert!(still.windows(2).all(|pair| pair[0] == pair[1]), "{still:?}");
    assert!(moving.windows(2).any(|pair| pair[0] != pair[1]), "{moving:?}");
    // So does an evaluation of the checkpoint, to the bit.
    let (trained, _) = Trained::open(&lab.path("lent"), &[]).unwrap();
    let found = trained.evaluate(EvaluationRows::Validation).unwrap();
    assert_eq!(found.loss, still[5]);
    let checkpoint = lab.path("lent/checkpoints/step-0000000012");
    assert_eq!(state(&checkpoint)["components"]["frozen"], 12);
    assert!(checkpoint.join("components.frozen.safetensors").is_file());
}

#[test]
fn a_component_that_is_added_or_taken_away_on_a_resume_is_in_the_history() {
    let lab = lab();
    start(&lab, "run", &["components.frozen={}"]).unwrap();
    let resume_with = |settings: &[&str]| {
        let settings: Vec<Setting> = settings.iter().map(|text| Setting::parse(text).unwrap()).collect();
        let choices = ResumeOptions { settings: &settings, ..ResumeOptions::default() };
        resume(&lab.path("run"), choices, Control::new()).map(|resumed| resumed.run)
    };
    let mut run = resume_with(&["components.frozen=", "components.frozen_too={}", "train.epochs=4"]).unwrap();
    run.train(&mut ()).unwrap();
    drop(run);
    let last = state(&lab.path("run/checkpoints/step-0000000016"));
    // The new one has counted from the resume on.
    assert_eq!(last["components"], serde_json::json!({"frozen_too": 4}));
    let changes = last["history"][0]["changes"].to_string();
    assert!(changes.contains("components.frozen") && changes.contains("components.frozen_too"), "{changes}");
}

#[test]
fn mistakes_with_components_are_named() {
    let lab = lab();
    let fails = |settings: &[&str], words: &[&str]| {
        let error = start(&lab, "bad", settings).unwrap_err();
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
        let _ = fs::remove_dir_all(lab.path("bad"));
    };
    fails(&["components.frosen={}"], &["frosen", "`frozen`", "register_component"]);
    fails(&["components.frozen={lend=true}"], &["components.frozen", "lend"]);
    fails(
        &["components.frozen={lends=true}", "components.frozen_too={lends=true}"],
        &["components.frozen_too", "`components.frozen` provides them too"],
    );
    fails(&["components.frozen={}", "train.epochs=200"], &["component `frozen` failed after the update of step 400"]);
    assert!(register_component::<Frozen>("frozen").unwrap_err().to_string().contains("registered already"));
    assert!(register_component::<Frozen>("Fro zen").unwrap_err().to_string().contains("lower-case letters"));
    // The program `train` has registered none, and says so.
    let told = lab.train(&["config.toml", "--set", "components.frozen={}"]);
    assert!(told.refusal().contains("this program has registered none"));
}
