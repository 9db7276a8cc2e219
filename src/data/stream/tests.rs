//! Tests of rows in shards: how much a process reads, and how text becomes rows.

use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use candle_core::Device;
use serde_json::Value;

use super::jsonl::Jsonl;
use super::tokens::{At, Reader, TokenBlock, Wording};
use super::*;
use crate::data::documents::{Shape, Stream};
use crate::data::{Data, Share, Vocabulary};
use crate::store::{Memory, Object, Store, Version};

/// A store that counts the bytes that are read from it.
#[derive(Default)]
struct Counting {
    objects: Memory,
    read: AtomicU64,
}

impl Store for Counting {
    fn list(&self, folder: &Path) -> io::Result<Vec<Object>> {
        self.objects.list(folder)
    }

    fn size(&self, object: &Path) -> io::Result<Option<u64>> {
        self.objects.size(object)
    }

    fn read(&self, object: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.read.fetch_add(range.end - range.start, Ordering::SeqCst);
        self.objects.read(object, range)
    }

    fn fetch(&self, object: &Path, limit: u64) -> io::Result<Option<(Vec<u8>, Version)>> {
        self.objects.fetch(object, limit)
    }

    fn create(&self, object: &Path, content: &[u8]) -> io::Result<Version> {
        self.objects.create(object, content)
    }

    fn replace(&self, object: &Path, content: &[u8], version: &Version) -> io::Result<Version> {
        self.objects.replace(object, content, version)
    }

    fn upload(&self, object: &Path, content: &mut dyn Read, bytes: u64) -> io::Result<()> {
        self.objects.upload(object, content, bytes)
    }

    fn remove(&self, object: &Path) -> io::Result<()> {
        self.objects.remove(object)
    }
}

/// An array of NumPy, of this type and shape.
fn npy(descr: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), elements].concat()
}

/// Puts two shards of 100 and 140 rows of `width` bytes into a new store, at `base`.
fn put_rows(base: &str, width: usize) -> Arc<Counting> {
    let store = Arc::new(Counting::default());
    for (number, rows) in [(0, 0..100u8), (1, 100..240)] {
        let x: Vec<u8> = rows.clone().flat_map(|row| vec![row; width]).collect();
        let y: Vec<u8> = rows.clone().map(|row| row % 3).collect();
        let files = [
            (format!("{base}/x-{number}.npy"), npy("|u1", &format!("{}, {width}", rows.len()), &x)),
            (format!("{base}/y-{number}.npy"), npy("|u1", &format!("{},", rows.len()), &y)),
        ];
        for (name, content) in files {
            store.upload(name.as_ref(), &mut &content[..], content.len() as u64).unwrap();
        }
    }
    store::register(base, Arc::clone(&store) as Arc<dyn Store>);
    store
}

/// The numbers of the rows of each batch of an epoch, and the number of rows whose bytes were read for them.
fn read_as(base: &str, width: usize, share: Option<Share>) -> (Vec<Vec<f32>>, f64) {
    let store = put_rows(base, width);
    let config =
        format!("path = '{base}/x-*.npy'\ntargets = 'y-*.npy'\nclasses = 3\nbatch_size = 12\nshuffle_window = 24");
    let config: DataConfig = toml::from_str(&config).unwrap();
    let data = Data::open(&config, 7, &Device::Cpu).unwrap();
    let data = match share {
        Some(share) => data.shared(share).unwrap(),
        None => data,
    };
    let headers = store.read.load(Ordering::SeqCst);
    let numbers = |step| {
        let batch = data.batch(step).unwrap();
        let labels: Vec<f32> = batch.targets.to_vec1::<u32>().unwrap().into_iter().map(|label| label as f32).collect();
        let rows = batch.inputs.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(labels, rows.iter().map(|row| row % 3.0).collect::<Vec<_>>());
        rows
    };
    let batches = (0..data.steps_of(1)).map(numbers).collect();
    let bytes = store.read.load(Ordering::SeqCst) - headers;
    (batches, bytes as f64 / (width + 1) as f64)
}

/// Two processes read the rows that one alone reads, each its own, in the same order.
#[test]
fn a_process_reads_the_blocks_of_its_own_rows_alone() {
    let width = 66_000;
    let (whole, rows) = read_as("mem://streamed-whole", width, None);
    assert!(rows >= 240.0, "{rows} rows");
    let parts = [0, 1].map(|rank| {
        let share = Share { pieces: 2, rank, world: 2 };
        read_as(&format!("mem://streamed-{rank}"), width, Some(share))
    });
    for (step, rows) in whole.iter().enumerate() {
        assert_eq!(*rows, [&parts[0].0[step][..], &parts[1].0[step]].concat());
    }
    // Of 240 rows each process needs 120, and of the next epoch at most half of five windows is read in advance.
    for (_, rows) in parts {
        assert!((120.0..=180.0).contains(&rows), "{rows} rows");
    }
}

