//! User-defined update rules: registered by name, and then used like those of the catalogue.
//!
//! `examples/own_optimizer.rs`, killed and run again, produces the same bits.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use crate::common::{EVERY_EPOCH, Lab, example, small, state, steps};
use crate::examples::assert_kills_change_nothing;
use candle_core::{Device, Tensor, Var};
use rekindle::optim::{
    AdamW, BaseHyperparams, CustomRuleError, Gradients, GroupConfig, Optimizer, OptimizerConfig, Rule, Step, Update,
    UpdateRule, register,
};
use rekindle::parameters::Parameters;
use rekindle::state::Stateful;
use serde::{Deserialize, Serialize};

macro_rules! rules {
    ($($Name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* } $states:expr, $update:expr;)*) => {
        $(#[derive(Debug, Serialize, Deserialize)]
        struct $Name {
            $($(#[$attribute])* $field: $type),*
        }

        impl UpdateRule for $Name {
            fn base(&self) -> BaseHyperparams {
                BaseHyperparams { lr: 0.5, weight_decay: 0.0, momentum: None }
            }

            fn states(&self, _momentum: f64) -> &'static [&'static str] {
                $states
            }

            fn update(&self, tensors: &Update<'_>, step: &Step) -> candle_core::Result<()> {
                let direction: Tensor = $update(tensors)?;
                tensors.set_weights(&(tensors.weights()? - (direction * step.lr)?)?)
            }
        })*
    };
}

rules! {
    SignSgd {} &[], sign;
    Again {} &[], sign;
    Never {} &[], sign;
    Takes { decay: f64 } &[], sign;
    Forgets { #[serde(skip_deserializing)] x: f64 } &[], sign;
    Doubled {} &["mean", "mean"], sign;
    Orthogonal {} &[], orthogonal;
}

fn sign(tensors: &Update<'_>) -> candle_core::Result<Tensor> {
    tensors.gradient()?.sign()
}

/// Newton and Schulz's iteration: `x (15 - 10 x x' + 3 (x x')²) / 8` draws all singular values to 1.
fn orthogonal(tensors: &Update<'_>) -> candle_core::Result<Tensor> {
    let gradient = tensors.gradient()?;
    let norm = f64::from(gradient.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?);
    let identity = Tensor::eye(tensors.shape().dim(0)?, gradient.dtype(), gradient.device())?;
    (0..5).try_fold((gradient / norm)?, |x, _| {
        let square = x.matmul(&x.t()?)?;
        let factor = (((&identity * 15.0)? - (&square * 10.0)?)? + (square.matmul(&square)? * 3.0)?)?;
        factor.matmul(&x)? / 8.0
    })
}

fn registered() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| register::<SignSgd>("sign_sgd").unwrap());
}

#[test]
fn a_registered_rule_is_read_written_and_applied_like_those_of_the_catalogue() {
    registered();
    let toml = "kind = \"adamw\"\nlr = 0.1\n[[groups]]\nparameters = [\"b\"]\nkind = \"sign_sgd\"";
    let config: OptimizerConfig = toml::from_str(toml).unwrap();
    let group = GroupConfig::new(["b"], Rule::custom(SignSgd {}).unwrap());
    let mut expected = OptimizerConfig::from(AdamW { lr: 0.1, ..AdamW::default() });
    expected.groups.push(group);
    assert_eq!(config, expected);
    assert_eq!(toml::from_str::<OptimizerConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);

    let var = |values: &[f32]| Var::from_slice(values, values.len(), &Device::Cpu).unwrap();
    let parameters: Parameters =
        [("a".to_owned(), var(&[1.0])), ("b".to_owned(), var(&[3.0, -3.0]))].into_iter().collect();
    let mut optimizer = Optimizer::new(&parameters, config).unwrap();
    let squares = |(_, var): (&str, &Var)| var.sqr().unwrap().sum_all().unwrap();
    let loss = parameters.iter().map(squares).reduce(|a, b| (a + b).unwrap()).unwrap();
    let lrs = optimizer.base_lrs();
    optimizer.update(&Gradients::from_loss(&loss, &parameters).unwrap().measure().unwrap(), &lrs).unwrap();
    assert_eq!(parameters.get("b").unwrap().to_vec1::<f32>().unwrap(), [2.5, -2.5]);
    let saved = optimizer.save().unwrap();
    assert_eq!(saved.json["groups"][1]["kind"], "sign_sgd");
    assert_eq!(saved.tensors.keys().collect::<Vec<_>>(), ["a.exp_avg", "a.exp_avg_sq"]);
}

