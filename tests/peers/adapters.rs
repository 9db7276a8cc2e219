//! Adapters of low rank in `inspect export`: merged into the weights, and apart as PEFT loads them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::programs::{Told, Workplace};

/// A run `base`, and one that adapts its layers, `tuned`, in which those that match `trained` are trained as a whole.
fn tuned(trained: &str) -> Workplace {
    let place = Workplace::with_run();
    fs::rename(place.path("run"), place.path("base")).unwrap();
    let lora = format!("model.lora={{rank=2, alpha=3, trained={trained}}}");
    let from = ["config.toml", "--init-from", "base", "--out", "tuned", "--set", &lora, "--set", "optimizer.groups=[]"];
    place.train(&from).says(0, &["4 of the model's"]);
    place
}

fn probabilities(place: &Workplace, run: &str) -> Vec<f64> {
    let told = place.train(&["predict", run, "--data", "rows.csv"]);
    told.says(0, &[]);
    told.out.lines().skip(1).flat_map(|line| line.split(',').skip(1)).map(|number| number.parse().unwrap()).collect()
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert!(a.len() == b.len() && !a.is_empty());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn merged_weights_are_those_of_an_ordinary_model_with_the_same_outputs() {
    let place = tuned("[]");
    let export = ["export", "tuned", "--to", "safetensors", "-o", "merged.safetensors"];
    let told = place.inspect(&export);
    told.says(0, &[]);
    assert!(told.out.contains("the adapters of `[model.lora]` are merged into the weights"), "{}", told.out);
    let still = ["--set", "train.steps=1", "--set", "optimizer.lr=0"];
    let from = ["config.toml", "--init-from", "merged.safetensors", "--strict", "--out", "plain"];
    place.train(&[&from[..], &still].concat()).says(0, &["4 of the model's 4 tensors"]);
    let (separate, merged, base) =
        (probabilities(&place, "tuned"), probabilities(&place, "plain"), probabilities(&place, "base"));
    assert!(apart(&separate, &merged) < 1e-6, "{}", apart(&separate, &merged));
    assert!(apart(&separate, &base) > 1e-3, "the adapters have learned nothing");
}

#[test]
fn an_export_that_other_programs_could_not_use_is_refused_with_what_they_can() {
    let place = tuned("['*.bias']");
    let refusal = |run: &str, to: &str, parts: &[&str]| {
        place.inspect_refuses(2, &["export", run, "--to", to, "-o", "out"], parts);
    };
    refusal("tuned", "torch", &["the adapters of `[model.lora]`: the optimizer has only those", "`--to peft`"]);
    refusal("tuned", "peft", &["the frozen parameter `0.weight`", "PEFT saves modules as a whole"]);
    refusal("base", "peft", &["the adapters: its model has no `[model.lora]`"]);
}

/// Outputs of PEFT's model, and of one with the merged weights: a `Sequential` whose last layer is trained as a whole,
/// and a GPT-2 of transformers, whose maps are `[in, out]`.
const SCRIPT: &str = r#"
import json, torch
from peft import PeftModel
from safetensors.torch import load_file
def net():
    return torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel
    return GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=8, n_embd=12, n_layer=2, n_head=3)).eval()
def compared(make, base, inputs, name):
    model, merged = make(), make()
    missing = model.load_state_dict(load_file(base), strict=False).missing_keys
    assert missing in ([], ["lm_head.weight"]), missing
    merged.load_state_dict(load_file(name + "-merged.safetensors"), strict=False)
    if hasattr(model, "tie_weights"):
        model.tie_weights(), merged.tie_weights()
    def logits(model):
        result = model(inputs)
        return getattr(result, "logits", result).detach()
    before = logits(model)
    adapted = PeftModel.from_pretrained(model, name + "-adapter").eval()
    separate = logits(adapted)
    apart = (separate - logits(merged)).abs().max().item()
    united = (logits(adapted.merge_and_unload()) - logits(merged)).abs().max().item()
    print("LINE " + json.dumps({"apart": apart, "united": united, "learned": (separate - before).abs().max().item()}))
x = torch.linspace(-1, 1, 12).reshape(6, 2)
compared(net, "base.safetensors", x, "net")
compared(gpt2, "gpt2.safetensors", torch.arange(8).reshape(1, 8), "gpt2")
"#;

