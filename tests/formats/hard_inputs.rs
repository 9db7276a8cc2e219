//! Difficult inputs: truncated images, pipes in place of files, links, tokenizers that do not know the text. Nothing is
//! lost, and the messages help.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::data::{gzip, write};
use crate::common::forge::forge_file;
use crate::common::{ADAMW, Lab, assert_same_bits, checkpoint, copy_tree, log, small, steps};
use serde_json::Value;

/// A picture of two by two pixels, different for each number.
fn image(number: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Grayscale);
    let samples = [number, number.wrapping_mul(7), number.wrapping_mul(31), 255 - number];
    encoder.write_header().unwrap().write_image_data(&samples).unwrap();
    bytes
}

/// Twenty images of two classes; the header of number 7 is valid and the rest is not.
fn images(folder: &Path) {
    for number in 0..20 {
        let class = ["cat", "dog"][usize::from(number % 2)];
        write(folder, &[(&format!("animals/{class}/{number:02}.png"), image(number))]);
    }
    let bad = folder.join("animals/dog/07.png");
    let whole = fs::read(&bad).unwrap();
    fs::write(&bad, &whole[..whole.len() - 20]).unwrap();
}

fn lab_of_images(options: &str) -> Lab {
    let data = "path = \"animals\"\nformat = \"images\"\nbatch_size = 3";
    let model = "kind = \"mlp\"\nhidden = [4]";
    let head = format!("seed = 3\noptimizer = {ADAMW}\ntrain = {{ epochs = 3 }}\ncheckpoint = {{ every = '1 epoch' }}");
    let lab = Lab::in_memory(&format!("{head}\n[data]\n{data}\n{options}\n[model]\n{model}\n"));
    images(&lab.path(""));
    lab
}

fn state(run: &Path, step: u64) -> Value {
    serde_json::from_slice(&fs::read(checkpoint(run, step).join("state.json")).unwrap()).unwrap()
}

#[test]
fn bad_images_that_are_skipped_may_be_removed_and_the_run_resumes() {
    let lab = lab_of_images("");
    let refused = lab.train(&["config.toml", "--out", "run"]).refusal();
    assert!(refused.contains("07.png cannot be read") && refused.contains("--set data.skip_bad=true"), "{refused}");
    assert!(!lab.path("run").exists());
    let told = lab.train(&["config.toml", "--out", "run", "--set", "data.skip_bad=true"]).well();
    assert!(told.stderr.contains("warning: 1 of 20 images cannot be read and are skipped: dog/07.png"), "{told:?}");
    let last = *steps(&lab.path("run")).last().unwrap();
    assert_eq!(last, 21);
    assert_eq!(state(&lab.path("run"), last)["dataset"]["skipped"], serde_json::json!(["dog/07.png"]));
    // Another file there, or no file, makes no difference: it is not a row.
    let copy = lab.interrupted_copy("run", "copy", 14);
    fs::write(lab.path("animals/dog/07.png"), image(7)).unwrap();
    let told = lab.train(&["--resume", "copy"]).well();
    let said = "1 of 20 images could not be read when the run began, and remain skipped: dog/07.png";
    assert!(told.stderr.contains(said), "{told:?}");
    assert_same_bits(&lab.path("run"), &copy);
    fs::remove_file(lab.path("animals/dog/07.png")).unwrap();
    let copy = lab.interrupted_copy("run", "other", 7);
    lab.train(&["--resume", "other"]).well();
    assert_same_bits(&lab.path("run"), &copy);
}

