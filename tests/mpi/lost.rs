//! A process that ends or stops: the others end within seconds, and nothing is lost but the step that it was in.

use std::fs;
use std::time::{Duration, Instant};

use rekindle::checkpoint::verify_all;

use crate::common::{Lab, assert_same_bits, checkpoint, log, steps};
use crate::{SHARED, is_open_mpi, process, send, spawn, train};

/// Whatever the launcher does with the others, no checkpoint is half written, and the run continues with the same bits
/// under another number of processes.
#[test]
fn a_killed_process_costs_no_bit() {
    let config = SHARED.replace("steps = 60", "steps = 3000").replace("20 steps", "100 steps");
    let lab = Lab::in_memory(&config);
    lab.start("alone");
    for (victim, processes) in [(0, 3), (1, 1), (2, 2)] {
        let name = format!("run-{victim}");
        let run = lab.path(&name);
        let mut training = spawn(&lab, 3, &["config.toml", "--out", &name]);
        training.wait_until(|| steps(&run).contains(&200));
        send(process(&lab, victim).unwrap(), libc::SIGKILL);
        let killed = Instant::now();
        let ended = training.ended();
        assert!(killed.elapsed() < Duration::from_secs(5), "{:?}: {}", killed.elapsed(), ended.stderr);
        train(&lab, processes, &["--resume", &name]).well();
        for step in steps(&run).into_iter().filter(|step| !step.is_multiple_of(100)) {
            fs::remove_dir_all(checkpoint(&run, step)).unwrap();
        }
        assert_same_bits(&lab.path("alone"), &run);
    }
}

/// Each process writes to files of some MB after every step, so it is killed while it does.
#[test]
fn a_process_that_is_killed_while_all_save_leaves_whole_checkpoints() {
    let config = SHARED.replace("hidden = [32, 32]", "hidden = [700, 700]").replace("steps = 60", "steps = 50");
    let config = config.replace("\"20 steps\" }", "\"1 step\", keep = { last = 3 } }");
    let lab = Lab::in_memory(&format!("distributed = {{ share_saves = true }}\n{config}"));
    lab.start("alone");
    let cases = [(false, 1, 2), (false, 0, 3), (false, 2, 1), (true, 1, 3), (true, 0, 2)];
    for (is_sharded, victim, processes) in cases {
        let table = format!("distributed = {{ share_saves = true, shard_optimizer = {is_sharded} }}\n");
        fs::write(lab.path("config.toml"), format!("{table}{config}")).unwrap();
        let name = format!("run-{is_sharded}-{victim}");
        let run = lab.path(&name);
        let mut training = spawn(&lab, 3, &["config.toml", "--out", &name]);
        training.wait_until(|| steps(&run).last().is_some_and(|&step| step >= 20));
        send(process(&lab, victim).unwrap(), libc::SIGKILL);
        training.ended();
        let checkpoints: Vec<_> = steps(&run).into_iter().map(|step| checkpoint(&run, step)).collect();
        assert!(!checkpoints.is_empty());
        verify_all(&checkpoints, 1, |path, verified| assert!(verified.is_ok(), "{path:?}: {verified:?}"));
        train(&lab, processes, &["--resume", &name]).well();
        for file in ["model.safetensors", "optimizer.safetensors"] {
            let bytes = |run: &str| fs::read(checkpoint(&lab.path(run), 50).join(file)).unwrap();
            assert!(bytes(&name) == bytes("alone"), "{file} of {name}");
        }
        assert!(fs::read(run.join("log.jsonl")).unwrap() == fs::read(lab.path("alone/log.jsonl")).unwrap());
    }
}

/// Neither launcher notices it; in a call of MPI the others would wait forever. The first process saves what it has.
#[test]
fn a_suspended_process_is_named_after_seconds() {
    let lab = Lab::in_memory(&crate::long());
    for (victim, saves) in [(2, true), (0, false)] {
        let name = format!("run-{victim}");
        let run = lab.path(&name);
        let mut training = spawn(&lab, 3, &["config.toml", "--out", &name]);
        training.wait_until(|| fs::metadata(run.join("log.jsonl")).is_ok_and(|log| log.len() > 10_000));
        let stopped = process(&lab, victim).unwrap();
        send(stopped, libc::SIGSTOP);
        let since = Instant::now();
        let ended = training.ended();
        let message = format!("process {victim} has not answered for 4 s");
        let told =
            format!("exit code {:?} after {:?}\n{}\n{}", ended.code, since.elapsed(), ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(1), "{told}");
        assert_eq!(ended.stderr.matches(&message).count(), 1, "{told}");
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{told}");
        let most = if is_open_mpi() { 8 } else { 6 };
        assert!(since.elapsed() < Duration::from_secs(most), "{:?}", since.elapsed());
        if saves {
            assert_eq!(*steps(&run).last().unwrap(), log(&run).len() as u64);
        }
    }
}

/// Its message is printed, and the first process saves before all of them end.
#[test]
fn a_process_that_cannot_read_its_data_ends_all_after_a_save() {
    let config = SHARED.replace("steps = 60", "steps = 100000").replace("20 steps", "50000 steps");
    let config = config.replace("path = \"data.csv\"", "path = \"images\"\n    format = \"images\"");
    let lab = Lab::in_memory(&config);
    for (class, shade) in [("dark", 10), ("light", 200)] {
        let folder = lab.path("images").join(class);
        fs::create_dir_all(&folder).unwrap();
        for number in 0..20u8 {
            let pixels: Vec<u8> = (0..16).map(|pixel| shade + (pixel * 3 + number) % 40).collect();
            let file = fs::File::create(folder.join(format!("{number}.png"))).unwrap();
            let mut encoder = png::Encoder::new(file, 4, 4);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        }
    }
    let run = lab.path("run");
    let mut training = spawn(&lab, 2, &["config.toml", "--out", "run"]);
    training.wait_until(|| fs::metadata(run.join("log.jsonl")).is_ok_and(|log| log.len() > 5_000));
    for entry in fs::read_dir(lab.path("images/dark")).unwrap() {
        fs::write(entry.unwrap().path(), b"").unwrap();
    }
    let ended = training.ended();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(*steps(&run).last().unwrap() > 20, "{}", ended.stderr);
    assert!(ended.stderr.contains("images/dark/"), "{}", ended.stderr);
}
