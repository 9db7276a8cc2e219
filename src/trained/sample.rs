//! Text generation, token by token.
//!
//! `writing.rs`: a text while it is written; `choice.rs`: the choice of a token; `several.rs`: texts after several
//! prompts.

mod choice;
mod several;
mod writing;

use self::writing::{NextToken, Writing};
use super::{Trained, TrainedError};
use crate::data::{DataError, Input, Prompt, Unknown, Vocabulary};

pub use self::several::{Generated, Generations};

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
        let (vocabulary, next) = (self.vocabulary()?, self.next_token(options)?);
        let (tokens, unknown) = several::encoded(&vocabulary, &Prompt::as_is(prompt))?;
        Sampler::new(next, vocabulary, &tokens, unknown)
    }

    fn next_token(&self, options: &SampleOptions) -> Result<NextToken<'_>, TrainedError> {
        options.check()?;
        let context = match self.schema.input {
            Input::Tokens { context, .. } => context,
            Input::Numbers(_) => 1,
        };
        Ok(NextToken { model: self.model.as_ref(), device: &self.device, context, options: *options })
    }
}

/// Generated text: an iterator over its pieces, each the text that one token adds, which may be empty.
pub struct Sampler<'a> {
    next: NextToken<'a>,
    text: Writing,
    unknown: Unknown,
    has_failed: bool,
}

impl<'a> Sampler<'a> {
    fn new(
        next: NextToken<'a>,
        vocabulary: Vocabulary,
        prompt: &[u32],
        unknown: Unknown,
    ) -> Result<Self, TrainedError> {
        let text = Writing::after(prompt, vocabulary, 0, next.context)?;
        Ok(Self { next, text, unknown, has_failed: false })
    }

    /// Returns the part of the prompt that is not in the vocabulary.
    pub fn unknown(&self) -> &Unknown {
        &self.unknown
    }
}

impl Iterator for Sampler<'_> {
    type Item = Result<String, TrainedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed || self.text.is_over(&self.next.options) {
            return None;
        }
        let piece = self.next.write(&mut [&mut self.text]).map(|pieces| pieces.concat());
        self.has_failed = piece.is_err();
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::model::{Mode, Model};
    use crate::parameters::Parameters;

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
        let greedy = |tokens| SampleOptions { tokens, temperature: 0.0, ..SampleOptions::default() };
        assert_eq!(text("7", greedy(5)), "89012");
        assert_eq!(text("01234567", greedy(3)), "890");
        assert_eq!(text("1", greedy(0)), "");
    }

    #[test]
    fn the_seed_alone_decides() {
        let seeded = |seed| text("5", SampleOptions { tokens: 40, seed, temperature: 2.0, top_k: None });
        assert_eq!(seeded(1), seeded(1));
        assert_ne!(seeded(1), seeded(2));
        // The beginning does not depend on the length.
        let short = text("5", SampleOptions { tokens: 7, seed: 1, temperature: 2.0, top_k: None });
        assert!(seeded(1).starts_with(&short));
    }
}
