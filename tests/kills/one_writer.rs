//! One process trains in a run directory, under any of its names; and a dead one does not block others.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::training::Training;
use crate::common::{Lab, assert_same_bits, steps};

/// Trains until it is killed: the number of steps is practically endless.
const ENDLESS: &str = r#"
    seed = 3
    optimizer = { kind = "adamw", lr = 1e-3 }
    schedule = "warmup(10) -> cosine(190)"
    train = { steps = 1_000_000_000 }
    checkpoint = { every = "20 steps", keep = { last = 3 } }
    [data]
    path = "data.csv"
    batch_size = 13
    [model]
    kind = "mlp"
    hidden = [8]
    dropout = 0.3
"#;

/// A process that trains in the directory `run` of a lab, and has begun and saved a few times.
fn at_work(lab: &Lab) -> Training {
    let mut training = lab.spawn(&["config.toml", "--out", "run"]);
    training.wait_until(|| steps(&lab.path("run")).last().is_some_and(|&step| step >= 100));
    training
}

/// While one process trains in `run`, another is refused under `other_name`, with the holder in the message; once the
/// first is killed, the other continues at once.
#[track_caller]
fn assert_one_writer(lab: &Lab, other_name: &Path) {
    let (holder, other_name) = (at_work(lab), other_name.to_str().unwrap());
    for _ in 0..3 {
        let refused = lab.train(&["--resume", other_name]).refusal();
        assert!(refused.contains(&format!("is in use by process {}", holder.process.id())), "{refused}");
    }
    assert!(holder.kill());
    let newest = *steps(&lab.path("run")).last().unwrap();
    let resumed = lab.train(&["--resume", other_name, "--set", &format!("train.steps={}", newest + 100)]).well();
    assert!(resumed.stderr.contains("done: 100 steps"), "{}", resumed.stderr);
    assert_eq!(steps(&lab.path("run")).last(), Some(&(newest + 100)));
}

#[test]
fn a_killed_writer_does_not_block_others() {
    let lab = Lab::in_memory(ENDLESS);
    assert_one_writer(&lab, Path::new("run"));
}

#[test]
fn a_link_to_the_directory_is_no_second_directory() {
    let lab = Lab::in_memory(ENDLESS);
    // A link to a folder above it, and one to itself: the paths share no name.
    fs::create_dir(lab.path("elsewhere")).unwrap();
    symlink(lab.path("."), lab.path("elsewhere/above")).unwrap();
    symlink("above/run", lab.path("elsewhere/itself")).unwrap();
    assert_one_writer(&lab, Path::new("elsewhere/itself"));
}

/// The same directory mounted at another place, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    /// Prints the reason if that is not permitted.
    fn bind(from: &Path, to: PathBuf) -> Result<Self, String> {
        let output =
            Command::new("mount").arg("--bind").args([from, &to]).output().map_err(|error| error.to_string())?;
        if output.status.success() { Ok(Self(to)) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn another_mount_of_the_directory_is_no_second_directory() {
    let lab = Lab::new(ENDLESS);
    fs::create_dir(lab.path("run")).unwrap();
    fs::create_dir(lab.path("mounted")).unwrap();
    match Mounted::bind(&lab.path("run"), lab.path("mounted")) {
        Ok(_mounted) => assert_one_writer(&lab, Path::new("mounted")),
        Err(why) => eprintln!("SKIPPED: a directory cannot be mounted twice here: {}", why.trim()),
    }
}

/// The lock belongs to the file in the directory, so a copy is a separate run, even while the first is locked.
#[test]
fn a_copy_of_the_directory_is_a_second_directory() {
    let lab = Lab::in_memory(&ENDLESS.replace("1_000_000_000", "40"));
    lab.start("run");
    let first = rekindle::train::RunDirectory::open(&lab.path("run")).unwrap();
    lab.interrupted_copy("run", "copy", 20);
    assert!(lab.train(&["--resume", "run"]).refusal().contains("is in use by process"));
    lab.train(&["--resume", "copy"]).well();
    drop(first);
    assert_same_bits(&lab.path("run"), &lab.path("copy"));
}
