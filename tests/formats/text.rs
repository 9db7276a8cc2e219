//! A text is read as windows of tokens, its tokens are cached and checked, and errors name the place.

use std::fs;
use std::path::Path;

use crate::common::data::{folder, gzip, open, refusal};
use rekindle::data::{Batch, Data, Dataset, Input, TargetKind, Vocabulary};
use rekindle::state::Stateful;

const TEXT: &str = "To be, or not to be: that is the question.\nWhether 'tis nobler\n";

/// Opens `content` as text data, with its tokens in `cache` beside it.
fn text(content: &[u8], options: &str) -> Data {
    let folder = folder(&[("a.txt", content.to_vec())]);
    open(&folder.path().join("a.txt"), &with_cache(folder.path(), options)).unwrap()
}

fn with_cache(folder: &Path, options: &str) -> String {
    format!("format = \"text\"\ncache = {:?}\n{options}", folder.join("cache"))
}

fn said(content: &[u8], options: &str) -> String {
    refusal(&[("a.txt", content.to_vec())], "a.txt", &format!("cache = \"/dev/null/cache\"\n{options}"))
}

/// The only file of tokens in the cache of `folder`.
fn kept(folder: &Path) -> std::path::PathBuf {
    let names = fs::read_dir(folder.join("cache")).unwrap().map(|entry| entry.unwrap().path());
    let mut tokens: Vec<_> = names.filter(|path| path.extension().is_some_and(|ending| ending == "tokens")).collect();
    assert_eq!(tokens.len(), 1);
    tokens.remove(0)
}

fn vocabulary(data: &Data) -> Vocabulary {
    Vocabulary::load(&data.save().unwrap()).unwrap()
}

/// The rows of a batch as text: inputs, and targets.
fn rows(batch: &Batch, vocabulary: &Vocabulary) -> Vec<(String, String)> {
    let text = |rows: &candle_core::Tensor| -> Vec<String> {
        rows.to_vec2::<u32>().unwrap().iter().map(|row| vocabulary.decode(row).unwrap()).collect()
    };
    text(&batch.inputs).into_iter().zip(text(&batch.targets)).collect()
}

#[test]
fn rows_are_windows_at_every_offset_with_the_next_characters_as_targets() {
    let data = text(b"abcdefghij", "context = 3\nshuffle = false\nbatch_size = \"all\"");
    assert_eq!(data.input(), Input::Tokens { context: 3, vocabulary: 10 });
    assert_eq!(data.targets(), TargetKind::Classes { count: 10 });
    assert_eq!((data.train_rows().len(), data.validation_rows().len()), (7, 0));
    let all = rows(&data.batch(0).unwrap(), &vocabulary(&data));
    for (offset, (inputs, targets)) in all.iter().enumerate() {
        assert_eq!((&**inputs, &**targets), (&"abcdefghij"[offset..offset + 3], &"abcdefghij"[offset + 1..offset + 4]));
    }
    assert_eq!(all.len(), 7);
}

#[test]
fn the_last_part_is_for_validation_in_windows_that_do_not_overlap() {
    let content: Vec<u8> = (0..100).collect();
    let data = text(&content, "tokens = \"bytes\"\ncontext = 4\nvalidation = 0.2");
    // Windows from 0 to 75, of which the last target is 79; then 80 to 83, …, 92 to 95 with the targets up to 96.
    assert_eq!((data.train_rows().len(), data.validation_rows().to_vec()), (76, vec![76, 77, 78, 79]));
    let last = data.dataset().gather(&[75]).unwrap();
    assert_eq!(last.targets.to_vec2::<u32>().unwrap(), [[76, 77, 78, 79]]);
    let validation: Vec<Batch> = data.validation_batches().map(Result::unwrap).collect();
    let inputs = validation[0].inputs.flatten_all().unwrap().to_vec1::<u32>().unwrap();
    let targets = validation[0].targets.flatten_all().unwrap().to_vec1::<u32>().unwrap();
    assert_eq!((validation.len(), inputs), (1, (80..96).collect()));
    assert_eq!(targets, (81..97).collect::<Vec<u32>>());
    assert!(data.dataset().gather(&[80]).is_err());
}