#[test]
fn an_unknown_name_and_an_unknown_hyperparameter_are_reported_with_what_there_is() {
    registered();
    let refusal = |toml: &str| toml::from_str::<OptimizerConfig>(toml).unwrap_err().message().to_owned();
    let told = refusal("kind = \"sign\"");
    assert!(told.starts_with("kind: unknown variant `sign`, expected one of `sgd`, `adam`, `adamw`"), "{told}");
    assert!(told.contains("`sign_sgd`"), "{told}");
    let told = refusal("kind = \"sign_sgd\"\nlr = 1");
    assert_eq!(told, "lr: unknown field `lr`, expected one of `decay`, `layer_decay`, `groups`");
}

#[test]
fn the_page_on_optimizers_shows_what_is_read() {
    #[derive(Deserialize)]
    struct File {
        optimizer: OptimizerConfig,
    }
    let page = include_str!("../../docs/optimizers.md");
    let toml = page.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let File { optimizer } = toml::from_str(toml).unwrap();
    let var = |name: &str| (name.to_owned(), Var::from_slice(&[0f32; 4], (2, 2), &Device::Cpu).unwrap());
    let parameters = ["0.weight", "0.bias", "2.weight", "2.bias"].into_iter().map(var).collect();
    let optimizer = Optimizer::new(&parameters, optimizer).unwrap();
    let found = optimizer.groups().iter().map(|group| (group.rule.kind(), group.lr, group.base_momentum()));
    assert_eq!(found.collect::<Vec<_>>(), [("adamw", 1e-3, 0.9), ("adamw", 2e-3, 0.8), ("sgd", 0.1, 0.9)]);
    let saved = optimizer.save().unwrap();
    let names = saved.tensors.keys().map(|name| name.rsplit('.').next().unwrap());
    assert!(names.clone().all(|name| page.contains(&format!("`{name}`"))), "{:?}", names.collect::<Vec<_>>());
}

#[test]
fn two_remembered_tensors_of_one_name_are_refused() {
    register::<Doubled>("doubled").unwrap();
    let var = Var::from_slice(&[1f32], 1, &Device::Cpu).unwrap();
    let parameters: Parameters = [("a".to_owned(), var)].into_iter().collect();
    let told = Optimizer::new(&parameters, Rule::custom(Doubled {}).unwrap()).unwrap_err().to_string();
    assert!(told.starts_with("two state tensors of the update rules are called `a.mean`"), "{told}");
}

/// Muon (Jordan et al., 2024) in its simplest form for matrices of two rows: the momentum with orthogonal rows.
#[test]
fn a_rule_sees_a_parameter_with_its_shape() {
    register::<Orthogonal>("orthogonal").unwrap();
    let var = Var::from_slice(&[0f32; 4], (2, 2), &Device::Cpu).unwrap();
    let target = Var::from_slice(&[3f32, 0.0, 0.0, 4.0], (2, 2), &Device::Cpu).unwrap();
    let parameters: Parameters = [("a".to_owned(), var)].into_iter().collect();
    let mut optimizer = Optimizer::new(&parameters, Rule::custom(Orthogonal {}).unwrap()).unwrap();
    let loss = (parameters.get("a").unwrap().as_tensor() * target.as_tensor()).unwrap().sum_all().unwrap();
    optimizer.update(&Gradients::from_loss(&loss, &parameters).unwrap().measure().unwrap(), &[1.0]).unwrap();
    let moved = parameters.get("a").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let identity = [-1.0, 0.0, 0.0, -1.0];
    assert!(moved.iter().zip(identity).all(|(found, expected)| (found - expected).abs() < 0.3), "{moved:?}");
}

