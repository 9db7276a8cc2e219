//! Size of the terminal.

use std::io;

/// Number of columns if it cannot be determined.
const USUAL: usize = 100;

/// Returns the number of columns of the terminal; 100 if stdout is not a terminal, or its size is unknown.
pub fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL)
}