/// Blocks of rows that are much smaller than a request are not made smaller.
#[test]
fn small_rows_are_read_in_large_blocks_by_all_processes() {
    let share = Share { pieces: 2, rank: 1, world: 2 };
    let (_, rows) = read_as("mem://streamed-small", 10, Some(share));
    assert!((239.9..=240.1).contains(&rows), "{rows} rows");
}

fn config(options: &str) -> DataConfig {
    toml::from_str(&format!("path = 'a.jsonl'\n{options}")).unwrap()
}

/// A shard of this content on the local disk.
fn shard(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> Arc<Shard> {
    let content = content.as_ref();
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    Arc::new(Shard::open(Part::Train, Object { path, bytes: content.len() as u64 }).unwrap().0)
}

/// Shards of text in bytes, with options of JSON Lines or as mere text.
fn reader(shards: Vec<Arc<Shard>>, context: usize, options: Option<&str>) -> Reader {
    let vocabulary = Vocabulary::bytes().separated_by(None).unwrap();
    let wording: Box<dyn Wording> = match options {
        Some(options) => Box::new(Jsonl::new(&config(options), context, &vocabulary).unwrap()),
        None => Box::new(text::Text { context }),
    };
    Reader { shards, wording, vocabulary }
}

/// The rows of all shards, counted by this process alone.
fn counted(reader: Reader, size: u64) -> Result<Tokens, DataError> {
    let content = Known::of(&reader.shards).fingerprint();
    Tokens::counted(reader, size, Division { processes: None, content: &content })
}

/// The inputs and the targets of a row.
type Row = (Vec<u32>, Vec<u32>);

/// The rows of all blocks of about `size` bytes, and the number of blocks.
fn rows(reader: Reader, size: u64) -> (Vec<Row>, usize) {
    let tokens = counted(reader, size).unwrap();
    let (mut rows, mut blocks) = (Vec::new(), 0);
    for (shard, (_, count)) in tokens.shards().into_iter().enumerate() {
        let mut next = 0;
        while next < count {
            let range = tokens.block(shard, next);
            let block: Arc<TokenBlock> = Arc::new(tokens.read(shard, range.clone()).unwrap());
            let placed = |row| Placed { shard, row, block: Arc::clone(&block), at: row - range.start };
            let batch = tokens.batch(&range.clone().map(placed).collect::<Vec<_>>()).unwrap();
            rows.extend(batch.inputs.to_vec2().unwrap().into_iter().zip(batch.targets.to_vec2().unwrap()));
            (next, blocks) = (range.end, blocks + 1);
        }
    }
    (rows, blocks)
}

/// In a block each token but the first is a target once, and no row has tokens of two blocks.
#[test]
fn text_is_divided_within_blocks_and_the_last_row_of_one_is_filled_up() {
    let folder = tempfile::tempdir().unwrap();
    let shards = vec![shard(folder.path(), "a", "abcdef\nghi\njk\n"), shard(folder.path(), "b", "xyz")];
    let (found, blocks) = rows(reader(shards, 4, None), 10);
    let text =
        |tokens: &[u32]| tokens.iter().map(|&token| if token == 256 { '-' } else { token as u8 as char }).collect();
    let found: Vec<(String, String)> = found.iter().map(|(inputs, targets)| (text(inputs), text(targets))).collect();
    let expected = [("abcd", "bcde"), ("ef\ng", "f\ngh"), ("hi\0\0", "i\n--"), ("jk\0\0", "k\n--"), ("xy\0\0", "yz--")];
    assert_eq!(found, expected.map(|(inputs, targets)| (inputs.to_owned(), targets.to_owned())));
    assert_eq!(blocks, 3);
}

/// Whatever the size of blocks, the documents are the same; whole ones are in the same rows if each has its own.
#[test]
fn documents_are_the_same_in_blocks_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |from: usize| -> String {
        (from..from + 30)
            .map(|i| format!("{{\"text\": \"{}\", \"q\": \"{i}\", \"a\": \"{}\"}}\n", "ab".repeat(i), i * i))
            .collect()
    };
    let open = |options: &str| {
        let shards = vec![shard(folder.path(), "a", lines(0)), shard(folder.path(), "b", lines(30))];
        reader(shards, 16, Some(options))
    };
    let pairs = "prompt = 'q'\nanswer = 'a'\npacking = 'none'";
    let (whole, one_each) = rows(open(pairs), 1 << 20);
    assert_eq!((whole.len(), one_each), (60, 2));
    for size in [1, 100, 999] {
        let (found, blocks) = rows(open(pairs), size);
        assert!(found == whole && blocks > 2);
    }
    let learned = |rows: &[(Vec<u32>, Vec<u32>)]| {
        let targets = rows.iter().flat_map(|(_, targets)| targets.iter().copied());
        targets.filter(|&target| target != 256).collect::<Vec<u32>>()
    };
    for packing in ["rows", "documents"] {
        let options = format!("packing = '{packing}'");
        let (whole, _) = rows(open(&options), 1 << 20);
        for size in [1, 100, 999] {
            let (found, blocks) = rows(open(&options), size);
            assert!(learned(&found) == learned(&whole) && blocks > 2, "{size}");
        }
    }
}

