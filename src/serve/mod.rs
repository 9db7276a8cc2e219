//! A server of pages about runs, for browsers: a list of the runs in folders, and the page of some of them, which
//! follows them while they train. It only reads.
//!
//! 1. `server.rs`: addresses and routes. `guard.rs` sees every request first, `token.rs` is the secret of a server that
//!    other machines reach, and `connections.rs` limits their number and time.
//! 2. `runs.rs`: which runs there are. `rows.rs` and `row.rs`: their list; `log_end.rs` reads the end of a log for it.
//! 3. `hub.rs`: the runs that are looked at now, each a `live.rs` with its curves; `events.rs` sends what is new.
//! 4. `predictions.rs`: what the newest checkpoint of a run makes of rows, when somebody looks at it.
//! 5. `answers.rs`: an answer for each route, with the scripts and styles in `assets/`.

mod address;
mod answers;
mod connections;
mod error;
mod events;
mod guard;
mod hub;
mod live;
mod log_end;
mod predictions;
mod row;
mod rows;
mod runs;
mod server;
mod token;

pub use address::Address;
pub use error::ServeError;
pub use server::{Serve, Server};