#[test]
fn plain_and_gzip_kept_and_in_memory_are_the_same_tokens() {
    let options = "context = 8";
    let expected = text(TEXT.as_bytes(), options);
    let batch = |data: &Data| data.batch(3).unwrap().inputs.to_vec2::<u32>().unwrap();
    assert_eq!(batch(&text(&gzip(TEXT.as_bytes()), options)), batch(&expected));
    // A cache folder inside a file cannot exist.
    let folder = folder(&[("a.txt", TEXT.into()), ("file", vec![])]);
    let below = format!("format = \"text\"\ncache = {:?}\n{options}", folder.path().join("file/cache"));
    let in_memory = open(&folder.path().join("a.txt"), &below).unwrap();
    assert_eq!(batch(&in_memory), batch(&expected));
    assert_eq!(in_memory.save().unwrap(), expected.save().unwrap());
}

#[test]
fn tokens_are_kept_and_a_file_of_them_that_is_stale_or_torn_is_made_again() {
    let folder = folder(&[("a.txt", TEXT.into())]);
    let path = folder.path().join("a.txt");
    let options = with_cache(folder.path(), "context = 8");
    let batch = || {
        let data = open(&path, &options).unwrap();
        (vocabulary(&data), data.batch(3).unwrap().inputs.to_vec2::<u32>().unwrap())
    };
    let expected = batch();
    let place = kept(folder.path());
    let whole = fs::read(&place).unwrap();
    let time = || fs::metadata(&place).unwrap().modified().unwrap();
    let made = time();
    assert_eq!(batch(), expected);
    assert_eq!(time(), made, "tokens that are there were made again");

    let mut damaged: Vec<Vec<u8>> = [0, 10, 104, whole.len() - 1].map(|end| whole[..end].to_vec()).into();
    damaged.push([&whole[..], b"x"].concat());
    for at in [3, 20, 60, 85, 93, 100, 110, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        damaged.push(flipped);
    }
    for bytes in damaged {
        fs::write(&place, bytes).unwrap();
        assert_eq!(batch(), expected);
        assert_eq!(fs::read(&place).unwrap(), whole);
    }

    fs::write(&path, TEXT.to_uppercase()).unwrap();
    let (vocabulary, _) = batch();
    assert!(vocabulary.encode("TO BE").is_ok() && vocabulary.encode("to be").is_err());
    assert_ne!(fs::read(kept(folder.path())).unwrap(), whole);
}

#[test]
fn runs_that_start_together_see_the_same_tokens() {
    let folder = folder(&[("a.txt", TEXT.repeat(2000).into())]);
    let options = with_cache(folder.path(), "context = 8");
    let batch =
        || open(&folder.path().join("a.txt"), &options).unwrap().batch(3).unwrap().inputs.to_vec2::<u32>().unwrap();
    let found: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(batch)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(found.iter().all(|batch| *batch == found[0]));
}

/// Words of a made-up text as a `tokenizer.json` of the simplest kind.
fn tokenizer(more: &str) -> String {
    format!(
        r#"{{"version": "1.0", "truncation": {{"direction": "Right", "max_length": 2, "strategy": "LongestFirst",
        "stride": 0}}, "padding": null, "added_tokens": [], "normalizer": {{"type": "Lowercase"}},
        "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "post_processor": null, "decoder": null,
        "model": {{"type": "WordLevel", "vocab": {{"[unk]": 0, "to": 1, "be": 2, "or": 3, "not": 300}},
        "unk_token": "[unk]"}}{more}}}"#
    )
}

#[test]
fn a_tokenizer_cuts_the_text_and_a_checkpoint_remembers_it() {
    let folder = folder(&[("a.txt", b"To be or not to\nbe said\n".to_vec()), ("t.json", tokenizer("").into())]);
    let tokenizer = format!("tokenizer = {:?}\ncontext = 6\nshuffle = false", folder.path().join("t.json"));
    let data = open(&folder.path().join("a.txt"), &with_cache(folder.path(), &tokenizer)).unwrap();
    assert_eq!(data.input(), Input::Tokens { context: 6, vocabulary: 301 });
    let batch = data.batch(0).unwrap();
    assert_eq!(batch.inputs.to_vec2::<u32>().unwrap(), [[1, 2, 3, 300, 1, 2]]);
    assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), [[2, 3, 300, 1, 2, 0]]);
    fs::remove_file(folder.path().join("t.json")).unwrap();
    let vocabulary = vocabulary(&data);
    assert_eq!(vocabulary.encode("not to BE").unwrap(), [300, 1, 2]);
    assert_eq!(vocabulary.decode(&[300, 1, 2]).unwrap(), "not to be");
}

