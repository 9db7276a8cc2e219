//! How probable a model of text finds other texts: loss, perplexity and bits per byte of each.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::vec;

use candle_core::{Device, Tensor};
use serde::Serialize;

use super::{Trained, TrainedError};
use crate::Notice;
use crate::data::{Input, ScoredTexts, ScoredTokens, Vocabulary, files_at};
use crate::figures::counted;
use crate::metric::{BitsPerByte, Metric, Perplexity, Tally, Task};
use crate::optim::to_f64;

/// The figures of a text. Those of one without a token to judge are missing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TextScore {
    /// Number of tokens that are judged: of a pair those of the answer, of a text without a token before it all but the
    /// first.
    pub tokens: usize,
    /// The mean loss over these tokens, without label smoothing.
    pub loss: Option<f64>,
    /// The exponential of their mean cross-entropy.
    pub perplexity: Option<f64>,
    /// Their cross-entropy in bits, over the bytes of text that they stand for. It is missing if the tokens do not keep
    /// every byte.
    pub bits_per_byte: Option<f64>,
}

impl Trained {
    /// Judges the texts in the file at `path`, or in all files whose names match it as a pattern, one on each line: in JSON
    /// Lines records like those of a run of documents, of which the answers alone are judged, or texts in quotes; otherwise
    /// each line is a text. A file is read as its texts are needed.
    ///
    /// A text that is longer than the context of the model is divided: each part is judged without those before it, as in
    /// an evaluation.
    ///
    /// # Errors
    /// The model is not a text model, or the file cannot be opened. Faults of single lines are reported when they are read.
    pub fn score(&self, path: &Path) -> Result<TextScores<'_>, TrainedError> {
        let vocabulary = self.vocabulary()?;
        let context = match self.schema.input {
            Input::Tokens { context, .. } => context.max(1),
            Input::Numbers(_) => 1,
        };
        let token_bytes = vocabulary.token_bytes();
        let has_bytes = token_bytes.is_some();
        let task = Task::new(self.schema.targets).of_text(token_bytes);
        let files = files_at(path)?;
        let first = files.first().cloned().unwrap_or_else(|| path.to_owned());
        let texts = self.texts_in(&first, vocabulary.clone())?;
        let mut rest = files.into_iter();
        rest.next();
        // Another model may take the end of a shorter row for text.
        let is_one_by_one = self.config.model.kind() != "gpt";
        let most_tokens = self.schema.input.evaluation_rows().saturating_mul(context);
        Ok(TextScores {
            trained: self,
            vocabulary,
            texts,
            rest,
            context,
            most_tokens,
            is_one_by_one,
            task,
            has_bytes,
            ready: VecDeque::new(),
            read: Read::default(),
            is_over: false,
        })
    }

    fn texts_in(&self, path: &Path, vocabulary: Vocabulary) -> Result<ScoredTexts, TrainedError> {
        std::fs::metadata(path).map_err(|source| TrainedError::Rows { path: path.to_owned(), source })?;
        ScoredTexts::open(&self.config.data, vocabulary, path).map_err(TrainedError::of_rows(path))
    }
}

/// The figures of texts, one after the other. A fault ends them.
pub struct TextScores<'a> {
    trained: &'a Trained,
    vocabulary: Vocabulary,
    texts: ScoredTexts,
    /// The files after that of `texts`.
    rest: vec::IntoIter<PathBuf>,
    context: usize,
    /// Number of tokens that are computed at the same time, with padding.
    most_tokens: usize,
    /// Whether a row is computed alone.
    is_one_by_one: bool,
    task: Task,
    /// Whether the tokens keep every byte of text.
    has_bytes: bool,
    ready: VecDeque<Result<TextScore, TrainedError>>,
    read: Read,
    is_over: bool,
}

/// Facts about the texts read so far.
#[derive(Default)]
struct Read {
    texts: usize,
    divided: usize,
    /// The first text with unknown tokens, as words.
    unknown: Option<String>,
}

/// A part of a text: inputs, and targets with whether each is judged.
struct Part {
    /// The place of its text among those of the batch.
    text: usize,
    inputs: Vec<u32>,
    targets: Vec<(u32, bool)>,
}

impl Part {
    /// Returns the places and the tokens of the targets that are judged.
    fn judged(&self) -> (Vec<u32>, Vec<u32>) {
        let places = (0..).zip(&self.targets).filter(|(_, (_, is_judged))| *is_judged);
        places.map(|(place, (token, _))| (place, *token)).unzip()
    }
}

/// The sums over the parts of a text.
struct Sums {
    line: u64,
    tokens: usize,
    loss: f64,
    weight: f64,
    perplexity: Box<dyn Tally>,
    bits: Box<dyn Tally>,
}

