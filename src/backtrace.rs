//! Candle adds a backtrace to the text of its errors if `RUST_BACKTRACE` is set. It does not help the reader of the
//! message, so it is removed when a Candle error becomes one of this crate's.

use candle_core::Error;

/// Returns the same error without any backtrace.
pub(crate) fn without_backtrace(error: Error) -> Error {
    match error {
        Error::WithBacktrace { inner, .. } => without_backtrace(*inner),
        Error::Context { inner, context } => Error::Context { inner: Box::new(without_backtrace(*inner)), context },
        Error::WithPath { inner, path } => Error::WithPath { inner: Box::new(without_backtrace(*inner)), path },
        error => error,
    }
}

/// `From` Candle's error, without its backtrace, for `Type => Variant`. Each error of this crate has its line.
macro_rules! from_candle {
    ($Error:ty => $Variant:ident) => {
        impl From<candle_core::Error> for $Error {
            fn from(error: candle_core::Error) -> Self {
                Self::$Variant(crate::backtrace::without_backtrace(error))
            }
        }
    };
}

pub(crate) use from_candle;

#[cfg(test)]
mod tests {
    use std::backtrace::Backtrace;

    use super::*;

    /// Wraps an error as `Error::bt` does if `RUST_BACKTRACE` is set.
    fn traced(error: Error) -> Error {
        Error::WithBacktrace { inner: Box::new(error), backtrace: Box::new(Backtrace::force_capture()) }
    }

    #[test]
    fn a_backtrace_is_taken_away_in_any_place() {
        let error = || traced(Error::Msg("no driver".to_owned()));
        let wrapped =
            [error(), traced(error()), error().with_path("a"), traced(error().context("opening").with_path("a"))];
        let shown = wrapped.map(|error| without_backtrace(error).to_string());
        assert_eq!(shown, ["no driver", "no driver", "path: \"a\" no driver", "path: \"a\" opening\nno driver"]);
        assert_eq!(crate::optim::OptimError::from(error()).to_string(), "no driver");
        let shown = crate::state::StateError::from(error()).to_string();
        assert!(shown.contains("no driver") && !shown.contains('\n'), "{shown}");
    }
}
