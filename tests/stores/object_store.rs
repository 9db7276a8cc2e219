//! A run in a bucket equals the same run on the local disk, whatever happens to it, to its machine and to the server.
//!
//! The server is a real one, `s3s-fs`, started on loopback for each test; its buckets are folders here. Where it is not
//! installed the tests say so and check nothing.
#![cfg(all(feature = "object-store", unix))]

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::training::Training;
use crate::common::{ADAMW, Ended, assert_same_bits, checkpoint, copy_tree, log, small, steps, table, tree};
use rekindle::rng::Stream;

const KEY: &str = "AKIDOFTHETEST";
const SECRET: &str = "secret-of-the-test";
const RUN: &str = "s3://bucket/runs/one";

/// Twelve updates, each saved.
fn every_step() -> String {
    small(ADAMW, "cosine(12)", "checkpoint = { every = '1 step' }")
}

/// Saves of 16 MB of weights and twice that of moments, in parts.
fn large() -> String {
    let config = small(ADAMW, "cosine(6)", "checkpoint = { every = '1 step' }").replace("[8, 5]", "[2000, 2000]");
    config.replace("epochs = 3", "steps = 6")
}

/// Prints, past the capture of tests, that something is not tested.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "\nNOT TESTED: {why}\n");
}

/// The server's program: `S3S_FS`, or in `target/tools`, or on the path.
fn program() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/s3s-fs");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::var_os("S3S_FS").map(PathBuf::from).into_iter().chain([tools]);
    places
        .find(|place| place.is_file())
        .or_else(|| std::env::split_paths(&path).map(|folder| folder.join("s3s-fs")).find(|place| place.is_file()))
}

/// A server, killed with the test.
struct Server {
    program: PathBuf,
    root: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Server {
    fn start(&mut self) {
        let arguments =
            ["--host", "127.0.0.1", "--port", &self.port.to_string(), "--access-key", KEY, "--secret-key", SECRET];
        let mut command = Command::new(&self.program);
        command.args(arguments).arg(&self.root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "the server does not start");
            sleep(Duration::from_millis(5));
        }
    }

