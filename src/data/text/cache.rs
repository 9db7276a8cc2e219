//! Tokens of a text, computed once and kept in a memory-mapped file, so that a text of any length takes only the memory
//! of the pages in use.
//!
//! A file of tokens consists of: [`MAGIC`], the key (BLAKE3 of everything that the tokens were made from), BLAKE3 of
//! everything after the header, three 64-bit numbers (bytes per token, number of tokens, bytes of the list of
//! characters), that list padded to 8 bytes, and the tokens. Numbers are little-endian. It is written beside its place
//! and renamed, so a file that is incomplete, or made from another text, is recognized by its hashes and made again. A
//! text that changes while its tokens are made is an error, and no file is kept.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use memmap2::Mmap;

use super::Vocabulary;
use super::in_order::InOrder;
use super::source::{TextFile, Texts};
use super::vocabulary::{Before, line_ends};
use crate::atomic_file::AtomicFile;
use crate::data::DataError;
use crate::data::error::TextError;
use crate::host;

/// The last character is the version of this format and of the tokenization.
const MAGIC: &[u8; 16] = b"rekindle.tokens1";
const HEADER: usize = 16 + 32 + 32 + 3 * 8;

/// The tokens of a text.
#[derive(Debug)]
pub(super) struct Tokens {
    bytes: Bytes,
    start: usize,
    /// Bytes per token: 1, 2 or 4.
    width: usize,
    count: usize,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Memory(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}

impl Tokens {
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns how many tokens are this one.
    pub fn count(&self, token: u32) -> usize {
        let bytes = &self.bytes.as_slice()[self.start..];
        let bytes = &bytes[..self.count * self.width];
        match self.width {
            1 => bytes.iter().filter(|&&byte| u32::from(byte) == token).count(),
            2 => {
                bytes.as_chunks::<2>().0.iter().filter(|&&found| u32::from(u16::from_le_bytes(found)) == token).count()
            }
            _ => bytes.as_chunks::<4>().0.iter().filter(|&&found| u32::from_le_bytes(found) == token).count(),
        }
    }

    /// Appends the tokens at these positions, which must exist, to `tokens`.
    pub fn read(&self, places: Range<usize>, tokens: &mut Vec<u32>) {
        let bytes =
            &self.bytes.as_slice()[self.start + places.start * self.width..self.start + places.end * self.width];
        match self.width {
            1 => tokens.extend(bytes.iter().map(|&byte| u32::from(byte))),
            2 => tokens.extend(bytes.as_chunks::<2>().0.iter().map(|&token| u32::from(u16::from_le_bytes(token)))),
            _ => tokens.extend(bytes.as_chunks::<4>().0.iter().map(|&token| u32::from_le_bytes(token))),
        }
    }

    /// Tells the system that access is random: reading ahead would fetch unneeded data, and take far longer than the
    /// read itself.
    fn expect_any_order(&self) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.bytes {
            // Ignored advice costs only time.
            let _ = map.advise(memmap2::Advice::Random);
        }
    }

    /// Accepts a file of tokens, with its list of characters, if it is valid and has this key.
    fn check(map: Mmap, key: &[u8; 32]) -> Option<(Self, String)> {
        let (header, rest) = map.split_at_checked(HEADER)?;
        let (magic, header) = header.split_at(16);
        let (own_key, header) = header.split_at(32);
        let (hash, numbers) = header.split_at(32);
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|number| usize::try_from(u64::from_le_bytes(*number)));
        let [width, count, listed] = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
        let padded = listed.checked_next_multiple_of(8)?;
        let is_whole = count.checked_mul(width)?.checked_add(padded)? == rest.len() && [1, 2, 4].contains(&width);
        if magic != MAGIC || own_key != key || !is_whole || blake3::hash(rest).as_bytes() != hash {
            return None;
        }
        let characters = std::str::from_utf8(&rest[..listed]).ok()?.to_owned();
        Some((Self { bytes: Bytes::Mapped(map), start: HEADER + padded, width, count }, characters))
    }
}

/// Tokens of a text to be loaded or made. The vocabulary is that of the text's characters, unless it is given.
pub(super) struct Job<'a> {
    pub text: &'a Texts,
    pub fixed: Option<Vocabulary>,
    /// Whether characters without a token are skipped, as when the run began.
    pub may_lose: bool,
}

