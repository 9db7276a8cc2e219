//! A file that is read from its beginning to its end, by a program that works on what it has read meanwhile.

use std::fs::File;
use std::io::{self, Read};

/// Reads a file, and asks the system for the next part of it in advance. The system itself reads so little ahead that a
/// program with several threads at work waits for the disk.
pub(crate) struct ReadAhead {
    file: File,
    /// The bytes that were read, and those that the system was asked for.
    read: u64,
    asked: u64,
}

impl ReadAhead {
    pub fn new(file: File) -> Self {
        Self { file, read: 0, asked: 0 }
    }

    fn ask(&mut self) {
        /// Several blocks of any reader.
        const AHEAD: u64 = 16 << 20;
        if self.read + AHEAD / 2 < self.asked {
            return;
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            // Only advice: a system that takes none still reads the file.
            let _ = fadvise(&self.file, self.asked, std::num::NonZeroU64::new(AHEAD), Advice::WillNeed);
        }
        self.asked += AHEAD;
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ask();
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}
