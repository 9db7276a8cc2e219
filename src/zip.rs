//! The directory of a zip archive: members are ranges of the archive's bytes, and nothing is unpacked.
//!
//! Every size is checked against the archive before it is used. Members may be compressed if the caller can unpack them.

use std::ops::Range;

use thiserror::Error;

const LOCAL: &[u8] = b"PK\x03\x04";
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const END_64_PLACE: &[u8] = b"PK\x06\x07";

/// Bytes of the end of the directory without its comment, and the longest comment.
const END_BYTES: usize = 22;
const LONGEST_COMMENT: usize = 0xffff;

/// Flags of a member: encrypted, and sizes that follow the data.
const ENCRYPTED: u16 = 1;
const SIZES_FOLLOW: u16 = 8;

/// Methods of compression.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Why an archive is not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ZipError {
    /// It is no archive, or it is damaged.
    #[error("zip: {0}")]
    Damaged(String),
    /// It may be valid, but has something that is not read.
    #[error("zip: {0}")]
    Unsupported(String),
}

/// The members that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Members {
    /// Only those that are stored as they are.
    Stored,
    /// Also deflated ones.
    Deflated,
}

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its name, with its folder.
    pub name: String,
    /// Its bytes in the archive.
    pub range: Range<usize>,
    /// Its size when it is unpacked, as the directory says.
    pub size: u64,
    /// Whether it is deflated.
    pub is_deflated: bool,
    /// The sum that its unpacked bytes must have (CRC-32).
    pub crc: u32,
    /// The range that it takes with its header.
    taken: Range<usize>,
}

fn damaged(what: impl Into<String>) -> ZipError {
    ZipError::Damaged(what.into())
}

/// Returns the members of an archive in the order of its directory.
///
/// # Errors
/// It is no archive, it is damaged, two members overlap or have one name, or a member is packed in another way.
pub(crate) fn directory(bytes: &[u8], read: Members) -> Result<Vec<Listed>, ZipError> {
    let end = find_end(bytes)?;
    let table =
        bytes.get(end.start..end.end).ok_or_else(|| damaged("its directory is beyond its end; it is cut off"))?;
    let mut fields = Fields { bytes: table, place: 0 };
    let mut members = Vec::new();
    while fields.place < table.len() && fields.rest().starts_with(ENTRY) {
        members.push(entry(&mut fields, &bytes[..end.start], read)?);
    }
    if members.len() as u64 != end.entries {
        return Err(damaged(format!("its directory has {} members and says {}", members.len(), end.entries)));
    }
    no_overlap(&members)?;
    no_double(&members)?;
    Ok(members)
}

/// The header in front of a member that is stored as it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The name of the member, with its folder.
    pub name: String,
    /// The number of bytes of the header.
    pub length: usize,
    /// The number of bytes of the member, which follow it.
    pub size: u64,
}