impl TextScores<'_> {
    /// Returns remarks on the texts read so far.
    pub fn notices(&self) -> Vec<Notice> {
        let Read { texts, divided, unknown } = &self.read;
        let divided = (*divided > 0).then(|| {
            format!(
                "longer than the context of {} tokens: {divided} of {}; each further part of one is judged without those \
                 before it",
                self.context,
                counted(*texts as u64, "text")
            )
        });
        divided.map(Notice::Note).into_iter().chain(unknown.clone().map(Notice::Warning)).collect()
    }

    /// Reads texts until their parts fill a batch, and judges them.
    fn judge_next(&mut self) {
        let (mut sums, mut parts, mut longest) = (Vec::new(), Vec::new(), 0);
        let mut fault: Option<TrainedError> = None;
        while fault.is_none() && (parts.len() + 1).saturating_mul(longest) <= self.most_tokens {
            match self.next_text() {
                Some(Ok(text)) => {
                    self.see(&text);
                    let of_text = self.parts(&text, sums.len());
                    longest = of_text.iter().map(|part| part.inputs.len()).max().unwrap_or(0).max(longest);
                    parts.extend(of_text);
                    sums.push(self.sums(text.line));
                    if self.is_one_by_one || sums.len() >= MOST_TEXTS {
                        break;
                    }
                }
                Some(Err(error)) => fault = Some(error),
                None => {
                    self.is_over = true;
                    break;
                }
            }
        }
        self.is_over |= fault.is_some();
        match self.judge(&parts, &mut sums) {
            Ok(()) => {
                let scores: Vec<_> = sums.iter().map(|sums| self.score(sums)).collect();
                self.ready.extend(scores);
            }
            Err(error) => (self.is_over, fault) = (true, Some(error)),
        }
        self.ready.extend(fault.map(Err));
    }

    /// Returns the next text of this file, or of the next one.
    fn next_text(&mut self) -> Option<Result<ScoredTokens, TrainedError>> {
        loop {
            if let Some(text) = self.texts.next() {
                return Some(text.map_err(TrainedError::from));
            }
            let path = self.rest.next()?;
            match self.trained.texts_in(&path, self.vocabulary.clone()) {
                Ok(texts) => self.texts = texts,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Notes facts about a text.
    fn see(&mut self, text: &ScoredTokens) {
        self.read.texts += 1;
        self.read.divided += usize::from(text.tokens.len() > self.context + 1);
        if text.unknown.count > 0 && self.read.unknown.is_none() {
            let path = self.texts.path().display();
            self.read.unknown = Some(format!("{path}, line {}: {}", text.line, text.unknown));
        }
    }

    /// Divides a text into parts without overlap, of which each target is in one.
    fn parts(&self, text: &ScoredTokens, place: usize) -> Vec<Part> {
        let starts = (0..text.tokens.len().saturating_sub(1)).step_by(self.context);
        let part = |start: usize| {
            let end = (start + self.context).min(text.tokens.len() - 1);
            let inputs = text.tokens.get(start..end)?.iter().map(|(token, _)| *token).collect();
            Some(Part { text: place, inputs, targets: text.tokens.get(start + 1..end + 1)?.to_vec() })
        };
        starts.filter_map(part).filter(|part| part.targets.iter().any(|(_, is_judged)| *is_judged)).collect()
    }

    fn sums(&self, line: u64) -> Sums {
        let (perplexity, bits) = (Perplexity {}.tally_for(&self.task), BitsPerByte {}.tally_for(&self.task));
        Sums { line, tokens: 0, loss: 0.0, weight: 0.0, perplexity, bits }
    }

    /// Adds all parts to the sums of their texts, in batches of rows that are padded to the longest.
    fn judge(&self, parts: &[Part], sums: &mut [Sums]) -> Result<(), TrainedError> {
        for parts in parts.chunks(self.rows_at_once(parts)) {
            let longest = parts.iter().map(|part| part.inputs.len()).max().unwrap_or(0);
            let padded = |part: &Part| {
                let padding = std::iter::repeat_n(0, longest - part.inputs.len());
                part.inputs.iter().copied().chain(padding).collect::<Vec<u32>>()
            };
            let inputs: Vec<u32> = parts.iter().flat_map(padded).collect();
            let inputs = Tensor::from_vec(inputs, (parts.len(), longest), &Device::Cpu)?;
            let outputs = self.trained.outputs(&inputs)?;
            for (row, part) in parts.iter().enumerate() {
                let Some(sums) = sums.get_mut(part.text) else { continue };
                self.add(&outputs.get(row)?, part, sums)?;
            }
        }
        Ok(())
    }

    /// Returns how many rows are computed at the same time.
    fn rows_at_once(&self, parts: &[Part]) -> usize {
        let longest = parts.iter().map(|part| part.inputs.len()).max().unwrap_or(0).max(1);
        if self.is_one_by_one { 1 } else { (self.most_tokens / longest).max(1) }
    }

    /// Adds a part, of which these are the outputs.
    fn add(&self, outputs: &Tensor, part: &Part, sums: &mut Sums) -> Result<(), TrainedError> {
        let (places, targets) = part.judged();
        let count = targets.len();
        let device = outputs.device();
        let outputs = outputs.index_select(&Tensor::from_vec(places, count, device)?, 0)?;
        let targets = Tensor::from_vec(targets, count, device)?;
        let weight = self.trained.loss.weight(&targets)?;
        sums.tokens += count;
        sums.weight += weight;
        sums.loss += weight * to_f64(&self.trained.loss.measure(&outputs, &targets)?)?;
        sums.perplexity.add(&outputs, &targets)?;
        if self.has_bytes {
            sums.bits.add(&outputs, &targets)?;
        }
        Ok(())
    }

    fn score(&self, sums: &Sums) -> Result<TextScore, TrainedError> {
        let Sums { line, tokens, loss, weight, perplexity, bits } = sums;
        if *tokens == 0 {
            return Ok(TextScore { tokens: 0, loss: None, perplexity: None, bits_per_byte: None });
        }
        let (loss, bits) = (loss / weight, bits.value());
        if !loss.is_finite() {
            return Err(TrainedError::NotFinite { what: format!("the text of line {line}") });
        }
        let bits_per_byte = Some(bits).filter(|bits| self.has_bytes && bits.is_finite());
        Ok(TextScore { tokens: *tokens, loss: Some(loss), perplexity: Some(perplexity.value()), bits_per_byte })
    }
}

/// Most texts in a batch: those without parts do not fill one.
const MOST_TEXTS: usize = 1 << 12;

impl Iterator for TextScores<'_> {
    type Item = Result<TextScore, TrainedError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.is_over {
            self.judge_next();
        }
        self.ready.pop_front()
    }
}
