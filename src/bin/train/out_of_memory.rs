//! The end of the program where the system has no more memory to give. What is asked for in vain has no caller that
//! could go on without it, and the standard library would abort the process with a trace of calls.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rekindle::memory::{self, Size};

/// `memory`, if the system has given it or the caller can go on without. Else this process ends here, with the reason.
pub fn given(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && !memory::failure_is_expected() {
        end(size);
    }
    memory
}

/// Says why, without any memory for it, and ends the process. A run is as if it had been killed: what was saved stays.
#[cold]
fn end(size: usize) -> ! {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    const RUN_FAILED: i32 = 1;
    if IS_SAID.swap(true, Ordering::AcqRel) {
        // Another thread is about to end the process.
        loop {
            // SAFETY: it waits.
            unsafe { libc::pause() };
        }
    }
    let mut line = Line { text: [0; 512], length: 0 };
    // A line that is too long is cut, which is no error.
    let _ = say(&mut line, size);
    // SAFETY: the bytes are there, and nothing of this process is used after its end.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.text.as_ptr().cast(), line.length);
        libc::_exit(RUN_FAILED)
    }
}

fn say(line: &mut Line, size: usize) -> fmt::Result {
    write!(line, "error: {} of memory were asked for, and the system has no more to give", Size(size as u64))?;
    match memory::address_space_limit() {
        Some(limit) => write!(line, ": the limit of the address space is {} (ulimit -v); raise it", Size(limit))?,
        None => write!(line, "; end other programs")?,
    }
    writeln!(line, ", or make the model or the batch smaller. `train --resume` continues from what was saved")
}

/// A line in memory that is there already. What is beyond its end is lost.
struct Line {
    text: [u8; 512],
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