/// The state before the failed batch is saved, and the run can continue without the image.
#[test]
fn an_image_that_fails_in_mid_run_loses_no_update_and_the_run_can_be_resumed_without_it() {
    let lab = lab_of_images("check_images = false");
    let told = lab.train(&["config.toml", "--out", "run"]);
    assert_eq!(told.stdout, "");
    assert!(told.code != Some(0) && told.stderr.contains("07.png cannot be read"), "{told:?}");
    let done = log(&lab.path("run")).len() as u64;
    let saved = *steps(&lab.path("run")).last().unwrap();
    assert_eq!(saved, done, "{told:?}");
    assert!(told.stderr.contains("train --resume run"), "{told:?}");
    let again = lab.train(&["--resume", "run"]);
    assert!(again.code != Some(0) && again.stderr.contains("07.png cannot be read"), "{again:?}");
    // Exactly as in the message.
    let told = lab.train(&["--resume", "run", "--set", "data.skip_bad=true"]).well();
    let said = "1 image could not be read or found, and for the rest of the run another one of its class is used in \
                its place: dog/07.png";
    assert!(told.stderr.contains(said), "{told:?}");
    let run = lab.path("run");
    assert_eq!((log(&run).len(), *steps(&run).last().unwrap()), (21, 21));
    // It may be removed now, and every later resume has the same rows.
    fs::remove_file(lab.path("animals/dog/07.png")).unwrap();
    let copy = lab.interrupted_copy("run", "copy", 14);
    lab.train(&["--resume", "copy"]).well();
    assert_same_bits(&run, &copy);
}

/// A run of twelve of its 21 steps, with valid images.
fn begun_run() -> Lab {
    let lab = lab_of_images("");
    fs::write(lab.path("animals/dog/07.png"), image(7)).unwrap();
    lab.start("whole");
    lab.interrupted_copy("whole", "run", 14);
    lab
}

#[test]
fn images_that_are_new_gone_or_changed_on_a_resume_are_named_with_what_helps() {
    let lab = begun_run();
    let (cat, dog) = (lab.path("animals/cat/new.png"), lab.path("animals/dog/07.png"));
    fs::write(&cat, image(99)).unwrap();
    fs::write(&dog, image(98)).unwrap();
    let gone = lab.path("animals/cat/04.png");
    let bytes = fs::read(&gone).unwrap();
    fs::remove_file(&gone).unwrap();
    let said = lab.train(&["--resume", "run"]).refusal();
    for part in [
        "the images are not those that the run began with: 1 new: cat/new.png; 1 changed: dog/07.png",
        "1 gone: cat/04.png",
        "move the new files out of the folder; restore the changed files; restore the missing files, or skip them",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("blake3"), "{said}");
    let evaluated = lab.train(&["eval", "run", "--rows", "train"]).refusal();
    assert!(evaluated.contains("1 new: cat/new.png"), "{evaluated}");
    // The advice helps.
    fs::remove_file(&cat).unwrap();
    fs::write(&dog, image(7)).unwrap();
    let told = lab.train(&["--resume", "run", "--set", "data.skip_bad=true"]).well();
    assert!(told.stderr.contains("is used in its place: cat/04.png"), "{told:?}");
    fs::write(&gone, bytes).unwrap();
    let copy = lab.interrupted_copy("run", "copy", 14);
    lab.train(&["--resume", "copy"]).well();
    assert_same_bits(&lab.path("run"), &copy);
}

#[test]
fn an_image_that_is_damaged_between_two_resumes_can_be_skipped() {
    let lab = begun_run();
    let dog = lab.path("animals/dog/07.png");
    let whole = fs::read(&dog).unwrap();
    fs::write(&dog, &whole[..whole.len() - 20]).unwrap();
    let said = lab.train(&["--resume", "run"]).refusal();
    assert!(said.contains("dog/07.png cannot be read") && said.contains("--set data.skip_bad=true"), "{said}");
    let told = lab.train(&["--resume", "run", "--set", "data.skip_bad=true"]).well();
    assert!(told.stderr.contains("is used in its place: dog/07.png"), "{told:?}");
    // Another one can be skipped later without a setting.
    lab.interrupted_copy("run", "copy", 14);
    fs::write(lab.path("animals/dog/05.png"), b"no image").unwrap();
    let told = lab.train(&["--resume", "copy"]).well();
    assert!(told.stderr.contains("is used in the place of each: dog/05.png, dog/07.png"), "{told:?}");
}

