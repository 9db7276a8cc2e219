//! Data larger than memory in every format that is read in shards, from a bucket and from the local disk: runs on it have
//! the same bits after any interruption, and the same rows as data in memory.
#![cfg(all(feature = "object-store", unix))]

use std::fs;
use std::path::Path;

use candle_core::Device;
use rekindle::data::{Data, DataConfig};

use crate::bucket::Bucket;
use crate::common::{ADAMW, EVERY_STEP, Ended, Lab, assert_same_bits, log};

/// A tokenizer of these characters, and of a token between documents.
fn tokenizer() -> Vec<u8> {
    let characters = "abcdefghijklmnopqrstuvwxyz0123456789 .\n";
    let vocabulary: Vec<String> =
        characters.chars().enumerate().map(|(at, c)| format!("{:?}: {at}", c.to_string())).collect();
    let end = characters.len();
    format!(
        r#"{{"version": "1.0", "added_tokens": [{{"id": {end}, "content": "<|endoftext|>", "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false, "special": true}}],
        "model": {{"type": "BPE", "vocab": {{{}, "<|endoftext|>": {end}}}, "merges": []}}}}"#,
        vocabulary.join(", ")
    )
    .into_bytes()
}

/// Lines of pairs of a question and an answer.
fn pairs(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let line =
        |i: u32| format!("{{\"id\": {i}, \"question\": \"what is {i} by {i}\", \"answer\": \"it is {}\"}}\n", i * i);
    numbers.map(line).collect::<String>().into_bytes()
}

/// Lines of documents of text, of which some are long.
fn documents(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let line = |i: u32| format!("{{\"text\": \"{}\"}}\n", format!("document {i} of many. ").repeat(i as usize % 4));
    numbers.map(line).collect::<String>().into_bytes()
}

fn text(numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers.map(|i| format!("line {i} has {} in it.\n", i * i * 7)).collect::<String>().into_bytes()
}

/// An array of NumPy, of this type and shape.
fn npy(descr: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), elements].concat()
}

/// Inputs in big-endian numbers.
fn inputs(rows: std::ops::Range<u32>) -> Vec<u8> {
    let row = |i: u32| [(i * 37 % 61) as f32 / 7.0, (i * i % 53) as f32 / 5.0, (i * 11 % 17) as f32 - 8.0];
    let elements: Vec<u8> = rows.clone().flat_map(row).flat_map(f32::to_be_bytes).collect();
    npy(">f4", &format!("{}, 3", rows.len()), &elements)
}

fn labels(rows: std::ops::Range<u32>) -> Vec<u8> {
    let elements: Vec<u8> = rows.clone().map(|i| ((i * 7 + i * i) % 3) as u8).collect();
    npy("|u1", &format!("{},", rows.len()), &elements)
}

/// All files, by their names in a folder.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("pairs-0.jsonl", pairs(0..25)),
        ("pairs-1.jsonl", pairs(25..60)),
        ("pairs.val.jsonl", pairs(60..80)),
        ("documents-0.jsonl", documents(0..30)),
        ("documents-1.jsonl", documents(30..60)),
        ("documents.val.jsonl", documents(60..70)),
        ("text-0.txt", text(0..40)),
        ("text-1.txt", text(40..50)),
        ("text.val.txt", text(50..60)),
        ("x-0.npy", inputs(0..20)),
        ("x-1.npy", inputs(20..48)),
        ("x.val.npy", inputs(48..60)),
        ("y-0.npy", labels(0..20)),
        ("y-1.npy", labels(20..48)),
        ("y.val.npy", labels(48..60)),
    ]
}

const MLP: &str = "kind = \"mlp\"\nhidden = [8]\ndropout = 0.3";
const GPT: &str = "kind = \"gpt\"\nlayers = 1\nheads = 1\nwidth = 8\ndropout = 0.1";
const NPY: &str = "path = \"@x-*.npy\"\ntargets = \"y-*.npy\"\nvalidation_path = \"@x.val.npy\"\n\
    validation_targets = \"y.val.npy\"\nclasses = 3";
const PAIRS: &str = "path = \"@pairs-*.jsonl\"\nvalidation_path = \"@pairs.val.jsonl\"\ncontext = 32";
const DOCUMENTS: &str = "path = \"@documents-*.jsonl\"\nvalidation_path = \"@documents.val.jsonl\"\ncontext = 24";
const TEXT: &str = "path = \"@text-*.txt\"\nvalidation_path = \"@text.val.txt\"\ncontext = 24";

/// Where the files of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    InBucket,
    OnDisk,
}

/// Eight updates on data that `data` describes, with `@` for the folder of its files.
struct Scene {
    lab: Lab,
    bucket: Bucket,
}

