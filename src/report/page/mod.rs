//! A page for the browser about one or several runs: one file without a network, with everything in it.
//!
//! 1. `data.rs`: what the page shows of a run. `curves.rs`, `parsed.rs` and `thin.rs`: the numbers of its log, thinned;
//!    `times.rs`: saves, processes and speed from `timing.jsonl`; `rates.rs`: the rates ahead; `weights.rs`: its tensors;
//!    `settings.rs`: its configuration and the changes to it; `outcome.rs`: its predictions.
//! 2. `html.rs`: the page as text, with the scripts and styles of `assets/`.

mod curves;
mod data;
mod html;
mod outcome;
mod parsed;
mod rates;
mod settings;
mod thin;
mod times;
mod weights;

pub use curves::Curves;
pub use data::{PageOptions, RunPage, read_runs};
pub use html::{page, write_to};
pub use outcome::Predictions;
pub use settings::Setting;
pub use thin::{Curve, Means, Thinner};
pub use times::{Event, EventKind};
pub use weights::{Weights, WeightsOfTensor};
