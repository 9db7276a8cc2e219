//! Lines of a configuration, each with a comment, and the tables that all formats share.

use std::path::Path;

use super::Starter;
use crate::Notice;
use crate::data::Split;

/// Lines of TOML, with the decisions at the top.
pub(super) struct Lines {
    text: String,
    decisions: Vec<Notice>,
}

/// Length of a first run.
pub(super) struct Length {
    pub batch_size: usize,
    /// Number of passes over the data, or `None` if it is counted in steps.
    pub epochs: Option<usize>,
    /// Number of updates.
    pub steps: usize,
    pub clip_norm: bool,
}

impl Length {
    /// Returns about two thousand updates over `rows` training rows, within limits on the number of passes.
    pub fn of_rows(rows: usize, batch_size: usize) -> Self {
        let per_epoch = rows.div_ceil(batch_size).max(1);
        let epochs = (2000 / per_epoch).clamp(5, 100);
        Self { batch_size, epochs: Some(epochs), steps: epochs * per_epoch, clip_norm: false }
    }
}

impl Lines {
    pub fn new() -> Self {
        let mut lines = Self { text: String::new(), decisions: Vec::new() };
        lines.value("seed", "1", "Seed of initial weights, split, shuffling and dropout.");
        lines.value("device", "\"cpu\"", "The device: \"cpu\", or \"cuda\" or \"metal\" if this build supports them.");
        lines
    }

    /// Returns the file, with the decisions above its keys.
    pub fn into_starter(self) -> Starter {
        let Self { text, decisions } = self;
        let mut head = comment(
            "",
            "Written by `train init` for a first run. `train check` and the name of this file shows how a run would \
             interpret it, without training; `train reference` prints every key.",
        );
        head += "#\n# Decisions, from an examination of the data:\n";
        for decision in &decisions {
            let text = match decision {
                Notice::Note(text) => text.clone(),
                Notice::Warning(_) => decision.to_string(),
            };
            head += &comment("- ", &text);
        }
        Starter { text: head + "\n" + &text, decisions }
    }

    /// Adds a decision.
    pub fn decide(&mut self, text: String) {
        self.decisions.push(Notice::Note(text));
    }

    /// Adds a decision that the user should check.
    pub fn warn(&mut self, text: String) {
        self.decisions.push(Notice::Warning(text));
    }

    pub fn table(&mut self, name: &str, meaning: &str) {
        self.text.push('\n');
        self.comment(meaning);
        self.text.push_str(&format!("[{name}]\n"));
    }

    pub fn value(&mut self, key: &str, value: &str, meaning: &str) {
        self.comment(meaning);
        self.text.push_str(&format!("{key} = {value}\n"));
    }

    pub fn path(&mut self, key: &str, path: &Path, meaning: &str) {
        self.value(key, &quoted(&path.to_string_lossy()), meaning);
    }

    fn comment(&mut self, text: &str) {
        self.text += &comment("", text);
    }

    /// Sets a share of `rows` aside for validation, and returns the number of training rows.
    pub fn validation(&mut self, rows: usize) -> usize {
        let (share, text) = match rows {
            0..10 => (0.0, "0.0"),
            10..10_000 => (0.2, "0.2"),
            _ => (0.1, "0.1"),
        };
        let count = Split::count(rows, share).unwrap_or(0);
        self.decide(match count {
            0 => "validation: no rows are set aside, because there are few".to_owned(),
            count => format!("validation: {count} of {rows} rows are set aside"),
        });
        self.value("validation", text, "Share of the rows that is set aside for validation, from 0 to below 1.");
        rows - count
    }

    pub fn batch_size(&mut self, length: &Length) {
        self.value("batch_size", &length.batch_size.to_string(), "Rows per update, or \"all\".");
    }

    pub fn mlp(&mut self) {
        self.decide("model: mlp, two hidden layers of 64, for rows of numbers".to_owned());
        self.table("model", "The model: linear layers with an activation between them.");
        self.value("kind", "\"mlp\"", "\"mlp\" for rows of numbers; for images also \"convnet\" and \"resnet\".");
        self.value("hidden", "[64, 64]", "Width of each hidden layer; [] makes the model linear.");
        self.value("activation", "\"relu\"", "Between the layers: \"relu\", \"gelu\" or \"tanh\".");
        self.value("dropout", "0.1", "Share of hidden units that is dropped in training, from 0 to below 1.");
    }