/// Like checkpoints from before they identified each image.
#[test]
fn a_run_that_does_not_know_each_of_its_images_continues() {
    let lab = begun_run();
    let newest = checkpoint(&lab.path("run"), 14);
    let mut state = state(&lab.path("run"), 14);
    assert_eq!(state["dataset"]["images"].as_object().map(serde_json::Map::len), Some(20));
    state["dataset"].as_object_mut().unwrap().remove("images");
    forge_file(&newest, "state.json", state.to_string().as_bytes());
    lab.interrupted_copy("run", "old", 14);
    lab.train(&["--resume", "run"]).well();
    let state_21 = |run: &str| self::state(&lab.path(run), 21);
    assert_eq!((state_21("run"), log(&lab.path("run"))), (state_21("whole"), log(&lab.path("whole"))));
    fs::remove_file(lab.path("animals/dog/07.png")).unwrap();
    let said = lab.train(&["--resume", "old"]).refusal();
    assert!(said.contains("the content of") && said.contains("cannot change within a run"), "{said}");
}

#[test]
fn bad_images_are_skipped_of_predictions_where_the_run_skips_them() {
    let lab = lab_of_images("skip_bad = true");
    lab.start("run");
    let told = lab.train(&["predict", "run", "--data", "animals"]).well();
    assert!(told.stderr.contains("warning: 1 of 20 images cannot be read and are skipped: dog/07.png"), "{told:?}");
    assert_eq!(told.stdout.lines().count(), 1 + 19, "{}", told.stdout);
    let evaluated = lab.train(&["eval", "run", "--data", "animals"]).well();
    assert!(evaluated.stdout.contains("rows=19") && evaluated.stderr.contains("dog/07.png"), "{evaluated:?}");
}

#[test]
fn folders_that_are_no_classes_are_said_at_the_start() {
    let lab = lab_of_images("");
    fs::write(lab.path("animals/dog/07.png"), image(7)).unwrap();
    fs::create_dir_all(lab.path("animals/@eaDir")).unwrap();
    fs::create_dir_all(lab.path("animals/empty")).unwrap();
    assert!(lab.train(&["config.toml", "--out", "run"]).refusal().contains("without an image in them: empty"));
    fs::write(lab.path("animals/@eaDir/1.png"), image(100)).unwrap();
    fs::remove_dir(lab.path("animals/empty")).unwrap();
    let told = lab.start("run");
    assert!(told.stderr.contains("are skipped: @eaDir"), "{told:?}");
    assert_eq!(state(&lab.path("run"), 21)["schema"]["classes"], serde_json::json!(["cat", "dog"]));
}