/// Why tokens were not made: because of their source, or of their destination.
enum Failure {
    Data(Box<DataError>),
    Disk(io::Error),
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl Job<'_> {
    /// Returns the tokens from the file in `folder` (`None` for the user's cache folder) if it exists; otherwise they
    /// are made and saved there. If they cannot be saved, they stay in memory.
    pub fn tokens(&self, folder: Option<&Path>) -> Result<(Tokens, Vocabulary), DataError> {
        let Some(folder) = folder.map(Path::to_owned).or_else(users_folder) else { return self.in_memory() };
        let place = folder.join(self.file_name());
        let lock = fs::create_dir_all(&folder).and_then(|()| lock(&place));
        // A file of another user can be read, even if nothing can be written.
        if let Some(found) = self.kept(&place) {
            return Ok(found);
        }
        let made = lock.map_err(Failure::Disk).and_then(|_lock| self.make(&place));
        match made {
            Ok(()) => self.kept(&place).map_or_else(|| self.in_memory(), Ok),
            Err(Failure::Data(error)) => Err(*error),
            Err(Failure::Disk(error)) => {
                let (text, place) = (self.text.path().display(), place.display());
                tracing::warn!("{place} cannot be written, so the tokens of {text} are kept in memory: {error}");
                self.in_memory()
            }
        }
    }

    /// Returns the tokens from the file in `folder` if it exists; makes nothing.
    pub fn find(&self, folder: &Path) -> Option<(Tokens, Vocabulary)> {
        let place = folder.join(self.file_name());
        self.kept(&place)
    }

    /// Returns the identity of the tokens: the text and the tokenization. Characters follow from the text.
    fn key(&self) -> [u8; 32] {
        let kind = self.fixed.as_ref().map_or_else(|| "characters".to_owned(), ToString::to_string);
        // Tokens that may lack skipped text have another key.
        let strict = if self.is_strict() { " whole" } else { "" };
        let regex = self.fixed.as_ref().map_or("", Vocabulary::regex);
        *blake3::hash(format!("{} {kind}{strict}{regex}", self.text.fingerprint.blake3).as_bytes()).as_bytes()
    }

    /// Whether characters could be skipped, and must not be.
    fn is_strict(&self) -> bool {
        !self.may_lose && self.fixed.as_ref().is_some_and(Vocabulary::may_lose)
    }

    /// Returns the file name: one file per text and kind of tokens, so that a changed text leaves no old files behind.
    fn file_name(&self) -> String {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let kind = self.fixed.as_ref().map_or("characters", Vocabulary::kind);
        let mut hasher = blake3::Hasher::new();
        for file in &self.text.files {
            hasher.update(real(&file.path).as_os_str().as_encoded_bytes());
        }
        let (hash, path) = (hasher.finalize().to_hex(), real(self.text.path()));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("{name}-{}-{kind}.tokens", &hash[..16])
    }

    /// Loads the file at `place` if it is the right one.
    fn kept(&self, place: &Path) -> Option<(Tokens, Vocabulary)> {
        let file = place.is_file().then(|| File::open(place).ok())??;
        // SAFETY: no process modifies a file of tokens. It is written under another name and renamed to its place, and
        // a new one replaces an old one in the same way, which leaves the old content to processes that have it open.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let (tokens, characters) = Tokens::check(map, &self.key())?;
        tokens.expect_any_order();
        Some((tokens, self.fixed.clone().unwrap_or_else(|| Vocabulary::characters(&characters))))
    }

    /// Makes the tokens without saving them.
    pub fn in_memory(&self) -> Result<(Tokens, Vocabulary), DataError> {
        let vocabulary = self.vocabulary()?;
        let mut bytes = Vec::new();
        let count = self.encode::<DataError>(&vocabulary, |tokens| {
            bytes.extend_from_slice(tokens);
            Ok(())
        })?;
        Ok((Tokens { bytes: Bytes::Memory(bytes), start: 0, width: width(&vocabulary), count }, vocabulary))
    }

    /// Writes the file of tokens at `place`.
    fn make(&self, place: &Path) -> Result<(), Failure> {
        let vocabulary = self.vocabulary()?;
        clear(place);
        let file = AtomicFile::create_as(temporary(place), place.to_owned()).map_err(Failure::Disk)?;
        self.write(&vocabulary, file)?;
        tracing::info!("the tokens of {} are kept in {}", self.text.path().display(), place.display());
        Ok(())
    }

