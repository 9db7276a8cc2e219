//! A file of a checkpoint, hashed while it is read.

use std::io::{self, Read};

/// A file that is hashed as it is read.
pub(super) struct Hashed {
    file: io::Take<Box<dyn Read + Send>>,
    hasher: blake3::Hasher,
}

impl Hashed {
    /// Number of bytes that are hashed while the next ones are read.
    const CHUNK: usize = 2 << 20;

    pub(super) fn new(file: Box<dyn Read + Send>, bytes: u64) -> Self {
        Self { file: file.take(bytes), hasher: blake3::Hasher::new() }
    }

    /// Reads the rest, and returns the digest of the whole file.
    pub(super) fn finish(mut self) -> io::Result<String> {
        let mut buffer = vec![0; (8 * Self::CHUNK).min(self.file.limit() as usize)];
        while self.file.limit() > 0 {
            let length = buffer.len().min(self.file.limit() as usize);
            self.read_exact(&mut buffer[..length])?;
        }
        Ok(self.hasher.finalize().to_string())
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let Self { file, hasher } = self;
        let mut earlier: &[u8] = &[];
        for chunk in buffer.chunks_mut(Self::CHUNK) {
            // Reading begins at once, so that the disk is never idle; the reading thread then helps with hashing.
            let (read, _) = rayon::join(|| file.read_exact(chunk), || hasher.update_rayon(earlier));
            read?;
            earlier = chunk;
        }
        hasher.update_rayon(earlier);
        Ok(())
    }
}
