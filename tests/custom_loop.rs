//! The library in a user's training loop: `examples/custom_loop.rs` and `examples/gan.rs`, killed and run again, have the
//! same bits. The only tests that need no feature: `cargo test --release --no-default-features --test custom_loop`.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `cargo test` builds examples beside the tests' own folder.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.is_file(), "{} is missing; build it with `cargo build --release --examples`", path.display());
    path
}

fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(example(name));
    command.arg(folder).stdout(Stdio::null());
    command
}

/// Every file of every checkpoint except the manifests, which contain the time.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for checkpoint in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = checkpoint.file_name().unwrap().to_owned();
        // The remains of a killed save are hidden and never read.
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        for file in fs::read_dir(&checkpoint).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().unwrap() != "manifest.json" {
                found.push((Path::new(&name).join(file.file_name().unwrap()), fs::read(&file).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Runs an example whole, and again while it is killed; a whole run leaves this number of files.
#[track_caller]
fn assert_kills_change_nothing(name: &str, files: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let began = Instant::now();
    assert!(command(name, &whole).status().unwrap().success());
    let duration = began.elapsed();

    let mut kills = 0;
    for _ in 0..6 {
        let mut child = command(name, &killed).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(duration.as_secs_f64() * 0.12));
        child.kill().unwrap();
        kills += u32::from(child.wait().unwrap().signal() == Some(9));
    }
    assert!(kills >= 2, "only {kills} of 6 kills found the loop running");
    assert!(command(name, &killed).status().unwrap().success());
    assert_eq!(contents(&whole).len(), files);
    assert!(contents(&whole) == contents(&killed), "the killed run has other bits");
}

/// 20 checkpoints of 3 files.
#[test]
fn a_user_loop_killed_and_run_again_has_the_same_bits() {
    assert_kills_change_nothing("custom_loop", 60);
}

#[test]
fn the_two_models_of_the_game_learn_to_draw_points_in_all_eight_spots() {
    let folder = tempfile::tempdir().unwrap();
    let ended = command("gan", folder.path()).stdout(Stdio::piped()).output().unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap();
    let last = printed.lines().rfind(|line| line.starts_with("step ")).unwrap();
    let figure = |name: &str| -> f64 {
        let rest = last.split(name).nth(1).unwrap_or_else(|| panic!("{last}"));
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(figure("spots="), 8.0, "{printed}");
    // Points that are spread evenly over the ring would be in a spot at half of all places, and a uniform disk at less.
    assert!(figure("points in them=") > 0.65, "{printed}");
}

/// 20 checkpoints with a document, two models and two optimizers.
#[test]
fn a_loop_with_two_optimizers_and_two_schedules_killed_and_run_again_has_the_same_bits() {
    assert_kills_change_nothing("gan", 100);
}
