//! Files of Keras, Flax and Orbax: each format through its reader, with the checksums made right where it has some.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle::crc32c::crc32c;
use rekindle::peers::PeerError;
use rekindle::peers::formats::ocdbt::Ocdbt;
use rekindle::peers::formats::zarr::{self, Budget, Store};
use rekindle::peers::formats::{hdf5, msgpack};
use rekindle::peers::tensor::Storage;

use super::Arena;
use super::memory::bounded;

/// Memory that does not depend on the input: the window of a compressed stream, and arrays that are mostly fill values.
const BASE: usize = 16 << 20;

/// HDF5: every array lies within the file.
pub fn peer_hdf5(_: &Arena, bytes: &[u8]) {
    let file = Storage::owned(bytes.to_vec());
    fn visit(group: &hdf5::Group) {
        group.arrays.iter().for_each(|(_, array)| drop(array.to_bytes().unwrap()));
        group.groups.iter().for_each(visit);
    }
    bounded(bytes.len(), 256, || {
        if let Ok(root) = hdf5::read(&file) {
            visit(&root);
        }
    });
}

/// MessagePack.
pub fn peer_msgpack(_: &Arena, bytes: &[u8]) {
    let file = Storage::owned(bytes.to_vec());
    bounded(bytes.len(), 256, || drop(msgpack::read(&file)));
}

/// OCDBT: the bytes are the body of the manifest, and that of the root of a database.
pub fn peer_ocdbt(arena: &Arena, bytes: &[u8]) {
    let folder = arena.file("ocdbt");
    fs::create_dir_all(&folder).unwrap();
    let open = |manifest: &[u8]| {
        fs::write(folder.join("manifest.ocdbt"), block(0x0cdb_3a2a, manifest)).unwrap();
        bounded(bytes.len(), 512, || {
            if let Ok(database) = Ocdbt::open(&folder) {
                database.keys().for_each(|key| drop(database.get(key)));
            }
        });
    };
    fs::write(folder.join("d"), b"").unwrap();
    open(bytes);
    let node = block(0x0cdb_20de, bytes);
    fs::write(folder.join("d"), &node).unwrap();
    let height = bytes.first().copied().unwrap_or_default();
    let mut manifest = [&[9; 16][..], &[0, 100, 100, 4, 0, 1, 1, 0], b"d", &[1, 7, height, 0, 0]].concat();
    let mut length = node.len();
    while length >= 0x80 {
        manifest.push(length as u8 | 0x80);
        length >>= 7;
    }
    manifest.push(length as u8);
    manifest.extend([0; 12]);
    open(&manifest);
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut block = kind.to_be_bytes().to_vec();
    block.extend((body.len() as u64 + 18).to_le_bytes());
    block.extend([0, 0]);
    block.extend(body);
    let sum = crc32c(&block);
    block.extend(sum.to_le_bytes());
    block
}

/// zarr: a line of metadata, and the content of every chunk.
pub fn peer_zarr(_: &Arena, bytes: &[u8]) {
    struct Same<'a> {
        file: &'a str,
        metadata: &'a [u8],
        chunk: &'a [u8],
    }
    impl Store for Same<'_> {
        fn get(&self, key: &str) -> Result<Option<Arc<Storage>>, PeerError> {
            let file = Path::new(key).file_name().and_then(|name| name.to_str());
            let bytes = match file {
                Some(name) if name == self.file => self.metadata,
                Some(".zarray" | "zarr.json") => return Ok(None),
                _ => self.chunk,
            };
            Ok(Some(Storage::owned(bytes.to_vec())))
        }

        fn place(&self, key: &str) -> PathBuf {
            key.into()
        }
    }
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (metadata, chunk) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    for file in [".zarray", "zarr.json"] {
        bounded(BASE + bytes.len(), 128, || {
            let store = Same { file, metadata, chunk };
            drop(zarr::read(&store, "a", true, &mut Budget::of(bytes.len())));
        });
    }
}
