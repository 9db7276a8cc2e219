//! Configurations for images and for text.

use std::path::Path;

use super::lines::{Length, Lines, listed};
use super::{StarterError, nothing};
use crate::figures::counted;

/// Writes `[data]` and `[model]` for MNIST's files.
pub(super) fn idx(
    lines: &mut Lines,
    data: &Path,
    written: &Path,
    has_validation: bool,
    [count, height, width]: [usize; 3],
    labels: Option<usize>,
) -> Result<Length, StarterError> {
    match labels {
        None => return Err(nothing(data, "there are images, and no labels: `train-labels-idx1-ubyte` is not there")),
        Some(0 | 1) => return Err(nothing(data, "all images have the same label, so there is nothing to learn")),
        Some(labels) => lines.decide(format!(
            "format: idx, MNIST's, by the names of the files; {} of {height} x {width} with {labels} labels",
            counted(count, "image")
        )),
    }
    lines.table("data", "The training data.");
    lines.path("path", written, "The folder of the files, relative to this one.");
    lines.value("format", "\"idx\"", "MNIST's format. Another name of a file is said by `images` and `labels`.");
    let train = if has_validation {
        lines.decide("validation: the files `t10k-…`".to_owned());
        count
    } else {
        lines.validation(count)
    };
    let length = Length::of_rows(train, 64);
    lines.batch_size(&length);
    lines.convnet([height, width]);
    Ok(length)
}

/// Writes `[data]` and `[model]` for a folder with one subfolder of images per class.
pub(super) fn images(
    lines: &mut Lines,
    path: &Path,
    validation: Option<&Path>,
    classes: &[String],
    files: usize,
    sides: [usize; 2],
) -> Length {
    lines.decide(format!(
        "format: images, a folder for each class; {} for training, of {}: {}",
        counted(files, "image"),
        counted(classes.len(), "class"),
        listed(classes.iter().map(|class| format!("`{class}`")))
    ));
    lines.table("data", "The training data.");
    lines.path("path", path, "The folder that has a folder of images for each class, relative to this file.");
    lines.value("format", "\"images\"", "A folder of images for each class.");
    let train = match validation {
        Some(path) => {
            lines.decide(format!("validation: the images in {}", path.display()));
            lines.path("validation_path", path, "The folder of those for validation, with the same classes.");
            files
        }
        None => lines.validation(files),
    };
    let length = Length::of_rows(train, 32);
    lines.batch_size(&length);
    lines.convnet(sides);
    length
}

/// Writes `[data]` and `[model]` for a text of `tokens` characters or bytes, with `distinct` different ones.
pub(super) fn text(
    lines: &mut Lines,
    data: &Path,
    written: &Path,
    tokens: usize,
    distinct: usize,
    is_unicode: bool,
) -> Result<Length, StarterError> {
    /// Below this, a tenth of the text is too short for a row.
    const SHORT: usize = 20;
    let (word, plural) = if is_unicode { ("character", "characters") } else { ("byte", "bytes") };
    match (tokens, distinct) {
        (0, _) => return Err(nothing(data, "the text is empty")),
        (_, 1) => return Err(nothing(data, format!("the text has a single {word}, so there is nothing to learn"))),
        (0..3, _) => return Err(nothing(data, format!("a text of {tokens} {plural} is too short to learn from"))),
        _ => {}
    }
    // A tenth of the text is for validation, and must be long enough for a row.
    let context = (tokens / 40).clamp(1, 64);
    let because = if is_unicode { "it is Unicode" } else { "it is not Unicode" };
    lines.decide(format!("format: text, by the name of the file; a token is a {word}, as {because}"));
    lines.table("data", "The training data.");
    lines.path("path", written, "The text, relative to this file.");
    lines.value("format", "\"text\"", "A text, as rows of tokens.");
    lines.value(
        "tokens",
        &format!("\"{plural}\""),
        "The kind of token: \"characters\" or \"bytes\"; or `tokenizer = \"tokenizer.json\"` instead.",
    );
    lines.decide(format!(
        "context: the model sees {context} token{} at once, by the length of the text",
        if context == 1 { "" } else { "s" }
    ));
    lines.value("context", &context.to_string(), "Number of tokens in a row: how far back the model can see.");
    let validation = if tokens < SHORT { "0.0" } else { "0.1" };
    lines.value(
        "validation",
        validation,
        "Share of the text, at its end, that is used only for validation; 0 for none.",
    );
    let length = Length { batch_size: 12, epochs: None, steps: 2000, clip_norm: true };
    lines.batch_size(&length);
    gpt(lines);
    Ok(length)
}

/// Writes `[model]` for tokens.
pub(super) fn gpt(lines: &mut Lines) {
    lines.decide("model: gpt, a decoder-only transformer".to_owned());
    lines.table("model", "The model: a decoder-only transformer.");
    lines.value("kind", "\"gpt\"", "For tokens there is \"gpt\".");
    lines.value("layers", "4", "Number of blocks.");
    lines.value("heads", "4", "Number of attention heads in each block; must divide the width.");
    lines.value("width", "128", "Embedding size. More can learn more, and take longer.");
    lines.value(
        "dropout",
        "0.0",
        "Share that is dropped in training, from 0 to below 1; 0.1 or 0.2 if the text is short.",
    );
}
