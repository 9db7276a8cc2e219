//! Text generation, token by token.

use std::collections::VecDeque;

use candle_core::{DType, Device, Tensor};

use super::streaming_decoder::StreamingDecoder;
use super::{Trained, TrainedError};
use crate::data::{DataError, Input, Unknown, Vocabulary};
use crate::loss::largest;
use crate::model::{Mode, Model};
use crate::rng::Stream;

/// Options of text generation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleOptions {
    /// Number of tokens to generate.
    pub tokens: usize,
    /// Divisor of the logits: below 1 probable tokens become more probable, above 1 less. At 0 the most probable token
    /// is taken; the first one if several are equal.
    pub temperature: f64,
    /// Number of most probable tokens to choose from, those with lower numbers first if several are equal; `None` for
    /// all tokens.
    pub top_k: Option<usize>,
    /// Seed of the choices; the same seed gives the same text.
    pub seed: u64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self { tokens: 200, temperature: 1.0, top_k: None, seed: 0 }
    }
}

impl SampleOptions {
    fn check(&self) -> Result<(), TrainedError> {
        let wrong = |option, value: String, rule| Err(TrainedError::Option { option, value, rule });
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return wrong("temperature", self.temperature.to_string(), "must be a number, at least 0");
        }
        if self.top_k == Some(0) {
            return wrong("top-k", "0".to_owned(), "must be at least 1");
        }
        Ok(())
    }
}

impl Trained {
    /// Returns the vocabulary of the model's text.
    ///
    /// # Errors
    /// The model is not a text model.
    pub fn vocabulary(&self) -> Result<Vocabulary, TrainedError> {
        match &self.schema.input {
            Input::Tokens { .. } => Ok(Vocabulary::load(&self.memory).map_err(DataError::from)?),
            input => Err(TrainedError::NotText { path: self.path.clone(), input: input.clone() }),
        }
    }

    /// Generates text after `prompt`, in pieces as they come. It is a function of the weights, the prompt and the
    /// options: the same every time, for any number of threads.
    ///
    /// The model sees the last tokens, as many as a row of its data had. A model of documents sees the beginning of one
    /// before the prompt, which may then be empty, and ends where it ends the document.
    ///
    /// # Errors
    /// The model is not a text model, the prompt is empty or has a character that is not in the vocabulary, or most of
    /// it is unknown, or an option is invalid.
    pub fn sample(&self, prompt: &str, options: &SampleOptions) -> Result<Sampler<'_>, TrainedError> {
        let vocabulary = self.vocabulary()?;
        options.check()?;
        let tokens = vocabulary.encode(prompt).map_err(TrainedError::Prompt)?;
        let unknown = vocabulary.require_known(&tokens, prompt).map_err(TrainedError::Prompt)?;
        // A document begins with the separator, also one without a prompt.
        let tokens: Vec<u32> = vocabulary.separator().into_iter().chain(tokens).collect();
        let context = match self.schema.input {
            Input::Tokens { context, .. } => context,
            Input::Numbers(_) => 1,
        };
        let next = NextToken { model: self.model.as_ref(), device: &self.device, context, options: *options };
        Sampler::new(next, vocabulary, &tokens, unknown)
    }
}

/// Generated text: an iterator over its pieces, each the text that one token adds, which may be empty.
pub struct Sampler<'a> {
    next: NextToken<'a>,
    /// The last tokens, up to the model's context.
    seen: VecDeque<u32>,
    spoken: StreamingDecoder,
    /// The token that ends a text.
    end: Option<u32>,
    made: usize,
    unknown: Unknown,
}

impl<'a> Sampler<'a> {
    fn new(
        next: NextToken<'a>,
        vocabulary: Vocabulary,
        prompt: &[u32],
        unknown: Unknown,
    ) -> Result<Self, TrainedError> {
        if prompt.is_empty() {
            return Err(TrainedError::EmptyPrompt);
        }
        let seen = &prompt[prompt.len().saturating_sub(next.context)..];
        let end = vocabulary.separator();
        let spoken = StreamingDecoder::after(vocabulary, prompt);
        let seen = seen.iter().copied().collect();
        Ok(Self { seen, spoken, next, end, made: 0, unknown })
    }

    /// Returns the part of the prompt that is not in the vocabulary.
    pub fn unknown(&self) -> &Unknown {
        &self.unknown
    }

    fn piece(&mut self) -> Result<String, TrainedError> {
        let token = self.next.after(self.seen.make_contiguous(), self.made as u64)?;
        if Some(token) == self.end {
            self.made = self.next.options.tokens;
            return Ok(String::new());
        }
        if self.seen.len() == self.next.context {
            self.seen.pop_front();
        }
        self.seen.push_back(token);
        self.made += 1;
        self.spoken.say(token, self.made == self.next.options.tokens)
    }
}

impl Iterator for Sampler<'_> {
    type Item = Result<String, TrainedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.made >= self.next.options.tokens {
            return None;
        }
        let piece = self.piece();
        if piece.is_err() {
            self.made = self.next.options.tokens;
        }
        Some(piece)
    }
}

/// Computes the next token after some tokens.
struct NextToken<'a> {
    model: &'a dyn Model,
    device: &'a Device,
    context: usize,
    options: SampleOptions,
}

