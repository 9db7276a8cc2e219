//! Ends the program if the system has no more memory. The failed allocation has no caller that could continue without
//! it, and the standard library would abort the process with a stack trace.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rekindle::memory::{self, Size};

/// Returns `memory` if the allocation succeeded or the caller can continue without it. Otherwise ends this process with
/// an error message.
pub fn given(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && !memory::failure_is_expected() {
        end(size);
    }
    memory
}

/// Prints the cause, without allocating, and ends the process. As after a kill, saved checkpoints stay.
#[cold]
fn end(size: usize) -> ! {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    const RUN_FAILED: i32 = 1;
    if IS_SAID.swap(true, Ordering::AcqRel) {
        // Another thread is ending the process.
        loop {
            // SAFETY: it only waits.
            unsafe { libc::pause() };
        }
    }
    let mut line = Line { text: [0; 2048], length: 0 };
    // A line that is too long is cut, which is not an error.
    let _ = say(&mut line, size);
    // SAFETY: the bytes are valid, and the process uses nothing after its end.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.text.as_ptr().cast(), line.length);
        libc::_exit(RUN_FAILED)
    }
}

fn say(line: &mut Line, size: usize) -> fmt::Result {
    write!(line, "error: {} of memory were requested", Size(size as u64))?;
    memory::write_moment(line)?;
    write!(line, ", and the system has no more")?;
    match memory::address_space_limit() {
        Some(limit) => write!(line, ": the limit of the address space is {} (ulimit -v); raise it", Size(limit))?,
        None => write!(line, "; end other programs")?,
    }
    write!(line, ", or make the model or the batch smaller")?;
    memory::write_remedies(line)?;
    writeln!(line, ". `train --resume` continues from the last checkpoint")
}

/// A line in preallocated memory. Text beyond its end is lost.
struct Line {
    text: [u8; 2048],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.text.get_mut(self.length..).unwrap_or_default();
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}
