//! `train sample`: generated text; and text models in `train eval`.

use std::fs;
use std::io::Read;

use crate::common::{Lab, log};
use serde_json::Value;

const TEXT: &str = "In the beginning was the word, and the word was with the reader.\n";

/// A finished run `run` of a small model of [`TEXT`], whose data is removed.
fn lab(data: &str) -> Lab {
    let data = format!("path = \"a.txt\"\nformat = \"text\"\ncontext = 8\nbatch_size = 4\ncache = \"cache\"\n{data}");
    let model = "kind = \"gpt\"\nlayers = 1\nheads = 2\nwidth = 16\ndropout = 0.1";
    let train =
        "train = { steps = 30 }\nvalidation = { every = \"10 steps\" }\noptimizer = { kind = \"adamw\", lr = 1e-2 }";
    let lab = Lab::in_memory(&format!("{train}\n[data]\n{data}\n[model]\n{model}\n"));
    fs::write(lab.path("a.txt"), TEXT.repeat(8)).unwrap();
    lab.start("run");
    fs::rename(lab.path("a.txt"), lab.path("b.txt")).unwrap();
    fs::remove_dir_all(lab.path("cache")).unwrap();
    lab
}

fn sample(lab: &Lab, threads: &str, options: &[&str]) -> String {
    let arguments = [&["sample", "run", "--prompt", "In the"], options].concat();
    let told = lab.command(&arguments).env("RAYON_NUM_THREADS", threads).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let lab = lab("");
    let bold = ["--temperature", "0.8", "--top-k", "5"];
    let seeded = |seed, threads| sample(&lab, threads, &[&bold[..], &["--seed", seed, "--tokens", "60"]].concat());
    let text = seeded("1", "1");
    assert_eq!(text, seeded("1", "3"));
    assert_ne!(text, seeded("2", "1"));
    assert!(text.starts_with("In the") && text.ends_with('\n'));
    assert_eq!(text.chars().count(), "In the".len() + 60 + 1);
    // A longer text has the same beginning, and every character is one of the text.
    let longer = sample(&lab, "1", &[&bold[..], &["--seed", "1", "--tokens", "90"]].concat());
    assert!(longer.starts_with(&text[..text.len() - 1]), "{longer} {text}");
    assert!(text.chars().all(|character| TEXT.contains(character)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_text_that_cannot_be_written_is_an_error() {
    let lab = lab("");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let told = lab.command(&["sample", "run", "--prompt", "In the"]).stdout(full).output().unwrap();
    let said = String::from_utf8(told.stderr).unwrap();
    assert_eq!(
        (told.status.code(), said.contains("the result cannot be written to stdout")),
        (Some(1), true),
        "{said}"
    );
}

#[test]
fn at_temperature_zero_the_seed_says_nothing() {
    let lab = lab("");
    let greedy = |more: &[&str]| sample(&lab, "1", &[&["--temperature", "0"], more].concat());
    assert_eq!(greedy(&["--seed", "1"]), greedy(&["--seed", "2"]));
    // With one token to choose from there is no choice.
    assert_eq!(greedy(&[]), sample(&lab, "1", &["--top-k", "1", "--seed", "3"]));
}

/// Only the last tokens are seen, as many as in a row of the data.
#[test]
fn a_prompt_may_be_longer_than_the_context() {
    let lab = lab("");
    let after = |prompt: &str| {
        let arguments = ["sample", "run", "--prompt", prompt, "--tokens", "20", "--temperature", "0"];
        let told = lab.train(&arguments).well();
        told.stdout.strip_prefix(prompt).unwrap().to_owned()
    };
    assert_eq!(after(TEXT.trim_end()), after(&TEXT.trim_end()[TEXT.trim_end().len() - 8..]));
}

#[test]
fn bytes_become_characters_again() {
    let lab = lab("tokens = \"bytes\"");
    let text = sample(&lab, "1", &["--seed", "1", "--temperature", "5"]);
    assert!(text.starts_with("In the"));
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    let lab = lab("");
    let refusal = |options: &[&str]| lab.train(&[&["sample", "run"], options].concat()).refusal();
    let unknown = refusal(&["--prompt", "In Zion"]);
    assert!(
        unknown.contains("the prompt: character 'Z' at byte 3, line 1, is unknown to the vocabulary of"),
        "{unknown}"
    );
    assert!(refusal(&["--prompt", ""]).contains("the prompt is empty"));
    assert!(refusal(&["--temperature", "-1"]).contains("--temperature -1: must be a number, at least 0"));
    assert!(refusal(&["--temperature", "nan"]).contains("--temperature NaN: must be a number, at least 0"));
    assert!(refusal(&["--top-k", "0"]).contains("--top-k 0: must be at least 1"));
}

/// The figures of texts, a line each.
fn scores(lab: &Lab, data: &str) -> Vec<Vec<f64>> {
    let told = lab.train(&["predict", "run", "--data", data]).well().stdout;
    let (header, lines) = told.split_once('\n').unwrap();
    assert_eq!(header, "tokens,loss,perplexity,bits_per_byte");
    let figures = |line: &str| line.split(',').map(|cell| cell.parse().unwrap_or(f64::NAN)).collect();
    lines.lines().map(figures).collect()
}

#[test]
fn each_line_of_a_text_has_its_figures_and_those_of_one_are_what_an_evaluation_says() {
    let lab = lab("");
    let near = |a: f64, b: f64| (a - b).abs() < 1e-5 * b.abs();
    // Two windows of eight.
    fs::write(lab.path("one.txt"), "the word was with").unwrap();
    let evaluated = lab.train(&["eval", "run", "--data", "one.txt", "--json"]).well().stdout;
    let evaluated: Value = serde_json::from_str(&evaluated).unwrap();
    let one = scores(&lab, "one.txt").remove(0);
    let [tokens, loss, perplexity, bits] = one[..] else { panic!("{one:?}") };
    assert_eq!(tokens, 16.0);
    assert!(near(loss, evaluated["loss"].as_f64().unwrap()), "{loss}, {evaluated}");
    assert!(near(perplexity, loss.exp()) && near(bits, loss / std::f64::consts::LN_2), "{one:?}");
    // Beside others of other lengths it is the same; of a text without a token to predict there are no figures.
    fs::write(lab.path("more.txt"), "the word was with\n\nthe\nI\nthe reader. the word was in the reader\n").unwrap();
    let more = scores(&lab, "more.txt");
    assert_eq!(more.iter().map(|line| line[0]).collect::<Vec<_>>(), [16.0, 0.0, 2.0, 0.0, 37.0]);
    assert!(more[0].iter().zip(&one).all(|(a, b)| near(*a, *b)), "{more:?}");
    assert!(more[1][1].is_nan() && more[3][3].is_nan() && more[2][1] > 0.0, "{more:?}");
    fs::write(lab.path("one.jsonl"), "\"the word was with\"\n{\"text\": \"the\"}\n").unwrap();
    assert_eq!(scores(&lab, "one.jsonl")[1][0], 2.0);
    lab.train(&["predict", "run", "--data", "one.txt", "-o", "scores.jsonl"]).well();
    let line: Value = serde_json::from_str(&fs::read_to_string(lab.path("scores.jsonl")).unwrap()).unwrap();
    assert_eq!((line["tokens"].as_u64(), line["loss"].as_f64()), (Some(16), Some(loss)));
    let refusal = |options: &[&str]| lab.train(&[&["predict", "run", "--data", "one.txt"], options].concat()).refusal();
    assert!(refusal(&["--top-k", "2"]).contains("--top-k 2: is for rows, and the run's data is text"));
    assert!(refusal(&["-o", "scores.txt"]).contains("scores.txt"));
    fs::write(lab.path("one.txt"), "the word\nthe Zord\n").unwrap();
    let unknown = refusal(&["-o", "scores.csv"]);
    assert!(unknown.contains("one.txt, line 2: character 'Z' at byte 4"), "{unknown}");
}

/// A reader that closes the pipe early is not an error.
#[test]
fn a_text_is_printed_as_it_comes() {
    let lab = lab("");
    let mut command = lab.command(&["sample", "run", "--prompt", "In the", "--tokens", "100000000"]);
    let mut process = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut begun = [0; 40];
    process.stdout.take().unwrap().read_exact(&mut begun).unwrap();
    assert!(begun.starts_with(b"In the"));
    assert!(process.wait().unwrap().success());
}

#[test]
fn an_evaluation_of_text_repeats_what_the_log_said() {
    let lab = lab("validation = 0.2");
    let eval = |arguments: &[&str]| -> Value {
        let told = lab.train(&[&["eval", "run", "--json"], arguments].concat()).well();
        serde_json::from_str(&told.stdout).unwrap()
    };
    let last = log(&lab.path("run")).pop().unwrap();
    let found = eval(&["--set", "data.path=b.txt"]);
    assert_eq!((&found["loss"], &found["accuracy"]), (&last["val_loss"], &last["val_accuracy"]));
    // Other text with fewer characters is read in the tokens of the run.
    fs::write(lab.path("c.txt"), "the word was in the word").unwrap();
    let other = eval(&["--data", "c.txt"]);
    assert_eq!(other["rows"], 2);
    fs::write(lab.path("c.txt"), "the word was in the Word").unwrap();
    let refusal = lab.train(&["eval", "run", "--data", "c.txt"]).refusal();
    assert!(refusal.contains("character 'W' at byte 20, line 1, is unknown"), "{refusal}");
}

#[test]
fn each_of_several_texts_has_other_numbers_and_the_first_those_of_one() {
    let lab = lab("");
    let seeded = ["--seed", "1", "--tokens", "40"];
    let twice = |threads: &str, batch: &str| -> Vec<Value> {
        let texts = ["sample", "run", "--prompt", "In the", "--prompt", "In the", "--json", "--batch", batch];
        let told = lab.command(&[&texts[..], &seeded].concat()).env("RAYON_NUM_THREADS", threads).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let texts = twice("1", "1");
    assert_eq!(texts.len(), 2);
    assert_eq!(format!("In the{}\n", texts[0]["text"].as_str().unwrap()), sample(&lab, "1", &seeded));
    assert_ne!(texts[0]["text"], texts[1]["text"]);
    assert_eq!((&texts[1]["tokens"], &texts[1]["ended"]), (&40.into(), &false.into()));
    assert_eq!(twice("3", "1"), texts);
    assert_eq!(twice("1", "2"), twice("3", "2"));
}
