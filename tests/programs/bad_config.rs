//! A wrong configuration, setting or data file is refused with the place and the remedy, and nothing is written.

use std::fs;
use std::io::Write;

use crate::common::programs;
use crate::common::programs::{CONFIG, Workplace};

/// The configuration with `from` replaced is refused with all of `parts`.
#[track_caller]
fn assert_config_refused(place: &Workplace, from: &str, to: &str, parts: &[&str]) {
    assert!(CONFIG.contains(from), "{from}");
    fs::write(place.path("bad.toml"), CONFIG.replacen(from, to, 1)).unwrap();
    place.train_refuses(&["bad.toml", "--out", "run"], parts);
}

#[track_caller]
fn assert_setting_refused(place: &Workplace, setting: &str, parts: &[&str]) {
    place.train_refuses(&["config.toml", "--out", "run", "--set", setting], parts);
}

#[test]
fn a_file_that_is_not_there_is_named_with_what_to_give_instead() {
    let place = Workplace::new();
    place.train_refuses(&["nowhere.toml"], &["configuration nowhere.toml", "No such file", "path of a TOML file"]);
    fs::create_dir(place.path("folder")).unwrap();
    place.train_refuses(&["folder"], &["configuration folder", "directory", "train --resume folder"]);
    assert_config_refused(
        &place,
        "rows.csv",
        "nowhere.csv",
        &["nowhere.csv", "No such file", "set `data.path` to its path"],
    );
    assert_config_refused(
        &place,
        "rows.csv",
        "folder",
        &["folder is a folder that holds nothing; `data.path` names a file"],
    );
    fs::write(place.path("folder/notes.doc"), "").unwrap();
    assert_config_refused(
        &place,
        "rows.csv",
        "folder",
        &["folder is a folder that holds notes.doc; `data.path` names"],
    );
    fs::create_dir(place.path("folder/cats")).unwrap();
    fs::write(place.path("folder/cats/a.png"), "").unwrap();
    assert_config_refused(&place, "rows.csv", "folder", &["a subfolder of images for each class", "= \"images\"`"]);
    fs::write(place.path("folder/train-images-idx3-ubyte"), "").unwrap();
    assert_config_refused(&place, "rows.csv", "folder", &["with MNIST's files; set `data.format = \"idx\"`"]);
    fs::create_dir(place.path("folder.csv")).unwrap();
    assert_config_refused(&place, "rows.csv", "folder.csv", &["folder.csv", "not a regular file", "`data.path`"]);
    let weights = "train.initial_weights=nowhere.safetensors";
    assert_setting_refused(&place, weights, &["train.initial_weights = ", "nowhere.safetensors", "No such file"]);
    place.train_refuses(&[], &["`train CONFIG.toml`", "--help"]);
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    let place = Workplace::new();
    assert_config_refused(&place, "lr = 0.1", "lr = = 0.1", &["bad.toml, line 15: not TOML"]);
    assert_config_refused(&place, "[schedule]", "[schedule", &["bad.toml, line 22: not TOML"]);
    assert_config_refused(&place, "momentum = 0.9", "lr = 0.2", &["bad.toml, line 16: not TOML", "duplicate"]);
    fs::write(place.path("bad.toml"), [0xff, 0xfe, 0]).unwrap();
    place.train_refuses(&["bad.toml"], &["configuration bad.toml", "UTF-8"]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    let place = Workplace::new();
    let cases = [
        ("seed =", "sed =", "line 1: sed: `sed` is unknown; did you mean `seed`?"),
        ("[optimizer]", "[optimiser]", "line 13: optimiser: `optimiser` is unknown; did you mean `optimizer`?"),
        ("batch_size", "batchsize", "line 6: data.batchsize: `batchsize` is unknown; did you mean `batch_size`?"),
        ("hidden", "hiden", "line 10: model.hiden: `hiden` is unknown; did you mean `hidden`?"),
        ("momentum", "momentun", "line 16: optimizer.momentun: `momentun` is unknown; did you mean `momentum`?"),
        (
            "weight_decay",
            "wieght_decay",
            "line 20: optimizer.groups[0].wieght_decay: `wieght_decay` is unknown; did you mean `weight_decay`?",
        ),
        ("eta_min", "eta_mn", "line 25: schedule.eta_mn: `cosine` has no parameter `eta_mn`; did you mean `eta_min`?"),
        ("epochs = 4", "epoch = 4", "line 28: train.epoch: `epoch` is unknown; did you mean `epochs`?"),
        ("every =", "evry =", "line 31: checkpoint.evry: `evry` is unknown; did you mean `every`?"),
    ];
    for (from, to, message) in cases {
        assert_config_refused(&place, from, to, &[&format!("bad.toml, {message}")]);
    }
}

#[test]
fn an_unknown_kind_is_refused_with_its_line_and_the_kinds_there_are() {
    let place = Workplace::new();
    let cases = [
        ("\"sgd\"", "\"sgdd\"", "line 14: optimizer.kind: `sgdd` is unknown; did you mean `sgd`?"),
        ("\"cosine\"", "\"cosin\"", "line 23: schedule.kind: there is no kind of schedule called `cosin`"),
        ("\"mlp\"", "\"cnn\"", "line 9: model.kind: `cnn` is unknown; known here: `mlp`"),
        ("\"relu\"", "\"rellu\"", "line 11: model.activation: `rellu` is unknown; did you mean `relu`?"),
    ];
    for (from, to, message) in cases {
        assert_config_refused(&place, from, to, &[&format!("bad.toml, {message}")]);
    }
    let group = "weight_decay = 0.0\nkind = \"adamv\"";
    let message = "line 21: optimizer.groups[0].kind: `adamv` is unknown; did you mean `adam`?";
    assert_config_refused(&place, "weight_decay = 0.0", group, &[message]);
    assert_config_refused(&place, "kind = \"sgd\"", "", &["line 13: optimizer: `kind` is missing"]);
    assert_config_refused(&place, "seed = 7", "[loss]\nkind = \"msse\"", &["line 2: loss.kind: `msse`", "`mse`"]);
    assert_config_refused(&place, "seed = 7", "device = \"gpu\"", &["device = gpu: must be `cpu`, `cuda`"]);
}

#[test]
fn a_value_of_another_type_is_refused_with_its_line_and_what_it_must_be() {
    let place = Workplace::new();
    let cases = [
        ("seed = 7", "seed = -7", "line 1: seed: must be a whole number, at least 0, not -7"),
        ("hidden = [8]", "hidden = 8", "line 10: model.hidden: must be a list in brackets, not 8"),
        ("hidden = [8]", "hidden = [\"a\"]", "line 10: model.hidden[0]: must be a whole number, at least 0, not \"a\""),
        ("lr = 0.1", "lr = \"fast\"", "line 15: optimizer.lr: must be a number, not \"fast\""),
        (
            "t_max = 20",
            "t_max = true",
            "line 24: schedule.t_max: `cosine` takes a whole number, a share such as \"10%\", or an amount",
        ),
        ("parameters = [\"*.bias\"]", "parameters = 1", "line 19: optimizer.groups[0].parameters: must be a list"),
        ("every = \"1 epoch\"", "every = 5", "line 31: checkpoint.every: must be text in quotes, not 5"),
        ("every = \"1 epoch\"", "every = \"2 hours\"", "line 31: checkpoint.every: `2 hours` is not an interval"),
        ("batch_size = 4", "drop_last = 1", "line 6: data.drop_last: must be true or false, not 1"),
    ];
    for (from, to, message) in cases {
        assert_config_refused(&place, from, to, &[&format!("bad.toml, {message}")]);
    }
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_its_line_and_the_rule() {
    let place = Workplace::new();
    let cases = [
        ("lr = 0.1", "lr = nan", "line 15: optimizer.lr = NaN: must be a finite number"),
        ("lr = 0.1", "lr = -0.1", "line 15: optimizer.lr = -0.1: must be a finite number, at least 0"),
        ("momentum = 0.9", "momentum = 1.0", "line 16: optimizer.momentum = 1: must be at least 0 and below 1"),
        ("weight_decay = 0.0", "lr = -1", "line 20: optimizer.groups[0].lr = -1: must be a finite number"),
        ("eta_min = 1e-3", "eta_min = inf", "line 25: schedule.eta_min = inf: must be a finite number"),
        ("batch_size = 4", "batch_size = 0", "line 6: data.batch_size: `batch_size` is a positive number of rows"),
        ("hidden = [8]", "hidden = [0]", "line 10: model.hidden = [0]: a layer needs at least one unit"),
        ("epochs = 4", "epochs = 4\nsteps = 9", "line 27: train = 4 epochs and 9 steps: give only one of the two"),
        ("epochs = 4", "", "line 27: `train.epochs` or `train.steps` is missing"),
        (
            "epochs = 4",
            "epochs = 0",
            "line 28: train.epochs = 0: must be at least 1; a run without a step trains nothing",
        ),
        ("epochs = 4", "steps = 0", "line 28: train.steps = 0: must be at least 1"),
        ("epochs = 4", "epochs = 4\nclip_norm = 0", "line 29: train.clip_norm = 0: must be positive"),
        (
            "epochs = 4",
            "epochs = 4\nclip_norm = 1\nclip_eps = -1e-6",
            "line 30: train.clip_eps = -0.000001: must be a finite number, at least 0",
        ),
        (
            "epochs = 4",
            "epochs = 4\nclip_eps = 0",
            "line 29: train.clip_eps = 0: acts on clipping only; set `train.clip_norm` too, or remove it",
        ),
    ];
    for (from, to, message) in cases {
        assert_config_refused(&place, from, to, &[&format!("bad.toml, {message}")]);
    }
    let minutes = "[validation]\nevery = \"2 minutes\"\n[checkpoint]";
    let rule = "would not be at the same steps again; give steps or epochs";
    assert_config_refused(&place, "[checkpoint]", minutes, &["line 31: validation.every = 2 minutes", rule]);
    assert_config_refused(&place, "t_max = 20", "t_max = 0", &["schedule: `cosine`: t_max is 0", "at least 1"]);
    assert_config_refused(&place, "\"*.bias\"", "\"encoder.*\"", &["optimizer.groups", "encoder.*", "`0.bias`"]);
}

/// The hyperparameters of a group are checked like those of the optimizer.
#[test]
fn a_mistake_in_the_rule_of_a_group_is_refused_with_its_line() {
    let place = Workplace::new();
    let cases = [
        ("lr = 1\nbeta = [0.9, 0.99]", "line 22: optimizer.groups[0].beta: `beta` is unknown; did you mean `betas`?"),
        ("lr = 1\nbetas = [0.9, 1]", "line 22: optimizer.groups[0].betas = [0.9, 1.0]: each must be at least 0"),
        ("lr = -1", "line 21: optimizer.groups[0].lr = -1: must be a finite number, at least 0"),
        ("lr = true", "line 21: optimizer.groups[0].lr: must be a number, not"),
        ("eps = 1e-8", "line 18: optimizer.groups[0]: `lr` is missing"),
    ];
    for (rule, message) in cases {
        let group = format!("kind = \"adamw\"\n{rule}");
        assert_config_refused(&place, "weight_decay = 0.0", &group, &[&format!("bad.toml, {message}")]);
    }
    assert_config_refused(&place, "weight_decay = 0.0", "beta1 = 0.5", &["`sgd` has no `beta1`; it has `momentum`"]);
}

#[test]
fn a_setting_that_is_wrong_is_refused_as_a_setting() {
    let place = Workplace::new();
    let cases = [
        ("optimizer.lr", "--set optimizer.lr: write it as key=value"),
        ("=1", "--set =1: the key is a dotted name such as `optimizer.lr`"),
        ("optimizer..lr=1", "the key is a dotted name"),
        ("optimizer.lrr=1", "--set: optimizer.lrr: `lrr` is unknown; did you mean `lr`?"),
        ("optimiser.lr=1", "--set: optimiser: `optimiser` is unknown; did you mean `optimizer`?"),
        ("optimizer.groups.0.lrr=1", "--set: optimizer.groups[0].lrr: `lrr` is unknown; did you mean `lr`?"),
        ("optimizer.lr=fast", "--set: optimizer.lr: must be a number, not \"fast\""),
        ("optimizer.lr=", "--set optimizer.lr=: is required and has no default; give a value after `=`"),
        ("train.epochs=", "--set train.epochs=: `train.epochs` or `train.steps` is missing"),
        ("train.steps=0", "--set: train.steps = 0: must be at least 1"),
        ("train.clip=1", "`clip` is unknown; did you mean `clip_norm`?"),
        ("validation.metric='rmse'", "`metric` is unknown; did you mean `metrics`?"),
        ("data.kind='csv'", "`kind` is unknown; did you mean `format`?"),
        ("validation.every='5 hours'", "write a positive number and `steps` or `epochs`: `2 epochs`; or `auto`"),
        ("checkpoint.keep.every='5 hours'", "write a positive number and `steps` or `epochs`: `2 epochs`"),
        ("optimizer.lr=nan", "--set optimizer.lr=nan: must be a finite number"),
        ("optimizer.lr=-1", "--set: optimizer.lr = -1: must be a finite number, at least 0"),
        ("optimizer.kind=adamw", "--set optimizer.kind: optimizer: `lr` is missing: another kind inherits nothing"),
        ("schedule.eta_mn=1", "--set: schedule.eta_mn: `cosine` has no parameter `eta_mn`"),
        ("schedule=cosin(20)", "--set: schedule: there is no kind of schedule called `cosin`; did you mean `cosine`?"),
        ("schedule=cosine(20", "--set: schedule: expected `,` or `)`, found the end\n  cosine(20\n           ^"),
        ("train=3", "--set: train: must be a table, not 3"),
        ("seed.x=1", "--set seed.x: `x` was searched in 7, which is not a table"),
        ("model.hidden.9=3", "--set model.hidden.9: `9` is beyond the list, whose length is 1; entries"),
        (
            "loss.kind=mse",
            "loss.kind = mse: does not fit the data, whose targets are 2 classes; for classes there are `cross_entropy`",
        ),
        ("data.validation=1.5", "`data.validation` is a share of the rows, from 0 up to but not 1; it is 1.5"),
        ("data.label=diagnosis", "`data.label`: "),
    ];
    for (setting, message) in cases {
        assert_setting_refused(&place, setting, &[message]);
    }
    place.train(&["config.toml", "--out", "run", "--set", "model.hidden.0=5"]).says(0, &["done"]);
}

/// `rows.csv` with `content` is refused with all of `parts`.
#[track_caller]
fn assert_data_refused(place: &Workplace, content: &str, parts: &[&str]) {
    fs::write(place.path("rows.csv"), content).unwrap();
    place.train_refuses(&["config.toml", "--out", "run"], parts);
}

#[test]
fn a_table_that_is_wrong_is_refused_with_row_and_column() {
    let place = Workplace::new();
    assert_data_refused(&place, "a,b,label\n1,2,0\n1,0\n", &["rows.csv, line 3: 2 columns", "the first line has 3"]);
    assert_data_refused(
        &place,
        "a,b,label\n1,2,0\n1,two,1\n",
        &["rows.csv, line 3, column `b`", "\"two\" is not a num"],
    );
    assert_data_refused(&place, "a,b,label\n1,,0\n1,2,1\n", &["rows.csv, line 2, column `b`", "the field is empty"]);
    assert_data_refused(&place, "a,b,label\n1,nan,0\n1,2,1\n", &["rows.csv, line 2, column `b`", "not a finite"]);
    assert_data_refused(
        &place,
        "a,b,label\n1,2,1.5\n",
        &["rows.csv, line 2, column `label`", "data.task = \"regression\""],
    );
    assert_data_refused(&place, "1,2,0\n3,4,1\n", &["rows.csv, line 1", "`data.header = false`"]);
    assert_data_refused(&place, "a,b,label\n", &["rows.csv", "no rows"]);
    assert_data_refused(&place, "", &["rows.csv is empty"]);
    assert_data_refused(&place, "a,b,label\n1,2,0\n1,2,1\n1,2,70000\n", &["label 70000", "`data.classes`"]);
    let classes = ["config.toml", "--set", "data.classes=5"];
    place.train_refuses(
        &classes,
        &["rows.csv, line 4, column `label`", "label 70000 is not below the number of classes, 5"],
    );
}

#[test]
fn a_compressed_file_that_is_cut_is_refused() {
    let place = Workplace::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&fs::read(place.path("rows.csv")).unwrap()).unwrap();
    let whole = gzip.finish().unwrap();
    let arguments = ["config.toml", "--out", "run", "--set", "data.path=rows.csv.gz"];
    for length in [12, whole.len() / 2, whole.len() - 1] {
        fs::write(place.path("rows.csv.gz"), &whole[..length]).unwrap();
        place.train_refuses(&arguments, &["gzip file", "rows.csv.gz is damaged or cut short", "fetch it again"]);
    }
    fs::write(place.path("rows.csv.gz"), whole).unwrap();
    place.train(&arguments).says(0, &["done"]);
}

#[test]
fn tensors_that_are_wrong_are_refused_by_name() {
    let place = Workplace::new();
    let arguments = ["config.toml", "--out", "run", "--set", "data.path=rows.safetensors"];
    let mut header = (1_u64 << 60).to_le_bytes().to_vec();
    header.extend(b"{}");
    for content in [header, vec![1; 3], 0_u64.to_le_bytes().to_vec()] {
        fs::write(place.path("rows.safetensors"), content).unwrap();
        place.train_refuses(
            &arguments,
            &["rows.safetensors is not a valid safetensors file", "; fetch or write it again"],
        );
    }
}

/// `train` with these arguments under a limit of `kilobytes` of address space.
#[cfg(target_os = "linux")]
fn train_within(place: &Workplace, kilobytes: u64, arguments: &[&str]) -> programs::Told {
    let script = format!("ulimit -v {kilobytes} && exec \"$0\" \"$@\"");
    let all: Vec<&str> = ["-c", &script, programs::TRAIN].into_iter().chain(arguments.iter().copied()).collect();
    place.command("sh", &all).env("RAYON_NUM_THREADS", "1").output().unwrap().into()
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_that_cannot_fit_in_memory_is_refused_with_its_sizes_before_any_is_taken() {
    let place = Workplace::new();
    let before = place.files();
    let large = ["config.toml", "--out", "run", "--set", "model.hidden=[20000, 20000]"];
    train_within(&place, 2_000_000, &large).says(
        2,
        &[
            "the run needs at least 8.0 GB of memory, and ",
            "GB are available: the limit of the address space is 2.0 GB (ulimit -v), of which the program and its \
             threads",
            "\n  weights       1.6 GB  400,",
            "most in `2.weight` [20000, 20000]",
            "\n  moments       1.6 GB  1 per weight, by sgd",
            "\n  copy to save  3.2 GB",
            "\n  gradients     1.6 GB",
            "\nto need less: a smaller model",
        ],
    );
    let range_test = ["find-lr", "config.toml", "--set", "model.hidden=[20000, 20000]"];
    train_within(&place, 2_000_000, &range_test).says(2, &["at least 4.8 GB"]);
    // A wide layer, and its activations.
    let wide = ["config.toml", "--out", "run", "--set", "model.hidden=[9000000]", "--set", "data.batch_size=18"];
    train_within(&place, 1_000_000, &wide)
        .says(2, &["activations", "of 18 rows at a time", "a smaller `data.batch_size`"]);
    assert!(place.files() == before, "a refusal has left something");
    // A run that fits is trained.
    train_within(&place, 2_000_000, &["config.toml", "--out", "run"]).says(0, &["done: 20 steps"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_resume_that_cannot_fit_in_memory_is_refused_and_the_run_is_not_changed() {
    let place = Workplace::new();
    let large = ["config.toml", "--out", "run", "--set", "model.hidden=[4000, 4000]", "--set", "train.epochs=1"];
    place.train(&large).says(0, &["done: 5 steps"]);
    let before = place.files();
    let resume = ["--resume", "run", "--set", "train.epochs=2"];
    let parts = ["the run needs at least 321 MB", "copy to save", "a machine, or a limit, with more memory"];
    train_within(&place, 280_000, &resume).says(2, &parts);
    // Not even the checkpoint fits here.
    train_within(&place, 150_000, &resume)
        .says(2, &["run/checkpoints/step-0000000005 needs at least 128 MB", "its files"]);
    assert!(place.files() == before, "a refusal has changed the run");
    place.train(&resume).says(0, &["done: 5 steps"]);
}

#[test]
#[cfg(target_os = "linux")]
fn data_that_cannot_fit_in_memory_is_refused_before_it_is_read() {
    let place = Workplace::new();
    // A sparse file.
    fs::File::create(place.path("rows.csv")).unwrap().set_len(8_000_000_000).unwrap();
    let parts = ["rows.csv needs at least 8.0 GB", "the file", "a file of fewer rows"];
    train_within(&place, 2_000_000, &["config.toml", "--out", "run"]).says(2, &parts);
    // Decompression without end is stopped.
    let file = fs::File::create(place.path("rows.csv")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let piece = "1,2,1\n".repeat(1 << 18);
    (0..120).for_each(|_| gzip.write_all(piece.as_bytes()).unwrap());
    gzip.finish().unwrap();
    let parts = ["rows.csv needs at least", "more of its decompressed content"];
    train_within(&place, 150_000, &["config.toml", "--out", "run"]).says(2, &parts);
    // Numbers take 8 bytes each, and here 2 in the file.
    let rows = "1,2,1\n".repeat(1 << 21);
    fs::write(place.path("rows.csv"), format!("width,height,label\n{rows}")).unwrap();
    let parts = ["rows.csv needs at least", "more rows", "as many as the 1,048,576 so far, in addition to the file"];
    // The memory of the program itself depends on how it was built.
    let refusal = |limit: u64| train_within(&place, limit, &["config.toml", "--out", "run"]).err;
    let is_told = |limit: u64| parts.iter().all(|part| refusal(limit).contains(part));
    assert!((80_000..=200_000).step_by(10_000).any(is_told), "{}", refusal(110_000));
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_under_a_limit_of_the_address_space_is_trained_or_refused_and_never_aborted() {
    let place = Workplace::new();
    let large = ["config.toml", "--out", "run", "--set", "model.hidden=[2000, 2000]", "--set", "train.epochs=1"];
    let limit_is_named = ["the run needs ", "available: the limit of the address space is", "(ulimit -v)"];
    // The memory of the program itself depends on how it was built, so the smallest sufficient limit is not known here.
    let mut refused = Vec::new();
    for limit in (110_000..=250_000).step_by(20_000) {
        let told = train_within(&place, limit, &large);
        match told.code {
            Some(0) => fs::remove_dir_all(place.path("run")).unwrap(),
            _ => {
                told.says(2, &["(ulimit -v)"]);
                refused.push(told.err);
            }
        }
    }
    let by_its_sizes = |told: &String| limit_is_named.iter().all(|part| told.contains(part));
    let for_a_moment = |told: &String| told.contains("needs about ") && told.contains("\n  for a moment");
    assert!(refused.iter().any(|told| by_its_sizes(told) && for_a_moment(told)), "{refused:?}");
    // A little more is enough: more than the allocator usually reserves, but only a little.
    for limit in [250_000, 1_085_000, 1_100_000] {
        let several = format!("ulimit -v {limit} && exec \"$0\" \"$@\"");
        let arguments: Vec<&str> = ["-c", &several, programs::TRAIN].into_iter().chain(large).collect();
        let told = programs::Told::from(place.command("sh", &arguments).output().unwrap());
        told.says(0, &["done: 5 steps"]);
        fs::remove_dir_all(place.path("run")).unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_table_of_words_that_fills_the_memory_is_refused_while_it_is_read() {
    let place = Workplace::new();
    let rows: String = (0..1_500_000).map(|i| format!("{i:07}w,2,1\n")).collect();
    fs::write(place.path("rows.csv"), format!("width,height,label\n{rows}")).unwrap();
    let parts = ["rows.csv needs at least", "more rows", "the limit of the address space is", "(ulimit -v)"];
    // The memory of the program itself depends on how it was built.
    let mut told = (110_000..=250_000).step_by(10_000).map(|limit| train_within(&place, limit, &["config.toml"]));
    told.find(|told| told.err.contains(parts[1])).expect("a limit at which the table is too large").says(2, &parts);
}

#[test]
#[cfg(target_os = "linux")]
fn a_vocabulary_that_cannot_fit_in_memory_is_refused_by_its_size() {
    let place = Workplace::new();
    let tokenizer = r#"{"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model":
        {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, "b": 3000000000}}}"#;
    fs::write(place.path("tokenizer.json"), tokenizer).unwrap();
    fs::write(place.path("text.txt"), "a b ".repeat(50)).unwrap();
    let config = "[data]\npath = \"text.txt\"\ntokenizer = \"tokenizer.json\"\ncache = \"tokens\"\ncontext = 8\n\
                  [model]\nkind = \"gpt\"\nlayers = 1\nheads = 1\nwidth = 8\n\
                  [optimizer]\nkind = \"adamw\"\nlr = 0.1\n[train]\nsteps = 2\n";
    fs::write(place.path("text.toml"), config).unwrap();
    fs::create_dir(place.path("tokens")).unwrap();
    let parts =
        ["weights", "`transformer.wte.weight` [3000000001, 8]", "a tokenizer of fewer than 3,000,000,001 tokens"];
    train_within(&place, 8_000_000, &["text.toml", "--out", "run"]).says(2, &parts);
}

#[test]
fn a_number_beyond_64_bits_is_told_with_its_key_and_the_range() {
    let place = Workplace::new();
    let range = "which go from -9223372036854775808 to 9223372036854775807";
    for (setting, told) in [
        ("seed=99999999999999999999", "`seed` = 99999999999999999999 is beyond the whole numbers of a configuration"),
        ("model.hidden=[8, 9223372036854775808]", "`model.hidden[1]` = 9223372036854775808 is beyond"),
        (
            "optimizer={kind=\"adamw\", seed=-99999999999999999999}",
            "`optimizer.seed` = -99999999999999999999 is beyond",
        ),
    ] {
        place.train_refuses(&["config.toml", "--set", setting], &[told, range]);
    }
}

/// One mistake has one message, whether the number has a sign or not.
#[test]
fn a_whole_number_below_the_smallest_is_refused_in_one_way() {
    let place = Workplace::new();
    for key in ["prodigy slice_p", "soap precondition_frequency", "shampoo precondition_frequency"] {
        let (kind, key) = key.split_once(' ').unwrap();
        for value in ["-1", "0"] {
            let setting = format!("optimizer={{kind='{kind}', lr=1.0, {key}={value}}}");
            let told = format!("--set: optimizer.{key}: must be a whole number, at least 1, not {value}");
            assert_setting_refused(&place, &setting, &[&told]);
        }
    }
}

/// The checkpoint's configuration was sound.
#[test]
fn a_wrong_setting_of_a_resume_is_blamed_on_itself() {
    let place = Workplace::new();
    let adamw = CONFIG.replace("kind = \"sgd\"", "kind = \"adamw\"").replace("momentum = 0.9\n", "");
    fs::write(place.path("config.toml"), adamw).unwrap();
    place.train(&["config.toml", "--out", "run"]).says(0, &[]);
    for setting in ["optimizer.betas=[2.0, 0.9]", "optimizer.lr=-1", "schedule=cosine(0)"] {
        let told = place.train(&["--resume", "run", "--set", setting]);
        // A schedule is named by itself.
        told.says(2, if setting.starts_with("schedule") { &["schedule: `cosine`"] } else { &["--set"] });
        assert!(!told.err.contains("the checkpoint's configuration"), "{setting}: {}", told.err);
    }
}