#[test]
fn peft_loads_the_adapters_with_the_outputs_of_the_merged_weights() {
    const TEST: &str = "peft_loads_the_adapters_with_the_outputs_of_the_merged_weights";
    let Ok(python) = std::env::var("REKINDLE_PYTHON") else {
        return eprintln!("SKIPPED {TEST}: set REKINDLE_PYTHON to a Python with torch, transformers and peft");
    };
    if !Command::new(&python).args(["-c", "import peft"]).output().unwrap().status.success() {
        return eprintln!("SKIPPED {TEST}: the Python of REKINDLE_PYTHON cannot `import peft`");
    }
    let place = tuned("['2.*']");
    let gpt2 = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gpt2.safetensors");
    fs::copy(gpt2, place.path("gpt2.safetensors")).unwrap();
    fs::write(place.path("a.txt"), "abcdefghijkabacabadacab").unwrap();
    let config = "train = { steps = 4 }\noptimizer = { kind = 'adamw', lr = 0.05 }\n[data]\npath = 'a.txt'\n\
                  format = 'text'\ncontext = 7\nbatch_size = 2\ncache = 'cache'\n[model]\nkind = 'gpt'\nlayers = 2\n\
                  heads = 3\nwidth = 12\ncontext = 8\nactivation = 'gelu_tanh'\nlora = { rank = 2, alpha = 4 }\n";
    fs::write(place.path("gpt2.toml"), config).unwrap();
    place.train(&["gpt2.toml", "--init-from", "gpt2.safetensors", "--out", "gpt2"]).says(0, &[]);
    place.inspect(&["export", "base", "--to", "safetensors", "-o", "base.safetensors"]).says(0, &[]);
    for (run, name) in [("tuned", "net"), ("gpt2", "gpt2")] {
        place.inspect(&["export", run, "--to", "peft", "-o", &format!("{name}-adapter")]).says(0, &[]);
        let merged = format!("{name}-merged.safetensors");
        place.inspect(&["export", run, "--to", "safetensors", "-o", &merged]).says(0, &[]);
    }
    fs::write(place.path("script.py"), SCRIPT).unwrap();
    let output = Command::new(python).arg("script.py").current_dir(place.path("")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}\n{out}");
    let lines: Vec<Value> =
        out.lines().filter_map(|line| Some(serde_json::from_str(line.split_once("LINE ")?.1).unwrap())).collect();
    assert_eq!(lines.len(), 2, "{out}");
    for line in lines {
        let of = |name: &str| line[name].as_f64().unwrap();
        assert!(of("apart") < 1e-5 && of("united") < 1e-5 && of("learned") > 1e-3, "{line}");
    }
}

const ADAPTED: &str = "model.lora={rank=2, alpha=3, trained=['2.*']}";

/// Begins `again` with `base` and the folder `adapter`, with these settings; trains nothing.
fn begun(place: &Workplace, settings: &[&str]) -> Told {
    let from = ["config.toml", "--init-from", "base", "--init-adapter", "adapter", "--out", "again"];
    let still = ["optimizer.groups=[]", "train.steps=1", "optimizer.lr=0"];
    let settings = still.iter().chain(settings).flat_map(|setting| ["--set", setting]);
    place.train(&from.into_iter().chain(settings).collect::<Vec<_>>())
}

#[test]
fn a_run_begins_with_the_adapters_of_a_folder_and_needs_it_no_more() {
    let place = tuned("['2.*']");
    place.inspect(&["export", "tuned", "--to", "peft", "-o", "adapter"]).says(0, &[]);
    let whole = "what it trains as a whole is taken from it: `2.bias`, `2.weight`";
    begun(&place, &[ADAPTED]).says(0, &["the adapters of 1 map are taken from it: `0`", whole]);
    assert_eq!(probabilities(&place, "again"), probabilities(&place, "tuned"));
    fs::remove_dir_all(place.path("adapter")).unwrap();
    place.train(&["--resume", "again", "--set", "train.steps=3", "--set", "optimizer.lr=0.1"]).says(0, &[]);
    let changed = ["--resume", "again", "--set", "train.initial_adapter=other"];
    place.train_refuses(&changed, &["train.initial_adapter cannot change within a run"]);
}

