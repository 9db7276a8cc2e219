//! Blocks of OCDBT: the manifest and the nodes of its B+tree, each with a CRC-32C at its end.

use super::super::compressed::zstd;
use super::body::{Body, File, Location, location};
use crate::crc32c::crc32c;

/// First bytes of a manifest.
const MANIFEST: u32 = 0x0cdb_3a2a;
/// First bytes of a node of the B+tree.
const NODE: u32 = 0x0cdb_20de;
/// Bytes of the checksum.
const FOOTER: usize = 4;

/// The root of the newest version.
#[derive(Clone, Debug)]
pub struct Root {
    /// Height of the tree.
    pub height: u8,
    /// Place of its node; `None` where the version is empty.
    pub location: Option<Location>,
}

/// A node of the B+tree.
#[derive(Clone, Debug)]
pub enum Node {
    /// Keys below the node's prefix, with their values.
    Leaf(Vec<(Vec<u8>, Value)>),
    /// Nodes of the height below, each with what all its keys begin with, below this node's prefix.
    Interior(Vec<(Vec<u8>, Location)>),
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Its bytes, in the node itself.
    Inline(Vec<u8>),
    /// Its place.
    At(Location),
}

/// Decodes a manifest.
///
/// # Errors
/// It is damaged, or of a kind that is not read.
pub fn manifest(block: &[u8]) -> Result<Root, String> {
    let body = body(block, MANIFEST, "the manifest")?;
    let mut body = Body(&body);
    let _uuid = body.take(16)?;
    match body.byte()? {
        0 => {}
        1 => return Err("the manifest is one of several that are numbered, which are not read".to_owned()),
        kind => return Err(format!("the manifest is of the unknown kind {kind}")),
    }
    let _most_inline_and_decoded_bytes = body.numbers(2)?;
    let _arity = body.byte()?;
    match body.number()? {
        0 => {}
        1 => drop(body.take(4)?),
        other => return Err(format!("the compression {other} of nodes is unknown")),
    }
    let files = body.files(&[])?;
    let versions = body.count("versions")?;
    let generations = body.numbers(versions)?;
    if !generations.is_sorted_by(|one, next| one < next) {
        return Err("the versions of the manifest are out of order".to_owned());
    }
    // Versions are sorted, so that the last one is the newest.
    let height = body.take(versions)?.last().copied().ok_or("the manifest names no version")?;
    let mut newest = || body.numbers(versions).map(|column| column.last().copied().unwrap_or_default());
    let (index, offset, length) = (newest()?, newest()?, newest()?);
    // A version without any key has no node.
    if (offset, length) == (u64::MAX, u64::MAX) {
        return Ok(Root { height, location: None });
    }
    Ok(Root { height, location: Some(location(&files, index, offset, length)?) })
}

/// Decodes a node of `height`, whose files' paths begin with `base`.
///
/// # Errors
/// It is damaged.
pub fn node(block: &[u8], height: u8, base: &[u8]) -> Result<Node, String> {
    let body = body(block, NODE, "the node")?;
    let mut body = Body(&body);
    let found = body.byte()?;
    if found != height {
        return Err(format!("a node has the height {found} where {height} is due"));
    }
    let files = body.files(base)?;
    let entries = body.count("entries")?;
    let node = if height == 0 { leaf(&mut body, &files, entries)? } else { interior(&mut body, &files, entries)? };
    match body.0.len() {
        0 => Ok(node),
        more => Err(format!("a node has {more} bytes beyond its entries")),
    }
}

fn leaf(body: &mut Body<'_>, files: &[File], entries: usize) -> Result<Node, String> {
    let keys = body.keys(entries)?;
    let lengths = body.numbers(entries)?;
    let kinds = body.take(entries)?;
    let outside = kinds.iter().filter(|kind| **kind == 1).count();
    let (indices, offsets) = (body.numbers(outside)?, body.numbers(outside)?);
    let mut places = indices.into_iter().zip(offsets);
    let mut values = Vec::with_capacity(entries);
    for ((key, length), kind) in keys.into_iter().zip(lengths).zip(kinds) {
        let value = match kind {
            0 => {
                let length = usize::try_from(length).map_err(|_| format!("a value has {length} bytes"))?;
                Value::Inline(body.take(length)?.to_vec())
            }
            1 => {
                let (index, offset) = places.next().unwrap_or_default();
                Value::At(location(files, index, offset, length)?)
            }
            kind => return Err(format!("a value is of the unknown kind {kind}")),
        };
        values.push((key, value));
    }
    Ok(Node::Leaf(values))
}

fn interior(body: &mut Body<'_>, files: &[File], entries: usize) -> Result<Node, String> {
    let prefixes = body.prefixes(entries)?;
    let (indices, offsets, lengths) = (body.numbers(entries)?, body.numbers(entries)?, body.numbers(entries)?);
    let _statistics = [body.numbers(entries)?, body.numbers(entries)?, body.numbers(entries)?];
    let places = indices.into_iter().zip(offsets).zip(lengths);
    let nodes = prefixes.into_iter().zip(places);
    let nodes = nodes.map(|(prefix, ((index, offset), length))| Ok((prefix, location(files, index, offset, length)?)));
    Ok(Node::Interior(nodes.collect::<Result<_, String>>()?))
}

/// Checks the frame of a block and returns its body, decompressed.
fn body(block: &[u8], kind: u32, what: &str) -> Result<Vec<u8>, String> {
    let short = || format!("{what} has only {} bytes", block.len());
    let (framed, sum) = block.split_last_chunk::<FOOTER>().ok_or_else(short)?;
    let mut rest = Body(framed);
    let found = u32::from_be_bytes(rest.array()?);
    if found != kind {
        return Err(format!("{what} begins with {found:08x} instead of {kind:08x}"));
    }
    let length = u64::from_le_bytes(rest.array()?);
    if length != block.len() as u64 {
        return Err(format!("{what} has {} bytes, but says {length}", block.len()));
    }
    if crc32c(framed) != u32::from_le_bytes(*sum) {
        return Err(format!("{what} does not match its CRC-32C"));
    }
    let version = rest.number()?;
    if version != 0 {
        return Err(format!("{what} is of version {version}; version 0 is read"));
    }
    match rest.number()? {
        0 => Ok(rest.0.to_vec()),
        // Keys and the metadata of arrays are much alike, and compress well; a hundredfold is far beyond them.
        1 => zstd(rest.0, 256 * rest.0.len() + (64 << 10)),
        other => Err(format!("{what} has the unknown compression {other}")),
    }
}
