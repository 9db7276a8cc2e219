//! Texts after several prompts.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use serde::Serialize;

use super::SampleOptions;
use super::writing::{NextToken, Writing};
use crate::data::{Prompt, PromptForm, Unknown, Vocabulary};
use crate::trained::{Trained, TrainedError};

/// A generated text.
#[derive(Clone, Debug, Serialize)]
pub struct Generated {
    /// The prompt, as the model sees it.
    pub prompt: String,
    /// The text after it. If the model ended it, it is without the text that the template has after an answer.
    pub text: String,
    /// The number of tokens in it.
    pub tokens: usize,
    /// Whether the model ended it, as a document ends.
    pub ended: bool,
    /// The part of the prompt that is not in the vocabulary.
    #[serde(skip)]
    pub unknown: Unknown,
}

impl Trained {
    /// Returns the form of the prompts of the run's data.
    ///
    /// # Errors
    /// The model is not a text model.
    pub fn prompt_form(&self) -> Result<PromptForm, TrainedError> {
        self.vocabulary()?;
        Ok(PromptForm::of(&self.config.data)?)
    }

    /// Generates a text after each of `prompts`, in their order. Each is a function of the weights, its prompt, its number
    /// and the options, the same for any number of threads; the text after the first prompt is that of
    /// [`Trained::sample`].
    ///
    /// A GPT continues `together` prompts at the same time, which is faster, and takes as many times the memory. By
    /// their number alone outputs may differ in rounding.
    ///
    /// # Errors
    /// The model is not a text model, or an option is invalid. Faults of a prompt are reported in its place, and end
    /// the texts.
    pub fn generate<P>(
        &self,
        prompts: P,
        together: NonZeroUsize,
        options: &SampleOptions,
    ) -> Result<Generations<'_, P::IntoIter>, TrainedError>
    where
        P: IntoIterator<Item = Result<Prompt, TrainedError>>,
    {
        let (vocabulary, next) = (self.vocabulary()?, self.next_token(options)?);
        // Of another model it is not known whether a token sees those after it.
        let together = if self.config.model.kind() == "gpt" { together.get() } else { 1 };
        let (prompts, done) = (prompts.into_iter(), VecDeque::new());
        Ok(Generations { vocabulary, next, prompts, together, done, begun: 0, is_over: false })
    }
}

/// Texts after several prompts, one after the other.
pub struct Generations<'a, P> {
    vocabulary: Vocabulary,
    next: NextToken<'a>,
    prompts: P,
    together: usize,
    done: VecDeque<Result<Generated, TrainedError>>,
    /// The number of prompts read.
    begun: u64,
    is_over: bool,
}

/// A text with the facts about its prompt.
struct Begun {
    prompt: Prompt,
    unknown: Unknown,
    writing: Writing,
    text: String,
}

impl Begun {
    fn finished(self) -> Generated {
        let Self { prompt, unknown, writing, mut text } = self;
        if writing.has_ended && !prompt.after.is_empty() && text.ends_with(&prompt.after) {
            text.truncate(text.len() - prompt.after.len());
        }
        Generated { prompt: prompt.text(), text, tokens: writing.made, ended: writing.has_ended, unknown }
    }
}

impl<P: Iterator<Item = Result<Prompt, TrainedError>>> Generations<'_, P> {
    fn begin(&mut self, prompt: Prompt) -> Result<Begun, TrainedError> {
        let (tokens, unknown) = encoded(&self.vocabulary, &prompt)?;
        let writing = Writing::after(&tokens, self.vocabulary.clone(), self.begun, self.next.context)?;
        self.begun += 1;
        Ok(Begun { prompt, unknown, writing, text: String::new() })
    }

    /// Writes the texts after the next prompts.
    fn continue_next(&mut self) {
        let (mut texts, mut fault) = (Vec::new(), None);
        while texts.len() < self.together && fault.is_none() {
            let Some(prompt) = self.prompts.next() else { break };
            match prompt.and_then(|prompt| self.begin(prompt)) {
                Ok(begun) => texts.push(begun),
                Err(error) => fault = Some(error),
            }
        }
        self.is_over = fault.is_some() || texts.len() < self.together;
        match self.write(&mut texts) {
            Ok(()) => self.done.extend(texts.into_iter().map(|text| Ok(text.finished()))),
            Err(error) => (self.is_over, fault) = (true, Some(error)),
        }
        self.done.extend(fault.map(Err));
    }

    fn write(&self, texts: &mut [Begun]) -> Result<(), TrainedError> {
        loop {
            let open = texts.iter_mut().filter(|text| !text.writing.is_over(&self.next.options));
            let (mut writings, spoken): (Vec<_>, Vec<_>) =
                open.map(|Begun { writing, text, .. }| (writing, text)).unzip();
            if writings.is_empty() {
                return Ok(());
            }
            let added = self.next.write(&mut writings)?;
            spoken.into_iter().zip(added).for_each(|(text, more)| text.push_str(&more));
        }
    }
}

impl<P: Iterator<Item = Result<Prompt, TrainedError>>> Iterator for Generations<'_, P> {
    type Item = Result<Generated, TrainedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done.is_empty() && !self.is_over {
            self.continue_next();
        }
        self.done.pop_front()
    }
}

/// Returns the tokens of a prompt, and the part of it that is not in the vocabulary. A document begins with the
/// separator, also one without a prompt.
pub(super) fn encoded(vocabulary: &Vocabulary, prompt: &Prompt) -> Result<(Vec<u32>, Unknown), TrainedError> {
    let mut tokens: Vec<u32> = vocabulary.separator().into_iter().collect();
    let before = tokens.len();
    for piece in &prompt.pieces {
        tokens.extend(vocabulary.encode(piece).map_err(TrainedError::Prompt)?);
    }
    let unknown = vocabulary.require_known(&tokens[before..], &prompt.text()).map_err(TrainedError::Prompt)?;
    Ok((tokens, unknown))
}
