//! A reader that hashes what is read from it.

use std::io::{self, Read};

/// A reader that hashes the bytes of `inner` with BLAKE3.
pub(crate) struct Hashed<R> {
    inner: R,
    hasher: blake3::Hasher,
}

impl<R: Read + Send> Hashed<R> {
    /// Number of bytes that are hashed while the next ones are read.
    const CHUNK: usize = 2 << 20;

    pub fn new(inner: R) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }

    /// The digest of what was read so far, in hexadecimal digits.
    pub fn digest(&self) -> String {
        self.hasher.finalize().to_string()
    }
}

impl<R: Read + Send> Hashed<io::Take<R>> {
    /// Reads what was not read, and gives the digest of all of it. Fewer bytes than the limit are an error.
    pub fn finish(mut self) -> io::Result<String> {
        let mut buffer = vec![0; (8 * Self::CHUNK).min(self.inner.limit() as usize)];
        while self.inner.limit() > 0 {
            let length = buffer.len().min(self.inner.limit() as usize);
            self.read_exact(&mut buffer[..length])?;
        }
        Ok(self.digest())
    }
}

impl<R: Read + Send> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let Self { inner, hasher } = self;
        let mut earlier: &[u8] = &[];
        for chunk in buffer.chunks_mut(Self::CHUNK) {
            // Reading begins at once, so that the disk is never idle; the reading thread then helps with hashing.
            let (read, _) = rayon::join(|| inner.read_exact(chunk), || hasher.update_rayon(earlier));
            read?;
            earlier = chunk;
        }
        hasher.update_rayon(earlier);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_content_however_it_is_read() {
        let content: Vec<u8> = (0..5_000_001_u32).map(|i| (i % 251) as u8).collect();
        let digest = blake3::hash(&content).to_string();
        let mut some = Hashed::new(content.as_slice().take(content.len() as u64));
        some.read_exact(&mut [0; 10]).unwrap();
        assert_eq!(some.finish().unwrap(), digest);
        let mut all = Hashed::new(content.as_slice());
        io::copy(&mut all, &mut io::sink()).unwrap();
        assert_eq!(all.digest(), digest);
        assert!(Hashed::new(content.as_slice().take(6_000_000)).finish().is_err(), "the content is shorter");
    }
}
