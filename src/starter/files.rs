//! A configuration for images and for text.

use std::path::Path;

use super::lines::{Length, Lines, listed};
use super::{StarterError, nothing};

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
            "format: idx, MNIST's, by the names of the files; {count} images of {height} x {width} with {labels} labels"
        )),
    }
    lines.table("data", "What to learn from.");
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

/// Writes `[data]` and `[model]` for a folder of images for each class.
pub(super) fn images(
    lines: &mut Lines,
    path: &Path,
    validation: Option<&Path>,
    classes: &[String],
    files: usize,
    sides: [usize; 2],
) -> Length {
    lines.decide(format!(
        "format: images, a folder for each class; {files} images to learn from, of {} classes: {}",
        classes.len(),
        listed(classes.iter().map(|class| format!("`{class}`")))
    ));
    lines.table("data", "What to learn from.");
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

/// Writes `[data]` and `[model]` for a text of `tokens` characters or bytes, of which `distinct` are different.
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
    // A tenth of the text is for validation, and has to hold a row.
    let context = (tokens / 40).clamp(1, 64);
    let because = if is_unicode { "it is Unicode" } else { "it is not Unicode" };
    lines.decide(format!("format: text, by the name of the file; a token is a {word}, as {because}"));
    lines.table("data", "What to learn from.");
    lines.path("path", written, "The text, relative to this file.");
    lines.value("format", "\"text\"", "A text, as rows of tokens.");
    lines.value(
        "tokens",
        &format!("\"{plural}\""),
        "What a token is: \"characters\" or \"bytes\"; or `tokenizer = \"tokenizer.json\"` instead.",
    );
    lines.decide(format!(
        "context: the model sees {context} token{} at once, by the length of the text",
        if context == 1 { "" } else { "s" }
    ));
    lines.value("context", &context.to_string(), "How many tokens a row holds: how far back the model can see.");
    let validation = if tokens < SHORT { "0.0" } else { "0.1" };
    lines.value("validation", validation, "The last part of the text, on which nothing is trained; 0 for none.");
    let length = Length { batch_size: 12, epochs: None, steps: 2000, clip_norm: true };
    lines.batch_size(&length);
    lines.decide("model: gpt, a decoder of tokens".to_owned());
    lines.table("model", "What learns: a decoder of tokens.");
    lines.value("kind", "\"gpt\"", "For tokens there is \"gpt\".");
    lines.value("layers", "4", "Blocks, one after the other.");
    lines.value("heads", "4", "Heads of attention in each block; they divide the width.");
    lines.value("width", "128", "Numbers that stand for a token. More learn more, and take longer.");
    lines.value(
        "dropout",
        "0.0",
        "Share that is dropped in training, from 0 to below 1; 0.1 or 0.2 where the text is short.",
    );
    Ok(length)
}