#[test]
fn what_is_no_regular_file_is_refused_by_its_kind_before_it_is_read() {
    let text = "context = 4\ncache = \"cache\"";
    let lab = Lab::in_memory(&small(ADAMW, "constant()", ""));
    let pipe = lab.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    lab.start("run");
    let says = |arguments: &[&str], parts: &[&str]| {
        let told = lab.train(arguments).refusal();
        parts.iter().for_each(|part| assert!(told.contains(part), "{arguments:?}: {told}"));
    };
    for (path, kind) in [("pipe", "a pipe (FIFO)"), ("/dev/zero", "a device"), ("run", "a folder")] {
        says(&[path, "--out", "new"], &["configuration", path, kind]);
        let data = format!("data.path={path}");
        let of = |format: &str| format!("data.format={format}");
        for format in ["csv", "parquet", "safetensors"] {
            let set = ["config.toml", "--out", "new", "--set", &data, "--set", &of(format)];
            if format == "csv" {
                says(&set, &[path, kind]);
            } else if format == "safetensors" {
                says(&set[..], &[]);
            }
        }
        let weights = format!("train.initial_weights={path}");
        // A run can be what another one begins with.
        if path != "run" {
            says(&["config.toml", "--out", "new", "--set", &weights], &["initial_weights", kind]);
        }
        says(&["predict", "run", "--data", path], &[path, kind]);
        says(&["eval", "run", "--data", path], &[path, kind]);
    }
    let config = format!(
        "optimizer = {ADAMW}\ntrain = {{ steps = 1 }}\n[data]\npath = \"pipe\"\nformat = \"text\"\n{text}\n\
         [model]\nkind = \"gpt\"\nlayers = 1\nheads = 1\nwidth = 4\n"
    );
    fs::write(lab.path("text.toml"), config).unwrap();
    says(&["text.toml", "--out", "new"], &["pipe", "a pipe (FIFO)"]);
    fs::write(lab.path("a.txt"), "to be or not to be").unwrap();
    let set = ["text.toml", "--out", "new", "--set", "data.path=a.txt", "--set", "data.tokenizer=pipe"];
    says(&set, &["tokenizer", "a pipe (FIFO)"]);
    let inspect = std::process::Command::new(env!("CARGO_BIN_EXE_inspect"))
        .args(["lr", "plateau()", "--base-lr", "1", "--steps", "4", "--metrics", "pipe"])
        .current_dir(lab.path(""))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&inspect.stderr).into_owned();
    assert!(inspect.status.code() == Some(2) && told.contains("a pipe (FIFO)"), "{told}");
    fs::remove_file(lab.path("run/log.jsonl")).unwrap();
    fs::rename(&pipe, lab.path("run/log.jsonl")).unwrap();
    says(&["--resume", "run", "--set", "train.epochs=4"], &["log.jsonl", "a pipe (FIFO)"]);
}

/// Like the files of Hugging Face's cache, DVC and git-annex, and a link to the current version of data.
#[test]
fn a_link_is_called_by_the_name_that_was_typed() {
    let lab = Lab::in_memory(&small(ADAMW, "constant()", ""));
    fs::create_dir_all(lab.path("hub/blobs")).unwrap();
    fs::create_dir_all(lab.path("hub/snapshot")).unwrap();
    fs::rename(lab.path("data.csv"), lab.path("hub/blobs/3f2a9c")).unwrap();
    symlink("../blobs/3f2a9c", lab.path("hub/snapshot/cells.csv")).unwrap();
    lab.train(&["config.toml", "--out", "hubs", "--set", "data.path=hub/snapshot/cells.csv"]).well();
    let saved = &state(&lab.path("hubs"), 12)["config"]["data"]["path"];
    assert_eq!(saved, "../hub/snapshot/cells.csv");

    fs::create_dir(lab.path("v3")).unwrap();
    fs::rename(lab.path("hub/blobs/3f2a9c"), lab.path("v3/data.csv")).unwrap();
    symlink("v3", lab.path("current")).unwrap();
    lab.train(&["config.toml", "--out", "run", "--set", "data.path=current/data.csv"]).well();
    copy_tree(&lab.path("v3"), &lab.path("v4"));
    fs::remove_file(lab.path("current")).unwrap();
    symlink("v4", lab.path("current")).unwrap();
    fs::remove_dir_all(lab.path("v3")).unwrap();
    lab.train(&["--resume", "run", "--set", "train.epochs=4"]).well();
}

#[test]
fn gzip_with_zeros_behind_it_is_read_and_with_anything_else_is_not() {
    let lab = Lab::in_memory(&small(ADAMW, "constant()", ""));
    lab.start("plain");
    let packed = gzip(&fs::read(lab.path("data.csv")).unwrap());
    fs::write(lab.path("data.csv"), [&packed[..], &[0; 1000]].concat()).unwrap();
    lab.start("padded");
    assert_eq!(fs::read(lab.path("plain/log.jsonl")).unwrap(), fs::read(lab.path("padded/log.jsonl")).unwrap());
    fs::write(lab.path("data.csv"), [&packed[..], &[0; 1000], b"x"].concat()).unwrap();
    let told = lab.train(&["config.toml", "--out", "junk"]).refusal();
    assert!(told.contains("bytes that are neither zeros nor gzip"), "{told}");
}