impl Scene {
    fn new(files_are: Files, data: &str, model: &str) -> Self {
        let folder = if files_are == Files::InBucket { "s3://bucket/rows/" } else { "rows/" };
        let lengths = "train = { steps = 8, clip_norm = 1.0 }\nvalidation = { every = \"2 steps\" }";
        let head = format!("seed = 3\noptimizer = {ADAMW}\nschedule = \"cosine(8)\"\n{lengths}\n{EVERY_STEP}");
        let data = format!("{data}\nbatch_size = 9\nshuffle_window = 20").replace('@', folder);
        let lab = Lab::in_memory(&format!("{head}\n[data]\n{data}\n[model]\n{model}\n"));
        let bucket = Bucket::new();
        fs::create_dir(lab.path("rows")).unwrap();
        fs::write(lab.path("t.json"), tokenizer()).unwrap();
        for (name, content) in files() {
            match files_are {
                Files::InBucket => bucket.put(&format!("rows/{name}"), content),
                Files::OnDisk => fs::write(lab.path("rows").join(name), content).unwrap(),
            }
        }
        Self { lab, bucket }
    }

    fn train(&self, arguments: &[&str]) -> Ended {
        self.bucket.lend(&mut self.lab.command(arguments)).output().unwrap().into()
    }
}

#[test]
fn a_run_on_shards_of_any_format_has_the_same_bits_after_any_interruption() {
    let with = |data: &str, more: &str| format!("{data}\n{more}");
    for (files, data, model) in [
        (Files::InBucket, NPY.to_owned(), MLP),
        (Files::OnDisk, NPY.to_owned(), MLP),
        // The fields of the records are found by their names.
        (Files::InBucket, with(PAIRS, "tokenizer = \"t.json\""), GPT),
        (Files::OnDisk, with(DOCUMENTS, "tokens = \"bytes\"\npacking = \"documents\""), GPT),
        (Files::InBucket, with(TEXT, "tokens = \"bytes\""), GPT),
        (Files::OnDisk, with(TEXT, "tokenizer = \"t.json\""), GPT),
    ] {
        let scene = Scene::new(files, &data, model);
        scene.train(&["config.toml", "--out", "whole"]).well();
        let whole = scene.lab.path("whole");
        for step in [0, 3, 6] {
            let name = format!("interrupted-{step}");
            let copy = scene.lab.interrupted_copy("whole", &name, step);
            scene.train(&["--resume", &name]).well();
            assert_same_bits(&whole, &copy);
        }
        let told = scene.train(&["eval", "whole", "--json"]).well().stdout;
        let found: serde_json::Value = serde_json::from_str(&told).unwrap();
        let last = log(&whole).pop().unwrap();
        assert_eq!(found["loss"], last["val_loss"], "{files:?} {data}: {told} {last}");
    }
}

/// The tokenizer is in the checkpoint, and the rows are not counted again.
#[test]
fn a_run_on_text_continues_without_its_tokenizer_and_samples() {
    let scene = Scene::new(Files::OnDisk, &format!("{DOCUMENTS}\ntokenizer = \"t.json\""), GPT);
    scene.train(&["config.toml", "--out", "whole"]).well();
    let copy = scene.lab.interrupted_copy("whole", "copy", 5);
    fs::remove_file(scene.lab.path("t.json")).unwrap();
    scene.train(&["--resume", "copy"]).well();
    assert_same_bits(&scene.lab.path("whole"), &copy);
    let told = scene.train(&["sample", "whole", "--prompt", "document", "--tokens", "5", "--seed", "1"]).well();
    assert!(told.stdout.starts_with("document"), "{}", told.stdout);
    let other = ["eval", "whole", "--data", "rows/documents.val.jsonl", "--json"];
    let found: serde_json::Value = serde_json::from_str(&scene.train(&other).well().stdout).unwrap();
    assert_eq!(found["loss"], log(&scene.lab.path("whole")).pop().unwrap()["val_loss"]);
}

/// A file that was written to since the run began is named.
#[test]
fn a_file_that_has_changed_since_the_run_began_is_refused() {
    let scene = Scene::new(Files::OnDisk, &format!("{TEXT}\ntokens = \"bytes\""), GPT);
    scene.train(&["config.toml", "--out", "whole"]).well();
    scene.lab.interrupted_copy("whole", "copy", 5);
    let path = scene.lab.path("rows/text-1.txt");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let message = scene.train(&["--resume", "copy"]).refusal();
    assert!(message.contains("rows/text-1.txt has changed since the run began: it was "), "{message}");
    fs::remove_file(path).unwrap();
    let message = scene.train(&["--resume", "copy"]).refusal();
    assert!(message.contains("the shard text-1.txt that the run began with is not among those of "), "{message}");
}

