//! The zip archive of `torch.save`: a pickle, and a member for each storage, stored without compression and aligned, so
//! that it can be mapped.

use std::io::{self, Write};

use crc32fast::hash;

use super::item::Item;
use super::pickle::{Pickled, pickle};

/// Distance in bytes to whose multiples the content of every member is moved, as in PyTorch.
const ALIGNMENT: u64 = 64;

/// Largest size that the 32 bits of a classic zip header say.
const LIMIT: u64 = u32::MAX as u64;

/// Writes `item` as `torch.save` does. `stem` is the folder within the archive: PyTorch takes the file's name without its
/// ending.
///
/// # Errors
/// The writer fails, or the value cannot be pickled.
pub fn write(item: &Item<'_>, stem: &str, out: &mut impl Write) -> io::Result<()> {
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
    let Pickled { bytes: pickle, storages } = pickle(item).map_err(invalid)?;
    let mut archive = Archive { out, at: 0, stem, members: Vec::new() };
    archive.add("data.pkl", &pickle)?;
    archive.add(".format_version", b"1")?;
    archive.add(".storage_alignment", ALIGNMENT.to_string().as_bytes())?;
    archive.add("byteorder", b"little")?;
    for (place, storage) in storages.iter().enumerate() {
        archive.add(&format!("data/{place}"), &storage.bytes)?;
    }
    archive.add("version", b"3\n")?;
    let id = archive.serialization_id();
    archive.add(".data/serialization_id", id.as_bytes())?;
    archive.finish()
}

/// An archive that is being written.
struct Archive<'a, W> {
    out: &'a mut W,
    /// Bytes written so far.
    at: u64,
    stem: &'a str,
    members: Vec<Member>,
}

struct Member {
    name: String,
    crc: u32,
    bytes: u64,
    header: u64,
}

impl<W: Write> Archive<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let name = format!("{}/{name}", self.stem);
        let length = u16::try_from(name.len()).map_err(|_| io::Error::other("the name of a member is too long"))?;
        let member = Member { crc: hash(content), bytes: content.len() as u64, header: self.at, name };
        let wide = if member.bytes >= LIMIT { sizes_of_64_bits(&[member.bytes, member.bytes]) } else { Vec::new() };
        let start = self.at + 30 + u64::from(length) + wide.len() as u64;
        let extra = [wide, padding(start)].concat();
        let mut header = Vec::with_capacity(30 + member.name.len() + extra.len());
        header.extend_from_slice(b"PK\x03\x04");
        header.extend_from_slice(&version_needed(&member).to_le_bytes());
        header.extend_from_slice(&member.common());
        header.extend_from_slice(&length.to_le_bytes());
        header.extend_from_slice(&(extra.len() as u16).to_le_bytes());
        header.extend_from_slice(member.name.as_bytes());
        header.extend_from_slice(&extra);
        self.put(&header)?;
        self.put(content)?;
        self.members.push(member);
        Ok(())
    }

    /// Returns an id made of the members' sums, in the forty digits of PyTorch's.
    fn serialization_id(&self) -> String {
        let names: Vec<u8> = self.members.iter().flat_map(|member| member.name.bytes()).collect();
        let sums: Vec<u8> = self.members.iter().flat_map(|member| member.crc.to_le_bytes()).collect();
        format!("{:020}{:020}", hash(&names), hash(&sums))
    }

    fn finish(mut self) -> io::Result<()> {
        let start = self.at;
        let mut directory = Vec::new();
        for member in &self.members {
            directory.extend_from_slice(&member.entry());
        }
        self.put(&directory)?;
        let (end, count) = (self.at, self.members.len() as u64);
        let mut tail = Vec::new();
        // The record for archives beyond 4 GB, which PyTorch always writes.
        tail.extend_from_slice(b"PK\x06\x06");
        tail.extend_from_slice(&44u64.to_le_bytes());
        tail.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [count, count, end - start, start] {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        tail.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        tail.extend_from_slice(&end.to_le_bytes());
        tail.extend_from_slice(&1u32.to_le_bytes());
        tail.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        let entries = count.min(u64::from(u16::MAX)) as u16;
        tail.extend_from_slice(&entries.to_le_bytes());
        tail.extend_from_slice(&entries.to_le_bytes());
        tail.extend_from_slice(&within(end - start).to_le_bytes());
        tail.extend_from_slice(&within(start).to_le_bytes());
        tail.extend_from_slice(&[0, 0]);
        self.put(&tail)?;
        self.out.flush()
    }
}

