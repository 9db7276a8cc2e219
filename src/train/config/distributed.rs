//! How several processes share the work of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the processes of a run share its work; it changes no bit. A run in one process has no use for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DistributedConfig {
    /// The way of gradients from process to process.
    #[serde(default)]
    pub exchange: Exchange,
    /// Whether each process keeps the moments of only some parameters, updates these, and gives them to the others. The
    /// moments then take the memory of one process in all, except while the first process collects them for a save, which
    /// `share_saves` needs only for a stop.
    /// Only a process that all others have answered can save: without the moments of a lost one, the run continues from
    /// its newest checkpoint, and a validation is not interrupted for a stop.
    #[serde(default)]
    pub shard_optimizer: bool,
    /// Whether each process writes a share of a checkpoint's bytes: weights, moments and averages. The files are the same.
    /// All processes must reach the run directory. Each then copies the state for a save as the first one does. The first
    /// process writes what another one does not, except moments that `shard_optimizer` has left to that one alone, and it
    /// alone saves for a stop and in an object store.
    #[serde(default)]
    pub share_saves: bool,
}

/// The way of gradients from process to process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Exchange {
    /// From GPU to GPU by NCCL if the run is on NVIDIA GPUs and the program was built for it, and otherwise as `host`.
    #[default]
    Auto,
    /// By MPI, through the memory of the hosts.
    Host,
    /// From GPU to GPU by NCCL, or the run does not begin.
    Nccl,
}
