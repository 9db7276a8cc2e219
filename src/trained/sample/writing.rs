//! A text while a model writes it, alone or beside others.

use candle_core::{DType, Device, Tensor};

use super::SampleOptions;
use super::choice::choose;
use crate::data::Vocabulary;
use crate::model::{Mode, Model};
use crate::rng::Stream;
use crate::trained::TrainedError;
use crate::trained::streaming_decoder::StreamingDecoder;

/// A text that is being written.
pub(super) struct Writing {
    /// Its number among the texts of a request. Each has other random numbers.
    number: u64,
    /// The last tokens, up to the model's context.
    seen: Vec<u32>,
    spoken: StreamingDecoder,
    /// The token that ends a text.
    end: Option<u32>,
    /// The number of tokens written, without the end.
    pub made: usize,
    /// Whether the model has ended it.
    pub has_ended: bool,
}

impl Writing {
    /// Begins text number `number` after the tokens of a prompt.
    ///
    /// # Errors
    /// There are no tokens.
    pub fn after(prompt: &[u32], vocabulary: Vocabulary, number: u64, context: usize) -> Result<Self, TrainedError> {
        if prompt.is_empty() {
            return Err(TrainedError::EmptyPrompt);
        }
        let seen = prompt[prompt.len().saturating_sub(context)..].to_vec();
        let end = vocabulary.separator();
        let spoken = StreamingDecoder::after(vocabulary, prompt);
        Ok(Self { number, seen, spoken, end, made: 0, has_ended: false })
    }

    /// Whether nothing follows.
    pub fn is_over(&self, options: &SampleOptions) -> bool {
        self.has_ended || self.made >= options.tokens
    }

    /// Adds a token; returns the text that it adds.
    fn add(&mut self, token: u32, context: usize, is_last: bool) -> Result<String, TrainedError> {
        if Some(token) == self.end {
            self.has_ended = true;
            return Ok(String::new());
        }
        if self.seen.len() == context {
            self.seen.remove(0);
        }
        self.seen.push(token);
        self.made += 1;
        self.spoken.say(token, is_last)
    }
}

/// Computes the next tokens of texts.
#[derive(Clone, Copy)]
pub(super) struct NextToken<'a> {
    pub model: &'a dyn Model,
    pub device: &'a Device,
    /// The largest number of tokens that the model sees.
    pub context: usize,
    pub options: SampleOptions,
}

impl NextToken<'_> {
    /// Adds a token to each of these texts; returns the text that each token adds. Several texts need a model whose
    /// outputs depend on earlier tokens alone: the shorter ones are filled up.
    pub fn write(&self, texts: &mut [&mut Writing]) -> Result<Vec<String>, TrainedError> {
        let longest = texts.iter().map(|text| text.seen.len()).max().unwrap_or_default();
        let mut tokens = Vec::with_capacity(texts.len() * longest);
        for (row, text) in texts.iter().enumerate() {
            tokens.extend(&text.seen);
            tokens.resize((row + 1) * longest, 0);
        }
        let inputs = Tensor::from_vec(tokens, (texts.len(), longest), self.device)?;
        let outputs = self.model.forward(&inputs, Mode::Evaluate)?;
        let mut added = Vec::with_capacity(texts.len());
        for (row, text) in texts.iter_mut().enumerate() {
            let logits = outputs.get(row)?.get(text.seen.len() - 1)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            let token = self.chosen(&logits, text)?;
            let is_last = text.made + 1 == self.options.tokens;
            added.push(text.add(token, self.context, is_last)?);
        }
        Ok(added)
    }

    fn chosen(&self, logits: &[f32], text: &Writing) -> Result<u32, TrainedError> {
        let place = text.made as u64;
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(TrainedError::NotFinite { what: format!("token {place} (counted from 0)") });
        }
        let bits = Stream::new(self.options.seed, "sample").bits(place, text.number);
        // The upper 53 bits, which f64 holds exactly.
        let uniform = (bits >> 11) as f64 / (1u64 << 53) as f64;
        Ok(choose(logits, &self.options, uniform))
    }
}