/// A byte-pair `tokenizer.json` that knows the letters of "the rope" and the blank; `unknown` is the token for others.
fn tokenizer(unknown: Option<&str>) -> String {
    let mut words: Vec<String> = "the rop".chars().map(String::from).collect();
    words.push("th".to_owned());
    words.extend(unknown.map(str::to_owned));
    let vocabulary: serde_json::Map<String, Value> = words.into_iter().zip((0..).map(Value::from)).collect();
    let model = serde_json::json!({
        "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": ["t h"],
    });
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": model,
    });
    tokenizer.to_string()
}

fn lab_of_text(content: &str, unknown: Option<&str>) -> Lab {
    let data = "path = \"a.txt\"\ncontext = 4\nbatch_size = 2\ncache = \"cache\"\ntokenizer = \"t.json\"";
    let model = "kind = \"gpt\"\nlayers = 1\nheads = 1\nwidth = 4";
    let lab =
        Lab::in_memory(&format!("optimizer = {ADAMW}\ntrain = {{ steps = 2 }}\n[data]\n{data}\n[model]\n{model}\n"));
    write(&lab.path(""), &[("a.txt", content.into()), ("t.json", tokenizer(unknown).into())]);
    lab
}

#[test]
fn a_character_without_a_token_is_an_error_with_its_place() {
    let known = "the rope ".repeat(10);
    let lab = lab_of_text(&format!("{known}\n"), None);
    let told = lab.train(&["config.toml", "--out", "run"]).refusal();
    assert!(told.contains("a.txt: character \"\\n\" at byte 90, line 1, is in no token of the tokenizer"), "{told}");
    let lab = lab_of_text(&format!("{known}石{known}"), None);
    let told = lab.train(&["config.toml", "--out", "run"]).refusal();
    assert!(told.contains("a.txt: character \"石\" at byte 90, line 1, is in no token of the tokenizer"), "{told}");
    let lab = lab_of_text(&known, None);
    lab.start("run");
    let told = lab.train(&["sample", "run", "--prompt", "the 石"]).refusal();
    assert!(told.contains("the prompt: character \"石\" at byte 4, line 1, is in no token"), "{told}");
    lab.train(&["sample", "run", "--prompt", "the", "--tokens", "2"]).well();
}

#[test]
fn unknown_tokens_are_counted_and_more_than_half_are_refused() {
    let known = "the rope ".repeat(10);
    let lab = lab_of_text(&format!("{known}xyz"), Some("[unk]"));
    for run in ["made", "kept"] {
        let told = lab.start(run);
        let expected = "warning: 3 of 83 tokens (3.6 %) are `[unk]`, the unknown token, for example for \"x\" at \
                        byte 90, line 1";
        assert!(told.stderr.contains(expected), "{told:?}");
    }
    let told = lab.train(&["sample", "made", "--prompt", "the x", "--tokens", "2"]).well();
    assert!(told.stderr.contains("warning: the prompt: 1 of 4 tokens (25.0 %) are `[unk]`"), "{told:?}");
    let told = lab.train(&["sample", "made", "--prompt", "xyz t", "--tokens", "2"]).refusal();
    assert!(told.contains("the prompt: 3 of 5 tokens (60.0 %) are `[unk]`"), "{told}");
    fs::write(lab.path("a.txt"), "xyz the ".repeat(2) + &"x".repeat(90)).unwrap();
    let told = lab.train(&["config.toml", "--out", "other"]).refusal();
    assert!(told.contains("use a tokenizer that was made from such text"), "{told}");
}
