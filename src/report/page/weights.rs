//! The tensors of the newest checkpoint: statistics, and histograms of the weights.

use std::path::Path;

use serde::Serialize;

use crate::checkpoint::Outline;
use crate::memory::Size;
use crate::report::statistics::{TensorSummary, histogram, summarize};
use crate::store;
use crate::train::resume;

/// Buckets of a histogram.
const BUCKETS: usize = 24;

/// Most tensors on a page.
const MOST: usize = 2000;

/// The largest checkpoint whose elements are read.
const MOST_BYTES: u64 = 4 << 30;

/// The tensors of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Weights {
    /// The step of the checkpoint.
    pub step: u64,
    /// The tensors of the model, and then those of the other parts.
    pub tensors: Vec<WeightsOfTensor>,
    /// The parts that are left out, and why.
    pub note: Option<String>,
}

/// A tensor on the page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightsOfTensor {
    /// Its statistics.
    #[serde(flatten)]
    pub summary: TensorSummary,
    /// Numbers of elements in buckets of equal width, from the smallest element to the largest; empty if they were not
    /// read, or if it is not a tensor of the model.
    pub histogram: Vec<u64>,
}

/// Reads the tensors of the newest checkpoint, whose outline is known, of the run at `run`.
pub(super) fn of_run(run: &Path, outline: &Outline) -> Weights {
    let bytes = outline.manifest().files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    let unread = |reason: String| {
        let summaries = outline.tensors().iter().map(TensorSummary::of_outline);
        let tensors = summaries.map(|summary| WeightsOfTensor { summary, histogram: Vec::new() }).collect();
        cut(Weights { step: outline.step(), tensors, note: Some(reason) })
    };
    if store::is_url(run) {
        return unread(
            "statistics and histograms are left out, because the checkpoint is not on this machine".to_owned(),
        );
    }
    if bytes > MOST_BYTES {
        let limit = Size(MOST_BYTES);
        return unread(format!(
            "statistics and histograms are left out of checkpoints above {limit}; this has {}",
            Size(bytes)
        ));
    }
    let (checkpoint, _) = match resume::newest_at(run) {
        Ok(found) => found,
        Err(error) => return unread(format!("statistics and histograms are left out: {error}")),
    };
    let parts = checkpoint.parts().filter_map(|part| Some((part, checkpoint.state(part)?)));
    let tensors = parts.flat_map(|(part, state)| {
        state.tensors.iter().map(move |(name, tensor)| WeightsOfTensor {
            summary: summarize(part, name, tensor),
            histogram: if part == "model" { histogram(tensor, BUCKETS) } else { Vec::new() },
        })
    });
    cut(Weights { step: checkpoint.step(), tensors: tensors.collect(), note: None })
}

/// Keeps the first tensors, those of the model before others.
fn cut(mut weights: Weights) -> Weights {
    weights.tensors.sort_by_key(|tensor| tensor.summary.part != "model");
    let all = weights.tensors.len();
    if all > MOST {
        weights.tensors.truncate(MOST);
        let note = format!("{} more tensors are left out", all - MOST);
        weights.note = Some(weights.note.map_or(note.clone(), |before| format!("{before}; {note}")));
    }
    weights
}