    /// Writes a network for images of this height and width.
    pub fn convnet(&mut self, [height, width]: [usize; 2]) {
        let (mut side, mut channels, mut blocks) = (height.min(width), 16, Vec::new());
        while side >= 8 && blocks.len() < 4 {
            blocks.push(format!("{{ channels = {channels}, padding = 1, pool = \"max\" }}"));
            (side, channels) = (side / 2, channels * 2);
        }
        blocks.push(format!("{{ channels = {channels}, padding = 1 }}"));
        self.decide(format!("model: convnet, {} blocks, for images", blocks.len()));
        self.table(
            "model",
            "The model: convolutions, each with a pooling that halves the image, and then linear layers.",
        );
        self.value("kind", "\"convnet\"", "For images: \"convnet\", \"resnet\" or \"mlp\".");
        let meaning = "The convolutions. A block can also have `kernel`, `stride`, `batch_norm` and `dropout`.";
        self.value("blocks", &format!("[\n    {},\n]", blocks.join(",\n    ")), meaning);
        self.value(
            "average_to",
            "1",
            "Side of the grid that each channel is averaged to; left out, all positions are kept.",
        );
        self.value("hidden", "[64]", "Width of each hidden linear layer after the blocks.");
        self.value("dropout", "0.1", "Share of their units that is dropped in training, from 0 to below 1.");
    }

    /// Writes optimizer, schedule, length and saves.
    pub fn training(&mut self, length: &Length) {
        self.table("optimizer", "The update rule of the weights.");
        self.value("kind", "\"adamw\"", "There are \"adamw\", \"adam\", \"sgd\" and others: see docs/optimizers.md.");
        let rate = "Base learning rate; `train find-lr` and the name of this file looks for a better one.";
        self.value("lr", "2e-3", rate);
        self.value("weight_decay", "0.01", "How strongly weights are pulled to 0.");
        self.value(
            "decay",
            "\"matrices\"",
            "Parameters that decay: \"matrices\" leaves out biases and norms; or \"all\".",
        );
        self.table("schedule", "The learning rate: rises linearly, then falls along a cosine.");
        self.value(
            "kind",
            "\"warmup\"",
            "docs/schedules.md has every kind. A line of text also works: schedule = 'cosine(\"100%\")'.",
        );
        self.value("steps", "\"5%\"", "Length of the warm-up: steps, or a share of the run.");
        self.value("schedule", "{ kind = \"cosine\", t_max = \"95%\" }", "The schedule after it.");
        self.table("train", "Length and safeguards of training.");
        let steps = length.steps;
        match length.epochs {
            Some(epochs) => {
                let meaning =
                    format!("Passes over the data, here {steps} updates in all; or `steps`, a number of updates.");
                self.value("epochs", &epochs.to_string(), &meaning);
            }
            None => self.value("steps", &steps.to_string(), "Updates; or `epochs`, a number of passes over the data."),
        }
        if length.clip_norm {
            self.value("clip_norm", "1.0", "Largest global norm of the gradients; left out, they are not clipped.");
        }
        self.text.push('\n');
        self.comment(
            "The state is saved from time to time and at the end, and a run that stops for any reason continues with \
             `train --resume` and its directory. The interval, and the number of checkpoints to keep, can be set:",
        );
        self.text.push_str("# [checkpoint]\n# every = \"10 minutes\"\n# keep = { last = 3 }\n");
    }
}

/// Formats text as comments, which begin with `mark` and are indented by its width after it. TOML allows no control
/// characters.
fn comment(mark: &str, text: &str) -> String {
    const WIDTH: usize = 100;
    let (mut text_of_all, mut line) = (String::new(), format!("# {mark}"));
    let indent = " ".repeat(2 + mark.len());
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text_of_all += &line;
            text_of_all.push('\n');
            line = indent.replacen(' ', "#", 1);
            is_empty = true;
        }
        line += if is_empty { "" } else { " " };
        line.extend(word.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }));
        is_empty = false;
    }
    text_of_all + &line + "\n"
}

/// Lists items in a sentence, only some if there are many.
pub(super) fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 10;
    let more = items.len().saturating_sub(SHOWN);
    let shown = items.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Formats a value of the data for a sentence: quoted, and shortened.
pub(super) fn example(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A text in TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