#[test]
fn adapters_that_are_not_those_of_the_run_are_refused_with_the_setting_that_has_them() {
    let place = tuned("['2.*']");
    place.inspect(&["export", "tuned", "--to", "peft", "-o", "adapter"]).says(0, &[]);
    let refusal = |lora: &str, part: &str| begun(&place, &[lora]).says(2, &["train.initial_adapter = ", part]);
    refusal("model.lora={rank=3, trained=['2.*']}", "its rank is 2, and `model.lora.rank` is 3; set it to 2");
    refusal(
        "model.lora={rank=2, trained=['2.*']}",
        "multiplied by 1.5, and those of the run by 1; set `model.lora.alpha = 3`",
    );
    refusal("model.lora={rank=2, alpha=3}", "has `2.bias`, trained as a whole; add it to `model.lora.trained`");
    refusal("model.hidden=[8]", "the model has no adapters; add `[model.lora]` with `rank = 2` and `alpha = 3`");
    let file = place.path("adapter/adapter_config.json");
    let settings: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for (key, value, part) in [
        ("peft_type", Value::from("IA3"), "its adapters are of IA3"),
        ("use_dora", true.into(), "its adapters are of DoRA"),
        ("use_rslora", true.into(), "by the root of the rank"),
        ("rank_pattern", serde_json::json!({"0": 4}), "some of its maps have another rank"),
        ("r", "two".into(), "`adapter_config.json` in it: "),
    ] {
        let mut other = settings.clone();
        other[key] = value;
        fs::write(&file, other.to_string()).unwrap();
        refusal(ADAPTED, part);
    }
    fs::write(&file, settings.to_string()).unwrap();
    fs::rename(place.path("adapter/adapter_model.safetensors"), place.path("adapter/adapter_model.bin")).unwrap();
    refusal(ADAPTED, "has `adapter_model.bin` in place of `adapter_model.safetensors`");
    fs::remove_dir_all(place.path("adapter")).unwrap();
    refusal(ADAPTED, "`adapter_config.json` in it cannot be read");
    let alone = ["config.toml", "--init-adapter", "adapter", "--set", ADAPTED];
    place.train_refuses(&alone, &["acts on initial weights only"]);
}

/// An adapter of PEFT beside the first layer of the run, with numbers drawn for both of its matrices.
const OF_PEFT: &str = r#"
import json, torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
net.load_state_dict(load_file("base.safetensors"))
config = LoraConfig(r=2, lora_alpha=3, lora_dropout=0.25, target_modules=["0"], modules_to_save=["2"], init_lora_weights=False)
model = get_peft_model(net, config).eval()
model.save_pretrained("adapter")
rows = torch.tensor([[float(x) for x in line.split(",")[:2]] for line in open("rows.csv").read().splitlines()[1:]])
print("LINE " + json.dumps(torch.softmax(model(rows), -1).flatten().tolist()))
"#;

#[test]
fn a_run_begins_with_an_adapter_that_peft_has_written() {
    const TEST: &str = "a_run_begins_with_an_adapter_that_peft_has_written";
    let Ok(python) = std::env::var("REKINDLE_PYTHON") else {
        return eprintln!("SKIPPED {TEST}: set REKINDLE_PYTHON to a Python with torch and peft");
    };
    if !Command::new(&python).args(["-c", "import peft"]).output().unwrap().status.success() {
        return eprintln!("SKIPPED {TEST}: the Python of REKINDLE_PYTHON cannot `import peft`");
    }
    let place = tuned("[]");
    place.inspect(&["export", "base", "--to", "safetensors", "-o", "base.safetensors"]).says(0, &[]);
    fs::write(place.path("script.py"), OF_PEFT).unwrap();
    let output = Command::new(python).arg("script.py").current_dir(place.path("")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}\n{out}");
    let line = out.lines().find_map(|line| line.strip_prefix("LINE ")).unwrap();
    let theirs: Vec<f64> = serde_json::from_str(line).unwrap();
    begun(&place, &[ADAPTED, "data.standardize=false"])
        .says(0, &["was trained with a dropout of 0.25, and this run has 0"]);
    assert!(apart(&probabilities(&place, "again"), &theirs) < 1e-5);
}
