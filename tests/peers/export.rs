//! `inspect export`: another trainer resumes from it, and continues with our numbers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::programs::{Told, Workplace};

/// An optimizer and a schedule, in the tables of a configuration.
struct Case {
    name: &'static str,
    optimizer: &'static str,
    schedule: &'static str,
    /// Rows of a batch, of 128.
    batch: u64,
}

const fn case(name: &'static str, optimizer: &'static str, schedule: &'static str) -> Case {
    Case { name, optimizer, schedule, batch: 128 }
}

const ADAMW: &str = "kind = \"adamw\"\nlr = 0.01\nweight_decay = 0.1\ndecay = \"matrices\"";

/// Every rule and every kind of schedule that PyTorch has, or that becomes a function of it.
const CASES: &[Case] = &[
    case("sgd", "kind = \"sgd\"\nlr = 0.05\nmomentum = 0.9\nnesterov = true", "cosine(30, eta_min=1e-4)"),
    case("sgd_alone", "kind = \"sgd\"\nlr = 0.05\nweight_decay = 0.01", "constant()"),
    case("adamw", ADAMW, "warmup(12) -> polynomial(18)"),
    case(
        "amsgrad",
        "kind = \"adam\"\nlr = 0.01\namsgrad = true\nweight_decay = 0.01",
        "multi_step([6, 12, 12], gamma=0.5)",
    ),
    case(
        "adam",
        "kind = \"adam\"\nlr = 0.01",
        "sequential([12], [linear(start_factor=0.1, total=12), cosine(18, eta_min=1e-5)])",
    ),
    case(
        "nadam",
        "kind = \"nadam\"\nlr = 0.01\nweight_decay = 0.01\ndecoupled_weight_decay = true",
        "exponential(0.9)",
    ),
    case("radam", "kind = \"radam\"\nlr = 0.01", "step(4, gamma=0.5)"),
    case("adamax", "kind = \"adamax\"\nlr = 0.01", "cosine_restarts(4, t_mult=2, eta_min=1e-4)"),
    case("rmsprop", "kind = \"rmsprop\"\nlr = 0.001\nmomentum = 0.5\ncentered = true", "inverse_sqrt(5)"),
    case(
        "adagrad",
        "kind = \"adagrad\"\nlr = 0.05\nlr_decay = 0.01",
        "wsd(warmup=2, stable=10, decay=8, decay_shape=\"cosine\")",
    ),
    case("adadelta", "kind = \"adadelta\"\nlr = 1.0\nrho = 0.8\nweight_decay = 0.01", "exponential(0.95)"),
    case("rprop", "kind = \"rprop\"\nlr = 0.01\netas = [0.6, 1.3]", "constant()"),
    case("asgd", "kind = \"asgd\"\nlr = 0.05\nt0 = 5.0\nlambd = 0.01\nweight_decay = 0.01", "exponential(0.95)"),
    case("adafactor", "kind = \"adafactor\"\nlr = 0.05\nweight_decay = 0.1\nclip_threshold = 2.0", "cosine(30)"),
    // Two optimizers of PyTorch.
    case(
        "muon",
        "kind = \"muon\"\nlr = 0.01\nadjust_lr = \"match_rms_adamw\"",
        "warmup(4, start_lr=1e-3) -> cosine(26, eta_min=1e-4)",
    ),
    case(
        "mixed",
        "kind = \"muon\"\nlr = 0.01\nmomentum = 0.9\n[[optimizer.groups]]\nparameters = [\"2.*\"]\nkind = \"adamw\"\nlr = 0.02",
        "cosine(30)",
    ),
    // Some parameters have had fewer updates than others.
    case(
        "thawed",
        "kind = \"nadam\"\nlr = 0.01\n[[train.freeze]]\nparameters = [\"0.*\"]\nuntil = \"3 steps\"",
        "constant()",
    ),
    case("one_cycle", "kind = \"sgd\"\nlr = 0.05\nmomentum = 0.9", "one_cycle(30, momentum=[0.85, 0.95])"),
    case(
        "one_cycle_beta",
        "kind = \"adamw\"\nlr = 0.01",
        "one_cycle(30, three_phase=true, anneal=\"linear\", momentum=[0.85, 0.95])",
    ),
    case(
        "cyclic",
        "kind = \"adam\"\nlr = 0.001",
        "cyclic(0.01, step_size_up=3, mode=\"triangular2\", momentum=[0.8, 0.9])",
    ),
    case("started", "kind = \"adamw\"\nlr = 0.01", "warmup(12, start_lr=1e-3) -> cosine(18)"),
    case("tanh", "kind = \"sgd\"\nlr = 0.05\nmomentum = 0.9", "tanh(30, eta_min=1e-4)"),
    case(
        "piecewise",
        "kind = \"sgd\"\nlr = 0.05",
        "piecewise([[2, 1.0], [12, 0.5], [18, 0.1]], interpolate=\"linear\")",
    ),
    case("late_in_f32", "kind = \"adam\"\nlr = 0.01", "late(1, in_f32(cosine(30)))"),
    case("chained", "kind = \"adam\"\nlr = 0.01", "chained([exponential(0.95), step(6, gamma=0.5)])"),
    case("groups", GROUPS, "warmup(4, start_lr=1e-3) -> cosine(26, eta_min=1e-4)"),
    case("per_group", GROUPS, "per_group([exponential(0.9), cosine(30)])"),
    case("frozen", FROZEN, "polynomial(30, power=2)"),
    Case {
        name: "epochs",
        optimizer: "kind = \"sgd\"\nlr = 0.05\nmomentum = 0.9",
        schedule: "step(3, gamma=0.5, unit=\"epoch\")",
        batch: 64,
    },
];

