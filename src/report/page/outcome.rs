//! The predictions of the newest checkpoint, if the data of the run is there.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::store;
use crate::trained::{Review, Trained};

/// Time for the predictions of a run. The batch in work at its end is the last.
const LONGEST: Duration = Duration::from_secs(5);

/// Predictions for rows of the run, or why there are none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predictions {
    /// The predictions.
    pub review: Option<Review>,
    /// Why there are none.
    pub note: Option<String>,
}

/// Predicts rows of the run at `run`.
pub(super) fn of_run(run: &Path) -> Predictions {
    let without = |note: String| Predictions { review: None, note: Some(note) };
    if store::is_url(run) {
        return without("there are no predictions, because the checkpoint is not on this machine".to_owned());
    }
    let review = Trained::open(run, &[]).and_then(|(trained, _)| trained.review(Instant::now() + LONGEST));
    match review {
        Ok(review) => Predictions { review: Some(review), note: None },
        Err(error) => without(format!("there are no predictions: {error}")),
    }
}