/// The rows of a data set in its order, in batches, as bits.
fn all(folder: &Path, data: &str, more: &str) -> Vec<(Vec<u32>, Vec<u32>)> {
    let folder = format!("{}/", folder.display());
    let config = format!("{data}\nbatch_size = 7\nshuffle = false\n{more}").replace('@', &folder);
    let config: DataConfig = toml::from_str(&config).unwrap();
    let data = Data::open(&config, 1, &Device::Cpu).unwrap();
    let bits = |tensor: &candle_core::Tensor| match tensor.to_dtype(candle_core::DType::F32) {
        Ok(numbers) => numbers.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect(),
        Err(error) => panic!("{error}"),
    };
    let training = (0..data.steps_per_epoch()).map(|step| data.batch(step).unwrap());
    let batches = training.chain(data.validation_batches().map(Result::unwrap));
    batches.map(|batch| (bits(&batch.inputs), bits(&batch.targets))).collect()
}

/// As long as a file is one block, its rows are those of the same file in memory; arrays have the same rows in any case.
#[test]
fn rows_in_shards_are_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    files().into_iter().for_each(|(name, content)| fs::write(folder.path().join(name), content).unwrap());
    let documents = DOCUMENTS.replace("documents-*", "documents-0");
    let pairs = PAIRS.replace("pairs-*", "pairs-1");
    for data in [
        NPY.to_owned(),
        format!("{documents}\ntokens = \"bytes\""),
        format!("{documents}\ntokens = \"bytes\"\npacking = \"documents\""),
        format!("{documents}\ntokens = \"bytes\"\npacking = \"none\""),
        format!("{pairs}\ntokens = \"bytes\""),
        format!("{pairs}\ntokens = \"bytes\"\npacking = \"none\""),
    ] {
        let (in_memory, in_shards) = (all(folder.path(), &data, ""), all(folder.path(), &data, "shuffle_window = 4"));
        assert!(in_memory.len() > 2 && in_memory == in_shards, "{data}");
    }
}

/// The same array, whose elements are said to be in the order of columns.
fn with_columns(mut array: Vec<u8>) -> Vec<u8> {
    let at = array.windows(5).position(|word| word == b"False").unwrap();
    array[at..at + 5].copy_from_slice(b"True ");
    array
}

#[test]
fn what_cannot_be_read_in_shards_is_refused() {
    for (data, said) in [
        (TEXT.to_owned(), "the characters of text in shards are not known before a run begins; set `data.tokens"),
        (TEXT.replace("context = 24", "tokens = \"bytes\""), "`data.context` is missing"),
        (format!("{TEXT}\ntokens = \"bytes\"\ncache = \"c\""), "`data.cache`"),
        (format!("{TEXT}\ntokens = \"bytes\"\ntokenizer = \"t.json\""), "`data.tokens`"),
        (
            DOCUMENTS.replace("documents-*", "packed"),
            "packed.jsonl is a gzip file, and parts of shards are read as they are",
        ),
        (DOCUMENTS.replace("documents-*", "broken"), "broken.jsonl, line 2: no field `text`"),
        (DOCUMENTS.replace("documents-*", "empty"), "have nothing to learn within 24 tokens"),
        (PAIRS.replace("pairs-*", "pairs-?.x"), "`data.path`: no file is named "),
        (NPY.replace("y-*", "z-*"), "z-0.npy: entity not found; set `data.targets` to the name of their file"),
        (NPY.replace("x-*", "columns").replace("y-*", "y-0"), "its elements are in the order of columns"),
        (NPY.replace("classes = 3", ""), "`data.classes` is missing"),
        (
            format!("{TEXT}\ntokens = \"bytes\"\nvalidation = 0.1").replace("validation_path", "test_path"),
            "`data.validation` needs all",
        ),
    ] {
        let data = if data.contains("jsonl") { format!("{data}\ntokens = \"bytes\"") } else { data };
        for files in [Files::OnDisk, Files::InBucket] {
            let scene = Scene::new(files, &data, GPT);
            let put = |name: &str, content: &[u8]| {
                scene.bucket.put(&format!("rows/{name}"), content.to_vec());
                fs::write(scene.lab.path("rows").join(name), content).unwrap();
            };
            put("packed.jsonl", b"\x1f\x8b\x08\0\0\0\0\0\0\0");
            put("broken.jsonl", b"{\"text\": \"a\"}\n{\"txt\": \"b\"}\n");
            put("empty.jsonl", b"\n\n");
            let columns = npy("|u1", "2, 2", &[0; 4]);
            put("columns.npy", &with_columns(columns));
            let ended = scene.train(&["config.toml", "--out", "run"]);
            assert!(ended.code != Some(0) && ended.stderr.contains(said), "{files:?} {data}: {}", ended.stderr);
        }
    }
}