impl NextToken<'_> {
    /// Chooses token number `number` of a text, after `tokens`.
    fn after(&self, tokens: &[u32], number: u64) -> Result<u32, TrainedError> {
        let inputs = Tensor::from_slice(tokens, (1, tokens.len()), self.device)?;
        let outputs = self.model.forward(&inputs, Mode::Evaluate)?;
        let logits = outputs.get(0)?.get(tokens.len() - 1)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(TrainedError::NotFinite { what: format!("token {number} (counted from 0)") });
        }
        let bits = Stream::new(self.options.seed, "sample").bits(number, 0);
        // The upper 53 bits, which f64 holds exactly.
        let uniform = (bits >> 11) as f64 / (1u64 << 53) as f64;
        Ok(choose(&logits, &self.options, uniform))
    }
}

/// Returns the token that `uniform`, a number in `[0, 1)`, chooses: candidates are ordered by number, each with an
/// interval as long as its probability.
fn choose(logits: &[f32], options: &SampleOptions, uniform: f64) -> u32 {
    let most = largest(logits);
    if options.temperature == 0.0 {
        return most;
    }
    let candidates = most_probable(logits, options.top_k.unwrap_or(usize::MAX));
    let top = f64::from(logits[most as usize]);
    let weight = |token: &usize| ((f64::from(logits[*token]) - top) / options.temperature).exp();
    let total: f64 = candidates.iter().map(weight).sum();
    let (mut reached, goal) = (0.0, uniform * total);
    let chosen = candidates.iter().find(|token| {
        reached += weight(token);
        reached > goal
    });
    // Rounding may leave the sum slightly below 1.
    chosen.map_or(most, |token| *token as u32)
}

/// Returns the numbers of the `count` most probable tokens in ascending order; lower numbers first if several are
/// equal.
fn most_probable(logits: &[f32], count: usize) -> Vec<usize> {
    let mut tokens: Vec<usize> = (0..logits.len()).collect();
    if count < tokens.len() {
        tokens.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        tokens.truncate(count);
        tokens.sort_unstable();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;

    const LOGITS: [f32; 4] = [0.0, 2.0, 1.0, 2.0];

    fn options(temperature: f64, top_k: Option<usize>) -> SampleOptions {
        SampleOptions { temperature, top_k, ..SampleOptions::default() }
    }

    /// Returns how often each of the four tokens is chosen for 10,000 evenly spaced numbers.
    fn shares(options: SampleOptions) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for i in 0..10_000 {
            counts[choose(&LOGITS, &options, f64::from(i) / 1e4) as usize] += 1e-4;
        }
        counts
    }

    #[test]
    fn a_token_is_chosen_as_often_as_it_is_probable() {
        for temperature in [0.5, 1.0, 3.0] {
            let weights = LOGITS.map(|logit| (f64::from(logit) / temperature).exp());
            let sum: f64 = weights.iter().sum();
            for (share, weight) in shares(options(temperature, None)).iter().zip(weights) {
                // Four bounds between 10,000 points, each off by at most one.
                assert!((share - weight / sum).abs() < 2.5e-4, "{share} {}", weight / sum);
            }
        }
    }

    #[test]
    fn temperature_zero_is_greedy_and_the_top_tokens_alone_are_chosen_from() {
        assert_eq!(shares(options(0.0, None)).map(f64::round), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(shares(options(1.0, Some(1))).map(f64::round), [0.0, 1.0, 0.0, 0.0]);
        let two = shares(options(1.0, Some(2)));
        assert!(two[0] == 0.0 && two[2] == 0.0 && (two[1] - 0.5).abs() < 1e-3, "{two:?}");
        assert_eq!(shares(options(1.0, Some(9))), shares(options(1.0, None)));
    }

    #[test]
    fn a_temperature_near_zero_is_nearly_greedy() {
        assert_eq!(shares(options(1e-300, None))[2], 0.0);
        assert!(options(f64::NAN, None).check().is_err() && options(-1.0, None).check().is_err());
        assert!(options(1.0, Some(0)).check().is_err());
    }

    /// Predicts the next number, and 9 after as many tokens as the model can see.
    struct Counting(Parameters);

    impl Model for Counting {
        fn forward(&self, inputs: &Tensor, _: Mode<'_>) -> candle_core::Result<Tensor> {
            let tokens = inputs.to_vec2::<u32>()?.remove(0);
            assert!(tokens.len() <= 3, "{tokens:?}");
            let next = |token: u32| (0..10).map(move |other| if other == (token + 1) % 10 { 5f32 } else { 0.0 });
            Tensor::from_iter(tokens.iter().flat_map(|&token| next(token)), &Device::Cpu)?.reshape((
                1,
                tokens.len(),
                10,
            ))
        }

        fn parameters(&self) -> &Parameters {
            &self.0
        }
    }

    fn text(prompt: &str, options: SampleOptions) -> String {
        let model = Counting(Parameters::new());
        let next = NextToken { model: &model, device: &Device::Cpu, context: 3, options };
        let vocabulary = Vocabulary::characters("0123456789");
        let prompt = vocabulary.encode(prompt).unwrap();
        Sampler::new(next, vocabulary, &prompt, Unknown::default()).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_text_continues_with_as_much_context_as_the_model_sees() {
        let greedy = |tokens| SampleOptions { tokens, ..options(0.0, None) };
        assert_eq!(text("7", greedy(5)), "89012");
        assert_eq!(text("01234567", greedy(3)), "890");
        assert_eq!(text("1", greedy(0)), "");
    }

    #[test]
    fn the_seed_alone_decides() {
        let seeded = |seed| text("5", SampleOptions { tokens: 40, seed, ..options(2.0, None) });
        assert_eq!(seeded(1), seeded(1));
        assert_ne!(seeded(1), seeded(2));
        // The beginning does not depend on the length.
        let short = text("5", SampleOptions { tokens: 7, seed: 1, ..options(2.0, None) });
        assert!(seeded(1).starts_with(&short));
    }
}