const GROUPS: &str = "kind = \"adamw\"\nlr = 0.01\nweight_decay = 0.1\n[[optimizer.groups]]\nparameters = [\"*.bias\"]\n\
                      lr = 0.02\nbeta1 = 0.8\nweight_decay = 0.0";

const LION: &str = "kind = \"lion\"\nlr = 0.01";

const FROZEN: &str = "kind = \"adamw\"\nlr = 0.01\n[[optimizer.groups]]\nparameters = [\"0.bias\"]\nkind = \"frozen\"";

/// A folder with a run of 20 updates for each of `cases`, each with a checkpoint after 10, on the data of the cases of
/// other trainers.
fn trained(cases: &[&Case]) -> Workplace {
    let place = Workplace::new();
    for name in ["data.safetensors", "start.safetensors"] {
        fs::copy(cases_folder().join(name), place.path(name)).unwrap();
    }
    for case in cases {
        let config = format!(
            "seed = 1\nschedule = '{}'\n[data]\npath = \"data.safetensors\"\nvalidation = 0.0\nbatch_size = {}\n\
             shuffle = false\n[model]\nkind = \"mlp\"\nhidden = [32]\n[loss]\nkind = \"mse\"\n[optimizer]\n{}\n\
             [train]\nsteps = 20\ninitial_weights = \"start.safetensors\"\n[checkpoint]\nevery = \"10 steps\"\n",
            case.schedule, case.batch, case.optimizer
        );
        fs::write(place.path(&format!("{}.toml", case.name)), config).unwrap();
        place.train(&[&format!("{}.toml", case.name), "--out", case.name]).says(0, &[]);
    }
    place
}

fn cases_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/cases")
}

fn after_ten(name: &str) -> String {
    format!("{name}/checkpoints/step-0000000010")
}

fn find(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap()
}

#[track_caller]
fn export(place: &Workplace, name: &str, to: &[&str], out: &str) -> Told {
    let told = place.inspect(&[&["export", &after_ten(name), "-o", out, "--json", "--to"], to].concat());
    told.says(0, &[]);
    told
}

#[test]
fn what_is_exported_reads_back_as_the_same_run() {
    let all: Vec<&Case> = CASES.iter().collect();
    let place = trained(&all);
    // Lightning has one optimizer for a run.
    let is_for = |case: &Case, to: &str| to == "torch" || !["muon", "mixed"].contains(&case.name);
    for case in CASES {
        for (to, out) in [("torch", format!("{}.pt", case.name)), ("lightning", format!("{}.ckpt", case.name))] {
            if !is_for(case, to) {
                continue;
            }
            export(&place, case.name, &[to], &out);
            let told = place.inspect(&["diff", &after_ten(case.name), &out]);
            // A function is not in the file; all that is must be the same.
            assert!(told.out.contains("\nidentical\n"), "{} to {to}:\n{}{}", case.name, told.out, told.err);
        }
    }
}