#[test]
fn a_name_means_one_type_and_a_type_has_one_name() {
    registered();
    let told = register::<SignSgd>("another").unwrap_err().to_string();
    assert!(told.starts_with("`sign_sgd` is registered already, for runs::own_optimizer::SignSgd"), "{told}");
    let told = register::<Again>("sign_sgd").unwrap_err().to_string();
    assert!(told.starts_with("`sign_sgd` is registered already"), "{told}");
    assert_eq!(register::<Again>("adam"), Err(CustomRuleError::Taken("adam".to_owned())));
    for bad in ["", "a-b", "2fast", "Lion", "a b"] {
        assert_eq!(register::<Again>(bad), Err(CustomRuleError::Name(bad.to_owned())));
    }
    let told = Rule::custom(Never {}).unwrap_err().to_string();
    assert!(told.contains("register::<runs::own_optimizer::Never>(\"name\")` first"), "{told}");
    let told = register::<Takes>("takes").unwrap_err().to_string();
    assert!(told.contains("its field `decay` has a meaning already"), "{told}");
    register::<Forgets>("forgets").unwrap();
    let told = Rule::custom(Forgets { x: 1.0 }).unwrap_err().to_string();
    assert_eq!(told, "`forgets` cannot be saved: it would not be the same when it is read again");
}

/// The example, which trains `config.toml` in the directory `out`.
fn command(lab: &Lab, out: &Path) -> Command {
    let mut command = example("own_optimizer");
    command.arg(lab.path("config.toml")).arg(out);
    command
}

/// Tiger for the weights and SGD for the biases: a run of the example, and one that is killed on the way.
#[test]
fn a_run_with_a_user_defined_rule_killed_and_run_again_has_the_same_bits() {
    let optimizer = "{ kind = 'tiger', lr = 1e-3, weight_decay = 0.1, groups = [\
                     { parameters = ['*.bias'], kind = 'sgd', lr = 0.01, momentum = 0.9 }] }";
    let config = small(optimizer, "warmup(10%) -> cosine(90%)", "checkpoint = { every = '20 steps' }");
    let lab = Lab::new(&config.replace("epochs = 3", "steps = 1000"));
    let folder = assert_kills_change_nothing(|out| command(&lab, out));
    assert_eq!(steps(&folder.path().join("whole")).last(), Some(&1000));
}

/// Programs that do not know the rule say so where they need it, and otherwise work without it.
#[test]
fn other_programs_use_such_a_run_but_do_not_resume_it() {
    let lab = Lab::new(&small("{ kind = 'tiger', lr = 1e-3 }", "cosine(12)", EVERY_EPOCH));
    assert!(command(&lab, &lab.path("run")).status().unwrap().success());
    let saved = state(&lab.path("run/checkpoints/step-0000000012"));
    assert_eq!(saved["optimizer"]["hyperparameters"]["beta"], 0.965);
    assert_eq!(saved["optimizer"]["groups"][0]["momentum"], 0.965);
    let tensors = fs::read(lab.path("run/checkpoints/step-0000000012/optimizer.safetensors")).unwrap();
    assert!(String::from_utf8_lossy(&tensors).contains("0.weight.exp_avg"));
    lab.train(&["eval", "run"]).well();
    let told = lab.train(&["--resume", "run"]).refusal();
    assert!(told.contains("optimizer.kind: `tiger` is unknown; known here: `sgd`, `adam`, `adamw`"), "{told}");
}