#[test]
fn a_record_that_cannot_be_read_is_named_by_its_line_in_any_block() {
    let folder = tempfile::tempdir().unwrap();
    let lines = format!("{}{{\"txt\": 1}}\n", "{\"text\": \"a\"}\n".repeat(50));
    for size in [10, 100, 1 << 20] {
        let reader = reader(vec![shard(folder.path(), "a", &lines)], 4, Some(""));
        let message = counted(reader, size).map(drop).unwrap_err().to_string();
        assert!(message.contains("a, line 51: no field `text`"), "{message}");
    }
    let cut_short = reader(vec![shard(folder.path(), "a", "{\"text\": \"a\"}\n{\"text\"")], 4, Some(""));
    let message = counted(cut_short, 4).map(drop).unwrap_err().to_string();
    assert!(message.contains("a, line 2: not JSON"), "{message}");
    let lines = ["{\"text\": \"a\"}\n".repeat(50).as_bytes(), b"{\"text\": \"\xff\"}\n"].concat();
    for size in [10, 1 << 20] {
        let reader = reader(vec![shard(folder.path(), "b", &lines)], 4, Some(""));
        let message = counted(reader, size).map(drop).unwrap_err().to_string();
        assert!(message.contains("b, line 51: not UTF-8"), "{message}");
    }
}

/// One of two processes, with a way to the other one and from it.
struct One {
    rank: usize,
    to: Sender<Value>,
    from: Receiver<Value>,
}

impl Processes for One {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        2
    }

    fn gather(&self, _: &Fingerprint, own: Value) -> Result<Vec<Value>, DataError> {
        self.to.send(own.clone()).unwrap();
        let other = self.from.recv_timeout(Duration::from_secs(60)).unwrap();
        Ok(if self.rank == 0 { vec![own, other] } else { vec![other, own] })
    }
}

/// Words whose blocks are counted.
struct Tallied(text::Text, Arc<AtomicU64>);

impl Wording for Tallied {
    fn longest_line(&self) -> u64 {
        self.0.longest_line()
    }

    fn tokens(&self, bytes: &[u8], at: At<'_>, vocabulary: &Vocabulary) -> Result<(Stream, usize), DataError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.tokens(bytes, at, vocabulary)
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    fn filler(&self) -> u32 {
        self.0.filler()
    }

    fn document_start(&self) -> Option<u32> {
        self.0.document_start()
    }
}

/// Each block is tokenized by one process, and all of them know what one alone would count.
#[test]
fn processes_divide_the_blocks_to_count() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "some words in a line\n".repeat(40);
    let shards = ["a", "b", "c"].map(|name| shard(folder.path(), name, &lines)).to_vec();
    let content = Known::of(&shards).fingerprint();
    let count = |processes: Option<&dyn Processes>| {
        let tally = Arc::new(AtomicU64::new(0));
        let mut reader = reader(shards.clone(), 8, None);
        reader.wording = Box::new(Tallied(text::Text { context: 8 }, Arc::clone(&tally)));
        let tokens = Tokens::counted(reader, 100, Division { processes, content: &content }).unwrap();
        (tokens.save().tensors, tally.load(Ordering::SeqCst))
    };
    let (alone, blocks) = count(None);
    let ((to_second, from_first), (to_first, from_second)) = (channel(), channel());
    let both = [One { rank: 0, to: to_second, from: from_second }, One { rank: 1, to: to_first, from: from_first }];
    let found = std::thread::scope(|scope| {
        both.map(|one| scope.spawn(move || count(Some(&one)))).map(|thread| thread.join().unwrap())
    });
    assert_eq!((blocks, found.each_ref().map(|(_, own)| *own)), (27, [13, 14]));
    assert!(found.iter().all(|(index, _)| *index == alone));
}

/// A file that was written to is another one, also in the middle of a run.
#[test]
fn a_file_that_changes_during_a_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let one = shard(folder.path(), "a", "{\"text\": \"abc\"}\n");
    let tokens = counted(reader(vec![Arc::clone(&one)], 4, Some("")), 100).unwrap();
    assert!(tokens.read(0, 0..1).is_ok());
    let path: PathBuf = one.path.clone();
    fs::write(&path, "{\"text\": \"abd\"}\n").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(1_709_251_199_250)).unwrap();
    let message = tokens.read(0, 0..1).map(drop).unwrap_err().to_string();
    assert!(
        message.contains("has changed since the run began")
            && message.contains("is modified 2024-02-29 23:59:59.250000000 UTC"),
        "{message}"
    );
}
