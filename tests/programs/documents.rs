//! A model of questions and answers, from training to a sample.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::common::Lab;

/// A finished run of pairs, each of a letter and the next one.
fn lab(packing: &str) -> Lab {
    let data = "path = \"a.jsonl\"\nprompt = \"q\"\nanswer = \"a\"\ncontext = 16\nbatch_size = 8\nvalidation = 0.2";
    let model = "kind = \"gpt\"\nlayers = 1\nheads = 2\nwidth = 32";
    let train = "train = { steps = 400 }\noptimizer = { kind = \"adamw\", lr = 5e-3 }\n\
                 validation = { every = \"50 steps\", metrics = [\"perplexity\", \"bits_per_byte\"] }";
    let lab = Lab::in_memory(&format!("{train}\n[data]\n{data}\n{packing}\n[model]\n{model}\n"));
    let pair = |i: u8| {
        let (letter, next) = (char::from(b'a' + i % 10), char::from(b'a' + (i + 1) % 10));
        format!("{{\"q\": \"{}{letter}?\", \"a\": \"{next}\"}}\n", i % 3)
    };
    fs::write(lab.path("a.jsonl"), (0..120).map(pair).collect::<String>()).unwrap();
    lab.start("run");
    lab
}

/// Figures of texts in Parquet are those in JSON Lines.
#[cfg(feature = "parquet")]
fn assert_parquet_has(lab: &Lab, scores: &[serde_json::Value]) {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;
    fs::write(lab.path("empty.jsonl"), "{\"q\": \"a\", \"a\": \"\"}\n").unwrap();
    for (data, count) in [("a.jsonl", scores.len()), ("empty.jsonl", 1)] {
        lab.train(&["predict", "run", "--data", data, "-o", "out.parquet"]).well();
        let reader = SerializedFileReader::new(fs::File::open(lab.path("out.parquet")).unwrap()).unwrap();
        let of = |row: parquet::record::Row| (row.get_long(0).unwrap(), row.get_double(1).ok());
        let rows: Vec<(i64, Option<f64>)> = reader.get_row_iter(None).unwrap().map(|row| of(row.unwrap())).collect();
        assert_eq!(rows.len(), count);
        let expected = scores.iter().map(|score| (score["tokens"].as_i64().unwrap(), score["loss"].as_f64()));
        match data {
            "a.jsonl" => assert_eq!(rows, expected.collect::<Vec<_>>()),
            _ => assert_eq!(rows, [(0, None)]),
        }
    }
}

#[test]
fn a_model_of_pairs_answers_and_ends() {
    for packing in ["", "packing = \"none\""] {
        let lab = lab(packing);
        let written = fs::read_to_string(lab.path("run/config.toml")).unwrap();
        assert!(written.contains("ignore_index = "), "{written}");
        assert_eq!(written.contains("document_start = 0"), packing.is_empty(), "{written}");
        // The answer, and then the end of the document: nothing follows, however many tokens are asked for.
        let prompt = ["sample", "run", "--prompt", "1d?\n", "--temperature", "0", "--tokens", "9"];
        let told = lab.train(&prompt).well().stdout;
        assert_eq!(told.trim_end(), "1d?\ne", "{packing}");
        // The answer is certain, and the prompt, which is not, does not count.
        let told = lab.train(&["eval", "run", "--json"]).well().stdout;
        let found: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert!(found["loss"].as_f64().unwrap() < 0.1, "{told}");
        let other = lab.train(&["eval", "run", "--data", "a.jsonl", "--json"]).well().stdout;
        let other: serde_json::Value = serde_json::from_str(&other).unwrap();
        assert!(other["loss"].as_f64().unwrap() < 0.1 && other["accuracy"].as_f64().unwrap() > 0.99, "{other}");
        // Each answer is judged, with the end of the document, and the question is not.
        let told = lab.train(&["predict", "run", "--data", "a.jsonl", "--json"]).well().stdout;
        let scores: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(scores.len() == 120 && scores.iter().all(|score| score["tokens"] == 2), "{told}");
        fs::write(lab.path("b.jsonl"), "\n\"1d?\"\n").unwrap();
        let told = lab.train(&["predict", "run", "--data", "[ab].jsonl", "--json"]).well().stdout;
        assert_eq!(told.lines().count(), 121, "{told}");
        #[cfg(feature = "parquet")]
        assert_parquet_has(&lab, &scores);
        let mean = scores.iter().map(|score| score["loss"].as_f64().unwrap()).sum::<f64>() / 120.0;
        let is_near = (mean - other["loss"].as_f64().unwrap()).abs() < 1e-5;
        assert!(mean < 0.1 && (is_near || packing.is_empty()), "{mean}, {other}");
    }
}