#[test]
fn transformers_finds_its_groups_its_counters_and_its_schedule() {
    let place = trained(&[find("adamw")]);
    let told = export(&place, "adamw", &["transformers"], "checkpoint-10");
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let python: Vec<&str> = told["python"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let arguments = "lr_scheduler_type=\"linear\", warmup_steps=12, max_steps=30, learning_rate=0.01, weight_decay=0.1";
    let code: String = python.join("\n").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code.contains(arguments) && code.contains("max_grad_norm=0.0"), "{python:?}");
    let state: Value =
        serde_json::from_slice(&fs::read(place.path("checkpoint-10/trainer_state.json")).unwrap()).unwrap();
    assert_eq!((&state["global_step"], &state["epoch"], &state["max_steps"]), (&json!(10), &json!(10.0), &json!(20)));
    let shown = place.inspect(&["checkpoint-10", "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["written_by"]["trainer"], "transformers");
    assert_eq!(shown["groups"][0]["parameters"], json!(["0.weight", "2.weight"]));
    assert_eq!(shown["groups"][1]["base_weight_decay"], 0.0);
}

#[test]
fn the_trainer_of_transformers_has_no_groups_of_other_rates() {
    let place = trained(&[find("groups")]);
    let told = place.inspect(&["export", "groups", "--to", "transformers", "-o", "out"]);
    assert_eq!(told.code, Some(0), "matrices and biases are its groups: {}", told.err);
    let mixed = Case {
        optimizer: "kind = \"sgd\"\nlr = 0.1\n[[optimizer.groups]]\nparameters = [\"2.*\"]\nlr = 0.2",
        ..*find("sgd")
    };
    let place = trained(&[&mixed]);
    let told = place.inspect(&["export", "sgd", "--to", "transformers", "-o", "out"]);
    told.says(2, &["the parameter groups", "2.weight", "export --to torch"]);
    assert!(!place.path("out").exists());
}

#[test]
fn safetensors_has_the_weights_of_the_model() {
    let place = trained(&[find("sgd")]);
    export(&place, "sgd", &["safetensors"], "weights.safetensors");
    let told = place.inspect(&["diff", &after_ten("sgd"), "weights.safetensors"]);
    assert!(!told.out.contains("model "), "{}", told.out);
}

#[test]
fn a_taken_place_and_what_pytorch_does_not_have_are_refused_and_nothing_is_written() {
    let refused = [
        (
            "kind = \"adamw\"\nlr = 0.01\ndecoupled = \"composer\"",
            "constant()",
            "optimizer.decoupled = \"composer\": torch.optim.AdamW",
        ),
        (
            "kind = \"adam\"\nlr = 0.01\nvariant = \"keras\"",
            "constant()",
            "optimizer.variant = \"keras\": torch.optim.Adam",
        ),
        ("kind = \"adafactor\"\nlr = 0.01\nbeta1 = 0.9", "constant()", "optimizer.beta1 = 0.9: torch.optim.Adafactor"),
        (
            "kind = \"rprop\"\nlr = 0.01\nweight_decay = 0.1",
            "constant()",
            "optimizer.weight_decay = 0.1: torch.optim.Rprop",
        ),
        (
            "kind = \"adam\"\nlr = 0.01",
            "expr(\"base / (1 + t)\")",
            "a schedule of kind `expr`: PyTorch has no scheduler for it",
        ),
        (
            "kind = \"muon\"\nlr = 0.01\nadamw_lr_ratio = 0.5",
            "constant()",
            "optimizer.adamw_lr_ratio = 0.5: the schedule would need other rates",
        ),
        (
            "kind = \"muon\"\nlr = 0.01\nvariant = \"keras\"",
            "constant()",
            "optimizer.variant = \"keras\": torch.optim.Muon",
        ),
    ];
    for (optimizer, schedule, message) in refused {
        let place = trained(&[&case("run", optimizer, schedule)]);
        place.inspect_refuses(2, &["export", "run", "--to", "torch", "-o", "out.pt"], &[message]);
    }
    let place = trained(&[&case("run", LION, "constant()")]);
    place.inspect_refuses(
        2,
        &["export", "run", "--to", "torch", "-o", "out.pt"],
        &["optimizer.kind = \"lion\": ", "it has sgd, adam", "--to safetensors"],
    );
    let place = trained(&[find("muon")]);
    for to in ["lightning", "transformers"] {
        let said = ["the group of 0.bias 2.bias with the rule `adamw`", "one rule", "--to torch"];
        place.inspect_refuses(2, &["export", "muon", "--to", to, "-o", "out"], &said);
    }
    let place = trained(&[find("sgd")]);
    fs::write(place.path("out.pt"), "mine").unwrap();
    place.inspect_refuses(2, &["export", "sgd", "--to", "torch", "-o", "out.pt"], &["out.pt exists", "-o"]);
    place.inspect_refuses(2, &["export", "sgd", "--to", "transformers", "-o", "out.pt"], &["out.pt exists"]);
}

#[test]
fn what_a_run_does_to_its_gradients_is_told() {
    let train = "[train.gradient_noise]\neta = 0.1\ngamma = 0.55\n[[train.freeze]]\nparameters = [\"2.*\"]";
    let groups = "[[optimizer.groups]]\nparameters = [\"0.*\"]\nlr = 0.1\nclip_norm = 0.5";
    let optimizer = format!("kind = \"adamw\"\nlr = 0.01\n{groups}\n{train}");
    let place = trained(&[&case("run", Box::leak(optimizer.into_boxed_str()), "constant()")]);
    for (to, out) in [("torch", "out.pt"), ("lightning", "out.ckpt")] {
        let told = place.inspect(&["export", "run", "--to", to, "-o", out]);
        let said = ["optimizer.groups[0] to a norm of 0.5", "the noise on gradients", "which parameters are frozen"];
        assert!(said.iter().all(|said| told.out.contains(said)), "{}{}", told.out, told.err);
    }
    // In this one the freezing is over.
    let place = trained(&[find("thawed")]);
    let told = place.inspect(&["export", "thawed", "--to", "torch", "-o", "out.pt"]);
    assert!(told.code == Some(0) && !told.out.contains("frozen"), "{}{}", told.out, told.err);
}

/// Runs the lines of each export, and ten updates after them, in one process of Python.
const DRIVER: &str = r#"
import json, sys, torch
from safetensors.torch import load_file
torch.set_num_threads(1)
data = load_file("data.safetensors")
x, y = data["x"], data["y"]
for case in json.load(open("exports.json")):
    names = {}
    exec("\n".join(case["python"]), names)
    model = names["model"]
    optimizers = names["optimizers"] if "optimizers" in names else [names["optimizer"]]
    schedulers = names["schedulers"] if "schedulers" in names else [names.get("scheduler")]
    batch = case["batch"]
    updates = 128 // batch
    for step in range(10, 20):
        rows = slice(step % updates * batch, step % updates * batch + batch)
        model.zero_grad()
        loss = ((model(x[rows]) - y[rows]) ** 2).mean()
        loss.backward()
        rates = {n: g["lr"] for o in optimizers for g in o.param_groups for n in g["param_names"]}
        print(json.dumps({"case": case["name"], "step": step, "lr": rates, "loss": loss.item()}))
        for name in case["frozen"]:
            dict(model.named_parameters())[name].grad = None
        for optimizer in optimizers:
            optimizer.step()
        for scheduler in schedulers:
            if scheduler and (not case["per_epoch"] or (step + 1) % updates == 0):
                scheduler.step()
"#;

/// Returns the Python with PyTorch that the variable names; says loudly that a test is skipped where there is none.
fn python(test: &str) -> Option<String> {
    let python = std::env::var("REKINDLE_PYTHON").ok();
    if python.is_none() {
        eprintln!("SKIPPED {test}: set REKINDLE_PYTHON to a Python with torch and safetensors");
    }
    python
}

/// Rates within 1e-12, as a share, because PyTorch computes most schedules from the rate before; losses within 1e-5.
#[test]
fn pytorch_continues_with_our_numbers() {
    let Some(python) = python("pytorch_continues_with_our_numbers") else { return };
    let all: Vec<&Case> = CASES.iter().collect();
    let place = trained(&all);
    let mut exports = Vec::new();
    for case in CASES {
        let told: Value =
            serde_json::from_str(&export(&place, case.name, &["torch"], &format!("{}.pt", case.name)).out).unwrap();
        let per_epoch = told["notes"].to_string().contains("after each epoch");
        let frozen: &[&str] = if case.name == "frozen" { &["0.bias"] } else { &[] };
        exports.push(json!({
            "name": case.name, "python": told["python"], "batch": case.batch, "per_epoch": per_epoch, "frozen": frozen,
        }));
    }
    fs::write(place.path("exports.json"), Value::from(exports).to_string()).unwrap();
    fs::write(place.path("driver.py"), DRIVER).unwrap();
    let output = Command::new(python).arg("driver.py").current_dir(place.path("")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}\n{out}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10 * CASES.len(), "{err}");
    for line in &lines {
        let name = line["case"].as_str().unwrap();
        let ours = logged(&place, name, line["step"].as_u64().unwrap());
        let is_close = |a: f64, b: f64, share: f64| (a - b).abs() <= share * a.abs().max(b.abs());
        let (loss, expected) = (line["loss"].as_f64().unwrap(), ours["loss"].as_f64().unwrap());
        assert!(is_close(loss, expected, 1e-5), "{name}: {line} and {ours}");
        for (parameter, lr) in line["lr"].as_object().unwrap() {
            let is_own = ["groups", "per_group"].contains(&name) && parameter.ends_with(".bias")
                || name == "mixed" && parameter.starts_with("2.");
            let is_frozen = name == "frozen" && parameter == "0.bias";
            let expected = ours["lr"][usize::from(is_own || is_frozen)].as_f64().unwrap();
            assert!(
                is_frozen || is_close(lr.as_f64().unwrap(), expected, 1e-12),
                "{name}, {parameter}: {line} and {ours}"
            );
        }
    }
}

fn logged(place: &Workplace, run: &str, step: u64) -> Value {
    let log = fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find(|line| line["step"] == step).unwrap()
}

/// The beginning of both scripts: the data, and `line`, which prints an update as the driver of PyTorch does.
const BEGINNING: &str = r#"
import json, torch
from safetensors.torch import load_file
torch.set_num_threads(1)
data = load_file("data.safetensors")
x, y = data["x"], data["y"]
def line(step, lr, loss):
    print("LINE " + json.dumps({"step": step, "lr": lr, "loss": loss}), flush=True)
def net():
    return torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
"#;

const LIGHTNING: &str = r#"
import lightning
class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = net()
    def training_step(self, batch, index):
        loss = ((self.net(batch[0]) - batch[1]) ** 2).mean()
        line(self.global_step, self.optimizers().param_groups[0]["lr"], loss.item())
        return loss
    configure_optimizers = names["configure_optimizers"]
rows = torch.utils.data.TensorDataset(x, y)
loader = torch.utils.data.DataLoader(rows, batch_size=128)
trainer = lightning.Trainer(max_steps=20, accelerator="cpu", logger=False, enable_checkpointing=False)
trainer.fit(Module(), loader, ckpt_path="run.ckpt")
"#;

const TRANSFORMERS: &str = r#"
import transformers
class Model(torch.nn.Sequential):
    def forward(self, x=None, labels=None):
        output = super().forward(x)
        return {"loss": ((output - labels) ** 2).mean(), "logits": output}
class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 128
    def __getitem__(self, index):
        return {"x": x[index], "labels": y[index]}
class Told(transformers.Trainer):
    def compute_loss(self, model, inputs, **others):
        loss = super().compute_loss(model, inputs, **others)
        if self.state.global_step < 20:
            line(self.state.global_step, self.optimizer.param_groups[0]["lr"], loss.item())
        return loss
arguments = eval(names["arguments"].replace("\"run\"", "\"out\", use_cpu=True, report_to=[], save_strategy=\"no\""))
Told(Model(*net()), arguments, train_dataset=Rows()).train(resume_from_checkpoint="checkpoint-10")
"#;

/// Runs a script with the trainer of a library, and compares its ten updates with ours. Skipped loudly where the library
/// is not installed.
fn continues(test: &str, case: &str, to: &[&str], out: &str, library: &str, script: impl Fn(&[String]) -> String) {
    let Some(python) = python(test) else { return };
    if !Command::new(&python).args(["-c", &format!("import {library}")]).output().unwrap().status.success() {
        eprintln!("SKIPPED {test}: the Python of REKINDLE_PYTHON cannot `import {library}`");
        return;
    }
    let place = trained(&[find(case)]);
    let told: Value = serde_json::from_str(&export(&place, case, to, out).out).unwrap();
    let lines: Vec<String> =
        told["python"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect();
    fs::write(place.path("script.py"), format!("{BEGINNING}{}", script(&lines))).unwrap();
    let output = Command::new(python).arg("script.py").current_dir(place.path("")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}\n{out}");
    let updates: Vec<Value> =
        out.lines().filter_map(|line| Some(serde_json::from_str(line.split_once("LINE ")?.1).unwrap())).collect();
    assert_eq!(updates.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(), Vec::from_iter(10..20));
    for line in &updates {
        let ours = logged(&place, case, line["step"].as_u64().unwrap());
        let pairs = [(&line["lr"], &ours["lr"][0], 1e-12), (&line["loss"], &ours["loss"], 1e-5)];
        for (theirs, ours, share) in pairs {
            let (theirs, ours) = (theirs.as_f64().unwrap(), ours.as_f64().unwrap());
            assert!((theirs - ours).abs() <= share * ours.abs(), "{line}: {ours}");
        }
    }
}

#[test]
fn lightning_continues_with_our_numbers() {
    let to = ["lightning", "--attribute", "net"];
    continues("lightning_continues_with_our_numbers", "sgd", &to, "run.ckpt", "lightning", |lines| {
        let function: Vec<&str> =
            lines.iter().map(String::as_str).skip_while(|line| !line.starts_with("def ")).collect();
        let function = function.split_last().unwrap().1.join("\n");
        format!("names = {{\"torch\": torch}}\nexec({}, names)\n{LIGHTNING}", Value::from(function))
    });
}

/// The Trainer refuses the name of an optimizer that it has not, and counts the rows of a micro-batch.
#[test]
fn the_trainer_of_transformers_is_told_no_optimizer_that_it_lacks_and_the_rows_of_a_micro_batch() {
    let place = trained(&[find("nadam")]);
    place.train(&["nadam.toml", "--out", "pieces", "--set", "train.accumulate=4"]).says(0, &[]);
    let told = export(&place, "pieces", &["transformers"], "checkpoint-10");
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let lines: Vec<&str> = told["python"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let code: String = lines.join("\n").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code.contains("per_device_train_batch_size=32, gradient_accumulation_steps=4"), "{code}");
    assert!(!code.contains("optim="), "{code}");
    assert!(code.contains("NAdam("), "{code}");
}

#[test]
fn transformers_continues_with_our_numbers() {
    let name = "transformers_continues_with_our_numbers";
    continues(name, "adamw", &["transformers"], "checkpoint-10", "transformers, accelerate", |lines| {
        // Long code is broken after a comma; the lines that follow are indented.
        let first = lines.iter().position(|line| line.starts_with("arguments = ")).unwrap();
        let more = lines[first + 1..].iter().take_while(|line| line.starts_with(' '));
        let code: Vec<&str> = lines[first..=first].iter().chain(more).map(|line| line.trim()).collect();
        let arguments = code.join(" ").trim_start_matches("arguments = ").to_owned();
        format!("names = {{\"arguments\": {}}}\n{TRANSFORMERS}", Value::from(arguments))
    });
}
