//! A shard: an object in safetensors, of which the header is read first, and rows when they are needed.

use std::io::{Cursor, ErrorKind, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::data::error::StreamError;
use crate::data::files::Part;
use crate::data::tensors::{INPUTS, Stored};
use crate::data::{DataConfig, DataError, TensorError};
use crate::store::{self, Object, Reader, Store, Version};
use crate::tensor_header::{self, Remarks};
use crate::threads;

/// Bytes that are read first; headers are seldom longer.
const BEGINNING: u64 = 64 << 10;

/// Number of headers that are read at once.
const AT_ONCE: usize = 16;

/// A shard and the places of its tensors.
pub(super) struct Shard {
    pub part: Part,
    pub path: PathBuf,
    pub bytes: u64,
    pub version: Version,
    pub inputs: Stored,
    pub targets: Stored,
    store: Arc<dyn Store>,
}

/// Consecutive rows of a shard, as bytes.
pub(super) struct Block {
    inputs: Vec<u8>,
    targets: Vec<u8>,
}

impl Block {
    /// Appends a row, counted from the beginning of the block, to bytes of inputs and of targets.
    pub fn push_row(&self, row: usize, shard: &Shard, inputs: &mut Vec<u8>, targets: &mut Vec<u8>) {
        let of = |bytes: usize| row * bytes..(row + 1) * bytes;
        inputs.extend_from_slice(self.inputs.get(of(shard.inputs.row_bytes())).unwrap_or_default());
        targets.extend_from_slice(self.targets.get(of(shard.targets.row_bytes())).unwrap_or_default());
    }
}

/// Reads the headers of all shards, several at once.
pub(super) fn read_all(listed: Vec<(Part, Object)>, config: &DataConfig) -> Result<Vec<Shard>, DataError> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(listed.len())));
    let take = || {
        let at = next.fetch_add(1, Ordering::Relaxed);
        listed.get(at).map(|shard| (at, shard))
    };
    let work = || {
        while let Some((at, (part, object))) = take() {
            let shard = Shard::open(*part, object, config);
            // After an error the others are not needed.
            let ends = shard.is_err();
            found.lock().unwrap_or_else(PoisonError::into_inner).push((at, shard));
            if ends {
                next.store(listed.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(listed.len()) {
            // Without the thread, the others do its work.
            drop(threads::builder("shards").spawn_scoped(scope, work));
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(at, _)| *at);
    let shards: Vec<Shard> = found.into_iter().map(|(_, shard)| shard).collect::<Result<_, _>>()?;
    require_alike(&shards)?;
    Ok(shards)
}

/// Refuses shards with rows of different forms.
fn require_alike(shards: &[Shard]) -> Result<(), DataError> {
    let Some(first) = shards.first() else { return Ok(()) };
    for shard in shards {
        for (own, usual) in [(&shard.inputs, &first.inputs), (&shard.targets, &first.targets)] {
            if (own.element, &own.shape) != (usual.element, &usual.shape) {
                let form = |stored: &Stored| format!("{}[rows, {:?}]", stored.element, stored.shape);
                let difference = format!("{}, and {}", form(own), form(usual));
                let (path, first, name) = (shard.path.clone(), first.path.clone(), own.name.clone());
                return Err(TensorError::OtherRows { path, first, name, difference }.into());
            }
        }
    }
    Ok(())
}

impl Shard {
    fn open(part: Part, object: &Object, config: &DataConfig) -> Result<Self, DataError> {
        let Object { path, bytes } = object.clone();
        if bytes == 0 {
            return Err(DataError::EmptyFile { path });
        }
        let unreadable = |source| unreadable(path.clone(), source);
        let store = store::at(&path).map_err(unreadable)?;
        let store = store.ok_or_else(|| StreamError::Missing { path: path.clone() })?;
        let (beginning, version) = store.read_current(&path, 0..bytes.min(BEGINNING)).map_err(unreadable)?;
        let rest = Reader::beginning(Arc::clone(&store), path.clone(), bytes).after(beginning.len() as u64);
        let (start, metadata) = tensor_header::read(&mut Cursor::new(beginning).chain(rest), bytes, Remarks::Ignored)
            .map_err(unreadable)?
            .map_err(|reason| TensorError::BadTensors { path: path.clone(), reason })?;
        let (inputs, targets) = config.tensor_names();
        let inputs = Stored::find(&path, &metadata, start, "inputs", inputs)?;
        let targets = Stored::find(&path, &metadata, start, "targets", targets)?;
        if inputs.shape.is_empty() || inputs.width() == 0 {
            return Err(inputs.must_be(path, INPUTS));
        }
        if inputs.rows != targets.rows {
            return Err(TensorError::RowsDisagree { path, inputs: inputs.rows, targets: targets.rows }.into());
        }
        Ok(Self { part, path, bytes, version, inputs, targets, store })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.inputs.rows
    }

    /// Returns the number of bytes of a row with its targets.
    pub fn row_bytes(&self) -> usize {
        self.inputs.row_bytes() + self.targets.row_bytes()
    }

    pub fn inputs(&self) -> &Stored {
        &self.inputs
    }

    pub fn targets(&self) -> &Stored {
        &self.targets
    }

    /// Reads these rows.
    pub fn block(&self, rows: Range<usize>) -> Result<Block, DataError> {
        let bytes = |stored: &Stored| {
            let place = |row: usize| stored.start + (row * stored.row_bytes()) as u64;
            self.read(place(rows.start)..place(rows.end))
        };
        Ok(Block { inputs: bytes(&self.inputs)?, targets: bytes(&self.targets)? })
    }

    /// Reads some bytes of the shard that the run began with.
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, DataError> {
        let read = self.store.read_current(&self.path, range);
        let (bytes, version) = read.map_err(|source| unreadable(self.path.clone(), source))?;
        let (was, now) = (&self.version.e_tag, version.e_tag);
        match (was, now) {
            (Some(was), Some(now)) if *was != now => {
                let (was, now) = (format!("ETag {was}"), format!("ETag {now}"));
                Err(StreamError::Changed { path: self.path.clone(), was, now }.into())
            }
            _ => Ok(bytes),
        }
    }
}

fn unreadable(path: PathBuf, source: std::io::Error) -> StreamError {
    match source.kind() {
        ErrorKind::NotFound => StreamError::Missing { path },
        _ => StreamError::Read { path, source },
    }
}