#[test]
fn a_model_that_cannot_keep_documents_apart_is_refused() {
    let lab = Lab::new(
        "train = { steps = 2 }\noptimizer = { kind = 'adamw', lr = 1e-2 }\nmodel = { kind = 'mlp' }\n\
         data = { path = 'a.jsonl', context = 8, packing = 'documents' }",
    );
    fs::write(lab.path("a.jsonl"), "{\"text\": \"abc abc abc\"}\n").unwrap();
    let refusal = lab.train(&["config.toml", "--out", "run"]).refusal();
    assert!(refusal.contains("the model `mlp` cannot keep the documents of a row apart"), "{refusal}");
}

#[test]
fn a_loss_that_cannot_leave_positions_out_is_refused() {
    let lab = Lab::new(
        "train = { steps = 2 }\noptimizer = { kind = 'adamw', lr = 1e-2 }\nloss = { kind = 'focal' }\n\
         model = { kind = 'gpt', layers = 1, heads = 1, width = 8 }\ndata = { path = 'a.jsonl', context = 8 }",
    );
    fs::write(lab.path("a.jsonl"), "{\"text\": \"abc abc abc\"}\n").unwrap();
    let refusal = lab.train(&["config.toml", "--out", "run"]).refusal();
    assert!(refusal.contains("cannot leave out the positions of the data that are not learned"), "{refusal}");
}

/// Prompts come as questions, from a file or through stdin, and have the form of the run's data.
#[test]
fn several_prompts_are_answered_in_the_form_of_the_run() {
    let lab = lab("");
    let sample = ["sample", "run", "--tokens", "9"];
    let told = |options: &[&str]| lab.train(&[&sample[..], options].concat()).well().stdout;
    assert_eq!(told(&["--temperature", "0", "--ask", "1d?", "--ask", "2a?"]), "e\n\nb\n");
    let records = "{\"q\": \"1d?\"}\n\n{\"q\": \"2a?\", \"a\": \"not used\"}\n\"0f?\\n\"\n";
    fs::write(lab.path("q.jsonl"), records).unwrap();
    let from_file = ["--temperature", "0", "--prompts", "q.jsonl", "--json"];
    let answered = told(&from_file);
    let lines = [("1d?", "e"), ("2a?", "b"), ("0f?", "g")]
        .map(|(q, a)| format!("{{\"prompt\":\"{q}\\n\",\"text\":\"{a}\",\"tokens\":1,\"ended\":true}}\n"));
    assert_eq!(answered, lines.concat());
    assert_eq!(told(&[&from_file[..], &["--batch", "2"]].concat()), answered);
    let mut piped = lab.command(&[&sample[..], &["--temperature", "0", "--prompts", "-", "--json"]].concat());
    let mut process = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(records.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), answered);
    let refusal = |options: &[&str]| lab.train(&[&sample[..], options].concat()).refusal();
    fs::write(lab.path("q.jsonl"), "\n{\"Q\": \"2a?\"}\n").unwrap();
    let missing = refusal(&["--prompts", "q.jsonl"]);
    assert!(missing.contains("q.jsonl, line 2: no field `q`; did you mean `Q`?"), "{missing}");
    assert!(refusal(&["--prompts", "none.jsonl"]).contains("cannot read the prompts none.jsonl"));
    assert!(refusal(&["--ask", "Z?"]).contains("the prompt: character 'Z'"));
}
