//! The form of rows of tokens, and what a checkpoint holds of them: both follow from the vocabulary.

/// The methods of [`Dataset`](crate::data::Dataset) that follow from a vocabulary and a context.
macro_rules! of_vocabulary {
    ($this:ident => $vocabulary:expr, $context:expr) => {
        fn input(&$this) -> Input {
            Input::Tokens { context: $context, vocabulary: $vocabulary.len() }
        }

        fn targets(&$this) -> TargetKind {
            TargetKind::Classes { count: $vocabulary.len() }
        }

        fn token_bytes(&$this) -> Option<Vec<u32>> {
            $vocabulary.token_bytes()
        }
    };
}
pub(in crate::data) use of_vocabulary;

/// The vocabulary is saved, so that a checkpoint alone can decode tokens to text.
macro_rules! saves_vocabulary {
    ($rows:ty) => {
        impl Stateful for $rows {
            fn save(&self) -> Result<State, StateError> {
                Ok(self.vocabulary.save())
            }

            fn check(&self, state: &State) -> Result<(), StateError> {
                self.vocabulary.check(state)
            }

            fn load(&mut self, state: &State) -> Result<(), StateError> {
                self.check(state)
            }
        }
    };
}
pub(in crate::data) use saves_vocabulary;
