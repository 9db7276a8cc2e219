//! A GPT as a directory of Hugging Face: `config.json`, `model.safetensors` and `tokenizer.json`, which transformers loads
//! and so does, for Llama's layout, candle-transformers.
//!
//! `gpt2.rs` and `llama.rs` have the two layouts, `tokens.rs` the files of the tokenizer.

mod gpt2;
mod llama;
mod tokens;

use std::collections::BTreeMap;

use candle_core::DType;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use self::gpt2::config as gpt2_config;
use self::tokens::Tokens;
use super::error::ExportError;
use super::python;
use super::writing::Writing;
use crate::data::Input;
use crate::model::{GptActivation, GptConfig, GptNorm, Positions};
use crate::state::{Dtype, HostTensor};
use crate::trained::Trained;

/// The weights of a directory by name.
type Weights = Vec<(String, HostTensor)>;

/// The sizes that the data gives a model.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// The longest sequence.
    pub context: usize,
    /// The number of tokens.
    pub vocabulary: usize,
}

/// Writes the directory, with these weights of the model.
pub(super) fn write(
    trained: &Trained,
    weights: BTreeMap<String, HostTensor>,
    writing: &mut Writing,
) -> Result<(), ExportError> {
    let settings = serde_json::to_value(&trained.config().model).unwrap_or_default();
    let (Some(gpt), Input::Tokens { context, vocabulary }) = (gpt(&settings), &trained.schema().input) else {
        let reason = "a directory of Hugging Face is written for a `gpt`; for others there are --to onnx and --to \
                      safetensors";
        return Err(ExportError::refused(format!("a model of the kind `{}`", trained.config().model.kind()), reason));
    };
    let sizes = Sizes { context: gpt.context.unwrap_or(*context), vocabulary: *vocabulary };
    let layout = Layout::of(&gpt)?;
    let tokens = Tokens::of(&trained.vocabulary()?);
    let mut weights: Weights = weights.into_iter().collect();
    let mut config = match layout {
        Layout::Gpt2 => {
            gpt2::complete(&gpt, &mut weights);
            gpt2::config(&gpt, sizes)
        }
        Layout::Llama => llama::config(&gpt, sizes),
    };
    if let Some(fields) = config.as_object_mut() {
        fields.extend(tokens.ids());
        fields.insert("use_cache".to_owned(), json!(true));
    }
    let folder = writing.place().to_owned();
    writing.folder(&folder)?;
    let views: Vec<(&str, &HostTensor)> = weights.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    writing.safetensors(&folder.join("model.safetensors"), &views)?;
    writing.json(&folder.join("tokenizer.json"), &tokens.tokenizer)?;
    writing.json(&folder.join("tokenizer_config.json"), &tokens.config(sizes.context))?;
    writing.json(&folder.join("config.json"), &config)?;
    writing.json(&folder.join("generation_config.json"), &tokens.generation())?;
    tell(trained, &gpt, layout, &tokens, writing);
    Ok(())
}

/// Reads the settings of a GPT, with their `kind`; `None` for other models.
pub(super) fn gpt(settings: &Value) -> Option<GptConfig> {
    let mut settings = settings.clone();
    let kind = settings.as_object_mut()?.remove("kind")?;
    (kind == "gpt").then(|| GptConfig::deserialize(settings).ok()).flatten()
}

/// The layouts that transformers has for our models.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `GPT2LMHeadModel`.
    Gpt2,
    /// `LlamaForCausalLM`.
    Llama,
}

impl Layout {
    fn of(gpt: &GptConfig) -> Result<Self, ExportError> {
        let is_llama =
            (gpt.positions, gpt.norm, gpt.activation) == (Positions::Rotary, GptNorm::Rms, GptActivation::Swiglu);
        if gpt.is_gpt2() {
            return Ok(Self::Gpt2);
        }
        if is_llama {
            return Ok(Self::Llama);
        }
        let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let [positions, norm, activation] = [json!(gpt.positions), json!(gpt.norm), json!(gpt.activation)].map(word);
        let thing = format!(
            "a gpt with positions = \"{positions}\", norm = \"{norm}\", activation = \"{activation}\" and kv_heads = {}",
            gpt.kv_heads()
        );
        let reason = format!(
            "transformers has GPT-2 (\"learned\", \"layer\", \"gelu\" or \"gelu_tanh\", kv_heads = {}) and Llama (\"rotary\", \
             \"rms\", \"swiglu\"), and no mixture of them; --to safetensors writes the weights alone",
            gpt.heads
        );
        Err(ExportError::refused(thing, reason))
    }
}

/// Says how the directory is used, and where it differs from the run.
fn tell(trained: &Trained, gpt: &GptConfig, layout: Layout, tokens: &Tokens, writing: &mut Writing) {
    let path = python::text(&writing.place().display().to_string());
    writing.lines.extend([
        "import transformers".to_owned(),
        format!("tokenizer = transformers.AutoTokenizer.from_pretrained({path})"),
        format!("model = transformers.AutoModelForCausalLM.from_pretrained({path})"),
        "tokens = tokenizer(\"…\", return_tensors=\"pt\", add_special_tokens=False)".to_owned(),
        "print(tokenizer.decode(model.generate(**tokens, max_new_tokens=100)[0]))".to_owned(),
    ]);
    let notes = &mut writing.notes;
    notes.extend(tokens.remarks.iter().cloned());
    match layout {
        Layout::Gpt2 => {
            if !gpt.bias {
                notes.push("GPT-2 has biases, and the run none: they are written as zeros".to_owned());
            }
            notes.push("candle-transformers has no GPT-2; it loads models of Llama's layout".to_owned());
        }
        Layout::Llama if gpt.bias => notes.push(
            "transformers has the biases of this model; the Llama of candle-transformers has none, and would leave them \
             out without a word: train with `model.bias = false` for it"
                .to_owned(),
        ),
        Layout::Llama => {}
    }
    let compute = trained.config().precision.dtype();
    if compute != DType::F32 {
        notes.push(format!("the run's layers compute in {}, and the weights are in f32", compute.as_str()));
    }
}

/// Returns zeros of this type and shape.
fn zeros(dtype: Dtype, shape: Vec<usize>) -> HostTensor {
    let bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
    HostTensor { dtype, shape, bytes }
}
