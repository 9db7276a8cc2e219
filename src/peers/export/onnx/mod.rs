//! A trained model as one file of ONNX: with the standardization of its rows, probabilities, and names of classes.
//!
//! 1. `rows.rs`: the input, and the nodes that prepare it. `layers.rs`: the steps of the model.
//!    `results.rs`: the outputs.
//! 2. `network.rs`: nodes, tensors and the file.

mod layers;
mod network;
mod results;
mod rows;

use std::collections::BTreeMap;

use candle_core::DType;
use serde_json::json;

use self::network::{Element, Network};
use super::error::ExportError;
use super::python;
use super::writing::Writing;
use crate::data::{Input, TargetKind};
use crate::state::HostTensor;
use crate::trained::Trained;

/// The longest file: messages of protocol buffers have lengths of 31 bits.
const LONGEST: u64 = i32::MAX as u64;

/// Writes the file, with these weights of the model.
pub(super) fn write(
    trained: &Trained,
    mut weights: BTreeMap<String, HostTensor>,
    writing: &mut Writing,
) -> Result<(), ExportError> {
    let config = trained.config();
    let Input::Numbers(row) = &trained.schema().input else {
        return Err(ExportError::refused(
            format!("a model of the kind `{}`", config.model.kind()),
            "a model of text is not written as ONNX; --to hugging-face writes it for transformers",
        ));
    };
    let graph = config
        .model
        .spec()
        .graph(&trained.schema().input)
        .map_err(|error| ExportError::refused(format!("the model `{}`", config.model.kind()), error.to_string()))?;
    let graph = graph.ok_or_else(|| {
        let reason = "its steps are not known: models of the kinds mlp, convnet and resnet are written, and those \
                      whose `ModelSpec::graph` returns them; --to safetensors writes the weights";
        ExportError::refused(format!("a model of the kind `{}`", config.model.kind()), reason)
    })?;
    let preparation = trained.preparation()?;
    let mut network = Network::default();
    let input = rows::write(&mut network, &preparation, row);
    let result = layers::write(&mut network, &graph, input, &mut weights)?;
    let outputs =
        results::write(&mut network, &result, trained.output_width()?, trained.link(), trained.target_scale());
    rows::describe(&mut network, &preparation, &config.data);
    if let (Some(classes), TargetKind::Classes { .. }) = (trained.class_names(), trained.schema().targets) {
        network.metadata("classes", &json!(classes).to_string());
    }
    if let Some(labels) = trained.label_names() {
        network.metadata("labels", &json!(labels).to_string());
    }
    network.metadata("step", &trained.step().to_string());
    let length = network.len();
    if length > LONGEST {
        let reason = format!("a file of ONNX has at most {LONGEST} bytes; --to safetensors writes the weights alone");
        return Err(ExportError::refused(format!("a model of {length} bytes"), reason));
    }
    let place = writing.place().to_owned();
    writing.file(&place, |out| network.write(out))?;
    tell(trained, writing, rows::element(&preparation), &outputs);
    writing.notes.extend(rows::remark(&preparation));
    Ok(())
}

/// Says how the file is used, and where it differs from the run.
fn tell(trained: &Trained, writing: &mut Writing, element: Element, outputs: &[&str]) {
    let path = python::text(&writing.place().display().to_string());
    let row: Vec<String> = trained.schema().input.shape().iter().map(usize::to_string).collect();
    let element = if element == Element::F64 { "float64" } else { "float32" };
    let lines = &mut writing.lines;
    lines.push("import json, onnxruntime".to_owned());
    lines.push(format!("session = onnxruntime.InferenceSession({path})"));
    lines.push(format!("# rows: numpy {element} [any number, {}]", row.join(", ")));
    // `class` is a word of Python.
    let variables = outputs.join(", ").replace("class", "numbers");
    lines.push(format!("{variables} = session.run(None, {{\"{}\": rows}})", rows::INPUT));
    if outputs.contains(&"class") {
        lines.push("names = json.loads(session.get_modelmeta().custom_metadata_map[\"classes\"])".to_owned());
    }
    writing.notes.push(format!("the input is {}", rows::description(&trained.config().data)));
    let compute = trained.config().precision.dtype();
    if compute != DType::F32 {
        let compute = compute.as_str();
        writing.notes.push(format!("the run's layers compute in {compute}, and those of the file in f32"));
    }
    if trained.link().is_none() {
        writing
            .notes
            .push("the loss does not say how outputs become predictions, so `outputs` is the model's".to_owned());
    }
}