    fn write(&self, vocabulary: &Vocabulary, file: AtomicFile) -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let mut characters = vocabulary.listed().into_bytes();
        let listed = characters.len();
        characters.resize(listed.next_multiple_of(8), 0);
        out.write_all(&[0; HEADER]).and_then(|()| out.write_all(&characters)).map_err(Failure::Disk)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&characters);
        let count = self.encode(vocabulary, |tokens| {
            hasher.update(tokens);
            out.write_all(tokens).map_err(Failure::Disk)
        })?;
        let numbers = [width(vocabulary), count, listed].map(|number| (number as u64).to_le_bytes());
        let header = [&MAGIC[..], &self.key(), hasher.finalize().as_bytes(), numbers.as_flattened()].concat();
        let headed = out.seek(SeekFrom::Start(0)).and_then(|_| out.write_all(&header));
        headed.and_then(|()| out.into_inner()?.finish()).map_err(Failure::Disk)
    }

    fn vocabulary(&self) -> Result<Vocabulary, DataError> {
        self.fixed.clone().map_or_else(|| Vocabulary::of(self.text), Ok)
    }

    /// Writes the tokens to `out`, as bytes, and returns their number.
    fn encode<E: From<DataError>>(
        &self,
        vocabulary: &Vocabulary,
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut count = 0;
        for file in &self.text.files {
            count += self.encode_file(file, vocabulary, &mut out)?;
        }
        Ok(count)
    }

    fn encode_file<E: From<DataError>>(
        &self,
        file: &TextFile,
        vocabulary: &Vocabulary,
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (width, mut count, mut lines) = (width(vocabulary), 0, 0);
        let mut pieces = InOrder::new(vocabulary, self.may_lose, width);
        let mut hand_on = |pieces: &mut InOrder<'_>| -> Result<(), E> {
            for tokens in pieces.take() {
                let tokens = tokens.map_err(|error| {
                    let (path, source) = (file.path.clone(), Box::new(error));
                    DataError::from(TextError::InFile { path, source })
                })?;
                count += tokens.len() / width;
                out(&tokens)?;
            }
            Ok(())
        };
        let mut encode = |before, piece: &[u8]| {
            pieces.push(Before { bytes: before, lines }, piece);
            lines += line_ends(piece);
            if pieces.is_full() { hand_on(&mut pieces) } else { Ok(()) }
        };
        if vocabulary.takes_any_bytes() {
            file.pieces(encode)?;
        } else {
            file.text(|before, piece| encode(before, piece.as_bytes()))?;
        }
        hand_on(&mut pieces)?;
        Ok(count)
    }
}

/// Returns the number of bytes per token.
fn width(vocabulary: &Vocabulary) -> usize {
    match vocabulary.len() {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Returns the prefix of the temporary names that processes of this host use for the file at `place`.
fn temporary_prefix(place: &Path) -> String {
    let host = blake3::hash(host::name().unwrap_or_default().as_bytes()).to_hex();
    format!(".{}.tmp-{}-", place.file_name().unwrap_or_default().to_string_lossy(), &host[..8])
}

/// Returns a name beside `place` that is unique on all hosts: on a shared disk a lock may not exclude other hosts.
fn temporary(place: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    place.with_file_name(format!("{}{}-{now}", temporary_prefix(place), std::process::id()))
}

/// Removes temporary files of the file at `place` from killed processes of this host. The caller holds the lock, so no
/// other process of this host is writing one.
fn clear(place: &Path) {
    let prefix = temporary_prefix(place);
    let entries = place.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
        drop(fs::remove_file(entry.path()));
    }
}

/// `$XDG_CACHE_HOME/rekindle`, or `~/.cache/rekindle`.
fn users_folder() -> Option<PathBuf> {
    let folder = |variable, rest: &str| {
        let path = PathBuf::from(std::env::var_os(variable)?).join(rest);
        path.is_absolute().then_some(path)
    };
    folder("XDG_CACHE_HOME", "rekindle").or_else(|| folder("HOME", ".cache/rekindle"))
}

/// Held while the file at `place` is examined and made, so that only one of two simultaneous runs makes it.
fn lock(place: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(place.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataConfig;

    /// Creates a folder with a text in it, and one for its tokens.
    fn text(content: &str) -> (tempfile::TempDir, Texts, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (path, cache) = (folder.path().join("a.txt"), folder.path().join("cache"));
        fs::write(&path, content).unwrap();
        fs::create_dir(&cache).unwrap();
        (folder, Texts::of_training(&DataConfig::new(&path)).unwrap(), cache)
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.ends_with(".lock")).collect();
        names.sort();
        names
    }

    #[test]
    fn tokens_of_a_text_that_changes_meanwhile_are_not_kept() {
        let (_folder, text, cache) = text("to be or not to be");
        fs::write(text.path(), "to be or nut to be").unwrap();
        for fixed in [None, Some(Vocabulary::bytes()), Some(Vocabulary::characters("to be rn"))] {
            let message = Job { text: &text, fixed, may_lose: false }.tokens(Some(&cache)).unwrap_err().to_string();
            assert!(message.contains("a.txt changed while it was read"), "{message}");
            assert_eq!(names(&cache), Vec::<String>::new());
        }
    }

    #[test]
    fn what_a_killed_process_of_this_host_has_left_is_cleared_away() {
        let (_folder, text, cache) = text("to be or not to be");
        let job = Job { text: &text, fixed: None, may_lose: false };
        let place = cache.join(job.file_name());
        let (one, other) = (temporary(&place), temporary(&place));
        assert_ne!(one, other);
        fs::write(one, "torn").unwrap();
        fs::write(other, "torn").unwrap();
        let elsewhere = cache.join(format!(".{}.tmp-host-7-1", job.file_name()));
        fs::write(&elsewhere, "of another host").unwrap();
        assert_eq!(job.tokens(Some(&cache)).unwrap().0.len(), 18);
        let expected = [elsewhere, place].map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        assert_eq!(names(&cache), expected);
    }
}
