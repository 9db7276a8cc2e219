//! Why runs are not served.

use std::io;
use std::path::PathBuf;

use super::address::Address;

/// Why runs are not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A path is not that of a directory.
    #[error("{}: {reason}; give a run directory, or a folder of runs", path.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
        /// Why it is none.
        reason: String,
    },
    /// A run is in an object store.
    #[error(
        "{} is not on this machine, and cannot be followed; `inspect report` makes a page of it, and `inspect` shows its \
         state",
        url.display()
    )]
    Remote {
        /// The URL.
        url: PathBuf,
    },
    /// Another program listens at the address.
    #[error(
        "{address} is in use, by TensorBoard or another `inspect serve` perhaps; choose another port with --address \
         {next}, or any free one with --address 0"
    )]
    InUse {
        /// The address.
        address: Address,
        /// One that may be free.
        next: Address,
    },
    /// The address cannot be opened.
    #[error("cannot listen at {address}: {source}; choose another address with --address")]
    NotOpened {
        /// The address.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The system refuses threads or random numbers.
    #[error("the server cannot start: {source}")]
    NotStarted {
        /// Why.
        source: io::Error,
    },
}