#[test]
fn another_vocabulary_than_the_saved_one_is_refused() {
    let saved = text(TEXT.as_bytes(), "context = 8").save().unwrap();
    let message = text(TEXT.as_bytes(), "context = 8\ntokens = \"bytes\"").check(&saved).unwrap_err().to_string();
    assert_eq!(message, "the vocabulary is 21 characters in the checkpoint and bytes here");
}

#[test]
fn what_is_no_text_is_named_with_its_byte() {
    let mut content = "ä".repeat(700_000).into_bytes();
    content[1_200_001] = b'x';
    for content in [&content, &gzip(&content)] {
        assert_eq!(
            said(content, "context = 8"),
            "a.txt, byte 1200000: not UTF-8 text; save the file as UTF-8, or set `data.tokens = \"bytes\"`"
        );
    }
    assert!(said(b"abc\xc3", "context = 2").starts_with("a.txt, byte 3: not UTF-8"));
}

#[test]
fn empty_short_and_damaged_files_are_refused() {
    assert_eq!(said(b"", "context = 8"), "the data file a.txt is empty");
    assert_eq!(said(&gzip(b""), "context = 8"), "the data file a.txt is empty");
    assert_eq!(
        said(b"abcd", "context = 4"),
        "a.txt: the part for training has 4 tokens, and a row needs 5 (`data.context` = 4, and one more)"
    );
    assert_eq!(
        said(b"abcdefghij", "context = 4\nvalidation = 0.2"),
        "a.txt: the part for validation has 2 tokens, and a row needs 5 (`data.context` = 4, and one more)"
    );
    let packed = gzip(TEXT.as_bytes());
    let message = said(&packed[..packed.len() - 9], "context = 4");
    assert!(message.starts_with("the gzip file a.txt is damaged or cut short: "), "{message}");
}

#[test]
fn options_of_text_are_checked() {
    assert_eq!(said(b"abc", ""), "`data.context` is missing: the number of tokens in a row of text");
    assert_eq!(said(b"abc", "context = 1\nlabel = 1"), "`data.label` does not apply to text; remove it");
    assert_eq!(
        said(b"abc", "context = 1\ntokens = \"bytes\"\ntokenizer = \"t.json\""),
        "`data.tokens` does not apply to text with a tokenizer; remove it"
    );
}

#[test]
fn an_invalid_tokenizer_is_refused() {
    let said = |json: Option<&str>| {
        let folder = folder(&[("a.txt", TEXT.into())]);
        let path = folder.path().join("t.json");
        json.into_iter().for_each(|json| fs::write(&path, json).unwrap());
        let options = with_cache(folder.path(), &format!("context = 4\ntokenizer = {path:?}"));
        let message = open(&folder.path().join("a.txt"), &options).map(drop).unwrap_err();
        message.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        said(None),
        "cannot read the tokenizer t.json: No such file or directory (os error 2); set `data.tokenizer` to its path"
    );
    assert!(said(Some("{}")).starts_with("t.json is not a tokenizer.json: "));
    let bpe = r#"{"model": {"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}}"#;
    assert!(said(Some(bpe)).starts_with("t.json drops merges at random (`model.dropout`), so that no two runs"));
}

/// The tokens of the library's own builds, for patterns of published tokenizers and for what dialects of regular
/// expressions read differently; `make.py` beside the file made them.
#[test]
fn regular_expressions_of_a_tokenizer_give_the_tokens_of_the_library_that_wrote_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizers/regex.json");
    let cases: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let folder = folder(&[]);
    for (name, case) in cases.as_object().unwrap() {
        let file = folder.path().join(name);
        fs::write(&file, serde_json::to_vec(&case["tokenizer"]).unwrap()).unwrap();
        let vocabulary = Vocabulary::from_file(&file).unwrap();
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(vocabulary.encode(case["text"].as_str().unwrap()).unwrap(), ids, "{name}");
        assert_eq!(Vocabulary::load(&vocabulary.save()).unwrap(), vocabulary);
        assert_eq!(vocabulary.save().json["regex"], "oniguruma", "{name}");
    }
}
