//! The parts that blocks of OCDBT are composed of: integers of varying length, columns, paths and keys.

/// Length of the longest path and the longest key, in bytes.
const LONGEST: usize = 65535;

/// A place in a data file, which holds a node or a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The file's path in the database.
    pub path: Vec<u8>,
    /// Length of the part of the path that also holds for the files which a node at this place names.
    pub base: usize,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// A data file: its path, and the length of the path's base.
#[derive(Debug)]
pub struct File {
    path: Vec<u8>,
    base: usize,
}

/// Returns a place in one of `files`.
///
/// # Errors
/// There is no such file.
pub fn location(files: &[File], index: u64, offset: u64, length: u64) -> Result<Location, String> {
    let file = usize::try_from(index).ok().and_then(|index| files.get(index));
    let file = file.ok_or_else(|| format!("a place names file {index} of {}", files.len()))?;
    Ok(Location { path: file.path.clone(), base: file.base, offset, length })
}

fn cut_off() -> String {
    "a block of OCDBT ends in the middle".to_owned()
}

/// The rest of a block.
pub struct Body<'a>(pub &'a [u8]);

impl<'a> Body<'a> {
    /// Reads `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Reads a byte.
    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads an integer in groups of seven bits, the lowest first.
    pub fn number(&mut self) -> Result<u64, String> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("an integer has more than 64 bits".to_owned())
    }

    /// Reads a column of integers.
    pub fn numbers(&mut self, count: usize) -> Result<Vec<u64>, String> {
        (0..count).map(|_| self.number()).collect()
    }

    /// Reads a number of entries, each of which takes at least a byte.
    pub fn count(&mut self, what: &str) -> Result<usize, String> {
        let count = self.number()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.0.len() => Ok(count),
            _ => Err(format!("a block with {} bytes to come says that it has {count} {what}", self.0.len())),
        }
    }

    /// Reads a column of lengths of paths or keys.
    fn lengths(&mut self, count: usize) -> Result<Vec<usize>, String> {
        let numbers = self.numbers(count)?;
        if numbers.iter().any(|number| *number > LONGEST as u64) {
            return Err(format!("a path or a key is longer than {LONGEST} bytes"));
        }
        Ok(numbers.into_iter().map(|number| number as usize).collect())
    }

    /// Reads the lengths that texts share with the one before; the first shares nothing, and has no number.
    fn shared(&mut self, count: usize) -> Result<Vec<usize>, String> {
        let mut shared = vec![0; count.min(1)];
        shared.extend(self.lengths(count.saturating_sub(1))?);
        Ok(shared)
    }

    /// Reads texts that share their beginnings with the one before.
    fn texts(&mut self, shared: &[usize], lengths: &[usize]) -> Result<Vec<Vec<u8>>, String> {
        let mut texts: Vec<Vec<u8>> = Vec::with_capacity(lengths.len());
        let mut total = 0;
        for (shared, length) in shared.iter().zip(lengths) {
            let before = texts.last().map_or(&[][..], |text| text);
            let beginning = before.get(..*shared).ok_or("a path or a key shares more than the one before it has")?;
            let text = [beginning, self.take(*length)?].concat();
            total += text.len();
            // Texts that share much take a few bytes each in the block, and 65535 here.
            if text.len() > LONGEST || total > super::MOST_KEY_BYTES {
                return Err("the paths or keys of a block are too long".to_owned());
            }
            texts.push(text);
        }
        Ok(texts)
    }

    /// Reads the table of data files, whose paths begin with `base`.
    pub fn files(&mut self, base: &[u8]) -> Result<Vec<File>, String> {
        let count = self.count("files")?;
        let shared = self.shared(count)?;
        let lengths = self.lengths(count)?;
        let bases = self.lengths(count)?;
        let paths = self.texts(&shared, &lengths)?;
        let with_base = |(path, length): (Vec<u8>, usize)| {
            if length > path.len() {
                return Err("the base of a path is longer than the path".to_owned());
            }
            Ok(File { path: [base, &path[..]].concat(), base: base.len() + length })
        };
        paths.into_iter().zip(bases).map(with_base).collect()
    }

    /// Reads the keys of values.
    pub fn keys(&mut self, count: usize) -> Result<Vec<Vec<u8>>, String> {
        let shared = self.shared(count)?;
        let lengths = self.lengths(count)?;
        self.texts(&shared, &lengths)
    }

    /// Reads, for each node below, the beginning that all its keys have in common.
    pub fn prefixes(&mut self, count: usize) -> Result<Vec<Vec<u8>>, String> {
        let shared = self.shared(count)?;
        let lengths = self.lengths(count)?;
        let common = self.lengths(count)?;
        let mut keys = self.texts(&shared, &lengths)?;
        for (key, common) in keys.iter_mut().zip(common) {
            if common > key.len() {
                return Err("a beginning of keys is longer than its key".to_owned());
            }
            key.truncate(common);
        }
        Ok(keys)
    }
}