/// Reads the header in front of a stored member, with which `bytes` begin; `None` if they begin with something else, as after
/// the last member. So an archive is read from its beginning, without its directory.
///
/// # Errors
/// It is damaged, or the member is packed.
pub(crate) fn header(bytes: &[u8]) -> Result<Option<Header>, ZipError> {
    if !bytes.starts_with(LOCAL) {
        return Ok(None);
    }
    let mut fields = Fields { bytes, place: 6 };
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.take(8)?;
    let (mut compressed, mut size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
    let (name, extra) = (fields.u16()?, fields.u16()?);
    let name = std::str::from_utf8(fields.take(name.into())?).map_err(|_| damaged("a member whose name is no text"))?;
    large_sizes(fields.take(extra.into())?, [&mut size, &mut compressed, &mut 0])?;
    let unsupported = |what: &str| Err(ZipError::Unsupported(format!("the member {name:?} {what}")));
    if flags & ENCRYPTED != 0 {
        return unsupported("is encrypted");
    }
    if method != STORED || size != compressed {
        return unsupported("is compressed, so that no part of it can be read; save it with `numpy.savez`");
    }
    if flags & SIZES_FOLLOW != 0 {
        return unsupported("has its size behind it; save it to a file, and not to a stream");
    }
    Ok(Some(Header { name: name.to_owned(), length: fields.place, size }))
}

/// The end of the directory: where it is, and its number of entries.
struct End {
    entries: u64,
    start: usize,
    end: usize,
}

fn find_end(bytes: &[u8]) -> Result<End, ZipError> {
    let from = bytes.len().saturating_sub(END_BYTES + LONGEST_COMMENT);
    let tail = bytes.get(from..).unwrap_or_default();
    let place = memchr::memmem::rfind(tail, END).map(|place| from + place);
    let place = place.ok_or_else(|| damaged("it has no directory at its end; it is cut off"))?;
    let mut fields = Fields { bytes, place: place + 4 };
    let disks = (fields.u16()?, fields.u16()?);
    let (_, entries) = (fields.u16()?, fields.u16()?);
    let (size, start) = (fields.u32()?, fields.u32()?);
    if disks != (0, 0) && disks != (0xffff, 0xffff) {
        return Err(ZipError::Unsupported("an archive of several parts".to_owned()));
    }
    if let Some(end) = find_end_64(bytes, place)? {
        return Ok(end);
    }
    let end = (start as usize).checked_add(size as usize).filter(|end| *end <= place);
    let end = end.ok_or_else(|| damaged("its directory is beyond its end; it is cut off"))?;
    Ok(End { entries: entries.into(), start: start as usize, end })
}

/// Returns the end of the directory of a large archive, whose place stands before the other end at `place`.
fn find_end_64(bytes: &[u8], place: usize) -> Result<Option<End>, ZipError> {
    let Some(locator) = place.checked_sub(20).filter(|start| bytes[*start..].starts_with(END_64_PLACE)) else {
        return Ok(None);
    };
    let mut fields = Fields { bytes, place: locator + 8 };
    let record = fields.size()?;
    if !bytes.get(record..).is_some_and(|record| record.starts_with(END_64)) {
        return Err(damaged("the end of its directory is not where it says"));
    }
    let mut fields = Fields { bytes, place: record + 32 };
    let (entries, size, start) = (fields.u64()?, fields.size()?, fields.size()?);
    let end = start.checked_add(size).filter(|end| *end <= record);
    let end = end.ok_or_else(|| damaged("its directory is beyond its end"))?;
    Ok(Some(End { entries, start, end }))
}

/// Reads an entry of the directory; members are in `before`, the bytes before the directory.
fn entry(fields: &mut Fields<'_>, before: &[u8], read: Members) -> Result<Listed, ZipError> {
    fields.take(8)?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.take(4)?;
    let crc = fields.u32()?;
    let mut compressed = u64::from(fields.u32()?);
    let mut size = u64::from(fields.u32()?);
    let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.take(8)?;
    let mut header = u64::from(fields.u32()?);
    let name = fields.take(name.into())?;
    let name = std::str::from_utf8(name).map_err(|_| damaged("a member whose name is no text"))?.to_owned();
    let extra = fields.take(extra.into())?;
    fields.take(comment.into())?;
    large_sizes(extra, [&mut size, &mut compressed, &mut header])?;
    if flags & ENCRYPTED != 0 {
        return Err(ZipError::Unsupported(format!("the member {name:?} is encrypted")));
    }
    let is_deflated = method == DEFLATED && read == Members::Deflated;
    if method != STORED && !is_deflated {
        return Err(ZipError::Unsupported(format!(
            "the member {name:?} is compressed (method {method}); unpack the archive and pack it with `zip -0`"
        )));
    }
    if !is_deflated && size != compressed {
        return Err(damaged(format!("the member {name:?} has {compressed} bytes and says {size}")));
    }
    let header = usize::try_from(header).unwrap_or(usize::MAX);
    let (start, local_size) = data_start(before, header, &name, flags)?;
    let end =
        usize::try_from(compressed).ok().and_then(|size| start.checked_add(size)).filter(|end| *end <= before.len());
    let end = end.ok_or_else(|| damaged(format!("the member {name:?} of {compressed} bytes leaves the archive")))?;
    if local_size.is_some_and(|local| local != size) {
        return Err(damaged(format!("the member {name:?} has two sizes, {size} and {local_size:?}")));
    }
    Ok(Listed { name, range: start..end, size, is_deflated, crc, taken: header..end })
}

/// Replaces the sizes that do not fit in 32 bits by those in the extra field for large archives.
fn large_sizes(extra: &[u8], sizes: [&mut u64; 3]) -> Result<(), ZipError> {
    const LARGE: u16 = 1;
    let mut fields = Fields { bytes: extra, place: 0 };
    while fields.rest().len() >= 4 {
        let (kind, length) = (fields.u16()?, fields.u16()?);
        let content = fields.take(length.into())?;
        if kind == LARGE {
            let mut large = Fields { bytes: content, place: 0 };
            for size in sizes {
                if *size == u64::from(u32::MAX) {
                    *size = large.u64()?;
                }
            }
            return Ok(());
        }
    }
    Ok(())
}

/// Returns where a member's data begins, by the header in front of it, and its size where that header has it.
fn data_start(before: &[u8], header: usize, name: &str, flags: u16) -> Result<(usize, Option<u64>), ZipError> {
    let bad = || damaged(format!("the member {name:?} is not where the directory says"));
    let local = before.get(header..).filter(|bytes| bytes.starts_with(LOCAL)).ok_or_else(bad)?;
    let mut fields = Fields { bytes: local, place: 18 };
    let (compressed, mut size) = (fields.u32().map_err(|_| bad())?, u64::from(fields.u32().map_err(|_| bad())?));
    let (name_length, extra_length) = (fields.u16().map_err(|_| bad())?, fields.u16().map_err(|_| bad())?);
    if fields.take(name_length.into()).map_err(|_| bad())? != name.as_bytes() {
        return Err(bad());
    }
    let extra = fields.take(extra_length.into()).map_err(|_| bad())?;
    let mut compressed = u64::from(compressed);
    large_sizes(extra, [&mut size, &mut compressed, &mut 0])?;
    let known = flags & SIZES_FOLLOW == 0;
    Ok((header + fields.place, known.then_some(size)))
}

fn no_overlap(members: &[Listed]) -> Result<(), ZipError> {
    let mut in_order: Vec<&Listed> = members.iter().collect();
    in_order.sort_unstable_by_key(|listed| listed.taken.start);
    match in_order.array_windows().find(|[first, second]| first.taken.end > second.taken.start) {
        Some([first, second]) => Err(damaged(format!("the members {:?} and {:?} overlap", first.name, second.name))),
        None => Ok(()),
    }
}

fn no_double(members: &[Listed]) -> Result<(), ZipError> {
    let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    match names.array_windows().find(|[first, second]| first == second) {
        Some([name, _]) => Err(damaged(format!("the member {name:?} is there twice"))),
        None => Ok(()),
    }
}

/// Little-endian fields, one after the other.
struct Fields<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Fields<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.place..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ZipError> {
        let taken = self.rest().get(..length).ok_or_else(|| damaged("its directory is cut off"))?;
        self.place += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ZipError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, ZipError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, ZipError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, ZipError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn size(&mut self) -> Result<usize, ZipError> {
        usize::try_from(self.u64()?).map_err(|_| damaged("a size beyond this machine's"))
    }
}
