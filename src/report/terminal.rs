//! How much room a terminal has for a plot.

use std::io;

/// Columns of a plot where nothing says how many there are.
const USUAL: usize = 100;

/// Columns of the terminal that stdout is; 100 where it is none, or does not know.
pub fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL)
}