    /// Kills it at any moment.
    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A bucket, and a folder here in which programs work: `data.csv` is in it, and the configuration beside it.
struct Scene {
    folder: tempfile::TempDir,
    server: Server,
}

impl Scene {
    /// `None` if no server is available.
    fn new(config: &str) -> Option<Self> {
        let Some(program) = program() else {
            skipped("runs in object storage, for s3s-fs is not installed; .ci/run says how");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("buckets");
        fs::create_dir_all(root.join("bucket")).unwrap();
        fs::create_dir(folder.path().join("here")).unwrap();
        fs::write(folder.path().join("here/data.csv"), table()).unwrap();
        fs::write(folder.path().join("config.toml"), config.replace("data.csv", "here/data.csv")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Server { program, root, port, process: None };
        server.start();
        Some(Self { folder, server })
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path().join("here"))
            .env_remove("RUST_LOG")
            .env("RAYON_NUM_THREADS", "1")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.server.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("NO_PROXY", "127.0.0.1")
            .env("REKINDLE_SCRATCH", self.scratch())
            .env("REKINDLE_STORE_LEASE", "1")
            .env("REKINDLE_STORE_TIMEOUT", "20")
            .stdin(Stdio::null());
        command
    }

    fn train_command(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_train"), arguments)
    }

    fn train(&self, arguments: &[&str]) -> Ended {
        self.train_command(arguments).output().unwrap().into()
    }

    fn inspect(&self, arguments: &[&str]) -> Ended {
        self.command(env!("CARGO_BIN_EXE_inspect"), arguments).output().unwrap().into()
    }

    /// Trains in parallel to the test.
    fn spawn(&self, arguments: &[&str]) -> Training {
        self.spawn_with(arguments, ("REKINDLE_STORE_LEASE", "1"))
    }

    fn spawn_with(&self, arguments: &[&str], (variable, value): (&str, &str)) -> Training {
        Training::spawn(self.train_command(arguments).env(variable, value), self.folder.path())
    }

    /// Where the log of a run in the bucket grows.
    fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    /// Where the server keeps the run.
    fn kept(&self) -> PathBuf {
        self.server.root.join("bucket/runs/one")
    }

    /// The same run on the local disk. It has the folder of the data for its directory, and so the same paths in it.
    fn whole(&self) -> PathBuf {
        let (here, whole) = (self.folder.path().join("here"), self.folder.path().join("whole"));
        self.train(&["../config.toml", "--out", "."]).well();
        copy_tree(&here, &whole);
        fs::remove_file(whole.join("data.csv")).unwrap();
        for name in tree(&whole).keys() {
            fs::remove_file(here.join(name)).unwrap();
        }
        fs::remove_dir_all(here.join("checkpoints")).unwrap();
        whole
    }

    /// The run in the bucket equals the local one, and nothing else is left of it.
    #[track_caller]
    fn assert_is(&self, whole: &Path) {
        assert_same_bits(whole, &self.kept());
        let (expected, found) = (tree(whole), tree(&self.kept()));
        let is_known = |path: &&PathBuf| expected.contains_key(*path);
        let unknown: Vec<_> = found.keys().filter(|path| !is_known(path)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(!self.kept().join("lock").exists(), "it is still held");
        let scratch = fs::read_dir(self.scratch()).map(Iterator::count).unwrap_or_default();
        assert_eq!(scratch, 0, "something is left here");
    }
}

#[test]
fn a_run_in_a_bucket_has_the_bits_of_a_local_one() {
    let Some(scene) = Scene::new(&every_step()) else { return };
    let whole = scene.whole();
    let told = scene.train(&["../config.toml", "--out", RUN]).well();
    assert!(told.stderr.contains(&format!("to train longer: train --resume {RUN}")), "{}", told.stderr);
    scene.assert_is(&whole);
    // Finished work is not repeated, and a finished run can be resumed without a change.
    assert!(scene.train(&["../config.toml", "--out", RUN]).refusal().contains("already holds a run"));
    let again = scene.train(&["--resume", RUN]).well();
    assert!(again.stderr.contains("nothing left to do"), "{}", again.stderr);
    scene.assert_is(&whole);
    // The credentials are not saved.
    for (path, bytes) in tree(&scene.kept()) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(KEY) && !text.contains(SECRET), "{}", path.display());
    }
}

#[test]
fn a_run_killed_again_and_again_and_resumed_on_other_machines_has_the_same_bits() {
    const SEED: u64 = 5;
    let config = small(ADAMW, "cosine(12)", "checkpoint = { every = '10 steps', keep = { last = 3 } }")
        .replace("epochs = 3", "steps = 1200");
    let Some(scene) = Scene::new(&config) else { return };
    let whole = scene.whole();
    let mut newest = std::collections::BTreeSet::new();
    for (number, share) in Stream::new(SEED, "kills").uniform(0, 8).into_iter().enumerate() {
        let is_begun = scene.kept().join("config.toml").exists();
        let arguments: &[&str] = if is_begun { &["--resume", RUN] } else { &["../config.toml", "--out", RUN] };
        let lock = || fs::read(scene.kept().join("lock")).ok();
        let earlier = lock();
        let mut training = scene.spawn(arguments);
        // Its predecessor's lease must expire first.
        training.wait_until(|| lock().is_some() && lock() != earlier);
        // Every other kill comes early, during the start; the rest interrupt training, even on a slow machine.
        let before = steps(&scene.kept()).last().copied();
        if number % 2 == 1 {
            training.wait_until(|| steps(&scene.kept()).last().copied() > before);
        }
        sleep(Duration::from_secs_f32(0.4 * share));
        assert!(training.kill(), "seed {SEED}: the run ended before kill {number}");
        newest.insert(steps(&scene.kept()).last().copied());
        // The next machine has no state of this one.
        let _ = fs::remove_dir_all(scene.scratch());
    }
    assert!(newest.len() >= 3, "seed {SEED}: the kills hit hardly any work: {newest:?}");
    scene.train(&["--resume", RUN]).well();
    scene.assert_is(&whole);
}

/// A supervised run in a bucket is continued once the lease of the killed process has expired.
#[test]
fn a_supervised_run_in_a_bucket_is_started_again() {
    let Some(scene) = Scene::new(&every_step().replace("epochs = 3", "steps = 80")) else { return };
    let whole = scene.whole();
    let train = env!("CARGO_BIN_EXE_train");
    let mut training = scene.spawn(&["supervise", "--pause", "10ms", "--", train, "../config.toml", "--out", RUN]);
    training.wait_until(|| steps(&scene.kept()).len() > 3);
    let lock = fs::read_to_string(scene.kept().join("lock")).unwrap();
    let process = lock.split("process ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(Command::new("kill").args(["-9", process]).status().unwrap().success());
    let ended = training.ended().well();
    let again = format!("starting again in 10ms: {train} --resume {RUN}\n");
    assert!(ended.stderr.contains(&again), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(scene.kept().join("restarts.jsonl")).unwrap().lines().count(), 1);
    fs::remove_file(scene.kept().join("restarts.jsonl")).unwrap();
    scene.assert_is(&whole);
    let end = fs::read_to_string(scene.kept().join("outcome.json")).unwrap();
    assert!(end.contains("\"outcome\": \"finished\"") && end.contains("\"step\": 80"), "{end}");
}

#[test]
fn a_second_process_is_refused_with_the_name_of_the_first() {
    let config = every_step().replace("epochs = 3", "steps = 2000");
    let Some(scene) = Scene::new(&config) else { return };
    // Long enough that the first renews in time on a busy machine.
    let lease = ("REKINDLE_STORE_LEASE", "15");
    let mut first = scene.spawn_with(&["../config.toml", "--out", RUN], lease);
    first.wait_until(|| steps(&scene.kept()).len() > 3);
    let refusal = scene.train(&["--resume", RUN]).refusal();
    let holder = format!("{RUN} is in use by process {} on ", first.process.id());
    assert!(refusal.contains(&holder), "{refusal}");
    let refusal = scene.inspect(&["prune", RUN, "--last", "1"]).refusal();
    assert!(refusal.contains(&holder), "{refusal}");
    // Inspection does not disturb.
    assert!(scene.inspect(&[RUN]).well().stdout.contains("step"));
    let saved = steps(&scene.kept()).len();
    first.wait_until(|| steps(&scene.kept()).len() > saved);
    assert!(first.kill());
}

/// Many updates, every 5000th of which is saved: training takes much longer than saving.
fn seldom() -> String {
    let config = small(ADAMW, "cosine(12)", "checkpoint = { every = '5000 steps' }");
    config.replace("epochs = 3", "steps = 20000").replace("2 steps", "1000 steps")
}

#[test]
fn a_lost_scratch_directory_costs_nothing() {
    let Some(scene) = Scene::new(&seldom()) else { return };
    let whole = scene.whole();
    let mut training = scene.spawn(&["../config.toml", "--out", RUN]);
    training.wait_until(|| steps(&scene.kept()).last() > Some(&0));
    fs::remove_dir_all(scene.scratch()).unwrap();
    let ended = training.ended().well();
    assert!(!ended.stderr.contains("not saved") && !ended.stderr.contains("cannot write"), "{}", ended.stderr);
    scene.assert_is(&whole);
    let times = fs::read_to_string(scene.kept().join("timing.jsonl")).unwrap();
    let saved = times.lines().filter(|line| line.contains("\"saved\"")).count();
    assert!(saved == 5 && times.contains("\"end\""), "{times}");
}

#[test]
fn lines_behind_a_gap_in_the_log_are_kept_under_a_name_that_says_so() {
    let Some(scene) = Scene::new(&every_step()) else { return };
    scene.train(&["../config.toml", "--out", RUN]).well();
    // The state after a kill, with a segment whose predecessor is missing.
    let log = fs::read_to_string(scene.kept().join("log.jsonl")).unwrap();
    let ends: Vec<usize> = log.match_indices('\n').map(|(at, _)| at + 1).collect();
    let (behind, end) = (&log[ends[7]..], log.len());
    fs::write(scene.kept().join("log.jsonl"), &log[..ends[3]]).unwrap();
    fs::create_dir_all(scene.kept().join("log")).unwrap();
    fs::write(scene.kept().join(format!("log/{:015}-{end:015}.jsonl", ends[7])), behind).unwrap();
    let resumed = scene.train(&["--resume", RUN]).well();
    for part in ["the lines before it are missing", "has no lines of steps 4 to 11", "is kept as"] {
        assert!(resumed.stderr.contains(part), "`{part}` is not in: {}", resumed.stderr);
    }
    let kept = scene.kept().join("log.jsonl.damaged");
    assert!(resumed.stderr.contains(&format!("{RUN}/log.jsonl.damaged")), "{}", resumed.stderr);
    assert_eq!(fs::read_to_string(&kept).unwrap(), behind);
    // A second damaged copy does not replace it.
    fs::write(scene.kept().join("log.jsonl"), log.replacen("step", "stop", 1)).unwrap();
    let resumed = scene.train(&["--resume", RUN]).well();
    assert!(resumed.stderr.contains(&format!("kept in {RUN}/log.jsonl.damaged-2")), "{}", resumed.stderr);
    assert_eq!(fs::read_to_string(&kept).unwrap(), behind);
    assert_eq!(fs::read_to_string(scene.kept().join("log.jsonl.damaged-2")).unwrap(), log.replacen("step", "stop", 1));
}

/// A number of seconds beyond the clock's range must not panic.
#[test]
fn a_patience_that_makes_no_sense_is_refused() {
    let Some(scene) = Scene::new(&every_step()) else { return };
    for seconds in ["1.8e19", "604801", "-1", "nan", "inf", "soon", ""] {
        let mut command = scene.train_command(&["../config.toml", "--out", RUN]);
        let ended: Ended = command.env("REKINDLE_STORE_TIMEOUT", seconds).output().unwrap().into();
        let rule = format!("REKINDLE_STORE_TIMEOUT is `{seconds}`, and must be a number of seconds from 0 to 604800");
        let refusal = ended.refusal();
        assert!(refusal.contains(&rule) && !refusal.contains("can be reached"), "{refusal}");
    }
}

/// Waits until a save other than the first is in progress, and kills the server during it.
#[track_caller]
fn stop_in_a_save(scene: &mut Scene, training: &mut Training) {
    let folder = scene.kept().join("checkpoints");
    training.wait_until(|| steps(&scene.kept()).len() > 2 && has_unfinished(&folder));
    scene.server.stop();
}

fn has_unfinished(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.into_iter().any(|name| name.to_string_lossy().ends_with(".unfinished"))
}

#[test]
fn a_server_that_is_away_for_a_while_in_the_middle_of_a_save_costs_nothing() {
    let Some(mut scene) = Scene::new(&large()) else { return };
    let whole = scene.whole();
    let mut training = scene.spawn(&["../config.toml", "--out", RUN]);
    stop_in_a_save(&mut scene, &mut training);
    sleep(Duration::from_secs(1));
    scene.server.start();
    let ended = training.ended().well();
    assert!(!ended.stderr.contains("is not saved"), "{}", ended.stderr);
    scene.assert_is(&whole);
}

#[test]
fn a_server_that_stays_away_fails_the_run_in_bounded_time_and_a_resume_continues() {
    let Some(mut scene) = Scene::new(&large()) else { return };
    let whole = scene.whole();
    let mut training = scene.spawn_with(&["../config.toml", "--out", RUN], ("REKINDLE_STORE_TIMEOUT", "0.5"));
    stop_in_a_save(&mut scene, &mut training);
    let stopped = Instant::now();
    let ended = training.ended();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not saved: cannot ") && ended.stderr.contains(RUN), "{}", ended.stderr);
    assert!(stopped.elapsed() < Duration::from_secs(60), "{:?}", stopped.elapsed());
    scene.server.start();
    let resumed = scene.train(&["--resume", RUN]).well();
    assert!(resumed.stderr.contains("removed the remains of a killed save"), "{}", resumed.stderr);
    scene.assert_is(&whole);
}

#[test]
fn a_wrong_key_is_said_to_be_one_and_never_shown() {
    let Some(scene) = Scene::new(&every_step()) else { return };
    scene.train(&["../config.toml", "--out", RUN]).well();
    for arguments in [&["--resume", RUN][..], &["../config.toml", "--out", "s3://bucket/other"]] {
        let ended: Ended =
            scene.train_command(arguments).env("AWS_SECRET_ACCESS_KEY", "wrong-secret").output().unwrap().into();
        let refusal = ended.refusal();
        assert!(refusal.contains("s3://bucket/") && refusal.contains("check the credentials"), "{refusal}");
        assert!(!refusal.contains("wrong-secret") && !refusal.contains(KEY), "{refusal}");
    }
    let refusal = scene.train(&["--resume", "s3://no-such-bucket/run"]).refusal();
    assert!(refusal.contains("s3://no-such-bucket/run"), "{refusal}");
    let refusal = scene.train(&["--resume", "ftp://host/run"]).refusal();
    assert!(refusal.contains("known are s3://"), "{refusal}");
}

/// Three trials, of which one ends early.
#[test]
fn a_sweep_in_a_bucket_that_is_killed_and_continued_ends_as_a_local_one() {
    const SWEEP: &str = "s3://bucket/sweeps/one";
    let config = small(ADAMW, "cosine(12)", "checkpoint = { every = '50 steps' }")
        .replace("epochs = 3", "steps = 400")
        .replace("2 steps", "50 steps");
    let Some(scene) = Scene::new(&config) else { return };
    let sweep = "config = 'config.toml'\nsearch = { kind = 'random', trials = 3, seed = 1 }\n\
                 early_ending = { first = '100 steps', factor = 2 }\n[parameters]\n\
                 'optimizer.lr' = { low = 1e-4, high = 1e-1, scale = 'log' }\n";
    fs::write(scene.folder.path().join("sweep.toml"), sweep).unwrap();
    let whole = scene.train(&["sweep", "../sweep.toml", "--out", "../whole"]).well();
    let kept = scene.server.root.join("bucket/sweeps/one");
    let mut training = scene.spawn(&["sweep", "../sweep.toml", "--out", SWEEP]);
    training.wait_until(|| steps(&kept.join("trials/0000")).len() > 1);
    assert!(training.kill());
    // The next machine has no state of this one.
    let _ = fs::remove_dir_all(scene.scratch());
    let elsewhere: Ended =
        scene.train_command(&["sweep", "--resume", SWEEP]).current_dir(scene.folder.path()).output().unwrap().into();
    assert!(elsewhere.refusal().contains("data.csv is not here"));
    let resumed = scene.train(&["sweep", "--resume", SWEEP]).well();
    assert_eq!(resumed.stdout, whole.stdout);
    let best = format!("its configuration: {SWEEP}/best.toml; its run: {SWEEP}/trials/");
    assert!(resumed.stderr.contains(&best), "{}", resumed.stderr);
    let (local, read) = (scene.folder.path().join("whole"), |file: PathBuf| fs::read_to_string(file).unwrap());
    for file in ["sweep.toml", "trials.jsonl", "trials.csv", "sweep.svg"] {
        assert_eq!(read(local.join(file)), read(kept.join(file)), "{file}");
    }
    for number in 0..3 {
        let run = format!("trials/{number:04}");
        assert_eq!(log(&local.join(&run)), log(&kept.join(&run)), "{run}");
        assert!(!read(kept.join(format!("{run}.txt"))).is_empty(), "{run}");
    }
    assert!(!kept.join("lock").exists(), "it is still held");
    assert_eq!(fs::read_dir(scene.scratch()).map(Iterator::count).unwrap_or_default(), 0, "something is left here");
    for words in [&["sweep", SWEEP][..], &[SWEEP]] {
        assert_eq!(scene.inspect(words).well().stdout, whole.stdout);
    }
    let again = scene.train(&["sweep", "../sweep.toml", "--out", SWEEP]).well();
    assert!(again.stderr.contains("3 of 3 trials have ended before"), "{}", again.stderr);
    scene.train(&[&format!("{SWEEP}/best.toml"), "--out", "../best"]).well();
    fs::write(scene.folder.path().join("sweep.toml"), sweep.replace("seed = 1", "seed = 2")).unwrap();
    let refusal = scene.train(&["sweep", "../sweep.toml", "--out", SWEEP]).refusal();
    assert!(refusal.contains(&format!("{SWEEP} holds another sweep")), "{refusal}");
    let refusal = scene.train(&["sweep", "../sweep.toml", "--out", "s3://bucket/sweeps"]).refusal();
    assert!(refusal.contains("s3://bucket/sweeps holds other files"), "{refusal}");
}

/// A separate small file system, unmounted with the test.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        skipped("a full disk behind a bucket, for no tmpfs can be mounted here");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_behind_the_bucket_fails_saves_and_no_checkpoint() {
    let Some(mut scene) = Scene::new(&every_step()) else { return };
    let whole = scene.whole();
    scene.server.stop();
    // The server writes beside the bucket first, and renames.
    let root = scene.server.root.clone();
    let Some(_mount) = Mount::new(&root, 2 << 20) else { return };
    fs::create_dir(root.join("bucket")).unwrap();
    // The rest holds the first few checkpoints.
    let filler = root.join("filler");
    fs::write(&filler, vec![1; (2 << 20) - (120 << 10)]).unwrap();
    scene.server.start();
    let command = &mut scene.train_command(&["../config.toml", "--out", RUN]);
    let ended: Ended = command.env("REKINDLE_STORE_TIMEOUT", "0.3").output().unwrap().into();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not saved: cannot write"), "{}", ended.stderr);
    scene.inspect(&["verify", RUN]).well();
    assert!(!steps(&scene.kept()).is_empty(), "none was saved");
    fs::remove_file(filler).unwrap();
    scene.train(&["--resume", RUN]).well();
    scene.assert_is(&whole);
}

#[test]
fn inspect_shows_a_run_in_a_bucket_as_it_shows_a_local_one() {
    let Some(scene) = Scene::new(&every_step()) else { return };
    scene.train(&["../config.toml", "--out", RUN]).well();
    let local = scene.kept();
    let here = scene.inspect(&[local.to_str().unwrap()]).well().stdout.replace(local.to_str().unwrap(), RUN);
    assert_eq!(scene.inspect(&[RUN, "--stats"]).well().stdout, here);
    let outline = scene.inspect(&[RUN]).well().stdout;
    let (header, tensors) = outline.split_once("\n\n").unwrap();
    assert!(header.contains("integrity   only headers were read"), "{header}");
    let verified = header.replace("only headers were read", "verified");
    // The kept checkpoints are decided on only if all of a checkpoint is read.
    let kept = |line: &&str| !line.starts_with("kept ") && !line.starts_with("best ");
    let whole: Vec<&str> = here.split_once("\n\n").unwrap().0.lines().filter(kept).collect();
    assert_eq!(verified.lines().collect::<Vec<_>>(), whole);
    let names = |table: &str| -> Vec<String> {
        let names = table.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
        names.collect()
    };
    assert_eq!(names(tensors), names(here.split_once("\n\n").unwrap().1));
    assert!(!scene.kept().join("lock").exists());
    let verified = scene.inspect(&["verify", RUN]).well().stdout;
    assert_eq!(verified.lines().count(), 14);
    assert!(verified.contains(&format!("{RUN}/checkpoints/step-0000000000: ok")), "{verified}");
    // The message differs from that of the run itself only in the path.
    let same = scene.inspect(&["diff", local.to_str().unwrap(), RUN]);
    assert_eq!(same.code, Some(0), "{}{}", same.stdout, same.stderr);
    let one = format!("{RUN}/checkpoints/step-0000000003");
    assert_eq!(scene.inspect(&["diff", RUN, &one]).code, Some(0));
    assert_eq!(scene.inspect(&["diff", &one, &one.replace("03", "04")]).code, Some(1));
    scene.inspect(&["pin", &format!("{RUN}/checkpoints/step-0000000003")]).well();
    let pruned = scene.inspect(&["prune", RUN, "--last", "2"]).well().stdout;
    assert!(pruned.contains("step-0000000003  stays: pinned"), "{pruned}");
    // The server leaves the folders of deleted objects.
    let whole = steps(&local).into_iter().filter(|step| checkpoint(&local, *step).join("manifest.json").exists());
    assert_eq!(whole.collect::<Vec<_>>(), [3, 11, 12]);
}

#[test]
fn a_damaged_checkpoint_in_a_bucket_is_skipped_unless_the_resume_is_strict() {
    let Some(scene) = Scene::new(&every_step()) else { return };
    let whole = scene.whole();
    scene.train(&["../config.toml", "--out", RUN]).well();
    let file = checkpoint(&scene.kept(), 12).join("optimizer.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(scene.inspect(&["verify", RUN]).code, Some(1));
    let refusal = scene.train(&["--resume", RUN, "--strict"]).refusal();
    let url = format!("{RUN}/checkpoints/step-0000000012/optimizer.safetensors");
    assert!(refusal.contains(&url), "{refusal}");
    let resumed = scene.train(&["--resume", RUN]).well();
    assert!(resumed.stderr.contains("skipped a damaged checkpoint: ") && resumed.stderr.contains(&url));
    // The damaged one is kept aside, as on the local disk.
    fs::remove_dir_all(scene.kept().join("checkpoints/step-0000000012.replaced-1")).unwrap();
    scene.assert_is(&whole);
}

#[test]
fn a_run_moves_between_the_disk_and_a_bucket() {
    let Some(scene) = Scene::new(&every_step()) else { return };
    let whole = scene.whole();
    scene.train(&["../config.toml", "--out", RUN]).well();
    // From the bucket to the disk: from an older checkpoint, with the log before it.
    let older = format!("{RUN}/checkpoints/step-0000000005");
    let told = scene.train(&["--resume", &older, "--out", "branch"]).well();
    assert!(told.stderr.contains(&format!("continues in branch; {older} is not changed")), "{}", told.stderr);
    let branch = scene.folder.path().join("here/branch");
    assert_eq!(log(&branch), log(&whole));
    assert_eq!(steps(&branch), [5, 6, 7, 8, 9, 10, 11, 12]);
    // And back, to another place.
    fs::remove_dir_all(checkpoint(&branch, 12)).unwrap();
    scene.train(&["--resume", "branch", "--out", "s3://bucket/back"]).well();
    let back = scene.server.root.join("bucket/back");
    let model = |run: &Path| fs::read(checkpoint(run, 12).join("model.safetensors")).unwrap();
    assert!(model(&back) == model(&whole));
    assert_eq!(log(&back), log(&whole));
    // As copied by a tool: a folder of checkpoints outside a run.
    copy_tree(&checkpoint(&whole, 8), &scene.server.root.join("bucket/copied/step-0000000008"));
    scene.train(&["--resume", "s3://bucket/copied", "--out", "s3://bucket/from-copied"]).well();
    assert!(model(&scene.server.root.join("bucket/from-copied")) == model(&whole));
}

/// Changes on a resume are saved at once, in place of the checkpoint that was resumed; the log of later steps is lost.
#[test]
fn a_change_on_a_resume_holds_and_the_log_has_nothing_of_what_was_cut_off() {
    let Some(scene) = Scene::new(&every_step()) else { return };
    scene.train(&["../config.toml", "--out", RUN]).well();
    for step in 7..=12 {
        fs::remove_dir_all(checkpoint(&scene.kept(), step)).unwrap();
    }
    scene.train(&["--resume", RUN, "--set", "optimizer.lr=0.001"]).well();
    let rates: Vec<f64> = log(&scene.kept()).iter().map(|line| line["lr"][0].as_f64().unwrap()).collect();
    assert_eq!(rates.len(), 12);
    assert!(rates[5] > 0.005 && rates[6] < 0.001, "{rates:?}");
    let told = scene.inspect(&[RUN]).well().stdout;
    assert!(told.contains("changed     optimizer.lr: 0.05 -> 0.001 at step 6"), "{told}");
}