impl Member {
    /// Returns the fields that both headers have: flags (names are UTF-8), no compression, the first day of zip's time,
    /// the sum and the sizes.
    fn common(&self) -> Vec<u8> {
        let mut fields = vec![0, 8, 0, 0, 0, 0, 0x21, 0];
        fields.extend_from_slice(&self.crc.to_le_bytes());
        fields.extend_from_slice(&within(self.bytes).to_le_bytes());
        fields.extend_from_slice(&within(self.bytes).to_le_bytes());
        fields
    }

    /// Returns its entry in the directory.
    fn entry(&self) -> Vec<u8> {
        let mut wide = Vec::new();
        if self.bytes >= LIMIT {
            wide.extend_from_slice(&[self.bytes, self.bytes]);
        }
        if self.header >= LIMIT {
            wide.push(self.header);
        }
        let extra = if wide.is_empty() { Vec::new() } else { sizes_of_64_bits(&wide) };
        let mut entry = b"PK\x01\x02\0\0".to_vec();
        entry.extend_from_slice(&version_needed(self).to_le_bytes());
        entry.extend_from_slice(&self.common());
        entry.extend_from_slice(&(self.name.len() as u16).to_le_bytes());
        entry.extend_from_slice(&(extra.len() as u16).to_le_bytes());
        // No comment, the first disk, no attributes.
        entry.extend_from_slice(&[0; 10]);
        entry.extend_from_slice(&within(self.header).to_le_bytes());
        entry.extend_from_slice(self.name.as_bytes());
        entry.extend_from_slice(&extra);
        entry
    }
}

/// Returns the version of zip that a reader of the member needs.
fn version_needed(member: &Member) -> u16 {
    if member.bytes >= LIMIT || member.header >= LIMIT { 45 } else { 20 }
}

/// Returns a size for a field of 32 bits; the largest value says that it is in the extra field.
fn within(size: u64) -> u32 {
    size.min(LIMIT) as u32
}

/// Returns the extra field with sizes of 64 bits.
fn sizes_of_64_bits(sizes: &[u64]) -> Vec<u8> {
    let mut field = vec![1, 0];
    field.extend_from_slice(&(8 * sizes.len() as u16).to_le_bytes());
    sizes.iter().for_each(|size| field.extend_from_slice(&size.to_le_bytes()));
    field
}

/// Returns the extra field `FB`, as PyTorch calls it, that moves what follows `start` to the next aligned place.
fn padding(start: u64) -> Vec<u8> {
    const HEADER: u64 = 4;
    let length = (ALIGNMENT - (start + HEADER) % ALIGNMENT) % ALIGNMENT;
    let mut field = b"FB".to_vec();
    field.extend_from_slice(&(length as u16).to_le_bytes());
    field.resize((HEADER + length) as usize, b'Z');
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::tensor::Dtype;
    use crate::peers::write::Stored;

    fn archive() -> Vec<u8> {
        let bytes = [1.0f32, 2.0, 3.0].iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>().into();
        let weight = Item::Tensor(Stored { dtype: Dtype::F32, shape: vec![3, 1], bytes });
        let model = Item::OrderedDict(vec![(Item::text("0.weight"), weight)]);
        let milestones = Item::Counter(vec![(6, 1), (14, 2)]);
        let group =
            Item::dict([("betas", Item::Tuple(vec![Item::Float(0.9), Item::Float(0.999)])), ("fused", Item::None)]);
        let item = Item::dict([
            ("epoch", Item::Int(-70_000)),
            ("model", model),
            ("milestones", milestones),
            ("groups", Item::List(vec![group])),
            ("step", Item::step(10)),
            ("nesterov", Item::Bool(true)),
        ]);
        let mut out = Vec::new();
        write(&item, "last", &mut out).unwrap();
        out
    }

    #[test]
    fn the_content_of_each_member_is_aligned_and_has_its_sum() {
        let bytes = archive();
        let numbers: Vec<u8> = [1.0f32, 2.0, 3.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        let at = bytes.windows(12).position(|window| window == numbers).unwrap();
        assert_eq!(at % 64, 0);
        let header = bytes[..at].windows(4).rposition(|window| window == b"PK\x03\x04").unwrap();
        assert_eq!(bytes[header + 14..][..4], hash(&numbers).to_le_bytes());
        assert_eq!(bytes[header + 18..][..8], [12, 0, 0, 0, 12, 0, 0, 0]);
    }

    #[test]
    fn one_value_gives_one_archive() {
        assert_eq!(archive(), archive());
    }
}
